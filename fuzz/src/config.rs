//! The configuration: any text is a configuration or a list of what is wrong with it, each thing with its place on a line of
//! its own; and what `xdrelay config` shows of one is the same configuration when it is read again.

use std::path::{Path, PathBuf};

use xdrelay::config::problem::{Place, Problem, Severity};
use xdrelay::config::{Loaded, parse};

/// What stands for a value that may be a secret.
const MASK: &str = "***";
/// Characters of one problem at most.
const WORDS_MAX: usize = 2500;

/// Up to three parts between zero bytes: a file, the environment as `NAME=VALUE` lines, another file over the first.
pub fn check(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let first = lay(dir.path(), "first.toml", parts.next().unwrap_or_default());
    let env = environment(parts.next().unwrap_or_default());
    let second = parts.next().map(|text| lay(dir.path(), "second.toml", text));
    let files: Vec<PathBuf> = [first].into_iter().chain(second).collect();
    match parse(&files, env.into_iter()) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|problem| check_problem(problem, &files));
            shown_and_read_again(&loaded, dir.path());
        }
        Err(problems) => {
            assert!(problems.0.iter().any(|problem| problem.severity == Severity::Error), "{problems}");
            problems.0.iter().for_each(|problem| check_problem(problem, &files));
            serde_json::to_string(&problems).expect("problems are JSON");
        }
    }
}

fn lay(dir: &Path, name: &str, text: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

fn environment(text: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(text);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn check_problem(problem: &Problem, files: &[PathBuf]) {
    let text = problem.to_string();
    assert!(!problem.what.is_empty(), "nothing is said: {problem:?}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "a control character: {text:?}");
    assert!(text.chars().count() <= WORDS_MAX, "too many words: {text}");
    match &problem.place {
        Place::File { path, line } => {
            assert!(files.contains(path), "{problem:?}");
            let bytes = std::fs::read(path).expect("it was written a moment ago");
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!(line.is_none_or(|line| (1..=lines).contains(&line)), "no such line: {problem:?}");
        }
        Place::Env { name } => assert!(!name.is_empty()),
        Place::None => assert!(!problem.key.is_empty(), "nobody knows where: {problem:?}"),
    }
}

fn shown_and_read_again(loaded: &Loaded, dir: &Path) {
    let shown = loaded.config.to_toml();
    if shown.contains(MASK) {
        return;
    }
    let path = lay(dir, "shown.toml", shown.as_bytes());
    match parse(&[path], std::iter::empty()) {
        Ok(again) => assert_eq!(again.config, loaded.config, "it is another when it is read again:\n{shown}"),
        Err(problems) => panic!("what is shown cannot be read: {problems}\n{shown}"),
    }
}
