//! The way of a call through the sandbox: logged, counted, spoiled where a fault was ordered, let in, answered, sent. A call
//! counts when it arrives, whatever becomes of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, header};
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

use crate::model::timestamp::Timestamp;
use crate::sandbox::answer::{Answer, Delivery};
use crate::sandbox::calls::{CallLog, Endpoint};
use crate::sandbox::connection::Cutter;
use crate::sandbox::faults::{Fault, Faults};
use crate::sandbox::names::{self, Dice};
use crate::sandbox::settings::{Limits, Settings};
use crate::sandbox::stamp::http_date;
use crate::sandbox::throttle::Throttle;
use crate::sandbox::token::{SignIn, Tokens};
use crate::sandbox::world::World;

/// What the endpoints share.
#[derive(Debug)]
pub struct Tenant {
    /// The id, as the world has it.
    pub id: String,
    /// The incidents.
    pub world: Mutex<World>,
    /// What the API is like.
    pub settings: Mutex<Settings>,
    /// What goes wrong.
    pub faults: Faults,
    /// Who asked what.
    pub calls: Mutex<CallLog>,
    /// The quotas.
    pub throttle: Mutex<Throttle>,
    /// The tokens that count.
    pub tokens: Mutex<Tokens>,
    /// Of tracking ids and tokens.
    pub dice: Mutex<Dice>,
    /// The end.
    pub stop: CancellationToken,
}

/// The lock, and what it guards even where a thread panicked with it: a sandbox has nothing to protect.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tenant {
    /// The server's time.
    pub fn now(&self) -> Timestamp {
        let real = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ticks = u64::try_from(real.as_nanos() / 100).unwrap_or(u64::MAX);
        let offset = locked(&self.settings).clock_offset_ms.saturating_mul(10_000);
        Timestamp::from_ticks(ticks.saturating_add_signed(offset))
    }

    pub(crate) fn guid(&self) -> String {
        names::guid(&mut locked(&self.dice))
    }
}

/// The API and the token endpoint.
pub fn router(tenant: Arc<Tenant>) -> Router {
    Router::new()
        .route("/api/incidents", get(list))
        .route("/api/incidents/{number}", get(one))
        .route("/v1.0/security/incidents", get(graph_list))
        .route("/v1.0/security/incidents/{id}", get(graph_one))
        .route("/v1.0/security/incidents/{id}/alerts", get(graph_alerts))
        .route("/{tenant}/oauth2/v2.0/token", post(sign_in))
        .with_state(tenant)
}

/// What every call brings along.
struct Call {
    tenant: Arc<Tenant>,
    cutter: Cutter,
    query: String,
    headers: HeaderMap,
}

impl FromRequestParts<Arc<Tenant>> for Call {
    type Rejection = <ConnectInfo<Cutter> as FromRequestParts<Arc<Tenant>>>::Rejection;

    async fn from_request_parts(parts: &mut Parts, tenant: &Arc<Tenant>) -> Result<Self, Self::Rejection> {
        let ConnectInfo(cutter) = ConnectInfo::from_request_parts(parts, tenant).await?;
        let query = parts.uri.query().unwrap_or_default().to_owned();
        Ok(Self { tenant: tenant.clone(), cutter, query, headers: parts.headers.clone() })
    }
}

async fn list(call: Call) -> Response<Body> {
    let query = call.query.clone();
    let visit = Visit::new(call, Endpoint::List, &query);
    visit.answered(move |visit, lag| visit.admitted()?.page(&query, lag)).await
}

async fn one(call: Call, Path(number): Path<String>) -> Response<Body> {
    let visit = Visit::new(call, Endpoint::Get, &number);
    visit.answered(move |visit, lag| visit.admitted()?.incident(&number, lag)).await
}

async fn graph_list(call: Call) -> Response<Body> {
    let query = call.query.clone();
    let visit = Visit::new(call, Endpoint::GraphList, &query);
    visit.answered(move |visit, lag| visit.admitted()?.graph_page(&query, lag)).await
}

async fn graph_one(call: Call, Path(id): Path<String>) -> Response<Body> {
    let query = call.query.clone();
    let visit = Visit::new(call, Endpoint::GraphGet, &called(&id, &query));
    visit.answered(move |visit, lag| visit.admitted()?.graph_incident(&id, &query, lag)).await
}

async fn graph_alerts(call: Call, Path(id): Path<String>) -> Response<Body> {
    let query = call.query.clone();
    let visit = Visit::new(call, Endpoint::GraphAlerts, &called(&id, &query));
    visit.answered(move |visit, lag| visit.admitted()?.graph_alerts(&id, &query, lag)).await
}

/// An incident and what is asked of it, for the log.
fn called(id: &str, query: &str) -> String {
    if query.is_empty() { id.to_owned() } else { format!("{id}?{query}") }
}

