//! What to do in Entra and on this host after `xdrelay init`: the exact steps, for the kind of credential that was chosen.

use std::fmt::Write;
use std::path::Path;

use crate::api::graph::PERMISSION;
use crate::cli::init::template::{NO_ID_YET, name};
use crate::cli::init::{Answers, Destination, SignIn};
use crate::config;

/// Microsoft Graph, as every tenant knows it (Entra's list of first-party applications).
const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";
/// The application role `SecurityIncident.Read.All` of Graph (Microsoft Graph permissions reference).
const ROLE_ID: &str = "45cc0394-e837-488b-a098-1918f48d186c";

/// Numbered steps, from the app registration to the first event.
pub(crate) fn steps(answers: &Answers, file: &Path) -> String {
    let mut text = String::from("What is left to do\n");
    let mut number = 0;
    let mut step = |title: &str, body: &str| {
        number += 1;
        write!(text, "\n{number}. {title}\n").expect("a String takes every write");
        for line in body.lines() {
            let indented = format!("   {line}");
            writeln!(text, "{}", indented.trim_end()).expect("a String takes every write");
        }
    };
    let name = name(&answers.tenant_id);
    let app = answers.client_id.0.as_deref();
    let id = app.unwrap_or("$APP_ID");
    match answers.sign_in {
        SignIn::ManagedIdentity => step("Let the host's identity read incidents", &managed_identity(app)),
        SignIn::ClientSecret | SignIn::Certificate | SignIn::WorkloadIdentity => {
            step("Register the app, with one permission and no other", &registration(app, file));
        }
    }
    match answers.sign_in {
        SignIn::ClientSecret => {
            step("Make a client secret and keep it where only root reads", &client_secret(id, &name))
        }
        SignIn::Certificate => step("Make a certificate whose key never leaves this host", &certificate(id, &name)),
        SignIn::WorkloadIdentity => step("Trust the platform's tokens", &workload_identity(id)),
        SignIn::ManagedIdentity => {}
    }
    if let Some((secret, what)) = secret_of(&answers.sink) {
        step(&format!("Put {what} where only root reads"), &keep(secret));
    }
    step("Try it", &trial(answers, &name, file));
    step("Run it as a service", &service(answers, &name, file));
    text.push_str("\nIn a container or on Kubernetes instead: the README of xdrelay says how.\n");
    text.trim_end().to_owned()
}

/// `check` before the first start, when systemd has handed over no secret and made no directory yet.
fn trial(answers: &Answers, name: &str, file: &Path) -> String {
    let tenant = format!("XDRELAY__TENANTS__{}__CREDENTIAL", name.to_ascii_uppercase());
    let of_tenant = match answers.sign_in {
        SignIn::ClientSecret => format!("{tenant}__FILE=/etc/xdrelay/secrets/{name} "),
        SignIn::Certificate => format!("{tenant}__CERTIFICATE=/etc/xdrelay/secrets/{name} "),
        SignIn::ManagedIdentity | SignIn::WorkloadIdentity => String::new(),
    };
    let of_sink = match answers.sink {
        Destination::Splunk(_) => "XDRELAY__SINKS__SPLUNK__TOKEN__FILE=/etc/xdrelay/secrets/splunk ",
        Destination::Elasticsearch(_) => "XDRELAY__SINKS__ELASTIC__AUTH__KEY__FILE=/etc/xdrelay/secrets/elastic ",
        Destination::File(_) | Destination::Syslog(_) | Destination::Http(_) => "",
    };
    let directory = match &answers.sink {
        Destination::File(path) => path.parent().filter(|directory| !directory.is_dir()),
        Destination::Splunk(_) | Destination::Elasticsearch(_) | Destination::Syslog(_) | Destination::Http(_) => None,
    };
    let directory = directory.map(|directory| format!("  sudo install -d -m 0750 {}\n", directory.display()));
    let configuration = match is_default(file) {
        true => String::new(),
        false => format!(" -c {}", file.display()),
    };
    format!("{}  sudo {of_tenant}{of_sink}xdrelay check{configuration}", directory.unwrap_or_default())
}

/// Whether the daemon finds it without being told.
fn is_default(file: &Path) -> bool {
    config::default_files().iter().any(|default| default == file)
}

fn registration(app: Option<&str>, file: &Path) -> String {
    let id = app.unwrap_or("$APP_ID");
    let mut text = match app {
        Some(_) => {
            String::from("It is there already. Make sure that it has the permission, and nothing that writes:\n")
        }
        None => format!(
            "In the Entra admin center: App registrations > New registration; name: xdrelay; accounts in this directory only; no\n\
             redirect URI. Then put its Application (client) ID into {} in place of\n{NO_ID_YET}. Or:\n\n  \
             APP_ID=$(az ad app create --display-name xdrelay --sign-in-audience AzureADMyOrg --query appId --output tsv)\n  \
             az ad sp create --id $APP_ID\n\n",
            file.display()
        ),
    };
    write!(
        text,
        "API permissions > Add a permission > Microsoft Graph > Application permissions > {PERMISSION},\n\
         then \"Grant admin consent\" (a Privileged Role Administrator). Or:\n\n  \
         az ad app permission add --id {id} --api {GRAPH_APP_ID} --api-permissions {ROLE_ID}=Role\n  \
         az ad app permission admin-consent --id {id}"
    )
    .expect("a String takes every write");
    text
}

