//! The program as people run it, with each kind of credential: what `check` says, that a renewed certificate counts without a
//! restart, that no proxy stands before a managed identity, that nothing makes a storm, and that nothing secret comes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Method;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::{
    Daemon, Place, QUICK, another, assert_without, live, sandbox, small, still, unlimited, wait_for, web,
};
use crate::keys::{DAY, certificate, key, write};
use crate::relay::Relay;

const HOUR: Duration = Duration::from_secs(3600);
const TALKATIVE: &str = "[log]\nlevel = \"trace\"\n\n[admin]\nlisten = \"127.0.0.1:0\"\n\n";
const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n\n";

/// The table of a tenant that this sandbox is, with another credential; keys left empty are left out.
fn tenant(name: &str, sandbox: &Sandbox, login_url: &str, client_id: &str, credential: &str) -> String {
    let line = |key: &str, value: &str| match value {
        "" => String::new(),
        value => format!("{key} = \"{value}\"\n"),
    };
    format!(
        "[tenants.{name}]\ntenant_id = \"{}\"\n{}{}api_url = \"{}\"\nstart = \"20m\"\ncredential = {{ {credential} }}\n\n",
        sandbox.tenant_id(),
        line("client_id", client_id),
        line("login_url", login_url),
        sandbox.url(),
    )
}

