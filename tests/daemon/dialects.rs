//! A tenant that is moved from one API to the other and back, by one line and a restart, while its world goes on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use xdrelay::model::content::entity::Entity;
use xdrelay::model::content::{Comment, Content};
use xdrelay::model::dialect::Dialect;
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::{Fault, Faults, Missing};
use xdrelay::sandbox::incident::{IncidentNumber, Status};
use xdrelay::sandbox::knobs::{Knobs, Pace};
use xdrelay::sandbox::rows::Revision;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::{Arrival, BOUND, Daemon, Place, QUICK, sandbox, small, still, unlimited, wait_for};

/// How often the tenant is moved.
const MOVES: usize = 6;
/// Events of each stay at least.
const EVENTS: usize = 25;
/// How often the world goes on.
const STEP: Duration = Duration::from_millis(10);
/// A word about the whole list.
const LISTED: [&str; 7] =
    ["status", "severity", "assignee", "classification", "determination", "redirected_to", "name"];

/// An incident and the time of its last update.
type Key = (u64, Timestamp);

fn key(arrival: &Arrival) -> Key {
    let header = arrival.header();
    (header.id.as_str().parse().expect("a number"), header.last_update)
}

/// Writes the configuration for one of the APIs: the same but for one line.
fn move_to(place: &mut Place, dialect: Dialect, poll: &str, sandbox: &Sandbox) {
    place.dialect = dialect;
    place.configure(&[poll, &place.tenant("contoso", sandbox), &place.file_sink("file")]);
}

/// What was ever to be seen, each once.
fn seen(sandbox: &Sandbox) -> BTreeMap<Key, Arc<Revision>> {
    let now = sandbox.now();
    let truth = sandbox.world().truth().into_iter().filter(|truth| truth.from <= now);
    truth.map(|truth| ((truth.revision.number.0, truth.revision.last_update), truth.revision)).collect()
}

/// Something happens: a new incident, or something to one of which everything has arrived, so that nothing is superseded before
/// it could be read.
fn act(sandbox: &Sandbox, arrived: &BTreeSet<Key>) {
    let mut rng = rand::rng();
    let now = sandbox.now();
    let mut world = sandbox.world();
    if rng.random_ratio(1, 10) {
        world.delay_next(Duration::from_millis(rng.random_range(0..3_000)));
    }
    let mut latest: BTreeMap<IncidentNumber, (Timestamp, Status)> = BTreeMap::new();
    let mut due = BTreeSet::new();
    for truth in world.truth() {
        let revision = &truth.revision;
        latest.insert(revision.number, (revision.last_update, revision.status));
        if !arrived.contains(&(revision.number.0, revision.last_update)) {
            due.insert(revision.number);
        }
    }
    let free = latest.iter().filter(|(number, (_, status))| !due.contains(number) && *status != Status::Redirected);
    let free: Vec<_> = free.map(|(number, _)| *number).collect();
    let one = |rng: &mut rand::rngs::ThreadRng| free[rng.random_range(0..free.len())];
    match rng.random_range(0..10u8) {
        _ if free.len() < 5 => {
            world.create(now);
        }
        0 | 1 => {
            world.create(now);
        }
        2 => {
            world.resolve(one(&mut rng), now);
        }
        3 => {
            world.reopen(one(&mut rng), now);
        }
        4 => {
            let (from, to) = (one(&mut rng), one(&mut rng));
            world.merge(from.max(to), from.min(to), now);
        }
        5.. => {
            world.update(one(&mut rng), now);
        }
    }
    world.settle(now);
}

/// The world goes on until the condition is true.
fn live_until(what: &str, place: &Place, sandbox: &Sandbox, mut is_true: impl FnMut(&[Arrival]) -> bool) {
    let start = std::time::Instant::now();
    loop {
        let arrivals = place.arrivals("file");
        if is_true(&arrivals) {
            return;
        }
        assert!(start.elapsed() < BOUND, "waited {BOUND:?} in vain for {what}: {}", place.text("daemon.log"));
        let arrived = arrivals.iter().map(key).collect();
        for _ in 0..3 {
            act(sandbox, &arrived);
        }
        std::thread::sleep(STEP);
    }
}

/// What one revision says of a field, the same for both dialects.
fn said(json: &str, field: &str) -> String {
    let content = Content::of(json);
    match field {
        "status" => format!("{:?}", content.status()),
        "severity" => format!("{:?}", content.severity()),
        "assignee" => format!("{:?}", content.assignee()),
        "classification" => format!("{:?}", content.classification()),
        "determination" => format!("{:?}", content.determination()),
        "redirected_to" => format!("{:?}", content.redirected_to()),
        "name" => format!("{:?}", content.title()),
        "tags" => format!("{:?}", content.tags()),
        "comments" => format!("{:?}", content.comments().map(Comment::text).collect::<Vec<_>>()),
        "entities" => {
            let names: BTreeSet<_> = content.alerts().flat_map(|alert| alert.entities().map(Entity::name)).collect();
            format!("{names:?}")
        }
        "alerts" => {
            let node = content.root().get("alerts");
            format!("{node:?}")
        }
        other => panic!("no such field: {other}"),
    }
}

