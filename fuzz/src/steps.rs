//! Bytes to simulation steps: the real poller, courier, quota and judgement in a small world in which nothing happens but
//! what the bytes say. After every step: the cursor goes back over nothing and past nothing, no call is over the quota, no
//! event is there twice, and nothing is acknowledged that the far side does not have. `tests/sim` looks for the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use xdrelay::core::commit::{Brief, Commit, Committed, Done};
use xdrelay::core::courier::{self, Courier, DeliverError, Handed, Progress, Refusal};
use xdrelay::core::poller::{Known, Poller, Reader, Todo};
use xdrelay::core::position::Position;
use xdrelay::core::quarantine::Quarantine;
use xdrelay::core::quota::{Limits, Quota, QuotaState};
use xdrelay::core::seen::{self, Mark, Verdict};
use xdrelay::core::settings::{Audit, Settings, Start};
use xdrelay::model::incident::Row;
use xdrelay::model::moment::Moment;
use xdrelay::model::names::{EventId, IncidentId, Seq, TenantName};
use xdrelay::model::page::{FetchError, Page, Query};
use xdrelay::model::timestamp::Timestamp;

use crate::input::Input;
use crate::source::{Order, SECOND, Source, Trouble};

const OVERLAP: Duration = Duration::from_secs(1800);
/// A call is given up after so many seconds.
const CALL_MAX: u64 = 60;
/// Steps of one input at most.
const STEPS_MAX: u32 = 3000;
/// What time may advance by at once, in milliseconds.
const ADVANCES: [u64; 13] =
    [1, 33, 400, 1200, 2600, 7000, 20_000, 61_000, 310_000, 1_700_000, 3_700_000, 90_000_000, 15_000];
const READERS: [Reader; 2] = [Reader::Tail, Reader::Sweep];

/// The first bytes are the settings, all others what happens.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut world = World::new(&mut input);
    while !input.is_empty() && world.steps < STEPS_MAX {
        world.happen(&mut input);
    }
}

struct World {
    settings: Settings,
    limit: usize,
    settles: bool,
    now: u64,
    steps: u32,
    source: Source,
    ledger: Ledger,
    far: FarSide,
    poller: Poller,
    quota: Quota,
    courier: Courier,
    in_the_air: [Option<(Query, u64)>; 2],
    /// Waits in a row that were over before they began, for each reader.
    idle: [u32; 2],
    /// When each of the three wants to act next.
    wake: [u64; 3],
}

/// What is durable. Decided by the real judgement.
#[derive(Default)]
struct Ledger {
    position: Option<Position>,
    quarantine: Quarantine,
    quota: Option<QuotaState>,
    outbox: Vec<EventId>,
    known: BTreeSet<EventId>,
    marks: BTreeMap<IncidentId, Mark>,
    newest_of: BTreeMap<IncidentId, Timestamp>,
    progress: Progress,
    refused: BTreeSet<Seq>,
}

