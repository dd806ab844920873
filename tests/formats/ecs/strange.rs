//! Incidents with the members of real ones and anything at all in them. No test is in here.

use proptest::prelude::*;
use serde_json::Value;

/// What becomes an escape for half a surrogate pair, which no string of ours can hold.
const HALF: &str = "HALF-A-PAIR";

/// An incident as the API would write it, in either dialect: every text in it is another, some are no text any more.
pub(crate) fn strange_incident() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["defender_padded", "graph", "defender_sparse", "graph_sparse", "redirected"]);
    (name, prop::collection::vec(strange_value(), 24), any::<usize>()).prop_map(|(name, values, from)| {
        let path = format!("{}/testdata/incidents/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let mut incident: Value = serde_json::from_slice(&std::fs::read(path).expect("an incident")).expect("JSON");
        let mut next = values.iter().cycle().skip(from % values.len());
        replace(&mut incident, &mut next);
        incident.to_string().replace(HALF, "\\ud800")
    })
}

/// What is null gets something too: it is where a member stands that is seldom there.
fn replace<'a>(value: &mut Value, next: &mut impl Iterator<Item = &'a Value>) {
    match value {
        Value::String(text) if text.starts_with("#microsoft.graph.security.") => {}
        Value::String(_) | Value::Null => value.clone_from(next.next().expect("it is a cycle")),
        Value::Array(elements) => elements.iter_mut().for_each(|element| replace(element, next)),
        Value::Object(members) => {
            // Without its type an entity would never be any in particular.
            members.iter_mut().filter(|(name, _)| *name != "entityType").for_each(|(_, value)| replace(value, next));
        }
        Value::Bool(_) | Value::Number(_) => {}
    }
}

fn strange_value() -> impl Strategy<Value = Value> {
    let known = prop::sample::select(vec![
        "",
        " ",
        "null",
        "High",
        "Malware",
        "phishing",
        "apt",
        "Execution",
        "T1059.001",
        "T1059",
        "203.0.113.7",
        "2001:db8::1",
        "203.0.113.7 ",
        "2026-11-20T08:12:31.4666667Z",
        "2026-11-20T08:12:31+05:30",
        "9999-12-31T23:59:59.9999999Z",
        "0001-01-01T00:00:00Z",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "https://a.example.net/b?c=d#e",
        "http://",
        "\r\n{\"forged\":1}",
        "\u{0}\u{85}\u{2028}\u{202e}",
        HALF,
    ]);
    let any_text =
        prop::collection::vec(any::<char>(), 0..40).prop_map(|characters| characters.into_iter().collect::<String>());
    prop_oneof![
        6 => any_text.prop_map(Value::String),
        6 => known.prop_map(|text| Value::String(text.to_owned())),
        1 => (900usize..9000).prop_map(|length| Value::String("aé😀".chars().cycle().take(length).collect())),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => Just(Value::Array(vec![Value::Null, Value::String("x".into())])),
        1 => Just(serde_json::json!({"x": 1})),
    ]
}
