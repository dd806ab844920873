//! One tenant tried: signed in, roles looked at, clocks compared; and the API asked, or the running daemon. Every finding is kept,
//! a good one too, and none of them holds a secret.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::admin::status::{Status, TenantStatus};
use crate::api::{defender, graph};
use crate::config::tenant::Tenant as Config;
use crate::identity::token::{Token, Tokens};
use crate::identity::{Credential, TokenError};
use crate::model::dialect::Dialect;
use crate::model::names::TenantName;
use crate::model::page::FetchError;
use crate::run::clock::Clock;
use crate::run::daemon::RunError;
use crate::run::tenant;
use crate::run::trial::api::ApiTrial;
use crate::run::trial::purse::Purse;
use crate::run::trial::{Late, Line};
use crate::store::Store;

/// A clock that is off by less is as good as right: `Date` has whole seconds, and an answer takes its time.
const SKEW_FINE: f64 = 60.0;
/// Entra refuses assertions of a clock that is off by more (its page on certificate credentials gives them ten minutes at most).
const SKEW_ASSERTIONS: f64 = 300.0;

/// What can be said of the end of a client secret: neither it nor its token has a date in it.
const SECRET_ENDS: &str = "when it ends is not known: see Entra, Certificates & secrets of the app registration";

/// Who tells of a tenant's API.
pub(super) enum Witness<'a> {
    /// The daemon that reads it.
    Daemon(&'a Status),
    /// The API, asked by us; with the store that the quota is in, where there is one.
    Api { store: Option<&'a Store>, clock: Clock },
}

/// What was found of a tenant.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TenantTrial {
    /// The dialect.
    pub api: Dialect,
    /// How the token was got; none where it was not.
    pub token: Option<TokenTrial>,
    /// Days until the certificate ends that it was asked for with; below zero since it has.
    pub certificate_days_left: Option<i64>,
    /// The roles in the token; none where it does not say.
    pub roles: Option<Vec<String>>,
    /// The role that reading takes, where the token says what it holds and that is not enough.
    pub role_missing: Option<&'static str>,
    /// Our clock less the server's, in seconds.
    pub clock_skew_seconds: Option<f64>,
    /// What that means.
    pub clock: Option<String>,
    /// What the API answered; none where it was not asked.
    pub answers: Option<ApiTrial>,
    /// What the running daemon says, which was asked instead.
    pub daemon: Option<TenantStatus>,
    /// What is no error and worth a look.
    pub notes: Vec<String>,
    /// What went wrong, with the remedy.
    pub error: Option<String>,
    /// A credential or permission was refused.
    pub refused: bool,
}

/// How a token was got.
#[derive(Debug, Clone, Serialize)]
pub struct TokenTrial {
    /// The kind of credential.
    pub credential: &'static str,
    /// Whom it was asked of: host, and port where it is not the usual one.
    pub endpoint: String,
    /// How long that took.
    pub milliseconds: u64,
    /// How long it is good.
    pub seconds_left: u64,
    #[serde(skip)]
    is_by_secret: bool,
}

/// Tries a tenant.
///
/// # Errors
/// The client cannot be made, or the store fails.
pub(super) async fn try_one(
    name: &TenantName,
    config: &Config,
    witness: &Witness<'_>,
) -> Result<TenantTrial, RunError> {
    let wrong = |error: anyhow::Error| RunError::Tenant { tenant: name.clone(), why: error };
    let (client, tokens) = tenant::client(config).map_err(|error| wrong(error.into()))?;
    let mut trial = TenantTrial { api: config.api, ..TenantTrial::default() };
    trial.sign_in(&tokens, config).await;
    match witness {
        Witness::Daemon(status) => trial.ask_daemon(status.tenants.get(name), config),
        Witness::Api { store, clock } if trial.is_ok() => {
            let mut purse = Purse::of(config, *store, *clock)?;
            let answers = ApiTrial::of(&client, config, &mut purse).await?;
            trial.take(answers, config);
        }
        Witness::Api { .. } => {}
    }
    Ok(trial)
}

impl TenantTrial {
    /// Of a tenant for which there was too little time.
    pub(super) fn unfinished(api: Dialect, late: Late) -> Self {
        Self { api, error: Some(late.to_string()), ..Self::default() }
    }

    /// Whether the daemon can read this tenant.
    pub const fn is_ok(&self) -> bool {
        self.error.is_none()
    }

