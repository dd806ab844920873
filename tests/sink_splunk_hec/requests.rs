//! What a request is.

use serde_json::json;
use xdrelay::model::names::Seq;

use crate::Token;
use crate::hec::{Hec, TOKEN};
use crate::outgoing::{outgoing, several};

#[tokio::test]
async fn a_request_is_what_the_event_endpoint_wants() {
    let (hec, token) = (Hec::start(false).await, Token::new(TOKEN));
    let labels = "index = 'defender'\nhost = 'xdrelay.example.net'\nsource = 'xdrelay'\nsourcetype = 'xdr:\"é\"'";
    for gzip in [false, true] {
        let mut sink = token.sink(&hec.origin, &format!("gzip = {gzip}\n{labels}"));
        assert_eq!(sink.deliver(&several(1..=2, 20)).await, Ok(Some(Seq(2))));
        let requests = hec.requests();
        let [request] = requests.as_slice() else { panic!("{requests:?}") };
        let header = |name: &str| request.headers.get(name).map(|value| value.to_str().expect("text"));
        assert_eq!(request.path, "/services/collector/event");
        assert_eq!(header("authorization"), Some(format!("Splunk {TOKEN}").as_str()));
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("content-encoding"), gzip.then_some("gzip"));
        let event = |n: u64| {
            let record = String::from_utf8(outgoing(n, 20).body).expect("UTF-8");
            format!(
                "{{\"time\":1599403617.290,\"host\":\"xdrelay.example.net\",\"source\":\"xdrelay\",\
                 \"sourcetype\":\"xdr:\\\"é\\\"\",\"index\":\"defender\",\"event\":{record},\"fields\":{{\
                 \"event_id\":\"contoso/{n}/15994036172900000/9f3c01ab\",\"tenant\":\"contoso\",\"kind\":\"updated\",\
                 \"incident_id\":\"{n}\"}}}}"
            )
        };
        assert_eq!(request.body, event(1) + &event(2), "the record byte for byte, and nothing between two");
    }
    assert_eq!(hec.taken(), [1, 2, 1, 2]);
}

#[tokio::test]
async fn a_line_of_text_is_a_string_and_what_has_no_time_has_ours() {
    let (hec, token) = (Hec::start(false).await, Token::new(TOKEN));
    let mut event = outgoing(1, 20);
    event.body = "CEF:0|Microsoft|Defender XDR|1|updated|a \"b\" \\| c\u{202e}\u{0}|5|msg=x\\=y".into();
    event.event.last_update = None;
    let text = String::from_utf8(event.body.clone()).expect("UTF-8");
    assert_eq!(token.sink(&hec.origin, "").deliver(&[event]).await, Ok(Some(Seq(1))));
    let sent: serde_json::Value = serde_json::from_str(&hec.requests()[0].body).expect("one object");
    let members: Vec<_> = sent.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!((&sent["event"], &sent["time"]), (&json!(text), &json!(1_795_000_000.0)));
    assert_eq!(members, ["event", "fields", "time"], "what nobody set is left to the token");
}

#[tokio::test]
async fn what_no_request_can_carry_is_refused_before_anything_is_sent() {
    let (hec, token) = (Hec::start(false).await, Token::new(TOKEN));
    let check = async |body: &[u8], word: &str| {
        let mut events = several(1..=3, 20);
        events[1].body = body.to_vec();
        let error = token.sink(&hec.origin, "").deliver(&events).await.expect_err(word);
        let xdrelay::core::courier::DeliverError::Refused(refusals) = error else { panic!("{error}") };
        assert_eq!(refusals.iter().map(|refusal| refusal.seq).collect::<Vec<_>>(), [Seq(2)]);
        assert!(refusals[0].why.contains(word), "{}", refusals[0].why);
        assert!(hec.requests().is_empty());
    };
    check(b"{\"a\":1}{\"event\":\"forged\"}", "no JSON").await;
    check(b"{\"a\":", "no JSON").await;
    check(b"CEF:0|\xff", "no UTF-8").await;
    check(b" ", "blank").await;
}

#[tokio::test]
async fn what_is_too_much_for_one_request_is_split_in_order() {
    let token = Token::new(TOKEN);
    let check = async |setting: String, expected: &[&[u64]]| {
        for ack in [false, true] {
            let hec = Hec::start(ack).await;
            let mut sink = token.sink(&hec.origin, &format!("ack = {ack}\n{setting}"));
            let confirmed = sink.deliver(&several(10..=14, 20)).await;
            assert_eq!(confirmed, Ok((!ack).then_some(Seq(14))), "{setting}");
            assert_eq!(hec.batches(), expected, "{setting}");
        }
    };
    let hec = Hec::start(false).await;
    token.sink(&hec.origin, "").deliver(&[outgoing(10, 20)]).await.expect("taken");
    let size = hec.requests()[0].body.len();
    check("batch_events = 2".into(), &[&[10, 11], &[12, 13], &[14]]).await;
    check(format!("batch_size = '{} B'", 3 * size), &[&[10, 11, 12], &[13, 14]]).await;
    check(format!("batch_size = '{} B'", 3 * size - 1), &[&[10, 11], &[12, 13], &[14]]).await;
    check("batch_size = '1 B'".into(), &[&[10], &[11], &[12], &[13], &[14]]).await;
}

#[tokio::test]
async fn nothing_to_send_is_no_request() {
    let token = Token::new(TOKEN);
    for ack in [false, true] {
        let hec = Hec::start(ack).await;
        let mut sink = token.sink(&hec.origin, &format!("ack = {ack}"));
        assert_eq!(sink.deliver(&[]).await, Ok(None));
        assert_eq!(sink.close().await, Ok(None));
        assert!(hec.requests().is_empty());
    }
}

#[tokio::test]
async fn the_token_is_read_anew_each_time_and_is_in_no_message() {
    let (hec, token) = (Hec::start(false).await, Token::new("s3cret-0ld\n"));
    let mut sink = token.sink(&hec.origin, "");
    let failing = async |sink: &mut dyn xdrelay::sink::Sink, words: &[&str]| {
        let (kind, why) = crate::why(sink.deliver(&several([1], 20)).await.expect_err("a wrong token"));
        assert!(kind == "pause" && words.iter().all(|word| why.contains(word)) && !why.contains("s3cret"), "{why}");
    };
    failing(&mut *sink, &["Invalid token", "`token`"]).await;
    hec.say(403, &[], "{\"text\":\"no Splunk s3cret-0ld here\",\"code\":4}");
    failing(&mut *sink, &["no Splunk *** here"]).await;
    token.become_("s3c\nret");
    failing(&mut *sink, &["no header can carry"]).await;
    token.become_("\n");
    failing(&mut *sink, &["is empty"]).await;
    hec.requests();
    token.become_(TOKEN);
    assert_eq!(sink.deliver(&several([1], 20)).await, Ok(Some(Seq(1))));
    assert_eq!(hec.batches(), [[1]], "nothing was sent without a token");
}
