//! The page's stream as a program reads it: everything first, then what changes, to so many watchers and no more.

use std::time::Duration;

use serde_json::{Value, json};
use xdrelay::admin::live::WATCHERS_MAX;

use crate::faking::{Faking, incident};
use crate::harness::{BOUND, Daemon, Place, QUICK, still, unlimited, wait_for, web};

/// What is usual here: a port of the daemon's own choice.
const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n\n";

/// One who watches.
struct Watcher {
    answer: reqwest::Response,
    rest: Vec<u8>,
}

impl Watcher {
    async fn join(origin: &str) -> Result<Self, u16> {
        // Without the limit on the whole answer: it has no end.
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls()).build().expect("a client");
        let answer = client.get(format!("{origin}/events")).send().await.expect("an answer");
        match answer.status().as_u16() {
            200 => Ok(Self { answer, rest: Vec::new() }),
            refused => Err(refused),
        }
    }

    /// The next message: its name and what it says. None at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            // A chunk may end within a character.
            if let Some(end) = self.rest.windows(2).position(|bytes| bytes == b"\n\n") {
                let message: Vec<u8> = self.rest.drain(..end + 2).collect();
                let message = std::str::from_utf8(&message).expect("UTF-8");
                let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
                return Some((field("event: ").to_owned(), serde_json::from_str(field("data: ")).expect("JSON")));
            }
            let chunk = tokio::time::timeout(BOUND, self.answer.chunk()).await.expect("a sign of life");
            self.rest.extend_from_slice(&chunk.ok()??);
        }
    }

    /// Waits for a message of which this can be said.
    async fn until(&mut self, what: &str, is_it: impl Fn(&str, &Value) -> bool) -> Value {
        let wait = async {
            loop {
                let (name, said) = self.next().await.unwrap_or_else(|| panic!("the stream ended before {what}"));
                if is_it(&name, &said) {
                    return said;
                }
            }
        };
        tokio::time::timeout(BOUND, wait).await.unwrap_or_else(|_| panic!("waited {BOUND:?} in vain for {what}"))
    }
}

