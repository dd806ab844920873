//! How long and how many, and what is valid at all: a document is refused whole for one address that is none.

use std::borrow::Cow;
// Not the network: what an address looks like.
use core::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::model::timestamp::Timestamp;

/// UTF-16 units of a keyword. Elastic's mappings leave longer ones out of the index (`ignore_above`), so a longer one is cut and
/// its beginning is found.
const KEYWORD_MAX: usize = 1024;
/// UTF-16 units of what people read: it fits the 32766 bytes at which Lucene refuses a whole document for one term, whatever the
/// mapping says.
const TEXT_MAX: usize = 8192;
/// UTF-16 units of a URL: `ignore_above` of `event.url`. A longer one is left out, because cut it leads elsewhere.
const URL_MAX: usize = 2083;
/// What stands in the place of what was cut.
const CUT: char = '…';

/// Elements of `tags`, of techniques and the like, of the lists in one change.
pub(super) const LIST_MAX: usize = 100;
/// Changes of one event.
pub(super) const CHANGES_MAX: usize = 100;
/// Comments of one incident: the last ones.
pub(super) const COMMENTS_MAX: usize = 100;
/// Alerts of one incident: the first ones.
pub(super) const ALERTS_MAX: usize = 100;
/// Devices and entities of one alert: the first ones.
pub(super) const EVIDENCE_MAX: usize = 100;
/// Elements of each list of `related`.
pub(super) const RELATED_MAX: usize = 500;

/// A date as all of them are written: RFC 3339 in UTC with seven fraction digits.
#[derive(Clone, Copy)]
pub(super) struct Date(pub(super) Timestamp);

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A text short enough for a keyword.
pub(super) fn keyword(text: &str) -> Cow<'_, str> {
    cut(text, KEYWORD_MAX)
}

/// The same of a text that may be nobody's.
pub(super) fn short(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => keyword(text),
        Cow::Owned(text) => Cow::Owned(keyword(&text).into_owned()),
    }
}

/// A text for people.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    cut(text, TEXT_MAX)
}

/// A URL, where it is not too long.
pub(super) fn url(url: &str) -> Option<&str> {
    (units(url) <= URL_MAX).then_some(url)
}

/// An address, where it is one.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// A hash, where it looks like one: 16 to 64 bytes in hex.
pub(super) fn hash(text: &str) -> Option<&str> {
    let is_hash = (32..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then_some(text)
}

/// A number that fits a `long`.
pub(super) fn long(number: u64) -> Option<u64> {
    (number <= i64::MAX.unsigned_abs()).then_some(number)
}

/// The one element, where all are the same.
pub(super) fn only<T: PartialEq>(mut elements: impl Iterator<Item = T>) -> Option<T> {
    let first = elements.next()?;
    elements.all(|other| other == first).then_some(first)
}

/// Each once, in their order, as keywords.
pub(super) fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Cow<'a, str>> {
    let mut kept: Vec<Cow<'a, str>> = Vec::new();
    for text in texts {
        if kept.len() == LIST_MAX {
            break;
        }
        let text = keyword(text);
        if !kept.contains(&text) {
            kept.push(text);
        }
    }
    kept
}

fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

fn cut(text: &str, units_max: usize) -> Cow<'_, str> {
    // A byte is at most one unit.
    if text.len() <= units_max || units(text) <= units_max {
        return Cow::Borrowed(text);
    }
    let mut room = units_max - CUT.len_utf16();
    let fits = |character: &char| {
        room.checked_sub(character.len_utf16()).is_some_and(|left| {
            room = left;
            true
        })
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push(CUT);
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        let check = |text: &str, expected: &str| assert_eq!(cut(text, 4), expected, "{text}");
        check("", "");
        check("abcd", "abcd");
        check("abcde", "abc…");
        check("äöüß", "äöüß");
        check("äöüßx", "äöü…");
        check("😀😀", "😀😀");
        check("a😀😀", "a😀…");
        check("😀😀😀", "😀…");
    }

    #[test]
    fn only_what_is_one_is_an_address_or_a_hash() {
        for (text, is) in [
            ("203.0.113.7", true),
            ("2001:db8::1", true),
            ("::ffff:203.0.113.7", true),
            ("203.0.113.7 src=198.51.100.9", false),
            ("203.0.113.07", false),
            ("203.0.113.7:443", false),
            ("fe80::1%eth0", false),
            ("203.0.113.0/24", false),
        ] {
            assert_eq!(address(text).is_some(), is, "{text}");
        }
        let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        assert_eq!((hash(sha1), hash("'; DROP"), hash("da39")), (Some(sha1), None, None));
    }

    #[test]
    fn one_is_the_only_one_where_all_others_are_the_same() {
        assert_eq!(only([1, 1].into_iter()), Some(1));
        assert_eq!(only([1, 2].into_iter()), None);
        assert_eq!(only(std::iter::empty::<u8>()), None);
    }
}
