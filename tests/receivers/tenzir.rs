//! Tenzir, from the Python package of that name: a security data engine with inputs for HEC, `_bulk` and more. It runs one
//! pipeline on a free port of the loopback and writes down what it understood. A test takes this file in by
//! `#[path = "receivers/tenzir.rs"] mod tenzir;`, and `skipped.rs` beside it. No test is in here.
#![allow(dead_code, reason = "each test uses its own part")]

#[path = "python.rs"]
mod python;

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to start, or to write down what it has.
const BOUND: Duration = Duration::from_secs(180);
/// How often something is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The engine is in the package.
const PACKAGE: &str = "tenzir==6.20.0";

/// A running Tenzir. It ends with the test.
pub(crate) struct Tenzir {
    process: Child,
    received: PathBuf,
    /// Where its pipeline listens.
    pub(crate) port: u16,
}

impl Tenzir {
    /// Runs a pipeline in this directory, in which `@PORT@` stands for the port; what comes out of it is written down. `None`
    /// where it cannot be installed and this is not CI: then somebody was told.
    pub(crate) fn start(dir: &Path, pipeline: &str) -> Option<Self> {
        let interpreter = python::python("tenzir", &[PACKAGE])?;
        let program = interpreter.with_file_name("tenzir");
        // Somebody else may take the port before Tenzir does.
        (0..3).find_map(|_| Self::try_start(&program, dir, pipeline)).or_else(|| {
            let said = std::fs::read_to_string(dir.join("tenzir.log")).unwrap_or_default();
            panic!("Tenzir does not listen: {said}");
        })
    }

    fn try_start(program: &Path, dir: &Path, pipeline: &str) -> Option<Self> {
        let port = free_port();
        let received = dir.join("tenzir.ndjson");
        let create = |path: &Path| File::create(path).expect("created");
        let pipeline = pipeline.replace("@PORT@", &port.to_string());
        let process = Command::new(program)
            .arg("--bare-mode")
            .arg(format!("--state-directory={}", dir.join("tenzir-state").display()))
            .arg(format!("--cache-directory={}", dir.join("tenzir-cache").display()))
            .arg(format!("{pipeline}\nto_stdout {{ write_ndjson }}"))
            .stdin(Stdio::null())
            .stdout(create(&received))
            .stderr(create(&dir.join("tenzir.log")))
            .spawn()
            .expect("it starts");
        let mut tenzir = Self { process, received, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let has_ended = tenzir.process.try_wait().expect("its state").is_some();
            if has_ended || BOUND < start.elapsed() {
                return None;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Some(tenzir)
    }

    /// What came out of the pipeline up to now, whole lines only.
    pub(crate) fn received(&self) -> Vec<serde_json::Value> {
        let bytes = std::fs::read(&self.received).expect("readable");
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        lines.map(|line| serde_json::from_slice(line).expect("a line of JSON")).collect()
    }

    /// Waits until at least so many came out of it, and answers all of them.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<serde_json::Value> {
        let start = Instant::now();
        loop {
            let received = self.received();
            if count <= received.len() {
                return received;
            }
            assert!(start.elapsed() < BOUND, "{} of {count} came: {received:#?}", received.len());
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Outside of the ports that the kernel gives to connections.
fn free_port() -> u16 {
    std::iter::repeat_with(|| rand::random_range(20_000..32_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("the iterator has no end")
}

impl Drop for Tenzir {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
