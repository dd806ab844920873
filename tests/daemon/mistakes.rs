//! Bad input as a person would hit it: each ends with its exit code and a sentence that says what to do.

use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::{Place, QUICK, closed_port, still, unlimited};

/// A place whose configuration is right.
async fn right() -> (Place, Sandbox) {
    let (place, sandbox) = (Place::new(), still(2, unlimited()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    (place, sandbox)
}

/// Replaces a part of the configuration.
fn spoil(place: &Place, part: &str, with: &str) {
    let text = place.text("xdrelay.toml");
    assert!(text.contains(part), "{part} is not in {text}");
    place.write("xdrelay.toml", &text.replace(part, with));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_ends_with_78_and_says_what_would_be_right() {
    let check = async |part: &str, with: &str, words: &[&str]| {
        let (place, sandbox) = right().await;
        spoil(&place, part, with);
        for command in [&["run"][..], &["run", "--once"], &["check"], &["check", "--offline"]] {
            let outcome = place.command(command);
            outcome.expect(78, words);
        }
        assert_eq!(sandbox.calls().calls().count(), 0, "nobody is asked");
        assert!(!place.state().exists(), "nothing is made");
    };
    check("sweep_every", "sweep_evry", &["xdrelay.toml:", "poll.sweep_evry", "did you mean", "sweep_every"]).await;
    check("contoso.secret", "mislaid.secret", &["xdrelay.toml:", "tenants.contoso.credential", "mislaid.secret"]).await;
    check("interval = \"1s\"", "interval = \"soon\"", &["xdrelay.toml:", "poll.interval", "soon", "auto"]).await;
    check("kind = \"file\"", "kind = \"fiel\"", &["xdrelay.toml:", "sinks.file", "did you mean", "\"file\""]).await;
    check("start = \"20m\"", "start = ", &["xdrelay.toml"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sinks_that_write_one_file_are_refused() {
    let (place, sandbox) = (Place::new(), still(0, unlimited()).await);
    let second = place.file_sink("file").replace("[sinks.file]", "[sinks.other]");
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &second]);
    place.command(&["run"]).expect(78, &["xdrelay.toml:", "sinks.other.path", "the same file as sinks.file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_call_ends_with_64_and_a_missing_configuration_with_78() {
    let place = Place::new();
    place.invoke(&["chekc"]).expect(64, &["unrecognized subcommand", "'check'"]);
    place.invoke(&["run", "--twice"]).expect(64, &["--twice", "Usage: xdrelay run"]);
    place.invoke(&[]).expect(64, &["Usage"]);
    place.command(&["run"]).expect(78, &["xdrelay.toml"]);
    place.invoke(&["--help"]).expect(0, &["demo", "run", "check"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_cannot_be_made_says_so() {
    let (place, _sandbox) = right().await;
    let file = place.write("a-file", "in the way");
    spoil(&place, &place.state().display().to_string(), &file.join("state").display().to_string());
    let outcome = place.command(&["run"]);
    assert!([73, 78].contains(&outcome.code), "{outcome:#?}");
    outcome.expect(outcome.code, &["a-file", "directory"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_ends_with_77_and_the_remedy_after_a_few_requests() {
    let check = async |spoil: &dyn Fn(&Place, &Sandbox), words: &[&str], tokens: u64| {
        let (place, sandbox) = right().await;
        spoil(&place, &sandbox);
        place
            .command(&["run", "--once"])
            .expect(77, words)
            .expect(77, &["tenant contoso", "the round is not complete"]);
        let asked = sandbox.calls().arrived(Endpoint::Token);
        assert!((1..=tokens).contains(&asked), "{asked} token requests");
        place.command(&["check"]).expect(77, words);
        place.command(&["get", "40961"]).expect(77, words);
        assert_eq!(place.arrivals("file").len(), 0);
    };
    let wrong_secret = |place: &Place, _: &Sandbox| {
        place.write("contoso.secret", "not-the-secret");
    };
    check(&wrong_secret, &["AADSTS7000215", "the secret's Value, not its ID"], 2).await;
    let wrong_tenant =
        |place: &Place, sandbox: &Sandbox| spoil(place, sandbox.tenant_id(), "00000000-0000-4000-8000-000000000000");
    check(&wrong_tenant, &["AADSTS90002", "check tenant_id and cloud"], 2).await;
    let wrong_client =
        |place: &Place, sandbox: &Sandbox| spoil(place, &sandbox.client_id(), "00000000-0000-4000-8000-000000000000");
    check(&wrong_client, &["AADSTS700016", "check client_id"], 2).await;
    let no_role = |_: &Place, sandbox: &Sandbox| sandbox.settings().roles = Vec::new();
    check(&no_role, &["Incident.Read.All", "admin consent", "no role at all"], 2).await;
    let other_role = |_: &Place, sandbox: &Sandbox| sandbox.settings().roles = vec!["Alert.Read.All".into()];
    check(&other_role, &["Incident.Read.All", "the token holds Alert.Read.All"], 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_down_ends_a_round_with_69() {
    let (place, sandbox) = right().await;
    let down = format!("http://127.0.0.1:{}/", closed_port());
    spoil(&place, &format!("api_url = \"{}\"", sandbox.url()), &format!("api_url = \"{down}\""));
    let words = ["tenant contoso", "the API cannot be reached", "refused"];
    place.command(&["run", "--once"]).expect(69, &words);
    place.command(&["check"]).expect(69, &["the API cannot be reached"]);
    place.command(&["get", "40961"]).expect(69, &["the API cannot be reached"]);
}
