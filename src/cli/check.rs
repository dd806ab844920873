//! `xdrelay check`: everything that is wrong with the configuration at once; then each tenant and each sink for real.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use crate::admin::control;
use crate::admin::status::Status;
use crate::cli::exit::{self, Exit};
use crate::cli::{Files, output};
use crate::config::problem::{Problem, Problems};
use crate::config::{Config, Loaded};
use crate::model::names::{SinkName, TenantName};
use crate::run::trial;
use crate::run::trial::sink::SinkTrial;
use crate::run::trial::tenant::TenantTrial;

/// With more tenants than this, one with which all is well has one line.
const SHOWN_WHOLE: usize = 10;
/// Names in the last line at most.
const NAMED_MAX: usize = 10;

/// Validate the configuration, then try each tenant and each sink.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Look at the configuration and what it names on this machine, and connect to nothing
    #[arg(long)]
    offline: bool,
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) files: Files,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    ok: bool,
    problems: Vec<Problem>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tenants: BTreeMap<TenantName, TenantTrial>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sinks: BTreeMap<SinkName, SinkTrial>,
}

impl Check {
    pub(crate) async fn run(self) -> Result<(), Exit> {
        let loaded = crate::config::load(&self.files.paths(), crate::config::environment());
        let (config, problems) = match loaded {
            Ok(Loaded { config, warnings }) => (config, warnings),
            Err(Problems(problems)) => return self.wrong(problems),
        };
        let mut findings = Findings { ok: true, problems, tenants: BTreeMap::new(), sinks: BTreeMap::new() };
        if !self.offline {
            try_all(&config, &mut findings).await?;
        }
        findings.ok =
            findings.tenants.values().all(TenantTrial::is_ok) && findings.sinks.values().all(SinkTrial::is_ok);
        self.print(&config, &findings)?;
        if findings.ok {
            return Ok(());
        }
        let refused = findings.tenants.values().any(|tenant| tenant.refused);
        Err(Exit::new(if refused { exit::CREDENTIAL } else { exit::UNAVAILABLE }, "not everything works, see above"))
    }

    fn wrong(&self, problems: Vec<Problem>) -> Result<(), Exit> {
        if !self.json {
            return Err(Exit::config(&Problems(problems)));
        }
        output::line(json(&serde_json::json!({ "ok": false, "problems": problems }))?)?;
        Err(Exit::new(exit::CONFIG, ""))
    }

    fn print(&self, config: &Config, findings: &Findings) -> Result<(), Exit> {
        if self.json {
            return Ok(output::line(json(findings)?)?);
        }
        for problem in &findings.problems {
            output::line(problem)?;
        }
        let (tenants, sinks) = (config.tenants.len(), config.sinks.len());
        output::line(format_args!("the configuration is valid: tenants {tenants}, sinks {sinks}"))?;
        let is_whole = findings.tenants.len() <= SHOWN_WHOLE;
        for (name, trial) in &findings.tenants {
            if !is_whole && !trial.is_worth_a_look() {
                output::line(format_args!("tenant {name}: {}", trial.in_short()))?;
                continue;
            }
            output::line(format_args!("tenant {name}"))?;
            show(&trial.lines())?;
        }
        for (name, trial) in &findings.sinks {
            output::line(format_args!("sink {name}"))?;
            show(&trial.lines())?;
        }
        if !self.offline {
            output::line(summary(
                "tenant",
                findings.tenants.iter().map(|(name, trial)| (name.as_str(), trial.is_ok())),
            ))?;
            output::line(summary("sink", findings.sinks.iter().map(|(name, trial)| (name.as_str(), trial.is_ok()))))?;
        }
        Ok(())
    }
}

fn show(lines: &[trial::Line]) -> std::io::Result<()> {
    lines.iter().try_for_each(|(what, found)| output::line(format_args!("  {what:<12} {found}")))
}

/// How many work, and which do not.
fn summary<'a>(what: &str, all: impl Iterator<Item = (&'a str, bool)>) -> String {
    let (good, bad): (Vec<_>, Vec<_>) = all.partition(|(_, is_ok)| *is_ok);
    let count = |number: usize| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let works = match good.len() {
        1 => "1 works".to_owned(),
        number => format!("{number} work"),
    };
    let total = count(good.len() + bad.len());
    if bad.is_empty() {
        return format!("{total}: {works}");
    }
    let mut names: Vec<_> = bad.iter().take(NAMED_MAX).map(|(name, _)| *name).collect();
    let more = bad.len() - names.len();
    let rest = format!("and {more} more");
    names.extend((0 < more).then_some(rest.as_str()));
    let fail = if bad.len() == 1 { "does not" } else { "do not" };
    format!("{total}: {works}, {} {fail}: {}", bad.len(), names.join(", "))
}

/// With a daemon running, the tenants are its business: two would share one quota.
async fn try_all(config: &Config, findings: &mut Findings) -> Result<(), Exit> {
    let running = running(config).await?;
    let count = config.tenants.len();
    let tell = |done: usize| output::progress(&format!("tried {done} of {count} tenants"));
    let (tenants, sinks) =
        tokio::join!(trial::tenants(config, running.as_ref(), &tell), trial::sinks(config, running.as_ref()));
    output::progress("");
    (findings.tenants, findings.sinks) = (tenants?, sinks);
    Ok(())
}

/// What the daemon says that holds the state directory; none where none runs.
async fn running(config: &Config) -> Result<Option<Status>, Exit> {
    let unavailable = |why| Exit::new(exit::UNAVAILABLE, why);
    let Some(reply) = control::ask(&config.state_dir, "/status").await.map_err(unavailable)? else { return Ok(None) };
    let status = serde_json::from_str(&reply.body);
    status
        .map(Some)
        .map_err(|error| Exit::new(exit::DATA, format!("the daemon's answer cannot be understood: {error}")))
}

fn json(value: &impl Serialize) -> Result<String, Exit> {
    serde_json::to_string_pretty(value).map_err(|error| Exit::new(exit::INTERNAL, error.to_string()))
}