/// The far side of the sink.
#[derive(Default)]
struct FarSide {
    arrived: BTreeSet<Seq>,
    /// Of those, what is safe there.
    confirmed: BTreeSet<Seq>,
    /// What may come twice, because nobody could know that it had arrived.
    excused: BTreeSet<Seq>,
    /// How the next batch fares.
    next: u8,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let page_size = [2, 3, 5, 10, 100][input.below(5)];
        let (per_minute, per_hour) = [(50, 1500), (5, 30), (10, 200), (5, 100_000)][input.below(4)];
        let start = match input.below(3) {
            0 => Start::Now,
            1 => Start::Back(Duration::from_secs(input.number() % 400_000)),
            _ => Start::At(Timestamp::from_seconds(1_799_900_000 + input.number() % 200_000)),
        };
        let order = [Order::LastUpdate, Order::Created, Order::IdAscending][input.below(3)];
        let settings = Settings {
            interval: None,
            overlap: OVERLAP,
            sweep_every: Duration::from_secs(60),
            page_size,
            lists_alerts_apart: false,
            list: Limits::of_list(per_minute, per_hour),
            audit: Audit { every: Duration::from_secs(3600), window: Duration::from_secs(86_400) },
            deep_audit: Audit { every: Duration::from_secs(86_400), window: Duration::from_secs(30 * 86_400) },
            start,
        };
        let (limit, settles) = (1 + input.below(20), input.below(2) == 1);
        Self {
            poller: Poller::new(settings.clone(), Known::default(), 1, Moment::from_nanos(SECOND)),
            quota: Quota::fresh(settings.list),
            courier: Courier::new(&Progress::default(), [], limit, settles, 1),
            settings,
            limit,
            settles,
            now: SECOND,
            steps: 0,
            source: Source::new(order),
            ledger: Ledger::default(),
            far: FarSide::default(),
            in_the_air: [None; 2],
            idle: [0; 2],
            wake: [SECOND; 3],
        }
    }

    fn happen(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0 => self.advance(ADVANCES[input.below(ADVANCES.len())]),
            1 => self.act(0),
            2 => self.act(1),
            3 => self.act(2),
            4..=6 => self.run(1 + input.below(64)),
            7 => self.source.create(self.now, 0),
            8 => self.source.create(self.now, u64::from(input.byte()) * 6),
            9 => self.source.revise(input.below(48), self.now, 0),
            10 => self.source.revise(input.below(48), self.now, u64::from(input.byte()) * 6),
            11 => self.source.remove(input.below(48), self.now),
            12 => self.several(input.byte()),
            13 => {
                let number = input.byte();
                self.source.next = match number {
                    0..=199 => Trouble::Error(number),
                    200..=229 => Trouble::Dateless,
                    230..=239 => Trouble::Short,
                    _ => Trouble::Lagging((number - 239) * 10),
                };
            }
            14 => self.far.next = input.byte(),
            _ => self.crash(u64::from(input.byte())),
        }
    }

    /// Many incidents come or change at one tick.
    fn several(&mut self, number: u8) {
        let (count, changes) = (usize::from(number / 2 % 16), number.is_multiple_of(2));
        for n in 0..count {
            match changes {
                true => self.source.revise(n * 3 % self.source.count().max(1), self.now, 0),
                false => self.source.create(self.now, 0),
            }
        }
    }

    /// Time goes by. A call that takes too long is given up.
    fn advance(&mut self, milliseconds: u64) {
        let until = self.now + milliseconds * (SECOND / 1000);
        for (reader, place) in READERS.into_iter().zip(0..) {
            let Some((_, sent)) = self.in_the_air[place] else { continue };
            let given_up = sent + CALL_MAX * SECOND;
            if given_up <= until {
                self.now = self.now.max(given_up);
                self.in_the_air[place] = None;
                self.source.arrived(self.now);
                let late = FetchError::Unavailable { after: None, why: "too late".into() };
                self.poller.fetched(reader, Err(late), self.moment(), &mut self.quota);
                self.source.check_quota(self.settings.list, self.now);
            }
        }
        self.now = self.now.max(until);
    }

    /// So many steps of whoever is due, with nothing in between.
    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            let actor = (0..3).min_by_key(|&actor| self.wake[actor]).expect("three");
            let wait = self.wake[actor].saturating_sub(self.now);
            self.advance(wait.div_ceil(SECOND / 1000));
            self.act(actor);
        }
    }

    fn act(&mut self, actor: usize) {
        self.steps += 1;
        match actor {
            0 | 1 => self.reader_acts(READERS[actor], actor),
            _ => self.courier_acts(),
        }
    }

    /// What is not durable is gone. What is in the air still arrives.
    fn crash(&mut self, seconds: u64) {
        for place in 0..2 {
            if self.in_the_air[place].take().is_some() {
                self.source.arrived(self.now);
            }
        }
        self.source.check_quota(self.settings.list, self.now);
        self.now += seconds * SECOND;
        let now = self.moment();
        let limits = self.settings.list;
        self.quota = self.ledger.quota.map_or_else(|| Quota::fresh(limits), |state| Quota::resumed(limits, state, now));
        self.poller = Poller::new(self.settings.clone(), self.ledger.known(), self.now, now);
        let ledger = &self.ledger;
        self.courier =
            Courier::new(&ledger.progress, ledger.refused.iter().copied(), self.limit, self.settles, self.now);
        self.far.excuse();
        self.idle = [0; 2];
        self.wake = [self.now; 3];
    }

    fn reader_acts(&mut self, reader: Reader, place: usize) {
        let now = self.moment();
        self.wake[place] = self.now;
        if let Some((query, _)) = self.in_the_air[place].take() {
            let answer = self.source.list(&query, self.now);
            self.source.check_quota(self.settings.list, self.now);
            return self.poller.fetched(reader, answer, now, &mut self.quota);
        }
        match self.poller.todo(reader, now, &mut self.quota) {
            Todo::Wait(until) => {
                self.idle[place] = if until <= now { self.idle[place] + 1 } else { 0 };
                assert!(self.idle[place] < 3, "{reader:?} waits for what is over");
                self.wake[place] = until.nanos().min(self.now + 3600 * SECOND);
            }
            Todo::Fetch(query, lane) => {
                let state = self.quota.charge(lane, now).expect("no call is asked for that the quota cannot pay");
                self.ledger.quota = Some(state);
                self.in_the_air[place] = Some((query, self.now));
                self.wake[place] = self.now + SECOND / 4;
                self.idle[place] = 0;
            }
            Todo::Commit(Commit::Rows(_, page)) => {
                let outcome = self.ledger.commit(page, now);
                self.poller.committed(reader, &Done::Rows(outcome), now);
                // As in life, what one commits wakes the others.
                self.wake = [self.now; 3];
            }
            Todo::Commit(Commit::Quarantine(quarantine)) => {
                self.ledger.quarantine = quarantine.clone();
                self.poller.committed(reader, &Done::Quarantine(quarantine), now);
                self.wake = [self.now; 3];
            }
            Todo::Commit(Commit::Position(position)) => {
                self.check_position(position);
                self.ledger.position = Some(position);
                self.poller.committed(reader, &Done::Position(position), now);
                self.wake = [self.now; 3];
            }
        }
    }

    /// The cursor passes nothing that was not taken, nor the source's time less the overlap; the floor stays.
    fn check_position(&self, next: Position) {
        let Some(before) = self.ledger.position else { return };
        let bound = Source::time(self.now).earlier(OVERLAP).max(before.cursor);
        assert!(before.cursor <= next.cursor && next.cursor <= bound, "{before:?} became {next:?} at {bound}");
        assert_eq!(before.floor, next.floor);
        for (id, revision) in self.source.current(self.now) {
            let passed = before.floor <= revision.last_update && revision.last_update < next.cursor;
            let known =
                self.ledger.knows(id, revision.last_update) || self.ledger.quarantine.holds(revision.last_update);
            assert!(!passed || known, "the cursor {} passed {id} of {}", next.cursor, revision.last_update);
        }
    }

    fn courier_acts(&mut self) {
        let now = self.moment();
        self.wake[2] = self.now;
        match self.courier.todo(now, self.ledger.newest()) {
            courier::Todo::Idle => self.wake[2] = self.now + 3600 * SECOND,
            courier::Todo::Wait(until) => {
                assert!(now < until, "the courier waits for what is over");
                self.wake[2] = until.nanos();
            }
            courier::Todo::Settle => {
                let answer = self.far.settle();
                self.courier.settled(answer, now);
            }
            courier::Todo::Send { after, limit } => self.send(after, limit),
            courier::Todo::Commit(progress, refusals) => self.acknowledge(progress, refusals),
        }
    }

    fn send(&mut self, after: Seq, limit: usize) {
        assert!((1..=self.limit).contains(&limit), "{limit} events at once");
        let newest = self.ledger.newest();
        let wanted = (after.0 + 1..=newest.0).map(Seq).filter(|&seq| !self.courier.is_refused(seq));
        let batch: Vec<Seq> = wanted.take(limit).collect();
        assert!(batch.iter().all(|seq| !self.ledger.refused.contains(seq)), "what was refused is sent again");
        let last = batch.last().copied();
        let scanned_to = last.filter(|_| batch.len() == limit).unwrap_or(newest);
        let handed = Handed { scanned_to, last, count: batch.len() };
        let result = if batch.is_empty() { Ok(None) } else { self.far.take(&batch, self.settles, &self.courier) };
        self.courier.sent(handed, result, self.moment());
    }

    /// Nothing is acknowledged but what is safe at the far side or was refused by it.
    fn acknowledge(&mut self, progress: Progress, refusals: Vec<Refusal>) {
        self.ledger.refused.extend(refusals.into_iter().map(|refusal| refusal.seq));
        let (before, reached) = (self.ledger.progress.acknowledged, progress.acknowledged);
        assert!(before <= reached && reached <= self.ledger.newest(), "acknowledged {before}, then {reached}");
        for seq in (before.0 + 1..=reached.0).map(Seq) {
            let safe = self.far.confirmed.contains(&seq) || self.ledger.refused.contains(&seq);
            assert!(safe, "{seq} is acknowledged and not at the far side");
        }
        self.ledger.progress = progress;
    }

    fn moment(&self) -> Moment {
        Moment::from_nanos(self.now)
    }
}

