//! Sends messages over what is open to the receiver, and tells how far they count. Connects anew where it must, and takes nothing
//! written for received.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::core::air::Air;
use crate::core::courier::{DeliverError, Refusal};
use crate::format::syslog::{Header, Origin, message, newline_framed, octet_counted};
use crate::model::names::Seq;
use crate::sink::syslog::{Config, DATAGRAM_MESSAGE_SIZE, Framing, STREAM_MESSAGE_SIZE, failure, origin, retry};
use crate::sink::{Outgoing, Sink};
use crate::transport::address::Address;
use crate::transport::datagram::{Datagram, DatagramError};
use crate::transport::stream::{Stream, Target};
use crate::transport::tls;

/// A datagram socket looks its name up anew after this time: nothing else would tell it that the receiver has moved.
const RESOLVE_EVERY: Duration = Duration::from_secs(300);

/// A sink of kind `syslog`.
pub struct Syslog {
    address: Address,
    framing: Framing,
    message_bytes_max: u64,
    origin: Origin,
    settle: Duration,
    tls: tls::Config,
    link: Link,
}

/// What is open.
enum Link {
    Nothing,
    Datagram {
        socket: Datagram,
        since: Instant,
    },
    Stream {
        stream: Stream,
        air: Air,
    },
    /// A call is under way, or was dropped under way: half a message may be out, and what was in the air is unknown.
    Interrupted,
}

impl Syslog {
    /// Takes the configuration and connects to nothing yet.
    ///
    /// # Errors
    /// The first problem that [`Config::validate`] knows, or a TLS file that cannot be used.
    pub fn open(config: &Config) -> Result<Self, String> {
        if let Some((key, problem)) = config.validate().into_iter().next() {
            return Err(format!("{key}: {problem}"));
        }
        let address = config.address.parse()?;
        let size_default = match address {
            Address::Stream { is_tls, .. } => {
                // They are read again for each connection; here only to say what is wrong with them.
                let tls = is_tls.then(|| config.tls.client(None)).transpose();
                tls.map(|_| STREAM_MESSAGE_SIZE).map_err(|error| format!("tls: {error}"))?
            }
            Address::Udp { .. } | Address::Unix(_) => DATAGRAM_MESSAGE_SIZE,
        };
        let origin = origin(&config.facility, config.hostname.as_deref(), &config.app_name, config.bom)?;
        Ok(Self {
            address,
            framing: config.framing,
            message_bytes_max: config.max_message_size.unwrap_or(size_default).0,
            origin,
            settle: config.settle.0,
            tls: config.tls.clone(),
            link: Link::Nothing,
        })
    }

    /// The messages of these events, or those that cannot be sent: all of them, and before any byte leaves.
    fn messages(&self, events: &[Outgoing]) -> Result<Vec<Vec<u8>>, DeliverError> {
        let mut messages = Vec::with_capacity(events.len());
        let mut refusals = Vec::new();
        for event in events {
            match self.framed(message(&Header::of(&event.event, &self.origin), &event.body)) {
                Ok(message) => messages.push(message),
                Err(why) => refusals.push(Refusal { seq: event.seq, why }),
            }
        }
        if refusals.is_empty() { Ok(messages) } else { Err(DeliverError::Refused(refusals)) }
    }

    fn framed(&self, message: Vec<u8>) -> Result<Vec<u8>, String> {
        let (size, size_max) = (message.len() as u64, self.message_bytes_max);
        if size_max < size {
            return Err(format!("its message has {size} B, and `max_message_size` is {size_max} B"));
        }
        match (&self.address, self.framing) {
            (Address::Udp { .. } | Address::Unix(_), _) => Ok(message),
            (Address::Stream { .. }, Framing::OctetCounting) => Ok(octet_counted(&message)),
            (Address::Stream { .. }, Framing::Newline) => newline_framed(&message).map_err(|error| error.to_string()),
        }
    }

    async fn send(&mut self, events: &[Outgoing]) -> Result<Option<Seq>, DeliverError> {
        let messages = self.messages(events)?;
        let link = std::mem::replace(&mut self.link, Link::Interrupted);
        let sent = match self.address {
            Address::Stream { .. } => self.send_stream(link, events.last(), messages.concat()).await,
            Address::Udp { .. } | Address::Unix(_) => self.send_datagrams(link, events, &messages).await,
        };
        let (link, outcome) = match sent {
            Ok((link, confirmed)) => (link, Ok(confirmed)),
            Err(error) => (Link::Nothing, Err(error)),
        };
        self.link = link;
        outcome
    }

