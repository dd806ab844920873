//! One answer of the list API, or what its failure asks of the caller.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::incident::{Head, Row};
use crate::model::timestamp::Timestamp;

/// The part of time a query asks for: `lastUpdateTime ge from`, and `lt to` where it is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The lower bound, included.
    pub from: Timestamp,
    /// The upper bound, excluded; none for "to the newest".
    pub to: Option<Timestamp>,
}

/// One call of the list API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Which incidents.
    pub window: Window,
    /// Only those of them that were created then: where one second holds more than can be read in one piece.
    pub created: Option<Window>,
    /// Rows to leave out, `$skip`.
    pub skip: u32,
    /// Rows to return at most, `$top`.
    pub top: u32,
    /// Where the alerts of its incidents come.
    pub alerts: Alerts,
}

/// Where alerts come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alerts {
    /// In their incidents.
    #[default]
    Within,
    /// By calls of their own, an incident at a time: for a page that fails for good with them (Graph only). Whoever asks so has to
    /// complete each row before anything is made of it.
    Apart,
}

/// One page, whole and understood.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The rows in the order of the answer.
    pub rows: Vec<Row>,
    /// The server's time: the `Date` header of this answer.
    pub date: Option<Timestamp>,
    /// Why something is missing that was asked for, where the answer itself says so (206 with `Warning`): its rows count, and
    /// nothing is concluded from what is not among them.
    pub incomplete: Option<String>,
}

/// One page of the alerts of one incident, whole and understood.
#[derive(Debug, Clone, Default)]
pub struct AlertsPage {
    /// Each alert byte for byte as the API sent it, in the order of the answer.
    pub alerts: Vec<Box<RawValue>>,
    /// More may be behind it.
    pub more: bool,
    /// Invalid UTF-8 in one of them was replaced by U+FFFD.
    pub repaired: bool,
}

/// What the failure of a call asks of the caller. `why` is for people, names no secret, and says the remedy where there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// 429: come back after `after`, or when our own reckoning of the quota allows.
    #[error("throttled by the API: {why}")]
    Throttled {
        /// What `Retry-After` or the body says.
        after: Option<Duration>,
        /// It was a call for one incident: these have a quota of their own, and the list may be asked meanwhile.
        of_one: bool,
        /// The server's words.
        why: String,
    },
    /// The network, a timeout, a 5xx, a token endpoint out of reach: try again with backoff.
    #[error("the API cannot be reached: {why}")]
    Unavailable {
        /// What `Retry-After` says.
        after: Option<Duration>,
        /// The cause.
        why: String,
    },
    /// 401: the token was thrown away; ask once more at once, then treat it as refused.
    #[error("the API did not accept the token: {why}")]
    Unauthorized {
        /// The server's words.
        why: String,
    },
    /// The credential or the permission is refused: somebody has to do something. Ask again slowly.
    #[error("{why}")]
    Refused {
        /// The server's words and the remedy.
        why: String,
    },
    /// 400: this query is not accepted as it is.
    #[error("the API does not accept the query: {why}")]
    Rejected {
        /// The server's words.
        why: String,
    },
    /// An answer that we do not understand. Never an empty list.
    #[error("the answer cannot be understood: {why}")]
    Garbled {
        /// What was expected and what came.
        why: String,
    },
    /// The body is over `max_body_size` bytes: ask for fewer rows.
    #[error("the answer is larger than max_body_size ({limit} bytes)")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// 404: there is no such incident (never of a list).
    #[error("there is no such incident")]
    NotFound,
}

impl FetchError {
    /// The same in other words.
    #[must_use]
    pub fn reworded(mut self, reword: impl FnOnce(&str) -> String) -> Self {
        match &mut self {
            Self::Throttled { why, .. }
            | Self::Unavailable { why, .. }
            | Self::Unauthorized { why }
            | Self::Refused { why }
            | Self::Rejected { why }
            | Self::Garbled { why } => *why = reword(why),
            Self::TooLarge { .. } | Self::NotFound => {}
        }
        self
    }
}

