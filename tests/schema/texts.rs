//! Texts and numbers with a grammar of their own: what the schema takes, the loader reads, and the other way round. How large a
//! number may be and how many days a month has is left to the loader, so that no text here asks for it.

use std::cell::Cell;
use std::str::FromStr;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;
use xdrelay::config::parse;
use xdrelay::config::poll::{Interval, Share};
use xdrelay::config::tenant::Start;
use xdrelay::model::units::{Size, Span};

use crate::judge::Judge;

const CASES: u32 = 2000;
/// So many digits of years fit.
const SPAN_DIGITS: usize = 11;
/// So many digits of TiB fit.
const SIZE_DIGITS: usize = 7;

/// Runs `check` on texts, each as it was made and with a character too many or too few.
fn for_each(texts: impl Strategy<Value = String>, check: impl Fn(&str) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let one_more = select(" \t0159:.-+_[aAsSmMTZznN\u{a0}".chars().collect::<Vec<_>>());
    let texts = (texts, any::<Index>(), prop::option::of(prop::option::of(one_more)));
    let changed = texts.prop_map(|(text, at, change)| {
        let mut letters: Vec<char> = text.chars().collect();
        let at = at.index(letters.len() + 1);
        match change {
            Some(Some(more)) => letters.insert(at, more),
            Some(None) if at < letters.len() => _ = letters.remove(at),
            Some(None) | None => {}
        }
        letters.into_iter().collect::<String>()
    });
    let outcome = proptest::test_runner::TestRunner::new(config).run(&changed, |text| check(&text));
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Whether both take a text, or neither does. A number of more than `digits` may be too large for the loader.
fn is_read<T: FromStr>(judge: &Judge, text: &str, digits: usize) -> Result<bool, TestCaseError> {
    let (is_read, is_valid) = (text.parse::<T>().is_ok(), judge.takes(&json!(text)));
    prop_assert!(is_valid || !is_read, "{:?} is read and not valid", text);
    let is_large = digits < text.bytes().filter(u8::is_ascii_digit).count();
    let is_form_of_one = is_read || is_large || exact(text).parse::<T>().is_ok();
    prop_assert!(is_form_of_one || !is_valid, "{:?} is valid and not read", text);
    Ok(is_read)
}

/// Of texts, some of which are right, and some of which are not.
fn agree<T: FromStr>(pointer: &str, digits: usize, texts: impl Strategy<Value = String>) {
    let (judge, counts) = (Judge::at(pointer), Cell::new([0; 2]));
    for_each(texts, |text| {
        let mut counted = counts.get();
        counted[usize::from(is_read::<T>(&judge, text, digits)?)] += 1;
        counts.set(counted);
        Ok(())
    });
    let [wrong, right] = counts.get();
    assert!(CASES / 10 < wrong && CASES / 10 < right, "{wrong} wrong, {right} right: too one-sided to prove much");
    for_each(prop_oneof!["\\PC*", "[0-9 a-zA-Z:.+-]{0,24}"], |text| is_read::<T>(&judge, text, digits).map(|_| ()));
}

/// The same with fractions of zero: a tenth of a month is no whole number of nanoseconds, which is left to the loader as well.
fn exact(text: &str) -> String {
    let mut is_fraction = false;
    let digit = |letter: char| {
        is_fraction = letter == '.' || is_fraction && (letter.is_ascii_digit() || letter.is_whitespace());
        if is_fraction && letter.is_ascii_digit() { '0' } else { letter }
    };
    text.chars().map(digit).collect()
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(words).prop_map(str::to_owned)
}

/// Two right ones for each wrong one, so that a text of several parts is right often enough.
fn mostly(right: &'static [&'static str], wrong: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![9 => one_of(right), 1 => one_of(wrong)]
}

const BLANKS: &[&str] = &["", "", "", " ", "  ", "\t", "\n", "\u{a0}", "\u{2003}"];

fn spans() -> impl Strategy<Value = String> {
    let number = mostly(&["0", "1", "15", "007", "30", "1 0"], &["", "-1", "1,5", "٣", "½", "1_0"]);
    let units = &[
        "nanos", "nsec", "ns", "usec", "us", "µs", "millis", "msec", "ms", "seconds", "second", "secs", "sec", "s",
        "minutes", "minute", "mins", "min", "m", "hours", "hour", "hrs", "hr", "h", "days", "day", "d", "weeks",
        "week", "wks", "wk", "w", "months", "month", "M", "years", "year", "yrs", "yr", "y",
    ];
    let unit = mostly(units, &["", "S", "Sec", "mo", "D", "μs", "decades", "mm", "H", "sec.", "nano", "Y"]);
    let whole = (number, one_of(BLANKS), unit).prop_map(|(number, blank, unit)| [number, blank, unit].concat());
    // Of everything but of nanoseconds.
    let parts = mostly(&["1.5", "0.5", "2. 5", "2 .5"], &["1.", ".5", "1..5"]);
    let parts =
        (parts, one_of(&["us", "ms", "s", "min", "h", "d", "wk", "y", "ns"])).prop_map(|(part, unit)| part + &unit);
    let amount = prop_oneof![3 => whole, 1 => parts];
    let part = (amount, one_of(BLANKS)).prop_map(|(amount, blank)| amount + &blank);
    (one_of(BLANKS), prop::collection::vec(part, 0..4)).prop_map(|(before, parts)| before + &parts.concat())
}

