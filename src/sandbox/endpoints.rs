//! The way of a call through the sandbox: logged, counted, spoiled where a fault was ordered, let in, answered, sent. A call
//! counts when it arrives, whatever becomes of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderMap, Response, header};
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

use crate::model::timestamp::Timestamp;
use crate::sandbox::answer::{Answer, Delivery};
use crate::sandbox::calls::{CallLog, Endpoint};
use crate::sandbox::connection::Cutter;
use crate::sandbox::faults::{Fault, Faults};
use crate::sandbox::incident::IncidentNumber;
use crate::sandbox::names::{self, Dice};
use crate::sandbox::query::{ListQuery, QueryError};
use crate::sandbox::settings::{Limits, QuotaWords, RetryAfter, Settings};
use crate::sandbox::stamp::http_date;
use crate::sandbox::throttle::{Excess, Throttle};
use crate::sandbox::token::{self, Denied, SignIn, Tokens};
use crate::sandbox::world::World;

const CONTEXT: &str = "https://api.security.microsoft.com/api/$metadata#Incidents";

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

    fn guid(&self) -> String {
        names::guid(&mut locked(&self.dice))
    }
}

/// The API and the token endpoint.
pub fn router(tenant: Arc<Tenant>) -> Router {
    Router::new()
        .route("/api/incidents", get(list))
        .route("/api/incidents/{number}", get(one))
        .route("/{tenant}/oauth2/v2.0/token", post(sign_in))
        .with_state(tenant)
}

async fn list(
    State(tenant): State<Arc<Tenant>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let query = query.unwrap_or_default();
    let visit = Visit::new(tenant, Endpoint::List, query.clone(), headers, cutter);
    visit.answered(move |visit, lag| visit.admitted().map(|()| visit.page(&query, lag))).await
}

async fn one(
    State(tenant): State<Arc<Tenant>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    Path(number): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let visit = Visit::new(tenant, Endpoint::Get, number.clone(), headers, cutter);
    visit.answered(move |visit, lag| visit.admitted().map(|()| visit.incident(&number, lag))).await
}

async fn sign_in(
    State(tenant): State<Arc<Tenant>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let visit = Visit::new(tenant, Endpoint::Token, String::new(), headers, cutter);
    visit.answered(move |visit, _| Ok(visit.grant(name, &body))).await
}

/// One call.
struct Visit {
    tenant: Arc<Tenant>,
    settings: Settings,
    endpoint: Endpoint,
    headers: HeaderMap,
    cutter: Cutter,
    now: Timestamp,
    /// Its place in the log.
    call: u64,
}

impl Visit {
    fn new(tenant: Arc<Tenant>, endpoint: Endpoint, query: String, headers: HeaderMap, cutter: Cutter) -> Self {
        let (now, settings) = (tenant.now(), locked(&tenant.settings).clone());
        let call = locked(&tenant.calls).arrive(endpoint, &query, now);
        Self { tenant, settings, endpoint, headers, cutter, now, call }
    }

