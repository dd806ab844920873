//! What a line holds beside its words: the values of the event, and of the spans that it happened in. Each name once.

use std::fmt::Debug;

use serde_json::{Map, Value};
use tracing::Event;
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::model::digest::beginning;

/// Bytes of one value at most; the journal cuts a line at 48 KiB in two.
const VALUE_MAX: usize = 4096;

/// The values of one line, in the order in which they are shown: those of the outermost span first, and of each span by name.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) message: String,
    /// Who says it, where another crate says it through `log`.
    pub(super) target: Option<String>,
    pub(super) values: Vec<(String, Value)>,
}

impl Fields {
    pub(super) fn of<S>(context: &FmtContext<'_, S, JsonFields>, event: &Event<'_>) -> Self
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut fields = Self::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let values = extensions.get::<FormattedFields<JsonFields>>();
            let values = values.and_then(|values| serde_json::from_str::<Map<String, Value>>(&values.fields).ok());
            values.into_iter().flatten().for_each(|(name, value)| fields.put(&name, value));
        }
        event.record(&mut fields);
        fields
    }

    /// What is nearer to the event counts.
    fn put(&mut self, name: &str, value: Value) {
        match self.values.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.values.push((name.to_owned(), value)),
        }
    }

    fn text(&mut self, field: &Field, mut text: String) {
        if VALUE_MAX < text.len() {
            text.truncate(beginning(&text, VALUE_MAX).len());
            text.push('…');
        }
        match field.name() {
            "message" => self.message = text,
            "log.target" => self.target = Some(text),
            // Where in its source another crate says it.
            name if name.starts_with("log.") => {}
            name => self.put(name, Value::String(text)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if !field.name().starts_with("log.") {
            self.put(field.name(), value.into());
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }
}
