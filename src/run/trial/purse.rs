//! Pays for the calls of a check out of the tenant's quota: each is charged durably before it leaves, and they stop at a bound.

use std::time::{Duration, Instant};

use crate::api::client::Client;
use crate::config::tenant::Tenant as Config;
use crate::core::quota::{Lane, Quota};
use crate::model::names::TenantKey;
use crate::model::page::{FetchError, Page, Query};
use crate::run::clock::Clock;
use crate::run::tenant;
use crate::run::trial::finding::Given;
use crate::store::error::StoreError;
use crate::store::{Endpoint, Store};

/// Calls of one check at most.
const CALLS_MAX: u32 = 5;
/// The same where there is no store yet to charge them in: as many as the quota's own margin bears.
const CALLS_MAX_UNCHARGED: u32 = 3;
/// How long a call waits for the quota at most: the pace of the minute, and not the hour's.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// What pays for calls.
pub(super) struct Purse<'a> {
    quota: Quota,
    store: Option<(&'a Store, TenantKey)>,
    clock: Clock,
    left: u32,
    /// Calls up to now.
    pub(super) used: u32,
}

/// What became of a call.
pub(super) enum Answer {
    /// It was not made: why.
    Unpaid(String),
    /// It was made, and took so long.
    Page(Page, Duration),
    /// The same, without success.
    Failed(FetchError, Duration),
}

impl Answer {
    /// What it says about the bounds in its query.
    pub(super) fn into_given(self) -> Given {
        match self {
            Self::Page(Page { incomplete: Some(why), .. }, _) => Given::Unknown(why),
            Self::Page(page, _) => Given::Page(page),
            Self::Failed(FetchError::Rejected { why }, _) => Given::Rejected(why),
            Self::Failed(error, _) => Given::Unknown(error.to_string()),
            Self::Unpaid(why) => Given::Unknown(why),
        }
    }
}

impl<'a> Purse<'a> {
    /// The quota as the last process left it; a new one where nothing has been asked yet.
    pub(super) fn of(config: &Config, store: Option<&'a Store>, clock: Clock) -> Result<Self, StoreError> {
        let (limits, key) = (config.quota.list(), config.key());
        let quota = match store {
            Some(store) => tenant::quota(store, &key, Endpoint::List, limits, &clock)?,
            None => Quota::fresh(limits),
        };
        let left = if store.is_some() { CALLS_MAX } else { CALLS_MAX_UNCHARGED };
        Ok(Self { quota, store: store.map(|store| (store, key)), clock, left, used: 0 })
    }

    /// Pays for a call and makes it.
    pub(super) async fn ask(&mut self, client: &Client, query: &Query) -> Result<Answer, StoreError> {
        if self.left == 0 {
            return Ok(Answer::Unpaid(format!("a check makes {} calls at most", self.used)));
        }
        let charged = loop {
            let now = self.clock.now();
            if let Some(charged) = self.quota.charge(Lane::Sweep, now) {
                break charged;
            }
            let wait = self.quota.ready_at(Lane::Sweep, now).since(now);
            if WAIT_MAX < wait {
                let seconds = wait.as_secs();
                return Ok(Answer::Unpaid(format!("the quota is used up for {seconds} s")));
            }
            tokio::time::sleep(wait.max(Duration::from_millis(10))).await;
        };
        if let Some((store, key)) = &self.store {
            store.set_quota(key, Endpoint::List, charged).await?;
        }
        (self.left, self.used) = (self.left - 1, self.used + 1);
        let began = Instant::now();
        let answer = client.list(query).await;
        if matches!(answer, Err(FetchError::Throttled { .. })) {
            self.left = 0;
        }
        let took = began.elapsed();
        Ok(match answer {
            Ok(page) => Answer::Page(page, took),
            Err(error) => Answer::Failed(error, took),
        })
    }
}
