//! The whole way: the sandbox, the daemon as a child process, and what came of it at the receiver.

use std::collections::BTreeSet;
use std::path::Path;

use xdrelay::sandbox::server::Sandbox;

use crate::harness::{Daemon, Place, QUICK, still, unlimited, wait_for};
use crate::hec::{Hec, TOKEN};
use crate::ledger::acknowledged;
use crate::tenzir::Tenzir;

/// What a receiver got: the `event_id` of each event.
type Ids<'a> = &'a dyn Fn() -> Vec<String>;

#[tokio::test(flavor = "multi_thread")]
async fn every_incident_reaches_tenzir_and_none_comes_twice() {
    let (place, sandbox) = (Place::new(), still(60, unlimited()).await);
    let pipeline = format!("accept_splunk \"127.0.0.1:@PORT@\", hec_token=\"{TOKEN}\"");
    let dir = tempfile::tempdir().expect("a directory");
    let Some(tenzir) = Tenzir::start(dir.path(), &pipeline) else { return };
    let ids = || tenzir.received().iter().map(|event| event["fields"]["event_id"].to_string()).collect();
    live(&place, &sandbox, &format!("http://127.0.0.1:{}", tenzir.port), "gzip = true", &ids);
}

/// No receiver at hand acknowledges anything, so this one is our own fake.
#[tokio::test(flavor = "multi_thread")]
async fn every_incident_is_acknowledged_and_none_comes_twice() {
    let (place, sandbox) = (Place::new(), still(60, unlimited()).await);
    let hec = Hec::start(true).await;
    hec.be_quick();
    live(&place, &sandbox, &hec.origin, "ack = true", &|| hec.ids());
}

fn live(place: &Place, sandbox: &Sandbox, url: &str, more: &str, ids: Ids<'_>) {
    let token = place.write("hec.token", TOKEN);
    place.configure(&[QUICK, &place.tenant("contoso", sandbox), &place.file_sink("file"), &sink(url, &token, more)]);
    let daemon = Daemon::start(place);
    wait_for("the file to have all", || place.arrivals("file").len() == 60);
    wait_for("the receiver to be done", || acknowledged(place, "splunk") == 60);
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    // What counted is durable: the next start has one event to send.
    let now = sandbox.now();
    sandbox.world().create(now);
    sandbox.world().settle(now);
    let daemon = Daemon::start(place);
    wait_for("the receiver to be done again", || acknowledged(place, "splunk") == 61);
    wait_for("the receiver to have written it down", || 61 <= ids().len());
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    assert!(!place.text("daemon.log").contains(TOKEN));
    let ids = ids();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (61, 61), "{}", place.text("daemon.log"));
}

fn sink(url: &str, token: &Path, more: &str) -> String {
    format!(
        "[sinks.splunk]\nkind = \"splunk_hec\"\nurl = {url:?}\ntoken = {{ file = {token:?} }}\nbatch_events = 20\n{more}\n\n"
    )
}
