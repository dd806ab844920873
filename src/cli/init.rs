//! `xdrelay init`: four questions, a commented configuration, and what to do in Entra. Asks nobody but the user, and writes
//! nothing but the one file.

mod entra;
mod template;

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use url::Url;

use crate::cli::exit::{self, Exit};
use crate::cli::output;
use crate::config;

/// Bytes of an answer at most.
const ANSWER_MAX: u64 = 4096;
/// How often a question is asked before it is given up.
const TRIES_MAX: u32 = 5;

/// Ask four questions, write a commented configuration, print the steps in Entra.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "xdrelay.toml")]
    output: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// The answer to the first question: Directory (tenant) ID, or a domain
    #[arg(long, value_name = "ID")]
    tenant_id: Option<TenantId>,
    /// The answer to the second: Application (client) ID; "none" where there is none yet
    #[arg(long, value_name = "ID")]
    client_id: Option<ClientId>,
    /// The answer to the third: how to sign in
    #[arg(long, value_name = "KIND")]
    credential: Option<SignIn>,
    /// The answer to the fourth: where events go, such as tls://siem.example.net:6514 or /var/log/xdrelay/incidents.ndjson
    #[arg(long, value_name = "ADDRESS")]
    sink: Option<Destination>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) tenant_id: TenantId,
    pub(crate) client_id: ClientId,
    pub(crate) sign_in: SignIn,
    pub(crate) sink: Destination,
}

/// A GUID or a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantId(pub(crate) String);

/// The app registration; none where it has still to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientId(pub(crate) Option<String>);

/// A kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignIn {
    /// A secret in a file.
    ClientSecret,
    /// A certificate with its key.
    Certificate,
    /// The identity of the host.
    ManagedIdentity,
    /// A token of the platform.
    WorkloadIdentity,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A file of ours.
    File(PathBuf),
    /// `udp://`, `tcp://`, `tls://`, `unix://`
    Syslog(Url),
    /// Splunk's event collector.
    Splunk(Url),
    /// Elasticsearch or OpenSearch.
    Elasticsearch(Url),
    /// Anything else by HTTP.
    Http(Url),
}

impl FromStr for TenantId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
        match plain && (is_guid(text) || text.contains('.')) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err("a GUID such as 11111111-2222-3333-4444-555555555555, or a domain such as contoso.com".into()),
        }
    }
}

impl FromStr for ClientId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "none" => Ok(Self(None)),
            id if is_guid(id) => Ok(Self(Some(id.to_ascii_lowercase()))),
            _ => Err("a GUID such as 66666666-7777-8888-9999-000000000000, or nothing".into()),
        }
    }
}

impl FromStr for SignIn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "1" | "client_secret" => Ok(Self::ClientSecret),
            "2" | "certificate" => Ok(Self::Certificate),
            "3" | "managed_identity" => Ok(Self::ManagedIdentity),
            "4" | "workload_identity" => Ok(Self::WorkloadIdentity),
            _ => Err("1 client_secret, 2 certificate, 3 managed_identity or 4 workload_identity".into()),
        }
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "a path such as /var/log/xdrelay/incidents.ndjson, tls://HOST:6514 (also tcp://, udp://, unix://) for syslog, or \
                      https://HOST for HTTP: port 8088 means Splunk, 9200 Elasticsearch";
        if text.starts_with('/') && 1 < text.len() && !text.ends_with('/') {
            return Ok(Self::File(text.into()));
        }
        let url: Url = text.parse().map_err(|_| wanted.to_owned())?;
        match (url.scheme(), url.port()) {
            ("tls" | "tcp" | "udp" | "unix", _) => Ok(Self::Syslog(url)),
            ("https" | "http", Some(8088)) => Ok(Self::Splunk(url)),
            ("https" | "http", Some(9200)) => Ok(Self::Elasticsearch(url)),
            ("https" | "http", _) => Ok(Self::Http(url)),
            _ => Err(wanted.into()),
        }
    }
}

impl Init {
    pub(crate) fn run(self) -> Result<(), Exit> {
        if self.output.exists() && !self.force {
            let what =
                format!("{} is there already: name another with --output, or add --force", self.output.display());
            return Err(Exit::new(exit::USAGE, what));
        }
        let answers = self.answers(&mut std::io::stdin().lock())?;
        let text = template::configuration(&answers);
        write(&self.output, &text)?;
        // What was written is read as the daemon will read it; a mistake in an answer is said here and not at the start.
        if let Err(problems) = config::parse(std::slice::from_ref(&self.output), std::iter::empty()) {
            let what = format!(
                "{} is written, and these answers have to be put right in it\n{problems}",
                self.output.display()
            );
            return Err(Exit::new(exit::CONFIG, what));
        }
        output::line(format_args!("\nwrote {}\n", self.output.display()))?;
        Ok(output::line(entra::steps(&answers, &self.output))?)
    }

    fn answers(&self, input: &mut impl BufRead) -> Result<Answers, Exit> {
        Ok(Answers {
            tenant_id: answer(
                self.tenant_id.as_ref(),
                "1/4  Which tenant? Its Directory (tenant) ID, as the Entra admin center shows it under Overview",
                input,
            )?,
            client_id: answer(
                self.client_id.as_ref(),
                "2/4  Which app registration? Its Application (client) ID; Enter where there is none yet",
                input,
            )?,
            sign_in: answer(
                self.credential.as_ref(),
                "3/4  How does it sign in?\n     1 client secret   2 certificate   3 managed identity (a host of Azure)   4 workload identity (Kubernetes)\n     \
                 Enter for 1",
                input,
            )?,
            sink: answer(
                self.sink.as_ref(),
                "4/4  Where do incidents go?\n     tls://HOST:6514 for syslog, https://HOST:8088 for Splunk, https://HOST:9200 for Elasticsearch,\n     \
                 https://HOST/PATH for any HTTP receiver, /var/log/xdrelay/incidents.ndjson for a file",
                input,
            )?,
        })
    }
}

