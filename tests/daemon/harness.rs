//! The daemon as a child process, beside a sandbox in this process. Waits for conditions, each with a bound. No test is in here.
#![allow(dead_code, reason = "each test uses its own part")]

use std::fs::{self, File};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::runtime::Handle;
use xdrelay::model::dialect::Dialect;
use xdrelay::model::event::{Change, Kind};
use xdrelay::model::incident::{Head, Header};
use xdrelay::sandbox::knobs::{Knobs, Pace};
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::{Quotas, Settings};
use xdrelay::sandbox::world::World;
use xdrelay::transport::http::{Options, client};

/// How long anything may take that should happen.
pub(crate) const BOUND: Duration = Duration::from_secs(180);
/// How often something is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is usual in a test: quick, and no quota in the way.
pub(crate) const QUICK: &str = "[poll]\ninterval = \"1s\"\nsweep_every = \"5s\"\noverlap = \"1m\"\n\n\
     [quota]\nlist_per_minute = 6000\nlist_per_hour = 360000\nget_per_minute = 6000\nget_per_hour = 360000\n\n";

/// The line that moves a tenant to Graph.
pub(crate) const GRAPH: &str = "api = \"graph\"\n";

/// A sandbox in which something happens ten times a second, with incidents of a few kilobytes and no quota.
pub(crate) async fn lively() -> Sandbox {
    sandbox(busy_and_small(), live()).await
}

/// A sandbox in which nothing happens by itself, with so many incidents of the last minutes.
pub(crate) async fn still(count: u32, settings: Settings) -> Sandbox {
    filled(sandbox(by_hand(), settings).await, count)
}

/// As [`still`] without quotas, each number another tenant than the usual one.
pub(crate) async fn another(number: u32, count: u32) -> Sandbox {
    let tenant_id = format!("5a11d0b0-7e57-4000-8000-{number:012}");
    filled(sandbox(Knobs { tenant_id, ..by_hand() }, unlimited()).await, count)
}

/// Nothing happens by itself, and what is made to happen has the time that it was given, and not now and then that of another.
fn by_hand() -> Knobs {
    Knobs { pace: Pace::default(), tie_rate: 0.0, ..small() }
}

fn filled(sandbox: Sandbox, count: u32) -> Sandbox {
    if 0 < count {
        let now = sandbox.now();
        let from = now.earlier(Duration::from_secs(300));
        let mut world = sandbox.world();
        world.create_many(count, 2_000, from, now.earlier(Duration::from_secs(10)));
        world.settle(now);
    }
    sandbox
}

/// Starts a sandbox on a free port.
pub(crate) async fn sandbox(knobs: Knobs, settings: Settings) -> Sandbox {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Sandbox::start(loopback, World::new(knobs), settings).await.expect("a free port")
}

/// Small incidents, nothing late, nothing there at the start.
pub(crate) fn small() -> Knobs {
    Knobs { seed: rand::random(), backlog: 0, size_max: 6_000, late_rate: 0.0, ..Knobs::demo() }
}

/// Ten times a second something happens to a small incident.
pub(crate) fn busy_and_small() -> Knobs {
    Knobs { pace: busy(), ..small() }
}

fn busy() -> Pace {
    let every = Duration::from_millis;
    Pace { create: every(150), update: every(200), resolve: every(900), ..Pace::default() }
}

/// Without quotas.
pub(crate) fn unlimited() -> Settings {
    Settings { quotas: Quotas::lifted(), ..Settings::default() }
}

/// Without quotas, and living by itself.
pub(crate) fn live() -> Settings {
    Settings { live: Some(Duration::from_millis(50)), ..unlimited() }
}

/// Runs a test in both dialects at once, each in a thread of its own: what blocks there blocks nobody else.
pub(crate) fn in_both_dialects<F: Future<Output = ()>>(test: impl Fn(Dialect) -> F + Sync) {
    let runtime = Handle::current();
    std::thread::scope(|scope| {
        for dialect in Dialect::ALL {
            let (runtime, test) = (runtime.clone(), &test);
            let thread = std::thread::Builder::new().name(dialect.as_str().to_owned());
            thread.spawn_scoped(scope, move || runtime.block_on(test(dialect))).expect("a thread");
        }
    });
}