    /// Writes these bytes, the events up to `last`, and answers up to where everything is settled.
    async fn send_stream(&self, link: Link, last: Option<&Outgoing>, bytes: Vec<u8>) -> Sent {
        let started = Instant::now();
        let (mut stream, mut air) = match (self.living(link).await?, last) {
            (Some(living), _) => living,
            (None, None) => return Ok((Link::Nothing, None)),
            (None, Some(_)) => (self.connect().await?, Air::default()),
        };
        if let Some(last) = last {
            stream.write(&bytes).await.map_err(failure)?;
            air.written(last.reaches(), bytes.len() as u64);
        }
        let unsent_bytes_max = stream.unsent_bytes_max();
        air.left(unsent_bytes_max, Instant::now());
        // It was seen alive after `started`; whatever came later is for the next call.
        let confirmed = air.settled(started, self.settle);
        Ok((Link::Stream { stream, air }, confirmed))
    }

    /// The connection, if there is one and it is alive. One that is gone and owes us nothing is no error: receivers close
    /// what is idle.
    async fn living(&self, link: Link) -> Result<Option<(Stream, Air)>, DeliverError> {
        match link {
            Link::Nothing | Link::Datagram { .. } => Ok(None),
            Link::Interrupted => Err(retry("the delivery before was interrupted".into())),
            Link::Stream { mut stream, air } => match stream.check().await {
                Ok(()) => Ok(Some((stream, air))),
                Err(_) if air.is_empty() => Ok(None),
                Err(error) => Err(failure(error)),
            },
        }
    }

    async fn connect(&self) -> Result<Stream, DeliverError> {
        let (host, port, is_tls) = match &self.address {
            Address::Stream { host, port, is_tls } => (host, *port, *is_tls),
            Address::Udp { .. } | Address::Unix(_) => return Err(retry("a datagram socket is no stream".into())),
        };
        let target = Target { host, port, tls: is_tls.then_some(&self.tls), dead_after: self.settle };
        Stream::connect(target).await.map_err(failure)
    }

    /// Sends one datagram each. Over UDP an error counts for all of them: it came back for one of those before it, nobody says for
    /// which, and it is told once. A Unix socket keeps what has left.
    async fn send_datagrams(&self, link: Link, events: &[Outgoing], messages: &[Vec<u8>]) -> Sent {
        let (socket, since) = match link {
            Link::Datagram { socket, since } if since.elapsed() < RESOLVE_EVERY => (socket, since),
            Link::Nothing | Link::Datagram { .. } | Link::Stream { .. } | Link::Interrupted => {
                if events.is_empty() {
                    return Ok((Link::Nothing, None));
                }
                (self.socket().await?, Instant::now())
            }
        };
        let is_udp = !matches!(self.address, Address::Unix(_));
        let mut left = None;
        for (event, message) in events.iter().zip(messages) {
            let failure = match socket.send(message).await {
                Ok(()) => {
                    left = Some(event.reaches());
                    continue;
                }
                // What has left counts; the next call begins with this event and says what is wrong with it.
                Err(error) if left.is_some() && !(is_udp && matches!(error, DatagramError::Broken(_))) => {
                    return Ok((Link::Datagram { socket, since }, left));
                }
                Err(error @ DatagramError::TooLarge) => {
                    DeliverError::Refused(vec![Refusal { seq: event.seq, why: error.to_string() }])
                }
                Err(DatagramError::Broken(why)) => retry(format!("a datagram cannot be sent: {why}")),
            };
            return Err(failure);
        }
        socket.check().map_err(|error| retry(format!("a datagram came back: {error}")))?;
        Ok((Link::Datagram { socket, since }, events.last().map(Outgoing::reaches)))
    }

    async fn socket(&self) -> Result<Datagram, DeliverError> {
        let socket = match &self.address {
            Address::Unix(path) => Datagram::unix(path),
            Address::Udp { host, port } | Address::Stream { host, port, .. } => Datagram::udp(host, *port).await,
        };
        socket.map_err(|error| retry(format!("there is no socket to the receiver: {error}")))
    }

    /// Ends the connection in good order. Where the peer does not, only what was settled before counts.
    async fn hang_up(&mut self) -> Result<Option<Seq>, DeliverError> {
        let settled = self.send(&[]).await?;
        let Link::Stream { stream, air } = std::mem::replace(&mut self.link, Link::Nothing) else {
            return Ok(settled);
        };
        let owes_nothing = air.is_empty() || settled.is_some();
        match stream.finish().await {
            Ok(()) => Ok(air.arrived().or(settled)),
            Err(_) if owes_nothing => Ok(settled),
            Err(error) => Err(failure(error)),
        }
    }
}

/// What is open afterwards, and how far everything is confirmed.
type Sent = Result<(Link, Option<Seq>), DeliverError>;

impl Sink for Syslog {
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.send(events))
    }

    /// A stream is closed after at most 10 s.
    fn close<'a>(&'a mut self) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.hang_up())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_reads_the_files_and_connects_to_nothing() {
        let open = |toml: &str| Syslog::open(&toml::from_str(toml).expect("the keys")).err().unwrap_or_default();
        assert_eq!(open("address = 'tcp://nowhere.invalid'"), "");
        assert!(open("address = 'tls://h'\ntls = { ca_file = '/nowhere.pem' }").starts_with("tls: /nowhere.pem: "));
        assert!(open("address = 'h'").starts_with("address: "));
    }
}
