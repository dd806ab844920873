//! What happened in a run, line by line: a few numbers each, written out only where somebody wants to read them. The same seed
//! gives the same lines.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::core::commit::PassKind;
use crate::core::poller::Reader;
use crate::core::position::Position;
use crate::model::page::{Alerts, FetchError, Query};
use crate::model::timestamp::Timestamp;
use crate::plan::SECOND;
use crate::world::{BEGIN, World};

/// One thing that happened.
#[derive(Debug, Clone, Copy, Hash)]
pub enum What {
    /// The process starts; what is durable: the cursor, events, how far our clock is off in seconds.
    Starts(Option<Timestamp>, u64, i64),
    /// The process dies; batches that were written and are gone.
    Dies(usize),
    /// The database is lost; the cursor of the checkpoint.
    Loses(Option<Timestamp>),
    /// A call leaves: reader, bounds, created bounds, `$skip`, `$top`, whether without alerts.
    Asks(Reader, [Option<Timestamp>; 4], u32, u32, bool),
    /// A call is answered with so many rows; whether it says that some are missing.
    Answers(Reader, usize, bool),
    /// A call fails.
    Fails(Reader, &'static str),
    /// Rows are durable: read for what, rows, new events.
    Commits(PassKind, usize, usize),
    /// A position is durable: cursor, swept.
    Moves(Timestamp, Option<Timestamp>),
    /// So many windows are in quarantine; the first of them.
    Quarantines(usize, Option<(Timestamp, Timestamp)>),
    /// A sink was handed events behind this position, so many.
    Sends(usize, u64, usize),
    /// What came of it.
    Sent(usize, &'static str, u64),
    /// A sink has confirmed up to here, durably.
    Acknowledges(usize, u64),
    /// Something of the weather changes.
    Weather(&'static str, u64),
    /// The faults have ended.
    Heals,
}

/// The lines of a run.
#[derive(Debug, Default)]
pub struct Trace {
    hash: Mix,
    last: VecDeque<(u64, What)>,
    /// How many lines are kept for reading.
    pub kept_max: usize,
}

impl Trace {
    /// It happened now.
    pub fn note(&mut self, at: u64, what: What) {
        at.hash(&mut self.hash);
        what.hash(&mut self.hash);
        if self.kept_max != 0 {
            if self.kept_max <= self.last.len() {
                self.last.pop_front();
            }
            self.last.push_back((at, what));
        }
    }

    /// All lines in one number.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// The last lines, to read.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.last.iter().map(|(at, what)| format!("{} {what}", Clock(*at)))
    }
}

impl What {
    /// A call leaves.
    pub fn asks(reader: Reader, query: &Query) -> Self {
        let created = query.created;
        let bounds = [
            Some(query.window.from),
            query.window.to,
            created.map(|window| window.from),
            created.and_then(|window| window.to),
        ];
        Self::Asks(reader, bounds, query.skip, query.top, query.alerts == Alerts::Apart)
    }

    /// A call fails.
    pub const fn fails(reader: Reader, error: &FetchError) -> Self {
        Self::Fails(
            reader,
            match error {
                FetchError::Throttled { .. } => "429",
                FetchError::Unavailable { .. } => "unavailable",
                FetchError::Unauthorized { .. } => "401",
                FetchError::Refused { .. } => "403",
                FetchError::Rejected { .. } => "400",
                FetchError::Garbled { .. } => "garbled",
                FetchError::TooLarge { .. } => "too large",
                FetchError::NotFound => "404",
            },
        )
    }

    /// A position is durable.
    pub const fn moves(position: &Position) -> Self {
        Self::Moves(position.cursor, position.swept)
    }
}

/// A simulated time as seconds since the begin.
struct Clock(u64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = (self.0 as i64 - BEGIN as i64) / 1_000_000;
        write!(f, "{:>9}.{:03}", millis / 1000, millis.rem_euclid(1000))
    }
}

/// A time of the source as seconds since the begin.
pub struct Shown(pub Timestamp);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ticks = self.0.ticks() as i64 - World::time(BEGIN).ticks() as i64;
        write!(f, "{:.3}", ticks as f64 / 1e7)
    }
}

fn shown(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".into(), |time| Shown(time).to_string())
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Starts(cursor, events, off) => {
                write!(f, "START   cursor {} events {events} our clock {off:+} s", shown(cursor))
            }
            Self::Dies(lost) => write!(f, "KILLED  {lost} batches were not synced and are gone"),
            Self::Loses(cursor) => write!(f, "LOST    the database; checkpoint at {}", shown(cursor)),
            Self::Asks(reader, [from, to, created_from, created_to], skip, top, is_apart) => {
                write!(f, "{reader:?} asks [{}, {}) skip {skip} top {top}", shown(from), shown(to))?;
                if created_from.is_some() {
                    write!(f, " created [{}, {})", shown(created_from), shown(created_to))?;
                }
                f.write_str(if is_apart { " without alerts" } else { "" })
            }
            Self::Answers(reader, rows, false) => write!(f, "{reader:?} gets {rows} rows"),
            Self::Answers(reader, rows, true) => write!(f, "{reader:?} gets {rows} rows, others are missing"),
            Self::Fails(reader, why) => write!(f, "{reader:?} fails: {why}"),
            Self::Commits(kind, rows, events) => write!(f, "{kind:?} page durable: {rows} rows, {events} events"),
            Self::Moves(cursor, swept) => write!(f, "POSITION cursor {} swept {}", Shown(cursor), shown(swept)),
            Self::Quarantines(count, None) => write!(f, "QUARANTINE {count} windows"),
            Self::Quarantines(count, Some((from, to))) => {
                write!(f, "QUARANTINE {count} windows, the first [{}, {})", Shown(from), Shown(to))
            }
            Self::Sends(sink, after, count) => write!(f, "sink {sink} is handed {count} events behind {after}"),
            Self::Sent(sink, how, seq) => write!(f, "sink {sink}: {how} {seq}"),
            Self::Acknowledges(sink, seq) => write!(f, "sink {sink} acknowledged up to {seq}, durable"),
            Self::Weather(what, n) => write!(f, "WEATHER {what} {n}"),
            Self::Heals => write!(f, "HEALED  no faults from here on"),
        }
    }
}

/// FNV-1a over 64-bit words: fast, and the same everywhere.
#[derive(Debug)]
struct Mix(u64);

impl Default for Mix {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }

    fn write_i64(&mut self, word: i64) {
        self.write_u64(word as u64);
    }
}

/// A second, for who prints.
pub const fn seconds(nanos: u64) -> u64 {
    nanos / SECOND
}
