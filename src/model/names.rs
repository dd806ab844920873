//! Names and positions, one type each, so that a sequence is never taken for a count nor a tenant for a sink.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Takes the text as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// What the configuration calls a tenant: the NAME of `[tenants.NAME]`. It is in every `event_id`.
    TenantName
}
name! {
    /// What the configuration calls a sink: the NAME of `[sinks.NAME]`.
    SinkName
}
name! {
    /// The id of an incident as the API writes it, without quotes: a number in the Defender dialect, a text in Graph's.
    IncidentId
}
name! {
    /// Tenant, incident id, ticks of its last update and eight hex digits of its content hash, with slashes between. The
    /// same revision always has the same one; receivers deduplicate on it.
    EventId
}
name! {
    /// What a tenant is at Microsoft: `cloud/tenant id`. Keys of the store hold this and not the configured name, so that a
    /// renamed or re-pointed tenant never takes over another one's cursor.
    TenantKey
}

impl TenantKey {
    /// The key of a tenant id (a GUID in any case) in a cloud.
    pub fn of(cloud: &str, tenant_id: &str) -> Self {
        Self(format!("{cloud}/{}", tenant_id.to_ascii_lowercase()))
    }
}

/// A position in the outbox. Grows by one per event over all tenants; the first event has 1, and 0 means "before all".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The next position.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
