//! Answers about a request as a whole, and answers that prove nothing.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use xdrelay::core::courier::DeliverError;
use xdrelay::model::names::{EventId, Seq};

use crate::cluster::{Cluster, error_body, failed};
use crate::outgoing::{outgoing, several};
use crate::why::why;
use crate::{courier, sink};

#[tokio::test]
async fn an_answer_that_is_no_proof_never_counts() {
    let cluster = Cluster::start().await;
    let mut sink = sink(cluster.origin(), "");
    let good = r#"{"create":{"status":201}}"#;
    let two = format!(r#"{{"errors":false,"items":[{good},{good}]}}"#);
    let mut check = async |body: &str, expected: &str, word: &str| {
        cluster.answer(200, &[], body);
        let (found, why) = why(sink.deliver(&several(1..=2, 20)).await.expect_err(body));
        assert!(found == expected && why.contains(word), "{body}: {found} {why}");
    };
    check(&format!(r#"{{"errors":false,"items":[{good}]}}"#), "retry", "1 items for 2 documents").await;
    check(&format!(r#"{{"errors":false,"items":[{good},{good},{good}]}}"#), "retry", "3 items for 2 documents").await;
    check(r#"{"errors":false,"items":[]}"#, "retry", "0 items").await;
    check(&two.replace("false", "true"), "retry", "errors and shows none").await;
    check(r#"{"errors":false,"items":[{"create":{"status":201},"index":{"status":201}},{}]}"#, "retry", "one document")
        .await;
    for end in 1..two.len() {
        check(&two[..end], "retry", "breaks off").await;
    }
    check("", "pause", "no bulk answer").await;
    check("<html>Please sign in</html>", "pause", "Please sign in").await;
    check(r#"{"took":3,"errors":false}"#, "pause", "proxy or a login page").await;
    check(r#"{"ok":true}"#, "pause", "no bulk answer").await;
    check(r#"{"errors":false,"items":[{"create":{}},{"create":{}}]}"#, "pause", "status").await;
    check(r#"{"errors":false,"items":[{"create":{"status":"201"}},{"create":{"status":201}}]}"#, "pause", "status")
        .await;
    check("[]", "pause", "no bulk answer").await;
    check(&format!("{two} and more"), "pause", "no bulk answer").await;
    let contradicts = r#"{"errors":false,"items":[{"create":{"status":400}},{"create":{"status":201}}]}"#;
    check(contradicts, "refused", "400").await;
    cluster.answer(200, &[], &two);
    assert_eq!(sink.deliver(&several(1..=2, 20)).await, Ok(Some(Seq(2))), "this one is");
    assert!(cluster.documents().is_empty());
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_never_comes_does_not_count() {
    let check = async |answer: &'static str, word: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut read = vec![0; 64 * 1024];
            let _ = stream.read(&mut read).await.expect("a request");
            stream.write_all(answer.as_bytes()).await.expect("written");
            // Closed at once, or kept open for as long as the test runs.
            if answer.is_empty() { Some(stream) } else { None }
        });
        let (found, why) = why(sink(&url, "timeout = '300ms'").deliver(&several(1..=1, 20)).await.expect_err(word));
        assert!(found == "retry" && why.contains(word), "{found} {why}");
        drop(server.await.expect("served"));
    };
    check("", "did not answer within 300ms").await;
    let body = "{\"errors\":false,\"items\":[{\"create\":{\"status\":201}}]}";
    assert_eq!(body.len(), 52);
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 53\r\n\r\n{\"errors\":false,\"items\":[{\"create\":{\"status\":201}}]}",
        "broke off",
    )
    .await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{\"errors\":false", "larger than the limit").await;
    let nobody = TcpSocket::new_v4().expect("a socket");
    nobody.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let port = nobody.local_addr().expect("an address").port();
    let error = sink(&format!("http://127.0.0.1:{port}"), "").deliver(&several(1..=1, 20)).await.expect_err("nobody");
    assert!(why(error).1.contains("cannot be reached"));
}

#[tokio::test]
async fn each_answer_to_the_whole_request_asks_for_what_helps() {
    let cluster = Cluster::start().await;
    let mut sink = sink(cluster.origin(), "");
    let mut check = async |status: u16, body: &str, one: &str, several_of: &str, word: &str| {
        for (events, expected) in [(several(1..=1, 20), one), (several(1..=2, 20), several_of)] {
            cluster.answer(status, &[("location", "https://elsewhere.example/x?token=1")], body);
            let (found, why) = why(sink.deliver(&events).await.expect_err("a failure"));
            assert!(found == expected && why.contains(word), "{status} {found} {why}");
            assert!(why.starts_with(&format!("{} answered {status}", cluster.origin())), "{why}");
        }
    };
    for status in [408, 429, 500, 502, 503, 504] {
        let body = error_body(status, "circuit_breaking_exception", "[parent] Data too large");
        check(status, &body, "retry", "retry", "circuit_breaking_exception: [parent] Data too large").await;
    }
    let no = |status, kind| error_body(status, kind, "the reason");
    check(401, &no(401, "security_exception"), "pause", "pause", "put it right under `auth`").await;
    check(403, &no(403, "security_exception"), "pause", "pause", "create_doc").await;
    check(403, "forbidden", "pause", "pause", "forbidden").await;
    check(404, &no(404, "index_not_found_exception"), "pause", "pause", "create the index").await;
    check(404, "<html>", "pause", "pause", "correct the url").await;
    check(400, &no(400, "index_closed_exception"), "pause", "pause", "open the index").await;
    check(
        400,
        &error_body(400, "illegal_argument_exception", "pipeline with id [x] does not exist"),
        "pause",
        "pause",
        "correct",
    )
    .await;
    check(503, &no(503, "cluster_block_exception"), "retry", "retry", "the reason").await;
    check(400, &no(400, "parse_exception"), "refused", "refused batch", "parse_exception: the reason").await;
    check(302, "", "pause", "pause", "elsewhere.example").await;
    check(407, "", "pause", "pause", "proxy").await;
}

#[tokio::test]
async fn retry_after_is_handed_on() {
    let cluster = Cluster::start().await;
    let mut sink = sink(cluster.origin(), "");
    let mut check = async |status: u16, body: &str| {
        cluster.answer(status, &[("retry-after", "7")], body);
        let error = sink.deliver(&several(1..=1, 20)).await.expect_err("later");
        let DeliverError::Retry { after, .. } = error else { panic!("{error}") };
        assert_eq!(after, Some(Duration::from_secs(7)));
    };
    check(503, "").await;
    check(200, &json!({ "errors": true, "items": [{ "create": failed(429, "x", "y") }] }).to_string()).await;
}

#[tokio::test]
async fn a_request_that_is_too_large_is_made_smaller() {
    let cluster = Cluster::start().await;
    let one = outgoing(10, 2000);
    cluster.limit(3 * (one.body.len() + 150));
    let mut sink = sink(cluster.origin(), "");
    let mut events = several(10..=29, 2000);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(29))));
    assert_eq!(cluster.documents().len(), 20);
    let sizes: Vec<usize> = cluster.take().iter().map(|request| request.ids.len()).collect();
    assert_eq!(&sizes[..4], [20, 10, 5, 2], "halved until it fits, and not again from the top: {sizes:?}");
    assert!(sizes[4..].iter().all(|size| *size <= 2), "{sizes:?}");
    events = several(30..=31, 2000);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(31))));
    assert_eq!(cluster.take().len(), 1, "it is remembered");
    // Parts of one event alike, and a single document that is too large is refused.
    let mut large = outgoing(32, 20_000);
    large.event.event_id = EventId::new("large");
    let refused = sink.deliver(&[outgoing(31, 20), large]).await;
    assert_eq!(refused, Ok(Some(Seq(31))));
    let error = sink.deliver(&several(32..=33, 20)).await.expect_err("told");
    let DeliverError::Refused(refusals) = error else { panic!("{error}") };
    assert_eq!(refusals.iter().map(|refusal| refusal.seq).collect::<Vec<_>>(), [Seq(32)]);
}

#[tokio::test]
async fn a_batch_that_is_refused_as_a_whole_costs_only_its_guilty_event() {
    let cluster = Cluster::start().await;
    let mut sink = sink(cluster.origin(), "batch_events = 4");
    // Nobody says which of the first four; the next calls have fewer.
    cluster.answer(400, &[], &error_body(400, "parse_exception", "malformed"));
    cluster.answer(400, &[], &error_body(400, "parse_exception", "malformed"));
    cluster.answer(400, &[], &error_body(400, "parse_exception", "malformed"));
    let refused = courier(&mut *sink, &several(1..=8, 20), 4).await;
    assert_eq!(refused.iter().map(|refusal| refusal.seq.0).collect::<Vec<_>>(), [1]);
    assert_eq!(cluster.documents().len(), 7);
    // Behind a request that was taken nobody is blamed: the next call may have other events.
    let mut sink = self::sink(cluster.origin(), "batch_events = 2");
    let taken = json!({ "create": { "status": 201 } });
    cluster.answer(200, &[], &json!({ "errors": false, "items": [taken, taken] }).to_string());
    cluster.answer(400, &[], &error_body(400, "parse_exception", "malformed"));
    assert_eq!(sink.deliver(&several(11..=14, 20)).await, Ok(Some(Seq(12))));
    assert_eq!(sink.deliver(&several(13..=13, 20)).await, Ok(Some(Seq(13))));
}
