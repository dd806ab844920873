//! What one sink's settings make of the events: a filter that sees transitions, parts, a size, numbers without a gap. All of it
//! held against what a sink without settings got.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::harness::{Daemon, Place, QUICK, lively, wait_for};

/// The lines of a file sink; one that is being written is left out.
fn lines(place: &Place, name: &str) -> Vec<Value> {
    let text = place.text(&format!("{name}.ndjson"));
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect()
}

fn id(event: &Value) -> &str {
    event["event_id"].as_str().expect("an id")
}

fn is_high(severity: &Value) -> bool {
    severity.as_str().is_some_and(|severity| severity.eq_ignore_ascii_case("high"))
}

/// What a filter for high incidents should let through, by the plain events: the id, and the transition.
fn wanted(all: &[Value]) -> BTreeMap<String, Option<&'static str>> {
    let mut wanted = BTreeMap::new();
    for event in all {
        let is = is_high(&event["incident"]["severity"]);
        let changes = event["changes"].as_array().expect("changes");
        let change = changes.iter().find(|change| change["field"] == "severity");
        let was = change.map_or(is, |change| is_high(&change["from"]));
        let passage = match (was, is) {
            (false, false) => continue,
            (true, true) => None,
            (false, true) => Some("entered"),
            (true, false) => Some("left"),
        };
        wanted.insert(id(event).to_owned(), passage);
    }
    wanted
}

fn check_filter(all: &[Value], high: &[Value]) {
    let wanted = wanted(all);
    let mut numbers = BTreeMap::new();
    for event in high {
        let passage = wanted.get(id(event)).unwrap_or_else(|| panic!("{} should not have passed", id(event)));
        assert_eq!(event.get("filter").and_then(Value::as_str), *passage, "{}", id(event));
        if *passage == Some("entered") {
            assert_eq!(event["kind"], "created", "{}", id(event));
        }
        let number = event["sink_sequence"].as_u64().expect("a number");
        assert_eq!(*numbers.entry(id(event).to_owned()).or_insert(number), number, "a repetition keeps its number");
    }
    assert_eq!(numbers.len(), wanted.len(), "everything that was to pass has passed");
    let numbers: BTreeSet<u64> = numbers.into_values().collect();
    assert_eq!(numbers, (1..=wanted.len() as u64).collect(), "without a gap");
}

/// What the changes of alerts say, held against the alerts of the same incident's event before.
fn check_changes(all: &[Value]) {
    let ids = |event: &Value| -> BTreeMap<String, String> {
        let alerts = event["incident"]["alerts"].as_array().expect("alerts").iter();
        alerts.map(|alert| (alert["alertId"].as_str().expect("an id").to_owned(), alert.to_string())).collect()
    };
    let mut before: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let (mut seen, mut compared) = (BTreeSet::new(), 0);
    for event in all.iter().filter(|event| seen.insert(id(event).to_owned())) {
        let now = ids(event);
        let incident = event["incident"]["incidentId"].to_string();
        let Some(was) = before.insert(incident, now.clone()) else { continue };
        let change = event["changes"].as_array().expect("changes").iter().find(|change| change["field"] == "alerts");
        let named = |list: &str| -> BTreeSet<String> {
            let list = change.and_then(|change| change[list].as_array());
            list.into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
        };
        let expected = |from: &BTreeMap<String, String>, to: &BTreeMap<String, String>| -> BTreeSet<String> {
            to.keys().filter(|id| !from.contains_key(*id)).cloned().collect()
        };
        if change.is_some_and(|change| change.get("from").is_some()) {
            continue;
        }
        assert_eq!(named("added"), expected(&was, &now), "{}", id(event));
        assert_eq!(named("removed"), expected(&now, &was), "{}", id(event));
        // Members that change by themselves are none of this, so only what is said is held against what is there.
        for changed in named("changed") {
            assert_ne!(was.get(&changed), now.get(&changed), "{}: {changed}", id(event));
        }
        compared += usize::from(!named("added").is_empty());
    }
    assert!(0 < compared, "no alert was added to any incident: that proves nothing");
}

