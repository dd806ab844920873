//! The poller asked step by step: what it wants in which situation, and what it costs. No simulation, no time but ours.

use std::time::Duration;

use serde_json::value::RawValue;
use xdrelay::core::commit::{Commit, Committed, Done};
use xdrelay::core::poller::{Known, Poller, Reader, Todo};
use xdrelay::core::position::{Audited, Position};
use xdrelay::core::probe::PROBE;
use xdrelay::core::quota::{Lane, Limits, Quota};
use xdrelay::core::settings::{Audit, Settings, Start};
use xdrelay::model::incident::Row;
use xdrelay::model::moment::Moment;
use xdrelay::model::page::{Alerts, FetchError, Page, Query};
use xdrelay::model::timestamp::Timestamp;

const EPOCH: u64 = 1_800_000_000;
const LIMITS: Limits = Limits::of_list(50, 1500);

/// A poller, its quota, and a clock that only moves when the poller waits.
struct Table {
    poller: Poller,
    quota: Quota,
    now: Moment,
}

impl Table {
    fn new(start: Start, position: Option<Position>) -> Self {
        Self::of(start, position, false)
    }

    fn of(start: Start, position: Option<Position>, lists_alerts_apart: bool) -> Self {
        let now = Moment::from_nanos(1_000_000_000);
        let settings = Settings {
            interval: None,
            overlap: Duration::from_secs(1800),
            sweep_every: Duration::from_secs(60),
            page_size: 10,
            lists_alerts_apart,
            list: LIMITS,
            audit: Audit { every: Duration::from_secs(3600), window: Duration::from_secs(86_400) },
            deep_audit: Audit { every: Duration::from_secs(86_400), window: Duration::from_secs(30 * 86_400) },
            start,
        };
        Self {
            poller: Poller::new(settings, Known { position, ..Known::default() }, 1, now),
            quota: Quota::fresh(LIMITS),
            now,
        }
    }

    /// A poller that has been reading for a while.
    fn running() -> Self {
        Self::running_where(false)
    }

    /// The same, where alerts are listed apart or not.
    fn running_where(lists_alerts_apart: bool) -> Self {
        let swept = Some(server_time(0));
        let audited = Audited { near: swept, deep: swept };
        let position = Position { swept, audited, ..Position::start(server_time(0)) };
        let mut table = Self::of(Start::Now, Some(position), lists_alerts_apart);
        table.told_the_time();
        table.fetch(Reader::Sweep);
        table.answer(Reader::Sweep, rows(0..0));
        table.fetch(Reader::Sweep);
        table.answer(Reader::Sweep, rows(0..0));
        table.position();
        table
    }

    /// The first two calls after a start, which ask for the time and for nothing else.
    fn told_the_time(&mut self) {
        for _ in 0..2 {
            assert_eq!(self.fetch(Reader::Sweep).0.top, 1);
            self.answer_only(Reader::Sweep, rows(0..1));
        }
    }

    /// Waits until the reader wants a call, and charges it.
    fn fetch(&mut self, reader: Reader) -> (Query, Lane) {
        for _ in 0..100 {
            match self.poller.todo(reader, self.now, &mut self.quota) {
                Todo::Wait(until) => self.now = self.now.max(until),
                Todo::Fetch(query, lane) => {
                    assert!(self.quota.charge(lane, self.now).is_some(), "what it asks for can be paid");
                    return (query, lane);
                }
                Todo::Commit(commit) => panic!("{commit:?} before a call"),
            }
        }
        panic!("no call after a hundred waits");
    }

    fn fail(&mut self, reader: Reader, error: FetchError) {
        self.poller.fetched(reader, Err(error), self.now, &mut self.quota);
    }

    /// Answers a call and commits its rows, all of them unseen.
    fn answer(&mut self, reader: Reader, rows: Vec<Row>) {
        self.answer_with(reader, rows, None);
    }

