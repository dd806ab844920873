//! How often something is said that happens again and again: at once of the first whom it concerns, then together of all others.
//! Decides with times that it is given, and says nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::core::cause::cause;
use crate::model::moment::Moment;

/// So long after it was said of one it is said together of the others.
pub const GATHER: Duration = Duration::from_secs(10);
/// The same thing is said of the same one no more often than this.
pub const EVERY: Duration = Duration::from_secs(60);
/// What goes on failing is said again after so long.
pub const REMIND: Duration = Duration::from_secs(600);
/// Causes of one topic that are told apart at a time, and of one trouble; all beyond are one.
const CAUSES_MAX: usize = 8;
/// Names that one line has room for.
pub const NAMES_MAX: usize = 10;
/// Subjects that wait at most for being said together: more than anybody has tenants.
const WAITING_MAX: usize = 10_000;
/// What was said of whom, and what waits to be said. `T` names the topics; all subjects are of one kind, such as tenants.
#[derive(Debug)]
pub struct Herald<T> {
    groups: BTreeMap<(T, String), Group>,
    troubles: BTreeMap<String, Trouble<T>>,
}

/// One cause of one topic.
#[derive(Debug)]
struct Group {
    said_at: Moment,
    /// Of whom alone it was said then.
    of: Option<String>,
    /// How often it has happened since, to whom.
    waiting: BTreeMap<String, u64>,
    /// In the words of the last of them.
    error: String,
}

/// Something that fails until it works again.
#[derive(Debug)]
struct Trouble<T> {
    since: Moment,
    failures: u64,
    /// Under which causes it has been handed on, since it began or since the last reminder.
    causes: BTreeSet<(T, String)>,
    handed_on_at: Option<Moment>,
    is_said: bool,
    is_over: bool,
}

/// What is to be said of several at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered<T> {
    /// What.
    pub topic: T,
    /// Of whom, at most [`NAMES_MAX`] of them.
    pub names: Vec<String>,
    /// Of how many.
    pub subjects: usize,
    /// How often it has happened to them together.
    pub times: u64,
    /// In the words of the last of them.
    pub error: String,
}

/// A trouble that was said and is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// For how long it failed.
    pub failing: Duration,
    /// How often.
    pub failures: u64,
}

impl<T> Default for Herald<T> {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), troubles: BTreeMap::new() }
    }
}

impl<T: Ord + Copy> Herald<T> {
    /// Something has happened to this subject, so many times. True: say it now. Otherwise it is said with others, see
    /// [`due`](Self::due).
    pub fn happened(&mut self, topic: T, subject: &str, error: &str, times: u64, now: Moment) -> bool {
        self.gather((topic, cause(error)), subject, error, times, now)
    }

    /// This subject fails, or does so still. True: say it now. Otherwise it has been said, or it is said with others.
    pub fn fails(&mut self, topic: T, subject: &str, error: &str, now: Moment) -> bool {
        let key = (topic, cause(error));
        let trouble = self.troubles.entry(subject.to_owned()).or_insert_with(|| Trouble::new(now));
        if trouble.is_over {
            *trouble = Trouble { handed_on_at: trouble.handed_on_at, ..Trouble::new(now) };
        }
        trouble.failures += 1;
        if !trouble.hands_on(&key, now) {
            return false;
        }
        let says = self.gather(key, subject, error, 1, now);
        if let Some(trouble) = self.troubles.get_mut(subject) {
            trouble.is_said |= says;
        }
        says
    }

    /// Failures of this subject since it last worked.
    pub fn failures(&self, subject: &str) -> u64 {
        self.troubles.get(subject).filter(|trouble| !trouble.is_over).map_or(0, |trouble| trouble.failures)
    }

    /// This subject works. Some where it was said that it did not: that this is over wants to be said too.
    pub fn works(&mut self, subject: &str, now: Moment) -> Option<Over> {
        let trouble = self.troubles.get_mut(subject).filter(|trouble| !trouble.is_over)?;
        trouble.is_over = true;
        for cause in &trouble.causes {
            if let Some(group) = self.groups.get_mut(cause) {
                group.waiting.remove(subject);
            }
        }
        let over = Over { failing: now.since(trouble.since), failures: trouble.failures };
        if !trouble.is_said && !trouble.causes.is_empty() {
            // It was to be said and nobody has heard of it, so the next one is news.
            trouble.handed_on_at = None;
        }
        trouble.is_said.then_some(over)
    }

    /// This subject is not there any more.
    pub fn forget(&mut self, subject: &str) {
        self.troubles.remove(subject);
        self.groups.values_mut().for_each(|group| _ = group.waiting.remove(subject));
    }

    /// What has waited long enough: it is said now.
    pub fn due(&mut self, now: Moment) -> Vec<Gathered<T>> {
        let due = self.say(now, |group| group.due_at() <= now);
        self.groups.retain(|_, group| !group.waiting.is_empty() || now.since(group.said_at) < EVERY);
        self.troubles
            .retain(|_, trouble| !(trouble.is_over && trouble.handed_on_at.is_none_or(|at| EVERY <= now.since(at))));
        due
    }

