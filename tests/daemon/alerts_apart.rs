//! Graph's incidents whose alerts do not come with them: they are delivered whole all the same, or not yet.

use std::time::Duration;

use serde_json::Value;
use xdrelay::api::graph;
use xdrelay::model::dialect::Dialect;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::incident::IncidentNumber;
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::NextLink;

use crate::harness::{Daemon, Place, QUICK, still, unlimited, wait_for, web};

/// One call for a single incident or its alerts at a time, and about a minute until the next.
const ONE_AT_A_TIME: &str = "[poll]\ninterval = \"1s\"\nsweep_every = \"5s\"\noverlap = \"1m\"\n\n\
     [quota]\nlist_per_minute = 6000\nlist_per_hour = 360000\nget_per_minute = 60\nget_per_hour = 60\n\n";

fn place_of(sandbox: &Sandbox, settings: &str) -> Place {
    let place = Place::speaking(Dialect::Graph);
    place.configure(&[settings, &place.tenant("contoso", sandbox), &place.file_sink("file")]);
    place
}

fn numbers(sandbox: &Sandbox) -> Vec<IncidentNumber> {
    sandbox.world().rows().by_number().map(|row| row.number).collect()
}

fn status(place: &Place) -> Value {
    place.command(&["status", "--json"]).json()["tenants"]["contoso"].clone()
}

fn passes(place: &Place) -> u64 {
    status(place)["rounds"].as_u64().unwrap_or_default()
}

/// An incident as the sandbox gives it, with all of its alerts and without what says something of the answer.
async fn whole(sandbox: &Sandbox, token: &str, number: IncidentNumber) -> Value {
    let url = graph::incident_url(sandbox.url(), &number.id()).expect("a URL");
    let request = web().get(url).bearer_auth(token).header("prefer", graph::PREFER);
    let mut incident = answered(request).await;
    let members = incident.as_object_mut().expect("an incident");
    members.retain(|name, _| !name.contains("@odata."));
    incident
}

async fn token(sandbox: &Sandbox) -> String {
    let url = sandbox.url().join(&format!("{}/oauth2/v2.0/token", sandbox.tenant_id())).expect("a URL");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &sandbox.client_id()),
        ("client_secret", &sandbox.secret()),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = web().post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    let granted = answered(request).await;
    granted["access_token"].as_str().expect("a token").to_owned()
}

async fn answered(request: reqwest::RequestBuilder) -> Value {
    let body = request.send().await.expect("an answer").bytes().await.expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}

