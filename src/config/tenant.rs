//! The keys of `[tenants.NAME]`: whom to ask, as whom, and from when on. Asks nobody.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::api::Cloud;
use crate::config::poll::{Poll, Quota};
use crate::identity::{Credential, environment};
use crate::model::dialect::Dialect;
use crate::model::names::TenantKey;
use crate::model::timestamp::Timestamp;
use crate::model::units::Span;
use crate::transport::proxy;

/// A time as a pattern of JSON Schema: RFC 3339, and what may be left out of it. Neither in it is what nobody writes (years with a
/// sign, names of zones in brackets), nor how many days a month has.
const TIME: &str = concat!(
    r"^(?:19[7-9][0-9]|[2-9][0-9]{3})",
    r"(?:-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))[Tt ]",
    r"(?:[01][0-9]|2[0-3])",
    r"(?::[0-5][0-9](?::(?:[0-5][0-9]|60)(?:[.,][0-9]+)?)?|[0-5][0-9](?:(?:[0-5][0-9]|60)(?:[.,][0-9]+)?)?)?",
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-5])(?::[0-5][0-9](?::[0-5][0-9])?|[0-5][0-9](?:[0-5][0-9])?)?)$"
);

/// A tenant of Microsoft that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// Its GUID, or one of its domains.
    pub tenant_id: String,
    /// The GUID of the app registration, or of a user-assigned managed identity; none: the host's own, or what the platform says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The API that is asked.
    pub api: Dialect,
    /// Where the tenant lives.
    pub cloud: Cloud,
    /// From when on incidents are taken at the first run.
    pub start: Start,
    /// The API's base instead of the one of `cloud`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_url: Option<Url>,
    /// The token endpoint's base instead of the one of `cloud`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_url: Option<Url>,
    /// Whom the token is for, instead of the one of `cloud`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// An authority trusted beside the others: that of a proxy which opens TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca_file: Option<PathBuf>,
    /// A proxy; left out: the environment's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<Url>,
    /// What goes with the proxy.
    #[serde(skip_serializing_if = "proxy::Settings::is_default")]
    pub proxy: proxy::Settings,
    /// How we prove who we are.
    pub credential: Credential,
    /// How it is read: `[tenants.NAME.poll]` over `[poll]` over the defaults.
    pub poll: Poll,
    /// How often it is asked: `[tenants.NAME.quota]` over `[quota]` over the defaults.
    pub quota: Quota,
}

impl Tenant {
    /// Who we are to the sign-in: as configured, or with a workload identity as the platform says.
    pub fn client_id(&self) -> Option<String> {
        self.credential.client_id(self.client_id.as_deref(), &environment)
    }

    /// What the store calls it.
    pub fn key(&self) -> TenantKey {
        TenantKey::of(self.cloud.as_str(), &self.tenant_id)
    }
}

/// From when on incidents are taken at the first run; later runs go on where the last one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// What changes from now on.
    #[default]
    Now,
    /// And what changed so long before.
    Back(Duration),
    /// What changed since.
    At(Timestamp),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<Span>(), text.parse::<Timestamp>()) {
            ("now", _, _) => Ok(Self::Now),
            (_, Ok(span), _) => Ok(Self::Back(span.0)),
            (_, _, Ok(time)) => Ok(Self::At(time)),
            (_, Err(_), Err(_)) => Err(format!(
                "{text:?} is neither \"now\", nor a look-back such as \"7d\", nor a time such as \"2026-11-21T10:00:00Z\""
            )),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Back(span) => Span(*span).fmt(f),
            Self::At(time) => time.fmt(f),
        }
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Start {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let now = json_schema!({ "const": "now", "description": "What changes from now on." });
        let time = json_schema!({ "pattern": TIME, "examples": ["2026-11-21T10:00:00Z"] });
        json_schema!({ "type": "string", "anyOf": [now, Span::json_schema(generator), time] })
    }
}
