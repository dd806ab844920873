//! What the loops say of themselves, for everybody who asks. Writing to it never waits on anything, and no decision is made
//! from it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::admin::status::{Reload, SinkStatus, Status, TenantStatus};
use crate::model::event::Kind;
use crate::model::names::{SinkName, TenantName};

/// A loop that has not come round for this long is stuck: the longest wait on the world (a call or a delivery) is two minutes.
const STUCK_AFTER: Duration = Duration::from_secs(300);

/// Events that are kept to be shown.
pub const RECENT_MAX: usize = 50;

/// The board.
#[derive(Debug)]
pub struct Board {
    state: Mutex<State>,
    shows_incidents: AtomicBool,
    start: Instant,
}

impl Default for Board {
    fn default() -> Self {
        Self { state: Mutex::default(), shows_incidents: AtomicBool::new(false), start: Instant::now() }
    }
}

#[derive(Debug, Default)]
struct State {
    tenants: BTreeMap<TenantName, Tenant>,
    sinks: BTreeMap<SinkName, Sink>,
    beats: BTreeMap<String, Instant>,
    paused: Option<(String, Instant)>,
    last_reload: Option<Reload>,
    recent: VecDeque<Passing>,
    passed: u64,
}

/// What a tenant says, and what follows from when it said so.
#[derive(Debug, Default)]
struct Tenant {
    status: TenantStatus,
    /// When `lag_seconds` was true.
    reckoned: Option<Instant>,
    /// When a reading was complete, or the tenant began.
    passed: Option<Instant>,
    failing: Option<Instant>,
    /// The worst since it was last asked for.
    freshness: Option<f64>,
}

#[derive(Debug, Default)]
struct Sink {
    status: SinkStatus,
    failing: Option<Instant>,
}

/// An event on its way into the outbox.
#[derive(Debug, Clone)]
pub struct Passing {
    /// Grows by one per event; set by the board.
    pub number: u64,
    /// Its id.
    pub event_id: String,
    /// Whose it is.
    pub tenant: TenantName,
    /// What happened.
    pub kind: Kind,
    /// When it was committed.
    pub at: Instant,
    /// From `lastUpdateTime` until then.
    pub age_seconds: Option<f64>,
    /// The incident's title and severity, where they may be shown.
    pub content: Option<(String, String)>,
}

impl Board {
    /// Writes what a tenant says.
    pub fn tenant(&self, name: &TenantName, write: impl FnOnce(&mut TenantStatus)) {
        let mut state = self.state();
        let Tenant { status, reckoned, passed, failing, .. } = state.tenants.entry(name.clone()).or_default();
        let (lag_before, passes_before) = (status.lag_seconds, status.passes);
        write(status);
        if passed.is_none() || passes_before < status.passes {
            *passed = Some(Instant::now());
        }
        if status.lag_seconds != lag_before {
            *reckoned = Some(Instant::now());
        }
        *failing = since(*failing, status.error.is_some());
    }

    /// This tenant is not there any more, nor are these loops of it.
    pub fn forget(&self, name: &TenantName, loops: &[String]) {
        let mut state = self.state();
        state.tenants.remove(name);
        state.beats.retain(|who, _| !loops.contains(who));
    }

    /// The configuration was read again.
    pub fn reloaded(&self, reload: Reload) {
        self.state().last_reload = Some(reload);
    }

    /// Writes what a sink says.
    pub fn sink(&self, name: &SinkName, write: impl FnOnce(&mut SinkStatus)) {
        let mut state = self.state();
        let Sink { status, failing } = state.sinks.entry(name.clone()).or_default();
        write(status);
        *failing = since(*failing, status.error.is_some());
    }

    /// Polling is paused, for this reason; or goes on. True where that is news.
    pub fn paused(&self, why: Option<String>) -> bool {
        let mut state = self.state();
        let news = state.paused.is_some() != why.is_some();
        let begun = state.paused.as_ref().map_or_else(Instant::now, |(_, begun)| *begun);
        state.paused = why.map(|why| (why, begun));
        news
    }

