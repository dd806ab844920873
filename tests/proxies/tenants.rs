//! Tenants behind proxies, with `check` and with the daemon.

use std::fmt::Write as _;
use std::path::Path;

use rcgen::ExtendedKeyUsagePurpose;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::server::Sandbox;

use crate::far_side::{Authority, FarSide, HOSTS};
use crate::harness::{Daemon, Outcome, Place, QUICK, closed_port, still, unlimited, wait_for};
use crate::process::{Kind, Proxy};

/// Everything but letters and digits, as a URL and a header would have it otherwise.
const PASSWORD: &str = "p@ss:%41/ w0rd?#é";
const WRONG: &str = "Wr0ng-p@ssword";
const TRACE: &str = "[log]\nlevel = \"trace\"\n\n";

/// A company: a sandbox outside, and files inside.
pub(crate) struct Company {
    pub(crate) place: Place,
    pub(crate) sandbox: Sandbox,
    pub(crate) far: FarSide,
    pub(crate) authority: Authority,
}

impl Company {
    pub(crate) async fn new(count: u32) -> Self {
        let (place, sandbox) = (Place::new(), still(count, unlimited()).await);
        let authority = Authority::new(&place.path(""), "outside");
        let far = FarSide::start(sandbox.url().port().expect("a port"), &authority).await;
        Self { place, sandbox, far, authority }
    }

    /// A tenant at one of the far side's names, and how to get there.
    fn tenant(&self, host: &str, ca_file: &Path, way: &str) -> String {
        let url = self.far.url(host);
        let table = self.place.tenant_behind("contoso", &self.sandbox, &url, &url);
        format!("{}\ntls_ca_file = \"{}\"\n{way}\n\n", table.trim_end(), ca_file.display())
    }

    /// What `check` says of it with everything logged. Nothing of what it says is a password.
    fn check(&self, host: &str, ca_file: &Path, way: &str, environment: &[(&str, &str)]) -> Outcome {
        let table = self.tenant(host, ca_file, way);
        self.place.configure(&[QUICK, TRACE, &table, &self.place.file_sink("file")]);
        // With a state directory the list is tried too.
        std::fs::create_dir_all(self.place.state()).expect("a directory");
        let said = self.place.command_in(&["check"], environment);
        assert_no_password(&format!("{}{}", said.out, said.err));
        said
    }

    /// Whether somebody came to the far side since the last time.
    fn was_asked(&self) -> bool {
        !self.far.came().is_empty()
    }

    /// A way to a proxy as one user, with the password in a file.
    fn way(&self, url: &str, password: Option<&str>, more: &str) -> String {
        let mut table = more.to_owned();
        if let Some(password) = password {
            let file = self.place.write("proxy-password", password);
            make_private(&file);
            let comma = if table.is_empty() { "" } else { ", " };
            write!(table, "{comma}user = \"me\", password = {{ file = \"{}\" }}", file.display()).expect("a text");
        }
        format!("proxy_url = \"{url}\"\nproxy = {{ {table} }}")
    }
}

fn make_private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("its own file");
}

/// In none of the spellings that a proxy sees.
fn assert_no_password(said: &str) {
    use base64::Engine;
    for password in [PASSWORD, WRONG] {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("me:{password}"));
        let encoded: String = url::form_urlencoded::byte_serialize(password.as_bytes()).collect();
        for text in [password, &basic, &encoded, "p%40ss", "Wr0ng%2D"] {
            assert!(!said.contains(text), "{text:?} is said: {said}");
        }
    }
}

