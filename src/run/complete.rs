//! Completes the incidents of a page that came without all of their alerts, before anybody makes anything of it: each by calls of its
//! own, one at a time, each charged and durable before it leaves. A page is answered whole or not at all; nothing is repeated here.

use std::collections::VecDeque;
use std::time::Duration;

use crate::api::completion::Completion;
use crate::core::quota::Lane;
use crate::model::hash::ContentHash;
use crate::model::incident::Row;
use crate::model::moment::Moment;
use crate::model::names::IncidentId;
use crate::model::page::{AlertsPage, FetchError, Page, Query};
use crate::run::poll::{LONGEST_WAIT, outcome};
use crate::run::tenant::Tenant;
use crate::store::Endpoint;
use crate::store::error::StoreError;
use crate::transport::hands;

/// How long a call waits for the quota before its caller hears of it.
const PATIENCE: Duration = Duration::from_secs(75);
/// Between two looks at the quota at least.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What a 429 without any hint is taken for.
const THROTTLED: Duration = Duration::from_secs(60);

/// Calls of the hour that are left to those who need them.
const SPARE_CALLS: u32 = 300;
/// How long a call that can be spared waits for its turn.
const SPARE_WAIT: Duration = Duration::from_secs(2);

/// How long what was completed counts while the list says the same of an incident. Its alerts may change without that, which nobody
/// promises to find sooner than an audit does.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// Incidents that are kept at most.
const KEPT_MAX: usize = 64;
/// Bytes of them at most.
const KEPT_SIZE_MAX: usize = 8 << 20;

/// Why there is nothing.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The API, or its quota.
    Call(FetchError),
    /// What was charged could not be made durable, so nothing was asked.
    Store(StoreError),
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        Self::Call(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Incidents that were completed lately, for one reader: the tail is shown the same ones every few seconds, and every page of theirs is
/// a call.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    incidents: VecDeque<Lately>,
    size: usize,
}

#[derive(Debug)]
struct Lately {
    id: IncidentId,
    /// What the list said of it.
    listed: ContentHash,
    at: Moment,
    row: Row,
}

impl Kept {
    fn find(&mut self, id: &IncidentId, listed: ContentHash, now: Moment) -> Option<Row> {
        while self.incidents.front().is_some_and(|oldest| KEPT_FOR <= now.since(oldest.at)) {
            self.drop_oldest();
        }
        let found = self.incidents.iter().find(|known| known.id == *id && known.listed == listed)?;
        Some(found.row.clone())
    }

    fn keep(&mut self, id: IncidentId, listed: ContentHash, at: Moment, row: &Row) {
        let size = row.raw.get().len();
        if KEPT_SIZE_MAX < size {
            return;
        }
        while KEPT_MAX <= self.incidents.len() || KEPT_SIZE_MAX < self.size + size {
            self.drop_oldest();
        }
        self.size += size;
        self.incidents.push_back(Lately { id, listed, at, row: row.clone() });
    }

    fn drop_oldest(&mut self) {
        self.size -= self.incidents.pop_front().map_or(0, |oldest| oldest.row.raw.get().len());
    }
}

/// Who asks for single incidents and for their alerts, out of the quota of the get endpoint.
pub(crate) struct Asker<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) lane: Lane,
    /// The loop that waits for it, whose heart beats on: one page may take a hundred calls.
    pub(crate) who: Option<&'a str>,
}

