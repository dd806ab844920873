//! Says what happens again and again, and how it ends: the words of it in one place, each thing once, and hundreds of tenants with
//! the same trouble in a line or two. When is decided in `core::herald`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Level;

use crate::core::herald::{Gathered, Herald as Book, NAMES_MAX};
use crate::model::names::{SinkName, TenantName};
use crate::run::clock::Clock;

/// Between two looks at what has waited long enough.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is said, each in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// A tenant.
    CannotRead,
    ReadsAgain,
    Quarantined,
    Healed,
    Missed,
    Late,
    CertificateEnds,
    GoesAround,
    /// The sign-in of a tenant that is still read.
    CannotRenew,
    Renews,
    /// A sink.
    TakesNothing,
    NeedsAttention,
    CannotOpen,
    TakesAgain,
    Refused,
    /// The daemon itself.
    Paused,
    GoesOn,
    Restarted,
}

/// Of whom.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whom<'a> {
    Tenant(&'a TenantName),
    /// The sign-in of a tenant, which may fail while the tenant is read.
    SignIn(&'a TenantName),
    Sink(&'a SinkName),
    /// A part of the daemon.
    Part(&'a str),
}

/// What there is to say of it, as fields.
#[derive(Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) error: Option<&'a str>,
    /// Since it last worked.
    pub(crate) failures: Option<u64>,
    pub(crate) failing_seconds: Option<u64>,
    /// The bounds of a window.
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// The incidents that are listed next to it.
    pub(crate) before: Option<&'a str>,
    pub(crate) after: Option<&'a str>,
    pub(crate) pass: Option<&'static str>,
    pub(crate) lag_seconds: Option<u64>,
    pub(crate) overlap_seconds: Option<u64>,
    pub(crate) days_left: Option<f64>,
    /// Of an event in the outbox.
    pub(crate) position: Option<u64>,
    pub(crate) pause_seconds: Option<f64>,
}

/// Of whom a line is: of one, or of several together.
#[derive(Debug, Default)]
struct Subjects<'a> {
    tenant: Option<&'a str>,
    sink: Option<&'a str>,
    part: Option<&'a str>,
    tenants: Option<usize>,
    sinks: Option<usize>,
    parts: Option<usize>,
    names: Option<String>,
}

/// What there may be several of.
#[derive(Debug, Clone, Copy)]
enum Counted {
    Events,
    Windows,
    Times,
}

/// One kind of subject.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Tenant,
    SignIn,
    Sink,
    Part,
}

/// The one who says it.
pub(crate) struct Herald {
    clock: Clock,
    /// By [`Kind`].
    books: [Mutex<Book<Topic>>; 4],
}

impl Herald {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, books: Default::default() }
    }

    /// It fails, or does so still. True where that is said now; otherwise it has been said, or is going to be.
    pub(crate) fn fails(&self, whom: Whom<'_>, topic: Topic, error: &str) -> bool {
        let (kind, subject) = whom.parts();
        let (says, failures) = {
            let mut book = self.book(kind);
            (book.fails(topic, subject, error, self.clock.now()), book.failures(subject))
        };
        if says {
            let failures = topic.counts_failures().then_some(failures);
            say(topic, &kind.one(subject), 1, &Facts { error: Some(error), failures, ..Facts::default() });
        }
        says
    }

    /// It works. Said where it was said that it did not.
    pub(crate) fn works(&self, whom: Whom<'_>, topic: Topic) {
        let (kind, subject) = whom.parts();
        let over = {
            let (mut book, now) = (self.book(kind), self.clock.now());
            let over = book.works(subject, now);
            over.filter(|_| book.happened(topic, subject, "", 1, now))
        };
        if let Some(over) = over {
            let failures = topic.counts_failures().then_some(over.failures);
            let facts = Facts { failures, failing_seconds: Some(over.failing.as_secs()), ..Facts::default() };
            say(topic, &kind.one(subject), 1, &facts);
        }
    }

    /// It has happened, so many times. True where that is said now; otherwise it is going to be.
    pub(crate) fn happened(&self, whom: Whom<'_>, topic: Topic, times: u64, facts: &Facts<'_>) -> bool {
        let (kind, subject) = whom.parts();
        let error = facts.error.unwrap_or_default();
        let says = self.book(kind).happened(topic, subject, error, times, self.clock.now());
        if says {
            say(topic, &kind.one(subject), times, facts);
        }
        says
    }

    /// A tenant that is there no more.
    pub(crate) fn forget(&self, tenant: &TenantName) {
        self.book(Kind::Tenant).forget(tenant.as_str());
        self.book(Kind::SignIn).forget(tenant.as_str());
    }

    /// Says what was gathered, until it is stopped.
    pub(crate) async fn serve(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            self.tell(|book| book.due(self.clock.now()));
        }
    }

    /// Says what still waits: the end has come.
    pub(crate) fn end(&self) {
        self.tell(|book| book.rest(self.clock.now()));
    }

    fn tell(&self, which: impl Fn(&mut Book<Topic>) -> Vec<Gathered<Topic>>) {
        for kind in [Kind::Tenant, Kind::SignIn, Kind::Sink, Kind::Part] {
            let gathered = which(&mut self.book(kind));
            for Gathered { topic, names, subjects, times, error } in gathered {
                let error = (!error.is_empty()).then_some(error.as_str());
                let facts = Facts { error, ..Facts::default() };
                match &names[..] {
                    [one] => say(topic, &kind.one(one), times, &facts),
                    _ => say(topic, &kind.many(&names, subjects), times, &facts),
                }
            }
        }
    }

    fn book(&self, kind: Kind) -> MutexGuard<'_, Book<Topic>> {
        // No step of it can panic half way; and where one did, a line too many or too few is all that comes of it.
        self.books[kind as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Whom<'a> {
    fn parts(self) -> (Kind, &'a str) {
        match self {
            Self::Tenant(name) => (Kind::Tenant, name.as_str()),
            Self::SignIn(name) => (Kind::SignIn, name.as_str()),
            Self::Sink(name) => (Kind::Sink, name.as_str()),
            Self::Part(name) => (Kind::Part, name),
        }
    }
}

