//! Graph's answers: pages that are incomplete, incidents that are cut, alerts that come apart, and its words for what is wrong.

use std::time::Duration;

use tokio::net::TcpListener;
use xdrelay::api::client::Client;
use xdrelay::model::dialect::Dialect;
use xdrelay::model::names::IncidentId;
use xdrelay::model::page::{Alerts, AlertsPage, FetchError, Page, Query, Window};
use xdrelay::model::timestamp::Timestamp;

use crate::server::{Scripted, Server, SignIn, client_of, granted, json, jwt_for};

const ROLE: &str = "SecurityIncident.Read.All";

fn query(alerts: Alerts) -> Query {
    Query {
        window: Window { from: Timestamp::from_seconds(1_795_255_200), to: None },
        created: None,
        skip: 0,
        top: 50,
        alerts,
    }
}

fn id() -> IncidentId {
    IncidentId::new("17")
}

fn page_of(rows: &[&str]) -> String {
    format!(
        r#"{{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#security/incidents","value":[{}]}}"#,
        rows.join(",")
    )
}

/// A sign-in whose tokens are for this audience and hold these roles.
async fn sign_in(roles: &[&str], audience: &str) -> SignIn {
    SignIn::start((1..100).map(|serial| granted(&jwt_for(roles, audience, serial), 3600))).await
}

/// A client of this server. The sign-in must be kept, for its secret is in a file of its own.
async fn client(server: &Server) -> (Client, SignIn) {
    let sign_in = sign_in(&[ROLE], "https://graph.microsoft.com").await;
    (client_of(&server.url, &sign_in, |settings| settings.dialect = Dialect::Graph), sign_in)
}

async fn list(answer: Scripted) -> Result<Page, FetchError> {
    let server = Server::start([answer]).await;
    let (client, _sign_in) = client(&server).await;
    let outcome = client.list(&query(Alerts::Within)).await;
    assert_eq!(server.asked().len(), 1, "one call, whatever comes");
    outcome
}

async fn alerts(answer: Scripted) -> Result<AlertsPage, FetchError> {
    let server = Server::start([answer]).await;
    let (client, _sign_in) = client(&server).await;
    let outcome = client.alerts(&id(), 0).await;
    assert_eq!(server.asked().len(), 1, "one call, whatever comes");
    outcome
}

