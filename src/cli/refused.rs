//! `xdrelay refused`: what sinks refused for good, through the daemon where one runs, else from its store.

use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;

use crate::admin::control::{self, Control, Reply, segment};
use crate::admin::refused::{self, Act, Outcome, Refused, RefusedError, RefusedPage, SEQS_MAX, Which};
use crate::cli::exit::{self, Exit};
use crate::cli::{Files, output, state};
use crate::model::names::{Seq, SinkName};
use crate::store::Store;

/// What sinks refused for good.
#[derive(Debug, Subcommand)]
pub(crate) enum RefusedCommand {
    /// List the events that sinks refused, oldest first
    List(List),
    /// Print one refused event as JSON
    Show(Show),
    /// Hand refused events to their sink once more, behind what waits for it now
    Retry(Chosen),
    /// Forget refused events: they are not delivered
    Drop(Dropping),
}

/// List the events that sinks refused.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Of this sink only
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// For programs: one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    files: Files,
}

/// Print one refused event.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The sink
    sink: String,
    /// The event, by the number that `list` shows
    seq: u64,
    #[command(flatten)]
    files: Files,
}

/// Some refused events of a sink.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    /// The sink
    sink: String,
    /// The events, by the numbers that `list` shows
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "SEQ")]
    seqs: Vec<u64>,
    /// Everything that it refused until now
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    files: Files,
}

/// Forget refused events.
#[derive(Debug, Args)]
pub(crate) struct Dropping {
    #[command(flatten)]
    some: Chosen,
    /// Yes, all of them
    #[arg(long)]
    yes: bool,
}

/// Who is asked.
enum Source {
    Daemon(Control),
    Alone(Store),
}

impl RefusedCommand {
    pub(super) const fn files(&self) -> &Files {
        match self {
            Self::List(List { files, .. })
            | Self::Show(Show { files, .. })
            | Self::Retry(Chosen { files, .. })
            | Self::Drop(Dropping { some: Chosen { files, .. }, .. }) => files,
        }
    }

    pub(crate) async fn run(self) -> Result<(), Exit> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Retry(some) => some.run(Act::Retry).await,
            Self::Drop(Dropping { some, yes }) if some.all && !yes => Err(Exit::new(
                exit::USAGE,
                format!("everything that sink {} refused would be lost to it: add --yes", some.sink),
            )),
            Self::Drop(Dropping { some, .. }) => some.run(Act::Drop).await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Exit> {
        let source = Source::open(&self.files).await?;
        let sinks = match &self.sink {
            Some(sink) => vec![SinkName::new(sink)],
            None => source.sinks().await?,
        };
        let mut count = 0;
        for sink in sinks {
            let mut after = Seq(0);
            loop {
                let RefusedPage { refused, more } = source.list(&sink, after).await?;
                after = refused.last().map_or(after, |refused| refused.seq);
                for refused in &refused {
                    self.print(refused)?;
                    count += 1;
                }
                if !more {
                    break;
                }
            }
        }
        if count == 0 && !self.json {
            output::line("nothing is refused")?;
        }
        source.close().await
    }

    fn print(&self, refused: &Refused) -> Result<(), Exit> {
        if self.json {
            let json = serde_json::to_string(refused);
            return Ok(output::line(json.map_err(|error| Exit::new(exit::INTERNAL, error.to_string()))?)?);
        }
        let Refused { sink, seq, event_id, kind, observed_at, why, .. } = refused;
        let id = event_id.as_ref().map_or("(lost)", |id| id.as_str());
        let kind = kind.map(|kind| kind.as_str()).unwrap_or_default();
        let at = observed_at.as_deref().unwrap_or_default();
        Ok(output::line(format_args!("{sink} {seq} {id} {kind} taken in {at}: {why}"))?)
    }
}

impl Show {
    async fn run(self) -> Result<(), Exit> {
        let source = Source::open(&self.files).await?;
        output::line(source.show(&SinkName::new(self.sink), Seq(self.seq)).await?)?;
        source.close().await
    }
}

