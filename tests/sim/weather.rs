//! What changes for the worse and for the better by itself: sinks that go and come, full disks, outages, suspended machines,
//! incidents that cannot be read; and the death of the process.

use crate::daemon::Daemon;
use crate::fault::Fault;
use crate::focus::Focus;
use crate::incident::Poison;
use crate::invariant::Checked;
use crate::mistakes::Planted;
use crate::model::dialect::Dialect;
use crate::plan::SECOND;
use crate::simulation::Simulation;
use crate::trace::What;
use crate::world::{NEVER, World};

/// Incidents that cannot be read at a time, at most.
const POISONED_MAX: usize = 2;
/// Long outages, long downtimes and sleeps of the machine in one run, at most each.
const DISASTERS_MAX: u64 = 3;

impl Simulation {
    /// The weather changes.
    pub(crate) fn weather(&mut self) -> Checked {
        self.weather_at = self.now + self.weather_dice.between(20, 160) * SECOND;
        for sink in 0..self.sinks.len() {
            self.weather_of_sink(sink);
        }
        self.weather_of_source();
        if self.has(Fault::DiskFull) && self.weather_dice.permille(if self.ledger.is_full { 600 } else { 120 }) {
            self.disk_changes();
        }
        if self.has(Fault::Suspend)
            && self.weather_dice.permille(20)
            && self.counts.of(Fault::Suspend) < DISASTERS_MAX
            && self.daemon.as_ref().is_some_and(|daemon| daemon.since <= self.now)
        {
            self.suspend();
        }
        let away = if self.plan.focus == Focus::CatchUp { 60 } else { 15 };
        if self.has(Fault::Downtime)
            && self.weather_dice.permille(away)
            && self.counts.of(Fault::Downtime) < DISASTERS_MAX
            && self.daemon.is_some()
        {
            self.counts.add(Fault::Downtime);
            let down = self.weather_dice.pick(&[600, 3000, 6000, 20_000]) * SECOND;
            self.heal_at += down;
            return self.dies(down);
        }
        Ok(())
    }

    fn weather_of_sink(&mut self, sink: usize) {
        let (now, dice) = (self.now, &mut self.weather_dice);
        let often = if self.plan.focus == Focus::Loss { 150 } else { 40 };
        if dice.permille(often) && self.plan.faults.has(Fault::SinkDown) && self.sinks[sink].down_until <= now {
            let most = if self.plan.focus == Focus::Loss { 3000 } else { 900 };
            let span = dice.between(20, most) * SECOND;
            self.sinks[sink].down_until = now + span;
            self.trace.note(now, What::Weather("sink is down", sink as u64));
        }
        if dice.permille(100) && self.plan.faults.has(Fault::StreamReset) && self.sinks[sink].plan().streams {
            self.counts.add(Fault::StreamReset);
            self.trace.note(now, What::Weather("stream is reset", sink as u64));
            self.sinks[sink].reset(now);
        }
    }

    fn weather_of_source(&mut self) {
        let (now, dice) = (self.now, &mut self.weather_dice);
        let outages = self.counts.of(Fault::Outage);
        if dice.permille(15)
            && self.plan.faults.has(Fault::Outage)
            && self.server.away_until < now
            && outages < DISASTERS_MAX
        {
            self.counts.add(Fault::Outage);
            let span = dice.pick(&[120, 1200, 4000]) * SECOND;
            self.server.away_until = now + span;
            self.heal_at += span;
            self.trace.note(now, What::Weather("the source fails for seconds", span / SECOND));
        }
        self.weather_of_providers();
        self.weather_of_incidents();
    }

    /// What one of three providers has goes missing for a while.
    fn weather_of_providers(&mut self) {
        let now = self.now;
        if !self.has(Fault::ProviderAway) || now < self.server.lacks.0 || self.server.dialect != Dialect::Graph {
            return;
        }
        if self.weather_dice.permille(60) && self.counts.of(Fault::ProviderAway) < DISASTERS_MAX {
            self.counts.add(Fault::ProviderAway);
            let span = self.weather_dice.pick(&[60, 600, 4000]) * SECOND;
            self.server.lacks = (now + span, self.weather_dice.place(3));
            self.heal_at += span;
            self.trace.note(now, What::Weather("a provider is away for seconds", span / SECOND));
        }
    }

    fn weather_of_incidents(&mut self) {
        let (now, has) = (self.now, |fault| self.plan.faults.has(fault));
        let (poison, for_ever) = (has(Fault::Poison), has(Fault::PoisonForever));
        let (within, alerts) = (has(Fault::PoisonWithin), has(Fault::AlertsFail));
        if !poison && !for_ever && !within && !alerts {
            return;
        }
        let dice = &mut self.weather_dice;
        let poisoned = self.world.incidents.iter().filter(|one| now < one.poisoned_until && one.is_there()).count();
        let often = if self.plan.focus == Focus::Poison { 400 } else { 80 };
        if poisoned < POISONED_MAX && dice.permille(often) {
            let kinds = [(poison || for_ever, Poison::Page), (within, Poison::Within), (alerts, Poison::Alerts)];
            let kinds: Vec<_> = kinds.into_iter().filter_map(|(has, kind)| has.then_some(kind)).collect();
            let kind = if let [kind] = kinds[..] { kind } else { dice.pick(&kinds) };
            let is_for_ever = match kind {
                Poison::Page => for_ever && dice.permille(400) || !poison,
                // Nobody need wait for the end of it, unless nothing can be cut.
                Poison::Within => !has(Fault::LtRefused) && dice.permille(500),
                Poison::Alerts => for_ever && dice.permille(400),
            };
            let span = if is_for_ever { None } else { Some(dice.between(60, 1500)) };
            let number = if dice.permille(700) { self.world.any_recent() } else { self.world.any() };
            let Some(number) = number else { return };
            let incident = &mut self.world.incidents[number];
            incident.poison = kind;
            incident.poisoned_until = span.map_or(NEVER, |span| now + span * SECOND);
            incident.was_poisoned = true;
            self.trace.note(now, What::Weather("an incident cannot be read", 1000 + number as u64));
        }
    }

