//! A fake of HTTP Event Collector, ours and written from Splunk's documents: Splunk itself runs nowhere in these tests. It shows
//! what the real receiver at hand (Tenzir) does not: reply codes on demand, the number of an invalid event, acknowledgement
//! that comes late, once, or never, and a restart. What it proves is that we follow the documents. No test is in here.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The token it knows.
pub(crate) const TOKEN: &str = "b0221cd8-c4b4-465a-9a3c-273e3a75aa29";

/// The server. It ends with the test's runtime.
pub(crate) struct Hec {
    pub(crate) origin: String,
    inside: Arc<Mutex<Inside>>,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) channel: String,
    pub(crate) headers: HeaderMap,
    /// Without its compression.
    pub(crate) body: String,
}

#[derive(Default)]
struct Inside {
    /// `useACK` of the token.
    with_acks: bool,
    /// Requests are indexed as soon as they are taken.
    is_quick: bool,
    /// Numbers of the requests of each channel, and whether they are indexed. What was told is forgotten.
    channels: BTreeMap<String, BTreeMap<u64, bool>>,
    next: BTreeMap<String, u64>,
    events: Vec<Value>,
    requests: Vec<Request>,
    /// Questions up to now, and requests that were left without an answer.
    questions: usize,
    unanswered: usize,
    /// What to do with the next requests that bring events, and with the next questions.
    events_script: VecDeque<Script>,
    acks_script: VecDeque<Script>,
    poison: Vec<String>,
}

/// What to do with one request.
enum Script {
    Say(Response),
    /// Take the events and never say so: the connection ends.
    Die,
    /// Nothing unusual.
    Take,
    /// Never answer.
    Hang,
}

impl Hec {
    /// One whose token has indexer acknowledgement, or not.
    pub(crate) async fn start(with_acks: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let inside = Arc::new(Mutex::new(Inside { with_acks, ..Inside::default() }));
        let router = Router::new().fallback(answer).with_state(inside.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { origin, inside }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("not poisoned")
    }

    /// The answer to the next request with events that has none yet.
    pub(crate) fn say(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        self.inside().events_script.push_back(Script::Say(said(status, headers, body)));
    }

    /// The answer to the next question for acknowledgements.
    pub(crate) fn say_to_question(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        self.inside().acks_script.push_back(Script::Say(said(status, headers, body)));
    }

    /// Takes the next request as usual, before whatever else is said.
    pub(crate) fn take_next(&self) {
        self.inside().events_script.push_back(Script::Take);
    }

    /// Takes the events of the next request and ends the connection instead of an answer.
    pub(crate) fn die_next(&self) {
        self.inside().events_script.push_back(Script::Die);
    }

    /// Leaves the next request without an answer.
    pub(crate) fn hang_next(&self) {
        self.inside().events_script.push_back(Script::Hang);
    }

    /// Events with this `event_id` are invalid from now on.
    pub(crate) fn poison(&self, event_id: &str) {
        self.inside().poison.push(event_id.into());
    }

    /// From now on requests are indexed at once.
    pub(crate) fn be_quick(&self) {
        self.inside().is_quick = true;
        self.index(|_| true);
    }

    /// Indexes what was taken, of each channel the requests of these numbers.
    pub(crate) fn index(&self, which: impl Fn(u64) -> bool) {
        for (number, is_indexed) in self.inside().channels.values_mut().flatten() {
            *is_indexed |= which(*number);
        }
    }

    /// Forgets every number and begins with 0 again.
    pub(crate) fn restart(&self) {
        let mut inside = self.inside();
        (inside.channels, inside.next) = (BTreeMap::new(), BTreeMap::new());
    }

    /// The requests since the last time.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.inside().requests)
    }

    /// How many questions for acknowledgements came.
    pub(crate) fn questions(&self) -> usize {
        self.inside().questions
    }

    /// How many requests were left without an answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.inside().unanswered
    }

    /// The numbers of the events of the requests since the last time, questions left out.
    pub(crate) fn batches(&self) -> Vec<Vec<u64>> {
        let with_events = self.requests().into_iter().filter(|request| !request.path.ends_with("/ack"));
        with_events.map(|request| numbers(&events(&request.body).expect("our own JSON"))).collect()
    }

    /// The `event_id` of all events that were taken, in their order.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.inside().events.iter().map(|event| event["fields"]["event_id"].to_string()).collect()
    }

    /// The numbers of all events that were taken, in their order.
    pub(crate) fn taken(&self) -> Vec<u64> {
        numbers(&self.inside().events)
    }
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["event"]["sequence"].as_u64().expect("a number")).collect()
}

fn said(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let mut response = (StatusCode::from_u16(status).expect("a status"), body.to_owned()).into_response();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).expect("a name");
        response.headers_mut().insert(name, HeaderValue::try_from(*value).expect("a value"));
    }
    response
}

fn code(status: u16, code: u16, text: &str) -> Response {
    said(status, &[], &json!({ "text": text, "code": code }).to_string())
}

