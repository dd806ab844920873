//! One reading against lists that make it hard: rows that no page survives, rows that cannot be skipped, bounds that are
//! refused, more rows in one second than can be read in one piece. Whatever is not in quarantine must have been read.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::value::RawValue;
use xdrelay::core::quarantine::Quarantine;
use xdrelay::core::reading::{Reading, Refusals, Step};
use xdrelay::core::seen;
use xdrelay::model::incident::Row;
use xdrelay::model::moment::Moment;
use xdrelay::model::page::{Alerts, FetchError, Query, Window};
use xdrelay::model::timestamp::Timestamp;

const NOW: u64 = 1_800_000_000;

/// A list as the API answers it, with what is wrong with it.
#[derive(Default)]
struct List {
    /// (id, last update, created), newest update first.
    rows: Vec<(u32, u64, u64)>,
    /// Every page that holds one of these fails.
    poison: BTreeSet<u32>,
    /// The same, but only with its alerts.
    poison_within: BTreeSet<u32>,
    lists_alerts_apart: bool,
    /// Seconds that are read so at once.
    expected_apart: BTreeSet<Timestamp>,
    /// These are missing, and an answer that should hold one says that something is.
    missing: BTreeSet<u32>,
    /// Every answer says so.
    all_lack: bool,
    /// Every page with more rows than this is too large.
    rows_max: Option<usize>,
    /// A `$skip` of so many rows is refused.
    skip_max: Option<u32>,
    refuses_bounds: bool,
    refuses_created: bool,
    /// It listed rows before.
    doubts_nothing: bool,
    /// Nothing works for so many calls, counted from the first.
    down_for: u32,
    /// So many rows leave the front of the list before each call that asks for more than a second.
    leaving: usize,
}

/// What came of a reading.
#[derive(Debug)]
struct Outcome {
    read: BTreeSet<u32>,
    quarantine: Quarantine,
    end: Step,
    calls: u32,
    refusals: Refusals,
}

impl List {
    fn of(rows: impl IntoIterator<Item = (u32, u64, u64)>) -> Self {
        Self { rows: rows.into_iter().collect(), ..Self::default() }
    }

    /// One row a second, going back from now.
    fn one_a_second(count: u32) -> Self {
        Self::of((0..count).map(|id| (id, NOW - u64::from(id) - 1, NOW - 100_000)))
    }

    /// The rows, and whether some are missing.
    fn answer(&mut self, query: &Query, call: u32) -> Result<(Vec<Row>, bool), FetchError> {
        let refuse = |why: &str| Err(FetchError::Rejected { why: why.into() });
        let down = || Err(FetchError::Unavailable { after: None, why: "500".into() });
        if call < self.down_for {
            return down();
        }
        if self.refuses_bounds && query.window.to.is_some() {
            return refuse("lt");
        }
        if self.refuses_created && query.created.is_some() {
            return refuse("createdTime");
        }
        if self.skip_max.is_some_and(|most| most < query.skip) {
            return refuse("$skip");
        }
        let is_wide = query.window.to.is_none_or(|to| Duration::from_secs(1) < to.since(query.window.from));
        if is_wide && self.leaving != 0 {
            self.rows.drain(..self.leaving.min(self.rows.len()));
        }
        let within = |window: &Window, at: u64| {
            let at = Timestamp::from_seconds(at);
            window.from <= at && window.to.is_none_or(|to| at < to)
        };
        let wanted = self.rows.iter().filter(|(_, updated, created)| {
            within(&query.window, *updated) && query.created.is_none_or(|window| within(&window, *created))
        });
        let page: Vec<_> = wanted.skip(query.skip as usize).take(query.top as usize).collect();
        let is_within = query.alerts == Alerts::Within;
        assert!(is_within || self.lists_alerts_apart, "nobody asks for what there is not");
        if page.iter().any(|(id, ..)| self.poison.contains(id) || (is_within && self.poison_within.contains(id))) {
            return down();
        }
        let lacks = self.all_lack || page.iter().any(|(id, ..)| self.missing.contains(id));
        if self.rows_max.is_some_and(|most| most < page.len()) {
            return Err(FetchError::TooLarge { limit: 1 });
        }
        Ok((page.into_iter().filter(|(id, ..)| !self.missing.contains(id)).map(|&row| json(row)).collect(), lacks))
    }

