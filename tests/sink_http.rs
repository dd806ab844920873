//! The HTTP sink against real servers: what a request is, what each answer asks for, who is trusted, and a receiver that
//! nobody here wrote.

mod outgoing;
mod receivers;
#[path = "receivers/skipped.rs"]
mod skipped;
#[path = "outgoing/why.rs"]
mod why;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::http::StatusCode;
use outgoing::{outgoing, several};
use receivers::http::Receiver;
use receivers::tls::Authority;
use skipped::skipped;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use why::why;
use xdrelay::core::courier::{DeliverError, Refusal};
use xdrelay::model::names::{Seq, SinkName};
use xdrelay::sink::{Config, OpenError, Sink};

fn open(url: &str, more: &str) -> Result<Box<dyn Sink>, OpenError> {
    let config = toml::from_str(&format!("url = {url:?}\n{more}")).expect("a config");
    Config::Http(config).open(&SinkName::new("hook"))
}

fn sink(url: &str, more: &str) -> Box<dyn Sink> {
    open(url, more).expect("opened")
}

#[tokio::test]
async fn a_request_is_what_its_batch_setting_says() {
    let receiver = Receiver::start().await;
    let texts: Vec<_> = several(1..=3, 20).into_iter().map(|e| String::from_utf8(e.body).expect("UTF-8")).collect();
    let check = async |setting: &str, kind: &str, bodies: &[String]| {
        let events = several(1..=3, 20);
        assert_eq!(sink(&receiver.url(), setting).deliver(&events).await, Ok(Some(Seq(3))), "{setting}");
        let requests = receiver.take();
        assert_eq!(requests.iter().map(|request| request.text()).collect::<Vec<_>>(), bodies, "{setting}");
        for request in &requests {
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/ingest?index=x"));
            assert_eq!(request.header("content-type"), Some(kind), "{setting}");
            assert_eq!(request.header("content-length"), Some(request.body.len().to_string().as_str()));
            assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("xdrelay/")));
        }
    };
    let ndjson = texts.join("\n") + "\n";
    check("", "application/x-ndjson", std::slice::from_ref(&ndjson)).await;
    check("batch = 'ndjson'\ngzip = true", "application/x-ndjson", &[ndjson]).await;
    check("batch = 'array'", "application/json", &[format!("[{}]", texts.join(","))]).await;
    check("batch = 'one'", "application/json", &texts).await;
    check("batch = 'one'\ngzip = true\nheaders = { Content-Type = 'text/x' }", "text/x", &texts).await;
    assert_eq!(sink(&receiver.url(), "").deliver(&[]).await, Ok(None));
    assert!(receiver.take().is_empty(), "nothing to send, no request");
}

#[tokio::test]
async fn what_is_too_much_for_one_request_is_split_in_order() {
    let receiver = Receiver::start().await;
    let size = outgoing(10, 20).body.len() + 1;
    let check = async |setting: String, expected: &[&[u64]]| {
        let events = several([10, 11, 12, 13, 14], 20);
        assert_eq!(sink(&receiver.url(), &setting).deliver(&events).await, Ok(Some(Seq(14))), "{setting}");
        assert_eq!(receiver.take().iter().map(|request| request.numbers()).collect::<Vec<_>>(), expected, "{setting}");
    };
    check("batch_events = 2".into(), &[&[10, 11], &[12, 13], &[14]]).await;
    check(format!("batch_size = '{} B'", 3 * size + 1), &[&[10, 11, 12], &[13, 14]]).await;
    check(format!("batch_size = '{} B'", 3 * size), &[&[10, 11], &[12, 13], &[14]]).await;
    check("batch_size = '1 B'".into(), &[&[10], &[11], &[12], &[13], &[14]]).await;
    check("batch = 'array'\nbatch_events = 4".into(), &[&[10, 11, 12, 13], &[14]]).await;
}

