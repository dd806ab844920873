//! The command line's side of the Unix socket: asks a running daemon, or tells it to do something. Says clearly where there
//! is none.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::admin::server::SOCKET;
use crate::transport::http::{body, causes};

/// A daemon answers from memory, except for an incident, which waits for the quota and the API.
const TIMEOUT: Duration = Duration::from_secs(150);
/// Bytes of one line that is followed.
const LINE_MAX: usize = 64 * 1024;
/// Bytes of an answer at most: the largest is an incident, which no `max_incident_size` lets be larger than 1 GiB.
const ANSWER_SIZE_MAX: u64 = 1 << 30;

/// What a daemon answered.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The text.
    pub body: String,
}

/// A daemon that can be asked.
#[derive(Debug)]
pub struct Control {
    client: reqwest::Client,
    socket: PathBuf,
}

/// The daemon that holds this state directory. None where none runs there.
///
/// # Errors
/// Whether one runs cannot be told, since this user may not look; or the client cannot be made.
pub async fn connect(state_dir: &Path) -> Result<Option<Control>, String> {
    let socket = state_dir.join(SOCKET);
    match tokio::net::UnixStream::connect(&socket).await {
        Ok(_) => {}
        // A socket that nobody listens on is left behind by a killed daemon.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => {
            let may_ask = error.kind() != ErrorKind::PermissionDenied;
            let remedy = if may_ask { "" } else { "; run this with sudo, or as the user that the daemon runs as" };
            return Err(format!("cannot tell whether a daemon runs: {}: {error}{remedy}", socket.display()));
        }
    }
    let tls = crate::transport::tls::Config::default().client(None).map_err(|error| error.to_string())?;
    let client = reqwest::Client::builder()
        .unix_socket(socket.as_path())
        .read_timeout(TIMEOUT)
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|error| causes(&error))?;
    Ok(Some(Control { client, socket }))
}

/// Asks the daemon that holds this state directory. None where none runs there.
///
/// # Errors
/// A daemon is there and does not answer; the text says how.
pub async fn ask(state_dir: &Path, path_and_query: &str) -> Result<Option<Reply>, String> {
    match connect(state_dir).await? {
        Some(control) => control.get(path_and_query).await.map(Some),
        None => Ok(None),
    }
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    encoded.replace('+', "%20")
}

impl Control {
    /// Asks.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub async fn get(&self, path_and_query: &str) -> Result<Reply, String> {
        self.whole(self.client.get(url(path_and_query))).await
    }

    /// Tells it to do something.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub async fn post(&self, path: &str, what: &impl Serialize) -> Result<Reply, String> {
        self.whole(self.posting(path, what)?).await
    }

    /// Tells it to do something that takes its time, and hands on each line of its answer, as long as one comes every now
    /// and then. The reply has what was no line: the reason of a refusal.
    ///
    /// # Errors
    /// The daemon does not answer, or stops in the middle.
    pub async fn follow(
        &self,
        path: &str,
        what: &impl Serialize,
        mut line: impl FnMut(&[u8]),
    ) -> Result<Reply, String> {
        let mut response = self.posting(path, what)?.send().await.map_err(|error| self.silent(&error))?;
        let status = response.status().as_u16();
        if status != 200 {
            return self.reply(response).await;
        }
        let mut rest = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.silent(&error))? {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                line(&rest[..end]);
                rest.drain(..=end);
            }
            if LINE_MAX < rest.len() {
                return Err(format!("the daemon at {} says a line without an end", self.socket.display()));
            }
        }
        Ok(Reply { status, body: String::new() })
    }

    fn posting(&self, path: &str, what: &impl Serialize) -> Result<reqwest::RequestBuilder, String> {
        let body = serde_json::to_vec(what).map_err(|error| error.to_string())?;
        Ok(self.client.post(url(path)).header(http::header::CONTENT_TYPE, "application/json").body(body))
    }

    async fn whole(&self, request: reqwest::RequestBuilder) -> Result<Reply, String> {
        let response = request.timeout(TIMEOUT).send().await.map_err(|error| self.silent(&error))?;
        self.reply(response).await
    }

    async fn reply(&self, response: reqwest::Response) -> Result<Reply, String> {
        let status = response.status().as_u16();
        let body = body(response, ANSWER_SIZE_MAX).await.map_err(|error| self.mute(&error))?;
        let body = String::from_utf8(body).map_err(|error| self.mute(&error))?;
        Ok(Reply { status, body })
    }

    fn silent(&self, error: &reqwest::Error) -> String {
        self.mute(&causes(error))
    }

    fn mute(&self, why: &dyn std::fmt::Display) -> String {
        format!("the daemon at {} does not answer: {why}", self.socket.display())
    }
}

fn url(path_and_query: &str) -> String {
    format!("http://xdrelay{path_and_query}")
}
