//! Mistakes that the simulation plants, to prove that it would find them. Nothing of it is in what ships: without the feature
//! `planted`, [`is`] is a constant `false`.

/// One mistake, as other collectors make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "tests/sim/mistakes.rs says of each what it does")]
pub enum Mistake {
    CursorIsNewestRow,
    CursorIsLocalClock,
    CursorIsEndOfPass,
    NoOverlap,
    HalfOverlap,
    TailMovesCursor,
    IncompletePassMovesCursor,
    OneSweepMovesCursor,
    SeenById,
    SeenWithoutHash,
    DifferentIsNew,
    FutureRowMovesTime,
    PagesNeedNotJoin,
    FullPageIsEnd,
    ShortPageIsEnd,
    PoisonIsDropped,
    IncompleteIsWhole,
    ApartIsNeverAsked,
    OtherDialectIsNew,
    PartIsWhole,
    SplitLeavesAGap,
    AuditIsSkipped,
    QuotaIsCountedAtSend,
    QuotaPerCalendarMinute,
    QuotaIsABucket,
    GiveUpAfterThree,
    AcknowledgeBeforeSend,
    AcknowledgeOnWrite,
}

/// Whether this mistake is planted in this thread.
#[cfg(not(feature = "planted"))]
#[inline]
pub const fn is(_: Mistake) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use switch::{is, plant};

#[cfg(feature = "planted")]
mod switch {
    use std::cell::Cell;

    use crate::core::planted::Mistake;

    thread_local! {
        static PLANTED: Cell<[Option<Mistake>; 2]> = const { Cell::new([None; 2]) };
    }

    /// Whether this mistake is planted in this thread.
    pub fn is(mistake: Mistake) -> bool {
        PLANTED.get().contains(&Some(mistake))
    }

    /// Plants up to two mistakes in this thread, in place of those before: a second one switches off the layer that would
    /// mask the first.
    pub fn plant(mistakes: [Option<Mistake>; 2]) {
        PLANTED.set(mistakes);
    }
}
