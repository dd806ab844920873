//! The daemon is killed while some sinks take and others do not: no position is ahead of what its sink has, and nothing is
//! lost.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rand::RngExt;

use crate::harness::{Arrival, BOUND, Daemon, Place, QUICK, lively, still, unlimited, wait_for};
use crate::http_faulty::Faulty;
use crate::ledger::{acknowledged, standing};

/// Incidents of a tenant in which nothing happens.
const FEW: u32 = 50;
/// How often the daemon is killed in the middle of a stream.
const KILLS: u32 = 6;

fn http_sink(name: &str, receiver: &Faulty, more: &str) -> String {
    format!("[sinks.{name}]\nkind = \"http\"\nurl = \"{}\"\n{more}\n\n", receiver.url())
}

fn tcp_sink(name: &str, listener: &TcpListener) -> String {
    let port = listener.local_addr().expect("an address").port();
    let settings = "kind = \"syslog\"\nsettle = \"10m\"";
    format!("[sinks.{name}]\n{settings}\naddress = \"tcp://127.0.0.1:{port}\"\nframing = \"newline\"\n\n")
}

/// The sequences of the events that a receiver has, whatever it answered.
fn kept(receiver: &Faulty) -> BTreeSet<u64> {
    let requests = receiver.requests().into_iter().filter(|request| request.kept);
    let event = |line: String| serde_json::from_str::<Arrival>(&line).expect("an event").sequence;
    requests.flat_map(|request| request.lines).map(event).collect()
}

/// The sequences of the events that come over a connection, until all of these are there.
fn read_all(stream: TcpStream, wanted: &BTreeSet<u64>) {
    stream.set_read_timeout(Some(BOUND)).expect("set");
    let mut missing = wanted.clone();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap_or_else(|error| panic!("{error}; these did not come: {missing:?}"));
        let json = line.split_once("] ").expect("a syslog message").1;
        missing.remove(&serde_json::from_str::<Arrival>(json).expect("an event").sequence);
        if missing.is_empty() {
            return;
        }
    }
    panic!("the connection ended, and these did not come: {missing:?}");
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("set");
    let mut stream = None;
    wait_for("a connection", || {
        stream = listener.accept().ok();
        stream.is_some()
    });
    let stream = stream.expect("just seen").0;
    stream.set_nonblocking(false).expect("set");
    stream
}

/// Waits until something has come over a connection, and leaves it there.
fn await_bytes(stream: &TcpStream) {
    stream.set_read_timeout(Some(BOUND)).expect("set");
    assert_ne!(stream.peek(&mut [0]).expect("bytes"), 0, "the connection ended");
}

/// Nothing here is left to chance: no sink but the file confirms anything, so no other position may move.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_not_confirmed_is_sent_again_after_a_kill() {
    let (place, sandbox) = (Place::new(), still(FEW, unlimited()).await);
    let Some(mute) = Faulty::start(&place.path("mute")) else { return };
    mute.order(&serde_json::json!({ "often": { "hang": 1.0 } }));
    let siem = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (hook, siem_sink) = (http_sink("hook", &mute, "timeout = \"10m\""), tcp_sink("siem", &siem));
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &hook, &siem_sink]);
    let daemon = Daemon::start(&place);
    let swallowing = accept(&siem);
    await_bytes(&swallowing);
    wait_for("the file to have everything", || acknowledged(&place, "file") == u64::from(FEW));
    wait_for("a request that nobody answers", || !mute.requests().is_empty());
    daemon.kill();
    drop(swallowing);
    assert_eq!(standing(&place, "file").await.acknowledged, u64::from(FEW));
    assert_eq!(standing(&place, "hook").await.acknowledged, 0, "nobody answered");
    assert_eq!(standing(&place, "siem").await.acknowledged, 0, "its connection did not live long enough");

    mute.order(&serde_json::json!({ "often": {} }));
    let daemon = Daemon::start(&place);
    let all: BTreeSet<u64> = (1..=u64::from(FEW)).collect();
    read_all(accept(&siem), &all);
    wait_for("the receiver to have everything", || kept(&mute) == all);
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    let file: Vec<u64> = place.arrivals("file").iter().map(|arrival| arrival.sequence).collect();
    assert_eq!(file.len(), FEW as usize, "what was acknowledged does not come again");
}

/// A connection that takes everything and then breaks with it unread has delivered nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_swallowed_is_sent_again() {
    let (place, sandbox) = (Place::new(), still(FEW, unlimited()).await);
    let siem = TcpListener::bind("127.0.0.1:0").expect("a free port");
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &tcp_sink("siem", &siem)]);
    let daemon = Daemon::start(&place);
    for _ in 0..2 {
        let swallowing = accept(&siem);
        await_bytes(&swallowing);
        wait_for("the file to have everything", || acknowledged(&place, "file") == u64::from(FEW));
    }
    wait_for("a warning, though nothing was being sent", || daemon.log().contains("WARN the sink takes nothing"));
    let mut stream = accept(&siem);
    // Half of them are read, and the connection ends in good order on this side.
    let mut some = [0; 20_000];
    stream.read_exact(&mut some).expect("bytes");
    drop(stream);
    read_all(accept(&siem), &(1..=u64::from(FEW)).collect());
    assert_eq!(acknowledged(&place, "siem"), 0);
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_position_is_ahead_of_its_sink_however_often_the_daemon_is_killed() {
    let (place, sandbox) = (Place::new(), lively().await);
    let Some(hook) = Faulty::start(&place.path("hook")) else { return };
    let Some(dead) = Faulty::start(&place.path("dead")) else { return };
    hook.order(&serde_json::json!({ "often": { "lose": 0.2, "close": 0.1 }, "seed": 1 }));
    dead.order(&serde_json::json!({ "often": { "503": 1.0 } }));
    let sinks = [http_sink("hook", &hook, "batch_events = 5"), http_sink("dead", &dead, "")].concat();
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &sinks]);
    for _ in 0..KILLS {
        let (daemon, before) = (Daemon::start(&place), (place.arrivals("file").len(), kept(&hook).len()));
        wait_for("both living sinks to go on", || {
            before.0 + 5 <= place.arrivals("file").len() && before.1 + 5 <= kept(&hook).len()
        });
        // Any moment is a good one.
        let (start, more) = (Instant::now(), Duration::from_millis(rand::rng().random_range(0..500)));
        wait_for("the moment", || more <= start.elapsed());
        daemon.kill();
        let file: BTreeSet<u64> = place.arrivals("file").iter().map(|arrival| arrival.sequence).collect();
        for (sink, has) in [("file", file), ("hook", kept(&hook)), ("dead", BTreeSet::new())] {
            let acknowledged = standing(&place, sink).await.acknowledged;
            let lacks: Vec<u64> = (1..=acknowledged).filter(|sequence| !has.contains(sequence)).collect();
            assert!(lacks.is_empty(), "{sink} counts as having events up to {acknowledged} and lacks {lacks:?}");
        }
    }
    hook.order(&serde_json::json!({ "often": {} }));
    dead.order(&serde_json::json!({ "often": {} }));
    let daemon = Daemon::start(&place);
    let sequences = || place.arrivals("file").iter().map(|arrival| arrival.sequence).collect::<BTreeSet<u64>>();
    let so_far = sequences();
    wait_for("all to have what the file has", || so_far.is_subset(&kept(&hook)) && so_far.is_subset(&kept(&dead)));
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    let file = sequences();
    let last = file.last().copied().unwrap_or_default();
    assert_eq!(file, (1..=last).collect(), "the file lacks nothing");
    println!("{KILLS} kills: {last} events, nothing is missing in any of three sinks");
}