/// One kind of proxy with the right password, with a wrong one and with none.
async fn check_sign_in(kind: Kind, scheme: &str, password: &str, settings: &[(&str, &str)]) {
    let company = Company::new(1).await;
    let dir = company.place.path("proxy");
    let dir_text = dir.display().to_string();
    let far_ca = company.authority.file.display().to_string();
    let mut all = vec![("user", "me"), ("password", password)];
    all.extend_from_slice(settings);
    let mut ca_file = company.authority.file.clone();
    if kind == Kind::Mitmproxy {
        all.extend([("directory", dir_text.as_str()), ("far_ca", &far_ca)]);
        ca_file = dir.join("mitmproxy-ca-cert.pem");
    }
    let Some(proxy) = Proxy::start(kind, &dir, &all) else { return };
    let url = proxy.url(scheme);
    let said = company.check(HOSTS[0], &ca_file, &company.way(&url, Some(password), ""), &[]);
    said.expect(0, &["by client secret in", "1 row"]);
    assert!(company.was_asked());
    for other in [Some(WRONG), None] {
        let said = company.check(HOSTS[0], &ca_file, &company.way(&url, other, ""), &[]);
        said.expect(69, &["check proxy.user and proxy.password"]);
        assert!(!company.was_asked(), "{other:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socks_of_pproxy_lets_through_who_has_the_password() {
    check_sign_in(Kind::Pproxy, "socks5h", PASSWORD, &[("protocol", "socks5")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_py_lets_through_who_has_the_password() {
    check_sign_in(Kind::ProxyPy, "http", PASSWORD, &[]).await;
}

/// It takes no colon in a password.
const FOR_MITMPROXY: &str = "p@ss%41/ w0rd?#é";

#[tokio::test(flavor = "multi_thread")]
async fn mitmproxy_lets_through_who_has_the_password() {
    check_sign_in(Kind::Mitmproxy, "http", FOR_MITMPROXY, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socks_of_mitmproxy_lets_through_who_has_the_password() {
    check_sign_in(Kind::Mitmproxy, "socks5h", FOR_MITMPROXY, &[("protocol", "socks5")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_opens_tls_is_trusted_only_with_its_authority() {
    let company = Company::new(1).await;
    let dir = company.place.path("proxy");
    let (dir_text, far_ca) = (dir.display().to_string(), company.authority.file.display().to_string());
    let settings = [("directory", dir_text.as_str()), ("far_ca", &far_ca)];
    let Some(proxy) = Proxy::start(Kind::Mitmproxy, &dir, &settings) else { return };
    let way = company.way(&proxy.url("http"), None, "");
    company.check(HOSTS[0], &company.authority.file, &way, &[]).expect(69, &["UnknownIssuer"]);
    assert_eq!(company.sandbox.calls().arrived(Endpoint::Token), 0);
    company.check(HOSTS[0], &dir.join("mitmproxy-ca-cert.pem"), &way, &[]).expect(0, &["1 row"]);
    assert_eq!(company.sandbox.calls().arrived(Endpoint::Token), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_https_proxy_has_its_own_authority_and_our_certificate_is_for_it_alone() {
    let company = Company::new(1).await;
    let inside = Authority::new(&company.place.path(""), "inside");
    let (server, server_key) = inside.issue(&["localhost"], ExtendedKeyUsagePurpose::ServerAuth);
    let (own, own_key) = inside.issue(&[], ExtendedKeyUsagePurpose::ClientAuth);
    let text = |path: &Path| path.display().to_string();
    let (server, server_key, inside_ca) = (text(&server), text(&server_key), text(&inside.file));
    let settings = [("certificate", server.as_str()), ("key", &server_key), ("client_ca", &inside_ca)];
    let Some(proxy) = Proxy::start(Kind::Pproxy, &company.place.path("proxy"), &settings) else { return };
    let url = proxy.url("https");
    let pair = format!("certificate = \"{}\", private_key = \"{}\"", own.display(), own_key.display());
    let check = |ca_file: &Path, tls: &str| {
        let way = company.way(&url, None, &format!("tls = {{ {tls} }}"));
        company.check(HOSTS[0], ca_file, &way, &[])
    };
    let (outside, both) = (&company.authority.file, format!("ca_file = \"{inside_ca}\", {pair}"));
    check(outside, &both).expect(0, &["by client secret in", "1 row"]);
    let came = company.far.came();
    assert!(
        !came.is_empty() && came.iter().all(|(host, shown)| host.as_deref() == Some(HOSTS[0]) && !shown),
        "{came:?}"
    );
    // Without our certificate; without its authority; and its authority proves nobody but the proxy.
    check(outside, &format!("ca_file = \"{inside_ca}\""))
        .expect(69, &["the proxy hung up: check proxy_url", "proxy.tls"]);
    check(outside, &pair).expect(69, &["UnknownIssuer", "check proxy_url, proxy.tls"]);
    assert!(!company.was_asked());
    check(&inside.file, &both).expect(69, &["UnknownIssuer"]);
    assert!(!company.was_asked());
    // Trusted beside the others, it needs to be named once only.
    let way = company.way(&url, None, &format!("tls = {{ {pair} }}"));
    let bundle =
        std::fs::read_to_string(outside).expect("read") + &std::fs::read_to_string(&inside.file).expect("read");
    company.check(HOSTS[0], &company.place.write("both.pem", &bundle), &way, &[]).expect(0, &["1 row"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tls_of_proxy_py_is_gone_through_too() {
    let company = Company::new(1).await;
    let inside = Authority::new(&company.place.path(""), "inside");
    let (server, key) = inside.issue(&["localhost"], ExtendedKeyUsagePurpose::ServerAuth);
    let (server, key) = (server.display().to_string(), key.display().to_string());
    let settings = [("user", "me"), ("password", PASSWORD), ("certificate", &server), ("key", &key)];
    let Some(proxy) = Proxy::start(Kind::ProxyPy, &company.place.path("proxy"), &settings) else { return };
    let tls = format!("tls = {{ ca_file = \"{}\" }}", inside.file.display());
    let way = company.way(&proxy.url("https"), Some(PASSWORD), &tls);
    company.check(HOSTS[0], &company.authority.file, &way, &[]).expect(0, &["1 row"]);
    // As if it spoke no TLS.
    let way = company.way(&proxy.url("http"), None, "");
    company.check(HOSTS[0], &company.authority.file, &way, &[]).expect(69, &["the proxy hung up: check proxy_url"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_proxy_names_goes_around_and_nothing_else_does() {
    let company = Company::new(1).await;
    let nobody = format!("http://127.0.0.1:{}", closed_port());
    let check = |entry: &str, is_around: bool| {
        let way = company.way(&nobody, None, &format!("no_proxy = [{entry}]"));
        let said = company.check(HOSTS[1], &company.authority.file, &way, &[]);
        match is_around {
            true => said.expect(0, &["1 row"]),
            false => said.expect(69, &["Connection refused", "that is the proxy itself: check proxy_url"]),
        };
        assert_eq!(company.was_asked(), is_around, "{entry}");
    };
    check("", false);
    check("\"sandbox.test\", \"10.0.0.0/8\"", false);
    check("\"0.0.0.0/8\"", true);
    check("\"sandbox.test\", \"0.0.0.0\"", true);
    check("\"*\"", true);
    // The same where a password goes along, which is another way inside.
    let way = |entry: &str| company.way(&nobody, Some(PASSWORD), &format!("no_proxy = [{entry}]"));
    company.check(HOSTS[1], &company.authority.file, &way("\"0.0.0.0/8\""), &[]).expect(0, &["1 row"]);
    company
        .check(HOSTS[1], &company.authority.file, &way("\"10.0.0.0/8\""), &[])
        .expect(69, &["that is the proxy itself"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_setting_the_environment_names_the_proxy() {
    let company = Company::new(1).await;
    let settings = [("user", "me"), ("password", PASSWORD)];
    let Some(proxy) = Proxy::start(Kind::ProxyPy, &company.place.path("proxy"), &settings) else { return };
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let url = |password: &str| format!("http://me:{}@127.0.0.1:{}", encoded(password), proxy.port);
    let (good, bad, nobody) = (url(PASSWORD), url(WRONG), format!("http://127.0.0.1:{}", closed_port()));
    let check = |host: &str, environment: &[(&str, &str)], code: i32, words: &[&str]| {
        company.check(host, &company.authority.file, "", environment).expect(code, words);
    };
    check(HOSTS[0], &[("HTTPS_PROXY", &good)], 0, &["1 row"]);
    check(HOSTS[0], &[("HTTPS_PROXY", &bad)], 69, &["proxy.password"]);
    check(HOSTS[1], &[("HTTPS_PROXY", &nobody)], 69, &["that is the proxy itself"]);
    check(HOSTS[1], &[("HTTPS_PROXY", &nobody), ("NO_PROXY", "0.0.0.0/8")], 0, &["1 row"]);
    // What is configured counts instead.
    let way = company.way(&proxy.url("http"), Some(PASSWORD), "");
    company.check(HOSTS[0], &company.authority.file, &way, &[("HTTPS_PROXY", &nobody)]).expect(0, &["1 row"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn socks5_resolves_here_and_socks5h_at_the_proxy() {
    let company = Company::new(1).await;
    let Some(proxy) = Proxy::start(Kind::Pproxy, &company.place.path("proxy"), &[("protocol", "socks5")]) else {
        return;
    };
    let check = |scheme: &str, host: &str, code: i32, words: &[&str]| {
        let way = company.way(&proxy.url(scheme), None, "");
        company.check(host, &company.authority.file, &way, &[]).expect(code, words);
        assert_eq!(company.was_asked(), code == 0, "{scheme} {host}");
    };
    check("socks5h", HOSTS[0], 0, &["1 row"]);
    check("socks5", HOSTS[0], 69, &["resolving"]);
    check("socks5", HOSTS[1], 0, &["1 row"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_dies_in_the_middle_of_a_call_costs_no_incident_and_its_next_password_counts() {
    const NEXT: &str = "the next one";
    let company = Company::new(5).await;
    let dir = company.place.path("proxy");
    let Some(proxy) = Proxy::start(Kind::ProxyPy, &dir, &[("user", "me"), ("password", PASSWORD)]) else { return };
    let port = proxy.port.to_string();
    let way = company.way(&proxy.url("http"), Some(PASSWORD), "");
    let table = company.tenant(HOSTS[0], &company.authority.file, &way);
    company.place.configure(&[QUICK, TRACE, &table, &company.place.file_sink("file")]);
    let daemon = Daemon::start(&company.place);
    wait_for("what is there", || company.place.arrivals("file").len() == 5);
    // The next connection hangs at the far side, with a call on its way, when the proxy is gone.
    company.far.hold(true);
    let other = Proxy::start(Kind::ProxyPy, &company.place.path("other"), &[]).expect("it was there before");
    drop(proxy);
    wait_for("a word about it", || daemon.log().contains("that is the proxy itself: check proxy_url"));
    drop(other);
    let again = |password: &str| {
        let settings = [("user", "me"), ("password", password), ("port", port.as_str())];
        Proxy::start(Kind::ProxyPy, &dir, &settings).expect("it was there before")
    };
    let proxy = again(PASSWORD);
    company.far.came();
    wait_for("a call that hangs", || company.was_asked());
    drop(proxy);
    company.far.hold(false);
    let proxy = again(NEXT);
    wait_for("a word about the password", || daemon.log().contains("check proxy.user and proxy.password"));
    std::fs::write(company.place.path("proxy-password"), NEXT).expect("written");
    let now = company.sandbox.now();
    company.sandbox.world().create_many(3, 2_000, now, now);
    company.sandbox.world().settle(now);
    wait_for("what is new", || 8 <= company.place.arrivals("file").len());
    assert_eq!(daemon.stop("TERM"), 0);
    drop(proxy);
    let arrivals = company.place.arrivals("file");
    let mut ids: Vec<_> = arrivals.iter().map(|arrival| arrival.incident.get().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), arrivals.len()), (8, 8), "nothing is lost or told twice");
    let log = company.place.text("daemon.log");
    assert_no_password(&log);
    assert!(!log.contains(NEXT), "{log}");
}
