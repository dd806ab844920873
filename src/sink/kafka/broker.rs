//! One connection to one broker: versions, sign-on, and one question at a time with its answer. It knows no topics, repeats
//! nothing, and is of no use any more once a question was not answered.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::sink::kafka::fault::{CREDENTIAL_REMEDY, Fault, Verdict, verdict};
use crate::sink::kafka::message::{self, Request, Versions};
use crate::sink::kafka::sasl::{self, Mechanism, Scram};
use crate::sink::kafka::wire::{Garbled, Reader};
use crate::transport::blocking::Blocking;
use crate::transport::secret::SecretSource;
use crate::transport::stream::{Stream, StreamError, Target, Wire};
use crate::transport::tls;

/// Bytes of one answer at most: the metadata of a few topics is far smaller.
const ANSWER_SIZE_MAX: usize = 8 << 20;
/// A connection that nobody used for so long is opened anew: load balancers forget one after four minutes, brokers after ten.
const IDLE_MAX: Duration = Duration::from_secs(150);
/// Characters of a broker's words that are shown.
const WORDS_MAX: usize = 300;

/// How brokers are talked to.
#[derive(Debug)]
pub(super) struct Manners {
    pub(super) client_id: String,
    pub(super) tls: Option<tls::Config>,
    pub(super) sasl: Option<SignOn>,
    /// For each answer.
    pub(super) timeout: Duration,
}

/// Who we are.
#[derive(Debug)]
pub(super) struct SignOn {
    pub(super) mechanism: Mechanism,
    pub(super) user: String,
    /// Read anew for each connection, beside the runtime.
    pub(super) password: Blocking<SecretSource>,
}

/// Bytes of a host's name at most (RFC 1035 section 2.3.4).
const HOST_LENGTH_MAX: usize = 255;