/// A directory with everything of one daemon.
pub(crate) struct Place {
    dir: TempDir,
    /// In which its tenants are read.
    pub(crate) dialect: Dialect,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::speaking(Dialect::default())
    }

    pub(crate) fn speaking(dialect: Dialect) -> Self {
        Self { dir: tempfile::Builder::new().prefix("xdrelay-").tempdir().expect("a directory"), dialect }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        path
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read(self.path(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Writes the configuration: what every one has, and these tables.
    pub(crate) fn configure(&self, tables: &[&str]) -> PathBuf {
        let (state, tables) = (self.state(), tables.concat());
        let text = format!(
            "state_dir = \"{}\"\n\n[outbox]\nmin_free = \"16 MiB\"\n\n[shutdown]\ngrace = \"10s\"\n\n{tables}",
            state.display()
        );
        self.write("xdrelay.toml", &text)
    }

    /// The table of a tenant that this sandbox is, with its secret in a file.
    pub(crate) fn tenant(&self, name: &str, sandbox: &Sandbox) -> String {
        self.tenant_with(name, sandbox, &sandbox.secret())
    }

    /// The table of a tenant with another secret than it should have.
    pub(crate) fn tenant_with(&self, name: &str, sandbox: &Sandbox, secret: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let file = self.write(&format!("{name}.secret"), secret);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its own file");
        let (id, client, url) = (sandbox.tenant_id(), sandbox.client_id(), sandbox.url());
        let api = match self.dialect {
            Dialect::Defender => "",
            Dialect::Graph => GRAPH,
        };
        format!(
            "[tenants.{name}]\ntenant_id = \"{id}\"\nclient_id = \"{client}\"\n\
             credential = {{ kind = \"client_secret\", file = \"{}\" }}\n\
             api_url = \"{url}\"\nlogin_url = \"{url}\"\nstart = \"20m\"\n{api}\n",
            file.display(),
        )
    }

    /// The table of a tenant that this sandbox is, behind other addresses than its own.
    pub(crate) fn tenant_behind(&self, name: &str, sandbox: &Sandbox, api_url: &str, login_url: &str) -> String {
        let url = |key: &str, url: &str| format!("{key} = \"{url}\"");
        let own = sandbox.url().to_string();
        let table = self.tenant(name, sandbox);
        table
            .replace(&url("api_url", &own), &url("api_url", api_url))
            .replace(&url("login_url", &own), &url("login_url", login_url))
    }

    /// The table of a file sink that writes `NAME.ndjson`.
    pub(crate) fn file_sink(&self, name: &str) -> String {
        format!("[sinks.{name}]\nkind = \"file\"\npath = \"{}\"\n\n", self.path(&format!("{name}.ndjson")).display())
    }

    /// What has arrived in `NAME.ndjson`: whole lines only, a torn one at the end is not there yet.
    pub(crate) fn arrivals(&self, name: &str) -> Vec<Arrival> {
        arrivals(&self.path(&format!("{name}.ndjson")))
    }

    /// Runs the program to its end.
    pub(crate) fn invoke(&self, arguments: &[&str]) -> Outcome {
        self.invoke_in(arguments, &[])
    }

    /// As [`invoke`](Self::invoke), with more in its environment.
    pub(crate) fn invoke_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
        let mut command = command(arguments);
        command.envs(environment.iter().copied());
        Running::start(command).outcome()
    }

    /// Runs one of its commands with its configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Outcome {
        self.command_in(arguments, &[])
    }

    /// As [`command`](Self::command), with more in its environment.
    pub(crate) fn command_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
        let config = self.path("xdrelay.toml").display().to_string();
        self.invoke_in(&[arguments, &["-c", &config]].concat(), environment)
    }

    /// Starts one of its commands and leaves it running.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        let config = self.path("xdrelay.toml").display().to_string();
        Running::start(command(&[arguments, &["-c", &config]].concat()))
    }

    /// Every byte below the state directory.
    pub(crate) fn state_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut left = vec![self.state()];
        while let Some(path) = left.pop() {
            match fs::read_dir(&path) {
                Ok(entries) => left.extend(entries.map(|entry| entry.expect("an entry").path())),
                // A socket is no file to be read.
                Err(_) => bytes.extend(fs::read(&path).unwrap_or_default()),
            }
        }
        bytes
    }
}

