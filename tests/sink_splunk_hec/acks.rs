//! What indexer acknowledgement confirms: nothing but what the indexer has, whatever happens on the way. The receiver is our own
//! fake, because no receiver at hand acknowledges anything; that Tenzir's numbers and answers are understood is in
//! `understood.rs`.

use std::time::{Duration, Instant};

use xdrelay::core::courier::{Courier, DeliverError, Handed, Progress, Todo};
use xdrelay::model::delivery::Part;
use xdrelay::model::moment::Moment;
use xdrelay::model::names::Seq;
use xdrelay::sink::{Outgoing, Sink};

use crate::hec::{Hec, TOKEN};
use crate::outgoing::{outgoing, several};
use crate::{BOUND, Token, asked, why};

#[tokio::test]
async fn what_is_taken_counts_when_it_is_indexed_and_not_before() {
    let (hec, token) = (Hec::start(true).await, Token::new(TOKEN));
    let mut sink = token.sink(&hec.origin, "ack = true");
    assert_eq!(sink.deliver(&several(1..=3, 20)).await, Ok(None));
    assert_eq!(sink.deliver(&several(4..=5, 20)).await, Ok(None));
    unconfirmed_question(&hec, &mut *sink).await;
    hec.index(|number| number == 1);
    unconfirmed_question(&hec, &mut *sink).await;
    hec.index(|number| number == 0);
    assert_eq!(asked(&mut *sink).await, Ok(Seq(5)), "an acknowledgement that was given once is remembered");
    assert_eq!(sink.deliver(&[]).await, Ok(None), "nothing is said twice");
    assert_eq!(hec.batches(), [vec![1, 2, 3], vec![4, 5]], "and nothing is sent twice");
}

