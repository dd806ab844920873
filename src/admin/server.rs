//! The admin endpoints over HTTP: what everybody may see on a TCP address, read-only; that and what the commands ask for on
//! the Unix socket in the state directory. Nothing that changes anything may be reachable over TCP.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::admin::board::Board;
use crate::admin::doorway::{Doorway, Peer};
use crate::admin::gate::{self, Gate, Stranger};
use crate::admin::live::Live;
use crate::admin::metrics::Metrics;
use crate::admin::status::Status;
use crate::admin::{login, page, refused, replay};
use crate::model::names::{IncidentId, TenantName};
use crate::model::page::FetchError;
use crate::store::Store;
use crate::transport::secret::SecretSource;

/// The name of the Unix socket in the state directory.
pub const SOCKET: &str = "control.sock";

/// What the endpoints read, and where the commands' wishes go.
#[derive(Clone)]
pub struct Eyes {
    /// What the loops say.
    pub board: Arc<Board>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The store.
    pub store: Store,
    /// Where single incidents are asked for.
    pub asks: mpsc::Sender<Ask>,
    /// Where replays are ordered.
    pub replays: replay::Desk,
    /// What the status page shows.
    pub live: Arc<Live>,
}

/// Somebody wants one incident, through the quota.
#[derive(Debug)]
pub struct Ask {
    /// Of which tenant; none where there is only one.
    pub tenant: Option<TenantName>,
    /// Which.
    pub id: IncidentId,
    /// The incident as it came, or why not.
    pub answer: oneshot::Sender<Result<String, AskError>>,
}

/// Why somebody does not get an incident.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No such tenant, or none was named and there are several.
    #[error("{0}")]
    Tenant(String),
    /// The API's answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// Whether the daemon is ready, and what is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// All of it.
    pub ready: bool,
    /// Each tenant has completed a pass.
    pub tenants_waiting: Vec<String>,
    /// The store takes events; where not, why.
    pub store: Option<String>,
    /// At least one sink takes events.
    pub a_sink_delivers: bool,
}

/// Listens on a TCP address.
///
/// # Errors
/// The address cannot be bound.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Listens on the Unix socket in the state directory, which belongs to this process alone by now.
///
/// # Errors
/// The directory takes no socket, or its path is longer than a socket's may be (107 bytes).
pub fn listen_locally(state_dir: &Path) -> std::io::Result<UnixListener> {
    let path = state_dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves what everybody may see on TCP, or who has the token, where there is one.
///
/// # Errors
/// The listener fails, or there is no randomness to be had for sessions.
pub async fn serve(
    listener: TcpListener,
    token: Option<SecretSource>,
    eyes: Eyes,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let has_token = token.is_some();
    let gate = Gate::new(listener.local_addr()?, token).ok_or_else(|| std::io::Error::other("no randomness"))?;
    let mut routes = open_routes().merge(page::routes());
    if has_token {
        routes = routes.merge(login::routes(gate.clone()));
    }
    let routes = routes.layer(middleware::from_fn_with_state(gate, gate::guard)).with_state(eyes);
    let service = routes.into_make_service_with_connect_info::<Peer>();
    axum::serve(Doorway::new(listener), service).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// Serves the same, the incidents themselves and what changes something on the Unix socket, which only its owner can open.
///
/// # Errors
/// The listener fails.
pub async fn serve_locally(listener: UnixListener, eyes: Eyes, stop: CancellationToken) -> std::io::Result<()> {
    let routes = open_routes().route("/incidents/{id}", get(incident));
    let routes = routes.merge(refused::routes()).merge(replay::routes()).with_state(eyes);
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn open_routes() -> Router<Eyes> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
}

async fn metrics(State(eyes): State<Eyes>) -> Response {
    let text = tokio::task::spawn_blocking(move || {
        let tally = eyes.store.tally().ok();
        eyes.metrics.scrape(&eyes.board.status(), tally.as_ref())
    });
    match text.await {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn healthz(State(eyes): State<Eyes>, stranger: Option<Extension<Stranger>>) -> Response {
    let mut stuck = eyes.board.stuck();
    if let Err(error) = eyes.store.state() {
        stuck.push(format!("store: {error}"));
    }
    let code = if stuck.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match stranger {
        Some(_) => code.into_response(),
        None => (code, Json(serde_json::json!({ "stuck": stuck }))).into_response(),
    }
}

async fn readyz(State(eyes): State<Eyes>, stranger: Option<Extension<Stranger>>) -> Response {
    let readiness = Readiness::of(&eyes.board.status(), eyes.store.room().problem());
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match stranger {
        Some(_) => code.into_response(),
        None => (code, Json(readiness)).into_response(),
    }
}

async fn status(State(eyes): State<Eyes>) -> Json<Status> {
    Json(eyes.board.status())
}

#[derive(Deserialize)]
struct Which {
    tenant: Option<String>,
}

async fn incident(State(eyes): State<Eyes>, UrlPath(id): UrlPath<String>, Query(which): Query<Which>) -> Response {
    let (answer, answered) = oneshot::channel();
    let ask = Ask { tenant: which.tenant.map(TenantName::new), id: IncidentId::new(id), answer };
    let busy = || (StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping or busy\n").into_response();
    if eyes.asks.try_send(ask).is_err() {
        return busy();
    }
    match answered.await {
        Ok(Ok(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Ok(Err(AskError::Fetch(FetchError::NotFound))) => {
            (StatusCode::NOT_FOUND, "there is no such incident\n").into_response()
        }
        Ok(Err(AskError::Tenant(why))) => (StatusCode::BAD_REQUEST, why).into_response(),
        Ok(Err(AskError::Fetch(error @ FetchError::Refused { .. }))) => {
            (StatusCode::FORBIDDEN, error.to_string()).into_response()
        }
        Ok(Err(AskError::Fetch(error))) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        Err(_) => busy(),
    }
}

impl Readiness {
    /// Reckons it from the board and what the store says of its room.
    pub fn of(status: &Status, store: Option<String>) -> Self {
        let waiting = status.tenants.iter().filter(|(_, tenant)| tenant.passes == 0);
        let tenants_waiting: Vec<_> = waiting.map(|(name, _)| name.to_string()).collect();
        let a_sink_delivers = status.sinks.values().any(|sink| matches!(sink.state.as_str(), "new" | "delivering"));
        let ready = tenants_waiting.is_empty() && store.is_none() && a_sink_delivers;
        Self { ready, tenants_waiting, store, a_sink_delivers }
    }
}
