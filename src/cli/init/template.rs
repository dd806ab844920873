//! The configuration that `xdrelay init` writes: short, and with a reason beside each line.

use std::fmt::Write;

use crate::cli::init::{Answers, ClientId, Destination, SignIn, TenantId};

/// What stands in place of an id that is not known yet.
pub(crate) const NO_ID_YET: &str = "00000000-0000-0000-0000-000000000000";
/// Where systemd puts what `LoadCredential=` names.
pub(crate) const CREDENTIALS: &str = "/run/credentials/xdrelay.service";

/// The name of the tenant in the configuration, and of its secret.
pub(crate) fn name(TenantId(id): &TenantId) -> String {
    let first = id.split('.').next().unwrap_or_default();
    match id.contains('.') && first.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        true => first.to_owned(),
        false => "main".to_owned(),
    }
}

/// The whole file.
pub(crate) fn configuration(answers: &Answers) -> String {
    let mut text = String::from(
        "# Made by `xdrelay init`. Every key with its default: `xdrelay config show`, or with words full.toml in config/ and in\n\
         # /usr/share/doc/xdrelay/examples.\n\
         # After a change: `xdrelay check` says everything that is wrong, and tries each tenant and each sink.\n\n\
         # The ledger: what was read and what is still to be delivered. A local disk.\n\
         state_dir = \"/var/lib/xdrelay\"\n",
    );
    tenant(&mut text, answers);
    sink(&mut text, &answers.sink);
    text.push_str(
        "\n[admin]\n# The status page, /metrics, /healthz and /readyz, for this host alone.\nlisten = \"127.0.0.1:9464\"\n",
    );
    text
}

fn tenant(text: &mut String, answers: &Answers) {
    let Answers { tenant_id, client_id, sign_in, .. } = answers;
    let name = name(tenant_id);
    let mut line = |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").expect("a String takes every write");
    line(format_args!("\n[tenants.{name}]"));
    line(format_args!("# Entra admin center, Overview: Tenant ID, or a domain of the tenant."));
    line(format_args!("tenant_id = \"{}\"", tenant_id.0));
    match (client_id, sign_in) {
        (ClientId(Some(id)), _) => {
            line(format_args!("# App registrations, the app's Overview: Application (client) ID."));
            line(format_args!("client_id = \"{id}\""));
        }
        (ClientId(None), SignIn::ClientSecret | SignIn::Certificate) => {
            line(format_args!("# To be put right once the app is registered: its Application (client) ID."));
            line(format_args!("client_id = \"{NO_ID_YET}\""));
        }
        (ClientId(None), SignIn::ManagedIdentity) => {
            line(format_args!("# The host's own identity. A user-assigned one: client_id = \"its Client ID\""));
        }
        (ClientId(None), SignIn::WorkloadIdentity) => {
            line(format_args!("# The app's id comes from AZURE_CLIENT_ID, which the platform sets."));
        }
    }
    match sign_in {
        SignIn::ClientSecret => {
            line(format_args!(
                "# The file holds the secret's Value (not its ID) and nothing else; systemd puts it there."
            ));
            line(format_args!("credential = {{ kind = \"client_secret\", file = \"{CREDENTIALS}/{name}\" }}"));
        }
        SignIn::Certificate => {
            line(format_args!(
                "# PEM: the certificate that was uploaded, and its key in the same file or in `private_key`."
            ));
            line(format_args!("credential = {{ kind = \"certificate\", certificate = \"{CREDENTIALS}/{name}\" }}"));
        }
        SignIn::ManagedIdentity => line(format_args!("credential = {{ kind = \"managed_identity\" }}")),
        SignIn::WorkloadIdentity => line(format_args!("credential = {{ kind = \"workload_identity\" }}")),
    }
    line(format_args!(
        "# Microsoft Graph. \"defender\" asks the older Defender XDR API, which Microsoft means to switch off in February 2027;"
    ));
    line(format_args!(
        "# the permission is another one there. Nothing is lost or repeated when this line is changed later."
    ));
    line(format_args!("api = \"graph\""));
    line(format_args!("# First run only: \"now\", or a look-back such as \"7d\"."));
    line(format_args!("start = \"now\""));
}

fn sink(text: &mut String, destination: &Destination) {
    let mut line = |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").expect("a String takes every write");
    match destination {
        Destination::File(path) => {
            line(format_args!(
                "\n[sinks.archive]\n# One JSON object a line, synced before it counts.\nkind = \"file\""
            ));
            line(format_args!("path = {:?}", path.display().to_string()));
            line(format_args!("# A new file when this one would become larger; seven old ones are kept."));
            line(format_args!("rotate_size = \"1 GiB\""));
        }
        Destination::Syslog(url) => {
            line(format_args!(
                "\n[sinks.siem]\n# RFC 5424. config/qradar.toml, arcsight.toml and graylog.toml show what these take.\nkind = \"syslog\""
            ));
            line(format_args!("address = \"{url}\""));
        }
        Destination::Splunk(url) => {
            line(format_args!(
                "\n[sinks.splunk]\n# HTTP Event Collector; more in config/splunk.toml.\nkind = \"splunk_hec\""
            ));
            line(format_args!("url = \"{url}\"\ntoken = {{ file = \"{CREDENTIALS}/splunk\" }}"));
        }
        Destination::Elasticsearch(url) => {
            line(format_args!(
                "\n[sinks.elastic]\n# Elasticsearch or OpenSearch; more in config/elastic.toml.\nkind = \"elasticsearch\""
            ));
            line(format_args!("url = \"{url}\"\nindex = \"logs-xdrelay.incidents-default\""));
            line(format_args!("auth = {{ kind = \"api_key\", key = {{ file = \"{CREDENTIALS}/elastic\" }} }}"));
            line(format_args!("format = \"ecs\""));
            return;
        }
        Destination::Http(url) => {
            line(format_args!("\n[sinks.hook]\n# A 2xx counts.\nkind = \"http\""));
            line(format_args!("url = \"{url}\""));
            line(format_args!("# auth = {{ kind = \"bearer\", token = {{ file = \"{CREDENTIALS}/hook\" }} }}"));
        }
    }
    line(format_args!(
        "# json | cef | leef | ecs | ocsf: docs/formats.md shows an incident in each.\nformat = \"json\""
    ));
}
