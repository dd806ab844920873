//! Collects what is wrong, and knows where each setting was made. It decides nothing about settings.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::key::Key;
use crate::config::problem::{Place, Problem, Problems, Severity};

/// Where settings were made, by layer: the files in their order, then the environment.
#[derive(Debug, Default)]
pub(crate) struct Index(BTreeMap<Key, (usize, Place)>);

impl Index {
    /// This setting is (also) made here; the last layer counts, because its value does.
    pub(crate) fn setting(&mut self, key: Key, layer: usize, place: Place) {
        self.0.insert(key, (layer, place));
    }

    /// This table is (also) here; the first layer counts, because that is where what is missing in it would be looked for.
    pub(crate) fn table(&mut self, key: Key, layer: usize, place: Place) {
        self.0.entry(key).or_insert((layer, place));
    }

    /// The layer that this very setting comes from.
    pub(crate) fn layer(&self, key: &Key) -> Option<usize> {
        self.0.get(key).map(|(layer, _)| *layer)
    }

    /// Where a setting is made or, where it is missing, the table around it.
    fn place(&self, key: &Key) -> (usize, Place) {
        let mut around = Some(key.clone());
        while let Some(key) = around {
            if let Some(found) = self.0.get(&key) {
                return found.clone();
            }
            around = key.parent();
        }
        (usize::MAX, Place::None)
    }
}

/// Everything that was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Where settings were made.
    pub(crate) index: Index,
    /// A layer could not be read, so what is missing may well be in there: nothing is reported as missing.
    pub(crate) partial: bool,
    found: Vec<(usize, Problem)>,
    wrong: BTreeSet<Key>,
    warned: BTreeSet<(Key, String)>,
}

impl Report {
    /// A setting that the daemon cannot start with. Only the first about a setting counts: what follows from a mistake is
    /// no second mistake.
    pub(crate) fn error(&mut self, key: &Key, what: impl Into<String>, remedy: Option<String>) {
        if self.wrong.insert(key.clone()) {
            self.push(Severity::Error, key, what.into(), remedy);
        }
    }

    /// A setting that is not made and has to be.
    pub(crate) fn missing(&mut self, key: &Key, remedy: Option<String>) {
        if !self.partial {
            self.error(key, "missing", remedy);
        }
    }

    /// A setting that somebody should look at.
    pub(crate) fn warning(&mut self, key: &Key, what: impl Into<String>, remedy: Option<String>) {
        let what = what.into();
        if self.warned.insert((key.clone(), what.clone())) {
            self.push(Severity::Warning, key, what, remedy);
        }
    }

    /// Something about a layer as such.
    pub(crate) fn layer_error(&mut self, layer: usize, place: Place, what: impl Into<String>, remedy: Option<String>) {
        let problem = Problem { severity: Severity::Error, place, key: String::new(), what: what.into(), remedy };
        self.found.push((layer, problem));
    }

    /// Whether this setting is known to be wrong.
    pub(crate) fn is_wrong(&self, key: &Key) -> bool {
        self.wrong.contains(key)
    }

    /// Whether something was said of this setting that is no mistake.
    pub(crate) fn is_warned(&self, key: &Key) -> bool {
        self.warned.iter().any(|(warned, _)| warned == key)
    }

    /// Whether this table, or something in it, is known to be wrong.
    pub(crate) fn is_wrong_below(&self, key: &Key) -> bool {
        self.wrong.range(key..).next().is_some_and(|wrong| wrong.parts().starts_with(key.parts()))
    }

    /// The warnings where there is nothing else, otherwise everything.
    pub(crate) fn conclude(mut self) -> Result<Vec<Problem>, Problems> {
        self.found.sort_by_key(|(layer, problem)| (*layer, line(&problem.place)));
        let failed = self.found.iter().any(|(_, problem)| problem.severity == Severity::Error);
        let problems = self.found.into_iter().map(|(_, problem)| problem).collect();
        match failed {
            true => Err(Problems(problems)),
            false => Ok(problems),
        }
    }

    fn push(&mut self, severity: Severity, key: &Key, what: String, remedy: Option<String>) {
        let (layer, place) = self.index.place(key);
        self.found.push((layer, Problem { severity, place, key: key.to_string(), what, remedy }));
    }
}

fn line(place: &Place) -> usize {
    match place {
        Place::File { line, .. } => line.unwrap_or(0),
        Place::Env { .. } | Place::None => 0,
    }
}
