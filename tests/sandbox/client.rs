//! An ordinary client of the sandbox: reqwest, as the daemon makes one, and as little else as possible.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::knobs::Knobs;
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::Settings;
use xdrelay::sandbox::world::World;
use xdrelay::transport::http::{Options, client};

/// A sandbox and somebody who signed in there.
pub(crate) struct Visitor {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: reqwest::Client,
    pub(crate) token: String,
    /// Before now, where the incidents of [`Visitor::with`] are made.
    pub(crate) start: Timestamp,
}

/// An answer, read to its end.
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a text"))
    }

    /// The ids of a page.
    pub(crate) fn ids(&self) -> Vec<u64> {
        let json = self.json();
        let rows = json["value"].as_array().unwrap_or_else(|| panic!("no page: {json}"));
        let id = |row: &Value| row["incidentId"].as_u64().or_else(|| row["id"].as_str()?.parse().ok());
        rows.iter().map(|row| id(row).expect("an id")).collect()
    }

    /// The message of an error.
    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {}", self.text())).to_owned()
    }
}

impl Visitor {
    /// A world of so many incidents, one per second, the last one a minute ago.
    pub(crate) async fn with(count: u32, settings: Settings) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sandbox = Sandbox::start(listen, World::new(Knobs::still(1)), settings).await.expect("a free port");
        let start = sandbox.now().floor_to_second().earlier(Duration::from_secs(60 + u64::from(count)));
        if 0 < count {
            let end = start.later(Duration::from_secs(count.into()));
            sandbox.world().create_many(count, 3_000, start, end);
        }
        let options = Options { timeout: Duration::from_secs(30), loopback: true, ..Options::default() };
        let client = client(&options).expect("a client");
        let mut visitor = Self { sandbox, client, token: String::new(), start };
        visitor.sign_in().await;
        visitor
    }

    pub(crate) async fn sign_in(&mut self) {
        let answer = self.token(&[]).await;
        self.token = answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned();
    }

    /// Signs in for Graph.
    pub(crate) async fn sign_in_at_graph(&mut self) {
        let answer = self.token(&[("scope", "https://graph.microsoft.com/.default")]).await;
        self.token = answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned();
    }

    /// As [`with`](Self::with), signed in for Graph.
    pub(crate) async fn at_graph(count: u32, settings: Settings) -> Self {
        let mut visitor = Self::with(count, settings).await;
        visitor.sign_in_at_graph().await;
        visitor
    }

    /// Asks for a token with these fields of the form replaced; an empty one is left out.
    pub(crate) async fn token(&self, other: &[(&str, &str)]) -> Heard {
        let tenant = other.iter().find(|(name, _)| *name == "tenant").map(|(_, tenant)| *tenant);
        let (id, secret) = (self.sandbox.client_id(), self.sandbox.secret());
        let usual = [
            ("grant_type", "client_credentials"),
            ("client_id", &id),
            ("client_secret", &secret),
            ("scope", "https://api.security.microsoft.com/.default"),
        ];
        let form: Vec<_> = usual
            .iter()
            .map(|(name, value)| {
                (*name, other.iter().find(|(other, _)| other == name).map_or(*value, |(_, other)| *other))
            })
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let path = format!("{}/oauth2/v2.0/token", tenant.unwrap_or(self.sandbox.tenant_id()));
        let url = self.sandbox.url().join(&path).expect("a URL");
        heard(self.client.post(url).form(&form)).await.expect("an answer")
    }

    /// Asks with the token; the query as it stands.
    pub(crate) async fn ask(&self, path: &str) -> Result<Heard, reqwest::Error> {
        let url = self.sandbox.url().join(path).expect("a URL");
        heard(self.client.get(url).bearer_auth(&self.token)).await
    }

    pub(crate) async fn list(&self, query: &str) -> Heard {
        self.ask(&format!("api/incidents?{query}")).await.expect("an answer")
    }

    /// What stands behind the path of Graph's list.
    pub(crate) async fn graph(&self, rest: &str) -> Heard {
        self.ask(&format!("v1.0/security/incidents{rest}")).await.expect("an answer")
    }

    /// So many seconds after the first incident.
    pub(crate) fn at(&self, seconds: u64) -> Timestamp {
        self.start.later(Duration::from_secs(seconds))
    }
}

/// Sends and reads everything.
pub(crate) async fn heard(request: reqwest::RequestBuilder) -> Result<Heard, reqwest::Error> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(Heard { status, headers, body: answer.bytes().await?.to_vec() })
}

/// What a decoder makes of some bytes.
pub(crate) fn decoded(mut decoder: impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).ok().map(|_| bytes)
}