impl Kind {
    fn one(self, name: &str) -> Subjects<'_> {
        let none = Subjects::default();
        match self {
            Self::Tenant | Self::SignIn => Subjects { tenant: Some(name), ..none },
            Self::Sink => Subjects { sink: Some(name), ..none },
            Self::Part => Subjects { part: Some(name), ..none },
        }
    }

    fn many(self, names: &[String], count: usize) -> Subjects<'static> {
        let none = Subjects { names: Some(some_of(names, count)), ..Subjects::default() };
        match self {
            Self::Tenant | Self::SignIn => Subjects { tenants: Some(count), ..none },
            Self::Sink => Subjects { sinks: Some(count), ..none },
            Self::Part => Subjects { parts: Some(count), ..none },
        }
    }
}

/// The first of so many names, and how many more there are.
pub(crate) fn some_of(names: &[impl ToString], count: usize) -> String {
    let shown: Vec<_> = names.iter().take(NAMES_MAX).map(ToString::to_string).collect();
    match count - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Topic {
    /// WARN wakes somebody.
    const fn level(self) -> Level {
        match self {
            Self::CannotRead
            | Self::Quarantined
            | Self::Missed
            | Self::Late
            | Self::CertificateEnds
            | Self::GoesAround
            | Self::CannotRenew
            | Self::TakesNothing
            | Self::NeedsAttention
            | Self::CannotOpen
            | Self::Refused
            | Self::Paused => Level::WARN,
            Self::ReadsAgain | Self::Healed | Self::Renews | Self::TakesAgain | Self::GoesOn | Self::Restarted => {
                Level::INFO
            }
        }
    }

    /// The words; docs/operations.md says what to do about each.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::CannotRead => "cannot read incidents",
            Self::ReadsAgain => "the source answers again",
            Self::Quarantined => {
                "incidents changed in this window cannot be read; everything around them is, and they are tried again for ever"
            }
            Self::Healed => "a window that could not be read has been read",
            Self::Missed => {
                "the audit found what the sweeps had not: rows later than poll.overlap, or changed without a new lastUpdateTime; \
                 they are delivered"
            }
            Self::Late => "incidents become visible late: poll.overlap should be well above this",
            Self::CertificateEnds => {
                "the certificate of the sign-in ends soon: put the next one there; below /run/credentials it counts after a restart"
            }
            Self::GoesAround => "a replay goes around what cannot be read",
            Self::CannotRenew => "the token cannot be renewed: when it ends, nothing is read any more",
            Self::Renews => "the token has been renewed",
            Self::TakesNothing => "the sink takes nothing; events wait, it is tried again",
            Self::NeedsAttention => "the sink needs attention; events wait",
            Self::CannotOpen => "the sink cannot be opened, it is tried again",
            Self::TakesAgain => "the sink takes events again",
            Self::Refused => "the sink refused an event for good; it is kept with the reason",
            Self::Paused => "polling is paused; nothing is lost, the source keeps the incidents",
            Self::GoesOn => "there is room again, polling goes on",
            Self::Restarted => "what panicked is started again",
        }
    }

    const fn counts(self) -> Counted {
        match self {
            Self::Missed | Self::Refused => Counted::Events,
            Self::Quarantined | Self::Healed | Self::GoesAround => Counted::Windows,
            Self::CannotRead
            | Self::ReadsAgain
            | Self::Late
            | Self::CertificateEnds
            | Self::CannotRenew
            | Self::Renews
            | Self::TakesNothing
            | Self::NeedsAttention
            | Self::CannotOpen
            | Self::TakesAgain
            | Self::Paused
            | Self::GoesOn
            | Self::Restarted => Counted::Times,
        }
    }

    /// Whether its failures are calls: then their number says something.
    const fn counts_failures(self) -> bool {
        !matches!(self, Self::Paused | Self::GoesOn | Self::CannotRenew | Self::Renews)
    }
}

/// The one line. What there is nothing to say of is left out.
fn say(topic: Topic, of: &Subjects<'_>, times: u64, facts: &Facts<'_>) {
    let several = (1 < times).then_some(times);
    let (events, windows, times) = match topic.counts() {
        Counted::Events => (Some(times), None, None),
        Counted::Windows => (None, several, None),
        Counted::Times => (None, None, several),
    };
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                tenant = of.tenant,
                sink = of.sink,
                part = of.part,
                tenants = of.tenants,
                sinks = of.sinks,
                parts = of.parts,
                names = of.names,
                times,
                events,
                windows,
                from = facts.from,
                to = facts.to,
                before = facts.before,
                after = facts.after,
                pass = facts.pass,
                lag_seconds = facts.lag_seconds,
                overlap_seconds = facts.overlap_seconds,
                days_left = facts.days_left,
                position = facts.position,
                pause_seconds = facts.pause_seconds,
                failures = facts.failures,
                failing_seconds = facts.failing_seconds,
                error = facts.error,
                "{}",
                topic.words()
            )
        };
    }
    if topic.level() == Level::WARN { line!(warn) } else { line!(info) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_room_for_some_names_and_counts_the_others() {
        let names: Vec<_> = (0..12).map(|number| format!("t{number}")).collect();
        assert_eq!(some_of(&names[..2], 2), "t0, t1");
        assert_eq!(some_of(&names, 12), "t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 2 more");
        assert_eq!(some_of(&names[..10], 300), "t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 290 more");
    }
}
