//! Servers and a proxy that say again what they were told, wherever and however: none of it comes out, in no line of the log at the most
//! talkative, as text and as JSON, and in no error.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use tokio::net::TcpListener;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use url::Url;
use xdrelay::api;
use xdrelay::api::client::Client;
use xdrelay::identity::certificate::{Algorithm, Certificate};
use xdrelay::identity::token::Tokens;
use xdrelay::identity::{self, Credential};
use xdrelay::model::dialect::Dialect;
use xdrelay::model::names::IncidentId;
use xdrelay::model::page::{Alerts, Query, Window};
use xdrelay::model::timestamp::Timestamp;
use xdrelay::transport::http::{Options, client};
use xdrelay::transport::proxy;
use xdrelay::transport::secret::SecretSource;

/// What the far side says, and how it disguises what it was told.
#[derive(Debug, Clone, Copy)]
struct Plan {
    status: u16,
    disguise: usize,
    /// A bit for each of [`HEADERS`].
    headers: u16,
    body: usize,
    /// The sign-in does the same, instead of giving a token.
    refuses_to_sign_in: bool,
}

#[derive(Debug, Clone)]
struct Secrets {
    client: String,
    token: String,
    user: String,
    password: String,
}

const STATUS: [u16; 12] = [200, 206, 302, 400, 401, 403, 404, 407, 429, 500, 503, 418];
const HEADERS: [&str; 10] = [
    "www-authenticate",
    "proxy-authenticate",
    "request-id",
    "x-ms-request-id",
    "client-request-id",
    "content-type",
    "location",
    "warning",
    "retry-after",
    "content-encoding",
];
const BODIES: usize = 10;

type Disguise = fn(&str) -> String;

const DISGUISES: [Disguise; 8] = [
    str::to_owned,
    |text| text.bytes().map(|byte| format!("%{byte:02x}")).collect(),
    |text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
    |text| STANDARD.encode(text),
    |text| URL_SAFE_NO_PAD.encode(format!("x{text}")),
    |text| text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
    |text| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;"),
    |text| text.chars().take(120).collect(),
];

/// Everything that it was told, and what it is to say.
#[derive(Clone)]
struct Echo {
    plan: Plan,
    token: String,
    heard: Arc<Mutex<Vec<String>>>,
}

