//! A proxy as a child process on a free port, set up by `start.py`. It ends with its handle. No test is in here.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::wait_for;
use crate::python::python;

/// What proxies the tests go through, none of them ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTTP and SOCKS5, with or without TLS.
    Pproxy,
    /// HTTP, with or without TLS.
    ProxyPy,
    /// HTTP and SOCKS5; it opens TLS.
    Mitmproxy,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Pproxy => "pproxy",
            Self::ProxyPy => "proxy_py",
            Self::Mitmproxy => "mitmproxy",
        }
    }

    /// The interpreter that has it, or nothing, and then somebody was told.
    fn interpreter(self) -> Option<PathBuf> {
        match self {
            Self::Pproxy | Self::ProxyPy => python("proxies", &["pproxy==2.7.9", "proxy.py==2.4.10"]),
            // pyperclip comes as a source only: a few lines of Python.
            Self::Mitmproxy => python("mitmproxy", &["mitmproxy==11.0.2", "--no-binary=pyperclip"]),
        }
    }
}

/// A running proxy.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) port: u16,
}

impl Proxy {
    /// Starts it and waits until it listens. `dir` is its own.
    pub(crate) fn start(kind: Kind, dir: &Path, settings: &[(&str, &str)]) -> Option<Self> {
        use std::os::unix::process::CommandExt;
        let interpreter = kind.interpreter()?;
        std::fs::create_dir_all(dir).expect("a directory");
        let (port_file, log) = (dir.join("port"), dir.join("log"));
        let log = std::fs::File::create(log).expect("a log");
        let mut child = Command::new(interpreter)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxies/start.py"))
            .args([kind.name(), port_file.to_str().expect("UTF-8")])
            .args(settings.iter().map(|(name, value)| format!("{name}={value}")))
            .env("HOME", dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            // It may have children of its own.
            .process_group(0)
            .spawn()
            .expect("it starts");
        let mut port = None;
        wait_for("the proxy to listen", || {
            let ended = child.try_wait().expect("its state");
            assert!(
                ended.is_none(),
                "{kind:?} ended: {}",
                std::fs::read_to_string(dir.join("log")).unwrap_or_default()
            );
            port = std::fs::read_to_string(&port_file).ok().and_then(|text| text.parse().ok());
            port.is_some()
        });
        std::fs::remove_file(&port_file).expect("it was there");
        Some(Self { child, port: port.expect("waited for") })
    }

    /// Where it is, for `proxy_url`.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let group = format!("kill -9 -{}", self.child.id());
        // It may have ended already.
        let _ = Command::new("sh").args(["-c", &group]).status();
        let _ = self.child.wait();
    }
}
