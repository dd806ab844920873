//! The way through a proxy: who we are to it, and what goes around it. It speaks to no proxy itself, which is the HTTP client's
//! business, and it never falls back to a direct way: a proxy that cannot be used is an error.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{NoProxy, Proxy};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::transport::secret::{SecretError, SecretSource};
use crate::transport::tls;

/// Bytes of a user name or a password at most: what SOCKS5 can carry (RFC 1929 section 2), and more than anybody has.
pub const CREDENTIAL_SIZE_MAX: usize = 255;

/// What goes with `proxy_url`: the table `proxy` beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Proxy", extend("dependentRequired" = { "user": ["password"], "password": ["user"] }))]
pub struct Settings {
    /// Who we are to the proxy: basic authentication (RFC 7617), or that of SOCKS5 (RFC 1929).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its password, read anew for each connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// What is asked directly: hosts and domains with all below them, addresses, networks such as `10.0.0.0/8`, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_proxy: Vec<String>,
    /// TLS to an `https://` proxy. Without `ca_file` it is trusted by whom the far side is.
    #[serde(skip_serializing_if = "is_default")]
    pub tls: tls::Config,
}

fn is_default(tls: &tls::Config) -> bool {
    *tls == tls::Config::default()
}

/// Why a proxy cannot be used. Never holds a password or the URL.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The password cannot be read.
    #[error("proxy.password: {0}")]
    Secret(#[from] SecretError),
    /// The URL is not one of a proxy.
    #[error("proxy_url: not the address of a proxy")]
    Url,
    /// User or password are too long, or only one of them is there.
    #[error("proxy.user and proxy.password: both are needed, and each is at most {CREDENTIAL_SIZE_MAX} bytes")]
    Credential,
    /// The HTTP client's own reason.
    #[error("the proxy cannot be used: {0}")]
    Client(String),
}

impl Settings {
    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with them as far as they alone tell: the key below `proxy`, what, and what would be right. Shows no
    /// value, since a password may have been written into the wrong line.
    pub fn problems(&self, url: Option<&Url>) -> Vec<(&'static str, &'static str, &'static str)> {
        let Some(url) = url else {
            let is_set = !self.is_default();
            let problem =
                ("", "of no use without proxy_url", "name the proxy: proxy_url = \"http://proxy.example.net:3128\"");
            return is_set.then_some(problem).into_iter().collect();
        };
        let is_user = |user: &String| {
            (1..=CREDENTIAL_SIZE_MAX).contains(&user.len()) && !user.contains(':') && !user.contains(char::is_control)
        };
        let checks = [
            (
                self.user.is_none() && self.password.is_some(),
                ("user", "missing beside a password", "such as user = \"xdrelay\""),
            ),
            (
                self.user.is_some() && self.password.is_none(),
                (
                    "password",
                    "missing beside a user",
                    "such as password = { file = \"/run/credentials/xdrelay.service/proxy\" }",
                ),
            ),
            (
                !self.user.as_ref().is_none_or(is_user),
                ("user", "not the name of a user", "1 to 255 bytes without a colon and without control characters"),
            ),
            (
                !self.no_proxy.iter().all(|entry| goes_around(entry)),
                (
                    "no_proxy",
                    "an entry is neither a host, nor a domain, nor an address, nor a network",
                    "such as \"siem.example.net\", \".example.net\", \"10.0.0.0/8\" or \"*\": no scheme, no port, no other wildcard",
                ),
            ),
            (
                !is_default(&self.tls) && url.scheme() != "https",
                ("tls", "the proxy is not https://", "use https:// in proxy_url, or leave it out"),
            ),
        ];
        checks.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, problem)| problem).collect()
    }

    /// The way through the proxy at `url`. Reads the password.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub fn route(&self, url: &Url) -> Result<Proxy, ProxyError> {
        usable(url)?;
        let around = self.around();
        match (&self.user, &self.password) {
            (None, None) => {
                let proxy =
                    Proxy::all(url.clone()).map_err(|error| ProxyError::Client(error.without_url().to_string()))?;
                Ok(proxy.no_proxy(NoProxy::from_string(&around)))
            }
            (Some(user), Some(password)) => {
                let sign_in = SignIn::new(url.clone(), user.clone(), password.clone())?;
                // reqwest does not look at `no_proxy` of a proxy that is asked for each time.
                let matcher = Matcher::builder().all(url.as_str()).no(around).build();
                Ok(Proxy::custom(move |far| {
                    let far = far.as_str().parse().ok()?;
                    matcher.intercept(&far).map(|_| sign_in.now())
                }))
            }
            (Some(_), None) | (None, Some(_)) => Err(ProxyError::Credential),
        }
    }
}

