//! Our query strings, judged by OData parsers that nobody here wrote (npm, pinned in `tests/odata/`). The sandbox's own
//! opinion must agree with theirs, or it would teach us to send what a real server refuses.

#[path = "receivers/npm.rs"]
mod npm;
#[path = "receivers/skipped.rs"]
mod skipped;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use skipped::skipped;
use xdrelay::api::{defender, graph};
use xdrelay::model::dialect::Dialect;
use xdrelay::model::names::IncidentId;
use xdrelay::model::page::{Alerts, Query, Window};
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::query::{ListQuery, Taste};

fn asked() -> Vec<Query> {
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    let from = ["1970-01-01T00:00:00Z", "2026-11-21T00:00:00.1234567Z", "2026-02-28T23:59:59.9999999Z"];
    let to = [None, Some("2026-11-21T01:00:00Z"), Some("2026-12-31T23:59:59.1Z")];
    let windows = from.iter().flat_map(|from| to.iter().map(|to| Window { from: time(from), to: to.map(time) }));
    windows
        .flat_map(|window| {
            let created = Window { from: window.from, to: Some(time("2027-01-01T00:00:00Z")) };
            [(0, 1), (95, 100), (19_995, 100)].map(|(skip, top)| Query {
                window,
                created: (top == 100 && skip == 95).then_some(created),
                skip,
                top,
                alerts: Alerts::Within,
            })
        })
        .collect()
}

/// What the source sends: every shape that a dialect builds.
fn queries(dialect: Dialect) -> Vec<String> {
    match dialect {
        Dialect::Defender => asked().iter().map(defender::list_query).collect(),
        Dialect::Graph => {
            let list = asked().into_iter().flat_map(|query| [query, Query { alerts: Alerts::Apart, ..query }]);
            list.map(|query| graph::list_query(&query)).chain(other_queries_of_graph()).collect()
        }
    }
}

/// Those of single incidents and of their alerts.
fn other_queries_of_graph() -> Vec<String> {
    let (base, id) = ("https://graph.example.net".parse().expect("a URL"), IncidentId::new("17"));
    let urls = [graph::incident_url(&base, &id), graph::alerts_url(&base, &id, 0), graph::alerts_url(&base, &id, 99)];
    urls.into_iter().flatten().filter_map(|url| url.query().map(str::to_owned)).collect()
}

/// What nobody may take: proof that the judges judge.
const REFUSED: [&str; 10] = [
    "$filter=lastUpdateTime+ge+2026-11-21T00:00:00Z",
    "$filter=lastUpdateTime%20gte%202026-11-21T00:00:00Z",
    "$filter=lastUpdateTime%20ge%202026-11-21T00:00:00",
    "$filter=lastUpdateTime%20ge%202026-13-41T00:00:00Z",
    "$filter=lastUpdateTime%20ge",
    "$filter=lastUpdateTime%20ge%202026-11-21T00:00:00Z%20and",
    "$filter=lastUpdateTime%20ge%20datetime'2026-11-21T00:00:00'",
    "$filter=status%20eq%20'Active",
    "$top=abc",
    "$skip=x",
];

/// One line of verdicts for each query.
fn judged(place: &Path, queries: &[String]) -> Result<Vec<String>, String> {
    let mut node = Command::new("node")
        .arg("judge.cjs")
        .current_dir(place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("node cannot be run: {error}; install Node.js 20 or newer"))?;
    let mut input = node.stdin.take().expect("it is piped");
    // A few lines: they fit into the pipe before anything is read.
    input.write_all((queries.join("\n") + "\n").as_bytes()).map_err(|error| error.to_string())?;
    drop(input);
    let output = node.wait_with_output().map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn taken_by_the_sandbox(query: &str) -> bool {
    let strict = Taste { top_max: 100, skip_max: None, refuses_lt: false, plus_is_space: false };
    ListQuery::parse(query, strict).is_ok()
}

#[test]
fn our_queries_are_odata_to_others() {
    let ours = Dialect::ALL.map(queries).concat();
    let refused = REFUSED.map(str::to_owned);
    let verdicts =
        npm::installed("odata", &["judge.cjs"]).and_then(|place| judged(&place, &[&ours[..], &refused[..]].concat()));
    let verdicts = match verdicts {
        Ok(verdicts) => verdicts,
        Err(why) => {
            skipped::<()>(&format!("no third-party OData parser judged the query strings: {why}"));
            return;
        }
    };
    assert_eq!(verdicts.len(), ours.len() + refused.len(), "one line of verdicts for each query: {verdicts:?}");
    for (query, verdict) in ours.iter().zip(&verdicts) {
        assert_eq!(verdict, "odata-v4-parser:OK @odata/parser:OK", "{query}");
    }
    for (query, verdict) in refused.iter().zip(&verdicts[ours.len()..]) {
        assert_eq!(verdict, "odata-v4-parser:REJECT @odata/parser:REJECT", "{query}");
    }
}

#[test]
fn the_sandbox_agrees_with_the_judges() {
    for query in queries(Dialect::Defender) {
        assert!(taken_by_the_sandbox(&query), "the sandbox refuses {query}");
    }
    for query in REFUSED {
        assert!(!taken_by_the_sandbox(query), "the sandbox takes {query}");
    }
}