fn times() -> impl Strategy<Value = String> {
    let date = (
        mostly(&["1970", "1999", "2026", "9998"], &["1969", "0001", "26", "20260"]),
        mostly(&["-"], &["/"]),
        mostly(&["01", "02", "12", "09"], &["00", "13", "1"]),
        mostly(&["10", "28", "19"], &["00", "32", "5"]),
    );
    let date =
        date.prop_map(|(year, dash, month, day)| [&year, &dash, &month, &dash, &day].map(String::as_str).concat());
    let time = (
        mostly(&["00", "09", "23"], &["24", "1", ""]),
        mostly(&[":00", ":59", ""], &[":60", ":5"]),
        mostly(&[":00", ":59", ":60", ""], &[":61", ":"]),
        mostly(&["", ".5", ",25", ".1234567", ".000000000001"], &["."]),
    );
    let time = time.prop_map(|(a, b, c, d)| [a, b, c, d].concat());
    let offset = mostly(
        &["Z", "z", "+02:00", "-0330", "+02", "-25:59", "+00:00:30", "-000030"],
        &["", "+24:60", "+2", "UTC", "+26:00", "--02", " Z"],
    );
    // The basic form has no `-` in the date, or no `:` in the time.
    let all = (date, mostly(&["T", "t", " "], &["", "_"]), time, offset, one_of(&["", "-", ":"]));
    all.prop_map(|(date, between, time, offset, left_out)| match left_out.as_str() {
        "" => [date, between, time, offset].concat(),
        sign => [date, between, time].concat().replacen(sign, "", 2) + &offset,
    })
}

#[test]
fn durations_are_those_that_are_read() {
    agree::<Span>("/$defs/Poll/properties/overlap", SPAN_DIGITS, spans());
}

#[test]
fn sizes_are_those_that_are_read() {
    let number = mostly(&["0", "1", "64", "0010", "1500"], &["", "-1", "1.5", "٣", "1 0"]);
    let unit = mostly(
        &["B", "b", "kB", "KiB", "kib", "MB", "MiB", "mIb", "GB", "gib", "TB", "TiB"],
        &["", "iB", "K", "Ki", "PB", "BB", "bytes", "MiBs"],
    );
    let sizes = (number, one_of(BLANKS), unit).prop_map(|(a, b, c)| [a, b, c].concat());
    agree::<Size>("/$defs/Poll/properties/max_body_size", SIZE_DIGITS, sizes);
}

#[test]
fn intervals_are_those_that_are_read() {
    let words = mostly(&["auto"], &["Auto", "auto ", "now", ""]);
    agree::<Interval>("/$defs/Poll/properties/interval", SPAN_DIGITS, prop_oneof![spans(), words]);
}

#[test]
fn starts_are_those_that_are_read() {
    let words = mostly(&["now"], &["Now", " now", "auto", ""]);
    agree::<Start>("/$defs/Tenant/properties/start", usize::MAX, prop_oneof![2 => times(), 1 => spans(), 1 => words]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shares_are_those_that_are_read(share in prop_oneof![
        any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()),
        -0.5..1.5,
        select(vec![0.0, -0.0, 1.0, 0.5, 1.000_000_1, f64::MIN_POSITIVE, 1e-9]),
    ]) {
        thread_local!(static SHARES: Judge = Judge::at("/$defs/Quota/properties/share"));
        let is_valid = SHARES.with(|judge| judge.takes(&json!(share)));
        prop_assert_eq!(serde_json::from_value::<Share>(json!(share)).is_ok(), is_valid, "{}", share);
    }
}

#[test]
fn names_are_those_that_are_taken() {
    let judge = Judge::at("/properties/tenants");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.toml");
    let keys = "tenant_id = 'a.example'\ncredential = { kind = 'managed_identity' }\n";
    let table: toml::Table = keys.parse().expect("TOML");
    let letters = prop_oneof!["[a-z0-9_-]{1,8}", "[a-z0-9]{62,66}", "[a-z]{0,3}[A-Zü .]{0,2}"];
    for_each(letters, |name| {
        let mut tenants = toml::Table::new();
        tenants.insert(name.to_owned(), table.clone().into());
        let mut file = toml::Table::new();
        file.insert("tenants".into(), tenants.clone().into());
        std::fs::write(&path, file.to_string()).expect("written");
        let problems = parse(std::slice::from_ref(&path), std::iter::empty()).expect_err("there is no sink");
        let is_name = !problems.0.iter().any(|problem| problem.what == "not a name");
        prop_assert_eq!(judge.takes(&crate::judge::json(&tenants)), is_name, "{:?}", name);
        Ok(())
    });
}
