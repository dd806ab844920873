//! The JSON Schema that `xdrelay config schema` prints, held against the loader by somebody else's validator: what the loader takes
//! the schema takes, what the loader finds wrong in the form of a file the schema finds too, and both know the same keys.

#[path = "config/cases.rs"]
mod cases;
#[path = "schema/judge.rs"]
mod judge;
#[path = "schema/texts.rs"]
mod texts;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use toml::Table;
use xdrelay::config::problem::{Problem, Severity};
use xdrelay::config::{Config, load, parse, schema};

use crate::cases::{directory, lay};
use crate::judge::Judge;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn table(path: &Path) -> Table {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn xdrelay(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_xdrelay")).args(arguments).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_command_prints_it() {
    let printed: Value = serde_json::from_str(&xdrelay(&["config", "schema"])).expect("JSON");
    assert_eq!(printed, schema::whole());
    assert_eq!(printed["$schema"], "https://json-schema.org/draft/2020-12/schema");
    // Of a draft that it does not know, a validator makes what it likes.
    assert!(Judge::of_all().wrong(&Table::new()).contains("tenants"));
}

#[test]
fn the_examples_are_valid() {
    let judge = Judge::of_all();
    let files = std::fs::read_dir(top().join("config")).expect("the examples");
    let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
    files.push(top().join("deploy/kubernetes/xdrelay.toml"));
    assert!(10 < files.len(), "{files:?}");
    for path in files {
        assert_eq!(judge.wrong(&table(&path)), BTreeSet::new(), "{}", path.display());
    }
}

#[test]
fn what_init_writes_is_valid() {
    let judge = Judge::of_all();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("xdrelay.toml");
    let sinks = [
        "/var/log/incidents.ndjson",
        "tls://siem.example.net:6514",
        "https://splunk.example.net:8088",
        "https://elastic.example.net:9200",
        "https://siem.example.net/ingest",
    ];
    for credential in xdrelay::identity::Credential::KINDS {
        for sink in sinks {
            let output = path.to_str().expect("UTF-8");
            let of_init =
                ["init", "--force", "--output", output, "--tenant-id", "contoso.example", "--client-id", "none"];
            xdrelay(&[&of_init[..], &["--credential", credential, "--sink", sink]].concat());
            assert_eq!(judge.wrong(&table(&path)), BTreeSet::new(), "{credential}, {sink}");
        }
    }
}

/// Whether the loader says so of the form that a value has, and not after comparing values or looking at what they name: the words
/// are those of reading (`src/config/fault.rs`, `compose.rs`, and what types with a grammar say of themselves).
fn is_of_form(problem: &Problem) -> bool {
    let whole = ["unknown key", "missing", "not a table", "not a name", "not a URL", "no kind of credential"];
    let ends = ["a text", "a table", "a list", "a whole number", "a number", "true or false"];
    let within = [
        " is none of ",
        " is not a whole number from ",
        " is no duration",
        " is no size",
        " is no share",
        " is neither \"",
    ];
    let what = problem.what.as_str();
    whole.contains(&what)
        || ends.iter().any(|end| what.ends_with(&format!(" is not {end}")))
        || within.iter().any(|words| what.contains(words))
}

fn errors(outcome: Result<xdrelay::config::Loaded, xdrelay::config::problem::Problems>) -> Vec<Problem> {
    let problems = outcome.err().map(|problems| problems.0).unwrap_or_default();
    problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect()
}

/// One is the other, or a table around it.
fn is_near(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The files as one, as the loader lays them over one another; none where one is no TOML.
fn merged(files: &[PathBuf]) -> Option<Table> {
    let mut whole = Table::new();
    for path in files {
        overlay(&mut whole, std::fs::read_to_string(path).ok()?.parse().ok()?);
    }
    Some(whole)
}

fn overlay(table: &mut Table, over: Table) {
    for (secret, other) in [("file", "env"), ("env", "file")] {
        if over.contains_key(secret) && !over.contains_key(other) {
            table.remove(other);
        }
    }
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(table)), toml::Value::Table(over)) => overlay(table, over),
            (_, value) => _ = table.insert(key, value),
        }
    }
}

