//! Loops that hang while others go on: systemd's watchdog is fed no more, and again once they come round.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::clock::library;
use crate::harness::{BOUND, Daemon, Place, QUICK, closed_port, lively, wait_for, web};
use crate::skipped::skipped;

/// Longer than a loop may be silent, in seconds.
const SILENCE: u64 = 400;

/// What systemd would have heard. Its socket holds few words, and who says more than fit has to wait.
struct Ear(Arc<Mutex<Vec<String>>>);

impl Ear {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let words = heard.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length) = socket.recv(&mut bytes) {
                words.lock().expect("no panic").push(String::from_utf8_lossy(&bytes[..length]).trim().to_owned());
            }
        });
        Self(heard)
    }

    /// Everything since this was last asked.
    fn words(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }

    fn hears_food(&self) -> bool {
        self.words().iter().any(|word| word == "WATCHDOG=1")
    }
}

/// Holds one thread of a process at its next system call, for as long as this lives.
struct Hold(Child);

impl Hold {
    /// None where this user may not do so, which is said.
    fn on(process: u32, thread: &str) -> Option<Self> {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
        let mut tasks = tasks.map(|task| task.expect("a thread").path());
        let is_meant =
            |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == thread);
        let task = tasks.find(is_meant).expect("the thread");
        let id = task.file_name().and_then(|id| id.to_str()).expect("a number").to_owned();
        let delay = "inject=all:delay_enter=1000000000";
        let strace = Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "-e", delay, "-p", &id])
            .stderr(Stdio::null())
            .spawn();
        let mut held = strace.ok().map(Self);
        wait_for("the thread to be held, or a refusal", || {
            let is_refused = held.as_mut().is_none_or(|Self(strace)| strace.try_wait().expect("its state").is_some());
            if is_refused {
                held = None;
            }
            is_refused || is_held(&task)
        });
        held.or_else(|| skipped("nobody holds a thread; it takes strace and the right to trace"))
    }
}

/// Whether its tracer has it, and it has come to a system call.
fn is_held(task: &Path) -> bool {
    let about = fs::read_to_string(task.join("status")).expect("a thread");
    let says = |name: &str| about.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    says("TracerPid:") != "0" && says("State:").starts_with('t')
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Without its tracer the thread goes on.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The loops that the daemon takes for stuck. A connection that was open while the clock jumped is ended by it, and asked again.
async fn stuck(client: &reqwest::Client, origin: &str) -> Vec<String> {
    let start = Instant::now();
    let text = loop {
        let answer = async { client.get(format!("{origin}/healthz")).send().await?.text().await };
        match answer.await {
            Ok(text) => break text,
            Err(error) => assert!(start.elapsed() < BOUND, "no answer: {error}"),
        }
    };
    let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    serde_json::from_value(body["stuck"].clone()).expect("names")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_fed_only_while_every_loop_makes_progress() {
    let Some(library) = library() else { return };
    let (place, sandbox) = (Place::new(), lively().await);
    // One that is tried again and again, and never has anything to write down.
    let away = format!("[sinks.away]\nkind = \"syslog\"\naddress = \"tcp://127.0.0.1:{}\"\n\n", closed_port());
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n\n";
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), &away, admin]);
    let ear = Ear::at(&place.path("notify"));
    let socket = place.path("notify").display().to_string();
    let clock = place.write("clock", "+0").display().to_string();
    let environment = [
        ("NOTIFY_SOCKET", socket.as_str()),
        ("WATCHDOG_USEC", "300000"),
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", &clock),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DONT_RESET", "1"),
    ];
    let mut daemon = Daemon::launch_in(&place, &environment);
    daemon.wait_until_it_runs();
    wait_for("events", || 10 <= place.arrivals("file").len());
    wait_for("the watchdog to be fed", || ear.hears_food());
    let (origin, client) = (daemon.origin(), web());

    // As with a disk that hangs: who waits for the ledger waits for ever.
    let Some(hold) = Hold::on(daemon.id(), "store") else { return };
    let mut ahead = 0;
    // Monotonic time too. All but the loops that hang come round at once.
    let mut set_ahead = |seconds: u64| {
        ahead += seconds;
        let next = place.write("next", &format!("+{ahead}"));
        fs::rename(next, &clock).expect("renamed");
    };
    let hangs = |stuck: &[String]| stuck.iter().any(|name| name.starts_with("tenant contoso "));
    let tries = || place.command(&["status", "--json"]).json()["sinks"]["away"]["failures"].as_u64().unwrap_or(0);
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < BOUND * 2, "the watchdog is fed, or nothing hangs: {}", daemon.log());
        let before = stuck(&client, &origin).await;
        if before.is_empty() {
            set_ahead(SILENCE);
        }
        if hangs(&before) && !before.contains(&"sink away".to_owned()) {
            let failures = tries();
            ear.words();
            wait_for("the others to go on", || {
                // Pauses between tries become longer and longer.
                set_ahead(10);
                failures + 3 <= tries()
            });
            // A loop that was only late when the clock jumped has come round meanwhile.
            if !ear.hears_food() && hangs(&stuck(&client, &origin).await) {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    drop(hold);
    wait_for("the watchdog to be fed again", || ear.hears_food());
    let events = place.arrivals("file").len();
    wait_for("events", || events < place.arrivals("file").len());
    assert_eq!(stuck(&client, &origin).await, [""; 0]);
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
}
