//! The commands beside the daemon: `get`, `status`, `check`, `config show`, `run --once`, each with and without a daemon.

use xdrelay::model::dialect::Dialect;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::{Daemon, Place, QUICK, closed_port, in_both_dialects, still, unlimited, wait_for};

async fn place_of(count: u32) -> (Place, Sandbox) {
    place_speaking(Dialect::default(), count).await
}

async fn place_speaking(dialect: Dialect, count: u32) -> (Place, Sandbox) {
    let (place, sandbox) = (Place::speaking(dialect), still(count, unlimited()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    (place, sandbox)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_incident_is_printed_alone_and_through_a_daemon() {
    in_both_dialects(|dialect| async move {
        let (place, sandbox) = place_speaking(dialect, 3).await;
        let number = sandbox.world().rows().by_number().next().expect("one").number.0;
        let id = |json: serde_json::Value| match dialect {
            Dialect::Defender => json["incidentId"].as_u64(),
            Dialect::Graph => json["id"].as_str().and_then(|id| id.parse().ok()).filter(|_| json["alerts"].is_array()),
        };
        let check = |wanted: u64| {
            let printed = place.command(&["get", &number.to_string()]);
            assert_eq!(id(printed.expect(0, &[]).json()), Some(wanted));
            assert_eq!(printed.err, "", "nothing but the incident");
            place.command(&["get", "1"]).expect(66, &["incident 1", "no such incident"]);
            place.command(&["get", "../../x?y#z"]).expect(66, &["no such incident"]);
            place.command(&["get", "1", "--tenant", "fabrikam"]).expect(64, &["no tenant fabrikam", "contoso"]);
            let named = place.command(&["get", &number.to_string(), "--tenant", "contoso"]);
            assert_eq!(id(named.expect(0, &[]).json()), Some(wanted));
        };
        check(number);
        let daemon = Daemon::start(&place);
        check(number);
        assert_eq!(daemon.stop("TERM"), 0);
        check(number);
        assert_eq!(sandbox.calls().answered(Endpoint::get(dialect), 200), 6);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_the_daemons_or_else_that_of_the_directory() {
    let (place, _sandbox) = place_of(5).await;
    place.command(&["status"]).expect(73, &["no daemon runs", "no state directory"]);
    place.command(&["status", "--json"]).expect(73, &["no state directory"]);
    assert!(!place.state().exists(), "asking makes nothing");
    let daemon = Daemon::start(&place);
    wait_for("the events", || place.arrivals("file").len() == 5);
    wait_for("them to be acknowledged", || place.command(&["status"]).out.contains("5 delivered"));
    wait_for("a complete sweep", || place.command(&["status"]).out.contains("last complete sweep"));
    place
        .command(&["status"])
        .expect(0, &["running\n", "tenant contoso:", "sink file: delivering, 5 delivered, 0 refused"]);
    let status = place.command(&["status", "--json"]).expect(0, &[]).json();
    assert_eq!(status["running"], true);
    assert_eq!(status["sinks"]["file"]["delivered"], 5, "{status}");
    assert_eq!(status["tenants"]["contoso"]["refused"], false, "{status}");
    assert_eq!(daemon.stop("TERM"), 0);
    place
        .command(&["status"])
        .expect(0, &["not running", "tenant contoso: read up to 2", "sink file: 0 events waiting"]);
    let status = place.command(&["status", "--json"]).expect(0, &[]).json();
    assert_eq!((&status["running"], &status["sinks"][0]["name"]), (&false.into(), &"file".into()), "{status}");
    assert_eq!((&status["outbox_events"], &status["incidents_remembered"]), (&0.into(), &5.into()), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tries_everything_and_leaves_nothing_behind() {
    let (place, sandbox) = place_of(1).await;
    place.command(&["check", "--offline"]).expect(0, &["the configuration is valid: tenants 1, sinks 1"]);
    assert_eq!(sandbox.calls().calls().count(), 0, "offline asks nobody");
    let words = ["tenant contoso", "client secret", "Incident.Read.All", "1 row", "against the server", "sink file"];
    place.command(&["check"]).expect(0, &words);
    assert!(!place.state().exists(), "it makes no state directory");
    assert!(!place.path("file.ndjson").exists(), "nor the file of a sink, which would be root's where root checks");
    let found = place.command(&["check", "--json"]).expect(0, &[]).json();
    assert_eq!(found["ok"], true);
    assert_eq!(found["tenants"]["contoso"]["roles"][0], "Incident.Read.All", "{found}");
    assert!(found["sinks"]["file"]["error"].is_null(), "{found}");
    let daemon = Daemon::start(&place);
    wait_for("a sweep", || place.command(&["status"]).out.contains("last complete sweep"));
    place.command(&["check"]).expect(0, &["the running daemon reads this tenant", "the running daemon has it open"]);
    assert_eq!(daemon.stop("TERM"), 0);
    place.command(&["check"]).expect(0, &["1 row"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_for_programs_says_what_is_wrong() {
    let (place, _sandbox) = place_of(0).await;
    let text = place.text("xdrelay.toml").replace("sweep_every", "sweep_evry");
    place.write("xdrelay.toml", &text);
    let found = place.command(&["check", "--json"]).expect(78, &[]).json();
    assert_eq!(found["ok"], false);
    let problems = found["problems"].to_string();
    assert!(problems.contains("sweep_evry") && problems.contains("sweep_every"), "{problems}");
    place.write("xdrelay.toml", &text.replace("sweep_evry", "sweep_every"));
    place.write("contoso.secret", "not-the-secret");
    let found = place.command(&["check", "--json"]).expect(77, &[]).json();
    assert!(found["tenants"]["contoso"]["error"].to_string().contains("AADSTS7000215"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_effective_configuration_shows_no_secret() {
    let (place, sandbox) = place_of(0).await;
    let shown = place.command(&["config", "show"]);
    shown.expect(0, &["[tenants.contoso]", "sweep_every = \"5s\"", "contoso.secret", "page_size = 100"]);
    assert!(!shown.out.contains(&sandbox.secret()), "{shown:#?}");
    let again = Place::new();
    again.write("xdrelay.toml", &shown.out);
    let twice = again.command(&["config", "show"]);
    assert_eq!(twice.expect(0, &[]).out, shown.out, "what is shown can be used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_delivers_everything_and_the_next_one_only_what_is_new() {
    in_both_dialects(|dialect| async move {
        let (place, sandbox) = place_speaking(dialect, 250).await;
        place.command(&["run", "--once"]).expect(0, &["one round is complete", "events=250\n"]);
        assert_eq!(place.arrivals("file").len(), 250);
        let now = sandbox.now();
        sandbox.world().create_sized(now, 3_000);
        place.command(&["run", "--once"]).expect(0, &["one round is complete", "events=1\n"]);
        assert_eq!(place.arrivals("file").len(), 251);
        place.command(&["run", "--once"]).expect(0, &["one round is complete", "events=0\n"]);
        assert_eq!(place.arrivals("file").len(), 251);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_says_which_sink_did_not_take_what_and_the_next_one_delivers_it() {
    let (place, sandbox) = (Place::new(), still(7, unlimited()).await);
    let (tenant, file) = (place.tenant("contoso", &sandbox), place.file_sink("file"));
    let siem = format!("[sinks.siem]\nkind = \"syslog\"\naddress = \"tcp://127.0.0.1:{}\"\n\n", closed_port());
    place.configure(&[QUICK, &tenant, &file, &siem]);
    place
        .command(&["run", "--once"])
        .expect(69, &["the round is not complete", "sink siem: 7 events wait: ", "Connection refused"]);
    assert_eq!(place.arrivals("file").len(), 7, "the other sink has everything");
    place.command(&["status"]).expect(0, &["sink siem: 7 events waiting", "sink file: 0 events waiting"]);
    place.configure(&[QUICK, &tenant, &file, &place.file_sink("siem")]);
    place.command(&["run", "--once"]).expect(0, &[]);
    assert_eq!(place.arrivals("siem").len(), 7);
}
