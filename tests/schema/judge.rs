//! Somebody else's reading of the schema (`boon`), with its errors as the loader says them: keys with dots between. Knows no key.

use std::collections::BTreeSet;

use boon::{Compiler, ErrorKind, InstanceToken, SchemaIndex, Schemas, ValidationError};
use serde_json::{Map, Value};
use xdrelay::config::schema;

/// A part of the schema, or all of it.
pub(crate) struct Judge {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Judge {
    /// The whole schema. It is checked against the schema of all schemas on the way.
    pub(crate) fn of_all() -> Self {
        Self::at("")
    }

    /// The part of it that this JSON pointer names.
    pub(crate) fn at(pointer: &str) -> Self {
        let whole = schema::whole();
        let id = whole["$id"].as_str().expect("an id").to_owned();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.enable_format_assertions();
        compiler.add_resource(&id, whole).expect("a name of its own");
        let index = compiler.compile(&format!("{id}#{pointer}"), &mut schemas);
        let index = index.unwrap_or_else(|error| panic!("{pointer}: {error:#}"));
        Self { schemas, index }
    }

    /// Whether it takes the value.
    pub(crate) fn takes(&self, value: &Value) -> bool {
        self.schemas.validate(value, self.index).is_ok()
    }

    /// The keys that are wrong. In a table that is one of several kinds, those that are wrong with its `kind`.
    pub(crate) fn wrong(&self, table: &toml::Table) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        if let Err(error) = self.schemas.validate(&json(table), self.index) {
            collect(&error, &mut keys);
            assert!(!keys.is_empty(), "{error:#}");
        }
        keys
    }
}

/// A file as tools hand it to a validator: times as texts.
pub(crate) fn json(table: &toml::Table) -> Value {
    Value::Object(table.iter().map(|(key, value)| (key.clone(), of(value))).collect::<Map<_, _>>())
}

fn of(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(list) => list.iter().map(of).collect(),
        toml::Value::Table(table) => json(table),
    }
}

fn collect(error: &ValidationError<'_, '_>, keys: &mut BTreeSet<String>) {
    let here = key(error);
    let below = |name: &str| joined(&here, name);
    if let ErrorKind::AdditionalProperties { got } = &error.kind {
        keys.extend(got.iter().map(|name| below(name)));
    } else if let ErrorKind::Required { want } = &error.kind {
        keys.extend(want.iter().map(|name| below(name)));
    } else if let ErrorKind::DependentRequired { missing, .. } = &error.kind {
        keys.extend(missing.iter().map(|name| below(name)));
    } else if let ErrorKind::PropertyName { prop } = &error.kind {
        keys.insert(below(prop));
    } else if let ErrorKind::OneOf(_) = error.kind {
        one_of(error, here, keys);
    } else if error.causes.is_empty() || matches!(error.kind, ErrorKind::AnyOf) {
        keys.insert(here);
    } else {
        error.causes.iter().for_each(|cause| collect(cause, keys));
    }
}

/// None of several fits, or two do: what is wrong with the one whose `kind` it is, or the kind itself, or the whole.
fn one_of(error: &ValidationError<'_, '_>, here: String, keys: &mut BTreeSet<String>) {
    let kind = joined(&here, "kind");
    let branches = error.causes.iter().map(|cause| {
        let mut keys = BTreeSet::new();
        collect(cause, &mut keys);
        keys
    });
    let (other, mut of_kind): (Vec<_>, Vec<_>) = branches.partition(|keys| keys.contains(&kind));
    match (of_kind.len(), other.is_empty()) {
        (0, false) => _ = keys.insert(kind),
        (1, _) => keys.append(&mut of_kind[0]),
        (_, _) => _ = keys.insert(here),
    }
}

/// Where an error is; the place in a list is none of the loader's business.
fn key(error: &ValidationError<'_, '_>) -> String {
    error.instance_location.tokens.iter().fold(String::new(), |around, token| match token {
        InstanceToken::Prop(name) => joined(&around, name),
        InstanceToken::Item(_) => around,
    })
}

/// TOML quotes what is not plain.
fn joined(around: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let dot = if around.is_empty() { "" } else { "." };
    if bare { format!("{around}{dot}{name}") } else { format!("{around}{dot}{name:?}") }
}
