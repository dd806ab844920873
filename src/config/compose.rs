//! From the merged tree to the configuration, table by table. What is wrong in one does not keep the others from being read.

mod credential;
mod hints;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::Cloud;
use crate::config::compose::credential::credential_of;
use crate::config::compose::hints::{
    CREDENTIAL, elsewhere, of_proxy, sink_elsewhere, sink_missing, tenant_elsewhere, tenant_missing,
};
use crate::config::key::{Key, is_bare};
use crate::config::poll::{Poll, Quota};
use crate::config::report::Report;
use crate::config::schema::Name;
use crate::config::section::{Hints, read};
use crate::config::sink::{KindName, Sink};
use crate::config::tenant::{Start, Tenant};
use crate::config::tree::Node;
use crate::config::{Admin, Config, Log, OnCorrupt, Outbox, Shutdown};
use crate::core::filter::Filter;
use crate::format::split::Split;
use crate::format::{Format, Style, ecs, leef, ocsf};
use crate::identity::Credential;
use crate::model::dialect::Dialect;
use crate::model::names::{SinkName, TenantName};
use crate::model::units::Size;
use crate::sink::Config as Kind;
use crate::sink::azure_monitor;
use crate::transport::proxy;
use crate::transport::secret::SecretSource;

/// The tables at the top.
const TABLES: [&str; 8] = ["tenants", "poll", "quota", "outbox", "sinks", "shutdown", "admin", "log"];
/// The keys of every sink.
const OF_EVERY_SINK: [&str; 9] =
    ["kind", "format", "tenants", "split", "filter", "max_event_size", "leef", "ecs", "ocsf"];
/// Characters of a name at most: it is in every event's id and in every metric.
pub(crate) const NAME_MAX: usize = 64;

/// The keys outside all tables.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct General {
    /// Where the ledger is: a directory of its own, on a local disk.
    state_dir: std::path::PathBuf,
    /// What to do with a ledger that is damaged.
    on_corrupt: OnCorrupt,
}

impl Default for General {
    fn default() -> Self {
        Self { state_dir: "/var/lib/xdrelay".into(), on_corrupt: OnCorrupt::default() }
    }
}

/// The keys of `[admin]`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminKeys {
    /// Where `/metrics`, `/healthz`, `/readyz` and the status page are: an IP address with a port. Left out: off.
    #[schemars(example = "127.0.0.1:9464")]
    listen: Option<String>,
    /// Who shows this may look. Anywhere but on loopback it is needed.
    token: Option<SecretSource>,
    /// Whether the status page shows titles and severities of the incidents that pass.
    show_incidents: bool,
}

/// The keys of `[tenants.NAME]` that are not tables themselves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantKeys {
    /// Its GUID, the Directory (tenant) ID in Entra, or one of its domains.
    tenant_id: String,
    /// The Application (client) ID of the app registration, or that of a user-assigned managed identity. With a managed identity,
    /// left out: the host's own; with a workload identity: what the platform says.
    client_id: Option<String>,
    /// The API that is asked.
    #[serde(default)]
    api: Dialect,
    /// Where the tenant lives.
    #[serde(default)]
    cloud: Cloud,
    /// From when on incidents are taken at the first run: "now", a look-back, or a time. Later runs go on where the last one ended.
    #[serde(default)]
    start: Start,
    /// The API's base instead of the one of `cloud`.
    api_url: Option<url::Url>,
    /// The token endpoint's base instead of the one of `cloud`.
    login_url: Option<url::Url>,
    /// Whom the token is for, instead of the one of `cloud`.
    audience: Option<String>,
    /// An authority trusted beside the others (PEM): that of a proxy which opens TLS.
    tls_ca_file: Option<std::path::PathBuf>,
    /// A proxy; left out: the environment's.
    proxy_url: Option<url::Url>,
    /// What goes with the proxy.
    #[serde(default)]
    proxy: proxy::Settings,
}

