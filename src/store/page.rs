//! One page becomes events: each row is held against its mark, and what is new goes into the outbox in one batch with the
//! new mark. What is new, and what happened, is decided in `core::seen`.

use std::collections::HashMap;

use crate::core::commit::{Brief, Committed};
use crate::core::seen::{self, Mark, News, Verdict};
use crate::model::digest::beginning;
use crate::model::event::Event;
use crate::model::incident::{Fields, Head, Row};
use crate::model::moment::Moment;
use crate::model::names::{IncidentId, SinkName, TenantKey, TenantName};
use crate::model::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::keys::Key;
use crate::store::ledger::{Ledger, Pending};
use crate::store::outbox::Outbox;
use crate::store::values::Remembered;
use crate::store::{self, body::Press};

/// Bytes of a field that a mark remembers, so that a mark stays small whatever somebody writes into an assignee. Longer
/// texts are compared by their beginning; the incident itself keeps them whole.
const FIELD_MAX: usize = 128;

/// The rows of one answer of the list API.
#[derive(Debug, Clone)]
pub struct PageBatch {
    /// The tenant, as marks and positions know it.
    pub key: TenantKey,
    /// The tenant, as events name it.
    pub tenant: TenantName,
    /// The rows, in any order.
    pub rows: Vec<Row>,
    /// The server's time: the `Date` header of the answer.
    pub date: Option<Timestamp>,
    /// Our own time.
    pub now: Moment,
    /// Whether rows that are known make events once more; none: they do not.
    pub again: Option<Again>,
}

/// Known rows make events once more, with the same `event_id`, as if their incidents were seen for the first time. What is
/// remembered of them stays as it is. A row older than what is remembered makes none, and a row that is really new is
/// an event like any other: for every sink, and remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Again {
    /// The one sink that these events are for; none: for all of them.
    pub sink: Option<SinkName>,
}

/// Writes a page. Nothing is durable before the ledger is synced, and nothing of it is half there before.
pub(crate) fn commit(
    batch: PageBatch,
    ledger: &Ledger,
    outbox: &mut Outbox,
    press: &mut Press,
    wrote: &mut bool,
) -> Result<Committed, StoreError> {
    let PageBatch { key, tenant, mut rows, date, now, again } = batch;
    // Oldest first, so that each incident's revisions are in order; rows without a time last.
    rows.sort_by_key(|row| row.last_update().map_or((true, Timestamp::default()), |time| (false, time)));
    let mut sequence = ledger.get::<u64>(&Key::Sequence(key.clone()))?.unwrap_or_default();
    let mut committed = Committed::default();
    let mut pending = Pending::default();
    // What was written by rows before, which the database may not show yet.
    let mut marks: HashMap<IncidentId, Mark> = HashMap::new();
    for mut row in rows {
        shorten(&mut row.head);
        let id = seen::id_of(&row);
        let mark_key = Key::seen(&key, &id);
        let mark = match marks.get(&id) {
            Some(mark) => Some(mark.clone()),
            None => store::seen::remembered(ledger, &mark_key, outbox.totals.end)?,
        };
        let (news, is_new) = match (seen::judge(mark.as_ref(), &row, date, now), &again) {
            (Verdict::New(news), _) => (news, true),
            (Verdict::Known | Verdict::TooSoon | Verdict::Noted(_), Some(_)) => {
                match seen::judge(None, &row, date, now) {
                    Verdict::New(news) => (news, false),
                    Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::Noted(_) => continue,
                }
            }
            (Verdict::Noted(mark), None) => {
                // Its event stays the one that was written with it.
                let seq = store::seen::event_of(ledger, &mark_key)?.unwrap_or(outbox.totals.end);
                pending.put(&mark_key, &Remembered { mark: (*mark).clone(), seq }.fitting());
                marks.insert(id, *mark);
                continue;
            }
            (Verdict::Known | Verdict::TooSoon, None) | (Verdict::Stale, _) => continue,
        };
        let only = again.as_ref().and_then(|again| again.sink.as_ref()).filter(|_| !is_new);
        // What one sink alone gets once more takes no number: the others would miss it.
        sequence += u64::from(only.is_none());
        let seq = outbox.totals.end.next();
        let event = news.event(row, &tenant, sequence, now);
        let packed = press.pack(&key, &event, only)?;
        outbox.add(seq, packed.entry());
        packed.write(seq, ledger, &mut pending)?;
        outbox.totals.end = seq;
        // With the entry, in one batch: an event is remembered as seen exactly when it is in the outbox.
        if is_new {
            outbox.totals.seen += u64::from(mark.is_none());
            pending.put(&mark_key, &Remembered { mark: news.mark.clone(), seq }.fitting());
        }
        pending.put(&Key::Totals, &outbox.totals);
        pending.put(&Key::Sequence(key.clone()), &sequence);
        note(&mut committed, &event, &news, is_new);
        if is_new {
            marks.insert(id, news.mark);
        }
    }
    *wrote |= pending.apply(ledger)?;
    Ok(committed)
}

/// An event that only repeats what is known counts among the events and nowhere else.
fn note(committed: &mut Committed, event: &Event, news: &News, is_new: bool) {
    let unseen_time = news.unseen_time.filter(|_| is_new);
    committed.events.push(Brief {
        event_id: event.event_id.clone(),
        kind: event.kind,
        last_update: event.last_update,
        unseen_time,
    });
    committed.unseen_rows += u32::from(is_new);
    if let Some(time) = unseen_time {
        committed.oldest_unseen = Some(committed.oldest_unseen.map_or(time, |oldest| oldest.min(time)));
    }
}

fn shorten(head: &mut Head) {
    let Head::Usual(header) = head else { return };
    let Fields { status, severity, assignee, classification, determination, redirected_to } = &mut header.fields;
    for text in [status, severity, assignee, classification, determination, redirected_to].into_iter().flatten() {
        truncate(text, FIELD_MAX);
    }
}

/// Cuts a text to so many bytes, less where a character would be torn.
pub(crate) fn truncate(text: &mut String, bytes: usize) {
    text.truncate(beginning(text, bytes).len());
}