    fn disk_changes(&mut self) {
        let now = self.now;
        self.ledger.is_full = !self.ledger.is_full;
        if self.ledger.is_full {
            self.counts.add(Fault::DiskFull);
            self.trace.note(now, What::Weather("the disk is full", 0));
            if self.planted != Planted::FullDiskIgnored {
                // The database is closed; what was not synced is there or not.
                self.ledger.lose_suffix(&mut self.weather_dice, false, self.planted);
                self.memory.recorded = self.memory.recorded.min(self.ledger.end());
            }
        } else {
            self.trace.note(now, What::Weather("there is room again", 0));
        }
        self.room_since = now;
    }

    fn suspend(&mut self) {
        self.counts.add(Fault::Suspend);
        let span = self.weather_dice.pick(&[30, 400, 3000]) * SECOND;
        self.trace.note(self.now, What::Weather("the machine sleeps for seconds", span / SECOND));
        self.heal_at += span;
        self.room_since = self.now + span;
        if let Some(daemon) = &mut self.daemon {
            daemon.sleep(span);
            daemon.since = self.now + span;
        }
    }

    /// The process dies and is away for so long.
    pub(crate) fn dies(&mut self, down: u64) -> Checked {
        let now = self.now;
        let Some(daemon) = self.daemon.take() else { return Ok(()) };
        self.counts.add(Fault::Kill);
        self.report.crashes += 1;
        let calling =
            daemon.readers.iter().filter(|(reading, _)| matches!(reading, crate::daemon::Reading::Calling(_)));
        for (_, arrives_at) in calling {
            if self.dice.permille(500) && self.plan.faults.has(Fault::OrphanCall) {
                self.counts.add(Fault::OrphanCall);
                self.orphans.push(*arrives_at);
            }
        }
        let whole = !self.plan.faults.has(Fault::LostSuffix);
        let lost = self.ledger.lose_suffix(&mut self.dice, whole, self.planted);
        if 0 < lost {
            self.counts.add(Fault::LostSuffix);
        }
        self.trace.note(now, What::Dies(lost));
        for sink in self.sinks.iter_mut().filter(|sink| sink.plan().streams) {
            sink.reset(now);
        }
        let is_lost = self.dice.permille(250) && self.plan.faults.has(Fault::LostDatabase);
        if is_lost && self.ledger.checkpoint.is_some() {
            self.counts.add(Fault::LostDatabase);
            self.ledger.lose_database(self.planted, World::time(now));
            self.sinks.iter_mut().for_each(|sink| sink.excuse_all());
            let incidents = self.world.incidents.iter_mut();
            incidents.flat_map(|incident| &mut incident.revisions).for_each(|revision| revision.is_remembered = false);
            self.memory.forgotten_before = self.ledger.position.map(|position| position.cursor).unwrap_or_default();
            self.trace.note(now, What::Loses(self.ledger.position.map(|position| position.cursor)));
        }
        for sink in 0..self.sinks.len() {
            let unconfirmed = self.unconfirmed(sink, self.ledger.progress[sink]);
            self.sinks[sink].excuse_these(unconfirmed.into_iter());
        }
        self.start_at = now + down;
        self.survived()
    }

    /// The process starts.
    pub(crate) fn starts(&mut self) {
        if self.ledger.is_full {
            self.start_at = self.now + 5 * SECOND;
            return;
        }
        self.start_at = NEVER;
        if self.has(Fault::ClockJump) && self.report.crashes != 0 {
            self.counts.add(Fault::ClockJump);
            let off = self.weather_dice.pick(&[-86_400, -3600, -60, 0, 60, 3600, 86_400]);
            self.off = off * SECOND as i64;
        }
        if self.off != 0 {
            self.counts.add(Fault::WrongClock);
        }
        if self.has(Fault::Switch) && self.report.crashes != 0 && self.weather_dice.permille(600) {
            self.counts.add(Fault::Switch);
            self.server.dialect = match self.server.dialect {
                Dialect::Defender => Dialect::Graph,
                Dialect::Graph => Dialect::Defender,
            };
            self.trace.note(self.now, What::Weather("the other API is asked", self.server.dialect as u64));
        }
        let (position, events) = (self.ledger.position.map(|position| position.cursor), self.ledger.end());
        self.trace.note(self.now, What::Starts(position, events, self.off / SECOND as i64));
        let (plan, ledger, planted) = (&self.plan, &self.ledger, self.planted);
        let (dialect, clocks) = (self.server.dialect, (self.now, self.off));
        self.daemon = Some(Daemon::start(plan, dialect, ledger, &mut self.sinks, clocks, planted));
        self.room_since = self.now;
    }

    /// The faults end.
    pub(crate) fn heals(&mut self) {
        self.is_healed = true;
        self.trace.note(self.now, What::Heals);
        self.server.is_calm = true;
        self.plan.source.net = self.plan.source.net.min(SECOND / 2);
        self.sinks.iter_mut().for_each(|sink| sink.is_calm = true);
        if self.ledger.is_full {
            self.disk_changes();
        }
        for incident in self.world.incidents.iter_mut().filter(|incident| incident.poisoned_until != NEVER) {
            incident.poisoned_until = 0;
        }
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.plan.faults.has(fault)
    }
}