fn managed_identity(client_id: Option<&str>) -> String {
    let which = match client_id {
        Some(id) => format!("az ad sp show --id {id} --query id --output tsv"),
        None => "az vm identity assign --resource-group GROUP --name HOST --query systemAssignedIdentity --output tsv"
            .into(),
    };
    format!(
        "No app registration and no secret. The identity gets the application permission {PERMISSION} of Microsoft\n\
         Graph, which only the command line can give it:\n\n  \
         IDENTITY=$({which})\n  \
         GRAPH=$(az ad sp show --id {GRAPH_APP_ID} --query id --output tsv)\n  \
         az rest --method post --url https://graph.microsoft.com/v1.0/servicePrincipals/$IDENTITY/appRoleAssignments \\\n    \
         --headers content-type=application/json \\\n    \
         --body '{{\"principalId\":\"'$IDENTITY'\",\"resourceId\":\"'$GRAPH'\",\"appRoleId\":\"{ROLE_ID}\"}}'"
    )
}

fn client_secret(id: &str, name: &str) -> String {
    format!(
        "Certificates & secrets > New client secret; copy its Value (not its ID), which is shown once. Or:\n\n  \
         az ad app credential reset --id {id} --append --years 1 --query password --output tsv\n\n{}\n\n\
         It ends after a year at the latest: remember the date, or choose a certificate or a managed identity.",
        keep(name)
    )
}

fn certificate(id: &str, name: &str) -> String {
    format!(
        "  sudo install -d -m 0700 /etc/xdrelay/secrets\n  \
         sudo openssl req -x509 -newkey rsa:3072 -noenc -days 365 -subj /CN=xdrelay \\\n    \
         -keyout /etc/xdrelay/secrets/{name} -out /etc/xdrelay/{name}.crt\n  \
         sudo sh -c 'cat /etc/xdrelay/{name}.crt >> /etc/xdrelay/secrets/{name}'\n\n\
         Upload /etc/xdrelay/{name}.crt under Certificates & secrets > Certificates. Or:\n\n  \
         az ad app credential reset --id {id} --append --cert @/etc/xdrelay/{name}.crt"
    )
}

fn workload_identity(id: &str) -> String {
    format!(
        "Certificates & secrets > Federated credentials > Add credential > Kubernetes accessing Azure resources. Or:\n\n  \
         az ad app federated-credential create --id {id} --parameters \\\n    \
         '{{\"name\":\"xdrelay\",\"issuer\":\"ISSUER_OF_THE_CLUSTER\",\"subject\":\"system:serviceaccount:xdrelay:xdrelay\",\n    \
         \"audiences\":[\"api://AzureADTokenExchange\"]}}'"
    )
}

fn keep(name: &str) -> String {
    format!(
        "  sudo install -d -m 0700 /etc/xdrelay/secrets\n  \
         sudo sh -c 'umask 077; cat > /etc/xdrelay/secrets/{name}'      # paste it, Enter, Ctrl-D"
    )
}

fn secret_of(sink: &Destination) -> Option<(&'static str, &'static str)> {
    match sink {
        Destination::Splunk(_) => Some(("splunk", "the token of Splunk's HTTP Event Collector")),
        Destination::Elasticsearch(_) => Some(("elastic", "an API key of Elasticsearch")),
        Destination::File(_) | Destination::Syslog(_) | Destination::Http(_) => None,
    }
}

fn service(answers: &Answers, name: &str, file: &Path) -> String {
    let tenant = match answers.sign_in {
        SignIn::ClientSecret | SignIn::Certificate => Some(name),
        SignIn::ManagedIdentity | SignIn::WorkloadIdentity => None,
    };
    let sink = secret_of(&answers.sink).map(|(secret, _)| secret);
    let secrets: Vec<String> = tenant
        .into_iter()
        .chain(sink)
        .map(|secret| format!("LoadCredential={secret}:/etc/xdrelay/secrets/{secret}"))
        .collect();
    let mut text = match is_default(file) {
        true => String::new(),
        false => format!("  sudo install -D -m 0644 {} /etc/xdrelay/xdrelay.toml\n", file.display()),
    };
    if !secrets.is_empty() {
        let lines: Vec<String> = secrets.iter().map(|line| format!("'{line}'")).collect();
        write!(
            text,
            "  sudo install -d /etc/systemd/system/xdrelay.service.d\n  \
             printf '%s\\n' '[Service]' {} | sudo tee /etc/systemd/system/xdrelay.service.d/secrets.conf\n",
            lines.join(" ")
        )
        .expect("a String takes every write");
    }
    text.push_str(
        "  sudo systemctl daemon-reload && sudo systemctl enable --now xdrelay\n  \
         sudo xdrelay status\n  \
         sudo xdrelay replay --since 7d      # nothing is new yet? what was changed in the last week",
    );
    if let Destination::File(path) = &answers.sink {
        write!(text, "\n  sudo tail -n 3 {}", path.display()).expect("a String takes every write");
    }
    text
}
