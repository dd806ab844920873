//! Who may come in by the admin port, and what every answer of it carries. Nothing behind it is reached by a page of somebody
//! else's in a browser here, nor, where there is a token, by anybody without it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::doorway::Peer;
use crate::admin::login;
use crate::admin::token::Keeper;
use crate::admin::tries::Tries;
use crate::core::said::Said;
use crate::model::moment::Moment;
use crate::transport::secret::{SecretError, SecretSource};

/// What strangers may ask all the same: probes, which are told no details then.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];
/// Where a browser shows the token.
pub(crate) const LOGIN: &str = "/login";
/// How often it is said that the token cannot be read.
const BROKEN_EVERY: Duration = Duration::from_secs(600);
/// Carried by every answer.
const HEADERS: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];
/// Of what is no page: nothing is loaded for it, and nobody frames it.
const NO_CONTENT: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Marks a request of somebody who showed no token where there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stranger;

/// The gate.
pub(crate) struct Gate {
    listen: SocketAddr,
    keeper: Option<Keeper>,
    tries: Mutex<Tries>,
    start: Instant,
    /// That the token cannot be read.
    said: Said,
}

/// What a token or a session is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// It lets in.
    Valid,
    /// It is wrong, or there is none.
    Wrong,
    /// Not looked at: too many were wrong.
    Wait(Duration),
    /// The token cannot be read.
    Broken,
}

impl Gate {
    /// The gate of a port that listens there. None where it needs a token and there is no randomness to be had.
    pub(crate) fn new(listen: SocketAddr, token: Option<SecretSource>) -> Option<Arc<Self>> {
        let keeper = match token {
            Some(source) => Some(Keeper::new(source)?),
            None => None,
        };
        Some(Arc::new(Self { listen, keeper, tries: Mutex::default(), start: Instant::now(), said: Said::default() }))
    }

    /// The token and its sessions; none where everybody may come in who reaches the port.
    pub(crate) const fn keeper(&self) -> Option<&Keeper> {
        self.keeper.as_ref()
    }

    /// Looks at a token that somebody shows, unless that somebody has to wait. Behind an address that many share the right one does not
    /// have to: a wrong one a minute would keep it out for ever.
    pub(crate) fn try_token(&self, token: &str, peer: IpAddr) -> Pass {
        self.try_token_at(token, peer, Instant::now())
    }

    fn try_token_at(&self, token: &str, peer: IpAddr, now: Instant) -> Pass {
        let Some(keeper) = &self.keeper else { return Pass::Valid };
        let tries = || self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = tries().wait(peer, now);
        if let Some(wait) = wait.filter(|_| !tries().is_shared(peer, now)) {
            return Pass::Wait(wait);
        }
        match (keeper.is_token(token), wait) {
            (Ok(true), _) => {
                tries().right(peer, now);
                Pass::Valid
            }
            (Ok(false), Some(wait)) => Pass::Wait(wait),
            (Ok(false), None) => {
                tries().wrong(peer, now);
                Pass::Wrong
            }
            (Err(error), _) => self.broken(&error),
        }
    }

    /// What a request shows: a token in its header, or a session in its cookie.
    fn pass(&self, headers: &HeaderMap, peer: IpAddr) -> Pass {
        let Some(keeper) = &self.keeper else { return Pass::Valid };
        if let Some(token) = bearer(headers) {
            return self.try_token(token, peer);
        }
        match login::session(headers).map(|name| keeper.is_session(name)) {
            Some(Ok(true)) => Pass::Valid,
            Some(Ok(false)) | None => Pass::Wrong,
            Some(Err(error)) => self.broken(&error),
        }
    }

    /// Nobody comes in any more, and monitoring is blind: somebody has to know.
    fn broken(&self, error: &SecretError) -> Pass {
        let now = Moment::from_nanos(1) + self.start.elapsed();
        if self.said.is_due(now, BROKEN_EVERY) {
            tracing::warn!(%error, "the token of the admin port cannot be read, nobody is let in");
        }
        Pass::Broken
    }

    /// On loopback a name of somebody else's that leads here (DNS rebinding) is turned away: to a browser it is an origin of
    /// theirs, and they could read what is answered.
    fn is_our_host(&self, request: &Request) -> bool {
        if !self.listen.ip().is_loopback() {
            return true;
        }
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let Some(host) = host.and_then(|host| host.parse::<Authority>().ok()) else { return false };
        let host = host.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|host| {
                host == self.listen.ip() || ["127.0.0.1", "::1"].iter().any(|ours| host.to_string() == *ours)
            })
    }
}

