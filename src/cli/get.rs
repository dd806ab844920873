//! `xdrelay get`: one incident as the API returns it, through the daemon where one runs, so that its quota holds.

use clap::Args;

use crate::admin::control::{self, Reply};
use crate::admin::server::AskError;
use crate::cli::exit::{self, Exit};
use crate::cli::{Files, output};
use crate::config::Config;
use crate::model::names::{IncidentId, TenantName};
use crate::model::page::FetchError;
use crate::run::daemon;

/// Print one incident from the API.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The id of the incident
    id: String,
    /// The tenant, where there are several
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    #[command(flatten)]
    pub(super) files: Files,
}

impl Get {
    pub(crate) async fn run(self) -> Result<(), Exit> {
        let config = self.files.parse()?;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(self.tenant.as_deref().map(|tenant| ("tenant", tenant)))
            .finish();
        let id: String = url::form_urlencoded::byte_serialize(self.id.as_bytes()).collect();
        let path = format!("/incidents/{}?{query}", id.replace('+', "%20"));
        match control::ask(&config.state_dir, &path).await.map_err(|why| Exit::new(exit::UNAVAILABLE, why))? {
            Some(reply) => self.print(reply),
            None => self.alone(config).await,
        }
    }

    fn print(&self, reply: Reply) -> Result<(), Exit> {
        let why = reply.body.trim_end().to_owned();
        match reply.status {
            200 => Ok(output::line(reply.body)?),
            404 => Err(Exit::new(exit::NO_INPUT, format!("incident {}: there is no such incident", self.id))),
            400 => Err(Exit::new(exit::USAGE, why)),
            403 => Err(Exit::new(exit::CREDENTIAL, why)),
            _ => Err(Exit::new(exit::UNAVAILABLE, why)),
        }
    }

    /// Without a daemon: with the same store, so that the same quota holds.
    async fn alone(&self, config: Config) -> Result<(), Exit> {
        let tenant = self.tenant.clone().map(TenantName::new);
        let answer = daemon::get_alone(config, tenant, IncidentId::new(self.id.clone())).await?;
        match answer {
            Ok(json) => Ok(output::line(json)?),
            Err(AskError::Tenant(why)) => Err(Exit::new(exit::USAGE, why)),
            Err(AskError::Fetch(error)) => Err(Exit::new(code(&error), format!("incident {}: {error}", self.id))),
        }
    }
}

const fn code(error: &FetchError) -> u8 {
    match error {
        FetchError::NotFound => exit::NO_INPUT,
        FetchError::Unauthorized { .. } | FetchError::Refused { .. } => exit::CREDENTIAL,
        FetchError::Rejected { .. } => exit::DATA,
        FetchError::Throttled { .. }
        | FetchError::Unavailable { .. }
        | FetchError::Garbled { .. }
        | FetchError::TooLarge { .. } => exit::UNAVAILABLE,
    }
}