impl Ledger {
    fn known(&self) -> Known {
        Known { position: self.position, quarantine: self.quarantine.clone(), has_listed: !self.marks.is_empty() }
    }

    fn commit(&mut self, page: Page, now: Moment) -> Committed {
        let mut rows = page.rows;
        rows.sort_by_key(Row::last_update);
        let mut outcome = Committed::default();
        for row in rows {
            let id = seen::id_of(&row);
            let Verdict::New(news) = seen::judge(self.marks.get(&id), &row, page.date, now) else { continue };
            let event_id = EventId::of(&TenantName::new("fuzz"), &id, row.last_update(), row.hash);
            assert!(self.known.insert(event_id.clone()), "{event_id} is an event twice");
            let time = row.last_update().unwrap_or_default();
            let newest = self.newest_of.insert(id.clone(), time).unwrap_or_default();
            assert!(newest <= time, "{event_id} comes behind a later revision");
            outcome.unseen_rows += 1;
            outcome.oldest_unseen = outcome.oldest_unseen.into_iter().chain(news.unseen_time).min();
            outcome.events.push(Brief {
                event_id: event_id.clone(),
                kind: news.kind,
                last_update: row.last_update(),
                unseen_time: news.unseen_time,
            });
            self.outbox.push(event_id);
            self.marks.insert(id, news.mark);
        }
        outcome
    }

