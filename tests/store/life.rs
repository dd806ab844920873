//! A life of a store that can be told from what it leaves behind: everything in it follows from one number, the step. No test
//! is in here, and no fault: others kill it, starve it and damage what it wrote, and hold the rest against [`Known`].

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use xdrelay::core::courier::{Progress, Refusal};
use xdrelay::core::position::{Audited, Position};
use xdrelay::core::quarantine::{Quarantine, Quarantined};
use xdrelay::core::quota::QuotaState;
use xdrelay::model::incident::Row;
use xdrelay::model::moment::Moment;
use xdrelay::model::names::Seq;
use xdrelay::store::error::StoreError;
use xdrelay::store::{Endpoint, Opened, Store};

use crate::{page, row, second, settings, sink, tenant};

/// Rows of a page: small ones, one that takes many chunks in every fourth page, and a revision of an older incident.
pub(crate) const ROWS: u64 = 10;
/// How far the sink stays behind, in events: some way, so that the cut and the fault meet too.
pub(crate) const BEHIND: u64 = 30;
/// How long what was refused is kept, in events.
const KEPT: u64 = 60;

/// How long a full disk is waited for, and how often it is tried meanwhile.
const PATIENCE: Duration = Duration::from_secs(8);
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// What one step of a life does to the store, each told once it is durable.
pub(crate) struct Life<'a> {
    store: &'a Store,
    tell: &'a mut dyn FnMut(&str, u64),
}

impl<'a> Life<'a> {
    pub(crate) fn new(store: &'a Store, tell: &'a mut dyn FnMut(&str, u64)) -> Self {
        Self { store, tell }
    }

    /// Goes on from where the store is until so many steps are done.
    pub(crate) async fn live(&mut self, steps: u64) -> Result<(), StoreError> {
        let store = self.store;
        again(async || store.register_sinks(&[sink("siem")]).await.map(drop)).await?;
        let position = store.position(&tenant())?;
        let first = position.map_or(0, |position| position.cursor.since(second(0)).as_secs());
        for n in first..steps {
            self.step(n).await?;
        }
        Ok(())
    }

    async fn step(&mut self, n: u64) -> Result<(), StoreError> {
        let (store, siem) = (self.store, sink("siem"));
        again(async || store.commit_page(page(rows(n))).await.map(drop)).await?;
        let end = *store.newest().borrow();
        (self.tell)("events", end.0);

        let from = again(async || store.progress(&siem)).await?.acknowledged.0;
        let to = end.0.saturating_sub(BEHIND).max(from);
        let refused: Vec<_> = (from + 1..=to).filter(|seq| is_refused(*seq)).map(refusal).collect();
        let drop_to = to.saturating_sub(KEPT);
        (self.tell)("dropping", drop_to);
        // At once, as the loops of a daemon do it: they share a sync.
        let (quota, quarantine, acknowledged) = tokio::join!(
            again(async || store.set_quota(&tenant(), Endpoint::List, quota(n)).await),
            again(async || store.set_quarantine(&tenant(), quarantine(n)).await),
            again(async || store
                .acknowledge(&siem, Progress { acknowledged: Seq(to), counted: 0 }, refused.clone())
                .await),
        );
        for (outcome, word, number) in
            [(quota, "quota", n + 1), (quarantine, "quarantine", n + 1), (acknowledged, "acknowledged", to)]
        {
            outcome?;
            (self.tell)(word, number);
        }
        let dropped: Vec<_> = (1..=drop_to).filter(|seq| is_refused(*seq)).map(Seq).collect();
        again(async || store.drop_refused(&siem, dropped.clone()).await).await?;
        (self.tell)("dropped", drop_to);
        again(async || store.set_position(&tenant(), position(n + 1)).await).await?;
        (self.tell)("cursor", n + 1);
        Ok(())
    }
}

/// Does a thing until the disk is not full any more, as every caller of the store does, but not for ever.
async fn again<T>(act: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let start = Instant::now();
    loop {
        match act().await {
            Err(StoreError::Full { .. }) if start.elapsed() < PATIENCE => tokio::time::sleep(AGAIN_AFTER).await,
            outcome => return outcome,
        }
    }
}

/// The rows of a page. Event number k (from 0) of a life has position k + 1, whatever happened.
pub(crate) fn rows(n: u64) -> Vec<Row> {
    (n * ROWS..(n + 1) * ROWS).map(nth).collect()
}

/// Event number k of every life.
pub(crate) fn nth(k: u64) -> Row {
    let n = k / ROWS;
    let length = if k % ROWS == 7 && n.is_multiple_of(4) { 110_000 } else { 400 };
    // Nothing that zstd could make small.
    let mut state = k + 1;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (state >> 40) as u8 % 26)
    };
    row(incident(k), n, &(0..length).map(|_| letter()).collect::<String>())
}

