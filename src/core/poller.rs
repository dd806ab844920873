//! Reads one tenant: the tail for freshness, the sweep for completeness. Decides what to ask, when to wait and when the
//! cursor moves; does none of it. The owner asks [`Poller::todo`], does exactly that one thing and reports it. What follows from a
//! failure is in `failure`.

mod failure;

use std::time::Duration;

use crate::core::backoff::Backoff;
use crate::core::commit::{Commit, Done, PassKind};
use crate::core::completeness::{Completeness, News, Scene, Wanted};
use crate::core::health::Health;
use crate::core::planted::{self, Mistake};
use crate::core::poller::failure::{REFUSED, RETRY};
use crate::core::position::Position;
use crate::core::probe::{ANYTHING, PROBE};
use crate::core::quarantine::Quarantine;
use crate::core::quota::{Lane, Quota};
use crate::core::settings::{Settings, Start};
use crate::core::source_clock::SourceClock;
use crate::core::tail::Tail;
use crate::model::moment::Moment;
use crate::model::page::{FetchError, Page, Query};
use crate::model::timestamp::Timestamp;

/// What was not there at a look that is longer ago than this may have been there since.
const LOOKED_LATELY: Duration = Duration::from_secs(150);
/// How often a reader that has to wait for the other one looks again; it is woken before that.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The two readers of a tenant. Each has one thing under way at a time; a slow page of one never delays the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reader {
    /// Freshness.
    Tail,
    /// Completeness: sweeps and the windows of a long way back.
    Sweep,
}

/// The one thing to do next.
#[derive(Debug, Clone)]
pub enum Todo {
    /// Nothing before then.
    Wait(Moment),
    /// This call; the quota has been asked and can pay it now.
    Fetch(Query, Lane),
    /// Make this durable.
    Commit(Commit),
}

/// What is durable of a tenant: what a poller goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// How far it has been read; none where it never was.
    pub position: Option<Position>,
    /// What could not be read.
    pub quarantine: Quarantine,
    /// Whether any of its incidents is remembered: that the source lists none at all then wants proof.
    pub has_listed: bool,
}

/// The decisions about one tenant.
#[derive(Debug)]
pub struct Poller {
    settings: Settings,
    position: Option<Position>,
    quarantine: Quarantine,
    clock: SourceClock,
    tail: Tail,
    completeness: Completeness,
    hands: [Hand; 2],
    /// The source sends no `Date`: nothing moves a cursor, and what there is is delivered all the same.
    is_dateless: bool,
    health: Health,
}

/// What one reader has under way.
#[derive(Debug)]
struct Hand {
    /// To be made durable, before anything else.
    commit: Option<Commit>,
    /// The commit under way is a full page of this many rows.
    full_page: Option<u32>,
    began: Moment,
    retry: Backoff,
    refused: Backoff,
    token_retried: bool,
}

impl Poller {
    /// A poller that goes on from what is known, or begins where `settings.start` says. `seed` is for jitter.
    pub fn new(settings: Settings, known: Known, seed: u64, now: Moment) -> Self {
        let Known { position, quarantine, has_listed } = known;
        let hand = |seed| Hand {
            commit: None,
            full_page: None,
            began: now,
            retry: Backoff::new(RETRY.0, RETRY.1, seed),
            refused: Backoff::new(REFUSED.0, REFUSED.1, seed),
            token_retried: false,
        };
        Self {
            position,
            quarantine,
            clock: SourceClock::default(),
            tail: Tail::new(settings.page_size, settings.lists_alerts_apart, now),
            completeness: Completeness::new(has_listed, now),
            hands: [hand(seed), hand(seed.wrapping_add(1))],
            is_dateless: false,
            health: Health::resumed(position),
            settings,
        }
    }

    /// The one thing for `reader` to do next. A `Fetch` may be charged to `quota` at once.
    pub fn todo(&mut self, reader: Reader, now: Moment, quota: &mut Quota) -> Todo {
        if let Some(commit) = self.hand(reader).commit.take() {
            return Todo::Commit(commit);
        }
        match (reader, self.position) {
            (Reader::Tail, None) => Todo::Wait(now + LOOK_AGAIN),
            (Reader::Sweep, None) => {
                self.pay(reader, self.first_call(), Lane::Sweep, self.completeness.sweeps.due(), now, quota)
            }
            (Reader::Tail, Some(position)) => {
                quota.tail_due_at(self.tail.due());
                let bounds = !self.completeness.refuses_bounds(now);
                let query = self.tail.query(position, &self.clock, bounds.then_some(&self.quarantine), now);
                self.pay(reader, query, Lane::Tail, self.tail.due(), now, quota)
            }
            (Reader::Sweep, Some(position)) => self.complete(position, now, quota),
        }
    }

