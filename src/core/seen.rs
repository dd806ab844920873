//! What is new: compares a row with what is remembered of its incident. The memory itself is the store's.

mod mark;
mod odd;

use std::time::Duration;

use crate::core::changes::{self, Tellers};
use crate::core::planted::{self, Mistake};
use crate::core::seen::mark::Retold;
pub use crate::core::seen::mark::{HASHES_MAX, Mark, Telling};
use crate::model::delivery::ForSink;
use crate::model::digest::Lists;
use crate::model::event::{Change, Event, Kind, Notes};
use crate::model::incident::{Extent, Head, Header, Row};
use crate::model::moment::Moment;
use crate::model::names::{EventId, IncidentId, TenantName};
use crate::model::timestamp::Timestamp;
use crate::model::words::Vocabulary;

/// A content that changes without moving `lastUpdateTime` makes at most one event in this time.
pub const SAME_TIME_PAUSE: Duration = Duration::from_secs(600);
/// A row dated more than this after the answer's `Date` is ahead of its time and is trusted with nothing but its content.
pub const AHEAD: Duration = Duration::from_secs(5);

/// What a row is, held against the mark of its incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Seen before, content and all.
    Known,
    /// Older than what is remembered: the answer of a replica that lags. Dropping it keeps the order per incident.
    Stale,
    /// The revision that is remembered, in the words of the other API, or known to be whole from now on: no event, and the mark to
    /// write.
    Noted(Box<Mark>),
    /// A new content at a known time, too soon after the last one; it is looked at again when it is read again.
    TooSoon,
    /// An event, and the mark to write with it in one batch.
    New(Box<News>),
}

/// What makes the event of a new row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The incident; rows without an id get one made of their content.
    pub id: IncidentId,
    /// What to remember from now on.
    pub mark: Mark,
    /// What happened.
    pub kind: Kind,
    /// The fields that differ.
    pub changes: Vec<Change>,
    /// The lists were compared too, all that is in them.
    pub compared: bool,
    /// First seen long after its creation.
    pub first_seen: bool,
    /// The row is odd, and why.
    pub odd: Option<String>,
    /// The row's time is greater than what was remembered: an unseen (id, time).
    pub unseen_time: Option<Timestamp>,
}

impl News {
    /// The event of the row that this was judged of, taken in at `now`.
    pub fn event(&self, row: Row, tenant: &TenantName, sequence: u64, now: Moment) -> Event {
        let header = row.head.usual();
        let severity = |header: &Header| {
            let word = header.fields.severity.as_deref()?;
            Some(Vocabulary::Severity.written(word).into_owned())
        };
        let (last_update, severity) =
            header.map_or((None, None), |header| (Some(header.last_update), severity(header)));
        Event {
            event_id: EventId::of(tenant, &self.id, last_update, row.hash),
            kind: self.kind,
            tenant: tenant.clone(),
            sequence,
            observed_at: Timestamp::from_ticks(now.nanos() / 100),
            changes: self.changes.clone(),
            incident_id: self.id.clone(),
            last_update,
            severity,
            notes: Notes {
                first_seen: self.first_seen,
                repaired: row.repaired,
                truncated: row.truncated,
                compared: self.compared,
                odd: self.odd.clone(),
            },
            incident: row.raw,
            for_sink: ForSink::default(),
        }
    }
}

/// The id under which a row is remembered. A row without one is its own content.
pub fn id_of(row: &Row) -> IncidentId {
    match &row.head {
        Head::Usual(header) => header.id.clone(),
        Head::Odd { id: Some(id), .. } => id.clone(),
        Head::Odd { id: None, .. } => IncidentId::new(format!("odd-{}", row.hash)),
    }
}

/// Decides whether a row is new. `date` is the server's time of the answer it came in, `now` our own.
///
/// New is a greater time, or the same time with a content not remembered there. Rows without a usable time, and rows
/// [`AHEAD`] of the answer, are delivered once per content and leave the remembered time alone. What was told as a part or a stub
/// is new once more where either API has more of it, and a part of what was told whole is nothing new.
pub fn judge(mark: Option<&Mark>, row: &Row, date: Option<Timestamp>, now: Moment) -> Verdict {
    let ahead_counts = planted::is(Mistake::FutureRowMovesTime);
    match &row.head {
        Head::Odd { why, .. } => odd::judge(mark, row, None, Some(why.clone()), now),
        Head::Usual(header) if !ahead_counts && date.is_some_and(|date| date.later(AHEAD) < header.last_update) => {
            odd::judge(mark, row, Some(header), None, now)
        }
        Head::Usual(header) => judge_usual(mark, row, header, now),
    }
}

