//! Settings that cannot work are named before anything is sent.

use xdrelay::format::Format;
use xdrelay::sink::Config;

fn config(url: &str, more: &str) -> Config {
    let token = if more.contains("token") { "" } else { "token = { env = 'SPLUNK_TOKEN' }\n" };
    Config::SplunkHec(toml::from_str(&format!("url = {url:?}\n{token}{more}")).expect("a config"))
}

#[test]
fn settings_that_cannot_work_are_named_at_once() {
    let check = |url: &str, more: &str, expected: &[&str]| {
        let problems = config(url, more).settings().validate();
        let keys: Vec<_> = problems.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, expected, "{url} {more}: {problems:?}");
    };
    let good = "https://splunk.example.net:8088";
    check(good, "", &[]);
    check(good, "index = 'sec_xdr-1'\nhost = 'h'\nsource = 'xdrelay'\nsourcetype = 'ms:xdr'\nack = true", &[]);
    check("http://127.0.0.1:8088/services/collector/event", "", &[]);
    check("ftp://splunk.example.net/", "", &["url"]);
    check("https://kim:s3cret@splunk.example.net/", "", &["url"]);
    check("https://splunk.example.net/?channel=1", "", &["url"]);
    check("https://splunk.example.net/services/collector/raw", "", &["url"]);
    check("http://127.0.0.1/", "[tls]\nca_file = 'ca.pem'", &["tls"]);
    check(good, "[tls]\ncertificate = 'x.pem'", &["tls"]);
    check(good, "token = {}", &["token"]);
    check(good, "token = { env = 'X', file = 'y' }", &["token"]);
    check(good, "batch_events = 0\nbatch_size = '0 B'\ntimeout = '0s'", &["batch_events", "batch_size", "timeout"]);
    check(
        good,
        "batch_events = 10001\nbatch_size = '65 MiB'\ntimeout = '2h'",
        &["batch_events", "batch_size", "timeout"],
    );
    check(good, "ack_timeout = '2s'", &["ack_timeout"]);
    check(good, "ack_timeout = '61m'", &["ack_timeout"]);
    check(good, "index = 'Sec'", &["index"]);
    check(good, "index = '-a'\nhost = ''\nsource = \"a\\nb\"", &["index", "host", "source"]);
    check(good, "proxy_url = 'ftp://proxy/'", &["proxy_url"]);
}

#[test]
fn each_mode_says_what_it_promises() {
    let check = |more: &str, promise: &str, settles: bool| {
        let config = config("https://splunk.example.net:8088", more);
        let settings = config.settings();
        assert!(settings.guarantee().starts_with(promise), "{more}");
        assert_eq!(settings.settles(), settles, "{more}");
        assert!(Format::ALL.iter().all(|format| settings.takes(*format).is_ok()));
    };
    check("", "at least once up to the receiver's queues: ", false);
    check("ack = true", "at least once: an event counts when the indexer", true);
}

#[test]
fn what_splunk_cloud_does_not_do_is_warned_of() {
    let check = |url: &str, more: &str, expected: usize| {
        assert_eq!(config(url, more).settings().warnings().len(), expected, "{url} {more}");
    };
    check("https://http-inputs-example.splunkcloud.com:443", "ack = true", 1);
    check("https://http-inputs-example.splunkcloud.com:443", "", 0);
    check("https://splunk.example.net:8088", "ack = true", 0);
}

#[test]
fn two_addresses_of_one_place_are_one_destination() {
    let of = |url: &str, more: &str| config(url, more).settings().destination();
    let base = of("https://splunk.example.net:8088", "");
    assert_eq!(base, of("https://splunk.example.net:8088/services/collector/event", ""));
    assert_ne!(base, of("https://splunk.example.net:8088", "index = 'other'"));
}
