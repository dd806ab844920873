//! How a browser shows the token once and has a session then. Changes nothing but the sessions.

use std::sync::Arc;

use axum::Form;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::admin::doorway::Peer;
use crate::admin::gate::{Gate, LOGIN, Pass};
use crate::admin::page;
use crate::admin::server::Eyes;
use crate::admin::token::SESSION_MAX;

const COOKIE: &str = "xdrelay_session";
/// Bytes of a form: a token is far smaller.
const FORM_MAX: usize = 8 * 1024;

#[derive(Deserialize)]
struct Shown {
    token: SecretString,
}

/// The routes of a port that has a token.
pub(crate) fn routes(gate: Arc<Gate>) -> Router<Eyes> {
    let routes = Router::new().route(LOGIN, post(log_in)).route("/logout", post(log_out));
    routes.layer(DefaultBodyLimit::max(FORM_MAX)).layer(Extension(gate))
}

async fn log_in(
    Extension(gate): Extension<Arc<Gate>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    State(_): State<Eyes>,
    Form(shown): Form<Shown>,
) -> Response {
    let pass = gate.try_token(shown.token.expose_secret().trim(), peer);
    let session = (pass == Pass::Valid).then(|| gate.keeper()?.open_session()).flatten();
    match (pass, session) {
        (Pass::Valid, Some(session)) => {
            let cookie = format!(
                "{COOKIE}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict",
                session.expose_secret(),
                SESSION_MAX.as_secs()
            );
            let Ok(mut cookie) = HeaderValue::try_from(cookie) else {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            };
            cookie.set_sensitive(true);
            (StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static("/")), (header::SET_COOKIE, cookie)])
                .into_response()
        }
        (Pass::Valid, None) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        (Pass::Wrong, _) => form(StatusCode::UNAUTHORIZED, "That is not the token."),
        (pass @ (Pass::Wait(_) | Pass::Broken), _) => refused(pass, true),
    }
}

async fn log_out(Extension(gate): Extension<Arc<Gate>>, headers: HeaderMap) -> Response {
    if let (Some(keeper), Some(name)) = (gate.keeper(), session(&headers)) {
        keeper.close_session(name);
    }
    let forget = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/".to_owned()), (header::SET_COOKIE, forget)]).into_response()
}

/// The session that a request's cookie names.
pub(crate) fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    cookies.flat_map(|cookies| cookies.split(';')).find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

/// The answer to somebody who may not come in: a form to who asks for the page with a browser, a line to everybody else.
pub(crate) fn refusal(pass: Pass, headers: &HeaderMap, path: &str) -> Response {
    let takes = headers.get(header::ACCEPT).and_then(|takes| takes.to_str().ok()).unwrap_or_default();
    let is_for_people = path == "/" && takes.contains("text/html");
    match pass {
        Pass::Wrong | Pass::Valid if is_for_people => form(StatusCode::UNAUTHORIZED, ""),
        Pass::Wrong | Pass::Valid => {
            let why = "this wants the token of [admin]: Authorization: Bearer TOKEN\n";
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer realm=\"xdrelay\"")], why).into_response()
        }
        Pass::Wait(_) | Pass::Broken => refused(pass, is_for_people),
    }
}

/// Nobody looked at what was shown.
fn refused(pass: Pass, is_for_people: bool) -> Response {
    let (code, why, wait) = match pass {
        Pass::Wait(wait) => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many wrong tokens: wait a minute.", Some(wait.as_secs() + 1))
        }
        Pass::Broken | Pass::Valid | Pass::Wrong => {
            (StatusCode::SERVICE_UNAVAILABLE, "xdrelay cannot read its own token: see admin.token.", None)
        }
    };
    let mut response = match is_for_people {
        true => form(code, why),
        false => (code, format!("{why}\n")).into_response(),
    };
    if let Some(wait) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, wait.into());
    }
    response
}

fn form(code: StatusCode, why: &str) -> Response {
    let page = page::login();
    let html = page.html.replace("{why}", why);
    (code, [(header::CONTENT_SECURITY_POLICY, page.policy.clone())], Html(html)).into_response()
}