/// A command that runs. It is killed where a test forgets it.
pub(crate) struct Running {
    child: Child,
    out: File,
    err: File,
}

impl Running {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Self {
        let (out, err) = (tempfile::tempfile().expect("a file"), tempfile::tempfile().expect("a file"));
        let copy = |file: &File| file.try_clone().expect("a handle");
        let child = command.stdout(copy(&out)).stderr(copy(&err)).spawn().expect("it starts");
        Self { child, out, err }
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&mut self, name: &str) {
        let told = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(told.expect("a shell").success());
    }

    /// Waits for its end.
    pub(crate) fn outcome(mut self) -> Outcome {
        let code = ended(&mut self.child, "the command");
        let copy = |file: &File| file.try_clone().expect("a handle");
        Outcome { code, out: whole(copy(&self.out)), err: whole(copy(&self.err)) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    /// It ended with this code and said all of these words, on either output.
    pub(crate) fn expect(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "{word:?} is not in {self:#?}");
        }
        self
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A running daemon. It is killed where a test forgets it.
pub(crate) struct Daemon {
    child: Child,
    state: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it can be asked.
    pub(crate) fn start(place: &Place) -> Self {
        let mut daemon = Self::launch(place);
        daemon.wait_until_it_runs();
        daemon
    }

    /// Waits until it can be asked.
    pub(crate) fn wait_until_it_runs(&mut self) {
        wait_for("the daemon to run", || {
            if let Some(status) = self.child.try_wait().expect("its state") {
                panic!("it ended with {status}: {}", self.log());
            }
            UnixStream::connect(self.state.join("control.sock")).is_ok()
        });
    }

    /// Starts it and waits for nothing. What it says is kept in `daemon.log`, one start behind the other.
    pub(crate) fn launch(place: &Place) -> Self {
        Self::launch_in(place, &[])
    }

    /// As [`launch`](Self::launch), with more in its environment.
    pub(crate) fn launch_in(place: &Place, environment: &[(&str, &str)]) -> Self {
        let file = File::options().create(true).append(true).open(place.path("daemon.log")).expect("a log");
        Self::launch_to(place, environment, file.into())
    }

    /// As [`launch_in`](Self::launch_in), with its standard error elsewhere.
    pub(crate) fn launch_to(place: &Place, environment: &[(&str, &str)], error: Stdio) -> Self {
        let log = place.path("daemon.log");
        let file = File::options().create(true).append(true).open(&log).expect("a log");
        let config = place.path("xdrelay.toml").display().to_string();
        let child = command(&["run", "-c", &config])
            .envs(environment.iter().copied())
            .stdout(file)
            .stderr(error)
            .spawn()
            .expect("it starts");
        Self { child, state: place.state(), log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever held at once, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }

    /// What it and the ones before it said.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Where its admin endpoints listen, as its log says.
    pub(crate) fn origin(&self) -> String {
        let mut address = None;
        wait_for("the address", || {
            address = self.log().lines().find_map(|line| {
                let rest = line.split_once("admin endpoints")?.1;
                Some(rest.split_once("address=")?.1.split_whitespace().next()?.to_owned())
            });
            address.is_some()
        });
        format!("http://{}", address.expect("just seen"))
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let told = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(told.expect("a shell").success());
    }

    /// Sends a signal and waits for the end. Returns the exit code.
    pub(crate) fn stop(mut self, signal: &str) -> i32 {
        self.signal(signal);
        ended(&mut self.child, "the daemon")
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a signal");
        self.child.wait().expect("its end");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An event as a receiver reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct Arrival {
    pub(crate) event_id: String,
    pub(crate) kind: Kind,
    pub(crate) tenant: String,
    pub(crate) sequence: u64,
    #[serde(default)]
    pub(crate) changes: Vec<Change>,
    pub(crate) incident: Box<RawValue>,
}

impl Arrival {
    /// Id and time of the incident.
    pub(crate) fn header(&self) -> Header {
        match Head::read(self.incident.get()) {
            Head::Usual(header) => header,
            Head::Odd { why, .. } => panic!("{why}: {}", self.incident),
        }
    }
}

/// The whole lines of a file; one that is no event fails.
pub(crate) fn arrivals(path: &Path) -> Vec<Arrival> {
    let bytes = fs::read(path).unwrap_or_default();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let read = |line| serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", text(line)));
    lines.map(read).collect()
}

/// The file ends with a whole line.
pub(crate) fn assert_whole_lines(path: &Path) {
    let bytes = fs::read(path).expect("a file");
    assert_eq!(bytes.last(), Some(&b'\n'), "{} ends in the middle of a line", path.display());
    arrivals(path);
}

/// None of these words is in there.
pub(crate) fn assert_without<'a>(words: impl IntoIterator<Item = &'a str>, place: &str, bytes: &[u8]) {
    for word in words {
        let found = bytes.windows(word.len()).position(|window| window == word.as_bytes());
        let around = |at: usize| text(&bytes[at.saturating_sub(200)..(at + 100).min(bytes.len())]);
        assert!(found.is_none(), "{word} is in {place}: {}", found.map(around).unwrap_or_default());
    }
}

/// Waits until the condition is true, and fails with `what` after [`BOUND`].
pub(crate) fn wait_for(what: &str, is_true: impl FnMut() -> bool) {
    wait_within(BOUND, what, is_true);
}

/// The same for what takes its time by chance.
pub(crate) fn wait_within(bound: Duration, what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < bound, "waited {bound:?} in vain for {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A client of what listens on loopback.
pub(crate) fn web() -> reqwest::Client {
    client(&Options { timeout: Duration::from_secs(20), loopback: true, ..Options::default() }).expect("a client")
}

/// A port of loopback that nobody listens on, kept for as long as the test's process lives: nobody else is given it, and who asks
/// for it by its number may listen there.
pub(crate) fn closed_port() -> u16 {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("set");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    let port = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address").port();
    std::mem::forget(socket);
    port
}

/// A duration from the environment, such as `2m`.
pub(crate) fn duration(variable: &str, otherwise: Duration) -> Duration {
    std::env::var(variable).map_or(otherwise, |text| humantime::parse_duration(&text).expect("a duration with a unit"))
}

fn command(arguments: &[&str]) -> Command {
    let mut command = alone(env!("CARGO_BIN_EXE_xdrelay").as_ref());
    command.args(arguments);
    command
}

/// A program without what this environment would tell xdrelay.
pub(crate) fn alone(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let is_of_platform = ["AZURE_", "IDENTITY_", "IMDS_"].iter().any(|start| name.starts_with(start));
        if is_of_platform
            || name.starts_with("XDRELAY")
            || name.to_ascii_lowercase().ends_with("_proxy")
            || name == "RUST_LOG"
        {
            command.env_remove(name);
        }
    }
    command
}

/// Waits for the end of a process. Its exit code; the number of the signal, negative, where one ended it.
fn ended(child: &mut Child, what: &str) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("its state") {
            return status.code().unwrap_or_else(|| -status.signal().expect("a code or a signal"));
        }
        if BOUND < start.elapsed() {
            child.kill().expect("a signal");
            panic!("{what} did not end within {BOUND:?}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn whole(mut file: File) -> String {
    use std::io::{Read, Seek};
    file.rewind().expect("a file");
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("read");
    text(&bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
