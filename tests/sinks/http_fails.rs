//! An HTTP receiver that takes, throttles, fails, hangs, closes and loses answers: nothing is lost, the order is kept, the guilty
//! event is found, and nothing else suffers for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::json;
use xdrelay::sandbox::knobs::{Knobs, Pace};
use xdrelay::sandbox::server::Sandbox;

use crate::harness::{Arrival, Daemon, Place, QUICK, sandbox, small, still, unlimited, wait_for, wait_within};
use crate::http_faulty::{Faulty, Request};
use crate::ledger::{acknowledged, standing, status};

/// How long the world lives.
const LIFE: Duration = Duration::from_secs(5);
/// Bytes that the receiver takes in one request.
const BODY_BYTES_MAX: usize = 60_000;
/// Each fault once, with something taken in between, so that pauses stay short.
const EACH: [&str; 8] = ["500", "429", "hang", "close", "lose", "late", "cut", "503"];
/// What is drawn afterwards, and how often.
const OFTEN: [(&str, f64); 7] =
    [("500", 0.05), ("429", 0.03), ("hang", 0.02), ("close", 0.05), ("lose", 0.08), ("late", 0.02), ("cut", 0.05)];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_whatever_a_receiver_answers() {
    let seed = std::env::var("HTTP_SEED").map_or_else(|_| rand::random(), |text| text.parse().expect("a number"));
    println!("HTTP_SEED={seed}");
    let every = Duration::from_millis;
    let pace = Pace { create: every(40), update: every(20), resolve: every(300), ..Pace::default() };
    let (place, sandbox) = (Place::new(), sandbox(Knobs { pace, seed, ..small() }, unlimited()).await);
    let Some(receiver) = Faulty::start(&place.path("requests")) else { return };
    let large = sandbox.world().create_sized(sandbox.now(), 2 * BODY_BYTES_MAX).0;
    let first = sandbox.world().knobs().first_number;
    let guilty: BTreeSet<u64> = [first + 3, first + 4, first + 30, large].into();
    let scripted: Vec<&str> = EACH.iter().flat_map(|what| [*what, "take"]).collect();
    let poison: Vec<String> = guilty.iter().filter(|number| **number != large).map(u64::to_string).collect();
    let often: BTreeMap<&str, f64> = OFTEN.into();
    receiver.order(&json!({ "next": scripted, "often": often, "seed": seed, "poison": poison, "max": BODY_BYTES_MAX }));
    let hook = hook(&receiver, "batch_events = 20\ntimeout = \"3s\"");
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &hook]);
    let daemon = Daemon::start(&place);
    live(&sandbox);
    wait_for("the file to have what is current", || has_all_current(&place, &sandbox));
    let newest = place.arrivals("file").len() as u64;
    // Each refusal, pause and lost answer takes seconds, and how many there are is drawn.
    wait_within(every(300_000), "the receiver to be done", || acknowledged(&place, "hook") == newest);
    let said = status(&place, "hook");
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    let requests = receiver.requests();
    print_what_happened(&requests, newest);
    for what in EACH.iter().chain(&["400", "413"]) {
        assert!(requests.iter().any(|request| request.what == *what), "{what} did not happen");
    }
    let refused: BTreeMap<u64, String> =
        standing(&place, "hook").await.refused.into_iter().map(|refusal| (refusal.seq.0, refusal.why)).collect();
    assert_eq!(said["refused"].as_u64(), Some(refused.len() as u64), "it is told how many");
    check_complete(&place, &requests, &refused, &guilty, large);
    check_order_and_repeats(&requests);
    check_grouping(&requests);
}

fn hook(receiver: &Faulty, settings: &str) -> String {
    format!("[sinks.hook]\nkind = \"http\"\nurl = \"{}\"\n{settings}\n\n", receiver.url())
}

/// Somebody who deduplicates requests by their key sees the same one again, though more could be sent by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_was_lost_is_repeated_as_it_was() {
    let (place, sandbox) = (Place::new(), still(5, unlimited()).await);
    let Some(receiver) = Faulty::start(&place.path("requests")) else { return };
    receiver.order(&json!({ "next": ["hold"] }));
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &hook(&receiver, "")]);
    let daemon = Daemon::start(&place);
    wait_for("a request", || !receiver.requests().is_empty());
    let now = sandbox.now();
    sandbox.world().create(now);
    sandbox.world().settle(now);
    wait_for("more to send", || place.arrivals("file").len() == 6);
    receiver.order(&json!({ "let_go": true }));
    wait_for("the receiver to have everything", || acknowledged(&place, "hook") == 6);
    drop(daemon);
    let requests = receiver.requests();
    let [lost, again, rest] = requests.as_slice() else { panic!("{requests:#?}") };
    assert_eq!((&lost.key, &lost.lines), (&again.key, &again.lines));
    assert_eq!(again.lines.len() + rest.lines.len(), 6, "what came later goes in a request of its own");
}

