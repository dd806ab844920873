//! Sinks that only hope: a Unix socket that nobody reads and a UDP port that nobody listens on hold up nobody else, and get what
//! waits once somebody does.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

use crate::harness::{Arrival, BOUND, Daemon, Place, QUICK, lively, wait_for};
use crate::ledger::{acknowledged, status};

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
