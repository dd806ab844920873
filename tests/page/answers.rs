//! What the admin port answers to whom: the headers of every answer, names that are not ours, pages of others.

use std::time::Duration;

use reqwest::{Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::faking::Faking;
use crate::harness::{BOUND, Daemon, Place, QUICK, web};

/// What every answer carries, whatever it is.
const HEADERS: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

fn assert_headers(answer: &Response, what: &str) {
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("a text"));
    for (name, value) in HEADERS {
        assert_eq!(header(name), Some(value), "{name} of {what}");
    }
    let policy = header("content-security-policy").expect("a policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{part} is not in {policy} of {what}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy} of {what}");
}

async fn daemon() -> (Place, Faking, Daemon) {
    let (place, source) = (Place::new(), Faking::start().await);
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n\n";
    place.configure(&[QUICK, &source.tenant(&place, "contoso", 1), &place.file_sink("file"), admin]);
    let daemon = Daemon::start(&place);
    (place, source, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_forbids_what_a_browser_could_do_with_it() {
    let (_place, _source, daemon) = daemon().await;
    let (origin, client) = (daemon.origin(), web());
    for (method, path, status) in [
        (Method::GET, "/", 200),
        (Method::HEAD, "/", 200),
        (Method::GET, "/status", 200),
        (Method::GET, "/metrics", 200),
        (Method::GET, "/healthz", 200),
        (Method::GET, "/events", 200),
        (Method::POST, "/", 405),
        (Method::POST, "/status", 405),
        (Method::DELETE, "/metrics", 405),
        (Method::PUT, "/events", 405),
        (Method::GET, "/nothing", 404),
        (Method::POST, "/login", 404),
        (Method::POST, "/replay", 404),
        (Method::GET, "/refused", 404),
        (Method::GET, "/incidents/1", 404),
        (Method::GET, "/../etc/passwd", 404),
    ] {
        let what = format!("{method} {path}");
        let answer = client.request(method, format!("{origin}{path}")).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{what}");
        assert_headers(&answer, &what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_whole_and_lets_nothing_else_in() {
    let (_place, _source, daemon) = daemon().await;
    let answer = web().get(format!("{}/", daemon.origin())).send().await.expect("an answer");
    let policy = answer.headers()["content-security-policy"].to_str().expect("a text").to_owned();
    assert!(policy.contains("script-src 'sha256-") && policy.contains("style-src 'sha256-"), "{policy}");
    assert!(policy.contains("connect-src 'self'") && policy.contains("require-trusted-types-for 'script'"), "{policy}");
    let page = answer.text().await.expect("a text");
    assert!(page.contains("<noscript>") && page.contains("/status"), "without scripts it says where to look");
    let without_icons = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["src=", "@import", "url(", "http://", "https://", "innerHTML", " style=", " onclick=", " onload="] {
        assert!(!without_icons.contains(word), "{word} is in the page");
    }
    assert!(!page.contains("{style}") && !page.contains("{script}") && !page.contains("{version}"));
    assert!(page.len() < 80_000, "{} bytes", page.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_pages_of_others_are_turned_away() {
    let (_place, _source, daemon) = daemon().await;
    let (origin, client) = (daemon.origin(), web());
    let port = origin.rsplit(':').next().expect("a port");
    for (name, value, status) in [
        ("host", format!("localhost:{port}"), 200),
        ("host", format!("127.0.0.1:{port}"), 200),
        ("host", "[::1]:80".into(), 200),
        ("host", format!("evil.example:{port}"), 421),
        ("host", format!("127.0.0.1.evil.example:{port}"), 421),
        ("sec-fetch-site", "same-origin".into(), 200),
        ("sec-fetch-site", "cross-site".into(), 403),
        ("sec-fetch-site", "same-site".into(), 403),
    ] {
        for path in ["/", "/status", "/metrics", "/healthz"] {
            let answer = client.get(format!("{origin}{path}")).header(name, &value).send().await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status, "{path} with {name}: {value}");
            assert_headers(&answer, path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_end_keep_nobody_out_for_long() {
    let (_place, _source, daemon) = daemon().await;
    let origin = daemon.origin();
    let address = origin.strip_prefix("http://").expect("plain HTTP");
    // As many as there are places, and each says something all the time.
    for _ in 0..64 {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await.expect("written");
        tokio::spawn(async move {
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }
    let mut stream = TcpStream::connect(address).await.expect("the system takes it in");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.expect("written");
    let mut said = String::new();
    tokio::time::timeout(BOUND, stream.read_to_string(&mut said)).await.expect("a place").expect("an answer");
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}
