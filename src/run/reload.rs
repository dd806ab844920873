//! Reads the configuration again on SIGHUP: all of it is right or nothing changes; then tenants are added, removed and exchanged,
//! and nobody else notices. What cannot change while it runs (sinks, the ledger, addresses) is named and waits for a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::metrics::wall_clock;
use crate::admin::status::{Reload, ReloadOutcome};
use crate::config::problem::{Problem, Problems, Severity};
use crate::config::sink::Sink;
use crate::config::tenant::Tenant as TenantConfig;
use crate::config::{Config, Loaded};
use crate::core::poller::Reader;
use crate::model::names::{SinkName, TenantName};
use crate::run::herald::some_of;
use crate::run::intake::Intakes;
use crate::run::supervise::Loops;
use crate::run::tenant::{Access, Surroundings, Tenant};
use crate::run::tenants::{self, Tenants};
use crate::run::{notify, poll};
use crate::store::error::StoreError;

/// Kinds of problems of one configuration that are said.
const KINDS_MAX: usize = 20;
/// How often a store is asked again whose disk is full.
const ROOM_EVERY: Duration = Duration::from_secs(2);

/// Reads the configuration that the daemon was started with once more: the same files, the same environment. It may look at
/// the disk and takes its time.
pub type Load = Arc<dyn Fn() -> Result<Loaded, Problems> + Send + Sync>;

/// What a reload changes.
pub(crate) struct Reloader {
    pub(crate) load: Load,
    /// What runs now.
    pub(crate) running: Config,
    pub(crate) tenants: Tenants,
    pub(crate) intakes: Intakes,
    pub(crate) around: Surroundings,
    pub(crate) loops: Loops,
    pub(crate) stop_reading: CancellationToken,
    /// Tenants that were there once and are configured no more.
    pub(crate) gone: BTreeSet<TenantName>,
}

/// What is different in another configuration.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    added: Vec<TenantName>,
    changed: Vec<TenantName>,
    removed: Vec<TenantName>,
    /// Added, and for a sink that is not there before the restart: read now, its events would pass that sink by.
    held: Vec<(TenantName, SinkName)>,
    /// By the sink that runs: tenants at work that it is not to take any more, and that a sink is to take which is not there before the
    /// restart. It goes on taking them until then: nobody else would.
    kept: BTreeMap<SinkName, Vec<TenantName>>,
    /// Tables that want a restart.
    restart_for: Vec<String>,
}

/// Reads the configuration again whenever the signal comes.
pub(crate) async fn serve(mut reloader: Reloader, mut hang_ups: watch::Receiver<u64>) {
    while hang_ups.changed().await.is_ok() {
        notify::reloading();
        match reloader.reload().await {
            Ok((outcome, restart_for)) => {
                reloader.around.metrics.reloaded(outcome);
                let at = wall_clock().to_string();
                reloader.around.board.reloaded(Reload { at, outcome, restart_for });
            }
            // What is half done is done again by the next start.
            Err(error) => reloader.loops.fail(error),
        }
        notify::ready();
    }
}

impl Reloader {
    async fn reload(&mut self) -> Result<(ReloadOutcome, Vec<String>), StoreError> {
        let refused = || Ok((ReloadOutcome::Refused, Vec::new()));
        let Some((wanted, mut plan, accesses)) = self.validated().await else {
            tracing::warn!("the new configuration is refused, the old one goes on");
            return refused();
        };
        if !plan.kept.is_empty() {
            let (of, sinks): (Vec<_>, Vec<_>) = (plan.kept.values().flatten().collect(), plan.kept.keys().collect());
            let (names, tenants) = (some_of(&of, of.len()), of.len());
            let sinks = some_of(&sinks, sinks.len());
            tracing::warn!(tenants, names, sinks, "still taken before the restart: the sink they move to is new");
        }
        let held = std::mem::take(&mut plan.held);
        if let Some((_, sink)) = held.first() {
            let tenants: Vec<_> = held.iter().map(|(tenant, _)| tenant).collect();
            let (names, tenants) = (some_of(&tenants, tenants.len()), tenants.len());
            tracing::warn!(tenants, names, %sink, "not read before the restart: a sink of theirs is new");
        }
        self.tell_of_what_is_left(&wanted, &plan);
        self.apply(&wanted, &plan, accesses).await?;
        let Plan { added, changed, removed, restart_for, .. } = plan;
        let names = |names: &[TenantName]| (!names.is_empty()).then(|| some_of(names, names.len()));
        tracing::info!(
            tenants = self.running.tenants.len(),
            added = names(&added),
            changed = names(&changed),
            removed = names(&removed),
            "the configuration was read again"
        );
        if restart_for.is_empty() {
            return Ok((ReloadOutcome::Applied, restart_for));
        }
        let tables = restart_for.join(", ");
        tracing::warn!(tables, "these parts of the configuration changed too, and count after a restart");
        Ok((ReloadOutcome::Partly, restart_for))
    }

