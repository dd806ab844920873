//! `xdrelay check`: everything that is wrong with the configuration at once; then each tenant and each sink for real.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::admin::control;
use crate::cli::exit::{self, Exit};
use crate::cli::{Files, output};
use crate::config::problem::{Problem, Problems};
use crate::config::{Config, Loaded};
use crate::model::names::TenantName;
use crate::run::trial::{self, SinkTrial, TenantTrial};

/// How long a running daemon may take to say how it fares.
const ALL_MAX: Duration = Duration::from_secs(180);

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
    files: Files,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    ok: bool,
    problems: Vec<Problem>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tenants: BTreeMap<TenantName, TenantTrial>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sinks: BTreeMap<crate::model::names::SinkName, SinkTrial>,
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
            let tried = tokio::time::timeout(ALL_MAX, try_all(&config, &mut findings)).await;
            tried.map_err(|_| Exit::new(exit::UNAVAILABLE, format!("no end after {} s", ALL_MAX.as_secs())))??;
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
        for (name, trial) in &findings.tenants {
            output::line(format_args!("tenant {name}"))?;
            for (what, found) in trial.lines() {
                output::line(format_args!("  {what:<12} {found}"))?;
            }
        }
        for (name, trial) in &findings.sinks {
            output::line(format_args!("sink {name}"))?;
            for (what, found) in trial.lines() {
                output::line(format_args!("  {what:<12} {found}"))?;
            }
        }
        Ok(())
    }
}

/// With a daemon running, the tenants are its business: two would share one quota.
async fn try_all(config: &Config, findings: &mut Findings) -> Result<(), Exit> {
    let running = control::ask(&config.state_dir, "/healthz").await.is_ok_and(|reply| reply.is_some());
    findings.tenants = trial::tenants(config, running).await?;
    findings.sinks = trial::sinks(config, running).await;
    Ok(())
}

fn json(value: &impl Serialize) -> Result<String, Exit> {
    serde_json::to_string_pretty(value).map_err(|error| Exit::new(exit::INTERNAL, error.to_string()))
}
