//! The text of an incident taken apart at its top level, and put together again: members stay as they are, byte for byte.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of a JSON object: the name with its quotes, and the value, as they stand.
#[derive(Debug)]
pub struct Parts<'a>(Vec<(&'a str, Cow<'a, str>)>);

impl<'a> Parts<'a> {
    /// The members of this object; none where it is something else.
    pub fn of(json: &'a str) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        deserializer.deserialize_map(Members).ok()
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().rposition(|(known, _)| is(known, name))?;
        Some(&self.0[at].1)
    }

    /// Without these members.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(known, _)| !names.iter().any(|name| is(known, name)));
        self
    }

    /// The same with another value of this member, at its place, or at the end.
    pub fn with(mut self, name: &'static str, quoted: &'static str, value: String) -> Self {
        match self.0.iter().rposition(|(known, _)| is(known, name)) {
            Some(at) => self.0[at].1 = value.into(),
            None => self.0.push((quoted, value.into())),
        }
        self
    }

    /// An object of these members.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.0.iter().map(|(name, value)| name.len() + value.len() + 2).sum());
        text.push('{');
        for (at, (name, value)) in self.0.iter().enumerate() {
            if 0 < at {
                text.push(',');
            }
            text.push_str(name);
            text.push(':');
            text.push_str(value);
        }
        text.push('}');
        text
    }
}

/// The elements of a JSON array as they stand; none where it is something else.
pub fn elements(json: Option<&str>) -> Vec<&str> {
    let elements: Vec<&RawValue> = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    elements.into_iter().map(RawValue::get).collect()
}

fn is(quoted: &str, name: &str) -> bool {
    quoted.get(1..quoted.len() - 1) == Some(name)
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Parts<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = entries.next_entry::<&RawValue, &RawValue>()? {
            members.push((name.get(), Cow::Borrowed(value.get())));
        }
        Ok(Parts(members))
    }
}