    fn read_without_bounds(self) -> Outcome {
        self.read_knowing(Refusals { bounds: true, ..Refusals::default() })
    }

    fn read(self) -> Outcome {
        self.read_knowing(Refusals::default())
    }

    /// Reads everything with pages of ten rows, as the poller does it.
    fn read_knowing(mut self, refusals: Refusals) -> Outcome {
        let everything = Window { from: Timestamp::from_seconds(NOW - 100_000), to: None };
        let horizon = Timestamp::from_seconds(NOW);
        let mut reading = Reading::new(&[everything], 10, refusals, horizon, self.doubts_nothing)
            .listing_alerts_apart(self.lists_alerts_apart);
        reading.expect_apart(&self.expected_apart);
        let mut outcome = Outcome {
            read: BTreeSet::new(),
            quarantine: Quarantine::default(),
            end: reading.step(),
            calls: 0,
            refusals: Refusals::default(),
        };
        let mut now = Moment::from_nanos(0);
        for _ in 0..5000 {
            match reading.step() {
                Step::Read(query) => {
                    let answer = self.answer(&query, outcome.calls);
                    outcome.calls += 1;
                    match answer {
                        Ok((rows, lacks)) => {
                            outcome
                                .read
                                .extend(rows.iter().filter_map(|row| seen::id_of(row).as_str().parse::<u32>().ok()));
                            match lacks {
                                false => reading.read(&rows, now),
                                true => {
                                    reading.read_in_part(&rows, "206", None, now);
                                }
                            }
                        }
                        Err(error) => {
                            reading.failed(&error, None, now);
                        }
                    }
                    now = now + Duration::from_secs(1);
                }
                Step::Quarantine(window) => match outcome.quarantine.with(window) {
                    Some(next) => {
                        outcome.quarantine = next;
                        reading.went_around();
                    }
                    None => reading.quarantine_is_full(),
                },
                Step::Complete | Step::Broken(_) => break,
            }
        }
        outcome.end = reading.step();
        outcome.refusals = reading.refusals();
        outcome
    }
}

/// The seconds of these rows of [`List::one_a_second`].
fn seconds_of(ids: &[u32]) -> BTreeSet<Timestamp> {
    ids.iter().map(|&id| Timestamp::from_seconds(NOW - u64::from(id) - 1)).collect()
}