impl Chosen {
    async fn run(self, act: Act) -> Result<(), Exit> {
        let source = Source::open(&self.files).await?;
        let sink = SinkName::new(self.sink);
        let seqs = if self.all { source.all(&sink).await? } else { self.seqs.into_iter().map(Seq).collect() };
        let (mut done, mut unknown) = (0, Vec::new());
        for seqs in seqs.chunks(SEQS_MAX) {
            let outcome = source.act(&sink, act, seqs.to_vec()).await?;
            done += outcome.done.len();
            unknown.extend(outcome.unknown);
        }
        let is_alone = matches!(source, Source::Alone(_));
        source.close().await?;
        if 0 < done || unknown.is_empty() {
            output::line(match act {
                Act::Retry if is_alone => {
                    format!("{done} events wait for sink {sink} once more; they go out when the daemon runs")
                }
                Act::Retry => format!("{done} events go to sink {sink} once more"),
                Act::Drop => format!("{done} events that sink {sink} refused are forgotten"),
            })?;
        }
        // With --all, what somebody else took care of in the meantime is none of our business.
        if unknown.is_empty() || self.all {
            return Ok(());
        }
        let unknown = unknown.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let why = format!("sink {sink} has not refused {unknown}; see `xdrelay refused list --sink {sink}`");
        Err(Exit::new(exit::NO_INPUT, why))
    }
}

impl Source {
    async fn open(files: &Files) -> Result<Self, Exit> {
        let config = files.parse()?;
        match control::connect(&config.state_dir).await.map_err(unavailable)? {
            Some(daemon) => Ok(Self::Daemon(daemon)),
            None => Ok(Self::Alone(state::open(&config)?)),
        }
    }

    async fn close(self) -> Result<(), Exit> {
        match self {
            Self::Daemon(_) => Ok(()),
            Self::Alone(store) => Ok(store.close().await?),
        }
    }

    async fn sinks(&self) -> Result<Vec<SinkName>, Exit> {
        match self {
            Self::Daemon(daemon) => understood(&daemon.get("/sinks").await.map_err(unavailable)?),
            Self::Alone(store) => Ok(store.sinks()?),
        }
    }

    async fn list(&self, sink: &SinkName, after: Seq) -> Result<RefusedPage, Exit> {
        match self {
            Self::Daemon(daemon) => {
                let path = format!("/refused/{}?after={after}", segment(sink.as_str()));
                understood(&daemon.get(&path).await.map_err(unavailable)?)
            }
            Self::Alone(store) => refused::list(store, sink, after).map_err(wrong),
        }
    }

    /// The numbers of all that a sink has refused until now.
    async fn all(&self, sink: &SinkName) -> Result<Vec<Seq>, Exit> {
        let mut seqs: Vec<Seq> = Vec::new();
        loop {
            let page = self.list(sink, seqs.last().copied().unwrap_or_default()).await?;
            seqs.extend(page.refused.iter().map(|refused| refused.seq));
            if !page.more {
                return Ok(seqs);
            }
        }
    }

    async fn show(&self, sink: &SinkName, seq: Seq) -> Result<String, Exit> {
        match self {
            Self::Daemon(daemon) => {
                let path = format!("/refused/{}/{seq}", segment(sink.as_str()));
                let reply = daemon.get(&path).await.map_err(unavailable)?;
                granted(&reply)?;
                Ok(reply.body)
            }
            Self::Alone(store) => {
                Ok(String::from_utf8_lossy(&refused::show(store, sink, seq).map_err(wrong)?).into_owned())
            }
        }
    }

    async fn act(&self, sink: &SinkName, act: Act, seqs: Vec<Seq>) -> Result<Outcome, Exit> {
        match self {
            Self::Daemon(daemon) => {
                let path = format!("/refused/{}/{}", segment(sink.as_str()), act.as_str());
                understood(&daemon.post(&path, &Which { seqs }).await.map_err(unavailable)?)
            }
            Self::Alone(store) => refused::act(store, sink, act, seqs).await.map_err(wrong),
        }
    }
}

fn understood<T: DeserializeOwned>(reply: &Reply) -> Result<T, Exit> {
    granted(reply)?;
    serde_json::from_str(&reply.body)
        .map_err(|error| Exit::new(exit::UNAVAILABLE, format!("the daemon's answer cannot be understood: {error}")))
}

fn granted(reply: &Reply) -> Result<(), Exit> {
    let code = match reply.status {
        200 => return Ok(()),
        400 => exit::USAGE,
        404 => exit::NO_INPUT,
        _ => exit::UNAVAILABLE,
    };
    Err(Exit::new(code, reply.body.trim_end()))
}

fn wrong(error: RefusedError) -> Exit {
    match error {
        RefusedError::Call(why) => Exit::new(exit::USAGE, why),
        error @ RefusedError::NotRefused { .. } => Exit::new(exit::NO_INPUT, error.to_string()),
        RefusedError::Store(error) => error.into(),
    }
}

fn unavailable(why: String) -> Exit {
    Exit::new(exit::UNAVAILABLE, why)
}
