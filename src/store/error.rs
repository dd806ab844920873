//! What can go wrong in the store. The variants are the decisions of the caller; the words are for people.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::values::Damage;

/// Why the state directory cannot be used. The process ends, with exit code 73.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is held by another xdrelay{}; stop that one or give this one a state_dir of its own", .dir.display(), by(*.pid))]
    Held {
        /// The state directory.
        dir: PathBuf,
        /// The process that wrote its id there last.
        pid: Option<u32>,
    },
    /// It has something else in it.
    #[error("{} is no state directory of xdrelay: it holds {found}; give state_dir a directory of its own", .dir.display())]
    Foreign {
        /// The state directory.
        dir: PathBuf,
        /// What was found there.
        found: String,
    },
    /// We are root, and it is another user's: what root makes in it that user could not read or write afterwards.
    #[error(
        "{} belongs to user {user}, whom files of root's in it would keep out; run this as that user (a service of systemd: \
         systemctl start), or give it to root: chown -R 0:0 {}",
        .dir.display(), .dir.display()
    )]
    Anothers {
        /// The state directory.
        dir: PathBuf,
        /// Whose it is.
        user: u32,
    },
    /// Another program wrote it, most likely a newer one.
    #[error("{} has format {found}, this program knows {known}; {}", .dir.display(), other(*.found, *.known))]
    OtherFormat {
        /// The state directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It is damaged, and `on_corrupt` or the lack of a readable checkpoint forbids going on.
    #[error("{} is damaged: {why}; {remedy}", .dir.display())]
    Corrupt {
        /// The state directory.
        dir: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What can be done.
        remedy: &'static str,
    },
    /// Its disk is so full that not even the ballast helps.
    #[error("the disk of {} is full: {why}; free some space", .dir.display())]
    Full {
        /// The state directory.
        dir: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The system refuses.
    #[error("{}: {source}; the directory must be one that this user can write to", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl OpenError {
    /// What the system refused at a place. A full disk is told as such: the remedy is another.
    pub(crate) fn at(path: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            Self::Full { dir: path.to_owned(), why: source.to_string() }
        } else {
            Self::Io { path: path.to_owned(), source }
        }
    }
}

const fn other(found: u32, known: u32) -> &'static str {
    if known < found {
        "use the newer xdrelay again"
    } else {
        "no xdrelay that was released wrote that: restore the directory, or move it away and start anew from a chosen time"
    }
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// Why the store did not do as it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A write or a flush failed, and nobody can say any more what is on the disk. Every verb fails from now on: end the
    /// process (exit code 74); the next start recovers.
    #[error("the store failed and must be opened again by a restart: {why}")]
    Poisoned {
        /// The cause.
        why: String,
    },
    /// A value is not what was written. As [`Poisoned`](Self::Poisoned); the next start rebuilds.
    #[error("the store is damaged, a restart rebuilds it: {why}")]
    Corrupt {
        /// The cause.
        why: String,
    },
    /// The disk is full. Nothing of this command is remembered for sure; give it again once there is room.
    #[error("the disk of the store is full: {why}")]
    Full {
        /// The system's words.
        why: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Stopped,
    /// A command that no correct caller gives: a cursor that goes backwards, a sink that is not registered. Nothing was
    /// written.
    #[error("{why}")]
    Misused {
        /// What is wrong with it.
        why: String,
    },
}

impl StoreError {
    pub(crate) fn misused(why: impl Into<String>) -> Self {
        Self::Misused { why: why.into() }
    }

    /// Whether the command alone is to blame, and the store is as it was.
    pub(crate) const fn is_harmless(&self) -> bool {
        match self {
            Self::Misused { .. } => true,
            Self::Poisoned { .. } | Self::Corrupt { .. } | Self::Full { .. } | Self::Stopped => false,
        }
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Corrupt { why: damage.why }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Self::Full { why: error.to_string() } } else { Self::Poisoned { why: error.to_string() } }
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) if error.raw_os_error().is_none() && is_misread(&error) => {
                Self::Corrupt { why: error.to_string() }
            }
            sled::Error::Io(error) => error.into(),
            // The last two are what it says of a file that makes no sense to it.
            error @ (sled::Error::Corruption { .. }
            | sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_)) => Self::Corrupt { why: error.to_string() },
        }
    }
}

/// No space, or no more of it for this user.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What sled says of contents that do not make sense. It has no number of the system's.
pub(crate) fn is_misread(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}
