//! The source: the incidents API in its dialects. Asks once and turns every answer into what the caller must do. Never retries,
//! waits, counts calls or logs.

mod answer;
mod body;
pub mod client;
pub mod defender;
#[doc(hidden)]
pub mod fuzzing;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

/// How one tenant's API is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `https://api.security.microsoft.com` and its like.
    pub api_url: Url,
    /// The dialect.
    pub dialect: Dialect,
    /// Bytes of one page at most, after decompression. A page takes up to twice as much while it is read, besides what came
    /// over the wire; there is no bound over all tenants here, whoever calls sees to that.
    pub max_body_size: u64,
    /// Bytes of one incident at most; a larger one becomes a stub.
    pub max_incident_size: u64,
    /// One call, from connecting to the last byte of the body.
    pub request_timeout: Duration,
}

/// Which API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `/api/incidents` of Microsoft Defender XDR.
    #[default]
    Defender,
}

/// Microsoft's clouds, and what each implies unless the configuration says otherwise.
///
/// Hosts: Microsoft Defender XDR for US Government customers (`usgov.md`). The audiences of the government clouds are not
/// documented; clients in the field take the base URL, and so do we.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cloud {
    /// The public one.
    #[default]
    Global,
    /// US Government Community Cloud: signs in at the public one.
    Gcc,
    /// US GCC High.
    GccHigh,
    /// US Department of Defense.
    Dod,
}

impl Cloud {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Global, Self::Gcc, Self::GccHigh, Self::Dod];

    /// The name in the configuration and in the keys of the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Gcc => "gcc",
            Self::GccHigh => "gcc_high",
            Self::Dod => "dod",
        }
    }

    /// Where the API is.
    pub fn api_url(self) -> Url {
        self.audience().parse().expect("a constant that a test parses")
    }

    /// Where tokens come from.
    pub fn login_url(self) -> Url {
        let url = match self {
            Self::Global | Self::Gcc => "https://login.microsoftonline.com",
            Self::GccHigh | Self::Dod => "https://login.microsoftonline.us",
        };
        url.parse().expect("a constant that a test parses")
    }

    /// What a token is for. It stays the same where `api_url` is set to a regional host.
    pub const fn audience(self) -> &'static str {
        match self {
            Self::Global => "https://api.security.microsoft.com",
            Self::Gcc => "https://api-gcc.security.microsoft.us",
            Self::GccHigh | Self::Dod => "https://api-gov.security.microsoft.us",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cloud_has_its_hosts_and_its_name() {
        let check = |cloud: Cloud, name: &str, api: &str, login: &str| {
            assert_eq!(serde_json::to_string(&cloud).expect("a name"), format!("{name:?}"));
            assert_eq!(
                (cloud.as_str(), cloud.api_url().host_str(), cloud.login_url().host_str()),
                (name, Some(api), Some(login))
            );
        };
        check(Cloud::Global, "global", "api.security.microsoft.com", "login.microsoftonline.com");
        check(Cloud::Gcc, "gcc", "api-gcc.security.microsoft.us", "login.microsoftonline.com");
        check(Cloud::GccHigh, "gcc_high", "api-gov.security.microsoft.us", "login.microsoftonline.us");
        check(Cloud::Dod, "dod", "api-gov.security.microsoft.us", "login.microsoftonline.us");
        assert_eq!(Cloud::ALL.len(), 4);
    }
}
