//! Graph's dialect: names, pages, links, words of refusal, and what it shares with Defender's and what not.

use std::collections::BTreeSet;

use serde_json::Value;
use xdrelay::model::dialect::Dialect;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::{Fault, Missing};
use xdrelay::sandbox::incident::IncidentNumber;
use xdrelay::sandbox::settings::{Graph, Limits, NextLink, QuotaWords, Quotas, RetryAfter, Settings};
use xdrelay::sandbox::stamp::Trimmed;

use crate::client::{Visitor, heard};

fn unlimited() -> Settings {
    Settings { quotas: Quotas::lifted(), ..Settings::default() }
}

fn with(graph: Graph) -> Settings {
    Settings { graph, ..unlimited() }
}

/// The link to the next page, if there is one.
fn next_link(json: &Value) -> Option<&str> {
    json.get("@odata.nextLink").map(|link| link.as_str().expect("a text"))
}

#[tokio::test]
async fn the_same_world_is_told_in_both_dialects() {
    let mut visitor = Visitor::with(20, unlimited()).await;
    let defender = visitor.list("").await.ids();
    let one = visitor.ask(&format!("api/incidents/{}", defender[3])).await.expect("an answer").json();
    visitor.sign_in_at_graph().await;
    assert_eq!(visitor.graph("").await.ids(), defender);
    let bare = visitor.graph(&format!("/{}", defender[3])).await.json();
    assert_eq!(bare["id"].as_str().expect("a text"), defender[3].to_string());
    for (graph, defender) in [
        ("displayName", "incidentName"),
        ("createdDateTime", "createdTime"),
        ("lastUpdateDateTime", "lastUpdateTime"),
        ("redirectIncidentId", "redirectIncidentId"),
        ("assignedTo", "assignedTo"),
    ] {
        assert_eq!(bare[graph], one[defender], "{graph}");
    }
    assert!(bare.get("alerts").is_none(), "{bare}");
    assert_eq!((bare["classification"].as_str(), bare["status"].as_str()), (Some("unknown"), Some("active")));
    let url = bare["incidentWebUrl"].as_str().expect("a text");
    assert!(url.contains(&format!("/incident2/{}/overview?tid=", defender[3])), "{url}");
    let whole = visitor.graph(&format!("/{}?$expand=alerts", defender[3])).await.json();
    let listed = visitor.graph("?$expand=alerts").await.json();
    assert_eq!(listed["value"][3]["alerts"], whole["alerts"]);
    let apart = visitor.graph(&format!("/{}/alerts", defender[3])).await.json();
    assert_eq!(apart["value"], whole["alerts"]);
    assert_eq!(whole["alerts"].as_array().map(Vec::len), one["alerts"].as_array().map(Vec::len));
    let evidence = whole["alerts"][0]["evidence"].as_array().expect("a list");
    assert!(
        evidence.iter().all(|e| e["@odata.type"].as_str().expect("a type").starts_with("#microsoft.graph.security."))
    );
}

