//! What the benches share: a daemon in a process of its own, what the kernel says of it, and figures beside their bars. Nothing
//! here depends on what is measured.

// Each bench is a crate of its own and needs a part of this.
#![allow(dead_code, reason = "each bench uses some of it")]

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::Settings;
use xdrelay::sandbox::world::World;

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, which is 100 on every Linux that Rust knows.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures that are to be reached, and whether they are.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    missed: bool,
}

impl Figures {
    /// A figure that is to be at least this.
    pub(crate) fn at_least(&mut self, name: &str, value: f64, bar: f64, unit: &str) {
        self.judged(name, value, unit, &format!("at least {bar}"), bar <= value);
    }

    /// A figure that is to be below this.
    pub(crate) fn below(&mut self, name: &str, value: f64, bar: f64, unit: &str) {
        self.judged(name, value, unit, &format!("below {bar}"), value < bar);
    }

    /// A figure for information.
    pub(crate) fn plain(&self, name: &str, value: f64, unit: &str) {
        row(name, value, unit, "-", "");
    }

    /// 1 where a bar was missed.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn judged(&mut self, name: &str, value: f64, unit: &str, bar: &str, reached: bool) {
        self.missed |= !reached;
        row(name, value, unit, bar, if reached { "reached" } else { "MISSED" });
    }
}

/// One line of tab-separated fields, which `./bench` puts into its table.
#[expect(clippy::print_stdout, reason = "the result of a bench")]
fn row(name: &str, value: f64, unit: &str, bar: &str, verdict: &str) {
    println!("figure\t{name}\t{value:.2}\t{unit}\t{bar}\t{verdict}");
}

/// A sandbox on a free port, with everything of this world visible.
///
/// # Errors
/// It cannot listen.
pub(crate) async fn sandbox(world: World, settings: Settings) -> io::Result<Sandbox> {
    Sandbox::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), world, settings).await
}

/// The daemon, reading a sandbox into a file. Dropped, it is killed and its directory goes.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    dir: tempfile::TempDir,
}

impl Daemon {
    /// Starts `xdrelay run` with these arguments behind it. `tenant` are further keys of the tenant, `tables` further tables.
    ///
    /// # Errors
    /// Something cannot be written or started.
    pub(crate) fn start(sandbox: &Sandbox, arguments: &[&str], tenant: &str, tables: &str) -> io::Result<Self> {
        Self::of_all(&[sandbox], arguments, tenant, tables)
    }

    /// The same with a tenant for each of these sandboxes.
    ///
    /// # Errors
    /// Something cannot be written or started.
    pub(crate) fn of_all(sandboxes: &[&Sandbox], arguments: &[&str], tenant: &str, tables: &str) -> io::Result<Self> {
        // Beside the build, not in /tmp: that may be memory, where fsync costs nothing.
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let config = dir.path().join("xdrelay.toml");
        let mut text = configuration(dir.path());
        for (number, sandbox) in sandboxes.iter().enumerate() {
            let secret = dir.path().join(format!("secret-{number}"));
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&secret)?;
            file.write_all(sandbox.secret().as_bytes())?;
            text.push_str(&tenant_table(number, &secret, sandbox, tenant));
        }
        text.push_str(tables);
        fs::write(&config, text)?;
        let child = Command::new(env!("CARGO_BIN_EXE_xdrelay"))
            .arg("run")
            .arg("-c")
            .arg(&config)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { child, dir })
    }

    /// The file that events are delivered to.
    pub(crate) fn events(&self) -> PathBuf {
        self.dir.path().join("incidents.ndjson")
    }

    /// Whether it has ended, and if so, well.
    ///
    /// # Errors
    /// The kernel does not say.
    pub(crate) fn ended(&mut self) -> io::Result<Option<bool>> {
        Ok(self.child.try_wait()?.map(|status| status.success()))
    }

    /// What the kernel says of it; none once it has ended.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let proc = Path::new("/proc").join(self.child.id().to_string());
        let status = fs::read_to_string(proc.join("status")).ok()?;
        let stat = fs::read_to_string(proc.join("stat")).ok()?;
        // The name in parentheses may hold anything; the fields behind it are numbers (proc_pid_stat(5)).
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse::<f64>().ok().map(|kibibytes| kibibytes / 1024.0)
        };
        Some(Usage {
            cpu: Duration::from_secs_f64((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND),
            resident: mebibytes("VmRSS:")?,
            resident_peak: mebibytes("VmHWM:")?,
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// On any core, in user and system mode.
    pub(crate) cpu: Duration,
    /// MiB.
    pub(crate) resident: f64,
    /// The most so far, in MiB.
    pub(crate) resident_peak: f64,
}

fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "state_dir = \"{dir}/state\"\n\
         [log]\n\
         level = \"error\"\n\
         [outbox]\n\
         min_free = \"16 MiB\"\n\
         [sinks.file]\n\
         kind = \"file\"\n\
         path = \"{dir}/incidents.ndjson\"\n"
    )
}

fn tenant_table(number: usize, secret: &Path, sandbox: &Sandbox, tenant: &str) -> String {
    let (secret, url) = (secret.display(), sandbox.url().as_str().trim_end_matches('/'));
    let (tenant_id, client_id) = (sandbox.tenant_id(), sandbox.client_id());
    format!(
        "[tenants.bench-{number}]\n\
         tenant_id = \"{tenant_id}\"\n\
         client_id = \"{client_id}\"\n\
         credential = {{ kind = \"client_secret\", file = \"{secret}\" }}\n\
         api_url = \"{url}\"\n\
         login_url = \"{url}\"\n\
         {tenant}\n"
    )
}
