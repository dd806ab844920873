//! What answers of the API prove of it, and what that means for whoever reads it. Pure.

use serde::Serialize;

use crate::model::incident::Header;
use crate::model::page::Page;
use crate::model::timestamp::Timestamp;

/// Later than every row.
pub(super) const LAST: Timestamp = Timestamp::from_ticks(u64::MAX);

/// What was given to a query with a bound in it.
pub(super) enum Given {
    /// Rows.
    Page(Page),
    /// 400: the server's words.
    Rejected(String),
    /// Nothing that says anything about the bound: why.
    Unknown(String),
}

/// What is known about one property of the API.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Whether it is as Microsoft documents it.
    pub outcome: Outcome,
    /// What was seen, and what it means.
    pub says: String,
}

/// Whether a property of the API is as Microsoft documents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is.
    Confirmed,
    /// It is not.
    Refused,
    /// Nobody knows.
    NotConfirmed,
}

impl Finding {
    pub(super) fn confirmed(says: impl Into<String>) -> Self {
        Self { outcome: Outcome::Confirmed, says: says.into() }
    }

    pub(super) fn refused(says: impl Into<String>) -> Self {
        Self { outcome: Outcome::Refused, says: says.into() }
    }

    pub(super) fn not_confirmed(says: impl Into<String>) -> Self {
        Self { outcome: Outcome::NotConfirmed, says: says.into() }
    }

    /// Whether the API is known to be another way.
    pub(super) fn is_refused(&self) -> bool {
        self.outcome == Outcome::Refused
    }
}

impl Default for Finding {
    fn default() -> Self {
        Self::not_confirmed("not asked")
    }
}

/// In which order rows come. A change that arrives between two of them puts no row out of order within one page.
pub(super) fn order(rows: &[&Header]) -> Finding {
    let updates: Vec<_> = rows.iter().map(|row| Some(row.last_update)).collect();
    let creations: Vec<_> = rows.iter().map(|row| row.created).collect();
    match (newest_first(&updates), newest_first(&creations)) {
        (None, _) => Finding::not_confirmed("the order of rows: there are too few to tell"),
        (Some(true), Some(true)) => {
            Finding::confirmed("newest first, by last update or by creation: these rows do not tell which")
        }
        (Some(true), Some(false) | None) => Finding::confirmed("newest first by last update"),
        (Some(false), Some(true)) => Finding::refused(format!("the order: newest first by creation; {ANY_ORDER}")),
        (Some(false), Some(false) | None) => {
            Finding::refused(format!("the order: neither by update nor by creation; {ANY_ORDER}"))
        }
    }
}

const ANY_ORDER: &str =
    "nothing is lost by that, but what is new on a busy tenant may wait for the next sweep (poll.sweep_every)";

/// Whether times fall; none where they do not tell.
fn newest_first(times: &[Option<Timestamp>]) -> Option<bool> {
    let tells = times.windows(2).any(|pair| pair[0] != pair[1]) && times.iter().all(Option::is_some);
    tells.then(|| times.is_sorted_by(|before, after| after <= before))
}

/// Whether windows have an end: `lt`, asked for with this one.
pub(super) fn bounds(given: Given, end: Timestamp) -> Finding {
    let name = "windows with an end (lt)";
    match given {
        Given::Page(page) => {
            let mut times = page.rows.iter().filter_map(|row| row.head.usual()).map(|row| row.last_update);
            match times.all(|time| time < end) {
                true => Finding::confirmed(name),
                false => Finding::refused(format!("{name}: they are taken and not kept to; {NO_BOUNDS}")),
            }
        }
        Given::Rejected(why) => Finding::refused(format!("{name}: {NO_BOUNDS} ({why})")),
        Given::Unknown(why) => Finding::not_confirmed(format!("{name}: {why}")),
    }
}

const NO_BOUNDS: &str = "everything is read up to the newest instead; a long way back takes longer, and around a page that fails for \
     good little can be read";

