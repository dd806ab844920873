//! The effective configuration as text. Secrets are references here as they are in the files; values that may hold one all
//! the same are `***`.

use serde::Serialize;
use toml::{Table, Value};

use crate::config::Config;
use crate::config::sink::Sink;
use crate::core::filter::Filter;
use crate::format::split::Split;
use crate::format::{Format, Style, ecs, leef, ocsf};
use crate::model::names::TenantName;
use crate::model::units::Size;

const MASK: &str = "***";

impl Config {
    /// Everything that counts, with its value, as TOML in the order of the documentation. Read again it is the same
    /// configuration, but for what is `***`: the values of headers and what stands behind the `?` of a URL.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        text.push_str(&section(&[], &general(self)));
        for (name, tenant) in &self.tenants {
            text.push_str(&section(&["tenants", name.as_str()], tenant));
        }
        text.push_str(&section(&["outbox"], &self.outbox));
        for (name, sink) in &self.sinks {
            text.push_str(&section(&["sinks", name.as_str()], &keys(sink)));
        }
        text.push_str(&section(&["shutdown"], &self.shutdown));
        if let Some(admin) = &self.admin {
            text.push_str(&section(&["admin"], admin));
        }
        text.push_str(&section(&["log"], &self.log));
        text
    }
}

fn general(config: &Config) -> Table {
    #[derive(Serialize)]
    struct General<'a> {
        state_dir: &'a std::path::Path,
        on_corrupt: crate::config::OnCorrupt,
    }
    table(&General { state_dir: &config.state_dir, on_corrupt: config.on_corrupt })
}

/// All keys of a sink in one table, as they stand in a file.
fn keys(sink: &Sink) -> Table {
    let mut keys = table(&sink.kind);
    keys.extend(of_every_sink(sink));
    if let Some(Value::Table(headers)) = keys.get_mut("headers") {
        headers.iter_mut().for_each(|(_, value)| *value = MASK.into());
    }
    for (name, url) in sink.kind.settings().names().urls {
        if url.query().is_some() {
            let mut url = url.clone();
            url.set_query(Some(MASK));
            keys.insert(name.into(), url.to_string().into());
        }
    }
    keys
}

fn of_every_sink(sink: &Sink) -> Table {
    #[derive(Serialize)]
    struct Common<'a> {
        format: Format,
        #[serde(skip_serializing_if = "Option::is_none")]
        tenants: Option<&'a [TenantName]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        split: Option<Split>,
        #[serde(skip_serializing_if = "Option::is_none")]
        filter: Option<&'a Filter>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max_event_size: Option<Size>,
        #[serde(skip_serializing_if = "Option::is_none")]
        leef: Option<&'a leef::Config>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ecs: Option<&'a ecs::Config>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ocsf: Option<&'a ocsf::Config>,
    }
    let Style { format, leef, ecs, ocsf } = &sink.style;
    table(&Common {
        format: *format,
        tenants: sink.tenants.as_deref(),
        split: sink.split,
        filter: sink.filter.as_ref(),
        max_event_size: sink.max_event_size,
        leef: (*format == Format::Leef).then_some(leef),
        ecs: (*format == Format::Ecs).then_some(ecs),
        ocsf: (*format == Format::Ocsf).then_some(ocsf),
    })
}

fn table(value: &impl Serialize) -> Table {
    Table::try_from(value).expect("texts, numbers and tables of them are TOML, and paths came from it")
}

/// `[a.b]` and its keys, tables as tables of their own below.
fn section(path: &[&str], value: &impl Serialize) -> String {
    let mut around = table(value);
    for part in path.iter().rev() {
        around = Table::from_iter([((*part).to_owned(), Value::Table(around))]);
    }
    let text = toml::to_string(&around).expect("a table of texts, numbers and tables is TOML");
    format!("{text}\n")
}
