//! Whether what the configuration names is there: secrets, certificates, directories. Reads and looks; makes and changes
//! nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::config::Config;
use crate::config::key::Key;
use crate::config::report::Report;
use crate::config::tenant::{Start, Tenant};
use crate::config::variables::variable_of;
use crate::identity::Credential;
use crate::identity::certificate::{Certificate, ENDS_SOON};
use crate::identity::workload_identity::{CLIENT_ID_VARIABLE, WorkloadIdentity};
use crate::model::timestamp::Timestamp;
use crate::transport::secret::{SecretError, SecretSource};
use crate::transport::{proxy, tls};

/// Characters of `admin.token` at least.
const TOKEN_MIN: usize = 16;
/// Below this systemd has what `LoadCredential=` names, a directory for each service.
const CREDENTIALS: &str = "/run/credentials";
/// The remedy where a path may be something else.
const NOT_SHOWN: &str = "what stands here is not shown, since it does not begin with a slash: should it be the secret itself, put \
                         that into a file and the file's path here";

/// Looks at everything that is named.
pub(crate) fn check(config: &Config, env: &BTreeMap<String, String>, report: &mut Report) {
    state_dir(&config.state_dir, report);
    for (name, tenant) in &config.tenants {
        of_tenant(&Key::of(["tenants", name.as_str()]), tenant, env, report);
    }
    for (name, sink) in &config.sinks {
        let key = Key::of(["sinks", name.as_str()]);
        let names = sink.kind.settings().names();
        if let Some((part, path)) = names.file {
            file_sink(&key.child(part), path, report);
        }
        if let Some(tls) = names.tls {
            certificates(&key.child("tls"), tls, report);
        }
        if let Some(settings) = names.proxy_settings {
            proxy(&key.child("proxy"), settings, env, report);
        }
        for (part, source) in names.secrets {
            secret(&key.join(part.split('.')), source, env, report);
        }
        if let Some((proven, client_id)) = names.credential {
            credential(&key, proven, client_id, env, report);
        }
    }
    if let Some(source) = config.admin.as_ref().and_then(|admin| admin.token.as_ref()) {
        admin_token(&Key::of(["admin", "token"]), source, env, report);
    }
}

/// A token that people made up is found by trying.
fn admin_token(key: &Key, source: &SecretSource, env: &BTreeMap<String, String>, report: &mut Report) {
    secret(key, source, env, report);
    let length = match &source.env {
        Some(name) => env.get(name).map(|token| token.trim_end_matches(['\r', '\n']).len()),
        None => source.read().ok().map(|token| secrecy::ExposeSecret::expose_secret(&token).len()),
    };
    if !report.is_wrong_below(key) && length.is_some_and(|length| length < TOKEN_MIN) {
        let remedy = "make one with `openssl rand -hex 32`";
        report.error(key, format!("the token is shorter than {TOKEN_MIN} characters"), Some(remedy.into()));
    }
}

fn of_tenant(key: &Key, tenant: &Tenant, env: &BTreeMap<String, String>, report: &mut Report) {
    credential(key, &tenant.credential, tenant.client_id.as_deref(), env, report);
    if let Some(path) = &tenant.tls_ca_file {
        authorities(&key.child("tls_ca_file"), path, report);
    }
    proxy(&key.child("proxy"), &tenant.proxy, env, report);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if let Start::At(time) = tenant.start
        && Timestamp::from_seconds(now) < time
    {
        report.error(
            &key.child("start"),
            "this time is yet to come",
            Some("\"now\" begins with what changes next".into()),
        );
    }
}

/// What goes with a proxy.
fn proxy(key: &Key, settings: &proxy::Settings, env: &BTreeMap<String, String>, report: &mut Report) {
    if let Some(password) = &settings.password {
        secret(&key.child("password"), password, env, report);
    }
    certificates(&key.child("tls"), &settings.tls, report);
}

/// The credential in a table, and the client id beside it.
fn credential(
    table: &Key,
    credential: &Credential,
    client_id: Option<&str>,
    env: &BTreeMap<String, String>,
    report: &mut Report,
) {
    let key = table.child("credential");
    match credential {
        Credential::ClientSecret(source) => secret(&key, source, env, report),
        Credential::Certificate(certificate) => own_certificate(&key, certificate, report),
        Credential::WorkloadIdentity(identity) => {
            let variable = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
            platform_token(&key.child("token_file"), identity, &variable, report);
            if credential.client_id(client_id, &variable).is_none() {
                let remedy = format!("write the Application (client) ID, or let the platform set {CLIENT_ID_VARIABLE}");
                report.missing(&table.child("client_id"), Some(remedy));
            }
        }
        Credential::ManagedIdentity => {}
    }
}

