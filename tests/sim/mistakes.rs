//! The mistakes that other collectors make, each of which the simulation must find. Those that live in what decides are
//! switched on in src/core/planted.rs; those that live in what surrounds it, in the model here.

use crate::core::planted::{self, Mistake as InCore};

/// A mistake in the model of what surrounds the decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the table says of each what it does")]
pub enum Planted {
    Nothing,
    CursorBeforeEvents,
    SeenBeforeEvents,
    SeenInMemory,
    SeenEvictedEarly,
    ResumeAtStoredSkip,
    ErrorIsEmptyPage,
    CutBodyIsPage,
    ApartWithoutAlerts,
    OneAcknowledgement,
    AcknowledgeBeforeSend,
    AcknowledgeOnWrite,
    GiveUpAfterThree,
    FullOutboxDrops,
    FullDiskIgnored,
    QuotaInMemory,
    RetriesOutsideQuota,
    CheckpointMissing,
    CheckpointIsCursor,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Mistake {
    /// Its name; those of design.md as they stand there.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// In the decisions.
    pub core: Option<InCore>,
    /// Around them.
    pub model: Planted,
    /// A second one in the decisions, which switches off the layer that would hide the first.
    pub without: Option<InCore>,
    /// Whether audits are left out, because they would make good what it does.
    pub no_audits: bool,
    /// Another layer makes good what it does, so that it need not be found; further down it stands again, without that layer.
    pub is_masked: bool,
}

impl Mistake {
    /// None at all.
    pub const NONE: Self = Self {
        name: "none",
        what: "the program as it is",
        core: None,
        model: Planted::Nothing,
        without: None,
        no_audits: false,
        is_masked: false,
    };

    /// Switches it on in this thread, in place of any other.
    pub fn plant(&self) {
        planted::plant([self.core, self.without]);
    }

    /// What is switched off with it, for the table.
    pub const fn layers_off(&self) -> &'static str {
        match (self.without, self.no_audits) {
            (None, false) => "",
            (None, true) => "audit",
            (Some(InCore::OneSweepMovesCursor), _) => "second sweep",
            (Some(InCore::ShortPageIsEnd), _) => "confirmation",
            (Some(_), _) => "another layer",
        }
    }
}

const fn core(name: &'static str, mistake: InCore, what: &'static str) -> Mistake {
    Mistake { name, what, core: Some(mistake), ..Mistake::NONE }
}

const fn model(name: &'static str, model: Planted, what: &'static str) -> Mistake {
    Mistake { name, what, model, ..Mistake::NONE }
}

const fn masked(mistake: Mistake) -> Mistake {
    Mistake { is_masked: true, ..mistake }
}

const fn alone(mistake: Mistake, without: InCore) -> Mistake {
    Mistake { without: Some(without), ..mistake }
}

