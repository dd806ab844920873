//! What is new: compares a row with what is remembered of its incident. The memory itself is the store's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::changes::{self, Tellers};
use crate::core::planted::{self, Mistake};
use crate::model::delivery::ForSink;
use crate::model::dialect::Dialect;
use crate::model::digest::{Digest, Lists};
use crate::model::event::{Change, Event, Kind, Notes};
use crate::model::hash::ContentHash;
use crate::model::incident::{Fields, Head, Header, Row};
use crate::model::moment::Moment;
use crate::model::names::{EventId, IncidentId, TenantName};
use crate::model::timestamp::Timestamp;
use crate::model::words::Vocabulary;

/// Hashes remembered per incident at one time; the oldest gives way.
pub const HASHES_MAX: usize = 8;
/// A content that changes without moving `lastUpdateTime` makes at most one event in this time.
pub const SAME_TIME_PAUSE: Duration = Duration::from_secs(600);
/// A row dated more than this after the answer's `Date` is ahead of its time and is trusted with nothing but its content.
pub const AHEAD: Duration = Duration::from_secs(5);

/// What is remembered of one incident.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// The greatest `lastUpdateTime` seen.
    pub time: Timestamp,
    /// The contents seen at that time, newest last, [`HASHES_MAX`] at most.
    pub hashes: Vec<ContentHash>,
    /// The contents seen in rows without a usable time or ahead of theirs, newest last, [`HASHES_MAX`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub odd_hashes: Vec<ContentHash>,
    /// The dialect of the contents at that time.
    #[serde(default, skip_serializing_if = "is_defender")]
    pub dialect: Dialect,
    /// What `changes` compares.
    pub fields: Fields,
    /// And of its lists; none where a program wrote this that did not look at them, or where there was only a stub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// When this was last written, on our own clock: `remember` counts from here.
    pub written: Moment,
}

fn is_defender(dialect: &Dialect) -> bool {
    *dialect == Dialect::Defender
}

/// What a row is, held against the mark of its incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Seen before, content and all.
    Known,
    /// Older than what is remembered: the answer of a replica that lags. Dropping it keeps the order per incident.
    Stale,
    /// The revision that is remembered, in the words of the other API: no event, and the mark to write.
    Translated(Box<Mark>),
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
/// [`AHEAD`] of the answer, are delivered once per content and leave the remembered time alone.
pub fn judge(mark: Option<&Mark>, row: &Row, date: Option<Timestamp>, now: Moment) -> Verdict {
    let ahead_counts = planted::is(Mistake::FutureRowMovesTime);
    match &row.head {
        Head::Odd { why, .. } => judge_odd(mark, row, None, Some(why.clone()), now),
        Head::Usual(header) if !ahead_counts && date.is_some_and(|date| date.later(AHEAD) < header.last_update) => {
            judge_odd(mark, row, Some(header), None, now)
        }
        Head::Usual(header) => judge_usual(mark, row, header, now),
    }
}

