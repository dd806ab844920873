//! How a connection comes to be: the first address that answers, a socket that notices a dead peer, the TLS handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use socket2::{SockRef, Socket, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::transport::stream::words::broke;
use crate::transport::stream::{STEP_TIMEOUT, StreamError, Target};
use crate::transport::tls;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// The kernel's send buffer: fixed, so that [`Stream::unsent_bytes_max`] has a bound that does not move.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// A TCP connection to the first address that answers.
pub(in crate::transport) async fn reach(target: Target<'_>) -> Result<TcpStream, String> {
    let found = timeout(STEP_TIMEOUT, tokio::net::lookup_host((target.host, target.port)));
    let addresses: Vec<SocketAddr> = match found.await {
        Err(_) => return Err("its name is not resolved in time".into()),
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(addresses)) => addresses.take(ADDRESSES_MAX).collect(),
    };
    let mut why = "its name has no address".to_owned();
    for address in addresses {
        match timeout(STEP_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => why = format!("{address}: {error}"),
            Err(_) => why = format!("{address}: no answer within {} s", STEP_TIMEOUT.as_secs()),
        }
    }
    Err(why)
}

/// Sets what makes a dead peer known well before `dead_after`.
pub(super) fn prepare(tcp: &TcpStream, dead_after: Duration) -> io::Result<Socket> {
    let socket = SockRef::from(tcp).try_clone()?;
    // The kernel counts keep-alive in whole seconds.
    let every = (dead_after / 5).max(Duration::from_secs(1));
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(every).with_interval(every).with_retries(3))?;
    socket.set_tcp_user_timeout(Some(dead_after * 2 / 3))?;
    Ok(socket)
}

pub(super) async fn sign_on(
    tcp: TcpStream,
    host: &str,
    config: &tls::Config,
    peer: &str,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, StreamError> {
    let untrusted = |why: String| StreamError::Untrusted(why);
    // Its files are read, however long that takes: whoever connects waits, and nobody else.
    let config = config.clone();
    let settings = tokio::task::spawn_blocking(move || config.client(None)).await;
    let settings = settings.map_err(|error| StreamError::Broken(error.to_string()))?;
    let settings = settings.map_err(|error| untrusted(error.to_string()))?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| untrusted(format!("{host:?} is no name that a certificate could hold")))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(settings));
    match timeout(STEP_TIMEOUT, connector.connect(name, tcp)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(broke(peer, &error)),
        Err(_) => Err(StreamError::Broken(format!("{peer} has not answered the TLS handshake in time"))),
    }
}
