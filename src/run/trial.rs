//! Trying each tenant and each sink once, for `xdrelay check`. Every call to the API goes through the quota here too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::admin::metrics::{Metrics, wall_clock};
use crate::config::Config;
use crate::config::tenant::Tenant as TenantConfig;
use crate::core::quota::Lane;
use crate::model::names::{SinkName, TenantName};
use crate::model::page::{FetchError, Page, Query, Window};
use crate::model::timestamp::Timestamp;
use crate::run::clock::Clock;
use crate::run::daemon::RunError;
use crate::run::tenant::{self, Surroundings};
use crate::sink;
use crate::store::{Endpoint, Store};

/// How long a far side may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// What a tenant answered.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TenantTrial {
    /// How the token was got, or why not.
    pub token: Option<String>,
    /// The roles in the token; none where it does not say.
    pub roles: Option<Vec<String>>,
    /// One list call: rows and milliseconds.
    pub list: Option<String>,
    /// Our clock less the server's, in seconds.
    pub clock_skew_seconds: Option<f64>,
    /// What went wrong, with the remedy.
    pub error: Option<String>,
    /// A credential or permission was refused.
    pub refused: bool,
    /// What was left out and why.
    pub note: Option<String>,
}

/// What a sink's far side answered.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SinkTrial {
    /// What is promised.
    pub guarantee: String,
    /// How it was reached.
    pub reached: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

impl TenantTrial {
    /// Whether the daemon could read this tenant.
    pub const fn is_ok(&self) -> bool {
        self.error.is_none()
    }

    /// For people: what was tried and what was found.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let skew = self.clock_skew_seconds.map(|skew| format!("{skew:+.1} s against the server"));
        let roles = self.roles.as_ref().map(|roles| if roles.is_empty() { "none".into() } else { roles.join(", ") });
        let found = [
            ("token", self.token.clone()),
            ("roles", roles),
            ("list", self.list.clone()),
            ("clock", skew),
            ("note", self.note.clone()),
            ("ERROR", self.error.clone()),
        ];
        found.into_iter().filter_map(|(what, found)| found.map(|found| (what, found))).collect()
    }
}

impl SinkTrial {
    /// Whether events could go there.
    pub const fn is_ok(&self) -> bool {
        self.error.is_none()
    }

    /// For people: what was tried and what was found.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let found = [
            ("reached", self.reached.clone()),
            ("guarantee", Some(self.guarantee.clone())),
            ("ERROR", self.error.clone()),
        ];
        found.into_iter().filter_map(|(what, found)| found.map(|found| (what, found))).collect()
    }
}

/// Tries each tenant. Where a daemon is `running`, it reads the tenants, and only the sign-in is tried.
///
/// # Errors
/// The store is there and does not open, or a client cannot be made.
pub async fn tenants(config: &Config, running: bool) -> Result<BTreeMap<TenantName, TenantTrial>, RunError> {
    // A check leaves no new state directory behind, which might belong to the wrong user.
    let store = if running || !config.state_dir.exists() { None } else { Some(super::daemon::open(config)?) };
    let mut trials = BTreeMap::new();
    for (name, tenant) in &config.tenants {
        let trial = match &store {
            Some(store) => with_store(name, tenant, store).await?,
            None => without_store(name, tenant, running).await?,
        };
        trials.insert(name.clone(), trial);
    }
    if let Some(store) = store {
        store.close().await?;
    }
    Ok(trials)
}

async fn with_store(name: &TenantName, config: &TenantConfig, store: &Store) -> Result<TenantTrial, RunError> {
    let around = Surroundings {
        store: store.clone(),
        board: Arc::default(),
        metrics: Arc::new(Metrics::new()),
        clock: Clock::start(),
    };
    let tenant = tenant::Tenant::new(name.clone(), config, around)
        .map_err(|why| RunError::Tenant { tenant: name.clone(), why })?;
    let mut trial = sign_in(&tenant.tokens).await;
    if !trial.is_ok() {
        return Ok(trial);
    }
    let now = tenant.clock.now();
    let charged = tenant.decisions().list.charge(Lane::Sweep, now);
    match charged {
        Some(charged) => {
            tenant.store.set_quota(&tenant.key, Endpoint::List, charged).await?;
            list(&tenant.client, &mut trial).await;
        }
        None => trial.note = Some("no list call: the quota of this hour is used up".into()),
    }
    Ok(trial)
}