fn tls() -> rustls::ClientConfig {
    xdrelay::transport::tls::Config::default().client(None).expect("a client's TLS")
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_first_and_then_only_what_changes() {
    let (place, sandbox) = (Place::new(), still(2, unlimited()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), ADMIN]);
    let daemon = Daemon::start(&place);
    wait_for("both events", || place.arrivals("file").len() == 2);
    let mut watcher = Watcher::join(&daemon.origin()).await.expect("a seat");
    let (name, all) = watcher.next().await.expect("a message");
    assert_eq!(name, "all");
    let (tenant, sink) = (&all["tenants"]["contoso"], &all["sinks"]["file"]);
    assert_eq!(tenant["events"], json!({ "created": 2 }), "{all:#}");
    assert_eq!(tenant["limits"], json!([6000, 360000, 6000, 360000]));
    assert_eq!(all["fixed"]["kinds"]["file"], "file");
    assert!(sink["guarantee"].as_str().is_some_and(|text| text.starts_with("at least once")), "{sink:#}");
    assert_eq!(all["events"].as_array().map(Vec::len), Some(2));
    assert!(all["events"][0].get("title").is_none(), "it is not allowed: {all:#}");
    assert!(all["history"]["tenants"]["contoso"]["lag"].is_array());

    let now = sandbox.now();
    let number = { sandbox.world().create(now) };
    sandbox.world().settle(now);
    let change = watcher.until("the event", |name, said| name == "change" && said["events"].is_array()).await;
    let id = change["events"][0]["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with(&format!("contoso/{}/", number.id())), "{id}");
    assert!(change.get("history").is_none() && change["events"].as_array().map(Vec::len) == Some(1), "{change:#}");
    let is_delivery = |said: &Value| said["sinks"]["file"]["delivered"] == 3;
    let delivery = match is_delivery(&change) {
        true => change.clone(),
        false => watcher.until("the delivery", |_, said| is_delivery(said)).await,
    };
    assert!(delivery["sinks"]["file"].get("guarantee").is_none(), "it has not changed: {delivery:#}");
    assert!(!change.to_string().contains("incidentName"));
}

#[tokio::test(flavor = "multi_thread")]
async fn titles_are_told_only_where_that_is_allowed() {
    for (allowed, title) in [(false, None), (true, Some("Mail from <b>nobody</b>"))] {
        let (place, source) = (Place::new(), Faking::start().await);
        source.say(200, json!({ "value": [incident(7, "Mail from <b>nobody</b>")] }));
        let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\nshow_incidents = {allowed}\n\n");
        place.configure(&[QUICK, &source.tenant(&place, "contoso", 1), &place.file_sink("file"), &admin]);
        let daemon = Daemon::start(&place);
        wait_for("the event", || place.arrivals("file").len() == 1);
        let (_, all) = Watcher::join(&daemon.origin()).await.expect("a seat").next().await.expect("a message");
        let event = &all["events"][0];
        assert_eq!(event["title"].as_str(), title, "{event:#}");
        assert_eq!(event["severity"].as_str(), title.map(|_| "High"), "{event:#}");
        let status = web().get(format!("{}/status", daemon.origin())).send().await.expect("an answer");
        assert!(!status.text().await.expect("a text").contains("nobody"), "content is for the page alone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_watch_and_one_more_may_when_one_goes() {
    let (place, source) = (Place::new(), Faking::start().await);
    place.configure(&[QUICK, &source.tenant(&place, "contoso", 1), &place.file_sink("file"), ADMIN]);
    let daemon = Daemon::start(&place);
    let origin = daemon.origin();
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS_MAX {
        watchers.push(Watcher::join(&origin).await.expect("a seat"));
    }
    assert_eq!(Watcher::join(&origin).await.err(), Some(503));
    for watcher in &mut watchers {
        assert_eq!(watcher.next().await.expect("a message").0, "all");
    }
    watchers.pop();
    let start = std::time::Instant::now();
    let mut last = loop {
        match Watcher::join(&origin).await {
            Ok(watcher) => break watcher,
            Err(503) => assert!(start.elapsed() < BOUND, "the seat is not given back"),
            Err(other) => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(last.next().await.expect("a message").0, "all");
    assert_eq!(daemon.stop("TERM"), 0, "who watches does not keep it from stopping");
    while last.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_gone_is_told_to_be_gone_and_leaves_nothing_to_whoever_comes_next() {
    let (place, source) = (Place::new(), Faking::start().await);
    let (stays, leaves) = (source.tenant(&place, "stays", 1), source.tenant(&place, "leaves", 2));
    place.configure(&[QUICK, &stays, &leaves, &place.file_sink("file"), ADMIN]);
    let daemon = Daemon::start(&place);
    wait_for("both to be swept", || place.command(&["status"]).out.matches("last complete sweep").count() == 2);
    let origin = daemon.origin();
    let mut watcher = Watcher::join(&origin).await.expect("a seat");
    let all = watcher.until("both", |name, said| name == "all" && said["tenants"]["leaves"].is_object()).await;
    assert!(all["history"]["tenants"]["leaves"].is_object(), "{all:#}");

    place.configure(&[QUICK, &stays, &place.file_sink("file"), ADMIN]);
    daemon.signal("HUP");
    let is_gone = |said: &Value| said["tenants"].get("leaves").is_some_and(Value::is_null);
    let gone = watcher.until("its end", |_, said| is_gone(said)).await;
    assert!(gone["tenants"].get("stays").is_none_or(Value::is_object), "{gone:#}");
    let (_, all) = Watcher::join(&origin).await.expect("a seat").next().await.expect("a message");
    for part in [&all["tenants"], &all["history"]["tenants"]] {
        let names: Vec<_> = part.as_object().expect("tenants").keys().collect();
        assert_eq!(names, ["stays"], "{all:#}");
    }
}