#[tokio::test]
async fn what_was_answered_counts_though_a_later_request_fails() {
    let receiver = Receiver::start().await;
    let mut sink = sink(&receiver.url(), "batch_events = 2");
    let events = several(1..=6, 20);
    receiver.answer(StatusCode::OK, &[], "");
    receiver.answer(StatusCode::SERVICE_UNAVAILABLE, &[], "busy");
    receiver.answer(StatusCode::SERVICE_UNAVAILABLE, &[], "busy");
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(2))));
    let error = sink.deliver(&events[2..]).await.expect_err("busy");
    assert_eq!(why(error), ("retry", format!("{} answered 503 Service Unavailable: busy", receiver.origin())));
    assert_eq!(sink.deliver(&events[2..]).await, Ok(Some(Seq(6))));
    let requests = receiver.take();
    let sent: Vec<_> = requests.iter().map(|request| request.numbers()).collect();
    assert_eq!(sent, [vec![1, 2], vec![3, 4], vec![3, 4], vec![3, 4], vec![5, 6]], "nothing is sent out of turn");
    let key = |at: usize| requests[at].header("idempotency-key").expect("a key");
    assert!(key(1) == key(2) && key(2) == key(3), "the same batch has the same key");
    assert!(key(0) != key(1) && key(3) != key(4), "another batch has another");
}

#[tokio::test]
async fn a_single_event_has_its_event_id_as_key() {
    let receiver = Receiver::start().await;
    let odd = |id: &str| {
        let mut odd = outgoing(7, 20);
        odd.event.event_id = xdrelay::model::names::EventId::new(id);
        odd
    };
    let key = async |event| {
        assert_eq!(sink(&receiver.url(), "").deliver(&[event]).await, Ok(Some(Seq(7))));
        receiver.take()[0].header("idempotency-key").expect("a key").to_owned()
    };
    assert_eq!(key(outgoing(7, 20)).await, "contoso/7/15994036172900000/9f3c01ab");
    let hashed = key(odd("contoso/7\r\nX-Evil: 1/0/9f3c01ab")).await;
    assert!(hashed.len() == 32 && hashed.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hashed}");
}