    /// Everything that waits: the end has come.
    pub fn rest(&mut self, now: Moment) -> Vec<Gathered<T>> {
        self.say(now, |_| true)
    }

    fn gather(&mut self, key: (T, String), subject: &str, error: &str, times: u64, now: Moment) -> bool {
        let (topic, _) = key;
        let is_new = !self.groups.contains_key(&key);
        let is_crowded = || CAUSES_MAX <= self.groups.keys().filter(|(of, _)| *of == topic).count();
        let key = if is_new && is_crowded() { (topic, String::new()) } else { key };
        let Some(group) = self.groups.get_mut(&key) else {
            self.groups.insert(key, Group::said(subject, now));
            return true;
        };
        if group.waiting.is_empty() && EVERY <= now.since(group.said_at) {
            *group = Group::said(subject, now);
            return true;
        }
        error.clone_into(&mut group.error);
        if group.waiting.len() < WAITING_MAX || group.waiting.contains_key(subject) {
            *group.waiting.entry(subject.to_owned()).or_default() += times;
        }
        false
    }

    fn say(&mut self, now: Moment, is_due: impl Fn(&Group) -> bool) -> Vec<Gathered<T>> {
        let mut said = Vec::new();
        for ((topic, _), group) in
            self.groups.iter_mut().filter(|(_, group)| !group.waiting.is_empty() && is_due(group))
        {
            let waiting = std::mem::take(&mut group.waiting);
            (group.said_at, group.of) = (now, None);
            for subject in waiting.keys() {
                if let Some(trouble) = self.troubles.get_mut(subject) {
                    trouble.is_said = true;
                }
            }
            said.push(Gathered {
                topic: *topic,
                subjects: waiting.len(),
                times: waiting.values().sum(),
                names: waiting.into_keys().take(NAMES_MAX).collect(),
                error: std::mem::take(&mut group.error),
            });
        }
        said
    }
}

impl Group {
    fn said(subject: &str, now: Moment) -> Self {
        Self { said_at: now, of: Some(subject.to_owned()), waiting: BTreeMap::new(), error: String::new() }
    }

    /// Soon, where it was said of one and concerns others too.
    fn due_at(&self) -> Moment {
        let concerns_others = self.of.as_ref().is_some_and(|of| self.waiting.keys().any(|subject| subject != of));
        self.said_at + if concerns_others { GATHER } else { EVERY }
    }
}

impl<T: Ord> Trouble<T> {
    const fn new(now: Moment) -> Self {
        Self { since: now, failures: 0, causes: BTreeSet::new(), handed_on_at: None, is_said: false, is_over: false }
    }

    /// Whether this failure is news, or an old one has to be said again.
    fn hands_on(&mut self, key: &(T, String), now: Moment) -> bool
    where
        T: Copy,
    {
        let Some(before) = self.handed_on_at.map(|at| now.since(at)) else {
            return self.handed_on(key, now);
        };
        if REMIND <= before {
            self.causes.clear();
        }
        let is_news = !self.causes.contains(key) && self.causes.len() < CAUSES_MAX;
        // That it fails in another way is said at once.
        let is_of_another_kind = !self.causes.is_empty() && self.causes.iter().all(|(topic, _)| *topic != key.0);
        is_news && (EVERY <= before || is_of_another_kind) && self.handed_on(key, now)
    }

