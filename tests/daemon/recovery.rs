//! The commands to recover with: `refused`, `replay`, `state`, with a daemon and without one.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::rows::Revision;
use xdrelay::sandbox::settings::{Limits, Quotas, Settings};

use crate::harness::{
    Arrival, Daemon, Place, QUICK, busy_and_small, in_both_dialects, live, lively, sandbox, still, unlimited, wait_for,
    web,
};

/// A receiver of single events that refuses those of odd incidents for good while it is told to.
#[derive(Clone, Default)]
struct Choosy {
    refuses: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<Arrival>>>,
}

impl Choosy {
    /// Starts it; returns it and the table of a sink that sends there.
    async fn start() -> (Self, String) {
        let choosy = Self::default();
        choosy.refuses.store(true, Ordering::Relaxed);
        let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = Router::new().route("/", post(take)).with_state(choosy.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let table = format!("[sinks.hook]\nkind = \"http\"\nurl = \"http://{address}/\"\nbatch = \"one\"\n\n");
        (choosy, table)
    }

    fn taken(&self) -> Vec<String> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().map(|arrival| arrival.event_id.clone()).collect()
    }
}

async fn take(State(choosy): State<Choosy>, body: String) -> (StatusCode, &'static str) {
    let arrival: Arrival = serde_json::from_str(&body).expect("an event");
    if choosy.refuses.load(Ordering::Relaxed) && is_odd(&arrival.event_id) {
        return (StatusCode::UNPROCESSABLE_ENTITY, "odd ones are not wanted here");
    }
    choosy.taken.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
    (StatusCode::OK, "")
}

/// Whether the incident of an event has an odd number.
fn is_odd(event_id: &str) -> bool {
    let number: u64 = event_id.split('/').nth(1).and_then(|number| number.parse().ok()).expect("a number");
    number % 2 == 1
}

