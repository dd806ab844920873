//! The RELP sink against peers that rsyslog cannot be told to be: late, out of order, silent, rude, gone at the worst moment.
//! The peer here is a script of our own (`receivers/relp_peer.rs`).

mod outgoing;
#[path = "receivers/relp_peer.rs"]
mod peer;

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::net::TcpListener;
use std::thread::JoinHandle;

use outgoing::{outgoing, several};
use peer::{BOUND, Peer};
use tokio::sync::oneshot;
use tokio::time::timeout;
use xdrelay::core::courier::DeliverError;
use xdrelay::model::delivery::Part;
use xdrelay::model::names::Seq;
use xdrelay::sink::relp::Relp;
use xdrelay::sink::{Outgoing, Sink};

/// A sink and the listener that it connects to.
fn pair(toml: &str) -> (Relp, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let config = toml::from_str(&format!("address = 'tcp://{address}'\n{toml}")).expect("the keys of a RELP sink");
    (Relp::open(&config).expect("a sink"), listener)
}

/// A peer at work beside the sink.
fn play<T: Send + 'static>(
    listener: TcpListener,
    script: impl FnOnce(&TcpListener) -> T + Send + 'static,
) -> JoinHandle<T> {
    std::thread::spawn(move || script(&listener))
}

fn retried(outcome: Result<Option<Seq>, DeliverError>) -> String {
    match outcome {
        Err(DeliverError::Retry { why, after: None }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_that_come_out_of_order_count_in_order_and_nothing_answered_is_sent_again() {
    let (mut sink, listener) = pair("");
    let peer = play(listener, |listener| {
        let mut peer = Peer::welcome(listener);
        assert_eq!(peer.messages(3), [1, 2, 3]);
        peer.ok([4, 3]);
        drop(peer);
        let mut peer = Peer::welcome(listener);
        assert_eq!(peer.messages(1), [1]);
        peer.ok([2]);
        assert_eq!(peer.messages(1), [4], "what was answered before is known");
        peer.ok([3]);
        peer.await_end();
    });
    let events = several(1..=4, 10);
    let why = retried(sink.deliver(&events[..3]).await);
    assert!(why.ends_with("has closed the connection") || why.contains("broke"), "{why}");
    assert_eq!(sink.deliver(&events[..3]).await, Ok(Some(Seq(3))));
    assert_eq!(sink.deliver(&events[3..]).await, Ok(Some(Seq(4))));
    drop(sink);
    peer.join().expect("played");
}

#[tokio::test]
async fn no_more_is_under_way_than_the_window_holds() {
    let (mut sink, listener) = pair("window = 4");
    let peer = play(listener, |listener| {
        let mut peer = Peer::welcome(listener);
        assert_eq!(peer.messages(4), [1, 2, 3, 4]);
        for number in 5..=10 {
            assert!(peer.hears_nothing(), "the window is full");
            peer.ok([u32::try_from(number).expect("small") - 3]);
            assert_eq!(peer.messages(1), [number]);
        }
        peer.ok(8..=11);
        peer.await_end();
    });
    assert_eq!(sink.deliver(&several(1..=10, 10)).await, Ok(Some(Seq(10))));
    drop(sink);
    peer.join().expect("played");
}

/// What a peer says instead of an answer to the second of two messages, and what the sink makes of it.
async fn check_broken(said: &'static str, expected: &str) {
    let (mut sink, listener) = pair("timeout = '2s'");
    let peer = play(listener, move |listener| {
        let mut peer = Peer::welcome(listener);
        assert_eq!(peer.messages(2), [1, 2]);
        peer.ok([2]);
        peer.say(said);
        drop(peer);
        let mut peer = Peer::welcome(listener);
        assert_eq!(peer.messages(1), [2], "{said:?}");
        peer.say(said);
        drop(peer);
        let mut peer = Peer::welcome(listener);
        assert_eq!(peer.messages(1), [2], "{said:?}");
        peer.ok([2]);
        peer.await_end();
    });
    let events = several(1..=2, 10);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(1))), "{said:?}");
    let why = retried(sink.deliver(&events[1..]).await);
    assert!(why.contains(expected), "{said:?}: {why}");
    assert_eq!(sink.deliver(&events[1..]).await, Ok(Some(Seq(2))), "{said:?}");
    drop(sink);
    peer.join().expect("played");
}

