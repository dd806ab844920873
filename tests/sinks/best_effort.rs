//! Sinks that only hope: a Unix socket that nobody reads and a UDP port that nobody listens on hold up nobody else, and get what
//! waits once somebody does.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::harness::{Arrival, BOUND, Daemon, Place, QUICK, lively, still, unlimited, wait_for};
use crate::ledger::{acknowledged, standing, status};

fn sequence(datagram: &[u8]) -> u64 {
    let text = std::str::from_utf8(datagram).expect("UTF-8");
    serde_json::from_str::<Arrival>(text.split_once("] ").expect("a syslog message").1).expect("an event").sequence
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_nobody_reads_holds_up_nobody_else() {
    let (place, sandbox) = (Place::new(), lively().await);
    let (path, mut received) = (place.path("log"), BTreeSet::new());
    let journal = UnixDatagram::bind(&path).expect("a socket");
    let gone = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let room = "max_message_size = \"60 KiB\"";
    let unix = format!("[sinks.unix]\nkind = \"syslog\"\naddress = \"unix://{}\"\n{room}\n\n", path.display());
    let udp = format!("[sinks.udp]\nkind = \"syslog\"\naddress = \"udp://{gone}\"\n{room}\n\n");
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &unix, &udp]);
    let daemon = Daemon::start(&place);
    for sink in ["unix", "udp"] {
        wait_for(&format!("{sink} to be stuck"), || status(&place, sink)["state"] == "retrying");
    }
    let before = place.arrivals("file").len();
    wait_for("the file to go on", || before + 30 <= place.arrivals("file").len());
    let stuck = acknowledged(&place, "unix");
    assert!(stuck < before as u64, "the socket holds {stuck} datagrams that nobody reads");

    let listener = UdpSocket::bind(gone).expect("the port is free still");
    listener.set_read_timeout(Some(BOUND)).expect("set");
    let mut buffer = vec![0; 1 << 16];
    let length = listener.recv(&mut buffer).expect("a datagram, now that somebody listens");
    assert!(0 < sequence(&buffer[..length]));
    journal.set_read_timeout(Some(BOUND)).expect("set");
    while received.len() < before {
        let length = journal.recv(&mut buffer).expect("datagrams, now that somebody reads");
        received.insert(sequence(&buffer[..length]));
    }
    let last = received.last().copied().unwrap_or_default();
    assert_eq!(received, (1..=last).collect(), "a Unix socket that takes a datagram keeps it");
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
}

/// What is too large for a sink is reduced to what it takes, however many there are, and holds up none of the others.
#[tokio::test(flavor = "multi_thread")]
async fn many_that_are_too_large_arrive_reduced_and_hold_up_none_of_the_others() {
    let (place, sandbox) = (Place::new(), still(0, unlimited()).await);
    let (large, small) = (80, 20);
    let now = sandbox.now();
    for second in (10..110).rev() {
        let bytes = if second % 5 == 0 { 2_000 } else { 20_000 };
        sandbox.world().create_sized(now.earlier(Duration::from_secs(second)), bytes);
    }
    sandbox.world().settle(now);
    let path = place.path("log");
    let journal = UnixDatagram::bind(&path).expect("a socket");
    let unix = format!("[sinks.unix]\nkind = \"syslog\"\naddress = \"unix://{}\"\n\n", path.display());
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &unix]);
    let daemon = Daemon::start(&place);
    journal.set_read_timeout(Some(BOUND)).expect("set");
    let (mut buffer, mut received, mut reduced) = (vec![0; 1 << 16], BTreeSet::new(), 0);
    while received.len() < large + small {
        let length = journal.recv(&mut buffer).expect("all of them");
        let datagram = std::str::from_utf8(&buffer[..length]).expect("UTF-8");
        let event: serde_json::Value =
            serde_json::from_str(datagram.split_once("] ").expect("a syslog message").1).expect("an event");
        assert!(length <= 8 << 10, "{length} B in one datagram");
        assert_eq!(event["truncated"] == true, event["original"]["size"].is_u64(), "{event}");
        if received.insert(event["sequence"].as_u64().expect("a number")) {
            reduced += usize::from(event["truncated"] == true);
        }
    }
    assert_eq!(reduced, large);
    wait_for("all to be done with", || acknowledged(&place, "unix") == (large + small) as u64);
    drop(daemon);
    assert!(standing(&place, "unix").await.refused.is_empty());
}
