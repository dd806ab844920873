//! `xdrelay check` of sinks: reached, the certificate, what the far side answers to a question that changes nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use reqwest::StatusCode;
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::{Outcome, Place, QUICK, closed_port, still, unlimited};
use crate::hec::{self, Hec};
use crate::http::Receiver;
use crate::kafka::Peer;
use crate::rsyslog::Rsyslog;

/// Whatever is told of a sink, this is not.
const CANARY: &str = "canary-of-the-sink";

/// A tenant that works; each test adds its sinks.
struct Bench {
    place: Place,
    sandbox: Sandbox,
}

impl Bench {
    async fn new() -> Self {
        Self { place: Place::new(), sandbox: still(1, unlimited()).await }
    }

    /// Checks one sink of this kind with these keys.
    fn check(&self, kind: &str, keys: &str, code: i32, words: &[&str]) -> Outcome {
        let sink = format!("[sinks.siem]\nkind = {kind:?}\n{keys}\n\n");
        self.place.configure(&[QUICK, &self.place.tenant("contoso", &self.sandbox), &sink]);
        let outcome = self.place.command(&["check"]);
        outcome.expect(code, words);
        assert!(!outcome.out.contains(CANARY) && !outcome.err.contains(CANARY), "{outcome:#?}");
        outcome
    }

    /// The same for programs.
    fn json(&self, code: i32) -> serde_json::Value {
        let outcome = self.place.command(&["check", "--json"]);
        assert!(!outcome.out.contains(CANARY), "{outcome:#?}");
        outcome.expect(code, &[]).json()["sinks"]["siem"].clone()
    }

