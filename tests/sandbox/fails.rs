//! Each fault, as a client sees it.

use std::time::Duration;

use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::settings::{Quotas, RetryAfter, Settings};

use crate::client::{Heard, Visitor, heard};

async fn visitor() -> Visitor {
    Visitor::with(5, Settings { quotas: Quotas::lifted(), ..Settings::default() }).await
}

/// The answer to one list call that goes wrong; the next one goes well.
async fn spoiled(visitor: &Visitor, fault: Fault) -> Result<Heard, reqwest::Error> {
    visitor.sandbox.faults().next(Endpoint::List, 1, fault);
    let answer = visitor.ask("api/incidents").await;
    assert_eq!(visitor.list("").await.ids().len(), 5, "only one call goes wrong");
    answer
}

#[tokio::test]
async fn statuses_are_what_was_ordered() {
    let visitor = visitor().await;
    for (status, kind) in [(500, "application/json"), (502, "text/html"), (503, "text/html"), (504, "text/html")] {
        let answer = spoiled(&visitor, Fault::Status(status)).await.expect("an answer");
        assert_eq!(answer.status, status);
        assert!(answer.header("content-type").expect("a type").starts_with(kind));
    }
    let wait = Duration::from_secs(17);
    for (retry_after, header) in [(RetryAfter::Missing, None), (RetryAfter::Seconds, Some("17"))] {
        let answer = spoiled(&visitor, Fault::Throttled { retry_after, wait }).await.expect("an answer");
        assert_eq!((answer.status, answer.header("retry-after")), (429, header));
        assert!(answer.message().ends_with("You can send requests again in 17 seconds."));
    }
    let answer = spoiled(&visitor, Fault::Unauthorized).await.expect("an answer");
    assert_eq!(answer.status, 401);
    visitor.sandbox.faults().next(Endpoint::Token, 1, Fault::Unauthorized);
    assert_eq!(visitor.token(&[]).await.json()["error_codes"][0], 7_000_215);
}

#[tokio::test]
async fn bodies_that_are_no_page_come_with_200() {
    let visitor = visitor().await;
    let html = spoiled(&visitor, Fault::Html).await.expect("an answer");
    assert!(html.status == 200 && html.text().starts_with("<!DOCTYPE html>"));
    let error = spoiled(&visitor, Fault::ErrorObject).await.expect("an answer");
    assert!(error.status == 200 && error.json()["error"].is_object());
    let empty = spoiled(&visitor, Fault::Empty).await.expect("an answer");
    assert!(empty.status == 200 && empty.body.is_empty());
    let cut = spoiled(&visitor, Fault::CutJson).await.expect("an answer that ends well");
    assert!(cut.status == 200 && cut.text().starts_with(r#"{"@odata.context""#));
    serde_json::from_slice::<serde_json::Value>(&cut.body).expect_err("half a page");
}

#[tokio::test]
async fn connections_break_where_they_were_told_to() {
    let visitor = visitor().await;
    let reset = spoiled(&visitor, Fault::Reset).await.err().expect("no answer");
    assert!(reset.is_request() && !reset.is_timeout(), "{reset:?}");
    visitor.sandbox.faults().next(Endpoint::List, 1, Fault::CutBody);
    let url = visitor.sandbox.url().join("api/incidents").expect("a URL");
    let mut answer = visitor.client.get(url).bearer_auth(&visitor.token).send().await.expect("the headers");
    assert_eq!(answer.status().as_u16(), 200);
    let mut bytes = 0;
    let error = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes += chunk.len(),
            Ok(None) => panic!("the body ends well after {bytes} bytes"),
            Err(error) => break error,
        }
    };
    assert!(0 < bytes, "the first half came: {error}");
}

#[tokio::test]
async fn a_stalled_call_ends_with_the_client_or_the_sandbox() {
    let visitor = visitor().await;
    visitor.sandbox.faults().next(Endpoint::List, 2, Fault::Stall);
    let url = visitor.sandbox.url().join("api/incidents").expect("a URL");
    let arrived = async |count| {
        while visitor.sandbox.calls().arrived(Endpoint::List) < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = heard(visitor.client.get(url.clone())) => panic!("no answer was to come"),
        () = arrived(1) => {} // and the client leaves
    }
    let patient = tokio::spawn(heard(visitor.client.get(url)));
    tokio::time::timeout(Duration::from_secs(60), arrived(2)).await.expect("it arrives");
    let stopped = tokio::time::timeout(Duration::from_secs(60), visitor.sandbox.stop());
    stopped.await.expect("stopping has a bound");
    let answer = tokio::time::timeout(Duration::from_secs(60), patient).await.expect("the call ends");
    assert!(answer.expect("no panic").is_err());
}

#[tokio::test]
async fn a_slow_body_is_whole() {
    let visitor = visitor().await;
    let plain = visitor.list("").await.body;
    visitor.sandbox.faults().next(Endpoint::List, 1, Fault::Slow { pieces: 4, pause: Duration::from_millis(5) });
    let url = visitor.sandbox.url().join("api/incidents").expect("a URL");
    let mut answer = visitor.client.get(url).bearer_auth(&visitor.token).send().await.expect("the headers");
    let (mut body, mut pieces) = (Vec::new(), 0);
    while let Some(chunk) = answer.chunk().await.expect("whole") {
        body.extend_from_slice(&chunk);
        pieces += 1;
    }
    assert_eq!(body, plain);
    assert!(1 < pieces);
}

#[tokio::test]
async fn the_date_lies_where_it_was_told_to() {
    let visitor = visitor().await;
    let honest = visitor.list("").await.header("date").expect("a date").to_owned();
    let off = spoiled(&visitor, Fault::WrongDate(-90_000)).await.expect("an answer");
    assert_ne!(&off.header("date").expect("a date")[..16], &honest[..16], "more than a day off");
    let garbled = spoiled(&visitor, Fault::GarbledDate).await.expect("an answer");
    assert_eq!(garbled.header("date"), Some("some day"));
}

#[tokio::test]
async fn a_replica_that_lags_answers_as_it_was() {
    let visitor = visitor().await;
    let hour = Duration::from_secs(3_600);
    let old = visitor.sandbox.world().create(visitor.start.earlier(10 * hour));
    visitor.sandbox.faults().next(Endpoint::List, 1, Fault::Stale(5 * hour));
    assert_eq!(visitor.list("").await.ids(), [old.0]);
    assert_eq!(visitor.list("").await.ids().len(), 6);
}

#[tokio::test]
async fn faults_strike_with_their_probability_and_end() {
    let visitor = visitor().await;
    visitor.sandbox.faults().often(Endpoint::List, 0.5, Fault::Status(503));
    let mut failed = 0;
    for _ in 0..100 {
        failed += u32::from(visitor.list("").await.status == 503);
    }
    assert!((25..=75).contains(&failed), "{failed}");
    assert_eq!(visitor.ask("api/incidents/40961").await.expect("an answer").status, 200, "the list only");
    visitor.sandbox.faults().clear();
    for _ in 0..20 {
        assert_eq!(visitor.list("").await.status, 200);
    }
}