/// Servers that look at `Content-Length` alone answer before they have read the body, and the end of the connection may overtake
/// the answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_before_the_body_was_read_is_heard() {
    let (place, sandbox) = (Place::new(), still(100, unlimited()).await);
    let Some(receiver) = Faulty::start(&place.path("requests")) else { return };
    // Far more than the kernels hold between them.
    let now = sandbox.now();
    sandbox.world().create_sized(now, 3 << 20);
    sandbox.world().settle(now);
    receiver.order(&json!({ "early": 1 << 20 }));
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &hook(&receiver, "")]);
    let daemon = Daemon::start(&place);
    wait_for("the receiver to be done", || acknowledged(&place, "hook") == 101);
    drop(daemon);
    assert_eq!(standing(&place, "hook").await.refused.len(), 1, "the one that it does not take");
    let requests = receiver.requests();
    println!("{:?}", requests.iter().map(|request| (&request.what, request.lines.len())).collect::<Vec<_>>());
}

/// The world goes on for a while, and then stands still.
fn live(sandbox: &Sandbox) {
    let start = Instant::now();
    wait_for("the end of its life", || {
        let now = sandbox.now();
        sandbox.world().advance(now);
        LIFE < start.elapsed()
    });
}

fn has_all_current(place: &Place, sandbox: &Sandbox) -> bool {
    let arrivals = place.arrivals("file");
    let there: HashSet<&str> = arrivals.iter().map(|arrival| arrival.incident.get()).collect();
    sandbox.world().rows().by_number().all(|row| there.contains(&*row.json))
}

fn print_what_happened(requests: &[Request], events: u64) {
    let mut counts = BTreeMap::new();
    for request in requests {
        *counts.entry(request.what.as_str()).or_insert(0) += 1;
    }
    println!("{events} events in {} requests: {counts:?}", requests.len());
}

fn arrivals(request: &Request) -> Vec<Arrival> {
    request.lines.iter().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

/// Every event is there or was refused; refused was what had to be, with the reason, and nothing else.
fn check_complete(
    place: &Place,
    requests: &[Request],
    refused: &BTreeMap<u64, String>,
    guilty: &BTreeSet<u64>,
    large: u64,
) {
    let kept: HashSet<String> =
        requests.iter().filter(|request| request.kept).flat_map(arrivals).map(|arrival| arrival.event_id).collect();
    let mut refusals = 0;
    for arrival in place.arrivals("file") {
        let number: u64 = arrival.header().id.as_str().parse().expect("a number");
        let is_guilty = guilty.contains(&number);
        assert_eq!(kept.contains(&arrival.event_id), !is_guilty, "{} of a guilty one: {is_guilty}", arrival.event_id);
        let status = if number == large { "413" } else { "400" };
        let why = refused.get(&arrival.sequence);
        assert_eq!(why.is_some_and(|why| why.contains(status)), is_guilty, "{}: {why:?}", arrival.event_id);
        refusals += usize::from(is_guilty);
    }
    assert_eq!(refusals, refused.len(), "nothing else was refused");
    assert!(guilty.len() <= refusals, "each guilty one was met");
}

/// First deliveries of an incident come in the order of its changes; what was answered 2xx does not come again; what comes again
/// because the answer was lost is the same, byte for byte.
fn check_order_and_repeats(requests: &[Request]) {
    let (mut latest, mut contents, mut answered) = (BTreeMap::new(), HashMap::new(), HashSet::new());
    for request in requests.iter().filter(|request| request.kept) {
        for (arrival, line) in arrivals(request).iter().zip(&request.lines) {
            let header = arrival.header();
            match contents.insert(arrival.event_id.clone(), line.clone()) {
                Some(before) => assert_eq!(&before, line, "{} changed", arrival.event_id),
                None => {
                    let before = latest.insert(header.id, header.last_update);
                    assert!(before <= Some(header.last_update), "{} came behind a later one", arrival.event_id);
                }
            }
            assert!(!answered.contains(&arrival.event_id), "{} came again after its 2xx", arrival.event_id);
            if request.what == "take" {
                answered.insert(arrival.event_id.clone());
            }
        }
    }
}

/// What nobody answered is sent again as it was: the same events under the same key. Only after the fourth failure in a row may
/// a smaller request be tried.
fn check_grouping(requests: &[Request]) {
    let mut failures = 0;
    for two in requests.windows(2) {
        let [failed, next] = two else { continue };
        failures = match failed.what.as_str() {
            "take" => 0,
            "400" | "413" => continue,
            _ => failures + 1,
        };
        if (1..4).contains(&failures) {
            assert_eq!(failed.key, next.key, "after {}", failed.what);
            assert!(failed.lines.is_empty() || next.lines.is_empty() || failed.lines == next.lines);
        }
    }
}
