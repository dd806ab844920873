//! Defender's answers to calls that go well, and the rows of a page of either API. Lets nobody in and counts nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::sandbox::answer::Answer;
use crate::sandbox::endpoints::{Visit, locked};
use crate::sandbox::faults::{Fault, Missing};
use crate::sandbox::incident::IncidentNumber;
use crate::sandbox::query::ListQuery;
use crate::sandbox::rows::Revision;

const CONTEXT: &str = "https://api.security.microsoft.com/api/$metadata#Incidents";

impl Visit {
    /// A page of the list.
    ///
    /// # Errors
    /// 400, and 500 where it is poisoned.
    pub(crate) fn page(&self, query: &str, lag: Duration) -> Result<Answer, Answer> {
        let asked = ListQuery::parse(query, self.settings.taste).map_err(|error| self.rejected(&error))?;
        let top = self.top(&asked, self.settings.top_default);
        let rows = self.rows(&asked, top, lag)?.rows;
        let body = joined(format!(r#"{{"@odata.context":"{CONTEXT}","value":["#), rows.iter().map(|row| &*row.json));
        Ok(self.partial(Answer::json(200, body)))
    }

    /// One incident.
    ///
    /// # Errors
    /// 404.
    pub(crate) fn incident(&self, number: &str, lag: Duration) -> Result<Answer, Answer> {
        let row = self.row(number, lag)?;
        // The context goes in front of the other members, inside the same braces.
        let body = format!(r#"{{"@odata.context":"{CONTEXT}/$entity",{}"#, &row.json[1..]);
        Ok(self.partial(Answer::json(200, body.into())))
    }

    /// How many rows a page has at most.
    pub(crate) fn top(&self, asked: &ListQuery, default: u64) -> u64 {
        asked.top.unwrap_or(default).min(self.settings.rows_max.unwrap_or(u64::MAX))
    }

    /// The first `top` rows of what is asked for.
    ///
    /// # Errors
    /// 500 where one of them is poisoned.
    pub(crate) fn rows(&self, asked: &ListQuery, top: u64, lag: Duration) -> Result<Found, Answer> {
        // One more than is shown tells whether there is more.
        let asked = ListQuery { top: Some(top.saturating_add(1)), ..asked.clone() };
        let mut world = locked(&self.tenant.world);
        world.settle(self.now);
        let mut rows = match lag.is_zero() {
            true => asked.page(world.rows(), self.settings.order, 0),
            false => asked.page_of(world.visible(self.now.earlier(lag)).cloned().collect(), 0),
        };
        let count = if asked.counts { asked.count(world.rows()) } else { 0 };
        drop(world);
        let shown = usize::try_from(top).unwrap_or(usize::MAX);
        let has_more = shown < rows.len();
        rows.truncate(shown);
        if rows.iter().any(|row| self.settings.poison.contains(&row.number.0)) {
            return Err(self.broken());
        }
        if self.fault == Some(Fault::Partial(Missing::Rows)) {
            rows = rows.into_iter().skip(1).step_by(2).collect();
        }
        Ok(Found { rows, has_more, count })
    }

    /// One incident as it is visible.
    ///
    /// # Errors
    /// 404.
    pub(crate) fn row(&self, number: &str, lag: Duration) -> Result<Arc<Revision>, Answer> {
        let row = number.parse().ok().and_then(|known| {
            let mut world = locked(&self.tenant.world);
            world.settle(self.now);
            world.get(IncidentNumber(known), self.now.earlier(lag)).cloned()
        });
        row.ok_or_else(|| self.unknown(number))
    }
}

/// What a page is made of.
pub(crate) struct Found {
    /// The rows.
    pub(crate) rows: Vec<Arc<Revision>>,
    /// There are others behind them.
    pub(crate) has_more: bool,
    /// How many there are on all pages, where that was asked for.
    pub(crate) count: usize,
}

/// A page: its head up to the opening bracket, and the rows.
pub(crate) fn joined<T: AsRef<str>>(head: String, rows: impl Iterator<Item = T>) -> Vec<u8> {
    let mut body = head.into_bytes();
    for (place, row) in rows.enumerate() {
        if 0 < place {
            body.push(b',');
        }
        body.extend_from_slice(row.as_ref().as_bytes());
    }
    body.extend_from_slice(b"]}");
    body
}
