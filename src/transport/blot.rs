//! Text of the far side on its way to people: without our secrets, whatever became of them there, and in one line. Some proxies
//! put the whole request into their error page, cut, escaped or encoded.

use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::model::digest::beginning;
use crate::model::page::excerpt;

/// Bytes of a secret in a row that are no accident. A shorter secret is looked for as a whole.
const PIECE_MIN: usize = 12;
/// A shorter one is no secret, and cannot be told from any word.
const SECRET_MIN: usize = 4;
/// Bytes of a text that are looked through; far more than is ever shown.
const TEXT_MAX: usize = 64 * 1024;
/// What stands for a secret.
const BLOT: &str = "***";

/// What must not be shown.
#[derive(Default)]
pub struct Blot {
    /// The secrets, and what base64 makes of them, in small letters: names of hosts come back in these.
    needles: Vec<Zeroizing<Vec<u8>>>,
}

/// One byte as somebody may have meant it, and where it stands.
type Unit = (u8, usize, usize);

/// How many bytes of the text were read, and which they mean. None where the first means itself.
type Meaning = Option<(usize, Vec<u8>)>;

/// A way of writing bytes as others.
struct Code {
    /// What it is known by; nothing of it can be in a text without these.
    signs: &'static [u8],
    read: fn(&[Unit]) -> Meaning,
}

const NONE: Code = Code { signs: b"", read: |_| None };
const JSON: Code = Code { signs: b"\\", read: json };
const HTML: Code = Code { signs: b"&", read: html };
const PERCENT: Code = Code { signs: b"%", read: percent };
const FORM: Code = Code { signs: b"%+", read: form };

impl Blot {
    /// Looks for these.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut blot = Self::default();
        secrets.into_iter().for_each(|secret| blot.add(secret));
        blot
    }

    /// Looks for this too.
    pub fn add(&mut self, secret: &SecretString) {
        let bytes = secret.expose_secret().as_bytes();
        if SECRET_MIN <= bytes.len() {
            self.needles.push(Zeroizing::new(bytes.to_ascii_lowercase()));
            (0..3).for_each(|shift| self.needles.extend(in_base64(bytes, shift)));
        }
    }

    /// The beginning of a text for a message: without secrets, without control characters.
    pub fn words(&self, text: &str) -> String {
        excerpt(self.out(text).trim())
    }

    /// A text without the secrets and without long pieces of them. What is behind the first 64 KiB is left out.
    pub fn out(&self, text: &str) -> String {
        let text = beginning(text, TEXT_MAX);
        let plain: Vec<Unit> = text.bytes().enumerate().map(|(at, byte)| (byte, at, at + 1)).collect();
        let mut is_secret = vec![false; text.len()];
        let pieces = self.pieces();
        for outer in [&NONE, &JSON, &HTML] {
            let Some(units) = outer.decoded(&plain) else { continue };
            for inner in [&NONE, &PERCENT, &FORM, &HTML] {
                if let Some(units) = inner.decoded(&units) {
                    mark(&units, &pieces, &mut is_secret);
                }
            }
        }
        let mut left = String::with_capacity(text.len());
        let mut is_blotted = false;
        for (at, c) in text.char_indices() {
            let is_hit = is_secret[at..at + c.len_utf8()].contains(&true);
            match (is_hit, is_blotted) {
                (false, _) => left.push(c),
                (true, false) => left.push_str(BLOT),
                (true, true) => {}
            }
            is_blotted = is_hit;
        }
        left
    }

    /// The pieces of all needles, by their length.
    fn pieces(&self) -> Vec<(usize, HashSet<&[u8]>)> {
        let mut pieces: Vec<(usize, HashSet<&[u8]>)> = Vec::new();
        for needle in &self.needles {
            let length = needle.len().min(PIECE_MIN);
            match pieces.iter_mut().find(|(known, _)| *known == length) {
                Some((_, known)) => known.extend(needle.windows(length)),
                None => pieces.push((length, needle.windows(length).collect())),
            }
        }
        pieces
    }
}

/// Says nothing of them.
impl fmt::Debug for Blot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blot(***)")
    }
}

