//! What the values have to fulfil that their types do not say. Looks at the values only, at no file and no clock.

use std::collections::{BTreeMap, BTreeSet};

use tracing_subscriber::EnvFilter;

use crate::config::key::Key;
use crate::config::nearest::nearest;
use crate::config::report::Report;
use crate::config::sink::Sink;
use crate::config::tenant::{Start, Tenant};
use crate::config::tree::Node;
use crate::config::{Admin, Config, Log, addresses, bounds};
use crate::core::filter::Filter;
use crate::format::{Format, Style, ecs, leef, ocsf};
use crate::model::names::TenantName;
use crate::model::units::{Size, Span};
use crate::sink::Config as Kind;

/// Microsoft keeps incidents so long; nothing older can be asked for.
const KEPT: Span = Span::seconds(180 * 24 * 3600);

/// `max_event_size` at least: room for a summary in any format.
const EVENT_SIZE_MIN: Size = Size(2 << 10);

/// Unknown tenants of a sink that are said.
const UNKNOWN_SHOWN_MAX: usize = 5;

/// The names that stand in the files, whether what is below them can be read or not.
#[derive(Debug)]
pub(crate) struct Names {
    tenants: BTreeSet<String>,
    sinks: BTreeSet<String>,
}

impl Names {
    /// Of the merged settings.
    pub(crate) fn of(tree: &Node) -> Self {
        let names = |table: &str| match tree.at(&[table.to_owned()]) {
            Some(Node::Table(table)) => table.keys().cloned().collect(),
            Some(_) | None => BTreeSet::new(),
        };
        Self { tenants: names("tenants"), sinks: names("sinks") }
    }
}

/// Checks everything.
pub(crate) fn values(config: &Config, names: &Names, report: &mut Report) {
    some(&names.tenants, "tenants", "nobody to read: write a table [tenants.NAME], as in config/minimal.toml", report);
    some(&names.sinks, "sinks", "nobody to tell: write a table [sinks.NAME], as in config/minimal.toml", report);
    for (name, tenant) in &config.tenants {
        check_tenant(&Key::of(["tenants", name.as_str()]), tenant, report);
    }
    no_tenant_twice(config, report);
    for (name, sink) in &config.sinks {
        let key = Key::of(["sinks", name.as_str()]);
        check_sink_tenants(&key, sink, names, report);
        addresses::of_sink(&key, &sink.kind, report);
        bounds::of_sink(&key, &sink.kind, report);
        check_sink(&key, sink, report);
    }
    no_destination_twice(config, report);
    if config.sinks.len() == names.sinks.len() {
        no_tenant_unheard(config, report);
    }
    bounds::general(config, report);
    check_level(&config.log, report);
    if let Some(admin) = &config.admin {
        check_admin(admin, report);
    }
}

/// What everybody can reach, nobody may read without a token.
fn check_admin(admin: &Admin, report: &mut Report) {
    let token = Key::of(["admin", "token"]);
    if !admin.listen.ip().is_loopback() && admin.token.is_none() && !report.is_wrong_below(&token) {
        let what = format!("{} is not of this machine alone, and there is no token", admin.listen);
        let remedy = "write a token beside it, token = { file = \"/run/credentials/xdrelay.service/admin\" }, made with `openssl \
                      rand -hex 32`, or listen on 127.0.0.1";
        report.error(&Key::of(["admin", "listen"]), what, Some(remedy.into()));
    }
}

fn some(names: &BTreeSet<String>, table: &str, remedy: &str, report: &mut Report) {
    if names.is_empty() {
        report.missing(&Key::of([table]), Some(remedy.into()));
    }
}

fn check_tenant(key: &Key, tenant: &Tenant, report: &mut Report) {
    // Neither value is shown: a secret pasted into the wrong line would be.
    if !is_guid(&tenant.tenant_id) && !is_domain(&tenant.tenant_id) {
        let remedy =
            "the Directory (tenant) ID, such as 11111111-2222-3333-4444-555555555555, or a domain of the tenant";
        report.error(&key.child("tenant_id"), "neither a GUID nor a domain", Some(remedy.into()));
    }
    let client_id = tenant.client_id.as_deref();
    if client_id.is_some_and(|id| !is_guid(id)) {
        let remedy = "the Application (client) ID, such as 66666666-7777-8888-9999-000000000000";
        report.error(&key.child("client_id"), "not a GUID", Some(remedy.into()));
    } else if client_id.is_some_and(|id| id.eq_ignore_ascii_case(&tenant.tenant_id)) {
        let remedy = "the Application (client) ID of the app registration stands beside the Directory (tenant) ID";
        report.error(&key.child("client_id"), "the same as tenant_id", Some(remedy.into()));
    }
    if let Start::Back(back) = tenant.start
        && KEPT.0 < back
    {
        let what = format!("{} is longer than Microsoft keeps incidents ({KEPT})", Span(back));
        report.warning(&key.child("start"), what, None);
    }
    if tenant
        .audience
        .as_ref()
        .is_some_and(|audience| audience.trim().is_empty() || audience.contains(char::is_whitespace))
    {
        let remedy = "such as \"https://api.security.microsoft.com\", or leave it out";
        report.error(&key.child("audience"), "empty or with blanks in it", Some(remedy.into()));
    }
    addresses::of_tenant(key, tenant, report);
    bounds::of_tenant(key, tenant, report);
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A name with a dot in it. `common` and `organizations` are none: an app registration signs in to one tenant.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let top = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && text.contains('.')
        && text.split('.').all(label)
        && top.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Two names for one tenant would share one place in the ledger, and one quota.
fn no_tenant_twice(config: &Config, report: &mut Report) {
    let mut known = BTreeMap::new();
    for (name, tenant) in &config.tenants {
        let key = Key::of(["tenants", name.as_str(), "tenant_id"]);
        if report.is_wrong(&key) {
            continue;
        }
        if let Some(other) = known.insert(tenant.key(), name) {
            let remedy = "keep one of the two; sinks that want its events differently are sinks of their own";
            report.error(&key, format!("the same tenant as tenants.{other}"), Some(remedy.into()));
        }
    }
}

fn check_sink_tenants(key: &Key, sink: &Sink, names: &Names, report: &mut Report) {
    let key = key.child("tenants");
    let Some(tenants) = &sink.tenants else { return };
    if tenants.is_empty() {
        report.error(&key, "empty: the sink would get nothing", Some("leave it out for all tenants".into()));
    }
    let unknown = tenants.iter().filter(|tenant| !names.tenants.contains(tenant.as_str()));
    let unknown: Vec<&TenantName> = unknown.take(UNKNOWN_SHOWN_MAX).collect();
    if unknown.is_empty() {
        return;
    }
    let shown: Vec<String> = unknown.iter().map(|name| format!("{:?}", name.as_str())).collect();
    let known: Vec<&str> = names.tenants.iter().map(String::as_str).collect();
    let remedy = match unknown.iter().find_map(|name| nearest(name.as_str(), &known)) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("there are: {}", known.join(", ")),
    };
    report.error(&key, format!("there is no tenant {}", shown.join(", ")), Some(remedy));
}

