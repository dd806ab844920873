//! A TCP or TLS connection that tells what became of it: whether the peer has gone, how much has not left yet, whether a
//! close was clean. One that is only written to, or one with a peer that answers. Never connects again by itself, and takes
//! nothing written for received.

pub(in crate::transport) mod connect;
pub(in crate::transport) mod words;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{sleep, timeout};

use crate::transport::stream::connect::{prepare, reach, sign_on};
use crate::transport::stream::words::{broke, closed, explained, unclear};
use crate::transport::tls;

/// Resolving a name, connecting to one address, the TLS handshake: each may take this long.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// One chunk of a write may take this long. It is the chunk and not the whole, so that a slow receiver gets on.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of one chunk.
const CHUNK_SIZE: usize = 64 * 1024;
/// A clean close may take this long.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a close looks whether the peer's kernel has everything.
const CLOSE_LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long to look for the peer's words (a TLS alert) after a write failed.
const REASON_TIMEOUT: Duration = Duration::from_millis(200);
/// Bytes that are read at once from a peer that answers.
const HEARD_AT_ONCE: usize = 16 * 1024;
/// What a peer that should only listen may say during one connection.
const CHATTER_BYTES_MAX: usize = 1024 * 1024;
/// How far the kernel may exceed its send buffer: one segment before segmentation offload, with much to spare.
const SEND_BUFFER_EXCESS_BYTES: usize = 1024 * 1024;

/// Where to connect to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// A name or an address, IPv6 without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// TLS; none: plain TCP. Its files are read anew for each connection, so that renewed certificates count.
    pub tls: Option<&'a tls::Config>,
    /// A peer that takes nothing for two thirds of this, or whose host is silent, is gone (TCP_USER_TIMEOUT, keep-alive).
    pub dead_after: Duration,
}

/// Why there is no connection, or none any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The network, or the peer went away: a new connection may help.
    #[error("{0}")]
    Broken(String),
    /// Certificates or settings, on either side: somebody has to do something.
    #[error("{0}")]
    Untrusted(String),
}

/// A connection.
pub struct Stream {
    wire: Box<dyn Wire>,
    /// The same socket by a second descriptor: the kernel's own word on it, whatever the runtime has noticed so far.
    socket: Socket,
    /// Its name in messages.
    peer: String,
    chatter_bytes: usize,
    /// When the TLS handshake was over, where there was one.
    signed_on: Option<Instant>,
}

/// Bytes both ways, TLS or not.
pub trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Wire for T {}

impl Stream {
    /// Connects to the first address of the name that answers, and signs on to TLS. Bounded by seconds.
    ///
    /// # Errors
    /// See [`StreamError`]. TLS 1.3 tells a client whose certificate is missing only after the handshake: that comes from
    /// [`check`](Self::check) or [`write`](Self::write).
    pub async fn connect(target: Target<'_>) -> Result<Self, StreamError> {
        let peer = format!("{}:{}", target.host, target.port);
        let broken = |why: String| StreamError::Broken(format!("{peer} cannot be reached: {why}"));
        let tcp = reach(target).await.map_err(broken)?;
        let socket = prepare(&tcp, target.dead_after).map_err(|error| broken(error.to_string()))?;
        let wire: Box<dyn Wire> = match target.tls {
            None => Box::new(tcp),
            Some(config) => Box::new(sign_on(tcp, target.host, config, &peer).await?),
        };
        let signed_on = target.tls.map(|_| Instant::now());
        Ok(Self { wire, socket, peer, chatter_bytes: 0, signed_on })
    }

    /// The connection itself, for a protocol in which the peer answers.
    pub fn into_wire(self) -> Box<dyn Wire> {
        self.wire
    }

