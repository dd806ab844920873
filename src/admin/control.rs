//! The command line's side of the Unix socket: asks a running daemon. Says clearly where there is none.

use std::path::Path;
use std::time::Duration;

use crate::admin::server::SOCKET;

/// A daemon answers from memory, except for an incident, which waits for the quota and the API.
const TIMEOUT: Duration = Duration::from_secs(150);

/// What a daemon answered.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The text.
    pub body: String,
}

/// Asks the daemon that holds this state directory. None where none runs there.
///
/// # Errors
/// A daemon is there and does not answer; the text says how.
pub async fn ask(state_dir: &Path, path_and_query: &str) -> Result<Option<Reply>, String> {
    let socket = state_dir.join(SOCKET);
    // A socket that nobody listens on is left behind by a killed daemon.
    if tokio::net::UnixStream::connect(&socket).await.is_err() {
        return Ok(None);
    }
    let describe = |error: reqwest::Error| {
        format!("the daemon at {} does not answer: {}", socket.display(), crate::transport::http::causes(&error))
    };
    let client = reqwest::Client::builder()
        .unix_socket(socket.as_path())
        .timeout(TIMEOUT)
        .no_proxy()
        .tls_backend_preconfigured(
            crate::transport::tls::Config::default().client(None).map_err(|error| error.to_string())?,
        )
        .build()
        .map_err(describe)?;
    let response = client.get(format!("http://xdrelay{path_and_query}")).send().await.map_err(describe)?;
    let status = response.status().as_u16();
    let body = response.text().await.map_err(describe)?;
    Ok(Some(Reply { status, body }))
}
