//! The examples in `config/`: each loads, and the full one has every key with the default of the code.

use std::path::{Path, PathBuf};

use xdrelay::config::{Config, parse};
use xdrelay::identity::Credential;

pub(crate) fn example(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    let text = std::fs::read_to_string(&path).expect("an example");
    (path, text)
}

pub(crate) fn read(text: &str) -> Config {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.toml");
    std::fs::write(&path, text).expect("written");
    match parse(&[path], std::iter::empty()) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems}\n{text}"),
    }
}

/// The files in `config/`, in order.
fn examples() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let entries = std::fs::read_dir(directory).expect("a directory of ours");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_examples_load() {
    let names = examples();
    let siems = ["arcsight", "elastic", "graylog", "qradar", "sentinel", "splunk", "wazuh"];
    for name in ["minimal", "full", "container"].into_iter().chain(siems) {
        assert!(names.contains(&format!("{name}.toml")), "there is no config/{name}.toml");
    }
    let mut complaints = Vec::new();
    for name in names {
        // Two send newlines over TLS, and each says why.
        let expected = usize::from(["qradar.toml", "arcsight.toml"].contains(&name.as_str()));
        match parse(&[example(&name).0], std::iter::empty()) {
            Ok(loaded) if loaded.warnings.len() == expected => {}
            Ok(loaded) => complaints.push(format!("{name}: {:?}", loaded.warnings)),
            Err(problems) => complaints.push(format!("{name}: {problems}")),
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// A sink that is only commented on in an example has to work too when somebody takes the comment away.
#[test]
fn the_other_ways_in_the_examples_load() {
    let mut found = 0;
    for name in examples() {
        let (_, text) = example(&name);
        let Some(start) = text.lines().position(|line| line.starts_with("# [sinks.")) else { continue };
        let (before, other): (Vec<_>, Vec<_>) = text.lines().enumerate().partition(|(at, _)| *at < start);
        let other = other.iter().map(|(_, line)| line.strip_prefix("# ").unwrap_or(line));
        let lines: Vec<&str> = before.iter().map(|(_, line)| *line).chain(other).collect();
        let config = read(&lines.join("\n"));
        assert_eq!(config.sinks.len(), 2, "{name}");
        found += 1;
    }
    assert_eq!(found, 3, "sentinel, graylog and wazuh have another way");
}

/// Keys that have no default, so that the example has a value of its own.
const REQUIRED: [&str; 14] = [
    "tenant_id",
    "client_id",
    "credential",
    "kind",
    "path",
    "address",
    "url",
    "index",
    "endpoint",
    "dcr",
    "stream",
    "token",
    "brokers",
    "topic",
];

#[test]
fn the_full_example_says_the_defaults_of_the_code() {
    let (_, text) = example("full.toml");
    let expected = read(&text);
    let table: toml::Table = text.parse().expect("TOML");
    let mut paths = Vec::new();
    leaves(&table, &mut Vec::new(), &mut paths);
    assert!(40 < paths.len(), "{paths:?}");
    for path in paths {
        let mut without = table.clone();
        remove(&mut without, &path);
        assert_eq!(read(&without.to_string()), expected, "{path:?} says something else than the code");
    }
}

fn leaves(table: &toml::Table, around: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    for (key, value) in table {
        if REQUIRED.contains(&key.as_str()) {
            continue;
        }
        around.push(key.clone());
        match value.as_table() {
            Some(table) => leaves(table, around, paths),
            None => paths.push(around.clone()),
        }
        around.pop();
    }
}

fn remove(table: &mut toml::Table, path: &[String]) {
    let (last, around) = path.split_last().expect("a path");
    let table = around.iter().fold(table, |table, part| table[part].as_table_mut().expect("a table"));
    table.remove(last);
}

#[test]
fn the_full_example_has_every_key() {
    let (_, text) = example("full.toml");
    let uncommented: Vec<&str> = text.lines().map(|line| uncomment(line).unwrap_or(line)).collect();
    let full: toml::Table = uncommented.join("\n").parse().expect("TOML with all keys");
    read(&full.to_string());
    // A key that nobody knows draws the list of those that are known there.
    let tables = [
        "",
        "tenants.contoso",
        "tenants.contoso.poll",
        "tenants.contoso.quota",
        "poll",
        "quota",
        "outbox",
        "sinks.archive",
        "sinks.siem",
        "sinks.siem.tls",
        "sinks.hook",
        "sinks.hook.tls",
        "sinks.search",
        "sinks.search.tls",
        "sinks.splunk",
        "sinks.splunk.tls",
        "sinks.lake",
        "sinks.lake.tls",
        "sinks.console",
        "sinks.sentinel",
        "sinks.sentinel.tls",
        "sinks.relay",
        "sinks.relay.tls",
        "shutdown",
        "admin",
        "log",
    ];
    for name in tables {
        let parts: Vec<&str> = name.split('.').filter(|part| !part.is_empty()).collect();
        let table = parts.iter().fold(&full, |table, part| table[*part].as_table().expect("a table"));
        // Below a tenant any key of [poll] and [quota] is allowed; the example there is one of them.
        if name.ends_with("contoso.poll") || name.ends_with("contoso.quota") {
            continue;
        }
        for known in known_keys(&parts) {
            // What every sink has is shown once.
            let shown_elsewhere = OF_EVERY_SINK.contains(&known.as_str())
                && name.starts_with("sinks.")
                && full["sinks"].as_table().is_some_and(|sinks| sinks.values().any(|sink| sink.get(&known).is_some()));
            let shown_in_words = INSTEAD.contains(&known.as_str()) && text.contains(&format!("or: {known} = "));
            let shown = table.contains_key(&known) || shown_elsewhere || shown_in_words;
            assert!(shown, "full.toml does not have `{known}` in [{name}]");
        }
    }
}

#[test]
fn the_full_example_shows_every_kind_of_credential() {
    let (_, text) = example("full.toml");
    let usual = text.lines().find(|line| line.starts_with("credential = ")).expect("the usual one");
    for kind in Credential::KINDS {
        let shown = text.lines().find(|line| line.contains(&format!("credential = {{ kind = \"{kind}\"")));
        let shown = shown.unwrap_or_else(|| panic!("full.toml does not show {kind}"));
        let config = read(&text.replace(usual, shown.trim_start_matches(['#', ' '])));
        let tenant = config.tenants.values().next().expect("a tenant");
        assert_eq!(tenant.credential.kind(), kind);
    }
}

/// Keys that every sink has.
const OF_EVERY_SINK: [&str; 7] = ["tenants", "split", "filter", "max_event_size", "leef", "ecs", "ocsf"];

/// Keys that stand instead of another one, so that no example can have both.
const INSTEAD: [&str; 1] = ["cloud_id"];

/// `# key = value` with a value behind a comment sign.
fn uncomment(line: &str) -> Option<&str> {
    let text = line.strip_prefix("# ")?;
    let (key, value) = text.split_once(" = ")?;
    let plain = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (plain && value.parse::<toml::Value>().is_ok()).then_some(text)
}

fn known_keys(table: &[&str]) -> Vec<String> {
    let (_, text) = example("full.toml");
    let mut wrong: toml::Table = text.parse().expect("TOML");
    let inner = table.iter().fold(&mut wrong, |table, part| table[*part].as_table_mut().expect("a table"));
    inner.insert("zzzzzzzzzz".into(), 1.into());
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.toml");
    std::fs::write(&path, wrong.to_string()).expect("written");
    let problems = parse(&[path], std::iter::empty()).expect_err("an unknown key");
    let remedy = problems.0[0].remedy.clone().expect("what is known");
    remedy.strip_prefix("known here: ").expect(&remedy).split(", ").map(str::to_owned).collect()
}
