//! The syslog sink against peers that no real receiver can be told to be: slow, deaf, rude, gone at the worst moment.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use socket2::SockRef;
use tokio::time::{sleep, timeout};
use xdrelay::core::courier::DeliverError;
use xdrelay::model::event::{Event, Kind, Notes};
use xdrelay::model::names::{EventId, IncidentId, Seq, TenantName};
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sink::syslog::sender::Syslog;
use xdrelay::sink::{Outgoing, Sink};

/// How long anything may take that should happen.
const BOUND: Duration = Duration::from_secs(90);
/// How often something is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(10);

fn event(number: u64, body_size: usize) -> Outgoing {
    Outgoing {
        seq: Seq(number),
        event: Event {
            event_id: EventId::new(format!("contoso/{number}/0/00000000")),
            kind: Kind::Created,
            tenant: TenantName::new("contoso"),
            sequence: number,
            observed_at: Timestamp::from_seconds(1_800_000_000),
            changes: Vec::new(),
            incident_id: IncidentId::new(number.to_string()),
            last_update: None,
            severity: None,
            notes: Notes::default(),
            incident: RawValue::from_string("{}".into()).expect("JSON"),
            for_sink: xdrelay::model::delivery::ForSink::default(),
        },
        body: vec![b'x'; body_size],
    }
}

fn open(toml: &str) -> Syslog {
    Syslog::open(&toml::from_str(toml).expect("the keys of a syslog sink")).expect("a sink")
}

/// A sink and the listener that it connects to.
fn pair(toml: &str) -> (Syslog, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    (open(&format!("address = 'tcp://{address}'\n{toml}")), listener)
}

/// The next connection, bounded: what broken code never makes shall not hang the test.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("set");
    let start = Instant::now();
    loop {
        if let Ok((peer, _)) = listener.accept() {
            peer.set_nonblocking(false).expect("set");
            return peer;
        }
        assert!(start.elapsed() < BOUND, "nobody connects");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Asks how far the sink got until it says something, or fails.
async fn outcome(sink: &mut Syslog) -> Result<Seq, DeliverError> {
    let start = Instant::now();
    loop {
        if let Some(seq) = sink.deliver(&[]).await? {
            return Ok(seq);
        }
        assert!(start.elapsed() < BOUND, "the sink says nothing");
        sleep(LOOK_EVERY).await;
    }
}

fn is_retry(outcome: &Result<impl Sized, DeliverError>) -> bool {
    matches!(outcome, Err(DeliverError::Retry { .. }))
}

/// Waits until the peer's kernel holds this many bytes, without reading one.
fn await_bytes(peer: &TcpStream, count: usize) {
    peer.set_read_timeout(Some(BOUND)).expect("a timeout");
    let (start, mut buffer) = (Instant::now(), vec![0; count]);
    while peer.peek(&mut buffer).expect("bytes") < count {
        assert!(start.elapsed() < BOUND, "the bytes do not come");
    }
}

#[tokio::test]
async fn a_connection_that_stays_alive_confirms_and_one_that_closes_does_not() {
    let (mut sink, listener) = pair("settle = '1s'");
    assert_eq!(sink.deliver(&[event(1, 10)]).await, Ok(None));
    let peer = accept(&listener);
    assert_eq!(outcome(&mut sink).await, Ok(Seq(1)));

    assert_eq!(sink.deliver(&[event(2, 10)]).await, Ok(None));
    drop(peer);
    assert!(is_retry(&outcome(&mut sink).await));
    assert_eq!(sink.deliver(&[]).await, Ok(None), "after the error nothing is in the air");
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_replaced_without_a_word() {
    let (mut sink, listener) = pair("settle = '1s'");
    for number in [1, 2] {
        assert_eq!(sink.deliver(&[event(number, 10)]).await, Ok(None));
        let mut peer = accept(&listener);
        assert_eq!(outcome(&mut sink).await, Ok(Seq(number)));
        // Read first: what is closed with something unread resets.
        let mut message = [0; 1000];
        assert!(50 < peer.read(&mut message).expect("a message"));
    }
}

#[tokio::test]
async fn half_a_close_is_a_close() {
    let (mut sink, listener) = pair("settle = '1s'");
    assert_eq!(sink.deliver(&[event(1, 10)]).await, Ok(None));
    let peer = accept(&listener);
    peer.shutdown(Shutdown::Write).expect("shut down");
    let Err(DeliverError::Retry { why, .. }) = outcome(&mut sink).await else { panic!("it counts as alive") };
    assert!(why.ends_with("has closed the connection"), "{why}");
}

#[tokio::test]
async fn words_of_the_peer_are_dropped_up_to_a_bound() {
    let (mut sink, listener) = pair("settle = '1s'");
    assert_eq!(sink.deliver(&[event(1, 10)]).await, Ok(None));
    let mut peer = accept(&listener);
    peer.write_all(b"220 welcome\r\n").expect("written");
    assert_eq!(outcome(&mut sink).await, Ok(Seq(1)));

    assert_eq!(sink.deliver(&[event(2, 10)]).await, Ok(None));
    let talker = std::thread::spawn(move || while peer.write_all(&[b'x'; 65_536]).is_ok() {});
    let Err(DeliverError::Retry { why, .. }) = outcome(&mut sink).await else { panic!("it bears any talk") };
    assert!(why.contains("talks instead of listening"), "{why}");
    talker.join().expect("it ends when nobody listens any more");
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_given_up() {
    let (mut sink, listener) = pair("settle = '2s'\nmax_message_size = '64 MiB'");
    // More than both kernels hold.
    let events = [event(1, 32 << 20)];
    let delivery = timeout(BOUND, sink.deliver(&events)).await.expect("it does not wait for ever");
    assert!(is_retry(&delivery), "{delivery:?}");
    drop(listener);
}

/// The case that a connection's being alive does not cover: a peer that reads slowly keeps it alive for ever, while the
/// bytes wait on our side.
#[tokio::test]
async fn what_has_not_left_this_machine_is_not_confirmed_however_long_its_connection_lives() {
    let (mut sink, listener) = pair("settle = '1s'\nmax_message_size = '1 MiB'");
    SockRef::from(&listener).set_recv_buffer_size(4096).expect("a small buffer");
    let size = 200_000;
    assert_eq!(sink.deliver(&[event(1, size)]).await, Ok(None), "our own kernel takes it all");
    let mut peer = accept(&listener);
    let mut read = 0;
    while read < size / 2 {
        // About two seconds, so twice `settle`, and never a pause that would end the connection.
        read += peer.read(&mut [0; 1000]).expect("bytes");
        assert_eq!(sink.deliver(&[]).await, Ok(None), "half of it is still here");
        sleep(2 * LOOK_EVERY).await;
    }
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).expect("the rest");
        read + rest.len()
    });
    assert_eq!(outcome(&mut sink).await, Ok(Seq(1)));
    drop(sink);
    assert!(size < reader.join().expect("read"));
}

