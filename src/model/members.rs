//! The members of a JSON object that was read as JSON before: where each begins and ends, found without looking at what is in
//! it. It does not check anything again and gives up on whatever is out of the ordinary.

/// Goes through the members of an object. An item that is none means that something is out of the ordinary; read it with
/// a parser.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Members<'a> {
    /// The members of this object; none where it does not look like one.
    pub(crate) fn of(json: &'a str) -> Option<Self> {
        json.starts_with('{').then_some(Self { json, at: 1 })
    }

    /// A name as it stands between its quotes, and a value as it stands.
    fn member(&mut self) -> Option<(&'a str, &'a str)> {
        let name = self.at + 1;
        self.at = after_string(self.json.as_bytes(), self.skip(b'"')?)?;
        let name = self.json.get(name..self.at - 1).filter(|name| !name.contains('\\'))?;
        self.space();
        self.skip(b':')?;
        self.space();
        let value = self.at;
        self.at = after_value(self.json.as_bytes(), value)?;
        let value = self.json.get(value..self.at)?;
        self.space();
        if self.byte() == Some(b',') {
            self.at += 1;
            self.space();
            // A comma promises another member.
            (self.byte() == Some(b'"')).then_some(())?;
        }
        Some((name, value))
    }

    fn byte(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> Option<usize> {
        (self.byte() == Some(byte)).then(|| self.at += 1)?;
        Some(self.at)
    }

    fn space(&mut self) {
        while self.byte().is_some_and(is_space) {
            self.at += 1;
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Option<(&'a str, &'a str)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.space();
        if self.byte() == Some(b'}') {
            return None;
        }
        let member = self.member();
        if member.is_none() {
            // Nothing is said twice: the next call ends it.
            self.json = "}";
            self.at = 0;
        }
        Some(member)
    }
}

/// RFC 8259 section 2.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The place behind the value that begins here.
fn after_value(json: &[u8], start: usize) -> Option<usize> {
    match json.get(start)? {
        b'"' => after_string(json, start + 1),
        b'{' | b'[' => after_nested(json, start + 1),
        _ => {
            let length = json[start..].iter().position(|&byte| is_space(byte) || matches!(byte, b',' | b'}'))?;
            (length != 0).then_some(start + length)
        }
    }
}

/// The place behind the object or array whose inside begins here.
fn after_nested(json: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 1u32);
    while depth != 0 {
        let byte = *json.get(at)?;
        at += 1;
        match byte {
            b'"' => at = after_string(json, at)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    Some(at)
}

/// The place behind the closing quote of a string whose text begins here.
fn after_string(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        at += quote_or_backslash(json.get(at..)?)?;
        match json[at] {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// The first quote or backslash, looked for in eight bytes at once (Mycroft's way to find a zero byte in a word; the lowest
/// one it finds is one, and only that is used).
fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let (words, rest) = text.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
        if found != 0 {
            return Some(n * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let place = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\'))?;
    Some(words.len() * 8 + place)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn members(json: &str) -> Option<Vec<(&str, &str)>> {
        Members::of(json)?.collect()
    }

    #[test]
    fn members_are_found_as_they_stand() {
        let check = |json: &str, expected: &[(&str, &str)]| {
            assert_eq!(members(json).as_deref(), Some(expected), "{json}");
        };
        check("{}", &[]);
        check("{ }", &[]);
        check(r#"{"a":1}"#, &[("a", "1")]);
        check("{ \"a\" :\n-1.5e3 ,\t\"b\": null\r}", &[("a", "-1.5e3"), ("b", "null")]);
        check(
            r#"{"a":"}\"]\\","":[{"x":"]"},[]],"a":{"b":{}}}"#,
            &[("a", r#""}\"]\\""#), ("", r#"[{"x":"]"},[]]"#), ("a", r#"{"b":{}}"#)],
        );
        check(r#"{"é":"a long text, longer than a word, é\\"}"#, &[("é", r#""a long text, longer than a word, é\\""#)]);
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_left_to_a_parser() {
        for json in [
            "",
            "[1]",
            "null",
            " {}",
            r#"{"\u0061":1}"#,
            "{",
            r#"{"a""#,
            r#"{"a":"#,
            r#"{"a":}"#,
            r#"{"a":1"#,
            r#"{"a":1,}"#,
            r#"{"a":"x\"#,
        ] {
            assert_eq!(members(json), None, "{json}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<f64>()
                .prop_filter("finite", |number| number.is_finite())
                .prop_map(|number| serde_json::json!(number)),
            any::<i64>().prop_map(|number| serde_json::json!(number)),
            "[\\\\\"{}\\[\\],:a-c\u{e9}\n]{0,20}".prop_map(serde_json::Value::String),
            any::<bool>().prop_map(serde_json::Value::Bool),
            Just(serde_json::Value::Null),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::Array),
                prop::collection::btree_map("[a-z{\u{e9}]{0,9}", inner, 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_parser_finds_the_same(members in prop::collection::btree_map("[a-z{\u{e9}]{0,9}", json(), 0..6), pretty in any::<bool>()) {
            let value = serde_json::Value::Object(members.into_iter().collect());
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let parsed: BTreeMap<&str, &RawValue> = serde_json::from_str(&text).expect("our own text");
            let found: Option<BTreeMap<_, _>> = Members::of(&text).expect("an object").collect();
            let parsed: BTreeMap<_, _> = parsed.into_iter().map(|(name, value)| (name, value.get())).collect();
            prop_assert_eq!(found, Some(parsed));
        }

        #[test]
        fn no_text_panics(text in "[{}\\[\\]\",:\\\\a1 \u{e9}]{0,30}") {
            let _ = members(&text);
            let _ = members(&format!("{{{text}"));
        }
    }
}