/// Everything was delivered once, as the sandbox has it whole.
async fn check_arrivals(place: &Place, sandbox: &Sandbox) {
    sandbox.settings().graph.expanded_max = None;
    let token = token(sandbox).await;
    let arrivals = place.arrivals("file");
    let all = numbers(sandbox);
    assert_eq!(arrivals.len(), all.len(), "each once");
    for number in all {
        let arrival = arrivals.iter().find(|arrival| arrival.header().id == number.id()).expect("it has arrived");
        let mut incident: Value = serde_json::from_str(arrival.incident.get()).expect("JSON");
        incident.as_object_mut().expect("an incident").retain(|name, _| !name.contains("@odata."));
        assert_eq!(incident, whole(sandbox, &token, number).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_cannot_be_listed_with_its_alerts_is_delivered_whole() {
    let sandbox = still(30, unlimited()).await;
    let poison = numbers(&sandbox)[12];
    sandbox.settings().graph.poison_expanded.insert(poison.0);
    let place = place_of(&sandbox, QUICK);
    let daemon = Daemon::start(&place);
    wait_for("all of them", || place.arrivals("file").len() == 30);
    wait_for("a complete sweep", || 0 < passes(&place));
    assert_eq!(status(&place)["quarantined"], 0, "{}", daemon.log());
    // Listed whole it says the same, and nothing is told again.
    sandbox.settings().graph.poison_expanded.clear();
    let before = passes(&place);
    wait_for("two more sweeps", || before + 2 <= passes(&place));
    assert_eq!(daemon.stop("TERM"), 0);
    check_arrivals(&place, &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_around_what_cannot_be_listed_and_says_so_where_it_had_to_leave_it_out() {
    let sandbox = still(0, unlimited()).await;
    let now = sandbox.now();
    sandbox.world().create_many(12, 2_000, now.earlier(Duration::from_secs(60)), now.earlier(Duration::from_secs(20)));
    sandbox.world().settle(now);
    let poison = numbers(&sandbox)[5];
    sandbox.settings().graph.poison_expanded.insert(poison.0);
    let place = place_of(&sandbox, QUICK);
    let daemon = Daemon::start(&place);
    wait_for("all of them", || place.arrivals("file").len() == 12);
    check_arrivals(&place, &sandbox).await;
    place.command(&["replay", "--since", "5m"]).expect(0, &["replayed 12 events of 12 incidents"]);
    wait_for("all of them again", || place.arrivals("file").len() == 24);
    let arrivals = place.arrivals("file");
    let poisoned: Vec<_> = arrivals.iter().filter(|arrival| arrival.header().id == poison.id()).collect();
    assert_eq!(poisoned.len(), 2);
    assert_eq!(poisoned[0].incident.get(), poisoned[1].incident.get(), "it is whole again");
    assert_eq!(daemon.stop("TERM"), 0);

    // Now its alerts cannot be had at all. Nobody reads beside this replay, so that it finds that by itself.
    sandbox.settings().graph.poison_alerts.insert(poison.0);
    let said = ["replayed 11 events", "everything else was read", "1 windows of time"];
    place.command(&["replay", "--since", "5m"]).expect(69, &said);
    let daemon = Daemon::start(&place);
    wait_for("everything else", || place.arrivals("file").len() == 35);
    assert_eq!(daemon.stop("TERM"), 0);
    let poisoned = place.arrivals("file").iter().filter(|arrival| arrival.header().id == poison.id()).count();
    assert_eq!(poisoned, 2, "what cannot be had is not sent in part");
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_that_come_cut_are_delivered_whole_whatever_happens_meanwhile() {
    let sandbox = still(5, unlimited()).await;
    let now = sandbox.now().earlier(Duration::from_secs(20));
    // Several pages of alerts.
    sandbox.world().create_sized(now, 700_000);
    sandbox.settings().graph.expanded_max = Some(1);
    let faults = sandbox.faults();
    faults.next(Endpoint::GraphAlerts, 1, Fault::Status(404));
    faults.next(Endpoint::GraphAlerts, 1, Fault::Unauthorized);
    faults.next(Endpoint::GraphAlerts, 1, Fault::Status(503));
    faults.next(Endpoint::GraphAlerts, 1, Fault::CutJson);
    faults.next(Endpoint::GraphAlerts, 1, Fault::Reset);
    let place = place_of(&sandbox, QUICK);
    let daemon = Daemon::start(&place);
    wait_for("all of them", || place.arrivals("file").len() == 6);
    wait_for("a complete sweep", || 0 < passes(&place));
    assert_eq!(status(&place)["quarantined"], 0, "{}", daemon.log());
    let calls = sandbox.calls();
    let second = calls.calls().any(|call| call.endpoint == Endpoint::GraphAlerts && call.query.contains("$skip=99"));
    assert!(second, "one has more than a page of alerts");
    assert!(calls.calls().all(|call| !call.query.contains("$skip=1&")), "no link was followed");
    assert_eq!(daemon.stop("TERM"), 0);
    check_arrivals(&place, &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_caps_the_alerts_in_silence_is_asked_on() {
    let sandbox = still(5, unlimited()).await;
    let now = sandbox.now().earlier(Duration::from_secs(20));
    sandbox.world().create_sized(now, 60_000);
    {
        let graph = &mut sandbox.settings().graph;
        (graph.expanded_max, graph.alerts_page_max, graph.next_link) = (Some(1), Some(3), NextLink::Missing);
    }
    let place = place_of(&sandbox, QUICK);
    let daemon = Daemon::start(&place);
    wait_for("all of them", || place.arrivals("file").len() == 6);
    wait_for("a complete sweep", || 0 < passes(&place));
    assert_eq!(status(&place)["quarantined"], 0, "{}", daemon.log());
    assert_eq!(daemon.stop("TERM"), 0);
    let behind = sandbox.calls().calls().any(|call| call.query.contains("$top=100&$skip=4"));
    assert!(behind, "one has more than two pages of alerts");
    check_arrivals(&place, &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_behind_more_alerts_than_the_server_skips_is_taken_for_one() {
    let sandbox = still(0, unlimited()).await;
    let now = sandbox.now().earlier(Duration::from_secs(20));
    sandbox.world().create_sized(now, 60_000);
    {
        let graph = &mut sandbox.settings().graph;
        (graph.expanded_max, graph.taste.skip_max) = (Some(1), Some(3));
    }
    let place = place_of(&sandbox, QUICK);
    let daemon = Daemon::start(&place);
    wait_for("it", || place.arrivals("file").len() == 1);
    wait_for("a complete sweep", || 0 < passes(&place));
    assert_eq!(status(&place)["quarantined"], 0, "{}", daemon.log());
    assert_eq!(daemon.stop("TERM"), 0);
    assert!(0 < sandbox.calls().answered(Endpoint::GraphAlerts, 400), "it was not skipped");
    check_arrivals(&place, &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_paid_for_before_it_leaves_and_waits_for_nobody_at_the_end() {
    let sandbox = still(0, unlimited()).await;
    sandbox.settings().graph.expanded_max = Some(0);
    let place = place_of(&sandbox, ONE_AT_A_TIME);
    let asked = || sandbox.calls().arrived(Endpoint::GraphAlerts);
    sandbox.faults().next(Endpoint::GraphAlerts, 1, Fault::Stall);
    let daemon = Daemon::start(&place);
    wait_for("a beginning", || 0 < passes(&place));
    let now = sandbox.now();
    sandbox.world().create_many(3, 2_000, now.earlier(Duration::from_secs(10)), now);
    wait_for("a call that is never answered", || asked() == 1);
    daemon.kill();
    let shown = place.command(&["state", "show", "--json"]).json();
    assert_eq!(shown["tenants"][0]["quota_remaining"][1], 0, "it was paid for: {shown}");
    // The next one waits for the quota, and for nothing that would hold up the end.
    let listed = || sandbox.calls().answered(Endpoint::GraphList, 200);
    let before = listed();
    let daemon = Daemon::start(&place);
    wait_for("a page", || before < listed());
    assert_eq!(daemon.stop("TERM"), 0);
    assert_eq!(asked(), 1, "nothing left without being paid for");
    // Nor does one that is in the air.
    place_of_more(&place);
    sandbox.faults().next(Endpoint::GraphAlerts, 1, Fault::Stall);
    let daemon = Daemon::start(&place);
    wait_for("another call that is never answered", || 1 < asked());
    assert_eq!(daemon.stop("TERM"), 0);
    assert!(!daemon_log(&place).contains("grace period"), "{}", daemon_log(&place));
    assert!(place.arrivals("file").is_empty(), "nothing half");
    let daemon = Daemon::start(&place);
    wait_for("all of them", || place.arrivals("file").len() == 3);
    assert_eq!(daemon.stop("TERM"), 0);
    check_arrivals(&place, &sandbox).await;
}

/// The same with as many calls as anybody likes.
fn place_of_more(place: &Place) {
    let text = place
        .text("xdrelay.toml")
        .replace("get_per_minute = 60\nget_per_hour = 60\n", "get_per_minute = 6000\nget_per_hour = 360000\n");
    place.write("xdrelay.toml", &text);
}

fn daemon_log(place: &Place) -> String {
    place.text("daemon.log")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_incident_is_printed_whole_even_by_its_parts() {
    let sandbox = still(3, unlimited()).await;
    let number = numbers(&sandbox)[0];
    let place = place_of(&sandbox, QUICK);
    let token = token(&sandbox).await;
    let expected = whole(&sandbox, &token, number).await;
    let check = || {
        let printed = place.command(&["get", &number.to_string()]);
        let mut incident = printed.expect(0, &[]).json();
        incident.as_object_mut().expect("an incident").retain(|name, _| !name.contains("@odata."));
        assert_eq!(incident, expected);
        place.command(&["get", "1"]).expect(66, &["no such incident"]);
    };
    check();
    sandbox.settings().graph.expanded_max = Some(0);
    check();
    sandbox.faults().next(Endpoint::GraphGet, 1, Fault::Status(500));
    check();
    let alone = sandbox.calls().arrived(Endpoint::GraphAlerts);
    assert_eq!(alone, 3, "once cut, to the end and to be sure of it, once apart");
    sandbox.faults().next(Endpoint::GraphAlerts, 1, Fault::Status(404));
    place.command(&["get", &number.to_string()]).expect(69, &["its alerts are not found"]);
    sandbox.settings().graph.poison_alerts.insert(number.0);
    place.command(&["get", &number.to_string()]).expect(69, &["500"]);
    sandbox.faults().next(Endpoint::GraphGet, 1, Fault::Partial(xdrelay::sandbox::faults::Missing::Alerts));
    place.command(&["get", &number.to_string()]).expect(69, &["500"]);
}