fn platform_token(
    key: &Key,
    identity: &WorkloadIdentity,
    variable: &dyn Fn(&str) -> Option<String>,
    report: &mut Report,
) {
    if identity.token_file.as_ref().is_some_and(|path| is_no_path(key, path, report)) {
        return;
    }
    if let Err(error) = identity.file(variable).and_then(|path| SecretSource::file(path).read()) {
        let remedy = "the platform has to keep its token in a file and to say where: see docs/credentials.md";
        report.error(key, error.to_string(), Some(remedy.into()));
    }
}

fn own_certificate(around: &Key, certificate: &Certificate, report: &mut Report) {
    let key = &around.child("certificate");
    let (own, private_key) = (&certificate.certificate, certificate.private_key.as_ref());
    let wrong = is_no_path(key, own, report);
    if private_key.is_some_and(|path| is_no_path(&around.child("private_key"), path, report)) || wrong {
        return;
    }
    let remedy = "upload the next one under Certificates & secrets of the app registration and put it there";
    match certificate.expires_at().map(|end| end.duration_since(SystemTime::now())) {
        Err(error) => {
            let key_file = &around.child("private_key");
            let remedy = of_systemd(key, own).or_else(|| of_systemd(key_file, private_key?));
            return report.error(key, error.to_string(), remedy);
        }
        // No error: a certificate expires while nobody touches anything, and must not keep other tenants from being read.
        Ok(Err(_)) => report.warning(key, "the certificate has expired", Some(remedy.into())),
        Ok(Ok(left)) if left < ENDS_SOON => {
            let days = left.as_secs() / (24 * 3600);
            report.warning(key, format!("the certificate expires in {days} days"), Some(remedy.into()));
        }
        Ok(Ok(_)) => {}
    }
    if let Some(path) = SecretSource::file(certificate.key_file()).readable_by_everybody() {
        let what = format!("everybody can read the private key in {}", path.display());
        report.warning(around, what, Some("chmod 0400, or 0440 with a group".into()));
    }
}

/// Whether a key or a token was pasted where its file's path belongs. Then it is not shown.
fn is_no_path(key: &Key, path: &Path, report: &mut Report) -> bool {
    let is_none = !path.is_absolute() && !path.is_file();
    if is_none {
        report.error(key, "there is no such file", Some(NOT_SHOWN.into()));
    }
    is_none
}

/// Nothing that is pasted into the wrong place is shown: a path only where it begins with a slash, a name only where it is
/// one of a variable.
fn secret(key: &Key, source: &SecretSource, env: &BTreeMap<String, String>, report: &mut Report) {
    let nothing = *source == SecretSource::default();
    if report.is_wrong(key) || (nothing && report.is_wrong(&key.child("kind"))) {
        return;
    }
    let (file, variable) = (key.child("file"), key.child("env"));
    match (&source.file, &source.env) {
        (Some(path), None) => secret_file(&file, path, source, report),
        (None, Some(name)) if !is_variable(name) => {
            let remedy = "the name stands here and the secret in the variable, such as env = \"CONTOSO_SECRET\"";
            report.error(&variable, "not the name of an environment variable", Some(remedy.into()));
        }
        (None, Some(name)) => match env.get(name) {
            Some(value) if value.trim_end_matches(['\r', '\n']).is_empty() => {
                report.error(&variable, format!("the environment variable {name} is empty"), None);
            }
            Some(_) => {}
            None => {
                let remedy =
                    "set it where xdrelay is started (systemd: EnvironmentFile=; containers: the secret's env)";
                report.error(&variable, format!("the environment variable {name} is not set"), Some(remedy.into()));
            }
        },
        (None, None) => {
            report.missing(&file, Some("either file = \"…\" or env = \"…\" says where the secret is".into()));
        }
        (Some(_), Some(_)) => {
            report.error(key, "both `file` and `env`", Some("a secret is in one place: take one out".into()));
        }
    }
}