/// Whether `$skip=1` leaves a row out; `rows` are those of the first page, and the window ends at `end`.
pub(super) fn skip(given: Given, rows: &[&Header], end: Timestamp) -> Finding {
    let name = "leaving rows out ($skip)";
    match given {
        Given::Page(page) => {
            let expected = rows.iter().find(|row| row.last_update < end).map(|row| &row.id);
            let first = page.rows.iter().find_map(|row| row.head.usual()).map(|row| &row.id);
            match first.is_some() && first == expected {
                true => Finding::not_confirmed(format!("{name}: it is taken, and the same row comes first")),
                false => Finding::confirmed(name),
            }
        }
        Given::Rejected(why) => {
            Finding::refused(format!("{name}: what does not fit on a page is read in shorter windows instead ({why})"))
        }
        Given::Unknown(why) => Finding::not_confirmed(format!("{name}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::incident::Row;

    fn page(rows: &[(&str, &str, &str)]) -> Page {
        let row = |(id, created, updated): &(&str, &str, &str)| {
            let json = format!(
                r#"{{"incidentId":{id},"createdTime":"2026-11-21T{created}:00Z","lastUpdateTime":"2026-11-21T{updated}:00Z"}}"#
            );
            Row::new(serde_json::value::RawValue::from_string(json).expect("JSON"))
        };
        Page { rows: rows.iter().map(row).collect(), ..Page::default() }
    }

    fn headers(page: &Page) -> Vec<&Header> {
        page.rows.iter().filter_map(|row| row.head.usual()).collect()
    }

    fn check(finding: &Finding, outcome: Outcome, words: &str) {
        assert!(finding.outcome == outcome && finding.says.contains(words), "{finding:?} is not {outcome:?}: {words}");
    }

    #[test]
    fn the_order_is_told_where_rows_tell_it() {
        let check = |rows: &[(&str, &str, &str)], outcome, words| check(&order(&headers(&page(rows))), outcome, words);
        check(&[], Outcome::NotConfirmed, "too few");
        check(&[("1", "10:00", "10:00")], Outcome::NotConfirmed, "too few");
        check(&[("1", "09:00", "10:00"), ("2", "08:00", "10:00")], Outcome::NotConfirmed, "too few");
        check(&[("1", "09:00", "11:00"), ("2", "08:00", "10:00")], Outcome::Confirmed, "do not tell which");
        check(&[("1", "08:00", "11:00"), ("2", "09:00", "10:00")], Outcome::Confirmed, "by last update");
        check(&[("1", "09:00", "10:00"), ("2", "08:00", "11:00")], Outcome::Refused, "by creation");
        check(&[("1", "08:00", "10:00"), ("2", "09:00", "11:00")], Outcome::Refused, "neither");
    }

    #[test]
    fn a_bound_that_is_taken_has_to_be_kept_to() {
        let end = "2026-11-21T10:00:00Z".parse().expect("a time");
        let before = page(&[("1", "08:00", "09:00")]);
        let beyond = page(&[("1", "08:00", "09:00"), ("2", "08:00", "10:00")]);
        check(&bounds(Given::Page(Page::default()), end), Outcome::Confirmed, "lt");
        check(&bounds(Given::Page(before), end), Outcome::Confirmed, "lt");
        check(&bounds(Given::Page(beyond), end), Outcome::Refused, "not kept to");
        check(&bounds(Given::Rejected("no".into()), end), Outcome::Refused, "(no)");
        check(&bounds(Given::Unknown("away".into()), end), Outcome::NotConfirmed, "away");
    }

    #[test]
    fn a_row_that_should_be_left_out_does_not_come_first() {
        let end = "2026-11-21T10:00:00Z".parse().expect("a time");
        let listed = page(&[("3", "08:00", "10:00"), ("2", "08:00", "09:30"), ("1", "08:00", "09:00")]);
        let check = |given, end, outcome, words| check(&skip(given, &headers(&listed), end), outcome, words);
        check(Given::Page(page(&[("1", "08:00", "09:00")])), end, Outcome::Confirmed, "$skip");
        check(Given::Page(page(&[("2", "08:00", "09:30")])), end, Outcome::NotConfirmed, "comes first");
        check(Given::Page(page(&[("2", "08:00", "09:30")])), LAST, Outcome::Confirmed, "$skip");
        check(Given::Page(Page::default()), end, Outcome::Confirmed, "$skip");
        check(Given::Rejected("no".into()), end, Outcome::Refused, "(no)");
        check(Given::Unknown("away".into()), end, Outcome::NotConfirmed, "away");
    }
}
