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
    wait_for("both to be stuck", || ["unix", "udp"].iter().all(|sink| status(&place, sink)["state"] == "retrying"));
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

/// What is too large for a sink is refused, however many there are, and holds up none of the others.
#[tokio::test(flavor = "multi_thread")]
async fn many_that_are_too_large_hold_up_none_of_the_others() {
    let (place, sandbox) = (Place::new(), still(0, unlimited()).await);
    let (large, small) = (80, 20);
    let now = sandbox.now();
    for second in (10..110).rev() {
        // More large ones than are refused before it counts as a mistake in the settings, and a small one now and then.
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
    let (mut buffer, mut received) = (vec![0; 1 << 16], BTreeSet::new());
    while received.len() < small {
        let length = journal.recv(&mut buffer).expect("the small ones");
        received.insert(sequence(&buffer[..length]));
    }
    wait_for("all to be done with", || acknowledged(&place, "unix") == large + small as u64);
    assert_eq!(status(&place, "unix")["state"], "delivering");
    drop(daemon);
    let refused: BTreeSet<u64> = standing(&place, "unix").await.refused.iter().map(|refusal| refusal.seq.0).collect();
    assert_eq!((refused.len() as u64, refused.is_disjoint(&received)), (large, true));
}