/// What base64 makes of a secret in both alphabets, where so many bytes of its group stand before it: with what depends on its end, and
/// without, for where something follows. Nothing where that is too little to be told from other words.
fn in_base64(secret: &[u8], shift: usize) -> Vec<Zeroizing<Vec<u8>>> {
    let mut shifted = Zeroizing::new(vec![0; shift]);
    shifted.extend_from_slice(secret);
    let texts = [STANDARD_NO_PAD.encode(&*shifted), URL_SAFE_NO_PAD.encode(&*shifted)];
    let texts = texts.map(|text| Zeroizing::new(text.into_bytes()));
    let (start, end) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
    let parts = texts.iter().flat_map(|text| [text.get(start..), text.get(start..end)]);
    parts.flatten().filter(|part| 8 <= part.len()).map(|part| Zeroizing::new(part.to_ascii_lowercase())).collect()
}

fn mark(units: &[Unit], pieces: &[(usize, HashSet<&[u8]>)], is_secret: &mut [bool]) {
    let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(units.iter().map(|(byte, ..)| byte.to_ascii_lowercase()).collect());
    for (length, known) in pieces {
        for (at, piece) in bytes.windows(*length).enumerate().filter(|(_, piece)| known.contains(piece)) {
            let ((_, start, _), (_, _, end)) = (units[at], units[at + piece.len() - 1]);
            is_secret[start..end].fill(true);
        }
    }
}

impl Code {
    /// What the bytes mean in this code; nothing where none of them is of it.
    fn decoded(&self, units: &[Unit]) -> Option<Vec<Unit>> {
        if !self.signs.is_empty() && !units.iter().any(|(byte, ..)| self.signs.contains(byte)) {
            return None;
        }
        let mut left = units;
        let mut all = Vec::with_capacity(units.len());
        while let Some(first) = left.first() {
            match (self.read)(left) {
                Some((count, bytes)) => {
                    let end = left[count - 1].2;
                    all.extend(bytes.into_iter().map(|byte| (byte, first.1, end)));
                    left = &left[count..];
                }
                None => {
                    all.push(*first);
                    left = &left[1..];
                }
            }
        }
        Some(all)
    }
}

/// Percent-encoding (RFC 3986 section 2.1).
fn percent(units: &[Unit]) -> Meaning {
    match text_of(units, 3)?.as_str() {
        text if text.starts_with('%') => u8::from_str_radix(text.get(1..)?, 16).ok().map(|byte| (3, vec![byte])),
        _ => None,
    }
}

/// The same with `+` for a space, as in forms.
fn form(units: &[Unit]) -> Meaning {
    match units.first()?.0 {
        b'+' => Some((1, vec![b' '])),
        _ => percent(units),
    }
}

/// Escapes of JSON strings (RFC 8259 section 7).
fn json(units: &[Unit]) -> Meaning {
    if units.first()?.0 != b'\\' {
        return None;
    }
    let byte = match units.get(1)?.0 {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let unit = |at: usize| u16::from_str_radix(text_of(units.get(at..)?, 6)?.strip_prefix("\\u")?, 16).ok();
            let pair = [unit(0)?, unit(6).unwrap_or_default()];
            let c = char::decode_utf16(pair).next()?.ok()?;
            return Some((6 * c.len_utf16(), c.to_string().into_bytes()));
        }
        other => other,
    };
    Some((2, vec![byte]))
}

/// Character references of HTML, as far as a page of errors needs them.
fn html(units: &[Unit]) -> Meaning {
    const NAMES: [(&str, char); 5] = [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\'')];
    if units.first()?.0 != b'&' {
        return None;
    }
    let length = units.iter().take(10).position(|(byte, ..)| *byte == b';')?;
    let text = text_of(units, length)?;
    let c = match text.get(1..)? {
        number if number.starts_with("#x") || number.starts_with("#X") => {
            u32::from_str_radix(number.get(2..)?, 16).ok()
        }
        number if number.starts_with('#') => number.get(1..)?.parse().ok(),
        name => NAMES.iter().find(|(known, _)| *known == name).map(|(_, c)| u32::from(*c)),
    };
    c.and_then(char::from_u32).map(|c| (length + 1, c.to_string().into_bytes()))
}

