//! A fake of Azure Monitor's Logs Ingestion API, our own, written from its documents: there is none that anybody could install.
//! It takes what a rule declares, drops and cuts off what Azure would, and is no proof of what Azure does beyond its documents.

use std::collections::{BTreeSet, VecDeque};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use xdrelay::model::timestamp::Timestamp;

/// Bytes of one call at most, compressed and not.
pub(crate) const CALL_SIZE_MAX: usize = 1 << 20;
/// Bytes of one value at most; what is longer is cut off without a word.
pub(crate) const VALUE_SIZE_MAX: usize = 64 << 10;
/// What tokens must be for.
pub(crate) const AUDIENCE: &str = "https://monitor.azure.com";
/// The immutable id of the one rule.
pub(crate) const DCR: &str = "dcr-00112233445566778899aabbccddeeff";

/// The API, with one rule. It ends with the test's runtime.
pub(crate) struct LogsIngestion {
    pub(crate) origin: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// Names and types that the rule declares, and the stream that it declares them for.
    columns: Vec<(String, String)>,
    stream: String,
    state: Mutex<Seen>,
}

/// What happened so far.
#[derive(Default)]
struct Seen {
    /// What the table would hold.
    rows: Vec<Map<String, Value>>,
    /// Rows of each call that was taken.
    calls: Vec<usize>,
    /// Tokens of all calls, taken or not.
    tokens: Vec<String>,
    /// Tokens that do not count any more.
    revoked: BTreeSet<String>,
    /// Columns that came and are not declared.
    dropped: BTreeSet<String>,
    answers: VecDeque<Response>,
}

impl LogsIngestion {
    /// Listens, with the rule that is in a document about one.
    pub(crate) async fn start(rule: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let streams = rule["properties"]["streamDeclarations"].as_object().expect("streams");
        let (stream, declared) = streams.iter().next().expect("a stream");
        let shared = Shared { columns: columns(declared), stream: stream.clone(), state: Mutex::default() };
        let shared = Arc::new(shared);
        let router = Router::new().fallback(take).layer(DefaultBodyLimit::disable()).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { origin, shared }
    }

    /// The answer to the next call that has none yet, whatever is in it.
    pub(crate) fn answer(&self, status: u16, headers: &[(&'static str, &'static str)], body: &str) {
        let mut response = (StatusCode::from_u16(status).expect("a status"), body.to_owned()).into_response();
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        self.shared.seen().answers.push_back(response);
    }

    /// The rows since the last time.
    pub(crate) fn rows(&self) -> Vec<Map<String, Value>> {
        std::mem::take(&mut self.shared.seen().rows)
    }

    /// How many rows each call had that was taken since the last time.
    pub(crate) fn calls(&self) -> Vec<usize> {
        std::mem::take(&mut self.shared.seen().calls)
    }

    /// The token of each call since the last time.
    pub(crate) fn tokens(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.seen().tokens)
    }

    /// From now on this token is answered 401.
    pub(crate) fn revoke(&self, token: &str) {
        self.shared.seen().revoked.insert(token.to_owned());
    }

    /// The columns that were dropped because the rule does not declare them.
    pub(crate) fn dropped(&self) -> BTreeSet<String> {
        self.shared.seen().dropped.clone()
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.state.lock().expect("not poisoned")
    }
}

/// Names and types below `columns`.
pub(crate) fn columns(declared: &Value) -> Vec<(String, String)> {
    let text = |column: &Value, key: &str| column[key].as_str().expect("a text").to_owned();
    let columns = declared["columns"].as_array().expect("columns");
    columns.iter().map(|column| (text(column, "name"), text(column, "type"))).collect()
}