#[tokio::test]
async fn each_answer_asks_for_what_helps() {
    let receiver = Receiver::start().await;
    let mut sink = sink(&receiver.url(), "");
    let mut check = async |status: u16, one: &str, several_of: &str, word: &str| {
        for (events, expected) in [(several(1..=1, 20), one), (several(1..=2, 20), several_of)] {
            receiver.answer(StatusCode::from_u16(status).expect("a status"), &[], "the \u{7}words");
            let (found, why) = why(sink.deliver(&events).await.expect_err("a failure"));
            assert_eq!(found, expected, "{status}: {why}");
            assert!(why.contains(word) && why.contains("the \\u{7}words"), "{status}: {why}");
            assert!(why.starts_with(&format!("{} answered {status}", receiver.origin())), "{why}");
            assert!(!why.contains("ingest"), "a path may hold what is nobody's business: {why}");
        }
    };
    for status in [408, 425, 429, 500, 502, 503, 504, 507] {
        check(status, "retry", "retry", "").await;
    }
    check(401, "pause", "pause", "put it right under `auth`").await;
    check(403, "pause", "pause", "put it right under `auth`").await;
    check(407, "pause", "pause", "proxy_url").await;
    for status in [404, 405, 410] {
        check(status, "pause", "pause", "correct the url").await;
    }
    check(300, "pause", "pause", "correct it").await;
    for status in [402, 406, 411, 415, 421, 426, 431, 451] {
        check(status, "pause", "pause", "settings or the account").await;
    }
    for status in [400, 409, 413, 418, 422] {
        check(status, "refused", "refused batch", "").await;
    }
    receiver.answer(StatusCode::BAD_REQUEST, &[], &"x".repeat(100_000));
    match sink.deliver(&several([9], 20)).await {
        Err(DeliverError::Refused(refusals)) => match refusals.as_slice() {
            [Refusal { seq: Seq(9), why }] => assert!(why.ends_with(&format!(": {}", "x".repeat(200))), "{why}"),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
    for status in [200, 201, 202, 204, 207, 299] {
        receiver.answer(StatusCode::from_u16(status).expect("a status"), &[], "");
        assert_eq!(sink.deliver(&several([9], 20)).await, Ok(Some(Seq(9))), "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_handed_on() {
    let receiver = Receiver::start().await;
    let mut sink = sink(&receiver.url(), "");
    let mut check = async |status, value: &str, expected: Option<u64>| {
        let date = ("date", "Sun, 06 Nov 1994 08:49:30 GMT");
        receiver.answer(status, &[("retry-after", value), date], "");
        match sink.deliver(&several([1], 20)).await {
            Err(DeliverError::Retry { after, .. }) => {
                assert_eq!(after.map(|after| after.as_secs()), expected, "{value}");
            }
            other => panic!("{other:?}"),
        }
    };
    check(StatusCode::TOO_MANY_REQUESTS, "17", Some(17)).await;
    check(StatusCode::SERVICE_UNAVAILABLE, "Sun, 06 Nov 1994 08:49:37 GMT", Some(7)).await;
    check(StatusCode::TOO_MANY_REQUESTS, "in a while", None).await;
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "s3cret").expect("written");
    let mut sink =
        sink(&receiver.url(), &format!("auth = {{ kind = 'bearer', token = {{ file = {:?} }} }}", token.path()));
    for status in [301, 302, 303, 307, 308] {
        let status = StatusCode::from_u16(status).expect("a status");
        receiver.answer(status, &[("location", &elsewhere.url())], "");
        let (kind, why) = why(sink.deliver(&several([1], 20)).await.expect_err("a redirect"));
        assert_eq!(kind, "pause", "{why}");
        assert!(why.contains("the redirect to 127.0.0.1 is not followed"), "{why}");
    }
    assert!(elsewhere.take().is_empty());
}

#[tokio::test]
async fn a_rotated_secret_counts_at_once_and_is_never_repeated() {
    let receiver = Receiver::start().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let secret = |text: &str| std::fs::write(file.path(), text).expect("written");
    let of = |kind: &str| kind.replace("FILE", &format!("{{ file = {:?} }}", file.path()));
    let check = async |auth: &str, name: &str, values: [&str; 2]| {
        let mut sink = sink(&receiver.url(), &format!("auth = {}", of(auth)));
        for (text, value) in ["s3cret-one\n", "s3cret-two"].into_iter().zip(values) {
            secret(text);
            receiver.answer(StatusCode::BAD_REQUEST, &[], &format!("you sent {value} ({})", text.trim()));
            let (_, why) = why(sink.deliver(&several([1], 20)).await.expect_err("refused"));
            assert_eq!(receiver.take()[0].header(name), Some(value));
            assert!(why.contains("***") && !why.contains("s3cret") && !why.contains("a2ltOn"), "{why}");
        }
    };
    let bearer = "{ kind = 'bearer', token = FILE }";
    check(bearer, "authorization", ["Bearer s3cret-one", "Bearer s3cret-two"]).await;
    let basic = "{ kind = 'basic', user = 'kim', password = FILE }";
    check(basic, "authorization", ["Basic a2ltOnMzY3JldC1vbmU=", "Basic a2ltOnMzY3JldC10d28="]).await;
    check("{ kind = 'header', name = 'X-Api-Key', value = FILE }", "x-api-key", ["s3cret-one", "s3cret-two"]).await;
    let splunk = "{ kind = 'header', name = 'Authorization', value = FILE }";
    check(splunk, "authorization", ["s3cret-one", "s3cret-two"]).await;
    secret("\n");
    let mut sink = sink(&receiver.url(), &format!("auth = {}", of(bearer)));
    let (kind, why) = why(sink.deliver(&several([1], 20)).await.expect_err("no secret"));
    assert!(kind == "pause" && why.contains("is empty"), "{why}");
    assert!(receiver.take().is_empty(), "nothing is sent without the secret");
}

#[tokio::test]
async fn a_far_side_that_is_away_stops_no_start_and_is_asked_again() {
    let nobody = TcpSocket::new_v4().expect("a socket");
    nobody.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let port = nobody.local_addr().expect("an address").port();
    let mut sink = sink(&format!("http://127.0.0.1:{port}/token-in-the-path"), "");
    let (kind, why) = why(sink.deliver(&several([1], 20)).await.expect_err("nobody there"));
    assert!(kind == "retry" && why.contains("refused") && why.contains(&port.to_string()), "{why}");
    assert!(!why.contains("token"), "{why}");
}

/// A server that reads a little, says this, and keeps the connection open or closes it.
async fn saying(words: &'static [u8], closes: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(words).await;
            if !closes {
                open.push(stream);
            }
        }
    });
    url
}

