//! Every answer that the API, or something in between, is known to give, and what it must become.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use tokio::net::TcpListener;
use xdrelay::model::incident::Row;
use xdrelay::model::names::IncidentId;
use xdrelay::model::page::{Alerts, FetchError, Page, Query, Window};
use xdrelay::model::timestamp::Timestamp;

use crate::server::{
    SECRET, Scripted, Server, SignIn, client_of, good_sign_in, granted, json, jwt, nobody, raw_server, silent_server,
};

const INCIDENT: &str = r#"{"incidentId" : 924565,"createdTime":"2026-11-21T09:00:00Z","lastUpdateTime":"2026-11-21T09:30:00.57Z","incidentName":"a\u200b","alerts":[ ]}"#;

fn query() -> Query {
    Query {
        window: Window { from: Timestamp::from_seconds(1_795_255_200), to: None },
        created: None,
        skip: 0,
        top: 100,
        alerts: Alerts::Within,
    }
}

fn page_of(rows: &[&str]) -> String {
    format!(
        r#"{{"@odata.context":"https://api.securitycenter.microsoft.com/api/$metadata#Incidents","value":[{}]}}"#,
        rows.join(",")
    )
}

fn pack<W: Write>(mut encoder: W, bytes: &[u8], finish: impl FnOnce(W) -> std::io::Result<Vec<u8>>) -> Vec<u8> {
    encoder.write_all(bytes).expect("a Vec takes every write");
    finish(encoder).expect("a Vec takes every write")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    pack(GzEncoder::new(Vec::new(), Compression::default()), bytes, GzEncoder::finish)
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    pack(ZlibEncoder::new(Vec::new(), Compression::default()), bytes, ZlibEncoder::finish)
}

fn bare_deflate(bytes: &[u8]) -> Vec<u8> {
    pack(DeflateEncoder::new(Vec::new(), Compression::default()), bytes, DeflateEncoder::finish)
}

/// Lists once against one answer.
async fn list(answer: Scripted) -> Result<Page, FetchError> {
    let sign_in = good_sign_in().await;
    let server = Server::start([answer]).await;
    let client = client_of(&server.url, &sign_in, |_| {});
    let outcome = client.list(&query()).await;
    assert_eq!(server.asked().len(), 1, "one call, whatever comes");
    outcome
}

async fn get(answer: Scripted) -> Result<Row, FetchError> {
    let sign_in = good_sign_in().await;
    let server = Server::start([answer]).await;
    let client = client_of(&server.url, &sign_in, |_| {});
    let outcome = client.get(&IncidentId::new("924565")).await;
    assert_eq!(server.asked().len(), 1, "one call, whatever comes");
    outcome
}

/// The decision and the pause of an error, without its words.
fn decision(error: &FetchError) -> (&'static str, Option<u64>) {
    let seconds = |after: &Option<Duration>| after.map(|after| after.as_secs());
    match error {
        FetchError::Throttled { after, .. } => ("throttled", seconds(after)),
        FetchError::Unavailable { after, .. } => ("unavailable", seconds(after)),
        FetchError::Unauthorized { .. } => ("unauthorized", None),
        FetchError::Refused { .. } => ("refused", None),
        FetchError::Rejected { .. } => ("rejected", None),
        FetchError::Garbled { .. } => ("garbled", None),
        FetchError::TooLarge { .. } => ("too large", None),
        FetchError::NotFound => ("not found", None),
    }
}

fn check(error: &FetchError, expected: &str, after: Option<u64>, words: &[&str]) {
    assert_eq!(decision(error), (expected, after), "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} lacks {word:?}");
    }
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn a_call_is_asked_as_the_api_wants_it() {
    let sign_in = good_sign_in().await;
    let server = Server::start([json(200, page_of(&[])), json(200, INCIDENT)]).await;
    let client = client_of(&server.url, &sign_in, |_| {});
    client.list(&query()).await.expect("a page");
    client.get(&IncidentId::new("a/b")).await.expect("an incident");
    let asked = server.asked();
    assert_eq!(asked[0].uri, "/api/incidents?$filter=lastUpdateTime%20ge%202026-11-21T10:00:00.0000000Z&$top=100");
    assert_eq!(asked[1].uri, "/api/incidents/a%2Fb");
    for asked in asked {
        assert_eq!(asked.method, "GET");
        assert_eq!(asked.header("authorization"), format!("Bearer {}", jwt(&["Incident.Read.All"], 1)));
        assert_eq!((asked.header("accept"), asked.header("accept-encoding")), ("application/json", "gzip"));
    }
}