impl Asker<'_> {
    /// The page with every incident on it whole, in the order of the list.
    ///
    /// An incident whose alerts are not found any more after it was listed is left out, and the page is incomplete by that: what
    /// else is on it counts, nothing is concluded from what is not, and the next answer shows whether it is gone. A 404 alone is not
    /// believed: Graph asks several providers, and one that does not know an incident is no proof that none does.
    ///
    /// # Errors
    /// The first call that fails, and [`FetchError::TooLarge`] where the incidents of a page come to more than a body may.
    pub(crate) async fn page(&self, query: &Query, page: Page, kept: &mut Kept) -> Result<Page, Failed> {
        let size_max = self.tenant.client.max_body_size();
        let Page { rows, date, mut incomplete } = page;
        // Graph says by 206 that something is missing and not where: it may be the alerts of one of several products.
        let may_lack = incomplete.is_some();
        let mut lacks_alerts = may_lack && self.tenant.client.asks_for_alerts_apart();
        let mut whole: Vec<Row> = Vec::with_capacity(rows.len());
        let (mut size, mut calls) = (0, false);
        for row in rows {
            let is_whole = self.tenant.client.is_whole(query, &row);
            lacks_alerts &= self.has_spare_calls();
            calls |= !is_whole || lacks_alerts;
            let row = match (is_whole, lacks_alerts) {
                (true, false) => Some(Row { part: may_lack, ..row }),
                (true, true) => match self.listed(row.clone(), kept, &mut incomplete).await {
                    // A product that is away for hours must not hold up what is there: it comes as it is, and once more when it is
                    // whole. Where it is the sign-in that fails, no product was asked, and nothing is held up by asking again.
                    Err(Failed::Call(_)) if self.tenant.client.is_signed_in().await => {
                        lacks_alerts = false;
                        Some(Row { part: true, ..row })
                    }
                    completed => completed?,
                },
                (false, _) => self.listed(row, kept, &mut incomplete).await?,
            };
            let Some(row) = row else { continue };
            size += row.raw.get().len() as u64;
            if size_max < size && !whole.is_empty() {
                return Err(FetchError::TooLarge { limit: size_max }.into());
            }
            whole.push(row);
        }
        if calls {
            hands::take_up(size).await;
        }
        Ok(Page { rows: whole, date, incomplete })
    }

    /// Whether calls can be spent on what may be whole already.
    fn has_spare_calls(&self) -> bool {
        let now = self.tenant.clock.now();
        let get = &self.tenant.decisions().get;
        get.ready_at(self.lane, now).since(now) < SPARE_WAIT && SPARE_CALLS <= get.hour_remaining(now)
    }

    /// An incident of the list, completed; none where it is left out, for this reason.
    async fn listed(&self, row: Row, kept: &mut Kept, incomplete: &mut Option<String>) -> Result<Option<Row>, Failed> {
        let listed = row.hash;
        let completion = self.tenant.client.completion(row)?;
        let id = completion.id().clone();
        if let Some(row) = kept.find(&id, listed, self.tenant.clock.now()) {
            return Ok(Some(row));
        }
        match self.completed(completion).await {
            Ok(row) => {
                kept.keep(id, listed, self.tenant.clock.now(), &row);
                Ok(Some(row))
            }
            Err(Failed::Call(FetchError::NotFound)) => {
                incomplete.get_or_insert_with(|| format!("incident {id} was listed, and its alerts are not found"));
                Ok(None)
            }
            Err(failed) => Err(failed),
        }
    }

    /// One incident with its alerts: in one call, or where it cannot be had in one, by its parts.
    ///
    /// # Errors
    /// The last call that failed; [`FetchError::NotFound`] where there is no such incident.
    pub(crate) async fn incident(&self, id: &IncidentId) -> Result<Row, Failed> {
        let client = &self.tenant.client;
        let apart = client.asks_for_alerts_apart();
        let row = match self.pay_and("get", async || client.get(id).await).await {
            Ok(row) if !row.cut => return Ok(row),
            Ok(row) => row,
            // It may be the alerts that cannot be had this way, for ever: large incidents are known to fail with a 500.
            Err(Failed::Call(FetchError::Unavailable { after: None, .. } | FetchError::TooLarge { .. })) if apart => {
                self.pay_and("get", async || client.get_without_alerts(id).await).await?
            }
            Err(failed) => return Err(failed),
        };
        match self.completed(client.completion(row)?).await {
            Err(Failed::Call(FetchError::NotFound)) => {
                let why = format!("incident {id} is there, and its alerts are not found");
                Err(FetchError::Unavailable { after: None, why }.into())
            }
            answer => answer,
        }
    }

    /// Every page of its alerts, as far as they are needed.
    async fn completed(&self, mut completion: Completion) -> Result<Row, Failed> {
        let mut has_new_token = false;
        // The calls, and the quota for them, may take minutes: whoever waits for this page's place in memory does not wait for these.
        hands::put_down();
        while let Some(skip) = completion.skip() {
            match self.alerts(completion.id(), skip).await {
                Ok(page) => {
                    has_new_token = false;
                    completion.read(page)?;
                    hands::put_down();
                }
                Err(Failed::Call(FetchError::TooLarge { .. })) => completion.page_is_too_large(),
                // The token was thrown away: once more. A page may take longer than a token lasts.
                Err(Failed::Call(FetchError::Unauthorized { .. })) if !has_new_token => has_new_token = true,
                // It may be that so many are not skipped.
                Err(Failed::Call(FetchError::Rejected { .. })) if completion.is_confirming() => {
                    completion.cannot_be_confirmed()?;
                }
                // The list query is not what was refused, and nothing may be concluded about that.
                Err(Failed::Call(FetchError::Rejected { why })) => {
                    let why = format!("the alerts of incident {}: {why}", completion.id());
                    return Err(FetchError::Unavailable { after: None, why }.into());
                }
                Err(failed) => return Err(failed),
            }
        }
        Ok(self.tenant.client.completed(completion).await?)
    }

    async fn alerts(&self, id: &IncidentId, skip: u32) -> Result<AlertsPage, Failed> {
        self.pay_and("alerts", async || self.tenant.client.alerts(id, skip).await).await
    }

    /// One call, once it is paid for.
    async fn pay_and<T>(
        &self,
        endpoint: &'static str,
        call: impl AsyncFnOnce() -> Result<T, FetchError>,
    ) -> Result<T, Failed> {
        self.pay().await?;
        let tenant = self.tenant;
        let answer = call().await;
        tenant.metrics.called(&tenant.name, endpoint, outcome(answer.as_ref().err()));
        if let Err(FetchError::Throttled { after, .. }) = &answer {
            tenant.decisions().get.block_until(tenant.clock.now() + after.unwrap_or(THROTTLED));
        }
        self.beat();
        Ok(answer?)
    }

    /// Waits until a call may go, and makes durable that it does.
    async fn pay(&self) -> Result<(), Failed> {
        let tenant = self.tenant;
        let charged = loop {
            self.beat();
            let now = tenant.clock.now();
            let (charged, wait) = {
                let get = &mut tenant.decisions().get;
                (get.charge(self.lane, now), get.ready_at(self.lane, now).since(now))
            };
            match charged {
                Some(charged) => break charged,
                None if PATIENCE < wait => {
                    let why = format!("the quota of single incidents is used up for {} s", wait.as_secs());
                    return Err(FetchError::Throttled { after: Some(wait), why }.into());
                }
                None => tokio::time::sleep(wait.clamp(LOOK_EVERY, LONGEST_WAIT)).await,
            }
        };
        Ok(tenant.store.set_quota(&tenant.key, Endpoint::Get, charged).await?)
    }

    fn beat(&self) {
        if let Some(who) = self.who {
            self.tenant.board.beat(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn row(size: usize) -> Row {
        Row::new(RawValue::from_string(format!("{:?}", "x".repeat(size - 2))).expect("JSON"))
    }

    #[test]
    fn what_is_kept_is_of_the_same_words_and_young_and_bounded() {
        let at = |seconds: u64| Moment::from_nanos(seconds * 1_000_000_000);
        let (id, hash) = (|n: usize| IncidentId::new(n.to_string()), ContentHash::from_bits);
        let mut kept = Kept::default();
        kept.keep(id(1), hash(1), at(1000), &row(10));
        kept.keep(id(2), hash(1), at(1100), &row(20));
        let mut size = |n, words, seconds| kept.find(&id(n), hash(words), at(seconds)).map(|row| row.raw.get().len());
        assert_eq!((size(1, 1, 1299), size(2, 1, 1299)), (Some(10), Some(20)));
        assert_eq!((size(1, 2, 1299), size(3, 1, 1299)), (None, None), "other words, another incident");
        assert_eq!((size(1, 1, 1300), size(2, 1, 1300)), (None, Some(20)), "the first is old");
        for n in 0..1000 {
            kept.keep(id(n), hash(1), at(1300), &row(1 << 10));
        }
        assert_eq!((kept.incidents.len(), kept.size), (KEPT_MAX, KEPT_MAX << 10));
        for n in 0..100 {
            kept.keep(id(n), hash(1), at(1300), &row(1 << 20));
        }
        assert_eq!((kept.incidents.len(), kept.size), (8, KEPT_SIZE_MAX));
        kept.keep(id(7), hash(7), at(1300), &row(KEPT_SIZE_MAX + 1));
        assert!(kept.find(&id(7), hash(7), at(1300)).is_none() && kept.find(&id(99), hash(1), at(1300)).is_some());
    }
}
