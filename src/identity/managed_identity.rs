//! The credential `managed_identity`: the platform vouches for the host, and there is no secret at all. Three endpoints: of a
//! virtual machine, of App Service and its like, and of a machine that Azure Arc manages. All of them are on this host or its
//! link: never asked through a proxy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use reqwest::{RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeroize::Zeroizing;

use crate::identity::grant::{self, Grant};
use crate::identity::{Credential, Fingerprint, TokenError, arc, environment};
use crate::model::page::excerpt;
use crate::transport::blot::Blot;
use crate::transport::call::Call;
use crate::transport::http::{body, call_causes, retry_after};

/// The endpoint of a virtual machine, which no route leaves the host to (Entra's `how-to-use-vm-token` page).
const VIRTUAL_MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
/// Bytes of an answer at most.
const ANSWER_SIZE_MAX: u64 = 64 * 1024;

/// Who vouches for this host.
#[derive(Debug, Clone)]
enum Platform {
    /// The metadata service of a virtual machine.
    VirtualMachine(Url),
    /// App Service, Functions, Container Apps. The header proves that we are the one it was started for.
    AppService { endpoint: Url, header: SecretString },
    /// A machine elsewhere that Arc manages, and where its agent puts its challenges.
    Arc { endpoint: Url, proofs: PathBuf },
}

/// One request for a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The API that the token is for, without `/.default`.
    pub(crate) audience: &'a str,
    /// A user-assigned identity; none: the one of the host.
    pub(crate) client_id: Option<&'a str>,
    /// From connecting to the last byte.
    pub(crate) timeout: Duration,
}

/// What the failure of an identity is remembered by.
pub(crate) fn fingerprint(client_id: Option<&str>) -> Fingerprint {
    Fingerprint::of(format!("managed identity {}", client_id.unwrap_or_default()).as_bytes())
}

/// Asks whoever vouches for this host. The client must use no proxy and follow no redirect.
///
/// # Errors
/// Nobody does, the identity is not there, or it does not work at the moment.
pub(crate) async fn ask(http: &reqwest::Client, request: Request<'_>) -> Result<Grant, TokenError> {
    let platform = Platform::of(&environment, Path::new(arc::AGENT).exists()).map_err(refused)?;
    platform.ask(http, request).await
}

