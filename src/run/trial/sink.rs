//! One sink tried: a connection and its certificate, a question that changes nothing where the far side has one. Sends no event.

use serde::{Serialize, Serializer};

use crate::admin::status::SinkStatus;
use crate::identity::certificate::ENDS_SOON;
use crate::model::names::SinkName;
use crate::run::tenant::seconds_until;
use crate::run::trial::tenant::{ends, milliseconds};
use crate::run::trial::{Late, Line};
use crate::sink::{self, Line as Connection};
use crate::transport::handshake::{Certificate, shake};

/// What was found of a sink.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SinkTrial {
    /// What is promised.
    pub guarantee: String,
    /// How it was reached.
    pub reached: Option<String>,
    /// What its far side showed, trusted or not.
    pub certificate: Option<CertificateTrial>,
    /// What it answered to a question that changes nothing: what it is about, and the words.
    #[serde(serialize_with = "as_members")]
    pub found: Vec<sink::Found>,
    /// What works and may surprise.
    pub warnings: Vec<String>,
    /// What the running daemon says of it.
    pub daemon: Option<SinkStatus>,
    /// What went wrong, with the remedy.
    pub error: Option<String>,
}

/// A certificate that a far side showed.
#[derive(Debug, Clone, Serialize)]
pub struct CertificateTrial {
    /// Whose it is.
    pub subject: String,
    /// Who says so.
    pub issuer: String,
    /// Days until it ends; below zero since it has.
    pub days_left: i64,
    /// By whose word it is trusted; none where it is not.
    pub trusted_by: Option<String>,
    /// The far side asked for a certificate of ours.
    pub asks_for_ours: bool,
}

impl SinkTrial {
    /// What is known before anything is tried.
    pub(super) fn of(config: &sink::Config, known: Option<&SinkStatus>) -> Self {
        let settings = config.settings();
        let warnings = settings.warnings().into_iter().map(|(key, why)| format!("{key}: {why}")).collect();
        Self { guarantee: settings.guarantee().into(), warnings, daemon: known.cloned(), ..Self::default() }
    }

    /// Tries it.
    pub(super) async fn fill(&mut self, name: &SinkName, config: &sink::Config, running: bool) {
        let connections = config.settings().lines();
        let tried = match connections.is_empty() {
            true => self.open(name, config, running).await,
            false => self.connect(&connections).await,
        };
        if let Err(why) = tried {
            self.error = Some(why);
            return;
        }
        match config.settings().probe().await {
            Ok(found) => self.found = found,
            Err(why) => self.error = Some(why),
        }
    }

    /// Whether events could go there.
    pub const fn is_ok(&self) -> bool {
        self.error.is_none()
    }

    async fn open(&mut self, name: &SinkName, config: &sink::Config, running: bool) -> Result<(), String> {
        if running && matches!(config, sink::Config::File(_)) {
            self.reached = Some("the running daemon has it open".into());
            return Ok(());
        }
        let new = config.settings().names().file.map(|(_, path)| path).filter(|path| !path.exists());
        let mut sink = config.open(name).map_err(|error| error.to_string())?;
        let answer = sink.deliver(&[]).await.map_err(|error| error.to_string());
        let closed = sink.close().await.map_err(|error| error.to_string());
        // Who checks is often root, and what root leaves behind the daemon's own user could not write.
        if let Some(path) = new.filter(|path| path.metadata().is_ok_and(|about| about.len() == 0)) {
            std::fs::remove_file(path).map_err(|error| format!("cannot remove {} again: {error}", path.display()))?;
        }
        answer.and(closed)?;
        self.reached = Some("it opens".into());
        Ok(())
    }