    /// Whether the peer is still there, by everything that has arrived up to now. Waits for nothing else.
    ///
    /// # Errors
    /// The peer closed, reset, was given up by the kernel, or said why it does not want us.
    pub async fn check(&mut self) -> Result<(), StreamError> {
        let Self { wire, socket, peer, chatter_bytes, signed_on } = self;
        let arrived = arrived(wire, socket, |read| {
            take(read.map(<[u8]>::len), chatter_bytes, peer)?;
            Ok(true)
        });
        timeout(STEP_TIMEOUT, arrived)
            .await
            .unwrap_or_else(|_| Err(unclear(peer)))
            .map_err(|error| explained(error, *signed_on))
    }

    /// As [`check`](Self::check) with a peer that answers: adds to `heard` what has arrived up to now, or the first part of
    /// it, 16 KiB at least. Waits for nothing else.
    ///
    /// # Errors
    /// As [`check`](Self::check); `heard` then has what came before that.
    pub async fn hear(&mut self, heard: &mut BytesMut) -> Result<(), StreamError> {
        let Self { wire, socket, peer, signed_on, .. } = self;
        let before = heard.len();
        let arrived = arrived(wire, socket, |read| {
            heard.extend_from_slice(said(read, peer)?);
            Ok(heard.len() - before < HEARD_AT_ONCE)
        });
        timeout(STEP_TIMEOUT, arrived)
            .await
            .unwrap_or_else(|_| Err(unclear(peer)))
            .map_err(|error| explained(error, *signed_on))
    }