impl Settings {
    /// Whether the far side is asked through the proxy at `url`, and not directly.
    pub fn takes(&self, url: &Url, far: &Url) -> bool {
        let matcher = Matcher::builder().all(url.as_str()).no(self.around()).build();
        far.as_str().parse().is_ok_and(|far| matcher.intercept(&far).is_some())
    }

    /// `no_proxy` in the words of the client, where `*` means every name and no address.
    fn around(&self) -> String {
        let entries = self.no_proxy.iter().map(|entry| match entry.trim() {
            "*" => "*,0.0.0.0/0,::/0",
            entry => entry,
        });
        entries.collect::<Vec<_>>().join(",")
    }
}

/// Whether `no_proxy` understands it. What it does not understand it takes for a domain that never fits.
fn goes_around(entry: &str) -> bool {
    let entry = entry.trim();
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let is_network = |(address, size): (&str, &str)| match (address.parse(), size.parse::<u8>()) {
        (Ok(std::net::IpAddr::V4(_)), Ok(size)) => size <= 32,
        (Ok(std::net::IpAddr::V6(_)), Ok(size)) => size <= 128,
        (Err(_), _) | (_, Err(_)) => false,
    };
    entry == "*"
        || is_name(entry)
        || entry.parse::<std::net::IpAddr>().is_ok()
        || entry.split_once('/').is_some_and(is_network)
}

/// Whoever we are to the proxy, with the password as it is in its file now.
struct SignIn {
    url: Url,
    user: String,
    password: SecretSource,
    last: Mutex<Url>,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("password", &self.password).finish_non_exhaustive()
    }
}

impl SignIn {
    fn new(url: Url, user: String, password: SecretSource) -> Result<Self, ProxyError> {
        let last = Mutex::new(signed_in(&url, &user, &password.read()?)?);
        Ok(Self { url, user, password, last })
    }

    /// The proxy's URL as the client wants it. While the password cannot be read, the one before counts: without a URL the
    /// client would go around the proxy.
    fn now(&self) -> Url {
        let read = self.password.read().ok().and_then(|password| signed_in(&self.url, &self.user, &password).ok());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = read {
            *last = next;
        }
        last.clone()
    }
}

