//! The canonical form of a JSON value, whatever order it came in: what the hash is over. Appended in one pass to one buffer, and
//! moved only where it is out of order.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::model::hash::{ANNOTATIONS, AlertHash, VOLATILE_MEMBERS, first_bits};

/// A canonical form while it grows: one piece of memory for all levels, put in order level by level.
#[derive(Default)]
pub(super) struct Form {
    pub(super) bytes: Vec<u8>,
    /// The members or elements of every level that is open, innermost last.
    parts: Vec<Part>,
    /// Where parts are put in order.
    ordered: Vec<u8>,
    /// Objects that are open.
    depth: usize,
    /// The value that comes next is that of the outermost `alerts`.
    at_alerts: bool,
    /// The elements of it.
    pub(super) alerts: Vec<AlertHash>,
}

/// A member or an element in [`Form::bytes`], with the comma behind it.
struct Part {
    whole: Range<usize>,
    /// What it is sorted by: the text of the key, or all of an element but its comma.
    by: Range<usize>,
}

impl Form {
    /// Nothing yet, and room for so many bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    fn decimal(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.bytes.extend_from_slice(&digits[first..]);
    }

    /// The length in front makes every text unambiguous without escaping. Returns where the text itself is.
    fn text(&mut self, text: &str) -> Range<usize> {
        self.decimal(text.len() as u64);
        self.bytes.push(b'"');
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text.as_bytes());
        start..self.bytes.len()
    }

    /// Puts the parts from `level` on, which are the end of the bytes, in their order. Of several with the same key only the
    /// last stays, where `keyed`.
    fn arrange(&mut self, level: usize, keyed: bool) {
        let Self { bytes, parts, ordered, .. } = self;
        let by = |part: &Part| &bytes[part.by.clone()];
        let in_order = |pair: &[Part]| match by(&pair[0]).cmp(by(&pair[1])) {
            Ordering::Less => true,
            Ordering::Equal => !keyed,
            Ordering::Greater => false,
        };
        let Some(start) = parts.get(level).map(|first| first.whole.start) else { return };
        if !parts[level..].windows(2).all(in_order) {
            // Stable: the last of several is the last that came.
            parts[level..].sort_by(|left, right| by(left).cmp(by(right)));
            ordered.clear();
            for (place, part) in parts[level..].iter().enumerate() {
                let next = parts.get(level + place + 1);
                if !(keyed && next.is_some_and(|next| by(next) == by(part))) {
                    ordered.extend_from_slice(&bytes[part.whole.clone()]);
                }
            }
            bytes.truncate(start);
            bytes.extend_from_slice(ordered);
        }
        parts.truncate(level);
    }
}

/// Appends the canonical form of what it deserialises.
pub(super) struct Canonical<'a>(pub(super) &'a mut Form);

/// Appends a key with its colon. Returns where its text is, and whether its member counts.
struct Key<'a>(&'a mut Form);

impl<'de> DeserializeSeed<'de> for Canonical<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = (Range<usize>, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = (Range<usize>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let place = self.0.text(key);
        self.0.bytes.push(b':');
        Ok((place, counts(key)))
    }
}

impl<'de> Visitor<'de> for Canonical<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.bytes.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        if value < 0 {
            self.0.bytes.push(b'-');
        }
        self.0.decimal(value.unsigned_abs());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.decimal(value);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        use std::io::Write;
        write!(self.0.bytes, "{value}").expect("a Vec takes every write");
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.bytes.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.text(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let form = self.0;
        let level = form.parts.len();
        let of_alerts = std::mem::take(&mut form.at_alerts);
        if of_alerts {
            form.alerts.clear();
        }
        form.bytes.push(b'[');
        loop {
            let start = form.bytes.len();
            if elements.next_element_seed(Canonical(&mut *form))?.is_none() {
                break;
            }
            let end = form.bytes.len();
            if of_alerts {
                form.alerts.push(AlertHash((first_bits(&form.bytes[start..end]) >> 32) as u32));
            }
            form.bytes.push(b',');
            form.parts.push(Part { whole: start..end + 1, by: start..end });
        }
        form.arrange(level, false);
        form.bytes.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let form = self.0;
        let level = form.parts.len();
        form.at_alerts = false;
        form.depth += 1;
        form.bytes.push(b'{');
        loop {
            let start = form.bytes.len();
            let Some((key, counts)) = members.next_key_seed(Key(&mut *form))? else { break };
            form.at_alerts = form.depth == 1 && &form.bytes[key.clone()] == b"alerts";
            members.next_value_seed(Canonical(&mut *form))?;
            if counts {
                form.bytes.push(b',');
                form.parts.push(Part { whole: start..form.bytes.len(), by: key });
            } else {
                form.bytes.truncate(start);
            }
        }
        form.arrange(level, true);
        form.depth -= 1;
        form.bytes.push(b'}');
        Ok(())
    }
}

