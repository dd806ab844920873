//! What sinks refused for good, for people: list it, show it, hand it over once more, drop it. The verbs are the same on the
//! control socket and for a command that has the store to itself.

use axum::Json;
use axum::Router;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use crate::admin::server::Eyes;
use crate::format::json;
use crate::model::event::Kind;
use crate::model::names::{EventId, IncidentId, Seq, SinkName, TenantName};
use crate::store::Store;
use crate::store::error::StoreError;

/// Refusals in one answer at most.
pub const PAGE_MAX: usize = 200;
/// Events in one request at most.
pub const SEQS_MAX: usize = 1000;

/// One event that a sink refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which sink.
    pub sink: SinkName,
    /// Its position in the outbox, by which it is named.
    pub seq: Seq,
    /// Its id; none where the event is lost.
    pub event_id: Option<EventId>,
    /// What happened.
    pub kind: Option<Kind>,
    /// Of which tenant.
    pub tenant: Option<TenantName>,
    /// Which incident.
    pub incident_id: Option<IncidentId>,
    /// When it was taken in.
    pub observed_at: Option<String>,
    /// The sink's words.
    pub why: String,
}

/// Some of what a sink refused, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedPage {
    /// At most [`PAGE_MAX`].
    pub refused: Vec<Refused>,
    /// There is more behind the last of them.
    pub more: bool,
}

/// What is to become of refused events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// They are handed to the sink once more.
    Retry,
    /// They are forgotten.
    Drop,
}

impl Act {
    /// The word in the route and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Drop => "drop",
        }
    }
}

/// Which events.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Which {
    /// Their positions, at most [`SEQS_MAX`].
    pub seqs: Vec<Seq>,
}

/// What became of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// These are done with.
    pub done: Vec<Seq>,
    /// These the sink had not refused, or not any more.
    pub unknown: Vec<Seq>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RefusedError {
    /// The call is wrong: there is no such sink, or it names too many events.
    #[error("{0}")]
    Call(String),
    /// The sink did not refuse this event.
    #[error("sink {sink} has not refused event {seq}, or it was retried or dropped since; see `xdrelay refused list`")]
    NotRefused {
        /// The sink.
        sink: SinkName,
        /// The event.
        seq: Seq,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Some of what a sink refused behind a position.
///
/// # Errors
/// See [`RefusedError`].
pub fn list(store: &Store, sink: &SinkName, after: Seq) -> Result<RefusedPage, RefusedError> {
    known(store, sink)?;
    let mut refusals = store.refused_after(sink, after, PAGE_MAX + 1)?;
    let more = PAGE_MAX < refusals.len();
    refusals.truncate(PAGE_MAX);
    let mut refused = Vec::with_capacity(refusals.len());
    for refusal in refusals {
        let event = store.event(refusal.seq)?;
        let event = event.as_ref();
        refused.push(Refused {
            sink: sink.clone(),
            seq: refusal.seq,
            event_id: event.map(|event| event.event_id.clone()),
            kind: event.map(|event| event.kind),
            tenant: event.map(|event| event.tenant.clone()),
            incident_id: event.map(|event| event.incident_id.clone()),
            observed_at: event.map(|event| event.observed_at.to_micros_text()),
            why: refusal.why,
        });
    }
    Ok(RefusedPage { refused, more })
}

/// One refused event as JSON, as it would be delivered in that format.
///
/// # Errors
/// See [`RefusedError`].
pub fn show(store: &Store, sink: &SinkName, seq: Seq) -> Result<Vec<u8>, RefusedError> {
    known(store, sink)?;
    let not_refused = || RefusedError::NotRefused { sink: sink.clone(), seq };
    store.refusal(sink, seq)?.ok_or_else(not_refused)?;
    Ok(json::render(&store.event(seq)?.ok_or_else(not_refused)?))
}

/// Retries or drops. Durable on return.
///
/// # Errors
/// See [`RefusedError`].
pub async fn act(store: &Store, sink: &SinkName, act: Act, mut seqs: Vec<Seq>) -> Result<Outcome, RefusedError> {
    known(store, sink)?;
    if SEQS_MAX < seqs.len() {
        return Err(RefusedError::Call(format!("{} events at once, at most {SEQS_MAX} are taken", seqs.len())));
    }
    seqs.sort_unstable();
    seqs.dedup();
    let mut refused = Vec::with_capacity(seqs.len());
    for &seq in &seqs {
        if store.refusal(sink, seq)?.is_some() {
            refused.push(seq);
        }
    }
    let done = match act {
        Act::Retry => store.retry_refused(sink, refused).await?,
        Act::Drop => {
            store.drop_refused(sink, refused.clone()).await?;
            refused
        }
    };
    let unknown = seqs.into_iter().filter(|seq| !done.contains(seq)).collect();
    Ok(Outcome { done, unknown })
}

/// Says which sinks there are, where there is no such one.
fn known(store: &Store, sink: &SinkName) -> Result<(), RefusedError> {
    let sinks = store.sinks()?;
    if sinks.contains(sink) {
        return Ok(());
    }
    let names = sinks.iter().map(SinkName::as_str).collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { "none yet: the daemon has never run here".into() } else { names };
    Err(RefusedError::Call(format!("there is no sink {sink}; there are: {names}")))
}

/// The routes, for the Unix socket alone: two of them change something.
pub(crate) fn routes() -> Router<Eyes> {
    let acting = |act| move |eyes, sink, which| acted(eyes, sink, act, which);
    Router::new()
        .route("/sinks", get(sinks))
        .route("/refused/{sink}", get(listed))
        .route("/refused/{sink}/{seq}", get(shown))
        .route("/refused/{sink}/retry", post(acting(Act::Retry)))
        .route("/refused/{sink}/drop", post(acting(Act::Drop)))
}

async fn sinks(State(eyes): State<Eyes>) -> Response {
    answer(eyes.store.sinks().map_err(RefusedError::from))
}

#[derive(Deserialize)]
struct From {
    after: Option<u64>,
}

async fn listed(State(eyes): State<Eyes>, UrlPath(sink): UrlPath<String>, Query(from): Query<From>) -> Response {
    let after = Seq(from.after.unwrap_or_default());
    let listed = tokio::task::spawn_blocking(move || list(&eyes.store, &SinkName::new(sink), after));
    answer(listed.await.unwrap_or(Err(StoreError::Stopped.into())))
}

async fn shown(State(eyes): State<Eyes>, UrlPath((sink, seq)): UrlPath<(String, u64)>) -> Response {
    let shown = tokio::task::spawn_blocking(move || show(&eyes.store, &SinkName::new(sink), Seq(seq)));
    match shown.await.unwrap_or(Err(StoreError::Stopped.into())) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => failed(&error),
    }
}

async fn acted(
    State(eyes): State<Eyes>,
    UrlPath(sink): UrlPath<String>,
    to: Act,
    Json(which): Json<Which>,
) -> Response {
    let sink = SinkName::new(sink);
    let outcome = act(&eyes.store, &sink, to, which.seqs).await;
    if let Ok(outcome) = &outcome {
        tracing::info!(%sink, events = outcome.done.len(), act = to.as_str(), "refused events, on request");
    }
    answer(outcome)
}

fn answer<T: Serialize>(result: Result<T, RefusedError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &RefusedError) -> Response {
    let code = match error {
        RefusedError::Call(_) => StatusCode::BAD_REQUEST,
        RefusedError::NotRefused { .. } => StatusCode::NOT_FOUND,
        RefusedError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, error.to_string()).into_response()
}
