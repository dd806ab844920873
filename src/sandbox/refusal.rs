//! Calls that are not answered with what was asked for, in the words of the API that they were made to. Decides nothing about
//! which ones these are, but for who is let in.

use std::time::Duration;

use axum::http::header;

use crate::model::dialect::Dialect;
use crate::sandbox::answer::Answer;
use crate::sandbox::calls::Endpoint;
use crate::sandbox::endpoints::{Visit, locked};
use crate::sandbox::faults::Fault;
use crate::sandbox::query::QueryError;
use crate::sandbox::settings::{QuotaWords, RetryAfter};
use crate::sandbox::stamp::http_date;
use crate::sandbox::throttle::Excess;
use crate::sandbox::token::{self, Denied, TokenFault};

impl Visit {
    /// The answer that a fault sends instead; none for faults that only spoil the sending.
    pub(crate) fn replaced(&self, fault: Fault) -> Option<Answer> {
        Some(match fault {
            Fault::Status(500) => self.broken(),
            Fault::Status(status @ (502..=504)) => Answer::html(status),
            Fault::Status(status) => self.error(status, &status.to_string(), "Ordered by a test."),
            Fault::Throttled { retry_after, wait } => {
                let excess = Excess { limit: 45, window: Duration::from_secs(60), wait };
                self.throttled(excess, retry_after)
            }
            Fault::Html => Answer::html(200),
            Fault::ErrorObject => self.error(200, "InternalServerError", "An error occurred while processing."),
            Fault::Empty => Answer::json(200, Vec::new()),
            Fault::Unauthorized => self.unauthorized(),
            Fault::Reset
            | Fault::Stall
            | Fault::CutBody
            | Fault::CutJson
            | Fault::WrongDate(_)
            | Fault::GarbledDate
            | Fault::Slow { .. }
            | Fault::Stale(_)
            | Fault::Partial(_) => return None,
        })
    }

    /// As where the token has expired, or the secret is wrong.
    fn unauthorized(&self) -> Answer {
        let Some(dialect) = self.endpoint.dialect() else {
            return token::wrong_secret(&self.settings, self.now, &mut locked(&self.tenant.dice));
        };
        let span = (self.now.earlier(Duration::from_secs(3_600)), self.now);
        let (client_id, audience) = (&self.settings.client_id, self.settings.audience_in(dialect));
        let why = token::unaccepted(dialect, TokenFault::Expired, client_id, audience, &self.tenant.id, span);
        self.denied(dialect, Denied::Unauthorized(why))
    }

    fn denied(&self, dialect: Dialect, denied: Denied) -> Answer {
        match (denied, dialect) {
            (Denied::Unauthorized(why), Dialect::Defender) => self.error(401, "Unauthorized", &why),
            (Denied::Unauthorized(why), Dialect::Graph) => self.error(401, "InvalidAuthenticationToken", &why),
            (Denied::Forbidden(why), Dialect::Defender | Dialect::Graph) => self.error(403, "Forbidden", &why),
        }
    }

    /// One call too many.
    pub(crate) fn throttled(&self, excess: Excess, retry_after: RetryAfter) -> Answer {
        let seconds = excess.wait.as_secs() + u64::from(0 < excess.wait.subsec_nanos());
        let (limit, window) = (excess.limit, if excess.window.as_secs() == 60 { "00:01:00" } else { "01:00:00" });
        let again = format!("You can send requests again in {seconds} seconds.");
        let message = match self.settings.quotas.words {
            QuotaWords::Newer => format!(
                "API calls quota exceeded! Maximum allowed {limit} per {window} for the key Destination+TenantID+AppID. \
                 {again}"
            ),
            QuotaWords::Older => format!("API calls quota exceeded! maximum allowed {limit} per {window}"),
            QuotaWords::Documented => format!("Quota of {limit} per {window} exceeded. {again}"),
        };
        let answer = match (self.endpoint.dialect(), self.settings.quotas.words) {
            (Some(Dialect::Graph), _) | (_, QuotaWords::Documented) => self.error(429, "TooManyRequests", &message),
            // Its tracking id was the tenant's.
            (_, QuotaWords::Newer) => Answer::error(429, "429", &message, &self.tenant.id),
            (_, QuotaWords::Older) => self.error(429, "429", &message),
        };
        match retry_after {
            RetryAfter::Missing => answer,
            RetryAfter::Seconds => answer.with(header::RETRY_AFTER, seconds.to_string()),
            RetryAfter::HttpDate => {
                let date = self.tenant.now().later(Duration::from_secs(seconds));
                answer.with(header::RETRY_AFTER, http_date(date))
            }
        }
    }

    /// 500, in the API's own words.
    pub(crate) fn broken(&self) -> Answer {
        self.error(500, "InternalServerError", "An error occurred while processing.")
    }

    /// 400.
    pub(crate) fn rejected(&self, error: &QueryError) -> Answer {
        let code = match (self.endpoint.dialect(), error) {
            (Some(Dialect::Defender) | None, QueryError::OData(_)) => "ODataError",
            (Some(Dialect::Graph), QueryError::OData(_)) | (_, QueryError::NotAllowed(_)) => "BadRequest",
        };
        self.error(400, code, &error.to_string())
    }

    /// 404.
    pub(crate) fn unknown(&self, incident: &str) -> Answer {
        self.error(404, "ResourceNotFound", &format!("Incident {incident} was not found"))
    }

    fn error(&self, status: u16, code: &str, message: &str) -> Answer {
        match self.endpoint {
            Endpoint::Token | Endpoint::List | Endpoint::Get => {
                Answer::error(status, code, message, &self.tenant.guid())
            }
            Endpoint::GraphList | Endpoint::GraphGet | Endpoint::GraphAlerts => {
                Answer::graph_error(status, code, message, self.now, &self.tenant.guid())
            }
        }
    }

    /// The call itself, if it is let in.
    ///
    /// # Errors
    /// 401 and 403.
    pub(crate) fn admitted(&self) -> Result<&Self, Answer> {
        let Some(dialect) = self.endpoint.dialect() else { return Ok(self) };
        let tokens = locked(&self.tenant.tokens);
        let admitted = tokens.admit(dialect, self.authorization(), &self.settings, &self.tenant.id, self.now);
        admitted.map(|()| self).map_err(|denied| self.denied(dialect, denied))
    }
}
