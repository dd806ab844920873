//! The admin port's listener: so many connections at a time, so many of one address, and none that is not answered for long. Knows
//! nothing of HTTP.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use crate::admin::tries::network;

const LIMITS: Limits = Limits {
    connections_max: 64,
    per_address_max: 24,
    ask_max: Duration::from_secs(10),
    still_max: Duration::from_secs(60),
    stands_for_many: |address| address.to_canonical().is_loopback(),
};
/// Pause after a failed accept: usually the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// At a time; one more waits until one ends.
    connections_max: usize,
    /// Of one address, or of one network of IPv6; one more is closed at once. Enough for sixteen screens behind one address.
    per_address_max: usize,
    /// Until the first byte of an answer. Bytes of a request do not count: it can be sent a byte at a time for ever.
    ask_max: Duration,
    /// Between two bytes of answers. The stream of the page says something every ten seconds: whoever does not take that is gone.
    still_max: Duration,
    /// Whose connections are those of many, and not counted by address: a proxy on this host.
    stands_for_many: fn(IpAddr) -> bool,
}

/// The listener.
#[derive(Debug)]
pub(crate) struct Doorway {
    listener: TcpListener,
    limits: Limits,
    places: Arc<Semaphore>,
    taken: Taken,
}

/// Connections by address.
type Taken = Arc<Mutex<BTreeMap<IpAddr, usize>>>;

/// A connection.
#[derive(Debug)]
pub(crate) struct Visit {
    stream: TcpStream,
    /// When it is over, unless something is answered before.
    over: Pin<Box<Sleep>>,
    still_max: Duration,
    _place: Place,
}

/// A place among all connections and among those of its address, given back when it is dropped.
#[derive(Debug)]
struct Place {
    _among_all: Option<OwnedSemaphorePermit>,
    counted: Option<(IpAddr, Taken)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((address, taken)) = &self.counted else { return };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(address) {
            Some(count) if 1 < *count => *count -= 1,
            Some(_) | None => _ = taken.remove(address),
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Doorway {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self::with(listener, LIMITS)
    }

    fn with(listener: TcpListener, limits: Limits) -> Self {
        Self { listener, limits, places: Arc::new(Semaphore::new(limits.connections_max)), taken: Taken::default() }
    }

    /// Whom one more connection of this address is counted for. None where it has too many.
    fn count(&self, address: IpAddr) -> Option<Option<(IpAddr, Taken)>> {
        if (self.limits.stands_for_many)(address) {
            return Some(None);
        }
        let address = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.get(&address).is_some_and(|count| self.limits.per_address_max <= *count) {
            return None;
        }
        *taken.entry(address).or_default() += 1;
        Some(Some((address, self.taken.clone())))
    }
}

impl Connected<IncomingStream<'_, Doorway>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Doorway>) -> Self {
        Self(stream.remote_addr().ip())
    }
}

impl Listener for Doorway {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        // The semaphore is never closed.
        let place = self.places.clone().acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(counted) = self.count(peer.ip()) else { continue };
                    // Small answers must not wait for the next one; a socket that refuses is slower and no worse.
                    let _ = stream.set_nodelay(true);
                    let Limits { ask_max, still_max, .. } = self.limits;
                    let over = Box::pin(tokio::time::sleep(ask_max));
                    return (Visit { stream, over, still_max, _place: Place { _among_all: place, counted } }, peer);
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Visit {
    /// Nothing was answered for too long.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.over.as_mut().poll(cx).is_ready()
    }