    /// The same with an answer that lacks rows, where there is a reason for it.
    fn answer_with(&mut self, reader: Reader, rows: Vec<Row>, incomplete: Option<&str>) {
        let unseen = Committed {
            unseen_rows: rows.len() as u32,
            oldest_unseen: rows.iter().filter_map(Row::last_update).min(),
            ..Committed::default()
        };
        self.hear(reader, rows, incomplete);
        match self.poller.todo(reader, self.now, &mut self.quota) {
            Todo::Commit(Commit::Rows(..)) => self.poller.committed(reader, &Done::Rows(unseen), self.now),
            todo @ (Todo::Wait(_) | Todo::Fetch(..) | Todo::Commit(Commit::Position(_) | Commit::Quarantine(_))) => {
                panic!("{todo:?}")
            }
        }
    }

    fn answer_only(&mut self, reader: Reader, rows: Vec<Row>) {
        self.hear(reader, rows, None);
    }

    fn hear(&mut self, reader: Reader, rows: Vec<Row>, incomplete: Option<&str>) {
        let date = Some(server_time(self.now.since(Moment::default()).as_secs()));
        let page = Page { rows, date, incomplete: incomplete.map(str::to_owned) };
        self.poller.fetched(reader, Ok(page), self.now, &mut self.quota);
    }

    /// The position that the sweep wants to be durable, made so. Where it asks first whether there is anything at all, there is.
    fn position(&mut self) -> Position {
        for _ in 0..10 {
            match self.poller.todo(Reader::Sweep, self.now, &mut self.quota) {
                Todo::Wait(until) => self.now = self.now.max(until),
                Todo::Fetch(query, lane) if query.top == 1 => {
                    assert!(self.quota.charge(lane, self.now).is_some(), "what it asks for can be paid");
                    self.answer_only(Reader::Sweep, rows(0..1));
                }
                Todo::Commit(Commit::Position(position)) => {
                    self.poller.committed(Reader::Sweep, &Done::Position(position), self.now);
                    return position;
                }
                todo @ (Todo::Fetch(..) | Todo::Commit(Commit::Rows(..) | Commit::Quarantine(_))) => panic!("{todo:?}"),
            }
        }
        panic!("no position after ten steps");
    }

    /// Reads for so long from a source that answers every call with one row that is known. Returns the rows that each reader had
    /// made durable, and the cursors.
    fn read_for(&mut self, span: Duration, incomplete: Option<&str>) -> ([usize; 2], Vec<Timestamp>) {
        let (mut taken, mut cursors, end) = ([0, 0], Vec::new(), self.now + span);
        while self.now < end {
            let mut until = Vec::new();
            for reader in [Reader::Tail, Reader::Sweep] {
                match self.poller.todo(reader, self.now, &mut self.quota) {
                    Todo::Wait(moment) => until.push(moment),
                    Todo::Fetch(_, lane) => {
                        assert!(self.quota.charge(lane, self.now).is_some(), "what it asks for can be paid");
                        self.hear(reader, rows(0..1), incomplete);
                    }
                    Todo::Commit(Commit::Rows(_, page)) => {
                        taken[reader as usize] += page.rows.len();
                        self.poller.committed(reader, &Done::Rows(Committed::default()), self.now);
                    }
                    Todo::Commit(Commit::Position(position)) => {
                        cursors.push(position.cursor);
                        self.poller.committed(reader, &Done::Position(position), self.now);
                    }
                    Todo::Commit(Commit::Quarantine(quarantine)) => panic!("{quarantine:?}"),
                }
            }
            if let [tail, sweep] = until[..] {
                self.now = tail.min(sweep).max(self.now + Duration::from_millis(1));
            }
        }
        (taken, cursors)
    }

    /// How long until the reader wants its next call.
    fn pause(&mut self, reader: Reader) -> Duration {
        let before = self.now;
        self.fetch(reader);
        self.now.since(before)
    }
}

fn server_time(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(EPOCH + seconds)
}