async fn answer(State(echo): State<Echo>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let told: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect();
    let told = format!("{} {}", told.join(" "), String::from_utf8_lossy(&body));
    echo.heard.lock().expect("no panic").push(told.clone());
    // Only what is said again of what was secret: the rest would stand in front of it.
    let secret =
        told.find("authorization: ").or_else(|| told.find("client_secret=")).or_else(|| told.find("client_assertion="));
    let said = DISGUISES[echo.plan.disguise](&told[secret.unwrap_or_default()..]);
    if uri.path().ends_with("/token") && !echo.plan.refuses_to_sign_in {
        let granted = serde_json::json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": echo.token });
        let id = HeaderValue::try_from(&echo.token).expect("visible characters");
        let mut response = Response::new(Body::from(granted.to_string()));
        response.headers_mut().insert("x-ms-request-id", id.clone());
        response.headers_mut().insert("client-request-id", id);
        return response;
    }
    let plan = echo.plan;
    let mut response = Response::new(Body::from(body_of(plan.body, &said)));
    *response.status_mut() = StatusCode::from_u16(plan.status).expect("a status");
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    for (at, name) in HEADERS.iter().enumerate().filter(|(at, _)| plan.headers & (1 << at) != 0) {
        let value = if at == 6 { format!("https://{said}/") } else { said.clone() };
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

/// The words are put in as they are: escapes of JSON are a disguise too.
fn body_of(kind: usize, said: &str) -> String {
    let quoted =
        if said.starts_with("\\u") { format!("\"{said}\"") } else { serde_json::to_string(said).expect("JSON") };
    match kind {
        0 => r#"{"value":[]}"#.to_owned(),
        1 => format!(r#"{{"error":{{"code":"Unauthorized","message":{quoted}}}}}"#),
        2 => format!(r#"{{"error":{{"code":{quoted},"message":"no","target":{quoted}}}}}"#),
        3 => format!(r#"{{"error":{{"message":"no","innerError":{{"request-id":{quoted}}}}}}}"#),
        4 => format!(r#"{{"error":"invalid_client","error_description":{quoted},"error_codes":[4242]}}"#),
        5 => format!(r#"{{"error":{quoted}}}"#),
        6 => format!("<html>{said}</html>"),
        7 => format!("[{quoted}]"),
        8 => format!(r#"{{"value":{quoted}}}"#),
        _ => said.to_owned(),
    }
}

async fn serve(echo: Echo) -> Url {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
    let app = Router::new().fallback(answer).with_state(echo);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// What was logged.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("a text")
    }
}

/// Runs something by itself and returns everything that our crate said meanwhile, as text and as JSON.
fn logged<T>(run: impl AsyncFnOnce() -> T) -> (T, [String; 2]) {
    let kept = [Kept::default(), Kept::default()];
    let [text, json] = kept.clone();
    let subscriber = tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || text.clone()))
        .with(tracing_subscriber::fmt::layer().json().with_writer(move || json.clone()))
        .with(Targets::new().with_target("xdrelay", tracing::Level::TRACE));
    let outcome = tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run())
    });
    (outcome, kept.map(|kept| kept.text()))
}

/// An error with everything that it is made of.
fn whole(error: &(dyn Error + 'static)) -> String {
    let mut text = format!("{error:?}");
    let mut next = Some(error);
    while let Some(error) = next {
        text.push_str(&format!("\n{error}\n{error:?}"));
        next = error.source();
    }
    text
}

/// A secret, and what it looks like where somebody has encoded it.
fn spellings(secret: &str) -> Vec<String> {
    let percent = |all: bool| -> String {
        let kept = |byte: u8| !all && (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        secret
            .bytes()
            .map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = serde_json::to_string(secret).expect("JSON").trim_matches('"').to_owned();
    let mut all = vec![
        secret.to_owned(),
        percent(true),
        percent(true).to_lowercase(),
        percent(false),
        form,
        json,
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
    ];
    // What does not depend on the byte in front of it.
    all.push(STANDARD_NO_PAD.encode(format!("x{secret}"))[2..].to_owned());
    all
}

fn assert_silent(secrets: &[&str], places: &[(&str, &str)]) -> Result<(), TestCaseError> {
    for secret in secrets.iter().flat_map(|secret| spellings(secret)) {
        for (place, text) in places {
            prop_assert!(!text.contains(&secret), "{secret:?} is in {place}: {text}");
        }
    }
    Ok(())
}

fn query() -> Query {
    Query {
        window: Window { from: Timestamp::from_seconds(1_700_000_000), to: None },
        created: None,
        skip: 0,
        top: 5,
        alerts: Alerts::Within,
    }
}

async fn ask(plan: Plan, secrets: &Secrets, dialect: Dialect, credential: Credential) -> Vec<String> {
    ask_heard(plan, secrets, dialect, credential, &Arc::default()).await
}

/// Signs in and asks everything that can be asked, through a proxy that wants a password. Returns what failed.
async fn ask_heard(
    plan: Plan,
    secrets: &Secrets,
    dialect: Dialect,
    credential: Credential,
    heard: &Arc<Mutex<Vec<String>>>,
) -> Vec<String> {
    let files = tempfile::tempdir().expect("a directory");
    let path = files.path().join("password");
    std::fs::write(&path, &secrets.password).expect("written");
    let proxy = serve(Echo { plan, token: secrets.token.clone(), heard: Arc::clone(heard) }).await;
    let settings = proxy::Settings {
        user: Some(secrets.user.clone()),
        password: Some(SecretSource::file(&path)),
        ..proxy::Settings::default()
    };
    let options = Options {
        proxy: Some(&proxy),
        proxy_settings: Some(&settings),
        timeout: Duration::from_secs(20),
        ..Options::default()
    };
    let http = client(&options).expect("a client");
    let identity = identity::Settings {
        tenant_id: "t".into(),
        client_id: Some("c".into()),
        login_url: "http://login.example.net".parse().expect("a URL"),
        audience: "https://api.example.net".into(),
        credential,
    };
    let tokens = Arc::new(Tokens::new(http.clone(), identity).by(options.way()));
    let settings = api::Settings {
        api_url: "http://api.example.net".parse().expect("a URL"),
        dialect,
        max_body_size: 100_000,
        max_incident_size: 1_000,
        request_timeout: Duration::from_secs(20),
    };
    let client = Client::new(http, Arc::clone(&tokens), settings).by(options.way());
    let mut said = vec![format!("{client:?} {tokens:?} {options:?}")];
    let id = IncidentId::new("7");
    let mut tell = |error: Option<&(dyn Error + 'static)>| said.extend(error.map(whole));
    tell(client.list(&query()).await.as_ref().err().map(|error| error as _));
    tell(client.get(&id).await.as_ref().err().map(|error| error as _));
    tell(client.get_without_alerts(&id).await.as_ref().err().map(|error| error as _));
    tell(client.alerts(&id, 0).await.as_ref().err().map(|error| error as _));
    tell(tokens.token().await.as_ref().err().map(|error| error as _));
    said
}

fn plans() -> impl Strategy<Value = Plan> {
    (0..STATUS.len(), 0..DISGUISES.len(), any::<u16>(), 0..BODIES, prop::bool::weighted(0.3)).prop_map(
        |(status, disguise, headers, body, refuses_to_sign_in)| Plan {
            status: STATUS[status],
            disguise,
            headers,
            body,
            refuses_to_sign_in,
        },
    )
}

fn secrets() -> impl Strategy<Value = Secrets> {
    ("[!-~]{16,48}", "[!-~]{24,300}", "[a-z]{2,12}", "[!-~][ -~]{14,40}[!-~]")
        .prop_map(|(client, token, user, password)| Secrets { client, token, user, password })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_far_side_says_again_never_comes_out(plan in plans(), secrets in secrets(), graph in any::<bool>()) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &secrets.client).expect("written");
        let credential = Credential::ClientSecret(SecretSource::file(file.path()));
        let dialect = if graph { Dialect::Graph } else { Dialect::Defender };
        let (said, [text, json]) = logged(async || ask(plan, &secrets, dialect, credential).await);
        prop_assert!(text.contains("asked for a token") && json.contains("asked for a token"), "{text}");
        prop_assert_eq!(plan.refuses_to_sign_in, !text.contains("asked the API"), "{}", text);
        let pair = format!("{}:{}", secrets.user, secrets.password);
        let all = [&secrets.client, &secrets.token, &secrets.password, &pair].map(String::as_str);
        let said = said.join("\n");
        assert_silent(&all, &[("the log", &text), ("the log as JSON", &json), ("an error", &said)])?;
    }

    /// What stands in the files of a certificate, where it is none.
    #[test]
    fn what_was_meant_to_be_a_key_never_comes_out(key in "[A-Za-z0-9+/]{64,400}", plan in plans(), secrets in secrets()) {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, text) in [
            ("a", format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n")),
            ("b", format!("-----BEGIN RSA PRIVATE KEY-----\n{key}")),
            ("c", format!("{}\n-----BEGIN CERTIFICATE-----\n{key}\n-----END CERTIFICATE-----\n", own_key())),
            ("d", key.clone()),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            let (said, [text, json]) = logged(async || ask(plan, &secrets, Dialect::Defender, certificate(path)).await);
            prop_assert!(said.len() > 1, "that is no certificate");
            let own = own_key();
            let lines: Vec<_> = own.lines().filter(|line| 40 < line.len()).chain([key.as_str()]).collect();
            assert_silent(&lines, &[("the log", &text), ("the log as JSON", &json), ("an error", &said.join("\n"))])?;
        }
    }

    #[test]
    fn an_assertion_never_comes_out(plan in plans(), secrets in secrets()) {
        let plan = Plan { refuses_to_sign_in: true, ..plan };
        let file = tempfile::NamedTempFile::new().expect("a file");
        let key = rcgen::KeyPair::from_pem(&own_key()).expect("a key");
        let own = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
        std::fs::write(file.path(), format!("{}{}", own_key(), own.pem())).expect("written");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (said, [text, json]) = logged(async || {
            ask_heard(plan, &secrets, Dialect::Graph, certificate(file.path().into()), &heard).await
        });
        let heard = heard.lock().expect("no panic").clone();
        let form = heard.iter().find(|told| told.contains("client_assertion=")).expect("it signs in");
        let (_, assertion) = form.rsplit_once("client_assertion=").expect("just seen");
        let assertion = assertion.split('&').next().expect("one part");
        assert_silent(&[assertion], &[("the log", &text), ("the log as JSON", &json), ("an error", &said.join("\n"))])?;
        // The signature is what makes it one.
        let (_, signature) = assertion.rsplit_once('.').expect("three parts");
        prop_assert!(!text.contains(&signature[..20]) && !said.join("\n").contains(&signature[..20]), "{text}");
    }
}

/// A key for tests only.
fn own_key() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/identity/keys/one.pem");
    std::fs::read_to_string(path).expect("a key of ours")
}

fn certificate(path: std::path::PathBuf) -> Credential {
    Credential::Certificate(Certificate { certificate: path, private_key: None, algorithm: Algorithm::default() })
}
