//! The tenants that are at work now, for whoever wants one of them: one set that is exchanged as a whole. Starts and stops
//! nothing of its own accord.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::core::poller::Reader;
use crate::model::names::TenantName;
use crate::run::poll;
use crate::run::supervise::Loops;
use crate::run::tenant::{Tenant, seed};

/// Between the starts of two tenants: hundreds of them do not sign in in the same instant.
const APART: Duration = Duration::from_millis(10);
/// The last one does not wait for longer.
const APART_MAX: Duration = Duration::from_secs(5);

/// Tenants by name.
pub(crate) type ByName = BTreeMap<TenantName, Arc<Tenant>>;

/// The tenants at work. Clones are the same set.
#[derive(Clone, Default)]
pub(crate) struct Tenants(Arc<RwLock<Arc<ByName>>>);

impl Tenants {
    /// This set.
    pub(crate) fn of(tenants: ByName) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(tenants))))
    }

    /// Those of now. Who works with one of them does it within [`Tenant::unless_gone`].
    pub(crate) fn all(&self) -> Arc<ByName> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the set. Who has seen it before goes on with what it was.
    pub(crate) fn change(&self, change: impl FnOnce(&mut ByName)) {
        let mut tenants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut tenants));
    }
}

/// Starts the readers of tenants, one tenant shortly after the other.
pub(crate) fn read<'a>(loops: &Loops, tenants: impl IntoIterator<Item = &'a Arc<Tenant>>, readers: &'static [Reader]) {
    for (place, tenant) in tenants.into_iter().enumerate() {
        let wait = APART.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX)).min(APART_MAX);
        for &reader in readers {
            let (tenant, stop) = (tenant.clone(), tenant.reading().clone());
            let who = format!("{} of tenant {}", poll::name(reader), tenant.name);
            let at_work = tenant.at_work();
            // At the level that is always there: who it is about has to stand on every line.
            let span = tracing::error_span!("reading", tenant = %tenant.name, reader = poll::name(reader));
            loops.spawn(who, span, stop.clone(), seed(&tenant.name), move || {
                let _ = &at_work;
                let (tenant, stop) = (tenant.clone(), stop.clone());
                async move {
                    if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
                        tenant.start_over()?;
                        poll::read(&tenant, reader, &stop).await?;
                    }
                    Ok(())
                }
            });
        }
    }
}