/// What the command line says, or else what is answered on standard input.
fn answer<T: FromStr<Err = String> + Clone>(
    given: Option<&T>,
    question: &str,
    input: &mut impl BufRead,
) -> Result<T, Exit> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    for _ in 0..TRIES_MAX {
        output::line(question)?;
        write!(std::io::stdout(), "   > ").and_then(|()| std::io::stdout().flush())?;
        let mut text = String::new();
        let read = std::io::Read::take(&mut *input, ANSWER_MAX).read_line(&mut text);
        match read {
            Ok(0) => break,
            Ok(_) => match text.trim().parse() {
                Ok(value) => return Ok(value),
                Err(wanted) => output::line(format_args!("     that is none: {wanted}"))?,
            },
            Err(error) => return Err(Exit::new(exit::IO, format!("standard input: {error}"))),
        }
    }
    Err(Exit::new(
        exit::USAGE,
        "a question was not answered; every answer can be given as an option: xdrelay init --help",
    ))
}

/// The daemon's own user has to read it, whatever umask root has; there is no secret in it.
fn write(path: &Path, text: &str) -> Result<(), Exit> {
    use std::os::unix::fs::PermissionsExt;
    let is_new = !path.exists();
    let written = std::fs::write(path, text).and_then(|()| match is_new {
        true => std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)),
        false => Ok(()),
    });
    written.map_err(|error| {
        let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        let remedy = if denied { "; run it with sudo, or name another place with --output" } else { "" };
        Exit::new(exit::IO, format!("{}: {error}{remedy}", path.display()))
    })
}

fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_kind_of_sink_it_is() {
        let check = |text: &str, expected: &str| {
            let kind = match text.parse::<Destination>() {
                Ok(Destination::File(_)) => "file",
                Ok(Destination::Syslog(_)) => "syslog",
                Ok(Destination::Splunk(_)) => "splunk",
                Ok(Destination::Elasticsearch(_)) => "elasticsearch",
                Ok(Destination::Http(_)) => "http",
                Err(_) => "none",
            };
            assert_eq!(kind, expected, "{text}");
        };
        check("/var/log/x.ndjson", "file");
        check("/var/log/", "none");
        check("tls://siem.example.net:6514", "syslog");
        check("unix:///run/systemd/journal/syslog", "syslog");
        check("https://splunk.example.net:8088", "splunk");
        check("https://elastic.example.net:9200", "elasticsearch");
        check("https://siem.example.net/ingest", "http");
        check("siem.example.net", "none");
        check("ftp://siem.example.net", "none");
    }

    #[test]
    fn every_combination_of_answers_makes_a_configuration_that_can_be_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("xdrelay.toml");
        for sign_in in ["client_secret", "certificate", "managed_identity", "workload_identity"] {
            for client_id in ["none", "66666666-7777-8888-9999-000000000000"] {
                for sink in [
                    "/var/log/xdrelay/incidents.ndjson",
                    "tls://siem.example.net:6514",
                    "https://splunk.example.net:8088",
                    "https://elastic.example.net:9200",
                    "https://siem.example.net/ingest",
                ] {
                    let answers = Answers {
                        tenant_id: "contoso.example".parse().expect("a domain"),
                        client_id: client_id.parse().expect("an id"),
                        sign_in: sign_in.parse().expect("a kind"),
                        sink: sink.parse().expect("a destination"),
                    };
                    std::fs::write(&file, template::configuration(&answers)).expect("written");
                    let read = config::parse(std::slice::from_ref(&file), std::iter::empty());
                    let read = read.unwrap_or_else(|problems| panic!("{sign_in} {client_id} {sink}\n{problems}"));
                    let (_, tenant) = read.config.tenants.iter().next().expect("a tenant");
                    assert_eq!(tenant.credential.kind(), sign_in);
                    let steps = entra::steps(&answers, &file);
                    assert!(steps.contains("SecurityIncident.Read.All"), "{steps}");
                }
            }
        }
    }

    #[test]
    fn the_steps_for_systemd_are_those_of_the_readme() {
        let answers = Answers {
            tenant_id: "11111111-2222-3333-4444-555555555555".parse().expect("an id"),
            client_id: "66666666-7777-8888-9999-000000000000".parse().expect("an id"),
            sign_in: SignIn::ClientSecret,
            // In no directory that is there already on the machine of the test.
            sink: "/var/log/xdrelay/incidents.ndjson".parse().expect("a file"),
        };
        let flowing = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let readme: Vec<String> = include_str!("../../README.md").lines().map(flowing).collect();
        let steps = entra::steps(&answers, Path::new("/etc/xdrelay/xdrelay.toml"));
        let commands =
            steps.lines().map(flowing).filter(|line| line.starts_with("sudo ") || line.starts_with("printf "));
        let commands: Vec<String> = commands.collect();
        assert!(8 <= commands.len(), "{commands:#?}");
        for command in commands {
            assert!(readme.contains(&command), "README.md does not say: {command}");
        }
    }

    #[test]
    fn questions_that_nobody_answers_end_with_a_word() {
        let init = |text: &str| {
            let none = Init {
                output: "x".into(),
                force: false,
                tenant_id: None,
                client_id: None,
                credential: None,
                sink: None,
            };
            none.answers(&mut text.as_bytes())
        };
        let answers = init("what?\ncontoso.example\n\n\ntls://siem.example.net\n").expect("four answers");
        assert_eq!((answers.client_id, answers.sign_in), (ClientId(None), SignIn::ClientSecret));
        assert!(init("contoso.example\n").is_err());
    }
}