/// Without a store nothing has been asked yet, so that one call fits any quota.
async fn without_store(name: &TenantName, config: &TenantConfig, running: bool) -> Result<TenantTrial, RunError> {
    let (client, tokens) =
        tenant::client(config).map_err(|error| RunError::Tenant { tenant: name.clone(), why: error.into() })?;
    let mut trial = sign_in(&tokens).await;
    if running {
        trial.note = Some("no list call: the running daemon reads this tenant, see `xdrelay status`".into());
    } else if trial.is_ok() {
        list(&client, &mut trial).await;
    }
    Ok(trial)
}

async fn sign_in(tokens: &crate::identity::token::Tokens) -> TenantTrial {
    let began = Instant::now();
    match tokens.token().await {
        Ok(token) => {
            let left = tokens.expires_in().unwrap_or_default().as_secs();
            let text = format!("by client secret in {} ms, good for {left} s", began.elapsed().as_millis());
            TenantTrial { token: Some(text), roles: token.roles(), ..TenantTrial::default() }
        }
        Err(error) => {
            let refused = matches!(error, crate::identity::TokenError::Refused { .. });
            TenantTrial { error: Some(error.to_string()), refused, ..TenantTrial::default() }
        }
    }
}

async fn list(client: &crate::api::client::Client, trial: &mut TenantTrial) {
    let began = Instant::now();
    let query = Query { window: Window { from: Timestamp::from_ticks(0), to: None }, created: None, skip: 0, top: 1 };
    match client.list(&query).await {
        Ok(Page { rows, date }) => {
            trial.list = Some(format!("{} row in {} ms", rows.len(), began.elapsed().as_millis()));
            let ours = wall_clock();
            let skew = |theirs: Timestamp| ours.since(theirs).as_secs_f64() - theirs.since(ours).as_secs_f64();
            trial.clock_skew_seconds = date.map(skew);
        }
        Err(error) => {
            trial.refused = matches!(error, FetchError::Refused { .. } | FetchError::Unauthorized { .. });
            trial.error = Some(error.to_string());
        }
    }
}

/// Tries each sink: opens it, and connects where there is something to connect to. Sends nothing.
pub async fn sinks(config: &Config, running: bool) -> BTreeMap<SinkName, SinkTrial> {
    let mut trials = BTreeMap::new();
    for (name, sink) in &config.sinks {
        let mut trial = SinkTrial { guarantee: sink.kind.settings().guarantee().into(), ..SinkTrial::default() };
        match probe(name, &sink.kind, running).await {
            Ok(reached) => trial.reached = Some(reached),
            Err(why) => trial.error = Some(why),
        }
        trials.insert(name.clone(), trial);
    }
    trials
}

async fn probe(name: &SinkName, config: &sink::Config, running: bool) -> Result<String, String> {
    if let Some(authority) = config.settings().authority() {
        let connect = tokio::time::timeout(CONNECT_MAX, tokio::net::TcpStream::connect(&authority));
        return match connect.await {
            Ok(Ok(_)) => Ok(format!("{authority} accepts connections")),
            Ok(Err(error)) => Err(format!("{authority}: {error}")),
            Err(_) => Err(format!("{authority}: no connection within {} s", CONNECT_MAX.as_secs())),
        };
    }
    if running && matches!(config, sink::Config::File(_)) {
        return Ok("the running daemon has it open".into());
    }
    let mut sink = config.open(name).map_err(|error| error.to_string())?;
    let answer = sink.deliver(&[]).await.map_err(|error| error.to_string());
    let closed = sink.close().await.map_err(|error| error.to_string());
    answer.and(closed).map(|_| "it opens".into())
}
