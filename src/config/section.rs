//! Reads one table into its type and reports everything that is wrong in it, not the first mistake only: what is wrong is
//! taken out, and the rest is read again.

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::config::fault::{Fault, Found, What, describe};
use crate::config::key::{Key, looks_secret};
use crate::config::nearest::nearest;
use crate::config::report::Report;
use crate::config::tree::Node;

/// Mistakes reported in one table; each costs one more reading of it.
const MISTAKES_MAX: usize = 64;
/// What is said to who writes a secret down.
pub(crate) const NO_SECRETS: &str = "a secret does not stand in the configuration, the name of its file does";

/// What is said about keys that a type does not know by itself.
#[derive(Clone, Copy)]
pub(crate) struct Hints<'a> {
    /// Keys of the same table that somebody else reads.
    pub(crate) also: &'a [&'a str],
    /// What others call a key, and what it is called here.
    pub(crate) renamed: &'a dyn Fn(&str) -> Option<String>,
    /// Where a key that is wrong here would be right.
    pub(crate) elsewhere: &'a dyn Fn(&str) -> Option<String>,
    /// What a key holds that is missing.
    pub(crate) missing: &'a dyn Fn(&str) -> Option<String>,
}

impl Hints<'_> {
    /// No hints.
    pub(crate) const NONE: Hints<'static> =
        Hints { also: &[], renamed: &|_| None, elsewhere: &|_| None, missing: &|_| None };
}

/// Reads `node`, the table at `key`. What is wrong is reported and taken out of it; the answer is what remained, with the
/// defaults in the place of what was wrong, or nothing where a key without a default is wrong.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(
    node: &mut Node,
    key: &Key,
    hints: Hints<'_>,
    report: &mut Report,
) -> Option<T> {
    for _ in 0..MISTAKES_MAX {
        match T::deserialize(&*node) {
            Ok(value) => return Some(value),
            Err(fault) => {
                let said = fault.to_string();
                if mend(node, fault, key, hints, report).is_none() {
                    // Nothing is ever left out without a word.
                    if !report.partial && !report.is_wrong_below(key) {
                        report.error(key, format!("cannot be read: {said}"), None);
                    }
                    return None;
                }
            }
        }
    }
    None
}

/// The keys of a type, as its `Deserialize` knows them.
pub(crate) fn keys_of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(Keys) {
        Err(Fault { what: What::UnknownKey { known, .. }, .. }) => known,
        Err(_) | Ok(_) => &[],
    }
}

/// Reports a fault and takes its cause out of the node. Nothing where that is not possible, or where the fault follows from
/// one that was mended before.
fn mend(node: &mut Node, fault: Fault, key: &Key, hints: Hints<'_>, report: &mut Report) -> Option<()> {
    let mut path: Vec<String> = fault.keys.iter().rev().cloned().collect();
    match &fault.what {
        What::UnknownKey { key: unknown, known } => {
            let path = find(node, &path, unknown)?;
            node.cut(&path)?;
            let hints = if path.len() == 1 { hints } else { Hints::NONE };
            let key = key.join(path);
            report.error(&key, "unknown key", unknown_remedy(unknown, known, hints));
        }
        What::MissingKey(missing) => {
            let around = path.iter().try_fold(&mut *node, |node, part| node.table_mut()?.get_mut(part))?.table_mut()?;
            if around.contains_key(*missing) {
                return None;
            }
            around.insert((*missing).into(), Node::Stopgap);
            path.push((*missing).into());
            let key = key.join(path);
            if !report.is_wrong(&key) {
                report.missing(&key, (hints.missing)(missing));
            }
        }
        What::UnknownWord { .. } | What::Mismatch { .. } | What::Said(_) => {
            let wrong = node.at(&path)?;
            if wrong.has_stopgap() {
                return None;
            }
            // A table that says what it is with a word of its own: the word is what is wrong.
            if let (What::UnknownWord { word, .. }, Some(table)) = (&fault.what, wrong.table())
                && table.get("kind").and_then(Node::text) == Some(word)
            {
                path.push("kind".into());
            }
            let full = key.join(path.iter().cloned());
            let (what, remedy) = said(&fault.what, node.at(&path), &full);
            report.error(&full, what, remedy);
            if path.last().is_some_and(|last| last == "kind") {
                path.pop();
            }
            node.cut(&path)?;
        }
    }
    Some(())
}

/// Where an unknown key is: right here, or deeper where serde had lost the path (inside a table with a `kind`).
fn find(node: &Node, path: &[String], unknown: &str) -> Option<Vec<String>> {
    let table = node.at(path)?.table()?;
    let here = path.iter().cloned().chain([unknown.to_owned()]).collect();
    if table.contains_key(unknown) {
        return Some(here);
    }
    table.keys().find_map(|key| {
        let deeper: Vec<String> = path.iter().cloned().chain([key.clone()]).collect();
        find(node, &deeper, unknown)
    })
}

/// The first of these that fits: another's name for it, a slip of the finger, a key of another table, a secret, or else all that is known.
fn unknown_remedy(unknown: &str, known: &[&str], hints: Hints<'_>) -> Option<String> {
    let all: Vec<&str> = known.iter().chain(hints.also).copied().collect();
    (hints.renamed)(unknown)
        .or_else(|| nearest(unknown, &all).map(|meant| format!("did you mean `{meant}`?")))
        .or_else(|| (hints.elsewhere)(unknown))
        .or_else(|| looks_secret(unknown).then(|| format!("{NO_SECRETS}, as in {{ file = \"/run/secrets/NAME\" }}")))
        .or_else(|| (!all.is_empty()).then(|| format!("known here: {}", all.join(", "))))
}

/// What is wrong with the value at a key, and what would be right.
fn said(what: &What, wrong: Option<&Node>, key: &Key) -> (String, Option<String>) {
    let (text, remedy) = describe(what, wrong.and_then(Node::text), !key.is_secret());
    let last = key.parts().last().map_or("", String::as_str);
    match what {
        What::Said(_) if last.ends_with("url") => {
            ("not a URL".into(), Some("it begins with a scheme and a host, such as https://siem.example.net".into()))
        }
        // serde had lost the path, inside a table with a `kind`.
        What::Mismatch { found: Found::Text(_) | Found::Plain(_), .. } if matches!(wrong, Some(Node::Table(_))) => (
            format!("in it, {text}"),
            Some("a secret is { file = \"/run/secrets/NAME\" } or { env = \"NAME\" }".into()),
        ),
        What::Mismatch { found: Found::Shape("a list"), expected } if expected == "a table" => {
            (text, Some(format!("write [{key}] with single brackets")))
        }
        What::Mismatch { expected, .. } if expected == "a table" => (text, Some("set the keys of the table".into())),
        What::Mismatch { expected, .. } if expected == "a list" => (text, Some("put it in square brackets".into())),
        What::Mismatch { .. }
        | What::UnknownKey { .. }
        | What::MissingKey(_)
        | What::UnknownWord { .. }
        | What::Said(_) => (text, remedy),
    }
}

/// Asks a type for its keys.
struct Keys;

impl<'de> Deserializer<'de> for Keys {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fault> {
        Err(Fault::new(What::Said("not a table".into())))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Fault> {
        Err(Fault::new(What::UnknownKey { key: String::new(), known: fields }))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
