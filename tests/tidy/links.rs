//! What the documents refer to: every link leads to a file that is there and to a heading that is in it, and so does every place
//! of this repository that a document, an example or a message of the program names in passing. Asks no network.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::{read, report, sources, top};

/// Directories whose files are named in words, such as "see docs/credentials.md".
const NAMED: [&str; 3] = ["docs/", "config/", "deploy/"];

/// Paths of the files with this ending in a directory and in those right below it, from the top of the repository.
fn files(directory: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = vec![(top().join(directory), true)];
    while let Some((directory, is_outer)) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory of ours") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && is_outer {
                directories.push((path, false));
            } else if path.is_file() && path.to_str().is_some_and(|path| path.ends_with(ending)) {
                found.push(path.strip_prefix(top()).expect("below the top").to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// What people read: at the top, in docs/ and in deploy/.
fn documents() -> Vec<String> {
    let at_top = ["README", "ARCHITECTURE", "CHANGELOG", "CONTRIBUTING", "SECURITY"].map(|name| format!("{name}.md"));
    let documents: Vec<_> = at_top.into_iter().chain(files("docs", ".md")).chain(files("deploy", ".md")).collect();
    assert!(15 < documents.len(), "the documents are not found any more");
    documents
}

/// Lines with their numbers that are no example: nothing between fences.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_example = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_example ^= is_fence;
        (!is_fence && !is_example).then_some((index + 1, line))
    })
}

/// Without what stands between backquotes.
fn plain(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// Where the links and pictures of a line lead.
fn targets(line: &str) -> Vec<String> {
    let line = plain(line);
    let ends = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    ends.map(|(target, _)| target.to_owned()).collect()
}

/// The names under which the headings of a document can be linked to: lower case, hyphens for spaces, no punctuation; the
/// second of one name has `-1` behind it.
fn anchors(text: &str) -> Vec<String> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(text)
        .filter_map(|(_, line)| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let anchor = |heading: &str| -> String {
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
    };
    let numbered = headings.map(anchor).map(|anchor| {
        let time = times.entry(anchor.clone()).or_default();
        *time += 1;
        if *time == 1 { anchor } else { format!("{anchor}-{}", *time - 1) }
    });
    numbered.collect()
}

/// The file that a link of a document means, without `.` and `..`.
fn resolved(document: &str, target: &str) -> PathBuf {
    let mut path = Path::new(document).parent().map(Path::to_owned).unwrap_or_default();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => _ = path.pop(),
            Component::Normal(part) => path.push(part),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

/// What is wrong with one link, if anything. `there` tells the text of a file, or nothing where it is not there; a directory has
/// no text.
fn link_complaint(document: &str, target: &str, there: &dyn Fn(&Path) -> Option<String>) -> Option<String> {
    if target.starts_with("https://") || target.starts_with("http://") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let file = if path.is_empty() { document.into() } else { resolved(document, path) };
    let Some(text) = there(&file) else {
        return Some(format!("the link to {target} leads nowhere: there is no {}", file.display()));
    };
    let anchor = anchor.filter(|anchor| !anchors(&text).iter().any(|known| known == anchor))?;
    Some(format!("the link to {target} leads nowhere: {} has no heading {anchor:?}", file.display()))
}

/// The places of this repository that a line names: `docs/store.md`, `deploy/debian/build`.
fn named(line: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let starts = NAMED.into_iter().flat_map(|directory| line.match_indices(directory));
    let whole = starts.filter(|(start, _)| !line[..*start].ends_with(is_part));
    let names = whole.map(|(start, _)| {
        let name = &line[start..];
        name[..name.find(|c| !is_part(c)).unwrap_or(name.len())].trim_end_matches('.')
    });
    names.collect()
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let there = |path: &Path| {
        let path = top().join(path);
        path.exists().then(|| std::fs::read_to_string(&path).unwrap_or_default())
    };
    let (mut complaints, mut count) = (Vec::new(), 0);
    for document in documents() {
        for (number, line) in prose(&read(&document)) {
            for target in targets(line) {
                count += 1;
                let complaint = link_complaint(&document, &target, &there);
                complaints.extend(complaint.map(|complaint| format!("{document}:{number}: {complaint}")));
            }
        }
    }
    assert!(50 < count, "the links are not found any more: {count}");
    report(&complaints);
}

#[test]
fn every_place_that_is_named_in_words_is_there() {
    let examples = files("config", ".toml").into_iter().chain(files("deploy", ".toml"));
    let texts = documents().into_iter().chain(examples).map(|path| (read(&path), path));
    let code = sources("src").into_iter().map(|source| (source.text, source.path));
    let (mut complaints, mut count) = (Vec::new(), 0);
    for (text, path) in texts.chain(code) {
        for (number, line) in text.lines().enumerate() {
            for name in named(line) {
                count += 1;
                if !top().join(name).exists() {
                    complaints.push(format!("{path}:{}: there is no {name}", number + 1));
                }
            }
        }
    }
    assert!(50 < count, "the names are not found any more: {count}");
    report(&complaints);
}

#[test]
fn the_check_of_links_can_fail() {
    let there = |path: &Path| match path.to_str() {
        Some("README.md") => {
            Some("# A\n\n```sh\n# no heading\n```\n\n## What a sink refused: `xdrelay refused`\n## B\n## B\n".into())
        }
        Some("docs/one.md") => Some("## The *store*, and `keys`\n".into()),
        Some("docs") => Some(String::new()),
        Some(_) | None => None,
    };
    let check = |document: &str, target: &str, is_right: bool| {
        let complaint = link_complaint(document, target, &there);
        assert_eq!(complaint.is_none(), is_right, "{document}: {target}: {complaint:?}");
    };
    check("README.md", "docs/one.md", true);
    check("README.md", "docs", true);
    check("README.md", "docs/two.md", false);
    check("README.md", "docs/one.md#the-store-and-keys", true);
    check("README.md", "docs/one.md#the-store", false);
    check("README.md", "#b-1", true);
    check("README.md", "#b-2", false);
    check("README.md", "#no-heading", false);
    check("docs/one.md", "../README.md#what-a-sink-refused-xdrelay-refused", true);
    check("docs/one.md", "README.md", false);
    check("docs/one.md", "https://example.org/no-such-page", true);
    assert_eq!(targets("[`a](b)`](c.md) and ![d](e.png), `[f](g)`"), ["c.md", "e.png"]);
    assert_eq!(prose("a\n```\nb\n```\nc").map(|(number, _)| number).collect::<Vec<_>>(), [1, 5]);
    assert_eq!(
        named("see docs/a.md. Not /etc/config/b or src/config/c, but config/d-e.toml,"),
        ["docs/a.md", "config/d-e.toml"]
    );
}