    /// What waits for a sink of a tenant that it loses goes past it, and another sink may be past that already.
    fn tell_of_what_is_left(&self, wanted: &Config, plan: &Plan) {
        let newest = *self.around.store.newest().borrow();
        for (name, before) in &self.running.sinks {
            let Some(after) = wanted.sinks.get(name) else { continue };
            let after = Sink { tenants: plan.taken_by(name, after), ..after.clone() };
            let stay = self.running.tenants.keys().filter(|tenant| wanted.tenants.contains_key(*tenant));
            let lost: Vec<_> = stay.filter(|tenant| before.takes(tenant) && !after.takes(tenant)).collect();
            let is_behind = self.around.store.progress(name).is_ok_and(|progress| progress.acknowledged < newest);
            if is_behind && !lost.is_empty() {
                let (names, tenants) = (some_of(&lost, lost.len()), lost.len());
                tracing::warn!(sink = %name, tenants, names, "what waits for this sink of tenants that it lost goes to nobody");
            }
        }
    }

    /// The new configuration, what is different in it, and how to reach whom it adds or changes. None where anything at all is
    /// wrong, which is said.
    async fn validated(&self) -> Option<(Config, Plan, Vec<(TenantName, Access)>)> {
        let (load, running) = (self.load.clone(), self.running.clone());
        let validated = tokio::task::spawn_blocking(move || {
            let Loaded { config, warnings } = load().map_err(|Problems(problems)| tell(&problems)).ok()?;
            tell(&warnings);
            let plan = Plan::between(&running, &config);
            let mut accesses = Vec::new();
            let mut failures = Vec::new();
            for name in plan.added.iter().chain(&plan.changed) {
                match Access::of(&config.tenants[name]) {
                    Ok(access) => accesses.push((name.clone(), access)),
                    Err(error) => failures.push((name, error)),
                }
            }
            if let Some((tenant, error)) = failures.first() {
                let more = (1 < failures.len()).then_some(failures.len() - 1);
                tracing::warn!(%tenant, %error, more, "the tenant cannot be reached as it is configured");
            }
            (accesses.len() == plan.added.len() + plan.changed.len()).then_some((config, plan, accesses))
        });
        match validated.await {
            Ok(validated) => validated,
            Err(error) => {
                tracing::warn!(%error, "the configuration cannot be read again");
                None
            }
        }
    }

    async fn apply(
        &mut self,
        wanted: &Config,
        plan: &Plan,
        accesses: Vec<(TenantName, Access)>,
    ) -> Result<(), StoreError> {
        self.gone.extend(self.running.tenants.keys().cloned());
        self.gone.retain(|name| !wanted.tenants.contains_key(name));
        // Before anything of an added tenant is in the outbox: a sink that does not take it goes past it for good.
        for (name, sink) in &mut self.running.sinks {
            if let (Some(wanted), Some(intake)) = (wanted.sinks.get(name), self.intakes.get(name)) {
                sink.tenants = plan.taken_by(name, wanted);
                intake.change(sink.tenants.clone(), &self.gone);
            }
        }
        let now = self.tenants.all();
        let ending: Vec<_> = plan.removed.iter().chain(&plan.changed).filter_map(|name| now.get(name)).collect();
        try_join_all(ending.iter().map(|tenant| ended(Arc::clone(tenant)))).await?;
        for tenant in ending {
            let loops = [Reader::Tail, Reader::Sweep].map(|reader| poll::who(tenant, reader));
            self.around.board.forget(&tenant.name, &loops);
            self.around.herald.forget(&tenant.name);
        }
        let mut started = Vec::new();
        for (name, access) in accesses {
            let config = wanted.tenants[&name].clone();
            started.push(Arc::new(self.tenant(name.clone(), &config, access).await?));
            self.running.tenants.insert(name, config);
        }
        for name in &plan.removed {
            self.running.tenants.remove(name);
            self.around.metrics.forget(name);
        }
        self.tenants.change(|tenants| {
            plan.removed.iter().for_each(|name| _ = tenants.remove(name));
            tenants.extend(started.iter().map(|tenant| (tenant.name.clone(), tenant.clone())));
        });
        tenants::read(&self.loops, &started, &[Reader::Tail, Reader::Sweep]);
        Ok(())
    }

    async fn tenant(&self, name: TenantName, config: &TenantConfig, access: Access) -> Result<Tenant, StoreError> {
        loop {
            let (reading, access, around) = (self.stop_reading.child_token(), access.clone(), self.around.clone());
            match Tenant::at_work_until(reading, name.clone(), config, access, around) {
                Err(StoreError::Full { .. }) => tokio::time::sleep(ROOM_EVERY).await,
                result => return result,
            }
        }
    }
}

/// Ends a tenant, however long the disk of the store is full.
async fn ended(tenant: Arc<Tenant>) -> Result<(), StoreError> {
    loop {
        match tenant.end().await {
            Err(StoreError::Full { .. }) => tokio::time::sleep(ROOM_EVERY).await,
            result => return result,
        }
    }
}