fn judge_usual(mark: Option<&Mark>, row: &Row, header: &Header, now: Moment) -> Verdict {
    // Delivered before, when it was ahead of its time.
    if mark.is_some_and(|mark| mark.odd_hashes.contains(&row.hash)) {
        return Verdict::Known;
    }
    // A mark that knows odd contents only has no time to compare with.
    let Some(mark) = mark.filter(|mark| !mark.hashes.is_empty()) else {
        let (kind, first_seen) = changes::first_kind(header);
        let odd_hashes = mark.map(|mark| mark.odd_hashes.clone()).unwrap_or_default();
        let mark = Mark {
            time: header.last_update,
            hashes: vec![row.hash],
            odd_hashes,
            dialect: header.dialect,
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
    if is_told_by_the_other(mark, header) {
        return Verdict::Translated(Box::new(translated(mark, row, header, now)));
    }
    let seen = mark.hashes.contains(&row.hash) || planted::is(Mistake::SeenWithoutHash);
    if (same_time && seen) || planted::is(Mistake::SeenById) {
        return Verdict::Known;
    }
    if same_time && 1 < mark.hashes.len() && now.since(mark.written) < SAME_TIME_PAUSE {
        return Verdict::TooSoon;
    }
    let mut next = mark.clone();
    if !same_time {
        next.hashes.clear();
    }
    remember(&mut next.hashes, row.hash);
    next.time = header.last_update;
    next.dialect = header.dialect;
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
        verdict @ (Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::Translated(_)) => verdict,
    }
}

/// Whether the revision that is remembered is told of by the other API.
fn is_told_by_the_other(mark: &Mark, header: &Header) -> bool {
    let is_there = !mark.hashes.is_empty() && header.last_update == mark.time;
    is_there && mark.dialect != header.dialect && !planted::is(Mistake::OtherDialectIsNew)
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

fn judge_odd(mark: Option<&Mark>, row: &Row, ahead: Option<&Header>, why: Option<String>, now: Moment) -> Verdict {
    let before = mark.cloned().unwrap_or_default();
    // A row ahead of a clock that lies is nothing new where something newer is known already.
    if ahead.is_some_and(|header| header.last_update < before.time) {
        return Verdict::Stale;
    }
    if before.odd_hashes.contains(&row.hash) || before.hashes.contains(&row.hash) {
        return Verdict::Known;
    }
    let is_told = |header: &&Header| is_told_by_the_other(&before, header);
    if let Some(header) = ahead.filter(is_told) {
        return Verdict::Translated(Box::new(translated(&before, row, header, now)));
    }
    let (kind, first_seen) = match (ahead, mark) {
        (Some(header), None) => changes::first_kind(header),
        (None, None) => (Kind::Created, false),
        (Some(header), Some(mark)) => (changes::kind(&mark.fields, &header.fields), false),
        (None, Some(_)) => (Kind::Updated, false),
    };
    let mut next = before;
    remember(&mut next.odd_hashes, row.hash);
    next.written = now;
    let odd = why.or_else(|| Some("lastUpdateTime lies in the future".into()));
    match news(row, next, kind, Vec::new(), first_seen, None) {
        Verdict::New(news) => Verdict::New(Box::new(News { odd, ..*news })),
        verdict @ (Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::Translated(_)) => verdict,
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

fn remember(hashes: &mut Vec<ContentHash>, hash: ContentHash) {
    if hashes.len() == HASHES_MAX {
        hashes.remove(0);
    }
    hashes.push(hash);
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    const T0: &str = "2026-01-01T00:00:00Z";
    const T1: &str = "2026-01-01T00:00:01Z";

    fn row(time: &str, status: &str, detail: u32) -> Row {
        let json = format!(
            r#"{{"incidentId":7,"createdTime":"{T0}","lastUpdateTime":"{time}","status":"{status}","detail":{detail}}}"#
        );
        Row::new(RawValue::from_string(json).expect("JSON"))
    }

    fn minute(n: u64) -> Moment {
        Moment::from_nanos(0) + Duration::from_secs(60 * n)
    }

    fn new(verdict: Verdict) -> News {
        match verdict {
            Verdict::New(news) => *news,
            verdict @ (Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::Translated(_)) => {
                panic!("not new: {verdict:?}")
            }
        }
    }

    fn judged(mark: Option<&Mark>, row: &Row) -> Verdict {
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
    fn a_row_ahead_of_the_answer_comes_once_and_moves_no_time() {
        let date = Some("2026-01-01T00:00:02Z".parse().expect("a time"));
        let future = row("2030-01-01T00:00:00Z", "Active", 0);
        let first = new(judge(None, &future, date, minute(0)));
        assert_eq!((first.unseen_time, first.mark.time), (None, Timestamp::default()));
        assert_eq!(judge(Some(&first.mark), &future, date, minute(0)), Verdict::Known);
        let usual = new(judge(Some(&first.mark), &row(T1, "Active", 0), date, minute(0)));
        assert_eq!(usual.unseen_time, Some(T1.parse().expect("a time")));
        let date = Some("2031-01-01T00:00:00Z".parse().expect("a time"));
        assert_eq!(judge(Some(&first.mark), &future, date, minute(0)), Verdict::Known, "its time has come");
    }

    #[test]
    fn a_row_without_id_or_time_comes_once_per_content() {
        let odd = |json: &str| Row::new(RawValue::from_string(json.into()).expect("JSON"));
        let first = new(judged(None, &odd(r#"{"name":"a"}"#)));
        assert!(first.id.as_str().starts_with("odd-") && first.odd.is_some());
        assert_eq!(judged(Some(&first.mark), &odd(r#"{"name":"a"}"#)), Verdict::Known);
        let timeless = new(judged(None, &odd(r#"{"incidentId":7}"#)));
        assert_eq!(timeless.id.as_str(), "7");
        new(judged(Some(&timeless.mark), &odd(r#"{"incidentId":7,"a":1}"#)));
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
    fn in_graph(time: &str, status: &str) -> Row {
        let json = format!(r#"{{"id":"7","lastUpdateDateTime":"{time}","status":"{status}"}}"#);
        Row::new(RawValue::from_string(json).expect("JSON"))
    }

    #[test]
    fn a_revision_that_the_other_api_tells_of_is_known_and_what_follows_is_told_from_its_words() {
        let first = new(judged(None, &row(T0, "Active", 0)));
        let translated = |mark: &Mark, row: &Row| match judged(Some(mark), row) {
            Verdict::Translated(mark) => *mark,
            verdict @ (Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::New(_)) => panic!("{verdict:?}"),
        };
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
        assert_eq!(verdict, Verdict::Translated(Box::new(there)), "whatever the clock of the answer says");
    }
}