#[tokio::test]
async fn a_close_proves_nothing_when_the_peer_had_not_read_to_the_end() {
    let (mut sink, listener) = pair("settle = '10m'");
    assert_eq!(sink.deliver(&[event(1, 1000)]).await, Ok(None));
    let mut peer = accept(&listener);
    let peer = std::thread::spawn(move || {
        await_bytes(&peer, 1000);
        // Waits for our close, and leaves the last byte unread.
        let mut rest = vec![0; 1000];
        peer.read_exact(&mut rest).expect("most of it");
        drop(peer);
    });
    let closed = sink.close().await;
    assert!(is_retry(&closed), "{closed:?}");
    peer.join().expect("it ends");
}

#[tokio::test]
async fn a_close_that_the_peer_does_not_answer_ends_all_the_same() {
    let (mut sink, listener) = pair("settle = '10m'");
    assert_eq!(sink.deliver(&[event(1, 10)]).await, Ok(None));
    let peer = accept(&listener);
    let closed = timeout(BOUND, sink.close()).await.expect("it does not wait for ever");
    assert!(is_retry(&closed), "{closed:?}");
    drop(peer);
}

#[tokio::test]
async fn a_delivery_that_was_dropped_under_way_confirms_nothing_and_leaves_no_half_message() {
    let (mut sink, listener) = pair("settle = '1s'\nmax_message_size = '64 MiB'");
    assert_eq!(sink.deliver(&[event(1, 10)]).await, Ok(None));
    let events = [event(2, 32 << 20)];
    assert!(timeout(Duration::from_millis(100), sink.deliver(&events)).await.is_err(), "nobody reads");
    assert!(is_retry(&sink.deliver(&[event(3, 10)]).await), "1 and 2 are unknown");
    let first = accept(&listener);
    assert_eq!(sink.deliver(&[event(1, 10)]).await, Ok(None));
    let mut second = accept(&listener);
    assert_eq!(outcome(&mut sink).await, Ok(Seq(1)));
    let mut begin = [0; 4];
    second.read_exact(&mut begin).expect("a message from its beginning");
    assert!(begin.is_ascii() && begin[0].is_ascii_digit(), "{begin:?}");
    drop(first);
}

#[tokio::test]
async fn a_unix_socket_takes_datagrams() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let mut sink = open(&format!("address = 'unix://{}'\nhostname = 'here'", path.display()));
    assert!(is_retry(&sink.deliver(&[event(1, 10)]).await), "nobody listens");
    let listener = UnixDatagram::bind(&path).expect("a socket");
    assert_eq!(sink.deliver(&[event(1, 3), event(2, 3)]).await, Ok(Some(Seq(2))));
    let mut buffer = [0; 4096];
    let length = listener.recv(&mut buffer).expect("a datagram");
    let text = std::str::from_utf8(&buffer[..length]).expect("UTF-8");
    assert!(text.starts_with("<133>1 2027-01-15T08:00:00.000000Z here xdrelay ") && text.ends_with("] xxx"), "{text}");
}

#[tokio::test]
async fn an_unreachable_port_is_an_error_on_every_transport() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    for scheme in ["tcp", "udp"] {
        let mut sink = open(&format!("address = '{scheme}://127.0.0.1:{port}'"));
        assert_eq!(sink.deliver(&[]).await, Ok(None), "nothing is connected before there is something to send");
        let delivery = sink.deliver(&[event(1, 10)]).await;
        assert!(is_retry(&delivery), "{scheme}: {delivery:?}");
        let of_several = sink.deliver(&[event(1, 10), event(2, 10), event(3, 10)]).await;
        assert!(is_retry(&of_several), "{scheme}: {of_several:?}");
    }
}