fn is_variable(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    plain && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

fn secret_file(key: &Key, path: &Path, source: &SecretSource, report: &mut Report) {
    let (shown, remedy) = match path.is_absolute() {
        true => (
            format!("the file {}", path.display()),
            "it has to be there and readable for the user that xdrelay runs as",
        ),
        false => ("the file".to_owned(), NOT_SHOWN),
    };
    match source.read() {
        Ok(_) => {}
        Err(SecretError::Empty(_)) => {
            report.error(key, format!("{shown} is empty"), Some("write the secret into it".into()));
        }
        Err(SecretError::File { why, .. }) => {
            let remedy = of_systemd(key, path).unwrap_or_else(|| remedy.into());
            report.error(key, format!("{shown} cannot be read: {why}"), Some(remedy));
        }
        Err(SecretError::Env(_) | SecretError::Unclear | SecretError::Unusable { .. }) => {
            report.error(key, "names no secret", None)
        }
    }
    if path.is_file() && source.readable_by_everybody().is_some() {
        report.warning(key, format!("everybody can read {shown}"), Some("chmod 0400, or 0440 with a group".into()));
    }
}

/// The remedy where a secret is missing that systemd hands over: outside of the running service it is not there, and whoever
/// checks before the first start has to name the file that it is made from.
fn of_systemd(key: &Key, path: &Path) -> Option<String> {
    let name = path.strip_prefix(CREDENTIALS).ok().filter(|_| !path.exists())?.file_name()?.to_str()?;
    let variable = variable_of(key).map(|variable| format!(": {variable}=/etc/xdrelay/secrets/{name} xdrelay check"));
    let how = variable.unwrap_or_default();
    Some(format!(
        "systemd puts it there when the service starts (LoadCredential={name}:FILE); to check before that, name that FILE{how}"
    ))
}

fn authorities(key: &Key, path: &Path, report: &mut Report) {
    let setting = tls::Config { ca_file: Some(path.to_owned()), ..tls::Config::default() };
    if let Err(error) = setting.check() {
        report.error(key, error.to_string(), Some("a file of PEM certificates (-----BEGIN CERTIFICATE-----)".into()));
    }
}

fn certificates(key: &Key, setting: &tls::Config, report: &mut Report) {
    if let Some(path) = &setting.ca_file {
        authorities(&key.child("ca_file"), path, report);
    }
    let own = match (&setting.certificate, &setting.private_key) {
        (None, None) => return,
        (Some(_), None) => key.child("private_key"),
        (None, Some(_)) => key.child("certificate"),
        (Some(_), Some(_)) => key.child("certificate"),
    };
    let setting = tls::Config { ca_file: None, ..setting.clone() };
    if let Err(error) = setting.check() {
        let remedy = "PEM files of a certificate with its chain and of its unencrypted key";
        report.error(&own, error.to_string(), Some(remedy.into()));
    }
}

fn state_dir(path: &Path, report: &mut Report) {
    let key = Key::of(["state_dir"]);
    let shown = path.display();
    let remedy = || {
        let text = format!(
            "make it for the user that xdrelay runs as (systemd: StateDirectory=xdrelay): install -d -m 0700 -o xdrelay {shown}"
        );
        Some(text)
    };
    if path.as_os_str().is_empty() {
        report.error(&key, "empty", Some("such as \"/var/lib/xdrelay\"".into()));
    } else if path.is_dir() {
        if !may_write(path) {
            report.error(&key, format!("the directory {shown} cannot be written to"), remedy());
        } else if is_open_to_all(path) {
            let what = format!("everybody on this host can read the incidents in {shown}");
            report.warning(&key, what, Some(format!("chmod 0700 {shown}")));
        }
    } else if path.exists() {
        report.error(&key, format!("{shown} is not a directory"), Some("name a directory of its own".into()));
    } else {
        let around = existing(path);
        if !around.is_dir() || !may_write(&around) {
            let what = format!("the directory {shown} is not there and cannot be made in {}", around.display());
            report.error(&key, what, remedy());
        }
    }
}

/// Whether others than its owner and group can look into a directory of ours. One of somebody else's, such as a volume that a
/// platform gives us, is not ours to close.
fn is_open_to_all(path: &Path) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    path.metadata().is_ok_and(|about| about.uid() == ours && about.mode() & 0o005 != 0)
}

fn file_sink(key: &Key, path: &Path, report: &mut Report) {
    let around = parent(path);
    let shown = path.display();
    if path.as_os_str().is_empty() || path.is_dir() {
        report.error(key, format!("{shown} is a directory"), Some("name a file in it".into()));
    } else if !around.is_dir() {
        let what = format!("there is no directory {}", around.display());
        report.error(
            key,
            what,
            Some("make it for the user that xdrelay runs as (systemd: LogsDirectory=xdrelay)".into()),
        );
    } else if !may_write(&around) || (path.exists() && !may_write(path)) {
        let remedy = "give the user that xdrelay runs as the right to write there";
        report.error(key, format!("{shown} cannot be written"), Some(remedy.into()));
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(around) if !around.as_os_str().is_empty() => around.to_owned(),
        Some(_) | None => ".".into(),
    }
}

/// The nearest directory around a path that is there.
fn existing(path: &Path) -> PathBuf {
    let mut around = parent(path);
    while !around.exists() && around.parent().is_some() {
        around = parent(&around);
    }
    around
}

/// By the rights of the user that we are.
fn may_write(path: &Path) -> bool {
    let access = if path.is_dir() { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}
