//! The merged settings as a tree that serde reads: strictly typed where a file wrote them, by what is expected where the
//! environment did, since a variable is always a text.

use std::collections::BTreeMap;

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use crate::config::fault::{Fault, Found, What};

/// One setting, or a table of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// A text of a file.
    Text(String),
    /// The text of an environment variable: a number, a list with commas, whatever is expected.
    Variable(String),
    /// A whole number.
    Whole(i64),
    /// Another number.
    Float(f64),
    /// True or false.
    Truth(bool),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(BTreeMap<String, Node>),
    /// Stands where a missing setting was reported, so that reading goes on and finds the next mistake.
    Stopgap,
}

/// The text that a stopgap gives: as good a URL and path as any.
const STOPGAP: &str = "https://stopgap.invalid/";

impl Node {
    /// An empty table.
    pub(crate) fn empty() -> Self {
        Self::Table(BTreeMap::new())
    }

    /// The text, of a file or of a variable.
    pub(crate) fn text(&self) -> Option<&str> {
        let (Self::Text(text) | Self::Variable(text)) = self else { return None };
        Some(text)
    }

    /// The table.
    pub(crate) fn table(&self) -> Option<&BTreeMap<String, Self>> {
        let Self::Table(table) = self else { return None };
        Some(table)
    }

    /// The table, to change.
    pub(crate) fn table_mut(&mut self) -> Option<&mut BTreeMap<String, Self>> {
        let Self::Table(table) = self else { return None };
        Some(table)
    }

    /// What is at this path.
    pub(crate) fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |node, part| node.table()?.get(part))
    }

    /// Takes a key out of this table.
    pub(crate) fn take(&mut self, part: &str) -> Option<Self> {
        self.table_mut()?.remove(part)
    }

    /// Takes out what is at this path.
    pub(crate) fn cut(&mut self, path: &[String]) -> Option<Self> {
        let (last, around) = path.split_last()?;
        around.iter().try_fold(self, |node, part| node.table_mut()?.get_mut(part))?.take(last)
    }

    /// Whether a stopgap stands here or below.
    pub(crate) fn has_stopgap(&self) -> bool {
        match self {
            Self::Stopgap => true,
            Self::List(list) => list.iter().any(Self::has_stopgap),
            Self::Table(table) => table.values().any(Self::has_stopgap),
            Self::Text(_) | Self::Variable(_) | Self::Whole(_) | Self::Float(_) | Self::Truth(_) => false,
        }
    }

    /// This table with another one laid over it.
    pub(crate) fn overlaid(&self, over: &Self) -> Self {
        match (self, over) {
            (Self::Table(table), Self::Table(over)) => {
                let mut table = table.clone();
                table.extend(over.iter().map(|(key, node)| (key.clone(), node.clone())));
                Self::Table(table)
            }
            (_, over) => over.clone(),
        }
    }

    fn found(&self) -> Found {
        match self {
            Self::Text(text) | Self::Variable(text) => Found::Text(text.clone()),
            Self::Whole(number) => Found::Plain(number.to_string()),
            Self::Float(number) => Found::Plain(number.to_string()),
            Self::Truth(truth) => Found::Plain(truth.to_string()),
            Self::List(_) => Found::Shape("a list"),
            Self::Table(_) => Found::Shape("a table"),
            Self::Stopgap => Found::Shape("this"),
        }
    }

    fn mismatch(&self, expected: &str) -> Fault {
        Fault::new(What::Mismatch { found: self.found(), expected: expected.into() })
    }

    fn whole<'de, V: Visitor<'de>>(&self, visitor: V, most: i128, least: i128) -> Result<V::Value, Fault> {
        let number = match self {
            Self::Whole(number) => *number,
            Self::Variable(text) => text.trim().parse().map_err(|_| self.mismatch("a whole number"))?,
            Self::Stopgap => 1,
            Self::Text(_) | Self::Float(_) | Self::Truth(_) | Self::List(_) | Self::Table(_) => {
                return Err(self.mismatch("a whole number"));
            }
        };
        match (least..=most).contains(&i128::from(number)) {
            true => visitor.visit_i64(number),
            false => Err(self.mismatch(&format!("a whole number from {least} to {most}"))),
        }
    }
}