    /// The call that was asked for has been answered.
    pub fn fetched(&mut self, reader: Reader, answer: Result<Page, FetchError>, now: Moment, quota: &mut Quota) {
        match answer {
            Ok(page) => {
                let page = self.observe(reader, page, now);
                let hand = self.hand(reader);
                hand.refused.reset();
                hand.token_retried = false;
                match page.incomplete.clone().filter(|_| !planted::is(Mistake::IncompleteIsWhole)) {
                    None => {
                        hand.retry.reset();
                        self.health.answered(reader, now);
                        self.read(reader, page, now);
                    }
                    Some(why) => self.read_in_part(reader, page, &why, now),
                }
            }
            Err(error) => self.failed(reader, &error, now, quota),
        }
    }

    /// The commit that was asked for is durable. Where one could not be made, nobody knows what is durable: go on with a new
    /// poller, as after a crash.
    pub fn committed(&mut self, reader: Reader, done: &Done, now: Moment) {
        match (reader, done) {
            (_, Done::Quarantine(quarantine)) => {
                self.quarantine = quarantine.clone();
                self.conclude(now, |completeness, scene| completeness.quarantined(scene));
            }
            (_, Done::Position(position)) => {
                let before = self.position.replace(*position);
                self.health.positioned(*position, before);
            }
            (Reader::Tail, Done::Rows(outcome)) => {
                self.health.committed(outcome);
                let full = self.hand(reader).full_page.take().is_some_and(|rows| rows <= outcome.unseen_rows);
                if planted::is(Mistake::TailMovesCursor)
                    && let (Some(position), Some(newest)) = (self.position, self.tail.newest())
                {
                    let cursor = position.cursor.max(newest.floor_to_second());
                    self.hand(reader).commit = Some(Commit::Position(Position { cursor, ..position }));
                }
                // A sweep that fails keeps to its own pauses.
                if full && self.health.reader(Reader::Sweep).failures == 0 {
                    self.completeness.sweeps.hurry(now);
                }
            }
            (Reader::Sweep, Done::Rows(outcome)) => {
                self.health.committed(outcome);
                self.conclude(now, |completeness, scene| completeness.committed(outcome, scene));
            }
        }
    }

    /// How far the tenant has been read; none before the first answers.
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// How the tenant fares.
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// How late a row became visible that was just read for the first time: it was not there at the last look of this kind.
    /// None where that look is too long ago to tell.
    pub fn visibility_lag(&self, kind: PassKind, last_update: Timestamp, now: Moment) -> Option<Duration> {
        let before = match kind {
            PassKind::Tail => self.tail.read_before(),
            PassKind::Sweep | PassKind::Audit => self.position.and_then(|position| position.swept),
            PassKind::CatchUp | PassKind::Retry => None,
        }?;
        if last_update < before {
            return Some(before.since(last_update));
        }
        let time = self.clock.now(now)?;
        (time.since(before) <= LOOKED_LATELY).then(|| time.since(last_update))
    }

    /// The windows that cannot be read.
    pub const fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    /// The source's clock.
    pub const fn clock(&self) -> &SourceClock {
        &self.clock
    }

    /// Between two tail pages. While a long way back is read, the tail leaves half of its calls to that.
    pub fn interval(&self) -> Duration {
        let fastest = self.settings.list.tail_interval_min();
        let interval = self.settings.interval.map_or(fastest, |interval| interval.max(fastest));
        if self.health.catching_up().is_some() { interval * 2 } else { interval }
    }

    fn complete(&mut self, position: Position, now: Moment, quota: &mut Quota) -> Todo {
        let Self { settings, clock, quarantine, completeness, .. } = self;
        let scene = Scene { position, settings, clock, quarantine, now };
        let is_failing = self.health.reader(Reader::Sweep).failures != 0;
        let wanted = completeness.wanted(scene, is_failing, self.is_dateless, quota);
        if !matches!(wanted, Wanted::Commit(_)) {
            self.health.reading(completeness.way_back(scene));
        }
        match wanted {
            Wanted::Wait(until) => Todo::Wait(until),
            Wanted::Time => self.pay(Reader::Sweep, self.first_call(), Lane::Sweep, now, now, quota),
            Wanted::Call(query, lane) => self.pay(Reader::Sweep, query, lane, now, now, quota),
            Wanted::Commit(commit) => Todo::Commit(commit),
            Wanted::Broken(why) => {
                self.health.broken(FetchError::Garbled { why }, now);
                Todo::Wait(now)
            }
        }
    }

