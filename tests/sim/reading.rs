//! The loop of a reader, as src/run/poll.rs has it: asks for the one thing to do, does it against the model, reports it.

use crate::core::commit::{Commit, Done};
use crate::core::poller::{Poller, Todo};
use crate::daemon::{READERS, Reading, done_unwritten};
use crate::fault::Fault;
use crate::invariant::{Checked, Invariant};
use crate::ledger::Full;
use crate::mistakes::Planted;
use crate::model::page::{Alerts, FetchError, Page, Query};
use crate::plan::SECOND;
use crate::server::Answer;
use crate::simulation::Simulation;
use crate::trace::What;
use crate::world::World;

/// A loop comes round at least this often.
pub const LONGEST_WAIT: u64 = 10 * SECOND;
/// How often a full store is looked at.
pub const ROOM_EVERY: u64 = 2 * SECOND;
/// No wait is longer: an audit a day is the rarest thing there is.
const WAIT_MAX: u64 = 2 * 86_400 * SECOND;
/// Calls that are made again outside the quota, by mistake.
const RETRIES: u32 = 10;

impl Simulation {
    /// One step of a reader's loop.
    pub(crate) fn read(&mut self, place: usize) -> Checked {
        let reader = READERS[place];
        let now = self.now;
        match std::mem::replace(&mut self.daemon().readers[place].0, Reading::Free) {
            Reading::Free => self.decide(place)?,
            Reading::Paying(query, batch) => {
                if self.ledger.sync(batch) {
                    self.synced();
                    self.leaves(place, query);
                } else {
                    self.starts_over(place);
                }
            }
            Reading::Calling(query) => {
                if let Err(what) = self.server.arrives(now) {
                    return self.broken(Invariant::I6, what);
                }
                let answer = self.answered(&query);
                let back = now + answer.takes + 1 + self.dice.below(self.plan.source.net);
                self.daemon().readers[place] = (Reading::Hearing(query, Box::new(answer)), back);
            }
            Reading::Hearing(query, answer) => self.hears(place, query, *answer),
            Reading::Writing(done, batch) => {
                self.kill_soon();
                if !self.ledger.sync(batch) {
                    self.starts_over(place);
                    return Ok(());
                }
                self.synced();
                self.is_durable(place, &done)?;
                let moment = self.daemon().moment(now);
                self.daemon().poller.committed(reader, &done, moment);
                self.wakes_other(place);
            }
            Reading::StartingOver if self.ledger.is_full => self.starts_over(place),
            Reading::StartingOver => {
                let (known, seed) = (self.ledger.known(), self.plan.seed ^ now);
                let (settings, moment) = (self.plan.settings(self.server.dialect), self.daemon().moment(now));
                self.daemon().poller = Poller::new(settings, known, seed, moment);
            }
        }
        Ok(())
    }

    /// The answer to a call, its rows completed where they came without their alerts.
    fn answered(&mut self, query: &Query) -> Answer {
        let Self { server, world, plan, counts, now, .. } = self;
        let answer = server.list(world, query, *now, plan, counts);
        match (query.alerts, answer.result) {
            (Alerts::Apart, Ok(page)) if self.planted != Planted::ApartWithoutAlerts => {
                server.complete(world, page, *now, plan, counts)
            }
            // What a careless client takes of a cut body has no alerts to go with it.
            (Alerts::Apart, result) => Answer { result, cut: None, ..answer },
            (Alerts::Within, result) => Answer { result, ..answer },
        }
    }

    fn decide(&mut self, place: usize) -> Checked {
        let (reader, now) = (READERS[place], self.now);
        if self.plan.outbox_max <= self.ledger.waiting() {
            self.counts.add(Fault::OutboxFull);
            if self.planted == Planted::FullOutboxDrops {
                self.ledger.drop_oldest(self.plan.outbox_max / 2);
            } else {
                self.daemon().readers[place].1 = now + ROOM_EVERY;
                return Ok(());
            }
        }
        let daemon = self.daemon();
        let moment = daemon.moment(now);
        match daemon.poller.todo(reader, moment, &mut daemon.quota) {
            Todo::Wait(until) => {
                let wait = until.since(moment).as_nanos() as u64;
                daemon.readers[place].1 = now + wait.min(LONGEST_WAIT);
                if WAIT_MAX < wait && self.plan.audits {
                    return self.broken(Invariant::I7, format!("{reader:?} waits for {} s", wait / SECOND));
                }
            }
            Todo::Fetch(query, lane) => {
                let Some(state) = daemon.quota.charge(lane, moment) else {
                    return self.broken(Invariant::I6, "a call was asked for that the quota cannot pay".into());
                };
                if self.planted == Planted::QuotaInMemory {
                    self.leaves(place, query);
                    return Ok(());
                }
                match self.ledger.set_quota(state) {
                    Ok(batch) => {
                        self.daemon().readers[place] = (Reading::Paying(query, batch), now + self.sync_takes())
                    }
                    Err(Full) if self.planted == Planted::FullDiskIgnored => self.leaves(place, query),
                    Err(Full) => self.starts_over(place),
                }
            }
            Todo::Commit(commit) => self.writes(place, commit)?,
        }
        Ok(())
    }