/// A certificate with its key in one file, renamed into its place.
fn put_certificate(place: &Place, name: &str, life: Duration) -> String {
    use std::os::unix::fs::PermissionsExt;
    let next = write(place.path("").as_path(), "next.pem", &(certificate("one", name, life) + &key("one")));
    std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).expect("its own file");
    std::fs::rename(next, place.path("app.pem")).expect("in one step");
    format!("kind = \"certificate\", certificate = \"{}\"", place.path("app.pem").display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_how_the_token_was_got_and_how_long_the_certificate_lasts() {
    let (place, sandbox) = (Place::new(), still(1, unlimited()).await);
    let relay = Relay::start(&sandbox, 3600).await;
    let credential = put_certificate(&place, "soon", 10 * DAY + HOUR);
    place.configure(&[
        QUICK,
        &tenant("contoso", &sandbox, &relay.url, &sandbox.client_id(), &credential),
        &place.file_sink("file"),
    ]);
    let words = ["by certificate in", "Incident.Read.All", "ends in 10 days", "warning", "expires in 10 days", "1 row"];
    place.command(&["check"]).expect(0, &words);
    let found = place.command(&["check", "--json"]).expect(0, &[]).json();
    assert_eq!(found["tenants"]["contoso"]["certificate_days_left"], 10, "{found}");
    let asked = &relay.asked()[0];
    assert_eq!(asked.field("grant_type").as_deref(), Some("client_credentials"));
    assert_eq!(
        asked.field("client_assertion_type").as_deref(),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    assert_eq!(asked.field("client_secret"), None);

    put_certificate(&place, "gone", DAY);
    std::fs::write(place.path("app.pem"), expired()).expect("written");
    place.command(&["check"]).expect(0, &["the certificate has expired", "has expired"]);
    relay.refuse(401, r#"{"error":"invalid_client","error_description":"AADSTS700027: …","error_codes":[700027]}"#);
    place.command(&["check"]).expect(77, &["AADSTS700027", "upload it", "has expired"]);
    std::fs::write(place.path("app.pem"), "").expect("written");
    place.command(&["check"]).expect(78, &["credential.certificate", "there is no private key in it"]);
}

/// A certificate that ended an hour ago, with its key.
fn expired() -> String {
    let key_pair = rcgen::KeyPair::from_pem(&key("one")).expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.not_before = (std::time::SystemTime::now() - 2 * DAY).into();
    params.not_after = (std::time::SystemTime::now() - HOUR).into();
    params.self_signed(&key_pair).expect("a certificate").pem() + &key("one")
}

/// The days in `xdrelay_certificate_expires_seconds` of the tenant.
async fn days_left(daemon: &Daemon) -> Option<u64> {
    let answer = web().get(format!("{}/metrics", daemon.origin())).send().await.expect("an answer");
    let text = answer.text().await.expect("a text");
    let line =
        text.lines().find_map(|line| line.strip_prefix("xdrelay_certificate_expires_seconds{tenant=\"contoso\"} "));
    line.map(|seconds| seconds.parse::<f64>().expect("a number") as u64 / DAY.as_secs())
}

async fn wait_for_days(daemon: &Daemon, days: u64) {
    let start = std::time::Instant::now();
    while days_left(daemon).await != Some(days) {
        assert!(start.elapsed() < Duration::from_secs(180), "{days} days are not seen: {}", daemon.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_put_there_while_the_daemon_runs_counts_and_is_warned_of_once() {
    const WARNING: &str = "the certificate of the sign-in ends soon";
    let (place, sandbox) = (Place::new(), sandbox(small(), live()).await);
    let relay = Relay::start(&sandbox, 2).await;
    let credential = put_certificate(&place, "first", 90 * DAY + HOUR);
    place.configure(&[
        QUICK,
        ADMIN,
        &tenant("contoso", &sandbox, &relay.url, &sandbox.client_id(), &credential),
        &place.file_sink("file"),
    ]);
    let daemon = Daemon::start(&place);
    wait_for("events", || 3 <= place.arrivals("file").len());
    wait_for_days(&daemon, 90).await;
    assert!(!daemon.log().contains(WARNING), "{}", daemon.log());
    put_certificate(&place, "second", 10 * DAY + HOUR);
    wait_for_days(&daemon, 10).await;
    let before = relay.asked().len();
    wait_for("more tokens", || before + 3 <= relay.asked().len());
    assert_eq!(daemon.log().matches(WARNING).count(), 1, "{}", daemon.log());
    put_certificate(&place, "third", 200 * DAY + HOUR);
    wait_for_days(&daemon, 200).await;
    let before = place.arrivals("file").len();
    wait_for("more events", || before + 3 <= place.arrivals("file").len());
    assert_eq!(daemon.stop("TERM"), 0);
    assert!(!place.text("daemon.log").contains("cannot read incidents"), "{}", place.text("daemon.log"));
}

/// A proxy that answers nothing and counts who comes.
async fn trap() -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let (url, count) =
        (format!("http://{}", listener.local_addr().expect("an address")), Arc::new(AtomicUsize::new(0)));
    let caught = Arc::clone(&count);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            caught.fetch_add(1, Ordering::Relaxed);
        }
    });
    (url, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_is_asked_past_every_proxy() {
    let (place, sandbox) = (Place::new(), still(1, unlimited()).await);
    let (relay, (proxy, caught)) = (Relay::start(&sandbox, 86_400).await, trap().await);
    let check = |client_id: &str, own: &[(&str, &str)]| {
        // Without a login_url, as everywhere: only the identity may decide that no proxy is used.
        let table = tenant("contoso", &sandbox, "", client_id, "kind = \"managed_identity\"");
        place.configure(&[QUICK, &table, &place.file_sink("file")]);
        let proxies = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"]
            .map(|name| (name, &*proxy));
        place.command_in(&["check"], &[&proxies, own].concat()).expect(0, &["by managed identity in", "1 row"]);
        relay.asked().last().cloned().expect("it was asked")
    };
    let resource = "resource=https%3A%2F%2Fapi.security.microsoft.com";
    let client_id = sandbox.client_id();
    let asked = check("", &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &relay.url)]);
    assert_eq!((&asked.method, asked.header("metadata")), (&Method::GET, "true"));
    assert_eq!(asked.target, format!("/metadata/identity/oauth2/token?api-version=2018-02-01&{resource}"));
    let asked = check(&client_id, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &relay.url)]);
    assert!(asked.target.ends_with(&format!("&client_id={client_id}")), "{asked:?}");
    let endpoint = format!("{}msi/token", relay.url);
    let asked = check("", &[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", "of-app-service")]);
    assert_eq!((asked.header("x-identity-header"), asked.header("metadata")), ("of-app-service", ""));
    assert_eq!(asked.target, format!("/msi/token?api-version=2019-08-01&{resource}"));
    assert_eq!((relay.asked().len(), caught.load(Ordering::Relaxed)), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_of_another_tenant_is_refused() {
    let (place, sandbox) = (Place::new(), still(1, unlimited()).await);
    let relay = Relay::start(&sandbox, 86_400).await;
    let of_other = tenant("contoso", &sandbox, "", "", "kind = \"managed_identity\"")
        .replace(sandbox.tenant_id(), "11111111-2222-3333-4444-555555555555");
    place.configure(&[QUICK, &of_other, &place.file_sink("file")]);
    let words = [&format!("is of tenant {}, not of 11111111-2222", sandbox.tenant_id()), "check tenant_id"];
    let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", relay.url.as_str())];
    place.command_in(&["run", "--once"], &environment).expect(77, &words);
    assert_eq!((place.arrivals("file").len(), sandbox.calls().arrived(Endpoint::List)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_identity_is_what_the_platform_says() {
    let (place, sandbox) = (Place::new(), still(3, unlimited()).await);
    let relay = Relay::start(&sandbox, 3600).await;
    let token = place.write("token", "first-token\n").display().to_string();
    let table = tenant("contoso", &sandbox, &relay.url, "", "kind = \"workload_identity\"");
    place.configure(&[QUICK, &table, &place.file_sink("file")]);
    let client_id = sandbox.client_id();
    let environment = [("AZURE_FEDERATED_TOKEN_FILE", token.as_str()), ("AZURE_CLIENT_ID", client_id.as_str())];
    place.command_in(&["check"], &environment).expect(0, &["by workload identity in", "3 rows"]);
    let asked = &relay.asked()[0];
    assert_eq!(asked.field("client_assertion").as_deref(), Some("first-token"));
    assert_eq!(asked.field("client_id"), Some(client_id.clone()));
    place.command(&["check"]).expect(78, &["AZURE_FEDERATED_TOKEN_FILE is not set", "contoso.client_id: missing"]);
    place.command_in(&["check"], &environment[..1]).expect(78, &["contoso.client_id: missing", "AZURE_CLIENT_ID"]);
}

/// A sandbox for each kind of credential but the secret, each behind its own relay.
struct Kinds {
    sandboxes: [Sandbox; 3],
    relays: [Relay; 3],
    tables: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Kinds {
    async fn start(place: &Place, platform_token: &str, life: u64) -> Self {
        let sandboxes = [another(11, 3).await, another(12, 3).await, another(13, 3).await];
        let relays = [
            Relay::start(&sandboxes[0], life).await,
            Relay::start(&sandboxes[1], life).await,
            Relay::start(&sandboxes[2], life).await,
        ];
        let certificate = put_certificate(place, "app", 90 * DAY);
        let token = private(place, "platform.token", platform_token);
        let workload = format!("kind = \"workload_identity\", token_file = \"{}\"", token.display());
        let id = |sandbox: &Sandbox| sandbox.client_id();
        let tables = vec![
            tenant("certificate", &sandboxes[0], &relays[0].url, &id(&sandboxes[0]), &certificate),
            tenant("workload", &sandboxes[1], &relays[1].url, &id(&sandboxes[1]), &workload),
            tenant("managed", &sandboxes[2], "", "", "kind = \"managed_identity\""),
        ];
        let environment = vec![
            ("IDENTITY_ENDPOINT", format!("{}msi/token", relays[2].url)),
            ("IDENTITY_HEADER", "canary-identity-header".to_owned()),
        ];
        Self { sandboxes, relays, tables, environment }
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

fn private(place: &Place, name: &str, text: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = place.write(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its own file");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refused_credential_makes_a_storm() {
    let (place, good) = (Place::new(), sandbox(small(), live()).await);
    let kinds = Kinds::start(&place, "token", 3600).await;
    let entra = |code: u64| {
        format!(r#"{{"error":"invalid_client","error_description":"AADSTS{code}: …","error_codes":[{code}]}}"#)
    };
    kinds.relays[0].refuse(401, &entra(700_027));
    kinds.relays[1].refuse(400, &entra(700_213));
    kinds.relays[2].refuse(400, r#"{"error":"invalid_request","error_description":"Identity not found"}"#);
    let (table, file) = (place.tenant("good", &good), place.file_sink("file"));
    let mut tables = vec![QUICK, &table, &file];
    tables.extend(kinds.tables.iter().map(String::as_str));
    place.configure(&tables);
    let mut daemon = Daemon::launch_in(&place, &kinds.environment());
    daemon.wait_until_it_runs();
    wait_for("twenty calls of the neighbour", || 20 <= good.calls().arrived(Endpoint::List));
    let status = place.command(&["status"]).out;
    for words in ["AADSTS700027", "AADSTS700213", "Identity not found"] {
        assert!(status.contains(words), "{words} is not in {status}");
    }
    for (relay, sandbox) in kinds.relays.iter().zip(&kinds.sandboxes) {
        let asked = relay.asked().len();
        // Pauses double from half of five seconds on; twenty calls of the neighbour take about twenty.
        assert!((1..=6).contains(&asked), "{asked} token requests");
        assert_eq!(sandbox.calls().arrived(Endpoint::List), 0, "nobody is asked without a token");
    }
    assert_eq!(daemon.stop("TERM"), 0);
}

/// No byte of these comes out, nor of what is made from them.
fn assert_silent(place: &str, bytes: &[u8]) {
    let key = key("one");
    let lines = key.lines().filter(|line| 40 < line.len()).map(|line| &line[..40]);
    // How assertions of ours and tokens of the sandbox begin: `{"alg":"PS256",` and `{"alg":"none",` in base64.
    let words = ["canary", "eyJhbGciOiJQUzI1NiIs", "eyJhbGciOiJub25lI"].into_iter().chain(lines);
    assert_without(words.filter(|word| !word.starts_with("A key")), place, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_of_any_credential_comes_out_at_the_most_talkative() {
    let place = Place::new();
    // Short-lived, so that the refusals below are met soon.
    let kinds = Kinds::start(&place, "canary.platform.token+/=", 2).await;
    let file = place.file_sink("file");
    let mut tables = vec![QUICK, TALKATIVE, &file];
    tables.extend(kinds.tables.iter().map(String::as_str));
    place.configure(&tables);
    let environment = kinds.environment();
    let mut said = Vec::new();
    let mut say = |arguments: &[&str]| said.push(place.command_in(arguments, &environment));
    for command in [&["check"][..], &["check", "--json"], &["config", "show"]] {
        say(command);
    }
    let mut daemon = Daemon::launch_in(&place, &environment);
    daemon.wait_until_it_runs();
    wait_for("every incident", || 9 <= place.arrivals("file").len());
    let echo = r#"{"error":"invalid_request","error_description":"you sent PROOF","PROOF":"PROOF"}"#;
    for relay in &kinds.relays {
        relay.refuse(400, echo);
    }
    wait_for("the refusals to be met", || place.command(&["status"]).out.matches("you sent").count() == 3);
    for command in [&["status"][..], &["status", "--json"], &["check"], &["check", "--json"]] {
        say(command);
    }
    for path in ["metrics", "status", "readyz"] {
        let answer = web().get(format!("{}/{path}", daemon.origin())).send().await.expect("an answer");
        assert_silent(path, answer.text().await.expect("a text").as_bytes());
    }
    assert_eq!(daemon.stop("TERM"), 0);
    assert!(said.iter().any(|outcome| outcome.code == 77), "a check met the refusals");
    let log = place.text("daemon.log");
    assert!(log.contains("TRACE"), "it did log everything");
    assert_silent("the log", log.as_bytes());
    for outcome in said {
        assert_silent("an output", outcome.out.as_bytes());
        assert_silent("an error", outcome.err.as_bytes());
    }
    assert_silent("the state directory", &place.state_bytes());
    assert_silent("the file", place.text("file.ndjson").as_bytes());
}
