//! Texts from outside in a line of text: what CEF and LEEF have in common. No text ends a line, a field or an element of a list
//! here, none turns the reading direction, and none is longer than its field.

/// What a format makes of one character inside of one kind of field.
pub(crate) trait Rules {
    /// What stands in the place of this character.
    fn replaced(&self, character: char) -> char;

    /// How the format writes what stands there, where it does not as it is.
    fn escaped(&self, character: char) -> Option<&'static str>;

    /// Whether a field may end with it.
    fn may_end(&self, character: char) -> bool {
        !character.is_whitespace()
    }
}

/// What became of a text, with the bytes that it has without escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// Nothing was left to say.
    Nothing,
    /// It was longer than its field.
    Cut,
    /// All of it is there.
    Whole(usize),
}

/// Writes a text without the spaces around it, cut to `bytes_max` at a character and before anything is escaped: no limit parts
/// an escape from what it escapes. The documents count characters or do not say; who counts bytes is content with both.
pub(crate) fn put(out: &mut Vec<u8>, rules: &impl Rules, text: &str, bytes_max: usize) -> Put {
    let (start, mut end, mut size, mut said) = (out.len(), out.len(), 0, 0);
    let mut is_cut = false;
    for character in
        text.trim_end().chars().map(|character| rules.replaced(character)).skip_while(|c| c.is_whitespace())
    {
        size += character.len_utf8();
        if bytes_max < size {
            is_cut = true;
            break;
        }
        match rules.escaped(character) {
            Some(escape) => out.extend_from_slice(escape.as_bytes()),
            None => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        if rules.may_end(character) {
            (end, said) = (out.len(), size);
        }
    }
    out.truncate(end);
    match (end == start, is_cut) {
        (true, false) => Put::Nothing,
        (_, true) => Put::Cut,
        (false, false) => Put::Whole(said),
    }
}

/// Writes texts with commas between them, each of them whole, as far as they fit into `bytes_max`; a comma inside of one is a
/// semicolon. One that is too long does not keep out those behind it: a long name would hide everybody else's.
pub(crate) fn put_list(out: &mut Vec<u8>, rules: &impl Rules, texts: &[impl AsRef<str>], bytes_max: usize) {
    let mut used = 0;
    for text in texts {
        let before = out.len();
        let comma = usize::from(0 < used);
        if 0 < comma {
            out.push(b',');
        }
        match put(out, &Element(rules), text.as_ref(), bytes_max.saturating_sub(used + comma)) {
            Put::Whole(size) => used += comma + size,
            Put::Nothing | Put::Cut => out.truncate(before),
        }
    }
}

/// A whole number in digits.
pub(crate) fn put_number(out: &mut Vec<u8>, number: u64) {
    let (mut digits, mut first, mut rest) = ([0; 20], 20, number);
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// The character, where it can do no harm in a line. White space that is more than a space is a space; everything else that ends
/// a line or a text somewhere, steers a terminal or turns the reading direction is U+FFFD: it can be seen that there was
/// something, and two names that differ in it alone do not become one.
pub(crate) fn harmless(character: char) -> char {
    match character {
        '\t'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        _ if is_treacherous(character) => char::REPLACEMENT_CHARACTER,
        _ => character,
    }
}

/// Characters that end a line or a text somewhere on the way (RFC 5424 section 8.2 warns of NUL and of control characters), and
/// those that make a reader see another order than what is written.
pub(crate) fn is_treacherous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The rules inside of a list.
struct Element<'r, R>(&'r R);

impl<R: Rules> Rules for Element<'_, R> {
    fn replaced(&self, character: char) -> char {
        match self.0.replaced(character) {
            ',' => ';',
            other => other,
        }
    }

    fn escaped(&self, character: char) -> Option<&'static str> {
        self.0.escaped(character)
    }

    fn may_end(&self, character: char) -> bool {
        self.0.may_end(character)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Doubled;

    impl Rules for Doubled {
        fn replaced(&self, character: char) -> char {
            harmless(character)
        }

        fn escaped(&self, character: char) -> Option<&'static str> {
            (character == '=').then_some("\\=")
        }
    }

    #[test]
    fn a_text_is_cut_before_it_is_escaped_and_at_a_character() {
        let check = |text: &str, bytes_max: usize, expected: (&str, Put)| {
            let mut out = b"k=".to_vec();
            let put = put(&mut out, &Doubled, text, bytes_max);
            assert_eq!((&out[2..], put), (expected.0.as_bytes(), expected.1), "{text:?}");
        };
        check("a=b", 3, ("a\\=b", Put::Whole(3)));
        check("a=b", 2, ("a\\=", Put::Cut));
        check("aéb", 2, ("a", Put::Cut));
        check("\t a \u{2028}\n", 9, ("a", Put::Whole(1)));
        check("a b", 2, ("a", Put::Cut));
        check("a  ", 1, ("a", Put::Whole(1)));
        check("\u{85} \r", 9, ("", Put::Nothing));
        check("a\0\u{202e}\u{1b}b", 99, ("a\u{fffd}\u{fffd}\u{fffd}b", Put::Whole(11)));
    }

    #[test]
    fn a_list_has_whole_elements_only() {
        let check = |texts: &[&str], bytes_max: usize, expected: &str| {
            let mut out = Vec::new();
            put_list(&mut out, &Doubled, texts, bytes_max);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{texts:?}");
        };
        check(&["a", " b ", "", "c,d"], 99, "a,b,c;d");
        check(&["far too long", "ab", "cd", "e"], 4, "ab,e");
        check(&["far too long"], 4, "");
    }

    #[test]
    fn numbers_have_their_digits() {
        for number in [0, 7, 10, 1_732_095_345_113, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            assert_eq!(String::from_utf8(out).ok(), Some(number.to_string()));
        }
    }
}