/// The rows of a list body, each as its raw text, cut out without a copy.
///
/// # Errors
/// A body without a `value` array, with an `error` member, or cut short is [`FetchError::Garbled`].
pub fn split(body: &str) -> Result<Vec<&RawValue>, FetchError> {
    Ok(split_with_link(body)?.0)
}

/// The same, and whether the body says that there are more behind them (`@odata.nextLink`).
///
/// # Errors
/// As [`split`].
pub fn split_with_link(body: &str) -> Result<(Vec<&RawValue>, bool), FetchError> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        value: Option<Vec<&'a RawValue>>,
        #[serde(borrow)]
        error: Option<&'a RawValue>,
        #[serde(borrow, rename = "@odata.nextLink")]
        link: Option<&'a RawValue>,
    }
    let garbled = |why: String| FetchError::Garbled { why };
    // serde takes an array for a struct as well; the API does not.
    match body.trim_start().chars().next() {
        Some('{') => {}
        // It may be incidents, which are not for a message.
        Some('[') => return Err(garbled("it is no JSON object but an array".into())),
        Some(_) | None => return Err(garbled(format!("it is no JSON object but begins with {:?}", excerpt(body)))),
    }
    let envelope: Envelope<'_> = serde_json::from_str(body).map_err(|error| garbled(excerpt(&error.to_string())))?;
    match envelope {
        Envelope { error: Some(error), .. } => {
            Err(garbled(format!("it holds an error object: {}", excerpt(error.get()))))
        }
        Envelope { value: Some(rows), error: None, link } => Ok((rows, link.is_some())),
        Envelope { value: None, error: None, .. } => Err(garbled("it has no `value` array".into())),
    }
}

/// The rows of a list body with their headers: what the speed of a page is measured on.
///
/// # Errors
/// As [`split`].
pub fn split_with_heads(body: &str) -> Result<Vec<(&RawValue, Head)>, FetchError> {
    Ok(split(body)?.into_iter().map(|raw| (raw, Head::read(raw.get()))).collect())
}

/// The first 200 characters of something that came from outside, with control characters escaped, for a message.
pub fn excerpt(text: &str) -> String {
    text.chars()
        .take(200)
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_split_and_left_byte_for_byte() {
        let rows = split(r#"{"@odata.context":"x","value":[{"a" : 1.10},{"b":[ ]}],"later":1}"#).expect("a page");
        assert_eq!(rows.iter().map(|row| row.get()).collect::<Vec<_>>(), [r#"{"a" : 1.10}"#, r#"{"b":[ ]}"#]);
        assert_eq!(split(r#"{"value":[]}"#).expect("an empty page").len(), 0);
    }

    #[test]
    fn a_link_behind_a_page_is_seen_and_one_in_it_is_not() {
        let check = |body: &str, link: bool| {
            assert_eq!(split_with_link(body).expect(body).1, link, "{body}");
        };
        check(r#"{"value":[],"@odata.nextLink":"https://x/y"}"#, true);
        check(r#"{"@odata.nextLink":7,"value":[]}"#, true);
        check(r#"{"value":[{"@odata.nextLink":"https://x/y"}],"@odata.nextLink":null}"#, false);
    }

    #[test]
    fn what_is_no_page_is_never_an_empty_list() {
        for body in [
            "",
            "{}",
            "null",
            "[]",
            "[[],null]",
            r#"{"value":null}"#,
            r#"{"value":{}}"#,
            r#"{"value":[{"a":1}"#,
            "<html></html>",
            r#"{"value":[],"error":{"code":"500"}}"#,
            r#"{"error":{"code":"429"}}"#,
            r#"{"value":[]}{"value":[]}"#,
        ] {
            let error = split(body).expect_err(body);
            assert!(matches!(error, FetchError::Garbled { .. }), "{body}: {error}");
        }
    }
}
