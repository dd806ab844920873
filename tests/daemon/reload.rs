//! SIGHUP with another configuration: tenants come, go and change, whom it does not concern notices nothing, and what is wrong
//! changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::Value;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::knobs::Knobs;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::{BOUND, Daemon, Place, QUICK, another, busy_and_small, closed_port, live, sandbox, wait_for, web};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n\n";

const ASKING: &str = "[tenants.any]\ntenant_id = \"any.example\"\nclient_id = \"5a11d0b0-7e57-4000-8000-000000000000\"\n\
     credential = { kind = \"client_secret\", env = \"ANY\" }\n\n[sinks.any]\nkind = \"stdout\"\n";

/// A tenant in which something happens all the time.
async fn busy(number: u32) -> Sandbox {
    let tenant_id = format!("5a11d0b0-7e57-4000-8000-{number:012}");
    sandbox(Knobs { tenant_id, ..busy_and_small() }, live()).await
}

/// What the daemon says of itself. Asked for with a configuration that is right, whatever has become of the daemon's own.
fn status(place: &Place) -> Value {
    let state_dir = format!("state_dir = \"{}\"\n\n", place.state().display());
    let asking = place.write("asking.toml", &format!("{state_dir}{ASKING}"));
    place.invoke(&["status", "--json", "-c", &asking.display().to_string()]).json()
}

/// Sends the signal and waits until the whole reload is over. Its outcome.
fn reload(place: &Place, daemon: &Daemon) -> Value {
    let before = status(place)["last_reload"].clone();
    daemon.signal("HUP");
    let mut after = Value::Null;
    wait_for("the reload", || {
        after = status(place)["last_reload"].clone();
        after != before
    });
    after
}

fn count(place: &Place, tenant: &str) -> usize {
    place.arrivals("file").iter().filter(|arrival| arrival.tenant == tenant).count()
}

/// One more incident.
fn happens(sandbox: &Sandbox) {
    let now = sandbox.now();
    let mut world = sandbox.world();
    world.create(now);
    world.settle(now);
}

fn wait_for_events(place: &Place, tenants: &[&str]) {
    let before: Vec<_> = tenants.iter().map(|tenant| count(place, tenant)).collect();
    let more = |(tenant, before): (&&str, &usize)| before + 5 <= count(place, tenant);
    wait_for("events of all of them", || tenants.iter().zip(&before).all(more));
}

/// Every event once, and each tenant's without a gap.
fn assert_once_and_in_order(place: &Place) {
    let arrivals = place.arrivals("file");
    let ids: BTreeSet<_> = arrivals.iter().map(|arrival| &arrival.event_id).collect();
    assert_eq!(ids.len(), arrivals.len(), "an event_id repeats");
    let mut numbers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    arrivals.iter().for_each(|arrival| numbers.entry(&arrival.tenant).or_default().push(arrival.sequence));
    for (tenant, numbers) in numbers {
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{tenant}");
    }
}

