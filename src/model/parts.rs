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

    /// The same with another value of this member, at its place, or at the end. Of several of this name it takes the place of all.
    pub fn with(mut self, name: &'static str, quoted: &'static str, value: String) -> Self {
        match self.0.iter().rposition(|(known, _)| is(known, name)) {
            Some(last) => {
                self.0[last].1 = value.into();
                let mut at = 0..;
                self.0.retain(|(known, _)| at.next() == Some(last) || !is(known, name));
            }
            None => self.0.push((quoted, value.into())),
        }
        self
    }

    /// The text of the object before and behind the value of a member.
    pub fn around(&self, name: &str) -> Option<(String, String)> {
        let at = self.0.iter().rposition(|(known, _)| is(known, name))?;
        let size = |(name, value): &(&str, Cow<'_, str>)| name.len() + value.len() + 2;
        let start = self.0[..at].iter().map(size).sum::<usize>() + self.0[at].0.len() + 2;
        let mut before = self.text();
        let behind = before.split_off(start + self.0[at].1.len());
        before.truncate(start);
        Some((before, behind))
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

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{ "a" : 1, "b":[1.50], "a":{"a":2} ,"c":null}"#;

    #[test]
    fn a_member_takes_the_place_of_all_of_its_name() {
        let with = |name, quoted| Parts::of(JSON).expect("an object").with(name, quoted, "7".into()).text();
        assert_eq!(with("a", "\"a\""), r#"{"b":[1.50],"a":7,"c":null}"#);
        assert_eq!(with("b", "\"b\""), r#"{"a":1,"b":7,"a":{"a":2},"c":null}"#);
        assert_eq!(with("d", "\"d\""), r#"{"a":1,"b":[1.50],"a":{"a":2},"c":null,"d":7}"#);
    }

    #[test]
    fn what_is_around_a_value_is_all_but_the_value() {
        let parts = Parts::of(JSON).expect("an object");
        for name in ["a", "b", "c"] {
            let (before, behind) = parts.around(name).expect("a member");
            assert_eq!(format!("{before}{}{behind}", parts.get(name).expect("a value")), parts.text(), "{name}");
        }
        assert_eq!(parts.around("d"), None);
    }
}