    /// A call when it is due and the quota can pay it, else the wait for that.
    fn pay(&mut self, reader: Reader, query: Query, lane: Lane, due: Moment, now: Moment, quota: &Quota) -> Todo {
        let at = due.max(quota.ready_at(lane, now));
        if now < at {
            return Todo::Wait(at);
        }
        self.hand(reader).began = now;
        Todo::Fetch(query, lane)
    }

    /// What is asked for the sake of the server's time: one row, whatever it is, and where that one cannot be read, none.
    const fn first_call(&self) -> Query {
        if self.health.reader(Reader::Sweep).failures % 2 == 1 { PROBE } else { ANYTHING }
    }

    /// Takes note of the time of an answer. Where it carries none that is trusted, what we think it is judges its rows.
    fn observe(&mut self, reader: Reader, page: Page, now: Moment) -> Page {
        self.is_dateless = page.date.is_none();
        let asked = self.hand(reader).began;
        let trusted = page.date.is_some_and(|date| self.clock.observed(date, asked, now));
        if page.date.is_some() {
            self.health.clock(trusted);
        }
        // A time that lies would make a row of the future an ordinary one, and everything after it stale.
        Page { date: page.date.filter(|_| trusted).or_else(|| self.clock.now(now)), ..page }
    }

    fn read(&mut self, reader: Reader, page: Page, now: Moment) {
        if self.position.is_none() {
            return self.begin(now);
        }
        self.completeness.listed(&page);
        match reader {
            Reader::Tail => self.tail_read(page, now),
            // What was asked for the time only is nobody's.
            Reader::Sweep if !self.completeness.read(&page, now) => {}
            Reader::Sweep => self.commit_of_sweep(page),
        }
    }

    fn tail_read(&mut self, page: Page, now: Moment) {
        let rows = u32::try_from(page.rows.len()).unwrap_or(u32::MAX);
        let interval = self.interval();
        let hand = &mut self.hands[Reader::Tail as usize];
        hand.full_page = (self.tail.top() <= rows).then_some(rows);
        self.tail.read(&page);
        self.tail.due_at((hand.began + interval).max(now));
        hand.commit = Some(Commit::Rows(PassKind::Tail, page));
    }

    fn commit_of_sweep(&mut self, page: Page) {
        let kind = self.completeness.kind();
        self.hand(Reader::Sweep).commit = Some(Commit::Rows(kind, page));
    }

    /// A first run begins at a server time that two answers agree on.
    fn begin(&mut self, now: Moment) {
        if self.is_dateless {
            self.completeness.sweeps.due_at(now + RETRY.1);
            let why = "it has no Date header to begin from".into();
            return self.health.failed(Reader::Sweep, FetchError::Garbled { why }, now);
        }
        let Some(server_time) = self.clock.agreed() else {
            // Answers that contradict one another do so for a while.
            if self.clock.is_suspect() {
                self.completeness.sweeps.due_at(now + RETRY.0);
            }
            return;
        };
        let start = match self.settings.start {
            Start::Now => server_time,
            Start::Back(back) => server_time.earlier(back),
            Start::At(time) => time,
        };
        self.hand(Reader::Sweep).commit = Some(Commit::Position(Position::start(start.floor_to_second())));
    }

    fn conclude(&mut self, now: Moment, what: impl FnOnce(&mut Completeness, Scene<'_>) -> News) {
        let Self { settings, clock, quarantine, completeness, .. } = self;
        let Some(position) = self.position else { return };
        let news = what(completeness, Scene { position, settings, clock, quarantine, now });
        self.concluded(news, now);
    }

    /// What came of the rows or of the quarantine that became durable.
    fn concluded(&mut self, news: News, now: Moment) {
        let News { commit, broken, missed } = news;
        self.health.missed(missed);
        if let Some(why) = broken {
            self.health.broken(FetchError::Garbled { why }, now);
        }
        self.hand(Reader::Sweep).commit = commit;
    }

    const fn hand(&mut self, reader: Reader) -> &mut Hand {
        &mut self.hands[reader as usize]
    }
}