/// The configuration as far as it can be read; what cannot is in the report.
pub(crate) fn config(mut tree: Node, report: &mut Report) -> Config {
    let mut tables: BTreeMap<&str, Node> =
        TABLES.iter().filter_map(|table| Some((*table, tree.take(table)?))).collect();
    let mut table = |name: &str| tables.remove(name).unwrap_or_else(Node::empty);
    let root = Key::root();
    let elsewhere = |key: &str| elsewhere(key);
    let hints = Hints { also: &TABLES, elsewhere: &elsewhere, ..Hints::NONE };
    let general: General = read(&mut tree, &root, hints, report).unwrap_or_default();
    let common = Common::read(table("poll"), table("quota"), report);
    Config {
        state_dir: general.state_dir,
        on_corrupt: general.on_corrupt,
        tenants: named(table("tenants"), "tenants", report, |node, key, report| tenant(node, key, &common, report))
            .map(|(name, tenant)| (TenantName::new(name), tenant))
            .collect(),
        sinks: named(table("sinks"), "sinks", report, sink).map(|(name, sink)| (SinkName::new(name), sink)).collect(),
        outbox: section::<Outbox>(table("outbox"), "outbox", report),
        shutdown: section::<Shutdown>(table("shutdown"), "shutdown", report),
        admin: admin(section::<AdminKeys>(table("admin"), "admin", report), report),
        log: section::<Log>(table("log"), "log", report),
    }
}

/// A table at the top whose keys all have defaults.
fn section<T: for<'de> Deserialize<'de> + Default>(mut node: Node, name: &str, report: &mut Report) -> T {
    let hints = Hints { elsewhere: &elsewhere, ..Hints::NONE };
    read(&mut node, &Key::of([name]), hints, report).unwrap_or_default()
}

/// The tables of `[tenants]` or `[sinks]`, by name.
fn named<T>(
    node: Node,
    table: &str,
    report: &mut Report,
    read: impl Fn(Node, &Key, &mut Report) -> Option<T>,
) -> impl Iterator<Item = (String, T)> {
    let around = Key::of([table]);
    let Node::Table(entries) = node else {
        report.error(&around, "not a table", Some(format!("write [{table}.NAME]")));
        return Vec::new().into_iter();
    };
    let mut found = Vec::new();
    for (name, node) in entries {
        let key = around.child(&name);
        if node.table().is_none() {
            let hint = match matches!(node, Node::List(_)) {
                true => format!("write [{key}] with single brackets"),
                false => format!("a name stands between: [{table}.NAME]"),
            };
            report.error(&key, "not a table", Some(hint));
            continue;
        }
        check_name(&name, &key, report);
        found.extend(read(node, &key, report).map(|value| (name, value)));
    }
    found.into_iter()
}

fn check_name(name: &str, key: &Key, report: &mut Report) {
    let plain = is_bare(name) && name.bytes().all(|byte| !byte.is_ascii_uppercase());
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !plain || !begins || name.contains("__") || name.ends_with('_') || NAME_MAX < name.len() {
        let remedy = format!(
            "a to z, 0 to 9, - and _, the first a letter or digit, no two _ together and none at the end, {NAME_MAX} in all: \
             environment variables name it too"
        );
        report.error(key, "not a name", Some(remedy));
    }
}

/// `[poll]` and `[quota]`: defaults for every tenant.
struct Common {
    poll: Node,
    quota: Node,
}

impl Common {
    fn read(mut poll: Node, mut quota: Node, report: &mut Report) -> Self {
        own::<Poll>(&mut poll, &Key::of(["poll"]), report);
        own::<Quota>(&mut quota, &Key::of(["quota"]), report);
        Self { poll, quota }
    }
}

/// Takes what is wrong out of a table of defaults or overrides.
fn own<T: for<'de> Deserialize<'de>>(node: &mut Node, key: &Key, report: &mut Report) {
    let hints = Hints { elsewhere: &elsewhere, ..Hints::NONE };
    if read::<T>(node, key, hints, report).is_none() {
        *node = Node::empty();
    }
}

