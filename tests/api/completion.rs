//! Incidents put together from their parts, against the same ones listed whole: the same words, the same hash, and never half.

use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;
use xdrelay::api::completion::{Completion, PAGES_MAX};
use xdrelay::api::graph::ALERTS_TOP;
use xdrelay::model::incident::Row;
use xdrelay::model::page::{AlertsPage, FetchError};
use xdrelay::model::parts::{Parts, elements};

const LINK: &str =
    r#""alerts@odata.nextLink":"https://graph.microsoft.com/v1.0/security/incidents('17')/alerts?$skip=1""#;

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("JSON")
}

fn row(json: &str) -> Row {
    Row::new(raw(json.to_owned()))
}

/// What a server answers that lists these alerts and takes notice of `$top` and `$skip`.
fn page(alerts: &[String], skip: u32) -> AlertsPage {
    let alerts: Vec<_> = alerts.iter().skip(skip as usize).take(ALERTS_TOP as usize).cloned().map(raw).collect();
    AlertsPage { more: alerts.len() == ALERTS_TOP as usize, alerts, repaired: false }
}

/// Completes an incident whose alerts are these when a page of this number is asked for.
fn completed(listed: &str, size_max: u64, alerts: impl Fn(u32) -> Vec<String>) -> Result<Row, FetchError> {
    let mut completion = Completion::of(row(listed), size_max)?;
    let mut pages = 0;
    while let Some(skip) = completion.skip() {
        completion.read(page(&alerts(pages), skip))?;
        pages += 1;
    }
    completion.row()
}