/// What the `config` crate merged.
impl From<config::Value> for Node {
    fn from(value: config::Value) -> Self {
        use config::ValueKind;
        let from_environment = value.origin() == Some(ENVIRONMENT);
        match value.kind {
            ValueKind::String(text) if from_environment => Self::Variable(text),
            ValueKind::String(text) => Self::Text(text),
            ValueKind::Boolean(truth) => Self::Truth(truth),
            ValueKind::I64(number) => Self::Whole(number),
            ValueKind::Float(number) => Self::Float(number),
            ValueKind::Array(list) => Self::List(list.into_iter().map(Self::from).collect()),
            ValueKind::Table(table) => Self::Table(table.into_iter().map(|(key, value)| (key, value.into())).collect()),
            // Our layers hold none of these.
            ValueKind::Nil | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => Self::Stopgap,
        }
    }
}

/// The origin of values that are environment variables.
pub(crate) const ENVIRONMENT: &str = "the environment";

macro_rules! whole {
    ($($method:ident $type:ty),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.whole(visitor, <$type>::MAX.into(), <$type>::MIN.into())
        })*
    };
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Node::Text(text) | Node::Variable(text) => visitor.visit_str(text),
            Node::Whole(number) => visitor.visit_i64(*number),
            Node::Float(number) => visitor.visit_f64(*number),
            Node::Truth(truth) => visitor.visit_bool(*truth),
            Node::List(list) => visitor.visit_seq(Elements(list.iter())),
            Node::Table(table) => visitor.visit_map(Entries { entries: table.iter(), value: None }),
            Node::Stopgap => visitor.visit_str(STOPGAP),
        }
    }

    whole!(deserialize_u8 u8, deserialize_u16 u16, deserialize_u32 u32, deserialize_u64 u64);
    whole!(deserialize_i8 i8, deserialize_i16 i16, deserialize_i32 i32, deserialize_i64 i64);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Node::Variable(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                _ => Err(self.mismatch("true or false")),
            },
            Node::Stopgap => visitor.visit_bool(false),
            Node::Text(_) | Node::Whole(_) | Node::Float(_) | Node::Truth(_) | Node::List(_) | Node::Table(_) => {
                self.deserialize_any(visitor)
            }
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let mismatch = || self.mismatch("a number");
        match self {
            Node::Float(number) => visitor.visit_f64(*number),
            Node::Whole(number) => visitor.visit_i64(*number),
            Node::Variable(text) => visitor.visit_f64(text.trim().parse().map_err(|_| mismatch())?),
            Node::Stopgap => visitor.visit_f64(1.0),
            Node::Text(_) | Node::Truth(_) | Node::List(_) | Node::Table(_) => Err(mismatch()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self == &Node::Stopgap {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Node::Variable(text) = self else { return self.deserialize_any(visitor) };
        let elements = text.split(',').map(str::trim).filter(|element| !element.is_empty());
        visitor.visit_seq(SeqDeserializer::new(elements))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self == &Node::Stopgap {
            true => visitor.visit_map(MapDeserializer::new(std::iter::empty::<(String, String)>())),
            false => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let text = self.text().ok_or_else(|| self.mismatch("a text"))?;
        let word: StrDeserializer<'_, Fault> = text.into_deserializer();
        visitor.visit_enum(word)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        f32 i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Elements<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }
}

struct Entries<'de> {
    entries: std::collections::btree_map::Iter<'de, String, Node>,
    value: Option<(&'de str, &'de Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some((key, value));
        seed.deserialize(IntoDeserializer::<Fault>::into_deserializer(key.as_str())).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let (key, value) = self.value.take().ok_or_else(|| Fault::invalid_type(Unexpected::Map, &"a key first"))?;
        seed.deserialize(value).map_err(|fault| fault.below(key))
    }
}
