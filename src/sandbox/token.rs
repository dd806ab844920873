//! The sign-in: client credentials with a secret, answered with a token that only this sandbox knows, or refused in the
//! words of Entra. Certificates and federation are not imitated: a sandbox that verified no signature would teach the
//! wrong lesson.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::model::dialect::Dialect;
use crate::model::timestamp::Timestamp;
use crate::sandbox::answer::Answer;
use crate::sandbox::names::{self, Dice};
use crate::sandbox::settings::Settings;
use crate::sandbox::stamp::Trimmed;

/// Tokens remembered at most; older ones are unknown.
const TOKENS_MAX: usize = 1_000;
/// Any of these roles is enough.
const fn roles_needed(dialect: Dialect) -> [&'static str; 2] {
    match dialect {
        Dialect::Defender => ["Incident.Read.All", "Incident.ReadWrite.All"],
        Dialect::Graph => ["SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"],
    }
}

/// The tokens that were issued.
#[derive(Debug, Default)]
pub struct Tokens(VecDeque<Issued>);

#[derive(Debug)]
struct Issued {
    token: String,
    /// What it is for.
    audience: String,
    from: Timestamp,
    until: Timestamp,
    roles: Vec<String>,
}

/// A sign-in as it came.
#[derive(Debug, Default)]
pub struct SignIn {
    /// From the path.
    pub tenant: String,
    /// The form, in order.
    pub form: Vec<(String, String)>,
    /// `Authorization: Basic`, decoded from Base64: client id and secret.
    pub basic: Option<(String, String)>,
}

