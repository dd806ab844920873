//! The series of one metric that have a tenant in their labels: they end with the tenant. Knows no metric by name.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::family::{Family, MetricConstructor};

use crate::model::names::TenantName;

/// Labels that name a tenant.
pub(crate) trait OfTenant {
    /// Which.
    fn tenant(&self) -> &TenantName;
}

/// The series of one metric. The family itself does not say which labels it has.
#[derive(Debug)]
pub(crate) struct Series<L, M, C = fn() -> M> {
    family: Family<L, M, C>,
    known: Mutex<HashSet<L>>,
}

impl<L: OfTenant + Clone + Eq + Hash, M, C: MetricConstructor<M>> Series<L, M, C> {
    /// No series yet.
    pub(crate) fn of(family: Family<L, M, C>) -> Self {
        Self { family, known: Mutex::default() }
    }

    /// What the registry shows.
    pub(crate) const fn family(&self) -> &Family<L, M, C> {
        &self.family
    }

    /// Counts or sets in the series with these labels.
    pub(crate) fn with(&self, labels: &L, act: impl FnOnce(&M)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(labels) {
            known.insert(labels.clone());
        }
        act(&self.family.get_or_create(labels));
    }

    /// Ends the series of tenants that are not there.
    pub(crate) fn retain(&self, is_there: impl Fn(&TenantName) -> bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|labels| is_there(labels.tenant()) || !self.family.remove(labels));
    }
}
