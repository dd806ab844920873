//! The source: the incidents API in its dialects. Asks once and turns every answer into what the caller must do. Never retries,
//! waits, counts calls or logs.

mod answer;
mod body;
pub mod client;
pub mod completion;
pub mod defender;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
pub mod graph;
mod odata;
mod rows;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::model::dialect::Dialect;

/// How one tenant's API is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `https://api.security.microsoft.com` and its like.
    pub api_url: Url,
    /// The dialect.
    pub dialect: Dialect,
    /// Bytes of one page at most, after decompression. A page takes up to twice as much while it is read, besides what came
    /// over the wire; what all tenants have in hand together is bounded in [`hands`](crate::transport::hands).
    pub max_body_size: u64,
    /// Bytes of one incident at most; a larger one becomes a stub.
    pub max_incident_size: u64,
    /// One call, from connecting to the last byte of the body.
    pub request_timeout: Duration,
}

/// Microsoft's clouds, and what each implies unless the configuration says otherwise.
///
/// Hosts: Microsoft Defender XDR for US Government customers (`usgov.md`), and Graph's page of national clouds. The audiences of
/// Defender's government clouds are not documented; clients in the field take the base URL, and so do we.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
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
    pub fn api_url(self, dialect: Dialect) -> Url {
        self.audience(dialect).parse().expect("a constant that a test parses")
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
    pub const fn audience(self, dialect: Dialect) -> &'static str {
        match (dialect, self) {
            (Dialect::Defender, Self::Global) => "https://api.security.microsoft.com",
            (Dialect::Defender, Self::Gcc) => "https://api-gcc.security.microsoft.us",
            (Dialect::Defender, Self::GccHigh | Self::Dod) => "https://api-gov.security.microsoft.us",
            (Dialect::Graph, Self::Global | Self::Gcc) => "https://graph.microsoft.com",
            (Dialect::Graph, Self::GccHigh) => "https://graph.microsoft.us",
            (Dialect::Graph, Self::Dod) => "https://dod-graph.microsoft.us",
        }
    }
}

/// What is known of a host of Microsoft's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The incidents API in this dialect, for these clouds. Regional hosts are among them, in either spelling of the
    /// documentation: `eu.api.security.microsoft.com`, `api-eu.security.microsoft.com`.
    Incidents(Dialect, &'static [Cloud]),
    /// An API without these incidents: Defender for Endpoint, Graph in China.
    Other,
}

impl Known {
    /// By the host of an API. None: a proxy, a sandbox, whatever somebody runs himself.
    pub fn of_api(host: &str) -> Option<Self> {
        use Cloud::{Dod, Gcc, GccHigh, Global};
        let below = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        Some(match host {
            "graph.microsoft.com" => Self::Incidents(Dialect::Graph, &[Global, Gcc]),
            "graph.microsoft.us" => Self::Incidents(Dialect::Graph, &[GccHigh]),
            "dod-graph.microsoft.us" => Self::Incidents(Dialect::Graph, &[Dod]),
            "api-gcc.security.microsoft.us" => Self::Incidents(Dialect::Defender, &[Gcc]),
            "api-gov.security.microsoft.us" => Self::Incidents(Dialect::Defender, &[GccHigh, Dod]),
            _ if below("security.microsoft.com") => Self::Incidents(Dialect::Defender, &[Global]),
            _ if below("security.microsoft.us") => Self::Incidents(Dialect::Defender, &[Gcc, GccHigh, Dod]),
            "microsoftgraph.chinacloudapi.cn" => Self::Other,
            _ if ["securitycenter.microsoft.com", "securitycenter.microsoft.us", "securitycenter.windows.com"]
                .into_iter()
                .any(below) =>
            {
                Self::Other
            }
            _ => return None,
        })
    }

    /// By an audience: its host, or the id of the API's own application (Microsoft's list of first-party applications).
    pub fn of_audience(audience: &str) -> Option<Self> {
        match audience.to_ascii_lowercase().as_str() {
            "8ee8fdad-f234-4243-8f3b-15c294843740" => Some(Self::Incidents(Dialect::Defender, &Cloud::ALL)),
            "00000003-0000-0000-c000-000000000000" => Some(Self::Incidents(Dialect::Graph, &Cloud::ALL)),
            "fc780465-2017-40d4-a0c5-307022471b92" => Some(Self::Other),
            text => Self::of_api(Url::parse(text).ok()?.host_str()?),
        }
    }
}

