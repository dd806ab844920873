//! What is in `deploy/` and the `Dockerfile`, held against the program and against systemd's own judgement. The unit under a
//! running systemd and the image under runc are proved by `deploy/systemd/prove` and `deploy/container/prove`, which CI runs.

#[path = "receivers/skipped.rs"]
mod skipped;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use skipped::skipped;
use xdrelay::config::{self, Config};
use xdrelay::core::quota::{Lane, Limits, Quota};
use xdrelay::model::moment::Moment;

/// Tenths of systemd's exposure level: what a daemon that needs the network can reach.
const EXPOSURE_MAX: &str = "11";

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn example(path: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    config::parse(&[path], std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}")).config
}

fn unit() -> String {
    read("deploy/systemd/xdrelay.service")
}

/// The last value of each key.
fn settings(unit: &str) -> BTreeMap<&str, &str> {
    let lines = unit.lines().filter(|line| !line.starts_with(['#', '[']));
    lines.filter_map(|line| line.split_once('=')).collect()
}

/// Runs `systemd-analyze` on the unit, with the example's drop-in beside it and this build's binary in it. None where there
/// is no systemd and this is not CI.
fn analyze(arguments: &[&str], drop_in: &str) -> Option<Output> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skipped("systemd-analyze is missing: apt-get install systemd");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("xdrelay.service");
    std::fs::write(&path, unit().replace("/usr/bin/xdrelay", env!("CARGO_BIN_EXE_xdrelay"))).expect("written");
    std::fs::create_dir(dir.path().join("xdrelay.service.d")).expect("made");
    std::fs::write(dir.path().join("xdrelay.service.d/credential.conf"), drop_in).expect("written");
    let output = Command::new("systemd-analyze").args(arguments).arg(&path).output().expect("it runs");
    Some(output)
}

