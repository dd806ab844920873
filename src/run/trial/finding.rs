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

/// Whether pages of this size are given, by the first one.
pub(super) fn size(size: u32, came: usize) -> Finding {
    let name = format!("pages of {size} rows");
    match came == size as usize {
        true => Finding::confirmed(name),
        false => Finding::not_confirmed(format!("{name}: taken; {} came", rows(came))),
    }
}

/// The same where fewer came, by a page of what is older; none where that tells nothing. `all` are the rows of the first page.
pub(super) fn cap(size: u32, all: &[&Header], older: &Page) -> Option<Finding> {
    let oldest = all.iter().map(|row| row.last_update).min()?;
    let mut rest = older.rows.iter().filter_map(|row| row.head.usual());
    let is_beyond = |row: &Header| row.last_update < oldest && all.iter().all(|of_all| of_all.id != row.id);
    let came = rows(all.len());
    rest.any(is_beyond).then(|| {
        Finding::refused(format!(
            "pages of {size} rows: taken, {came} came and there are more behind them: no page is larger; nothing is lost by that, \
             it takes more calls"
        ))
    })
}

fn rows(count: usize) -> String {
    format!("{count} row{}", if count == 1 { "" } else { "s" })
}

/// The end of a window that tells the most of `lt` and `$skip=1`: at least two rows are before it, and as many as can be are not.
pub(super) fn telling_end(rows: &[&Header]) -> Option<Timestamp> {
    let times = || rows.iter().map(|row| row.last_update);
    let tells = |end: &Timestamp| 2 <= times().filter(|time| time < end).count();
    times().filter(tells).min().or_else(|| times().max())
}

/// Whether windows have an end: `lt`, asked for with this one and with so many rows left out; `rows` are those of the first page.
pub(super) fn bounds(given: Given, rows: &[&Header], end: Timestamp, skip: usize) -> Finding {
    let name = "windows with an end (lt)";
    let page = match given {
        Given::Page(page) => page,
        Given::Rejected(why) => return Finding::refused(format!("{name}: {NO_BOUNDS} ({why})")),
        Given::Unknown(why) => return Finding::not_confirmed(format!("{name}: {why}")),
    };
    let mut came = page.rows.iter().filter_map(|row| row.head.usual()).peekable();
    let first = came.peek().map(|row| &row.id);
    // What would come first if `lt` were not kept to.
    let without = rows.get(skip).filter(|row| row.last_update < end).map(|row| &row.id);
    match first {
        None => Finding::not_confirmed(format!("{name}: {TOO_FEW}")),
        Some(_) if came.any(|row| end <= row.last_update) => {
            Finding::refused(format!("{name}: they are taken and not kept to; {NO_BOUNDS}"))
        }
        Some(_) if first == without => Finding::not_confirmed(format!("{name}: {TOO_FEW}")),
        Some(_) => Finding::confirmed(name),
    }
}

const TOO_FEW: &str = "taken, too few rows to tell";
const NO_BOUNDS: &str = "everything is read up to the newest instead; a long way back takes longer, and around a page that fails for \
     good little can be read";

