//! The environment as a layer of settings: `XDRELAY__TENANTS__CONTOSO__CLIENT_ID` is `tenants.contoso.client_id`.
//!
//! The `config` crate has a source for this; it does not tell which variable a setting came from, and of two variables for
//! one setting it takes either. No value of a variable is shown here.

use std::collections::BTreeMap;
use std::ops::Bound;

use config::{Map, Value, ValueKind};

use crate::config::key::{Key, is_bare};
use crate::config::located::{DEPTH_MAX, Located};
use crate::config::problem::Place;
use crate::config::report::Report;
use crate::config::tree::ENVIRONMENT;

/// What our variables begin with. Two underscores: a cluster sets `XDRELAY_PORT` and the like by itself.
const PREFIX: &str = "XDRELAY__";
/// What stands between the tables.
const SEPARATOR: &str = "__";

/// The settings of the environment. A variable that names no setting is reported and left out.
pub(crate) fn located(env: &BTreeMap<String, String>, layer: usize, report: &mut Report) -> Located {
    let mut named: BTreeMap<Key, (&str, &str)> = BTreeMap::new();
    for (name, value) in env {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        match key_of(rest) {
            Some(key) => match named.get(&key) {
                None => _ = named.insert(key, (name, value)),
                Some((other, _)) => {
                    let what = format!("sets {key}, and so does {other}");
                    report.layer_error(layer, place(name), what, Some("unset one of them".into()));
                }
            },
            None => {
                let remedy = "XDRELAY__TENANTS__CONTOSO__CLIENT_ID, for example, is tenants.contoso.client_id";
                report.layer_error(layer, place(name), "is not the name of a setting", Some(remedy.into()));
            }
        }
    }
    let mut located = Located::default();
    for (key, (name, value)) in &named {
        // Sorted as they are, what is below a key comes right behind it.
        let next = named.range((Bound::Excluded(key), Bound::Unbounded)).next();
        match next.filter(|(next, _)| next.parts().starts_with(key.parts())) {
            Some((_, (other, _))) => {
                let what = format!("sets the whole table {key}, of which {other} sets a key");
                report.layer_error(layer, place(name), what, Some("unset one of them".into()));
            }
            None => {
                located.places.push((key.clone(), place(name)));
                let around = std::iter::successors(key.parent(), Key::parent);
                located.tables.extend(around.filter(|key| *key != Key::root()).map(|key| (key, place(name))));
                insert(&mut located.settings, key.parts(), value);
            }
        }
    }
    located
}

/// The variable that sets a key, where a shell knows such a name.
pub(crate) fn variable_of(key: &Key) -> Option<String> {
    let plain =
        |part: &String| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let is_named = key.parts().iter().all(|part| plain(part) && !part.contains(SEPARATOR));
    is_named.then(|| format!("{PREFIX}{}", key.parts().join(SEPARATOR).to_ascii_uppercase()))
}

fn place(name: &str) -> Place {
    Place::Env { name: name.to_owned() }
}

/// The key of a name without its prefix; variables are written in capitals, settings never are.
fn key_of(rest: &str) -> Option<Key> {
    let parts: Vec<String> = rest.split(SEPARATOR).map(str::to_ascii_lowercase).collect();
    (parts.len() <= DEPTH_MAX && parts.iter().all(|part| is_bare(part))).then(|| Key::of(parts))
}

fn insert(settings: &mut Map<String, Value>, parts: &[String], value: &str) {
    let Some((first, rest)) = parts.split_first() else { return };
    if rest.is_empty() {
        let origin = ENVIRONMENT.to_owned();
        settings.insert(first.clone(), Value::new(Some(&origin), ValueKind::String(value.to_owned())));
        return;
    }
    let table = settings.entry(first.clone()).or_insert_with(|| Value::new(None, ValueKind::Table(Map::new())));
    if let ValueKind::Table(table) = &mut table.kind {
        insert(table, rest, value);
    }
}
