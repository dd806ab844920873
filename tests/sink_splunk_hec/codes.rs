//! What each answer asks for: every code of the documents, and what is no answer of HEC at all. The receiver is our own fake.

use std::time::Duration;

use xdrelay::core::courier::{DeliverError, Refusal};
use xdrelay::model::names::Seq;

use crate::hec::{Hec, TOKEN};
use crate::outgoing::{outgoing, several};
use crate::{Token, why};

/// The codes of the documents with their texts, and what they ask for.
const CODES: [(u16, u16, &str, &str); 28] = [
    (0, 200, "Success", "ok"),
    (1, 403, "Token disabled", "pause"),
    (2, 401, "Token is required", "pause"),
    (3, 401, "Invalid authorization", "pause"),
    (4, 403, "Invalid token", "pause"),
    (5, 400, "No data", "pause"),
    (6, 400, "Invalid data format", "refused batch"),
    (7, 400, "Incorrect index", "pause"),
    (8, 500, "Internal server error", "retry"),
    (9, 503, "Server is busy", "retry"),
    (10, 400, "Data channel is missing", "pause"),
    (11, 400, "Invalid data channel", "pause"),
    (12, 400, "Event field is required", "refused batch"),
    (13, 400, "Event field cannot be blank", "refused batch"),
    (14, 400, "ACK is disabled", "pause"),
    (15, 400, "Error in handling indexed fields", "refused batch"),
    (16, 400, "Query string authorization is not enabled", "pause"),
    (17, 200, "HEC is healthy", "pause"),
    (18, 503, "HEC is unhealthy, queues are full", "retry"),
    (19, 503, "HEC is unhealthy, ack service unavailable", "retry"),
    (20, 503, "HEC is unhealthy, queues are full, ack service unavailable", "retry"),
    (21, 400, "Invalid token", "pause"),
    (22, 400, "Token disabled", "pause"),
    (23, 503, "Server is shutting down", "retry"),
    (24, 200, "HEC queue is approaching its capacity limit", "ok"),
    (25, 200, "HEC ACK is approaching its capacity limit", "ok"),
    (26, 429, "HEC queue is at capacity and cannot process any more requests", "retry"),
    (27, 429, "HEC ACK channel is at capacity and cannot process any more requests", "retry"),
];

async fn check(status: u16, body: &str, expected: &str) {
    let (hec, token) = (Hec::start(false).await, Token::new(TOKEN));
    hec.say(status, &[], body);
    let result = token.sink(&hec.origin, "").deliver(&several(1..=3, 20)).await;
    match result {
        Ok(reached) => assert_eq!((expected, reached), ("ok", Some(Seq(3))), "{status} {body}"),
        Err(error) => {
            let (kind, why) = why(error);
            assert_eq!(kind, expected, "{status} {body}: {why}");
            assert!(why.starts_with(&format!("{} answered {status} ", hec.origin)), "{why}");
        }
    }
}

#[tokio::test]
async fn each_code_asks_for_what_helps() {
    for (number, (code, status, text, expected)) in CODES.into_iter().enumerate() {
        assert_eq!(number, usize::from(code));
        check(status, &format!("{{\"text\":\"{text}\",\"code\":{code}}}"), expected).await;
    }
    check(400, "{\"text\":\"of a later release\",\"code\":99}", "refused batch").await;
    check(503, "{\"text\":\"of a later release\",\"code\":99}", "retry").await;
    check(200, "{\"text\":\"of a later release\",\"code\":99}", "pause").await;
    check(500, "{\"text\":\"odd\",\"code\":0}", "retry").await;
}

#[tokio::test]
async fn what_is_no_answer_of_hec_is_read_by_its_status() {
    check(200, "", "ok").await;
    check(200, "{}", "ok").await;
    check(200, "{\"text\":\"Succ", "ok").await;
    check(200, "<html>Please sign in</html>", "pause").await;
    check(302, "", "pause").await;
    check(400, "<html>The plain HTTP request was sent to HTTPS port</html>", "pause").await;
    check(401, "<html>", "pause").await;
    check(403, "blocked by policy", "pause").await;
    check(404, "{\"text\":\"The requested URL was not found on this server.\",\"code\":404}", "pause").await;
    check(405, "", "pause").await;
    check(407, "", "pause").await;
    check(408, "", "retry").await;
    check(413, "<html>Request Entity Too Large</html>", "refused batch").await;
    check(422, "", "pause").await;
    check(429, "", "retry").await;
    check(500, "<html>", "retry").await;
    check(502, "<html>Bad Gateway</html>", "retry").await;
    check(504, "", "retry").await;
}

#[tokio::test]
async fn what_somebody_has_to_do_is_said() {
    let (hec, token) = (Hec::start(false).await, Token::new(TOKEN));
    let check = async |status: u16, body: &str, words: &[&str]| {
        hec.say(status, &[("location", "https://elsewhere.example.net/x")], body);
        let (_, why) = why(token.sink(&hec.origin, "").deliver(&several([1], 20)).await.expect_err(body));
        assert!(words.iter().all(|word| why.contains(word)), "{why}");
    };
    check(400, "{\"text\":\"Incorrect index\",\"code\":7,\"invalid-event-number\":0}", &["Incorrect index", "`index`"])
        .await;
    check(403, "{\"text\":\"Token disabled\",\"code\":1}", &["enable the token"]).await;
    check(307, "", &["elsewhere.example.net is not followed"]).await;
    check(413, "", &["max_content_length", "`max_event_size`"]).await;
    check(200, "<html>", &["no answer of HTTP Event Collector", "url"]).await;
}