    /// Whether there is something that somebody should read.
    pub fn is_worth_a_look(&self) -> bool {
        !self.is_ok() || !self.notes.is_empty()
    }

    async fn sign_in(&mut self, tokens: &Tokens, config: &Config) {
        let began = Instant::now();
        let answer = tokens.token().await;
        let days_left = |end| (tenant::seconds_until(end) / 86_400.0).floor() as i64;
        self.certificate_days_left = tokens.certificate_expires_at().map(days_left);
        match answer {
            Ok(token) => {
                self.token = Some(TokenTrial {
                    credential: tokens.credential(),
                    endpoint: asked(config),
                    milliseconds: milliseconds(began.elapsed()),
                    seconds_left: tokens.expires_in().unwrap_or_default().as_secs(),
                    is_by_secret: matches!(config.credential, Credential::ClientSecret(_)),
                });
                self.look_at_roles(&token);
            }
            Err(error) => self.fail(error.to_string(), matches!(error, TokenError::Refused { .. })),
        }
    }

    /// The API is the judge; what the token says is there to explain its verdict.
    fn look_at_roles(&mut self, token: &Token) {
        let Some(claims) = token.claims() else {
            self.notes.push("the token does not say what roles it holds".into());
            return;
        };
        let (needed, _) = permission(self.api);
        let writes = needed.replace(".Read.", ".ReadWrite.");
        if claims.is_delegated {
            self.notes.push("the token is a user's and not the application's: it sees what the user sees".into());
        }
        let is_enough = |role: &String| role == needed || *role == writes;
        self.role_missing = (!claims.roles.iter().any(is_enough)).then_some(needed);
        let more: Vec<&str> = claims.roles.iter().map(String::as_str).filter(|role| *role != needed).collect();
        if self.role_missing.is_none() && !more.is_empty() {
            self.notes.push(format!("more than needed: {}; {needed} is enough", more.join(", ")));
        }
        self.roles = Some(claims.roles);
    }

    fn ask_daemon(&mut self, status: Option<&TenantStatus>, config: &Config) {
        if let Some(missing) = self.role_missing.filter(|_| self.is_ok()) {
            self.fail(format!("the role {missing} is missing: {}", remedy(self.api)), true);
        }
        let Some(status) = status else {
            self.notes.push("no list call: the running daemon does not know this tenant yet; restart it".into());
            return;
        };
        if let Some(error) = status.error.as_ref().filter(|_| self.is_ok()) {
            let times = status.failures;
            self.fail(format!("the running daemon has failed {times} times in a row: {error}"), status.refused);
        }
        if let Some(skew) = status.clock_skew_seconds {
            self.compare_clocks(skew, &config.credential);
        }
        self.daemon = Some(status.clone());
    }

    fn take(&mut self, answers: ApiTrial, config: &Config) {
        if let Some(skew) = answers.clock_skew_seconds {
            self.compare_clocks(skew, &config.credential);
        }
        if let Some(error) = &answers.error {
            let refused = matches!(error, FetchError::Refused { .. } | FetchError::Unauthorized { .. });
            let hint = match self.role_missing {
                Some(_) if refused => "; once granted it takes minutes until a token has it",
                Some(_) | None => "",
            };
            self.fail(format!("{error}{hint}"), refused);
        } else if let Some(missing) = self.role_missing.filter(|_| answers.list.is_some()) {
            self.notes.push(format!("the token does not hold {missing}, and the API answers all the same"));
        }
        self.notes.extend(answers.note.clone());
        self.answers = Some(answers);
    }

    fn compare_clocks(&mut self, skew: f64, credential: &Credential) {
        let meaning = clock_meaning(skew, credential);
        if SKEW_FINE <= skew.abs() {
            self.notes.push(format!("this machine's clock is off by {skew:+.0} s: {meaning}"));
        }
        self.clock_skew_seconds = Some(skew);
        self.clock = Some(meaning.into());
    }

    fn fail(&mut self, why: String, refused: bool) {
        (self.error, self.refused) = (Some(why), refused);
    }

