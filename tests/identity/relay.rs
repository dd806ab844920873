//! A sign-in in front of a sandbox, and the identity endpoints of a host beside it: takes any credential, writes down what it
//! was asked, and passes on tokens that the sandbox takes. Whether credentials are right is judged elsewhere, see `exchange.rs`.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as With;
use axum::http::{HeaderMap, Method, Response, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::web;

/// A request for a token.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Asked {
    /// A field of its form.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let mut fields = url::form_urlencoded::parse(self.body.as_bytes());
        fields.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// What it was proven with: as it is, and as it stood in the form.
    fn proof(&self) -> String {
        match self.body.split_once("client_assertion=") {
            Some((_, encoded)) => format!("{encoded} {}", self.field("client_assertion").unwrap_or_default()),
            None => self.header("x-identity-header").to_owned(),
        }
    }

    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The relay. It ends with the test's runtime.
pub(crate) struct Relay {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    asked: Vec<Asked>,
    /// Seconds that tokens are said to live.
    life: u64,
    /// Status and body of every answer, where no token is to be had. `PROOF` in it is what the request was proven with.
    refusal: Option<(u16, String)>,
    /// Where tokens come from, and the form that gets one.
    source: (String, Vec<(&'static str, String)>),
}

impl Relay {
    /// In front of a sandbox, on a free port of loopback; tokens are said to live so many seconds.
    pub(crate) async fn start(sandbox: &Sandbox, life: u64) -> Self {
        let form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", sandbox.client_id()),
            ("client_secret", sandbox.secret()),
            ("scope", "https://api.security.microsoft.com/.default".to_owned()),
        ];
        let source = (format!("{}{}/oauth2/v2.0/token", sandbox.url(), sandbox.tenant_id()), form);
        let state = Arc::new(Mutex::new(State { asked: Vec::new(), life, refusal: None, source }));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, state }
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// From now on nobody gets a token.
    pub(crate) fn refuse(&self, status: u16, body: &str) {
        self.state().refusal = Some((status, body.to_owned()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

async fn answer(
    With(state): With<Arc<Mutex<State>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let body = String::from_utf8(body.to_vec()).expect("a form");
    let ((url, form), life, refusal, is_of_host) = {
        let mut state = state.lock().expect("no panic");
        let is_of_host = method == Method::GET;
        let asked = Asked { method, target: uri.to_string(), headers, body };
        let proof = quoted(&asked.proof());
        let refusal = state.refusal.clone().map(|(status, text)| (status, text.replace("PROOF", &proof)));
        state.asked.push(asked);
        (state.source.clone(), state.life, refusal, is_of_host)
    };
    if let Some((status, text)) = refusal {
        return json(status, text);
    }
    let answer = web().post(url).form(&form).send().await.expect("the sandbox answers");
    let mut token: Value = serde_json::from_slice(&answer.bytes().await.expect("whole")).expect("JSON");
    // A host's endpoint says numbers as texts.
    token["expires_in"] = if is_of_host { life.to_string().into() } else { life.into() };
    json(200, token.to_string())
}

/// As it stands inside a JSON text.
fn quoted(text: &str) -> String {
    let text = Value::from(text).to_string();
    text[1..text.len() - 1].to_owned()
}

fn json(status: u16, body: String) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body)).expect("a response")
}
