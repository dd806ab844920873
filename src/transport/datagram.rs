//! A UDP or Unix datagram socket that is only written to. One send is one datagram; nobody says whether it arrived.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::timeout;

/// Resolving a name or sending one datagram may take this long; a Unix socket waits while its receiver's queue is full.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// EMSGSIZE: what the kernel says of a datagram that is larger than it can send.
const TOO_LARGE: i32 = rustix::io::Errno::MSGSIZE.raw_os_error();

/// Bytes of payload that a UDP datagram holds at most (over IPv4).
pub const UDP_PAYLOAD_BYTES_MAX: u64 = 65_507;

/// A connected datagram socket.
#[derive(Debug)]
pub enum Datagram {
    /// To another host.
    Udp(UdpSocket),
    /// To this host's own syslog daemon.
    Unix(UnixDatagram),
}

/// Why a datagram was not sent.
#[derive(Debug, thiserror::Error)]
pub enum DatagramError {
    /// This one is larger than the socket takes; others may pass.
    #[error("the datagram is larger than the socket takes")]
    TooLarge,
    /// Anything else: a new socket may help.
    #[error("{0}")]
    Broken(String),
}

impl Datagram {
    /// A UDP socket to the first address of a name.
    ///
    /// # Errors
    /// The name has no address, or no route leads there.
    pub async fn udp(host: &str, port: u16) -> io::Result<Self> {
        let mut addresses = timeout(STEP_TIMEOUT, tokio::net::lookup_host((host, port))).await??;
        let address = addresses.next().ok_or_else(|| io::Error::other("the name has no address"))?;
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own).await?;
        socket.connect(address).await?;
        Ok(Self::Udp(socket))
    }

    /// A Unix datagram socket to a path such as `/dev/log`.
    ///
    /// # Errors
    /// Nothing listens there, or it is no datagram socket.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self::Unix(socket))
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// See [`DatagramError`].
    pub async fn send(&self, bytes: &[u8]) -> Result<(), DatagramError> {
        let sending = async {
            match self {
                Self::Udp(socket) => socket.send(bytes).await,
                Self::Unix(socket) => socket.send(bytes).await,
            }
        };
        match timeout(STEP_TIMEOUT, sending).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.raw_os_error() == Some(TOO_LARGE) => Err(DatagramError::TooLarge),
            Ok(Err(error)) => Err(DatagramError::Broken(error.to_string())),
            Err(_) => Err(DatagramError::Broken("the receiver does not take it".into())),
        }
    }

    /// What came back since: an ICMP "port unreachable" shows here, and only if somebody sent one.
    ///
    /// # Errors
    /// The error that came back.
    pub fn check(&self) -> io::Result<()> {
        let error = match self {
            Self::Udp(socket) => socket.take_error()?,
            Self::Unix(socket) => socket.take_error()?,
        };
        error.map_or(Ok(()), Err)
    }
}