    /// Some of an answer has gone out, or nothing has for too long.
    fn answered(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                let still_max = self.still_max;
                self.over.as_mut().reset(Instant::now() + still_max);
                Poll::Ready(written)
            }
            Poll::Pending if self.is_over(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Visit {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.answered(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.answered(cx, written)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;

    use super::*;

    /// Few places, and patience where a test has none of its own.
    const FEW: Limits = Limits {
        connections_max: 1,
        per_address_max: 1,
        ask_max: Duration::from_secs(3600),
        still_max: Duration::from_secs(3600),
        stands_for_many: |_| false,
    };
    const BOUND: Duration = Duration::from_secs(60);

    async fn doorway(limits: Limits) -> (Doorway, SocketAddr) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        (Doorway::with(listener, limits), address)
    }

    /// From an address of this host, of which there are many.
    async fn connect_from(host: u8, to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).expect("a free port");
        socket.connect(to).await.expect("connected")
    }

    #[tokio::test]
    async fn one_more_waits_until_one_ends() {
        let (mut doorway, address) = doorway(Limits { per_address_max: 2, ..FEW }).await;
        let _first = TcpStream::connect(address).await.expect("connected");
        let mut second = TcpStream::connect(address).await.expect("the system takes it in");
        let (visit, _) = doorway.accept().await;
        assert!(doorway.accept().now_or_never().is_none(), "there is no place");
        drop(visit);
        let (mut visit, _) = doorway.accept().await;
        visit.write_all(b"come in").await.expect("written");
        let mut said = [0; 7];
        second.read_exact(&mut said).await.expect("it is the second");
    }

    #[tokio::test]
    async fn nobody_has_all_places_but_who_stands_for_many() {
        let limits =
            Limits { connections_max: 4, stands_for_many: |address| address == IpAddr::from([127, 0, 0, 9]), ..FEW };
        let (mut doorway, address) = doorway(limits).await;
        let _first = connect_from(1, address).await;
        let (first, _) = doorway.accept().await;
        let mut second = connect_from(1, address).await;
        let _other = connect_from(2, address).await;
        let (_visit, peer) = doorway.accept().await;
        assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 2]));
        let read = tokio::time::timeout(BOUND, second.read_u8()).await.expect("an end");
        assert!(read.is_err(), "one of them is enough");
        drop(first);
        let _third = connect_from(1, address).await;
        let (_visit, peer) = doorway.accept().await;
        assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 1]), "the first is gone");
        let _many = (connect_from(9, address).await, connect_from(9, address).await);
        let (_visits, peers) = {
            let (one, peer) = doorway.accept().await;
            let (two, other) = doorway.accept().await;
            ((one, two), (peer, other))
        };
        assert_eq!(peers.0.ip(), peers.1.ip());
    }

    #[tokio::test]
    async fn who_says_and_takes_nothing_is_gone() {
        let soon = Duration::from_millis(20);
        let (mut doorway, address) = doorway(Limits { ask_max: soon, still_max: soon, ..FEW }).await;
        let client = TcpStream::connect(address).await.expect("connected");
        let (mut visit, _) = doorway.accept().await;
        let read = visit.read_u8().await;
        assert_eq!(read.expect_err("nothing came").kind(), io::ErrorKind::TimedOut);
        drop((visit, client));
        let _client = TcpStream::connect(address).await.expect("connected");
        let (mut visit, _) = doorway.accept().await;
        // Until the system's own buffers are full.
        let written = async { while visit.write_all(&[0; 64 * 1024]).await.is_ok() {} };
        tokio::time::timeout(BOUND, written).await.expect("it is given up");
    }

    #[tokio::test]
    async fn who_says_a_little_at_a_time_is_gone_too() {
        let (mut doorway, address) = doorway(Limits { ask_max: Duration::from_millis(50), ..FEW }).await;
        let mut client = TcpStream::connect(address).await.expect("connected");
        tokio::spawn(async move {
            while client.write_all(b"a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let (mut visit, _) = doorway.accept().await;
        let read = async {
            loop {
                if let Err(error) = visit.read_u8().await {
                    return error.kind();
                }
            }
        };
        assert_eq!(tokio::time::timeout(BOUND, read).await.expect("it is given up"), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn only_an_answer_gives_more_time() {
        let (mut doorway, address) = doorway(Limits { still_max: FEW.ask_max * 2, ..FEW }).await;
        let mut client = TcpStream::connect(address).await.expect("connected");
        let (mut visit, _) = doorway.accept().await;
        let asked = visit.over.deadline();
        client.write_all(b"a question").await.expect("written");
        visit.read_u8().await.expect("the question");
        assert_eq!(visit.over.deadline(), asked);
        visit.write_all(b"an answer").await.expect("written");
        assert!(asked + FEW.ask_max <= visit.over.deadline());
    }
}
