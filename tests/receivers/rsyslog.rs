//! rsyslog, from Debian's packages `rsyslog`, `rsyslog-gnutls` and `rsyslog-relp`: UDP, TCP and mutual TLS, and on request
//! RELP with and without mutual TLS, on free ports of the loopback. It parses each message itself and writes down what it understood. A test takes
//! this file in by `#[path = "receivers/rsyslog.rs"] mod rsyslog;`, and `skipped.rs` beside it.
#![allow(dead_code, reason = "each test uses its own part")]

#[path = "pki.rs"]
pub(crate) mod pki;

use std::io::{Read, Seek, SeekFrom};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pki::Pki;
use serde::Deserialize;

use crate::skipped::skipped;

/// How long anything may take that should happen.
pub(crate) const BOUND: Duration = Duration::from_secs(90);

/// The longest message it takes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// How each of its lines begins. Inside of a line its quotes are escaped.
const FIRST_PROPERTY: &str = "{\"pri\":\"";

/// What it has read it writes before it reads on.
const DIRECT: &str = "main_queue(queue.type=\"Direct\")\n";

/// A running rsyslog, or one that was stopped and can run again on the same ports.
pub(crate) struct Rsyslog {
    dir: PathBuf,
    process: Option<Child>,
    /// The UDP port.
    pub(crate) udp: u16,
    /// The TCP port; newlines and octet counting, told apart by the first character of each message.
    pub(crate) tcp: u16,
    /// The TLS port; wants a client certificate of the authority.
    pub(crate) tls: u16,
    /// RELP: the port in the clear, and the one with TLS, which wants a client certificate of the authority.
    pub(crate) relp: Option<(u16, u16)>,
    /// Its certificates, and those for its clients.
    pub(crate) pki: Pki,
}

/// A message as rsyslog understood it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Parsed {
    /// The facility times eight plus the severity, in digits.
    pub(crate) pri: String,
    /// `1` for RFC 5424.
    pub(crate) protocol: String,
    /// TIMESTAMP.
    pub(crate) ts: String,
    /// HOSTNAME.
    pub(crate) host: String,
    /// APP-NAME.
    pub(crate) app: String,
    /// PROCID.
    pub(crate) procid: String,
    /// MSGID.
    pub(crate) msgid: String,
    /// STRUCTURED-DATA as it stood there.
    pub(crate) sd: String,
    /// MSG.
    pub(crate) msg: String,
}

impl Rsyslog {
    /// Starts one in this directory. `None` where it is not installed and this is not CI: then the test says so and ends.
    pub(crate) fn start(dir: &Path) -> Option<Self> {
        Self::start_with(dir, "", false)
    }

    /// As [`start`](Self::start), and what it has read is written before it reads on: no queue in memory that a kill would
    /// empty. What it has not read is in the kernel's buffer of the connection.
    pub(crate) fn start_direct(dir: &Path) -> Option<Self> {
        Self::start_with(dir, DIRECT, false)
    }

    /// As [`start_direct`](Self::start_direct), with RELP: what it has answered it has written.
    pub(crate) fn start_relp(dir: &Path) -> Option<Self> {
        Self::start_with(dir, DIRECT, true)
    }

