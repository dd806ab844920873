//! `xdrelay replay`: delivers again from the source, by the daemon where one runs, so that it can give way to live reading.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::control::{self, Control};
use crate::admin::metrics::wall_clock;
use crate::admin::replay::{Blame, End, Progress, Request};
use crate::cli::exit::{self, Exit};
use crate::cli::{Files, moment, output};
use crate::config::Config;
use crate::model::names::{SinkName, TenantName};
use crate::model::timestamp::Timestamp;
use crate::run::replay;

/// Between two lines of progress where there is no terminal.
const TELL: Duration = Duration::from_secs(10);

/// Deliver again from the source what was changed in a time.
///
/// Every incident that was last changed in that time is delivered once more, as it is now and with the same event_id, also
/// where it was delivered before. Live reading goes first: a replay takes what the quota has to spare, and pauses while the
/// outbox is half full. A running daemon does it; Ctrl-C ends it.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// From when on: a time such as 2026-11-21T10:00:00Z, or a look-back such as 2h
    #[arg(long, value_name = "TIME")]
    since: String,
    /// Up to when, not included [default: up to the newest]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Of one tenant only
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// To one sink only
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Read and count, deliver nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) files: Files,
}

/// Shows progress: one line on a terminal, one every now and then elsewhere.
#[derive(Default)]
struct Show {
    last: Progress,
    told: Option<Instant>,
}

impl Replay {
    pub(crate) async fn run(self) -> Result<(), Exit> {
        let request = self.request(wall_clock())?;
        let config = self.files.parse()?;
        let daemon = control::connect(&config.state_dir).await.map_err(|why| Exit::new(exit::UNAVAILABLE, why))?;
        let is_alone = daemon.is_none();
        let mut show = Show::default();
        let end = match daemon {
            Some(daemon) => by(&daemon, &request, &mut show).await,
            None => alone(config, &request, &mut show).await,
        };
        output::progress("");
        conclude(&request, end?, &show.last, is_alone)
    }

    /// Bounds are whole seconds: the first cut down, the last one up.
    fn request(&self, now: Timestamp) -> Result<Request, Exit> {
        let since = moment::read("--since", &self.since, now)?.floor_to_second();
        let until = self.until.as_deref().map(|until| moment::read("--until", until, now)).transpose()?;
        let up = |time: Timestamp| match time.floor_to_second() {
            whole if whole == time => whole,
            whole => whole.later(Duration::from_secs(1)),
        };
        let until = until.map(up);
        if now < since {
            return Err(Exit::new(exit::USAGE, format!("--since {since} lies in the future: name a time in the past")));
        }
        if until.is_some_and(|until| until <= since) {
            return Err(Exit::new(exit::USAGE, format!("--until must be after --since, which is {since}")));
        }
        let (tenant, sink) = (self.tenant.clone().map(TenantName::new), self.sink.clone().map(SinkName::new));
        Ok(Request { since, until, tenant, sink, dry_run: self.dry_run })
    }
}

/// The daemon does it, as long as this connection lasts.
async fn by(daemon: &Control, request: &Request, show: &mut Show) -> Result<Option<End>, Exit> {
    let reply = {
        let following = daemon.follow("/replay", request, |line| {
            if let Ok(progress) = serde_json::from_slice(line) {
                show.step(progress);
            }
        });
        tokio::select! {
            reply = following => reply.map_err(|why| Exit::new(exit::UNAVAILABLE, why))?,
            _ = tokio::signal::ctrl_c() => return Ok(None),
        }
    };
    let why = reply.body.trim_end().to_owned();
    match reply.status {
        200 => show
            .last
            .end
            .clone()
            .map(Some)
            .ok_or_else(|| Exit::new(exit::UNAVAILABLE, "the daemon has gone; what was replayed stays")),
        400 => Err(Exit::new(exit::USAGE, why)),
        _ => Err(Exit::new(exit::UNAVAILABLE, why)),
    }
}

/// Without a daemon: with the same store, so that the same quota holds.
async fn alone(config: Config, request: &Request, show: &mut Show) -> Result<Option<End>, Exit> {
    let (progress, mut seen) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    let replaying = replay::alone(config, request, &progress, &stop);
    tokio::pin!(replaying);
    let end = loop {
        tokio::select! {
            end = &mut replaying => break end?,
            _ = tokio::signal::ctrl_c() => stop.cancel(),
            Ok(()) = seen.changed() => show.step(seen.borrow_and_update().clone()),
        }
    };
    show.step(seen.borrow_and_update().clone());
    match end {
        Ok(End::Stopped) => Ok(None),
        Ok(end) => Ok(Some(end)),
        Err(why) => Err(Exit::new(exit::USAGE, why)),
    }
}

/// Says on standard output what was done, and why it was not all.
fn conclude(request: &Request, end: Option<End>, last: &Progress, is_alone: bool) -> Result<(), Exit> {
    let Progress { pages, rows, incidents, events, .. } = last;
    let did = if request.dry_run { "would replay" } else { "replayed" };
    let to = request.sink.as_ref().map(|sink| format!(" to sink {sink}")).unwrap_or_default();
    let until = request.until.map_or_else(|| "now".into(), |until| until.to_string());
    output::line(format_args!(
        "{did} {events} events of {incidents} incidents{to}: {rows} rows on {pages} pages, from {} to {until}",
        request.since
    ))?;
    if is_alone && !request.dry_run && 0 < *events {
        output::line("no daemon runs: they are in the outbox and go out when it does")?;
    }
    match end {
        Some(End::Complete) => Ok(()),
        None => Err(Exit::new(exit::INTERRUPTED, "interrupted: the replay is not complete")),
        Some(End::Stopped) => Err(Exit::new(exit::UNAVAILABLE, "the daemon is stopping: the replay is not complete")),
        Some(End::Failed { blame, why }) => {
            let code = match blame {
                Blame::Source => exit::UNAVAILABLE,
                Blame::Credential => exit::CREDENTIAL,
                Blame::Store => exit::IO,
            };
            Err(Exit::new(code, format!("the replay is not complete: {why}")))
        }
    }
}

impl Show {
    fn step(&mut self, progress: Progress) {
        self.last = progress;
        if self.last.end.is_some() {
            return;
        }
        if std::io::stderr().is_terminal() {
            return output::progress(&self.line());
        }
        if self.told.is_none_or(|told| TELL <= told.elapsed()) {
            // The first line waits as well: most replays are over before it.
            if self.told.replace(Instant::now()).is_some() {
                // Where standard error is gone, the result still tells.
                let _ = writeln!(std::io::stderr(), "{}", self.line());
            }
        }
    }

    fn line(&self) -> String {
        let Progress { tenant, pages, incidents, events, waiting, .. } = &self.last;
        let tenant = tenant.as_ref().map(ToString::to_string).unwrap_or_default();
        let waiting = waiting.as_ref().map(|why| format!(", waiting: {why}")).unwrap_or_default();
        format!("replay {tenant}: {pages} pages, {incidents} incidents, {events} events{waiting}")
    }
}
