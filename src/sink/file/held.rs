//! An open file: locked, whole up to the last line that counts, and what is in the way where it cannot be had. It knows nothing
//! of events.

use std::fs::{self, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::core::courier::DeliverError;

/// What is read at a time in search of the last line end.
const BLOCK_SIZE: usize = 64 * 1024;
/// A file without a line end in its last part of this size holds no events; it is left alone. No event is near as large.
const TAIL_SIZE_MAX: u64 = 256 << 20;

/// An open and locked file.
#[derive(Debug)]
pub(super) struct Held {
    file: fs::File,
    path: PathBuf,
    /// Bytes that count.
    pub(super) length: u64,
    /// A write began and did not end well: what lies behind `length` does not count.
    torn: bool,
    /// When the first event in it was written, as well as the file system tells.
    pub(super) begun: SystemTime,
}

impl Held {
    /// Opens the file or creates it, and locks it. What it holds is to be mended first.
    pub(super) fn open(path: &Path) -> Result<Self, Obstacle> {
        let wrong = |error: io::Error| obstacle("open", path, &error);
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = fs::OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .map_err(wrong)?;
        let metadata = file.metadata().map_err(wrong)?;
        if !metadata.is_file() {
            return Err(Obstacle::Misplaced(format!("{} is no regular file; name one", path.display())));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = "is being written by another sink or process (it is locked); give each a path of its own";
                return Err(Obstacle::Misplaced(format!("{} {why}", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(wrong(error)),
        }
        let begun = metadata.created().unwrap_or_else(|_| SystemTime::now());
        let held = Self { file, path: path.to_owned(), length: metadata.len(), torn: true, begun };
        if !held.is_at(path) {
            return Err(Obstacle::Passing(format!("{} was moved while it was opened", path.display())));
        }
        if held.length == 0 {
            sync_directory(path).map_err(wrong)?;
        }
        Ok(held)
    }

    /// Whether the path still is this file: log rotation by others moves or deletes it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        match (fs::symlink_metadata(path), self.file.metadata()) {
            (Ok(there), Ok(ours)) => identity(&there) == identity(&ours),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }

    /// Leaves nothing behind `length` and no torn line before it. Somebody may have emptied the file meanwhile.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        let actual = self.file.metadata()?.len();
        if !self.torn {
            self.length = actual;
            return Ok(());
        }
        if self.length < actual {
            self.file.set_len(self.length)?;
        }
        self.length = cut_torn_line(&self.file, self.length.min(actual))?;
        self.torn = false;
        Ok(())
    }

    /// Appends and syncs; where that fails, what was written is cut off again, now or before the next attempt.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Obstacle> {
        if self.length == 0 {
            self.begun = SystemTime::now();
        }
        self.torn = true;
        match self.file.write_all(bytes).and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                self.torn = false;
                Ok(())
            }
            Err(error) => {
                // Whether this succeeds does not matter: `torn` stays and the next attempt begins with it.
                let _ = self.mend();
                Err(obstacle("write", &self.path, &error))
            }
        }
    }
}

/// Cuts a file of `length` bytes back to its last line end, which it looks for from the end on.
fn cut_torn_line(file: &fs::File, length: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK_SIZE];
    let mut end = length;
    let mut whole = 0;
    while 0 < end {
        if TAIL_SIZE_MAX < length - end {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it holds no events, having no line end near its end",
            ));
        }
        let start = end.saturating_sub(BLOCK_SIZE as u64);
        let part = &mut block[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            whole = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if whole < length {
        file.set_len(whole)?;
    }
    Ok(whole)
}

/// What an error asks for, with the remedy.
pub(super) fn obstacle(verb: &str, path: &Path, error: &io::Error) -> Obstacle {
    let (at, near) = (path.display(), directory(path).display());
    let lasting = |remedy: String| Obstacle::Lasting(format!("cannot {verb} {at}: {remedy}"));
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => Obstacle::Passing(format!(
            "cannot {verb} {at}: the disk is full; delivery goes on by itself once there is room ({error})"
        )),
        Some(Errno::ACCESS | Errno::PERM) => lasting(format!(
            "permission denied; let the daemon's user write the file and the directory {near} ({error})"
        )),
        Some(Errno::NOENT | Errno::NOTDIR) => {
            lasting(format!("the directory {near} does not exist; create it, writable for the daemon's user ({error})"))
        }
        Some(Errno::ROFS) => lasting(format!("the file system is read-only; mount it writable ({error})")),
        Some(Errno::ISDIR) => Obstacle::Misplaced(format!("{at} is a directory; name a file")),
        Some(Errno::LOOP) => Obstacle::Misplaced(format!("{at} is a symbolic link; name the file itself")),
        None if error.kind() == io::ErrorKind::InvalidData => {
            Obstacle::Misplaced(format!("{at}: {error}; name another file"))
        }
        Some(_) | None => Obstacle::Passing(format!("cannot {verb} {at}: {error}")),
    }
}

/// What is in the way of writing.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// It goes by itself, or with room on the disk.
    Passing(String),
    /// Somebody has to put it right; the path may stay.
    Lasting(String),
    /// The path itself is wrong.
    Misplaced(String),
}

impl From<Obstacle> for DeliverError {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Passing(why) => Self::Retry { why, after: None },
            Obstacle::Lasting(why) | Obstacle::Misplaced(why) => Self::Pause { why },
        }
    }
}

/// Makes names durable: a new file is lost in a power cut where only its content is synced. Some network file systems have no
/// such call; there it is theirs to keep names.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    match fs::File::open(directory(path))?.sync_all() {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOTSUP)) => Ok(()),
        result => result,
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_disk_asks_for_what_helps() {
        let check = |errno: Errno, kind: &str, word: &str| {
            let (found, why) = match obstacle("write", Path::new("/logs/x"), &errno.into()) {
                Obstacle::Passing(why) => ("passing", why),
                Obstacle::Lasting(why) => ("lasting", why),
                Obstacle::Misplaced(why) => ("misplaced", why),
            };
            assert_eq!(found, kind, "{why}");
            assert!(why.contains(word) && why.contains("/logs"), "{why}");
        };
        check(Errno::NOSPC, "passing", "full");
        check(Errno::DQUOT, "passing", "full");
        check(Errno::IO, "passing", "cannot write /logs/x");
        check(Errno::ACCESS, "lasting", "permission");
        check(Errno::PERM, "lasting", "permission");
        check(Errno::NOENT, "lasting", "directory /logs does not exist");
        check(Errno::ROFS, "lasting", "read-only");
        check(Errno::ISDIR, "misplaced", "directory");
        check(Errno::LOOP, "misplaced", "symbolic link");
    }

    #[test]
    fn a_torn_line_is_cut_and_a_whole_one_stays() {
        let check = |content: &[u8], whole: usize| {
            let file = tempfile::tempfile().expect("a file");
            file.write_all_at(content, 0).expect("written");
            let length = cut_torn_line(&file, content.len() as u64).expect("cut");
            assert_eq!((length, file.metadata().expect("metadata").len()), (whole as u64, whole as u64));
        };
        check(b"", 0);
        check(b"torn", 0);
        check(b"one\n", 4);
        check(b"one\ntwo\nthr", 8);
        let long = [b"one\n".as_slice(), &vec![b'x'; 3 * BLOCK_SIZE]].concat();
        check(&long, 4);
        check(&[&long[..], b"\n"].concat(), long.len() + 1);
        check(&[&vec![b'x'; BLOCK_SIZE - 1][..], b"\n", &vec![b'x'; BLOCK_SIZE]].concat(), BLOCK_SIZE);
    }
}
