//! Signs in for the Logs Ingestion API and sends nothing: it has no call that tries the right to write and writes no row.

use std::time::Instant;

use crate::sink::Found;
use crate::sink::azure_monitor::Config;
use crate::sink::azure_monitor::sender::AzureMonitor;

/// How the token was got.
///
/// # Errors
/// There is none.
pub(super) async fn sign_in(config: &Config) -> Result<Vec<Found>, String> {
    let sink = AzureMonitor::open(config).map_err(|error| error.to_string())?;
    let began = Instant::now();
    sink.tokens.token().await.map_err(|error| error.to_string())?;
    let (how, took) = (sink.tokens.credential(), began.elapsed().as_millis());
    let left = sink.tokens.expires_in().unwrap_or_default().as_secs();
    let token = format!("by {how} in {took} ms, good for {left} s");
    let rights = "to write: Azure tells of the role on the rule, and of the stream, with the first event";
    Ok(vec![("token", token), ("not tried", rights.into())])
}
