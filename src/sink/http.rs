//! Events by HTTP POST, one each or a batch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::model::units::{Size, Span};
use crate::transport::secret::SecretSource;
use crate::transport::tls;

/// The keys of a sink of kind `http`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to post to, `https://` or `http://`.
    pub url: Url,
    /// What one request holds.
    #[serde(default)]
    pub batch: Batch,
    /// Events in one request at most.
    #[serde(default = "batch_events_default")]
    pub batch_events: u32,
    /// Bytes of body in one request at most, before compression; a single larger event is sent alone.
    #[serde(default = "batch_size_default")]
    pub batch_size: Size,
    /// Compress bodies with gzip.
    #[serde(default)]
    pub gzip: bool,
    /// Who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Further headers, none of them secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// One request, from connecting to the last byte of the answer.
    #[serde(default = "timeout_default")]
    pub timeout: Span,
    /// A proxy; left out: the environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<Url>,
    /// TLS, for `https://`.
    #[serde(default)]
    pub tls: tls::Config,
}

/// What one request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Batch {
    /// One event, as it is.
    One,
    /// A JSON array of events.
    Array,
    /// Events with a newline after each.
    #[default]
    Ndjson,
}

/// Who we are, the secret always by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Bearer …`
    Bearer {
        /// The token.
        token: SecretSource,
    },
    /// `Authorization: Basic …`
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: SecretSource,
    },
    /// A header of its own, such as `X-Api-Key`.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: SecretSource,
    },
}

fn batch_events_default() -> u32 {
    100
}

fn batch_size_default() -> Size {
    Size::mebibytes(4)
}

fn timeout_default() -> Span {
    Span::seconds(30)
}
