//! Graph's answers to calls that go well. Lets nobody in and counts nothing; what incidents and alerts look like is
//! [`graph`](crate::sandbox::graph)'s business.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderName, header};

use crate::model::dialect::Dialect;
use crate::sandbox::answer::Answer;
use crate::sandbox::endpoints::Visit;
use crate::sandbox::faults::{Fault, Missing};
use crate::sandbox::graph::{self, Alerts, Reader};
use crate::sandbox::page::joined;
use crate::sandbox::query::{ListQuery, Taste};
use crate::sandbox::rows::Revision;
use crate::sandbox::settings::NextLink;

const CONTEXT: &str = "https://graph.microsoft.com/v1.0/$metadata#security/incidents";
const PATH: &str = "/v1.0/security/incidents";
/// What somebody says who knows of members of enumerations that are newer than the client may be.
const WANTS_NEWER: &str = "include-unknown-enum-members";
/// Vendor, provider, status and milliseconds, as Graph's page on errors of the security API has them.
const WARNING: &str = "199 - \"Microsoft/Microsoft 365 Defender/504/10000\"";

impl Visit {
    /// A page of the list.
    ///
    /// # Errors
    /// 400, and 500 where it is poisoned.
    pub(crate) fn graph_page(&self, query: &str, lag: Duration) -> Result<Answer, Answer> {
        let graph = &self.settings.graph;
        let asked = self.asked(query, graph.taste)?;
        let top = asked.top.unwrap_or(graph.top_default);
        let found = self.rows(&asked, top, lag)?;
        if asked.expands && found.rows.iter().any(|row| graph.poison_expanded.contains(&row.number.0)) {
            return Err(self.broken());
        }
        let count = if asked.counts { format!(r#""@odata.count":{},"#, found.count) } else { String::new() };
        let link = if found.has_more { self.next_link("", query, asked.skip + top) } else { String::new() };
        let head = format!(r#"{{"@odata.context":"{CONTEXT}",{count}{link}"value":["#);
        let rows = found.rows.iter().map(|row| self.told(row, asked.expands));
        Ok(self.partial(self.graph_answer(joined(head, rows))))
    }

    /// One incident.
    ///
    /// # Errors
    /// 400 and 404.
    pub(crate) fn graph_incident(&self, id: &str, query: &str, lag: Duration) -> Result<Answer, Answer> {
        let asked = self.asked(query, self.settings.graph.taste)?;
        let row = self.row(id, lag)?;
        let json = self.told(&row, asked.expands);
        let body = format!(r#"{{"@odata.context":"{CONTEXT}/$entity",{}"#, &json[1..]);
        Ok(self.partial(self.graph_answer(body.into())))
    }

    /// A page of the alerts of an incident.
    ///
    /// # Errors
    /// 400 and 404, and 500 where they are poisoned.
    pub(crate) fn graph_alerts(&self, id: &str, query: &str, lag: Duration) -> Result<Answer, Answer> {
        let graph = &self.settings.graph;
        let asked = self.asked(query, Taste { top_max: graph.alerts_top_max, ..graph.taste })?;
        let row = self.row(id, lag)?;
        if graph.poison_alerts.contains(&row.number.0) {
            return Err(self.broken());
        }
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let top = asked.top.unwrap_or(graph.top_default).min(graph.alerts_page_max.unwrap_or(u64::MAX));
        let mut alerts =
            graph::alerts(row.facts.incident(), self.reader(), size(asked.skip), size(top.saturating_add(1)));
        let has_more = size(top) < alerts.len();
        alerts.truncate(size(top));
        if self.fault == Some(Fault::Partial(Missing::Alerts)) {
            alerts = alerts.into_iter().skip(1).step_by(2).collect();
        }
        let link =
            if has_more { self.next_link(&format!("/{id}/alerts"), query, asked.skip + top) } else { String::new() };
        let head = format!(r#"{{"@odata.context":"{CONTEXT}('{id}')/alerts",{link}"value":["#);
        Ok(self.partial(self.graph_answer(joined(head, alerts.iter()))))
    }

    fn asked(&self, query: &str, taste: Taste) -> Result<ListQuery, Answer> {
        ListQuery::parse_in(Dialect::Graph, query, taste).map_err(|error| self.rejected(&error))
    }

    fn reader(&self) -> Reader<'_> {
        let preferences = self.headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
        let wants_newer = preferences.flat_map(|value| value.split(',')).any(|word| word.trim() == WANTS_NEWER);
        Reader { tenant_id: &self.tenant.id, wants_newer }
    }

    /// An incident as this caller wants it.
    fn told<'a>(&self, row: &'a Revision, expands: bool) -> Cow<'a, str> {
        let reader = self.reader();
        match self.alerts_of(row.number.0, expands) {
            Alerts::Within if reader.wants_newer => Cow::Borrowed(row.told(Dialect::Graph, reader.tenant_id)),
            alerts @ (Alerts::Apart | Alerts::Within | Alerts::Cut(..) | Alerts::Holed) => {
                Cow::Owned(graph::incident(row.facts.incident(), reader, &alerts))
            }
        }
    }

    /// What is told of the alerts of an incident.
    fn alerts_of(&self, number: u64, expands: bool) -> Alerts {
        match (expands, self.fault, self.settings.graph.expanded_max) {
            (false, ..) => Alerts::Apart,
            (true, Some(Fault::Partial(Missing::Alerts)), _) => Alerts::Holed,
            (true, _, None) => Alerts::Within,
            (true, _, Some(most)) => {
                let link = format!("{}{PATH}/{number}/alerts?$skip={most}", self.origin());
                Alerts::Cut(most, link)
            }
        }
    }

    /// The member that leads to the page behind `skip` rows of the same query.
    fn next_link(&self, below: &str, query: &str, skip: u64) -> String {
        let origin = match &self.settings.graph.next_link {
            NextLink::Missing => return String::new(),
            NextLink::Same => self.origin(),
            NextLink::Foreign(origin) => origin.clone(),
        };
        let options = query.split('&').filter(|option| !option.is_empty() && !option.starts_with("$skip="));
        let options: Vec<_> = options.map(str::to_owned).chain([format!("$skip={skip}")]).collect();
        let url = format!("{origin}{PATH}{below}?{}", options.join("&"));
        format!(r#""@odata.nextLink":{},"#, serde_json::Value::from(url))
    }

    /// Where the call went.
    fn origin(&self) -> String {
        let host = self.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
        format!("http://{host}")
    }

    fn graph_answer(&self, body: Vec<u8>) -> Answer {
        let answer = Answer::graph(200, body, &self.tenant.guid());
        match self.reader().wants_newer {
            true => answer.with(HeaderName::from_static("preference-applied"), WANTS_NEWER.into()),
            false => answer,
        }
    }

    /// The answer with the status of a part, where a fault has left something out.
    pub(crate) fn partial(&self, answer: Answer) -> Answer {
        match self.fault {
            Some(Fault::Partial(Missing::Rows | Missing::Alerts)) => {
                Answer { status: 206, ..answer }.with(header::WARNING, WARNING.into())
            }
            Some(_) | None => answer,
        }
    }
}
