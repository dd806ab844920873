//! The canonical content hash: what an incident says, whatever order it is said in. It must never change between releases,
//! because `event_id` carries it and receivers deduplicate on that.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Members that move by themselves, without anybody or anything having touched the incident. They sit on the devices of an
/// alert and follow the device's day.
pub const VOLATILE_MEMBERS: [&str; 5] =
    ["healthStatus", "riskScore", "lastSeen", "defenderAvStatus", "onboardingStatus"];

/// The first 64 bits of SHA-256 over the canonical form of a JSON value.
///
/// Canonical: objects by sorted keys without [`VOLATILE_MEMBERS`] and without annotations (`@odata.context` and its
/// like), arrays sorted by the canonical form of their elements. Where a value cannot be brought into that form (a
/// number beyond `f64`, a lone surrogate, a depth over 128), the hash is over its bytes as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(u64);

impl ContentHash {
    /// The hash of one JSON value.
    pub fn of(json: &str) -> Self {
        let mut canonical = Vec::with_capacity(json.len());
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let understood = Canonical(&mut canonical).deserialize(&mut deserializer).and_then(|()| deserializer.end());
        let bytes = if understood.is_ok() { &canonical } else { json.as_bytes() };
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let first: [u8; 8] = digest.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes");
        Self(u64::from_be_bytes(first))
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

/// Appends the canonical form of what it deserialises.
struct Canonical<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Canonical<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Canonical<'_> {
    fn scalar(&mut self, text: impl fmt::Display) {
        use std::io::Write;
        write!(self.0, "{text}").expect("a Vec takes every write");
    }
}

impl<'de> Visitor<'de> for Canonical<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.scalar(value);
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.scalar(value);
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.scalar(value);
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.scalar(value);
        Ok(())
    }

    fn visit_unit<E>(mut self) -> Result<(), E> {
        self.scalar("null");
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        // The length in front makes every text unambiguous without escaping.
        self.scalar(format_args!("{}\"", value.len()));
        self.0.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut forms = Vec::new();
        let mut form = Vec::new();
        while elements.next_element_seed(Canonical(&mut form))?.is_some() {
            forms.push(std::mem::take(&mut form));
        }
        forms.sort_unstable();
        self.0.push(b'[');
        for form in forms {
            self.0.extend_from_slice(&form);
            self.0.push(b',');
        }
        self.0.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut forms = BTreeMap::new();
        while let Some(key) = members.next_key::<String>()? {
            let mut form = Vec::new();
            members.next_value_seed(Canonical(&mut form))?;
            if !VOLATILE_MEMBERS.contains(&key.as_str()) && !key.starts_with("@odata.context") {
                forms.insert(key, form);
            }
        }
        self.0.push(b'{');
        for (key, form) in forms {
            Canonical(&mut *self.0).scalar(format_args!("{}\"{key}:", key.len()));
            self.0.extend_from_slice(&form);
            self.0.push(b',');
        }
        self.0.push(b'}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &str, right: &str) {
        assert_eq!(ContentHash::of(left), ContentHash::of(right), "{left} {right}");
    }

    fn differ(left: &str, right: &str) {
        assert_ne!(ContentHash::of(left), ContentHash::of(right), "{left} {right}");
    }

    #[test]
    fn order_and_volatile_members_do_not_count() {
        same(r#"{"a":1,"b":[1,2]}"#, r#"{ "b" : [2, 1], "a": 1 }"#);
        same(r#"{"alerts":[{"devices":[{"riskScore":"High"}]}]}"#, r#"{"alerts":[{"devices":[{"riskScore":"Low"}]}]}"#);
        same(r#"{"@odata.context":"x","a":1}"#, r#"{"a":1}"#);
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
}
