//! Far sides whose certificates do not prove who they are: nothing is sent to them, not to the API and not to the sign-in.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::IMPATIENT;
use crate::gate::Gate;
use crate::harness::{Daemon, Place, another, wait_for};
use crate::truth::missing;

const DAY: Duration = Duration::from_secs(86_400);

type Issuer = CertifiedIssuer<'static, KeyPair>;
/// The chain as the server shows it, and the key of its first certificate.
type Shown = (Vec<CertificateDer<'static>>, KeyPair);

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn root(name: &str) -> Issuer {
    Issuer::self_signed(authority(name), key()).expect("a certificate")
}

/// Valid for so many days around now.
fn valid(params: &mut CertificateParams, from_days: i32, to_days: i32) {
    let at = |days: i32| {
        let span = DAY * days.unsigned_abs();
        if days < 0 { SystemTime::now() - span } else { SystemTime::now() + span }
    };
    params.not_before = at(from_days).into();
    params.not_after = at(to_days).into();
}

fn server(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn issued(params: CertificateParams, issuer: &Issuer) -> Shown {
    let key = key();
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    (vec![certificate.der().clone()], key)
}

/// What is shown, by the name of the tenant that meets it, and what the log says of it.
fn cases(trusted: &Issuer) -> Vec<(&'static str, Shown, &'static str)> {
    let (mut expired, mut early, mut middle) = (server("localhost"), server("localhost"), authority("in between"));
    valid(&mut expired, -30, -1);
    valid(&mut early, 1, 30);
    valid(&mut middle, -30, -1);
    let middle = Issuer::signed_by(middle, key(), trusted).expect("a certificate");
    let (mut chain, last) = issued(server("localhost"), &middle);
    chain.push(middle.der().clone());
    let mut client_only = server("localhost");
    client_only.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own = key();
    let self_signed = server("localhost").self_signed(&own).expect("a certificate");
    vec![
        ("expired", issued(expired, trusted), "expired"),
        ("too_early", issued(early, trusted), "not valid yet"),
        ("expired_authority", (chain, last), "expired"),
        ("wrong_host", issued(server("login.microsoftonline.com"), trusted), "not valid for name"),
        ("unknown_authority", issued(server("localhost"), &root("a stranger")), "UnknownIssuer"),
        ("self_signed", (vec![self_signed.der().clone()], own), "UnknownIssuer"),
        ("for_clients", issued(client_only, trusted), "certificate"),
    ]
}

fn acceptor((chain, key): Shown) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has suites for them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    TlsAcceptor::from(Arc::new(config))
}

/// A server that reads what comes first and answers it with these bytes. Returns its URL and what it read after them.
async fn answering(bytes: &'static [u8]) -> (String, Arc<std::sync::Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let url = format!("https://localhost:{}/", listener.local_addr().expect("an address").port());
    let after = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = after.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let kept = kept.clone();
            tokio::spawn(async move {
                let mut hello = [0; 4096];
                if stream.read(&mut hello).await.is_ok() && stream.write_all(bytes).await.is_ok() && !bytes.is_empty() {
                    let mut rest = Vec::new();
                    let _ = stream.read_to_end(&mut rest).await;
                    kept.lock().expect("no panic").extend(rest);
                }
            });
        }
    });
    (url, after)
}

/// A ServerHello of TLS 1.1 (RFC 4346 section 7.4.1.3): TLS_RSA_WITH_AES_128_CBC_SHA, no session, no compression.
const HELLO_OF_TLS_1_1: &[u8] = b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02\
    0123456789abcdef0123456789abcdef\x00\x00\x2f\x00";

fn write_trusted(trusted: &Issuer, path: &Path) -> String {
    std::fs::write(path, trusted.pem()).expect("written");
    format!("tls_ca_file = \"{}\"\n", path.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_whoever_cannot_prove_who_he_is() {
    let (place, trusted) = (Place::new(), root("the one we trust"));
    let ca_file = write_trusted(&trusted, &place.path("ca.pem"));
    let mut tables = vec![IMPATIENT.to_owned(), place.file_sink("file")];
    let mut add = |table: String| tables.push(table.trim_end().to_owned() + "\n" + &ca_file + "\n");
    let good = another(100, 4).await;
    let gate = Gate::start_tls(&good, acceptor(issued(server("localhost"), &trusted))).await;
    add(place.tenant_behind("good", &good, &gate.url, &gate.url));
    let (mut gates, mut expected) = (Vec::new(), Vec::new());
    for (number, (case, shown, words)) in (1..).zip(cases(&trusted)) {
        let sandbox = another(number, 4).await;
        let gate = Gate::start_tls(&sandbox, acceptor(shown)).await;
        let own = sandbox.url().to_string();
        add(place.tenant_behind(&format!("api_{case}"), &sandbox, &gate.url, &own));
        expected.push((format!("api_{case}"), words));
        let second = another(number + 20, 4).await;
        add(place.tenant_behind(&format!("login_{case}"), &second, second.url().as_ref(), &gate.url));
        expected.push((format!("login_{case}"), words));
        gates.push((case, gate, sandbox, second));
    }
    let (old, rest) = answering(HELLO_OF_TLS_1_1).await;
    let (closing, _) = answering(b"").await;
    let mut signs_in = Vec::new();
    for (number, (case, url, words)) in
        (50..).zip([("old_tls", &old, "incompatible"), ("closing", &closing, "handshake")])
    {
        let sandbox = another(number, 4).await;
        add(place.tenant_behind(case, &sandbox, url, sandbox.url().as_ref()));
        expected.push((case.to_owned(), words));
        signs_in.push(sandbox);
    }
    place.configure(&tables.iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = Daemon::start(&place);
    wait_for("everything of the good one", || missing(&good, "good", &place.arrivals("file")).is_empty());
    for (name, words) in &expected {
        let is_said = |line: &str| line.contains(&format!("tenant={name} ")) && line.contains(words);
        wait_for(&format!("{words:?} to be said of {name}"), || daemon.log().lines().any(is_said));
    }
    assert_eq!(daemon.stop("TERM"), 0);
    for (case, gate, ..) in &gates {
        assert!(gate.asked().is_empty(), "{case}: {:?}", gate.asked());
    }
    // An alert (21) and nothing of ours.
    let rest = rest.lock().expect("no panic").clone();
    assert!(rest.first().is_none_or(|kind| *kind == 21) && rest.len() < 100, "{rest:?}");
    assert!(place.arrivals("file").iter().all(|arrival| arrival.tenant == "good"));
}