impl Platform {
    /// By the variables that the platforms set, in the order of Microsoft's own libraries.
    fn of(variable: &dyn Fn(&str) -> Option<String>, has_arc_agent: bool) -> Result<Self, String> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let url = |name: &str, value: &str| -> Result<Url, String> {
            let url = value.parse::<Url>().ok().filter(|url| url.has_host());
            url.ok_or_else(|| format!("the environment variable {name} holds no URL"))
        };
        if set("IDENTITY_SERVER_THUMBPRINT").is_some() {
            return Err("the managed identities of Service Fabric are not supported: use a certificate".into());
        }
        let proofs = PathBuf::from(arc::DIRECTORY);
        match (set("IDENTITY_ENDPOINT"), set("IDENTITY_HEADER"), set("IMDS_ENDPOINT")) {
            (Some(endpoint), Some(header), _) => {
                Ok(Self::AppService { endpoint: url("IDENTITY_ENDPOINT", &endpoint)?, header: header.into() })
            }
            (Some(endpoint), None, Some(_)) => Ok(Self::Arc { endpoint: url("IDENTITY_ENDPOINT", &endpoint)?, proofs }),
            (Some(_), None, None) | (None, _, _) if has_arc_agent => {
                Ok(Self::Arc { endpoint: arc::ENDPOINT.parse().expect("a constant"), proofs })
            }
            (Some(_), None, None) | (None, _, _) => {
                let mut endpoint: Url = VIRTUAL_MACHINE.parse().expect("a constant");
                let name = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
                if let Some(host) = set(name) {
                    endpoint = url(name, &host)?.join(endpoint.path()).map_err(|error| error.to_string())?;
                }
                Ok(Self::VirtualMachine(endpoint))
            }
        }
    }

    async fn ask(&self, http: &reqwest::Client, request: Request<'_>) -> Result<Grant, TokenError> {
        match self {
            Self::VirtualMachine(endpoint) => {
                let url = url(endpoint, "2018-02-01", request);
                let asked = http.get(url.clone()).timeout(request.timeout).header("Metadata", "true");
                self.grant(&url, asked, None).await
            }
            Self::AppService { endpoint, header } => {
                let value = sensitive(header.expose_secret())
                    .ok_or_else(|| refused("IDENTITY_HEADER holds nothing that a header can carry".into()))?;
                let url = url(endpoint, "2019-08-01", request);
                let asked = http.get(url.clone()).timeout(request.timeout).header("X-IDENTITY-HEADER", value);
                self.grant(&url, asked, Some(header)).await
            }
            Self::Arc { endpoint, proofs } => self.ask_arc(http, endpoint, proofs, request).await,
        }
    }

    /// Arc asks for something that only its group can read, in a file that it names.
    async fn ask_arc(
        &self,
        http: &reqwest::Client,
        endpoint: &Url,
        proofs: &Path,
        request: Request<'_>,
    ) -> Result<Grant, TokenError> {
        if request.client_id.is_some() {
            let remedy = "Azure Arc knows the identity of the machine only: leave client_id out";
            return Err(refused(remedy.into()));
        }
        let url = url(endpoint, "2020-06-01", request);
        let ask = || http.get(url.clone()).timeout(request.timeout).header("Metadata", "true");
        let mut call = self.call(&url, None);
        let challenge = self.send(ask(), &mut call).await?;
        if challenge.status() != StatusCode::UNAUTHORIZED {
            return self.granted(challenge, None, call).await;
        }
        drop(call);
        let path = arc::challenged(challenge.headers()).map_err(refused)?;
        let proof = arc::proof(&path, proofs).map_err(refused)?;
        let basic = Zeroizing::new(format!("Basic {}", proof.expose_secret()));
        let value = sensitive(&basic).expect("`proof` takes nothing that a header cannot carry");
        self.grant(&url, ask().header(AUTHORIZATION, value), Some(&proof)).await
    }

    /// The whole of one call.
    async fn grant(&self, url: &Url, asked: RequestBuilder, proof: Option<&SecretString>) -> Result<Grant, TokenError> {
        let mut call = self.call(url, proof);
        let response = self.send(asked, &mut call).await?;
        self.granted(response, proof, call).await
    }

    fn call(&self, url: &Url, proof: Option<&SecretString>) -> Call {
        Call::for_token(Credential::ManagedIdentity.kind(), "GET", url, || Blot::of(proof))
    }

    async fn send(&self, asked: RequestBuilder, call: &mut Call) -> Result<Response, TokenError> {
        let remedy = match self {
            Self::VirtualMachine(_) => "; is this a virtual machine of Azure?",
            Self::Arc { .. } => "; does the agent of Azure Arc run?",
            Self::AppService { .. } => "",
        };
        let response = asked.send().await.map_err(|error| TokenError::Unavailable {
            why: format!("{} cannot be reached: {}{remedy}", self.name(), call_causes(error)),
            after: Duration::ZERO,
        });
        match &response {
            Ok(response) => call.answered(response.status(), response.headers()),
            Err(error) => call.failed(error),
        }
        response
    }

    /// `proof` is what was sent to prove ourselves, and must not come back in a message.
    async fn granted(
        &self,
        response: Response,
        proof: Option<&SecretString>,
        mut call: Call,
    ) -> Result<Grant, TokenError> {
        let outcome = self.read(response, &mut call).await;
        let outcome = outcome.map_err(|error| error.reworded(|why| Blot::of(proof).out(why)));
        grant::trace(&mut call, &outcome);
        outcome
    }

    async fn read(&self, response: Response, call: &mut Call) -> Result<Grant, TokenError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = body(response, ANSWER_SIZE_MAX).await.map(Zeroizing::new).map_err(|error| {
            let why = format!("{}: {error}", self.name());
            TokenError::Unavailable { why, after: Duration::ZERO }
        })?;
        call.read(bytes.len());
        if status == StatusCode::OK {
            return grant::read_until(status, &headers, &bytes);
        }
        call.refused(grant::code(&bytes));
        // The platform passes on what Entra says, such as that the tenant does not know the API.
        if let Some(error) = grant::of_entra(status, &headers, &bytes) {
            return Err(error);
        }
        let after = retry_after(&headers).unwrap_or_default();
        let why = format!("{} answered {}", self.name(), status.as_u16());
        Err(match status.as_u16() {
            400 | 401 | 403 => {
                let remedy =
                    "does this host have a managed identity, and is client_id that of one that is assigned to it?";
                TokenError::Refused {
                    why: format!("{why}: {}; {remedy}", excerpt(&String::from_utf8_lossy(&bytes))),
                    after,
                }
            }
            429 => TokenError::Throttled { why, after },
            // 404 and 410 are of a metadata service that is being renewed.
            _ => TokenError::Unavailable { why, after },
        })
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::VirtualMachine(_) => "the metadata service of the virtual machine",
            Self::AppService { .. } => "the identity endpoint of App Service",
            Self::Arc { .. } => "the identity endpoint of Azure Arc",
        }
    }
}

fn url(endpoint: &Url, version: &str, request: Request<'_>) -> Url {
    let mut query = vec![("api-version", version), ("resource", request.audience)];
    query.extend(request.client_id.map(|id| ("client_id", id)));
    let mut url = endpoint.clone();
    url.query_pairs_mut().extend_pairs(query);
    url
}

/// A header that no log of the HTTP library shows.
fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn refused(why: String) -> TokenError {
    TokenError::Refused { why, after: Duration::ZERO }
}

#[cfg(test)]
mod tests;
