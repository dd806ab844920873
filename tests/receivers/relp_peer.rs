//! The receiver's end of RELP, after the specification in librelp and after what librelp does: a script says what it does. Include it
//! by `#[path]`; no test is in here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long anything may take that should happen.
pub(crate) const BOUND: Duration = Duration::from_secs(90);
/// How long a look is for something that should not come.
const LOOK: Duration = Duration::from_millis(50);
/// What librelp answers to `open`.
const WELCOME: &str =
    "200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\ncommands=syslog";

/// The peer's end of a connection.
pub(crate) struct Peer {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Peer {
    /// The next connection, bounded: what broken code never makes shall not hang the test.
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        listener.set_nonblocking(true).expect("set");
        let start = Instant::now();
        loop {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).expect("set");
                stream.set_read_timeout(Some(BOUND)).expect("set");
                // What is said has arrived when it was said, and does not wait for an acknowledgement.
                stream.set_nodelay(true).expect("set");
                return Self { stream: BufReader::new(stream) };
            }
            assert!(start.elapsed() < BOUND, "nobody connects");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The next connection, signed on.
    pub(crate) fn welcome(listener: &TcpListener) -> Self {
        let mut peer = Self::accept(listener);
        let (txnr, command, data) = peer.frame();
        assert_eq!((txnr, command.as_str()), (1, "open"));
        let offers: Vec<&str> = data.lines().collect();
        assert_eq!((offers[0], offers[2]), ("relp_version=0", "commands=syslog"));
        assert!(offers[1].starts_with("relp_software=xdrelay,"), "{data}");
        peer.answer(1, WELCOME);
        peer
    }

    /// One word and the character that ends it.
    pub(crate) fn word(&mut self) -> String {
        let mut word = Vec::new();
        self.stream.read_until(b' ', &mut word).expect("a word");
        String::from_utf8(word).expect("ASCII").trim_end().to_owned()
    }

    /// Transaction, command, data. One without data is only `close`.
    pub(crate) fn frame(&mut self) -> (u32, String, String) {
        let (txnr, command) = (self.word().parse().expect("a number"), self.word());
        if command == "close" {
            let mut rest = [0; 2];
            self.stream.read_exact(&mut rest).expect("its end");
            assert_eq!(&rest, b"0\n");
            return (txnr, command, String::new());
        }
        let length: usize = self.word().parse().expect("a length");
        let mut data = vec![0; length + 1];
        self.stream.read_exact(&mut data).expect("data");
        assert_eq!(data.pop(), Some(b'\n'));
        (txnr, command, String::from_utf8(data).expect("UTF-8"))
    }

    /// The next message: its transaction, and the number of its event.
    pub(crate) fn message(&mut self) -> (u32, u64) {
        let (txnr, command, data) = self.frame();
        assert_eq!(command, "syslog");
        let number = data.split("sequence=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a number");
        (txnr, number.parse().expect("a number"))
    }

    /// So many messages: the numbers of their events.
    pub(crate) fn messages(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.message().1).collect()
    }

    pub(crate) fn answer(&mut self, txnr: u32, data: &str) {
        self.say(&format!("{txnr} rsp {} {data}\n", data.len()));
    }

    pub(crate) fn ok(&mut self, txnrs: impl IntoIterator<Item = u32>) {
        txnrs.into_iter().for_each(|txnr| self.answer(txnr, "200 OK"));
    }

    pub(crate) fn say(&mut self, words: &str) {
        self.stream.get_mut().write_all(words.as_bytes()).expect("said");
    }

    /// Whether nothing more has come, and does not come at once.
    pub(crate) fn hears_nothing(&mut self) -> bool {
        self.stream.get_ref().set_read_timeout(Some(LOOK)).expect("set");
        let quiet = self.stream.fill_buf().is_err();
        self.stream.get_ref().set_read_timeout(Some(BOUND)).expect("set");
        quiet
    }

    /// Waits until the sink has closed.
    pub(crate) fn await_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("an end");
        assert!(rest.is_empty(), "{rest:?}");
    }
}