/// Asks until the receiver has heard a question, and nothing is confirmed.
async fn unconfirmed_question(hec: &Hec, sink: &mut dyn Sink) {
    let start = Instant::now();
    let questions = || hec.questions();
    let before = questions();
    while questions() == before {
        assert_eq!(sink.deliver(&[]).await, Ok(None));
        assert!(start.elapsed() < BOUND, "no question");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn new_events_go_out_while_others_are_in_the_air_and_are_asked_about_too() {
    let (hec, token) = (Hec::start(true).await, Token::new(TOKEN));
    hec.be_quick();
    let mut sink = token.sink(&hec.origin, "ack = true");
    let start = Instant::now();
    let (mut next, mut confirmed) = (1, None);
    // Nobody ever calls without events: there are always new ones.
    while confirmed.is_none() {
        confirmed = sink.deliver(&[outgoing(next, 20)]).await.expect("taken");
        next += 1;
        assert!(start.elapsed() < BOUND, "nothing is confirmed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(confirmed < Some(Seq(next)), "{confirmed:?}");
}

#[tokio::test]
async fn what_is_never_acknowledged_is_sent_again_on_another_channel() {
    let (hec, token) = (Hec::start(true).await, Token::new(TOKEN));
    let mut sink = token.sink(&hec.origin, "ack = true\nack_timeout = '3s'");
    assert_eq!(sink.deliver(&several(1..=3, 20)).await, Ok(None));
    let (kind, why) = why(asked(&mut *sink).await.expect_err("lost"));
    assert!(kind == "retry" && why.contains("has not acknowledged events within 3s"), "{why}");
    assert_eq!(sink.deliver(&several(1..=2, 20)).await, Ok(None));
    hec.be_quick();
    assert_eq!(asked(&mut *sink).await, Ok(Seq(2)));
    assert_eq!(hec.taken(), [1, 2, 3, 1, 2]);
    let channels: Vec<_> = hec.requests().into_iter().map(|request| request.channel).collect();
    assert!(channels.iter().all(|channel| is_guid(channel)), "{channels:?}");
    assert_ne!(channels.first(), channels.last());
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[tokio::test]
async fn a_token_without_acknowledgement_gets_nothing_and_is_told() {
    let (hec, token) = (Hec::start(false).await, Token::new(TOKEN));
    let mut sink = token.sink(&hec.origin, "ack = true");
    for _ in 0..2 {
        let (kind, why) = why(sink.deliver(&several(1..=3, 20)).await.expect_err("no acknowledgement"));
        assert!(kind == "pause" && why.contains("ACK is disabled") && why.contains("`ack = false`"), "{why}");
    }
    assert!(hec.taken().is_empty(), "nothing that would come again for ever");
    hec.say_to_question(200, &[], "{\"acks\":{\"0\":false}}");
    let (kind, why) = why(sink.deliver(&several(1..=3, 20)).await.expect_err("no number"));
    assert!(kind == "pause" && why.contains("acknowledges nothing"), "{why}");
}

#[tokio::test]
async fn a_question_that_is_refused_pauses_and_one_that_is_not_answered_only_waits() {
    let token = Token::new(TOKEN);
    let check = async |status: u16, body: &str, expected: Result<(), &str>| {
        let hec = Hec::start(true).await;
        let mut sink = token.sink(&hec.origin, "ack = true");
        assert_eq!(sink.deliver(&several(1..=3, 20)).await, Ok(None));
        hec.be_quick();
        hec.say_to_question(status, &[], body);
        match (asked(&mut *sink).await, expected) {
            (Ok(reached), Ok(())) => {
                assert_eq!((reached, hec.taken()), (Seq(3), vec![1, 2, 3]), "{status}: nothing is sent again");
            }
            (Err(error), Err(word)) => {
                let (kind, why) = why(error);
                assert!(kind == "pause" && why.contains(word), "{status}: {why}");
            }
            (result, _) => panic!("{status} {body}: {result:?}"),
        }
    };
    check(503, "{\"text\":\"Server is busy\",\"code\":9}", Ok(())).await;
    check(500, "<html>", Ok(())).await;
    check(429, "", Ok(())).await;
    check(200, "{\"text\":\"Success\"}", Ok(())).await;
    check(200, "", Ok(())).await;
    check(400, "{\"text\":\"ACK is disabled\",\"code\":14}", Err("`ack = false`")).await;
    check(400, "{\"text\":\"Invalid data format\",\"code\":6}", Err("does not understand the question")).await;
    check(400, "{\"text\":\"Data channel is missing\",\"code\":10}", Err("in between")).await;
    check(403, "{\"text\":\"Token disabled\",\"code\":1}", Err("enable the token")).await;
    check(404, "<html>", Err("correct the url")).await;
    check(302, "", Err("the url is not the one")).await;
}

#[tokio::test]
async fn a_receiver_that_counts_anew_confirms_nothing_of_before() {
    let (hec, token) = (Hec::start(true).await, Token::new(TOKEN));
    let mut sink = token.sink(&hec.origin, "ack = true");
    assert_eq!(sink.deliver(&several(1..=3, 20)).await, Ok(None));
    hec.restart();
    hec.be_quick();
    let (kind, why) = why(sink.deliver(&several(4..=6, 20)).await.expect_err("number 0 again"));
    assert!(kind == "retry" && why.contains("twice"), "{why}");
    assert_eq!(sink.deliver(&several(1..=6, 20)).await, Ok(None));
    assert_eq!(asked(&mut *sink).await, Ok(Seq(6)));
    assert_eq!(hec.taken(), [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_refusal_leaves_alone_what_is_in_the_air_and_nothing_of_its_own_call_counts() {
    let (hec, token) = (Hec::start(true).await, Token::new(TOKEN));
    hec.be_quick();
    hec.poison(outgoing(14, 20).event.event_id.as_str());
    let mut sink = token.sink(&hec.origin, "ack = true\nbatch_events = 2");
    assert_eq!(sink.deliver(&several(10..=11, 20)).await, Ok(None));
    let error = sink.deliver(&several(12..=15, 20)).await.expect_err("an invalid event");
    let DeliverError::Refused(refusals) = error else { panic!("{error}") };
    assert_eq!(refusals.iter().map(|refusal| refusal.seq).collect::<Vec<_>>(), [Seq(14)]);
    assert_eq!(asked(&mut *sink).await, Ok(Seq(11)), "12 and 13 are handed over once more");
}

#[tokio::test]
async fn an_event_in_parts_counts_with_its_last_part() {
    let token = Token::new(TOKEN);
    let part = |number| {
        let mut outgoing = outgoing(7, 20);
        outgoing.event.for_sink.part = Some(Part { number, of: 3, alert: None, entity: None });
        outgoing
    };
    let events: Vec<Outgoing> = [outgoing(6, 20)].into_iter().chain((1..=3).map(part)).collect();
    let hec = Hec::start(true).await;
    let mut sink = token.sink(&hec.origin, "ack = true\nbatch_events = 2");
    assert_eq!(sink.deliver(&events).await, Ok(None));
    hec.index(|number| number == 0);
    assert_eq!(asked(&mut *sink).await, Ok(Seq(6)), "one of three parts");
    hec.index(|_| true);
    assert_eq!(asked(&mut *sink).await, Ok(Seq(7)));
    let (hec, busy) = (Hec::start(false).await, "{\"text\":\"Server is busy\",\"code\":9}");
    let mut sink = token.sink(&hec.origin, "batch_events = 2");
    hec.take_next();
    hec.say(503, &[], busy);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(6))), "without acknowledgement too");
    assert_eq!(sink.deliver(&events[1..]).await, Ok(Some(Seq(7))));
}

#[tokio::test]
async fn a_call_that_was_given_up_makes_the_next_one_fail_and_confirms_nothing() {
    let (hec, token) = (Hec::start(true).await, Token::new(TOKEN));
    let mut sink = token.sink(&hec.origin, "ack = true");
    assert_eq!(sink.deliver(&several(1..=3, 20)).await, Ok(None));
    hec.hang_next();
    {
        let events = several(4..=6, 20);
        let mut call = sink.deliver(&events);
        let heard = async {
            while hec.unanswered() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            result = &mut call => panic!("{result:?}"),
            () = heard => {}
        }
    }
    hec.be_quick();
    let (kind, why) = why(sink.deliver(&several(7..=9, 20)).await.expect_err("interrupted"));
    assert!(kind == "retry" && why.contains("interrupted"), "{why}");
    assert_eq!(sink.deliver(&[]).await, Ok(None), "nobody knows what became of the first ones");
}

#[tokio::test]
async fn a_close_waits_for_what_is_about_to_be_acknowledged_and_not_for_ever() {
    let (hec, token) = (Hec::start(true).await, Token::new(TOKEN));
    let mut sink = token.sink(&hec.origin, "ack = true");
    assert_eq!(sink.deliver(&several(1..=3, 20)).await, Ok(None));
    hec.be_quick();
    assert_eq!(sink.close().await, Ok(Some(Seq(3))));
    let hec = Hec::start(true).await;
    let mut sink = token.sink(&hec.origin, "ack = true");
    assert_eq!(sink.deliver(&several(1..=3, 20)).await, Ok(None));
    let closed = tokio::time::timeout(BOUND, sink.close()).await;
    assert_eq!(closed.expect("it ends"), Ok(None));
}

/// What the daemon does with a sink: its courier decides, and what it commits survives.
async fn deliver_all(
    sink: &mut dyn Sink,
    courier: &mut Courier,
    newest: u64,
    until: impl Fn(&Progress) -> bool,
) -> Progress {
    let (start, mut now, mut progress) = (Instant::now(), Moment::default(), Progress::default());
    while start.elapsed() < BOUND {
        match courier.todo(now, Seq(newest)) {
            Todo::Send { after, limit } => {
                let events: Vec<_> = (after.0 + 1..=newest).filter(|seq| !courier.is_refused(Seq(*seq))).collect();
                let events = several(events.into_iter().take(limit), 20);
                let last = events.last().map(|event| event.seq);
                let handed = Handed { scanned_to: last.unwrap_or(Seq(newest)), last, count: events.len() };
                let result = if events.is_empty() { Ok(None) } else { sink.deliver(&events).await };
                courier.sent(handed, result, now);
            }
            Todo::Settle => courier.settled(sink.deliver(&[]).await, now),
            Todo::Commit(committed, _) => {
                progress = committed;
                if until(&progress) {
                    return progress;
                }
            }
            // Pauses pass at once; the sink's own clock is that of the wall.
            Todo::Wait(until) => {
                now = until;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Todo::Idle => return progress,
        }
    }
    panic!("it does not end: {progress:?}, {:?}", courier.state());
}

#[tokio::test]
async fn what_was_in_the_air_when_it_ended_is_sent_again_by_the_next_start_and_nothing_else() {
    let (hec, token) = (Hec::start(true).await, Token::new(TOKEN));
    let settings = "ack = true\nbatch_events = 2";
    let mut sink = token.sink(&hec.origin, settings);
    let mut courier = Courier::new(&Progress::default(), [], 2, true, 1);
    for _ in 0..4 {
        let Todo::Send { after, .. } = courier.todo(Moment::default(), Seq(8)) else { panic!("events to send") };
        let events = several(after.0 + 1..=after.0 + 2, 20);
        let handed = Handed { scanned_to: Seq(after.0 + 2), last: Some(Seq(after.0 + 2)), count: 2 };
        courier.sent(handed, sink.deliver(&events).await, Moment::default());
    }
    hec.index(|number| number < 2);
    let progress = deliver_all(&mut *sink, &mut courier, 8, |progress| progress.acknowledged == Seq(4)).await;
    drop(sink);
    hec.be_quick();
    hec.requests();
    let mut sink = token.sink(&hec.origin, settings);
    let mut courier = Courier::new(&progress, [], 2, true, 1);
    let progress = deliver_all(&mut *sink, &mut courier, 8, |progress| progress.acknowledged == Seq(8)).await;
    assert_eq!(progress.acknowledged, Seq(8));
    assert_eq!(hec.batches(), [[5, 6], [7, 8]]);
}

#[tokio::test]
async fn nothing_is_lost_whatever_goes_wrong_on_the_way() {
    let (hec, token) = (Hec::start(true).await, Token::new(TOKEN));
    let guilty = [5, 23];
    for number in guilty {
        hec.poison(outgoing(number, 20).event.event_id.as_str());
    }
    hec.be_quick();
    let busy = "{\"text\":\"Server is busy\",\"code\":9}";
    for _ in 0..3 {
        hec.take_next();
        hec.say(503, &[("retry-after", "2")], busy);
        hec.die_next();
        hec.take_next();
        hec.say(413, &[], "<html>");
        hec.say_to_question(503, &[], busy);
    }
    let mut sink = token.sink(&hec.origin, "ack = true\nbatch_events = 7");
    let mut courier = Courier::new(&Progress::default(), [], 7, true, 1);
    let progress = deliver_all(&mut *sink, &mut courier, 40, |progress| progress.acknowledged == Seq(40)).await;
    assert_eq!(progress.acknowledged, Seq(40));
    let taken: std::collections::BTreeSet<u64> = hec.taken().into_iter().collect();
    let missing: Vec<u64> = (1..=40).filter(|number| !taken.contains(number)).collect();
    assert_eq!(missing, guilty);
}
