//! Asks HTTP Event Collector how it fares, and whether it takes the token, by a request that brings no event. Indexes nothing.
//!
//! Splunk's REST reference has `services/collector/health` (200, or 503 where queues are full), and code 5 (`No data`) as the
//! answer to a request of a good token without a body.

use reqwest::StatusCode;

use crate::sink::Found;
use crate::sink::http::answer::Answer;
use crate::sink::http::client::client;
use crate::sink::splunk_hec::Config;
use crate::sink::splunk_hec::connection::Connection;
use crate::sink::splunk_hec::endpoint::Endpoints;
use crate::transport::http::{call_causes, is_loopback};

/// What it says.
///
/// # Errors
/// It does not answer, its queues are full, or it does not take the token.
pub(super) async fn ask(config: &Config) -> Result<Vec<Found>, String> {
    let health = health(config).await?;
    let connection = Connection::open(config).map_err(|error| error.to_string())?;
    let reply = connection.send(Vec::new()).await.map_err(|error| error.to_string())?;
    let token = match reply.takes_token()? {
        true => "it takes the token".to_owned(),
        false => format!("not confirmed: to a request without events {}", reply.said()),
    };
    let rights = "the index: HEC tells with the first event whether the token may write to it";
    Ok(vec![("health", health), ("token", token), ("not tried", rights.into())])
}

async fn health(config: &Config) -> Result<String, String> {
    let mut url = Endpoints::of(&config.url)?.ack;
    let path = url.path().trim_end_matches("/ack").to_owned();
    url.set_path(&format!("{path}/health"));
    let place = url.origin().ascii_serialization();
    let request =
        client(&config.tls, config.proxy_url.as_ref(), &config.proxy, config.timeout, is_loopback(&url))?.get(url);
    let response =
        request.send().await.map_err(|error| format!("{place} cannot be reached: {}", call_causes(error)))?;
    let answer = Answer::read(place, response, |text| text).await;
    match answer.status {
        StatusCode::OK => Ok("it takes events".into()),
        StatusCode::SERVICE_UNAVAILABLE => Err(format!("it takes no events at the moment: {}", answer.said())),
        _ => Ok(format!("not confirmed: {}", answer.said())),
    }
}