async fn take(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let bearer = header(&headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    let mut seen = shared.seen();
    seen.tokens.extend(bearer.map(str::to_owned));
    if let Some(answer) = seen.answers.pop_front() {
        return answer;
    }
    let path = format!("/dataCollectionRules/{DCR}/streams/{}", shared.stream);
    if method != Method::POST || uri.path() != path {
        return error(404, "NotFound", "Data collection rule or stream not found.");
    }
    if uri.query() != Some("api-version=2023-01-01") {
        return error(400, "UnsupportedApiVersion", "The api-version is not supported.");
    }
    if bearer.is_none_or(|token| seen.revoked.contains(token) || !is_for_us(token)) {
        return error(401, "InvalidToken", "The authentication token is not valid.");
    }
    let text = match unpacked(&headers, &body) {
        Ok(text) => text,
        Err((status, code, message)) => return error(status, code, &message),
    };
    // The real one answers 204 to an object and keeps nothing of it.
    let Ok(rows) = serde_json::from_str::<Vec<Map<String, Value>>>(&text) else {
        return error(400, "InvalidPayload", "The body is no JSON array of objects.");
    };
    seen.calls.push(rows.len());
    for row in rows {
        let row = row_of_table(row, &shared.columns, &mut seen.dropped);
        seen.rows.push(row);
    }
    StatusCode::NO_CONTENT.into_response()
}

fn error(status: u16, code: &str, message: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": message } });
    (StatusCode::from_u16(status).expect("a status"), body.to_string()).into_response()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the payload of a JWT says so; nobody signed it.
fn is_for_us(token: &str) -> bool {
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Value> = payload.and_then(|json| serde_json::from_slice(&json).ok());
    claims.is_some_and(|claims| claims["aud"] == AUDIENCE)
}

/// The body as text; otherwise status, code and message of the answer.
fn unpacked(headers: &HeaderMap, body: &[u8]) -> Result<String, (u16, &'static str, String)> {
    if header(headers, "content-type") != Some("application/json") {
        return Err((415, "UnsupportedMediaType", "The body is no application/json.".into()));
    }
    let mut text = String::new();
    let read = match header(headers, "content-encoding") {
        Some("gzip") => GzDecoder::new(body).read_to_string(&mut text),
        Some(_) => return Err((415, "UnsupportedMediaType", "The encoding is unknown.".into())),
        None => (&body[..]).read_to_string(&mut text),
    };
    if CALL_SIZE_MAX < body.len().max(text.len()) {
        let message = format!("Maximum allowed content length: 1048576 bytes (1 MB). Provided: {} bytes.", text.len());
        return Err((413, "ContentLengthLimitExceeded", message));
    }
    read.map(|_| text).map_err(|_| (400, "InvalidContentEncoding", "The body is not what it says.".into()))
}

/// What of a row comes into a table: declared columns of the declared types, no longer than a value may be.
fn row_of_table(
    row: Map<String, Value>,
    columns: &[(String, String)],
    dropped: &mut BTreeSet<String>,
) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in row {
        match columns.iter().find(|(declared, _)| *declared == name) {
            Some((_, kind)) => {
                kept.insert(name, converted(value, kind));
            }
            None => {
                dropped.insert(name);
            }
        }
    }
    kept
}

/// The value as a column of this type holds it; null where it is none.
fn converted(value: Value, kind: &str) -> Value {
    let is_time = |text: &str| text.parse::<Timestamp>().is_ok();
    match (kind, value) {
        ("string", Value::String(text)) => Value::String(cut(text)),
        ("long", Value::Number(number)) if number.is_i64() || number.is_u64() => Value::Number(number),
        ("datetime", Value::String(text)) if is_time(&text) => Value::String(text),
        // A dynamic value that was cut is a text and no JSON any more.
        ("dynamic", value) if VALUE_SIZE_MAX < value.to_string().len() => Value::String(cut(value.to_string())),
        ("dynamic", value) => value,
        ("string" | "long" | "datetime", _) => Value::Null,
        (other, _) => panic!("the fake knows no type {other}"),
    }
}

fn cut(mut text: String) -> String {
    let end = (0..=VALUE_SIZE_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.expect("0 is a boundary"));
    text
}