    /// The answer, or what a fault makes of it. Rows are joined and packed where nobody waits for the thread.
    async fn answered(
        self,
        answer: impl FnOnce(&Self, Duration) -> Result<Answer, Answer> + Send + 'static,
    ) -> Response<Body> {
        let excess = self.limits().and_then(|limits| {
            let count_rejected = self.settings.quotas.count_rejected;
            locked(&self.tenant.throttle).arrive(self.endpoint, limits, count_rejected, self.now)
        });
        let fault = if excess.is_none() { self.tenant.faults.draw(self.endpoint) } else { None };
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
            Endpoint::List => self.settings.quotas.list,
            Endpoint::Get => self.settings.quotas.get,
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
            Endpoint::List | Endpoint::Get => answer.packed(self.settings.coding, &self.headers),
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

    /// The answer that a fault sends instead; none for faults that only spoil the sending.
    fn replaced(&self, fault: Fault) -> Option<Answer> {
        Some(match fault {
            Fault::Status(500) => self.error(500, "InternalServerError", "An error occurred while processing."),
            Fault::Status(status @ (502..=504)) => Answer::html(status),
            Fault::Status(status) => self.error(status, &status.to_string(), "Ordered by a test."),
            Fault::Throttled { retry_after, wait } => {
                let excess = Excess { limit: 45, window: Duration::from_secs(60), wait };
                self.throttled(excess, retry_after)
            }
            Fault::Html => Answer::html(200),
            Fault::ErrorObject => self.error(200, "InternalServerError", "An error occurred while processing."),
            Fault::Empty => Answer::json(200, Vec::new()),
            Fault::Unauthorized => match self.endpoint {
                Endpoint::Token => token::wrong_secret(&self.settings, self.now, &mut locked(&self.tenant.dice)),
                Endpoint::List | Endpoint::Get => {
                    let from = self.now.earlier(Duration::from_secs(3_600));
                    self.error(401, "Unauthorized", &token::expired(&self.settings, &self.tenant.id, from, self.now))
                }
            },
            Fault::Reset
            | Fault::Stall
            | Fault::CutBody
            | Fault::CutJson
            | Fault::WrongDate(_)
            | Fault::GarbledDate
            | Fault::Slow { .. }
            | Fault::Stale(_) => return None,
        })
    }

    fn throttled(&self, excess: Excess, retry_after: RetryAfter) -> Answer {
        let seconds = excess.wait.as_secs() + u64::from(0 < excess.wait.subsec_nanos());
        let (limit, window) = (excess.limit, if excess.window.as_secs() == 60 { "00:01:00" } else { "01:00:00" });
        let again = format!("You can send requests again in {seconds} seconds.");
        let answer = match self.settings.quotas.words {
            QuotaWords::Newer => Answer::error(
                429,
                "429",
                &format!(
                    "API calls quota exceeded! Maximum allowed {limit} per {window} for the key \
                     Destination+TenantID+AppID. {again}"
                ),
                &self.tenant.id,
            ),
            QuotaWords::Older => {
                self.error(429, "429", &format!("API calls quota exceeded! maximum allowed {limit} per {window}"))
            }
            QuotaWords::Documented => {
                self.error(429, "TooManyRequests", &format!("Quota of {limit} per {window} exceeded. {again}"))
            }
        };
        match retry_after {
            RetryAfter::Missing => answer,
            RetryAfter::Seconds => answer.with(header::RETRY_AFTER, seconds.to_string()),
            RetryAfter::HttpDate => {
                let date = self.tenant.now().later(Duration::from_secs(seconds));
                answer.with(header::RETRY_AFTER, http_date(date))
            }
        }
    }

    fn error(&self, status: u16, code: &str, message: &str) -> Answer {
        Answer::error(status, code, message, &self.tenant.guid())
    }

    fn authorization(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
    }

    fn admitted(&self) -> Result<(), Answer> {
        let tokens = locked(&self.tenant.tokens);
        tokens.admit(self.authorization(), &self.settings, &self.tenant.id, self.now).map_err(|denied| match denied {
            Denied::Unauthorized(why) => self.error(401, "Unauthorized", &why),
            Denied::Forbidden(why) => self.error(403, "Forbidden", &why),
        })
    }

    fn page(&self, query: &str, lag: Duration) -> Answer {
        let asked = match ListQuery::parse(query, self.settings.taste) {
            Ok(asked) => asked,
            Err(error @ QueryError::OData(_)) => return self.error(400, "ODataError", &error.to_string()),
            Err(error @ QueryError::NotAllowed(_)) => return self.error(400, "BadRequest", &error.to_string()),
        };
        let top_default = self.settings.top_default;
        let rows = {
            let mut world = locked(&self.tenant.world);
            world.settle(self.now);
            match lag.is_zero() {
                true => asked.page(world.rows(), self.settings.order, top_default),
                false => asked.page_of(world.visible(self.now.earlier(lag)).cloned().collect(), top_default),
            }
        };
        if rows.iter().any(|row| self.settings.poison.contains(&row.number.0)) {
            return self.error(500, "InternalServerError", "An error occurred while processing.");
        }
        let size = rows.iter().map(|row| row.json.len() + 1).sum::<usize>();
        let mut body = Vec::with_capacity(size + 128);
        body.extend_from_slice(format!(r#"{{"@odata.context":"{CONTEXT}","value":["#).as_bytes());
        for (place, row) in rows.iter().enumerate() {
            if 0 < place {
                body.push(b',');
            }
            body.extend_from_slice(row.json.as_bytes());
        }
        body.extend_from_slice(b"]}");
        Answer::json(200, body)
    }

    fn incident(&self, number: &str, lag: Duration) -> Answer {
        let row = number.parse().ok().and_then(|known| {
            let mut world = locked(&self.tenant.world);
            world.settle(self.now);
            world.get(IncidentNumber(known), self.now.earlier(lag)).cloned()
        });
        match row {
            None => self.error(404, "ResourceNotFound", &format!("Incident {number} was not found")),
            // The context goes in front of the other members, inside the same braces.
            Some(row) => {
                Answer::json(200, format!(r#"{{"@odata.context":"{CONTEXT}/$entity",{}"#, &row.json[1..]).into())
            }
        }
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