#[tokio::test]
async fn a_far_side_that_is_busy_says_how_long() {
    let (hec, token) = (Hec::start(false).await, Token::new(TOKEN));
    for body in ["{\"text\":\"Server is busy\",\"code\":9}", "<html>busy</html>"] {
        hec.say(503, &[("retry-after", "17")], body);
        let error = token.sink(&hec.origin, "").deliver(&several([1], 20)).await.expect_err("busy");
        let DeliverError::Retry { after, .. } = error else { panic!("{error}") };
        assert_eq!(after, Some(Duration::from_secs(17)));
    }
}

#[tokio::test]
async fn the_guilty_event_is_named_by_its_number() {
    let (hec, token) = (Hec::start(false).await, Token::new(TOKEN));
    let guilty = outgoing(13, 20).event.event_id;
    hec.poison(guilty.as_str());
    let mut sink = token.sink(&hec.origin, "batch_events = 3");
    let mut events = several(10..=14, 20);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(12))), "the first request is taken");
    let error = sink.deliver(&events[3..]).await.expect_err("an invalid event");
    let DeliverError::Refused(refusals) = error else { panic!("{error}") };
    let why = "400 Bad Request: {\"code\":6,\"invalid-event-number\":0,\"text\":\"Invalid data format\"}";
    let [Refusal { seq: Seq(13), why: said }] = refusals.as_slice() else { panic!("{refusals:?}") };
    assert!(said.contains(why), "{said}");
    events.remove(3);
    assert_eq!(sink.deliver(&events[3..]).await, Ok(Some(Seq(14))));
    assert_eq!(hec.taken(), [10, 11, 12, 14]);
}

#[tokio::test]
async fn what_stands_before_the_guilty_event_comes_twice_with_the_same_id() {
    let (hec, token) = (Hec::start(false).await, Token::new(TOKEN));
    hec.poison(outgoing(12, 20).event.event_id.as_str());
    let mut sink = token.sink(&hec.origin, "");
    let mut events = several(10..=14, 20);
    let (kind, _) = why(sink.deliver(&events).await.expect_err("an invalid event"));
    assert_eq!(kind, "refused");
    events.remove(2);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(14))));
    assert_eq!(hec.taken(), [10, 11, 10, 11, 13, 14]);
    let requests = hec.requests();
    let first =
        |at: usize| requests[at].body.split("\"fields\":").nth(1).expect("fields").split('}').next().map(str::to_owned);
    assert_eq!(first(0), first(1));
}

#[tokio::test]
async fn a_number_that_is_none_of_ours_names_nobody() {
    let (hec, token) = (Hec::start(false).await, Token::new(TOKEN));
    let check = async |number: &str, count: u64, expected: &str| {
        hec.say(400, &[], &format!("{{\"text\":\"x\",\"code\":6,\"invalid-event-number\":{number}}}"));
        let (kind, _) = why(token.sink(&hec.origin, "").deliver(&several(1..=count, 20)).await.expect_err(number));
        assert_eq!(kind, expected, "{number} of {count}");
    };
    check("3", 3, "refused batch").await;
    check("3", 1, "refused").await;
    check("2", 3, "refused").await;
}

#[tokio::test]
async fn what_was_taken_counts_though_a_later_request_fails() {
    let (hec, token) = (Hec::start(false).await, Token::new(TOKEN));
    let mut sink = token.sink(&hec.origin, "batch_events = 2");
    let events = several(1..=6, 20);
    hec.take_next();
    hec.say(503, &[], "{\"text\":\"Server is busy\",\"code\":9}");
    hec.say(503, &[], "{\"text\":\"Server is busy\",\"code\":9}");
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(2))));
    let (kind, why) = why(sink.deliver(&events[2..]).await.expect_err("busy"));
    assert!(kind == "retry" && why.contains("Server is busy"), "{why}");
    assert_eq!(sink.deliver(&events[2..]).await, Ok(Some(Seq(6))));
    assert_eq!(hec.batches(), [[1, 2], [3, 4], [3, 4], [3, 4], [5, 6]], "nothing is sent out of turn");
}

#[tokio::test]
async fn a_connection_that_dies_after_the_events_were_taken_makes_them_come_again() {
    let token = Token::new(TOKEN);
    for ack in [false, true] {
        let hec = Hec::start(ack).await;
        hec.be_quick();
        let mut sink = token.sink(&hec.origin, &format!("ack = {ack}\ntimeout = '2s'"));
        for (make, word) in [(Hec::die_next as fn(&Hec), "cannot be reached"), (Hec::hang_next, "within 2s")] {
            make(&hec);
            let (kind, why) = why(sink.deliver(&several([1], 20)).await.expect_err("no answer"));
            assert!(kind == "retry" && why.contains(word) && !why.contains(TOKEN), "{why}");
        }
        let confirmed = match sink.deliver(&several([1], 20)).await.expect("taken") {
            Some(seq) => seq,
            None => crate::asked(&mut *sink).await.expect("acknowledged"),
        };
        assert_eq!((confirmed, hec.taken()), (Seq(1), vec![1, 1]));
    }
}
