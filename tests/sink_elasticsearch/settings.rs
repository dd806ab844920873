//! The keys of the sink: what cannot work, and what they say of where events go.

use xdrelay::format::Format;
use xdrelay::model::names::SinkName;
use xdrelay::sink::Config;

#[test]
fn settings_that_cannot_work_are_named_at_once() {
    let check = |text: &str, expected: &[&str]| {
        let config = Config::Elasticsearch(toml::from_str(text).expect("a config"));
        let keys: Vec<_> = config.settings().validate().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, expected, "{text}");
        assert_eq!(config.open(&SinkName::new("search")).is_err(), !expected.is_empty());
    };
    // example.net$abc$def
    let cloud = "cloud_id = 'prod:ZXhhbXBsZS5uZXQkYWJjJGRlZg=='\n";
    let good = "url = 'https://elastic.example.net:9200/es'\n";
    check(&format!("{good}index = 'x'"), &[]);
    check(&format!("{cloud}index = 'x-{{tenant}}'"), &[]);
    check("index = 'x'", &["url"]);
    check(&format!("{good}{cloud}index = 'x'"), &["cloud_id"]);
    check(&format!("{good}index = 'X*'"), &["index"]);
    check("url = 'ftp://x/'\nindex = 'x'", &["url"]);
    check("url = 'https://kim:s3cret@x/?a=b'\nindex = 'x'", &["url", "url"]);
    check("url = 'https://x/_bulk'\nindex = 'x'", &["url"]);
    check("url = 'http://x/'\nindex = 'x'\ntls = { ca_file = 'x' }", &["tls"]);
    check(&format!("{good}index = 'x'\nproxy_url = 'ftp://x'"), &["proxy_url"]);
    check(
        &format!("{good}index = 'x'\nbatch_events = 0\nbatch_size = '101 MB'\ntimeout = '2h'"),
        &["batch_events", "batch_size", "timeout"],
    );
    check(&format!("{good}index = 'x'\npipeline = ''\ntls = {{ certificate = 'x' }}"), &["tls", "pipeline"]);
    check(&format!("{good}index = 'x'\nauth = {{ kind = 'api_key', key = {{}} }}"), &["auth.key"]);
    check(
        &format!("{good}index = 'x'\nauth = {{ kind = 'basic', user = 'a:b', password = {{}} }}"),
        &["auth.user", "auth.password"],
    );
    assert!(toml::from_str::<xdrelay::sink::elasticsearch::Config>("cloud_id = 'x:y'\nindex = 'x'").is_err());
}

#[test]
fn settings_tell_where_events_go_and_in_which_form() {
    let config = |text: &str| Config::Elasticsearch(toml::from_str(text).expect("a config"));
    let cloud = config(
        "cloud_id = 'prod:ZXhhbXBsZS5uZXQkYWJjJGRlZg=='\nindex = 'x'\nauth = { kind = 'api_key', key = { env = 'K' } }",
    );
    let settings = cloud.settings();
    assert_eq!(settings.authority().as_deref(), Some("abc.example.net:443"));
    assert_eq!(settings.destination(), Some(("index", "https://abc.example.net/x".into())));
    let names = settings.names();
    assert_eq!((names.urls[0].0, names.secrets[0].0.as_str()), ("cloud_id", "auth.key"));
    assert_eq!(settings.format_default(), Format::Ecs);
    let taken: Vec<Format> = Format::ALL.iter().copied().filter(|format| settings.takes(*format).is_ok()).collect();
    assert_eq!(taken, [Format::Json, Format::Ecs, Format::Ocsf]);
    let open = config("url = 'http://elastic.example.net'\nindex = 'x'");
    assert!(open.settings().warnings()[0].1.contains("prefer https"));
    assert!(config("url = 'http://127.0.0.1:9200'\nindex = 'x'").settings().warnings().is_empty());
}