/// Two writers of one file tear each other's lines. Two connections to one receiver are allowed, and rarely meant.
fn no_destination_twice(config: &Config, report: &mut Report) {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for (name, sink) in &config.sinks {
        let Some((part, destination)) = sink.kind.settings().destination() else { continue };
        let key = Key::of(["sinks", name.as_str(), part]);
        if report.is_wrong(&key) {
            continue;
        }
        let Some(other) = known.insert(destination, name.as_str()) else { continue };
        if matches!(sink.kind, Kind::File(_)) {
            let remedy = "give each its own file, or one sink both tenants";
            report.error(&key, format!("the same file as sinks.{other}"), Some(remedy.into()));
        } else {
            report.warning(&key, format!("the same destination as sinks.{other}: it may get events twice"), None);
        }
    }
}

/// What the kind and the format say of their own settings, where it was not said before.
fn check_sink(key: &Key, sink: &Sink, report: &mut Report) {
    let settings = sink.kind.settings();
    let below = |table: &str, problems: Vec<(String, String)>| {
        problems.into_iter().map(|(key, why)| (format!("{table}.{key}"), why)).collect::<Vec<_>>()
    };
    let Style { format, leef, ecs, ocsf } = &sink.style;
    let mut problems = settings.validate();
    problems.extend(below("leef", leef.validate()));
    problems.extend(below("ecs", ecs.validate()));
    problems.extend(below("ocsf", ocsf.validate()));
    problems.extend(below("filter", sink.filter.as_ref().map(Filter::validate).unwrap_or_default()));
    problems.extend(
        settings.takes(*format).err().map(|why| ("format".to_owned(), format!("\"{format}\" does not fit: {why}"))),
    );
    if sink.max_event_size.is_some_and(|size| size < EVENT_SIZE_MIN) {
        problems.push(("max_event_size".into(), format!("must be {EVENT_SIZE_MIN} or more, or no summary fits")));
    }
    // What is wrong with TLS is said where its files are read.
    for (part, why) in problems.into_iter().filter(|(part, _)| part != "tls") {
        let key = key.join(part.split('.'));
        if !report.is_wrong_below(&key) {
            report.error(&key, why, None);
        }
    }
    let set = [
        (Format::Leef, "leef", *leef != leef::Config::default()),
        (Format::Ecs, "ecs", *ecs != ecs::Config::default()),
        (Format::Ocsf, "ocsf", *ocsf != ocsf::Config::default()),
    ];
    for (of, part, _) in set.into_iter().filter(|(of, _, is_set)| *is_set && of != format) {
        let what = format!("is of no use with format = \"{format}\"");
        report.warning(&key.child(part), what, Some(format!("format = \"{of}\", or leave it out")));
    }
    for (part, why) in settings.warnings() {
        let key = key.join(part.split('.'));
        if !report.is_wrong_below(&key) && !report.is_warned(&key) {
            report.warning(&key, why, None);
        }
    }
}

fn no_tenant_unheard(config: &Config, report: &mut Report) {
    for name in config.tenants.keys() {
        if !config.sinks.is_empty() && !config.sinks.values().any(|sink| sink.takes(name)) {
            let remedy = format!("add \"{name}\" to the `tenants` of a sink");
            report.warning(&Key::of(["tenants", name.as_str()]), "no sink gets its events", Some(remedy));
        }
    }
}

fn check_level(log: &Log, report: &mut Report) {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let key = Key::of(["log", "level"]);
    let remedy = || Some(format!("one of {}, or such as \"info,xdrelay=debug\"", LEVELS.join(", ")));
    if log.level.trim().is_empty() || EnvFilter::try_new(&log.level).is_err() {
        report.error(&key, "not a filter of levels", remedy());
        return;
    }
    // A filter takes any word for the name of a crate: "inof" would mean that nothing is logged.
    let strange = log.level.split(',').map(str::trim).find(|word| {
        let word = word.to_ascii_lowercase();
        let plain = !word.contains(['=', ':', '[']) && word.parse::<u8>().is_err();
        plain && !LEVELS.contains(&word.as_str()) && word != "xdrelay"
    });
    if let Some(word) = strange {
        match nearest(word, &LEVELS) {
            Some(meant) => report.error(&key, "not a level", Some(format!("did you mean \"{meant}\"?"))),
            None => report.error(&key, "not a level", remedy()),
        }
    }
}
