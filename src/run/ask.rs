//! Answers who asks for one incident, through the quota of the get endpoint, one at a time per daemon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::server::{Ask, AskError};
use crate::core::quota::Lane;
use crate::model::names::{IncidentId, TenantName};
use crate::model::page::FetchError;
use crate::run::poll::outcome;
use crate::run::tenant::Tenant;
use crate::store::Endpoint;

/// How long somebody waits for the quota before hearing of it.
const WAIT_MAX: Duration = Duration::from_secs(75);

/// Answers until it is stopped.
pub(crate) async fn answer(
    tenants: &BTreeMap<TenantName, Arc<Tenant>>,
    asks: &mut mpsc::Receiver<Ask>,
    stop: &CancellationToken,
) {
    while let Some(Some(ask)) = stop.run_until_cancelled(asks.recv()).await {
        let found = match choose(tenants, ask.tenant.as_ref()) {
            Ok(tenant) => stop.run_until_cancelled(get(tenant, &ask.id)).await,
            Err(why) => Some(Err(AskError::Tenant(why))),
        };
        // Nobody may be waiting any more, which is their business.
        let _ = found.map(|found| ask.answer.send(found));
    }
}

pub(crate) fn choose<'a>(
    tenants: &'a BTreeMap<TenantName, Arc<Tenant>>,
    wanted: Option<&TenantName>,
) -> Result<&'a Arc<Tenant>, String> {
    let names = || tenants.keys().map(TenantName::as_str).collect::<Vec<_>>().join(", ");
    match (wanted, tenants.len()) {
        (Some(name), _) => {
            tenants.get(name).ok_or_else(|| format!("there is no tenant {name}; there are: {}", names()))
        }
        (None, 1) => tenants.values().next().ok_or_else(String::new),
        (None, _) => Err(format!("there are several tenants, name one with --tenant: {}", names())),
    }
}

/// Asks once, and once more where only the token was to blame.
pub(crate) async fn get(tenant: &Tenant, id: &IncidentId) -> Result<String, AskError> {
    match once(tenant, id).await {
        Err(FetchError::Unauthorized { .. }) => Ok(once(tenant, id).await?),
        answer => Ok(answer?),
    }
}

async fn once(tenant: &Tenant, id: &IncidentId) -> Result<String, FetchError> {
    let charged = loop {
        let now = tenant.clock.now();
        let (charged, at) = {
            let get = &mut tenant.decisions().get;
            (get.charge(Lane::Sweep, now), get.ready_at(Lane::Sweep, now))
        };
        match charged {
            Some(charged) => break charged,
            None if WAIT_MAX < at.since(now) => {
                let why = format!("the quota of single incidents is used up for {} s", at.since(now).as_secs());
                return Err(FetchError::Throttled { after: Some(at.since(now)), why });
            }
            None => tokio::time::sleep(at.since(now).max(Duration::from_millis(10))).await,
        }
    };
    let stored = tenant.store.set_quota(&tenant.key, Endpoint::Get, charged).await;
    stored.map_err(|error| FetchError::Unavailable { after: None, why: error.to_string() })?;
    let answer = tenant.client.get(id).await;
    tenant.metrics.called(&tenant.name, "get", outcome(answer.as_ref().err()));
    if let Err(FetchError::Throttled { after, .. }) = &answer {
        let until = tenant.clock.now() + after.unwrap_or(Duration::from_secs(60));
        tenant.decisions().get.block_until(until);
    }
    answer.map(|row| row.raw.get().to_owned())
}