fn expect(error: &FetchError, is_it: fn(&FetchError) -> bool, words: &[&str]) {
    let text = error.to_string();
    assert!(is_it(error), "{error:?}");
    for word in words {
        assert!(text.contains(word), "{text:?} lacks {word:?}");
    }
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

fn is_unavailable(error: &FetchError) -> bool {
    matches!(error, FetchError::Unavailable { after: None, .. })
}

#[tokio::test]
async fn every_call_is_asked_as_graph_wants_it() {
    let incident = r#"{"id":"17"}"#;
    let answers =
        [page_of(&[]), page_of(&[]), incident.into(), incident.into(), page_of(&[])].map(|body| json(200, body));
    let server = Server::start(answers).await;
    let (client, _sign_in) = client(&server).await;
    client.list(&query(Alerts::Within)).await.expect("a page");
    client.list(&query(Alerts::Apart)).await.expect("a page");
    client.get(&IncidentId::new("a/b")).await.expect("an incident");
    client.get_without_alerts(&id()).await.expect("an incident");
    client.alerts(&id(), 99).await.expect("a page of alerts");
    let asked = server.asked();
    let uris: Vec<_> = asked.iter().map(|asked| asked.uri.as_str()).collect();
    let filter = "$filter=lastUpdateDateTime%20ge%202026-11-21T10:00:00.0000000Z&$top=50";
    assert_eq!(
        uris,
        [
            &format!("/v1.0/security/incidents?{filter}&$expand=alerts"),
            &format!("/v1.0/security/incidents?{filter}"),
            "/v1.0/security/incidents/a%2Fb?$expand=alerts",
            "/v1.0/security/incidents/17",
            "/v1.0/security/incidents/17/alerts?$top=100&$skip=99",
        ]
    );
    for asked in asked {
        assert_eq!(asked.method, "GET");
        assert_eq!(asked.header("prefer"), "include-unknown-enum-members");
        let bearer = format!("Bearer {}", jwt_for(&[ROLE], "https://graph.microsoft.com", 1));
        assert_eq!(asked.header("authorization"), bearer);
        assert_eq!((asked.header("accept"), asked.header("accept-encoding")), ("application/json", "gzip"));
    }
}

#[tokio::test]
async fn a_206_is_an_incomplete_page_and_nothing_else_whole() {
    let warned = |body: String| {
        json(206, body)
            .with("warning", r#"199 - "{Microsoft}/{MDE}/504/10000""#)
            .and("warning", r#"199 - "{Microsoft}/{MDO}/403/10""#)
    };
    let page = list(warned(page_of(&[r#"{"id":"17"}"#]))).await.expect("a page");
    assert_eq!(page.rows.len(), 1);
    let why = page.incomplete.expect("a reason");
    assert!(why.contains("MDE}/504") && why.contains("MDO}/403"), "{why}");
    assert!(list(json(206, page_of(&[]))).await.expect("a page").incomplete.is_some());
    assert_eq!(list(json(200, page_of(&[]))).await.expect("a page").incomplete, None);
    expect(&alerts(warned(page_of(&[]))).await.expect_err("not whole"), is_unavailable, &["206", "MDE}/504"]);
    let server = Server::start([warned(r#"{"id":"17"}"#.into())]).await;
    let (client, _sign_in) = client(&server).await;
    let error = client.get(&id()).await.expect_err("not whole");
    expect(&error, is_unavailable, &["206", "MDE}/504", "MDO}/403"]);
}

#[tokio::test]
async fn no_link_is_ever_followed() {
    let foreign = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let link = format!("http://{}/v1.0/security/incidents?$skiptoken=x", foreign.local_addr().expect("an address"));
    let cut = format!(r#"{{"id":"17","alerts":[{{"id":"a"}}],"alerts@odata.nextLink":"{link}"}}"#);
    let linked = format!(r#"{{"value":[{cut},{{"id":"18","alerts":[]}}],"@odata.nextLink":"{link}"}}"#);
    let page = list(json(200, linked)).await.expect("a page");
    assert_eq!(page.rows.iter().map(|row| row.cut).collect::<Vec<_>>(), [true, false]);
    let linked = format!(r#"{{"value":[{{"id":"a"}}],"@odata.nextLink":"{link}"}}"#);
    assert!(alerts(json(200, linked)).await.expect("a page of alerts").more);
    let foreign = foreign.into_std().expect("a listener");
    assert_eq!(foreign.accept().expect_err("nobody came").kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn more_alerts_are_told_by_a_full_page_or_by_a_link() {
    let check = async |count: usize, link: bool, more: bool| {
        let texts: Vec<_> = (0..count).map(|n| format!(r#"{{"id" : "a{n}", "x":1.10 }}"#)).collect();
        let link = if link { r#","@odata.nextLink":"https://graph.microsoft.com/x""# } else { "" };
        let page = alerts(json(200, format!(r#"{{"value":[{}]{link}}}"#, texts.join(" , ")))).await.expect("a page");
        assert_eq!(page.alerts.iter().map(|alert| alert.get()).collect::<Vec<_>>(), texts);
        assert_eq!((page.more, page.repaired), (more, false), "{count} {link}");
    };
    check(0, false, false).await;
    check(99, false, false).await;
    check(1, true, true).await;
    check(100, false, true).await;
    // It takes no notice of `$top`, and would say so if it held some back.
    check(101, false, false).await;
    check(101, true, true).await;
    let mut body = br#"{"value":[{"id":"@"}]}"#.to_vec();
    let place = body.iter().position(|&byte| byte == b'@').expect("the mark");
    body[place] = 0xff;
    assert!(alerts(json(200, body)).await.expect("a page").repaired);
}

#[tokio::test]
async fn what_is_no_page_of_alerts_is_an_error() {
    let garbled: fn(&FetchError) -> bool = |error| matches!(error, FetchError::Garbled { .. });
    for body in ["", "{}", r#"{"value":{}}"#, r#"{"value":[1]}"#, r#"{"value":[null]}"#, r#"{"value":[],"error":{}}"#] {
        expect(&alerts(json(200, body)).await.expect_err(body), garbled, &[]);
    }
    let gone = json(404, r#"{"error":{"code":"ResourceNotFound","message":"no"}}"#);
    expect(&alerts(gone).await.expect_err("gone"), |error| *error == FetchError::NotFound, &[]);
    let proxy = json(404, "<html>").with("content-type", "text/html");
    expect(&alerts(proxy).await.expect_err("nothing"), is_unavailable, &["api_url"]);
    let rejected: fn(&FetchError) -> bool = |error| matches!(error, FetchError::Rejected { .. });
    expect(&alerts(json(400, "")).await.expect_err("rejected"), rejected, &[]);
    let server = Server::start([json(200, page_of(&[]))]).await;
    let (client, _sign_in) = client(&server).await;
    // A 404 would say that it is gone; nobody was asked.
    expect(&client.alerts(&IncidentId::new(".."), 0).await.expect_err("no id"), garbled, &["\"..\""]);
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn the_words_of_graph_become_decisions_and_remedies() {
    let fault = |code: &str, message: &str| {
        let inner = r#"{"date":"2026-11-21T10:00:00","request-id":"7-7-7","client-request-id":"8-8-8"}"#;
        format!(r#"{{"error":{{"code":"{code}","message":"{message}","innerError":{inner}}}}}"#)
    };
    let provisioned = "Unauthorized request - Account is not provisioned.";
    let missing = "Missing application roles. API required roles: SecurityIncident.Read.All,SecurityIncident.ReadWrite.All, application roles: .";
    let top = "The limit of '50' for Top query has been exceeded. The value from the incoming request is '100'.";
    type Case<'a> = (Scripted, fn(&FetchError) -> bool, &'a [&'a str]);
    let refused: fn(&FetchError) -> bool = |error| matches!(error, FetchError::Refused { .. });
    let rejected: fn(&FetchError) -> bool = |error| matches!(error, FetchError::Rejected { .. });
    let unauthorized: fn(&FetchError) -> bool = |error| matches!(error, FetchError::Unauthorized { .. });
    let cases: Vec<Case<'_>> = vec![
        (
            json(403, fault("Forbidden", missing)),
            refused,
            &["7-7-7", ROLE, "Microsoft Graph", "holds Incident.Read.All"],
        ),
        (json(403, fault("Forbidden", provisioned)), refused, &["licence", "no token helps"]),
        (json(401, fault("Unauthorized", provisioned)), refused, &["licence", "no token helps"]),
        (
            json(401, fault("InvalidAuthenticationToken", "Access token validation failure. Invalid audience.")),
            unauthorized,
            &["Invalid audience", "https://api.security.microsoft.com", "check audience"],
        ),
        (json(401, fault("InvalidAuthenticationToken", "Lifetime validation failed")), unauthorized, &["Lifetime"]),
        (json(400, fault("BadRequest", top)), rejected, &["limit of '50'", "7-7-7", "page_size"]),
        (
            json(429, fault("TooManyRequests", "Too many requests")).with("retry-after", "17"),
            |error| matches!(error, FetchError::Throttled { after: Some(after), .. } if *after == Duration::from_secs(17)),
            &["TooManyRequests", "7-7-7"],
        ),
        (
            json(429, r#"{"error":{"code":"TooManyRequests","message":"m","innererror":"odd"}}"#),
            |error| matches!(error, FetchError::Throttled { after: None, .. }),
            &["TooManyRequests: m"],
        ),
        (json(500, fault("UnknownError", "")), is_unavailable, &["UnknownError", "7-7-7"]),
    ];
    for (answer, is_it, words) in cases {
        let server = Server::start([answer]).await;
        let sign_in = sign_in(&["Incident.Read.All"], "https://api.security.microsoft.com").await;
        let client = client_of(&server.url, &sign_in, |settings| settings.dialect = Dialect::Graph);
        let error = client.list(&query(Alerts::Within)).await.expect_err("no page");
        expect(&error, is_it, words);
    }
}

#[tokio::test]
async fn an_oversize_incident_becomes_a_stub_in_the_words_of_graph() {
    let large = format!(
        r#"{{"id":"7","createdDateTime":"2026-11-21T09:00:00Z","lastUpdateDateTime":"2026-11-21T09:30:00.5Z","x":"{}","alerts@odata.nextLink":"x"}}"#,
        "y".repeat(1000)
    );
    let page = list(json(200, page_of(&[&large]))).await.expect("a page");
    let stub = &page.rows[0];
    let expected = format!(
        r#"{{"id":"7","createdDateTime":"2026-11-21T09:00:00Z","lastUpdateDateTime":"2026-11-21T09:30:00.5Z","size":{}}}"#,
        large.len()
    );
    assert_eq!((stub.raw.get(), stub.truncated, stub.cut), (expected.as_str(), true, false));
    assert!(stub.head.usual().is_some(), "{:?}", stub.head);
}