/// Each event names what changed since the one before of its incident, and nothing else. Told of Defender's words for both:
/// that the other API speaks is no change.
fn assert_changes(arrivals: &[Arrival], seen: &BTreeMap<Key, Arc<Revision>>) {
    let mut before: HashMap<u64, (Dialect, &Revision)> = HashMap::new();
    for arrival in arrivals {
        let key = key(arrival);
        let (revision, dialect) = (&seen[&key], arrival.header().dialect);
        if let Some((dialect_before, last)) = before.insert(key.0, (dialect, revision)) {
            let differs = |field: &str| said(&last.json, field) != said(&revision.json, field);
            let named: BTreeSet<_> = arrival.changes.iter().map(|change| change.field.as_str()).collect();
            let way = format!(
                "from {dialect_before:?} to {dialect:?}: {:?}\n{}\n{}",
                arrival.changes, last.json, revision.json
            );
            for field in &named {
                assert!(differs(field), "{field} is named and did not change, {way}");
            }
            for field in LISTED {
                assert!(named.contains(field) || !differs(field), "{field} changed and is not named, {way}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_tenant_is_moved_back_and_forth_and_nothing_is_lost_or_repeated() {
    let knobs = Knobs { pace: Pace::default(), tie_rate: 0.1, ..small() };
    let (mut place, sandbox) = (Place::new(), sandbox(knobs, unlimited()).await);
    let mut stays = Vec::new();
    for dialect in Dialect::ALL.into_iter().cycle().take(MOVES + 1) {
        move_to(&mut place, dialect, QUICK, &sandbox);
        let daemon = Daemon::start(&place);
        let before = place.arrivals("file").len();
        live_until("events", &place, &sandbox, |arrivals| before + EVENTS <= arrivals.len());
        assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
        stays.push((dialect, place.arrivals("file").len() - before));
        // It goes on while nobody looks.
        let arrived: BTreeSet<_> = place.arrivals("file").iter().map(key).collect();
        for _ in 0..5 {
            act(&sandbox, &arrived);
        }
    }
    let daemon = Daemon::start(&place);
    let missing = || {
        let arrived: BTreeSet<_> = place.arrivals("file").iter().map(key).collect();
        seen(&sandbox).into_keys().filter(|key| !arrived.contains(key)).collect::<Vec<_>>()
    };
    wait_for("everything", || missing().is_empty() && sandbox.world().truth().iter().all(|t| t.from <= sandbox.now()));
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));

    let (arrivals, seen) = (place.arrivals("file"), seen(&sandbox));
    let sequences: Vec<_> = arrivals.iter().map(|arrival| arrival.sequence).collect();
    assert_eq!(sequences, (1..=arrivals.len() as u64).collect::<Vec<_>>());
    let mut times = BTreeMap::new();
    for arrival in &arrivals {
        *times.entry(key(arrival)).or_insert(0) += 1;
        let told = seen[&key(arrival)].told(arrival.header().dialect, sandbox.tenant_id());
        assert_eq!(arrival.incident.get(), told, "it is what the API had");
    }
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    assert_eq!(times.len(), seen.len());
    assert_changes(&arrivals, &seen);
    let asked = Dialect::ALL.map(|dialect| sandbox.calls().arrived(Endpoint::list(dialect)));
    println!("{stays:?}: {} events of {} revisions, {asked:?} calls", arrivals.len(), seen.len());
    assert!(asked.iter().all(|asked| 10 < *asked));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_stands_still_is_moved_without_an_event() {
    let (mut place, sandbox) = (Place::new(), still(120, unlimited()).await);
    // Every sweep reads everything again.
    let poll = QUICK.replace("overlap = \"1m\"", "overlap = \"20m\"");
    for dialect in Dialect::ALL.into_iter().cycle().take(4) {
        move_to(&mut place, dialect, &poll, &sandbox);
        let daemon = Daemon::start(&place);
        let (list, before) = (Endpoint::list(dialect), sandbox.calls().answered(Endpoint::list(dialect), 200));
        wait_for("everything", || 120 <= place.arrivals("file").len());
        wait_for("two sweeps and more", || before + 20 <= sandbox.calls().answered(list, 200));
        assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
        assert_eq!(place.arrivals("file").len(), 120, "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_answer_makes_no_part_of_an_incident() {
    all_of_parts_are_whole(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_fails_in_between_makes_no_part_of_an_incident() {
    all_of_parts_are_whole(|faults| {
        let fine = Fault::Slow { pieces: 1, pause: Duration::ZERO };
        // Behind the reading of what is oldest, which tells nobody of an incident.
        faults.next(Endpoint::GraphAlerts, 3, fine);
        faults.next(Endpoint::GraphAlerts, 1, Fault::Unauthorized);
        // The first token is for the list.
        faults.next(Endpoint::Token, 1, fine);
        faults.next(Endpoint::Token, 2, Fault::Status(503));
    })
    .await;
}

/// The first answers are parts, and something else fails; still each incident comes once, with all of its alerts.
async fn all_of_parts_are_whole(and: impl FnOnce(&Faults)) {
    let (place, sandbox) = (Place::speaking(Dialect::Graph), still(20, unlimited()).await);
    sandbox.faults().next(Endpoint::GraphList, 6, Fault::Partial(Missing::Alerts));
    and(sandbox.faults());
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let daemon = Daemon::start(&place);
    let sweeps = || place.command(&["status", "--json"]).json()["tenants"]["contoso"]["rounds"].as_u64();
    wait_for("everything", || 20 <= place.arrivals("file").len());
    wait_for("a complete sweep", || Some(0) < sweeps());
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    let seen = seen(&sandbox);
    for arrival in place.arrivals("file") {
        let told = seen[&key(&arrival)].told(Dialect::Graph, sandbox.tenant_id());
        assert_eq!(arrival.incident.get(), told, "whole, or not at all");
    }
    assert_eq!(place.arrivals("file").len(), 20, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_product_is_away_its_incidents_come_as_they_are_and_whole_behind_that() {
    let (place, sandbox) = (Place::speaking(Dialect::Graph), still(20, unlimited()).await);
    sandbox.faults().often(Endpoint::GraphList, 1.0, Fault::Partial(Missing::Alerts));
    sandbox.faults().often(Endpoint::GraphAlerts, 1.0, Fault::Status(504));
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let daemon = Daemon::start(&place);
    wait_for("every incident", || 20 <= place.arrivals("file").len());
    let seen = seen(&sandbox);
    let is_whole =
        |arrival: &&Arrival| arrival.incident.get() == seen[&key(arrival)].told(Dialect::Graph, sandbox.tenant_id());
    assert_eq!(place.arrivals("file").iter().filter(is_whole).count(), 0, "each lacks its first alert");
    sandbox.faults().clear();
    wait_for("the alerts", || 20 <= place.arrivals("file").iter().filter(is_whole).count());
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    assert_eq!(place.arrivals("file").len(), 40, "each once as it was and once whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_part_comes_whole_from_the_other_api() {
    let (mut place, sandbox) = (Place::new(), still(20, unlimited()).await);
    sandbox.faults().often(Endpoint::GraphList, 1.0, Fault::Partial(Missing::Alerts));
    sandbox.faults().often(Endpoint::GraphAlerts, 1.0, Fault::Status(504));
    move_to(&mut place, Dialect::Graph, QUICK, &sandbox);
    let daemon = Daemon::start(&place);
    wait_for("every incident", || 20 <= place.arrivals("file").len());
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    sandbox.faults().clear();
    let seen = seen(&sandbox);
    for dialect in [Dialect::Defender, Dialect::Graph] {
        move_to(&mut place, dialect, QUICK, &sandbox);
        let daemon = Daemon::start(&place);
        let sweeps = || place.command(&["status", "--json"]).json()["tenants"]["contoso"]["rounds"].as_u64();
        wait_for("everything whole", || 40 <= place.arrivals("file").len());
        wait_for("a complete sweep", || Some(1) < sweeps());
        assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
        let arrivals = place.arrivals("file");
        assert_eq!(arrivals.len(), 40, "each once in part and once whole");
        for arrival in &arrivals[20..] {
            let told = seen[&key(arrival)].told(Dialect::Defender, sandbox.tenant_id());
            assert_eq!(arrival.incident.get(), told, "whole");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_what_came_whole_makes_no_event() {
    let (place, sandbox) = (Place::speaking(Dialect::Graph), still(20, unlimited()).await);
    // Every page of every sweep holds something.
    let poll = QUICK.replace("overlap = \"1m\"", "overlap = \"20m\"");
    place.configure(&[&poll, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let daemon = Daemon::start(&place);
    wait_for("every incident", || 20 <= place.arrivals("file").len());
    sandbox.faults().often(Endpoint::GraphList, 1.0, Fault::Partial(Missing::Alerts));
    sandbox.faults().often(Endpoint::GraphAlerts, 1.0, Fault::Status(504));
    let parts = || sandbox.calls().answered(Endpoint::GraphList, 206);
    let failures = || sandbox.calls().answered(Endpoint::GraphAlerts, 504);
    wait_for("parts", || 20 <= parts() && 20 <= failures());
    sandbox.faults().clear();
    let whole = sandbox.calls().answered(Endpoint::GraphList, 200);
    wait_for("whole pages", || whole + 10 <= sandbox.calls().answered(Endpoint::GraphList, 200));
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    assert_eq!(place.arrivals("file").len(), 20, "each once");
}