/// A page of somebody else's may link here, and neither read nor embed anything.
fn is_of_another_site(request: &Request) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_link = header("sec-fetch-mode") == Some("navigate") && request.method() == Method::GET;
    matches!(header("sec-fetch-site"), Some("cross-site" | "same-site")) && !is_link
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets a request in or turns it away, and puts the headers on whatever is answered.
pub(crate) async fn guard(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let mut response = admit(&gate, request, next).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NO_CONTENT));
    response
}

async fn admit(gate: &Gate, mut request: Request, next: Next) -> Response {
    if !gate.is_our_host(&request) {
        let why = "this port is for localhost; ask for it by that name or by its address\n";
        return (StatusCode::MISDIRECTED_REQUEST, why).into_response();
    }
    if is_of_another_site(&request) {
        return (StatusCode::FORBIDDEN, "not from a page of somebody else's\n").into_response();
    }
    let path = request.uri().path();
    if path == LOGIN {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|ConnectInfo(Peer(peer))| *peer);
    let Some(peer) = peer else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    match gate.pass(request.headers(), peer) {
        Pass::Valid => next.run(request).await,
        Pass::Wrong | Pass::Wait(_) | Pass::Broken if PROBES.contains(&path) => {
            request.extensions_mut().insert(Stranger);
            next.run(request).await
        }
        pass @ (Pass::Wrong | Pass::Wait(_) | Pass::Broken) => login::refusal(pass, request.headers(), path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().uri("/status");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(axum::body::Body::empty()).expect("a request")
    }

    fn check_host(listen: &str, host: &str, expected: bool) {
        let gate = Gate::new(listen.parse().expect("an address"), None).expect("no token");
        assert_eq!(gate.is_our_host(&request(&[("host", host)])), expected, "{host} at {listen}");
    }

    #[test]
    fn on_loopback_only_names_of_this_machine_are_ours() {
        for host in ["localhost", "LOCALHOST:9464", "127.0.0.1:9464", "[::1]:9464", "localhost:8080"] {
            check_host("127.0.0.1:9464", host, true);
            check_host("[::1]:9464", host, true);
        }
        for host in [
            "evil.example",
            "evil.example:9464",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "127.0.0.2",
            "",
            "@",
        ] {
            check_host("127.0.0.1:9464", host, false);
        }
        check_host("127.0.0.2:9464", "127.0.0.2:9464", true);
        check_host("192.0.2.1:9464", "xdrelay.example.net", true);
        let gate = Gate::new("127.0.0.1:9464".parse().expect("an address"), None).expect("no token");
        assert!(!gate.is_our_host(&request(&[])), "without a name");
    }

    #[test]
    fn a_wrong_token_keeps_no_right_one_out_that_shares_its_address() {
        const RIGHT: &str = "0123456789abcdef";
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("token"), RIGHT).expect("written");
        let source = SecretSource::file(dir.path().join("token"));
        let gate = Gate::new("0.0.0.0:9464".parse().expect("an address"), Some(source)).expect("randomness");
        let now = Instant::now();
        let shows = |peer: &str, token: &str| gate.try_token_at(token, peer.parse().expect("an address"), now);
        let guesses = |peer: &str| {
            (0..3).for_each(|_| assert_eq!(shows(peer, "a wrong one"), Pass::Wrong, "{peer}"));
            assert!(matches!(shows(peer, "a wrong one"), Pass::Wait(_)), "{peer}");
        };
        let (stranger, shared, here) = ("192.0.2.1", "192.0.2.2", "127.0.0.1");
        guesses(stranger);
        assert!(matches!(shows(stranger, RIGHT), Pass::Wait(_)), "nobody there has had it");
        assert_eq!(shows(shared, RIGHT), Pass::Valid);
        for peer in [shared, here] {
            guesses(peer);
            for _ in 0..3 {
                assert_eq!(shows(peer, RIGHT), Pass::Valid, "{peer}");
                assert!(matches!(shows(peer, "a wrong one"), Pass::Wait(_)), "{peer}: it still has to wait");
            }
        }
    }

    #[test]
    fn pages_of_others_may_link_and_nothing_else() {
        for (site, mode, expected) in [
            ("same-origin", "cors", false),
            ("none", "navigate", false),
            ("cross-site", "navigate", false),
            ("cross-site", "no-cors", true),
            ("cross-site", "cors", true),
            ("same-site", "cors", true),
        ] {
            let request = request(&[("sec-fetch-site", site), ("sec-fetch-mode", mode)]);
            assert_eq!(is_of_another_site(&request), expected, "{site} {mode}");
        }
        assert!(!is_of_another_site(&request(&[])), "curl says nothing");
    }

    #[test]
    fn a_bearer_is_found_in_its_header() {
        for (value, token) in
            [("Bearer abc", Some("abc")), ("bearer  abc ", Some("abc")), ("Basic abc", None), ("Bearer", None)]
        {
            assert_eq!(bearer(request(&[("authorization", value)]).headers()), token, "{value}");
        }
    }
}