/// Says what is wrong or odd about a configuration: of each kind the first, and how many more there are. Hundreds of tenants that one
/// mistake was made for are one line.
pub(crate) fn tell(problems: &[Problem]) {
    let mut kinds: Vec<(&Problem, usize)> = Vec::new();
    for problem in problems {
        let is_same = |(known, _): &&mut (&Problem, usize)| {
            (known.severity, &known.what, &known.remedy) == (problem.severity, &problem.what, &problem.remedy)
        };
        match kinds.iter_mut().find(is_same) {
            Some((_, count)) => *count += 1,
            None => kinds.push((problem, 0)),
        }
    }
    let (shown, rest) = kinds.split_at(kinds.len().min(KINDS_MAX));
    for (Problem { place, key, what, remedy, severity }, more) in shown {
        // What stands below the first line shows the text of the file.
        let (error, more) = (what.lines().next(), (0 < *more).then_some(more));
        match severity {
            Severity::Error => tracing::warn!(%place, key, error, remedy, more, "the configuration is wrong"),
            Severity::Warning => tracing::warn!(%place, key, error, remedy, more, "the configuration wants a look"),
        }
    }
    if !rest.is_empty() {
        let more = rest.iter().map(|(_, more)| more + 1).sum::<usize>();
        tracing::warn!(more, "xdrelay check --offline shows what else there is to say of the configuration");
    }
}

impl Plan {
    fn between(running: &Config, wanted: &Config) -> Self {
        let mut plan = Self { restart_for: restart_for(running, wanted), ..Self::default() };
        for (name, tenant) in &wanted.tenants {
            let is_new = |sink: &SinkName| !running.sinks.contains_key(sink);
            match running.tenants.get(name) {
                Some(before) if before == tenant => {}
                Some(_) => plan.changed.push(name.clone()),
                None => match wanted.sinks.iter().find(|(sink, config)| is_new(sink) && config.takes(name)) {
                    Some((sink, _)) => plan.held.push((name.clone(), sink.clone())),
                    None => plan.added.push(name.clone()),
                },
            }
        }
        plan.removed = running.tenants.keys().filter(|name| !wanted.tenants.contains_key(*name)).cloned().collect();
        plan.kept = kept(running, wanted);
        for name in plan.kept.keys().map(table_of) {
            if !plan.restart_for.contains(&name) {
                plan.restart_for.push(name);
            }
        }
        plan
    }

    /// The `tenants` of a sink that runs, until the restart.
    fn taken_by(&self, name: &SinkName, wanted: &Sink) -> Option<Vec<TenantName>> {
        let mut named = wanted.tenants.clone()?;
        named.extend(self.kept.get(name).into_iter().flatten().cloned());
        Some(named)
    }
}

/// See [`Plan`].
fn kept(running: &Config, wanted: &Config) -> BTreeMap<SinkName, Vec<TenantName>> {
    let is_new = |sink: &SinkName| !running.sinks.contains_key(sink);
    let moves_on = |tenant: &TenantName| wanted.sinks.iter().any(|(sink, config)| is_new(sink) && config.takes(tenant));
    let of = |(name, before): (&SinkName, &Sink)| {
        let after = wanted.sinks.get(name)?;
        let loses = |tenant: &TenantName| before.takes(tenant) && !after.takes(tenant) && moves_on(tenant);
        let stay = running.tenants.keys().filter(|tenant| wanted.tenants.contains_key(*tenant));
        let kept: Vec<_> = stay.filter(|tenant| loses(tenant)).cloned().collect();
        (!kept.is_empty()).then(|| (name.clone(), kept))
    };
    running.sinks.iter().filter_map(of).collect()
}

fn table_of(sink: &SinkName) -> String {
    format!("sinks.{sink}")
}

/// The tables that differ and cannot change while the daemon runs. The `tenants` of a sink can.
fn restart_for(running: &Config, wanted: &Config) -> Vec<String> {
    let Config { state_dir, on_corrupt, tenants: _, sinks, outbox, shutdown, admin, log } = running;
    let general = [
        ("state_dir", *state_dir != wanted.state_dir),
        ("on_corrupt", *on_corrupt != wanted.on_corrupt),
        ("outbox", *outbox != wanted.outbox),
        ("shutdown", *shutdown != wanted.shutdown),
        ("admin", *admin != wanted.admin),
        ("log", *log != wanted.log),
    ];
    let mut tables: Vec<_> =
        general.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()).collect();
    let of_all =
        |sinks: &BTreeMap<SinkName, Sink>, name| sinks.get(name).map(|sink| Sink { tenants: None, ..sink.clone() });
    let names: BTreeSet<_> = sinks.keys().chain(wanted.sinks.keys()).collect();
    let differs = names.into_iter().filter(|name| of_all(sinks, name) != of_all(&wanted.sinks, name));
    tables.extend(differs.map(table_of));
    tables
}
