//! The sign-in: one request at a time, ahead of time, never in a storm, and never a secret where anyone could read it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use xdrelay::identity::TokenError;
use xdrelay::identity::token::Tokens;

use crate::server::{SECRET, SignIn, granted, http, json, jwt, nobody, settings};

const REFUSED: &str =
    r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret.","error_codes":[7000215]}"#;

async fn name(tokens: &Tokens) -> String {
    tokens.token().await.expect("a token").secret().expose_secret().to_owned()
}

#[tokio::test]
async fn the_request_is_the_client_credentials_grant() {
    let sign_in = SignIn::start([granted("a", 3600)]).await;
    assert_eq!(name(&sign_in.tokens).await, "a");
    let asked = &sign_in.server.asked()[0];
    assert_eq!((asked.method.as_str(), asked.uri.as_str()), ("POST", "/tenant%2F1/oauth2/v2.0/token"));
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
    let form: Vec<_> = url::form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", "client&1"),
        ("scope", "https://api.example.net/.default"),
        ("client_secret", SECRET),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn twenty_callers_share_one_request() {
    let sign_in = SignIn::start([granted("a", 3600)]).await;
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let tokens = Arc::clone(&sign_in.tokens);
            tokio::spawn(async move { name(&tokens).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.expect("no panic"), "a");
    }
    assert_eq!(sign_in.server.asked().len(), 1);
    assert!(sign_in.tokens.expires_in().is_some_and(|left| Duration::from_secs(3000) < left));
}

#[tokio::test]
async fn twenty_callers_share_one_refusal_and_so_do_those_after_them() {
    let cases = [json(401, REFUSED), json(503, ""), json(429, ""), json(200, "<html>")];
    for answer in cases {
        let sign_in = SignIn::start([answer]).await;
        let callers: Vec<_> = (0..20)
            .map(|_| {
                let tokens = Arc::clone(&sign_in.tokens);
                tokio::spawn(async move { tokens.token().await.expect_err("no token") })
            })
            .collect();
        for caller in callers {
            assert!(!caller.await.expect("no panic").after().is_zero());
        }
        sign_in.tokens.token().await.expect_err("no token");
        assert_eq!(sign_in.server.asked().len(), 1);
        assert_eq!(sign_in.tokens.expires_in(), None);
    }
}

#[tokio::test]
async fn a_new_secret_is_tried_at_once() {
    let sign_in = SignIn::start([json(401, REFUSED), granted("a", 3600)]).await;
    assert!(matches!(sign_in.tokens.token().await, Err(TokenError::Refused { .. })));
    assert!(matches!(sign_in.tokens.token().await, Err(TokenError::Refused { .. })));
    assert_eq!(sign_in.server.asked().len(), 1);
    std::fs::write(sign_in.secret.path(), "another").expect("written");
    assert_eq!(name(&sign_in.tokens).await, "a");
    assert!(sign_in.server.asked()[1].body.ends_with("client_secret=another"));
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end() {
    // Half of the life of a short one: the first is renewed after a second, the second lives an hour.
    let sign_in = SignIn::start([granted("a", 2), granted("b", 3600)]).await;
    let start = Instant::now();
    while name(&sign_in.tokens).await == "a" {
        assert!(start.elapsed() < Duration::from_secs(60), "it is never renewed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(sign_in.server.asked().len(), 2);
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once_and_a_newer_one_stays() {
    let sign_in = SignIn::start([granted("a", 3600), granted("b", 3600), granted("c", 3600)]).await;
    let first = sign_in.tokens.token().await.expect("a token");
    sign_in.tokens.reject(&first);
    assert_eq!(name(&sign_in.tokens).await, "b");
    sign_in.tokens.reject(&first);
    sign_in.tokens.reject(&first);
    assert_eq!(name(&sign_in.tokens).await, "b");
    assert_eq!(sign_in.server.asked().len(), 2);
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_refused_without_a_request() {
    let sign_in = SignIn::start([granted("a", 3600)]).await;
    std::fs::write(sign_in.secret.path(), "").expect("written");
    let error = sign_in.tokens.token().await.expect_err("no secret");
    assert!(matches!(error, TokenError::Refused { .. }) && error.to_string().contains("is empty"), "{error}");
    assert!(sign_in.server.asked().is_empty());
}

#[tokio::test]
async fn a_sign_in_out_of_reach_is_unavailable_and_says_why() {
    let sign_in = SignIn::start([granted("a", 3600)]).await;
    let tokens = Tokens::new(http(), settings(&nobody().await, &sign_in.secret));
    let error = tokens.token().await.expect_err("nobody");
    assert!(matches!(error, TokenError::Unavailable { .. }) && error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn no_secret_and_no_token_is_in_any_error_or_dump() {
    let encoded: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let answers = [
        json(400, format!(r#"{{"error":"invalid_request","error_description":"you sent client_secret={SECRET}"}}"#)),
        json(400, format!(r#"{{"error":"client_secret={encoded}"}}"#)),
        json(400, format!("<html>client_secret={encoded}")).with("content-type", &format!("text/{encoded}")),
        json(401, format!(r#"{{"error":"invalid_client","error_description":"AADSTS1: {SECRET}"}}"#)),
        json(200, format!(r#"{{"access_token":"canary {SECRET}"}}"#)),
        json(200, format!(r#"{{"access_token":["{SECRET}"]}}"#)),
        json(200, vec![b'x'; 100_000]),
    ];
    for answer in answers {
        let sign_in = SignIn::start([answer.clone()]).await;
        let error = sign_in.tokens.token().await.expect_err("no token");
        for text in [error.to_string(), format!("{error:?}"), format!("{:?}", sign_in.tokens)] {
            assert!(!text.contains("canary"), "{answer:?}: {text}");
        }
    }
    let sign_in = SignIn::start([granted(&jwt(&[], 1), 3600)]).await;
    let token = sign_in.tokens.token().await.expect("a token");
    for text in [format!("{token:?}"), format!("{:?}", sign_in.tokens), format!("{:?}", token.claims())] {
        assert!(!text.contains("canary"), "{text}");
    }
}
