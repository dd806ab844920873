//! Times: whatever is read is read to the tick, written and read again the same, and ordered by its ticks. Held against the
//! parser of jiff, which is asked about the whole text here and only about whole seconds in the program.

use xdrelay::model::timestamp::Timestamp;

use crate::input::Input;

/// 9999-12-30T21:59:59.9999999Z, the last tick that jiff has a date for.
const LAST: u64 = 253_402_207_199 * 10_000_000 + 9_999_999;

/// Lines are texts of times; the first sixteen bytes are two numbers of ticks as well.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    ticks_in_every_spelling(input.number() % (LAST + 1), input.number() % (LAST + 1));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let times: Vec<Timestamp> = text.lines().take(8).filter_map(read).collect();
    for pair in times.windows(2) {
        ordered(pair[0], pair[1]);
    }
}

fn read(text: &str) -> Option<Timestamp> {
    let reckoned = reckoned(text);
    let Ok(time) = text.parse::<Timestamp>() else {
        let usual = is_usual(text) && reckoned.is_some_and(|ticks| 0 <= ticks);
        assert!(!usual, "{text:?} was not taken for a time");
        return None;
    };
    assert_eq!(reckoned, Some(i128::from(time.ticks())), "{text:?} was read as {time}");
    written(time);
    Some(time)
}

/// Ticks as jiff reckons them. It knows nine digits; what is beyond them is cut here.
fn reckoned(text: &str) -> Option<i128> {
    let mut digits = 0;
    let mut in_fraction = false;
    let kept: String = text
        .chars()
        .filter(|c| {
            in_fraction = matches!(c, '.' | ',') || (in_fraction && c.is_ascii_digit());
            digits = if in_fraction { digits + 1 } else { 0 };
            digits <= 10
        })
        .collect();
    let time: jiff::Timestamp = kept.parse().ok()?;
    Some(time.as_nanosecond().div_euclid(100))
}

/// RFC 3339 as the API writes it: `2026-11-21T10:00:00.1234567Z`, with any number of digits or none.
fn is_usual(text: &str) -> bool {
    let shape = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
    let Some((whole, rest)) = text.split_at_checked(19) else { return false };
    let Some(digits) = rest.strip_suffix('Z') else { return false };
    let fraction = digits.is_empty() || digits.strip_prefix('.').is_some_and(|digits| !digits.is_empty());
    shape(whole) == "0000-00-00T00:00:00" && fraction && digits.bytes().skip(1).all(|byte| byte.is_ascii_digit())
}

fn written(time: Timestamp) {
    assert_eq!(time.to_string().parse(), Ok(time), "{time} is not read back");
    let micros: Timestamp = time.to_micros_text().parse().expect("our own text");
    assert_eq!(micros.ticks(), time.ticks() / 10 * 10, "{time} with six digits");
    assert_eq!(time.floor_to_second().ticks(), time.ticks() / 10_000_000 * 10_000_000);
}

/// All seven digits, fewer where they are zeros, as .NET cuts them, and more.
fn ticks_in_every_spelling(ticks: u64, other: u64) {
    let (time, other) = (Timestamp::from_ticks(ticks), Timestamp::from_ticks(other));
    written(time);
    let whole = time.to_string();
    let plain = whole.trim_end_matches('Z');
    let trimmed = plain.trim_end_matches('0').trim_end_matches('.');
    for text in [format!("{trimmed}Z"), format!("{plain}99Z"), format!("{plain}000000000000+00:00")] {
        assert_eq!(text.parse(), Ok(time), "{text:?}");
    }
    ordered(time, other);
}

/// Our own texts are as long as one another, so they sort as the ticks do.
fn ordered(left: Timestamp, right: Timestamp) {
    let order = left.ticks().cmp(&right.ticks());
    assert_eq!(left.cmp(&right), order);
    assert_eq!(left.to_string().cmp(&right.to_string()), order, "{left} {right}");
    assert_eq!(left.since(right).is_zero(), left <= right);
}