#[tokio::test]
async fn what_breaks_a_session_confirms_nothing_more_and_the_rest_is_sent_again() {
    check_broken("garbage\n", "is no frame: its transaction number").await;
    check_broken("3 rsp 6 200 OK!", "is no frame: it does not end").await;
    check_broken("3 rsp 99999 200", "is no frame: its length").await;
    check_broken("7 rsp 6 200 OK\n", "`rsp` for transaction 7, of which nothing is outstanding").await;
    check_broken("1 rsp 6 200 OK\n", "`rsp` for transaction 1, of which nothing is outstanding").await;
    check_broken("3 syslog 6 200 OK\n", "`syslog` for transaction 3").await;
    check_broken("0 serverclose 0\n", "the receiver closes the session").await;
}

#[tokio::test]
async fn half_an_answer_is_none() {
    for said in ["3 rsp 6 200 OK", "3 rsp 6 20", "3 r", "3 rsp 6 OK 200\n", "3 rsp 0\n"] {
        let (mut sink, listener) = pair("");
        let peer = play(listener, move |listener| {
            let mut peer = Peer::welcome(listener);
            assert_eq!(peer.messages(2), [1, 2]);
            peer.say(said);
            drop(peer);
            let mut peer = Peer::welcome(listener);
            assert_eq!(peer.messages(2), [1, 2], "{said:?}");
            peer.ok([2, 3]);
            peer.await_end();
        });
        let events = several(1..=2, 10);
        retried(sink.deliver(&events).await);
        assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(2))), "{said:?}");
        drop(sink);
        peer.join().expect("played");
    }
}

