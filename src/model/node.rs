//! A JSON value as a tree that borrows from its text, for whoever reads more of an incident than its header. Lenient: what
//! cannot be understood is absent, and never an error. Not for writing: what is delivered as JSON are the bytes themselves.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

/// Levels below which everything is absent where a text has to be read piece by piece.
const DEPTH_MAX: u32 = 64;

/// What is absent.
static NOTHING: Node<'static> = Node::Null;

/// A value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Node<'a> {
    /// `null`, or what is not there.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string; of escapes for half a surrogate pair it has U+FFFD.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Node<'a>>),
    /// The members of an object as they came, without those that are null; of two with one name the last one counts.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// Reads a text that was read as JSON before. Where serde_json has no value for a part of it (half a surrogate pair, a
    /// number beyond `f64`, a depth over 128), that part alone is mended or absent.
    pub fn parse(json: &'a str) -> Self {
        serde_json::from_str(json).unwrap_or_else(|_| piecewise(json, DEPTH_MAX))
    }

    /// A member; `Null` where there is none, or where this is no object.
    pub fn get(&self, name: &str) -> &Node<'a> {
        let Self::Object(members) = self else { return &NOTHING };
        members.iter().rev().find(|(known, _)| known == name).map_or(&NOTHING, |(_, value)| value)
    }

    /// The first of these members that is there and not null: the dialects call things differently.
    pub fn first(&self, names: &[&str]) -> &Node<'a> {
        names.iter().map(|name| self.get(name)).find(|value| !value.is_null()).unwrap_or(&NOTHING)
    }

    /// A string that is not empty.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            Self::Text(_) | Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// A string that is not empty, a number or a truth value, as text.
    pub fn shown(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => (!text.is_empty()).then_some(Cow::Borrowed(text)),
            Self::Number(number) => Some(Cow::Owned(number.to_string())),
            Self::Bool(is) => Some(Cow::Borrowed(if *is { "true" } else { "false" })),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// A whole number that is not negative.
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            Self::Text(_) | Self::Null | Self::Bool(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The elements; none where this is no array.
    pub fn list(&self) -> &[Node<'a>] {
        match self {
            Self::List(elements) => elements,
            Self::Text(_) | Self::Null | Self::Bool(_) | Self::Number(_) | Self::Object(_) => &[],
        }
    }

    /// Whether there is nothing.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Node<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(is))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node<'de>, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node<'de>, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node<'de>, E> {
        Ok(Number::from_f64(number).map_or(Node::Null, Node::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Node<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = entries.next_entry()? {
            // What is null is absent, and in one of the two shapes most of an entity is null.
            if !matches!(value, Node::Null) {
                members.push((name, value));
            }
        }
        Ok(Node::Object(members))
    }
}

/// The name of a member, borrowed where it can be: `Cow` alone would own it.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Tree.deserialize_name(deserializer)? {
            Node::Text(text) => Ok(Self(text)),
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::List(_) | Node::Object(_) => Ok(Self("".into())),
        }
    }
}

impl Tree {
    fn deserialize_name<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

/// The same value by value: slower, and stopped by nothing.
fn piecewise(json: &str, depth: u32) -> Node<'_> {
    let json = json.trim();
    match json.as_bytes().first() {
        _ if depth == 0 => Node::Null,
        Some(b'{') => Node::Object(members(json, depth)),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
            Node::List(elements.into_iter().map(|element| piecewise(element.get(), depth - 1)).collect())
        }
        Some(b'"') => Node::Text(mended(json).into()),
        // A number beyond every type is a text, digits and all.
        _ => serde_json::from_str(json).unwrap_or(Node::Text(json.into())),
    }
}

fn members(json: &str, depth: u32) -> Vec<(Cow<'_, str>, Node<'_>)> {
    struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);
    struct Reader;
    impl<'de> Visitor<'de> for Reader {
        type Value = Members<'de>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Members<'de>, A::Error> {
            let mut members = Vec::new();
            while let Some((name, value)) = entries.next_entry::<&RawValue, &RawValue>()? {
                members.push((mended(name.get()).into(), value));
            }
            Ok(Members(members))
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let Members(members) = deserializer.deserialize_map(Reader).unwrap_or(Members(Vec::new()));
    let members = members.into_iter().map(|(name, value)| (name, piecewise(value.get(), depth - 1)));
    members.filter(|(_, value)| !value.is_null()).collect()
}

/// The text of a JSON string, with U+FFFD for what is no character.
fn mended(json: &str) -> String {
    if let Ok(text) = serde_json::from_str(json) {
        return text;
    }
    // serde_json gives the bytes of half a surrogate pair only as bytes.
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = String;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }
    serde_json::Deserializer::from_str(json).deserialize_bytes(Bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_read_costs_nothing_but_itself() {
        let node = Node::parse(
            r#"{"a":"x\ud800y","b":1e999,"c":[{"d":"z"}],"e":null,"n":123456789012345678901234567890,"a\n":7,"t":true}"#,
        );
        assert_eq!(node.get("a").text(), Some("x\u{fffd}\u{fffd}\u{fffd}y"));
        assert_eq!(node.get("b").shown().as_deref(), Some("1e999"));
        assert_eq!(node.get("c").list()[0].get("d").text(), Some("z"));
        assert!(node.get("e").is_null() && node.get("nothing").is_null());
        assert_eq!(node.get("a\n").count(), Some(7));
        assert_eq!(node.get("t").shown().as_deref(), Some("true"));
    }

    #[test]
    fn the_last_of_two_members_counts_and_the_first_name_that_is_there() {
        let node = Node::parse(r#"{"a":1,"a":2,"b":null,"c":"x"}"#);
        assert_eq!(node.get("a").count(), Some(2));
        assert_eq!(node.first(&["none", "b", "c"]).text(), Some("x"));
    }

    #[test]
    fn a_depth_without_end_is_no_trouble() {
        let json = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(Node::parse(&json), Node::List(_)));
    }

    #[test]
    fn both_ways_of_reading_give_the_same() {
        for json in ["-1.5", "\"a\\n\"", "null", "true", "[]", "{}", r#"{"a":[1,"x\n",{"y":[]}],"b":{"c":null}}"#] {
            let direct: Node<'_> = serde_json::from_str(json).expect("JSON");
            assert_eq!(piecewise(json, DEPTH_MAX), direct, "{json}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(json in ".{0,64}") {
            let _ = Node::parse(&json).get("a").list().len();
        }
    }
}
