//! Events into a file, one line each. A line counts when it is fsynced; what was written and does not count is cut off
//! again. It never follows a symbolic link and never shares its file with another writer.

use std::ffi::OsString;
use std::fs::{self, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::core::courier::DeliverError;
use crate::model::names::Seq;
use crate::model::units::{Size, Span};
use crate::sink::blocking::Blocking;
use crate::sink::{OpenError, Outgoing, Problem, Sink, problem};

/// What is promised of delivery.
pub(crate) const GUARANTEE: &str = "at least once: an event counts when its line is fsynced; a crash just before leaves no \
     torn line and repeats events with the same event_id";
/// Events and bytes in one call: one write and one fsync.
pub(crate) const BATCH_LIMIT: (usize, usize) = (1000, 8 << 20);
/// How long the disk may take for one batch before it counts as hanging.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Rotated files at most: each rotation renames them all.
const KEEP_MAX: u32 = 1000;
/// What is read at a time in search of the last line end.
const BLOCK_SIZE: usize = 64 * 1024;
/// A file without a line end in its last part of this size holds no events; it is left alone. No event is near as large.
const TAIL_SIZE_MAX: u64 = 256 << 20;

/// The keys of a sink of kind `file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file; its directory must exist.
    pub path: PathBuf,
    /// Begin a new file when this one would become larger; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_size: Option<Size>,
    /// Begin a new file when the first event in this one is older; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<Span>,
    /// How many rotated files are kept beside the current one (`path.1` is the youngest).
    #[serde(default = "keep_default")]
    pub keep: u32,
}

fn keep_default() -> u32 {
    7
}

impl Config {
    /// What can be seen to be wrong without touching the disk.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.path.file_name().is_none() || self.path.as_os_str().to_string_lossy().ends_with('/') {
            problems.push(problem("path", format!("{:?} names no file", self.path)));
        }
        if self.rotate_size == Some(Size(0)) {
            problems.push(problem("rotate_size", "0 would begin a new file for each event; leave it out for never"));
        }
        if self.rotate_every == Some(Span(Duration::ZERO)) {
            problems.push(problem("rotate_every", "0 would begin a new file for each batch; leave it out for never"));
        }
        let rotates = self.rotate_size.is_some() || self.rotate_every.is_some();
        if rotates && !(1..=KEEP_MAX).contains(&self.keep) {
            problems.push(problem(
                "keep",
                format!("{} is not between 1 and {KEEP_MAX}, as a file that rotates needs", self.keep),
            ));
        }
        problems
    }
}

/// A sink of kind `file`.
///
/// To open the file anew (SIGHUP), [`close`](Sink::close) this one and open another: closing waits for what is still
/// being written and gives the lock back. A file that was moved or deleted is noticed without that.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    writer: Blocking<Writer>,
}

impl File {
    /// Opens the file, creates it where there is none, locks it, and cuts off the torn line that a crash may have left.
    ///
    /// # Errors
    /// The path is no regular file, or another sink or process writes it. What can be put right while the daemon runs (a
    /// missing directory, permissions, a full disk) is no error here: [`deliver`](Sink::deliver) tells it.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let mut writer = Writer { config: config.clone(), held: None };
        match writer.ready() {
            Ok(_) | Err(Obstacle::Passing(_) | Obstacle::Lasting(_)) => {}
            Err(Obstacle::Misplaced(why)) => return Err(OpenError { why }),
        }
        Ok(Self { path: config.path.clone(), writer: Blocking::new(writer, WRITE_TIMEOUT) })
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<R, DeliverError> + Send + 'static,
    ) -> Result<R, DeliverError> {
        self.writer.run(work).await.unwrap_or_else(|unfinished| {
            Err(DeliverError::Retry { why: format!("cannot write {}: {unfinished}", self.path.display()), after: None })
        })
    }
}

impl Sink for File {
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        let lines = Lines::of(events);
        Box::pin(self.run(move |writer| writer.append(&lines)))
    }

    fn close<'a>(&'a mut self) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        Box::pin(self.run(|writer| {
            writer.held = None;
            Ok(None)
        }))
    }
}

/// Events as the bytes of the file, and where each ends.
struct Lines {
    bytes: Vec<u8>,
    ends: Vec<(Seq, usize)>,
}

impl Lines {
    fn of(events: &[Outgoing]) -> Self {
        let mut bytes = Vec::with_capacity(events.iter().map(|event| event.body.len() + 1).sum());
        let mut ends = Vec::with_capacity(events.len());
        for event in events {
            bytes.extend_from_slice(&event.body);
            bytes.push(b'\n');
            ends.push((event.seq, bytes.len()));
        }
        Self { bytes, ends }
    }
}