/// The one of docs/operations.md; `deploy/systemd/prove` has it under a running systemd.
fn drop_in_for_an_agent() -> String {
    let page = read("docs/operations.md");
    let drop_in = page.split("\n```ini\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a drop-in");
    assert!(drop_in.contains("DynamicUser=no\nUser=xdrelay\nGroup=xdrelay\n"), "{drop_in}");
    drop_in.to_owned()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn systemd_finds_nothing_to_say_about_the_unit() {
    let drop_in = read("deploy/systemd/credential.conf.example").replace("\n#Load", "\nLoad");
    assert!(!drop_in.contains("#Load"), "the examples behind `#` are tried too");
    let Some(output) = analyze(&["verify"], &drop_in) else { return };
    // It ends with 0 on a bad unit too.
    assert_eq!(text(&output), "");
    let output = analyze(&["verify"], &drop_in_for_an_agent()).expect("it is there");
    assert_eq!(text(&output), "");
    let bad = analyze(&["verify"], "[Service]\nNoSuchKey=1\n").expect("it is there");
    assert!(text(&bad).contains("NoSuchKey"), "verify sees the drop-in: {}", text(&bad));
}

#[test]
fn the_unit_exposes_no_more_than_a_daemon_on_the_network_has_to() {
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    for drop_in in ["", &drop_in_for_an_agent()] {
        let Some(output) = analyze(&["security", "--offline=true", &threshold], drop_in) else { return };
        assert!(output.status.success(), "{drop_in}{}", text(&output));
    }
}

#[test]
fn the_unit_waits_longer_for_a_stop_than_the_program_may_take() {
    let unit = unit();
    let stop = seconds_behind(&unit, "\nTimeoutStopSec=");
    assert!(longest_stop(&example("config/minimal.toml")) <= stop);
}

/// Closing the ledger may take as long again as the grace (`run/daemon.rs`), and a blocking read a few seconds more (`cli/mod.rs`).
fn longest_stop(config: &Config) -> Duration {
    config.shutdown.grace.0 * 2 + Duration::from_secs(10)
}

/// The number behind the only place where these words are in a text.
fn seconds_behind(text: &str, words: &str) -> Duration {
    let mut parts = text.split(words).skip(1);
    let digits = parts.next().map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    assert!(parts.next().is_none(), "{words} is there twice");
    Duration::from_secs(digits.and_then(|digits| digits.parse().ok()).expect("seconds"))
}

#[test]
fn the_unit_starts_again_what_starting_again_may_cure_and_nothing_else() {
    let unit = unit();
    let settings = settings(&unit);
    // Any other way to say it starts a refusal of ExecStartPre again too.
    assert_eq!(settings["Restart"], "on-abnormal");
    let forced: Vec<i32> =
        settings["RestartForceExitStatus"].split(' ').map(|code| code.parse().expect("a code")).collect();
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::create_dir(path("foreign")).expect("made");
    std::fs::write(path("foreign/thesis.txt"), "two years of work").expect("written");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = taken.local_addr().expect("an address");
    let config = |name: &str, first: &str, state: &str| {
        let text = format!(
            "{first}\nstate_dir = \"{}\"\n[tenants.contoso]\ntenant_id = \"contoso.example\"\n\
             credential = {{ kind = \"managed_identity\" }}\n[sinks.archive]\nkind = \"file\"\npath = \"{}\"\n\
             [admin]\nlisten = \"{listen}\"\n",
            path(state),
            path("archive.ndjson"),
        );
        std::fs::write(path(name), text).expect("written");
        path(name)
    };
    let ends_with = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_xdrelay")).args(arguments).output().expect("it runs");
        output.status.code().expect("an exit code")
    };
    let [right, foreign, wrong] =
        [("right", "", "own"), ("foreign.toml", "", "foreign"), ("wrong", "no_such_key = 1", "own")]
            .map(|(name, first, state)| config(name, first, state));
    assert_eq!(ends_with(&["run", "-c", &right]), 69);
    assert_eq!(ends_with(&["run", "-c", &foreign]), 73);
    // A defect that was noticed, a disk that fails, a panic: none of these can be had at will.
    assert_eq!(forced, [69, 70, 73, 74, 101]);
    for refused in [["run", "-c", &wrong].as_slice(), &["check", "--offline", "-c", &wrong]] {
        assert_eq!(ends_with(refused), 78);
    }
    assert_eq!(ends_with(&["run", "--no-such-flag"]), 64);
}

#[test]
fn the_unit_checks_the_same_configuration_that_it_runs() {
    let unit = unit();
    let commands: Vec<_> =
        unit.replace("\\\n", "").lines().filter(|line| line.starts_with("Exec")).map(str::to_owned).collect();
    let ending = |start: &str, end: &str| commands.iter().any(|line| line.starts_with(start) && line.ends_with(end));
    assert!(ending("ExecStartPre=", "/usr/bin/xdrelay check --offline"), "{commands:#?}");
    assert!(ending("ExecStart=", "/usr/bin/xdrelay run"), "{commands:#?}");
    assert!(ending("ExecReload=", "/usr/bin/xdrelay check --offline'"), "{commands:#?}");
    assert_eq!(commands.last().map(String::as_str), Some("ExecReload=/bin/kill -HUP $MAINPID"), "after the check");
}

/// The files of a directory with this ending, as paths from the top of the repository.
fn files(directory: &str, ending: &str) -> Vec<String> {
    let entries =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).expect("a directory of ours");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.filter(|name| name.ends_with(ending)).map(|name| format!("{directory}/{name}")).collect()
}

/// The secrets that a configuration takes from systemd, those in its comments too.
fn named_in(configuration: &str) -> BTreeSet<&str> {
    let rest = configuration.split("/run/credentials/xdrelay.service/").skip(1);
    rest.filter_map(|rest| rest.split('"').next()).collect()
}