/// The incident of event number k: the last row of a page is a revision of one in the page before.
fn incident(k: u64) -> u64 {
    if is_revision(k) { k - ROWS - 4 } else { k }
}

fn is_revision(k: u64) -> bool {
    k % ROWS == ROWS - 1 && ROWS <= k
}

fn is_refused(seq: u64) -> bool {
    seq % 10 == 3
}

fn refusal(seq: u64) -> Refusal {
    Refusal { seq: Seq(seq), why: format!("{seq} is too odd") }
}

pub(crate) fn position(n: u64) -> Position {
    let audited = Audited { near: Some(second(n)), deep: None };
    Position { floor: second(0), swept: Some(second(n)), audited, ..Position::start(second(n)) }
}

pub(crate) fn quota(n: u64) -> QuotaState {
    QuotaState { minute: Moment::from_nanos(10 * n + 1), hour: Moment::from_nanos(10 * n + 2) }
}

pub(crate) fn quarantine(n: u64) -> Quarantine {
    let windows =
        (n.saturating_sub(2)..=n).map(|n| Quarantined::new((second(n), second(n + 1)), second(n), "it fails"));
    windows.fold(Quarantine::default(), |quarantine, window| quarantine.with(window).expect("room"))
}

/// What a life said is durable, each as the number it said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) events: u64,
    pub(crate) cursor: u64,
    quota: u64,
    quarantine: u64,
    pub(crate) acknowledged: u64,
    dropped: u64,
    /// What it was about to drop, durable or not.
    dropping: u64,
}

/// What a life in another process says. In one write, so that a kill leaves a whole line or none.
pub(crate) fn say(word: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n:{word} {number}\n").as_bytes()).and_then(|()| out.flush()).expect("the parent listens");
}

impl Known {
    /// Hears everything that a life in another process has to say.
    pub(crate) fn hear(&mut self, said: impl BufRead) {
        said.lines().for_each(|line| self.hear_line(&line.expect("its output")));
    }

    pub(crate) fn hear_line(&mut self, line: &str) {
        if let Some((word, number)) = line.strip_prefix(':').and_then(|line| line.split_once(' ')) {
            self.note(word, number.parse().expect("a number"));
        }
    }

    /// What a store has in it, for a life that was not listened to; [`check`](Self::check) says whether it fits together.
    pub(crate) fn found(store: &Store) -> Result<Self, StoreError> {
        let position = store.position(&tenant())?;
        let quota = store.quota(&tenant(), Endpoint::List)?;
        let quarantine = store.quarantine(&tenant())?;
        let acknowledged = store.progress(&sink("siem"))?.acknowledged.0;
        Ok(Self {
            events: store.newest().borrow().0,
            cursor: position.map_or(0, |position| position.cursor.since(second(0)).as_secs()),
            quota: quota.map_or(0, |quota| quota.minute.nanos() / 10 + 1),
            quarantine: quarantine.windows().last().map_or(0, |window| window.from.since(second(0)).as_secs() + 1),
            acknowledged,
            dropped: 0,
            dropping: acknowledged.saturating_sub(KEPT),
        })
    }

    /// Whether this is what was known at an earlier time.
    pub(crate) fn is_before(&self, later: &Self) -> bool {
        self.events <= later.events
            && self.cursor <= later.cursor
            && self.quota <= later.quota
            && self.quarantine <= later.quarantine
            && self.acknowledged <= later.acknowledged
    }

    /// Takes one word of a life down.
    pub(crate) fn note(&mut self, word: &str, number: u64) {
        let known = match word {
            "events" => &mut self.events,
            "cursor" => &mut self.cursor,
            "quota" => &mut self.quota,
            "quarantine" => &mut self.quarantine,
            "acknowledged" => &mut self.acknowledged,
            "dropped" => &mut self.dropped,
            "dropping" => &mut self.dropping,
            other => panic!("a life says {other}"),
        };
        *known = number.max(*known);
    }

