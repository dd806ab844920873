//! A credential by its kind, of a tenant or of a sink that signs in.

use serde::Deserialize;

use crate::config::compose::hints::CREDENTIAL;
use crate::config::key::{Key, looks_secret};
use crate::config::nearest::nearest;
use crate::config::report::Report;
use crate::config::section::{Hints, NO_SECRETS, read};
use crate::config::tree::Node;
use crate::identity::Credential;
use crate::identity::certificate::Certificate;
use crate::identity::workload_identity::WorkloadIdentity;
use crate::transport::secret::SecretSource;

pub(super) fn credential_of(mut node: Node, key: &Key, report: &mut Report) -> Option<Credential> {
    if node.table().is_none() {
        report.error(key, "not a table", Some(format!("such as {CREDENTIAL}; the secret itself stands in that file")));
        return None;
    }
    let kind_key = key.child("kind");
    let kind = match node.take("kind") {
        Some(kind) => kind,
        None => {
            report.missing(&kind_key, Some(format!("one of {}", Credential::KINDS.join(", "))));
            Node::Text("client_secret".into())
        }
    };
    let elsewhere = |name: &str| {
        let of = match name {
            "client_id" | "tenant_id" => {
                return key.parent().map(|around| format!("it belongs beside `credential`, in [{around}]"));
            }
            "file" | "env" => "client_secret",
            "certificate" | "private_key" | "algorithm" => "certificate",
            "token_file" => "workload_identity",
            _ if looks_secret(name) => return Some(format!("{NO_SECRETS}: {CREDENTIAL}")),
            _ => return None,
        };
        Some(format!("it is a key of a credential of kind \"{of}\""))
    };
    let missing = |name: &str| match name {
        "certificate" => {
            Some("such as certificate = \"/etc/xdrelay/app.pem\", with private_key where the key stands apart".into())
        }
        _ => None,
    };
    let hints = Hints { also: &["kind"], elsewhere: &elsewhere, missing: &missing, ..Hints::NONE };
    match kind.text() {
        Some("certificate") => read::<Certificate>(&mut node, key, hints, report).map(Credential::Certificate),
        Some("workload_identity") => {
            read::<WorkloadIdentity>(&mut node, key, hints, report).map(Credential::WorkloadIdentity)
        }
        Some("managed_identity") => read::<Nothing>(&mut node, key, hints, report).map(|_| Credential::ManagedIdentity),
        word => {
            if word != Some("client_secret") {
                let meant = word.and_then(|word| nearest(word, &Credential::KINDS));
                let meant = meant.map(|word| format!("did you mean \"{word}\"?"));
                let known = || format!("one of {}", Credential::KINDS.join(", "));
                report.error(&kind_key, "no kind of credential", Some(meant.unwrap_or_else(known)));
            }
            read::<SecretSource>(&mut node, key, hints, report).map(Credential::ClientSecret)
        }
    }
}

/// A table without keys of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}