    /// A secret in a file, as a configuration refers to it.
    fn secret(&self, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.place.write("siem.secret", text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its own file");
        format!("{{ file = {path:?} }}")
    }
}

fn tls(ca: &Path, ours: Option<&(std::path::PathBuf, std::path::PathBuf)>) -> String {
    let ours = ours.map(|(certificate, key)| format!(", certificate = {certificate:?}, private_key = {key:?}"));
    format!("tls = {{ ca_file = {ca:?}{} }}", ours.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_shows_its_certificate_and_asks_for_ours() {
    let bench = Bench::new().await;
    let Some(rsyslog) = Rsyslog::start_relp(&bench.place.path("rsyslog")) else { return };
    let (pki, (_, relp)) = (&rsyslog.pki, rsyslog.relp.expect("it was asked for"));
    let syslog = |tls: &str| format!("address = \"tls://localhost:{}\"\n{tls}", rsyslog.tls);
    let (good, without) = (tls(&pki.ca, Some(&pki.client)), tls(&pki.ca, None));
    let words = [
        "by TLS in",
        "CN=server, issued by CN=an authority for",
        &format!("trusted by the authorities in {}; it asks for ours, and takes it", pki.ca.display()),
        "guarantee    at least once up to the receiver's memory",
        "1 sink: 1 works",
    ];
    bench.check("syslog", &syslog(&good), 0, &words);
    let found = bench.json(0);
    assert_eq!(found["certificate"]["asks_for_ours"], true, "{found}");
    assert!(found["certificate"]["days_left"].as_i64().is_some_and(|days| 365 < days), "{found}");
    let words = ["CN=server", "NOT TRUSTED", "certificate", "1 sink: 0 work, 1 does not: siem"];
    bench.check("syslog", &syslog(&without), 69, &words);
    bench.check("syslog", &syslog(""), 69, &["NOT TRUSTED", "UnknownIssuer", "set `tls.ca_file`"]);
    let relp = |tls: &str| format!("address = \"tls://localhost:{relp}\"\n{tls}");
    bench.check("relp", &relp(&good), 0, &["by TLS in", "session      it speaks RELP", "takes syslog messages"]);
    bench.check("relp", &relp(&without), 69, &["ERROR", "certificate"]);
    let plain = format!("address = \"tcp://127.0.0.1:{}\"", rsyslog.tcp);
    bench.check("syslog", &plain, 0, &["in the clear in"]);
    bench.check("relp", &plain, 69, &["RELP"]);
    let datagram = format!("address = \"udp://127.0.0.1:{}\"", rsyslog.udp);
    bench.check("syslog", &datagram, 0, &["nobody answers one", "best effort"]);
    bench.check("syslog", &format!("address = \"tcp://127.0.0.1:{}\"", closed_port()), 69, &["Connection refused"]);
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn root(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Issuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A server that shows a certificate of this name that lasts so many days from now on.
async fn receiver(issuer: &Issuer, name: &str, days: i64) -> Receiver {
    let at = |days: i64| {
        let span = Duration::from_secs(86_400) * u32::try_from(days.unsigned_abs()).expect("a few");
        if days < 0 { SystemTime::now() - span } else { SystemTime::now() + span }
    };
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = (at(-30).into(), (at(days) + Duration::from_secs(3600)).into());
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate");
    Receiver::start_tls(TlsAcceptor::from(Arc::new(config))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_judged_and_shown_whether_it_is_good_or_not() {
    let (bench, trusted, stranger) = (Bench::new().await, root("the one we trust"), root("a stranger"));
    let ca = bench.place.write("ca.pem", &trusted.pem());
    let check = async |issuer: &Issuer, name: &str, days: i64, code: i32, words: &[&str]| {
        let receiver = receiver(issuer, name, days).await;
        let keys = format!("url = \"{}/events\"\n{}", receiver.origin(), tls(&ca, None));
        bench.check("http", &keys, code, &[&[name], words].concat());
        assert!(receiver.take().is_empty(), "an http sink is asked nothing");
        bench.json(code)["certificate"].clone()
    };
    let good =
        check(&trusted, "localhost", 90, 0, &["issued by CN=the one we trust, ends in 90 days, trusted by"]).await;
    assert_eq!((&good["subject"], &good["days_left"]), (&"CN=localhost".into(), &90.into()), "{good}");
    check(&trusted, "localhost", 10, 0, &["warning", "ends in 10 days: then nothing more is sent"]).await;
    let bad = check(&trusted, "localhost", -1, 69, &["has expired, NOT TRUSTED", "expired", "ERROR"]).await;
    assert!(bad["trusted_by"].is_null() && bad["days_left"] == -1, "{bad}");
    check(&trusted, "other.example.net", 90, 69, &["NOT TRUSTED", "not valid for name"]).await;
    check(&stranger, "localhost", 90, 69, &["issued by CN=a stranger", "NOT TRUSTED", "UnknownIssuer"]).await;
    // No TLS at all behind the port.
    let plain = Receiver::start().await;
    let port = plain.origin().rsplit(':').next().expect("a port").to_owned();
    let keys = format!("url = \"https://localhost:{port}/events\"");
    let outcome = bench.check("http", &keys, 69, &["ERROR", "TLS"]);
    assert!(!outcome.out.contains("  certificate"), "{outcome:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_only_the_proxy_is_looked_at() {
    let (bench, proxy) = (Bench::new().await, Receiver::start().await);
    let keys = |proxy: &str| format!("url = \"https://siem.example.net/events\"\nproxy_url = \"{proxy}\"");
    let words = ["the proxy 127.0.0.1:", "not looked at behind it: siem.example.net:443 and its certificate"];
    bench.check("http", &keys(proxy.origin()), 0, &words);
    assert!(proxy.take().is_empty(), "it is asked nothing");
    let gone = format!("http://127.0.0.1:{}", closed_port());
    bench.check("http", &keys(&gone), 69, &["the proxy 127.0.0.1:", "Connection refused"]);
    bench.check("http", "url = \"https://siem.invalid/events\"", 69, &["siem.invalid:443 cannot be reached"]);
    let environment = [("HTTPS_PROXY", proxy.origin()), ("NO_PROXY", "example.net")];
    bench
        .place
        .command_in(&["check"], &environment)
        .expect(0, &["the proxy 127.0.0.1:", "behind it: siem.invalid:443"]);
    let environment = [("HTTPS_PROXY", proxy.origin()), ("NO_PROXY", "invalid")];
    bench.place.command_in(&["check"], &environment).expect(69, &["siem.invalid:443 cannot be reached"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_is_greeted_with_the_credential() {
    let (bench, cluster) = (Bench::new().await, Receiver::start().await);
    let key = bench.secret(&format!("id:{CANARY}"));
    let keys =
        format!("url = \"{}\"\nindex = \"logs-x-y\"\nauth = {{ kind = \"api_key\", key = {key} }}", cluster.origin());
    let check = |status: StatusCode, body: &str, code: i32, words: &[&str]| {
        cluster.answer(status, &[("content-type", "application/json")], body);
        bench.check("elasticsearch", &keys, code, words);
        let asked = cluster.take();
        assert!(matches!(&asked[..], [one] if one.method == reqwest::Method::GET && one.path == "/"), "one question");
        assert!(asked[0].header("authorization").is_some_and(|value| value.starts_with("ApiKey ")));
    };
    let greeting = r#"{"name":"n","cluster_name":"lab","version":{"number":"9.1.0"},"tagline":"You Know, for Search"}"#;
    let words =
        ["it is elasticsearch 9.1.0, cluster lab, and takes the credential", "not tried    to write to logs-x-y"];
    check(StatusCode::OK, greeting, 0, &words);
    cluster.answer(StatusCode::OK, &[], greeting);
    let found = bench.json(0);
    assert!(found["found"]["cluster"].is_string() && found["found"]["not_tried"].is_string(), "{found}");
    cluster.take();
    check(StatusCode::UNAUTHORIZED, "{}", 69, &["credential is missing or wrong"]);
    check(StatusCode::FORBIDDEN, "{}", 0, &["not confirmed: it answers and may not tell its version"]);
    check(StatusCode::SERVICE_UNAVAILABLE, &format!("you sent id:{CANARY}"), 69, &["503", "you sent ***"]);
    check(StatusCode::OK, "<html>", 0, &["not confirmed", "<html>"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn splunk_tells_whether_it_takes_the_token() {
    let (bench, splunk) = (Bench::new().await, Hec::start(false).await);
    let keys = |token: &str| format!("url = \"{}\"\ntoken = {}", splunk.origin, bench.secret(token));
    let words = ["health       it takes events", "token        it takes the token", "not tried    the index"];
    bench.check("splunk_hec", &keys(hec::TOKEN), 0, &words);
    bench.check("splunk_hec", &keys(CANARY), 69, &["ERROR", "put it right"]);
    let found = bench.json(69);
    assert!(found["error"].is_string() && found["reached"].is_string(), "{found}");
    assert!(splunk.taken().is_empty(), "no event came");
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_monitor_signs_in_and_sends_nothing() {
    let (bench, azure) = (Bench::new().await, Receiver::start().await);
    let keys = |secret: &str| {
        let (tenant_id, client_id) = (bench.sandbox.tenant_id(), bench.sandbox.client_id());
        let credential = bench.secret(secret).replace("{ ", "{ kind = \"client_secret\", ");
        format!(
            "endpoint = \"{}\"\ndcr = \"dcr-{}\"\nstream = \"Custom-X\"\ntenant_id = \"{tenant_id}\"\n\
             client_id = \"{client_id}\"\nlogin_url = \"{}\"\naudience = \"https://api.security.microsoft.com\"\n\
             credential = {credential}",
            azure.origin(),
            "0".repeat(32),
            bench.sandbox.url(),
        )
    };
    let words = ["token        by client secret in", "not tried    to write"];
    bench.check("azure_monitor", &keys(&bench.sandbox.secret()), 0, &words);
    bench.check("azure_monitor", &keys(CANARY), 69, &["AADSTS7000215"]);
    assert!(azure.take().is_empty(), "nothing is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broker_of_a_kafka_cluster_is_enough() {
    let bench = Bench::new().await;
    let Some(mut cluster) = Peer::mock(2) else { return };
    cluster.create("incidents", 3);
    let gone = format!("127.0.0.1:{}", closed_port());
    let keys = |topic: &str, more: &str| {
        let brokers: Vec<_> = cluster.servers.split(',').chain([more]).collect();
        format!("brokers = {brokers:?}\ntopic = {topic:?}")
    };
    let words = ["topic        incidents has 3 partitions", "warning      ", "Connection refused", "1 sink: 1 works"];
    bench.check("kafka", &keys("incidents", &gone), 0, &words);
    bench.check("kafka", &keys("{tenant}", &gone), 0, &["one topic a tenant: not looked for"]);
    let keys = format!("brokers = [{gone:?}]\ntopic = \"incidents\"");
    bench.check("kafka", &keys, 69, &["cannot be reached", "Connection refused"]);
}