/// What is in the way of writing.
#[derive(Debug)]
enum Obstacle {
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

/// The blocking side of the sink.
#[derive(Debug)]
struct Writer {
    config: Config,
    held: Option<Held>,
}

impl Writer {
    /// Writes the lines, in as many files as rotation wants, and answers up to where they are durable. An error after a
    /// part of them leaves its telling to the next call.
    fn append(&mut self, lines: &Lines) -> Result<Option<Seq>, DeliverError> {
        let (mut durable, mut from, mut ends) = (None, 0, lines.ends.as_slice());
        self.ready()?;
        while let [(_, first), ..] = ends {
            let written = self.ready_for(first - from).and_then(|(held, room)| {
                let count = ends.iter().take_while(|(_, end)| (end - from) as u64 <= room).count().max(1);
                let (now, later) = ends.split_at(count);
                let (seq, to) = now[count - 1];
                held.write(&lines.bytes[from..to]).map(|()| (seq, to, later))
            });
            match written {
                Ok((seq, to, later)) => (durable, from, ends) = (Some(seq), to, later),
                Err(obstacle) if durable.is_none() => return Err(obstacle.into()),
                Err(_) => break,
            }
        }
        Ok(durable)
    }

    /// The file for the next line of so many bytes, and how many fit into it.
    fn ready_for(&mut self, line: usize) -> Result<(&mut Held, u64), Obstacle> {
        let held = self.ready()?;
        let (length, begun) = (held.length, held.begun);
        let limit = self.config.rotate_size.map_or(u64::MAX, |size| size.0);
        let too_large = limit < length.saturating_add(line as u64);
        let age = begun.elapsed().unwrap_or_default();
        let too_old = self.config.rotate_every.is_some_and(|every| every.0 < age);
        if 0 < length && (too_large || too_old) {
            self.rotate()?;
        }
        let held = self.ready()?;
        let room = limit.saturating_sub(held.length);
        Ok((held, room))
    }

    /// The file at the path, opened anew where it is another one than we hold, and without anything that does not count.
    fn ready(&mut self) -> Result<&mut Held, Obstacle> {
        let path = &self.config.path;
        let held = match self.held.take() {
            Some(held) if held.is_at(path) => held,
            Some(mut moved) => {
                // The best we can do for a file that is not ours any more: no torn line stays in it.
                let _ = moved.mend();
                Held::open(path)?
            }
            None => Held::open(path)?,
        };
        let held = self.held.insert(held);
        held.mend().map_err(|error| obstacle("repair", path, &error))?;
        Ok(held)
    }

    /// Moves `path` to `path.1` and those before it one further, up to the first gap, so that a rotation that was cut short
    /// costs no file. Beyond `keep` the oldest goes.
    fn rotate(&mut self) -> Result<(), Obstacle> {
        let path = &self.config.path;
        let keep = self.config.keep.max(1);
        let free = (1..keep).find(|n| fs::symlink_metadata(numbered(path, *n)).is_err()).unwrap_or(keep);
        for n in (1..free).rev() {
            rename(&numbered(path, n), &numbered(path, n + 1))?;
        }
        rename(path, &numbered(path, 1))?;
        sync_directory(path).map_err(|error| obstacle("rotate", path, &error))?;
        self.held = None;
        Ok(())
    }
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{n}"));
    name.into()
}

fn rename(from: &Path, to: &Path) -> Result<(), Obstacle> {
    fs::rename(from, to).map_err(|error| obstacle("rotate", from, &error))
}

/// Makes names durable: a new file is lost in a power cut where only its content is synced.
fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(directory(path))?.sync_all()
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// An open and locked file.
#[derive(Debug)]
struct Held {
    file: fs::File,
    path: PathBuf,
    /// Bytes that count.
    length: u64,
    /// A write began and did not end well: what lies behind `length` does not count.
    torn: bool,
    /// When the first event in it was written, as well as the file system tells.
    begun: SystemTime,
}

impl Held {
    fn open(path: &Path) -> Result<Self, Obstacle> {
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
    fn is_at(&self, path: &Path) -> bool {
        let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        match (fs::symlink_metadata(path), self.file.metadata()) {
            (Ok(there), Ok(ours)) => identity(&there) == identity(&ours),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }

    /// Leaves nothing behind `length` and no torn line before it. Somebody may have emptied the file meanwhile.
    fn mend(&mut self) -> io::Result<()> {
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
    fn write(&mut self, bytes: &[u8]) -> Result<(), Obstacle> {
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
fn obstacle(verb: &str, path: &Path, error: &io::Error) -> Obstacle {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_before_the_disk_is_touched() {
        let check = |text: &str, key: Option<&str>| {
            let config: Config = toml::from_str(text).expect(text);
            let problems = config.validate();
            assert_eq!(problems.first().map(|problem| problem.0.as_str()), key, "{text}: {problems:?}");
        };
        check("path = '/var/log/x.ndjson'", None);
        check("path = 'x'\nrotate_size = '1 GiB'\nrotate_every = '1d'\nkeep = 30", None);
        check("path = 'x'\nkeep = 0", None);
        check("path = ''", Some("path"));
        check("path = '/'", Some("path"));
        check("path = '/var/log/'", Some("path"));
        check("path = '..'", Some("path"));
        check("path = 'x'\nrotate_size = '0 B'", Some("rotate_size"));
        check("path = 'x'\nrotate_every = '0s'", Some("rotate_every"));
        check("path = 'x'\nrotate_every = '1d'\nkeep = 0", Some("keep"));
        check("path = 'x'\nrotate_size = '1 MiB'\nkeep = 4000000000", Some("keep"));
    }

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
