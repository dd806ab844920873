//! One file as settings, each with its line. Text in, settings out: it reads no file, and no line that may hold a secret
//! leaves it.

use std::path::Path;

use config::{Map, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::key::{Key, looks_secret};
use crate::config::problem::Place;

/// Tables in tables at most; the deepest setting has four.
pub(crate) const DEPTH_MAX: usize = 16;
/// Dots on a line at most. A key of thousands of parts is as many tables in one another, too deep a stack for any parser.
const DOTS_MAX: usize = 64;
/// Mistakes of syntax reported in one file: after a few, what follows is a consequence.
const MISTAKES_MAX: usize = 10;
/// Bytes of a line that is shown.
const LINE_SHOWN_MAX: usize = 200;
/// A word of so many characters may be a secret.
const LONG_WORD: usize = 30;

/// Settings, and where each was made.
#[derive(Debug, Default)]
pub(crate) struct Located {
    /// The settings.
    pub(crate) settings: Map<String, Value>,
    /// Where each of them was made.
    pub(crate) places: Vec<(Key, Place)>,
    /// Where each table around them begins.
    pub(crate) tables: Vec<(Key, Place)>,
}

/// A mistake of syntax: the line, where there is one, and what it is.
pub(crate) type Mistake = (Option<usize>, String);

/// Reads the text of a file.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Located, Vec<Mistake>> {
    let lines = Lines::of(text);
    if let Some(line) = text.lines().position(|line| DOTS_MAX < dots(line)) {
        return Err(vec![(Some(line + 1), format!("more than {DOTS_MAX} dots on a line: no setting has such a key"))]);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut mistakes: Vec<Mistake> =
        errors.iter().take(MISTAKES_MAX).map(|error| mistake(error, text, &lines)).collect();
    let mut walk = Walk { path, lines: &lines, located: Located::default(), mistakes: Vec::new() };
    if mistakes.is_empty() {
        let settings = walk.table(table.into_inner(), &Key::root());
        walk.located.settings = settings;
        mistakes = walk.mistakes;
    }
    match mistakes.is_empty() {
        true => Ok(walk.located),
        false => Err(mistakes),
    }
}

fn dots(line: &str) -> usize {
    match line.trim_start().starts_with('#') {
        true => 0,
        false => line.bytes().filter(|byte| *byte == b'.').count(),
    }
}

/// toml's own words and its picture of the place, unless the picture may show a secret.
fn mistake(error: &toml::de::Error, text: &str, lines: &Lines) -> Mistake {
    let message = format!("not valid TOML: {}", error.message().trim());
    let Some(line) = error.span().map(|span| lines.at(span.start)) else { return (None, message) };
    if may_show_secret(text, line) {
        return (Some(line), format!("{message} (the line is not shown here, it may hold a secret)"));
    }
    let whole = error.to_string();
    let picture: Vec<&str> = whole.lines().skip(1).take(3).map(str::trim_end).collect();
    match picture.len() {
        3 => (
            Some(line),
            format!("{message}\n{}", picture.join("\n").replace(|c: char| c.is_control() && c != '\n', " ")),
        ),
        _ => (Some(line), message),
    }
}

/// Whether a line (from 1) is named like a secret, stands below such a key (a text or a table over several lines), or holds
/// a word as long as a secret; a very long line is not looked at.
fn may_show_secret(text: &str, line: usize) -> bool {
    let lines: Vec<&str> = text.split('\n').take(line).collect();
    let own = lines.last().copied().unwrap_or_default();
    let word = |c: char| c.is_ascii_alphanumeric() || "-_~+/=.".contains(c);
    let long = own.split(|c| !word(c)).any(|word| LONG_WORD <= word.len());
    let above = lines.iter().rev().skip(1).find(|line| line.contains('=') || line.trim_start().starts_with('['));
    long || LINE_SHOWN_MAX < own.len()
        || looks_secret(own)
        || above.is_some_and(|line| !own.contains('=') && looks_secret(line))
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The line of a byte, from 1.
    fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|start| *start <= byte)
    }
}

