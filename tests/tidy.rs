//! The rules of the house that a machine can check: layers, purity of the core, documentation that names everything. Not
//! taste, not length.

#[path = "tidy/links.rs"]
mod links;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use xdrelay::config;
use xdrelay::format::Format;
use xdrelay::sink;

/// Modules that only `run` and `cli` join.
const APART: [&str; 3] = ["api", "store", "sink"];

/// Modules that decide and never do.
const PURE: [&str; 3] = ["core", "format", "model"];

/// What touches the world, the clock or chance, as it would stand in the code.
const WORLD: [&str; 11] = [
    "tokio::",
    "reqwest::",
    "tracing::",
    "rand::",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
];

/// A file of ours.
struct Source {
    /// Its path from the top of the repository.
    path: String,
    text: String,
}

impl Source {
    /// `core` of `src/core/pass.rs` and of `src/core.rs`; none of `src/lib.rs`, `src/main.rs` and of tests.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let module = inside.split('/').next()?.trim_end_matches(".rs");
        (!matches!(module, "lib" | "main")).then_some(module)
    }

    /// Lines of code with their numbers: no lines of comment.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// As [`code`](Self::code), up to the tests at the end of the file.
    fn code_before_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().take_while(|(_, line)| *line != "#[cfg(test)]")
    }

    fn at(&self, line: usize, complaint: &str) -> String {
        format!("{}:{line}: {complaint}", self.path)
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every `.rs` file below a directory, in a fixed order.
fn sources(directory: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut directories = vec![top().join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory of ours") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(source(&path));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {directory}");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn source(path: &PathBuf) -> Source {
    let text = std::fs::read_to_string(path).expect("a file of ours");
    let path = path.strip_prefix(top()).expect("below the top").to_str().expect("UTF-8").to_owned();
    Source { path, text }
}

fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The modules from the highest to the lowest, as `src/lib.rs` lists them.
fn layers() -> Vec<String> {
    let modules = read("src/lib.rs");
    let modules = modules.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    modules.map(str::to_owned).collect()
}

/// The modules that a line of code names: `b` of `crate::b::c`.
fn named_in(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.split("crate::").skip(1).map(move |rest| &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())])
}

/// What is wrong with one line of a module, if anything.
fn layer_complaint(layers: &[String], module: &str, line: &str) -> Option<String> {
    let position = |name: &str| layers.iter().position(|layer| layer == name);
    if line.contains("crate::{") {
        return Some("one `use crate::a::b` for each module: this list of them hides the layers".into());
    }
    named_in(line).find_map(|named| {
        if named == module {
            return None;
        }
        let target = position(named)?;
        if target < position(module)? {
            Some(format!("`{module}` may not use `{named}`, which stands above it in src/lib.rs"))
        } else if APART.contains(&module) && APART.contains(&named) {
            Some(format!("`{module}` may not use `{named}`: `api`, `store` and `sink` meet in `run`"))
        } else {
            None
        }
    })
}

#[test]
fn imports_point_down_the_layers() {
    let layers = layers();
    let mut complaints = Vec::new();
    for source in sources("src") {
        let Some(module) = source.module() else { continue };
        assert!(layers.iter().any(|layer| layer == module), "{}: `{module}` is not in src/lib.rs", source.path);
        for (number, line) in source.code() {
            complaints.extend(layer_complaint(&layers, module, line).map(|complaint| source.at(number, &complaint)));
        }
    }
    report(&complaints);
}

#[test]
fn the_check_of_layers_can_fail() {
    let layers = layers();
    let check = |module: &str, line: &str, is_right: bool| {
        assert_eq!(layer_complaint(&layers, module, line).is_none(), is_right, "{module}: {line}");
    };
    check("run", "use crate::store::Store;", true);
    check("core", "use crate::core::seen::Seen;", true);
    check("core", "use crate::run::clock::Clock;", false);
    check("core", "    let page: Vec<crate::api::Page> = vec![];", false);
    check("sink", "use crate::store::Store;", false);
    check("store", "use crate::api::Client;", false);
    check("sink", "use crate::identity::Token;", true);
    check("run", "use crate::{api, store};", false);
}

