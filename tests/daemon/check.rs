//! `xdrelay check` of tenants: what it finds, what it says of what it cannot find, and what it costs of the quota.

use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::{Fault, Missing};
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::Settings;

use crate::harness::{Daemon, Outcome, Place, QUICK, another, still, unlimited, wait_for};

/// How every token of the sandbox begins.
const TOKEN: &str = "eyJhbGciOiJub25lI";

async fn place_of(count: u32) -> (Place, Sandbox) {
    let (place, sandbox) = (Place::new(), still(count, unlimited()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    (place, sandbox)
}

/// Runs the check for people and for programs; neither shows a secret.
fn both(place: &Place, sandbox: &Sandbox, code: i32) -> (Outcome, serde_json::Value) {
    let (people, programs) = (place.command(&["check"]), place.command(&["check", "--json"]));
    for outcome in [&people, &programs] {
        outcome.expect(code, &[]);
        for text in [&outcome.out, &outcome.err] {
            assert!(!text.contains(TOKEN) && !text.contains(&sandbox.secret()), "a secret: {outcome:#?}");
        }
    }
    let found = programs.json();
    assert_eq!(found["ok"], code == 0, "{found}");
    (people, found)
}

/// Checks a tenant with five incidents: how it ends, what is said, and what the finding of this name is.
async fn check(spoil: impl FnOnce(&mut Settings), code: i32, words: &[&str], name: &str, outcome: &str) {
    let (place, sandbox) = place_of(5).await;
    spoil(&mut sandbox.settings());
    let (people, found) = both(&place, &sandbox, code);
    people.expect(code, words);
    assert_eq!(found["tenants"]["contoso"]["answers"][name]["outcome"], outcome, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_does_as_documented_is_confirmed_by_two_calls() {
    let (place, sandbox) = place_of(5).await;
    // As many as there are: a full page.
    let quick = QUICK.replace("[poll]\n", "[poll]\npage_size = 5\n");
    place.configure(&[&quick, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let (people, found) = both(&place, &sandbox, 0);
    let words = [
        "by client secret in",
        "secret       when it ends is not known: see Entra",
        &format!("from 127.0.0.1:{}, good for", sandbox.url().port().expect("a port")),
        "roles        Incident.Read.All\n",
        "s against the server, which is fine",
        "5 rows in",
        "5 were asked for",
        "confirmed    pages of 5 rows; newest first",
        "windows with an end (lt); leaving rows out ($skip); the header Date",
        "2 list calls used",
        "1 tenant: 1 works\n",
        "1 sink: 1 works\n",
    ];
    people.expect(0, &words);
    assert_eq!(sandbox.calls().arrived(Endpoint::List), 4, "two for each of the two checks");
    let tenant = &found["tenants"]["contoso"];
    assert_eq!((&tenant["api"], &tenant["role_missing"]), (&"defender".into(), &serde_json::Value::Null), "{found}");
    assert_eq!(tenant["answers"]["calls"], 2, "{found}");
    for name in ["page_size", "order", "bounds", "skip", "date"] {
        assert_eq!(tenant["answers"][name]["outcome"], "confirmed", "{name}: {found}");
    }
    assert!(tenant["clock_skew_seconds"].as_f64().expect("a number").abs() < 60.0, "{found}");
    assert!(tenant["token"]["seconds_left"].as_u64().is_some_and(|left| 3000 < left), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_said_and_is_no_error() {
    let (place, sandbox) = place_of(1).await;
    let (people, found) = both(&place, &sandbox, 0);
    let untold = ["windows with an end (lt): taken, too few", "leaving rows out ($skip): taken, too few rows to tell"];
    people.expect(0, &["1 row in", "not confirmed: the order of rows: there are too few to tell"]).expect(0, &untold);
    for name in ["order", "bounds", "skip", "page_size"] {
        assert_eq!(found["tenants"]["contoso"]["answers"][name]["outcome"], "not_confirmed", "{name}: {found}");
    }
    let (place, sandbox) = place_of(0).await;
    let (people, _) = both(&place, &sandbox, 0);
    people.expect(0, &["0 rows in", "pages of 100 rows: taken; 0 rows came"]).expect(0, &untold);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_not_full_proves_no_size_and_a_second_call_tells_a_ceiling() {
    let few = "not confirmed: pages of 100 rows: taken; 5 rows came";
    check(|_| {}, 0, &[few, "confirmed    newest first", "2 list calls used"], "page_size", "not_confirmed").await;
    for (count, lt) in [(12, true), (12, false)] {
        let (place, sandbox) = place_of(count).await;
        sandbox.settings().rows_max = Some(5);
        sandbox.settings().taste.refuses_lt = !lt;
        let (people, found) = both(&place, &sandbox, 0);
        let ceiling = "refused      pages of 100 rows: taken, 5 rows came and there are more behind them";
        let (words, outcome) =
            if lt { ([ceiling, "2 list calls used"], "refused") } else { ([few; 2], "not_confirmed") };
        people.expect(0, &words);
        assert_eq!(found["tenants"]["contoso"]["answers"]["page_size"]["outcome"], outcome, "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_answer_is_said_and_nothing_is_concluded_from_it() {
    for missing in [Missing::Rows, Missing::Alerts] {
        let (place, sandbox) = place_of(5).await;
        let table = place.tenant("contoso", &sandbox);
        place.configure(&[QUICK, &format!("{}\napi = \"graph\"\n\n", table.trim_end()), &place.file_sink("file")]);
        sandbox.faults().next(Endpoint::GraphList, 2, Fault::Partial(missing));
        let (people, programs) = (place.command(&["check"]), place.command(&["check", "--json"]));
        let part = "note         the answer is a part of what was asked for: status 206";
        people.expect(0, &[part, "not confirmed: the order of rows: status 206", "asked for again until it is whole"]);
        assert!(!people.out.contains("confirmed    pages") && !people.out.contains("newest first"), "{people:#?}");
        // The second check got whole answers.
        let found = programs.expect(0, &[]).json();
        assert_eq!(found["tenants"]["contoso"]["answers"]["order"]["outcome"], "confirmed", "{found}");
        sandbox.faults().often(Endpoint::GraphList, 1.0, Fault::Partial(missing));
        let found = place.command(&["check", "--json"]).expect(0, &[]).json();
        for name in ["page_size", "order", "bounds", "skip", "alerts"] {
            let finding = &found["tenants"]["contoso"]["answers"][name];
            assert_eq!(finding["outcome"], "not_confirmed", "{name}: {found}");
            assert!(finding["says"].as_str().is_some_and(|says| says.contains("status 206")), "{name}: {found}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_that_the_api_refuses_is_no_error_and_its_meaning_is_said() {
    use xdrelay::sandbox::query::Order;
    let refuses_lt = |settings: &mut Settings| settings.taste.refuses_lt = true;
    let meaning = "everything is read up to the newest instead";
    check(refuses_lt, 0, &["refused      windows with an end (lt)", meaning, "LessThan"], "bounds", "refused").await;
    check(refuses_lt, 0, &["leaving rows out ($skip): a check makes 3 calls at most"], "skip", "not_confirmed").await;
    let no_skip = |settings: &mut Settings| settings.taste.skip_max = Some(0);
    check(no_skip, 0, &["refused      leaving rows out", "shorter windows"], "skip", "refused").await;
    check(no_skip, 0, &["windows with an end (lt); the header Date"], "bounds", "confirmed").await;
    let by_creation = |settings: &mut Settings| settings.order = Order::NumberDescending;
    check(by_creation, 0, &["newest first"], "order", "confirmed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_does_not_let_itself_be_read_is_an_error() {
    let small_pages = |settings: &mut Settings| settings.taste.top_max = 50;
    check(
        small_pages,
        69,
        &["pages of 100 rows, while one of 1 is given: set poll.page_size lower"],
        "page_size",
        "refused",
    )
    .await;
    let (place, sandbox) = place_of(5).await;
    place.command(&["run", "--once"]).expect(0, &[]);
    sandbox.settings().taste.refuses_lt = true;
    let (people, _) = both(&place, &sandbox, 0);
    people.expect(0, &["confirmed    newest first", "($skip); the header Date", "4 list calls used"]);
    sandbox.settings().taste.skip_max = Some(0);
    let (people, _) = both(&place, &sandbox, 69);
    people.expect(69, &["ERROR", "no more than one page can be read", "1 tenant: 0 work, 1 does not: contoso"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_time_say_what_that_means() {
    let (place, sandbox) = place_of(2).await;
    sandbox.faults().often(Endpoint::List, 1.0, Fault::GarbledDate);
    let (people, found) = both(&place, &sandbox, 0);
    people.expect(0, &["refused      the header Date", "the cursor stands still"]);
    assert!(found["tenants"]["contoso"]["clock_skew_seconds"].is_null(), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_has_a_verdict() {
    let verdict = async |offset_seconds: i64, words: &[&str]| {
        let (place, sandbox) = place_of(2).await;
        sandbox.settings().clock_offset_ms = offset_seconds * 1000;
        let (people, found) = both(&place, &sandbox, 0);
        people.expect(0, words);
        let skew = found["tenants"]["contoso"]["clock_skew_seconds"].as_f64().expect("a number");
        // A slow machine may take its time; ours is ahead where theirs is behind.
        assert!((skew + offset_seconds as f64).abs() < 30.0, "{skew}: {found}");
    };
    verdict(0, &["which is fine"]).await;
    verdict(-150, &["this machine's clock is off by +1", "no incident is lost by it", "from 5 minutes on"]).await;
    verdict(900, &["this machine's clock is off by -", "observed_at", "the cursor goes by the server's clock"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_missing_with_its_remedy_and_one_too_many_is_a_note() {
    let roles = async |held: &[&str], code: i32, words: &[&str], missing: Option<&str>| {
        let (place, sandbox) = place_of(1).await;
        sandbox.settings().roles = held.iter().map(|role| (*role).to_owned()).collect();
        let (people, found) = both(&place, &sandbox, code);
        people.expect(code, words);
        assert_eq!(found["tenants"]["contoso"]["role_missing"].as_str(), missing, "{found}");
        assert_eq!(found["tenants"]["contoso"]["refused"], code == 77, "{found}");
    };
    let missing = Some("Incident.Read.All");
    roles(&[], 77, &["none; Incident.Read.All is missing", "admin consent", "it takes minutes"], missing).await;
    roles(&["Alert.Read.All"], 77, &["Alert.Read.All; Incident.Read.All is missing", "ERROR"], missing).await;
    let words = [
        "roles        Incident.ReadWrite.All\n",
        "more than needed: Incident.ReadWrite.All; Incident.Read.All is enough",
    ];
    roles(&["Incident.ReadWrite.All"], 0, &words, None).await;
    roles(&["Incident.Read.All", "Alert.Read.All"], 0, &["more than needed: Alert.Read.All;"], None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_told_from_everything_else() {
    let (place, sandbox) = place_of(1).await;
    place.write("contoso.secret", "canary-that-is-wrong");
    let (people, found) = both(&place, &sandbox, 77);
    people.expect(77, &["AADSTS7000215", "1 tenant: 0 work, 1 does not: contoso"]);
    assert!(!people.out.contains("canary") && !found.to_string().contains("canary"), "{people:#?}");
    assert_eq!(sandbox.calls().arrived(Endpoint::List), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_charged_durably_and_a_quota_that_is_used_up_is_left_alone() {
    let (place, sandbox) = place_of(3).await;
    place.command(&["run", "--once"]).expect(0, &[]);
    let before = sandbox.calls().arrived(Endpoint::List);
    // One call an hour is what the smallest quota has left after its margins.
    place.configure(&[
        "[quota]\nlist_per_minute = 5\nlist_per_hour = 5\n\n",
        &place.tenant("contoso", &sandbox),
        &place.file_sink("file"),
    ]);
    let words = ["3 rows in", "1 list call used", "not confirmed: windows with an end (lt): the quota is used up for"];
    place.command(&["check"]).expect(0, &words);
    place.command(&["check"]).expect(0, &["note         no list call: the quota is used up for"]);
    assert_eq!(sandbox.calls().arrived(Endpoint::List), before + 1, "the second check knows of the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn among_many_tenants_the_good_ones_have_a_line_each() {
    let place = Place::new();
    let mut tables = vec![QUICK.to_owned(), place.file_sink("file")];
    let mut sandboxes = Vec::new();
    for number in 1..=12 {
        let sandbox = another(number, 2).await;
        let name = format!("t{number:02}");
        tables.push(match number {
            5 => place.tenant_with(&name, &sandbox, "canary-that-is-wrong"),
            _ => place.tenant(&name, &sandbox),
        });
        sandboxes.push(sandbox);
    }
    place.configure(&tables.iter().map(String::as_str).collect::<Vec<_>>());
    let (people, found) = both(&place, &sandboxes[0], 77);
    people
        .expect(77, &["tenant t05\n", "AADSTS7000215", "12 tenants: 11 work, 1 does not: t05\n", "1 sink: 1 works\n"]);
    let short =
        people.out.lines().filter(|line| line.starts_with("tenant t") && line.contains(": ok, client secret in"));
    assert_eq!(short.count(), 11, "{people:#?}");
    assert_eq!(found["tenants"].as_object().expect("an object").len(), 12);
    sandboxes.iter().for_each(|sandbox| assert!(sandbox.calls().arrived(Endpoint::List) <= 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_is_asked_instead_of_the_api() {
    let (place, sandbox) = place_of(4).await;
    let daemon = Daemon::start(&place);
    wait_for("a sweep", || place.command(&["status"]).out.contains("last complete sweep"));
    wait_for("deliveries", || place.command(&["status"]).out.contains("4 delivered"));
    let (people, found) = both(&place, &sandbox, 0);
    let words = [
        "by client secret in",
        "no list call: the running daemon reads this tenant, last complete sweep",
        "read up to 2",
        "the running daemon has it open",
        "the running daemon says: delivering, 4 delivered, 0 refused",
    ];
    people.expect(0, &words);
    let tenant = &found["tenants"]["contoso"];
    assert!(tenant["answers"].is_null() && tenant["daemon"]["lag_seconds"].is_number(), "{found}");
    sandbox.settings().roles = Vec::new();
    let (people, _) = both(&place, &sandbox, 77);
    people.expect(77, &["the role Incident.Read.All is missing: give the app registration", "admin consent"]);
    sandbox.settings().roles = vec!["Incident.Read.All".into()];
    sandbox.faults().often(Endpoint::List, 1.0, Fault::Status(503));
    wait_for("the daemon to fail", || place.command(&["status"]).out.contains("in a row"));
    let (people, _) = both(&place, &sandbox, 69);
    people.expect(69, &["the running daemon has failed", "status 503"]);
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_is_looked_at_as_what_it_is() {
    let check = async |spoil: &dyn Fn(&mut Settings, Vec<u64>), code: i32, words: &[&str], expands: &str| {
        let (place, sandbox) = place_of(5).await;
        let table = place.tenant("contoso", &sandbox);
        place.configure(&[QUICK, &format!("{}\napi = \"graph\"\n\n", table.trim_end()), &place.file_sink("file")]);
        let numbers = sandbox.world().rows().by_number().map(|row| row.number.0).collect();
        spoil(&mut sandbox.settings(), numbers);
        let (people, found) = both(&place, &sandbox, code);
        people.expect(code, words);
        assert_eq!(found["tenants"]["contoso"]["api"], "graph", "{found}");
        assert_eq!(found["tenants"]["contoso"]["answers"]["alerts"]["outcome"], expands, "{found}");
    };
    let words =
        ["roles        SecurityIncident.Read.All\n", "confirmed    newest first", "($expand)", "2 list calls used"];
    check(&|_, _| {}, 0, &words, "confirmed").await;
    let one_is_too_large = |settings: &mut Settings, numbers: Vec<u64>| {
        settings.graph.poison_expanded = numbers.into_iter().take(1).collect();
    };
    let words = ["not confirmed: pages of 50 rows: ", "the daemon asks for less by itself"];
    check(&one_is_too_large, 0, &words, "confirmed").await;
    let never_expands = |settings: &mut Settings, numbers: Vec<u64>| {
        settings.graph.poison_expanded = numbers.into_iter().collect();
    };
    let words = ["refused      alerts with their incidents ($expand)", "an incident at a time", "status 500"];
    check(&never_expands, 0, &words, "refused").await;
    let no_role = |settings: &mut Settings, _: Vec<u64>| settings.graph.roles = Vec::new();
    let words = ["none; SecurityIncident.Read.All is missing", "\"Microsoft Graph\"", "admin consent"];
    check(&no_role, 77, &words, "not_confirmed").await;
}
