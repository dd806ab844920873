//! URLs and addresses: that a token never travels in the clear, and that nothing stands in them which would be ignored.
//! Resolves and reaches nothing. No address is shown: it may hold a password.

use url::{Host, Url};

use crate::api::{Cloud, Known, signs_in};
use crate::config::key::{Key, looks_secret};
use crate::config::report::Report;
use crate::config::tenant::Tenant;
use crate::model::dialect::Dialect;
use crate::sink;
use crate::sink::Config as Kind;
use crate::transport::http::is_loopback;
use crate::transport::{proxy, tls};

/// RFC 5424 section 6.2.1, by the names of syslog(3).
const FACILITIES: [&str; 20] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "local0",
    "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
/// Headers that belong to the request itself.
const OWN_HEADERS: [&str; 6] =
    ["host", "content-length", "content-encoding", "transfer-encoding", "connection", "proxy-authorization"];

/// The URLs of a tenant.
pub(crate) fn of_tenant(key: &Key, tenant: &Tenant, report: &mut Report) {
    for (name, url) in [("api_url", &tenant.api_url), ("login_url", &tenant.login_url)] {
        let (Some(url), key) = (url, key.child(name)) else { continue };
        if plain(&key, url, &["https", "http"], report) && url.scheme() == "http" && !is_loopback(url) {
            let remedy = "use https://; plain http:// is for this machine itself";
            report.error(&key, "the secret and the token would travel in the clear", Some(remedy.into()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            report.error(&key, "a base has no `?` and no `#`", Some("end it after the host or the path".into()));
        }
        let path = url.path().to_ascii_lowercase();
        if path.contains("/incidents") || path.contains("/oauth2") {
            let remedy = "leave out what comes after the host: it is added";
            report.error(&key, "this is an endpoint and not the base", Some(remedy.into()));
        }
    }
    of_cloud(key, tenant, report);
    proxy(key, tenant.proxy_url.as_ref(), &tenant.proxy, report);
}

/// Hosts of Microsoft's that are of another API or of another cloud than the tenant is.
fn of_cloud(key: &Key, tenant: &Tenant, report: &mut Report) {
    let (api, cloud) = (tenant.api, tenant.cloud);
    let host = |url: &Option<Url>| url.as_ref().and_then(Url::host_str).map(str::to_owned);
    if let Some(known) = host(&tenant.api_url).and_then(|host| Known::of_api(&host)) {
        let implied = format!("leave it out: {} is what follows from `api` and `cloud`", cloud.audience(api));
        of_api(&key.child("api_url"), "host", known, api, &implied, report);
        if let Known::Incidents(_, clouds) = known
            && !clouds.contains(&cloud)
        {
            report.error(&key.child("api_url"), of_clouds("host", clouds, cloud), Some(set_cloud(clouds, &implied)));
        }
    }
    if let Some(known) = tenant.audience.as_deref().and_then(Known::of_audience) {
        // In the clouds of governments the audience is not documented, so no cloud is compared.
        let implied = format!("leave it out: {} is what follows from `api` and `cloud`", cloud.audience(api));
        let key = key.child("audience");
        of_api(&key, "audience", known, api, &implied, report);
        let regional = tenant.audience.as_deref().and_then(|text| Url::parse(text).ok());
        let is_regional = regional.is_some_and(|url| {
            Cloud::ALL.iter().all(|cloud| cloud.api_url(api).host_str() != url.host_str()) && url.has_host()
        });
        if is_regional && !report.is_wrong(&key) {
            report.warning(&key, "a regional host is known for no audience", Some(implied));
        }
    }
    if let Some(clouds) = host(&tenant.login_url).and_then(|host| signs_in(&host))
        && !clouds.contains(&cloud)
    {
        let implied =
            format!("leave it out: {} follows from `cloud`", cloud.login_url().origin().ascii_serialization());
        let what = of_clouds("host", clouds, cloud);
        report.error(&key.child("login_url"), what, Some(set_cloud(clouds, &implied)));
    }
}

/// The other API: it would answer 401 or 404, which says nothing of the reason.
fn of_api(key: &Key, what: &str, known: Known, api: Dialect, implied: &str, report: &mut Report) {
    match known {
        Known::Incidents(of, _) if of == api => {}
        Known::Incidents(of, _) => {
            let is = format!("this {what} is of {}, and api = \"{}\" is {}", named(of), api.as_str(), named(api));
            report.error(key, is, Some(format!("{implied}; or set api = \"{}\"", of.as_str())));
        }
        // Samples of Microsoft's name this audience, and some tenants may live with it; no host of it has these incidents.
        Known::Other if what == "audience" => {
            report.warning(key, "this audience is of another API: the token may be refused", Some(implied.to_owned()));
        }
        Known::Other => {
            report.error(
                key,
                format!("this {what} is of another API, which has no such incidents"),
                Some(implied.to_owned()),
            );
        }
    }
}

fn named(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Defender => "the Defender XDR API",
        Dialect::Graph => "Microsoft Graph",
    }
}

fn of_clouds(what: &str, clouds: &[Cloud], cloud: Cloud) -> String {
    let names: Vec<&str> = clouds.iter().map(|cloud| cloud.as_str()).collect();
    match names.is_empty() {
        true => format!("this {what} is of a cloud without these incidents"),
        false => format!("this {what} is of cloud = \"{}\", not of \"{}\"", names.join("\" or \""), cloud.as_str()),
    }
}

fn set_cloud(clouds: &[Cloud], implied: &str) -> String {
    match clouds.first() {
        Some(_) => format!("{implied}; or set `cloud`"),
        None => implied.to_owned(),
    }
}

/// The addresses of a sink, and what goes with them.
pub(crate) fn of_sink(key: &Key, kind: &Kind, report: &mut Report) {
    let names = kind.settings().names();
    for (name, url) in &names.urls {
        sink_url(&key.child(name), url, !names.secrets.is_empty() || names.credential.is_some(), report);
    }
    let is_open = |(_, url): &(&str, &Url)| url.scheme() == "http";
    if names.urls.iter().any(is_open) && names.tls.is_some_and(|tls| *tls != tls::Config::default()) {
        report.error(&key.child("tls"), "the URL is not https://", Some("use https://, or leave it out".into()));
    }
    if let Some(settings) = names.proxy_settings {
        proxy(key, names.proxy, settings, report);
    }
    match kind {
        Kind::Syslog(syslog) => of_syslog(key, syslog, report),
        Kind::Http(http) => of_http(key, http, report),
        Kind::File(_)
        | Kind::Stdout(_)
        | Kind::SplunkHec(_)
        | Kind::Elasticsearch(_)
        | Kind::Relp(_)
        | Kind::Kafka(_)
        | Kind::AzureMonitor(_) => {}
    }
}

/// An address that events go to.
fn sink_url(key: &Key, url: &Url, has_secret: bool, report: &mut Report) {
    if plain(key, url, &["https", "http"], report) && url.scheme() == "http" && !is_loopback(url) {
        match has_secret {
            true => {
                let remedy = "use https://; plain http:// with a secret is for this machine itself";
                report.error(key, "the secret would travel in the clear", Some(remedy.into()));
            }
            false => report.warning(key, "incidents travel in the clear", Some("use https://".into())),
        }
    }
    if url.fragment().is_some() {
        report.error(key, "nobody is sent what stands behind a `#`", Some("take it out".into()));
    }
}

/// What every URL has to fulfil. Answers whether it does.
fn plain(key: &Key, url: &Url, schemes: &[&str], report: &mut Report) -> bool {
    if !schemes.contains(&url.scheme()) {
        let known: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
        report.error(key, "it begins with no scheme that is known here", Some(format!("one of {}", known.join(", "))));
        return false;
    }
    if !url.username().is_empty() || url.password().is_some() {
        let remedy = "take them out; whoever reads the configuration would read them";
        report.error(key, "user name or password in a URL", Some(remedy.into()));
        return false;
    }
    let named = match url.host() {
        Some(Host::Domain(name)) => {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    };
    if !named || url.port() == Some(0) {
        report.error(key, "no host, or one that cannot be", Some("look for a comma, a blank or a port 0".into()));
    }
    named
}

/// A proxy, and what goes with it.
fn proxy(around: &Key, url: Option<&Url>, settings: &proxy::Settings, report: &mut Report) {
    let (key, table) = (around.child("proxy_url"), around.child("proxy"));
    if let Some(url) = url {
        let has_credential = !url.username().is_empty() || url.password().is_some();
        if has_credential {
            let remedy = format!("take them out: `user` and `password` belong in [{table}], the password by reference");
            report.error(&key, "user name or password in a URL", Some(remedy));
        }
        plain(&key, url, &["http", "https", "socks5", "socks5h"], report);
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            report.error(&key, "a proxy has no path", Some("end it after the port".into()));
        }
    }
    // Where `proxy_url` is there and no URL, that is in the report.
    if url.is_none() && report.is_wrong(&key) {
        return;
    }
    for (part, what, remedy) in settings.problems(url) {
        let key = if part.is_empty() { table.clone() } else { table.child(part) };
        if !report.is_wrong_below(&key) {
            report.error(&key, what, Some(remedy.into()));
        }
    }
}

fn of_syslog(key: &Key, syslog: &sink::syslog::Config, report: &mut Report) {
    let address = key.child("address");
    let scheme = match Url::parse(&syslog.address) {
        Ok(url) => syslog_address(&address, &url, report).then(|| url.scheme().to_owned()),
        Err(_) => {
            let remedy = "such as \"tls://siem.example.net:6514\" or \"unix:///run/systemd/journal/syslog\"";
            report.error(&address, "not an address", Some(remedy.into()));
            None
        }
    };
    if scheme.is_some_and(|scheme| scheme != "tls") && syslog.tls != tls::Config::default() {
        report.error(&key.child("tls"), "the address is not tls://", Some("use tls://, or leave it out".into()));
    }
    let number = syslog.facility.parse::<u8>().is_ok_and(|number| number < 24);
    if !number && !FACILITIES.contains(&syslog.facility.to_ascii_lowercase().as_str()) {
        let remedy = format!("one of {}, or a number from 0 to 23", FACILITIES.join(", "));
        report.error(&key.child("facility"), "no facility", Some(remedy));
    }
    // RFC 5424 section 6: PRINTUSASCII has no blank.
    let printable =
        |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !printable(&syslog.app_name, 48) {
        report.error(&key.child("app_name"), "not 1 to 48 printable ASCII characters without blanks", None);
    }
    if syslog.hostname.as_ref().is_some_and(|name| !printable(name, 255)) {
        report.error(&key.child("hostname"), "not 1 to 255 printable ASCII characters without blanks", None);
    }
}

fn syslog_address(key: &Key, url: &Url, report: &mut Report) -> bool {
    if url.scheme() == "unix" {
        let absolute = url.host().is_none() && url.path().starts_with('/') && url.path().len() != 1;
        if !absolute {
            report.error(key, "no absolute path", Some("three slashes: \"unix:///run/systemd/journal/syslog\"".into()));
        }
        return absolute;
    }
    let fits = plain(key, url, &["udp", "tcp", "tls", "unix"], report);
    if fits && (!matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some()) {
        report.error(key, "something stands behind the port", Some("end it after the port".into()));
    }
    fits
}

fn of_http(key: &Key, http: &sink::http::Config, report: &mut Report) {
    for (name, value) in &http.headers {
        header(&key.join(["headers", name]), name, value, report);
    }
    if let Some(sink::http::Auth::Header { name, .. }) = &http.auth
        && ::http::HeaderName::from_bytes(name.as_bytes()).is_err()
    {
        report.error(&key.join(["auth", "name"]), "not the name of a header", Some("such as \"X-Api-Key\"".into()));
    }
}

fn header(key: &Key, name: &str, value: &str, report: &mut Report) {
    let lower = name.to_ascii_lowercase();
    if ::http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        report.error(key, "not the name of a header", None);
    } else if ::http::HeaderValue::from_str(value).is_err() {
        report.error(key, "not the value of a header", Some("no line breaks and no control characters".into()));
    } else if lower == "authorization" {
        let remedy = "auth = { kind = \"bearer\", token = { file = \"/run/secrets/siem\" } }, or kind = \"basic\"";
        report.error(key, "a secret does not stand in the configuration", Some(remedy.into()));
    } else if OWN_HEADERS.contains(&lower.as_str()) {
        report.error(key, "xdrelay sets this header itself", Some("leave it out".into()));
    } else if looks_secret(name) {
        let remedy =
            format!("auth = {{ kind = \"header\", name = {name:?}, value = {{ file = \"/run/secrets/siem\" }} }}");
        report.warning(key, "this looks like a secret, which does not stand in the configuration", Some(remedy));
    }
}