/// All of them, in the order of design.md; those that it does not name last.
pub const ALL: &[Mistake] = &[
    core(
        "cursor = newest row seen",
        InCore::CursorIsNewestRow,
        "a complete sweep moves the cursor to the newest row it read",
    ),
    core("cursor = local clock", InCore::CursorIsLocalClock, "the cursor is reckoned from our own clock"),
    masked(core(
        "cursor = server time at the end of the pass",
        InCore::CursorIsEndOfPass,
        "the Date of the last answer counts, not of the first",
    )),
    core("no overlap", InCore::NoOverlap, "nothing is subtracted for late rows"),
    core("half the overlap", InCore::HalfOverlap, "half of what late rows need is subtracted"),
    core("cursor moved by the tail", InCore::TailMovesCursor, "a page of the newest rows moves the cursor"),
    core(
        "cursor moved after an incomplete pass",
        InCore::IncompletePassMovesCursor,
        "pages that did not join count as complete",
    ),
    model(
        "cursor before events",
        Planted::CursorBeforeEvents,
        "rows are reported durable before they are written; the cursor overtakes them",
    ),
    model("seen before events", Planted::SeenBeforeEvents, "marks in one batch, events in the next"),
    core("seen keyed by id only", InCore::SeenById, "an incident that is known is never new again"),
    core("seen without hash", InCore::SeenWithoutHash, "the same time means the same content"),
    model("seen in memory only", Planted::SeenInMemory, "marks are gone after a restart"),
    model("seen evicted too early", Planted::SeenEvictedEarly, "marks are forgotten after four minutes"),
    core(
        "$skip without joining pages",
        InCore::PagesNeedNotJoin,
        "the next page starts behind the last, whatever moved",
    ),
    model("resume at a stored $skip", Planted::ResumeAtStoredSkip, "after a restart a pass goes on where it was"),
    core("a full page ends the pass", InCore::FullPageIsEnd, "one page and no more"),
    model("an error page counts as empty", Planted::ErrorIsEmptyPage, "a failed call is an empty page"),
    masked(model("a cut body counts as a page", Planted::CutBodyIsPage, "the rows before the cut are the page")),
    core("poison row dropped silently", InCore::PoisonIsDropped, "what cannot be read is left out and forgotten"),
    core(
        "an incomplete page counts as whole",
        InCore::IncompleteIsWhole,
        "rows that an answer says are missing are not there",
    ),
    core("what fails with its alerts is given up", InCore::ApartIsNeverAsked, "nobody asks for it without them"),
    model(
        "rows without their alerts count",
        Planted::ApartWithoutAlerts,
        "a page that was asked for without them is taken as it is",
    ),
    core("a mark of the other API is none", InCore::OtherDialectIsNew, "what the other API tells of is new"),
    core("a part counts as the whole", InCore::PartIsWhole, "what came without its alerts was told, whoever has them"),
    model("one acknowledgement for all sinks", Planted::OneAcknowledgement, "what one sink has counts for all"),
    model("acknowledge before send", Planted::AcknowledgeBeforeSend, "progress is durable before the events leave"),
    model(
        "stream sink acknowledged on write",
        Planted::AcknowledgeOnWrite,
        "what was written to a socket counts as received",
    ),
    model("give up after three tries", Planted::GiveUpAfterThree, "what failed three times counts as delivered"),
    model("full outbox drops the oldest", Planted::FullOutboxDrops, "the older half goes when there is no room"),
    model("ENOSPC ignored", Planted::FullDiskIgnored, "a write that failed counts as done"),
    model("quota in memory", Planted::QuotaInMemory, "a restart knows of no calls"),
    core("quota counted at send", InCore::QuotaIsCountedAtSend, "a call is forgotten a minute after it was sent"),
    core("calendar-minute quota", InCore::QuotaPerCalendarMinute, "50 calls in each minute of the clock"),
    core("token bucket 50 + 50/min", InCore::QuotaIsABucket, "a burst of 50 and a refill of 50"),
    model(
        "retries outside the quota",
        Planted::RetriesOutsideQuota,
        "a failed call is made again at once, up to ten times",
    ),
    core("one sweep moves the cursor", InCore::OneSweepMovesCursor, "no second sweep has to agree"),
    core("what differs is new", InCore::DifferentIsNew, "a lower time is not dropped"),
    core("future rows move time", InCore::FutureRowMovesTime, "rows ahead of their time count like others"),
    core("a short page ends the pass", InCore::ShortPageIsEnd, "nothing confirms the end"),
    core("a split leaves a gap", InCore::SplitLeavesAGap, "the second half starts a second late"),
    core("no audit", InCore::AuditIsSkipped, "nobody looks again"),
    model("no checkpoint", Planted::CheckpointMissing, "a lost database starts again from now"),
    model("the checkpoint is the cursor", Planted::CheckpointIsCursor, "it does not know what waits in the outbox"),
    alone(
        core(
            "cursor = server time at the end of the pass",
            InCore::CursorIsEndOfPass,
            "the same, where no second sweep agrees",
        ),
        InCore::OneSweepMovesCursor,
    ),
    alone(
        model("cursor before events", Planted::CursorBeforeEvents, "the same, where no second sweep agrees"),
        InCore::OneSweepMovesCursor,
    ),
    alone(
        model("ENOSPC ignored", Planted::FullDiskIgnored, "the same, where no second sweep agrees"),
        InCore::OneSweepMovesCursor,
    ),
    alone(
        model("a cut body counts as a page", Planted::CutBodyIsPage, "the same, where nothing confirms the end"),
        InCore::ShortPageIsEnd,
    ),
    alone(
        model("an error page counts as empty", Planted::ErrorIsEmptyPage, "the same, where nothing confirms the end"),
        InCore::ShortPageIsEnd,
    ),
];
