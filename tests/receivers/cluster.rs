//! A stand-in for Elasticsearch and OpenSearch, neither of which is in any package that installs here: it was written from
//! the documents of the Bulk API (actions, versions, data streams, the failure store, errors of items), not from theirs.
//! It proves that we follow the documents as we read them, and no more. A test takes this file in by
//! `#[path = "receivers/cluster.rs"] mod cluster;`. No test is in here.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The cluster. It ends with the test's runtime.
pub(crate) struct Cluster {
    origin: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    documents: BTreeMap<String, Document>,
    requests: Vec<Request>,
    answers: VecDeque<Response>,
    /// By `_id`: how often yet, what its item says, and whether the document is taken all the same.
    items: BTreeMap<String, (usize, Value, bool)>,
    size_max: Option<usize>,
}

/// A document, by `INDEX/ID`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    pub(crate) version: u64,
    pub(crate) source: Value,
    /// How often it was written.
    pub(crate) writes: usize,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// Without its compression.
    pub(crate) text: String,
    /// The `_id`s, in order.
    pub(crate) ids: Vec<String>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Mutex::new(Shared::default()));
        let router = Router::new().fallback(take).layer(DefaultBodyLimit::disable()).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { origin, shared }
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The answer to the next request that has none yet, whatever is in it.
    pub(crate) fn answer(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        let status = StatusCode::from_u16(status).expect("a status");
        let mut response = (status, body.to_owned()).into_response();
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).expect("a name");
            response.headers_mut().insert(name, HeaderValue::try_from(*value).expect("a value"));
        }
        self.shared().answers.push_back(response);
    }

    /// What the item of this document says the next so many times, instead of taking it.
    pub(crate) fn item(&self, id: &str, times: usize, item: Value) {
        self.shared().items.insert(id.to_owned(), (times, item, false));
    }

    /// What the item of this document says once, though it is taken.
    pub(crate) fn item_of_taken(&self, id: &str, item: Value) {
        self.shared().items.insert(id.to_owned(), (1, item, true));
    }

    /// Bytes of a request that it takes, without its compression.
    pub(crate) fn limit(&self, size_max: usize) {
        self.shared().size_max = Some(size_max);
    }

    /// The documents by `INDEX/ID`.
    pub(crate) fn documents(&self) -> BTreeMap<String, Document> {
        self.shared().documents.clone()
    }

    /// The requests since the last time.
    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared().requests)
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("not poisoned")
    }
}

async fn take(
    State(shared): State<Arc<Mutex<Shared>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut shared = shared.lock().expect("not poisoned");
    let mut text = String::new();
    match headers.get("content-encoding").map(HeaderValue::as_bytes) {
        Some(b"gzip") => GzDecoder::new(&body[..]).read_to_string(&mut text).expect("gzip"),
        Some(other) => panic!("{other:?}"),
        None => (&body[..]).read_to_string(&mut text).expect("UTF-8"),
    };
    let lines: Vec<&str> = text.lines().collect();
    let ids = lines.iter().step_by(2).map(|line| action(line).2).collect();
    shared.requests.push(Request { method, path: uri.to_string(), headers: headers.clone(), text: text.clone(), ids });
    if let Some(answer) = shared.answers.pop_front() {
        return answer;
    }
    if shared.size_max.is_some_and(|size_max| size_max < text.len()) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    if headers.get("content-type").map(HeaderValue::as_bytes) != Some(b"application/x-ndjson") {
        return error(406, "media_type_header_exception", "Content-Type is not supported");
    }
    if !text.ends_with('\n') {
        return error(400, "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]");
    }
    let items: Vec<Value> = lines.chunks(2).map(|pair| shared.write(pair)).collect();
    let errors = items
        .iter()
        .any(|item| item.as_object().is_some_and(|item| item.values().any(|item| item["error"].is_object())));
    Json(json!({ "took": 3, "errors": errors, "items": items })).into_response()
}

/// The verb, the index, the `_id` and the version.
fn action(line: &str) -> (String, String, String, Option<u64>) {
    let action: BTreeMap<String, Value> = serde_json::from_str(line).expect("an action");
    let (verb, meta) = action.into_iter().next().expect("a verb");
    let text = |name: &str| meta[name].as_str().expect("a text").to_owned();
    let version = meta["version"].as_u64();
    assert_eq!(version.is_some(), meta["version_type"] == "external_gte", "{line}");
    (verb, text("_index"), text("_id"), version)
}

impl Shared {
    /// One action with its document, and the item for it.
    fn write(&mut self, pair: &[&str]) -> Value {
        let (verb, index, id, version) = action(pair[0]);
        assert!(id.len() <= 512, "{id}");
        let told = self.items.get_mut(&id).filter(|(times, ..)| *times != 0).map(|(times, item, is_taken)| {
            *times -= 1;
            (item.clone(), *is_taken)
        });
        let item = match told {
            Some((item, false)) => item,
            Some((item, true)) => {
                self.take(&verb, &index, &id, version, pair[1]);
                item
            }
            None => self.take(&verb, &index, &id, version, pair[1]),
        };
        json!({ verb: item })
    }

    fn take(&mut self, verb: &str, index: &str, id: &str, version: Option<u64>, source: &str) -> Value {
        let source: Value = serde_json::from_str(source).expect("a document");
        let is_stream = index.starts_with("logs-");
        if is_stream && verb != "create" {
            let why = "only write ops with an op_type of create are allowed in data streams";
            return failed(400, "illegal_argument_exception", why);
        }
        if is_stream && !source["@timestamp"].is_string() {
            return failed(400, "document_parsing_exception", "data stream timestamp field [@timestamp] is missing");
        }
        let conflict = |why: String| failed(409, "version_conflict_engine_exception", &format!("[{id}]: {why}"));
        let key = format!("{index}/{id}");
        let known = self.documents.get(&key).cloned();
        if let (Some(known), "create") = (&known, verb) {
            let why = format!("version conflict, document already exists (current version [{}])", known.version);
            return conflict(why);
        }
        if let (Some(known), Some(version)) = (&known, version)
            && version < known.version
        {
            let why = format!("version conflict, current version [{}] is higher than [{version}]", known.version);
            return conflict(why);
        }
        let writes = known.as_ref().map_or(0, |known| known.writes) + 1;
        let version = version.unwrap_or(1);
        self.documents.insert(key, Document { version, source, writes });
        let (status, result) = if known.is_some() { (200, "updated") } else { (201, "created") };
        json!({ "_index": index, "_id": id, "_version": version, "result": result, "status": status })
    }
}

/// An item of a document that was not taken.
pub(crate) fn failed(status: u16, kind: &str, reason: &str) -> Value {
    json!({ "status": status, "error": { "type": kind, "reason": reason, "index_uuid": "aAsFqTI0Tc2W0LCWgPNrOA", "shard": "0" } })
}

/// An answer that is one error altogether.
pub(crate) fn error_body(status: u16, kind: &str, reason: &str) -> String {
    let cause = json!({ "type": kind, "reason": reason });
    json!({ "error": { "root_cause": [cause], "type": kind, "reason": reason }, "status": status }).to_string()
}

fn error(status: u16, kind: &str, reason: &str) -> Response {
    (StatusCode::from_u16(status).expect("a status"), error_body(status, kind, reason)).into_response()
}
