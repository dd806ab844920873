//! What the log says, and how often: a failure once, its end once, hundreds of tenants in a line; nothing of an incident; for people, for
//! machines and for the journal.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::Settings;

use crate::harness::{
    BOUND, Daemon, Place, QUICK, another, closed_port, lively, still, unlimited, wait_for, wait_within,
};
use crate::http::Receiver;

const JSON: &str = "[log]\nformat = \"json\"\n\n";

/// What was said, each line an object.
fn said(log: &str) -> Vec<Value> {
    // The last one may be on its way.
    let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Those that somebody sees who asks for nothing.
fn shown(log: &str) -> Vec<Value> {
    said(log).into_iter().filter(|line| !matches!(line["level"].as_str(), Some("DEBUG" | "TRACE"))).collect()
}

/// Of how many tenants or sinks these words were said so far.
fn told(log: &str, words: &str) -> u64 {
    let of = |line: &Value| line["tenants"].as_u64().or_else(|| line["sinks"].as_u64()).unwrap_or(1);
    shown(log).iter().filter(|line| line["message"].as_str().is_some_and(|said| said.starts_with(words))).map(of).sum()
}

/// A secret that has expired, say: the token of before is good for a while yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_renewed_is_said_once_while_everything_is_read() {
    // Renewed from half of its life on.
    let settings = Settings { token_lifetime: Duration::from_secs(40), ..unlimited() };
    let (place, sandbox) = (Place::new(), still(3, settings).await);
    sandbox.faults().next(Endpoint::Token, 1, Fault::Slow { pieces: 1, pause: Duration::ZERO });
    sandbox.faults().often(Endpoint::Token, 1.0, Fault::Unauthorized);
    place.configure(&[QUICK, JSON, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let daemon = Daemon::start(&place);
    let status = || place.command(&["status", "--json"]).json()["tenants"]["contoso"].clone();
    let mut seen = Value::Null;
    wait_for("the status to say so", || {
        seen = status();
        seen["renewal_error"].is_string()
    });
    assert!(seen["renewal_error"].as_str().is_some_and(|why| why.contains("the client secret is wrong")), "{seen:#}");
    assert_eq!((&seen["renewal_refused"], &seen["error"]), (&true.into(), &Value::Null), "{seen:#}");
    let (pages, words) = (seen["pages"].as_u64(), ["the token cannot be renewed", "the token has been renewed"]);
    wait_for("it to be read on", || pages < status()["pages"].as_u64());
    sandbox.faults().clear();
    wait_for("its end", || told(&daemon.log(), words[1]) == 1);
    let seen = status();
    assert_eq!((&seen["renewal_error"], &seen["renewal_refused"]), (&Value::Null, &false.into()), "{seen:#}");
    assert_eq!(daemon.stop("TERM"), 0);
    let log = place.text("daemon.log");
    assert_eq!(words.map(|words| told(&log, words)), [1, 1], "{log}");
}

/// Nothing is said twice within a minute.
fn assert_paced(log: &str) {
    let mut last: BTreeMap<String, jiff::Timestamp> = BTreeMap::new();
    for line in shown(log) {
        let at: jiff::Timestamp = line["timestamp"].as_str().and_then(|at| at.parse().ok()).expect("a time");
        let key =
            ["message", "tenant", "tenants", "sink", "part", "place"].map(|name| line[name].to_string()).join(" ");
        if let Some(before) = last.insert(key.clone(), at) {
            assert!(60 <= at.duration_since(before).as_secs(), "{key} is said again after a moment:\n{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_said_once_and_its_end_once_and_that_of_many_in_a_line() {
    let (place, receiver) = (Place::new(), Receiver::start().await);
    let mut tenants: Vec<Sandbox> = Vec::new();
    for number in 1..=12 {
        tenants.push(another(number, 3).await);
        tenants[number as usize - 1].faults().often(Endpoint::List, 1.0, Fault::Status(500));
    }
    // One that comes and goes, and a sink that is away for some seconds.
    let flickering = lively().await;
    flickering.faults().often(Endpoint::List, 0.5, Fault::Status(503));
    (0..5).for_each(|_| receiver.answer(StatusCode::SERVICE_UNAVAILABLE, &[], "busy"));
    let mut tables = vec![QUICK.to_owned(), JSON.to_owned(), place.tenant("flickering", &flickering)];
    tables.extend(tenants.iter().enumerate().map(|(at, sandbox)| place.tenant(&format!("tenant-{at}"), sandbox)));
    tables.push(format!("[sinks.hook]\nkind = \"http\"\nurl = \"{}\"\nformat = \"json\"\n\n", receiver.url()));
    place.configure(&tables.iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = Daemon::start(&place);
    wait_for("all failures to be said", || told(&daemon.log(), "cannot read incidents") == 13);
    wait_for("more of them", || tenants.iter().all(|sandbox| 2 <= sandbox.calls().arrived(Endpoint::List)));
    wait_for("the sink to fail and to take events", || told(&daemon.log(), "the sink takes events again") == 1);
    tenants.iter().for_each(|sandbox| sandbox.faults().clear());
    wait_within(BOUND * 3, "the end to be said of all", || 12 <= told(&daemon.log(), "the source answers again"));
    flickering.faults().clear();
    let swept = || place.command(&["status"]).out.matches("last complete sweep").count();
    wait_for("everything to be well", || swept() == 13);
    assert_eq!(daemon.stop("TERM"), 0);
    let log = place.text("daemon.log");
    assert_paced(&log);
    // Each tenant's failure and its end, and the one that comes and goes once more at most.
    let ends = told(&log, "the source answers again");
    assert!((12..=14).contains(&ends), "{ends}: {log}");
    assert_eq!((told(&log, "the sink takes nothing"), told(&log, "the sink takes events again")), (1, 1), "{log}");
    let of_tenants = shown(&log).into_iter().filter(|line| !line["tenant"].is_null() || !line["tenants"].is_null());
    let lines: Vec<_> = of_tenants.filter(|line| line["added"].is_null()).collect();
    assert!(lines.len() <= 10, "{lines:#?}");
    // The first is told at once, the others together, in as many lines as their failures were seconds apart.
    let failures =
        lines.iter().filter(|line| line["level"] == "WARN" && line["error"].to_string().contains("status 500"));
    let gathered: Vec<_> = failures.filter(|line| line["tenants"].as_u64().is_some()).collect();
    let count: u64 = gathered.iter().filter_map(|line| line["tenants"].as_u64()).sum();
    assert_eq!((count, gathered.len() <= 2), (11, true), "{gathered:#?}");
    for line in gathered {
        let (names, tenants) = (line["names"].as_str().expect("names"), line["tenants"].as_u64().expect("a number"));
        assert_eq!(names.ends_with("and 1 more"), tenants == 11, "{line}");
    }
}

/// Answers with what it was sent: the first few times as if it were broken, and then as if it could not take any event.
async fn parrot() -> String {
    async fn answer(State(count): State<Arc<AtomicU32>>, body: Bytes) -> (StatusCode, String) {
        let text = String::from_utf8_lossy(&body);
        let name = text.split_once("\"incidentName\":").map_or("", |(_, rest)| rest);
        let status = match count.fetch_add(1, Ordering::Relaxed) {
            0..3 => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, format!("cannot take {}", name.chars().take(150).collect::<String>()))
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}/ingest", listener.local_addr().expect("an address"));
    let router = Router::new().fallback(answer).with_state(Arc::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_incident_is_above_debug_whoever_quotes_it() {
    let (place, sandbox) = (Place::new(), still(40, unlimited()).await);
    let sink = format!("[sinks.hook]\nkind = \"http\"\nurl = \"{}\"\nformat = \"json\"\n\n", parrot().await);
    let log = "[log]\nformat = \"json\"\nlevel = \"debug\"\n\n";
    place.configure(&[QUICK, log, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &sink]);
    let daemon = Daemon::start(&place);
    wait_for("events", || place.arrivals("file").len() == 40);
    wait_for("refusals and a pause", || {
        0 < told(&daemon.log(), "the sink refused an event") && 0 < told(&daemon.log(), "the sink needs attention")
    });
    let status = place.command(&["status", "--json"]).out;
    assert_eq!(daemon.stop("TERM"), 0);
    let log = place.text("daemon.log");
    let arrivals = place.arrivals("file");
    let names = arrivals.iter().map(|arrival| {
        let incident: Value = serde_json::from_str(arrival.incident.get()).expect("JSON");
        incident["incidentName"].as_str().expect("a name").to_owned()
    });
    let names: Vec<_> = names.filter(|name| 12 <= name.len()).collect();
    assert!(names.iter().any(|name| log.contains(name.as_str())), "at DEBUG it is there, or this proves nothing");
    let shown = shown(&log).iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    for name in &names {
        assert!(!shown.contains(name.as_str()), "{name:?} is shown: {shown}");
        assert!(!status.contains(name.as_str()), "{name:?} is on the board: {status}");
    }
}

/// Everything that is written to the other end.
fn heard(mut end: UnixStream) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        end.read_to_string(&mut text).expect("text");
        text
    })
}

/// `device:inode` of a stream, as systemd names it in `JOURNAL_STREAM`.
fn stream(end: &UnixStream) -> String {
    let about = File::from(OwnedFd::from(end.try_clone().expect("a handle"))).metadata().expect("a stream");
    format!("{}:{}", about.dev(), about.ino())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_gets_how_grave_a_line_is_and_no_time_of_ours() {
    let (place, sandbox) = (Place::new(), another(1, 3).await);
    let gone = format!("http://127.0.0.1:{}/", closed_port());
    let table = |place: &Place| place.tenant_behind("gone", &sandbox, &gone, sandbox.url().as_ref());
    let run = |place: &Place, of_the_journal: bool| {
        place.configure(&[QUICK, &table(place), &place.file_sink("file")]);
        let (ours, its) = UnixStream::pair().expect("a pair");
        let named = if of_the_journal { stream(&its) } else { stream(&ours) };
        let heard = heard(ours);
        let mut daemon = Daemon::launch_to(place, &[("JOURNAL_STREAM", &named)], Stdio::from(OwnedFd::from(its)));
        daemon.wait_until_it_runs();
        wait_for("a failure", || place.command(&["status"]).out.contains("failing"));
        assert_eq!(daemon.stop("TERM"), 0);
        heard.join().expect("no panic")
    };
    let text = run(&place, true);
    for line in text.lines() {
        let rest = ["<3>", "<4>", "<6>", "<7>"].iter().find_map(|priority| line.strip_prefix(priority));
        assert!(rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())), "{line:?} in {text}");
    }
    assert!(text.contains("\n<4>cannot read incidents") && text.contains("<6>running "), "{text}");
    let text = run(&Place::new(), false);
    let is_dated = |line: &str| line.split(' ').next().is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok());
    assert!(text.lines().all(is_dated) && text.contains(" WARN cannot read incidents"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_words_are_an_error_in_the_journal_and_an_object_for_machines() {
    let place = Place::new();
    place.configure(&["[log]\nlevel = 5\n\n[sinks.file]\nkind = \"file\"\n"]);
    let (ours, its) = UnixStream::pair().expect("a pair");
    let (named, heard) = (stream(&its), heard(ours));
    let daemon = Daemon::launch_to(&place, &[("JOURNAL_STREAM", &named)], Stdio::from(OwnedFd::from(its)));
    let text = heard.join().expect("no panic");
    drop(daemon);
    assert!(1 < text.lines().count() && text.lines().all(|line| line.starts_with("<3>")), "{text}");
    let sandbox = another(1, 0).await;
    place.configure(&[QUICK, JSON, &place.tenant_with("contoso", &sandbox, "wrong"), &place.file_sink("file")]);
    let outcome = place.command(&["run", "--once"]);
    let last = said(&outcome.err).pop().expect("a line");
    assert_eq!((&last["level"], &last["code"]), (&"ERROR".into(), &77.into()), "{last}");
    assert!(last["error"].as_str().is_some_and(|why| why.contains("AADSTS7000215")), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_stops_nobody() {
    let (place, sandbox) = (Place::new(), another(1, 3).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let full = File::options().write(true).open("/dev/full").expect("a Linux");
    let mut daemon = Daemon::launch_to(&place, &[], full.into());
    daemon.wait_until_it_runs();
    wait_for("events", || place.arrivals("file").len() == 3);
    assert_eq!(daemon.stop("TERM"), 0);
}