fn alert(number: usize) -> String {
    format!(r##"{{ "id":"da{number}","@odata.type":"#microsoft.graph.security.alert", "evidence":[{number}, 1.50]}}"##)
}

const HEAD: &str = r#""id":"17","lastUpdateDateTime":"2026-11-21T09:30:00.57Z","severity":"high""#;

#[test]
fn the_parts_are_joined_in_place_and_nothing_else_is_touched() {
    let check = |listed: &str, expected: &str| {
        let row = completed(listed, 10_000, |_| vec![r#"{"id" : "b"}"#.into(), "{}".into()]).expect("whole");
        assert_eq!(row.raw.get(), expected, "{listed}");
        assert!(!row.cut && !row.truncated);
    };
    check(r#"{ "id":"17", "x" : 1.10 }"#, r#"{"id":"17","x":1.10,"alerts":[{"id" : "b"},{}]}"#);
    check(
        r#"{"id":"17","alerts":[{"id":"b"}],"alerts@odata.nextLink":"y","alerts@odata.count":2,"z":[ ]}"#,
        r#"{"id":"17","alerts":[{"id" : "b"},{}],"alerts@odata.count":2,"z":[ ]}"#,
    );
    check(r#"{"id":"17","alerts":null}"#, r#"{"id":"17","alerts":[{"id" : "b"},{}]}"#);
    let none = completed(r#"{"id":"17"}"#, 10_000, |_| Vec::new()).expect("whole");
    assert_eq!(none.raw.get(), r#"{"id":"17","alerts":[]}"#);
}

#[test]
fn pages_that_do_not_join_make_no_incident() {
    let all: Vec<_> = (0..250).map(alert).collect();
    let check = |second: Vec<String>, word: &str| {
        let listed = format!("{{{HEAD}}}");
        let error = completed(&listed, 1 << 20, |page| if page == 0 { all.clone() } else { second.clone() });
        match error {
            Err(FetchError::Unavailable { after: None, why }) => assert!(why.contains(word), "{why}"),
            other => panic!("{word}: {other:?}"),
        }
    };
    check(all[1..].to_vec(), "moved");
    check([&all[..50], &all[51..]].concat(), "moved");
    check([&[alert(999)], &all[..]].concat(), "moved");
    check(all[..99].to_vec(), "moved");
    check([&all[..150], &[alert(7)], &all[150..]].concat(), "two pages");
}

#[test]
fn a_server_that_skips_nothing_or_never_ends_is_found_out() {
    let all: Vec<_> = (0..100).map(alert).collect();
    let mut completion = Completion::of(row(r#"{"id":"17"}"#), 1 << 20).expect("an id");
    completion.read(page(&all, 0)).expect("the first page");
    // It takes no notice of `$skip`.
    completion.read(page(&all, 0)).expect_err("the same page");
    let mut completion = Completion::of(row(r#"{"id":"17"}"#), 1 << 20).expect("an id");
    completion.read(AlertsPage { more: true, ..AlertsPage::default() }).expect_err("nothing, and more of it");
    let mut completion = Completion::of(row(r#"{"id":"17"}"#), 1 << 30).expect("an id");
    let (mut pages, mut first) = (0, 0);
    while completion.skip().is_some() {
        let alerts = (first..first + 100).map(|number| raw(alert(number))).collect();
        completion.read(AlertsPage { alerts, more: true, repaired: false }).expect("it joins");
        (pages, first) = (pages + 1, first + 99);
    }
    assert_eq!(pages, PAGES_MAX);
    assert!(completion.row().expect("a stub").truncated);
}

/// Completes an incident of ten alerts where a page has so many at most and nobody says that there are more. With the number of calls.
fn completed_in_silence(listed: &str, page_max: usize) -> (Result<Row, FetchError>, u32) {
    let all: Vec<_> = (0..10).map(alert).collect();
    let mut completion = Completion::of(row(listed), 1 << 20).expect("an id");
    let mut calls = 0;
    while let Some(skip) = completion.skip() {
        calls += 1;
        let alerts = all.iter().skip(skip as usize).take(page_max).cloned().map(raw).collect();
        if let Err(error) = completion.read(AlertsPage { alerts, ..AlertsPage::default() }) {
            return (Err(error), calls);
        }
    }
    (completion.row(), calls)
}

#[test]
fn a_short_page_is_not_the_end_where_there_may_be_more() {
    let check = |listed: String, page_max: usize, expected: (usize, u32)| {
        let (completed, calls) = completed_in_silence(&listed, page_max);
        let completed = completed.expect(&listed);
        let parts = Parts::of(completed.raw.get()).expect("an object");
        assert_eq!((elements(parts.get("alerts")).len(), calls), expected, "{listed}");
    };
    let listing = |alerts: &[usize]| alerts.iter().copied().map(alert).collect::<Vec<_>>().join(",");
    // The list cut it: the end is confirmed.
    check(format!("{{{HEAD},\"alerts\":[{}],{LINK}}}", listing(&[0, 1, 2, 3, 4])), 3, (10, 6));
    check(format!("{{{HEAD},\"alerts\":[],{LINK}}}"), 3, (10, 6));
    check(format!("{{{HEAD},\"alerts\":[],{LINK}}}"), 100, (10, 2));
    // The list showed one that has not come.
    check(format!("{{{HEAD},\"alerts\":[{}]}}", listing(&[7])), 3, (10, 6));
    // It said nothing, and ten are many.
    check(format!("{{{HEAD}}}"), 100, (10, 2));
    // Nothing speaks of more.
    check(format!("{{{HEAD},\"alerts\":[{}]}}", listing(&[0, 1, 2])), 3, (3, 1));
}

#[test]
fn an_incident_without_an_alert_that_the_list_showed_is_not_whole() {
    let check = |page_max: usize| {
        let (completed, _) = completed_in_silence(&format!("{{{HEAD},\"alerts\":[{}]}}", alert(99)), page_max);
        match completed {
            Err(FetchError::Unavailable { after: None, why }) => assert!(why.contains("was listed with it"), "{why}"),
            other => panic!("{other:?}"),
        }
    };
    check(3);
    check(100);
    check(0);
}

#[test]
fn an_end_that_cannot_be_confirmed_is_one_unless_something_is_missing() {
    let check = |listed: usize, is_whole: bool| {
        let listed = format!("{{{HEAD},\"alerts\":[{}],{LINK}}}", alert(listed));
        let mut completion = Completion::of(row(&listed), 1 << 20).expect("an id");
        assert!(!completion.is_confirming());
        completion.read(page(&[alert(1)], 0)).expect("it joins");
        assert!(completion.is_confirming());
        assert_eq!(completion.cannot_be_confirmed().is_ok(), is_whole);
        assert_eq!(completion.row().is_ok(), is_whole);
    };
    check(1, true);
    check(2, false);
}

#[test]
fn what_gets_too_large_is_a_stub_and_read_no_further() {
    let all: Vec<_> = (0..250).map(alert).collect();
    let whole = completed(&format!("{{{HEAD}}}"), 1 << 20, |_| all.clone()).expect("whole");
    let size = whole.raw.get().len() as u64;
    let fits = completed(&format!("{{{HEAD}}}"), size, |_| all.clone()).expect("whole");
    assert_eq!((fits.raw.get(), fits.truncated), (whole.raw.get(), false));
    let stub = completed(&format!("{{{HEAD}}}"), size - 1, |_| all.clone()).expect("a stub");
    let text = format!(r#"{{"id":"17","lastUpdateDateTime":"2026-11-21T09:30:00.57Z","size":{size}}}"#);
    assert_eq!((stub.raw.get(), stub.truncated, stub.lists.is_none()), (text.as_str(), true, true));
    assert_eq!(stub.head, whole.head, "what it says of itself is still known");
    // Whichever alerts came first, it is the same stub: nothing is told twice.
    let other = completed(&format!("{{{HEAD}}}"), size / 2, |_| all.iter().rev().cloned().collect()).expect("a stub");
    assert_eq!(other.hash, stub.hash);
    let cut = format!("{{{HEAD},\"alerts\":[{}],{LINK}}}", alert(3));
    assert_eq!(completed(&cut, size / 2, |_| all.clone()).expect("a stub").hash, stub.hash);
    let mut completion = Completion::of(row(&format!("{{{HEAD}}}")), 1000).expect("an id");
    completion.page_is_too_large();
    assert_eq!(completion.skip(), None);
    assert_eq!(completion.row().expect("a stub").hash, stub.hash);
}

#[test]
fn what_cannot_be_completed_is_never_whole() {
    let check = |listed: &str, word: &str| {
        let error = completed(listed, 1000, |_| Vec::new()).expect_err(listed);
        assert!(matches!(&error, FetchError::Garbled { why } if why.contains(word)), "{error}");
    };
    check(r#"{"lastUpdateDateTime":"2026-11-21T09:30:00.57Z"}"#, "incidentId is missing");
    check("[1]", "members");
    // It says that it is cut in letters that are not cut out.
    check(r#"{"id":"17","alerts\u0040odata.nextLink":"x"}"#, "cut");
    let unread = Completion::of(row(r#"{"id":"17"}"#), 1000).expect("an id");
    unread.row().expect_err("nothing was read");
    let repaired = Row { repaired: true, ..row(r#"{"id":"17"}"#) };
    let mut completion = Completion::of(repaired, 1000).expect("an id");
    completion.read(AlertsPage::default()).expect("none");
    assert!(completion.row().expect("whole").repaired);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(|number| serde_json::json!(number)),
        "[a-c\",\\\\\u{e9}\\[\\]{}]{0,6}".prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key = prop_oneof!["[a-d@]{1,3}", Just("riskScore".to_owned()), Just("@odata.type".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The members of an incident beside its id, and its alerts.
fn incident() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    let members = prop::collection::btree_map("[e-k]{1,5}", value(), 0..6).prop_map(|members| {
        let text = |(name, value): (String, Value)| format!("{name:?} :\n{value:#}");
        members.into_iter().map(text).collect::<Vec<_>>()
    });
    let alerts = prop::collection::vec(value(), 0..260).prop_map(|values| {
        let text = |(number, value): (usize, Value)| format!("{{\"id\": \"a{number}\",  \"x\":{value:#}}}");
        values.into_iter().enumerate().map(text).collect::<Vec<_>>()
    });
    (members, alerts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_incident_of_parts_is_the_one_that_is_listed_whole(
        (members, alerts) in incident(), place in any::<prop::sample::Index>(), kept in any::<prop::sample::Index>(), apart in any::<bool>(),
    ) {
        let with = |more: &[String]| {
            let mut all = members.clone();
            let place = place.index(all.len() + 1);
            all.splice(place..place, more.iter().cloned());
            format!("{{{HEAD}, {}}}", [all, vec!["\"z\": 0".to_owned()]].concat().join(" , "))
        };
        let whole = row(&with(&[format!("\"alerts@odata.context\":\"c\",\"alerts\" : [{}]", alerts.join("\n,"))]));
        let listed = match apart {
            true => with(&[]),
            false => {
                let some = alerts[..kept.index(alerts.len() + 1)].join(",");
                with(&[format!("\"alerts@odata.count\":{}", alerts.len()), format!("\"alerts\":[{some}]"), LINK.to_owned()])
            }
        };
        let row = completed(&listed, 1 << 24, |_| alerts.clone()).expect("whole");
        prop_assert_eq!(row.hash, whole.hash);
        prop_assert_eq!(&row.lists, &whole.lists);
        prop_assert_eq!(&row.head, &whole.head);
        prop_assert!(!row.cut && !row.truncated && !row.repaired);
        let parts = Parts::of(row.raw.get()).expect("an object");
        prop_assert_eq!(elements(parts.get("alerts")), alerts.iter().map(String::as_str).collect::<Vec<_>>());
        let ours = parts.without(&["alerts", "alerts@odata.count"]).text();
        let theirs = Parts::of(whole.raw.get()).expect("an object").without(&["alerts", "alerts@odata.context"]).text();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn a_change_between_two_pages_is_read_or_found_out(count in 0usize..260, place in any::<prop::sample::Index>(), adds in any::<bool>(), when in 0u32..3) {
        let before: Vec<_> = (0..count).map(alert).collect();
        let mut after = before.clone();
        match adds {
            true => after.insert(place.index(count + 1), alert(999)),
            false if 0 < count => { after.remove(place.index(count)); }
            false => {}
        }
        let outcome = completed(&format!("{{{HEAD}}}"), 1 << 24, |page| if page < when { before.clone() } else { after.clone() });
        if let Ok(row) = outcome {
            let parts = Parts::of(row.raw.get()).expect("an object");
            let read: Vec<_> = elements(parts.get("alerts")).into_iter().map(str::to_owned).collect();
            prop_assert!(read == before || read == after, "{} alerts", read.len());
        }
    }
}
