//! The options of the list, and the page they ask for. Pure: whose quota pays for it and how it is sent is not known here.

use std::sync::Arc;

use crate::model::dialect::Dialect;
use crate::model::timestamp::Timestamp;
use crate::sandbox::filter::Filter;
use crate::sandbox::rows::{Revision, Rows};

/// In which order the list comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// `lastUpdateTime`, newest first: what was observed.
    #[default]
    LastUpdateDescending,
    /// `createdTime`, newest first.
    CreatedDescending,
    /// `incidentId`, greatest first.
    NumberDescending,
}

/// What a list call asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// `$filter`
    pub filter: Option<Filter>,
    /// `$top`
    pub top: Option<u64>,
    /// `$skip`
    pub skip: u64,
    /// `$expand=alerts`
    pub expands: bool,
    /// `$count=true`
    pub counts: bool,
}

/// What a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taste {
    /// The greatest `$top`.
    pub top_max: u64,
    /// The greatest `$skip`; none for any.
    pub skip_max: Option<u64>,
    /// `lt` and `le` are refused.
    pub refuses_lt: bool,
    /// `+` stands for a space, as in forms. Strict OData servers take it as it is.
    pub plus_is_space: bool,
}

/// A query that is refused with status 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The query itself cannot be read: code `ODataError`.
    #[error("Invalid OData URI query {0}")]
    OData(String),
    /// It asks for what is not allowed: code `BadRequest`.
    #[error("The query specified in the URI is not valid. {0}")]
    NotAllowed(String),
}

impl ListQuery {
    /// Reads the part of the URL behind the question mark, as Defender does.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn parse(query: &str, taste: Taste) -> Result<Self, QueryError> {
        Self::parse_in(Dialect::Defender, query, taste)
    }

    /// The same in either dialect.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn parse_in(dialect: Dialect, query: &str, taste: Taste) -> Result<Self, QueryError> {
        let strict = query.replace('+', "%2B");
        let query = if taste.plus_is_space { query } else { &strict };
        let mut asked = Self::default();
        let mut seen = Vec::new();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            // Names without a dollar sign are the client's own affair.
            if !key.starts_with('$') {
                continue;
            }
            if seen.contains(&key) {
                return Err(QueryError::OData(format!("Query option '{key}' was specified more than once.")));
            }
            match key.as_ref() {
                "$filter" => asked.filter = Some(filter(dialect, &value, taste)?),
                "$top" => asked.top = Some(limited("top", count("$top", &value)?, Some(taste.top_max))?),
                "$skip" => asked.skip = limited("skip", count("$skip", &value)?, taste.skip_max)?,
                "$expand" if dialect == Dialect::Graph => asked.expands = expands(&value)?,
                "$count" if dialect == Dialect::Graph => asked.counts = value == "true",
                _ => {
                    return Err(QueryError::NotAllowed(format!(
                        "Query option '{key}' is not allowed. To allow it, set the 'AllowedQueryOptions' property on \
                         EnableQueryAttribute or QueryValidationSettings."
                    )));
                }
            }
            seen.push(key);
        }
        Ok(asked)
    }

    /// The rows of the page. `top_default` counts where the query has no `$top`.
    pub fn page(&self, rows: &Rows, order: Order, top_default: u64) -> Vec<Arc<Revision>> {
        let (from, to) = match &self.filter {
            Some(filter) => filter.bounds(),
            None => (Timestamp::default(), Timestamp::from_ticks(u64::MAX)),
        };
        match order {
            Order::LastUpdateDescending => self.cut(rows.by_update(from, to).rev(), top_default),
            Order::NumberDescending => self.cut(rows.by_number().rev(), top_default),
            Order::CreatedDescending => {
                let mut sorted: Vec<_> = rows.by_number().collect();
                sorted.sort_by_key(|row| std::cmp::Reverse((row.created, row.number)));
                self.cut(sorted.into_iter(), top_default)
            }
        }
    }

    /// The same page of rows in any order, by last update.
    pub fn page_of(&self, mut rows: Vec<Arc<Revision>>, top_default: u64) -> Vec<Arc<Revision>> {
        rows.sort_by_key(|row| std::cmp::Reverse((row.last_update, row.number)));
        self.cut(rows.iter(), top_default)
    }

    /// How many rows there are, whatever the page holds.
    pub fn count(&self, rows: &Rows) -> usize {
        rows.by_number().filter(|row| self.takes(row)).count()
    }

    fn takes(&self, row: &Revision) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.takes(row))
    }

    fn cut<'a>(&self, rows: impl Iterator<Item = &'a Arc<Revision>>, top_default: u64) -> Vec<Arc<Revision>> {
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        rows.filter(|row| self.takes(row))
            .skip(size(self.skip))
            .take(size(self.top.unwrap_or(top_default)))
            .cloned()
            .collect()
    }
}

fn expands(text: &str) -> Result<bool, QueryError> {
    match text {
        "alerts" => Ok(true),
        _ => Err(QueryError::NotAllowed(format!(
            "Could not find a property named '{text}' on type 'microsoft.graph.security.incident'."
        ))),
    }
}

fn filter(dialect: Dialect, text: &str, taste: Taste) -> Result<Filter, QueryError> {
    let filter = Filter::parse_in(dialect, text).map_err(|error| QueryError::OData(error.to_string()))?;
    match taste.refuses_lt && filter.bounds_from_above() {
        true => Err(QueryError::NotAllowed(
            "Logical operator 'LessThan' is not allowed. To allow it, set the 'AllowedLogicalOperators' property on \
             EnableQueryAttribute or QueryValidationSettings."
                .into(),
        )),
        false => Ok(filter),
    }
}

fn count(option: &str, text: &str) -> Result<u64, QueryError> {
    text.parse().map_err(|_| {
        QueryError::NotAllowed(format!(
            "Invalid value '{text}' for {option} query option found. The {option} query option requires a non-negative \
             integer value."
        ))
    })
}

fn limited(option: &str, value: u64, limit: Option<u64>) -> Result<u64, QueryError> {
    match limit {
        Some(limit) if limit < value => {
            let option = if option == "top" { "Top" } else { "Skip" };
            Err(QueryError::NotAllowed(format!(
                "The limit of '{limit}' for {option} query has been exceeded. The value from the incoming request is \
                 '{value}'."
            )))
        }
        Some(_) | None => Ok(value),
    }
}
