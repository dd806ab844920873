//! Servers that say what a test tells them to: one that speaks HTTP, and one that sends bytes as they are. They write down what
//! they were asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;
use xdrelay::api;
use xdrelay::api::client::Client;
use xdrelay::identity::token::Tokens;
use xdrelay::identity::{self, Credential};
use xdrelay::model::dialect::Dialect;
use xdrelay::transport::http::{Options, client};
use xdrelay::transport::secret::SecretSource;

/// The secret of the app registration in every test: it must never be seen again but in a token request.
pub(crate) const SECRET: &str = "canary-secret~Value.1";

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A JSON answer with a `Date`.
pub(crate) fn json(status: u16, body: impl Into<Vec<u8>>) -> Scripted {
    Scripted { status, headers: Vec::new(), body: body.into() }
        .with("content-type", "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8")
        .with("date", "Sat, 21 Nov 2026 10:00:00 GMT")
}

impl Scripted {
    /// With a header set, or taken away where the value is empty.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// With another header of this name.
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn response(self) -> Response<Body> {
        let mut response = Response::builder().status(StatusCode::from_u16(self.status).expect("a status"));
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Body::from(self.body)).expect("a response")
    }
}

/// What the server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Asked {
    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A server with answers to give in turn; the last one for ever.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) url: Url,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Scripted>,
    asked: Vec<Asked>,
}

impl Server {
    /// Starts on a free port of loopback.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Scripted>) -> Self {
        let script = Arc::new(Mutex::new(Script { answers: answers.into_iter().collect(), asked: Vec::new() }));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = url_of(listener.local_addr().expect("an address"));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, script }
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.lock().expect("no panic").asked.clone()
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mut script = script.lock().expect("no panic");
    script.asked.push(Asked {
        method,
        uri: uri.to_string(),
        headers,
        body: String::from_utf8(body.to_vec()).expect("a text"),
    });
    let next = match script.answers.len() {
        1 => script.answers.front().cloned(),
        _ => script.answers.pop_front(),
    };
    next.expect("an answer in the script").response()
}

/// A server that reads one request and sends these bytes as they are, then closes.
pub(crate) async fn raw_server(bytes: Vec<u8>) -> Url {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = url_of(listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok_and(|count| 0 < count) {}
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
    });
    url
}

/// A server that accepts and never answers.
pub(crate) async fn silent_server() -> Url {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = url_of(listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    url
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> Url {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    url_of(listener.local_addr().expect("an address"))
}

fn url_of(address: SocketAddr) -> Url {
    format!("http://{address}").parse().expect("a URL")
}

/// A token that is a JWT with these roles. Nobody verifies its signature.
pub(crate) fn jwt(roles: &[&str], serial: u32) -> String {
    use base64::Engine;
    let payload = serde_json::json!({ "roles": roles, "tid": "t", "serial": serial }).to_string();
    format!("e30.{}.canarysignature", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload))
}

/// The same for this audience.
pub(crate) fn jwt_for(roles: &[&str], audience: &str, serial: u32) -> String {
    use base64::Engine;
    let payload = serde_json::json!({ "roles": roles, "tid": "t", "aud": audience, "serial": serial }).to_string();
    format!("e30.{}.canarysignature", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload))
}

/// The sign-in's answer with a token.
pub(crate) fn granted(token: &str, expires_in: u64) -> Scripted {
    json(200, format!(r#"{{"token_type":"Bearer","expires_in":{expires_in},"access_token":"{token}"}}"#))
}

/// A sign-in with these answers, and what asks it; the secret is in a file.
pub(crate) struct SignIn {
    pub(crate) server: Server,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) secret: tempfile::NamedTempFile,
}

impl SignIn {
    /// Starts.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Scripted>) -> Self {
        let server = Server::start(answers).await;
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), SECRET).expect("written");
        let tokens = Arc::new(Tokens::new(http(), settings(&server.url, &secret)));
        Self { server, tokens, secret }
    }
}

/// How the tests sign in.
pub(crate) fn settings(login_url: &Url, secret: &tempfile::NamedTempFile) -> identity::Settings {
    identity::Settings {
        tenant_id: "tenant/1".into(),
        client_id: Some("client&1".into()),
        login_url: login_url.clone(),
        audience: "https://api.example.net".into(),
        credential: Credential::ClientSecret(SecretSource::file(secret.path())),
    }
}

/// The client that the daemon uses; one for each test, because it belongs to the test's runtime and reads every root
/// certificate of the system.
pub(crate) fn http() -> reqwest::Client {
    thread_local! {
        static CLIENT: reqwest::Client =
            client(&Options { timeout: Duration::from_secs(20), loopback: true, ..Options::default() }).expect("a client");
    }
    CLIENT.with(Clone::clone)
}

/// A client of the API there, with this sign-in.
pub(crate) fn client_of(api_url: &Url, sign_in: &SignIn, change: impl FnOnce(&mut api::Settings)) -> Client {
    let mut settings = api::Settings {
        api_url: api_url.clone(),
        dialect: Dialect::Defender,
        max_body_size: 100_000,
        max_incident_size: 1_000,
        request_timeout: Duration::from_secs(20),
    };
    change(&mut settings);
    Client::new(http(), Arc::clone(&sign_in.tokens), settings)
}

/// A sign-in that gives out tokens with the right role, each another one.
pub(crate) async fn good_sign_in() -> SignIn {
    SignIn::start((1..100).map(|serial| granted(&jwt(&["Incident.Read.All"], serial), 3600))).await
}
