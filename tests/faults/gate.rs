//! What stands between the daemon and the sandbox and does what a sandbox cannot: bytes as they are, resets, silence, floods,
//! answers that were changed on their way, TLS with whatever certificate. Written for one request a connection; no test is here.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::wait_for;

/// A request larger than this is none of ours.
const REQUEST_MAX: usize = 64 * 1024;

/// What becomes of one request.
pub(crate) enum Act {
    /// The sandbox answers.
    Pass,
    /// The sandbox answers another target than was asked for.
    Ask(String),
    /// The sandbox's body, not packed, changed.
    Edit(Box<dyn FnOnce(String) -> String + Send>),
    /// These bytes, then a proper end.
    Send(Vec<u8>),
    /// These bytes, then a reset.
    Cut(Vec<u8>),
    /// These bytes one by one, with a pause before each.
    Drip(Vec<u8>, Duration),
    /// These bytes, and then the others so many times.
    Flood(Vec<u8>, Vec<u8>, usize),
    /// Nothing, until the client gives up.
    Hold,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Path and query.
    pub(crate) target: String,
    head: String,
    body: Vec<u8>,
}

impl Asked {
    /// Whether it is a call of the list API.
    pub(crate) fn is_list(&self) -> bool {
        self.target.starts_with("/api/incidents?") || self.target.starts_with("/v1.0/security/incidents?")
    }

    /// A number of the query.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?.parse().ok()
    }

    /// The target without an option of the query.
    pub(crate) fn without(&self, name: &str) -> String {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let kept: Vec<_> = query.split('&').filter(|part| !part.starts_with(&format!("{name}="))).collect();
        format!("{path}?{}", kept.join("&"))
    }

    /// Everything of it as text.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.head, String::from_utf8_lossy(&self.body))
    }
}

/// Held by each request that goes through to the sandbox.
type Passing = Arc<()>;
type Decide = Box<dyn FnMut(&Asked) -> Act + Send>;

/// The gate. It ends with the test's runtime.
pub(crate) struct Gate {
    /// Where it listens.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    sandbox: SocketAddr,
    decide: Mutex<(Decide, Passing)>,
    asked: Mutex<Vec<Asked>>,
}

impl Gate {
    /// In front of a sandbox, on a free port of loopback.
    pub(crate) async fn start(sandbox: &Sandbox, decide: impl FnMut(&Asked) -> Act + Send + 'static) -> Self {
        Self::open(sandbox, None, decide).await
    }

    /// The same behind TLS, at the name `localhost`.
    pub(crate) async fn start_tls(sandbox: &Sandbox, acceptor: TlsAcceptor) -> Self {
        Self::open(sandbox, Some(acceptor), |_| Act::Pass).await
    }

    async fn open(
        sandbox: &Sandbox,
        acceptor: Option<TlsAcceptor>,
        decide: impl FnMut(&Asked) -> Act + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, sandbox.url().port().expect("a port")));
        let shared = Arc::new(Shared {
            sandbox: upstream,
            decide: Mutex::new((Box::new(decide), Arc::default())),
            asked: Mutex::default(),
        });
        let url = match acceptor {
            None => format!("http://127.0.0.1:{port}/"),
            Some(_) => format!("https://localhost:{port}/"),
        };
        tokio::spawn(accept(listener, acceptor, shared.clone()));
        Self { url, shared }
    }

    /// From now on this decides, and what was let through before that has had its answer.
    pub(crate) fn decide(&self, decide: impl FnMut(&Asked) -> Act + Send + 'static) {
        let next: (Decide, Passing) = (Box::new(decide), Arc::default());
        let (_, before) = std::mem::replace(&mut *self.shared.decide.lock().expect("no panic"), next);
        wait_for("what was let through", || Arc::strong_count(&before) == 1);
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("no panic").clone()
    }

    /// Calls of the list API so far.
    pub(crate) fn lists(&self) -> usize {
        self.shared.asked.lock().expect("no panic").iter().filter(|asked| asked.is_list()).count()
    }
}

/// The first so many calls of the list API fare like this, all others well.
pub(crate) fn first(
    count: usize,
    mut act: impl FnMut() -> Act + Send + 'static,
) -> impl FnMut(&Asked) -> Act + Send + 'static {
    let mut left = count;
    move |asked| {
        if !asked.is_list() || left == 0 {
            return Act::Pass;
        }
        left -= 1;
        act()
    }
}

