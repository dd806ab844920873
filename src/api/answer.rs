//! One answer of the API: status, headers and body, and what they mean. Pure but for the time it takes; asks nobody. What fails is
//! for `failure`.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, WARNING};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::api::body::{Encoding, Text, decoded};
use crate::api::graph::ALERTS_TOP;
use crate::api::{Settings, rows};
use crate::identity::token::Token;
use crate::model::incident::{Head, Row};
use crate::model::page::{AlertsPage, FetchError, Page, excerpt, split, split_with_link};
use crate::transport::blot::Blot;
use crate::transport::http::date;
use crate::transport::proxy::Way;

/// Rows of a page at most, a hundred times what the API is asked for: a row takes memory even where it is one byte long.
const ROWS_MAX: usize = 10_000;

/// An answer with its whole body as it came over the wire.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) asked: Arc<Asked>,
}

/// What was asked, and with what.
pub(crate) struct Asked {
    pub(crate) url: Url,
    /// For what it permits, and so that no echo of it is shown.
    pub(crate) token: Token,
    pub(crate) way: Way,
}

impl Asked {
    /// What must not be shown of the answer.
    pub(crate) fn blot(&self) -> Blot {
        Blot::of(self.way.secrets(&self.url).iter().chain([self.token.secret()]))
    }

    /// The error as it may be shown: whoever answers knows what it was told, and may say it again.
    pub(crate) fn shown(&self, error: FetchError) -> FetchError {
        error.reworded(|why| self.blot().out(why))
    }
}

impl Answer {
    /// A page of the list API.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(crate) fn page(self, settings: &Settings) -> Result<Page, FetchError> {
        let (date, incomplete) = (date(&self.headers), self.incomplete());
        let text = self.json(settings)?;
        let raws = split(text.json()).map_err(|error| quoting(error, &text))?;
        few(&raws)?;
        Ok(Page { rows: rows::read(&raws, &text, settings.max_incident_size), date, incomplete })
    }

    /// A page of the alerts of one incident.
    ///
    /// # Errors
    /// See [`FetchError`]; one that is incomplete is none.
    pub(crate) fn alerts(self, settings: &Settings) -> Result<AlertsPage, FetchError> {
        self.must_be_complete()?;
        let text = self.json(settings)?;
        let (raws, link) = split_with_link(text.json()).map_err(|error| quoting(error, &text))?;
        few(&raws)?;
        if raws.iter().any(|raw| !raw.get().starts_with('{')) {
            return Err(FetchError::Garbled { why: "one of its alerts is no object".into() });
        }
        // A page over what was asked for is of a server that takes no notice of `$top`, and tells by its link alone.
        let more = link || raws.len() == ALERTS_TOP as usize;
        let repaired = raws.iter().any(|raw| text.is_repaired(raw.get()));
        Ok(AlertsPage { alerts: raws.into_iter().map(ToOwned::to_owned).collect(), more, repaired })
    }

    /// Why something is missing, where the status says that something is. There is a `Warning` for each provider behind Graph that
    /// failed.
    fn incomplete(&self) -> Option<String> {
        if self.status != StatusCode::PARTIAL_CONTENT {
            return None;
        }
        let warnings = self.headers.get_all(WARNING).iter();
        let warnings: Vec<_> = warnings.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let which = match warnings.is_empty() {
            true => "no Warning says which".into(),
            false => self.asked.blot().words(&warnings.join(", ")),
        };
        Some(format!("status 206: a part of it is missing: {which}"))
    }

    /// Nothing can be made of a part where one thing was asked for.
    fn must_be_complete(&self) -> Result<(), FetchError> {
        self.incomplete().map_or(Ok(()), |why| Err(FetchError::Unavailable { after: None, why }))
    }

    /// The incident of the get API, which comes bare.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(crate) fn incident(self, settings: &Settings) -> Result<Row, FetchError> {
        #[derive(Deserialize)]
        struct Bare<'a> {
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        self.must_be_complete()?;
        let text = self.json(settings)?;
        let fail = |why: String| quoting(FetchError::Garbled { why }, &text);
        let raw: &RawValue = serde_json::from_str(text.json()).map_err(|error| fail(excerpt(&error.to_string())))?;
        let bare: Bare<'_> = serde_json::from_str(raw.get()).map_err(|error| fail(excerpt(&error.to_string())))?;
        if let Some(error) = bare.error {
            return Err(fail(format!("it holds an error object: {}", excerpt(error.get()))));
        }
        let row = rows::row(raw, &text, settings.max_incident_size);
        match &row.head {
            Head::Odd { id: None, why } => Err(fail(format!("it is no incident: {why}"))),
            Head::Usual(_) | Head::Odd { id: Some(_), .. } => Ok(row),
        }
    }

    /// The text of a 200, if it is JSON.
    fn json(self, settings: &Settings) -> Result<Text, FetchError> {
        if !is_json(&self.headers) {
            return Err(FetchError::Garbled {
                why: format!("200 with {} in place of JSON: {}", self.kind(), self.words()),
            });
        }
        Text::of(decoded(Encoding::of(&self.headers)?, self.body, settings.max_body_size)?)
    }
}

/// Not far more rows than were asked for.
fn few(raws: &[&RawValue]) -> Result<(), FetchError> {
    match raws.len() <= ROWS_MAX {
        true => Ok(()),
        false => {
            Err(FetchError::Garbled { why: format!("it holds {} rows, far more than were asked for", raws.len()) })
        }
    }
}

/// `application/json`, whatever parameters follow.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// The error with how the body begins, where that is no JSON: what is may be incidents, which are not for a message.
fn quoting(error: FetchError, text: &Text) -> FetchError {
    let json = text.json();
    match json.trim_start().starts_with(['{', '[']) {
        true => error,
        false => error.reworded(|why| format!("{why}; it begins with: {}", excerpt(json))),
    }
}
