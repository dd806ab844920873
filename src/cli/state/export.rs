//! `xdrelay state export`: everything in the ledger as lines of JSON, on standard output or into a file.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
    #[arg(skip)]
    opened: Option<File>,
    #[command(flatten)]
    pub(super) files: Files,
}

impl Export {
    pub(super) async fn run(mut self) -> Result<(), Exit> {
        let store = state::open(&self.files.parse()?)?;
        let exported = self.export(&store);
        store.close().await?;
        exported
    }

    /// Opens the file, if there is to be one. What is in it stays until there is something to write.
    pub(super) fn open(&mut self) -> Result<(), Exit> {
        if let (Some(path), None) = (&self.file, &self.opened) {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(false).mode(0o600).open(path);
            self.opened = Some(file.map_err(|error| failed(path, &error))?);
        }
        Ok(())
    }

    fn export(&mut self, store: &Store) -> Result<(), Exit> {
        self.open()?;
        let (Some(path), Some(file)) = (&self.file, &self.opened) else {
            return written(store, "standard output", BufWriter::new(std::io::stdout().lock())).map(drop);
        };
        let failed = |error: std::io::Error| failed(path, &error);
        // A pipe or a device has no length.
        if file.metadata().map_err(failed)?.is_file() {
            file.set_len(0).map_err(failed)?;
        }
        let lines = written(store, &path.display().to_string(), BufWriter::new(file))?;
        file.sync_all().map_err(failed)?;
        crate::cli::output::line(format_args!("{lines} lines in {}", path.display()))?;
        Ok(())
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Exit {
    Exit::new(exit::IO, format!("{}: {error}", path.display()))
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