/// A 200 of JSON with this body and these headers more.
pub(crate) fn page(body: &[u8], headers: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            // A second handle of the same socket: TLS takes the first.
            let stream = stream.into_std()?;
            let twin = stream.try_clone()?;
            let stream = TcpStream::from_std(stream)?;
            match acceptor {
                None => serve(stream, twin, &shared).await,
                Some(acceptor) => serve(acceptor.accept(stream).await?, twin, &shared).await,
            }
        });
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    twin: std::net::TcpStream,
    shared: &Shared,
) -> io::Result<()> {
    let Some(asked) = read(&mut stream).await? else { return Ok(()) };
    shared.asked.lock().expect("no panic").push(asked.clone());
    let (act, passing) = {
        let (decide, passing) = &mut *shared.decide.lock().expect("no panic");
        (decide(&asked), Arc::clone(passing))
    };
    let _passing = matches!(act, Act::Pass | Act::Ask(_) | Act::Edit(_)).then_some(passing);
    match act {
        Act::Pass => stream.write_all(&shared.forward(&asked, &asked.target, true).await?).await?,
        Act::Ask(target) => stream.write_all(&shared.forward(&asked, &target, true).await?).await?,
        Act::Edit(edit) => {
            let answer = shared.forward(&asked, &asked.target, false).await?;
            stream.write_all(&edited(&answer, edit)).await?;
        }
        Act::Send(bytes) => stream.write_all(&bytes).await?,
        Act::Cut(bytes) => {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            return socket2::SockRef::from(&twin).set_linger(Some(Duration::ZERO));
        }
        Act::Drip(bytes, pause) => {
            for byte in bytes {
                tokio::time::sleep(pause).await;
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
            }
        }
        Act::Flood(head, piece, count) => {
            stream.write_all(&head).await?;
            for _ in 0..count {
                stream.write_all(&piece).await?;
            }
        }
        Act::Hold => while 0 < stream.read(&mut [0; 256]).await? {},
    }
    stream.shutdown().await
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Asked>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if REQUEST_MAX < bytes.len() || stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    while bytes.len() < end + length.unwrap_or_default().min(REQUEST_MAX) {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok(Some(Asked { target, head, body: bytes.split_off(end) }))
}

impl Shared {
    /// The sandbox's whole answer, as it comes over the wire.
    async fn forward(&self, asked: &Asked, target: &str, packed: bool) -> io::Result<Vec<u8>> {
        let line = asked.head.lines().next().unwrap_or_default();
        let mut head = format!("{}\r\nconnection: close\r\n", line.replacen(&asked.target, target, 1));
        for field in asked.head.lines().skip(1).take_while(|field| !field.is_empty()) {
            let name = field.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if name != "connection" && (packed || name != "accept-encoding") {
                head.push_str(&format!("{field}\r\n"));
            }
        }
        let mut stream = TcpStream::connect(self.sandbox).await?;
        stream.write_all(&[head.as_bytes(), b"\r\n", &asked.body].concat()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

/// The answer with another body. The sandbox's are chunked.
fn edited(answer: &[u8], edit: Box<dyn FnOnce(String) -> String + Send>) -> Vec<u8> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer") + 4;
    let head = String::from_utf8_lossy(&answer[..end - 4]).into_owned();
    let fields: Vec<_> =
        head.lines().filter(|field| !field.to_ascii_lowercase().starts_with("transfer-encoding")).collect();
    let body = edit(String::from_utf8(dechunked(&answer[end..])).expect("a text"));
    format!("{}\r\ncontent-length: {}\r\n\r\n{body}", fields.join("\r\n"), body.len()).into_bytes()
}

/// RFC 9112 section 7.1, as the sandbox writes it: no extensions, no trailers.
fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.expect("a chunk");
        if size == 0 {
            break;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
    body
}

/// Somewhere that nobody has any business to go to. It only counts who comes.
pub(crate) struct Trap {
    /// Its address.
    pub(crate) address: SocketAddr,
    visitors: Arc<AtomicUsize>,
}

impl Trap {
    /// At any port of this address.
    pub(crate) async fn at(address: impl Into<std::net::IpAddr>) -> Self {
        let listener = TcpListener::bind((address.into(), 0)).await.expect("an address of loopback");
        let address = listener.local_addr().expect("an address");
        let visitors = Arc::new(AtomicUsize::new(0));
        let count = visitors.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { address, visitors }
    }

    /// How many came.
    pub(crate) fn visitors(&self) -> usize {
        self.visitors.load(Ordering::Relaxed)
    }
}