    fn start_with(dir: &Path, queue: &str, has_relp: bool) -> Option<Self> {
        if program().is_none() {
            return skipped("rsyslogd is missing: apt-get install rsyslog rsyslog-gnutls");
        }
        if has_relp && !has_module("imrelp.so") {
            return skipped("imrelp of rsyslog is missing: apt-get install rsyslog-relp");
        }
        std::fs::create_dir_all(dir.join("work")).expect("a directory");
        let [udp, tcp, tls, plain, secured] = free_ports();
        let pki = Pki::new(&dir.join("pki"));
        let relp = has_relp.then_some((plain, secured));
        let more = relp.map(|ports| relp_inputs(&pki, ports)).unwrap_or_default();
        let text = config(dir, &pki, [udp, tcp, tls], queue) + &more;
        std::fs::write(dir.join("rsyslog.conf"), text).expect("written");
        let mut receiver = Self { dir: dir.to_owned(), process: None, udp, tcp, tls, relp, pki };
        receiver.restart();
        Some(receiver)
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill`](Self::kill), on the same ports and with the same files.
    pub(crate) fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let log =
            std::fs::File::options().create(true).append(true).open(self.dir.join("rsyslogd.log")).expect("a log");
        let process = Command::new(program().expect("found at the start"))
            .args(["-n", "-f"])
            .arg(self.dir.join("rsyslog.conf"))
            .arg("-i")
            .arg(self.dir.join("rsyslogd.pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("rsyslogd starts");
        self.process = Some(process);
        let relp = self.relp.map(|(plain, secured)| [plain, secured]);
        let ports: Vec<u16> = [self.tcp, self.tls].into_iter().chain(relp.into_iter().flatten()).collect();
        let listens = comes_true(|| ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()));
        assert!(listens, "rsyslogd does not listen; is rsyslog-gnutls installed? its log: {}", self.log());
    }

    /// Ends it in good order: SIGTERM, and waits.
    pub(crate) fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let told = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", process.id())).status();
        assert!(told.expect("a shell").success());
        assert!(comes_true(|| process.try_wait().expect("its state").is_some()), "rsyslogd does not end");
    }

    /// Kills it at once, with whatever it had in memory: SIGKILL, and waits.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("a signal");
        process.wait().expect("its end");
    }

    /// Everything it has written down up to now, whole lines only, in its order.
    pub(crate) fn received(&self) -> Vec<Parsed> {
        self.received_from(&mut 0)
    }

    /// What it has written down behind this byte of its file, whole lines only; moves the byte on.
    pub(crate) fn received_from(&self, byte: &mut u64) -> Vec<Parsed> {
        let mut bytes = Vec::new();
        let Ok(mut file) = std::fs::File::open(self.written()) else { return Vec::new() };
        file.seek(SeekFrom::Start(*byte)).and_then(|_| file.read_to_end(&mut bytes)).expect("a file of ours");
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        *byte += whole as u64;
        bytes[..whole].split_inclusive(|byte| *byte == b'\n').filter_map(parsed).collect()
    }

    /// Bytes that it has written down up to now.
    pub(crate) fn received_bytes(&self) -> u64 {
        std::fs::metadata(self.written()).map_or(0, |metadata| metadata.len())
    }

    fn written(&self) -> PathBuf {
        self.dir.join("received.ndjson")
    }

    /// Waits until it has written down at least so many messages, and hands them out.
    pub(crate) fn wait_for_received(&self, count: usize) -> Vec<Parsed> {
        let mut received = Vec::new();
        let came = comes_true(|| {
            received = self.received();
            count <= received.len()
        });
        assert!(came, "{} of {count} messages came; its log: {}", received.len(), self.log());
        received
    }

    /// What it says of itself.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("rsyslogd.log")).unwrap_or_default()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}

/// One line. A kill in the middle of a write leaves half a line, perhaps half a character, with the next line behind it: then
/// the next one counts.
fn parsed(line: &[u8]) -> Option<Parsed> {
    let first = FIRST_PROPERTY.as_bytes();
    let again = || {
        let at = line.windows(first.len()).rposition(|part| part == first)?;
        serde_json::from_slice(&line[at..]).ok()
    };
    serde_json::from_slice(line).ok().or_else(again)
}

/// Whether a module is where Debian (`/usr/lib/ARCHITECTURE`) and others (`/usr/lib64`) put it.
fn has_module(name: &str) -> bool {
    let architectures = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let places = architectures.chain(["/usr/lib".into(), "/usr/lib64".into()]);
    places.into_iter().any(|place: PathBuf| place.join("rsyslog").join(name).exists())
}

/// Waits until the condition is true, looking again every few milliseconds; false when [`BOUND`] is over.
pub(crate) fn comes_true(mut is_true: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !is_true() {
        if BOUND < start.elapsed() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// The program, where it is; Debian keeps it out of the search path of ordinary users.
fn program() -> Option<&'static str> {
    let runs = |program: &&str| Command::new(program).arg("-v").stdout(Stdio::null()).status().is_ok();
    ["rsyslogd", "/usr/sbin/rsyslogd"].into_iter().find(runs)
}

/// Ports that are free now, below those that the system gives to outgoing connections, so that they are free again for a
/// restart.
fn free_ports() -> [u16; 5] {
    let held: [(UdpSocket, TcpListener); 5] = std::array::from_fn(|_| {
        std::iter::repeat_with(|| ("127.0.0.1", rand::random_range(20_000..32_000)))
            .find_map(|address| Some((UdpSocket::bind(address).ok()?, TcpListener::bind(address).ok()?)))
            .expect("the iterator has no end")
    });
    held.map(|(_, listener)| listener.local_addr().expect("a bound socket").port())
}

fn config(dir: &Path, pki: &Pki, [udp, tcp, tls]: [u16; 3], queue: &str) -> String {
    let dir = dir.display();
    let (ca, server, key) = (pki.ca.display(), pki.server.0.display(), pki.server.1.display());
    let property = |name: &str, property: &str, more: &str| {
        format!("  property(outname=\"{name}\" name=\"{property}\" {more} format=\"jsonf\")\n")
    };
    let properties = [
        property("pri", "pri", ""),
        property("protocol", "protocol-version", ""),
        property("ts", "timereported", "dateformat=\"rfc3339\""),
        property("host", "hostname", ""),
        property("app", "app-name", ""),
        property("procid", "procid", ""),
        property("msgid", "msgid", ""),
        property("sd", "structured-data", ""),
        property("msg", "msg", ""),
    ]
    .concat();
    format!(
        r#"global(workDirectory="{dir}/work" maxMessageSize="{MESSAGE_BYTES_MAX}" preserveFQDN="on"
       defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{ca}"
       defaultNetstreamDriverCertFile="{server}" defaultNetstreamDriverKeyFile="{key}"
       parser.escapeControlCharactersOnReceive="off")
{queue}module(load="imudp")
module(load="imtcp" maxSessions="200")
template(name="parsed" type="list" option.jsonf="on") {{
{properties}}}
ruleset(name="all") {{
  action(type="omfile" file="{dir}/received.ndjson" template="parsed" asyncWriting="off" flushOnTXEnd="on")
}}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="all")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="all")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="all"
      streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
"#
    )
}

/// What stands behind that for RELP. Its messages are those of the ruleset `all`, and as long as those of the others.
fn relp_inputs(pki: &Pki, (plain, secured): (u16, u16)) -> String {
    let (ca, server, key) = (pki.ca.display(), pki.server.0.display(), pki.server.1.display());
    format!(
        r#"module(load="imrelp")
input(type="imrelp" address="127.0.0.1" port="{plain}" ruleset="all" maxDataSize="{MESSAGE_BYTES_MAX}")
input(type="imrelp" address="127.0.0.1" port="{secured}" ruleset="all" maxDataSize="{MESSAGE_BYTES_MAX}"
      tls="on" tls.caCert="{ca}" tls.myCert="{server}" tls.myPrivKey="{key}" tls.authMode="certvalid")
"#
    )
}
