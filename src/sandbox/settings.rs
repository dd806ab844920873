//! What the sandbox's API is like: identity, clock, quotas, encodings, limits. Only data; may be changed while it runs.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::dialect::Dialect;
use crate::sandbox::names;
use crate::sandbox::query::{Order, Taste};

/// The settings of a [`Sandbox`](crate::sandbox::server::Sandbox).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the generator of faults, tokens and tracking ids starts.
    pub seed: u64,
    /// The application that may sign in.
    pub client_id: String,
    /// Its secret.
    pub secret: String,
    /// What tokens of Defender are for: the scope is this with `/.default` behind it.
    pub audience: String,
    /// The `roles` of such a token; empty: the claim is missing, as without consent.
    pub roles: Vec<String>,
    /// `expires_in` of a token.
    pub token_lifetime: Duration,
    /// Server time less our own clock, in milliseconds.
    pub clock_offset_ms: i64,
    /// The world advances by itself, this often. Read at the start only. Without it the world only lets become visible
    /// what is due.
    pub live: Option<Duration>,
    /// In which order the list comes.
    pub order: Order,
    /// What `$top` of Defender's list is where it is missing.
    pub top_default: u64,
    /// What Defender's list takes.
    pub taste: Taste,
    /// A page of either API that holds one of these incidents, by number, is answered with 500, whatever else is on it.
    pub poison: BTreeSet<u64>,
    /// How bodies are packed.
    pub coding: Coding,
    /// The quotas.
    pub quotas: Quotas,
    /// What is different at Graph.
    pub graph: Graph,
}

/// What Microsoft Graph is like.
#[derive(Debug, Clone)]
pub struct Graph {
    /// What tokens of Graph are for.
    pub audience: String,
    /// The `roles` of such a token.
    pub roles: Vec<String>,
    /// What `$top` is where it is missing, of incidents and of alerts.
    pub top_default: u64,
    /// What the list takes.
    pub taste: Taste,
    /// The greatest `$top` of the alerts of an incident; their `$skip` is bounded like that of the list.
    pub alerts_top_max: u64,
    /// Alerts on a page of them at most, whatever `$top` asks for. None: as many as it asks for.
    pub alerts_page_max: Option<u64>,
    /// Whether there is a link to the next page, and where it leads.
    pub next_link: NextLink,
    /// A list with `$expand=alerts` that holds one of these incidents, by number, is answered with 500, whatever else is on it.
    pub poison_expanded: BTreeSet<u64>,
    /// The alerts of these incidents, by number, are answered with 500.
    pub poison_alerts: BTreeSet<u64>,
    /// Alerts in an expanded incident at most; behind them comes `alerts@odata.nextLink`. None: all.
    pub expanded_max: Option<usize>,
}

/// `@odata.nextLink` of a page behind which there is more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NextLink {
    /// There is none.
    Missing,
    /// Where the page came from.
    #[default]
    Same,
    /// To this origin, such as `http://127.0.0.1:9999`.
    Foreign(String),
}

/// How bodies are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coding {
    /// `deflate` (zlib) where the client offers it, which the real one prefers; else `gzip`; else not.
    #[default]
    AsOffered,
    /// As `AsOffered`, but `deflate` is raw, as .NET and IIS send it.
    AsOfferedRaw,
    /// Not, whatever is offered.
    Identity,
    /// `gzip`, whatever is offered.
    Gzip,
    /// `deflate` as RFC 9110 section 8.4.1.2 has it, whatever is offered.
    Zlib,
    /// `deflate` without the zlib wrapper, whatever is offered.
    RawDeflate,
}

/// The quotas, counted when a call arrives, for each API by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Of the list; none: lifted.
    pub list: Option<Limits>,
    /// Of single incidents; none: lifted.
    pub get: Option<Limits>,
    /// Of the alerts of single incidents; none: lifted.
    pub alerts: Option<Limits>,
    /// Calls that are answered 429 count too.
    pub count_rejected: bool,
    /// How the 429 reads.
    pub words: QuotaWords,
    /// What stands in `Retry-After`.
    pub retry_after: RetryAfter,
}

/// Calls in any sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In 60 s.
    pub per_minute: u32,
    /// In 3600 s.
    pub per_hour: u32,
}

/// Spellings of the 429 that were observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuotaWords {
    /// With the key of the quota and the seconds to wait.
    #[default]
    Newer,
    /// The limit and its window only.
    Older,
    /// The code of the documentation, with the seconds to wait.
    Documented,
}

/// What stands in `Retry-After` of a 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RetryAfter {
    /// There is no such header.
    #[default]
    Missing,
    /// Seconds.
    Seconds,
    /// A date of the server's clock.
    HttpDate,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            client_id: names::CLIENT_ID.into(),
            secret: names::SECRET.into(),
            audience: "https://api.security.microsoft.com".into(),
            roles: vec!["Incident.Read.All".into()],
            token_lifetime: Duration::from_secs(3_599),
            clock_offset_ms: 0,
            live: None,
            order: Order::default(),
            top_default: 100,
            taste: Taste { top_max: 100, skip_max: None, refuses_lt: false, plus_is_space: true },
            poison: BTreeSet::new(),
            coding: Coding::default(),
            quotas: Quotas::default(),
            graph: Graph::default(),
        }
    }
}

impl Default for Graph {
    fn default() -> Self {
        Self {
            audience: "https://graph.microsoft.com".into(),
            roles: vec!["SecurityIncident.Read.All".into()],
            top_default: 50,
            // The ceiling of `$skip` is documented for its alerts, and was seen with incidents.
            taste: Taste { top_max: 50, skip_max: Some(500), refuses_lt: false, plus_is_space: true },
            alerts_top_max: 100,
            alerts_page_max: None,
            next_link: NextLink::default(),
            poison_expanded: BTreeSet::new(),
            poison_alerts: BTreeSet::new(),
            expanded_max: None,
        }
    }
}

impl Settings {
    /// A tenant that lives by itself.
    pub fn live() -> Self {
        Self { live: Some(Duration::from_millis(200)), ..Self::default() }
    }

    /// What tokens of this API are for.
    pub fn audience_in(&self, dialect: Dialect) -> &str {
        match dialect {
            Dialect::Defender => &self.audience,
            Dialect::Graph => &self.graph.audience,
        }
    }

    /// The `roles` of its tokens.
    pub fn roles_in(&self, dialect: Dialect) -> &[String] {
        match dialect {
            Dialect::Defender => &self.roles,
            Dialect::Graph => &self.graph.roles,
        }
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            list: Some(Limits { per_minute: 50, per_hour: 1_500 }),
            get: Some(Limits { per_minute: 100, per_hour: 1_500 }),
            // As Graph's page of throttling limits has it for its resource `alert`.
            alerts: Some(Limits { per_minute: 150, per_hour: 9_000 }),
            count_rejected: true,
            words: QuotaWords::default(),
            retry_after: RetryAfter::default(),
        }
    }
}

impl Quotas {
    /// No quota at all, for benches.
    pub fn lifted() -> Self {
        Self { list: None, get: None, alerts: None, ..Self::default() }
    }
}