    /// The call leaves; it is counted when it arrives.
    fn leaves(&mut self, place: usize, mut query: Query) {
        self.trace.note(self.now, What::asks(READERS[place], &query));
        if self.planted == Planted::ResumeAtStoredSkip && place == 1 && 1 < query.top {
            self.ledger.stored_skip = self.ledger.stored_skip.max(query.skip);
            query.skip += self.daemon().stored_skip;
        }
        let takes = 1 + self.dice.below(self.plan.source.net);
        if 5 * SECOND < takes {
            self.counts.add(Fault::SlowNet);
        }
        let there = self.now + takes;
        self.daemon().readers[place] = (Reading::Calling(query), there);
    }

    fn hears(&mut self, place: usize, query: Query, answer: Answer) {
        let (reader, now) = (READERS[place], self.now);
        let Answer { mut result, cut, .. } = answer;
        match (self.planted, &result) {
            (Planted::ErrorIsEmptyPage, Err(FetchError::Unavailable { .. } | FetchError::Garbled { .. })) => {
                result =
                    Ok(Page { rows: Vec::new(), date: Some(World::time(now).floor_to_second()), ..Page::default() });
            }
            (Planted::CutBodyIsPage, Err(_)) => result = cut.map_or(result, Ok),
            (Planted::RetriesOutsideQuota, Err(_)) if self.daemon().retries < RETRIES => {
                self.daemon().retries += 1;
                self.daemon().readers[place] = (Reading::Calling(query), now + SECOND / 10);
                return;
            }
            _ => {}
        }
        self.daemon().retries = 0;
        self.trace.note(
            now,
            match &result {
                Ok(page) => What::Answers(reader, page.rows.len(), page.incomplete.is_some()),
                Err(error) => What::fails(reader, error),
            },
        );
        let daemon = self.daemon();
        let moment = daemon.moment(now);
        daemon.poller.fetched(reader, result, moment, &mut daemon.quota);
    }

    fn writes(&mut self, place: usize, commit: Commit) -> Checked {
        let now = self.now;
        let moment = self.daemon().moment(now);
        let unwritten = (self.planted == Planted::FullDiskIgnored).then(|| done_unwritten(commit.clone()));
        let written = match commit {
            Commit::Position(position) => {
                self.ledger.set_position(position).map(|batch| (Done::Position(position), batch))
            }
            Commit::Quarantine(quarantine) => {
                self.ledger.set_quarantine(quarantine.clone()).map(|batch| (Done::Quarantine(quarantine), batch))
            }
            Commit::Rows(kind, page) => {
                let (rows, dice, often) = (page.rows.len(), &mut self.neighbour_dice, self.plan.neighbours);
                let mut neighbour = || often != 0 && dice.once_in(often);
                match self.ledger.commit_page(page, (now, moment), &mut neighbour, self.planted) {
                    Err(Full) => Err(Full),
                    Ok((outcome, taken, batch)) => {
                        self.trace.note(now, What::Commits(kind, rows, outcome.events.len()));
                        self.takes(&taken)?;
                        Ok((Done::Rows(outcome), batch))
                    }
                }
            }
        };
        match (written, unwritten) {
            (Ok((done, batch)), _) => {
                self.kill_soon();
                let durable_at = now + self.sync_takes();
                self.daemon().readers[place] = (Reading::Writing(Box::new(done), batch), durable_at);
            }
            (Err(Full), Some(done)) => self.daemon().poller.committed(READERS[place], &done, moment),
            (Err(Full), None) => self.starts_over(place),
        }
        Ok(())
    }

    /// What a reader asked for is durable: this is where invariants of the durable state may break.
    fn is_durable(&mut self, _place: usize, done: &Done) -> Checked {
        match done {
            Done::Rows(_) => Ok(()),
            Done::Quarantine(quarantine) => {
                let first = quarantine.windows().first().map(|window| (window.from, window.to));
                self.trace.note(self.now, What::Quarantines(quarantine.windows().len(), first));
                self.quarantined(quarantine)
            }
            Done::Position(position) => {
                self.trace.note(self.now, What::moves(position));
                self.ledger.stored_skip = 0;
                if self.ledger.checkpoint.as_ref().is_none_or(|checkpoint| checkpoint.position.is_none()) {
                    // A first position is in the checkpoint before anybody hears of it.
                    self.ledger.write_checkpoint(self.planted);
                }
                self.daemon().stored_skip = 0;
                self.positioned(position)
            }
        }
    }

    fn starts_over(&mut self, place: usize) {
        self.daemon().readers[place] = (Reading::StartingOver, self.now + ROOM_EVERY);
    }

    fn wakes_other(&mut self, place: usize) {
        let now = self.now;
        let other = &mut self.daemon().readers[1 - place];
        if matches!(other.0, Reading::Free) {
            other.1 = other.1.min(now);
        }
    }

    /// How long a sync takes.
    pub(crate) fn sync_takes(&mut self) -> u64 {
        self.dice.between(1, 25) * SECOND / 1000
    }
}
