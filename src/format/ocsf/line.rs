//! JSON on one line for any reader: U+0085, U+2028 and U+2029 are escaped too, which end a line for some of them. It changes
//! no value.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// One record.
pub(in crate::format::ocsf) fn line(record: &impl Serialize, capacity: usize) -> Vec<u8> {
    let mut line = Vec::with_capacity(capacity);
    let mut serializer = serde_json::Serializer::with_formatter(&mut line, OneLine);
    record.serialize(&mut serializer).expect("texts and numbers go into memory without fail");
    line
}

/// Compact, and with those three escaped.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        // All three begin with one of these bytes, which most texts do not have.
        while let Some(at) = rest.bytes().position(|byte| matches!(byte, 0xc2 | 0xe2)) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let Some(character) = from.chars().next() else { break };
            let (this, behind) = from.split_at(character.len_utf8());
            match character {
                '\u{85}' => writer.write_all(br"\u0085")?,
                '\u{2028}' => writer.write_all(br"\u2028")?,
                '\u{2029}' => writer.write_all(br"\u2029")?,
                _ => writer.write_all(this.as_bytes())?,
            }
            rest = behind;
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_ends_a_line_somewhere_is_escaped() {
        let written = line(&"é\u{85}â\u{2028}\u{2029}\u{a0}€\n\u{b}\u{1c}x", 0);
        assert_eq!(
            String::from_utf8(written).expect("UTF-8"),
            r#""é\u0085â\u2028\u2029 €\n\u000b\u001cx""#.replace(' ', "\u{a0}")
        );
    }

    proptest! {
        #[test]
        fn no_value_is_changed(text in "[\\PC\u{85}\u{2028}\u{2029}\u{202e}\\x00-\\x1f]*") {
            let written = String::from_utf8(line(&text, 0)).expect("UTF-8");
            prop_assert_eq!(written.find(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']), None);
            prop_assert_eq!(serde_json::from_str::<String>(&written).expect("a string"), text);
        }
    }
}
