//! One tenant at work: its decisions behind a lock that is never held across a wait, its client, its quotas.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::admin::board::Board;
use crate::admin::metrics::Metrics;
use crate::api;
use crate::api::client::Client;
use crate::config;
use crate::config::poll::Interval;
use crate::config::tenant::{Start, Tenant as Config};
use crate::core::poller::{self, Audit, Known, Poller, Reader};
use crate::core::quota::{Limits, Quota};
use crate::identity;
use crate::identity::token::Tokens;
use crate::model::moment::Moment;
use crate::model::names::{TenantKey, TenantName};
use crate::run::clock::Clock;
use crate::store::error::StoreError;
use crate::store::{Endpoint, Store};
use crate::transport::http::{self, HttpError, Options};

/// How often it is said that incidents become visible late.
const LATE_EVERY: Duration = Duration::from_secs(600);

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
    decisions: Mutex<Decisions>,
    woken: [Notify; 2],
    settings: poller::Settings,
    /// When it was last said that incidents become visible late, in nanoseconds of our clock; 0 for never.
    said_late_at: AtomicU64,
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
}

impl Tenant {
    pub(crate) fn new(name: TenantName, config: &Config, around: Surroundings) -> anyhow::Result<Self> {
        let Surroundings { store, board, metrics, clock } = around;
        let (client, tokens) = client(config)?;
        let key = config.key();
        let settings = settings(config);
        let decisions = Decisions {
            poller: Poller::new(settings.clone(), known(&store, &key)?, seed(&name), clock.now()),
            list: quota(&store, &key, Endpoint::List, config.quota.list(), &clock)?,
            get: quota(&store, &key, Endpoint::Get, config.quota.get(), &clock)?,
        };
        board.tenant(&name, |_| {});
        Ok(Self {
            name,
            key,
            client,
            tokens,
            store,
            board,
            metrics,
            clock,
            decisions: Mutex::new(decisions),
            woken: [Notify::new(), Notify::new()],
            settings,
            said_late_at: AtomicU64::new(0),
        })
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
        let before = self.said_late_at.load(Ordering::Relaxed);
        let due = before == 0 || LATE_EVERY <= now.since(Moment::from_nanos(before));
        due && self.said_late_at.compare_exchange(before, now.nanos(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
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

/// The client of a tenant's API, and its tokens.
pub(crate) fn client(config: &Config) -> Result<(Client, Arc<Tokens>), HttpError> {
    let api_url = config.api_url.clone().unwrap_or_else(|| config.cloud.api_url());
    let login_url = config.login_url.clone().unwrap_or_else(|| config.cloud.login_url());
    let options = |url| Options {
        extra_ca: config.tls_ca_file.as_deref(),
        proxy: config.proxy_url.as_ref(),
        timeout: config.poll.request_timeout.0,
        loopback: http::is_loopback(url),
        ..Options::default()
    };
    let identity = identity::Settings {
        tenant_id: config.tenant_id.clone(),
        client_id: config.client_id.clone(),
        audience: config.audience.clone().unwrap_or_else(|| config.cloud.audience().to_owned()),
        credential: match &config.credential {
            config::tenant::Credential::ClientSecret(source) => identity::Credential::ClientSecret(source.clone()),
        },
        login_url: login_url.clone(),
    };
    let tokens = Arc::new(Tokens::new(http::client(&options(&login_url))?, identity));
    let settings = api::Settings {
        dialect: api::Dialect::Defender,
        max_body_size: config.poll.max_body_size.0,
        max_incident_size: config.poll.max_incident_size.0,
        request_timeout: config.poll.request_timeout.0,
        api_url: api_url.clone(),
    };
    Ok((Client::new(http::client(&options(&api_url))?, tokens.clone(), settings), tokens))
}

fn settings(config: &Config) -> poller::Settings {
    poller::Settings {
        interval: match config.poll.interval {
            Interval::Auto => None,
            Interval::Every(span) => Some(span.0),
        },
        overlap: config.poll.overlap.0,
        sweep_every: config.poll.sweep_every.0,
        page_size: config.poll.page_size,
        list: config.quota.list(),
        audit: Audit { every: config.poll.audit_every.0, window: config.poll.audit_window.0 },
        deep_audit: Audit { every: config.poll.deep_audit_every.0, window: config.poll.deep_audit_window.0 },
        start: match config.start {
            Start::Now => poller::Start::Now,
            Start::Back(span) => poller::Start::Back(span),
            Start::At(time) => poller::Start::At(time),
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
        None if endpoint == Endpoint::List && store.position(key)?.is_some() => Quota::spent(limits, now),
        None => Quota::fresh(limits),
    })
}

/// A seed for jitter: two tenants and two daemons do not march in step.
pub(crate) fn seed(name: &impl std::hash::Hash) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(name)
}
