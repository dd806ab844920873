//! Answers who asks for one incident, through the quota of the get endpoint, one at a time per daemon.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::admin::server::{Ask, AskError};
use crate::core::quota::Lane;
use crate::model::names::{IncidentId, TenantName};
use crate::model::page::FetchError;
use crate::run::complete::{Asker, Failed};
use crate::run::tenant::Tenant;
use crate::run::tenants::Tenants;

/// Answers until it is stopped.
pub(crate) async fn answer(tenants: &Tenants, asks: &mut mpsc::Receiver<Ask>, stop: &CancellationToken) {
    while let Some(Some(ask)) = stop.run_until_cancelled(asks.recv()).await {
        let found = match choose(&tenants.all(), ask.tenant.as_ref()) {
            Ok(tenant) => stop.run_until_cancelled(tenant.unless_gone(asked(tenant, &ask.id))).await.map(|found| {
                let gone =
                    || format!("tenant {} was taken out of the configuration or changed in it; ask again", tenant.name);
                found.unwrap_or_else(|| Err(AskError::Tenant(gone())))
            }),
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

async fn asked(tenant: &Tenant, id: &IncidentId) -> Result<String, AskError> {
    get(tenant, id).instrument(tracing::error_span!("asking", tenant = %tenant.name)).await
}

/// Asks once, and once more where only the token was to blame.
pub(crate) async fn get(tenant: &Tenant, id: &IncidentId) -> Result<String, AskError> {
    match once(tenant, id).await {
        Err(FetchError::Unauthorized { .. }) => Ok(once(tenant, id).await?),
        answer => Ok(answer?),
    }
}

async fn once(tenant: &Tenant, id: &IncidentId) -> Result<String, FetchError> {
    let asker = Asker { tenant, lane: Lane::Sweep, who: None };
    match asker.incident(id).await {
        Ok(row) => Ok(row.raw.get().to_owned()),
        Err(Failed::Call(error)) => Err(error),
        Err(Failed::Store(error)) => Err(FetchError::Unavailable { after: None, why: error.to_string() }),
    }
}
