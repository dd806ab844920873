//! `xdrelay demo`: the whole thing at work against a sandbox tenant on loopback, with nothing to prepare.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::admin::board::Board;
use crate::cli::exit::{self, Exit};
use crate::cli::{log, output};
use crate::config::{self, Loaded, Log};
use crate::model::event::Kind;
use crate::model::units::Span;
use crate::run::daemon::{self, Ending, Handle, Until};
use crate::sandbox::knobs::Knobs;
use crate::sandbox::server::Sandbox;
use crate::sandbox::settings::Settings;
use crate::sandbox::world::World;

/// Between two looks at the file and the board.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Show the whole thing at work.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where the admin endpoints listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// Stop by itself after this long, such as 30s
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<Span>,
}

/// Where everything of a demo is.
struct Place {
    dir: PathBuf,
    incidents: PathBuf,
    config: PathBuf,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<(), Exit> {
        log::start(&Log { level: "warn".into(), ..Log::default() });
        let place = Place::make().map_err(|error| Exit::new(exit::IO, format!("no temporary directory: {error}")))?;
        let sandbox = sandbox().await?;
        let listen = free_address(self.listen).await;
        let config = configure(&place, &sandbox, listen)?;
        introduce(&place, &sandbox, listen)?;
        let handle = Handle::default();
        let ending = self.show(config, &place, handle).await;
        sandbox.stop().await;
        let counts = ending?;
        conclude(&place, &counts)
    }

    /// Runs the daemon and shows what arrives in its file, until the time is over or somebody stops it.
    async fn show(&self, config: config::Config, place: &Place, handle: Handle) -> Result<BTreeMap<Kind, u64>, Exit> {
        let (board, stop, gone) = (handle.board.clone(), handle.stop.clone(), handle.stop.clone());
        let ended = CancellationToken::new();
        let mut arrivals = Arrivals::new(&place.incidents);
        let daemon = async {
            let ending = daemon::run(config, Until::Stopped, handle).await;
            ended.cancel();
            ending
        };
        let watch = async {
            let over = tokio::time::sleep(self.duration.map_or(Duration::MAX, |span| span.0));
            tokio::pin!(over);
            while !ended.is_cancelled() {
                tokio::select! {
                    () = &mut over, if !stop.is_cancelled() => stop.cancel(),
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                arrivals.show()?;
                output::progress(&status_line(&board, arrivals.count()));
            }
            // What was delivered while stopping.
            arrivals.show()?;
            output::progress("");
            Ok::<_, std::io::Error>(())
        };
        // Where nobody reads what is shown any more, nobody wants the rest either.
        let watch = async { watch.await.inspect_err(|_| gone.cancel()) };
        let (ending, watched) = tokio::join!(daemon, watch);
        watched?;
        match ending? {
            Ending::Stopped | Ending::Complete | Ending::Hurried | Ending::Incomplete { .. } => Ok(arrivals.counts),
        }
    }
}

impl Place {
    fn make() -> std::io::Result<Self> {
        // It stays: somebody may want to look at what arrived.
        let dir = tempfile::Builder::new().prefix("xdrelay-demo-").tempdir()?.keep();
        Ok(Self { incidents: dir.join("incidents.ndjson"), config: dir.join("xdrelay.toml"), dir })
    }
}

async fn sandbox() -> Result<Sandbox, Exit> {
    let knobs = Knobs { seed: std::process::id().into(), ..Knobs::demo() };
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Sandbox::start(loopback, World::new(knobs), Settings::live())
        .await
        .map_err(|error| Exit::new(exit::UNAVAILABLE, format!("the sandbox cannot listen on loopback: {error}")))
}

/// The address that is wished for, or any other on loopback where somebody has it already, such as a daemon.
async fn free_address(wish: SocketAddr) -> SocketAddr {
    match tokio::net::TcpListener::bind(wish).await {
        Ok(listener) => listener.local_addr().unwrap_or(wish),
        Err(_) => {
            match tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.and_then(|other| other.local_addr()) {
                Ok(other) => other,
                Err(_) => wish,
            }
        }
    }
}

/// Writes a configuration like that of a real tenant, and loads it the way the daemon does.
fn configure(place: &Place, sandbox: &Sandbox, listen: SocketAddr) -> Result<config::Config, Exit> {
    let (dir, url) = (place.dir.display(), sandbox.url().as_str().trim_end_matches('/'));
    let (tenant_id, client_id) = (sandbox.tenant_id(), sandbox.client_id());
    let text = format!(
        "# The configuration of this demo. A real one has no api_url and no login_url.\n\
         state_dir = \"{dir}/state\"\n\n\
         [tenants.sandbox]\n\
         tenant_id = \"{tenant_id}\"\n\
         client_id = \"{client_id}\"\n\
         credential = {{ kind = \"client_secret\", file = \"{dir}/secret\" }}\n\
         api_url = \"{url}\"\n\
         login_url = \"{url}\"\n\
         start = \"55m\"\n\n\
         [outbox]\n\
         min_free = \"16 MiB\"\n\n\
         [sinks.file]\n\
         kind = \"file\"\n\
         path = \"{}\"\n\n\
         [admin]\n\
         listen = \"{listen}\"\n",
        place.incidents.display(),
    );
    let write = |path: &Path, text: &str| {
        write_privately(path, text).map_err(|error| Exit::new(exit::IO, format!("{}: {error}", path.display())))
    };
    write(&place.dir.join("secret"), &sandbox.secret())?;
    write(&place.config, &text)?;
    let loaded = config::load(std::slice::from_ref(&place.config), std::iter::empty());
    loaded.map(|Loaded { config, .. }| config).map_err(|problems| Exit::config(&problems))
}

fn write_privately(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

fn introduce(place: &Place, sandbox: &Sandbox, listen: SocketAddr) -> std::io::Result<()> {
    output::line("xdrelay demo: a sandbox tenant that lives on loopback, and the daemon that reads it.\n")?;
    output::line(format_args!("  tenant     {}api/incidents", sandbox.url()))?;
    output::line(format_args!("  incidents  {}", place.incidents.display()))?;
    output::line(format_args!("  config     {}", place.config.display()))?;
    output::line(format_args!("  look at    http://{listen}/"))?;
    output::line(format_args!("  metrics    http://{listen}/metrics  (also /status /readyz /healthz)"))?;
    output::line(format_args!("  status     xdrelay status -c {}", place.config.display()))?;
    output::line("  stop       Ctrl-C\n")
}

fn conclude(place: &Place, counts: &BTreeMap<Kind, u64>) -> Result<(), Exit> {
    let kinds = Kind::ALL.iter().filter_map(|kind| counts.get(kind).map(|count| format!("{count} {kind}")));
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    output::line(format_args!("\ndelivered {} events: {kinds}", counts.values().sum::<u64>()))?;
    output::line(format_args!("look at them in {}", place.incidents.display()))?;
    Ok(output::line("for a real tenant: `xdrelay init` asks four questions and says what to do")?)
}

fn status_line(board: &Board, delivered: u64) -> String {
    let status = board.status();
    let Some(tenant) = status.tenants.values().next() else { return String::new() };
    let error = tenant.error.as_deref().map(|why| format!("  |  {why}")).unwrap_or_default();
    let cursor = tenant.cursor.as_deref().and_then(|time| time.get(11..19)).unwrap_or("-");
    format!(
        "{delivered} delivered  |  {} calls in reserve  |  {} sweeps  |  cursor {cursor}{error}",
        tenant.quota_remaining[1], tenant.rounds
    )
}

/// What arrives in the file, read as a SIEM's agent would.
struct Arrivals {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
    counts: BTreeMap<Kind, u64>,
}

impl Arrivals {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, rest: Vec::new(), counts: BTreeMap::new() }
    }

    fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    fn show(&mut self) -> std::io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let Ok(mut file) = std::fs::File::open(&self.path) else { return Ok(()) };
        file.seek(SeekFrom::Start(self.offset))?;
        self.offset += file.read_to_end(&mut self.rest)? as u64;
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.show_one(&line)?;
        }
        Ok(())
    }

    fn show_one(&mut self, line: &[u8]) -> std::io::Result<()> {
        let Ok(Arrival { kind, changes, incident, .. }) = serde_json::from_slice(line) else {
            return output::line("a line that is no event");
        };
        *self.counts.entry(kind).or_default() += 1;
        let changes = changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let changes = if changes.is_empty() { changes } else { format!("  [{}]", harmless(&changes, 160)) };
        output::line(format_args!(
            "{:<10} {:<7} {:<13} {:>4} KiB  {}{changes}",
            kind.as_str(),
            incident.id,
            incident.severity.as_deref().unwrap_or("-"),
            line.len().div_ceil(1024),
            harmless(incident.name.as_deref().unwrap_or(""), 60),
        ))
    }
}

#[derive(serde::Deserialize)]
struct Arrival {
    kind: Kind,
    changes: Vec<crate::model::event::Change>,
    incident: Shown,
}

/// The little of an incident that a line shows.
#[derive(serde::Deserialize)]
struct Shown {
    #[serde(rename = "incidentId")]
    id: u64,
    #[serde(rename = "incidentName")]
    name: Option<String>,
    severity: Option<String>,
}

/// The first characters of a text from outside: nothing in it may steer the terminal.
fn harmless(text: &str, characters: usize) -> String {
    let printable = |c: char| if matches!(c, '"' | '\'') { c.to_string() } else { c.escape_debug().to_string() };
    text.chars().take(characters).map(printable).collect()
}
