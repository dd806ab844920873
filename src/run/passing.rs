//! Tells the board which events pass, for people who look on. Nothing of an incident but its ids unless that is allowed.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::value::RawValue;

use crate::admin::board::{Board, Passing};
use crate::admin::metrics::age;
use crate::core::commit::Brief;
use crate::model::content::Content;
use crate::model::incident::Row;
use crate::run::tenant::Tenant;

/// Characters of a title that are shown.
const TITLE_MAX: usize = 160;
/// Characters of a severity: it is a word.
const SEVERITY_MAX: usize = 24;

/// The incidents of a page by their ids, where they may be shown.
pub(crate) struct Contents(BTreeMap<String, Box<RawValue>>);

impl Contents {
    /// Takes a copy of the rows that are about to be committed, where incidents may be shown.
    pub(crate) fn of(board: &Board, rows: &[Row]) -> Self {
        if !board.shows_incidents() {
            return Self(BTreeMap::new());
        }
        let rows = rows.iter().filter_map(|row| Some((row.head.usual()?.id.to_string(), row.raw.clone())));
        Self(rows.collect())
    }

    /// Writes the events of these rows to the board.
    pub(crate) fn pass(&self, tenant: &Tenant, events: &[Brief]) {
        if events.is_empty() {
            return;
        }
        let passing = events.iter().map(|event| {
            let event_id = event.event_id.to_string();
            Passing {
                number: 0,
                content: self.content(&event_id),
                event_id,
                tenant: tenant.name.clone(),
                kind: event.kind,
                at: Instant::now(),
                age_seconds: event.last_update.map(|time| age(time).as_secs_f64()),
            }
        });
        tenant.board.passed(&tenant.name, passing.collect::<Vec<_>>());
    }

    /// Title and severity of the incident that an event is of: the second part of its id.
    fn content(&self, event_id: &str) -> Option<(String, String)> {
        let raw = self.0.get(event_id.split('/').nth(1)?)?;
        let content = Content::of(raw.get());
        let cut = |text: Option<&str>, max| text.unwrap_or_default().chars().take(max).collect();
        Some((cut(content.title(), TITLE_MAX), cut(content.severity().as_deref(), SEVERITY_MAX)))
    }
}