    /// These events of one tenant have been committed. The last [`RECENT_MAX`] of all tenants are kept.
    pub fn passed(&self, tenant: &TenantName, events: impl IntoIterator<Item = Passing>) {
        let mut state = self.state();
        let state = &mut *state;
        let worst = &mut state.tenants.entry(tenant.clone()).or_default().freshness;
        let up = self.start.elapsed().as_secs_f64();
        for mut event in events {
            // What was changed before the start is no measure of how fresh we are.
            *worst = event.age_seconds.filter(|age| *age <= up).into_iter().chain(*worst).reduce(f64::max);
            state.passed += 1;
            event.number = state.passed;
            if state.recent.len() == RECENT_MAX {
                state.recent.pop_front();
            }
            state.recent.push_back(event);
        }
    }

    /// The last events after this number, oldest first.
    pub fn recent(&self, after: u64) -> Vec<Passing> {
        self.state().recent.iter().filter(|event| after < event.number).cloned().collect()
    }

    /// From `lastUpdateTime` to committed in seconds, the worst of each tenant since this was last asked.
    pub fn take_freshness(&self) -> BTreeMap<TenantName, f64> {
        let mut state = self.state();
        let tenants = state.tenants.iter_mut();
        tenants.filter_map(|(name, tenant)| Some((name.clone(), tenant.freshness.take()?))).collect()
    }

    /// Allows titles and severities of incidents on the board.
    pub fn show_incidents(&self) {
        self.shows_incidents.store(true, Ordering::Relaxed);
    }

    /// Whether titles and severities of incidents are allowed.
    pub fn shows_incidents(&self) -> bool {
        self.shows_incidents.load(Ordering::Relaxed)
    }

    /// This loop has come round.
    pub fn beat(&self, who: &str) {
        self.beat_at(who, Instant::now());
    }

    fn beat_at(&self, who: &str, now: Instant) {
        let mut state = self.state();
        match state.beats.get_mut(who) {
            Some(beat) => *beat = now,
            None => {
                state.beats.insert(who.to_owned(), now);
            }
        }
    }

    /// This loop has ended because it was asked to.
    pub fn ended(&self, who: &str) {
        self.state().beats.remove(who);
    }

    /// The loops that make no progress.
    pub fn stuck(&self) -> Vec<String> {
        self.stuck_at(Instant::now())
    }

    fn stuck_at(&self, now: Instant) -> Vec<String> {
        let state = self.state();
        let stuck = state.beats.iter().filter(|(_, beat)| STUCK_AFTER < now.saturating_duration_since(**beat));
        stuck.map(|(who, _)| who.clone()).collect()
    }

