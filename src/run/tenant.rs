//! One tenant at work: its decisions behind a lock that is never held across a wait, its client, its quotas.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::admin::board::Board;
use crate::admin::metrics::Metrics;
use crate::api;
use crate::api::client::Client;
use crate::config::poll::Interval;
use crate::config::tenant::{Start, Tenant as Config};
use crate::core::poller::{Known, Poller, Reader};
use crate::core::quota::{Limits, Quota};
use crate::core::said::Said;
use crate::core::settings::{self, Audit};
use crate::identity::certificate::ENDS_SOON;
use crate::identity::token::Tokens;
use crate::identity::{self, Credential, TokenError};
use crate::model::moment::Moment;
use crate::model::names::{TenantKey, TenantName};
use crate::run::clock::Clock;
use crate::run::herald::{Facts, Herald, Topic, Whom};
use crate::store::error::StoreError;
use crate::store::{Endpoint, Store};
use crate::transport::http::{self, HttpError, Options};

/// How often it is said that incidents become visible late.
const LATE_EVERY: Duration = Duration::from_secs(600);
/// How often it is said that the certificate of the sign-in ends.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// One tenant at work.
pub(crate) struct Tenant {
    pub(crate) name: TenantName,
    pub(crate) key: TenantKey,
    pub(crate) client: Client,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) store: Store,
    pub(crate) board: Arc<Board>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) herald: Arc<Herald>,
    decisions: Mutex<Decisions>,
    woken: [Notify; 2],
    settings: settings::Settings,
    /// How long what is remembered of an incident is kept.
    pub(crate) remember: Duration,
    said_late: Said,
    said_certificate: Said,
    /// Ends its readers.
    reading: CancellationToken,
    /// It is at work no more, or not as this one.
    gone: CancellationToken,
    /// Everybody who works with it, so that its end can be waited for.
    workers: TaskTracker,
}

/// How a tenant is reached: everything that can be made before it is at work, and that can fail because of a setting.
#[derive(Clone)]
pub(crate) struct Access {
    client: Client,
    tokens: Arc<Tokens>,
}

/// What is decided together: both readers share a source's clock, a position and a quota.
pub(crate) struct Decisions {
    pub(crate) poller: Poller,
    pub(crate) list: Quota,
    pub(crate) get: Quota,
}

/// What every tenant shares.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) store: Store,
    pub(crate) board: Arc<Board>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) herald: Arc<Herald>,
}

impl Surroundings {
    /// Of a store that was just opened, with nothing on the board yet.
    pub(crate) fn of(store: Store, board: Arc<Board>) -> Self {
        let clock = Clock::start();
        Self { store, board, metrics: Arc::new(Metrics::new()), clock, herald: Arc::new(Herald::new(clock)) }
    }
}

impl Access {
    /// Nobody is asked yet.
    pub(crate) fn of(config: &Config) -> Result<Self, HttpError> {
        client(config).map(|(client, tokens)| Self { client, tokens })
    }
}

impl Tenant {
    /// A tenant that goes on from what is durable: nobody else may be at work with its key any more. `reading` stops its readers.
    pub(crate) fn at_work_until(
        reading: CancellationToken,
        name: TenantName,
        config: &Config,
        access: Access,
        around: Surroundings,
    ) -> Result<Self, StoreError> {
        let Surroundings { store, board, metrics, clock, herald } = around;
        let Access { client, tokens } = access;
        let key = config.key();
        let settings = settings(config);
        let decisions = Decisions {
            poller: Poller::new(settings.clone(), known(&store, &key)?, seed(&name), clock.now()),
            list: quota(&store, &key, Endpoint::List, config.quota.list(), &clock)?,
            get: quota(&store, &key, Endpoint::Get, config.quota.get(), &clock)?,
        };
        let (list, get) = (config.quota.list(), config.quota.get());
        let limits = [list.per_minute, list.per_hour, get.per_minute, get.per_hour];
        board.tenant(&name, |status| status.quota_limits = limits);
        metrics.tenant_begins(&name);
        let said_certificate = Said::default();
        // The check of the configuration has said it at the start.
        if let Credential::Certificate(certificate) = &config.credential
            && certificate.expires_at().is_ok_and(|end| seconds_until(end) < ENDS_SOON.as_secs_f64())
        {
            said_certificate.is_due(clock.now(), CERTIFICATE_EVERY);
        }
        Ok(Self {
            name,
            key,
            client,
            tokens,
            store,
            board,
            metrics,
            clock,
            herald,
            decisions: Mutex::new(decisions),
            woken: [Notify::new(), Notify::new()],
            settings,
            remember: config.poll.remember.0,
            said_late: Said::default(),
            said_certificate,
            reading,
            gone: CancellationToken::new(),
            workers: TaskTracker::new(),
        })
    }

