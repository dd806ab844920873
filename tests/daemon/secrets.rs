//! No secret and no token comes out anywhere, however much is logged and whatever goes wrong.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::settings::Settings;

use crate::harness::{Daemon, Place, QUICK, assert_without, live, sandbox, small, wait_for, web};

const CANARY: &str = "canary~7Q.kept+to/itself=%";
/// The sign-in's answer to this one is a refusal.
const WRONG: &str = "canary-that-is-wrong";
/// What the admin port wants, and what somebody tries who does not know it.
const ADMIN: &str = "canary-of-the-admin-port";
const TRIED: &str = "canary-that-was-tried";
/// How every token of the sandbox begins: `{"alg":"none",` in base64.
const TOKEN: &str = "eyJhbGciOiJub25lI";

fn assert_silent(place: &str, bytes: &[u8]) {
    let encoded: String = url::form_urlencoded::byte_serialize(CANARY.as_bytes()).collect();
    let in_base64 = STANDARD.encode(CANARY);
    assert_without([CANARY, &encoded, in_base64.trim_end_matches('='), "canary", TOKEN], place, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_comes_out_at_the_most_talkative() {
    let (place, sandbox) = (Place::new(), sandbox(small(), Settings { secret: CANARY.into(), ..live() }).await);
    let admin = place.write("admin.secret", ADMIN);
    let talkative = format!(
        "[log]\nlevel = \"trace\"\n\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ file = \"{}\" }}\n\n",
        admin.display()
    );
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &talkative]);
    let mut said = Vec::new();
    let mut say = |place: &Place, arguments: &[&str]| said.push(place.command(arguments));
    for command in [&["check"][..], &["check", "--json"], &["config", "show"], &["get", "40961"]] {
        say(&place, command);
    }
    let daemon = Daemon::start(&place);
    wait_for("events", || 5 <= place.arrivals("file").len());
    // A token that does not count any more, and everything else that is answered in other words.
    sandbox.revoke_tokens();
    let wait = Duration::from_secs(1);
    for fault in
        [Fault::Html, Fault::ErrorObject, Fault::Unauthorized, Fault::CutJson, Fault::Reset, Fault::Status(503)]
    {
        sandbox.faults().next(Endpoint::List, 1, fault);
    }
    sandbox.faults().next(Endpoint::List, 1, Fault::Slow { pieces: 3, pause: wait / 10 });
    let before = sandbox.calls().arrived(Endpoint::List);
    wait_for("the faults to be met", || before + 9 <= sandbox.calls().arrived(Endpoint::List));
    for command in [&["status"][..], &["status", "--json"], &["get", "40961"], &["get", "1"], &["check"]] {
        say(&place, command);
    }
    let (origin, client) = (daemon.origin(), web());
    for path in ["metrics", "status", "readyz", "healthz"] {
        for token in [ADMIN, TRIED] {
            let asked = client.get(format!("{origin}/{path}")).bearer_auth(token).send().await.expect("an answer");
            assert!(token == TRIED || asked.status().is_success(), "{path}: {}", asked.status());
            assert_silent(path, asked.text().await.expect("a text").as_bytes());
        }
    }
    assert_eq!(daemon.stop("TERM"), 0);
    place.write("contoso.secret", WRONG);
    for command in [&["run", "--once"][..], &["check"], &["get", "40961"]] {
        say(&place, command);
    }
    let log = place.text("daemon.log");
    assert!(log.contains("TRACE") && log.contains("asked the API"), "it did log everything");
    assert_silent("the log", log.as_bytes());
    for outcome in said {
        assert_silent("an output", outcome.out.as_bytes());
        assert_silent("an error", outcome.err.as_bytes());
    }
    assert_silent("the state directory", &place.state_bytes());
    assert_silent("the file", place.text("file.ndjson").as_bytes());
}