    fn newest(&self) -> Seq {
        Seq(self.outbox.len() as u64)
    }

    fn knows(&self, id: usize, last_update: Timestamp) -> bool {
        self.marks.get(&IncidentId::new(id.to_string())).is_some_and(|mark| last_update <= mark.time)
    }
}

impl FarSide {
    /// Takes all, a part or nothing; answers or does not.
    fn take(&mut self, batch: &[Seq], settles: bool, courier: &Courier) -> Result<Option<Seq>, DeliverError> {
        let fate = std::mem::take(&mut self.next);
        let part = &batch[..usize::from(fate / 8) % (batch.len() + 1)];
        let why = || "made up".to_owned();
        match fate % 8 {
            // Takes what is confirmed later.
            1 if settles => {
                self.arrive(batch, courier);
                Ok(None)
            }
            // Takes a part; a sink that settles takes all and confirms a part.
            1 | 2 => {
                self.arrive(if settles { batch } else { part }, courier);
                let last = part.last().copied();
                // Whatever is confirmed, everything before it is too.
                self.confirmed.extend(self.arrived.iter().filter(|&&seq| last.is_some_and(|last| seq <= last)));
                Ok(last)
            }
            // Takes a part and does not say so.
            3 => {
                self.arrive(part, courier);
                self.confirmed.extend(part);
                self.excuse();
                Err(DeliverError::Retry { why: why(), after: None })
            }
            // Goes away with everything that was not confirmed.
            4 => {
                self.arrived = self.confirmed.clone();
                self.excuse();
                Err(DeliverError::Pause { why: why() })
            }
            5 if !part.is_empty() => {
                let refusals = part.iter().map(|&seq| Refusal { seq, why: why() });
                Err(DeliverError::Refused(refusals.collect()))
            }
            6 => Err(DeliverError::RefusedBatch { why: why() }),
            _ => {
                self.arrive(batch, courier);
                self.confirmed.extend(&self.arrived);
                Ok(batch.last().copied())
            }
        }
    }

    fn settle(&mut self) -> Result<Option<Seq>, DeliverError> {
        match std::mem::take(&mut self.next) % 4 {
            1 => Ok(None),
            2 => {
                self.arrived = self.confirmed.clone();
                self.excuse();
                Err(DeliverError::Retry { why: "made up".into(), after: None })
            }
            _ => {
                self.confirmed.extend(&self.arrived);
                Ok(self.arrived.last().copied())
            }
        }
    }

    /// In their order, none left out, none twice without a reason.
    fn arrive(&mut self, batch: &[Seq], courier: &Courier) {
        for &seq in batch {
            let before = Seq(seq.0 - 1);
            let in_order =
                before <= courier.acknowledged() || self.arrived.contains(&before) || courier.is_refused(before);
            assert!(in_order, "{seq} arrived before {before}");
            let first = self.arrived.insert(seq);
            assert!(first || self.excused.contains(&seq), "{seq} was sent twice without a reason");
        }
    }

    fn excuse(&mut self) {
        self.excused.extend(&self.arrived);
    }
}