    /// What its readers listen to.
    pub(crate) const fn reading(&self) -> &CancellationToken {
        &self.reading
    }

    /// Somebody is at work with it for as long as this is kept.
    pub(crate) fn at_work(&self) -> TaskTrackerToken {
        self.workers.token()
    }

    /// Does something with it. None where it was gone before, or is gone before the end.
    pub(crate) async fn unless_gone<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        // Taken before the look at `gone`, so that `end` waits for whoever did not see it.
        let _at_work = self.at_work();
        self.gone.run_until_cancelled(work).await
    }

    /// Ends everything that is done with it, and waits until all of it is durable or given up: another one may then go on from
    /// what is durable.
    pub(crate) async fn end(&self) -> Result<(), StoreError> {
        self.gone.cancel();
        self.reading.cancel();
        self.workers.close();
        self.workers.wait().await;
        // What was given up may still wait for the writer, which answers in order. Of two quotas it keeps the later one.
        let list = self.decisions().list.state();
        self.store.set_quota(&self.key, Endpoint::List, list).await
    }

    /// Rows per page.
    pub(crate) const fn page_size(&self) -> u32 {
        self.settings.page_size
    }

    /// The decisions, for as long as it takes to make one.
    pub(crate) fn decisions(&self) -> MutexGuard<'_, Decisions> {
        // A poller that panicked is replaced before it is asked again, see `start_over`.
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on from what is durable, as after a crash: whenever nobody knows any more what of a commit is.
    pub(crate) fn start_over(&self) -> Result<(), StoreError> {
        let known = known(&self.store, &self.key)?;
        self.decisions().poller = Poller::new(self.settings.clone(), known, seed(&self.name), self.clock.now());
        Ok(())
    }

    /// The assumption that everything rests on.
    pub(crate) const fn overlap(&self) -> Duration {
        self.settings.overlap
    }

    /// Whether to say that incidents become visible late: once in ten minutes.
    pub(crate) fn says_it_is_late(&self, now: Moment) -> bool {
        self.said_late.is_due(now, LATE_EVERY)
    }

    /// Seconds until the certificate of the sign-in ends, as of the last token request; below zero since it has. Says once a
    /// day that it ends soon.
    pub(crate) fn certificate_expires_seconds(&self, now: Moment) -> Option<f64> {
        let left = seconds_until(self.tokens.certificate_expires_at()?);
        if left < ENDS_SOON.as_secs_f64() && self.said_certificate.is_due(now, CERTIFICATE_EVERY) {
            let facts = Facts { days_left: Some((left / 86_400.0).floor()), ..Facts::default() };
            self.herald.happened(Whom::Tenant(&self.name), Topic::CertificateEnds, 1, &facts);
        }
        Some(left)
    }

    /// Why there is no next token, while the one there is lets everything be read: an expired secret shows so before its tenant is
    /// read no more. Says so, and when it is over.
    pub(crate) fn renewal_failure(&self) -> Option<TokenError> {
        let whom = Whom::SignIn(&self.name);
        let Some(failure) = self.tokens.failure() else {
            self.herald.works(whom, Topic::Renews);
            return None;
        };
        // Without a token the readers say it.
        self.tokens.expires_in()?;
        self.herald.fails(whom, Topic::CannotRenew, &failure.to_string());
        Some(failure)
    }

    /// Something has changed that the other reader may be waiting for.
    pub(crate) fn wake(&self, reader: Reader) {
        self.woken[reader as usize].notify_one();
    }

    /// Until somebody wakes this reader.
    pub(crate) async fn woken(&self, reader: Reader) {
        self.woken[reader as usize].notified().await;
    }
}

/// Seconds from now on, by our wall clock; below zero since then.
pub(crate) fn seconds_until(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::now()) {
        Ok(left) => left.as_secs_f64(),
        Err(over) => -over.duration().as_secs_f64(),
    }
}

