//! A real rsyslog goes away and comes back: the file beside it keeps its pace, and rsyslog lacks nothing in the end.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use xdrelay::model::dialect::Dialect;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::{Daemon, Place, QUICK, duration, lively, wait_for};
use crate::rsyslog::Rsyslog;

/// How long rsyslog is away: `OUTAGE_FOR=1m` for the long run.
const AWAY: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_is_away_and_lacks_nothing_in_the_end() {
    // One after the other: a machine has one rsyslog at a time to spare.
    for dialect in Dialect::ALL {
        let (place, sandbox) = (Place::speaking(dialect), lively().await);
        let Some(mut rsyslog) = Rsyslog::start(&place.path("rsyslog")) else { return };
        let siem = format!(
            "[sinks.siem]\nkind = \"syslog\"\naddress = \"tcp://127.0.0.1:{}\"\nsettle = \"2s\"\n\n",
            rsyslog.tcp
        );
        place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &siem]);
        let daemon = Daemon::start(&place);
        rsyslog.wait_for_received(10);
        rsyslog.stop();
        let (start, away) = (Instant::now(), duration("OUTAGE_FOR", AWAY));
        while start.elapsed() < away {
            let before = place.arrivals("file").len();
            wait_for("the file to go on", || before + 5 <= place.arrivals("file").len());
        }
        let missed = current(dialect, &sandbox);
        wait_for("the file to have everything while rsyslog is away", || {
            let arrivals = place.arrivals("file");
            let there: HashSet<_> = arrivals.iter().map(|arrival| arrival.incident.get()).collect();
            let current = current(dialect, &sandbox);
            missed.iter().all(|json| there.contains(json.as_str()) || !current.contains(json))
        });
        place.command(&["status"]).expect(0, &["sink siem: retrying"]);
        rsyslog.restart();
        let expected: HashSet<_> = place.arrivals("file").into_iter().map(|arrival| arrival.event_id).collect();
        wait_for("rsyslog to have every event of the file", || expected.is_subset(&received(&rsyslog)));
        assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
        // A stop waits for no receiver: what was read last is sent by the next start.
        sandbox.faults().often(Endpoint::list(dialect), 1.0, Fault::Status(503));
        let daemon = Daemon::start(&place);
        let all: HashSet<_> = place.arrivals("file").into_iter().map(|arrival| arrival.event_id).collect();
        wait_for("what was read while stopping", || all.is_subset(&received(&rsyslog)));
        assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
        println!("rsyslog was away for {:?}: {} events in the file, none missing in rsyslog", away, all.len());
    }
}

/// What is there now; another revision may have taken the place of one before anybody could read it.
fn current(dialect: Dialect, sandbox: &Sandbox) -> HashSet<String> {
    sandbox.world().rows().by_number().map(|row| row.told(dialect, sandbox.tenant_id()).to_owned()).collect()
}

/// The ids of the events that rsyslog wrote down.
fn received(rsyslog: &Rsyslog) -> HashSet<String> {
    let id = |message: String| {
        let event: serde_json::Value = serde_json::from_str(message.trim_start_matches('\u{feff}')).expect("an event");
        event["event_id"].as_str().expect("an id").to_owned()
    };
    rsyslog.received().into_iter().map(|parsed| id(parsed.msg)).collect()
}