/// What an answer says, in the version that was spoken.
type Read<T> = fn(&mut Reader<'_>, i16) -> Result<T, Garbled>;

/// Whether this can be a host's name, or its address without brackets. What a cluster names otherwise is neither connected to nor
/// told.
pub(super) fn is_host(text: &str) -> bool {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    (1..=HOST_LENGTH_MAX).contains(&text.len()) && (is_name || text.parse::<Ipv6Addr>().is_ok())
}

/// Whether this is the machine that we run on.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A connection.
pub(super) struct Broker {
    wire: Box<dyn Wire>,
    /// Its name in messages.
    peer: String,
    versions: Versions,
    correlation: i32,
    used: Instant,
    /// When the broker does not take our credential any more.
    expires: Option<Instant>,
}

impl Broker {
    /// Connects and signs on.
    pub(super) async fn connect(host: &str, port: u16, manners: &Manners) -> Result<Self, Fault> {
        if manners.sasl.is_some() && manners.tls.is_none() && !is_loopback(host) {
            // The settings are checked for that too, but brokers name other brokers.
            let why = "is another machine, and without `tls` the password is for this one alone";
            return Err(Fault::Pause(format!("{host}:{port} {why}")));
        }
        let target = Target { host, port, tls: manners.tls.as_ref(), dead_after: manners.timeout };
        let stream = Stream::connect(target).await.map_err(|error| match error {
            StreamError::Broken(why) => Fault::Retry(why),
            StreamError::Untrusted(why) => Fault::Pause(why),
        })?;
        let mut broker = Self {
            wire: stream.into_wire(),
            peer: format!("{host}:{port}"),
            versions: Versions::default(),
            correlation: 0,
            used: Instant::now(),
            expires: None,
        };
        broker.learn_versions(manners).await?;
        if let Some(sign_on) = &manners.sasl {
            broker.sign_on(sign_on, manners).await?;
        }
        Ok(broker)
    }

    /// Whether a question may still be asked here.
    pub(super) fn is_fresh(&self) -> bool {
        self.used.elapsed() < IDLE_MAX && self.expires.is_none_or(|expires| Instant::now() < expires)
    }

    /// Its name in messages.
    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// Asks with the body for the version that is spoken, and answers what `read` makes of the answer. Bodies are wiped: one holds a password.
    pub(super) async fn ask<T>(
        &mut self,
        api: Request,
        body: impl FnOnce(i16) -> Vec<u8>,
        manners: &Manners,
        read: Read<T>,
    ) -> Result<T, Fault> {
        let version = self.versions.common(api).ok_or_else(|| {
            let remedy = match api {
                Request::InitProducerId => "set `idempotent = false`",
                Request::SaslHandshake | Request::SaslAuthenticate => "leave out `sasl`, or use another listener",
                Request::Produce | Request::Metadata | Request::ApiVersions => "Kafka 1.0 or newer is needed",
            };
            Fault::Pause(format!("{} does not know {api:?} in a version that we speak: {remedy}", self.peer))
        })?;
        let body = Zeroizing::new(body(version));
        self.exchange(api, version, &body, manners, read).await
    }

    async fn exchange<T>(
        &mut self,
        api: Request,
        version: i16,
        body: &[u8],
        manners: &Manners,
        read: Read<T>,
    ) -> Result<T, Fault> {
        self.correlation = self.correlation.wrapping_add(1);
        let head = message::head(api, version, self.correlation, &manners.client_id);
        let answer = timeout(manners.timeout, self.talk(&head.0, body)).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(Fault::Retry(format!("{} did not answer within {} s", self.peer, manners.timeout.as_secs_f32())))
        })?;
        self.used = Instant::now();
        let garbled = |_| Fault::Retry(format!("{} gave an answer to {api:?} that cannot be read", self.peer));
        let mut reader = Reader(&answer);
        if reader.i32().map_err(garbled)? != self.correlation {
            return Err(Fault::Retry(format!("{} gave the answer to another question", self.peer)));
        }
        if api.is_flexible(version) {
            reader.skip_tags().map_err(garbled)?;
        }
        read(&mut reader, version).map_err(garbled)
    }

    /// Length, head and body out; length and answer in.
    async fn talk(&mut self, head: &[u8], body: &[u8]) -> Result<Vec<u8>, Fault> {
        let broke = |error: std::io::Error| Fault::Retry(format!("the connection to {} broke: {error}", self.peer));
        let length = u32::try_from(head.len() + body.len()).expect("a request is far below 2 GiB");
        self.wire.write_all(&length.to_be_bytes()).await.map_err(broke)?;
        self.wire.write_all(head).await.map_err(broke)?;
        self.wire.write_all(body).await.map_err(broke)?;
        self.wire.flush().await.map_err(broke)?;
        let length = self.wire.read_i32().await.map_err(broke)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= ANSWER_SIZE_MAX);
        let length = length.ok_or_else(|| {
            Fault::Pause(format!("{} does not talk like a Kafka broker: correct `brokers`, and `tls`", self.peer))
        })?;
        let mut answer = vec![0; length];
        self.wire.read_exact(&mut answer).await.map_err(broke)?;
        Ok(answer)
    }

    async fn learn_versions(&mut self, manners: &Manners) -> Result<(), Fault> {
        let hint = match manners.tls {
            None => "; a broker that wants TLS says nothing and closes: is `tls = {}` missing?",
            Some(_) => "",
        };
        let (code, versions) = self
            .exchange(Request::ApiVersions, 0, &[], manners, |reader, _| message::versions(reader))
            .await
            .map_err(|fault| match fault {
                Fault::Retry(why) => Fault::Retry(format!("{why}{hint}")),
                Fault::Pause(_) | Fault::Refused(_) => fault,
            })?;
        self.judge(code)?;
        self.versions = versions;
        let missing = Request::NEEDED.into_iter().find(|api| self.versions.common(*api).is_none());
        missing.map_or(Ok(()), |api| {
            Err(Fault::Pause(format!("{} is too old or too new: {api:?} has no version that we speak", self.peer)))
        })
    }

    async fn sign_on(&mut self, sign_on: &SignOn, manners: &Manners) -> Result<(), Fault> {
        let unusable = |why: String| Fault::Pause(format!("the password of `sasl` cannot be used: {why}"));
        let password = match sign_on.password.run(|source| source.read()).await {
            Ok(Ok(password)) => password,
            Ok(Err(error)) => return Err(unusable(error.to_string())),
            Err(unfinished) => return Err(Fault::Retry(format!("the password of `sasl` is not read: {unfinished}"))),
        };
        let name = sign_on.mechanism.name();
        let (code, known) = self
            .ask(
                Request::SaslHandshake,
                |_| message::sasl_handshake_request(name),
                manners,
                |reader, _| message::sasl_handshake(reader),
            )
            .await?;
        if code == 33 {
            let known: String = known.join(", ").chars().take(WORDS_MAX).collect();
            let why = format!("{} knows no {name} but {known:?}: correct `sasl.mechanism`", self.peer);
            return Err(Fault::Pause(why));
        }
        self.judge(code)?;
        match sign_on.mechanism {
            Mechanism::Plain => self.step(&sasl::plain(&sign_on.user, &password), &password, manners).await.map(drop),
            Mechanism::ScramSha256 | Mechanism::ScramSha512 => self.scram(sign_on, &password, manners).await,
        }
    }

    async fn scram(&mut self, sign_on: &SignOn, password: &SecretString, manners: &Manners) -> Result<(), Fault> {
        let wrong = |peer: &str, why: String| Fault::Pause(format!("{peer} cannot be trusted: {why}"));
        let scram = Scram::begin(sign_on.mechanism, &sign_on.user).map_err(Fault::Retry)?;
        let theirs = self.step(&scram.first(), password, manners).await?;
        let (ours, proof) = scram.answer(&theirs, password).map_err(|why| wrong(&self.peer, why))?;
        let last = self.step(&ours, password, manners).await?;
        if proof.is_given_by(&last) {
            return Ok(());
        }
        match sasl::refusal(&last) {
            Some(words) => Err(Fault::Pause(format!("{} refuses us ({words}): {CREDENTIAL_REMEDY}", self.peer))),
            None => Err(wrong(&self.peer, "it does not prove that it knows the password itself".into())),
        }
    }

    /// One step of the mechanism: our bytes, and theirs.
    async fn step(&mut self, ours: &[u8], password: &SecretString, manners: &Manners) -> Result<Vec<u8>, Fault> {
        let request = |_| message::sasl_authenticate_request(ours);
        let step = self.ask(Request::SaslAuthenticate, request, manners, message::sasl_authenticate).await?;
        if let Err(fault) = self.judge(step.code) {
            let words = step.words.replace(password.expose_secret(), "***");
            let words: String = words.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
            return Err(match fault {
                Fault::Pause(why) if !words.is_empty() => Fault::Pause(format!("{why} ({words})")),
                Fault::Pause(_) | Fault::Retry(_) | Fault::Refused(_) => fault,
            });
        }
        if 0 < step.lifetime_milliseconds {
            // A new connection well before, so that no batch meets its end.
            let lifetime = Duration::from_millis(step.lifetime_milliseconds / 10 * 8);
            self.expires = Instant::now().checked_add(lifetime);
        }
        Ok(step.bytes)
    }

    /// What a code about the request as a whole means.
    pub(super) fn judge(&self, code: i16) -> Result<(), Fault> {
        match verdict(code) {
            Verdict::Done => Ok(()),
            Verdict::Fault(fault) => Err(fault.at(&self.peer)),
            Verdict::Renumber(why) => Err(Fault::Retry(format!("{} {why}", self.peer))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_never_leaves_this_machine_in_the_clear() {
        let password = Blocking::new(SecretSource::file("/nowhere"), Duration::from_secs(1));
        let sasl = Some(SignOn { mechanism: Mechanism::Plain, user: "kim".into(), password });
        let manners = Manners { client_id: "x".into(), tls: None, sasl, timeout: Duration::from_secs(1) };
        for host in ["192.0.2.1", "kafka.example.net", "2001:db8::1"] {
            let fault = Broker::connect(host, 9092, &manners).await.err().expect("no connection");
            assert!(matches!(&fault, Fault::Pause(why) if why.contains("without `tls`")), "{fault:?}");
        }
        assert!(["localhost", "127.0.0.1", "::1"].into_iter().all(is_loopback));
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_no_other_text() {
        for host in ["localhost", "kafka-1.example_net", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert!(is_host(host), "{host}");
        }
        for other in
            ["", "a b", "a\nERROR forged", "\x1b[2J", "a/b", "kim@a", "[::1]", "a:9092", "f\u{fc}r", &"a".repeat(256)]
        {
            assert!(!is_host(other), "{other:?}");
        }
    }
}
