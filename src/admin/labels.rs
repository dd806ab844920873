//! The labels that series of `/metrics` have.

use std::fmt::Write as _;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::admin::series::OfTenant;
use crate::model::event::Kind;
use crate::model::names::{SinkName, TenantName};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByTenant {
    pub(super) tenant: Label<TenantName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BySink {
    pub(super) sink: Label<SinkName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByTenantAndSink {
    pub(super) tenant: Label<TenantName>,
    pub(super) sink: Label<SinkName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByTenantAndKind {
    pub(super) tenant: Label<TenantName>,
    pub(super) kind: Label<Kind>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByTenantAndPass {
    pub(super) tenant: Label<TenantName>,
    pub(super) pass: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByCall {
    pub(super) tenant: Label<TenantName>,
    pub(super) endpoint: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByQuota {
    pub(super) tenant: Label<TenantName>,
    pub(super) endpoint: &'static str,
    pub(super) window: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByOutcome {
    pub(super) outcome: &'static str,
}

macro_rules! of_tenant {
    ($($labels:ty),*) => {
        $(impl OfTenant for $labels {
            fn tenant(&self) -> &TenantName {
                &self.tenant.0
            }
        })*
    };
}

of_tenant!(ByTenant, ByTenantAndSink, ByTenantAndKind, ByTenantAndPass, ByCall, ByQuota);

/// A name of ours as the value of a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Label<T>(pub(super) T);

impl<T: std::fmt::Display> EncodeLabelValue for Label<T> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        write!(encoder, "{}", self.0)
    }
}