/// Whether `$skip=1` leaves a row out; `rows` are those of the first page, and the window ends at `end`.
pub(super) fn skip(given: Given, rows: &[&Header], end: Timestamp) -> Finding {
    let name = "leaving rows out ($skip)";
    let page = match given {
        Given::Page(page) => page,
        Given::Rejected(why) => {
            let meaning = "what does not fit on a page is read in shorter windows instead";
            return Finding::refused(format!("{name}: {meaning} ({why})"));
        }
        Given::Unknown(why) => return Finding::not_confirmed(format!("{name}: {why}")),
    };
    let expected = rows.iter().find(|row| row.last_update < end).map(|row| &row.id);
    match page.rows.iter().find_map(|row| row.head.usual()).map(|row| &row.id) {
        None => Finding::not_confirmed(format!("{name}: {TOO_FEW}")),
        first if first == expected => {
            Finding::not_confirmed(format!("{name}: it is taken, and the same row comes first"))
        }
        Some(_) => Finding::confirmed(name),
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
    fn a_page_size_is_confirmed_by_a_full_page_and_by_nothing_else() {
        check(&size(50, 50), Outcome::Confirmed, "pages of 50 rows");
        for (came, words) in [(0, "taken; 0 rows came"), (1, "taken; 1 row came"), (60, "taken; 60 rows came")] {
            check(&size(50, came), Outcome::NotConfirmed, words);
        }
    }

    #[test]
    fn what_is_older_than_a_short_page_tells_a_cap_from_a_small_tenant() {
        let listed = page(&[("3", "08:00", "10:00"), ("2", "08:00", "09:30"), ("1", "08:00", "09:00")]);
        let more = page(&[("1", "08:00", "09:00"), ("0", "07:00", "08:30")]);
        let of = |older: &Page| cap(50, &headers(&listed), older);
        check(&of(&more).expect("a cap"), Outcome::Refused, "3 rows came and there are more behind them");
        assert!(of(&Page::default()).is_none());
        assert!(of(&page(&[("1", "08:00", "09:00")])).is_none(), "it was on the page");
        assert!(of(&page(&[("1", "08:00", "08:59")])).is_none(), "an older state of what was on the page");
        assert!(of(&page(&[("7", "08:00", "09:15")])).is_none(), "it became visible late");
        assert!(cap(50, &[], &more).is_none());
    }

    #[test]
    fn the_end_of_the_window_leaves_two_rows_before_it_where_there_are_so_many() {
        let end = |rows: &[(&str, &str, &str)]| telling_end(&headers(&page(rows))).map(|end| end.to_string());
        let rows = [("4", "08:00", "11:00"), ("3", "08:00", "10:00"), ("2", "08:00", "09:30"), ("1", "08:00", "09:00")];
        let at = |time: &str| Some(time.parse::<Timestamp>().expect("a time").to_string());
        assert_eq!(end(&rows), at("2026-11-21T10:00:00Z"));
        assert_eq!(end(&rows[1..]), at("2026-11-21T10:00:00Z"));
        assert_eq!(end(&rows[2..]), at("2026-11-21T09:30:00Z"));
        assert_eq!(
            end(&[rows[0], rows[2], rows[2], rows[2]]),
            at("2026-11-21T11:00:00Z"),
            "three at once are one bound"
        );
        assert_eq!(end(&[]), None);
    }

    #[test]
    fn a_bound_that_is_taken_has_to_be_kept_to() {
        let end = "2026-11-21T10:00:00Z".parse().expect("a time");
        let rows = [("4", "08:00", "11:00"), ("3", "08:00", "10:00"), ("2", "08:00", "09:30"), ("1", "08:00", "09:00")];
        let listed = page(&rows);
        let check =
            |given, rows: &[&Header], skip, outcome, words| check(&bounds(given, rows, end, skip), outcome, words);
        let all = headers(&listed);
        check(Given::Page(page(&rows[3..])), &all, 1, Outcome::Confirmed, "lt");
        check(Given::Page(page(&rows[2..])), &all, 0, Outcome::Confirmed, "lt");
        check(Given::Page(page(&rows[1..])), &all, 1, Outcome::Refused, "not kept to");
        check(Given::Page(page(&[rows[2], rows[0]])), &all, 1, Outcome::Refused, "not kept to");
        check(Given::Page(Page::default()), &all, 1, Outcome::NotConfirmed, "taken, too few rows to tell");
        check(Given::Page(Page::default()), &[], 1, Outcome::NotConfirmed, "taken, too few rows to tell");
        // Whether it is the second of all, or the first of those before the end, nobody can say.
        check(Given::Page(page(&rows[2..3])), &all[1..], 1, Outcome::NotConfirmed, "taken, too few rows to tell");
        check(Given::Rejected("no".into()), &all, 1, Outcome::Refused, "(no)");
        check(Given::Unknown("away".into()), &all, 1, Outcome::NotConfirmed, "away");
    }

    #[test]
    fn a_row_that_should_be_left_out_does_not_come_first() {
        let end = "2026-11-21T10:00:00Z".parse().expect("a time");
        let listed = page(&[("3", "08:00", "10:00"), ("2", "08:00", "09:30"), ("1", "08:00", "09:00")]);
        let check = |given, end, outcome, words| check(&skip(given, &headers(&listed), end), outcome, words);
        check(Given::Page(page(&[("1", "08:00", "09:00")])), end, Outcome::Confirmed, "$skip");
        check(Given::Page(page(&[("2", "08:00", "09:30")])), end, Outcome::NotConfirmed, "comes first");
        check(Given::Page(page(&[("2", "08:00", "09:30")])), LAST, Outcome::Confirmed, "$skip");
        check(Given::Page(Page::default()), end, Outcome::NotConfirmed, "taken, too few rows to tell");
        check(Given::Rejected("no".into()), end, Outcome::Refused, "(no)");
        check(Given::Unknown("away".into()), end, Outcome::NotConfirmed, "away");
    }
}
