//! The configuration: what is read, and what is said of every kind of mistake. The cases are data in `tests/config/`.

#[path = "config/cases.rs"]
mod cases;
#[path = "config/examples.rs"]
mod examples;

use std::collections::BTreeMap;

use examples::{example, read};
use proptest::prelude::*;
use xdrelay::config::problem::{Place, Severity};
use xdrelay::config::{Config, load, parse};
use xdrelay::model::names::TenantName;

use crate::cases::{CANARY, Case, directory, lay, owned};

/// Rewrites the goldens instead of comparing: look at the difference before committing it.
const UPDATE: &str = "XDRELAY_UPDATE_GOLDENS";

fn check(case: &Case) -> String {
    let dir = directory();
    let files = lay(dir.path(), &case.files);
    let place = dir.path().display().to_string();
    let (said, whole) = match load(&files, case.environment(dir.path())) {
        Ok(loaded) => {
            let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            let whole = format!("{loaded:?}{}", loaded.config.to_toml());
            (said.join("\n"), whole)
        }
        Err(problems) => {
            for problem in &problems.0 {
                assert!(problem.place != Place::None || !problem.key.is_empty(), "{}: {problem:?}", case.title);
            }
            assert!(problems.0.iter().any(|problem| problem.severity == Severity::Error), "{}", case.title);
            let json = serde_json::to_string(&problems).expect("JSON");
            (problems.to_string(), format!("{problems:?}{json}"))
        }
    };
    assert!(!said.contains(CANARY), "{}: a secret is shown:\n{said}", case.title);
    assert!(!whole.contains(CANARY), "{}: a secret is in there:\n{whole}", case.title);
    said.replace(&format!("{place}/"), "").replace(&place, "$DIR")
}

#[test]
fn every_mistake_is_said_with_its_place_and_what_would_be_right() {
    let (path, text) = cases::file();
    let cases = cases::of(&text);
    let mut wrong = Vec::new();
    let mut golden = text.split("\n== ").next().unwrap_or_default().to_owned();
    for case in &cases {
        let said = check(case);
        if said != case.says {
            wrong.push(format!("== {}\n-- expected\n{}\n-- said\n{said}\n", case.title, case.says));
        }
        golden.push_str(&format!("\n== {}\n", case.title));
        for (name, text) in &case.files {
            golden.push_str(&format!("-- {name}\n{}\n", text.trim_end()));
        }
        if !case.env.is_empty() {
            let env: Vec<String> = case.env.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            golden.push_str(&format!("-- env\n{}", env.concat()));
        }
        golden.push_str(&format!("-- says\n{said}\n"));
    }
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, golden).expect("written");
    } else {
        assert!(wrong.is_empty(), "{}\n({UPDATE}=1 takes what is said)", wrong.join("\n"));
    }
}

