//! Asks a cluster what it is (`GET /`), with the credential. Writes nothing and asks for no right but that one.

use reqwest::StatusCode;
use serde::Deserialize;

use crate::model::page::excerpt;
use crate::sink::Found;
use crate::sink::elasticsearch::Config;
use crate::sink::elasticsearch::auth::Auth;
use crate::sink::http::answer::Answer;
use crate::sink::http::client::client;
use crate::transport::blocking::Blocking;
use crate::transport::http::{call_causes, is_loopback};

/// How a cluster introduces itself.
#[derive(Deserialize)]
struct Greeting {
    cluster_name: String,
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    number: String,
    /// `opensearch`, or nothing.
    distribution: Option<String>,
}

/// What the cluster says.
///
/// # Errors
/// It does not answer, fails, or does not take the credential.
pub(super) async fn ask(config: &Config) -> Result<Vec<Found>, String> {
    let (_, url) = config.address().ok_or("neither `url` nor `cloud_id`")?;
    let place = url.origin().ascii_serialization();
    let desk = Blocking::new(config.auth.clone(), config.timeout.0);
    let credential = desk.run(|auth| auth.as_ref().map(Auth::credential).transpose()).await;
    let credential = credential.map_err(|unfinished| format!("the credential is not read: {unfinished}"))??;
    let hide = |text: String| credential.as_ref().map_or_else(|| text.clone(), |credential| credential.hide(&text));
    let mut request = client(&config.tls, config.proxy_url.as_ref(), &config.proxy, config.timeout, is_loopback(url))?
        .get(url.clone());
    if let Some(credential) = &credential {
        request = request.header(&credential.name, credential.value.clone());
    }
    let response =
        request.send().await.map_err(|error| format!("{place} cannot be reached: {}", hide(call_causes(error))))?;
    let (answer, body) = Answer::read_with_body(place, response, hide).await;
    let rights =
        ("not tried", format!("to write to {}: the cluster tells of that right with the first event", config.index));
    Ok(vec![understood(&answer, &body, credential.is_some())?, rights])
}

fn understood(answer: &Answer, body: &[u8], has_credential: bool) -> Result<Found, String> {
    let credential = if has_credential { ", and takes the credential" } else { "" };
    match (answer.status, serde_json::from_slice::<Greeting>(body)) {
        (status, Ok(Greeting { cluster_name, version })) if status.is_success() => {
            let make = excerpt(version.distribution.as_deref().unwrap_or("elasticsearch"));
            let (number, name) = (excerpt(&version.number), excerpt(&cluster_name));
            Ok(("cluster", format!("it is {make} {number}, cluster {name}{credential}")))
        }
        (StatusCode::UNAUTHORIZED, _) => {
            Err(format!("{}; the credential is missing or wrong: put it right under `auth`", answer.said()))
        }
        (StatusCode::FORBIDDEN, _) => {
            let why = "not confirmed: it answers and may not tell its version to us (403), which a credential for writing needs not";
            Ok(("cluster", why.into()))
        }
        (status, _) if status.is_server_error() => Err(answer.said()),
        (_, _) => Ok(("cluster", format!("not confirmed: {}", answer.said()))),
    }
}
