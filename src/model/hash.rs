//! The canonical content hash: what an incident says, whatever order it is said in. It must never change between releases,
//! because `event_id` carries it and receivers deduplicate on that.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::model::parts::{Parts, elements};

/// Members that move by themselves, without anybody or anything having touched the incident. They sit on the devices of an
/// alert and follow the device's day.
pub const VOLATILE_MEMBERS: [&str; 5] =
    ["healthStatus", "riskScore", "lastSeen", "defenderAvStatus", "onboardingStatus"];

/// Annotations that say something of the answer and nothing of the incident, also of one of its members (`alerts@odata.context`):
/// they differ between an incident that was listed whole and the same one put together from its parts. What else is annotated,
/// such as `@odata.type`, counts.
pub const ANNOTATIONS: [&str; 3] = ["@odata.context", "@odata.nextLink", "@odata.count"];

/// The first 64 bits of SHA-256 over the canonical form of a JSON value.
///
/// Canonical: objects by sorted keys without [`VOLATILE_MEMBERS`] and without [`ANNOTATIONS`], arrays sorted by the canonical form of their elements. Where a value cannot be brought into that form (a
/// number beyond `f64`, a lone surrogate, a depth over 128), the hash is over its bytes as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(u64);

impl ContentHash {
    /// The hash of one JSON value.
    pub fn of(json: &str) -> Self {
        Self::with_alerts(json).0
    }

    /// The hash of an incident, and those of its alerts in the order in which they stand.
    pub fn with_alerts(json: &str) -> (Self, Vec<AlertHash>) {
        let mut form = Form { bytes: Vec::with_capacity(json.len()), ..Form::default() };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let understood = Canonical(&mut form).deserialize(&mut deserializer).and_then(|()| deserializer.end());
        if understood.is_err() {
            let parts = Parts::of(json);
            let alerts = elements(parts.as_ref().and_then(|parts| parts.get("alerts")));
            return (Self(first_bits(json.as_bytes())), alerts.into_iter().map(AlertHash::of).collect());
        }
        (Self(first_bits(&form.bytes)), form.alerts)
    }

    /// From its 64 bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// The first eight hex digits, as `event_id` shows them.
impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 32)
    }
}

/// The first 32 bits of the hash of one alert: enough to see that it says something else than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertHash(pub u32);

impl AlertHash {
    fn of(json: &str) -> Self {
        Self((ContentHash::of(json).0 >> 32) as u32)
    }
}

/// The first 64 bits of SHA-256.
fn first_bits(bytes: &[u8]) -> u64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let first: [u8; 8] = digest.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes");
    u64::from_be_bytes(first)
}

/// A canonical form while it grows: one piece of memory for all levels, put in order level by level.
#[derive(Default)]
struct Form {
    bytes: Vec<u8>,
    /// The members or elements of every level that is open, innermost last.
    parts: Vec<Part>,
    /// Where parts are put in order.
    ordered: Vec<u8>,
    /// Objects that are open.
    depth: usize,
    /// The value that comes next is that of the outermost `alerts`.
    at_alerts: bool,
    /// The elements of it.
    alerts: Vec<AlertHash>,
}

/// A member or an element in [`Form::bytes`], with the comma behind it.
struct Part {
    whole: Range<usize>,
    /// What it is sorted by: the text of the key, or all of an element but its comma.
    by: Range<usize>,
}

impl Form {
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
struct Canonical<'a>(&'a mut Form);

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

/// Whether a member of this name says something of the incident.
fn counts(key: &str) -> bool {
    // Most have no `@`.
    let is_plain = !key.contains('@');
    !VOLATILE_MEMBERS.contains(&key) && (is_plain || !is_of_answer(key))
}

fn is_of_answer(key: &str) -> bool {
    key.starts_with("@odata.context") || ANNOTATIONS.iter().any(|end| key.ends_with(end))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn same(left: &str, right: &str) {
        assert_eq!(ContentHash::of(left), ContentHash::of(right), "{left} {right}");
    }

    fn differ(left: &str, right: &str) {
        assert_ne!(ContentHash::of(left), ContentHash::of(right), "{left} {right}");
    }

    #[test]
    fn alerts_have_hashes_of_their_own() {
        let hashes = |json: &str| ContentHash::with_alerts(json).1;
        let both = hashes(r#"{"x":{"alerts":[7]},"alerts":[{"a":[1,2]},{"b":1,"riskScore":2}],"y":[1]}"#);
        assert_eq!(both, [r#"{"a":[2,1]}"#, r#"{"b":1}"#].map(AlertHash::of));
        assert_eq!(hashes(r#"{"alerts":[{"b":1,"riskScore":9},{"a":[2,1]}],"z":1e999}"#), [both[1], both[0]]);
        assert_eq!(hashes(r#"{"alerts":{"a":1},"b":[{"alerts":[1]}]}"#), []);
    }

    #[test]
    fn order_and_volatile_members_do_not_count() {
        same(r#"{"a":1,"b":[1,2]}"#, r#"{ "b" : [2, 1], "a": 1 }"#);
        same(r#"{"alerts":[{"devices":[{"riskScore":"High"}]}]}"#, r#"{"alerts":[{"devices":[{"riskScore":"Low"}]}]}"#);
        same(r#"{"@odata.context":"x","a":1}"#, r#"{"a":1}"#);
        same(
            r#"{"alerts@odata.context":"x","alerts":[{"b":[1]}],"alerts@odata.count":1,"alerts@odata.nextLink":"y"}"#,
            r#"{"alerts":[{"b":[1],"b@odata.count":1}]}"#,
        );
        same(r#"{"a":"\u00e9"}"#, r#"{"a":"é"}"#);
    }

    #[test]
    fn everything_else_counts() {
        differ(r#"{"a":1}"#, r#"{"a":"1"}"#);
        differ(r#"{"a":null}"#, r#"{}"#);
        differ(r#"["a","b"]"#, r#"["a,1\"b"]"#);
        differ(r#"{"a":{"b":1}}"#, r#"{"a":{},"b":1}"#);
        differ(r#"{"a":[]}"#, r#"{"a":{}}"#);
        differ(r#"[[1],[2]]"#, r#"[[1,2],[]]"#);
        differ(r##"{"@odata.type":"#a"}"##, r##"{"@odata.type":"#b"}"##);
        differ(r#"{"alerts@odata.counts":1}"#, "{}");
    }

    #[test]
    fn what_has_no_canonical_form_is_hashed_as_it_came() {
        same(r#"{"a":1e999}"#, r#"{"a":1e999}"#);
        differ(r#"{"a":1e999}"#, r#"{"a":2e999}"#);
        differ(r#"{"a":"\ud800"}"#, r#"{"a":"\ud801"}"#);
        let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        differ(&deep(300), &deep(301));
    }

    #[test]
    fn the_hash_is_the_same_in_every_release() {
        // Reckoned independently from the definition on `ContentHash`.
        let json =
            r#"{"incidentId":924565,"status":"Active","tags":["b","a"],"alerts":[],"score":1.5,"assignedTo":null}"#;
        assert_eq!(ContentHash::of(json).to_string(), "49231238");
    }

    /// The definition on [`ContentHash`] in plain words: slow, and what the fast way is held against.
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

    #[test]
    fn of_members_with_one_key_the_last_counts() {
        same(r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2,"a":3}"#);
        same(r#"{"a":1,"a":3}"#, r#"{"a":3}"#);
        same(r#"{"a":1,"a":1e2,"a":[2,1]}"#, r#"{"a":[1,2]}"#);
    }
}
