//! Times as people write them on the command line: RFC 3339, or a look-back from now on this machine's clock.

use crate::cli::exit::{self, Exit};
use crate::model::timestamp::Timestamp;
use crate::model::units::Span;

/// Reads the value of an argument. `now` is this machine's clock: it only says what a look-back means.
pub(crate) fn read(argument: &str, text: &str, now: Timestamp) -> Result<Timestamp, Exit> {
    match (text.parse::<Span>(), text.parse::<Timestamp>()) {
        (Ok(span), _) => Ok(now.earlier(span.0)),
        (_, Ok(time)) => Ok(time),
        (Err(_), Err(_)) => Err(Exit::new(
            exit::USAGE,
            format!(
                "{argument}: {text:?} is neither a look-back such as \"2h\" nor a time such as \"2026-11-21T10:00:00Z\""
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_absolute_or_a_look_back() {
        let now = Timestamp::from_seconds(1_000_000_000);
        let check = |text: &str, expected: Option<u64>| {
            let read = read("--since", text, now).ok().map(Timestamp::seconds);
            assert_eq!(read, expected, "{text}");
        };
        check("2h", Some(1_000_000_000 - 7200));
        check("1h 30m", Some(1_000_000_000 - 5400));
        check("2001-09-09T01:46:39Z", Some(999_999_999));
        check("2001-09-09T03:46:39+02:00", Some(999_999_999));
        for text in ["", "now", "yesterday", "2001-09-09", "12"] {
            check(text, None);
        }
    }
}