/// The next bytes as a text, if they are one of ASCII.
fn text_of(units: &[Unit], count: usize) -> Option<String> {
    let bytes = units.get(..count)?.iter().map(|(byte, ..)| byte);
    bytes.map(|byte| byte.is_ascii().then(|| char::from(*byte))).collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn blot(secrets: &[&str]) -> Blot {
        let secrets: Vec<_> = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
        Blot::of(&secrets)
    }

    fn percent_of(text: &str, is_kept: impl Fn(u8) -> bool) -> String {
        text.bytes()
            .map(|byte| if is_kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
            .collect()
    }

    fn html_of(text: &str) -> String {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#x27;")
    }

    fn json_of(text: &str) -> String {
        serde_json::to_string(text).expect("JSON").trim_matches('"').replace('/', "\\/")
    }

    /// What may become of a secret on its way back.
    fn disguises(secret: &str) -> Vec<String> {
        let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let escaped: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        let base64 = |before: &str| STANDARD.encode(format!("{before}{secret} and more"));
        vec![
            secret.to_owned(),
            percent_of(secret, |byte| byte.is_ascii_alphanumeric()),
            percent_of(secret, |_| false).to_uppercase(),
            secret.to_ascii_lowercase(),
            json_of(&form),
            html_of(&form),
            form,
            html_of(secret),
            json_of(secret),
            json_of(&html_of(secret)),
            escaped,
            STANDARD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            base64(""),
            base64("x"),
            base64("xy"),
            base64("user:"),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// No long piece of a secret is left, in whatever disguise, and what is around it stays.
        #[test]
        fn a_secret_is_blotted_out_in_every_disguise(secret in "[ -~äß€\u{1F511}]{16,60}") {
            let blot = blot(&[&secret]);
            for disguised in disguises(&secret) {
                let left = blot.out(&format!("status 407: {disguised} : end"));
                prop_assert!(left.starts_with("status 407: ") && left.ends_with(" : end"), "{left}");
                let left = &left["status 407: ".len()..left.len() - " : end".len()];
                for part in left.split(BLOT) {
                    // The first and last letters of base64 hold bits of their neighbours.
                    prop_assert!(part.chars().count() < PIECE_MIN + 4, "{left:?} of {disguised:?}");
                }
                prop_assert!(left.contains(BLOT), "{left}");
            }
        }

        #[test]
        fn a_piece_of_a_secret_goes_too(secret in "[!-~]{40,60}", from in 0..20_usize, more in 0..8_usize) {
            let left = blot(&[&secret]).out(&format!("you sent {}", &secret[from..from + PIECE_MIN + more]));
            prop_assert_eq!(left, "you sent ***");
        }

        #[test]
        fn what_is_no_secret_stays_whatever_it_looks_like(text in "[ -~\\n%&;\\\\u]{0,200}") {
            prop_assert_eq!(blot(&["~~~~~~~~~~~~~~~~~~~~"]).out(&text.replace('~', "")), text.replace('~', ""));
        }
    }

    #[test]
    fn words_are_one_line_without_secrets() {
        let check =
            |secrets: &[&str], text: &str, expected: &str| assert_eq!(blot(secrets).words(text), expected, "{text}");
        check(&["s3/cr et"], "a s3/cr et b s3%2Fcr+et c s3%2Fcr%20et", "a *** b *** c ***");
        check(&["one secret", "another secret"], " one secret,another secret\r\nX: y ", "***,***\\r\\nX: y");
        check(&["abcd"], "c abcd%61%62%63%64 c", "c *** c");
        check(&["", "abc"], "abc", "abc");
        check(&[], "a\0", "a\\u{0}");
        check(&["kim:s3cret"], "you sent Basic a2ltOnMzY3JldA==", "you sent Basic ***==");
        assert_eq!(blot(&["x"]).out(&"y".repeat(100_000)).len(), TEXT_MAX);
        assert!(!format!("{:?}", blot(&["canary"])).contains("canary"));
    }
}
