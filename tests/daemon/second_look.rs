//! What the sweeps cannot find or cannot read: late rows, silent edits, incidents that no page survives.

use std::time::Duration;

use xdrelay::model::dialect::Dialect;
use xdrelay::sandbox::incident::IncidentNumber;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::{Daemon, Place, in_both_dialects, still, unlimited, wait_for};

/// An overlap of a minute, and audits as often as may be.
const POLL: &str = "[poll]\ninterval = \"1s\"\nsweep_every = \"5s\"\noverlap = \"1m\"\naudit_every = \"5s\"\naudit_window = \"1h\"\n\n\
     [quota]\nlist_per_minute = 6000\nlist_per_hour = 360000\nget_per_minute = 6000\nget_per_hour = 360000\n\n";

fn tenant_status(place: &Place) -> serde_json::Value {
    place.command(&["status", "--json"]).json()["tenants"]["contoso"].clone()
}

/// The events of one incident that have arrived.
fn arrived(place: &Place, number: IncidentNumber) -> usize {
    let id = number.0.to_string();
    place.arrivals("file").iter().filter(|arrival| arrival.header().id.as_str() == id).count()
}

fn started(dialect: Dialect, sandbox: &Sandbox) -> (Place, Daemon) {
    let place = Place::speaking(dialect);
    place.configure(&[POLL, &place.tenant("contoso", sandbox), &place.file_sink("file")]);
    let daemon = Daemon::start(&place);
    (place, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_later_than_the_overlap_and_a_silent_edit_are_found_by_the_audit() {
    in_both_dialects(|dialect| async move {
        let sandbox = still(5, unlimited()).await;
        let (place, daemon) = started(dialect, &sandbox);
        wait_for("all of it", || place.arrivals("file").len() == 5);
        wait_for("the cursor to pass", || {
            let cursor = tenant_status(&place)["cursor"].as_str().map(str::to_owned);
            cursor.is_some_and(|cursor| sandbox.now().earlier(Duration::from_secs(100)).to_string() < cursor)
        });
        let old = sandbox.world().rows().by_number().next().expect("a row").number;
        let late = {
            let (mut world, now) = (sandbox.world(), sandbox.now());
            let stamped = now.earlier(Duration::from_secs(600));
            world.delay_next(now.since(stamped));
            let late = world.create(stamped);
            assert!(world.edit_alert_only(old, now), "it has an alert");
            late
        };
        wait_for("the late one", || arrived(&place, late) == 1);
        wait_for("the edited one once more", || arrived(&place, old) == 2);
        wait_for("both to be counted", || tenant_status(&place)["audit_missed"] == 2);
        assert!(daemon.log().contains("the audit found what the sweeps had not"), "{}", daemon.log());
        assert_eq!(daemon.stop("TERM"), 0);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_no_page_survives_stops_nobody_and_comes_when_it_can_be_read() {
    in_both_dialects(|dialect| async move {
        let sandbox = still(30, unlimited()).await;
        let poison = sandbox.world().rows().by_number().nth(12).expect("a row").number;
        sandbox.settings().poison.insert(poison.0);
        let (place, daemon) = started(dialect, &sandbox);
        wait_for("everything but one", || place.arrivals("file").len() == 29);
        wait_for("the quarantine", || tenant_status(&place)["quarantined"] == 1);
        let rounds = tenant_status(&place)["rounds"].as_u64();
        wait_for("complete sweeps around it", || rounds < tenant_status(&place)["rounds"].as_u64());
        assert_eq!(arrived(&place, poison), 0);
        assert!(daemon.log().contains("cannot be read; everything around them is"), "{}", daemon.log());
        sandbox.settings().poison.clear();
        wait_for("the last one", || arrived(&place, poison) == 1);
        wait_for("the quarantine to be empty", || tenant_status(&place)["quarantined"] == 0);
        assert_eq!(daemon.stop("TERM"), 0);
    });
}