    fn handed_on(&mut self, key: &(T, String), now: Moment) -> bool
    where
        T: Copy,
    {
        self.handed_on_at = Some(now);
        self.causes.insert(key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWAY: &str = "status 503: busy (tracking id 5a11d0b0-7e57-4000-8000-000000000001)";

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Topic {
        Fails,
        FailsOtherwise,
        Works,
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(0) + Duration::from_secs(1_000_000 + seconds)
    }

    /// Everything that is said, in the order of time: of one at once, or of how many together.
    #[derive(Default)]
    struct Log {
        herald: Herald<Topic>,
        lines: Vec<(u64, Topic, String)>,
    }

    impl Log {
        fn fails(&mut self, seconds: u64, subject: &str, error: &str) {
            if self.herald.fails(Topic::Fails, subject, error, at(seconds)) {
                self.lines.push((seconds, Topic::Fails, subject.to_owned()));
            }
        }

        fn works(&mut self, seconds: u64, subject: &str) -> Option<Over> {
            let over = self.herald.works(subject, at(seconds))?;
            if self.herald.happened(Topic::Works, subject, "", 1, at(seconds)) {
                self.lines.push((seconds, Topic::Works, subject.to_owned()));
            }
            Some(over)
        }

        fn passes(&mut self, seconds: u64) {
            for gathered in self.herald.due(at(seconds)) {
                let who = match &gathered.names[..] {
                    [one] => one.clone(),
                    _ => format!("{} together", gathered.subjects),
                };
                self.lines.push((seconds, gathered.topic, who));
            }
        }

        fn said(&self, topic: Topic) -> Vec<(u64, &str)> {
            self.lines.iter().filter(|(_, of, _)| *of == topic).map(|(when, _, who)| (*when, who.as_str())).collect()
        }
    }

    #[test]
    fn one_that_fails_is_said_at_once_and_then_now_and_again_and_its_end_once() {
        let mut log = Log::default();
        for second in 0..1500 {
            log.fails(second, "a", AWAY);
            log.passes(second);
        }
        assert_eq!(log.herald.failures("a"), 1500);
        assert_eq!(log.works(1500, "a"), Some(Over { failing: Duration::from_secs(1500), failures: 1500 }));
        assert_eq!(log.works(1501, "a"), None);
        (1501..1700).for_each(|second| log.passes(second));
        assert_eq!(log.said(Topic::Fails), [(0, "a"), (600, "a"), (1200, "a")]);
        assert_eq!(log.said(Topic::Works), [(1500, "a")]);
        assert!(log.herald.troubles.is_empty() && log.herald.groups.is_empty(), "nothing is kept of it");
    }

    #[test]
    fn hundreds_that_fail_for_one_cause_are_two_lines_and_so_is_their_end() {
        let mut log = Log::default();
        let name = |number: u32| format!("tenant{number:03}");
        for second in 0..120 {
            for number in 0..300 {
                let error = format!("status 503: busy (tracking id 5a11d0b0-7e57-4000-8000-{number:06}{second:06})");
                log.fails(second, &name(number), &error);
            }
            log.passes(second);
        }
        assert_eq!(log.said(Topic::Fails), [(0, "tenant000"), (10, "299 together")]);
        for number in 0..300 {
            assert!(log.works(120, &name(number)).is_some());
        }
        (120..300).for_each(|second| log.passes(second));
        assert_eq!(log.said(Topic::Works), [(120, "tenant000"), (130, "299 together")]);
    }

    #[test]
    fn what_comes_and_goes_is_said_once_a_minute() {
        let mut log = Log::default();
        for second in 0..600 {
            if second % 2 == 0 {
                log.fails(second, "a", AWAY)
            } else {
                _ = log.works(second, "a")
            }
            log.passes(second);
        }
        for topic in [Topic::Fails, Topic::Works] {
            let said = log.said(topic);
            assert!(5 <= said.len() && said.windows(2).all(|two| two[0].0 + 60 <= two[1].0), "{said:?}");
        }
    }

    #[test]
    fn the_end_of_what_nobody_has_heard_of_is_not_said() {
        let mut log = Log::default();
        log.fails(0, "a", AWAY);
        log.fails(1, "b", AWAY);
        assert_eq!(log.works(2, "b"), None);
        (2..200).for_each(|second| log.passes(second));
        assert_eq!(log.said(Topic::Fails), [(0, "a")]);
        assert_eq!(log.said(Topic::Works), []);
        log.fails(200, "b", AWAY);
        assert_eq!(log.said(Topic::Fails), [(0, "a"), (200, "b")], "the next one is news");
    }

    #[test]
    fn another_cause_is_another_line_and_too_many_of_them_are_one() {
        let mut log = Log::default();
        log.fails(0, "a", AWAY);
        log.fails(1, "b", "no such host");
        log.fails(1, "b", AWAY);
        assert_eq!(log.said(Topic::Fails), [(0, "a"), (1, "b")]);
        log.fails(70, "a", "no such host");
        log.fails(71, "a", AWAY);
        assert_eq!(log.said(Topic::Fails).last(), Some(&(70, "a")), "what was said of it is not said again");
        assert!(log.herald.fails(Topic::FailsOtherwise, "a", "no such user", at(72)));
        assert!(!log.herald.fails(Topic::FailsOtherwise, "a", "no such group", at(73)));
        let mut log = Log::default();
        for number in 0..100 {
            log.fails(0, &format!("tenant{number}"), &format!("no answer of kind {number}"));
        }
        (0..59).for_each(|second| log.passes(second));
        assert_eq!(log.lines.len(), CAUSES_MAX + 2, "{:?}", log.lines);
        assert_eq!(log.lines.last(), Some(&(10, Topic::Fails, format!("{} together", 99 - CAUSES_MAX))));
    }

    #[test]
    fn what_happens_is_counted_while_it_is_not_said() {
        let mut herald = Herald::default();
        assert!(herald.happened(Topic::Fails, "a", "too long", 1, at(0)));
        for second in 1..50 {
            assert!(!herald.happened(Topic::Fails, "a", "too long", 2, at(second)));
            assert_eq!(herald.due(at(second)), []);
        }
        let gathered =
            Gathered { topic: Topic::Fails, names: vec!["a".into()], subjects: 1, times: 98, error: "too long".into() };
        assert_eq!(herald.due(at(60)), [gathered]);
        assert_eq!(herald.rest(at(61)), []);
        assert!(!herald.happened(Topic::Fails, "b", "too long", 1, at(62)));
        assert_eq!(herald.rest(at(62)).len(), 1);
        herald.happened(Topic::Fails, "gone", "too long", 1, at(63));
        herald.forget("gone");
        assert_eq!(herald.rest(at(64)), []);
    }
}