fn judge_usual(mark: Option<&Mark>, row: &Row, header: &Header, now: Moment) -> Verdict {
    if let Some(verdict) = mark.and_then(|mark| odd::known_ahead(mark, row, header, now)) {
        return verdict;
    }
    // A mark that knows odd contents only has no time to compare with.
    let Some(mark) = mark.filter(|mark| !mark.hashes.is_empty()) else {
        let (kind, first_seen) = changes::first_kind(header);
        let odd = mark.cloned().unwrap_or_default();
        let mark = Mark {
            time: header.last_update,
            hashes: vec![row.hash],
            odd_hashes: odd.odd_hashes,
            ahead: odd.ahead,
            dialect: header.dialect,
            extent: mark::extent(row),
            fields: header.fields.clone(),
            digest: row.lists.as_ref().map(Lists::digest),
            written: now,
        };
        return news(row, mark, kind, Vec::new(), first_seen, Some(header.last_update));
    };
    let different_is_new = planted::is(Mistake::DifferentIsNew);
    if header.last_update < mark.time && !different_is_new {
        return Verdict::Stale;
    }
    let same_time = header.last_update == mark.time;
    match mark.telling().and_then(|told| told.retold(row, header)) {
        Some(Retold::Translated) => return Verdict::Noted(Box::new(translated(mark, row, header, now))),
        Some(Retold::Less) => return Verdict::Known,
        None => {}
    }
    let seen = mark.hashes.contains(&row.hash) || planted::is(Mistake::SeenWithoutHash);
    if (same_time && seen) || planted::is(Mistake::SeenById) {
        let was_all = mark.telling().is_some_and(|told| told.is_all_of_it(row));
        let whole = || Mark { extent: Extent::Whole, written: now, ..mark.clone() };
        return if was_all { Verdict::Noted(Box::new(whole())) } else { Verdict::Known };
    }
    // What was told in part waits for nothing where more of it comes.
    let is_more = mark.extent < mark::extent(row);
    if same_time && !is_more && 1 < mark.hashes.len() && now.since(mark.written) < SAME_TIME_PAUSE {
        return Verdict::TooSoon;
    }
    let mut next = mark.clone();
    if !same_time {
        next.hashes.clear();
    }
    mark::push(&mut next.hashes, row.hash);
    next.time = header.last_update;
    next.dialect = header.dialect;
    next.extent = mark::extent(row);
    next.fields = header.fields.clone();
    next.written = now;
    let kind = changes::kind(&mark.fields, &header.fields);
    let tellers = if mark.dialect == header.dialect { Tellers::Same } else { Tellers::Switched };
    let mut changes = changes::changes(&mark.fields, &header.fields, tellers);
    let both = mark.digest.as_ref().zip(row.lists.as_ref());
    let of_lists = both.map(|(digest, lists)| changes::lists::changes(digest, lists, tellers));
    // After a switch nobody knows which alerts say something new.
    let compared = of_lists.is_some() && tellers == Tellers::Same;
    changes.extend(of_lists.into_iter().flatten());
    next.digest = row.lists.as_ref().map(Lists::digest);
    match news(row, next, kind, changes, false, (!same_time).then_some(header.last_update)) {
        Verdict::New(news) => Verdict::New(Box::new(News { compared, ..*news })),
        verdict @ (Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::Noted(_)) => verdict,
    }
}

/// The mark of a revision that the other API tells of in its own words: what changes next is told from these.
fn translated(mark: &Mark, row: &Row, header: &Header, now: Moment) -> Mark {
    Mark {
        hashes: vec![row.hash],
        dialect: header.dialect,
        fields: header.fields.clone(),
        digest: row.lists.as_ref().map(Lists::digest),
        written: now,
        ..mark.clone()
    }
}

