//! Times on the source's clock, exact to the 100 ns tick. Never compared as text, never taken from our own clock.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const TICKS_PER_SECOND: u64 = 10_000_000;

/// A time on the source's clock: 100 ns ticks since 1970-01-01T00:00:00Z.
///
/// The API writes 0 to 7 fraction digits with trailing zeros cut (.NET `DateTimeOffset`), so `…57Z`, `…57.29Z` and
/// `…57.2933333Z` stand side by side and sort wrongly as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// Why a text is no [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time such as 2026-11-21T10:00:00.1234567Z ({why})")]
pub struct TimestampError {
    text: String,
    why: String,
}

impl Timestamp {
    /// A time from 100 ns ticks since 1970.
    pub const fn from_ticks(ticks: u64) -> Self {
        Self(ticks)
    }

    /// 100 ns ticks since 1970.
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// A time from whole seconds since 1970; saturates at the end of the range.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(TICKS_PER_SECOND))
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> u64 {
        self.0 / TICKS_PER_SECOND
    }

    /// The same time with the fraction of its second cut off. Bounds of queries are whole seconds, so a server that
    /// shortens literals cannot move them.
    pub const fn floor_to_second(self) -> Self {
        Self(self.0 - self.0 % TICKS_PER_SECOND)
    }

    /// This time less `by`, not before 1970.
    pub fn earlier(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(ticks_in(by)))
    }

    /// This time plus `by`, saturating.
    pub fn later(self, by: Duration) -> Self {
        Self(self.0.saturating_add(ticks_in(by)))
    }

    /// How long after `earlier` this is; zero where it is not.
    pub fn since(self, earlier: Self) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0);
        Duration::new(ticks / TICKS_PER_SECOND, (ticks % TICKS_PER_SECOND) as u32 * 100)
    }

    /// The text with six fraction digits, as RFC 5424 section 6.2.3 allows at most.
    pub fn to_micros_text(self) -> String {
        let text = self.to_string();
        format!("{}Z", &text[..text.len() - 2])
    }
}

fn ticks_in(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos() / 100).unwrap_or(u64::MAX)
}

/// RFC 3339 with an offset. Digits beyond the seventh are cut, never rounded up: a bound that is sent back is never
/// later than what was read.
impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let fail =
            |why: &dyn fmt::Display| TimestampError { text: text.chars().take(64).collect(), why: why.to_string() };
        let time = with_nine_digits(text).parse::<jiff::Timestamp>().map_err(|error| fail(&error))?;
        let nanos = u128::try_from(time.as_nanosecond()).map_err(|_| fail(&"it lies before 1970"))?;
        u64::try_from(nanos / 100).map(Self).map_err(|_| fail(&"it lies too far ahead"))
    }
}

/// The text without the digits of a fraction beyond the ninth, which jiff refuses.
fn with_nine_digits(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(['.', ',']).map(|separator| separator + 1) else { return Cow::Borrowed(text) };
    let count = text[first..].bytes().take_while(u8::is_ascii_digit).count();
    match count <= 9 {
        true => Cow::Borrowed(text),
        false => Cow::Owned([&text[..first + 9], &text[first + count..]].concat()),
    }
}

/// Always seven fraction digits and `Z`, the form of .NET's `ToString("o")` that the API is known to take.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.seconds()).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_second(seconds) {
            Ok(time) => write!(f, "{}.{:07}Z", time.strftime("%Y-%m-%dT%H:%M:%S"), self.0 % TICKS_PER_SECOND),
            Err(_) => write!(f, "9999-12-31T23:59:59.9999999Z"),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In stored forms: the number of ticks.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(text.parse::<Timestamp>().ok().map(Timestamp::ticks), expected, "{text}");
    }

    #[test]
    fn every_spelling_of_the_api_is_read_to_the_tick() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("1970-01-01T00:00:01Z", Some(10_000_000));
        check("1970-01-01T00:00:01.3Z", Some(13_000_000));
        check("1970-01-01T00:00:01.29Z", Some(12_900_000));
        check("1970-01-01T00:00:01.2900000Z", Some(12_900_000));
        check("1970-01-01T00:00:01.0733333Z", Some(10_733_333));
        check("1970-01-01T00:00:01.07333339Z", Some(10_733_333));
        check("1970-01-01T00:00:01.073333399999Z", Some(10_733_333));
        check("1970-01-01T02:00:01.5+02:00", Some(15_000_000));
        check("1970-01-01T00:00:01,5Z", Some(15_000_000));
        check("2020-09-06T12:07:55.32Z", Some(15_993_940_753_200_000));
        check("9999-12-30T21:59:59.9999999Z", Some(253_402_207_199 * 10_000_000 + 9_999_999));
    }

    #[test]
    fn what_is_no_time_is_an_error_and_no_panic() {
        for text in [
            "",
            "Z",
            "T",
            "2026-11-21",
            "2026-11-21T10:00:00",
            "2026-11-21T10:00:00.Z",
            "2026-11-21T10:00.5Z",
            "2026-11-21T10:00:00.12x4Z",
            "2026-13-21T10:00:00Z",
            "1969-12-31T23:59:59Z",
            "0001-01-01T00:00:00Z",
            "99999-01-01T00:00:00Z",
            "1970-01-01T00:00:01.é+",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn text_order_is_wrong_where_ours_is_right() {
        let (early, late) = ("2026-01-01T00:00:57Z", "2026-01-01T00:00:57.29Z");
        assert!(early > late, "as text");
        assert!(early.parse::<Timestamp>().expect("a time") < late.parse().expect("a time"));
    }

    #[test]
    fn six_digits_for_syslog_are_cut_and_not_rounded() {
        let time: Timestamp = "2026-01-01T00:00:57.1234569Z".parse().expect("a time");
        assert_eq!(time.to_micros_text(), "2026-01-01T00:00:57.123456Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ticks in 0u64..2_534_022_071_999_999_999) {
            let time = Timestamp::from_ticks(ticks);
            prop_assert_eq!(time.to_string().parse::<Timestamp>().expect("our own text"), time);
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