#[tokio::test]
async fn an_answer_that_breaks_off_hangs_or_never_ends_is_bounded() {
    let check = async |words: &'static [u8], closes: bool, expected: Result<(), &str>| {
        let url = saying(words, closes).await;
        let result = sink(&url, "timeout = '300ms'").deliver(&several([1], 20)).await;
        match expected {
            Ok(()) => assert_eq!(result, Ok(Some(Seq(1)))),
            Err(word) => {
                let (kind, why) = why(result.expect_err(word));
                assert!(kind == "retry" && why.contains(word), "{why}");
            }
        }
    };
    check(b"", false, Err("did not answer within 300ms")).await;
    check(b"", true, Err("cannot be reached")).await;
    check(b"220 smtp.example.net ESMTP\r\n", false, Err("cannot be reached")).await;
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\ncut", true, Ok(())).await;
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nlate", false, Ok(())).await;
    check(b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\ncut", true, Err("answered 503")).await;
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 1 << 20]].concat();
    let url = saying(Box::leak(endless.into_boxed_slice()), false).await;
    let (mut sink, events) = (sink(&url, "timeout = '1h'"), several([1], 20));
    let result = tokio::time::timeout(Duration::from_secs(90), sink.deliver(&events)).await;
    assert_eq!(result.expect("nobody waits for the end of it"), Ok(Some(Seq(1))));
}

#[tokio::test]
async fn a_proxy_is_used_where_one_is_set() {
    let proxy = Receiver::start().await;
    let mut sink = sink("http://siem.example.invalid/ingest", &format!("proxy_url = {:?}", proxy.origin()));
    assert_eq!(sink.deliver(&several([1], 20)).await, Ok(Some(Seq(1))));
    assert_eq!(proxy.take()[0].path, "http://siem.example.invalid/ingest");
}

#[tokio::test]
async fn both_sides_are_known_by_their_certificates() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new(dir.path());
    let receiver = Receiver::start_tls(authority.acceptor()).await;
    let tls = |keys: &[&str]| {
        let lines = keys.iter().map(|key| format!("{key} = {:?}\n", dir.path().join(format!("{key}.pem"))));
        format!("[tls]\n{}", lines.collect::<String>())
    };
    let failing = async |keys: &[&str], word: &str| {
        let result = sink(&receiver.url(), &tls(keys)).deliver(&several([1], 20)).await;
        let (kind, why) = why(result.expect_err(word));
        assert!(kind == "retry" && why.contains(word), "{why}");
    };
    let all = ["ca_file", "certificate", "private_key"];
    assert_eq!(sink(&receiver.url(), &tls(&all)).deliver(&several([1], 20)).await, Ok(Some(Seq(1))));
    assert_eq!(receiver.take().len(), 1);
    failing(&[], "UnknownIssuer").await;
    failing(&["ca_file"], "CertificateRequired").await;
    assert!(receiver.take().is_empty());
    let misnamed = receiver.url().replace("localhost", "127.0.0.1");
    let result = sink(&misnamed, &tls(&all)).deliver(&several([1], 20)).await;
    assert!(result.is_err_and(|error| why(error).1.contains("not valid for name")));
    std::fs::write(dir.path().join("private_key.pem"), "no key").expect("written");
    let error = open(&receiver.url(), &tls(&all)).err().expect("no key");
    assert!(error.why.contains("private_key.pem") && error.why.starts_with("sink hook: "), "{error}");
}

