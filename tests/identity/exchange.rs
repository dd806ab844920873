//! Every credential that is sent in a form, against oidc-provider, which verifies it. Nothing here was written by us but what
//! Entra asks for beyond the standards, see `provider.mjs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::json;
use tempfile::TempDir;
use xdrelay::identity::certificate::{Algorithm, Certificate};
use xdrelay::identity::token::Tokens;
use xdrelay::identity::workload_identity::WorkloadIdentity;
use xdrelay::identity::{Credential, Settings, TokenError};
use xdrelay::transport::secret::SecretSource;

use crate::harness::web;
use crate::keys::{DAY, Issuer, certificate, key, key_pkcs1, write};
use crate::provider::{AUDIENCE, Provider, TENANT};

fn tokens(provider: &Provider, client_id: &str, credential: Credential) -> Tokens {
    tokens_at(provider.url.as_str(), client_id, credential)
}

fn tokens_at(login_url: &str, client_id: &str, credential: Credential) -> Tokens {
    let settings = Settings {
        tenant_id: TENANT.into(),
        client_id: Some(client_id.into()),
        login_url: login_url.parse().expect("a URL"),
        audience: AUDIENCE.into(),
        credential,
    };
    Tokens::new(web(), settings)
}

fn by_certificate(certificate: &Path, private_key: Option<&PathBuf>, algorithm: Algorithm) -> Credential {
    Credential::Certificate(Certificate {
        certificate: certificate.to_owned(),
        private_key: private_key.cloned(),
        algorithm,
    })
}

/// The token is granted, and the server says for whom.
async fn assert_granted(provider: &mut Provider, tokens: &Tokens, client_id: &str) {
    let token = tokens.token().await.unwrap_or_else(|error| panic!("{client_id}: {error}; {:?}", provider.outcomes()));
    assert_eq!(token.roles().expect("a JWT"), ["Incident.Read.All"]);
    assert_eq!(provider.next(), format!("granted {client_id}"));
}

/// No token is granted for this reason; the callers after the first are answered from memory.
async fn assert_refused(provider: &mut Provider, tokens: &Tokens, why: &str) {
    for _ in 0..20 {
        let error = tokens.token().await.expect_err(why);
        assert!(matches!(error, TokenError::Refused { .. }) && error.to_string().contains("invalid_client"), "{error}");
    }
    let said = provider.next();
    assert!(said.starts_with("refused") && said.contains(why), "{said} does not say {why}");
}

#[tokio::test]
async fn a_secret_is_taken_and_a_wrong_one_is_refused_once() {
    let clients = json!([{ "id": "secret", "secret": "s3cret+/=& %~" }]);
    let Some(mut provider) = Provider::start(3600, clients) else { return };
    let file = tempfile::NamedTempFile::new().expect("a file");
    let tokens = tokens(&provider, "secret", Credential::ClientSecret(SecretSource::file(file.path())));
    std::fs::write(file.path(), "s3cret").expect("written");
    assert_refused(&mut provider, &tokens, "invalid secret provided").await;
    std::fs::write(file.path(), "s3cret+/=& %~\n").expect("written");
    assert_granted(&mut provider, &tokens, "secret").await;
}

/// Two certificates of one key each and a third of the first key, in a directory.
struct Certificates {
    dir: TempDir,
    one: PathBuf,
    two: PathBuf,
    key_one: PathBuf,
    key_two: PathBuf,
}

impl Certificates {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path();
        let one = write(path, "one.pem", &certificate("one", "xdrelay", 90 * DAY));
        let two = write(path, "two.pem", &certificate("two", "xdrelay", 180 * DAY));
        let (key_one, key_two) = (write(path, "one.key", &key("one")), write(path, "two.key", &key("two")));
        Self { dir, one, two, key_one, key_two }
    }

    /// Clients that know certificates, for each algorithm.
    fn clients(&self, known: &[&PathBuf]) -> serde_json::Value {
        json!([
            { "id": "app-ps256", "algorithm": "PS256", "certificates": known },
            { "id": "app-rs256", "algorithm": "RS256", "certificates": known },
        ])
    }
}

