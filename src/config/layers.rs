//! Lays the files and the environment over one another with the `config` crate, and keeps where each setting was made. It
//! knows no setting by name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use config::{ConfigError, Map, Source, Value};

use crate::config::key::Key;
use crate::config::located::{self, Located};
use crate::config::problem::Place;
use crate::config::report::Report;
use crate::config::tree::Node;
use crate::config::variables;

/// Bytes of a file at most. A real one has a few kilobytes.
const FILE_SIZE_MAX: u64 = 1 << 20;
/// The one key at the top of each layer. The `config` crate takes keys at the top for paths (`"a.b"`, `"a[7]"`), below it
/// takes them as they are.
const TOP: &str = "settings";

/// Reads the layers and merges them, later ones over earlier ones, the environment over all. What cannot be read is
/// reported, and the report is `partial` from then on.
pub(crate) fn merged(files: &[PathBuf], env: &BTreeMap<String, String>, report: &mut Report) -> Node {
    let mut builder = config::Config::builder();
    for (layer, path) in files.iter().enumerate() {
        let place = Place::File { path: path.clone(), line: None };
        report.index.table(Key::root(), layer, place);
        if let Some(located) = from_file(path, layer, report) {
            builder = builder.add_source(adopt(located, layer, report));
        }
    }
    let located = variables::located(env, files.len(), report);
    let layers = builder.add_source(adopt(located, files.len(), report)).build();
    let settings = layers.and_then(|layers| layers.collect()).ok().and_then(|mut top| top.remove(TOP));
    let mut tree = settings.map(Node::from).filter(|tree| tree.table().is_some()).unwrap_or_else(Node::empty);
    later_of_two(&mut tree, &Key::root(), report);
    tree
}

/// One layer, for the `config` crate.
#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(Map::from_iter([(TOP.to_owned(), Value::from(self.0.clone()))]))
    }
}

fn adopt(located: Located, layer: usize, report: &mut Report) -> Layer {
    for (key, place) in located.tables {
        report.index.table(key, layer, place);
    }
    for (key, place) in located.places {
        report.index.setting(key, layer, place);
    }
    Layer(located.settings)
}

fn from_file(path: &Path, layer: usize, report: &mut Report) -> Option<Located> {
    let text = match text_of(path) {
        Ok(text) => text,
        Err((what, remedy)) => {
            report.partial = true;
            report.layer_error(layer, Place::File { path: path.to_owned(), line: None }, what, remedy);
            return None;
        }
    };
    match located::parse(path, &text) {
        Ok(located) => Some(located),
        Err(mistakes) => {
            report.partial = true;
            for (line, what) in mistakes {
                report.layer_error(layer, Place::File { path: path.to_owned(), line }, what, None);
            }
            None
        }
    }
}

fn text_of(path: &Path) -> Result<String, (String, Option<String>)> {
    use std::io::ErrorKind;
    let unreadable = |error: std::io::Error| {
        let (what, remedy) = if error.kind() == ErrorKind::NotFound {
            let remedy = "name one with -c, or let `xdrelay init` write one";
            ("there is no such file".to_owned(), Some(remedy))
        } else if error.kind() == ErrorKind::InvalidData {
            ("the file is not UTF-8".to_owned(), Some("save it as UTF-8"))
        } else {
            let denied = error.kind() == ErrorKind::PermissionDenied;
            let remedy = denied.then_some("give the user that xdrelay runs as the right to read it");
            (format!("the file cannot be read: {error}"), remedy)
        };
        (what, remedy.map(str::to_owned))
    };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_SIZE_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    match FILE_SIZE_MAX < text.len() as u64 {
        true => Err((format!("the file is larger than {FILE_SIZE_MAX} bytes: not a configuration"), None)),
        false => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
    }
}

/// A secret is in a file or in a variable. Where one layer says the one and a later layer the other, the later one means it
/// instead and not as well.
fn later_of_two(node: &mut Node, key: &Key, report: &Report) {
    let Some(table) = node.table_mut() else { return };
    if table.contains_key("file") && table.contains_key("env") {
        let (file, env) = (report.index.layer(&key.child("file")), report.index.layer(&key.child("env")));
        match file.cmp(&env) {
            std::cmp::Ordering::Less => _ = table.remove("file"),
            std::cmp::Ordering::Greater => _ = table.remove("env"),
            std::cmp::Ordering::Equal => {}
        }
    }
    for (part, node) in table {
        later_of_two(node, &key.child(part), report);
    }
}
