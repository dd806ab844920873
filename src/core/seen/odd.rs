//! Rows without a usable time, and rows ahead of theirs: delivered once per content, they move no time. What is usual is not for here.

use crate::core::changes;
use crate::core::seen::mark::{Mark, Retold};
use crate::core::seen::{News, Verdict, news, translated};
use crate::model::event::Kind;
use crate::model::incident::{Header, Row};
use crate::model::moment::Moment;

/// Decides about a row without a usable time, for this reason, or ahead of its time.
pub(super) fn judge(
    mark: Option<&Mark>,
    row: &Row,
    ahead: Option<&Header>,
    why: Option<String>,
    now: Moment,
) -> Verdict {
    let before = mark.cloned().unwrap_or_default();
    // A row ahead of a clock that lies is nothing new where something newer is known already.
    if ahead.is_some_and(|header| header.last_update < before.time) {
        return Verdict::Stale;
    }
    if let Some(verdict) = ahead.and_then(|header| known_ahead(&before, row, header, now)) {
        return verdict;
    }
    if before.odd_hashes.contains(&row.hash) || before.hashes.contains(&row.hash) {
        return Verdict::Known;
    }
    let told = ahead.zip(before.telling());
    match told.and_then(|(header, told)| Some((header, told.retold(row, header)?))) {
        Some((header, Retold::Translated)) => return Verdict::Noted(Box::new(translated(&before, row, header, now))),
        Some((_, Retold::Less)) => return Verdict::Known,
        None => {}
    }
    let (kind, first_seen) = match (ahead, mark) {
        (Some(header), None) => changes::first_kind(header),
        (None, None) => (Kind::Created, false),
        (Some(header), Some(mark)) => (changes::kind(&mark.fields, &header.fields), false),
        (None, Some(_)) => (Kind::Updated, false),
    };
    let mut next = before;
    next.add_odd(row, ahead);
    next.written = now;
    let odd = why.or_else(|| Some("lastUpdateTime lies in the future".into()));
    match news(row, next, kind, Vec::new(), first_seen, None) {
        Verdict::New(news) => Verdict::New(Box::new(News { odd, ..*news })),
        verdict @ (Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::Noted(_)) => verdict,
    }
}

/// What a row is that was delivered when it was ahead of its time, or told of by the other API then; none where it was not.
pub(super) fn known_ahead(mark: &Mark, row: &Row, header: &Header, now: Moment) -> Option<Verdict> {
    let told = mark.told_ahead(header);
    let is_known = mark.odd_hashes.contains(&row.hash);
    let is_noted = match told.and_then(|told| told.retold(row, header)) {
        Some(Retold::Translated) => true,
        Some(Retold::Less) => false,
        None if is_known => told.is_some_and(|told| told.is_all_of_it(row)),
        None => return None,
    };
    let noted = || {
        let mut next = Mark { written: now, ..mark.clone() };
        next.add_odd(row, Some(header));
        Verdict::Noted(Box::new(next))
    };
    Some(if is_noted { noted() } else { Verdict::Known })
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::core::seen::judge;
    use crate::core::seen::tests::{T0, T1, in_graph, judged, minute, new, row};
    use crate::model::timestamp::Timestamp;

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
    fn a_row_ahead_of_the_answer_is_known_in_the_words_of_the_other_api_too() {
        let ahead = "2026-01-01T01:00:00Z";
        let date = |time: &str| Some(time.parse().expect("a time"));
        let of = |mark: &Mark, row: &Row, at: &str| judge(Some(mark), row, date(at), minute(1));
        let noted = |verdict: Verdict| match verdict {
            Verdict::Noted(mark) => *mark,
            verdict @ (Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::New(_)) => panic!("{verdict:?}"),
        };
        let first = new(judge(None, &row(ahead, "Active", 0), date(T0), minute(0)));
        // Before its time has come, and then.
        for at in [T0, "2026-01-01T02:00:00Z"] {
            let there = noted(of(&first.mark, &in_graph(ahead, "active"), at));
            assert_eq!((there.ahead.len(), there.time), (1, Timestamp::default()));
            for at in [T0, "2026-01-01T02:00:00Z"] {
                assert_eq!(of(&there, &in_graph(ahead, "active"), at), Verdict::Known);
                assert_eq!(noted(of(&there, &row(ahead, "Active", 0), at)).ahead, first.mark.ahead, "and back again");
                new(of(&there, &in_graph(ahead, "resolved"), at));
                new(of(&there, &in_graph("2026-01-01T01:00:01Z", "active"), at));
            }
        }
        let usual = new(of(&first.mark, &row(T1, "Active", 0), T1)).mark;
        noted(of(&usual, &in_graph(ahead, "active"), T0));
        noted(of(&usual, &in_graph(ahead, "active"), "2026-01-01T02:00:00Z"));
        // Of a part more is to come, unless it was all.
        let part = Row { part: true, ..in_graph(ahead, "active") };
        let first = new(judge(None, &part, date(T0), minute(0))).mark;
        assert_eq!(of(&first, &part, T0), Verdict::Known);
        new(of(&first, &row(ahead, "Active", 0), T0));
        let whole = noted(of(&first, &in_graph(ahead, "active"), T0));
        noted(of(&whole, &row(ahead, "Active", 0), T0));
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
}
