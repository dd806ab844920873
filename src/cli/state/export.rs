//! `xdrelay state export`: everything in the ledger as lines of JSON, on standard output or into a file.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::Args;

use crate::cli::Files;
use crate::cli::exit::{self, Exit};
use crate::cli::state;
use crate::store::Store;

/// Write everything in it as lines of JSON, for a report or a look
///
/// There are incidents in it and no secrets. docs/store.md says what the values mean; times in them are 100 ns ticks since
/// 1970.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Into this file, for its owner alone [default: standard output]
    file: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
}

impl Export {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let store = state::open(&self.files.parse()?)?;
        let exported = self.export(&store);
        store.close().await?;
        exported
    }

    fn export(&self, store: &Store) -> Result<(), Exit> {
        let Some(path) = &self.file else {
            return written(store, "standard output", BufWriter::new(std::io::stdout().lock())).map(drop);
        };
        let place = path.display().to_string();
        let failed = |error: std::io::Error| Exit::new(exit::IO, format!("{place}: {error}"));
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
        let lines = written(store, &place, BufWriter::new(&file))?;
        file.sync_all().map_err(failed)?;
        crate::cli::output::line(format_args!("{lines} lines in {place}"))?;
        Ok(())
    }
}

fn written(store: &Store, place: &str, mut out: impl Write) -> Result<u64, Exit> {
    use crate::store::export::ExportError;
    store.export(&mut out).map_err(|error| match error {
        ExportError::Store(error) => error.into(),
        // Whoever read has read enough, as `head` does.
        ExportError::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::new(exit::IO, ""),
        ExportError::Output(error) => Exit::new(exit::IO, format!("{place}: {error}")),
    })
}