/// Turns toml's tree into the `config` crate's, and notes the places on the way.
struct Walk<'a> {
    path: &'a Path,
    lines: &'a Lines,
    located: Located,
    mistakes: Vec<Mistake>,
}

impl Walk<'_> {
    fn table(&mut self, table: DeTable<'_>, around: &Key) -> Map<String, Value> {
        let mut settings = Map::new();
        for (name, value) in table {
            let line = self.lines.at(name.span().start);
            let key = around.child(name.get_ref());
            if DEPTH_MAX < key.parts().len() {
                self.mistakes.push((Some(line), "too many tables in one another: no setting is so deep".into()));
                continue;
            }
            if let Some(kind) = self.value(value, &key, line) {
                let place = Place::File { path: self.path.to_owned(), line: Some(line) };
                match matches!(kind, ValueKind::Table(_)) {
                    true => self.located.tables.push((key, place)),
                    false => self.located.places.push((key, place)),
                }
                settings.insert(name.into_inner().into_owned(), Value::new(None, kind));
            }
        }
        settings
    }

    fn value(&mut self, value: Spanned<DeValue<'_>>, key: &Key, line: usize) -> Option<ValueKind> {
        match value.into_inner() {
            DeValue::String(text) => Some(ValueKind::String(text.into_owned())),
            DeValue::Datetime(time) => Some(ValueKind::String(time.to_string())),
            DeValue::Boolean(truth) => Some(ValueKind::Boolean(truth)),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Some(ValueKind::I64(number)),
                Err(_) => self.refuse(line, format!("{key}: the number is out of range")),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Some(ValueKind::Float(number)),
                Err(_) => self.refuse(line, format!("{key}: the number is out of range")),
            },
            DeValue::Table(table) => Some(ValueKind::Table(self.table(table, key))),
            DeValue::Array(list) => {
                let list = list.into_iter().filter_map(|value| self.element(value, key)).collect();
                Some(ValueKind::Array(list))
            }
        }
    }

    /// An element of a list counts as one table further in, so that lists in lists come to an end as well.
    fn element(&mut self, value: Spanned<DeValue<'_>>, list: &Key) -> Option<Value> {
        let line = self.lines.at(value.span().start);
        let key = list.child("[]");
        if DEPTH_MAX < key.parts().len() {
            return self.refuse(line, "too many lists in one another: no setting is so deep".into());
        }
        self.value(value, &key, line).map(|kind| Value::new(None, kind))
    }

    fn refuse<T>(&mut self, line: usize, what: String) -> Option<T> {
        self.mistakes.push((Some(line), what));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::key::is_bare;

    #[test]
    fn each_setting_has_the_line_of_its_key() {
        let text = "a = 1\r\n\n[b]\nc = [\n 1,\n]\n[tenants.x.poll]\nd.e = { f = 2 }\n";
        let located = parse(Path::new("x.toml"), text).expect("valid");
        let line = |key: &str| {
            let wanted = Key::of(key.split('.'));
            located
                .places
                .iter()
                .chain(&located.tables)
                .find(|(key, _)| *key == wanted)
                .map(|(_, place)| place.to_string())
        };
        for (key, place) in [("a", 1), ("b.c", 4), ("tenants.x.poll", 7), ("tenants.x.poll.d.e.f", 8)] {
            assert_eq!(line(key), Some(format!("x.toml:{place}")), "{key}");
        }
        assert!(located.places.iter().all(|(key, _)| key.parts().iter().all(|part| is_bare(part))));
    }

    #[test]
    fn keys_and_lists_too_deep_for_any_stack_are_refused() {
        let check = |text: String| assert!(parse(Path::new("x.toml"), &text).is_err());
        check(format!("a{} = 1", ".a".repeat(400_000)));
        check(format!("a = {}{}", "[".repeat(60), "]".repeat(60)));
        check(format!("a = {}{}", "[".repeat(400_000), "]".repeat(400_000)));
        check(format!("a = {}1{}", "{ a = ".repeat(60), "}".repeat(60)));
    }
}