/// What `LoadCredential=` and `LoadCredentialEncrypted=` hand over in a text: the name, and the file it is made of. `NAME:FILE`
/// is none.
fn handed_over(text: &str) -> Vec<(&str, &str)> {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '`' | '\'' | '"' | '(' | ')');
    let settings =
        text.split("LoadCredential").skip(1).filter_map(|rest| rest.trim_start_matches("Encrypted").strip_prefix('='));
    let pairs = settings.filter_map(|rest| rest.split(is_end).next()?.split_once(':'));
    pairs.filter(|(_, file)| file.starts_with('/')).collect()
}

#[test]
fn the_example_hands_over_every_secret_that_a_configuration_can_name() {
    let (drop_in, full) = (read("deploy/systemd/credential.conf.example"), read("config/full.toml"));
    let names = named_in(&full);
    assert!(8 <= names.len(), "{names:?}");
    for name in names {
        let line = format!("LoadCredential={name}:/etc/xdrelay/secrets/{name}\n");
        assert!(drop_in.contains(&line), "{line}");
    }
}

#[test]
fn secrets_are_in_one_place_and_every_example_says_how_its_own_get_there() {
    let drop_in = read("deploy/systemd/credential.conf.example");
    let (examples, documents) = (files("config", ".toml"), files("docs", ".md"));
    let rest = ["README.md", "SECURITY.md", "deploy/systemd/credential.conf.example"].map(str::to_owned);
    let mut places = 0;
    for path in examples.iter().chain(&documents).chain(&rest) {
        let text = read(path);
        for (name, file) in handed_over(&text) {
            let place = format!("/etc/xdrelay/secrets/{name}");
            assert!(file == place || file == format!("{place}.cred"), "{path}: LoadCredential={name}:{file}");
            places += 1;
        }
    }
    assert!(20 <= places, "{places}");
    for path in examples {
        let text = read(&path);
        let said: BTreeSet<_> =
            handed_over(&text).into_iter().chain(handed_over(&drop_in)).map(|(name, _)| name).collect();
        let unsaid: Vec<_> = named_in(&text).into_iter().filter(|name| !said.contains(name)).collect();
        assert!(unsaid.is_empty(), "{path}: nothing says where {unsaid:?} come from");
    }
}

#[test]
fn the_unit_its_example_and_the_configuration_agree_on_places() {
    let (unit, drop_in) = (unit(), read("deploy/systemd/credential.conf.example"));
    let settings = settings(&unit);
    let minimal = read("config/minimal.toml");
    let credential = minimal.split("/run/credentials/xdrelay.service/").nth(1).and_then(|rest| rest.split('"').next());
    let credential = credential.expect("the example takes its secret from systemd");
    assert!(drop_in.contains(&format!("\nLoadCredential={credential}:/etc/xdrelay/secrets/{credential}\n")));
    let place = |directory: &str, key: &str| format!("{directory}/{}", settings[key]);
    let (minimal, full) = (example("config/minimal.toml"), read("config/full.toml"));
    assert_eq!(minimal.state_dir, Path::new(&place("/var/lib", "StateDirectory")));
    assert!(full.contains(&format!("path = \"{}/", place("/var/log", "LogsDirectory"))));
    let default = place("/etc", "ConfigurationDirectory");
    assert!(config::default_files().iter().all(|file| file.starts_with(&default)));
}

#[test]
fn the_image_and_its_configuration_agree() {
    let (dockerfile, container) = (read("Dockerfile"), example("config/container.toml"));
    let has = |line: &str| assert!(dockerfile.lines().any(|found| found == line), "the Dockerfile has no {line}");
    has("FROM scratch");
    has("USER 65532:65532");
    has(&format!("VOLUME [\"{}\"]", container.state_dir.display()));
    has(&format!("EXPOSE {}", container.admin.as_ref().expect("a port to publish").listen.port()));
    has("ENTRYPOINT [\"/xdrelay\"]");
    has(&format!("CMD [\"run\", \"-c\", \"{}\"]", config::default_files()[0].display()));
    let health = dockerfile.replace("\\\n", "");
    let health = health.lines().find(|line| line.starts_with("HEALTHCHECK ")).expect("a health check");
    let asks = format!("CMD [\"/xdrelay\", \"healthcheck\", \"-c\", \"{}\"]", config::default_files()[0].display());
    assert!(health.ends_with(&asks), "{health}");
    assert!(!dockerfile.lines().any(|line| line.starts_with("RUN")), "there is nothing in the image that could run");
    // Without it Docker sends SIGKILL ten seconds after the first signal.
    assert!(longest_stop(&container) <= seconds_behind(&read("README.md"), "--stop-timeout "));
    assert!(longest_stop(&container) <= seconds_behind(&read("config/container.toml"), "--stop-timeout "));
    assert!(longest_stop(&container) <= seconds_behind(&read("config/container.toml"), "stop_grace_period: "));
}