#[tokio::test]
async fn who_is_no_receiver_pauses_the_sink_with_a_reason() {
    let frame = |data: &str| format!("1 rsp {} {data}\n", data.len());
    let cases = [
        ("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned(), "is it a RELP receiver?"),
        (frame("hello"), "is it a RELP receiver?"),
        (frame("500 required command not supported by client"), "500 required command not supported by client"),
        (frame("200 OK"), "names no version of RELP"),
        (frame("200 OK\ncommands=syslog"), "names no version of RELP"),
        (frame("200 OK\nrelp_version=0"), "does not offer to take syslog"),
        (frame("200 OK\nrelp_version=0\ncommands=eventlog,syslogs"), "does not offer to take syslog"),
    ];
    for (said, expected) in cases {
        let (mut sink, listener) = pair("");
        let peer = play(listener, move |listener| {
            let mut peer = Peer::accept(listener);
            peer.frame();
            peer.say(&said);
            peer.await_end();
        });
        let Err(DeliverError::Pause { why }) = sink.deliver(&several(1..=1, 10)).await else { panic!("{expected}") };
        assert!(why.contains(expected), "{why}");
        peer.join().expect("played");
    }
}

#[tokio::test]
async fn a_peer_that_answers_nothing_is_given_up() {
    let (mut sink, listener) = pair("timeout = '1s'");
    let peer = play(listener, |listener| {
        let mut mute = Peer::accept(listener);
        mute.frame();
        mute.await_end();
        let mut peer = Peer::welcome(listener);
        assert_eq!(peer.messages(2), [1, 2]);
        peer.await_end();
    });
    let events = several(1..=2, 10);
    assert_eq!(retried(sink.deliver(&events).await), "no answer to our `open` within 1s: is it a RELP receiver?");
    assert_eq!(retried(sink.deliver(&events).await), "no answer within 1s, with 2 messages outstanding");
    peer.join().expect("played");
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_given_up() {
    let (mut sink, listener) = pair("timeout = '1s'\nmax_message_size = '64 MiB'");
    let (ended, over) = std::sync::mpsc::channel();
    let size = 32 << 20;
    let peer = play(listener, move |listener| {
        let mut peer = Peer::welcome(listener);
        // Reads only when the sink has given up: more than both kernels hold has not come.
        over.recv_timeout(BOUND).expect("an end");
        let mut rest = Vec::new();
        let _ = peer.stream.read_to_end(&mut rest);
        rest.len()
    });
    let delivery = timeout(BOUND, sink.deliver(&[outgoing(1, size)])).await.expect("it does not wait for ever");
    retried(delivery);
    ended.send(()).expect("heard");
    assert!(peer.join().expect("played") < size);
}

/// The receiver's words for each transmission of event 2 of three events, and what becomes of it.
async fn reject(words: &'static [&'static str]) -> (Vec<Result<Option<Seq>, DeliverError>>, BTreeMap<u64, usize>) {
    let (mut sink, listener) = pair("");
    let peer = play(listener, move |listener| {
        let (mut peer, mut times) = (Peer::welcome(listener), BTreeMap::new());
        loop {
            if peer.stream.fill_buf().expect("bytes").is_empty() {
                return times;
            }
            let (txnr, number) = peer.message();
            let count = times.entry(number).or_insert(0);
            let answer = if number == 2 { words[*count] } else { "200 OK" };
            *count += 1;
            peer.answer(txnr, answer);
        }
    });
    let (mut events, mut outcomes) = (several(1..=3, 10), Vec::new());
    while !events.is_empty() {
        assert!(outcomes.len() < 10, "{outcomes:?}");
        let outcome = sink.deliver(&events).await;
        match &outcome {
            Ok(reached) => events.retain(|event| reached.is_some_and(|reached| reached < event.seq)),
            Err(DeliverError::Refused(refused)) => {
                events.retain(|event| !refused.iter().any(|refusal| refusal.seq == event.seq));
            }
            Err(_) => {}
        }
        outcomes.push(outcome);
    }
    drop(sink);
    (outcomes, peer.join().expect("played"))
}

#[tokio::test]
async fn a_message_that_is_rejected_again_and_again_is_refused_and_the_others_are_sent_once() {
    let (outcomes, times) = reject(&["500 no", "500 no", "500 disk\u{7} full"]).await;
    assert_eq!(outcomes[0], Ok(Some(Seq(1))));
    assert_eq!(retried(outcomes[1].clone()), "the receiver rejects a message: 500 no");
    let Err(DeliverError::Refused(refused)) = &outcomes[2] else { panic!("{outcomes:?}") };
    assert_eq!(refused.iter().map(|refusal| refusal.seq).collect::<Vec<_>>(), [Seq(2)]);
    assert_eq!(refused[0].why, "the receiver rejected it 3 times, at last with \"500 disk\u{fffd} full\"");
    assert_eq!(outcomes[3..], [Ok(Some(Seq(3)))]);
    assert_eq!(times, BTreeMap::from([(1, 1), (2, 3), (3, 1)]));
}

#[tokio::test]
async fn a_message_that_is_rejected_for_a_while_is_delivered_in_the_end() {
    let (outcomes, times) = reject(&["500 busy", "500 busy", "200 OK"]).await;
    assert_eq!(outcomes[0], Ok(Some(Seq(1))));
    assert_eq!(outcomes[2..], [Ok(Some(Seq(3)))]);
    assert_eq!(times, BTreeMap::from([(1, 1), (2, 3), (3, 1)]));
}

#[tokio::test]
async fn an_event_in_parts_counts_after_the_last_and_no_part_is_sent_twice() {
    let (mut sink, listener) = pair("");
    let peer = play(listener, |listener| {
        let mut peer = Peer::welcome(listener);
        assert_eq!(peer.messages(4), [7, 7, 7, 8]);
        peer.ok([2, 3, 5]);
        drop(peer);
        let mut peer = Peer::welcome(listener);
        let (txnr, command, data) = peer.frame();
        assert_eq!((txnr, command.as_str()), (2, "syslog"));
        assert!(data.ends_with(" part 3"), "{data}");
        peer.ok([2]);
        peer.await_end();
    });
    let part = |number: usize| {
        let mut event = outgoing(7, 10);
        event.event.for_sink.part = Some(Part { number, of: 3, alert: None, entity: None });
        Outgoing { body: format!("part {number}").into_bytes(), ..event }
    };
    let events = [part(1), part(2), part(3), outgoing(8, 10)];
    retried(sink.deliver(&events).await);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(8))));
    drop(sink);
    peer.join().expect("played");
}

