//! Where a key belongs that is unknown where it stands, and what one that is missing looks like.

use crate::config::compose::{AdminKeys, General, TenantKeys};
use crate::config::key::{Key, looks_secret};
use crate::config::poll::{Poll, Quota};
use crate::config::section::{NO_SECRETS, keys_of};
use crate::config::sink::KindName;
use crate::config::{Outbox, Shutdown};

pub(super) const CREDENTIAL: &str =
    "credential = { kind = \"client_secret\", file = \"/run/credentials/xdrelay.service/NAME\" }";

/// Where a key that is unknown here belongs.
pub(super) fn elsewhere(key: &str) -> Option<String> {
    let belongs = |table: &str| Some(format!("it belongs in [{table}]"));
    match key {
        _ if keys_of::<General>().contains(&key) => Some("it belongs at the top, before the first [table]".into()),
        _ if keys_of::<Poll>().contains(&key) => belongs("poll"),
        _ if keys_of::<Quota>().contains(&key) => belongs("quota"),
        _ if keys_of::<TenantKeys>().contains(&key) || key == "credential" => belongs("tenants.NAME"),
        _ if keys_of::<Outbox>().contains(&key) => belongs("outbox"),
        _ if keys_of::<Shutdown>().contains(&key) => belongs("shutdown"),
        _ if keys_of::<AdminKeys>().contains(&key) => belongs("admin"),
        _ if key == "level" => belongs("log"),
        _ => None,
    }
}

/// Keys as others call them.
pub(super) fn of_proxy(name: &str, around: &Key) -> Option<String> {
    let table = format!("[{around}.proxy]");
    match name {
        "proxy_user" | "proxy_username" => Some(format!("`user` belongs in {table}")),
        "proxy_password" | "proxy_pass" => {
            Some(format!("`password` belongs in {table}, as {{ file = \"/run/secrets/NAME\" }}"))
        }
        "no_proxy" => Some(format!("it belongs in {table}")),
        "proxy_tls" => Some(format!("`tls` belongs in {table}")),
        _ => None,
    }
}

pub(super) fn tenant_elsewhere(name: &str, tenant: &Key) -> Option<String> {
    match name {
        _ if keys_of::<Poll>().contains(&name) => Some(format!("it belongs in [{tenant}.poll]")),
        _ if keys_of::<Quota>().contains(&name) => Some(format!("it belongs in [{tenant}.quota]")),
        _ if looks_secret(name) => Some(format!("{NO_SECRETS}: {CREDENTIAL}")),
        _ => elsewhere(name),
    }
}

pub(super) fn tenant_missing(name: &str) -> Option<String> {
    match name {
        "tenant_id" => Some("the Directory (tenant) ID that the Entra admin center shows".into()),
        "client_id" => Some("the Application (client) ID of the app registration in Entra".into()),
        _ => None,
    }
}

/// Where a key that is unknown in a sink of this kind belongs.
pub(super) fn sink_elsewhere(name: &str, kind: KindName) -> Option<String> {
    if kind == KindName::Http && looks_secret(name) {
        return Some(format!(
            "{NO_SECRETS}: auth = {{ kind = \"bearer\", token = {{ file = \"/run/secrets/NAME\" }} }}"
        ));
    }
    if kind == KindName::AzureMonitor && looks_secret(name) {
        return Some(format!("{NO_SECRETS}: {CREDENTIAL}"));
    }
    let other = KindName::ALL.into_iter().find(|other| other.keys().contains(&name))?;
    Some(format!("it is a key of a sink of kind \"{}\", this one is \"{}\"", other.as_str(), kind.as_str()))
}

/// What a key that is missing in a sink looks like.
pub(super) fn sink_missing(name: &str) -> Option<String> {
    match name {
        "path" => Some("such as path = \"/var/log/xdrelay/incidents.ndjson\"".into()),
        "address" => Some("such as address = \"tls://siem.example.net:6514\"".into()),
        "kind" => Some("one of bearer, basic, header".into()),
        "url" => Some("such as url = \"https://siem.example.net/ingest\"".into()),
        "brokers" => Some("such as brokers = [\"kafka1.example.net:9093\"]".into()),
        "endpoint" => Some("such as endpoint = \"https://NAME.westeurope-1.ingest.monitor.azure.com\"".into()),
        "dcr" => {
            Some("the immutable id of the data collection rule: dcr = \"dcr-00112233445566778899aabbccddeeff\"".into())
        }
        "stream" => Some("such as stream = \"Custom-XdrIncidents\", as the rule declares it".into()),
        "tenant_id" => Some("the Directory (tenant) ID of the app registration".into()),
        "credential" => Some(format!("such as {CREDENTIAL}")),
        "topic" => Some("such as topic = \"defender-incidents\"".into()),
        _ => None,
    }
}