#[test]
fn what_decides_touches_neither_the_world_nor_the_clock_nor_chance() {
    let mut complaints = Vec::new();
    for source in sources("src") {
        let Some(module) = source.module().filter(|module| PURE.contains(module)) else { continue };
        for (number, line) in source.code_before_tests() {
            let used = WORLD.into_iter().filter(|world| is_used(line, world));
            let complaint = |world| format!("`{module}` is given what it needs: no `{}`", world);
            complaints.extend(used.map(|world| source.at(number, &complaint(world))));
        }
    }
    report(&complaints);
}

/// Whether a path stands there and not merely as the end of a longer name.
fn is_used(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

#[test]
fn every_file_says_what_it_is_for() {
    let all = sources("src").into_iter().chain(sources("tests"));
    let silent = all.filter(|source| !source.text.starts_with("//! "));
    let complaints: Vec<_> =
        silent.map(|source| source.at(1, "begins with `//!` and one sentence on what it is for")).collect();
    report(&complaints);
}

#[test]
fn nothing_is_left_undone() {
    // Written apart, so that this file does not complain of itself.
    let forbidden =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!("), concat!("#[", "ignore")];
    let mut complaints = Vec::new();
    for source in sources("src").iter().chain(&sources("tests")) {
        for (number, line) in source.code() {
            let found = forbidden.into_iter().filter(|word| line.contains(word));
            complaints.extend(found.map(|word| source.at(number, &format!("`{word}` does not stay"))));
        }
    }
    report(&complaints);
}

#[test]
fn every_sink_and_every_format_is_documented() {
    let (delivery, formats) = (read("docs/delivery.md"), read("docs/formats.md"));
    let mut complaints = Vec::new();
    for kind in sink::Config::KINDS.iter().filter(|kind| !delivery.contains(&format!("`{kind}`"))) {
        complaints.push(format!("docs/delivery.md: does not say what `{kind}` promises"));
    }
    for format in Format::ALL.iter().filter(|format| !formats.contains(&format!("`{format}`"))) {
        complaints.push(format!("docs/formats.md: does not describe `{format}`"));
    }
    report(&complaints);
}

/// Text as it reads, however its lines are broken, quoted or not.
fn flowing(text: &str) -> String {
    text.split_whitespace().filter(|word| *word != ">").collect::<Vec<_>>().join(" ")
}

#[test]
fn the_documents_promise_what_the_program_promises() {
    let delivery = flowing(&read("docs/delivery.md"));
    let dir = tempfile::tempdir().expect("a directory");
    let sinks = [
        ("file", "path = \"/var/log/xdrelay/incidents.ndjson\""),
        ("stdout", ""),
        ("syslog", "address = \"tls://siem.example.net:6514\""),
        ("syslog", "address = \"udp://siem.example.net\""),
        ("syslog", "address = \"unix:///dev/log\""),
        ("http", "url = \"https://siem.example.net/ingest\""),
        ("elasticsearch", "url = \"https://elastic.example.net\"\nindex = \"defender\""),
        ("elasticsearch", "url = \"https://elastic.example.net\"\nindex = \"defender\"\nmode = \"current\""),
        (
            "azure_monitor",
            "endpoint = \"https://x.ingest.monitor.azure.com\"\ndcr = \"dcr-00112233445566778899aabbccddeeff\"\n\
             stream = \"Custom-XdrIncidents\"\ntenant_id = \"11111111-2222-3333-4444-555555555555\"\n\
             client_id = \"66666666-7777-8888-9999-000000000000\"\n\
             credential = { kind = \"client_secret\", env = \"SECRET\" }",
        ),
        ("splunk_hec", "url = \"https://splunk.example.net:8088\"\ntoken = { env = \"TOKEN\" }"),
        ("splunk_hec", "url = \"https://splunk.example.net:8088\"\ntoken = { env = \"TOKEN\" }\nack = true"),
        ("kafka", "brokers = [\"kafka.example.net:9093\"]\ntopic = \"incidents\"\ntls = {}"),
        ("kafka", "brokers = [\"kafka.example.net:9093\"]\ntopic = \"incidents\"\ntls = {}\nidempotent = false"),
        ("relp", "address = \"tls://siem.example.net\""),
    ];
    let shown: BTreeSet<_> = sinks.iter().map(|(kind, _)| *kind).collect();
    let known: BTreeSet<_> = sink::Config::KINDS.iter().copied().collect();
    assert_eq!(shown, known, "a sink is missing in this test");
    let mut complaints = Vec::new();
    for (kind, keys) in sinks {
        let path = dir.path().join("xdrelay.toml");
        let tenant = "[tenants.contoso]\ntenant_id = \"11111111-2222-3333-4444-555555555555\"\n\
                      client_id = \"66666666-7777-8888-9999-000000000000\"\n\
                      credential = { kind = \"client_secret\", env = \"SECRET\" }\n";
        std::fs::write(&path, format!("{tenant}[sinks.one]\nkind = \"{kind}\"\n{keys}\n")).expect("written");
        let loaded = config::parse(&[path], std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}"));
        let guarantee = loaded.config.sinks.values().next().expect("one sink").kind.settings().guarantee();
        if !delivery.contains(&flowing(guarantee)) {
            complaints.push(format!("docs/delivery.md: does not say of `{kind}` with `{keys}`: {guarantee}"));
        }
    }
    report(&complaints);
}

/// The names of metrics in the code, without the suffix of counters.
fn registered() -> BTreeSet<String> {
    let code = read("src/admin/metrics.rs");
    let names = code.split("r.register(").skip(1).filter_map(|rest| rest.split('"').nth(1));
    names.map(|name| format!("xdrelay_{name}")).collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_is_there() {
    let operations = read("docs/operations.md");
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let documented: BTreeSet<_> = operations
        .match_indices("`xdrelay_")
        .map(|(start, _)| {
            let name = &operations[start + 1..];
            let name = &name[..name.find(|c| !is_name(c)).unwrap_or(name.len())];
            name.trim_end_matches("_total").to_owned()
        })
        .collect();
    let registered = registered();
    assert!(10 < registered.len(), "the metrics are not found in the code any more");
    let absent = registered.difference(&documented).map(|name| format!("docs/operations.md: {name} is not described"));
    let invented = documented.difference(&registered).map(|name| format!("docs/operations.md: {name} is not there"));
    report(&absent.chain(invented).collect::<Vec<_>>());
}

/// What is said at WARN and ERROR: the last text of each such line, and the words of the herald.
fn warnings() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources("src") {
        let text: Vec<_> = source.code_before_tests().map(|(_, line)| line.trim()).collect();
        let text = text.join("\n").replace("\\\n", "");
        for start in ["tracing::warn!(", "tracing::error!("].iter().flat_map(|name| text.match_indices(name)) {
            let rest = &text[start.0..];
            let end = [");", "),\n"].iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
            found.extend(rest[..end].rsplit('"').nth(1).map(str::to_owned));
        }
        if source.path == "src/run/herald.rs" {
            let words =
                text.split("fn words(self)").nth(1).and_then(|rest| rest.split("fn ").next()).expect("its words");
            found.extend(words.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_warning_is_in_the_table_with_what_to_do() {
    let operations = flowing(&read("docs/operations.md"));
    let warnings = warnings();
    assert!(30 < warnings.len(), "the lines are not found in the code any more: {warnings:#?}");
    let complaints = warnings.iter().filter_map(|words| {
        let words = flowing(words);
        let beginning = words.split([';', ':']).next().unwrap_or(&words);
        let is_there = operations.contains(&format!("`{beginning}"));
        (!is_there).then(|| format!("docs/operations.md: does not say what to do about {words:?}"))
    });
    report(&complaints.collect::<Vec<_>>());
}

/// The tests that a document names: `path::name` between backquotes.
fn tests_named_in(document: &str) -> BTreeSet<(String, String)> {
    let quoted = document.split('`').skip(1).step_by(2);
    let named = quoted.filter_map(|text| text.split_once("::")).filter(|(path, _)| path.ends_with(".rs"));
    named.map(|(path, name)| (path.to_owned(), name.to_owned())).collect()
}

/// The tests of a file: functions with an attribute that makes them one.
fn tests_of(text: &str) -> BTreeSet<String> {
    let mut is_test = false;
    let mut names = BTreeSet::new();
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            continue;
        }
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let (true, Some(function)) = (is_test, function) {
            names.extend(function.split('(').next().map(str::to_owned));
        }
        is_test = false;
    }
    names
}

/// Rows of docs/mistakes.md.
const MISTAKES: usize = 50;
/// Rows of the fault table.
const FAULTS: usize = 29;

#[test]
fn every_row_of_the_fault_table_is_held_by_a_test() {
    let document = read("docs/faults.md");
    let row = |number: usize| document.lines().find(|line| line.starts_with(&format!("| {number} | ")));
    let mut complaints = Vec::new();
    for number in 1..=FAULTS {
        match row(number) {
            None => complaints.push(format!("docs/faults.md: there is no row {number}")),
            Some(row) if tests_named_in(row).is_empty() && !row.contains("Not tested") => {
                complaints.push(format!("docs/faults.md: row {number} names no test and does not say why"));
            }
            Some(_) => {}
        }
    }
    let named = tests_named_in(&document);
    for source in sources("tests/faults") {
        let unnamed =
            tests_of(&source.text).into_iter().filter(|name| !named.contains(&(source.path.clone(), name.clone())));
        complaints.extend(unnamed.map(|name| format!("docs/faults.md: {}::{name} is in no row", source.path)));
    }
    report(&complaints);
}

#[test]
fn every_mistake_of_others_has_its_row() {
    let document = read("docs/mistakes.md");
    let mut complaints = Vec::new();
    for number in 1..=MISTAKES {
        if !document.lines().any(|line| line.starts_with(&format!("| {number} | "))) {
            complaints.push(format!("docs/mistakes.md: there is no row {number}"));
        }
    }
    report(&complaints);
}

#[test]
fn the_documents_name_no_test_that_is_not_there() {
    let (mut complaints, mut count) = (Vec::new(), 0);
    for entry in std::fs::read_dir(top().join("docs")).expect("a directory of ours") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let document = std::fs::read_to_string(&path).expect("a document of ours");
        for (file, name) in tests_named_in(&document) {
            count += 1;
            if !std::fs::read_to_string(top().join(&file)).is_ok_and(|text| tests_of(&text).contains(&name)) {
                complaints.push(format!("{}: there is no test {file}::{name}", path.display()));
            }
        }
    }
    assert!(100 < count, "only {count} tests are found in the documents");
    report(&complaints);
}

#[test]
fn the_check_of_the_fault_table_can_fail() {
    let named = tests_named_in("held by `a/b.rs::it_holds`, in `src/x.rs`, `Kind::Other` and a/c.rs::not_quoted");
    assert_eq!(named.into_iter().collect::<Vec<_>>(), [("a/b.rs".to_owned(), "it_holds".to_owned())]);
    let text = "#[test]\nfn one() {\n\n    #[tokio::test(flavor = \"x\")]\n    async fn two() {\nfn no_test() {\n#[cfg(x)]\nfn nor_this() {";
    assert_eq!(tests_of(text).into_iter().collect::<Vec<_>>(), ["one", "two"]);
}
