//! The keys of `[sinks.NAME]`: those of every sink here, those of its kind in the sink's own file. Opens nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::filter::Filter;
use crate::format::Style;
use crate::format::split::Split;
use crate::model::names::TenantName;
use crate::model::units::Size;
use crate::sink;

/// A place that events go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// Its kind, with the keys of that kind.
    pub kind: sink::Config,
    /// How events are written.
    pub style: Style,
    /// Whether one event is sent as several.
    pub split: Option<Split>,
    /// Which incidents it gets; none: all.
    pub filter: Option<Filter>,
    /// Bytes of one record at most, beside what the kind itself can take; a larger event is reduced.
    pub max_event_size: Option<Size>,
    /// The tenants whose events it gets; none: all.
    pub tenants: Option<Vec<TenantName>>,
}

impl Sink {
    /// Bytes of one record at most, whoever says so.
    pub fn record_limit(&self) -> Option<usize> {
        let own = self.max_event_size.map(|size| usize::try_from(size.0).unwrap_or(usize::MAX));
        own.into_iter().chain(self.kind.settings().record_limit()).min()
    }

    /// Whether it gets the events of this tenant.
    pub fn takes(&self, tenant: &TenantName) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }
}

/// The word of the key `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum KindName {
    File,
    Stdout,
    Syslog,
    Http,
    SplunkHec,
    Elasticsearch,
    Relp,
    Kafka,
    AzureMonitor,
}

impl KindName {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::File,
        Self::Stdout,
        Self::Syslog,
        Self::Http,
        Self::SplunkHec,
        Self::Elasticsearch,
        Self::Relp,
        Self::Kafka,
        Self::AzureMonitor,
    ];

    /// The word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Stdout => "stdout",
            Self::Syslog => "syslog",
            Self::Http => "http",
            Self::SplunkHec => "splunk_hec",
            Self::Elasticsearch => "elasticsearch",
            Self::Relp => "relp",
            Self::Kafka => "kafka",
            Self::AzureMonitor => "azure_monitor",
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
            Self::SplunkHec => keys_of::<sink::splunk_hec::Config>(),
            Self::Elasticsearch => keys_of::<sink::elasticsearch::Config>(),
            Self::Relp => keys_of::<sink::relp::Config>(),
            Self::Kafka => keys_of::<sink::kafka::Config>(),
            Self::AzureMonitor => keys_of::<sink::azure_monitor::Config>(),
        }
    }
}