/// Whether a member of this name says something of the incident.
fn counts(key: &str) -> bool {
    // Most have no `@`.
    let is_plain = !key.contains('@');
    !VOLATILE_MEMBERS.contains(&key) && (is_plain || !is_of_answer(key))
}

fn is_of_answer(key: &str) -> bool {
    key.starts_with("@odata.context") || ANNOTATIONS.iter().any(|end| key.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The definition on [`ContentHash`](crate::model::hash::ContentHash) in plain words: slow, and what the fast way is held against.
    fn plain(value: &Value) -> Option<Vec<u8>> {
        let text = |text: &str| format!("{}\"{text}", text.len()).into_bytes();
        let joined = |open: &str, parts: Vec<Vec<u8>>, close: &str| {
            let parts = parts.into_iter().flat_map(|part| [part, b",".to_vec()]).collect::<Vec<_>>().concat();
            [open.as_bytes(), &parts, close.as_bytes()].concat()
        };
        Some(match value {
            Value::Null | Value::Bool(_) => value.to_string().into_bytes(),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(_), _) | (_, Some(_)) => number.to_string().into_bytes(),
                (None, None) => format!("{}", number.as_f64()?).into_bytes(),
            },
            Value::String(string) => text(string),
            Value::Array(elements) => {
                let mut forms = elements.iter().map(plain).collect::<Option<Vec<_>>>()?;
                forms.sort();
                joined("[", forms, "]")
            }
            Value::Object(members) => {
                let of_answer = |key: &str| {
                    let annotation = key.split_once("@odata.").map(|(_, rest)| rest);
                    key.starts_with("@odata.context")
                        || annotation.is_some_and(|rest| ["context", "nextLink", "count"].contains(&rest))
                };
                let counts = |key: &str| !VOLATILE_MEMBERS.contains(&key) && !of_answer(key);
                let members = members.iter().filter(|(key, _)| counts(key)).collect::<BTreeMap<_, _>>();
                let form = |(key, value): (&String, &Value)| Some([text(key), b":".to_vec(), plain(value)?].concat());
                joined("{", members.into_iter().map(form).collect::<Option<Vec<_>>>()?, "}")
            }
        })
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| serde_json::json!(number)),
            any::<u64>().prop_map(|number| serde_json::json!(number)),
            any::<f64>()
                .prop_filter("finite", |number| number.is_finite())
                .prop_map(|number| serde_json::json!(number)),
            "[0-9\",\\\\:\u{e9}a]{0,4}".prop_map(Value::String),
            (0u8..20).prop_map(|number| serde_json::json!(number)),
        ];
        let key = prop_oneof![
            "[a-c0-9\"]{0,3}",
            Just("riskScore".to_owned()),
            Just("@odata.context".to_owned()),
            "a?@odata\\.(type|count|nextLink|contexts)"
        ];
        leaf.prop_recursive(5, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
                prop::collection::vec((key.clone(), inner), 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_form_is_that_of_the_definition(value in json(), pretty in any::<bool>()) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            // As it is read back: numbers are what their text says.
            let value: Value = serde_json::from_str(&text).expect("our own text");
            let mut form = Form::default();
            let mut deserializer = serde_json::Deserializer::from_str(&text);
            Canonical(&mut form).deserialize(&mut deserializer).expect("a canonical form");
            prop_assert_eq!(Some(form.bytes), plain(&value));
        }
    }
}