#[tokio::test]
async fn a_page_is_taken_byte_for_byte_however_it_is_packed() {
    let body = page_of(&[INCIDENT, r#"{"incidentId":2}"#]);
    let answers = [
        json(200, body.as_bytes()),
        json(200, gzip(body.as_bytes())).with("content-encoding", "gzip"),
        json(200, zlib(body.as_bytes())).with("content-encoding", "deflate"),
        json(200, bare_deflate(body.as_bytes())).with("content-encoding", "deflate"),
        json(200, format!("\u{feff}{body}")),
        json(200, body.as_bytes()).with("content-type", "Application/JSON"),
    ];
    for answer in answers {
        let page = list(answer.clone()).await.unwrap_or_else(|error| panic!("{answer:?}: {error}"));
        let rows: Vec<_> = page.rows.iter().map(|row| (row.raw.get(), row.repaired, row.truncated)).collect();
        assert_eq!(rows, [(INCIDENT, false, false), (r#"{"incidentId":2}"#, false, false)]);
        assert_eq!(page.rows[0].last_update(), Some("2026-11-21T09:30:00.57Z".parse().expect("a time")));
        assert_eq!(page.rows[1].last_update(), None, "odd, and there all the same");
        assert_eq!(page.date, Some("2026-11-21T10:00:00Z".parse().expect("a time")));
    }
}

#[tokio::test]
async fn an_empty_page_is_a_page() {
    let page = list(json(200, page_of(&[]))).await.expect("a page");
    assert_eq!((page.rows.len(), page.date.is_some()), (0, true));
}

#[tokio::test]
async fn an_incident_comes_bare() {
    assert_eq!(get(json(200, INCIDENT)).await.expect("an incident").raw.get(), INCIDENT);
}

#[tokio::test]
async fn what_is_no_page_is_never_an_empty_one() {
    let packed = gzip(page_of(&[INCIDENT]).as_bytes());
    let cases: Vec<(Scripted, &[&str])> = vec![
        (json(200, "<html>Sign in to the proxy</html>").with("content-type", "text/html"), &["text/html", "Sign in"]),
        (json(200, page_of(&[])).with("content-type", "text/plain"), &["text/plain"]),
        (json(200, page_of(&[])).with("content-type", ""), &["no content type"]),
        (json(200, "<html>"), &["begins with: <html>"]),
        (json(200, page_of(&["1"; 10_001])), &["10001 rows"]),
        (json(200, ""), &[]),
        (json(200, "null"), &[]),
        (json(200, r#"{"value":null}"#), &["value"]),
        (json(200, r#"{"error":{"code":"429","message":"m"}}"#), &["error object", "429"]),
        (json(200, r#"{"value":[],"error":{"code":"500"}}"#), &["error object"]),
        (json(200, &page_of(&[INCIDENT]).as_bytes()[..100]), &[]),
        (json(200, page_of(&[]) + "{}"), &[]),
        (json(200, page_of(&[])).with("content-encoding", "br"), &["br"]),
        (json(200, page_of(&[])).with("content-encoding", "gzip"), &["decompressed"]),
        (json(200, &packed[..packed.len() - 9]).with("content-encoding", "gzip"), &["decompressed"]),
        (json(204, ""), &["204"]),
        (json(206, page_of(&[])), &["206"]),
        (json(200, format!(r#"{{"error":"{}"}}"#, jwt(&["Incident.Read.All"], 1))), &["error object", "***"]),
    ];
    for (answer, words) in cases {
        let error = list(answer.clone()).await.expect_err(&format!("{answer:?}"));
        check(&error, "garbled", None, words);
    }
    for body in [r#"{"value":[]}"#, "[]", "7", "", r#"{"error":{},"incidentId":1}"#] {
        check(&get(json(200, body)).await.expect_err(body), "garbled", None, &[]);
    }
}

#[tokio::test]
async fn every_status_becomes_a_decision() {
    let fault =
        |code: &str, message: &str| format!(r#"{{"error":{{"code":"{code}","message":"{message}","target":"7-7"}}}}"#);
    let quota = |rest: &str| fault("429", &format!("API calls quota exceeded! maximum allowed 45 per 00:01:00{rest}"));
    let echo = fault("Unauthorized", &format!("Bearer {}", jwt(&["Incident.Read.All"], 1)));
    let html = |status: u16| json(status, "<html>no</html>").with("content-type", "text/html");
    let cases: Vec<(Scripted, &str, Option<u64>, &[&str])> = vec![
        (
            json(400, fault("BadRequest", "bad $filter")),
            "rejected",
            None,
            &["status 400", "BadRequest: bad $filter", "7-7"],
        ),
        (json(401, fault("Unauthorized", "Invalid Authorization payload.")), "unauthorized", None, &["Invalid"]),
        (json(401, r#"{"error":{"code":"Unauthorized","message":"cut"#), "unauthorized", None, &[]),
        (json(401, echo), "unauthorized", None, &["Bearer ***"]),
        (
            json(401, fault("Unauthorized", "Unauthorized request - reason of failure: Account mode is inactive")),
            "refused",
            None,
            &["Account mode is inactive", "licence"],
        ),
        (
            json(403, fault("Forbidden", "Missing application roles.")),
            "refused",
            None,
            &["Missing application roles", "the token holds Incident.Read.All"],
        ),
        (json(403, fault("DisabledFeature", "Tenant feature is not enabled")), "refused", None, &["DisabledFeature"]),
        (html(403), "refused", None, &["in between"]),
        (html(407), "unavailable", None, &["proxy"]),
        (json(404, fault("NotFound", "no")), "unavailable", None, &["api_url"]),
        (json(429, quota("")), "throttled", None, &["quota exceeded"]),
        (json(429, quota(". You can send requests again in 8 seconds.")), "throttled", Some(8), &[]),
        (
            json(429, quota(". You can send requests again in 8 seconds.")).with("retry-after", "30"),
            "throttled",
            Some(30),
            &[],
        ),
        (json(429, quota("")).with("retry-after", "Sat, 21 Nov 2026 10:01:00 GMT"), "throttled", Some(60), &[]),
        (json(429, quota("")).with("retry-after", "-1"), "throttled", None, &[]),
        (json(429, quota("")).with("retry-after", "1000000000"), "throttled", Some(3600), &[]),
        (json(429, "again in 5 seconds").with("content-type", "text/plain"), "throttled", Some(5), &[]),
        (json(500, fault("InternalServerError", "oops")), "unavailable", None, &["oops"]),
        (json(500, ""), "unavailable", None, &["no readable body"]),
        (html(502), "unavailable", None, &["<html>"]),
        (
            json(503, gzip(b"busy")).with("content-encoding", "gzip").with("retry-after", "5"),
            "unavailable",
            Some(5),
            &["busy"],
        ),
        (html(504), "unavailable", None, &[]),
        (json(408, ""), "unavailable", None, &[]),
        (json(301, ""), "unavailable", None, &[]),
        (json(500, vec![b'x'; 1_000_000]), "unavailable", None, &["500"]),
    ];
    for (answer, expected, after, words) in cases {
        check(&list(answer.clone()).await.expect_err("no page"), expected, after, words);
    }
    check(&get(json(404, fault("NotFound", "no"))).await.expect_err("none"), "not found", None, &[]);
    check(&get(json(404, "")).await.expect_err("none"), "not found", None, &[]);
    check(&get(html(404)).await.expect_err("none"), "unavailable", None, &["api_url"]);
}

#[tokio::test]
async fn a_403_names_the_permission_and_what_the_token_holds() {
    let fault = r#"{"error":{"code":"Forbidden","message":"Missing application roles. API required roles: Incident.Read.All"}}"#;
    let opaque = || "opaque".to_owned();
    let cases: [(String, &str); 3] = [
        (jwt(&["Machine.Read.All"], 1), "the token holds Machine.Read.All"),
        (jwt(&[], 1), "the token holds no role at all"),
        (opaque(), "admin consent"),
    ];
    for (token, words) in cases {
        let server = Server::start([json(403, fault)]).await;
        let sign_in = SignIn::start([granted(&token, 3600)]).await;
        let client = client_of(&server.url, &sign_in, |_| {});
        let error = client.list(&query()).await.expect_err("refused");
        check(&error, "refused", None, &["Incident.Read.All", "Microsoft Threat Protection", words]);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_target_sees_nothing() {
    let foreign = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let target = format!("http://{}/steal?x=canary", foreign.local_addr().expect("an address"));
    for status in [301, 302, 303, 307, 308] {
        let error = list(json(status, "").with("location", &target)).await.expect_err("a redirect");
        check(&error, "unavailable", None, &["a redirect to http://127.0.0.1 was not followed"]);
        let sign_in = SignIn::start([json(status, "").with("location", &target)]).await;
        let error = sign_in.tokens.token().await.expect_err("a redirect");
        assert!(error.to_string().contains("redirect"), "{error}");
    }
    let foreign = foreign.into_std().expect("a listener");
    let error = foreign.accept().expect_err("nobody came");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_body_that_is_cut_is_no_page_at_any_byte() {
    let sign_in = good_sign_in().await;
    let body = page_of(&[r#"{"incidentId":1}"#]);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let counted = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for whole in [counted, chunked] {
        let url = raw_server(whole.clone().into_bytes()).await;
        let client = client_of(&url, &sign_in, |_| {});
        assert_eq!(client.list(&query()).await.expect("the whole page").rows.len(), 1);
        for length in 0..whole.len() {
            let url = raw_server(whole.as_bytes()[..length].to_vec()).await;
            let client = client_of(&url, &sign_in, |_| {});
            let error = client.list(&query()).await.expect_err(&whole[..length]);
            check(&error, "unavailable", None, &[]);
        }
    }
}

#[tokio::test]
async fn the_network_is_unavailable_and_says_why() {
    let sign_in = good_sign_in().await;
    let client = client_of(&nobody().await, &sign_in, |_| {});
    check(&client.list(&query()).await.expect_err("nobody"), "unavailable", None, &["refused"]);
    let client =
        client_of(&silent_server().await, &sign_in, |settings| settings.request_timeout = Duration::from_millis(50));
    let error = client.list(&query()).await.expect_err("silence");
    check(&error, "unavailable", None, &["timed out"]);
    assert!(!error.to_string().contains("filter"), "no URL: {error}");
    let client = client_of(&raw_server(b"garbage\r\n\r\n".to_vec()).await, &sign_in, |_| {});
    check(&client.list(&query()).await.expect_err("garbage"), "unavailable", None, &[]);
}

#[tokio::test]
async fn what_is_over_the_cap_is_too_large_whatever_it_was_packed_in() {
    let sign_in = good_sign_in().await;
    let large = page_of(&[&format!(r#"{{"x":"{}"}}"#, " ".repeat(100_000))]);
    let bomb = vec![b' '; 50_000_000];
    for answer in [
        json(200, large.as_bytes()),
        json(200, gzip(large.as_bytes())).with("content-encoding", "gzip"),
        json(200, zlib(&bomb)).with("content-encoding", "deflate"),
        json(200, bare_deflate(&bomb)).with("content-encoding", "deflate"),
    ] {
        let error = list(answer).await.expect_err("too large");
        assert_eq!(error, FetchError::TooLarge { limit: 100_000 });
    }
    // It says so itself: nothing is waited for.
    let url =
        raw_server(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100001\r\n\r\n".to_vec())
            .await;
    let client = client_of(&url, &sign_in, |_| {});
    assert_eq!(client.list(&query()).await.expect_err("too large"), FetchError::TooLarge { limit: 100_000 });
    // Chunked, it does not say so.
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    let endless = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{}",
        chunk.repeat(4)
    );
    let client = client_of(&raw_server(endless.into_bytes()).await, &sign_in, |_| {});
    assert_eq!(client.list(&query()).await.expect_err("too large"), FetchError::TooLarge { limit: 100_000 });
}

#[tokio::test]
async fn invalid_utf_8_is_repaired_in_the_rows_that_hold_it_and_only_they_say_so() {
    let mut body =
        page_of(&[INCIDENT, r#"{"incidentId":2,"n":"@"}"#, "{\"incidentId\":3,\"n\":\"\u{fffd}\"}"]).into_bytes();
    let at = body.iter().position(|&byte| byte == b'@').expect("the odata annotation");
    let place = body[at + 1..].iter().position(|&byte| byte == b'@').expect("the mark") + at + 1;
    body[place] = 0xff;
    let page = list(json(200, body)).await.expect("a page");
    let rows: Vec<_> = page.rows.iter().map(|row| (row.raw.get(), row.repaired)).collect();
    assert_eq!(rows[0], (INCIDENT, false));
    assert_eq!(rows[1], ("{\"incidentId\":2,\"n\":\"\u{fffd}\"}", true));
    assert_eq!(rows[2], ("{\"incidentId\":3,\"n\":\"\u{fffd}\"}", false), "it came that way");
}

#[tokio::test]
async fn an_oversize_incident_becomes_a_stub_and_the_others_stay() {
    let large = format!(
        r#"{{"incidentId":7,"createdTime":"2026-11-21T09:00:00Z","lastUpdateTime":"2026-11-21T09:30:00.5Z","status":"Active","x":"{}"}}"#,
        "y".repeat(1000)
    );
    let page = list(json(200, page_of(&[INCIDENT, &large]))).await.expect("a page");
    let [first, stub] = &page.rows[..] else { panic!("two rows") };
    assert_eq!((first.raw.get(), first.truncated), (INCIDENT, false));
    let expected = format!(
        r#"{{"incidentId":7,"createdTime":"2026-11-21T09:00:00Z","lastUpdateTime":"2026-11-21T09:30:00.5Z","size":{}}}"#,
        large.len()
    );
    assert_eq!((stub.raw.get(), stub.truncated), (expected.as_str(), true));
    let header = stub.head.usual().expect("the header of the whole");
    assert_eq!(header.fields.status.as_deref(), Some("Active"));
    assert_eq!(stub.hash, xdrelay::model::hash::ContentHash::of(&large), "the hash of the whole");
}

#[tokio::test]
async fn a_row_as_deep_as_it_likes_is_taken_as_it_is() {
    let deep = format!(r#"{{"incidentId":1,"x":{}1{}}}"#, "[".repeat(40_000), "]".repeat(40_000));
    let server = Server::start([json(200, page_of(&[&deep]))]).await;
    let sign_in = good_sign_in().await;
    let client = client_of(&server.url, &sign_in, |settings| settings.max_incident_size = 100_000);
    let page = client.list(&query()).await.expect("a page");
    assert_eq!(page.rows[0].raw.get(), deep);
}

#[tokio::test]
async fn after_a_401_the_next_call_has_another_token() {
    let server = Server::start([json(401, ""), json(200, page_of(&[]))]).await;
    let sign_in = good_sign_in().await;
    let client = client_of(&server.url, &sign_in, |_| {});
    check(&client.list(&query()).await.expect_err("rejected"), "unauthorized", None, &[]);
    assert_eq!(sign_in.server.asked().len(), 1, "the caller comes back through the quota");
    client.list(&query()).await.expect("a page");
    let bearers: Vec<_> = server.asked().iter().map(|asked| asked.header("authorization").to_owned()).collect();
    assert_eq!(bearers.len(), 2);
    assert_ne!(bearers[0], bearers[1]);
}

#[tokio::test]
async fn an_api_that_rejects_every_token_does_not_make_a_storm() {
    let server = Server::start([json(401, "")]).await;
    let sign_in = good_sign_in().await;
    let client = client_of(&server.url, &sign_in, |_| {});
    let mut decisions = Vec::new();
    for _ in 0..20 {
        decisions.push(decision(&client.list(&query()).await.expect_err("rejected")).0);
    }
    assert_eq!(&decisions[..3], ["unauthorized", "unauthorized", "refused"]);
    assert!(decisions[3..].iter().all(|decision| *decision == "refused"), "{decisions:?}");
    assert_eq!((sign_in.server.asked().len(), server.asked().len()), (2, 2));
}

#[tokio::test]
async fn a_young_token_is_kept_after_a_403() {
    let server = Server::start([json(403, ""), json(200, page_of(&[]))]).await;
    let sign_in = good_sign_in().await;
    let client = client_of(&server.url, &sign_in, |_| {});
    check(&client.list(&query()).await.expect_err("refused"), "refused", None, &[]);
    client.list(&query()).await.expect("a page");
    assert_eq!(sign_in.server.asked().len(), 1);
}

#[tokio::test]
async fn without_a_token_the_api_is_not_asked() {
    let refused = r#"{"error":"invalid_client","error_description":"AADSTS7000215: x","error_codes":[7000215]}"#;
    let cases: [(Scripted, &str, &str); 3] = [
        (json(401, refused), "refused", "Value, not its ID"),
        (json(503, ""), "unavailable", "sign-in"),
        (json(429, "").with("retry-after", "30"), "unavailable", "throttled"),
    ];
    for (answer, expected, word) in cases {
        let server = Server::start([json(200, page_of(&[]))]).await;
        let sign_in = SignIn::start([answer]).await;
        let client = client_of(&server.url, &sign_in, |_| {});
        let error = client.list(&query()).await.expect_err("no token");
        assert_eq!(decision(&error).0, expected, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(!error.to_string().contains(SECRET), "{error}");
        assert!(server.asked().is_empty());
    }
}