/// The client of a tenant's API, and its tokens.
pub(crate) fn client(config: &Config) -> Result<(Client, Arc<Tokens>), HttpError> {
    let api_url = config.api_url.clone().unwrap_or_else(|| config.cloud.api_url(config.api));
    let login_url = config.login_url.clone().unwrap_or_else(|| config.cloud.login_url());
    let options = |url| Options {
        extra_ca: config.tls_ca_file.as_deref(),
        proxy: config.proxy_url.as_ref(),
        proxy_settings: Some(&config.proxy),
        timeout: config.poll.request_timeout.0,
        loopback: http::is_loopback(url),
        ..Options::default()
    };
    let identity = identity::Settings {
        tenant_id: config.tenant_id.clone(),
        client_id: config.client_id(),
        audience: config.audience.clone().unwrap_or_else(|| config.cloud.audience(config.api).to_owned()),
        credential: config.credential.clone(),
        login_url: login_url.clone(),
    };
    let mut sign_in = options(&login_url);
    sign_in.loopback |= config.credential.is_of_this_host();
    let api = options(&api_url);
    let http = http::client(&api)?;
    // One client for both where nothing tells them apart: hundreds of tenants have one each.
    let ways = [sign_in.way(), api.way()];
    let sign_in = if sign_in.loopback == api.loopback { http.clone() } else { http::client(&sign_in)? };
    let [way_to_sign_in, way] = ways;
    let tokens = Arc::new(Tokens::new(sign_in, identity).by(way_to_sign_in));
    let settings = api::Settings {
        dialect: config.api,
        max_body_size: config.poll.max_body_size.0,
        max_incident_size: config.poll.max_incident_size.0,
        request_timeout: config.poll.request_timeout.0,
        api_url: api_url.clone(),
    };
    Ok((Client::new(http, tokens.clone(), settings).by(way), tokens))
}

fn settings(config: &Config) -> settings::Settings {
    settings::Settings {
        interval: match config.poll.interval {
            Interval::Auto => None,
            Interval::Every(span) => Some(span.0),
        },
        overlap: config.poll.overlap.0,
        sweep_every: config.poll.sweep_every.0,
        page_size: config.poll.page_size,
        lists_alerts_apart: config.api.lists_alerts_apart(),
        list: config.quota.list(),
        audit: Audit { every: config.poll.audit_every.0, window: config.poll.audit_window.0 },
        deep_audit: Audit { every: config.poll.deep_audit_every.0, window: config.poll.deep_audit_window.0 },
        start: match config.start {
            Start::Now => settings::Start::Now,
            Start::Back(span) => settings::Start::Back(span),
            Start::At(time) => settings::Start::At(time),
        },
    }
}

fn known(store: &Store, key: &TenantKey) -> Result<Known, StoreError> {
    Ok(Known { position: store.position(key)?, quarantine: store.quarantine(key)?, has_listed: store.remembers(key)? })
}

/// The quota as a former process left it. An empty record of a tenant that is known means that it was lost.
pub(crate) fn quota(
    store: &Store,
    key: &TenantKey,
    endpoint: Endpoint,
    limits: Limits,
    clock: &Clock,
) -> Result<Quota, StoreError> {
    let now = clock.now();
    Ok(match store.quota(key, endpoint)? {
        Some(state) => Quota::resumed(limits, state, now),
        None if store.position(key)?.is_some() => Quota::spent(limits, now),
        None => Quota::fresh(limits),
    })
}

/// A seed for jitter: two tenants and two daemons do not march in step.
pub(crate) fn seed(name: &impl std::hash::Hash) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::position::Position;
    use crate::core::quota::QuotaState;
    use crate::model::timestamp::Timestamp;

    #[tokio::test]
    async fn the_quota_of_a_known_tenant_whose_record_is_lost_is_spent_for_either_endpoint() {
        let dir = tempfile::tempdir().expect("a directory");
        let settings = crate::store::Settings {
            dir: dir.path().into(),
            on_corrupt: crate::store::OnCorrupt::Stop,
            max_size: 1 << 24,
            min_free: 1 << 25,
        };
        let store = Store::open(settings).expect("a store").store;
        let (key, clock) = (TenantKey::new("one"), Clock::start());
        let ways = [(Endpoint::List, Limits::of_list(50, 1500)), (Endpoint::Get, Limits::of_get(100, 1500))];
        let left = || {
            ways.map(|(endpoint, limits)| {
                let quota = quota(&store, &key, endpoint, limits, &clock).expect("a store that works");
                quota.hour_remaining(clock.now())
            })
        };
        assert_eq!(left(), [40, 40], "a tenant that nobody knows yet");
        store.set_position(&key, Position::start(Timestamp::from_seconds(1_800_000_000))).await.expect("written");
        assert_eq!(left(), [0, 0]);
        store.set_quota(&key, Endpoint::Get, QuotaState::default()).await.expect("written");
        assert_eq!(left(), [0, 40], "as the record says");
        store.close().await.expect("closed");
    }

    #[test]
    fn what_lasts_is_said_at_once_and_then_seldom() {
        let said = Said::default();
        let mut times = Vec::new();
        for hour in 1..=50 {
            let now = Moment::from_nanos(hour * 3600 * 1_000_000_000);
            if said.is_due(now, CERTIFICATE_EVERY) {
                assert!(!said.is_due(now, CERTIFICATE_EVERY), "once");
                times.push(hour);
            }
        }
        assert_eq!(times, [1, 25, 49]);
    }
}