fn event_ids(place: &Place, name: &str) -> Vec<String> {
    place.arrivals(name).into_iter().map(|arrival| arrival.event_id).collect()
}

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sink_refused_is_listed_shown_retried_and_dropped() {
    let (place, sandbox) = (Place::new(), still(8, unlimited()).await);
    let (choosy, hook) = Choosy::start().await;
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &hook]);
    place.command(&["refused", "list"]).expect(73, &["no daemon runs", "no state directory"]);
    let daemon = Daemon::start(&place);
    wait_for("all to be taken or refused", || place.command(&["refused", "list"]).out.lines().count() == 4);
    wait_for("the others", || choosy.taken().len() == 4);

    let listed = place.command(&["refused", "list", "--sink", "hook", "--json"]);
    let refused: Vec<serde_json::Value> =
        listed.expect(0, &[]).out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(refused.iter().all(|one| is_odd(one["event_id"].as_str().expect("an id"))), "{refused:?}");
    assert!(refused[0]["why"].to_string().contains("odd ones are not wanted"), "{refused:?}");
    let seq = |n: usize| refused[n]["seq"].to_string();
    let shown = place.command(&["refused", "show", "hook", &seq(1)]).expect(0, &[]).json();
    assert_eq!(shown["event_id"], refused[1]["event_id"]);
    assert!(shown["incident"]["incidentId"].is_number(), "{shown}");
    place.command(&["refused", "list", "--sink", "file"]).expect(0, &["nothing is refused"]);
    place.command(&["refused", "show", "hook", "999999"]).expect(66, &["has not refused event 999999"]);
    place.command(&["refused", "list", "--sink", "hok"]).expect(64, &["no sink hok", "file, hook"]);
    place.command(&["refused", "retry", "hook"]).expect(64, &["SEQ"]);
    place.command(&["refused", "drop", "hook", "--all"]).expect(64, &["--yes"]);

    // Still refused: it comes back with a number of its own.
    place.command(&["refused", "retry", "hook", &seq(0)]).expect(0, &["1 events go to sink hook once more"]);
    wait_for("it to be refused again", || {
        let listed = place.command(&["refused", "list"]).out;
        listed.lines().count() == 4 && !listed.contains(&format!("hook {} ", seq(0)))
    });
    choosy.refuses.store(false, Ordering::Relaxed);
    let ids = |n: usize| refused[n]["event_id"].as_str().expect("an id").to_owned();
    place.command(&["refused", "retry", "hook", &seq(2), &seq(1)]).expect(0, &["2 events"]);
    wait_for("both, in their order", || choosy.taken().split_off(4) == [ids(1), ids(2)]);
    place.command(&["refused", "drop", "hook", &seq(3), &seq(1)]).expect(66, &["1 events", &seq(1)]);
    let in_vain = place.command(&["refused", "retry", "hook", &seq(1)]);
    assert_eq!(in_vain.expect(66, &["has not refused", &seq(1)]).out, "");
    assert_eq!(daemon.stop("TERM"), 0);

    // And without a daemon.
    place.command(&["refused", "list"]).expect(0, &[&ids(0)]);
    place.command(&["refused", "show", "hook", &seq(3)]).expect(66, &["has not refused"]);
    place.command(&["refused", "retry", "hook", "--all"]).expect(0, &["1 events wait", "when the daemon runs"]);
    place.command(&["refused", "list"]).expect(0, &["nothing is refused"]);
    let daemon = Daemon::start(&place);
    wait_for("the last one", || choosy.taken().len() == 7);
    assert_eq!(choosy.taken()[6], ids(0));
    assert!(!choosy.taken().contains(&ids(3)), "it was dropped");
    assert_eq!(place.arrivals("file").len(), 8, "the other sink got everything once");
    assert_eq!(daemon.stop("TERM"), 0);
    place.command(&["state", "verify"]).expect(0, &["looked at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_something_is_not_to_be_had_over_tcp() {
    let (place, sandbox) = (Place::new(), still(1, unlimited()).await);
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n\n";
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), admin]);
    let daemon = Daemon::start(&place);
    let (origin, client) = (daemon.origin(), web());
    for path in ["/sinks", "/refused/file", "/refused/file/1"] {
        let answer = client.get(format!("{origin}{path}")).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 404, "{path}");
    }
    for path in ["/replay", "/refused/file/retry", "/refused/file/drop"] {
        let answer = client.post(format!("{origin}{path}")).body("{}").send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 404, "{path}");
    }
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_replayed_to_one_sink_or_to_all_with_the_same_ids() {
    in_both_dialects(|dialect| async move {
        let (place, sandbox) = (Place::speaking(dialect), still(230, unlimited()).await);
        let (tenant, file, other) =
            (place.tenant("contoso", &sandbox), place.file_sink("file"), place.file_sink("other"));
        place.configure(&[QUICK, &tenant, &file, &other]);
        let daemon = Daemon::start(&place);
        wait_for("everything once", || [place.arrivals("file").len(), place.arrivals("other").len()] == [230, 230]);
        let before = event_ids(&place, "file");

        let dry = place.command(&["replay", "--since", "1h", "--dry-run"]);
        dry.expect(0, &["would replay 230 events of 230 incidents"]);
        place
            .command(&["replay", "--since", "1h", "--sink", "other"])
            .expect(0, &["replayed 230 events of 230 incidents to sink other: 230 rows on"]);
        wait_for("all of it again", || place.arrivals("other").len() == 460);
        let again = event_ids(&place, "other").split_off(230);
        assert_eq!(set(&again), set(&before), "with the same ids");
        assert_eq!(place.arrivals("file").len(), 230, "and only there");
        let sequences: Vec<u64> = place.arrivals("file").iter().map(|arrival| arrival.sequence).collect();
        assert_eq!(sequences, (1..=230).collect::<Vec<_>>());

        // Half of the window, to all.
        let times: Vec<_> = place.arrivals("file").iter().map(|arrival| arrival.header().last_update).collect();
        let middle = times[115].floor_to_second();
        let expected = times.iter().filter(|time| middle <= **time).count();
        place
            .command(&["replay", "--since", &middle.to_string(), "--until", "0s", "--tenant", "contoso"])
            .expect(0, &[&format!("replayed {expected} events")]);
        wait_for("them in both", || {
            [place.arrivals("file").len(), place.arrivals("other").len()] == [230 + expected, 460 + expected]
        });

        let wrong = |arguments: &[&str], words: &[&str]| {
            place.command(&[&["replay"], arguments].concat()).expect(64, words);
        };
        wrong(&[], &["--since"]);
        wrong(&["--since", "yesterday"], &["--since", "\"yesterday\"", "2h"]);
        wrong(&["--since", "1h", "--until", "2h"], &["--until must be after --since"]);
        wrong(&["--since", "2999-01-01T00:00:00Z"], &["--since", "future"]);
        wrong(&["--since", "1h", "--tenant", "fabrikam"], &["no tenant fabrikam", "contoso"]);
        wrong(&["--since", "1h", "--sink", "hook"], &["no sink hook", "file, other"]);
        assert_eq!(daemon.stop("TERM"), 0);
        wrong(&["--since", "1h", "--tenant", "fabrikam"], &["no tenant fabrikam", "contoso"]);

        // And without a daemon: it goes out at the next start.
        place
            .command(&["replay", "--since", "1h", "--sink", "other"])
            .expect(0, &["replayed 230 events", "no daemon runs: they are in the outbox"]);
        assert_eq!(place.arrivals("other").len(), 460 + expected);
        let daemon = Daemon::start(&place);
        wait_for("all of it once more", || place.arrivals("other").len() == 690 + expected);
        assert_eq!(place.arrivals("file").len(), 230 + expected);
        assert_eq!(daemon.stop("TERM"), 0);
        place.command(&["state", "verify"]).expect(0, &[]);
    });
}