#[test]
fn mistakes_of_form_are_found_and_nothing_else_is() {
    let judge = Judge::of_all();
    let mut found = 0;
    let mut complaints = Vec::new();
    for case in cases::of(&cases::file().1) {
        let dir = directory();
        let files = lay(dir.path(), &case.files);
        // What comes from the environment, and what is no TOML, no schema sees.
        let by_variables = case.env.iter().any(|(name, _)| name.starts_with("XDRELAY__"));
        let Some(file) = merged(&files).filter(|_| !by_variables) else { continue };
        let wrong = judge.wrong(&file);
        for problem in errors(parse(&files, case.environment(dir.path()))).iter().filter(|problem| is_of_form(problem))
        {
            found += 1;
            if !wrong.iter().any(|key| is_near(key, &problem.key)) {
                complaints.push(format!("{}: not found: {problem}\n  but {wrong:?}", case.title));
            }
        }
        let said = errors(load(&files, case.environment(dir.path())));
        // Who cannot read a file at all says nothing of its keys.
        if said.iter().any(|problem| problem.key.is_empty()) {
            continue;
        }
        for key in wrong.iter().filter(|key| !said.iter().any(|problem| is_near(key, &problem.key))) {
            complaints.push(format!("{}: {key} is not wrong\n{}", case.title, case.says));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(80 < found, "only {found} mistakes of form");
}

/// A table of the schema: where it is, with the kinds that make it the one that it is, and its keys.
#[derive(Debug)]
struct Known {
    path: Vec<String>,
    kinds: Vec<(Vec<String>, String)>,
    keys: BTreeSet<String>,
}

/// All tables below a part of the schema. `NAME` stands for names.
fn tables(whole: &Value, part: &Value, path: &[String], kinds: &[(Vec<String>, String)], found: &mut Vec<Known>) {
    let part = match part["$ref"].as_str() {
        Some(reference) => whole.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}")),
        None => part,
    };
    let below = |name: &str| [path, &[name.to_owned()]].concat();
    for branch in part["oneOf"].as_array().into_iter().flatten() {
        if let Some(kind) = branch["properties"]["kind"]["const"].as_str() {
            let kinds = [kinds, &[(below("kind"), kind.to_owned())]].concat();
            tables(whole, branch, path, &kinds, found);
        }
    }
    for named in part["patternProperties"].as_object().into_iter().flat_map(|patterns| patterns.values()) {
        tables(whole, named, &below("name"), kinds, found);
    }
    if let Some(properties) = part["properties"].as_object() {
        assert_eq!(part["additionalProperties"], false, "{path:?} takes any key");
        let keys = properties.keys().cloned().collect();
        found.push(Known { path: path.to_vec(), kinds: kinds.to_vec(), keys });
        for (key, part) in properties {
            let has_words = part["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(has_words || key == "kind", "{path:?}: {key} is not described");
            tables(whole, part, &below(key), kinds, found);
        }
    }
}

fn all_tables() -> Vec<Known> {
    let whole = schema::whole();
    let mut found = Vec::new();
    tables(&whole, &whole, &[], &[], &mut found);
    found
}

fn set(table: &mut Table, path: &[String], value: toml::Value) {
    let (last, around) = path.split_last().expect("a key");
    let inner = around.iter().fold(table, |table, part| {
        table.entry(part).or_insert_with(|| Table::new().into()).as_table_mut().expect("a table")
    });
    inner.insert(last.clone(), value);
}

/// Nobody's key.
const STRANGER: &str = "zzzzzzzzzz";

/// The keys that the loader knows in a table: it lists them for whoever writes one that nobody knows.
fn known_to_the_loader(table: &Known) -> BTreeSet<String> {
    let mut file = Table::new();
    for (path, kind) in &table.kinds {
        set(&mut file, path, kind.as_str().into());
    }
    let key = [&table.path[..], &[STRANGER.to_owned()]].concat();
    set(&mut file, &key, 1.into());
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.toml");
    std::fs::write(&path, file.to_string()).expect("written");
    let problems = errors(parse(&[path], std::iter::empty()));
    let problem = problems.iter().find(|problem| problem.key == key.join("."));
    let problem = problem.unwrap_or_else(|| panic!("the loader has no table {table:?}: {problems:?}"));
    let remedy = problem.remedy.as_deref().and_then(|remedy| remedy.strip_prefix("known here: "));
    remedy.unwrap_or_else(|| panic!("{problem:?}")).split(", ").map(str::to_owned).collect()
}

#[test]
fn the_loader_and_the_schema_know_the_same_keys() {
    let tables = all_tables();
    assert!(60 < tables.len(), "only {} tables", tables.len());
    for table in tables {
        let mut known = known_to_the_loader(&table);
        // Of a table that is one of several kinds, `serde` lists the keys beside the kind.
        if table.keys.contains("kind") {
            known.insert("kind".into());
        }
        assert_eq!(table.keys, known, "[{}] {:?}", table.path.join("."), table.kinds);
    }
}

#[test]
fn every_kind_has_its_table() {
    let kinds: BTreeSet<(String, String)> = all_tables()
        .into_iter()
        .flat_map(|table| table.kinds)
        .map(|(path, kind)| {
            (path.into_iter().map(|part| part.replace("name", "NAME")).collect::<Vec<_>>().join("."), kind)
        })
        .collect();
    let of =
        |path: &str| kinds.iter().filter(|(at, _)| at == path).map(|(_, kind)| kind.as_str()).collect::<BTreeSet<_>>();
    assert_eq!(of("sinks.NAME.kind"), xdrelay::sink::Config::KINDS.iter().copied().collect());
    assert_eq!(of("tenants.NAME.credential.kind"), xdrelay::identity::Credential::KINDS.into_iter().collect());
}

fn read(file: &Table) -> Config {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.toml");
    std::fs::write(&path, file.to_string()).expect("written");
    parse(&[path], std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}\n{file}")).config
}

/// Sets every key of `table` that has a default to it, and all below.
fn with_defaults(whole: &Value, part: &Value, table: &mut Table, count: &mut usize) {
    let part = match part["$ref"].as_str() {
        Some(reference) => whole.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}")),
        None => part,
    };
    let kind = table.get("kind").and_then(toml::Value::as_str);
    let of_kind = part["oneOf"].as_array().into_iter().flatten();
    let of_kind = of_kind.filter(|branch| branch["properties"]["kind"]["const"].as_str() == kind);
    for part in of_kind.collect::<Vec<_>>().into_iter().chain([part]) {
        for (key, part) in part["properties"].as_object().into_iter().flatten() {
            let default = toml::Value::try_from(&part["default"]).ok();
            if let Some(default) = default.filter(|_| part.get("default").is_some()) {
                *count += 1;
                // What is in a table has defaults of its own.
                if !default.is_table() || !table.contains_key(key) {
                    table.insert(key.clone(), default);
                }
            }
            if let Some(toml::Value::Table(table)) = table.get_mut(key) {
                with_defaults(whole, part, table, count);
            }
        }
        for named in part["patternProperties"].as_object().into_iter().flat_map(|patterns| patterns.values()) {
            for table in table.iter_mut().filter_map(|(_, value)| value.as_table_mut()) {
                with_defaults(whole, named, table, count);
            }
        }
    }
}

/// The example says the defaults of the code (tests/config.rs), so that setting them all changes nothing in it.
#[test]
fn the_defaults_are_those_of_the_loader() {
    let mut file = table(&top().join("config/full.toml"));
    let expected = read(&file);
    let (whole, mut count) = (schema::whole(), 0);
    with_defaults(&whole, &whole, &mut file, &mut count);
    assert!(100 < count, "only {count} defaults");
    assert_eq!(read(&file), expected);
    assert_eq!(Judge::of_all().wrong(&file), BTreeSet::new());
}

#[test]
fn a_secret_is_in_one_place() {
    let judge = Judge::at("/$defs/SecretSource");
    let check = |json: &str, is_right: bool| {
        let value: Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(judge.takes(&value), is_right, "{json}");
    };
    check(r#"{"file": "/run/credentials/x"}"#, true);
    check(r#"{"env": "X"}"#, true);
    check(r#"{"file": "/run/credentials/x", "env": "X"}"#, false);
    check("{}", false);
    check(r#""the secret itself""#, false);
    check(r#"{"value": "the secret itself"}"#, false);
}