/// The clouds that sign in at this host; an empty list for the one in China, where there are no incidents. None: a host of
/// somebody else.
pub fn signs_in(host: &str) -> Option<&'static [Cloud]> {
    Some(match host {
        "login.microsoftonline.com" | "login.windows.net" | "login.microsoft.com" | "sts.windows.net" => {
            &[Cloud::Global, Cloud::Gcc]
        }
        "login.microsoftonline.us" | "login-us.microsoftonline.com" => &[Cloud::GccHigh, Cloud::Dod],
        "login.chinacloudapi.cn" | "login.partner.microsoftonline.cn" => &[],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cloud_implies_is_known_to_be_of_that_cloud() {
        for cloud in Cloud::ALL {
            let login = cloud.login_url();
            assert!(
                signs_in(login.host_str().expect("a host")).is_some_and(|clouds| clouds.contains(&cloud)),
                "{login}"
            );
            for dialect in Dialect::ALL {
                let url = cloud.api_url(dialect);
                let known = Known::of_api(url.host_str().expect("a host"));
                let is_ours = |clouds: &[Cloud]| clouds.contains(&cloud);
                assert!(
                    matches!(known, Some(Known::Incidents(of, clouds)) if of == dialect && is_ours(clouds)),
                    "{url}"
                );
                assert_eq!(known, Known::of_audience(cloud.audience(dialect)), "{url}");
            }
        }
    }

    #[test]
    fn a_host_of_microsoft_is_known_in_every_spelling() {
        use Dialect::{Defender, Graph};
        let check = |host: &str, expected: Option<Option<Dialect>>| {
            let known = Known::of_api(host).map(|known| match known {
                Known::Incidents(dialect, _) => Some(dialect),
                Known::Other => None,
            });
            assert_eq!(known, expected, "{host}");
        };
        for region in
            ["us.api", "eu.api", "uk.api", "au.api", "swa.api", "ina.api", "aea.api", "api-us", "api-eu", "api-uk"]
        {
            check(&format!("{region}.security.microsoft.com"), Some(Some(Defender)));
        }
        check("graph.microsoft.com", Some(Some(Graph)));
        check("api-us.securitycenter.microsoft.com", Some(None));
        check("api.securitycenter.windows.com", Some(None));
        check("microsoftgraph.chinacloudapi.cn", Some(None));
        check("notsecurity.microsoft.com", None);
        check("security.microsoft.com.example.net", None);
        check("127.0.0.1", None);
        assert_eq!(
            Known::of_audience("00000003-0000-0000-C000-000000000000"),
            Known::of_audience("00000003-0000-0000-c000-000000000000")
        );
        assert_eq!(Known::of_audience("api://something"), None);
    }

    #[test]
    fn every_cloud_has_its_hosts_and_its_name() {
        let check = |cloud: Cloud, name: &str, login: &str, defender: &str, graph: &str| {
            assert_eq!(serde_json::to_string(&cloud).expect("a name"), format!("{name:?}"));
            assert_eq!((cloud.as_str(), cloud.login_url().host_str()), (name, Some(login)));
            let apis = Dialect::ALL.map(|dialect| cloud.api_url(dialect).host_str().map(str::to_owned));
            assert_eq!(apis, [Some(defender.to_owned()), Some(graph.to_owned())]);
        };
        let (global, gov) = ("login.microsoftonline.com", "login.microsoftonline.us");
        check(Cloud::Global, "global", global, "api.security.microsoft.com", "graph.microsoft.com");
        check(Cloud::Gcc, "gcc", global, "api-gcc.security.microsoft.us", "graph.microsoft.com");
        check(Cloud::GccHigh, "gcc_high", gov, "api-gov.security.microsoft.us", "graph.microsoft.us");
        check(Cloud::Dod, "dod", gov, "api-gov.security.microsoft.us", "dod-graph.microsoft.us");
        assert_eq!(Cloud::ALL.len(), 4);
    }
}
