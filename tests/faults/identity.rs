//! The sign-in: away for a while, refusing, taking back what it gave. Few questions, and everything delivered in the end.

use std::time::{Duration, Instant};

use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::settings::RetryAfter;

use crate::IMPATIENT;
use crate::gate::{Act, Gate, first};
use crate::harness::{Daemon, Place, QUICK, another, duration, in_both_dialects, live, sandbox, small, wait_for};
use crate::truth::{assert_once, missing};

/// How long the sign-in is away: `TOKEN_DOWN_FOR=10m` for the long run.
const DOWN_FOR: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_is_down_is_asked_seldom_and_costs_nothing_but_time() {
    let (place, good) = (Place::new(), another(1, 0).await);
    let downs = [another(2, 20).await, another(3, 20).await, another(4, 20).await];
    let (names, down) = (["broken", "throttled", "resets"], duration("TOKEN_DOWN_FOR", DOWN_FOR));
    let wait = Duration::from_secs(2);
    let faults = [Fault::Status(503), Fault::Throttled { retry_after: RetryAfter::Seconds, wait }, Fault::Reset];
    let mut tables = vec![IMPATIENT.to_owned(), place.file_sink("file"), place.tenant("good", &good)];
    for ((sandbox, name), fault) in downs.iter().zip(names).zip(faults) {
        sandbox.faults().often(Endpoint::Token, 1.0, fault);
        tables.push(place.tenant(name, sandbox));
    }
    place.configure(&tables.iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = Daemon::start(&place);
    let start = Instant::now();
    while start.elapsed() < down {
        let before = good.calls().arrived(Endpoint::List);
        wait_for("the neighbour to be read", || before < good.calls().arrived(Endpoint::List));
    }
    // Pauses double from half a second to at most a minute; the shortest possible ones count here.
    let seconds = start.elapsed().as_secs();
    let most = 2 + u64::from((seconds + 1).ilog2() + 1).min(7) + seconds / 30;
    for (name, sandbox) in names.iter().zip(&downs) {
        let asked = sandbox.calls().arrived(Endpoint::Token);
        assert!((1..=most).contains(&asked), "{name}: {asked} token requests in {seconds} s, {most} are enough");
        assert_eq!(sandbox.calls().arrived(Endpoint::List), 0, "{name}: nobody is asked without a token");
        sandbox.faults().clear();
    }
    for (name, sandbox) in names.iter().zip(&downs) {
        let back = Instant::now();
        while !missing(sandbox, name, &place.arrivals("file")).is_empty() {
            assert!(back.elapsed() < Duration::from_secs(180), "{name} does not come back: {}", daemon.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        println!(
            "{name}: {} token requests, {} s after the sign-in came back",
            sandbox.calls().arrived(Endpoint::Token),
            back.elapsed().as_secs()
        );
    }
    assert_eq!(daemon.stop("TERM"), 0);
    assert_once(&place.arrivals("file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_goes_away_later_stops_nothing_while_its_token_lives() {
    let (place, sandbox) = (Place::new(), sandbox(small_and_busy(), live()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let daemon = Daemon::start(&place);
    wait_for("events", || 5 <= place.arrivals("file").len());
    sandbox.faults().often(Endpoint::Token, 1.0, Fault::Stall);
    let before = place.arrivals("file").len();
    wait_for("more events", || before + 20 <= place.arrivals("file").len());
    assert_eq!(sandbox.calls().arrived(Endpoint::Token), 1);
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_taken_back_is_replaced_once() {
    in_both_dialects(|dialect| async move {
        let (place, sandbox) = (Place::speaking(dialect), sandbox(small_and_busy(), live()).await);
        place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
        let daemon = Daemon::start(&place);
        wait_for("events", || 5 <= place.arrivals("file").len());
        sandbox.revoke_tokens();
        let before = place.arrivals("file").len();
        wait_for("more events", || before + 20 <= place.arrivals("file").len());
        assert_eq!(sandbox.calls().arrived(Endpoint::Token), 2);
        let rejected = sandbox.calls().answered(Endpoint::list(dialect), 401);
        assert!((1..=2).contains(&rejected), "each reader met it once at most: {rejected}");
        assert_eq!(daemon.stop("TERM"), 0);
        assert_once(&place.arrivals("file"));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_makes_a_storm_of_calls() {
    in_both_dialects(|dialect| async move {
        let place = Place::speaking(dialect);
        let (good, wrong, rejected, forbidden, unlicensed) =
            (another(1, 0).await, another(2, 3).await, another(3, 3).await, another(4, 3).await, another(5, 3).await);
        rejected.faults().often(Endpoint::list(dialect), 1.0, Fault::Unauthorized);
        forbidden.settings().roles = Vec::new();
        forbidden.settings().graph.roles = Vec::new();
        let gate = Gate::start(&unlicensed, first(usize::MAX, || {
        let body = r#"{"error":{"code":"Unauthorized","message":"Unauthorized request - reason of failure: Account mode is inactive"}}"#;
        let head = format!("HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        Act::Send(head.into_bytes())
    })).await;
        let tables = [
            QUICK,
            &place.tenant("good", &good),
            &place.tenant_with("wrong", &wrong, "not-the-secret"),
            &place.tenant("rejected", &rejected),
            &place.tenant("forbidden", &forbidden),
            &place.tenant_behind("unlicensed", &unlicensed, &gate.url, unlicensed.url().as_ref()),
            &place.file_sink("file"),
        ];
        place.configure(&tables);
        let daemon = Daemon::start(&place);
        wait_for("twenty calls of the good one", || 20 <= good.calls().arrived(Endpoint::list(dialect)));
        let status = place.command(&["status"]).out;
        for words in ["AADSTS7000215", "Incident.Read.All", "licence"] {
            assert!(status.contains(words), "{words} is not in {status}");
        }
        for (name, sandbox) in
            [("wrong", &wrong), ("rejected", &rejected), ("forbidden", &forbidden), ("unlicensed", &unlicensed)]
        {
            let (tokens, lists) =
                (sandbox.calls().arrived(Endpoint::Token), sandbox.calls().arrived(Endpoint::list(dialect)));
            assert!((1..=4).contains(&tokens) && lists <= 4, "{name}: {tokens} token requests, {lists} calls");
        }
        assert!(gate.lists() <= 4, "{} calls without a licence", gate.lists());
        assert_eq!(daemon.stop("TERM"), 0);
    });
}

/// A tenant's name, what its 429 says, and how many seconds after it the next call may come at the earliest.
const HINTS: [(&str, &str, &str, u64); 6] = [
    ("seconds", "retry-after: 4\r\n", "", 4),
    ("date", "date: Sat, 21 Nov 2026 10:00:00 GMT\r\nretry-after: Sat, 21 Nov 2026 10:00:04 GMT\r\n", "", 4),
    ("words", "", "You can send requests again in 4 seconds.", 4),
    ("none", "", "", 60),
    ("negative", "retry-after: -5\r\n", "", 60),
    ("thirty_years", "retry-after: 1000000000\r\n", "", 3_600),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_429_is_waited_out_in_every_spelling() {
    let (place, good) = (Place::new(), another(100, 0).await);
    let mut tables = vec![QUICK.to_owned(), place.tenant("good", &good), place.file_sink("file")];
    let mut fronts = Vec::new();
    for (number, (name, headers, words, seconds)) in (1..).zip(HINTS) {
        let sandbox = another(number, 3).await;
        let at = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let noted = at.clone();
        let gate = Gate::start(&sandbox, move |asked| {
            if !asked.is_list() {
                return Act::Pass;
            }
            let mut noted = noted.lock().expect("no panic");
            noted.push(Instant::now());
            let body = format!(r#"{{"error":{{"code":"429","message":"API calls quota exceeded! maximum allowed 45 per 00:01:00. {words}"}}}}"#);
            match noted.len() {
                1 => Act::Send(format!("HTTP/1.1 429 Too Many\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into_bytes()),
                _ => Act::Pass,
            }
        })
        .await;
        tables.push(place.tenant_behind(name, &sandbox, &gate.url, &gate.url));
        fronts.push((name, sandbox, gate, at, Duration::from_secs(seconds)));
    }
    place.configure(&tables.iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = Daemon::start(&place);
    let short = |pause: &Duration| *pause < Duration::from_secs(60);
    for (name, sandbox, ..) in fronts.iter().filter(|(.., pause)| short(pause)) {
        wait_for(&format!("everything of {name}"), || missing(sandbox, name, &place.arrivals("file")).is_empty());
    }
    wait_for("fifteen calls of the good one", || 15 <= good.calls().arrived(Endpoint::List));
    for (name, _, _, at, pause) in &fronts {
        let at = at.lock().expect("no panic").clone();
        let next = at.get(1).map(|second| *second - at[0]);
        assert!(next.is_none_or(|next| *pause <= next), "{name}: the next call came after {next:?}");
        assert!(!short(pause) || next.is_some(), "{name}: no call came");
    }
    let status = place.command(&["status"]).out;
    assert!(status.contains("throttled by the API"), "{status}");
    assert_eq!(daemon.stop("TERM"), 0, "nothing waits for the end of an hour");
    assert_once(&place.arrivals("file"));
}

fn small_and_busy() -> xdrelay::sandbox::knobs::Knobs {
    use xdrelay::sandbox::knobs::{Knobs, Pace};
    let every = Duration::from_millis;
    Knobs { pace: Pace { create: every(150), update: every(300), ..Pace::default() }, ..small() }
}