impl SignIn {
    /// From the path, the `Authorization` header and the body.
    pub fn new(tenant: String, authorization: Option<&str>, body: &[u8]) -> Self {
        let form = url::form_urlencoded::parse(body).into_owned().collect();
        let decoded = authorization
            .and_then(|value| value.strip_prefix("Basic "))
            .and_then(|value| STANDARD.decode(value).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let decode =
            |text: &str| url::form_urlencoded::parse(format!("x={text}").as_bytes()).next().map(|(_, v)| v.into());
        let basic = decoded.as_deref().and_then(|text| text.split_once(':'));
        Self { tenant, form, basic: basic.and_then(|(id, secret)| Some((decode(id)?, decode(secret)?))) }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Why a call is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// 401 with this message.
    Unauthorized(String),
    /// 403 with this message.
    Forbidden(String),
}

impl Tokens {
    /// Answers a sign-in.
    pub fn grant(
        &mut self,
        sign_in: &SignIn,
        settings: &Settings,
        tenant_id: &str,
        now: Timestamp,
        dice: &mut Dice,
    ) -> Answer {
        let dialect = match checked(sign_in, settings, tenant_id) {
            Ok(dialect) => dialect,
            Err(refusal) => return refusal.answer(now, dice),
        };
        if self.0.len() == TOKENS_MAX {
            self.0.pop_front();
        }
        let until = now.later(settings.token_lifetime);
        let token = unsigned(settings, dialect, tenant_id, (now, until), dice);
        let seconds = settings.token_lifetime.as_secs();
        let body = json!({
            "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
        });
        let (audience, roles) = (settings.audience_in(dialect).to_owned(), settings.roles_in(dialect).to_vec());
        self.0.push_back(Issued { token, audience, from: now, until, roles });
        Answer::token(200, &body)
    }

    /// Whether a call of this API with this `Authorization` header is let in.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn admit(
        &self,
        dialect: Dialect,
        authorization: Option<&str>,
        settings: &Settings,
        tenant_id: &str,
        now: Timestamp,
    ) -> Result<(), Denied> {
        let bearer = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let issued = bearer.and_then(|bearer| self.0.iter().rev().find(|issued| issued.token == bearer));
        let is_meant_for = |issued: &Issued| issued.audience == settings.audience_in(dialect);
        let why = match issued {
            Some(issued) if now < issued.until && is_meant_for(issued) => return allowed(dialect, &issued.roles),
            Some(issued) => {
                let fault = if is_meant_for(issued) { TokenFault::Expired } else { TokenFault::Audience };
                let span = (issued.from, issued.until);
                unaccepted(dialect, fault, &settings.client_id, &issued.audience, tenant_id, span)
            }
            None if bearer.is_some() => {
                let (span, audience) = (Default::default(), settings.audience_in(dialect));
                unaccepted(dialect, TokenFault::Unknown, &settings.client_id, audience, tenant_id, span)
            }
            None => match dialect {
                Dialect::Defender => "Missing Authorization header".into(),
                Dialect::Graph => "Access token is empty.".into(),
            },
        };
        Err(Denied::Unauthorized(why))
    }
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// It is over.
    Expired,
    /// It is for another API.
    Audience,
    /// Nobody issued it.
    Unknown,
}

/// The words for a token that does not count, valid from and until these times.
pub fn unaccepted(
    dialect: Dialect,
    fault: TokenFault,
    client_id: &str,
    audience: &str,
    tenant_id: &str,
    (from, until): (Timestamp, Timestamp),
) -> String {
    match (dialect, fault) {
        (Dialect::Defender, _) => format!(
            "Invalid Authorization payload. AppId: {client_id}, Audience: {audience}, Issuer: \
             https://sts.windows.net/{tenant_id}/, Validity: valid from {} to {}",
            Trimmed(from),
            Trimmed(until),
        ),
        (Dialect::Graph, TokenFault::Expired) => "Lifetime validation failed, the token is expired.".into(),
        (Dialect::Graph, TokenFault::Audience) => "Access token validation failure. Invalid audience.".into(),
        (Dialect::Graph, TokenFault::Unknown) => "IDX14100: JWT is not well formed, or its signature is none.".into(),
    }
}

fn allowed(dialect: Dialect, roles: &[String]) -> Result<(), Denied> {
    let needed = roles_needed(dialect);
    if roles.iter().any(|role| needed.contains(&role.as_str())) {
        return Ok(());
    }
    let required = needed.join(",");
    Err(Denied::Forbidden(match roles {
        [] => format!("Missing application roles. API required roles: {required}"),
        [..] => format!(
            "Missing application roles. API required roles: {required}, application roles: {}.",
            roles.join(",")
        ),
    }))
}

/// Shaped like a JWT, with a signature that is none.
fn unsigned(
    settings: &Settings,
    dialect: Dialect,
    tenant_id: &str,
    (now, until): (Timestamp, Timestamp),
    dice: &mut Dice,
) -> String {
    let mut claims = json!({
        "aud": settings.audience_in(dialect), "iss": format!("https://sts.windows.net/{tenant_id}/"),
        "iat": now.seconds(), "nbf": now.seconds(), "exp": until.seconds(),
        "appid": settings.client_id, "appidacr": "1", "idtyp": "app", "tid": tenant_id, "ver": "1.0",
        "uti": names::hex(dice, 22),
    });
    let roles = settings.roles_in(dialect);
    if !roles.is_empty() {
        claims["roles"] = json!(roles);
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(&json!({ "alg": "none", "typ": "JWT" }));
    format!("{header}.{}.{}", part(&claims), URL_SAFE_NO_PAD.encode("not signed: a sandbox"))
}

/// A refusal of the token endpoint.
struct Refusal {
    status: u16,
    error: &'static str,
    code: u32,
    message: String,
}

impl Refusal {
    const fn new(status: u16, error: &'static str, code: u32, message: String) -> Self {
        Self { status, error, code, message }
    }

    fn answer(self, now: Timestamp, dice: &mut Dice) -> Answer {
        let (trace, correlation) = (names::guid(dice), names::guid(dice));
        let time = Trimmed(now.floor_to_second()).to_string().replace('T', " ");
        let description = format!(
            "AADSTS{}: {}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {time}",
            self.code, self.message
        );
        let body = json!({
            "error": self.error, "error_description": description, "error_codes": [self.code], "timestamp": time,
            "trace_id": trace, "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.code),
        });
        Answer::token(self.status, &body)
    }
}

/// A refusal of the secret, whatever it is.
pub fn wrong_secret(settings: &Settings, now: Timestamp, dice: &mut Dice) -> Answer {
    secret_refusal(settings).answer(now, dice)
}

fn secret_refusal(settings: &Settings) -> Refusal {
    Refusal::new(
        401,
        "invalid_client",
        7_000_215,
        format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not \
             the client secret ID, for a secret added to app '{}'.",
            settings.client_id
        ),
    )
}

/// The API that a token is wanted for. In the order in which Entra looks.
fn checked(sign_in: &SignIn, settings: &Settings, tenant_id: &str) -> Result<Dialect, Refusal> {
    let missing = |name: &str| {
        let message = format!("The request body must contain the following parameter: '{name}'.");
        Refusal::new(400, "invalid_request", 900_144, message)
    };
    let tenant = &sign_in.tenant;
    if !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
        let message =
            format!("Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain.");
        return Err(Refusal::new(400, "invalid_request", 900_023, message));
    }
    if !tenant.eq_ignore_ascii_case(tenant_id) {
        let message = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud."
        );
        return Err(Refusal::new(400, "invalid_request", 90_002, message));
    }
    match sign_in.field("grant_type").ok_or_else(|| missing("grant_type"))? {
        "client_credentials" => {}
        other => {
            let message = format!("The app requested an unsupported grant type '{other}'.");
            return Err(Refusal::new(400, "unsupported_grant_type", 70_003, message));
        }
    }
    let basic = sign_in.basic.as_ref();
    let client = sign_in.field("client_id").or(basic.map(|(id, _)| id.as_str())).ok_or_else(|| missing("client_id"))?;
    if !client.eq_ignore_ascii_case(&settings.client_id) {
        let message = format!("Application with identifier '{client}' was not found in the directory 'Sandbox'.");
        return Err(Refusal::new(400, "unauthorized_client", 700_016, message));
    }
    let dialect = api_of(sign_in.field("scope").ok_or_else(|| missing("scope"))?, settings)?;
    match sign_in.field("client_secret").or(basic.map(|(_, secret)| secret.as_str())) {
        None => {
            let message =
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
            Err(Refusal::new(401, "invalid_client", 7_000_218, message.into()))
        }
        Some(secret) if secret == settings.secret => Ok(dialect),
        Some(_) => Err(secret_refusal(settings)),
    }
}

fn api_of(scope: &str, settings: &Settings) -> Result<Dialect, Refusal> {
    let audience = scope.strip_suffix("/.default").map(|audience| audience.trim_end_matches('/'));
    let known = Dialect::ALL.into_iter().find(|dialect| audience == Some(settings.audience_in(*dialect)));
    if let Some(dialect) = known {
        return Ok(dialect);
    }
    let message =
        format!("The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid.");
    Err(Refusal::new(400, "invalid_scope", 70_011, message))
}