fn tenant(mut node: Node, key: &Key, common: &Common, report: &mut Report) -> Option<Tenant> {
    let mut take = |part: &str| node.take(part);
    let (credential, poll, quota) = (take("credential"), take("poll"), take("quota"));
    let (mut poll, mut quota) = (poll.unwrap_or_else(Node::empty), quota.unwrap_or_else(Node::empty));
    own::<Poll>(&mut poll, &key.child("poll"), report);
    own::<Quota>(&mut quota, &key.child("quota"), report);
    let hints = Hints {
        also: &["credential", "poll", "quota"],
        renamed: &|name| of_proxy(name, key),
        elsewhere: &|name| tenant_elsewhere(name, key),
        missing: &tenant_missing,
    };
    let keys: Option<TenantKeys> = read(&mut node, key, hints, report);
    let credential = match credential {
        Some(node) => credential_of(node, &key.child("credential"), report),
        None => {
            report.missing(&key.child("credential"), Some(format!("such as {CREDENTIAL}")));
            None
        }
    };
    let keys = keys?;
    let needs_id = credential.as_ref().is_none_or(Credential::needs_client_id);
    if needs_id && keys.client_id.is_none() {
        report.missing(&key.child("client_id"), tenant_missing("client_id"));
    }
    let mut poll = common.poll.overlaid(&poll);
    if let Some(table) = poll.table_mut() {
        table.entry("page_size".into()).or_insert(Node::Whole(keys.api.page_size_max().into()));
    }
    // Both layers were read alone before, and what was wrong in them is gone.
    let mut poll = Poll::deserialize(&poll).unwrap_or_default();
    fit_page(&mut poll, keys.api, key, report);
    Some(Tenant {
        tenant_id: keys.tenant_id,
        client_id: keys.client_id,
        api: keys.api,
        cloud: keys.cloud,
        start: keys.start,
        api_url: keys.api_url,
        login_url: keys.login_url,
        audience: keys.audience,
        tls_ca_file: keys.tls_ca_file,
        proxy_url: keys.proxy_url,
        proxy: keys.proxy,
        // Where it is missing or wrong, that is in the report, and the rest is checked all the same.
        credential: credential.unwrap_or_else(|| Credential::ClientSecret(SecretSource::default())),
        poll,
        quota: Quota::deserialize(&common.quota.overlaid(&quota)).unwrap_or_default(),
    })
}

/// A page size that the other dialect takes is made to fit: `api` alone moves a tenant over.
fn fit_page(poll: &mut Poll, api: Dialect, tenant: &Key, report: &mut Report) {
    let (most, of_any) = (api.page_size_max(), Dialect::ALL.map(Dialect::page_size_max).into_iter().max());
    if most < poll.page_size && Some(poll.page_size) <= of_any {
        let own = tenant.join(["poll", "page_size"]);
        let key = if report.index.layer(&own).is_some() { own } else { Key::of(["poll", "page_size"]) };
        let what =
            format!("{} is more than api = \"{}\" takes: pages of {most} are asked for", poll.page_size, api.as_str());
        report.warning(&key, what, Some("leave it out: each API has its largest".into()));
        poll.page_size = most;
    }
}

