//! Elastic Cloud's id of a deployment, which says where its Elasticsearch is. Asks nobody.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, DecodePaddingMode::Indifferent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// With or without padding: it is copied by hand.
const PADDING: DecodePaddingMode = Indifferent;
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_padding_mode(PADDING));

/// `NAME:BASE64`, where the second part is `host[:port]$elasticsearch[:port]$kibana`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline)]
pub struct CloudId {
    text: String,
    url: Url,
}

impl CloudId {
    /// `https://elasticsearch.host:port`.
    pub const fn url(&self) -> &Url {
        &self.url
    }
}

impl TryFrom<String> for CloudId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |why: &str| format!("is no Cloud ID: {why}; copy it from the deployment's page in Elastic Cloud");
        let encoded = text.rsplit_once(':').map_or(text.as_str(), |(_, encoded)| encoded);
        let decoded = BASE64.decode(encoded.trim()).map_err(|_| wrong("what follows the last colon is no base64"))?;
        let decoded = String::from_utf8(decoded).map_err(|_| wrong("it holds no text"))?;
        let mut parts = decoded.split('$');
        let (Some(host), Some(deployment)) = (parts.next(), parts.next()) else {
            return Err(wrong("it names no host and no deployment"));
        };
        let (host, common) = with_port(host).ok_or_else(|| wrong("the port is no number"))?;
        let (deployment, own) = with_port(deployment).ok_or_else(|| wrong("the port is no number"))?;
        if !is_name(host) || !is_name(deployment) {
            return Err(wrong("it names no host and no deployment"));
        }
        let port = own.or(common).unwrap_or(443);
        let url = Url::parse(&format!("https://{deployment}.{host}:{port}"));
        Ok(Self { url: url.map_err(|_| wrong("it names no host"))?, text })
    }
}

impl From<CloudId> for String {
    fn from(id: CloudId) -> Self {
        id.text
    }
}

impl fmt::Display for CloudId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn with_port(text: &str) -> Option<(&str, Option<u16>)> {
    match text.split_once(':') {
        None => Some((text, None)),
        Some((name, port)) => Some((name, Some(port.parse().ok()?))),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_id_says_where_the_deployment_is() {
        let check = |decoded: &str, expected: &str| {
            let id = CloudId::try_from(format!("my:deployment:{}", BASE64.encode(decoded))).expect(decoded);
            assert_eq!(id.url().as_str(), expected);
            let id = CloudId::try_from(BASE64.encode(decoded).trim_end_matches('=').to_owned()).expect(decoded);
            assert_eq!(id.url().as_str(), expected, "without a name, without padding");
        };
        check("eu-central-1.example.net$4fa8821e$7d2e", "https://4fa8821e.eu-central-1.example.net/");
        check("example.net:9243$4fa8821e$7d2e", "https://4fa8821e.example.net:9243/");
        check("example.net:9243$4fa8821e:9244$", "https://4fa8821e.example.net:9244/");
        check("example.net$4fa8821e", "https://4fa8821e.example.net/");
    }

    #[test]
    fn what_is_no_cloud_id_is_said_without_repeating_it() {
        let check = |text: &str, word: &str| {
            let why = CloudId::try_from(text.to_owned()).expect_err(text);
            assert!(why.contains(word) && (text.is_empty() || !why.contains(text)), "{why}");
        };
        check("", "no host");
        check("deployment:!!!", "base64");
        check(&BASE64.encode([0xff, 0xfe]), "text");
        check(&BASE64.encode("example.net"), "deployment");
        check(&BASE64.encode("$abc"), "host");
        check(&BASE64.encode("example.net:x$abc"), "port");
        check(&BASE64.encode("example.net/path?$abc"), "host");
        check(&BASE64.encode("user@example.net$abc"), "host");
    }
}