#[test]
fn the_manifests_and_their_configuration_agree() {
    let (config, pod) = (example("deploy/kubernetes/xdrelay.toml"), read("deploy/kubernetes/statefulset.yaml"));
    let admin = config.admin.as_ref().expect("a port for the probes");
    assert!(pod.contains(&format!("containerPort: {} ", admin.listen.port())), "{}", admin.listen);
    assert!(pod.contains(&format!("mountPath: {} }}", config.state_dir.display())), "{}", config.state_dir.display());
    let default = config::default_files()[0].display().to_string();
    assert!(pod.contains(&format!("args: [run, -c, {default}]")), "{default}");
    assert!(longest_stop(&config) <= seconds_behind(&pod, "terminationGracePeriodSeconds: "));
}

/// What is left of the hour after each answer, the least and the most, while a lane takes all that it may beside a tail that
/// asks as often as it may.
fn left_by(hungry: Lane, limits: Limits, answer_takes: Duration) -> (u32, u32) {
    const HOUR: Duration = Duration::from_secs(3600);
    let start = Moment::from_nanos(1_800_000_000_000_000_000);
    let (mut quota, mut now, mut left) = (Quota::fresh(limits), start, Vec::new());
    let mut callers = [(Lane::Tail, start), (hungry, start)];
    while now < start + HOUR * 2 {
        let (lane, due) = callers.iter_mut().min_by_key(|(_, due)| *due).expect("two");
        now = now.max(*due);
        if *lane == Lane::Tail {
            quota.tail_due_at(*due);
        }
        if quota.charge(*lane, now).is_none() {
            *due = quota.ready_at(*lane, now).max(now + Duration::from_millis(1));
            continue;
        }
        let pause = if *lane == Lane::Tail { limits.tail_interval_min() } else { Duration::ZERO };
        *due = now + pause.max(answer_takes);
        // By then the burst is gone.
        if start + HOUR < now {
            left.push(quota.hour_remaining(now + answer_takes));
        }
    }
    (*left.iter().min().expect("calls"), *left.iter().max().expect("calls"))
}

#[test]
fn the_quota_is_exhausted_for_monitoring_where_sweeps_take_all_they_may_and_not_where_what_is_patient_does() {
    let alerts = read("deploy/grafana/alerts.yml");
    let limit = "(xdrelay_quota_limit{endpoint=\"list\", window=\"hour\"}) / ";
    let part = alerts.split_once(limit).and_then(|(_, rest)| rest.lines().next()).expect("the alert goes by the limit");
    let part: f64 = part.parse().expect("a number");
    for (per_minute, per_hour) in [(50, 1500), (25, 750), (12, 375)] {
        let (limits, threshold) = (Limits::of_list(per_minute, per_hour), f64::from(per_hour) / part);
        for millis in [100, 700, 1500] {
            let left = |lane| left_by(lane, limits, Duration::from_millis(millis));
            let (_, most) = left(Lane::Sweep);
            assert!(f64::from(most) < threshold, "{per_hour}, {millis} ms: sweeps leave up to {most}");
            for lane in [Lane::Replay, Lane::CatchUp, Lane::Audit] {
                let (_, most) = left(lane);
                assert!(threshold <= f64::from(most), "{per_hour}, {millis} ms: {lane:?} leaves {most} at most");
            }
        }
    }
}
