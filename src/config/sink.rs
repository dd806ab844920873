//! The keys of `[sinks.NAME]`: those of every sink here, those of its kind in the sink's own file. Opens nothing.

use serde::{Deserialize, Serialize};

use crate::format::Format;
use crate::model::names::TenantName;
use crate::sink;

/// A place that events go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// Its kind, with the keys of that kind.
    pub kind: sink::Config,
    /// How events are written.
    pub format: Format,
    /// The tenants whose events it gets; none: all.
    pub tenants: Option<Vec<TenantName>>,
}

impl Sink {
    /// Whether it gets the events of this tenant.
    pub fn takes(&self, tenant: &TenantName) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }
}

/// The word of the key `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KindName {
    File,
    Stdout,
    Syslog,
    Http,
}

impl KindName {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::File, Self::Stdout, Self::Syslog, Self::Http];

    /// The word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Stdout => "stdout",
            Self::Syslog => "syslog",
            Self::Http => "http",
        }
    }

    /// The keys that a sink of this kind has beside those of every sink.
    pub(crate) fn keys(self) -> &'static [&'static str] {
        use crate::config::section::keys_of;
        match self {
            Self::File => keys_of::<sink::file::Config>(),
            Self::Stdout => keys_of::<sink::stdout::Config>(),
            Self::Syslog => keys_of::<sink::syslog::Config>(),
            Self::Http => keys_of::<sink::http::Config>(),
        }
    }
}
