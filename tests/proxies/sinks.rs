//! The sinks that speak HTTP, behind a proxy.

use std::path::Path;

use xdrelay::core::courier::DeliverError;
use xdrelay::model::names::SinkName;
use xdrelay::sink::Config;

use crate::outgoing::several;
use crate::process::{Kind, Proxy};
use crate::tenants::Company;

const PASSWORD: &str = "of-the-sinks %41";

fn config(kind: &str, text: &str) -> Config {
    match kind {
        "http" => Config::Http(toml::from_str(text).expect("a config")),
        "splunk_hec" => Config::SplunkHec(toml::from_str(text).expect("a config")),
        "elasticsearch" => Config::Elasticsearch(toml::from_str(text).expect("a config")),
        "azure_monitor" => Config::AzureMonitor(toml::from_str(text).expect("a config")),
        kind => panic!("{kind} speaks no HTTP"),
    }
}

fn keys(kind: &str, url: &str, secret: &Path) -> String {
    match kind {
        "splunk_hec" => format!("url = {url:?}\ntoken = {{ file = {secret:?} }}\n"),
        "elasticsearch" => format!("url = {url:?}\nindex = 'x'\n"),
        "azure_monitor" => format!(
            "endpoint = {url:?}\nlogin_url = {url:?}\ndcr = 'dcr-00112233445566778899aabbccddeeff'\nstream = 'Custom-X'\n\
             tenant_id = '11111111-2222-3333-4444-555555555555'\nclient_id = '66666666-7777-8888-9999-000000000000'\n\
             credential = {{ kind = 'client_secret', file = {secret:?} }}\n",
        ),
        _ => format!("url = {url:?}\n"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sink_that_speaks_http_signs_in_to_its_proxy() {
    let company = Company::new(1).await;
    let settings = [("user", "me"), ("password", PASSWORD)];
    let Some(proxy) = Proxy::start(Kind::ProxyPy, &company.place.path("proxy"), &settings) else { return };
    let secret = company.place.write("secret", "of-the-receiver");
    let (url, ca_file) = (company.far.url("siem.test"), company.authority.file.display().to_string());
    for kind in ["http", "splunk_hec", "elasticsearch", "azure_monitor"] {
        for (password, is_through) in [(PASSWORD, true), ("another", false)] {
            let file = company.place.write("proxy-password", password);
            let way = format!(
                "proxy_url = {:?}\nproxy = {{ user = 'me', password = {{ file = {file:?} }} }}\ntls = {{ ca_file = {ca_file:?} }}\n",
                proxy.url("http"),
            );
            let text = format!("{}{way}", keys(kind, &url, &secret));
            let mut sink = config(kind, &text).open(&SinkName::new("siem")).expect("opened");
            let error = match sink.deliver(&several(1..=1, 20)).await {
                // The sandbox is no receiver: what it says to this is not the question here.
                Ok(_) => String::new(),
                Err(
                    DeliverError::Retry { why, .. } | DeliverError::Pause { why } | DeliverError::RefusedBatch { why },
                ) => why,
                Err(DeliverError::Refused(refusals)) => format!("{refusals:?}"),
            };
            let came = company.far.came();
            assert_eq!(
                came.iter().any(|(host, _)| host.as_deref() == Some("siem.test")),
                is_through,
                "{kind}: {error}"
            );
            assert_eq!(error.contains("check proxy.user and proxy.password"), !is_through, "{kind}: {error}");
            assert!(!error.contains(password), "{kind}: {error}");
        }
    }
}

/// Without TLS the proxy is asked for the whole address, with the credential in each request.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_without_tls_signs_in_to_its_proxy() {
    let company = Company::new(1).await;
    let settings = [("user", "me"), ("password", PASSWORD)];
    let Some(proxy) = Proxy::start(Kind::ProxyPy, &company.place.path("proxy"), &settings) else { return };
    let file = company.place.write("proxy-password", PASSWORD);
    let url = format!("http://siem.test:{}/", company.sandbox.url().port().expect("a port"));
    let text = format!(
        "url = {url:?}\nproxy_url = {:?}\nproxy = {{ user = 'me', password = {{ file = {file:?} }} }}\n",
        proxy.url("http"),
    );
    let check = async |password: &str, words: [&str; 2]| {
        std::fs::write(&file, password).expect("written");
        let mut sink = config("http", &text).open(&SinkName::new("siem")).expect("opened");
        // The sandbox takes no events, which is as far as this goes.
        let Err(DeliverError::Pause { why }) = sink.deliver(&several(1..=1, 20)).await else { panic!("taken") };
        assert!(words.iter().all(|word| why.contains(word)), "{why}");
    };
    check(PASSWORD, ["404 Not Found", "nothing takes events there"]).await;
    check("another", ["407", "proxy.user and proxy.password"]).await;
}
