//! The status page and the form before it: one file each as the browser gets it, with the policy that lets it run what is in it
//! and nothing else. Nothing of what xdrelay knows is in the file; it comes with the stream, as text.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use crate::admin::server::Eyes;

/// A page and its policy.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) html: String,
    pub(crate) policy: HeaderValue,
}

static STATUS: LazyLock<Page> = LazyLock::new(|| {
    Page::new(
        include_str!("page/index.html"),
        &[include_str!("page/common.css"), include_str!("page/status.css")].concat(),
        &[
            "\"use strict\";\n(() => {\n",
            include_str!("page/words.js"),
            include_str!("page/plot.js"),
            include_str!("page/detail.js"),
            include_str!("page/status.js"),
            "})();\n",
        ]
        .concat(),
    )
});

static LOGIN: LazyLock<Page> = LazyLock::new(|| {
    Page::new(
        include_str!("page/login.html"),
        &[include_str!("page/common.css"), include_str!("page/login.css")].concat(),
        "",
    )
});

impl Page {
    fn new(html: &str, style: &str, script: &str) -> Self {
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
            hash(style),
            if script.is_empty() { "'none'".to_owned() } else { hash(script) },
        );
        let html = html.replace("{style}", style).replace("{script}", script);
        let html = html.replace("{version}", env!("CARGO_PKG_VERSION"));
        let policy = HeaderValue::try_from(policy).expect("words of ours and base64");
        Self { html, policy }
    }
}

/// How a policy names what may stand inline: by its hash (Content Security Policy Level 3, section 2.3.1).
fn hash(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    format!("'sha256-{}'", STANDARD.encode(digest))
}

/// The form that asks for the token, with `{why}` where it says what was wrong.
pub(crate) fn login() -> &'static Page {
    &LOGIN
}

/// The routes of the page.
pub(crate) fn routes() -> Router<Eyes> {
    Router::new().route("/", get(status)).route("/events", get(events))
}

async fn status() -> Response {
    ([(header::CONTENT_SECURITY_POLICY, STATUS.policy.clone())], Html(STATUS.html.as_str())).into_response()
}

async fn events(State(eyes): State<Eyes>) -> Response {
    match eyes.live.watch().await {
        Some(stream) => ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response(),
        None => {
            let why = "as many pages are open as may be at once; close one\n";
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], why).into_response()
        }
    }
}
