//! Events into a file, one line each. A line counts when it is fsynced; what was written and does not count is cut off
//! again. It never follows a symbolic link and never shares its file with another writer.

mod held;

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::courier::DeliverError;
use crate::model::names::Seq;
use crate::model::units::{Size, Span};
use crate::sink::file::held::{Held, Obstacle, obstacle, sync_directory};
use crate::sink::{Names, OpenError, Outgoing, Problem, Settings, Sink, problem};
use crate::transport::blocking::Blocking;

/// What is promised of delivery.
pub(crate) const GUARANTEE: &str = "at least once: an event counts when its line is fsynced; a crash just before leaves no \
     torn line and repeats events with the same event_id";
/// Events and bytes in one call: one write and one fsync.
pub(crate) const BATCH_LIMIT: (usize, usize) = (1000, 8 << 20);
/// How long the disk may take for one batch before it counts as hanging.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Rotated files at most: each rotation renames them all.
const KEEP_MAX: u32 = 1000;
/// The keys of a sink of kind `file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

impl Settings for Config {
    fn open(&self) -> Result<Box<dyn Sink>, OpenError> {
        Ok(Box::new(File::open(self)?))
    }

    fn validate(&self) -> Vec<Problem> {
        Self::validate(self)
    }

    fn guarantee(&self) -> &'static str {
        GUARANTEE
    }

    fn names(&self) -> Names<'_> {
        Names { file: Some(("path", &self.path)), ..Names::default() }
    }

    fn destination(&self) -> Option<(&'static str, String)> {
        // Without `.` and doubled slashes; `..` stays, since a link may be in between.
        let plain: PathBuf = self.path.components().filter(|part| *part != Component::CurDir).collect();
        Some(("path", plain.display().to_string()))
    }

    fn batch_limit(&self) -> (usize, usize) {
        BATCH_LIMIT
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
            ends.push((event.reaches(), bytes.len()));
        }
        Self { bytes, ends }
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
}