fn rows(ids: std::ops::Range<u32>) -> Vec<Row> {
    let row = |id| format!(r#"{{"incidentId":{id},"lastUpdateTime":"{}"}}"#, server_time(1));
    ids.map(|id| Row::new(RawValue::from_string(row(id)).expect("JSON"))).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_first_run_begins_at_a_server_time_that_two_answers_agree_on() {
    let mut table = Table::new(Start::Back(seconds(3600)), None);
    table.told_the_time();
    let position = table.position();
    assert_eq!(position.cursor, position.floor);
    assert_eq!(position.cursor, server_time(2).earlier(seconds(3600)));
}

#[test]
fn a_first_answer_that_lies_about_the_time_does_not_move_the_start() {
    let mut table = Table::new(Start::Now, None);
    table.fetch(Reader::Sweep);
    let tomorrow = Some(server_time(86_400));
    table.poller.fetched(
        Reader::Sweep,
        Ok(Page { rows: rows(0..1), date: tomorrow, ..Page::default() }),
        table.now,
        &mut table.quota,
    );
    table.told_the_time();
    assert!(table.position().cursor < server_time(10));
}

#[test]
fn without_dates_a_known_tenant_is_read_and_its_cursor_stands_still() {
    let position = Position { swept: Some(server_time(3000)), ..Position::start(server_time(0)) };
    let mut table = Table::new(Start::Now, Some(position));
    let dateless = |table: &mut Table| {
        table.fetch(Reader::Sweep);
        table.poller.fetched(Reader::Sweep, Ok(Page::default()), table.now, &mut table.quota);
    };
    dateless(&mut table);
    dateless(&mut table);
    assert!(matches!(table.poller.todo(Reader::Sweep, table.now, &mut table.quota), Todo::Commit(Commit::Rows(..))));
}

#[test]
fn an_answer_without_a_date_begins_nothing() {
    let mut table = Table::new(Start::Now, None);
    table.fetch(Reader::Sweep);
    table.poller.fetched(Reader::Sweep, Ok(Page::default()), table.now, &mut table.quota);
    assert!(matches!(table.poller.todo(Reader::Sweep, table.now, &mut table.quota), Todo::Wait(_)));
    assert_eq!(table.poller.position(), None);
}

#[test]
fn a_quiet_minute_costs_one_tail_call_every_three_seconds_and_three_calls_of_a_sweep() {
    let mut table = Table::running();
    assert!(table.pause(Reader::Tail) < seconds(2), "the first as soon as the quota allows");
    table.answer(Reader::Tail, rows(0..0));
    assert_eq!(table.pause(Reader::Tail), seconds(3));
    table.answer(Reader::Tail, rows(0..0));
    let (query, lane) = table.fetch(Reader::Sweep);
    assert_eq!((query.skip, lane), (0, Lane::Sweep));
    table.answer(Reader::Sweep, rows(0..0));
    table.fetch(Reader::Sweep);
    table.answer(Reader::Sweep, rows(0..0));
    table.position();
    assert!(seconds(50) < table.pause(Reader::Sweep));
}

#[test]
fn a_quiet_tail_asks_for_the_last_minute_and_never_below_the_floor() {
    let mut table = Table::running();
    table.now = table.now + seconds(600);
    let (query, _) = table.fetch(Reader::Tail);
    let elapsed = table.now.since(Moment::default()).as_secs();
    let asked = server_time(elapsed - 60).since(query.window.from).as_secs() as i64;
    assert!(asked.abs() <= 2, "{:?}", query.window);
    let young = Table::running().fetch(Reader::Tail).0;
    assert_eq!(young.window.from, server_time(0), "the floor");
}

#[test]
fn a_tail_page_full_of_new_rows_brings_the_sweep_forward() {
    let mut table = Table::running();
    table.fetch(Reader::Tail);
    table.answer(Reader::Tail, rows(0..9));
    let mut other = Table::running();
    other.fetch(Reader::Tail);
    other.answer(Reader::Tail, rows(0..10));
    assert!(seconds(30) < table.pause(Reader::Sweep), "a page that is not full does not");
    assert!(other.pause(Reader::Sweep) < seconds(5), "a full one does");
}

#[test]
fn the_cursor_moves_on_the_second_sweep_to_what_the_first_allowed() {
    let far = server_time(3000);
    let mut table = Table::new(Start::Now, Some(Position { swept: Some(far), ..Position::start(server_time(0)) }));
    table.told_the_time();
    table.fetch(Reader::Sweep);
    table.answer(Reader::Sweep, rows(0..0));
    table.fetch(Reader::Sweep);
    table.answer(Reader::Sweep, rows(0..0));
    assert_eq!(table.position().cursor, far.earlier(seconds(1800)));
}

#[test]
fn a_rejected_token_is_renewed_at_once_and_then_no_more() {
    let mut table = Table::running();
    let unauthorized = || FetchError::Unauthorized { why: "expired".into() };
    table.fetch(Reader::Tail);
    table.fail(Reader::Tail, unauthorized());
    assert!(table.pause(Reader::Tail) < seconds(3), "only the quota paces the second try");
    table.fail(Reader::Tail, unauthorized());
    assert!(seconds(10) <= table.pause(Reader::Tail));
}

#[test]
fn a_429_keeps_both_readers_away_for_as_long_as_it_says() {
    let mut table = Table::running();
    table.fetch(Reader::Tail);
    table.fail(Reader::Tail, throttled(200, false));
    assert!(seconds(200) <= table.pause(Reader::Sweep));
    table.fail(Reader::Sweep, throttled(1_000_000_000, false));
    assert!(table.pause(Reader::Tail) <= seconds(3601), "nobody sends us away for longer than an hour");
}

#[test]
fn a_429_for_single_incidents_keeps_nobody_from_the_list() {
    let mut table = Table::running();
    table.fetch(Reader::Sweep);
    for _ in 0..20 {
        table.fail(Reader::Sweep, throttled(3000, true));
        assert!(table.pause(Reader::Tail) <= seconds(5), "the tail reads on");
        table.answer(Reader::Tail, rows(0..0));
        let (query, _) = table.fetch(Reader::Sweep);
        assert_eq!((query.window.to, query.top), (None, 10), "and nothing is gone around");
    }
    let before = table.now;
    table.fail(Reader::Sweep, throttled(3000, true));
    table.fetch(Reader::Sweep);
    assert!(table.now.since(before) <= seconds(60), "it is tried again soon: the list is not what is used up");
}

fn throttled(after: u64, of_one: bool) -> FetchError {
    FetchError::Throttled { after: Some(seconds(after)), of_one, why: "quota".into() }
}

#[test]
fn an_answer_that_is_too_large_is_asked_for_again_with_fewer_rows() {
    let mut table = Table::running();
    let too_large = || FetchError::TooLarge { limit: 1 };
    table.fetch(Reader::Sweep);
    table.fail(Reader::Sweep, too_large());
    assert_eq!(table.fetch(Reader::Sweep).0.top, 5);
    table.fail(Reader::Sweep, too_large());
    assert_eq!(table.fetch(Reader::Sweep).0.top, 2);
    table.fail(Reader::Sweep, too_large());
    assert!(table.fetch(Reader::Sweep).0.window.to.is_some(), "two rows are the least; then the window is cut");
}

#[test]
fn a_long_way_back_is_read_in_windows_and_the_cursor_follows_each() {
    let day = 86_400;
    let mut table = Table::new(Start::Now, Some(Position::start(Timestamp::from_seconds(EPOCH - day))));
    table.told_the_time();
    let (query, lane) = table.fetch(Reader::Sweep);
    let to = query.window.to.expect("a bounded window");
    assert_eq!((lane, to.since(query.window.from)), (Lane::CatchUp, seconds(3600)));
    assert_eq!(table.poller.interval(), seconds(6), "the tail leaves half of its calls");
    table.answer(Reader::Sweep, rows(0..0));
    table.fetch(Reader::Sweep);
    table.answer(Reader::Sweep, rows(0..0));
    assert_eq!(table.position().cursor, to);
    table.fetch(Reader::Sweep);
    table.fail(Reader::Sweep, FetchError::Rejected { why: "lt is not supported".into() });
    assert!(table.fetch(Reader::Sweep).0.window.to.is_some(), "one refusal may be a whim");
    table.fail(Reader::Sweep, FetchError::Rejected { why: "lt".into() });
    for _ in 0..2 {
        assert_eq!(table.fetch(Reader::Sweep).0, PROBE, "is it the bounds, or this window?");
        table.fail(Reader::Sweep, FetchError::Rejected { why: "lt".into() });
    }
    assert_eq!(table.fetch(Reader::Sweep).0.window.to, None, "one open-ended sweep instead");
}

#[test]
fn a_source_that_suddenly_lists_nothing_moves_no_cursor_for_two_hours() {
    let (swept, start) = (server_time(4000), Timestamp::from_seconds(EPOCH));
    let mut table = Table::new(Start::Now, Some(Position { swept: Some(swept), ..Position::start(start) }));
    table.told_the_time();
    let mut believed = None;
    while believed.is_none() && table.now.since_epoch() < seconds(4 * 3600) {
        match table.poller.todo(Reader::Sweep, table.now, &mut table.quota) {
            Todo::Wait(until) => table.now = table.now.max(until),
            Todo::Fetch(_, lane) => {
                assert!(table.quota.charge(lane, table.now).is_some(), "what it asks for can be paid");
                table.answer_only(Reader::Sweep, Vec::new());
            }
            Todo::Commit(Commit::Rows(..)) => {
                table.poller.committed(Reader::Sweep, &Done::Rows(Committed::default()), table.now);
            }
            Todo::Commit(Commit::Position(_)) => believed = Some(table.now.since_epoch()),
            Todo::Commit(Commit::Quarantine(quarantine)) => panic!("{quarantine:?}"),
        }
    }
    let believed = believed.expect("in the end it is believed");
    assert!(seconds(7200) < believed && believed < seconds(7500), "{believed:?}");
}

#[test]
fn an_outage_is_waited_for_and_not_stormed() {
    let mut table = Table::running();
    let start = table.now;
    let mut calls = 0;
    while table.now < start + seconds(3600) {
        match table.poller.todo(Reader::Sweep, table.now, &mut table.quota) {
            Todo::Wait(until) => table.now = table.now.max(until),
            Todo::Fetch(_, lane) => {
                assert!(table.quota.charge(lane, table.now).is_some(), "what it asks for can be paid");
                calls += 1;
                table.fail(Reader::Sweep, FetchError::Unavailable { after: None, why: "503".into() });
            }
            Todo::Commit(commit) => panic!("{commit:?}"),
        }
    }
    assert!((50..160).contains(&calls), "{calls} calls in an hour");
}

#[test]
fn a_tail_that_fails_for_one_row_asks_without_alerts_and_goes_on_behind_it() {
    let unavailable = || FetchError::Unavailable { after: None, why: "500".into() };
    let mut table = Table::running_where(true);
    for _ in 0..2 {
        assert_eq!(table.fetch(Reader::Tail).0.alerts, Alerts::Within);
        table.fail(Reader::Tail, unavailable());
    }
    let (query, _) = table.fetch(Reader::Tail);
    assert_eq!((query.alerts, query.top), (Alerts::Apart, 10));
    table.answer(Reader::Tail, rows(0..3));
    let (query, _) = table.fetch(Reader::Tail);
    assert_eq!((query.alerts, query.window.from), (Alerts::Within, server_time(2)), "behind the newest row");
    let mut down = Table::running_where(true);
    let mut asked = Vec::new();
    for _ in 0..6 {
        asked.push(down.fetch(Reader::Tail).0.alerts);
        down.fail(Reader::Tail, unavailable());
    }
    let (within, apart) = (Alerts::Within, Alerts::Apart);
    assert_eq!(asked, [within, within, apart, within, apart, within], "all of them may be down as well");
    let mut elsewhere = Table::running();
    for _ in 0..6 {
        assert_eq!(elsewhere.fetch(Reader::Tail).0.alerts, Alerts::Within);
        elsewhere.fail(Reader::Tail, unavailable());
    }
}

#[test]
fn what_the_source_lacks_is_no_reason_to_hold_back_what_it_has_and_none_to_move_the_cursor() {
    let swept = Some(server_time(4000));
    let position = Position { swept, audited: Audited { near: swept, deep: swept }, ..Position::start(server_time(0)) };
    let mut table = Table::new(Start::Now, Some(position));
    let (taken, cursors) = table.read_for(seconds(3600), Some("a provider is away"));
    assert!(500 < taken[0] && 60 < taken[1], "rows flow on: {taken:?}");
    assert_eq!(cursors, []);
    for reader in [Reader::Tail, Reader::Sweep] {
        let error = table.poller.health().reader(reader).error.as_ref().map(|(error, _)| error.to_string());
        assert!(error.is_some_and(|error| error.contains("a provider is away")), "{reader:?}");
    }
    let (_, cursors) = table.read_for(seconds(200), None);
    assert!(cursors.iter().any(|&cursor| server_time(2000) < cursor), "it is back: {cursors:?}");
    assert!(table.poller.health().reader(Reader::Sweep).error.is_none());
}