async fn sign_in(call: Call, Path(name): Path<String>, body: Bytes) -> Response<Body> {
    let visit = Visit::new(call, Endpoint::Token, "");
    visit.answered(move |visit, _| Ok(visit.grant(name, &body))).await
}

/// One call.
pub(crate) struct Visit {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) settings: Settings,
    pub(crate) endpoint: Endpoint,
    pub(crate) headers: HeaderMap,
    cutter: Cutter,
    pub(crate) now: Timestamp,
    /// What goes wrong with it.
    pub(crate) fault: Option<Fault>,
    /// Its place in the log.
    call: u64,
}

impl Visit {
    /// `asked` is for the log.
    fn new(call: Call, endpoint: Endpoint, asked: &str) -> Self {
        let Call { tenant, cutter, query: _, headers } = call;
        let (now, settings) = (tenant.now(), locked(&tenant.settings).clone());
        let call = locked(&tenant.calls).arrive(endpoint, asked, now);
        Self { tenant, settings, endpoint, headers, cutter, now, fault: None, call }
    }

    /// The answer, or what a fault makes of it. Rows are joined and packed where nobody waits for the thread.
    async fn answered(
        mut self,
        answer: impl FnOnce(&Self, Duration) -> Result<Answer, Answer> + Send + 'static,
    ) -> Response<Body> {
        let excess = self.limits().and_then(|limits| {
            let count_rejected = self.settings.quotas.count_rejected;
            locked(&self.tenant.throttle).arrive(self.endpoint, limits, count_rejected, self.now)
        });
        self.fault = if excess.is_none() { self.tenant.faults.draw(self.endpoint) } else { None };
        let fault = self.fault;
        match fault {
            Some(Fault::Stall) => {
                self.tenant.stop.cancelled().await;
                return self.cut();
            }
            Some(Fault::Reset) => return self.cut(),
            Some(_) | None => {}
        }
        let work = tokio::task::spawn_blocking(move || {
            let replaced = excess.map(|excess| self.throttled(excess, self.settings.quotas.retry_after));
            let answer = match replaced.or_else(|| fault.and_then(|fault| self.replaced(fault))) {
                Some(answer) => answer,
                None => answer(&self, lag(fault)).unwrap_or_else(|denied| denied),
            };
            self.sent(answer, fault)
        });
        work.await.unwrap_or_else(|_| Answer::html(500).response(None, Delivery::Whole))
    }

    fn limits(&self) -> Option<Limits> {
        match self.endpoint {
            Endpoint::Token => None,
            Endpoint::List | Endpoint::GraphList => self.settings.quotas.list,
            Endpoint::Get | Endpoint::GraphGet => self.settings.quotas.get,
            Endpoint::GraphAlerts => self.settings.quotas.alerts,
        }
    }

    /// What is written next is a reset.
    fn cut(&self) -> Response<Body> {
        self.cutter.cut();
        Response::new(Body::empty())
    }

    /// Packs, logs, and sends as the fault has it.
    fn sent(&self, mut answer: Answer, fault: Option<Fault>) -> Response<Body> {
        if fault == Some(Fault::CutJson) {
            answer.body.truncate(answer.body.len() / 2);
        }
        let answer = match self.endpoint {
            Endpoint::Token => answer,
            Endpoint::List | Endpoint::Get | Endpoint::GraphList | Endpoint::GraphGet | Endpoint::GraphAlerts => {
                answer.packed(self.settings.coding, &self.headers)
            }
        };
        locked(&self.tenant.calls).answer(self.call, self.endpoint, answer.status, answer.body.len());
        // Taken when the answer leaves, as servers do.
        let now = self.tenant.now();
        let date = match fault {
            Some(Fault::WrongDate(seconds)) => {
                http_date(Timestamp::from_seconds(now.seconds().saturating_add_signed(seconds)))
            }
            Some(Fault::GarbledDate) => "some day".into(),
            Some(_) | None => http_date(now),
        };
        let delivery = match fault {
            Some(Fault::CutBody) => Delivery::Cut,
            Some(Fault::Slow { pieces, pause }) => Delivery::Slow(pieces, pause),
            Some(_) | None => Delivery::Whole,
        };
        answer.response(Some(date), delivery)
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
    }

    fn grant(&self, name: String, body: &[u8]) -> Answer {
        let sign_in = SignIn::new(name, self.authorization(), body);
        let mut tokens = locked(&self.tenant.tokens);
        tokens.grant(&sign_in, &self.settings, &self.tenant.id, self.now, &mut locked(&self.tenant.dice))
    }
}

/// How far behind the replica is that answers.
const fn lag(fault: Option<Fault>) -> Duration {
    match fault {
        Some(Fault::Stale(lag)) => lag,
        Some(_) | None => Duration::ZERO,
    }
}