    /// Talks both ways until anything moved: the kernel takes from the front of `unsent` what it has room for, and what the
    /// peer says is added to `heard`, 16 KiB at most. So neither side waits with full buffers for the other. Waits as long as
    /// the caller lets it; dropping the future loses nothing.
    ///
    /// # Errors
    /// The peer closed or the connection broke.
    pub async fn exchange(&mut self, unsent: &mut BytesMut, heard: &mut BytesMut) -> Result<(), StreamError> {
        let Self { wire, peer, signed_on, .. } = self;
        let moved = poll_fn(|context| {
            let mut bytes = [0; HEARD_AT_ONCE];
            let mut buffer = ReadBuf::new(&mut bytes);
            let mut has_moved = false;
            // First, so that the last words of a peer are heard even where nothing can be written any more.
            if let Poll::Ready(read) = Pin::new(&mut *wire).poll_read(context, &mut buffer) {
                heard.extend_from_slice(said(read.map(|()| buffer.filled()), peer)?);
                has_moved = true;
            } else if !unsent.is_empty()
                && let Poll::Ready(written) = Pin::new(&mut *wire).poll_write(context, unsent)
            {
                unsent.advance(written.map_err(|error| broke(peer, &error))?);
                has_moved = true;
            }
            if unsent.is_empty()
                && let Poll::Ready(flushed) = Pin::new(&mut *wire).poll_flush(context)
            {
                flushed.map_err(|error| broke(peer, &error))?;
            }
            if has_moved { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        moved.await.map_err(|error| explained(error, *signed_on))
    }

    /// Writes all bytes to the kernel, with an eye on what the peer says meanwhile.
    ///
    /// # Errors
    /// As [`check`](Self::check), or the peer takes nothing. How many bytes it got is unknown then.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let Self { wire, peer, chatter_bytes, signed_on, .. } = self;
        let (mut reader, mut writer) = tokio::io::split(wire);
        let mut gone = std::pin::pin!(watch(&mut reader, chatter_bytes, peer));
        let written = tokio::select! {
            biased;
            error = &mut gone => return Err(explained(error, *signed_on)),
            written = write_chunks(&mut writer, bytes) => written,
        };
        match written {
            Ok(()) => Ok(()),
            // Where the peer closed with words, they say more than the failed write.
            Err(error) => {
                let reason = timeout(REASON_TIMEOUT, gone).await.unwrap_or_else(|_| broke(peer, &error));
                Err(explained(reason, *signed_on))
            }
        }
    }

    /// Bytes that may still wait in this machine's send queue: 0 only when each one has left at least once.
    ///
    /// The peer's kernel then has them or `dead_after` ends the connection: that is why bytes that have not left count.
    /// A peer that reads slowly keeps its window moving and the connection alive for ever.
    pub fn unsent_bytes_max(&self) -> u64 {
        // With this mark at 1 the socket is writable only when nothing is unsent; 0 is the system's mark again.
        let is_marked = self.socket.set_tcp_notsent_lowat(1).is_ok();
        let all_left = is_marked && events(&self.socket, PollFlags::OUT) == Some(PollFlags::OUT);
        let is_reset = self.socket.set_tcp_notsent_lowat(0).is_ok();
        match (all_left && is_reset, self.socket.send_buffer_size()) {
            (true, _) => 0,
            (false, Ok(size)) => (size + SEND_BUFFER_EXCESS_BYTES) as u64,
            (false, Err(_)) => u64::MAX,
        }
    }

    /// Says that nothing more comes (TLS close_notify, FIN) and waits until the peer has read that and closed too.
    ///
    /// `Ok` proves that everything written has arrived: a peer that closes with something unread resets, and one that had
    /// closed before resets what comes late.
    ///
    /// # Errors
    /// The peer did anything else, or nothing for 5 s.
    pub async fn finish(mut self) -> Result<(), StreamError> {
        self.check().await?;
        let peer = self.peer.clone();
        timeout(CLOSE_TIMEOUT, self.hang_up()).await.unwrap_or_else(|_| {
            Err(StreamError::Broken(format!("{peer} has not closed within {} s of our close", CLOSE_TIMEOUT.as_secs())))
        })
    }

    async fn hang_up(&mut self) -> Result<(), StreamError> {
        let broken = |error: &io::Error| broke(&self.peer, error);
        self.wire.shutdown().await.map_err(|error| broken(&error))?;
        let mut buffer = [0; 4096];
        loop {
            match self.wire.read(&mut buffer).await {
                Ok(0) => break,
                // TLS without close_notify, as many peers do it.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                read => take(read, &mut self.chatter_bytes, &self.peer)?,
            }
        }
        // The peer's FIN may have crossed our last bytes. The socket loses its peer when our own FIN is acknowledged, or
        // by a reset, which leaves an error behind.
        while self.socket.peer_addr().is_ok() {
            sleep(CLOSE_LOOK_EVERY).await;
        }
        match self.socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(broken(&error)),
        }
    }
}

async fn write_chunks(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    for chunk in bytes.chunks(CHUNK_SIZE) {
        timeout(CHUNK_TIMEOUT, writer.write_all(chunk)).await??;
    }
    timeout(CHUNK_TIMEOUT, writer.flush()).await?
}

/// Reads what has arrived up to now, until `each` answers false or an error.
async fn arrived(
    wire: &mut Box<dyn Wire>,
    socket: &Socket,
    mut each: impl FnMut(io::Result<&[u8]>) -> Result<bool, StreamError>,
) -> Result<(), StreamError> {
    let arrived = poll_fn(|context| {
        loop {
            let mut bytes = [0; 4096];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *wire).poll_read(context, &mut buffer) {
                Poll::Ready(read) => {
                    if !each(read.map(|()| buffer.filled()))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Pending if is_quiet(socket) => return Poll::Ready(Ok(())),
                // The kernel has something that the runtime is about to tell.
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    arrived.await
}

/// Reads until there is a reason to stop, and says it.
async fn watch(reader: &mut (impl AsyncRead + Unpin), chatter_bytes: &mut usize, peer: &str) -> StreamError {
    let mut buffer = [0; 4096];
    loop {
        if let Err(error) = take(reader.read(&mut buffer).await, chatter_bytes, peer) {
            return error;
        }
    }
}

/// What a read means: words are dropped, up to a bound; an end is an end.
fn take(read: io::Result<usize>, chatter_bytes: &mut usize, peer: &str) -> Result<(), StreamError> {
    let read = read.map_err(|error| broke(peer, &error))?;
    *chatter_bytes += read;
    match read {
        0 => Err(closed(peer)),
        _ if CHATTER_BYTES_MAX < *chatter_bytes => {
            Err(StreamError::Broken(format!("{peer} talks instead of listening: is it a log receiver?")))
        }
        _ => Ok(()),
    }
}

/// What a read brought from a peer that answers; an end is an end.
fn said<'a>(read: io::Result<&'a [u8]>, peer: &str) -> Result<&'a [u8], StreamError> {
    match read {
        Ok([]) => Err(closed(peer)),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(broke(peer, &error)),
    }
}

/// Whether the kernel holds nothing for us to read: no bytes, no end, no error.
fn is_quiet(socket: &Socket) -> bool {
    events(socket, PollFlags::IN | PollFlags::RDHUP) == Some(PollFlags::empty())
}

/// Which of these events, or of errors and ends, the socket has right now.
fn events(socket: &Socket, wanted: PollFlags) -> Option<PollFlags> {
    let mut polled = [PollFd::new(socket, wanted)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).ok()?;
    Some(polled[0].revents())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A stream and its peer's end.
    async fn pair() -> (Stream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let target = Target { host: "localhost", port, tls: None, dead_after: Duration::from_secs(10) };
        let stream = Stream::connect(target).await.expect("connected");
        (stream, listener.accept().expect("a connection").0)
    }

    #[tokio::test]
    async fn neither_side_waits_with_full_buffers_for_the_other() {
        let (mut stream, mut peer) = pair().await;
        let size = 16 << 20;
        // Says as much as it hears, and reads nothing while nobody listens to it.
        let peer = std::thread::spawn(move || {
            let mut chunk = vec![0; 65_536];
            let mut count = 0;
            while count < size {
                let read = std::io::Read::read(&mut peer, &mut chunk).expect("bytes");
                std::io::Write::write_all(&mut peer, &chunk[..read]).expect("heard");
                count += read;
            }
        });
        let (mut unsent, mut heard, mut count) = (BytesMut::zeroed(size), BytesMut::new(), 0);
        while count < size {
            let moved = timeout(Duration::from_secs(30), stream.exchange(&mut unsent, &mut heard));
            moved.await.expect("it goes on").expect("a connection");
            count += heard.split().len();
        }
        peer.join().expect("it ends");
        let end = timeout(Duration::from_secs(30), stream.exchange(&mut unsent, &mut heard)).await.expect("an end");
        assert!(end.expect_err("closed").to_string().ends_with("has closed the connection"));
    }

    #[tokio::test]
    async fn what_has_arrived_is_heard_and_nothing_is_waited_for() {
        let (mut stream, mut peer) = pair().await;
        let mut heard = BytesMut::new();
        stream.hear(&mut heard).await.expect("alive");
        assert!(heard.is_empty());
        std::io::Write::write_all(&mut peer, b"0 serverclose 0\n").expect("said");
        drop(peer);
        let start = Instant::now();
        let end = loop {
            match stream.hear(&mut heard).await {
                Ok(()) => assert!(start.elapsed() < Duration::from_secs(30), "nothing is heard"),
                Err(error) => break error,
            }
        };
        assert!(end.to_string().ends_with("has closed the connection"), "{end}");
        assert_eq!(&heard[..], b"0 serverclose 0\n");
    }

    #[tokio::test]
    async fn a_close_that_crossed_our_last_bytes_proves_nothing() {
        let (mut stream, peer) = pair().await;
        drop(peer);
        // Past `write`, which sees the end: as if it had come a moment later.
        stream.wire.write_all(b"1 x").await.expect("the kernel takes it");
        let closed = stream.hang_up().await;
        assert!(closed.is_err(), "the peer had closed before, and reading finds a clean end all the same");
    }

    #[tokio::test]
    async fn a_close_that_answers_ours_proves_everything() {
        let (mut stream, mut peer) = pair().await;
        stream.write(b"1 x").await.expect("written");
        assert_eq!(stream.unsent_bytes_max(), 0);
        let peer = std::thread::spawn(move || std::io::copy(&mut peer, &mut std::io::sink()));
        stream.finish().await.expect("a clean close");
        assert_eq!(peer.join().expect("it ends").expect("read"), 3);
    }
}