fn check_parts(all: &[Value], parts: &[Value]) {
    let mut by_event: BTreeMap<&str, BTreeMap<u64, &Value>> = BTreeMap::new();
    for part in parts {
        let whole = id(part).split('#').next().expect("an id");
        let number = part["part"]["number"].as_u64().expect("a number");
        by_event.entry(whole).or_default().insert(number, part);
    }
    for event in all {
        let parts = by_event.get(id(event)).unwrap_or_else(|| panic!("{} has no part", id(event)));
        let of = parts.values().next().expect("a part")["part"]["of"].as_u64();
        assert_eq!(of, Some(parts.len() as u64), "{}", id(event));
        let alerts: Vec<&Value> =
            parts.values().flat_map(|part| part["incident"]["alerts"].as_array().expect("alerts")).collect();
        let changes = event["changes"].as_array().expect("changes");
        let change = changes.iter().find(|change| change["field"] == "alerts");
        let named = |alert: &Value| {
            let is = |list: &str| {
                let list = change.and_then(|change| change[list].as_array());
                list.is_some_and(|list| list.contains(&alert["alertId"]))
            };
            is("added") || is("changed")
        };
        let expected = event["incident"]["alerts"].as_array().expect("alerts").iter();
        let expected: Vec<&Value> = match change {
            Some(change) if change.get("from").is_none() => expected.filter(|alert| named(alert)).collect(),
            Some(_) => expected.collect(),
            None if event["kind"] == "created" || event["first_seen"] == true => expected.collect(),
            None => Vec::new(),
        };
        assert_eq!(alerts, expected, "{}", id(event));
    }
}

fn check_size(all: &[Value], small: &[Value], limit: usize) {
    let mut reduced = 0;
    let whole: BTreeMap<&str, &Value> = all.iter().map(|event| (id(event), event)).collect();
    for event in small {
        let whole = whole.get(id(event)).expect("everybody gets everything");
        assert!(event.to_string().len() <= limit + 64, "{} B", event.to_string().len());
        assert_eq!(event["incident"]["incidentId"], whole["incident"]["incidentId"]);
        match event.get("original") {
            None => assert_eq!(event["incident"], whole["incident"]),
            Some(original) => {
                assert!(
                    event["truncated"] == true && limit < original["size"].as_u64().expect("a size") as usize + 600
                );
                reduced += 1;
            }
        }
    }
    assert!(0 < reduced, "nothing was reduced: the limit proves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sink_gets_the_events_as_its_settings_say_across_a_kill() {
    let (place, sandbox) = (Place::new(), lively().await);
    let sink = |name: &str, keys: &str| place.file_sink(name).trim_end().to_owned() + "\n" + keys + "\n\n";
    let tables = [
        QUICK,
        &place.tenant("contoso", &sandbox),
        &place.file_sink("all"),
        &sink("high", "filter = { min_severity = \"high\" }"),
        &sink("parts", "split = \"alerts\""),
        &sink("small", "max_event_size = \"2 KiB\""),
    ];
    place.configure(&tables);
    let changed_alerts = || {
        let lists = |event: &Value| {
            event["changes"].as_array().is_some_and(|list| list.iter().any(|change| change["added"][0].is_string()))
        };
        lines(&place, "all").iter().any(lists)
    };
    let daemon = Daemon::start(&place);
    wait_for("events in each file", || {
        ["all", "high", "parts", "small"].iter().all(|name| 3 < lines(&place, name).len())
    });
    daemon.kill();
    let before = lines(&place, "all").len();
    let daemon = Daemon::start(&place);
    wait_for("more events, alerts that changed among them", || {
        before + 60 < lines(&place, "all").len() && changed_alerts()
    });
    let passed = || {
        let entered = lines(&place, "high").iter().any(|event| event["filter"] == "entered");
        entered && 8 < lines(&place, "high").len()
    };
    wait_for("an incident that rises to the filter", passed);
    sandbox.settings().live = None;
    wait_for("everything to be delivered", || {
        let all = lines(&place, "all");
        let ids: BTreeSet<&str> = all.iter().map(id).collect();
        let of = |name: &str| lines(&place, name);
        let (parts, small, high) = (of("parts"), of("small"), of("high"));
        let parts: BTreeSet<&str> = parts.iter().filter_map(|part| id(part).split('#').next()).collect();
        let small: BTreeSet<&str> = small.iter().map(id).collect();
        let high: BTreeSet<&str> = high.iter().map(id).collect();
        ids == small && ids == parts && high.len() == wanted(&all).len()
    });
    assert_eq!(daemon.stop("TERM"), 0);
    let all = lines(&place, "all");
    check_changes(&all);
    check_filter(&all, &lines(&place, "high"));
    check_parts(&all, &lines(&place, "parts"));
    check_size(&all, &lines(&place, "small"), 2 << 10);
}
