//! The order for a replay, its progress, and the route on the control socket that passes the one on and the other back. The
//! replay itself is `run`'s business; it ends when nobody listens to its progress any more.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::admin::server::Eyes;
use crate::model::names::{SinkName, TenantName};
use crate::model::timestamp::Timestamp;

/// A line of progress at least this often: where it cannot be written, the listener has gone.
const BEAT: Duration = Duration::from_secs(1);
/// And not more often than this.
const PAUSE: Duration = Duration::from_millis(100);

/// What is to be delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Incidents changed since then.
    pub since: Timestamp,
    /// And before then; none: up to the newest.
    pub until: Option<Timestamp>,
    /// Of this tenant; none: of all.
    pub tenant: Option<TenantName>,
    /// To this sink; none: to all.
    pub sink: Option<SinkName>,
    /// Only count.
    pub dry_run: bool,
}

/// How far a replay is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The tenant that is being read.
    pub tenant: Option<TenantName>,
    /// Pages read.
    pub pages: u64,
    /// Rows in them, those that two pages share counted once.
    pub rows: u64,
    /// Different incidents among them.
    pub incidents: u64,
    /// Events that were put into the outbox, or would be.
    pub events: u64,
    /// What it waits for, where it does.
    pub waiting: Option<String>,
    /// How it ended.
    pub end: Option<End>,
}

/// How a replay ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum End {
    /// Everything was read.
    Complete,
    /// It was stopped before: the daemon ends, or somebody pressed Ctrl-C.
    Stopped,
    /// It cannot go on.
    Failed {
        /// What is to blame.
        blame: Blame,
        /// For people.
        why: String,
    },
}

/// What is to blame where a replay cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The source does not answer as it should.
    Source,
    /// The credential was refused.
    Credential,
    /// The store takes nothing.
    Store,
}

/// Where orders go. One replay at a time: whoever holds the turn has it.
#[derive(Debug, Clone)]
pub struct Desk {
    turn: Arc<Semaphore>,
    orders: mpsc::Sender<Order>,
}

/// An order on its way to where it is carried out.
#[derive(Debug)]
pub struct Order {
    /// What.
    pub request: Request,
    /// Where progress goes. The replay ends when it is closed.
    pub progress: watch::Sender<Progress>,
    /// Whether it is carried out, or why not.
    pub accepted: oneshot::Sender<Result<(), String>>,
    /// Given back at the end.
    pub turn: OwnedSemaphorePermit,
}

impl Desk {
    /// A desk, and where its orders come out.
    pub fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, ordered) = mpsc::channel(1);
        (Self { turn: Arc::new(Semaphore::new(1)), orders }, ordered)
    }
}

/// The route, for the Unix socket alone.
pub(crate) fn routes() -> Router<Eyes> {
    Router::new().route("/replay", post(replay))
}

/// Answers with a line of progress after the other until the end.
async fn replay(State(eyes): State<Eyes>, Json(request): Json<Request>) -> Response {
    let Ok(turn) = eyes.replays.turn.clone().try_acquire_owned() else {
        return (StatusCode::CONFLICT, "a replay is running already; wait for it, or end its command").into_response();
    };
    let (progress, seen) = watch::channel(Progress::default());
    let (accepted, answer) = oneshot::channel();
    let busy = || (StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping").into_response();
    if eyes.replays.orders.try_send(Order { request, progress, accepted, turn }).is_err() {
        return busy();
    }
    match answer.await {
        Ok(Ok(())) => {
            let lines = stream::unfold(seen, |mut seen| async move { line(&mut seen).await.map(|line| (line, seen)) });
            ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
        }
        Ok(Err(why)) => (StatusCode::BAD_REQUEST, why).into_response(),
        Err(_) => busy(),
    }
}

/// The next line: when there is something to say, or as a sign of life. None after the last word.
async fn line(seen: &mut watch::Receiver<Progress>) -> Option<Result<Bytes, std::convert::Infallible>> {
    tokio::time::sleep(PAUSE).await;
    if let Ok(Err(_)) = tokio::time::timeout(BEAT, seen.changed()).await {
        return None;
    }
    let mut line = serde_json::to_vec(&*seen.borrow_and_update()).unwrap_or_default();
    line.push(b'\n');
    Some(Ok(Bytes::from(line)))
}
