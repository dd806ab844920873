//! What the sandbox knows to be true, held against what arrived. No test is in here.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use xdrelay::model::dialect::Dialect;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::Arrival;

/// The incidents that are there now and of which nothing like them has arrived, from Defender.
pub(crate) fn missing(sandbox: &Sandbox, tenant: &str, arrivals: &[Arrival]) -> Vec<String> {
    missing_in(Dialect::Defender, sandbox, tenant, arrivals)
}

/// The same in this dialect.
pub(crate) fn missing_in(dialect: Dialect, sandbox: &Sandbox, tenant: &str, arrivals: &[Arrival]) -> Vec<String> {
    let there: HashSet<_> = of(tenant, arrivals).map(|arrival| arrival.incident.get()).collect();
    let now = sandbox.now();
    let mut world = sandbox.world();
    world.settle(now);
    let missing = world.rows().by_number().filter(|row| !there.contains(row.told(dialect, sandbox.tenant_id())));
    missing.map(|row| format!("{} of {}", row.number, row.last_update)).collect()
}

/// Everything that arrived is what the API had, byte for byte, in the dialect in which it arrived. Nothing is a snapshot where Graph
/// gives the alerts by calls of their own: there an incident may have the alerts of a later moment, all of them.
pub(crate) fn assert_honest(sandbox: &Sandbox, tenant: &str, arrivals: &[Arrival]) {
    let truth = sandbox.world().truth();
    let told = |dialect| truth.iter().map(move |truth| truth.revision.told(dialect, sandbox.tenant_id()));
    let known: HashSet<_> = Dialect::ALL.into_iter().flat_map(told).collect();
    let odd = of(tenant, arrivals).filter(|arrival| !known.contains(arrival.incident.get()));
    for arrival in odd {
        let (own, alerts) = apart(arrival.incident.get());
        let mut revisions = told(Dialect::Graph).map(apart).filter(|revision| revision.0["id"] == own["id"]);
        let is_joined = revisions.any(|before| before.0 == own) && revisions.any(|later| later.1 == alerts);
        assert!(is_joined, "the API never had this: {}", arrival.incident);
    }
}

/// An incident without its alerts, and the alerts.
fn apart(incident: &str) -> (Value, Option<Value>) {
    let mut own: Value = serde_json::from_str(incident).expect("an incident");
    let alerts = own.as_object_mut().and_then(|own| own.remove("alerts"));
    (own, alerts)
}

/// No event twice, and the events of each tenant numbered without a gap in the order of their arrival.
pub(crate) fn assert_once(arrivals: &[Arrival]) {
    let mut ids = HashSet::new();
    let mut numbers: HashMap<&str, u64> = HashMap::new();
    for arrival in arrivals {
        assert!(ids.insert(&arrival.event_id), "{} repeats", arrival.event_id);
        let before = numbers.entry(&arrival.tenant).or_default();
        assert_eq!(arrival.sequence, *before + 1, "{} is out of order", arrival.event_id);
        *before = arrival.sequence;
    }
}

fn of<'a>(tenant: &'a str, arrivals: &'a [Arrival]) -> impl Iterator<Item = &'a Arrival> {
    arrivals.iter().filter(move |arrival| arrival.tenant == tenant)
}