async fn ask(origin: &str, path: &str) -> String {
    let answer = web().get(format!("{origin}{path}")).send().await.expect("an answer");
    answer.text().await.expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_come_go_and_change_and_the_others_notice_nothing() {
    let place = Place::new();
    let (stays, leaves, changes, comes) = (busy(1).await, busy(2).await, busy(3).await, busy(4).await);
    let changing = place.tenant("changes", &changes);
    let (stays_table, sink) = (place.tenant("stays", &stays), place.file_sink("file"));
    place.configure(&[QUICK, ADMIN, &stays_table, &place.tenant("leaves", &leaves), &changing, &sink]);
    let daemon = Daemon::start(&place);
    let origin = daemon.origin();
    wait_for_events(&place, &["stays", "leaves", "changes"]);
    assert!(ask(&origin, "/metrics").await.contains("tenant=\"leaves\""));
    let before = status(&place);

    let changed = format!("{changing}[tenants.changes.poll]\nrequest_timeout = \"50s\"\n\n");
    place.configure(&[QUICK, ADMIN, &stays_table, &changed, &place.tenant("comes", &comes), &sink]);
    let outcome = reload(&place, &daemon);
    assert_eq!(outcome["outcome"], "applied", "{}", daemon.log());
    let asked = leaves.calls().arrived(Endpoint::List);
    wait_for_events(&place, &["stays", "changes", "comes"]);

    assert_eq!(leaves.calls().arrived(Endpoint::List), asked, "who is gone is asked no more");
    let tokens = |sandbox: &Sandbox| sandbox.calls().arrived(Endpoint::Token);
    assert_eq!((tokens(&stays), tokens(&changes)), (1, 2), "who stays keeps its token, who changes begins anew");
    let after = status(&place);
    let passes = |status: &Value| status["tenants"]["stays"]["passes"].as_u64().expect("a number");
    assert!(passes(&before) <= passes(&after), "who stays goes on counting");
    let names: Vec<_> = after["tenants"].as_object().expect("tenants").keys().collect();
    assert_eq!(names, ["changes", "comes", "stays"]);
    let limits = |name: &str| after["tenants"][name]["quota_limits"].clone();
    assert_eq!((limits("comes"), limits("changes")), (limits("stays"), limits("stays")), "{after:#}");
    let metrics = ask(&origin, "/metrics").await;
    assert!(
        !metrics.contains("tenant=\"leaves\",kind") && !metrics.contains("quarantined{tenant=\"leaves\""),
        "{metrics}"
    );
    assert!(metrics.contains("xdrelay_config_reloads_total{outcome=\"applied\"} 1"), "{metrics}");
    assert!(!ask(&origin, "/readyz").await.contains("leaves"));
    assert!(!ask(&origin, "/healthz").await.contains("leaves"));
    place.command(&["get", "1", "--tenant", "leaves"]).expect(64, &["there is no tenant leaves"]);
    assert_eq!(daemon.stop("TERM"), 0);
    assert_once_and_in_order(&place);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_comes_back_or_has_another_name_goes_on_where_it_was() {
    let (place, tenant) = (Place::new(), another(1, 10).await);
    let other = another(2, 3).await;
    let (sink, other_table) = (place.file_sink("file"), place.tenant("other", &other));
    let with = |table: &str| place.configure(&[QUICK, table, &other_table, &sink]);
    with(&place.tenant("first", &tenant));
    let daemon = Daemon::start(&place);
    wait_for("the events", || place.arrivals("file").len() == 13);
    // Nobody speaks Graph there: nothing is read, and nothing is lost or repeated by it.
    let graph = place.tenant("first", &tenant).replace("start = ", "api = \"graph\"\nstart = ");
    for table in [graph, place.tenant("first", &tenant), String::new(), place.tenant("second", &tenant)] {
        with(&table);
        assert_eq!(reload(&place, &daemon)["outcome"], "applied", "{}", daemon.log());
    }
    let swept = || status(&place)["tenants"]["second"]["rounds"].as_u64().is_some_and(|rounds| 0 < rounds);
    wait_for("a sweep under the new name", swept);
    assert_eq!(place.arrivals("file").len(), 13, "what was taken is remembered: {}", daemon.log());
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_as_a_whole_and_said_with_its_place() {
    let (place, one, two) = (Place::new(), busy(1).await, another(2, 3).await);
    let (one_table, sink) = (place.tenant("one", &one), place.file_sink("file"));
    place.configure(&[QUICK, &one_table, &sink]);
    let daemon = Daemon::start(&place);
    wait_for_events(&place, &["one"]);
    let two_table = place.tenant("two", &two);
    let twice = place.tenant("three", &two);
    let wrong = |table: &str| {
        place.configure(&[QUICK, &one_table, &two_table, &sink, table]);
        assert_eq!(reload(&place, &daemon)["outcome"], "refused");
        let names = status(&place);
        let names: Vec<_> = names["tenants"].as_object().expect("tenants").keys().cloned().collect();
        assert_eq!(names, ["one"], "not even what is right in it");
    };
    let file = place.path("xdrelay.toml").display().to_string();
    wrong("[log]\nlevel = 5\n[admin]\nlissen = \"1s\"\n");
    let log = daemon.log();
    let said = |word: &str| log.lines().any(|line| line.contains(&format!("{file}:")) && line.contains(word));
    assert!(said("log.level") && said("lissen"), "{log}");
    assert!(log.contains("the new configuration is refused, the old one goes on"), "{log}");
    wrong(&twice);
    assert!(daemon.log().contains("the same tenant as tenants."), "{}", daemon.log());
    wrong("this is no TOML\n");
    wait_for_events(&place, &["one"]);
    place.configure(&[QUICK, &one_table, &two_table, &sink]);
    assert_eq!(reload(&place, &daemon)["outcome"], "applied");
    wait_for("the events of the other", || count(&place, "two") == 3);
    assert_eq!(one.calls().arrived(Endpoint::Token), 1, "it has not noticed anything");
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wants_a_restart_is_named_and_what_does_not_is_applied() {
    let (place, one, two, three) = (Place::new(), another(1, 2).await, another(2, 3).await, another(3, 4).await);
    let sink =
        |tenants: &str| format!("{}tenants = {tenants}\n\n", place.file_sink("file").trim_end().to_owned() + "\n");
    let one_table = place.tenant("one", &one);
    place.configure(&[QUICK, &one_table, &sink("[\"one\"]")]);
    let daemon = Daemon::start(&place);
    wait_for("the events", || count(&place, "one") == 2);
    let more = [
        &place.tenant("two", &two) as &str,
        &place.tenant("three", &three),
        "[sinks.new]\nkind = \"stdout\"\ntenants = [\"three\"]\n\n",
        ADMIN,
    ];
    place.configure(&[&[QUICK, &one_table, &sink("[\"one\", \"two\"]")], &more[..]].concat());
    let outcome = reload(&place, &daemon);
    assert_eq!(outcome["outcome"], "partly");
    assert_eq!(outcome["restart_for"], serde_json::json!(["admin", "sinks.new"]));
    wait_for("the sink to take the added tenant", || count(&place, "two") == 3);
    assert!(status(&place)["tenants"]["three"].is_null(), "its events would pass its sink by");
    assert_eq!(three.calls().arrived(Endpoint::Token), 0);
    let log = daemon.log();
    assert!(log.contains("tables=\"admin, sinks.new\""), "{log}");
    assert!(log.contains("not read before the restart"), "{log}");
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_moves_to_a_new_sink_loses_nothing_before_the_restart() {
    let (place, moves, stays) = (Place::new(), another(1, 3).await, another(2, 1).await);
    let tables = [place.tenant("moves", &moves), place.tenant("stays", &stays)].concat();
    let sink = |name: &str, tenants: &str| format!("{}\ntenants = {tenants}\n\n", place.file_sink(name).trim_end());
    place.configure(&[QUICK, &tables, &sink("file", "[\"moves\", \"stays\"]")]);
    let daemon = Daemon::start(&place);
    wait_for("the events", || place.arrivals("file").len() == 4);
    place.configure(&[QUICK, &tables, &sink("file", "[\"stays\"]"), &sink("new", "[\"moves\"]")]);
    // The second one finds the sink still new, and half of the change done.
    for _ in 0..2 {
        let outcome = reload(&place, &daemon);
        assert_eq!(outcome["outcome"], "partly", "{}", daemon.log());
        assert_eq!(outcome["restart_for"], serde_json::json!(["sinks.new", "sinks.file"]));
        let taken = || status(&place)["tenants"]["moves"]["events"]["created"].as_u64();
        let (before, sent) = (taken().expect("a number"), count(&place, "stays"));
        happens(&moves);
        wait_for("it to be in the outbox", || taken() == Some(before + 1));
        // Once this one has gone out, the sink is past the one before it.
        happens(&stays);
        wait_for("the next to go out", || count(&place, "stays") == sent + 1);
    }
    assert_eq!((count(&place, "moves"), count(&place, "stays")), (5, 3), "{}", daemon.log());
    assert!(daemon.log().contains("still taken before the restart: the sink they move to is new"), "{}", daemon.log());
    assert_eq!(daemon.stop("TERM"), 0);

    let daemon = Daemon::start(&place);
    happens(&moves);
    wait_for("it to arrive where the tenant moved to", || place.arrivals("new").len() == 1);
    happens(&stays);
    wait_for("what is the old one's", || count(&place, "stays") == 4);
    assert_eq!(daemon.stop("TERM"), 0);
    assert_eq!((count(&place, "moves"), place.arrivals("new").len()), (5, 1), "each once, in one of them");
    let files = [place.arrivals("file"), place.arrivals("new")];
    let ids: BTreeSet<_> = files.iter().flatten().map(|arrival| &arrival.event_id).collect();
    assert_eq!(ids.len(), 10, "no event_id repeats");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_left_in_the_outbox_goes_out_when_it_is_gone() {
    let (place, leaves, stays) = (Place::new(), another(1, 5).await, another(2, 1).await);
    let port = closed_port();
    let siem = |tenants: &str| {
        format!("[sinks.siem]\nkind = \"syslog\"\naddress = \"tcp://127.0.0.1:{port}\"\ntenants = {tenants}\n\n")
    };
    let stays_table = place.tenant("stays", &stays);
    place.configure(&[QUICK, &place.tenant("leaves", &leaves), &stays_table, &siem("[\"leaves\", \"stays\"]")]);
    let daemon = Daemon::start(&place);
    wait_for("both to be read", || {
        let status = status(&place);
        ["leaves", "stays"]
            .iter()
            .all(|name| status["tenants"][name]["rounds"].as_u64().is_some_and(|rounds| 0 < rounds))
    });
    place.configure(&[QUICK, &stays_table, &siem("[\"stays\"]")]);
    assert_eq!(reload(&place, &daemon)["outcome"], "applied", "{}", daemon.log());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("it was free");
    let received = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().expect("the sink connects");
        stream.set_read_timeout(Some(BOUND)).expect("set");
        let (mut text, mut chunk) = (String::new(), [0; 65_536]);
        while text.matches("\"event_id\":\"leaves/").count() < 5 || !text.contains("\"event_id\":\"stays/") {
            let length = stream.read(&mut chunk).expect("more");
            assert_ne!(length, 0, "it ends before all is there: {text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
    });
    received.await.expect("everything");
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_sink_that_loses_its_tenant_is_told_of_and_can_be_replayed() {
    let (place, moves, stays) = (Place::new(), another(1, 5).await, another(2, 1).await);
    let tables = [place.tenant("moves", &moves), place.tenant("stays", &stays)].concat();
    let port = closed_port();
    let siem = |tenants: &str| {
        format!("[sinks.siem]\nkind = \"syslog\"\naddress = \"tcp://127.0.0.1:{port}\"\ntenants = {tenants}\n\n")
    };
    let file = |tenants: &str| format!("{}\ntenants = {tenants}\n\n", place.file_sink("file").trim_end());
    let told = |daemon: &Daemon| {
        let log = daemon.log();
        log.lines().filter(|line| line.contains("goes to nobody")).map(str::to_owned).collect::<Vec<_>>()
    };
    place.configure(&[QUICK, &tables, &siem("[\"moves\", \"stays\"]"), &file("[\"stays\"]")]);
    let daemon = Daemon::start(&place);
    wait_for("all to wait, and the file to be past it", || {
        let taken = status(&place)["tenants"]["moves"]["events"]["created"] == 5;
        taken && place.arrivals("file").len() == 1
    });
    place.configure(&[QUICK, &tables, &siem("[\"stays\"]"), &file("[\"moves\", \"stays\"]")]);
    assert_eq!(reload(&place, &daemon)["outcome"], "applied", "{}", daemon.log());
    let [line] = &told(&daemon)[..] else { panic!("{}", daemon.log()) };
    assert!(line.contains("sink=siem") && line.contains("tenants=1 names=moves"), "{line}");
    assert_eq!(reload(&place, &daemon)["outcome"], "applied");
    assert_eq!(told(&daemon).len(), 1, "nothing is lost any more");
    let replay = ["replay", "--since", "1d", "--tenant", "moves", "--sink", "file"];
    place.command(&replay).expect(0, &["replayed 5 events"]);
    wait_for("what it brings", || count(&place, "moves") == 5);
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_a_tenant_that_goes_ends_with_a_word() {
    let (place, leaves, stays) = (Place::new(), another(1, 5).await, another(2, 1).await);
    let (sink, stays_table) = (place.file_sink("file"), place.tenant("stays", &stays));
    place.configure(&[QUICK, &place.tenant("leaves", &leaves), &stays_table, &sink]);
    let daemon = Daemon::start(&place);
    wait_for("the events", || place.arrivals("file").len() == 6);
    leaves.faults().often(Endpoint::List, 1.0, Fault::Stall);
    let replay = place.spawn(&["replay", "--since", "1h", "--tenant", "leaves"]);
    wait_for("the replay to begin", || daemon.log().contains("INFO replay"));
    place.configure(&[QUICK, &stays_table, &sink]);
    assert_eq!(reload(&place, &daemon)["outcome"], "applied", "{}", daemon.log());
    replay.outcome().expect(69, &["tenant leaves", "was taken out of the configuration"]);
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_of_a_reload_and_of_its_end() {
    let (place, tenant) = (Place::new(), another(1, 1).await);
    place.configure(&[QUICK, &place.tenant("one", &tenant), &place.file_sink("file")]);
    let path = place.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(BOUND)).expect("set");
    let hear = || {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).expect("a word");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let daemon = Daemon::launch_in(&place, &[("NOTIFY_SOCKET", path.to_str().expect("UTF-8"))]);
    assert_eq!(hear().trim(), "READY=1");
    let uptime =
        |text: &str| text.split_whitespace().next().and_then(|text| text.parse::<f64>().ok()).expect("a number");
    for configuration in ["", "nonsense"] {
        place.write("xdrelay.toml", &(place.text("xdrelay.toml") + configuration));
        daemon.signal("HUP");
        let word = hear();
        let time = word.trim().strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("both in one word, in this order");
        let since_boot = Duration::from_micros(time.parse().expect("a number"));
        let now = uptime(&std::fs::read_to_string("/proc/uptime").expect("a Linux"));
        assert!(since_boot.as_secs_f64() <= now + 1.0, "{since_boot:?} of {now}");
        assert_eq!(hear().trim(), "READY=1", "refused or not");
    }
    assert_eq!(daemon.stop("TERM"), 0);
}
