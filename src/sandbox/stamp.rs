//! The times the API writes: incidents sit on the 1/300 s ticks of a SQL Server `datetime`, and trailing zeros of the
//! fraction are cut as .NET's `DateTimeOffset` does. Never the time of our own clock.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::model::timestamp::Timestamp;

/// The latest 1/300 s tick that is not after `time`.
pub const fn on_tick(time: Timestamp) -> Timestamp {
    tick((time.ticks().saturating_mul(3).saturating_add(1)) / 100_000)
}

/// The first 1/300 s tick after `time`.
pub const fn next_tick(time: Timestamp) -> Timestamp {
    tick((time.ticks().saturating_mul(3).saturating_add(1)) / 100_000 + 1)
}

/// Tick number `n` since 1970, rounded to 100 ns: `.0033333`, `.0066667`, `.01`.
const fn tick(n: u64) -> Timestamp {
    Timestamp::from_ticks((n.saturating_mul(100_000).saturating_add(1)) / 3)
}

/// Shown with 0 to 7 fraction digits, trailing zeros cut, and `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimmed(pub Timestamp);

impl fmt::Display for Trimmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digit by digit and without an allocation: a large incident holds hundreds of times.
        let seconds = i64::try_from(self.0.seconds()).unwrap_or(i64::MAX);
        let Ok(time) = jiff::Timestamp::from_second(seconds) else {
            return f.write_str("9999-12-31T23:59:59.9999999Z");
        };
        let time = jiff::tz::Offset::UTC.to_datetime(time);
        let mut text = *b"0000-00-00T00:00:00.0000000Z";
        put(&mut text[0..4], time.year().unsigned_abs().into());
        put(&mut text[5..7], time.month().unsigned_abs().into());
        put(&mut text[8..10], time.day().unsigned_abs().into());
        put(&mut text[11..13], time.hour().unsigned_abs().into());
        put(&mut text[14..16], time.minute().unsigned_abs().into());
        put(&mut text[17..19], time.second().unsigned_abs().into());
        put(&mut text[20..27], self.0.ticks() % 10_000_000);
        let kept = match text[20..27].iter().rposition(|digit| *digit != b'0') {
            Some(last) => 20 + last + 1,
            None => 19,
        };
        text[kept] = b'Z';
        f.write_str(std::str::from_utf8(&text[..=kept]).expect("digits are UTF-8"))
    }
}

/// Writes the last digits of a number.
fn put(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl Serialize for Trimmed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A time as HTTP headers write it (RFC 9110 section 5.6.7), cut to the second.
pub fn http_date(time: Timestamp) -> String {
    let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        Err(_) => "Fri, 31 Dec 9999 23:59:59 GMT".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn fractions_are_trimmed_and_seconds_are_not() {
        for text in [
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:10Z",
            "2026-01-01T10:20:30.3Z",
            "2026-01-01T10:20:30.29Z",
            "2026-01-01T10:20:30.0733333Z",
            "2026-01-01T10:20:30.0000001Z",
        ] {
            assert_eq!(Trimmed(time(text)).to_string(), text);
        }
    }

    #[test]
    fn ticks_are_thirds_of_ten_milliseconds() {
        let check = |from: &str, at: &str, next: &str| {
            assert_eq!((on_tick(time(from)), next_tick(time(from))), (time(at), time(next)), "{from}");
            assert_eq!(on_tick(time(at)), time(at), "a tick stays where it is");
        };
        check("2026-01-01T00:00:00.0033332Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.0033333Z");
        check("2026-01-01T00:00:00.0033333Z", "2026-01-01T00:00:00.0033333Z", "2026-01-01T00:00:00.0066667Z");
        check("2026-01-01T00:00:00.0099999Z", "2026-01-01T00:00:00.0066667Z", "2026-01-01T00:00:00.01Z");
        check("2026-01-01T00:00:00.999Z", "2026-01-01T00:00:00.9966667Z", "2026-01-01T00:00:01Z");
    }

    #[test]
    fn headers_have_the_date_of_rfc_9110() {
        assert_eq!(http_date(time("1994-11-06T08:49:37.9Z")), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
