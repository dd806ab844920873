//! Start, stop, restart, log rotation, and state directories that are not ours.

use std::collections::HashSet;
use std::fs;

use crate::harness::{
    Arrival, Daemon, Place, QUICK, arrivals, assert_whole_lines, in_both_dialects, lively, still, unlimited, wait_for,
};

/// Every event once, numbered without a gap, in this order.
fn assert_once_and_in_order(arrivals: &[Arrival]) {
    let ids: HashSet<_> = arrivals.iter().map(|arrival| &arrival.event_id).collect();
    assert_eq!(ids.len(), arrivals.len(), "an event_id repeats");
    let numbers: Vec<_> = arrivals.iter().map(|arrival| arrival.sequence).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_in_good_order_and_the_next_start_goes_on() {
    in_both_dialects(|dialect| async move {
        let (place, sandbox) = (Place::speaking(dialect), lively().await);
        place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
        let mut before = 0;
        for signal in ["TERM", "INT", "TERM"] {
            let daemon = Daemon::start(&place);
            wait_for("events", || before + 20 <= place.arrivals("file").len());
            assert_eq!(daemon.stop(signal), 0, "SIG{signal}: {}", place.text("daemon.log"));
            assert_whole_lines(&place.path("file.ndjson"));
            before = place.arrivals("file").len();
        }
        assert_once_and_in_order(&place.arrivals("file"));
        place.command(&["status"]).expect(0, &["not running"]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_and_a_hang_up_a_new_file_goes_on() {
    let (place, sandbox) = (Place::new(), lively().await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let daemon = Daemon::start(&place);
    wait_for("events", || 10 <= place.arrivals("file").len());
    let (path, rotated) = (place.path("file.ndjson"), place.path("file.ndjson.1"));
    fs::rename(&path, &rotated).expect("renamed");
    daemon.signal("HUP");
    wait_for("the signal to be heard", || daemon.log().contains("opening the files of the sinks anew"));
    wait_for("events in a new file", || 10 <= arrivals(&path).len());
    let at_rest = fs::metadata(&rotated).expect("the old file").len();
    wait_for("more events", || 20 <= arrivals(&path).len());
    assert_eq!(fs::metadata(&rotated).expect("the old file").len(), at_rest, "the old file is left alone");
    assert_eq!(daemon.stop("TERM"), 0);
    assert_whole_lines(&rotated);
    let mut all = arrivals(&rotated);
    all.extend(arrivals(&path));
    assert_once_and_in_order(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_is_told_who_has_the_state_directory() {
    let (place, sandbox) = (Place::new(), still(3, unlimited()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let daemon = Daemon::start(&place);
    let holder = format!("is held by another xdrelay (process {})", daemon.id());
    place.command(&["run"]).expect(73, &[&holder, "state_dir of its own"]);
    place.command(&["run", "--once"]).expect(73, &[&holder]);
    wait_for("the first one to go on", || place.arrivals("file").len() == 3);
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_of_something_else_is_left_alone() {
    let (place, sandbox) = (Place::new(), still(0, unlimited()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    fs::create_dir(place.state()).expect("a directory");
    fs::write(place.state().join("thesis.txt"), "two years of work").expect("written");
    place.command(&["run"]).expect(73, &["no state directory of xdrelay", "thesis.txt", "a directory of its own"]);
    let left: Vec<_> = fs::read_dir(place.state()).expect("a directory").collect();
    assert_eq!(left.len(), 1, "nothing was put beside it: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_of_a_newer_version_is_left_alone() {
    let (place, sandbox) = (Place::new(), still(1, unlimited()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    place.command(&["run", "--once"]).expect(0, &[]);
    make_newer(&place);
    place.command(&["run", "--once"]).expect(73, &["has format 2", "this program knows 1", "use the newer xdrelay"]);
    place.command(&["status"]).expect(73, &["use the newer xdrelay"]);
}

/// Marks the database as a later version would.
fn make_newer(place: &Place) {
    let db = sled::Config::new().path(place.state().join("sled")).open().expect("the database");
    let body = br#"{"ledger":"xdrelay ledger","format":2,"made":1,"more":true}"#;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[0x01]);
    hasher.update(body);
    db.insert([0x01], [&hasher.finalize().to_be_bytes()[..], body].concat()).expect("written");
    db.flush().expect("flushed");
}