/// The server's quota in force, ours the same: live events go on beside a replay, and no 429 is ever seen. That a replay pays
/// for its calls is shown where calls are few, below.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_gives_way_to_what_is_new_and_keeps_the_quota() {
    in_both_dialects(|dialect| async move {
        let limits = Limits { per_minute: 600, per_hour: 36_000 };
        let settings = Settings { quotas: Quotas { list: Some(limits), ..Quotas::lifted() }, ..live() };
        let (place, sandbox) = (Place::speaking(dialect), sandbox(busy_and_small(), settings).await);
        let now = sandbox.now();
        let (since, until) = (now.earlier(Duration::from_secs(1000)), now.earlier(Duration::from_secs(299)));
        sandbox.world().create_many(
            400,
            2_000,
            now.earlier(Duration::from_secs(900)),
            now.earlier(Duration::from_secs(300)),
        );
        let poll = "[poll]\ninterval = \"auto\"\nsweep_every = \"5s\"\noverlap = \"1m\"\npage_size = 25\n\n\
         [quota]\nlist_per_minute = 600\nlist_per_hour = 36000\n\n";
        place.configure(&[poll, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
        let daemon = Daemon::start(&place);
        // What the window holds now: what changes leaves it, and comes by itself.
        let window = || -> Vec<String> {
            let name = |row: &Arc<Revision>| format!("contoso/{}/{}/", row.number.0, row.last_update.ticks());
            sandbox.world().rows().by_update(since, until).map(name).collect()
        };
        let named = |ids: &[String]| -> BTreeSet<String> {
            ids.iter().map(|id| id[..=id.rfind('/').expect("a hash")].to_owned()).collect()
        };
        let holds_all = |ids: &[String]| {
            let named = named(ids);
            window().iter().all(|revision| named.contains(revision))
        };
        wait_for("all of the window once", || holds_all(&event_ids(&place, "file")));
        let before = event_ids(&place, "file");

        let command = ["replay", "--since", &since.to_string(), "--until", &until.to_string()];
        place.command(&command).expect(0, &["replayed"]);
        assert!(50 < window().len(), "{}", window().len());
        let again = || event_ids(&place, "file").split_off(before.len());
        wait_for("all of the window again", || holds_all(&again()));
        let before = set(&before);
        let repeated: Vec<String> = again().into_iter().filter(|id| before.contains(id)).collect();
        assert!(holds_all(&repeated), "with the same ids");
        wait_for("what is new to go on", || again().iter().any(|id| !before.contains(id)));
        let calls = sandbox.calls();
        assert_eq!(calls.answered(Endpoint::list(dialect), 429), 0);
        assert_eq!(daemon.stop("TERM"), 0);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_replay_runs_and_it_ends_with_its_command() {
    let (place, sandbox) = (Place::new(), still(300, unlimited()).await);
    // Few calls, so that a replay takes long.
    let poll = "[poll]\ninterval = \"auto\"\nsweep_every = \"5s\"\noverlap = \"1m\"\npage_size = 10\n\n\
         [quota]\nlist_per_minute = 20\nlist_per_hour = 600\n\n";
    place.configure(&[poll, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let daemon = Daemon::start(&place);
    let mut first = place.spawn(&["replay", "--since", "1h"]);
    wait_for("it to be taken", || daemon.log().contains("replay since"));
    place.command(&["replay", "--since", "1h"]).expect(69, &["a replay is running already"]);
    let (now, before) = (sandbox.now(), place.arrivals("file").len());
    let number = sandbox.world().create_sized(now, 3_000);
    let id = format!("contoso/{}/", number.0);
    wait_for("what is new beside it", || {
        event_ids(&place, "file")[before..].iter().any(|arrived| arrived.starts_with(&id))
    });
    first.signal("INT");
    let outcome = first.outcome();
    outcome.expect(130, &["replayed", "interrupted: the replay is not complete"]);
    wait_for("the daemon to notice", || daemon.log().contains("replay was stopped"));
    let second = place.spawn(&["replay", "--since", "1h", "--dry-run"]);
    wait_for("the next one", || daemon.log().contains("dry_run=true"));
    assert_eq!(daemon.stop("TERM"), 0, "a replay does not hold up a stop");
    second.outcome().expect(69, &["the replay is not complete"]);
    let calls = sandbox.calls();
    assert!(calls.list_peak().minute() <= 20, "{} calls in a minute", calls.list_peak().minute());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_is_shown_verified_and_exported_while_nobody_has_it() {
    let (place, sandbox) = (Place::new(), still(6, unlimited()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    for command in [["state", "show"], ["state", "verify"], ["state", "export"]] {
        place.command(&command).expect(73, &["no state directory"]);
    }
    assert!(!place.state().exists(), "asking makes nothing");
    let daemon = Daemon::start(&place);
    wait_for("the events", || place.arrivals("file").len() == 6);
    wait_for("a sweep", || place.command(&["status"]).out.contains("last complete sweep"));
    let held = [format!("process {}", daemon.id()), "stop it first".into(), "xdrelay status".into()];
    let held: Vec<&str> = held.iter().map(String::as_str).collect();
    place.command(&["state", "show"]).expect(73, &held);
    place.command(&["state", "verify"]).expect(73, &held);
    place.command(&["state", "export"]).expect(73, &held);
    place.command(&["state", "rebuild", "--yes"]).expect(73, &held);
    place.command(&["state", "set-cursor", "contoso", "1h"]).expect(73, &held);
    assert_eq!(daemon.stop("TERM"), 0);

    place.command(&["state", "show"]).expect(
        0,
        &[
            "tenant contoso, global/",
            "read up to   2",
            "quota left",
            "sink file: has all up to 6, 0 events waiting",
            "checkpoint: number",
        ],
    );
    let shown = place.command(&["state", "show", "--json"]).expect(0, &[]).json();
    assert_eq!((&shown["incidents_remembered"], &shown["sinks"][0]["acknowledged"]), (&6.into(), &6.into()), "{shown}");
    place.command(&["state", "verify"]).expect(0, &["6 incidents remembered"]);
    let export = place.path("export.ndjson");
    place.command(&["state", "export", &export.display().to_string()]).expect(0, &["lines in"]);
    let lines = std::fs::read_to_string(&export).expect("written");
    let marks = lines.lines().filter(|line| line.starts_with("{\"record\":\"mark\"")).count();
    assert_eq!(marks, 6, "{lines}");
    assert!(!lines.contains(&sandbox.secret()));
    let printed = place.command(&["state", "export"]);
    assert_eq!(printed.expect(0, &[]).out.lines().count(), lines.lines().count());

    // Damage that no start looks at.
    let database = place.state().join("sled/db");
    let mut bytes = std::fs::read(&database).expect("the database");
    let at = bytes.windows(9).rposition(|window| window == b"\"fields\":").expect("a mark");
    bytes[at + 2] ^= 1;
    std::fs::write(&database, bytes).expect("damaged");
    place.command(&["state", "verify"]).expect(73, &["is damaged", "wrong"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_set_back_at_once_and_forward_only_by_somebody_who_means_it() {
    let (place, sandbox) = (Place::new(), still(5, unlimited()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    place.command(&["run", "--once"]).expect(0, &[]);
    place.command(&["state", "set-cursor", "fabrikam", "1h"]).expect(64, &["no tenant fabrikam", "contoso"]);
    place.command(&["state", "set-cursor", "contoso", "soon"]).expect(64, &["TIME", "\"soon\""]);
    place.command(&["state", "set-cursor", "contoso", "2999-01-01T00:00:00Z"]).expect(64, &["future"]);
    place.command(&["state", "set-cursor", "contoso", "2d"]).expect(0, &["is read from", "no second event"]);
    let cursor = || place.command(&["state", "show", "--json"]).json()["tenants"][0]["cursor"].to_string();
    let back = cursor();
    place.command(&["run", "--once"]).expect(0, &[]);
    assert_eq!(place.arrivals("file").len(), 5, "what is remembered is no event");
    place.command(&["state", "set-cursor", "contoso", "10s"]).expect(64, &["WARNING", "SKIPPED", "--yes"]);
    assert!(cursor() < format!("\"{}\"", sandbox.now().earlier(Duration::from_secs(15))), "it has not moved");
    place.command(&["state", "set-cursor", "contoso", "1s", "--yes"]).expect(0, &["is read from"]);
    assert!(back < cursor());
    place.command(&["state", "verify"]).expect(0, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_made_again_delivers_again_and_loses_nothing() {
    let (place, sandbox) = (Place::new(), still(5, unlimited()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    place.command(&["run", "--once"]).expect(0, &[]);
    place.command(&["state", "rebuild"]).expect(64, &["--yes", "same event_id"]);
    place.command(&["state", "rebuild", "--yes"]).expect(0, &["made again from the checkpoint", "sled.damaged-"]);
    place.command(&["state", "verify"]).expect(0, &["0 incidents remembered"]);
    let now = sandbox.now();
    sandbox.world().create_sized(now, 3_000);
    place.command(&["run", "--once"]).expect(0, &[]);
    let arrived = event_ids(&place, "file");
    assert_eq!(set(&arrived).len(), 6, "the same ids, and the new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_under_a_living_world_loses_nothing() {
    let (place, sandbox) = (Place::new(), lively().await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let daemon = Daemon::start(&place);
    wait_for("some events", || 30 <= place.arrivals("file").len());
    let before = set(&event_ids(&place, "file"));
    place.command(&["replay", "--since", "1h"]).expect(0, &["replayed"]);
    let told = before.len();
    wait_for("more events", || told + 30 <= set(&event_ids(&place, "file")).len());
    assert_eq!(daemon.stop("TERM"), 0);
    let now = sandbox.now();
    let visible: Vec<String> = sandbox.world().visible(now).map(|row| row.number.0.to_string()).collect();
    place.command(&["run", "--once"]).expect(0, &[]);
    let arrived = set(&event_ids(&place, "file"));
    for id in visible {
        assert!(arrived.iter().any(|arrived| arrived.split('/').nth(1) == Some(&id)), "{id} is missing");
    }
    place.command(&["state", "verify"]).expect(0, &[]);
}
