//! Durations and sizes as people write them in the configuration: always with a unit.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration with its unit, such as `"30s"`, `"5m"`, `"1h 30m"`, `"7d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

/// A size in bytes with its unit, such as `"10 MiB"`, `"64KiB"`, `"1 GB"`, `"512 B"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

/// Units of [`Size`], largest first so that a whole number of one is shown in it.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// What [`Span`] reads, as a pattern of JSON Schema: what `humantime` does, blanks between digits included. How large a number may
/// be, and how exact a part of a month, is left to the reading.
const SPAN: &str = concat!(
    r"^(?:0|\s*(?:[0-9][0-9\s]*(?:(?:\.\s*[0-9][0-9\s]*)?",
    r"(?:usec|us|µs|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h",
    r"|days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y)",
    r"|nanos|nsec|ns)\s*)+)$"
);
/// What [`Size`] reads, likewise.
const SIZE: &str = r"^[0-9]+\s*(?:[KkMmGgTt][Ii]?)?[Bb]$";

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl Size {
    /// So many MiB.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| format!("{text:?} is no duration with a unit, such as \"30s\" or \"7d\""))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size with a unit, such as \"10 MiB\" or \"512 B\"");
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
        let unit = unit.trim_start();
        let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?;
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor)).map(Self).ok_or_else(wrong)
    }
}

/// In days and smaller units: a month is no fixed time.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        let parts = [
            (seconds / 86_400, "d"),
            (seconds / 3600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (u64::from(nanos / 1_000_000), "ms"),
            (u64::from(nanos / 1000 % 1000), "us"),
            (u64::from(nanos % 1000), "ns"),
        ];
        let shown: Vec<String> =
            parts.iter().filter(|(count, _)| *count != 0).map(|(count, unit)| format!("{count}{unit}")).collect();
        f.write_str(if shown.is_empty() { "0s" } else { "" })?;
        f.write_str(&shown.join(" "))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) =
            UNITS.iter().find(|(_, factor)| 0 < self.0 && self.0.is_multiple_of(*factor)).unwrap_or(&("B", 1));
        write!(f, "{} {unit}", self.0 / factor)
    }
}

macro_rules! text_form {
    ($type:ident, $pattern:expr, $examples:expr) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "examples": $examples })
            }
        }
    };
}
text_form!(Span, SPAN, ["30s", "1h 30m", "7d"]);
text_form!(Size, SIZE, ["10 MiB", "64 KiB", "1 GB"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_with_their_unit() {
        let check = |text: &str, bytes: u64, shown: &str| {
            let size: Size = text.parse().expect(text);
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
        };
        check("10 MiB", 10 << 20, "10 MiB");
        check("64KiB", 64 << 10, "64 KiB");
        check("1 GB", 1_000_000_000, "1 GB");
        check("1500 b", 1500, "1500 B");
        check("0 B", 0, "0 B");
        for text in ["10", "MiB", "1.5 MiB", "-1 B", "10 parsecs", "", "99999999999999999 TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_read_and_written_with_their_unit() {
        let check = |text: &str, seconds: u64, shown: &str| {
            let span: Span = text.parse().expect(text);
            assert_eq!((span.0.as_secs(), span.to_string().as_str()), (seconds, shown));
        };
        check("30s", 30, "30s");
        check("90s", 90, "1m 30s");
        check("7d", 604_800, "7d");
        check("180d", 15_552_000, "180d");
        check("0s", 0, "0s");
        check("1day 2h 3min", 93_780, "1d 2h 3m");
        for text in ["30", "", "-1s", "soon"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