#[tokio::test]
async fn a_certificate_is_taken_in_both_algorithms_and_in_every_form_of_its_files() {
    let files = Certificates::new();
    let Some(mut provider) = Provider::start(3600, files.clients(&[&files.one])) else { return };
    let text = |path: &Path| std::fs::read_to_string(path).expect("a file");
    let file = |name: &str, parts: &[&str]| write(files.dir.path(), name, &parts.concat());
    let (one, two, key_one) = (text(&files.one), text(&files.two), text(&files.key_one));
    let pkcs1 = file("pkcs1.key", &[&key_pkcs1("one")]);
    for (client_id, algorithm) in [("app-ps256", Algorithm::Ps256), ("app-rs256", Algorithm::Rs256)] {
        let mut check = async |certificate: &Path, private_key: Option<&PathBuf>| {
            let tokens = tokens(&provider, client_id, by_certificate(certificate, private_key, algorithm));
            assert_granted(&mut provider, &tokens, client_id).await;
            let end = tokens.certificate_expires_at().expect("it was read");
            let left = end.duration_since(std::time::SystemTime::now()).expect("to come");
            assert!(89 * DAY < left && left < 91 * DAY, "{left:?}");
        };
        check(&files.one, Some(&files.key_one)).await;
        check(&files.one, Some(&pkcs1)).await;
        check(&file("together.pem", &[&one, &key_one]), None).await;
        check(&file("key-first.pem", &[&key_one, &one]), None).await;
        check(&file("chain.pem", &[&one, &two]), Some(&files.key_one)).await;
        check(&file("chain-upside-down.pem", &[&two, &one]), Some(&files.key_one)).await;
        check(&file("windows.pem", &[&one.replace('\n', "\r\n"), &key_one.replace('\n', "\r\n")]), None).await;
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_the_applications_is_refused_once() {
    let files = Certificates::new();
    let Some(mut provider) = Provider::start(3600, files.clients(&[&files.one])) else { return };
    let url = provider.url.to_string();
    let url = url.as_str();
    let mut check = async |login_url: &str, credential: Credential, client_id: &str, why: &str| {
        assert_refused(&mut provider, &tokens_at(login_url, client_id, credential), why).await;
    };
    let right = |algorithm| by_certificate(&files.one, Some(&files.key_one), algorithm);
    let other_key = by_certificate(&files.two, Some(&files.key_two), Algorithm::Ps256);
    check(url, other_key, "app-ps256", "signature verification failed").await;
    check(url, right(Algorithm::Rs256), "app-ps256", "alg mismatch").await;
    check(url, right(Algorithm::Ps256), "app-rs256", "alg mismatch").await;
    check(url, right(Algorithm::Ps256), "app-of-others", "client not found").await;
    let elsewhere = url.replace("127.0.0.1", "localhost");
    check(&elsewhere, right(Algorithm::Ps256), "app-ps256", "not this server's own endpoint").await;
    let renamed = write(files.dir.path(), "renamed.pem", &certificate("one", "another", 90 * DAY));
    for (client_id, algorithm, named) in [
        ("app-ps256", Algorithm::Ps256, "x5t#S256 is of no certificate"),
        ("app-rs256", Algorithm::Rs256, "x5t is of no certificate"),
    ] {
        check(url, by_certificate(&renamed, Some(&files.key_one), algorithm), client_id, named).await;
    }
}

#[tokio::test]
async fn a_renewed_certificate_counts_without_a_restart() {
    let files = Certificates::new();
    let Some(mut provider) = Provider::start(3600, files.clients(&[&files.one, &files.two])) else { return };
    let used = files.dir.path().join("used.pem");
    let put = |certificate: &Path, key: &Path| {
        let text = |path: &Path| std::fs::read_to_string(path).expect("a file");
        let next = write(files.dir.path(), "next", &(text(certificate) + &text(key)));
        std::fs::rename(next, &used).expect("replaced in one step");
    };
    put(&files.one, &files.key_one);
    let url = provider.url.clone();
    let with_new_tokens = || tokens_at(url.as_str(), "app-ps256", by_certificate(&used, None, Algorithm::Ps256));
    let tokens = with_new_tokens();
    let first = tokens.token().await.expect("a token");
    let end = tokens.certificate_expires_at().expect("an end");
    put(&files.two, &files.key_two);
    tokens.reject(&first);
    let second = tokens.token().await.expect("another token");
    assert_ne!(first.secret().expose_secret(), second.secret().expose_secret());
    assert!(end + 80 * DAY < tokens.certificate_expires_at().expect("an end"));
    // Half of a renewal: the key is there, its certificate not yet.
    let text = std::fs::read_to_string(&files.one).expect("a file") + &key("two");
    std::fs::write(&used, text).expect("written");
    let tokens = with_new_tokens();
    let error = tokens.token().await.expect_err("no pair").to_string();
    assert!(error.contains("it is not the key of the one in"), "{error}");
    put(&files.two, &files.key_two);
    tokens.token().await.expect("as soon as both are there");
    assert_eq!([provider.next(), provider.next(), provider.next()], ["granted app-ps256"; 3]);
    assert_eq!((provider.outcomes().len(), provider.certificates()), (3, vec![0, 1, 1]));
}

#[tokio::test]
async fn files_that_are_no_certificate_are_refused_with_a_remedy_and_without_a_request() {
    let files = Certificates::new();
    let file = |name: &str, text: &str| write(files.dir.path(), name, text);
    let check = async |certificate: &Path, private_key: Option<&PathBuf>, words: &str| {
        let nobody = "http://127.0.0.1:9/";
        let tokens = tokens_at(nobody, "app", by_certificate(certificate, private_key, Algorithm::Ps256));
        let error = tokens.token().await.expect_err(words);
        assert!(matches!(error, TokenError::Refused { .. }) && error.to_string().contains(words), "{error}");
        for text in [error.to_string(), format!("{error:?}"), format!("{tokens:?}")] {
            assert!(!text.contains("canary") && !text.contains("MIIE"), "{text}");
        }
    };
    let ec = rcgen::KeyPair::generate().expect("a key");
    let ec_certificate = rcgen::CertificateParams::default().self_signed(&ec).expect("a certificate").pem();
    let one = &files.one;
    check(&files.dir.path().join("missing"), None, "cannot be read").await;
    check(one, None, "there is no private key in it").await;
    check(one, Some(&files.key_two), "it is not the key of the one in").await;
    check(&files.key_one, None, "there is no certificate in it").await;
    check(&file("ec.pem", &(ec_certificate + &ec.serialize_pem())), None, "an RSA key of 2048 to 4096 bits").await;
    let encrypted = key("one").replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    check(one, Some(&file("encrypted.key", &encrypted)), "the private key is encrypted").await;
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,canary\n\nMIIE\n-----END RSA PRIVATE KEY-----\n";
    check(one, Some(&file("encrypted-as-long-ago.key", old)), "the private key is encrypted").await;
    let torn: String = key("one").chars().take(700).collect();
    check(one, Some(&file("torn.key", &torn)), "there is no private key in it").await;
    check(
        &file("torn.pem", "-----BEGIN CERTIFICATE-----\ncanary!\n-----END CERTIFICATE-----"),
        Some(&files.key_one),
        "no valid PEM",
    )
    .await;
    check(
        &file("text.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
        Some(&files.key_one),
        "a certificate in it cannot be read",
    )
    .await;
    check(&file("large.pem", &"canary".repeat(20_000)), None, "larger than").await;
    check(Path::new("/dev/zero"), None, "no regular file").await;
    check(&file("large.pem", &"x".repeat(70_000)), None, "larger than").await;
}

#[tokio::test]
async fn the_token_of_a_platform_is_read_anew_for_each_exchange() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let clients = json!([{ "id": "workload", "algorithm": "ES256", "keys": [issuer.jwk()] }]);
    let Some(mut provider) = Provider::start(3600, clients) else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let endpoint = format!("{}{TENANT}/oauth2/v2.0/token", provider.url);
    let good = || issuer.token("workload", &endpoint, -1, 300);
    let path = write(dir.path(), "token", &good());
    let credential = Credential::WorkloadIdentity(WorkloadIdentity { token_file: Some(path.clone()) });
    let url = provider.url.clone();
    let with_new_tokens = || tokens_at(url.as_str(), "workload", credential.clone());

    let tokens = with_new_tokens();
    assert_granted(&mut provider, &tokens, "workload").await;
    assert_eq!(tokens.certificate_expires_at(), None, "it is no certificate");
    let first = tokens.token().await.expect("the same");
    tokens.reject(&first);
    std::fs::write(&path, good() + "\n").expect("written");
    assert_granted(&mut provider, &tokens, "workload").await;
    // The server takes no assertion twice: without the new file, this is what would have happened.
    assert_refused(&mut provider, &with_new_tokens(), "must only be used once").await;

    for (token, why) in [
        (other.token("workload", &endpoint, -1, 300), "signature verification failed"),
        (issuer.token("workload", "api://elsewhere", -1, 300), "audience (aud) must equal"),
        (issuer.token("workload", &endpoint, -600, -60), "jwt expired"),
        (issuer.token("workload", &endpoint, 200, 300), "jwt not active yet"),
        (issuer.token("workload", &endpoint, -1, 7200), "its life is too long"),
    ] {
        std::fs::write(&path, token).expect("written");
        assert_refused(&mut provider, &with_new_tokens(), why).await;
    }
    // A refusal of one token says nothing about the next: the platform's renewal is tried at once.
    let tokens = with_new_tokens();
    std::fs::write(&path, other.token("workload", &endpoint, -1, 300)).expect("written");
    assert_refused(&mut provider, &tokens, "signature verification failed").await;
    std::fs::write(&path, good()).expect("written");
    assert_granted(&mut provider, &tokens, "workload").await;
}

#[tokio::test]
async fn a_token_is_renewed_with_a_new_assertion_each_time() {
    let files = Certificates::new();
    let Some(provider) = Provider::start(1, files.clients(&[&files.one])) else { return };
    let credential = by_certificate(&files.one, Some(&files.key_one), Algorithm::Ps256);
    let tokens = tokens(&provider, "app-ps256", credential);
    let start = std::time::Instant::now();
    while provider.outcomes().len() < 3 {
        tokens.token().await.expect("a token");
        assert!(start.elapsed() < Duration::from_secs(180), "it is never renewed: {:?}", provider.outcomes());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(provider.outcomes().iter().all(|said| said.starts_with("granted")), "{:?}", provider.outcomes());
}