/// The names of the members of an object, and of those in it.
fn names(of: &Value, path: &str, into: &mut BTreeSet<String>) {
    match of {
        Value::Object(members) => {
            let kind = members.get("@odata.type").and_then(Value::as_str).unwrap_or_default();
            let path = format!("{path}{}", kind.trim_start_matches("#microsoft.graph.security."));
            for (name, value) in members {
                into.insert(format!("{path}.{name}"));
                names(value, &format!("{path}.{name}"), into);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| names(element, path, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn names_are_those_of_the_record_of_tests() {
    let visitor = Visitor::at_graph(40, unlimited()).await;
    let listed = visitor.graph("?$expand=alerts").await.json();
    let (mut served, mut recorded) = (BTreeSet::new(), BTreeSet::new());
    names(&listed["value"], "", &mut served);
    let record = include_str!("../../testdata/incidents/graph.json");
    let mut record: Value = serde_json::from_str(record).expect("JSON");
    // The type of what has only one is not written.
    record.as_object_mut().expect("an object").remove("@odata.type");
    for alert in record["alerts"].as_array_mut().expect("a list") {
        alert.as_object_mut().expect("an object").remove("@odata.type");
    }
    names(&record, "", &mut recorded);
    let missing: Vec<_> = recorded.difference(&served).collect();
    let without = ["loggedOnUsers.accountName", "loggedOnUsers.domainName", ".userAccount.", "comments."];
    let missing: Vec<_> = missing.into_iter().filter(|name| !without.iter().any(|part| name.contains(part))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn pages_are_bounded_and_linked() {
    let visitor = Visitor::at_graph(120, unlimited()).await;
    let all: Vec<u64> = (40_961..40_961 + 120).rev().collect();
    let (mut ids, mut pages, mut rest) = (Vec::new(), 0, "?$count=true".to_owned());
    loop {
        let page = visitor.graph(&rest).await;
        ids.extend(page.ids());
        pages += 1;
        let json = page.json();
        assert_eq!(json["@odata.count"], 120);
        let Some(link) = next_link(&json) else { break };
        let list = visitor.sandbox.url().join("v1.0/security/incidents").expect("a URL");
        rest = link.strip_prefix(list.as_str()).unwrap_or_else(|| panic!("{link}")).to_owned();
    }
    assert_eq!((ids, pages), (all, 3));
    visitor.sandbox.settings().graph.next_link = NextLink::Missing;
    assert_eq!(next_link(&visitor.graph("").await.json()), None);
    visitor.sandbox.settings().graph.next_link = NextLink::Foreign("https://elsewhere.example".into());
    let json = visitor.graph("?$top=7&$skip=3").await.json();
    assert_eq!(next_link(&json), Some("https://elsewhere.example/v1.0/security/incidents?$top=7&$skip=10"));
    assert_eq!(next_link(&visitor.graph("?$skip=100").await.json()), None);
}

#[tokio::test]
async fn what_is_too_much_is_refused_in_graph_s_words() {
    let visitor = Visitor::at_graph(3, unlimited()).await;
    let check = async |rest: &str, words: &str| {
        let answer = visitor.graph(rest).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some("BadRequest")), "{rest}");
        assert!(answer.message().contains(words), "{rest}: {}", answer.message());
        assert!(answer.json()["error"]["innerError"]["request-id"].is_string());
    };
    let limit = "The query specified in the URI is not valid. The limit of '50' for Top query has been exceeded. The value from the incoming request is '51'.";
    check("?$top=51", limit).await;
    check("?$skip=501", "The limit of '500' for Skip query has been exceeded.").await;
    check("?$orderby=lastUpdateDateTime", "'$orderby' is not allowed").await;
    check("?$expand=evidence", "Could not find a property named 'evidence'").await;
    check("?$filter=lastUpdateTime ge 2026-01-01T00:00:00Z", "on type 'microsoft.graph.security.incident'").await;
    check("?$filter=lastUpdateDateTime ge '2026-01-01T00:00:00Z'", "incompatible types").await;
    check("/40961/alerts?$top=101", "The limit of '100' for Top query").await;
    let unknown = visitor.graph("/1").await;
    assert_eq!(
        (unknown.status, visitor.graph("/1/alerts").await.status, visitor.graph("/x").await.status),
        (404, 404, 404)
    );
    assert_eq!(visitor.graph("?$skip=500").await.status, 200);
    assert_eq!(visitor.graph("?$top=50").await.status, 200);
}

#[tokio::test]
async fn filters_are_by_graph_s_names_and_words() {
    let visitor = Visitor::at_graph(10, unlimited()).await;
    visitor.sandbox.world().resolve(IncidentNumber(40_961), visitor.at(30)).expect("it is there");
    let time = |seconds| Trimmed(visitor.at(seconds)).to_string();
    let count = async |filter: String| visitor.graph(&format!("?$filter={filter}")).await.ids().len();
    assert_eq!(count(format!("lastUpdateDateTime ge {}", time(30))).await, 1);
    assert_eq!(count(format!("lastUpdateDateTime ge {} and createdDateTime lt {}", time(5), time(7))).await, 3);
    assert_eq!(count("status eq 'resolved'".into()).await, 1);
    assert_eq!(count("status eq 'Resolved'".into()).await, 0);
    assert_eq!(count("classification ne 'unknown'".into()).await, 1);
    assert_eq!(count("determination eq 'unknown' and assignedTo eq null".into()).await, 9);
    let severities = ["informational", "low", "medium", "high"];
    let mut all = 0;
    for severity in severities {
        all += count(format!("severity eq '{severity}'")).await;
    }
    assert_eq!(all, 10);
}

#[tokio::test]
async fn a_token_is_good_for_one_of_the_apis() {
    let mut visitor = Visitor::with(1, unlimited()).await;
    let wrong = visitor.graph("").await;
    let error = &wrong.json()["error"];
    assert_eq!((wrong.status, error["code"].as_str()), (401, Some("InvalidAuthenticationToken")));
    assert_eq!(wrong.message(), "Access token validation failure. Invalid audience.");
    visitor.sign_in_at_graph().await;
    assert_eq!(visitor.graph("").await.status, 200);
    let wrong = visitor.list("").await;
    assert_eq!((wrong.status, wrong.json()["error"]["code"].as_str()), (401, Some("Unauthorized")));
    assert!(wrong.message().contains("Audience: https://graph.microsoft.com,"), "{}", wrong.message());
    visitor.sandbox.settings().clock_offset_ms = 3_700_000;
    assert_eq!(visitor.graph("").await.message(), "Lifetime validation failed, the token is expired.");
    visitor.sandbox.settings().clock_offset_ms = 0;
    visitor.token = "made.up.token".into();
    assert_eq!(visitor.graph("").await.status, 401);
    // A role of the other API counts for nothing.
    for (roles, words) in [
        (vec![], "required roles: SecurityIncident.Read.All,SecurityIncident.ReadWrite.All"),
        (vec!["Incident.Read.All".to_owned()], ", application roles: Incident.Read.All."),
    ] {
        visitor.sandbox.settings().graph.roles = roles;
        visitor.sign_in_at_graph().await;
        let forbidden = visitor.graph("/40961/alerts").await;
        assert_eq!((forbidden.status, forbidden.json()["error"]["code"].as_str()), (403, Some("Forbidden")));
        assert!(forbidden.message().ends_with(words), "{}", forbidden.message());
    }
}

#[tokio::test]
async fn newer_words_are_for_those_who_want_them() {
    let visitor = Visitor::at_graph(50, unlimited()).await;
    let ask = async |prefer: Option<&str>| {
        let url = visitor.sandbox.url().join("v1.0/security/incidents?$expand=alerts").expect("a URL");
        let request = visitor.client.get(url).bearer_auth(&visitor.token);
        let request = prefer.into_iter().fold(request, |request, prefer| request.header("prefer", prefer));
        let answer = heard(request).await.expect("an answer");
        let count = |word: &str| answer.text().matches(&format!("\"{word}\"")).count();
        (count("microsoftDefenderForCloud"), count("unknownFutureValue"), answer.header("preference-applied").is_some())
    };
    let (known, future, applied) = ask(Some("odata.maxpagesize=5, include-unknown-enum-members")).await;
    assert!(0 < known && future == 0 && applied, "{known} {future}");
    let (known_before, future, applied) = ask(None).await;
    assert!(known_before == 0 && future == 2 * known && !applied, "{future} of {known}");
}

#[tokio::test]
async fn quotas_are_counted_for_each_api_by_itself() {
    let limits = Some(Limits { per_minute: 2, per_hour: 100 });
    for (words, text) in [
        (QuotaWords::Newer, "You can send requests again in"),
        (QuotaWords::Older, "! maximum allowed 2 per 00:01:00"),
        (QuotaWords::Documented, "You can send requests again in"),
    ] {
        let quotas =
            Quotas { list: limits, alerts: limits, words, retry_after: RetryAfter::Seconds, ..Quotas::default() };
        let mut visitor = Visitor::with(1, Settings { quotas, ..Settings::default() }).await;
        for _ in 0..2 {
            assert_eq!(visitor.list("").await.status, 200);
        }
        assert_eq!(visitor.list("").await.status, 429);
        visitor.sign_in_at_graph().await;
        for rest in ["", "/40961/alerts"] {
            for _ in 0..2 {
                assert_eq!(visitor.graph(rest).await.status, 200);
            }
            let refused = visitor.graph(rest).await;
            assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (429, Some("TooManyRequests")));
            assert!(refused.message().contains(text) && refused.header("retry-after").is_some(), "{}", refused.text());
        }
        let calls = visitor.sandbox.calls();
        let arrived = [Endpoint::List, Endpoint::GraphList, Endpoint::GraphAlerts, Endpoint::GraphGet, Endpoint::Get]
            .map(|endpoint| calls.arrived(endpoint));
        assert_eq!(arrived, [3, 3, 3, 0, 0]);
        assert_eq!(Dialect::ALL.map(|dialect| calls.list_peak_in(dialect).minute()), [3, 3]);
    }
}

#[tokio::test]
async fn an_incident_may_be_poison_with_its_alerts_only() {
    let visitor = Visitor::at_graph(10, with(Graph { poison_expanded: [40_964].into(), ..Graph::default() })).await;
    for _ in 0..3 {
        let broken = visitor.graph("?$expand=alerts").await;
        assert_eq!((broken.status, broken.json()["error"]["code"].as_str()), (500, Some("InternalServerError")));
        assert_eq!(visitor.graph("").await.status, 200);
    }
    assert_eq!(visitor.graph("?$expand=alerts&$top=6").await.status, 200, "it is not on this page");
    assert_eq!(visitor.graph("/40964/alerts").await.status, 200);
    visitor.sandbox.settings().graph.poison_alerts = [40_965].into();
    assert_eq!(visitor.graph("/40964/alerts").await.status, 200);
    assert_eq!(visitor.graph("/40965/alerts").await.status, 500);
    visitor.sandbox.settings().poison = [40_961].into();
    assert_eq!(visitor.graph("").await.status, 500, "whatever is asked for");
    assert_eq!(visitor.graph("?$top=9").await.status, 200);
}

#[tokio::test]
async fn a_part_of_an_answer_says_that_it_is_one() {
    let visitor = Visitor::at_graph(6, unlimited()).await;
    let whole = visitor.graph("?$expand=alerts").await;
    assert_eq!((whole.status, whole.header("warning")), (200, None));
    let alerts = |json: &Value| json["value"].as_array().expect("rows").iter().map(of_row).sum::<usize>();
    let part = async |endpoint, missing, rest: &str| {
        visitor.sandbox.faults().next(endpoint, 1, Fault::Partial(missing));
        let answer = visitor.graph(rest).await;
        assert_eq!(answer.status, 206, "{rest}");
        assert!(answer.header("warning").expect("a warning").starts_with("199 - \""), "{rest}");
        answer
    };
    let rows = part(Endpoint::GraphList, Missing::Rows, "?$expand=alerts").await;
    let ids = whole.ids();
    assert_eq!(rows.ids(), [ids[1], ids[3], ids[5]]);
    let fewer = part(Endpoint::GraphList, Missing::Alerts, "?$expand=alerts").await;
    assert_eq!(fewer.ids(), ids);
    assert!(alerts(&fewer.json()) < alerts(&whole.json()));
    let one = part(Endpoint::GraphGet, Missing::Alerts, &format!("/{}?$expand=alerts", ids[0])).await;
    assert!(of_row(&one.json()) < of_row(&whole.json()["value"][0]));
    let few = part(Endpoint::GraphAlerts, Missing::Alerts, &format!("/{}/alerts", ids[0])).await;
    assert_eq!(few.json()["value"].as_array().expect("alerts").len(), of_row(&one.json()));
}

fn of_row(row: &Value) -> usize {
    row["alerts"].as_array().expect("alerts").len()
}

#[tokio::test]
async fn an_expanded_incident_may_hold_the_first_alerts_only() {
    let visitor = Visitor::at_graph(0, with(Graph { expanded_max: Some(2), ..Graph::default() })).await;
    let large = visitor.sandbox.world().create_sized(visitor.start, 60_000);
    let small = visitor.sandbox.world().create_sized(visitor.start, 2_000);
    let listed = visitor.graph("?$expand=alerts").await.json();
    let of = |number: u64| {
        let rows = listed["value"].as_array().expect("rows");
        let id = Value::from(number.to_string());
        rows.iter().find(|row| row["id"] == id).expect("it is there").clone()
    };
    assert_eq!((of_row(&of(small.0)), of(small.0).get("alerts@odata.nextLink")), (1, None));
    let first = of(large.0);
    assert_eq!(of_row(&first), 2);
    let link = first["alerts@odata.nextLink"].as_str().expect("a link");
    let rest = link.strip_prefix(visitor.sandbox.url().as_str()).expect("its own").to_owned();
    let others = visitor.ask(&rest).await.expect("an answer").json();
    let all = visitor.graph(&format!("/{large}/alerts")).await.json();
    let all = all["value"].as_array().expect("alerts");
    assert!(5 < all.len());
    assert_eq!(others["value"].as_array().expect("alerts").as_slice(), &all[2..]);
    let two = visitor.graph(&format!("/{large}/alerts?$top=2&$skip=1")).await.json();
    assert_eq!(two["value"].as_array().expect("alerts").as_slice(), &all[1..3]);
    assert!(next_link(&two).expect("there is more").ends_with(&format!("/{large}/alerts?$top=2&$skip=3")));
}

#[tokio::test]
async fn calls_of_both_apis_are_logged_apart() {
    let visitor = Visitor::at_graph(3, unlimited()).await;
    visitor.graph("?$top=2").await;
    visitor.graph("/40961?$expand=alerts").await;
    visitor.graph("/40961/alerts?$top=9").await;
    let log = visitor.sandbox.calls();
    let last: Vec<_> = log.calls().rev().take(3).map(|call| (call.endpoint, call.query.as_str())).collect();
    let expected = [
        (Endpoint::GraphAlerts, "40961?$top=9"),
        (Endpoint::GraphGet, "40961?$expand=alerts"),
        (Endpoint::GraphList, "$top=2"),
    ];
    assert_eq!(last, expected);
}
