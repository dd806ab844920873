//! What a bulk answer says of each document. Nothing counts that is not said: an answer that cannot be understood, or is about
//! another number of documents, is none. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::model::page::excerpt;

/// What an item means for its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is there.
    Taken,
    /// Not now.
    Later(String),
    /// Not with these settings: the cause and the remedy.
    Settings(String),
    /// Never.
    Refused(String),
}

/// A bulk answer that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Items {
    /// One for each document, in their order.
    pub(super) verdicts: Vec<Verdict>,
    /// The cluster put documents into the failure store that their index did not take.
    pub(super) in_failure_store: bool,
}

/// Why a body is no bulk answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoAnswer {
    /// For people.
    pub(super) why: String,
    /// Something else answers there, which is a matter of settings; otherwise trying again may help.
    pub(super) is_foreign: bool,
}

/// An error as clusters write it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cause {
    /// `error.type`.
    kind: String,
    /// `error.reason`.
    reason: String,
}

/// Causes that lie in the settings here or there, by the error's type, or by words of the reason where the type says nothing.
/// Every event would fail likewise.
const SETTINGS: [(&str, &str); 12] = [
    (
        "security_exception",
        "give the credential the index privileges `create_doc` (mode history) or `index` (mode current), and `auto_configure`",
    ),
    (
        "index_not_found_exception",
        "create the index, or the template of the data stream, or allow it to be created by itself (action.auto_create_index)",
    ),
    ("index_closed_exception", "open the index"),
    ("invalid_index_name_exception", "correct `index`"),
    ("invalid_alias_name_exception", "correct `index`"),
    ("cluster_block_exception", "take the block off the index"),
    // The limit of shards of a cluster: no new index, and so nothing for it.
    ("validation_exception", "let the cluster create the index"),
    ("only write ops with an op_type of create", "a data stream takes nothing but `mode = \"history\"`"),
    ("only write ops with op_type create", "a data stream takes nothing but `mode = \"history\"`"),
    ("no write index is defined for alias", "give the alias a write index"),
    ("pipeline with id [", "create the pipeline, or correct `pipeline`"),
    ("is not an ingest node", "give the cluster an ingest node, or leave `pipeline` out"),
];
/// Failures of a pipeline that are the document's, whatever status they come with.
const OF_PIPELINES: [&str; 2] = ["fail_processor_exception", "ingest_processor_exception"];
/// Behind this, a reason shows content of the incident, which is nobody's business in a log.
const PREVIEW: &str = " Preview of field's value";

#[derive(Deserialize)]
struct Wire {
    errors: bool,
    items: Vec<BTreeMap<String, Item>>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    error: Option<Value>,
    failure_store: Option<Value>,
}

impl Items {
    /// Understands the answer to this many documents. Every item is looked at, whatever `errors` says: only their number
    /// proves that the answer is about all of the request, and only they tell of the failure store.
    pub(super) fn read(body: &[u8], sent: usize) -> Result<Self, NoAnswer> {
        let wire: Wire = serde_json::from_slice(body).map_err(|error| {
            let cut = |why: String| NoAnswer { why, is_foreign: false };
            match error.is_eof() && !body.is_empty() {
                true => cut("its answer breaks off".into()),
                false => NoAnswer { why: format!("its answer is no bulk answer ({error})"), is_foreign: true },
            }
        })?;
        let strange = |why: String| NoAnswer { why, is_foreign: false };
        if wire.items.len() != sent {
            return Err(strange(format!("its answer has {} items for {sent} documents", wire.items.len())));
        }
        let mut items = Vec::with_capacity(sent);
        for entry in wire.items {
            match <[_; 1]>::try_from(entry.into_iter().collect::<Vec<_>>()) {
                Ok([(_, item)]) => items.push(item),
                Err(_) => return Err(strange("its answer has an item that is not about one document".into())),
            }
        }
        if wire.errors && items.iter().all(Item::is_plain) {
            return Err(strange("its answer says that there are errors and shows none".into()));
        }
        let in_failure_store = items.iter().any(Item::is_in_failure_store);
        Ok(Self { verdicts: items.iter().map(Item::verdict).collect(), in_failure_store })
    }
}

impl Item {
    fn is_plain(&self) -> bool {
        (200..300).contains(&self.status) && self.error.is_none()
    }

    fn is_in_failure_store(&self) -> bool {
        self.failure_store.as_ref().and_then(Value::as_str) == Some("used")
    }

    fn verdict(&self) -> Verdict {
        let cause = self.error.as_ref().map(Cause::of).unwrap_or_default();
        let said = || match self.error {
            Some(_) => format!("{} {cause}", self.status),
            None => self.status.to_string(),
        };
        match self.status {
            200..=299 if self.error.is_none() => Verdict::Taken,
            // There already, or a newer one is: what was wanted is so.
            409 if cause.kind.is_empty() || cause.kind == "version_conflict_engine_exception" => Verdict::Taken,
            _ if OF_PIPELINES.contains(&&*cause.kind) => Verdict::Refused(said()),
            200..=299 | 408 | 409 | 425 | 429 | 500..=599 => Verdict::Later(said()),
            status => match (cause.remedy(), status) {
                (Some(remedy), _) => Verdict::Settings(format!("{}; {remedy}", said())),
                (None, 401 | 403) => Verdict::Settings(format!("{}; give the credential the right to write", said())),
                (None, 404) => Verdict::Settings(format!("{}; correct `index`, or create it", said())),
                (None, _) => Verdict::Refused(said()),
            },
        }
    }
}

impl Cause {
    /// Of an answer that is one error altogether, `{"error":{…},"status":400}`.
    pub(super) fn of_body(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        value.get("error").map(Self::of)
    }

    fn of(error: &Value) -> Self {
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let reason = error.as_str().unwrap_or_else(|| text("reason"));
        let reason = reason.split(PREVIEW).next().unwrap_or_default();
        Self { kind: text("type").to_owned(), reason: reason.to_owned() }
    }

    /// What to do about it where it lies in the settings.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        let fits = |known: &str| self.kind == known || (known.contains(' ') && self.reason.contains(known));
        SETTINGS.iter().find(|(known, _)| fits(known)).map(|(_, remedy)| *remedy)
    }
}

/// `type: reason`, bounded, without control characters.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if self.kind.is_empty() || self.reason.is_empty() { "" } else { ": " };
        f.write_str(&excerpt(&format!("{}{between}{}", self.kind, self.reason)))
    }
}
