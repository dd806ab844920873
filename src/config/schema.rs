//! The JSON Schema of a configuration, for editors and for programs that write one. It is made of the types that read the tables,
//! joined as `compose` joins them; `tests/schema.rs` holds the two against each other. What no schema can say is not in it: whether
//! values fit together, and what is in the files and at the addresses that they name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::config::compose::{AdminKeys, CommonSinkKeys, General, NAME_MAX, TenantKeys};
use crate::config::poll::{Poll, Quota};
use crate::config::{Log, Outbox, Shutdown};
use crate::identity::{Credential, asks_client_id};
use crate::sink;

/// What the schema goes by. It is no address: `xdrelay config schema` prints what belongs to the program.
const ID: &str = concat!("https://github.com/xdrelay/xdrelay/", env!("CARGO_PKG_VERSION"), "/xdrelay.schema.json");

/// The JSON Schema, draft 2020-12, of a whole configuration in one file.
pub fn whole() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(as_toml));
    settings.into_generator().into_root_schema_for::<File>().to_value()
}

/// The configuration of xdrelay, the whole of it in one file.
#[derive(JsonSchema)]
#[schemars(title = "xdrelay.toml", deny_unknown_fields, extend("$id" = ID))]
#[expect(dead_code, reason = "its shape is all that counts")]
struct File {
    #[schemars(flatten)]
    general: General,
    /// Whom to read: a table `[tenants.NAME]` each. The name is in every event.
    #[schemars(extend("minProperties" = 1, "propertyNames" = { "maxLength": NAME_MAX }))]
    tenants: BTreeMap<Name, TenantTable>,
    /// How tenants are read: for all of them, unless `[tenants.NAME.poll]` says otherwise.
    poll: Option<Poll>,
    /// How often tenants are asked: for all of them, unless `[tenants.NAME.quota]` says otherwise.
    quota: Option<Quota>,
    /// Events on their way.
    outbox: Option<Outbox>,
    /// Whom to tell: a table `[sinks.NAME]` each.
    #[schemars(extend("minProperties" = 1, "propertyNames" = { "maxLength": NAME_MAX }))]
    sinks: BTreeMap<Name, SinkTable>,
    /// How to stop.
    shutdown: Option<Shutdown>,
    /// The status page, metrics and health.
    admin: Option<AdminKeys>,
    /// What the program says of itself.
    log: Option<Log>,
}

/// The name of a tenant or a sink, as `compose` checks it. For a key, `schemars` takes the pattern alone: its length is said there.
pub(crate) struct Name;

impl JsonSchema for Name {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9](?:[a-z0-9-]|_[a-z0-9-])*$", "maxLength": NAME_MAX })
    }
}

/// A tenant that is read.
#[derive(JsonSchema)]
#[schemars(rename = "Tenant", deny_unknown_fields, transform = asks_client_id)]
#[expect(dead_code, reason = "its shape is all that counts")]
struct TenantTable {
    #[schemars(flatten)]
    keys: TenantKeys,
    /// How we prove who we are. What is secret is never here, only where it is.
    credential: Credential,
    /// Any key of `[poll]`, for this tenant alone.
    #[schemars(default, schema_with = "overriding::<Poll>")]
    poll: Option<Poll>,
    /// Any key of `[quota]`, for this tenant alone.
    #[schemars(default, schema_with = "overriding::<Quota>")]
    quota: Option<Quota>,
}

/// A table over another: what is left out is as it is there, so that nothing has a default.
fn overriding<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    let keys = schema.get_mut("properties").and_then(Value::as_object_mut).expect("a table of several keys");
    for key in keys.values_mut().filter_map(Value::as_object_mut) {
        key.remove("default");
    }
    schema
}

/// A place that events go to: the keys of its kind, and those of every sink.
struct SinkTable;

impl JsonSchema for SinkTable {
    fn schema_name() -> Cow<'static, str> {
        "Sink".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let common = CommonSinkKeys::json_schema(generator);
        let mut schema = sink::Config::json_schema(generator);
        let kinds =
            schema.get_mut("oneOf").and_then(Value::as_array_mut).expect("an enum with a tag is one of several");
        for kind in kinds.iter_mut().filter_map(Value::as_object_mut) {
            join(kind, &common);
        }
        schema
    }
}

/// The keys of every sink to those of a kind, which says what `kind` is.
fn join(kind: &mut Map<String, Value>, common: &Schema) {
    let of_every = common.get("properties").and_then(Value::as_object).expect("a table of several keys");
    let keys = kind.get_mut("properties").and_then(Value::as_object_mut).expect("a table with its kind at least");
    for (key, value) in of_every {
        keys.entry(key).or_insert_with(|| value.clone());
    }
}

/// From what Rust has to what TOML has: no null, no types of numbers; and of comments the first paragraph, in one line.
fn as_toml(schema: &mut Schema) {
    let Some(schema) = schema.as_object_mut() else { return };
    without_null(schema);
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => {
            schema.remove("format");
            schema.insert("maximum".into(), u32::MAX.into());
        }
        Some("uri") => {
            schema.insert("pattern".into(), "^[A-Za-z][A-Za-z0-9+.-]*:".into());
            schema.insert("examples".into(), json!(["https://host.example.net:8443"]));
        }
        Some(_) | None => {}
    }
}

/// What may be left out may be null for `serde`.
fn without_null(schema: &mut Map<String, Value>) {
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [name] = &types[..] {
            let name = name.clone();
            schema.insert("type".into(), name);
        }
    }
    if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
        any.retain(|one| *one != json!({ "type": "null" }));
        if any.len() == 1
            && let Some(Value::Object(only)) = any.pop()
        {
            schema.remove("anyOf");
            for (key, value) in only {
                schema.entry(key).or_insert(value);
            }
        }
    }
}