/// The URL with the credential in it, every byte of it but letters and digits encoded: `Url` itself leaves a `%` as it is, and
/// whoever decodes it makes another password of it.
fn signed_in(url: &Url, user: &str, password: &SecretString) -> Result<Url, ProxyError> {
    let password = password.expose_secret();
    if CREDENTIAL_SIZE_MAX < user.len().max(password.len()) || user.is_empty() {
        return Err(ProxyError::Credential);
    }
    let mut url = url.clone();
    url.set_username(&encoded(user)).map_err(|()| ProxyError::Url)?;
    url.set_password(Some(&encoded(password))).map_err(|()| ProxyError::Url)?;
    usable(&url)?;
    Ok(url)
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The client reads the URL in its own way, and goes around a proxy that it cannot read, without a word.
fn usable(url: &Url) -> Result<(), ProxyError> {
    let is_known = matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
    let is_read = url.as_str().parse::<::http::Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    if is_known && is_read { Ok(()) } else { Err(ProxyError::Url) }
}

/// The way to a far side, for whoever must not show what was said to the proxy on it.
#[derive(Debug, Clone, Default)]
pub enum Way {
    /// Through none.
    #[default]
    Direct,
    /// Through the one that the environment names, if it does.
    Environment,
    /// Through this one.
    Proxy(Arc<(Url, Settings)>),
}

impl Way {
    /// The way of a client with these options.
    pub fn new(url: Option<&Url>, settings: Option<&Settings>) -> Self {
        match url {
            Some(url) => Self::Proxy(Arc::new((url.clone(), settings.cloned().unwrap_or_default()))),
            None => Self::Environment,
        }
    }

    /// What the proxy is told that nobody else may see: the password as it is now, alone and behind the name of the user.
    pub fn secrets(&self, far: &Url) -> Vec<SecretString> {
        let matcher = match self {
            Self::Direct => return Vec::new(),
            Self::Environment => Matcher::from_system(),
            Self::Proxy(proxy) => {
                let (url, Settings { user, password, .. }) = &**proxy;
                let (Some(user), Some(Ok(password))) = (user, password.as_ref().map(SecretSource::read)) else {
                    return Vec::new();
                };
                let signed = signed_in(url, user, &password).map(|signed| Zeroizing::new(String::from(signed)));
                let Ok(signed) = signed else { return vec![password] };
                Matcher::builder().all(signed.as_str()).build()
            }
        };
        let Some(proxy) = far.as_str().parse().ok().and_then(|far| matcher.intercept(&far)) else { return Vec::new() };
        let basic = |value: &str| {
            STANDARD.decode(value.strip_prefix("Basic ")?).ok().and_then(|pair| String::from_utf8(pair).ok())
        };
        let pair = match (proxy.basic_auth(), proxy.raw_auth()) {
            (Some(header), _) => header.to_str().ok().and_then(basic),
            (None, Some((user, password))) => Some(format!("{user}:{password}")),
            (None, None) => None,
        };
        let Some(pair) = pair.map(Zeroizing::new) else { return Vec::new() };
        let password = pair.split_once(':').map_or_else(String::new, |(_, password)| password.to_owned());
        vec![SecretString::from(pair.as_str()), SecretString::from(password)]
    }
}

/// Words of reqwest and hyper about a proxy, and what to do about them. The first that fits counts.
const REMEDIES: [(&str, &str); 10] = [
    ("proxy authorization required", SIGN_IN),
    ("credentials not accepted", SIGN_IN),
    ("server does not support user/pass authentication", SIGN_IN),
    ("server implements authentication incorrectly", SIGN_IN),
    ("failed to create underlying connection", "that is the proxy itself: check proxy_url, proxy.tls and HTTPS_PROXY"),
    ("tunnel error: unsuccessful", "the proxy refuses this host or cannot reach it: its log says why"),
    ("tunnel error: unexpected end of file", HUNG_UP),
    ("io error establishing tunnel", HUNG_UP),
    ("io error during SOCKS handshake", HUNG_UP),
    ("connecting to socks proxy", "check proxy_url, and whether the proxy may reach this host: its log says why"),
];

const HUNG_UP: &str = "the proxy hung up: check proxy_url (https:// for one that speaks TLS) and proxy.tls, and check proxy.user and \
                       proxy.password";

/// What to do where a proxy does not know us.
pub const SIGN_IN: &str = "the proxy wants a user and a password, or others: check proxy.user and proxy.password";

/// What to do about a failed call whose causes read like this, where the proxy is the reason.
pub(in crate::transport) fn remedy(causes: &str) -> Option<&'static str> {
    REMEDIES.iter().find(|(words, _)| causes.contains(words)).map(|(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn every_password_arrives_as_it_is() {
        let check = |scheme: &str, password: &str| {
            let url = url(&format!("{scheme}://proxy.example.net:3128"));
            let signed = signed_in(&url, "me", &SecretString::from(password)).expect("a URL");
            let matcher = Matcher::builder().all(signed.as_str()).build();
            let way = matcher.intercept(&"https://x.example".parse().expect("a URI")).expect("not around");
            let basic = |user: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            match scheme {
                "socks5h" => assert_eq!(way.raw_auth(), Some(("me", password))),
                _ => assert_eq!(way.basic_auth().and_then(|value| value.to_str().ok()), Some(basic("me").as_str())),
            }
            assert!(!way.uri().to_string().contains('@'), "{password}");
        };
        for password in
            ["plain", "a%41b", "100%", "p@ss:w/o?r#d[]", "über alles \u{1F511}", "\"'<>\\^`{|}", &"x".repeat(255)]
        {
            check("http", password);
            check("https", password);
            check("socks5h", password);
        }
    }

    #[test]
    fn what_the_proxy_is_told_is_known_and_what_it_is_not_told_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("password");
        std::fs::write(&path, "p@ss:w/o%41rd\n").expect("written");
        let settings = Settings {
            user: Some("me".into()),
            password: Some(SecretSource::file(&path)),
            no_proxy: vec!["near.example".into()],
            ..Settings::default()
        };
        let check = |way: &Way, expected: &[&str]| {
            let secrets = way.secrets(&url("https://far.example/x"));
            assert_eq!(secrets.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>(), expected);
        };
        for scheme in ["http", "https", "socks5h"] {
            let proxy = url(&format!("{scheme}://proxy.example.net:3128"));
            check(&Way::new(Some(&proxy), Some(&settings)), &["me:p@ss:w/o%41rd", "p@ss:w/o%41rd"]);
            check(&Way::new(Some(&proxy), None), &[]);
        }
        check(&Way::Direct, &[]);
        std::fs::remove_file(&path).expect("removed");
        check(&Way::new(Some(&url("http://proxy.example.net:3128")), Some(&settings)), &[]);
    }

    #[test]
    fn what_cannot_be_used_is_an_error_and_never_a_way_around() {
        let check = |user: Option<&str>, password: Option<&str>, proxy: &str, words: &str| {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("password");
            password.iter().for_each(|text| std::fs::write(&path, text).expect("written"));
            let password = password.map(|_| SecretSource::file(&path));
            let settings = Settings { user: user.map(str::to_owned), password, ..Settings::default() };
            let error = settings.route(&url(proxy)).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        let proxy = "http://proxy.example.net:3128";
        check(Some("me"), None, proxy, "both are needed");
        check(None, Some("x"), proxy, "both are needed");
        check(Some("me"), Some(&"x".repeat(256)), proxy, "at most 255 bytes");
        check(Some("me"), Some(""), proxy, "proxy.password");
        check(None, None, "ftp://proxy.example.net", "proxy_url");
        check(None, None, "socks5://pro\"xy", "proxy_url");
    }

    #[test]
    fn a_password_that_is_gone_for_a_while_keeps_the_one_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("password");
        let put = |text: &str| std::fs::write(&path, text).expect("written");
        put("first\n");
        let sign_in =
            SignIn::new(url("http://p.example:1"), "me".into(), SecretSource::file(&path)).expect("a password");
        let check = |password: &str| assert_eq!(sign_in.now().password(), Some(password));
        check("first");
        put("second");
        check("second");
        put("");
        check("second");
        std::fs::remove_file(&path).expect("removed");
        check("second");
        put("third");
        check("third");
        assert!(!format!("{sign_in:?}").contains("third"));
    }

    #[test]
    fn what_goes_around_is_read_as_the_client_reads_it() {
        let check = |entry: &str, expected: bool| assert_eq!(goes_around(entry), expected, "{entry}");
        for entry in ["*", "example.net", ".example.net", "10.0.0.0/8", "fd00::/8", "192.0.2.1", "::1", "host_name"] {
            check(entry, true);
        }
        for entry in ["", " ", "*.example.net", "https://x", "host:443", "a,b", "10.0.0.0/33", "10.0.0/8", "x/8", "a b"]
        {
            check(entry, false);
        }
    }
}