    /// For people: what was tried and what was found.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut say = |what, found: Option<String>| lines.extend(found.map(|found| (what, found)));
        say("token", self.token.as_ref().map(TokenTrial::words));
        say("certificate", self.certificate_days_left.map(ends));
        say("secret", self.token.as_ref().filter(|token| token.is_by_secret).map(|_| SECRET_ENDS.into()));
        say("roles", self.roles.as_ref().map(|roles| self.role_words(roles)));
        let skew = self.clock_skew_seconds.map(|skew| format!("{skew:+.1} s against the server"));
        let fine = self.clock_skew_seconds.filter(|skew| skew.abs() < SKEW_FINE).map(|_| ", which is fine");
        say("clock", skew.map(|skew| skew + fine.unwrap_or_default()));
        say("daemon", self.daemon.as_ref().map(daemon_words));
        if let Some(answers) = &self.answers {
            lines.extend(answers.lines());
        }
        lines.extend(self.notes.iter().map(|note| ("note", note.clone())));
        lines.extend(self.error.iter().map(|error| ("ERROR", error.clone())));
        lines
    }

    /// The same in one line, for a tenant among hundreds with which all is well.
    pub fn in_short(&self) -> String {
        let token = self.token.as_ref().map(|token| format!("{} in {} ms", token.credential, token.milliseconds));
        let rows = self.answers.as_ref().and_then(|answers| answers.list.as_ref()).map(ToString::to_string);
        let daemon = self.daemon.as_ref().map(daemon_words);
        [Some("ok".into()), token, rows, daemon].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn role_words(&self, roles: &[String]) -> String {
        let held = if roles.is_empty() { "none".to_owned() } else { roles.join(", ") };
        match self.role_missing {
            Some(missing) => format!("{held}; {missing} is missing"),
            None => held,
        }
    }
}

impl TokenTrial {
    fn words(&self) -> String {
        let Self { credential, endpoint, milliseconds, seconds_left, is_by_secret: _ } = self;
        format!("by {credential} in {milliseconds} ms from {endpoint}, good for {seconds_left} s")
    }
}

/// The permission that reading takes, and what it belongs to.
const fn permission(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Defender => (defender::PERMISSION, defender::PERMISSION_OF),
        Dialect::Graph => (graph::PERMISSION, graph::PERMISSION_OF),
    }
}

fn remedy(dialect: Dialect) -> String {
    let (needed, of) = permission(dialect);
    format!(
        "give the app registration the application permission {needed} of \"{of}\", with admin consent; it takes minutes until a \
         token has it"
    )
}

/// Whom the token was asked of.
fn asked(config: &Config) -> String {
    if config.credential.is_of_this_host() {
        return "this host".into();
    }
    let url = config.login_url.clone().unwrap_or_else(|| config.cloud.login_url());
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Days until a certificate ends, in words.
pub(super) fn ends(days_left: i64) -> String {
    match days_left {
        0.. => format!("ends in {days_left} days"),
        _ => "has expired".into(),
    }
}

/// What the difference of the clocks means: nothing to the cursor, which goes by the server's.
fn clock_meaning(skew: f64, credential: &Credential) -> &'static str {
    let signs = match credential {
        Credential::Certificate(_) => true,
        Credential::ClientSecret(_) | Credential::WorkloadIdentity(_) | Credential::ManagedIdentity => false,
    };
    match skew.abs() {
        skew if skew < SKEW_FINE => "fine",
        skew if SKEW_ASSERTIONS <= skew && signs => {
            "sign-ins by certificate are refused at such a distance; set it right (NTP). No incident is lost by it: the cursor \
             goes by the server's clock"
        }
        skew if SKEW_ASSERTIONS <= skew => {
            "observed_at of events and the judgement of TLS certificates go by it; set it right (NTP). No incident is lost by \
             it: the cursor goes by the server's clock"
        }
        _ => {
            "no incident is lost by it, since the cursor goes by the server's clock; but set it right (NTP): from 5 minutes on \
             sign-ins by certificate are refused"
        }
    }
}

fn daemon_words(status: &TenantStatus) -> String {
    let lag = status.lag_seconds.map(|lag| format!("last complete sweep {lag:.0} s ago"));
    let lag = lag.unwrap_or_else(|| "no complete sweep yet".into());
    let cursor = status.cursor.as_ref().map(|cursor| format!(", read up to {cursor}")).unwrap_or_default();
    format!("no list call: the running daemon reads this tenant, {lag}{cursor}")
}

/// Milliseconds, for programs.
pub(super) fn milliseconds(span: Duration) -> u64 {
    span.as_millis().try_into().unwrap_or(u64::MAX)
}