fn sink(mut node: Node, key: &Key, report: &mut Report) -> Option<Sink> {
    let mut common = Node::empty();
    for part in OF_EVERY_SINK {
        if let (Some(value), Some(table)) = (node.take(part), common.table_mut()) {
            table.insert(part.into(), value);
        }
    }
    let missing = |_: &str| Some(format!("one of {}", Kind::KINDS.join(", ")));
    let common: CommonSinkKeys = read(&mut common, key, Hints { missing: &missing, ..Hints::NONE }, report)?;
    let kind = match common.kind {
        KindName::File => sink_kind(node, key, common.kind, report).map(Kind::File),
        KindName::Stdout => sink_kind(node, key, common.kind, report).map(Kind::Stdout),
        KindName::Syslog => sink_kind(node, key, common.kind, report).map(Kind::Syslog),
        KindName::Http => sink_kind(node, key, common.kind, report).map(Kind::Http),
        KindName::SplunkHec => sink_kind(node, key, common.kind, report).map(Kind::SplunkHec),
        KindName::Elasticsearch => sink_kind(node, key, common.kind, report).map(Kind::Elasticsearch),
        KindName::Relp => sink_kind(node, key, common.kind, report).map(Kind::Relp),
        KindName::Kafka => sink_kind(node, key, common.kind, report).map(Kind::Kafka),
        KindName::AzureMonitor => azure_monitor(node, key, report).map(Kind::AzureMonitor),
    }?;
    let CommonSinkKeys { format, tenants, split, filter, max_event_size, leef, ecs, ocsf, .. } = common;
    let format = format.unwrap_or_else(|| kind.settings().format_default());
    let style = Style { format, leef, ecs, ocsf };
    Some(Sink { kind, style, split, filter, max_event_size, tenants })
}

/// The credential alone first: what is wrong in it is said as for a tenant.
fn azure_monitor(mut node: Node, key: &Key, report: &mut Report) -> Option<azure_monitor::Config> {
    let (mut is_wrong, mut needs_id) = (false, true);
    if let Some(credential) = node.table_mut().and_then(|table| table.get_mut("credential")) {
        let read = credential_of(credential.clone(), &key.child("credential"), report);
        needs_id = read.as_ref().is_none_or(Credential::needs_client_id);
        is_wrong = read.is_none();
        if is_wrong {
            // In its place one that is right, so that the rest is checked all the same.
            let kind = ("kind".to_owned(), Node::Text("managed_identity".into()));
            *credential = Node::Table([kind].into_iter().collect());
        }
    }
    if needs_id && node.at(&["client_id".to_owned()]).is_none() {
        report.missing(&key.child("client_id"), tenant_missing("client_id"));
    }
    let config = sink_kind(node, key, KindName::AzureMonitor, report)?;
    (!is_wrong).then_some(config)
}

/// The keys of every sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommonSinkKeys {
    /// What kind of sink it is.
    kind: KindName,
    /// How events are written; left out: json, and ecs for `elasticsearch`.
    format: Option<Format>,
    /// The tenants whose events it gets; left out: all.
    #[schemars(with = "Option<Vec<Name>>", length(min = 1))]
    tenants: Option<Vec<TenantName>>,
    /// Whether one event is sent as several; left out: no.
    split: Option<Split>,
    /// Which incidents it gets; left out: all.
    filter: Option<Filter>,
    /// Bytes of one record at most, beside what the kind itself can take; a larger event is reduced to that, and marked.
    max_event_size: Option<Size>,
    /// For `format = "leef"`.
    #[serde(default)]
    leef: leef::Config,
    /// For `format = "ecs"`.
    #[serde(default)]
    ecs: ecs::Config,
    /// For `format = "ocsf"`.
    #[serde(default)]
    ocsf: ocsf::Config,
}

fn sink_kind<T: for<'de> Deserialize<'de>>(
    mut node: Node,
    key: &Key,
    kind: KindName,
    report: &mut Report,
) -> Option<T> {
    let elsewhere = |name: &str| sink_elsewhere(name, kind);
    let renamed = |name: &str| of_proxy(name, key).filter(|_| kind.keys().contains(&"proxy"));
    let hints = Hints { also: &OF_EVERY_SINK, renamed: &renamed, elsewhere: &elsewhere, missing: &sink_missing };
    read(&mut node, key, hints, report)
}

fn admin(keys: AdminKeys, report: &mut Report) -> Option<Admin> {
    let key = Key::of(["admin", "listen"]);
    let listen = keys.listen?;
    match listen.parse() {
        Ok(listen) => Some(Admin { listen, token: keys.token, show_incidents: keys.show_incidents }),
        Err(_) => {
            let remedy = "such as \"127.0.0.1:9464\" or \"[::1]:9464\"";
            report.error(&key, "not an IP address with a port", Some(remedy.into()));
            None
        }
    }
}