    /// Everything said is there, whole; what is there beyond it is the next thing that a life does, whole too. What was
    /// found is known from then on.
    pub(crate) fn check(&mut self, store: &Store) -> Result<(), String> {
        let end = store.newest().borrow().0;
        if end < self.events {
            return Err(format!("the outbox ends at {end}"));
        }
        let read = |error: StoreError| error.to_string();
        let cursor = match store.position(&tenant()).map_err(read)? {
            Some(found) => {
                let n = found.cursor.since(second(0)).as_secs();
                if found != position(n) {
                    return Err(format!("a torn position {found:?}"));
                }
                n
            }
            None => 0,
        };
        if cursor < self.cursor || self.cursor + 1 < cursor || end < cursor * ROWS {
            return Err(format!("the cursor is at page {cursor}, the outbox ends at {end}"));
        }
        let found = store.quota(&tenant(), Endpoint::List).map_err(read)?;
        let quota = next("quota", self.quota, found, |n| if n == 0 { None } else { Some(quota(n - 1)) })?;
        let found = store.quarantine(&tenant()).map_err(read)?;
        let nth = |n| if n == 0 { Quarantine::default() } else { quarantine(n - 1) };
        let quarantine = next("quarantine", self.quarantine, found, nth)?;
        let seen = store.tally().map_err(read)?.seen;
        let distinct = (0..end).filter(|k| !is_revision(*k)).count() as u64;
        if seen != distinct {
            return Err(format!("{seen} marks of {distinct} incidents"));
        }
        let (acknowledged, dropped) = self.check_outbox(store, end)?;
        *self = Self { events: end, cursor, quota, quarantine, acknowledged, dropped, ..self.clone() };
        Ok(())
    }

    fn check_outbox(&self, store: &Store, end: u64) -> Result<(u64, u64), String> {
        let read = |error: StoreError| error.to_string();
        // Killed before the sink was registered.
        let (progress, refused) = match store.progress(&sink("siem")) {
            Err(StoreError::Misused { .. }) if self.events == 0 => (0, Vec::new()),
            progress => (progress.map_err(read)?.acknowledged.0, store.refused(&sink("siem")).map_err(read)?),
        };
        if progress < self.acknowledged || end < progress {
            return Err(format!("the sink is at {progress} of {end}"));
        }
        let kept = refused.first().map_or(progress, |first| first.seq.0 - 1);
        let expected: Vec<_> = (kept + 1..=progress).filter(|seq| is_refused(*seq)).map(refusal).collect();
        if refused != expected || kept < self.dropped && !expected.is_empty() {
            return Err(format!("refused are {refused:?}, dropped {}", self.dropped));
        }
        if (self.dropping + 1..=progress).any(|seq| is_refused(seq) && seq <= kept) {
            return Err(format!("all refused up to {kept} are gone, only {} were dropped", self.dropping));
        }
        let there: BTreeSet<u64> = self.whole_events(store)?;
        let must = refused.iter().map(|refusal| refusal.seq.0).chain(progress + 1..=end);
        match must.clone().find(|seq| !there.contains(seq)) {
            Some(seq) => Err(format!("event {seq} is lost, the sink is at {progress} of {end}")),
            None if store.tally().map_err(read)?.blobs != 0 => Err("sled spilled a file".into()),
            None => Ok((progress, kept.min(self.dropping).max(self.dropped))),
        }
    }

    /// The events that are in the outbox, each of which must be what was put there.
    fn whole_events(&self, store: &Store) -> Result<BTreeSet<u64>, String> {
        let chunk = store.read_after(Seq(0), &|_, _| true, crate::EVERYTHING).map_err(|error| error.to_string())?;
        let mut there = BTreeSet::new();
        for (seq, event) in chunk.events {
            let expected = nth(seq.0 - 1);
            if event.incident.get() != expected.raw.get() || event.sequence != seq.0 {
                return Err(format!("event {seq} is not what was put there"));
            }
            there.insert(seq.0);
        }
        Ok(there)
    }

    /// Reads the whole source again: what was taken is known.
    pub(crate) async fn check_marks(&self, store: &Store) {
        self.read_marks(store).await.expect("nothing comes twice");
    }

    /// As [`check_marks`](Self::check_marks), where it may fail.
    pub(crate) async fn read_marks(&self, store: &Store) -> Result<(), String> {
        for n in 0..self.events / ROWS {
            let committed = store.commit_page(page(rows(n))).await.map_err(|error| error.to_string())?;
            if !committed.events.is_empty() {
                return Err(format!("page {n} comes twice: {:?}", committed.events));
            }
        }
        Ok(())
    }
}

/// Which step this is of: the one that was said, or the one behind it.
fn next<T: PartialEq + std::fmt::Debug>(
    what: &str,
    said: u64,
    found: T,
    nth: impl Fn(u64) -> T,
) -> Result<u64, String> {
    let is_of = |n: &u64| found == nth(*n);
    [said, said + 1].into_iter().find(is_of).ok_or_else(|| format!("{what} is {found:?}, said was step {said}"))
}

/// A life of so many steps in a directory, closed in good order.
pub(crate) async fn lived(dir: &Path, steps: u64) -> Known {
    let Opened { store, .. } = crate::opened(settings(dir)).expect("it opens");
    let mut known = Known::default();
    Life::new(&store, &mut |word, number| known.note(word, number)).live(steps).await.expect("it lives");
    store.close().await.expect("closed");
    known
}