fn json((id, updated, created): (u32, u64, u64)) -> Row {
    let (updated, created) = (Timestamp::from_seconds(updated), Timestamp::from_seconds(created));
    let json = format!(r#"{{"incidentId":{id},"createdTime":"{created}","lastUpdateTime":"{updated}"}}"#);
    Row::new(RawValue::from_string(json).expect("JSON"))
}

/// The reading is complete, everything but `lost` was read, and what could not be read is in quarantine. At most so many calls.
fn complete(list: List, lost: &[u32], calls_max: u32) -> Outcome {
    let rows = list.rows.clone();
    let outcome = list.read();
    assert_eq!(outcome.end, Step::Complete, "{outcome:?}");
    assert!(outcome.calls <= calls_max, "{} calls", outcome.calls);
    for (id, updated, _) in rows {
        assert!(outcome.read.contains(&id) || lost.contains(&id), "{id} was not read");
        if lost.contains(&id) {
            assert!(outcome.quarantine.holds(Timestamp::from_seconds(updated)), "{id} is not in quarantine");
        }
    }
    outcome
}

#[test]
fn a_poisoned_row_is_cut_down_to_its_second_and_everything_else_is_read() {
    for poison in [0, 57, 199] {
        let list = List { poison: [poison].into(), ..List::one_a_second(200) };
        let outcome = complete(list, &[poison], 250);
        let [window] = outcome.quarantine.windows() else { panic!("{outcome:?}") };
        assert_eq!(window.to.since(window.from), Duration::from_secs(1));
    }
}

#[test]
fn several_poisoned_rows_go_to_quarantine_one_by_one() {
    let outcome = complete(List { poison: [3, 4, 150].into(), ..List::one_a_second(200) }, &[3, 4, 150], 500);
    assert_eq!(outcome.quarantine.windows().len(), 3);
}

#[test]
fn rows_in_the_second_of_a_poisoned_one_are_read_around_it() {
    let second = (0..40).map(|id| (id, NOW - 500, NOW - 1000));
    let outcome = complete(List { poison: [17].into(), ..List::of(second) }, &[17], 150);
    let [window] = outcome.quarantine.windows() else { panic!("{outcome:?}") };
    let neighbours = [window.before.clone(), window.after.clone()];
    assert_eq!(neighbours, [Some("16".to_owned()), Some("18".to_owned())]);
}

#[test]
fn a_poisoned_row_of_the_future_is_found_too() {
    let rows =
        [(0, NOW + 4 * 365 * 86_400, NOW)].into_iter().chain((1..50).map(|id| (id, NOW - u64::from(id), NOW - 1000)));
    complete(List { poison: [0].into(), ..List::of(rows) }, &[0], 250);
}

#[test]
fn more_poisoned_rows_than_fit_into_quarantine_prove_nothing() {
    let every_third: BTreeSet<u32> = (0..200).filter(|id| id % 3 == 0).collect();
    let outcome = List { poison: every_third, ..List::one_a_second(200) }.read();
    assert!(matches!(&outcome.end, Step::Broken(why) if why.contains("quarantine")), "{:?}", outcome.end);
}

#[test]
fn an_outage_puts_nothing_into_quarantine() {
    for down_for in [1, 5, 100, 1000] {
        let outcome = complete(List { down_for, ..List::one_a_second(30) }, &[], down_for + 20);
        assert!(outcome.quarantine.is_empty());
    }
}

#[test]
fn a_cap_on_skip_is_found_out_and_the_rest_is_cut_into_smaller_windows() {
    let outcome = complete(List { skip_max: Some(25), ..List::one_a_second(300) }, &[], 200);
    assert_eq!(outcome.refusals.skip, Some(30), "the first that was refused");
}

#[test]
fn more_rows_in_one_second_than_can_be_skipped_are_cut_by_creation() {
    let tie = (0..300).map(|id| (id, NOW - 500, NOW - 5000 - u64::from(id)));
    complete(List { skip_max: Some(25), ..List::of(tie) }, &[], 250);
    let tie_of_both = (0..300).map(|id| (id, NOW - 500, NOW - 5000));
    let outcome = List { skip_max: Some(25), ..List::of(tie_of_both) }.read();
    assert_eq!(outcome.end, Step::Complete);
    assert_eq!(outcome.quarantine.windows().len(), 1, "what cannot be cut is in quarantine, and never forgotten");
}

#[test]
fn where_creation_is_no_bound_either_the_second_goes_to_quarantine() {
    let tie = (0..300).map(|id| (id, NOW - 500, NOW - 5000 - u64::from(id)));
    let outcome = List { skip_max: Some(25), refuses_created: true, ..List::of(tie) }.read();
    assert_eq!((outcome.end, outcome.quarantine.windows().len()), (Step::Complete, 1));
    assert!(outcome.refusals.created);
}

#[test]
fn where_bounds_are_refused_nothing_is_cut_and_nothing_concluded() {
    let outcome = List { refuses_bounds: true, skip_max: Some(25), ..List::one_a_second(300) }.read();
    assert!(matches!(outcome.end, Step::Broken(_)));
    assert!(outcome.refusals.bounds);
    complete(List { refuses_bounds: true, ..List::one_a_second(300) }, &[], 200);
    let outcome = List { refuses_bounds: true, poison: [7].into(), ..List::one_a_second(30) }.read_without_bounds();
    assert!(matches!(outcome.end, Step::Broken(_)));
    assert_eq!(outcome.read.len(), 29, "what can be read is, and nothing is concluded");
}

#[test]
fn pages_that_are_too_large_are_read_with_fewer_rows() {
    complete(List { rows_max: Some(3), ..List::one_a_second(60) }, &[], 120);
    let outcome = complete(List { rows_max: Some(1), ..List::one_a_second(8) }, &[], 200);
    assert!(outcome.quarantine.is_empty(), "one row at a time will do");
}

#[test]
fn a_list_that_shrinks_faster_than_it_is_read_is_cut_until_it_can_be() {
    let outcome = List { leaving: 30, ..List::one_a_second(400) }.read();
    assert_eq!(outcome.end, Step::Complete, "{:?}", outcome.end);
}

#[test]
fn an_incident_that_fails_only_with_its_alerts_is_read_without_them_and_nothing_goes_to_quarantine() {
    for poison in [0, 57, 199] {
        let list = List { poison_within: [poison].into(), lists_alerts_apart: true, ..List::one_a_second(200) };
        let outcome = complete(list, &[], 250);
        assert!(outcome.quarantine.is_empty(), "{outcome:?}");
    }
    let second = || List { lists_alerts_apart: true, ..List::of((0..40).map(|id| (id, NOW - 500, NOW - 1000))) };
    let outcome = complete(List { poison_within: [3, 17, 18].into(), ..second() }, &[], 250);
    assert!(outcome.quarantine.is_empty(), "{outcome:?}");
    let outcome = complete(List { poison_within: [3, 17].into(), poison: [17].into(), ..second() }, &[17], 150);
    assert_eq!(outcome.quarantine.windows().len(), 1, "what fails without them too");
    let elsewhere = List { poison_within: [57].into(), ..List::one_a_second(200) };
    complete(elsewhere, &[57], 250);
}

#[test]
fn rows_that_one_page_lacks_are_cut_down_to_their_second() {
    let outcome = complete(List { missing: [57, 58].into(), ..List::one_a_second(200) }, &[57, 58], 400);
    assert_eq!(outcome.quarantine.windows().len(), 2);
}

#[test]
fn where_every_answer_lacks_rows_what_comes_is_read_and_nothing_is_concluded() {
    let every_third: BTreeSet<u32> = (0..200).filter(|id| id % 3 == 0).collect();
    let outcome = List { missing: every_third, all_lack: true, ..List::one_a_second(200) }.read();
    assert_eq!(outcome.end, Step::Broken("206".into()));
    assert!(outcome.quarantine.is_empty() && outcome.calls < 100, "{outcome:?}");
    assert_eq!(outcome.read, (0..200).filter(|id| id % 3 != 0).collect());
    let outcome = List { all_lack: true, ..List::of([]) }.read();
    assert_eq!(outcome.end, Step::Broken("206".into()), "no rows are no proof either");
}

#[test]
fn a_probe_that_lacks_rows_shows_that_the_source_works() {
    // The poisoned row fails; everything else is answered, in part. It is found all the same, and nothing is concluded.
    let outcome = List { poison: [57].into(), all_lack: true, ..List::one_a_second(200) }.read();
    assert!(matches!(outcome.end, Step::Broken(_)), "{outcome:?}");
    assert_eq!(outcome.read.len(), 199);
}

#[test]
fn a_second_that_was_read_without_its_alerts_before_is_read_so_at_once() {
    let list = || List { poison_within: [57, 58].into(), lists_alerts_apart: true, ..List::one_a_second(200) };
    let first = complete(list(), &[], 250);
    let again = complete(List { expected_apart: seconds_of(&[57, 58]), ..list() }, &[], 80);
    assert!(again.calls + 30 < first.calls, "{} calls and then {}", first.calls, again.calls);
    complete(List { expected_apart: seconds_of(&[3, 199]), ..list() }, &[], 250);
}

#[test]
fn a_row_that_is_too_large_for_any_page_is_there_all_the_same() {
    let window = Window { from: Timestamp::from_seconds(NOW), to: None };
    let mut reading = Reading::new(&[window], 10, Refusals::default(), Timestamp::from_seconds(NOW), true);
    for _ in 0..2 {
        reading.read(&[], Moment::from_nanos(0));
    }
    assert!(reading.is_doubting(), "nothing was changed lately; is there anything at all?");
    assert!(reading.failed(&FetchError::TooLarge { limit: 1 }, None, Moment::from_nanos(0)));
    assert_eq!(reading.step(), Step::Complete);
}