fn news(
    row: &Row,
    mark: Mark,
    kind: Kind,
    changes: Vec<Change>,
    first_seen: bool,
    unseen_time: Option<Timestamp>,
) -> Verdict {
    let (id, compared, odd) = (id_of(row), false, None);
    Verdict::New(Box::new(News { id, mark, kind, changes, compared, first_seen, odd, unseen_time }))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::model::dialect::Dialect;

    pub(super) const T0: &str = "2026-01-01T00:00:00Z";
    pub(super) const T1: &str = "2026-01-01T00:00:01Z";

    pub(super) fn row(time: &str, status: &str, detail: u32) -> Row {
        let json = format!(
            r#"{{"incidentId":7,"createdTime":"{T0}","lastUpdateTime":"{time}","status":"{status}","detail":{detail}}}"#
        );
        Row::new(RawValue::from_string(json).expect("JSON"))
    }

    pub(super) fn minute(n: u64) -> Moment {
        Moment::from_nanos(0) + Duration::from_secs(60 * n)
    }

    pub(super) fn new(verdict: Verdict) -> News {
        match verdict {
            Verdict::New(news) => *news,
            verdict @ (Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::Noted(_)) => {
                panic!("not new: {verdict:?}")
            }
        }
    }

    pub(super) fn judged(mark: Option<&Mark>, row: &Row) -> Verdict {
        judge(mark, row, None, minute(0))
    }

    #[test]
    fn a_greater_time_is_new_and_a_lower_one_is_stale() {
        let first = new(judged(None, &row(T0, "Active", 0)));
        assert_eq!((first.kind, first.unseen_time.is_some()), (Kind::Created, true));
        assert_eq!(judged(Some(&first.mark), &row(T0, "Active", 0)), Verdict::Known);
        let second = new(judged(Some(&first.mark), &row(T1, "Resolved", 0)));
        assert_eq!(second.kind, Kind::Resolved);
        assert_eq!(second.changes.len(), 1);
        assert_eq!(judged(Some(&second.mark), &row(T0, "Active", 0)), Verdict::Stale);
    }

    #[test]
    fn lists_are_compared_where_both_revisions_have_them() {
        let first = new(judged(None, &row(T0, "Active", 0)));
        assert!(!first.compared);
        assert!(new(judged(Some(&first.mark), &row(T1, "Active", 0))).compared);
        let of_before = Mark { digest: None, ..first.mark.clone() };
        assert!(!new(judged(Some(&of_before), &row(T1, "Active", 0))).compared);
        let stub = Row { lists: None, ..row(T1, "Active", 0) };
        assert!(!new(judged(Some(&first.mark), &stub)).compared);
    }

    #[test]
    fn a_new_content_at_the_same_time_is_new_but_not_an_unseen_time() {
        let first = new(judged(None, &row(T0, "Active", 0)));
        let second = new(judged(Some(&first.mark), &row(T0, "Active", 1)));
        assert_eq!((second.kind, second.unseen_time), (Kind::Updated, None));
        assert_eq!(judged(Some(&second.mark), &row(T0, "Active", 0)), Verdict::Known, "the older content again");
    }

    #[test]
    fn contents_at_one_time_are_paced_and_come_in_the_end() {
        let first = new(judge(None, &row(T0, "Active", 0), None, minute(0)));
        let second = new(judge(Some(&first.mark), &row(T0, "Active", 1), None, minute(1)));
        assert_eq!(judge(Some(&second.mark), &row(T0, "Active", 2), None, minute(5)), Verdict::TooSoon);
        new(judge(Some(&second.mark), &row(T0, "Active", 2), None, minute(11)));
    }

    #[test]
    fn no_more_than_eight_contents_are_remembered() {
        let mut mark = new(judged(None, &row(T0, "Active", 0))).mark;
        for n in 1..20 {
            mark = new(judge(Some(&mark), &row(T0, "Active", n), None, minute(u64::from(n) * 11))).mark;
        }
        assert_eq!(mark.hashes.len(), HASHES_MAX);
    }

    /// The same revision as [`row`] makes, in the words of Graph.
    pub(super) fn in_graph(time: &str, status: &str) -> Row {
        let json = format!(r#"{{"id":"7","lastUpdateDateTime":"{time}","status":"{status}"}}"#);
        Row::new(RawValue::from_string(json).expect("JSON"))
    }

    fn noted(mark: &Mark, row: &Row) -> Mark {
        match judged(Some(mark), row) {
            Verdict::Noted(mark) => *mark,
            verdict @ (Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::New(_)) => panic!("{verdict:?}"),
        }
    }

    #[test]
    fn what_was_told_in_part_is_told_once_more_where_either_api_has_more_of_it() {
        let part = |row: Row| Row { part: true, ..row };
        let stub = |row: Row| Row { truncated: true, lists: None, ..row };
        for less in [part(in_graph(T0, "active")), stub(in_graph(T0, "active"))] {
            let first = new(judged(None, &less));
            assert_eq!((first.mark.extent, judged(Some(&first.mark), &less)), (less.extent(), Verdict::Known));
            let whole = new(judged(Some(&first.mark), &row(T0, "Active", 0)));
            assert_eq!((whole.kind, whole.unseen_time, whole.mark.extent), (Kind::Updated, None, Extent::Whole));
            assert_eq!(noted(&whole.mark, &in_graph(T0, "active")).extent, Extent::Whole, "it was told whole");
        }
        // Two parts, and the whole a moment later.
        let first = new(judged(None, &part(row(T0, "Active", 0))));
        let second = new(judged(Some(&first.mark), &part(row(T0, "Active", 1))));
        new(judged(Some(&second.mark), &row(T0, "Active", 2)));
        new(judged(Some(&second.mark), &in_graph(T0, "active")));
    }

    #[test]
    fn a_part_that_turns_out_to_be_all_is_whole_from_then_on() {
        let row = in_graph(T0, "active");
        let first = new(judged(None, &Row { part: true, ..row.clone() }));
        let whole = noted(&first.mark, &row);
        assert_eq!((whole.extent, &whole.hashes), (Extent::Whole, &first.mark.hashes));
        assert_eq!(judged(Some(&whole), &row), Verdict::Known);
        noted(&whole, &self::row(T0, "Active", 0));
    }

    #[test]
    fn a_part_of_what_was_told_whole_is_nothing_new_and_one_of_a_later_time_is() {
        let part = |time: &str| Row { part: true, ..in_graph(time, "new") };
        for whole in [row(T0, "Active", 0), in_graph(T0, "active")] {
            let first = new(judged(None, &whole));
            assert_eq!(judged(Some(&first.mark), &part(T0)), Verdict::Known);
            assert_eq!(new(judged(Some(&first.mark), &part(T1))).mark.extent, Extent::Part);
            let an_hour_ago = Some("2025-12-31T23:00:00Z".parse().expect("a time"));
            assert_eq!(judge(Some(&first.mark), &part(T0), an_hour_ago, minute(0)), Verdict::Known);
        }
    }

    #[test]
    fn a_revision_that_the_other_api_tells_of_is_known_and_what_follows_is_told_from_its_words() {
        let first = new(judged(None, &row(T0, "Active", 0)));
        let translated = noted;
        let there = translated(&first.mark, &in_graph(T0, "active"));
        assert_eq!((there.dialect, there.time), (Dialect::Graph, first.mark.time));
        assert_eq!(judged(Some(&there), &in_graph(T0, "active")), Verdict::Known);
        assert_eq!(translated(&there, &row(T0, "Active", 0)), first.mark, "and back again");
        let next = new(judged(Some(&first.mark), &in_graph(T1, "active")));
        assert_eq!((next.kind, &next.changes, next.mark.dialect), (Kind::Updated, &Vec::new(), Dialect::Graph));
        assert!(!next.compared, "what its alerts say was not");
        assert_eq!(judged(Some(&next.mark), &row(T0, "Active", 0)), Verdict::Stale);
        let an_hour_ago = Some("2025-12-31T23:00:00Z".parse().expect("a time"));
        let verdict = judge(Some(&first.mark), &in_graph(T0, "active"), an_hour_ago, minute(0));
        assert_eq!(verdict, Verdict::Noted(Box::new(there)), "whatever the clock of the answer says");
    }
}