    /// Any one of several is enough; those that fail beside it are worth a warning.
    async fn connect(&mut self, connections: &[Connection<'_>]) -> Result<(), String> {
        let (mut reached, mut failed) = (Vec::new(), Vec::new());
        for connection in connections {
            match self.try_connection(connection).await {
                Ok(words) => reached.push(words),
                Err(why) => failed.push(why),
            }
        }
        if reached.is_empty() {
            return Err(failed.join("; "));
        }
        self.reached = Some(reached.join("; "));
        self.warnings.extend(failed);
        Ok(())
    }

    async fn try_connection(&mut self, connection: &Connection<'_>) -> Result<String, String> {
        let Connection { host, port, tls, proxy } = connection;
        if let Some(proxy) = proxy {
            return through(proxy, host, *port).await;
        }
        let shaken = shake(host, *port, *tls).await;
        let trusted_by = tls.filter(|_| shaken.is_ok()).map(|tls| tls.trusts());
        match shaken {
            Ok(seen) => {
                self.show(seen.certificate, trusted_by, seen.asks_for_ours);
                let took = milliseconds(seen.took);
                let how = if tls.is_some() { "by TLS" } else { "in the clear" };
                Ok(format!("{host}:{port} {how} in {took} ms"))
            }
            Err(failed) => {
                self.show(failed.certificate, None, false);
                Err(failed.why)
            }
        }
    }

    /// The first that is trusted stays, or else the last.
    fn show(&mut self, certificate: Option<Certificate>, trusted_by: Option<String>, asks_for_ours: bool) {
        let Some(Certificate { subject, issuer, ends }) = certificate else { return };
        if self.certificate.as_ref().is_some_and(|shown| shown.trusted_by.is_some()) {
            return;
        }
        let left = seconds_until(ends);
        let days_left = (left / 86_400.0).floor() as i64;
        if trusted_by.is_some() && left < ENDS_SOON.as_secs_f64() {
            self.warnings
                .push(format!("the certificate of the far side ends in {days_left} days: then nothing more is sent"));
        }
        self.certificate = Some(CertificateTrial { subject, issuer, days_left, trusted_by, asks_for_ours });
    }

    /// For people: what was tried and what was found.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        lines.extend(self.reached.iter().map(|reached| ("reached", reached.clone())));
        lines.extend(self.certificate.iter().map(|certificate| ("certificate", certificate.words())));
        lines.extend(self.found.iter().cloned());
        lines.extend(self.daemon.iter().map(|status| ("daemon", daemon_words(status))));
        lines.push(("guarantee", self.guarantee.clone()));
        lines.extend(self.warnings.iter().map(|warning| ("warning", warning.clone())));
        lines.extend(self.error.iter().map(|error| ("ERROR", error.clone())));
        lines
    }

    /// Of a sink for which there was too little time.
    pub(super) fn give_up(&mut self, late: Late) {
        self.error = Some(late.to_string());
    }
}

impl CertificateTrial {
    fn words(&self) -> String {
        let Self { subject, issuer, days_left, trusted_by, asks_for_ours } = self;
        let trusted = match trusted_by {
            Some(by) => format!("trusted by {by}"),
            None => "NOT TRUSTED".into(),
        };
        let ours = if *asks_for_ours { "; it asks for ours, and takes it" } else { "" };
        let subject = if subject.is_empty() { "without a subject" } else { subject };
        format!("{subject}, issued by {issuer}, {}, {trusted}{ours}", ends(*days_left))
    }
}

/// Findings under their names.
fn as_members<S: Serializer>(found: &[sink::Found], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(found.iter().map(|(what, words)| (what.replace(' ', "_"), words)))
}

/// Only the proxy can be tried from here; what lies behind it is for a question of the sink's own.
async fn through(proxy: &url::Url, host: &str, port: u16) -> Result<String, String> {
    let (proxy_host, proxy_port) =
        (proxy.host_str().unwrap_or_default(), proxy.port_or_known_default().unwrap_or(1080));
    let bare = proxy_host.trim_start_matches('[').trim_end_matches(']');
    let seen = shake(bare, proxy_port, None).await.map_err(|failed| format!("the proxy {}", failed.why))?;
    let took = milliseconds(seen.took);
    Ok(format!(
        "the proxy {proxy_host}:{proxy_port} in {took} ms; not looked at behind it: {host}:{port} and its certificate"
    ))
}

fn daemon_words(status: &SinkStatus) -> String {
    let SinkStatus { state, error, delivered, refused, .. } = status;
    let error = error.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("the running daemon says: {state}, {delivered} delivered, {refused} refused{error}")
}