/// Objects one after the other, with or without white space between them.
fn events(body: &str) -> Result<Vec<Value>, usize> {
    let mut events = Vec::new();
    for event in serde_json::Deserializer::from_str(body).into_iter() {
        events.push(event.map_err(|_| events.len())?);
    }
    Ok(events)
}

async fn answer(State(inside): State<Arc<Mutex<Inside>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let script = {
        let mut inside = inside.lock().expect("not poisoned");
        let text = |name: &str| headers.get(name).map(|value| value.to_str().expect("text").to_owned());
        let (path, channel) = (uri.to_string(), text("x-splunk-request-channel").unwrap_or_default());
        let request = Request { path, channel, body: plain(&headers, &body), headers };
        inside.requests.push(request.clone());
        let script = if request.path.ends_with("/ack") {
            inside.questions += 1;
            inside.acks_script.pop_front()
        } else {
            inside.events_script.pop_front()
        };
        match script {
            None | Some(Script::Take) => Script::Say(inside.hear(&request)),
            Some(Script::Die) => {
                let _ = inside.hear(&request);
                Script::Die
            }
            Some(Script::Hang) => {
                inside.unanswered += 1;
                Script::Hang
            }
            Some(script @ Script::Say(_)) => script,
        }
    };
    match script {
        Script::Say(response) => response,
        // The connection's task ends, and with it the connection; nothing is printed.
        Script::Die | Script::Take => std::panic::resume_unwind(Box::new(())),
        Script::Hang => std::future::pending().await,
    }
}

fn plain(headers: &HeaderMap, body: &[u8]) -> String {
    let mut text = String::new();
    match headers.get("content-encoding") {
        Some(_) => GzDecoder::new(body).read_to_string(&mut text).expect("gzip"),
        None => { body }.read_to_string(&mut text).expect("UTF-8"),
    };
    text
}

impl Inside {
    /// As the documents say: REST API Reference, Input endpoints, `services/collector`.
    fn hear(&mut self, request: &Request) -> Response {
        // The one endpoint that asks for no token, so that load balancers can use it.
        if request.path == "/services/collector/health" {
            return code(200, 17, "HEC is healthy");
        }
        let authorization = request.headers.get("authorization").map(|value| value.to_str().expect("text"));
        match authorization.and_then(|value| value.strip_prefix("Splunk ")) {
            None => return code(401, 2, "Token is required"),
            Some(TOKEN) => {}
            Some(_) => return code(403, 4, "Invalid token"),
        }
        if self.with_acks && request.channel.is_empty() {
            return code(400, 10, "Data channel is missing");
        }
        match request.path.as_str() {
            "/services/collector/event" => self.take(request),
            "/services/collector/ack" if self.with_acks => self.acks(request),
            "/services/collector/ack" => code(400, 14, "ACK is disabled"),
            _ => said(404, &[], "{\"text\":\"The requested URL was not found on this server.\",\"code\":404}"),
        }
    }

    /// What stands before an invalid event may be indexed all the same.
    fn take(&mut self, request: &Request) -> Response {
        let events = match events(&request.body) {
            Ok(events) if events.is_empty() => return code(400, 5, "No data"),
            Ok(events) => events,
            Err(number) => return invalid(6, "Invalid data format", number),
        };
        for (number, event) in events.into_iter().enumerate() {
            let is_flat =
                |fields: &Value| fields.as_object().is_some_and(|fields| fields.values().all(Value::is_string));
            let is_poison = |id: &String| event["fields"]["event_id"] == id.as_str();
            let is_blank = event["event"].as_str().is_some_and(str::is_empty);
            if self.poison.iter().any(is_poison) {
                return invalid(6, "Invalid data format", number);
            } else if event["event"].is_null() {
                return invalid(12, "Event field is required", number);
            } else if is_blank {
                return invalid(13, "Event field cannot be blank", number);
            } else if !is_flat(&event["fields"]) {
                return invalid(15, "Error in handling indexed fields", number);
            }
            self.events.push(event);
        }
        if !self.with_acks {
            return code(200, 0, "Success");
        }
        let next = self.next.entry(request.channel.clone()).or_default();
        self.channels.entry(request.channel.clone()).or_default().insert(*next, self.is_quick);
        *next += 1;
        said(200, &[], &json!({ "text": "Success", "code": 0, "ackId": *next - 1 }).to_string())
    }

    /// True is said once.
    fn acks(&mut self, request: &Request) -> Response {
        let question: Value = serde_json::from_str(&request.body).expect("a question");
        let numbers = self.channels.entry(request.channel.clone()).or_default();
        let asked = question["acks"].as_array().expect("numbers").iter();
        let answers = asked.map(|number| number.as_u64().expect("a number")).map(|number| {
            let is_indexed = numbers.get(&number).copied().unwrap_or_default();
            if is_indexed {
                numbers.remove(&number);
            }
            (number.to_string(), is_indexed)
        });
        said(200, &[], &json!({ "acks": answers.collect::<BTreeMap<_, _>>() }).to_string())
    }
}

fn invalid(code: u16, text: &str, number: usize) -> Response {
    said(400, &[], &json!({ "text": text, "code": code, "invalid-event-number": number }).to_string())
}
