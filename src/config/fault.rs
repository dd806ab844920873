//! What serde found wrong with one setting, taken apart so that it can be said well and never shows a secret.

use std::fmt::{self, Display};

use serde::de::{Expected, Unexpected};

use crate::config::nearest::nearest;

/// Characters of a value that a message shows at most. A client secret of Entra has 40, so one that stands in the wrong
/// place is not shown.
const SHOWN_MAX: usize = 32;

/// What serde found wrong, and below which keys.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The keys down to the setting, innermost first.
    pub(crate) keys: Vec<String>,
    /// What it is.
    pub(crate) what: What,
}

/// What serde found wrong.
#[derive(Debug)]
pub(crate) enum What {
    /// A key that nobody knows.
    UnknownKey { key: String, known: &'static [&'static str] },
    /// A key that has to be there.
    MissingKey(&'static str),
    /// A word that is none of the known ones.
    UnknownWord { word: String, known: &'static [&'static str] },
    /// A value of another type.
    Mismatch { found: Found, expected: String },
    /// The type's own words, which show the value in quotes.
    Said(String),
}

/// What stands there.
#[derive(Debug)]
pub(crate) enum Found {
    /// A text.
    Text(String),
    /// A number or a truth value as it is written.
    Plain(String),
    /// A list, a table.
    Shape(&'static str),
}

impl Fault {
    /// A fault right here.
    pub(crate) fn new(what: What) -> Self {
        Self { keys: Vec::new(), what }
    }

    /// The same fault, seen from the table around it.
    pub(crate) fn below(mut self, key: &str) -> Self {
        self.keys.push(key.to_owned());
        self
    }
}

/// What is wrong with a value and what would be right. `value` is the text that stands there, if any; without `open` nothing
/// of it is shown.
pub(crate) fn describe(what: &What, value: Option<&str>, open: bool) -> (String, Option<String>) {
    match what {
        What::UnknownKey { .. } => ("unknown key".into(), None),
        What::MissingKey(_) => ("missing".into(), None),
        What::UnknownWord { word, known } => {
            let found = shown(&Found::Text(word.clone()), open);
            let remedy = nearest(word, known).map(|word| format!("did you mean \"{word}\"?"));
            (format!("{found} is none of {}", known.join(", ")), remedy)
        }
        What::Mismatch { found, expected } => {
            let quotes = matches!(found, Found::Plain(_)) && expected == TEXT;
            let remedy =
                quotes.then(|| "put it in quotes, a duration or a size with its unit (\"30s\", \"10 MiB\")".into());
            (format!("{} is not {expected}", shown(found, open)), remedy)
        }
        What::Said(text) => (said(text, value, open), None),
    }
}

const TEXT: &str = "a text";

fn shown(found: &Found, open: bool) -> String {
    match found {
        Found::Shape(shape) => (*shape).into(),
        Found::Plain(text) if open => text.clone(),
        Found::Text(text) if open && text.chars().count() <= SHOWN_MAX => format!("{text:?}"),
        Found::Plain(_) | Found::Text(_) => "the value".into(),
    }
}

/// The type's own words, with the value taken out where it is not to be seen.
fn said(text: &str, value: Option<&str>, open: bool) -> String {
    match value {
        Some(value) if !open || SHOWN_MAX < value.chars().count() => {
            let rest = text.replace(&format!("{value:?}"), "the value");
            match rest == text || (!value.is_empty() && rest.contains(value)) {
                true => "the value cannot be used".into(),
                false => rest,
            }
        }
        Some(_) => text.into(),
        None if open => text.into(),
        None => "the value cannot be used".into(),
    }
}

impl serde::de::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(What::Said(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(What::Mismatch { found: found.into(), expected: in_words(expected) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownWord { word: word.into(), known })
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownKey { key: key.into(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(What::MissingKey(key))
    }
}

impl From<Unexpected<'_>> for Found {
    fn from(found: Unexpected<'_>) -> Self {
        match found {
            Unexpected::Bool(truth) => Self::Plain(truth.to_string()),
            Unexpected::Unsigned(number) => Self::Plain(number.to_string()),
            Unexpected::Signed(number) => Self::Plain(number.to_string()),
            Unexpected::Float(number) => Self::Plain(number.to_string()),
            Unexpected::Char(one) => Self::Text(one.to_string()),
            Unexpected::Str(text) => Self::Text(text.to_owned()),
            Unexpected::Seq => Self::Shape("a list"),
            Unexpected::Map
            | Unexpected::NewtypeStruct
            | Unexpected::Enum
            | Unexpected::NewtypeVariant
            | Unexpected::TupleVariant
            | Unexpected::StructVariant => Self::Shape("a table"),
            Unexpected::Bytes(_) | Unexpected::Unit | Unexpected::Option | Unexpected::UnitVariant => {
                Self::Shape("this")
            }
            Unexpected::Other(_) => Self::Shape("the value"),
        }
    }
}

/// serde names Rust's types; people write TOML.
fn in_words(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" | "path string" | "string" => TEXT.into(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number in range".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "a map" => "a table".into(),
        _ if text.starts_with("struct ") || text.contains("enum ") => "a table".into(),
        _ => text,
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(&self.what, None, false).0)
    }
}

impl std::error::Error for Fault {}
