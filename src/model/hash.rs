//! The canonical content hash: what an incident says, whatever order it is said in. It must never change between releases,
//! because `event_id` carries it and receivers deduplicate on that.

mod canonical;

use std::fmt;

use serde::de::DeserializeSeed;
use serde::{Deserialize, Serialize};

use crate::model::hash::canonical::{Canonical, Form};
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
        let mut form = Form::with_room(json.len());
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

    #[test]
    fn of_members_with_one_key_the_last_counts() {
        same(r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2,"a":3}"#);
        same(r#"{"a":1,"a":3}"#, r#"{"a":3}"#);
        same(r#"{"a":1,"a":1e2,"a":[2,1]}"#, r#"{"a":[1,2]}"#);
    }
}
