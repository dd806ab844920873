//! How long a token serves, and what a sign-in that fails or a token that is not enough becomes.

use std::time::Duration;

use xdrelay::model::dialect::Dialect;
use xdrelay::model::page::FetchError;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::settings::{Graph, RetryAfter, Settings};

use crate::{ROWS, Source, decision, unlimited};

#[tokio::test(flavor = "multi_thread")]
async fn one_token_serves_until_it_is_rejected_or_ends() {
    for dialect in Dialect::ALL {
        let source = Source::new(dialect, ROWS, unlimited()).await;
        let tokens = || source.sandbox.calls().arrived(Endpoint::Token);
        for _ in 0..5 {
            source.list().await.expect("a page");
        }
        assert_eq!(tokens(), 1);
        source.sandbox.revoke_tokens();
        assert_eq!(decision(&source.list().await), ("unauthorized", None));
        source.list().await.expect("a page with a new token");
        assert_eq!(tokens(), 2);
        // The server's clock jumps past the end of the token, which ours has not reached.
        source.sandbox.settings().clock_offset_ms = 3_700_000;
        assert_eq!(decision(&source.list().await), ("unauthorized", None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_fails_is_said_as_what_it_is_and_nobody_else_is_asked() {
    for dialect in Dialect::ALL {
        let check = async |fault: Fault, expected: &str, words: &str| {
            let source = Source::limited(dialect, ROWS, unlimited(), 64 << 20, Duration::from_secs(2)).await;
            source.sandbox.faults().next(Endpoint::Token, 100, fault);
            let answer = source.list().await;
            assert_eq!(decision(&answer).0, expected, "{fault:?}: {answer:?}");
            let text = answer.expect_err("an error").to_string();
            assert!(text.contains(words), "{text}");
            assert_eq!(source.sandbox.calls().arrived(Endpoint::list(dialect)), 0);
            let asked = source.sandbox.calls().arrived(Endpoint::Token);
            for _ in 0..5 {
                source.list().await.expect_err("still no token");
            }
            assert_eq!(source.sandbox.calls().arrived(Endpoint::Token), asked, "{fault:?} is remembered for a while");
        };
        check(Fault::Unauthorized, "refused", "AADSTS7000215").await;
        check(Fault::Status(503), "unavailable", "503").await;
        check(Fault::Reset, "unavailable", "sign-in").await;
        check(Fault::Html, "unavailable", "sign-in").await;
        check(
            Fault::Throttled { retry_after: RetryAfter::Seconds, wait: Duration::from_secs(9) },
            "unavailable",
            "throttled",
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_the_role_is_refused_with_the_remedy() {
    for dialect in Dialect::ALL {
        let check = async |roles: &[&str], words: &[&str]| {
            let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
            let graph = Graph { roles: roles.clone(), ..Graph::default() };
            let source = Source::new(dialect, ROWS, Settings { roles, graph, ..unlimited() }).await;
            let text = match source.list().await {
                Err(FetchError::Refused { why }) => why,
                answer => panic!("{answer:?}"),
            };
            for word in words {
                assert!(text.contains(word), "{word} is not in {text}");
            }
        };
        let (needed, other) = match dialect {
            Dialect::Defender => ("permission Incident.Read.All", "SecurityIncident.Read.All"),
            Dialect::Graph => ("permission SecurityIncident.Read.All", "Incident.Read.All"),
        };
        check(&[], &["403", needed, "admin consent", "no role at all"]).await;
        check(&["Alert.Read.All"], &[needed, "the token holds Alert.Read.All"]).await;
        check(&[other], &[needed, &format!("the token holds {other}")]).await;
    }
}