fn layered(files: &[&str], env: &[(&str, &str)]) -> Config {
    let dir = directory();
    let names = ["first.toml", "second.toml", "third.toml"];
    let files: Vec<(String, String)> = names.into_iter().zip(files.iter().copied()).map(owned).collect();
    let files = lay(dir.path(), &files);
    match parse(&files, env.iter().copied().map(owned)) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn later_files_win_and_the_environment_wins_over_all() {
    let first = "[poll]\npage_size = 10\noverlap = \"10m\"\nsweep_every = \"10s\"\nremember = \"100d\"\n";
    let second = "[poll]\npage_size = 20\noverlap = \"20m\"\n[tenants.contoso.poll]\nsweep_every = \"20s\"\n";
    let third = "[tenants.contoso]\npoll = { page_size = 30 }\n[tenants.fabrikam]\ntenant_id = \"fabrikam.example\"\n\
                 client_id = \"66666666-7777-8888-9999-000000000001\"\ncredential = { kind = \"client_secret\", env = \"X\" }";
    let env = [
        ("XDRELAY__POLL__REMEMBER", "200d"),
        ("XDRELAY__TENANTS__FABRIKAM__CLIENT_ID", "66666666-7777-8888-9999-000000000002"),
        ("XDRELAY__SINKS__ARCHIVE__KEEP", "3"),
        ("XDRELAY__SINKS__ARCHIVE__TENANTS", "contoso, fabrikam"),
        ("XDRELAY_POLL__REMEMBER", "not ours: one underscore"),
        ("PATH", "/bin"),
    ];
    let config = layered(&[first, second, third], &env);
    let check = |name: &str, expected: [&str; 4]| {
        let poll = &config.tenants[&TenantName::new(name)].poll;
        let read = [
            poll.page_size.to_string(),
            poll.overlap.to_string(),
            poll.sweep_every.to_string(),
            poll.remember.to_string(),
        ];
        assert_eq!(read, expected, "{name}");
    };
    check("contoso", ["30", "20m", "20s", "200d"]);
    check("fabrikam", ["20", "20m", "10s", "200d"]);
    let text = config.to_toml();
    assert!(text.contains("66666666-7777-8888-9999-000000000002"), "{text}");
    assert!(text.contains("keep = 3") && text.contains("tenants = [\"contoso\", \"fabrikam\"]"), "{text}");
}

#[test]
fn a_later_place_of_a_secret_counts_instead_of_the_earlier_and_not_as_well() {
    let credential = |config: &Config| {
        let tenant = config.tenants.values().next().expect("a tenant");
        format!("{:?}", tenant.credential)
    };
    let by_env = layered(&[], &[("XDRELAY__TENANTS__CONTOSO__CREDENTIAL__ENV", "CONTOSO_SECRET")]);
    assert!(credential(&by_env).contains("file: None, env: Some(\"CONTOSO_SECRET\")"), "{}", credential(&by_env));
    let env_first = "[tenants.contoso.credential]\nenv = \"CONTOSO_SECRET\"\n";
    let by_file = layered(&[env_first, "[tenants.contoso.credential]\nfile = \"/s\"\n"], &[]);
    assert!(credential(&by_file).contains("file: Some(\"/s\"), env: None"), "{}", credential(&by_file));
}

#[test]
fn what_is_shown_reads_back_as_the_same() {
    let check = |text: &str| {
        let config = read(text);
        assert_eq!(read(&config.to_toml()), config);
    };
    check(&example("minimal.toml").1);
    check(&example("full.toml").1);
    check(&example("container.toml").1);
    let masked = read(&format!(
        "{}\nheaders = {{ X-Source = \"{CANARY}\" }}\n",
        example("minimal.toml").1.replace(
            "kind = \"syslog\"\naddress = \"tls://siem.example.net:6514\"",
            &format!("kind = \"http\"\nurl = \"https://h.example/x?sig={CANARY}\"")
        )
    ));
    let shown = masked.to_toml();
    assert!(!shown.contains(CANARY) && shown.contains("X-Source = \"***\"") && shown.contains("/x?***"), "{shown}");
}

#[test]
fn all_mistakes_of_all_layers_are_said_at_once() {
    let dir = directory();
    let first = ("first.toml".to_owned(), "[poll]\npgae_size = 3\noverlap = \"1s\"\n".to_owned());
    let second = ("second.toml".to_owned(), "[sinks.hook]\nkind = \"http\"\n[log]\nlevel = \"inof\"\n".to_owned());
    let files = lay(dir.path(), &[first, second]);
    let env = BTreeMap::from([("XDRELAY__QUOTA__LIST_PER_MINUTE".to_owned(), "fifty".to_owned())]);
    let problems = load(&files, env.into_iter()).expect_err("mistakes");
    let keys: Vec<&str> = problems.0.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["poll.pgae_size", "poll.overlap", "sinks.hook.url", "log.level", "quota.list_per_minute"]);
    let json = serde_json::to_value(&problems).expect("JSON");
    assert_eq!(json[0]["place"]["file"]["line"], 2);
    assert_eq!(json[4]["place"]["env"]["name"], "XDRELAY__QUOTA__LIST_PER_MINUTE");
    assert_eq!(json[0]["severity"], "error");
}

/// Reads a text as a layer over a good one, and as the only one.
fn survives(text: &str, env: &[(String, String)]) {
    let dir = tempfile::tempdir().expect("a directory");
    let files = lay(dir.path(), &[("case.toml".into(), text.into())]);
    for files in [&files[..], &files[1..]] {
        if let Err(problems) = parse(files, env.iter().cloned()) {
            assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                assert!(problem.place != Place::None || !problem.key.is_empty(), "{problem:?}");
                assert!(!problem.to_string().contains(CANARY), "{problem}");
            }
        }
    }
}

/// Texts that come close to a configuration.
fn almost() -> impl Strategy<Value = String> {
    let (_, full) = example("full.toml");
    let (_, minimal) = example("minimal.toml");
    let piece = prop_oneof![
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("\"".to_owned()),
        Just("= {".to_owned()),
        Just("[[sinks.siem]]\n".to_owned()),
        Just("[tenants.contoso.credential]\n".to_owned()),
        Just("kind = 1\n".to_owned()),
        Just("\"a.b\" = 1\n".to_owned()),
        Just("\"a[-9999999]\" = 1\n".to_owned()),
        Just("x = 99999999999999999999\n".to_owned()),
        Just(format!("secret = {CANARY}\n")),
        Just(format!("client_secret = \"{CANARY}\n")),
        "\\PC{0,12}",
    ];
    (any::<bool>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), piece).prop_map(
        move |(which, from, to, piece)| {
            let text = if which { &full } else { &minimal };
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let (from, to) = (from.index(lines.len()), to.index(lines.len()));
            let (from, to) = (from.min(to), from.max(to));
            format!("{}{piece}{}", lines[..from].concat(), lines[to..].concat())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_and_every_mistake_has_a_place(text in prop_oneof![any::<String>(), "\\PC*", almost()]) {
        survives(&text, &[]);
    }

    #[test]
    fn no_variable_panics(
        name in prop_oneof![
            "[A-Z_a-z0-9.\\[\\]-]{0,40}",
            "(TENANTS|POLL|SINKS|LOG|ADMIN|X)(__(CONTOSO|ARCHIVE|SIEM|POLL|LEVEL|KIND|CREDENTIAL|FILE|PATH)){0,4}",
        ],
        value in any::<String>(),
    ) {
        survives("", &[(format!("XDRELAY__{name}"), value)]);
    }
}
