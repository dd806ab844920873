//! The kinds of faults that a world may have, and how often each really happened. It says what there is, not how it is done.

use std::fmt;

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[doc = $doc])* $name,)* }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    /// A revision becomes visible later than a third of the overlap, and still within it.
    LateRow = "late row",
    /// A revision becomes visible later than the overlap: only an audit can find it.
    TooLateRow = "row beyond the overlap",
    /// Until the new revision is visible the old one is not either.
    Gap = "propagation gap",
    /// An answer comes from a replica that lags.
    ReplicaLag = "replica lag",
    /// Revisions are stamped a little before they happen.
    StampSkew = "stamping skew",
    /// Times are multiples of 100 ms or a second.
    CoarseTick = "coarse ticks",
    /// Two revisions of one incident share a tick.
    TieInTick = "two revisions in a tick",
    /// Many incidents change at one tick, more than a page of them.
    BulkEdit = "bulk edit on one tick",
    /// Many incidents are created in one second.
    BulkCreate = "bulk creation on one tick",
    /// An incident is merged into another and goes a while later.
    Merge = "merge",
    /// An incident vanishes.
    Vanish = "vanishing row",
    /// A revision is dated ahead of its time.
    FutureRow = "future-dated row",
    /// A revision has no time.
    TimelessRow = "row without a time",
    /// A content changes and its time does not.
    QuietEdit = "edit without a new time",
    /// The list is ordered by `createdTime`, newest first.
    OrderCreated = "list by createdTime",
    /// The list is ordered by id, greatest first.
    OrderId = "list by id",
    /// Rows of one time come in another order each call.
    ShuffledTies = "shuffled ties",
    /// Pages are shorter than `$top`, and nobody says so.
    PageCap = "silent page cap",
    /// A `$skip` over a limit is answered 400.
    SkipCap = "$skip refused",
    /// `lt` is answered 400.
    LtRefused = "lt refused",
    /// `$top` changes nothing.
    TopIgnored = "$top ignored",
    /// A page ends early and claims to be the end.
    ShortLie = "short lie",
    /// A page is empty and should not be.
    EmptyLie = "empty lie",
    /// 5xx.
    ServerError = "5xx",
    /// No answer within the time for it.
    Timeout = "timeout",
    /// 429 that says how long.
    ThrottledHint = "429 with a hint",
    /// 429 that does not.
    Throttled = "429 without a hint",
    /// A body that ends early.
    CutBody = "cut body",
    /// A body that is no page.
    Garbled = "garbled body",
    /// 401.
    Unauthorized = "401",
    /// 403.
    Forbidden = "403",
    /// A page that holds a certain incident fails, until that heals.
    Poison = "poison incident",
    /// A page that holds a certain incident fails for ever.
    PoisonForever = "poison for ever",
    /// A page of large incidents is too large.
    TooLarge = "page too large",
    /// A `Date` that is hours off.
    WrongDate = "wrong Date",
    /// No `Date`.
    NoDate = "no Date",
    /// The source fails for up to hours.
    Outage = "long outage",
    /// Answers take up to 20 s.
    SlowNet = "slow network",
    /// Our clock is hours off.
    WrongClock = "our clock hours off",
    /// Our clock is another one after a restart.
    ClockJump = "clock jump at restart",
    /// The machine sleeps for up to an hour, and monotonic time with it.
    Suspend = "suspended machine",
    /// The process dies between any two steps.
    Kill = "kill",
    /// What was written and not synced is gone after a kill.
    LostSuffix = "lost unsynced suffix",
    /// A call of a dead process arrives all the same.
    OrphanCall = "call of a dead process",
    /// The process is away for up to days.
    Downtime = "long downtime",
    /// The database is lost, and the checkpoint is left.
    LostDatabase = "lost database",
    /// The disk takes nothing for a while.
    DiskFull = "full disk",
    /// The outbox is full.
    OutboxFull = "full outbox",
    /// A sink takes a part of a batch.
    SinkPartial = "sink takes a part",
    /// A sink refuses one event and names it.
    SinkRefuses = "sink refuses an event",
    /// A sink refuses a batch and names nobody.
    SinkRefusesBatch = "sink refuses a batch",
    /// A sink takes nothing for now.
    SinkFails = "sink fails",
    /// A sink wants its credentials looked at.
    SinkPauses = "sink pauses",
    /// A sink takes a minute for an answer.
    SinkStalls = "sink stalls",
    /// A sink takes events and does not say so.
    SinkMute = "sink takes and fails to answer",
    /// A sink is away for up to an hour.
    SinkDown = "sink down",
    /// A stream breaks, and what was on its way is lost.
    StreamReset = "stream reset",
    /// After a restart the other API is asked.
    Switch = "switch of the API",
    /// A page that holds a certain incident fails where its alerts are asked for with it.
    PoisonWithin = "poison with its alerts",
    /// The alerts of a certain incident cannot be read by a call of their own either.
    AlertsFail = "alerts that cannot be read",
    /// An answer lacks rows and says so.
    Lacking = "206",
    /// What one provider has is missing for up to an hour, and answers say so.
    ProviderAway = "a provider that is away",
    /// Incidents in an answer that lacks something come without their alerts, and the calls for these fail.
    Part = "parts of incidents",
}

/// What only Graph does, and what there is only where it is asked.
pub const OF_GRAPH: &[Fault] =
    &[Fault::Switch, Fault::PoisonWithin, Fault::AlertsFail, Fault::Lacking, Fault::ProviderAway, Fault::Part];

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults(u64);

impl Faults {
    /// Whether this kind is in it.
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u64) != 0
    }

    /// The same with this kind.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | (1 << fault as u64))
    }

    /// The same without this kind.
    #[must_use]
    pub const fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u64))
    }

    /// What is in it.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.iter().copied().filter(move |&fault| self.has(fault))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Fault::name).collect();
        f.write_str(if names.is_empty() { "none" } else { "" })?;
        f.write_str(&names.join(", "))
    }
}

/// How often each kind happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts([u64; Fault::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl Counts {
    /// It happened.
    pub const fn add(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// How often.
    pub const fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// All of another run too.
    pub fn add_all(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}
