//! The admin port's listener: so many connections at a time, and none that stands still. Knows nothing of HTTP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections at a time; one more waits until one ends.
const CONNECTIONS_MAX: usize = 64;
/// A connection on which no byte has gone either way for so long is closed. The stream of the page says something every ten
/// seconds: whoever does not take that is gone.
const STILL_MAX: Duration = Duration::from_secs(60);
/// Pause after a failed accept: usually the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener.
#[derive(Debug)]
pub(crate) struct Doorway {
    listener: TcpListener,
    places: Arc<Semaphore>,
    still_max: Duration,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Visit {
    stream: TcpStream,
    still: Pin<Box<Sleep>>,
    still_max: Duration,
    _place: Option<OwnedSemaphorePermit>,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Doorway {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self::with(listener, CONNECTIONS_MAX, STILL_MAX)
    }

    fn with(listener: TcpListener, connections_max: usize, still_max: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections_max)), still_max }
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
                    // Small answers must not wait for the next one; a socket that refuses is slower and no worse.
                    let _ = stream.set_nodelay(true);
                    let still_max = self.still_max;
                    let still = Box::pin(tokio::time::sleep(still_max));
                    return (Visit { stream, still, still_max, _place: place }, peer);
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
    /// Something has moved, or nothing has for too long.
    fn seen<T>(&mut self, cx: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            let still_max = self.still_max;
            self.still.as_mut().reset(Instant::now() + still_max);
            return moved;
        }
        match self.still.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Visit {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.seen(cx, read)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.seen(cx, written)
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
        self.seen(cx, written)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn doorway(connections_max: usize, still_max: Duration) -> (Doorway, SocketAddr) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        (Doorway::with(listener, connections_max, still_max), address)
    }

    #[tokio::test]
    async fn one_more_waits_until_one_ends() {
        let (mut doorway, address) = doorway(1, STILL_MAX).await;
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
    async fn who_says_and_takes_nothing_is_gone() {
        let (mut doorway, address) = doorway(1, Duration::from_millis(20)).await;
        let _client = TcpStream::connect(address).await.expect("connected");
        let (mut visit, _) = doorway.accept().await;
        let read = visit.read_u8().await;
        assert_eq!(read.expect_err("nothing came").kind(), io::ErrorKind::TimedOut);
        drop(visit);
        let _client = TcpStream::connect(address).await.expect("connected");
        let (mut visit, _) = doorway.accept().await;
        // Until the system's own buffers are full.
        let written = async { while visit.write_all(&[0; 64 * 1024]).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(60), written).await.expect("it is given up");
    }
}