#[test]
fn settings_that_cannot_work_are_named_at_once() {
    let check = |url: &str, more: &str, expected: &[&str]| {
        let config = toml::from_str(&format!("url = {url:?}\n{more}")).expect("a config");
        let keys: Vec<_> = Config::Http(config).settings().validate().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, expected, "{url} {more}");
        assert_eq!(open(url, more).is_err(), !expected.is_empty());
    };
    let good = "https://siem.example.net/ingest";
    check(good, "batch = 'array'\nbatch_events = 500\nheaders = { X-Index = 'defender' }", &[]);
    check("http://10.0.0.1:8080/", "", &[]);
    check("ftp://siem.example.net/", "", &["url"]);
    check("https://kim:s3cret@siem.example.net/", "", &["url"]);
    check("http://siem.example.net/", "[tls]\nca_file = 'ca.pem'", &["tls"]);
    check(good, "[tls]\ncertificate = 'x.pem'", &["tls"]);
    check(good, "batch_events = 0\nbatch_size = '0 B'\ntimeout = '0s'", &["batch_events", "batch_size", "timeout"]);
    check(good, "batch_size = '1 GiB'\ntimeout = '1d'", &["batch_size", "timeout"]);
    check(good, "proxy_url = 'ftp://proxy/'", &["proxy_url"]);
    let headers = "headers = { Authorization = 'x', 'a b' = 'x', Content-Length = '1', X-Ok = \"a\\nb\" }";
    check(good, headers, &["headers.Authorization", "headers.Content-Length", "headers.X-Ok", "headers.a b"]);
    check(good, "auth = { kind = 'bearer', token = {} }", &["auth.token"]);
    check(
        good,
        "auth = { kind = 'basic', user = 'a:b', password = { env = 'X', file = 'y' } }",
        &["auth.user", "auth.password"],
    );
    check(good, "auth = { kind = 'header', name = 'Content-Length', value = { env = 'X' } }", &["auth.name"]);
}

#[test]
fn what_travels_in_the_clear_is_warned_of() {
    let check = |url: &str, more: &str, word: Option<&str>| {
        let config = toml::from_str(&format!("url = {url:?}\n{more}")).expect("a config");
        let warnings = Config::Http(config).settings().warnings();
        assert_eq!(warnings.len(), usize::from(word.is_some()), "{url}: {warnings:?}");
        assert!(warnings.iter().all(|(key, why)| key == "url" && why.contains(word.unwrap_or_default())));
    };
    let auth = "auth = { kind = 'bearer', token = { env = 'X' } }";
    check("http://siem.example.net/", auth, Some("the credential"));
    check("http://siem.example.net/", "", Some("incidents can"));
    check("http://127.0.0.1:8080/", auth, None);
    check("https://siem.example.net/", auth, None);
}

/// The records that the Python receiver wrote.
fn records(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).expect("readable");
    text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

#[tokio::test]
async fn a_receiver_in_another_language_understands_every_batch() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("received");
    let mut python = Command::new("python3");
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/receivers/http_receiver.py")).arg(&path);
    let Ok(mut python) = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        skipped::<()>("python3 is missing: apt-get install python3");
        return;
    };
    let mut port = String::new();
    BufReader::new(python.stdout.take().expect("piped")).read_line(&mut port).expect("a port");
    let url = format!("http://127.0.0.1:{}/", port.trim());
    let events = several(1..=50, 5000);
    for (batch, gzip) in [("ndjson", true), ("ndjson", false), ("array", true), ("array", false)] {
        let mut sink = sink(&url, &format!("batch = '{batch}'\ngzip = {gzip}\nbatch_events = 25"));
        assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(50))), "{batch} {gzip}");
    }
    drop(python.stdin.take());
    assert!(python.wait().expect("ended").success());
    let records = records(&path);
    assert_eq!(records.len(), 8);
    let expected: Vec<serde_json::Value> =
        events.iter().map(|event| serde_json::from_slice(&event.body).expect("our own event")).collect();
    for two in records.chunks(2) {
        let found: Vec<_> =
            two.iter().flat_map(|record| record["events"].as_array().expect("events").clone()).collect();
        assert_eq!(found, expected);
    }
    let size = |at: usize| records[at]["size"].as_u64().expect("a size");
    assert!(size(0) * 5 < size(2) && size(4) * 5 < size(6), "gzip makes it smaller");
}
