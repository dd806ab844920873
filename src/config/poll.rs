//! The keys of `[poll]` and `[quota]`: how a tenant is read and how often it is asked. Decides nothing.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::core::quota::Limits;
use crate::model::units::{Size, Span};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// How a tenant is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Poll {
    /// How often what is new is asked for.
    pub interval: Interval,
    /// How late a change may become visible and still be seen by the next sweep.
    pub overlap: Span,
    /// How often everything since the cursor is read again.
    pub sweep_every: Span,
    /// Incidents on a page at most.
    pub page_size: u32,
    /// How often `audit_window` is read again with spare quota.
    pub audit_every: Span,
    /// How far back the audit looks.
    pub audit_window: Span,
    /// How often `deep_audit_window` is read again with spare quota.
    pub deep_audit_every: Span,
    /// How far back the deep audit looks.
    pub deep_audit_window: Span,
    /// How long the last state of an incident is kept, to tell what changed.
    pub remember: Span,
    /// One page after decompression, in bytes.
    pub max_body_size: Size,
    /// One incident, in bytes; a larger one is delivered as a stub.
    pub max_incident_size: Size,
    /// One call, from connecting to the last byte.
    pub request_timeout: Span,
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            interval: Interval::Auto,
            overlap: Span::seconds(30 * 60),
            sweep_every: Span::seconds(60),
            page_size: 100,
            audit_every: Span::seconds(HOUR),
            audit_window: Span::seconds(DAY),
            deep_audit_every: Span::seconds(DAY),
            deep_audit_window: Span::seconds(30 * DAY),
            remember: Span::seconds(180 * DAY),
            max_body_size: Size::mebibytes(64),
            max_incident_size: Size::mebibytes(16),
            request_timeout: Span::seconds(60),
        }
    }
}

/// How often what is new is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interval {
    /// As often as the quota allows.
    #[default]
    Auto,
    /// So often.
    Every(Span),
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text
                .parse()
                .map(Self::Every)
                .map_err(|_| format!("{text:?} is neither \"auto\" nor a duration with a unit, such as \"30s\"")),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Every(span) => span.fmt(f),
        }
    }
}

impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Interval {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Interval".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let auto = json_schema!({ "const": "auto", "description": "As often as the quota allows." });
        json_schema!({ "type": "string", "anyOf": [auto, Span::json_schema(generator)] })
    }
}

/// How often a tenant may be asked: calls in any sliding window, of one app registration. The defaults are what Microsoft
/// documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Pages in any 60 s.
    pub list_per_minute: u32,
    /// Pages in any 3600 s.
    pub list_per_hour: u32,
    /// Single incidents in any 60 s.
    pub get_per_minute: u32,
    /// Single incidents in any 3600 s.
    pub get_per_hour: u32,
    /// The part of all these that is ours, where several daemons share one app registration.
    pub share: Share,
}

impl Quota {
    /// Our share of the list endpoint's.
    pub fn list(&self) -> Limits {
        Limits::of_list(self.share.of(self.list_per_minute), self.share.of(self.list_per_hour))
    }

    /// Our share of the get endpoint's.
    pub fn get(&self) -> Limits {
        Limits::of_get(self.share.of(self.get_per_minute), self.share.of(self.get_per_hour))
    }
}

impl Default for Quota {
    fn default() -> Self {
        let share = Share::default();
        Self { list_per_minute: 50, list_per_hour: 1500, get_per_minute: 100, get_per_hour: 1500, share }
    }
}

/// A part of a whole: above 0 and at most 1, to the millionth, so that a tenth of fifty is five.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    millionths: u32,
}

impl Share {
    const WHOLE: u32 = 1_000_000;

    /// So much of it; none for what is no share.
    pub fn new(part: f64) -> Option<Self> {
        // The guard keeps the number well within bounds.
        let is_one = 0.0 < part && part <= 1.0;
        is_one.then(|| Self { millionths: ((part * f64::from(Self::WHOLE)).round() as u32).max(1) })
    }

    /// That part of a limit, rounded down: no share takes from another.
    pub fn of(self, limit: u32) -> u32 {
        let part = u64::from(limit) * u64::from(self.millionths) / u64::from(Self::WHOLE);
        u32::try_from(part).expect("a part of a u32 is one")
    }

    /// The smallest share of a limit that leaves so much of it, as a number to write down; none where the whole does not.
    pub fn least(limit: u32, left: u32) -> Option<Self> {
        let millionths = (u64::from(left) * u64::from(Self::WHOLE)).div_ceil(u64::from(limit.max(1)));
        u32::try_from(millionths)
            .ok()
            .filter(|millionths| *millionths <= Self::WHOLE)
            .map(|millionths| Self { millionths })
    }
}

impl Default for Share {
    fn default() -> Self {
        Self { millionths: Self::WHOLE }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (f64::from(self.millionths) / f64::from(Self::WHOLE)).fmt(f)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.millionths) / f64::from(Self::WHOLE))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let part = f64::deserialize(deserializer)?;
        let why = || serde::de::Error::custom(format!("{part} is no share: a number above 0 and at most 1"));
        Self::new(part).ok_or_else(why)
    }
}

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1, "examples": [0.5] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_and_together_never_more_than_the_whole() {
        let check = |part: f64, limit: u32, expected: u32| {
            assert_eq!(Share::new(part).expect("a share").of(limit), expected, "{part} of {limit}");
        };
        check(1.0, 50, 50);
        check(0.5, 1500, 750);
        check(0.1, 50, 5);
        check(0.3, 50, 15);
        check(0.29, 100, 29);
        check(1.0 / 3.0, 1500, 499);
        check(1e-9, 1500, 0);
        check(1.0, u32::MAX, u32::MAX);
        for wrong in [0.0, -0.5, 1.000_001, 2.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::new(wrong), None, "{wrong}");
        }
        for limit in 5..3_000 {
            let least = Share::least(limit, 5).expect("the whole leaves it");
            assert!(5 <= least.of(limit), "{least} of {limit}");
        }
        assert_eq!(Share::least(4, 5), None);
    }
}