#[tokio::test]
async fn a_delivery_that_was_dropped_under_way_confirms_nothing_that_was_not_answered() {
    let (mut sink, listener) = pair("");
    let (seen, was_seen) = oneshot::channel();
    let peer = play(listener, |listener| {
        let mut peer = Peer::welcome(listener);
        assert_eq!(peer.messages(2), [1, 2]);
        seen.send(()).expect("heard");
        peer.await_end();
        let mut peer = Peer::welcome(listener);
        assert_eq!(peer.messages(2), [1, 2]);
        peer.ok([2, 3]);
        peer.await_end();
    });
    let events = several(1..=2, 10);
    tokio::select! {
        outcome = sink.deliver(&events) => panic!("{outcome:?}"),
        seen = was_seen => seen.expect("seen"),
    }
    assert_eq!(sink.deliver(&[]).await, Ok(None), "nothing is in the air between two calls");
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(2))));
    drop(sink);
    peer.join().expect("played");
}

#[tokio::test]
async fn a_session_that_the_peer_ended_while_idle_is_replaced_without_a_word() {
    for said in ["0 serverclose 0\n", "0 servercl", "9 rsp 6 200 OK\n", "nonsense"] {
        let (mut sink, listener) = pair("");
        let (talk, talked) = (std::sync::mpsc::channel(), oneshot::channel());
        let peer = play(listener, move |listener| {
            let mut peer = Peer::welcome(listener);
            assert_eq!(peer.messages(1), [1]);
            peer.ok([2]);
            talk.1.recv_timeout(BOUND).expect("a sign");
            peer.say(said);
            talked.0.send(()).expect("heard");
            // The connection stays open: the words are what ends it.
            let mut next = Peer::welcome(listener);
            assert_eq!(next.messages(1), [2], "{said:?}");
            next.ok([2]);
            next.await_end();
            peer.await_end();
        });
        assert_eq!(sink.deliver(&several(1..=1, 10)).await, Ok(Some(Seq(1))));
        talk.0.send(()).expect("heard");
        talked.1.await.expect("said");
        assert_eq!(sink.deliver(&several(2..=2, 10)).await, Ok(Some(Seq(2))), "{said:?}");
        drop(sink);
        peer.join().expect("played");
    }
}

#[tokio::test]
async fn a_hint_that_nobody_knows_is_passed_over() {
    let (mut sink, listener) = pair("");
    let peer = play(listener, |listener| {
        let mut peer = Peer::welcome(listener);
        assert_eq!(peer.messages(1), [1]);
        peer.say("0 weather 4 fine\n");
        peer.ok([2]);
        peer.await_end();
    });
    assert_eq!(sink.deliver(&several(1..=1, 10)).await, Ok(Some(Seq(1))));
    drop(sink);
    peer.join().expect("played");
}

#[tokio::test]
async fn a_session_is_closed_in_good_order_and_a_silent_peer_does_not_hold_it_up() {
    for is_silent in [false, true] {
        let (mut sink, listener) = pair("");
        let peer = play(listener, move |listener| {
            let mut peer = Peer::welcome(listener);
            assert_eq!(peer.messages(1), [1]);
            peer.ok([2]);
            assert_eq!(peer.frame(), (3, "close".into(), String::new()));
            if !is_silent {
                peer.say("3 rsp 0\n0 serverclose 0\n");
            }
            peer.await_end();
        });
        assert_eq!(sink.deliver(&several(1..=1, 10)).await, Ok(Some(Seq(1))));
        assert_eq!(timeout(BOUND, sink.close()).await.expect("it does not wait for ever"), Ok(None));
        peer.join().expect("played");
    }
}