    /// Everything at once. What grows by itself has grown: a tenant that says nothing any more does not look fresh.
    pub fn status(&self) -> Status {
        let state = self.state();
        let tenants = state.tenants.iter().map(|(name, tenant)| (name.clone(), tenant.now()));
        let sinks = state.sinks.iter().map(|(name, sink)| {
            (name.clone(), SinkStatus { failing_seconds: seconds(sink.failing), ..sink.status.clone() })
        });
        Status {
            tenants: tenants.collect(),
            sinks: sinks.collect(),
            paused: state.paused.as_ref().map(|(why, _)| why.clone()),
            paused_seconds: seconds(state.paused.as_ref().map(|(_, begun)| *begun)),
            last_reload: state.last_reload.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while writing leaves numbers that are a little off, which is no reason to lose the board.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenant {
    fn now(&self) -> TenantStatus {
        let since_reckoned = self.reckoned.map_or(0.0, |reckoned| reckoned.elapsed().as_secs_f64());
        TenantStatus {
            lag_seconds: self.status.lag_seconds.map(|lag| lag + since_reckoned),
            since_pass_seconds: seconds(self.passed).unwrap_or_default(),
            failing_seconds: seconds(self.failing),
            ..self.status.clone()
        }
    }
}

/// When it began, where it is so now.
fn since(begun: Option<Instant>, is_so: bool) -> Option<Instant> {
    is_so.then(|| begun.unwrap_or_else(Instant::now))
}

fn seconds(begun: Option<Instant>) -> Option<f64> {
    begun.map(|begun| begun.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(tenant: &TenantName, age_seconds: f64) -> Passing {
        Passing {
            number: 0,
            event_id: "contoso/1/2/3".into(),
            tenant: tenant.clone(),
            kind: Kind::Created,
            at: Instant::now(),
            age_seconds: Some(age_seconds),
            content: None,
        }
    }

    #[test]
    fn the_last_events_are_kept_and_no_more() {
        let (board, contoso) = (Board::default(), TenantName::new("contoso"));
        for age in 0..120 {
            board.passed(&contoso, [passing(&contoso, f64::from(age))]);
        }
        let numbers: Vec<u64> = board.recent(0).iter().map(|event| event.number).collect();
        assert_eq!(numbers, (71..=120).collect::<Vec<_>>());
        assert_eq!(board.recent(118).len(), 2);
        board.passed(&contoso, [passing(&contoso, 1e-9), passing(&contoso, 0.0)]);
        assert_eq!(board.take_freshness()[&contoso], 1e-9, "the worst that was changed since the start");
        assert!(board.take_freshness().is_empty(), "it was asked for just now");
    }

    #[test]
    fn a_failure_has_a_beginning_until_it_is_over() {
        let (board, contoso) = (Board::default(), TenantName::new("contoso"));
        let failing = |board: &Board| board.status().tenants[&contoso].failing_seconds;
        board.tenant(&contoso, |status| status.lag_seconds = Some(5.0));
        assert_eq!(failing(&board), None);
        board.tenant(&contoso, |status| status.error = Some("no route".into()));
        let begun = failing(&board).expect("it fails");
        board.tenant(&contoso, |status| status.error = Some("no answer".into()));
        assert!(begun <= failing(&board).expect("it fails still"), "another error is the same trouble");
        assert!(5.0 < board.status().tenants[&contoso].lag_seconds.expect("a lag"), "it grows by itself");
        board.tenant(&contoso, |status| status.error = None);
        assert_eq!(failing(&board), None);
    }

    #[test]
    fn a_tenant_is_behind_from_its_beginning_on_and_again_from_each_complete_reading() {
        let (board, contoso) = (Board::default(), TenantName::new("contoso"));
        let since_pass = || board.status().tenants[&contoso].since_pass_seconds;
        let age = |seconds| {
            let long_ago =
                Instant::now().checked_sub(Duration::from_secs(seconds)).expect("a machine that is up for so long");
            board.state().tenants.get_mut(&contoso).expect("it is there").passed = Some(long_ago);
        };
        board.tenant(&contoso, |status| status.quota_limits = [1; 4]);
        age(40);
        board.tenant(&contoso, |status| status.error = Some("no route".into()));
        assert!(40.0 <= since_pass(), "nothing was read yet");
        board.tenant(&contoso, |status| status.passes = 3);
        assert!(since_pass() < 40.0, "a reading was complete");
        age(40);
        board.tenant(&contoso, |status| status.passes = 0);
        assert!(40.0 <= since_pass(), "it begins to count anew, which completes nothing");
    }

    #[test]
    fn one_silent_loop_among_busy_ones_is_stuck_until_it_comes_round_or_ends() {
        let (board, start) = (Board::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        board.beat_at("sink siem", start);
        for seconds in (0..=600).step_by(10) {
            board.beat_at("tenant contoso tail", at(seconds));
            let silent: &[&str] = if seconds <= STUCK_AFTER.as_secs() { &[] } else { &["sink siem"] };
            assert_eq!(board.stuck_at(at(seconds)), silent, "after {seconds} s");
        }
        board.beat_at("sink siem", at(600));
        assert_eq!(board.stuck_at(at(900)), [""; 0], "it has come round");
        assert_eq!(board.stuck_at(at(901)).len(), 2, "now all are silent");
        board.ended("sink siem");
        assert_eq!(board.stuck_at(at(901)), ["tenant contoso tail"], "what was asked to end is not waited for");
    }
}
