//! Whose events a sink gets, where that may change while it runs. Knows tenants by name only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use crate::config::sink::Sink;
use crate::model::names::{SinkName, TenantName};

/// Of every sink that runs.
pub(crate) type Intakes = Arc<BTreeMap<SinkName, Arc<Intake>>>;

/// As configured.
pub(crate) fn of(sinks: &BTreeMap<SinkName, Sink>) -> Intakes {
    Arc::new(sinks.iter().map(|(name, sink)| (name.clone(), Arc::new(Intake::of(sink)))).collect())
}

/// Whose events one sink gets.
#[derive(Debug)]
pub(crate) struct Intake(RwLock<Taken>);

#[derive(Debug)]
struct Taken {
    /// The sink's `tenants`; none: all.
    named: Option<Vec<TenantName>>,
    /// Tenants that are configured no more, while what they left in the outbox still belongs to this sink.
    left: BTreeSet<TenantName>,
}

impl Intake {
    /// As configured.
    pub(crate) fn of(sink: &Sink) -> Self {
        Self(RwLock::new(Taken { named: sink.tenants.clone(), left: BTreeSet::new() }))
    }

    /// Whether the sink gets the events of this tenant.
    pub(crate) fn takes(&self, tenant: &TenantName) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).takes(tenant)
    }

    /// The sink's `tenants` are these from now on. A list cannot name a tenant that is not configured any more; the sink goes on
    /// getting what those in `gone` left.
    pub(crate) fn change(&self, named: Option<Vec<TenantName>>, gone: &BTreeSet<TenantName>) {
        let mut taken = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let left = gone.iter().filter(|tenant| taken.takes(tenant)).cloned().collect();
        *taken = Taken { named, left };
    }
}

impl Taken {
    fn takes(&self, tenant: &TenantName) -> bool {
        self.named.as_ref().is_none_or(|named| named.contains(tenant)) || self.left.contains(tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_keeps_what_a_tenant_left_that_is_gone_and_nothing_else() {
        let names = |names: &str| names.split_whitespace().map(TenantName::new).collect::<Vec<_>>();
        let intake = Intake(RwLock::new(Taken { named: Some(names("a b")), left: BTreeSet::new() }));
        let change =
            |named: Option<&str>, gone: &str| intake.change(named.map(names), &names(gone).into_iter().collect());
        let check = |expected: &str| {
            let taken = names("a b c").into_iter().filter(|name| intake.takes(name)).collect::<Vec<_>>();
            assert_eq!(taken, names(expected));
        };
        check("a b");
        // `c` is gone as well, and was never this sink's.
        change(Some("a"), "b c");
        check("a b");
        // Still gone at the next change.
        change(Some("a c"), "b");
        check("a b c");
        // Back, and not for this sink.
        change(Some("a"), "");
        check("a");
        change(None, "");
        check("a b c");
        change(Some("b"), "a");
        check("a b");
    }
}
