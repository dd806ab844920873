//! What of the API can be confirmed with few calls. What cannot be confirmed is said to be so and is no error: the daemon finds out by
//! itself and copes.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::admin::metrics::wall_clock;
use crate::api::client::Client;
use crate::config::tenant::Tenant as Config;
use crate::model::dialect::Dialect;
use crate::model::incident::{Header, Row};
use crate::model::page::{Alerts, FetchError, Page, Query, Window};
use crate::model::timestamp::Timestamp;
use crate::run::trial::Line;
use crate::run::trial::finding::{self, Finding, Given, Outcome};
use crate::run::trial::purse::{Answer, Purse};
use crate::run::trial::tenant::milliseconds;
use crate::store::error::StoreError;

/// Rows of a call that asks for a bound and not for rows.
const FEW: u32 = 5;
/// An answer that fails after so long says nothing about what was asked.
const SLOW: Duration = Duration::from_secs(20);

/// One list call.
#[derive(Debug, Clone, Serialize)]
pub struct ListCall {
    /// Rows that came.
    pub rows: usize,
    /// Rows that were asked for at most.
    pub page_size: u32,
    /// From asking to the last byte, read.
    pub milliseconds: u64,
}

impl fmt::Display for ListCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = if self.rows == 1 { "row" } else { "rows" };
        write!(f, "{} {rows} in {} ms", self.rows, self.milliseconds)
    }
}

/// What the API answered.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ApiTrial {
    /// The list call that worked.
    pub list: Option<ListCall>,
    /// Calls that were used of the quota.
    pub calls: u32,
    /// Whether pages of `poll.page_size` rows are given.
    pub page_size: Finding,
    /// The order of the rows.
    pub order: Finding,
    /// Whether windows have an end (`lt`).
    pub bounds: Finding,
    /// Whether rows are left out (`$skip`).
    pub skip: Finding,
    /// Whether an answer says the server's time.
    pub date: Finding,
    /// Whether alerts come with their incidents (`$expand`); none in the dialect in which they always do.
    pub alerts: Option<Finding>,
    #[serde(skip)]
    pub(super) clock_skew_seconds: Option<f64>,
    #[serde(skip)]
    pub(super) note: Option<String>,
    #[serde(skip)]
    pub(super) error: Option<FetchError>,
}

impl ApiTrial {
    /// Asks.
    ///
    /// # Errors
    /// The store fails.
    pub(super) async fn of(client: &Client, config: &Config, purse: &mut Purse<'_>) -> Result<Self, StoreError> {
        let mut trial = Self::default();
        if config.api.lists_alerts_apart() {
            trial.alerts = Some(Finding::default());
        }
        if let Some(page) = trial.first_page(client, config, purse).await? {
            trial.bounds_and_skip(client, &page, purse).await?;
        }
        trial.calls = purse.used;
        Ok(trial)
    }

    /// A page as the daemon asks for it; where that is not given, less of it, so that it is known what is not given.
    async fn first_page(
        &mut self,
        client: &Client,
        config: &Config,
        purse: &mut Purse<'_>,
    ) -> Result<Option<Page>, StoreError> {
        let size = config.poll.page_size.min(config.api.page_size_max());
        let mut attempts = vec![(size, Alerts::Within), (1, Alerts::Within)];
        if config.api.lists_alerts_apart() {
            attempts.push((1, Alerts::Apart));
        }
        let mut before: Option<FetchError> = None;
        for (top, alerts) in attempts {
            let query = Query { window: EVER, created: None, skip: 0, top, alerts };
            match purse.ask(client, &query).await? {
                Answer::Unpaid(why) if before.is_none() => {
                    self.note = Some(format!("no list call: {why}"));
                    return Ok(None);
                }
                Answer::Unpaid(_) => break,
                Answer::Page(page, took) => {
                    self.list =
                        Some(ListCall { rows: page.rows.len(), page_size: top, milliseconds: milliseconds(took) });
                    self.look_at_date(page.date, wall_clock(), took);
                    self.judge_size(before, (top, alerts), (size, config.api), page.rows.len());
                    self.order = finding::order(&headers(&page.rows));
                    self.judge_incomplete(page.incomplete.as_deref());
                    return Ok(Some(page));
                }
                Answer::Failed(error, took) => {
                    let may_be_the_query = says_something_of_the_query(&error, config.api) && took < SLOW;
                    before = before.or(Some(error));
                    if !may_be_the_query {
                        break;
                    }
                }
            }
        }
        self.error = before;
        Ok(None)
    }

    /// What the first attempts say that did not work.
    fn judge_size(
        &mut self,
        before: Option<FetchError>,
        (top, alerts): (u32, Alerts),
        (size, api): (u32, Dialect),
        came: usize,
    ) {
        let copes = "; the daemon asks for less by itself where a page fails";
        self.page_size = match &before {
            None => finding::size(size, came),
            Some(_) if alerts == Alerts::Apart => {
                Finding::not_confirmed(format!("pages of {size} rows with their alerts"))
            }
            Some(FetchError::Rejected { why }) => Finding::refused(format!(
                "pages of {size} rows, while one of {top} is given: set poll.page_size lower ({why})"
            )),
            Some(error) => Finding::not_confirmed(format!("pages of {size} rows: {error}{copes}")),
        };
        self.alerts = match (api.lists_alerts_apart(), alerts, &before) {
            (false, _, _) => None,
            (true, Alerts::Within, _) => Some(Finding::confirmed("alerts with their incidents ($expand)")),
            (true, Alerts::Apart, error) => {
                let why = error.as_ref().map(ToString::to_string).unwrap_or_default();
                let meaning = "they are asked for an incident at a time, which takes more calls";
                Some(Finding::refused(format!("alerts with their incidents ($expand): {meaning} ({why})")))
            }
        };
        // With a page size that is never given nothing can be read.
        self.error = before.filter(|error| self.page_size.is_refused() && matches!(error, FetchError::Rejected { .. }));
    }

    /// What a page proves that the API itself calls a part of what was asked for: neither how large pages are, nor their order.
    fn judge_incomplete(&mut self, why: Option<&str>) {
        let Some(why) = why else { return };
        let untold = |finding: &mut Finding, name: &str| {
            if !finding.is_refused() {
                *finding = Finding::not_confirmed(format!("{name}: {why}"));
            }
        };
        untold(&mut self.page_size, "the size of pages");
        self.order = Finding::not_confirmed(format!("the order of rows: {why}"));
        if let Some(alerts) = &mut self.alerts {
            untold(alerts, "alerts with their incidents ($expand)");
        }
        let meaning = "such an answer is delivered as it is and asked for again until it is whole";
        self.note = Some(format!("the answer is a part of what was asked for: {why}; {meaning}"));
    }

    fn look_at_date(&mut self, date: Option<Timestamp>, answered_at: Timestamp, took: Duration) {
        let Some(theirs) = date else {
            let meaning =
                "without it the cursor stands still, so that each start reads everything since the last one again";
            self.date = Finding::refused(format!("the header Date: {meaning}"));
            return;
        };
        // The middle of the call; and of the second, since the header has whole ones.
        let (ours, theirs) = (answered_at.earlier(took / 2), theirs.later(Duration::from_millis(500)));
        self.clock_skew_seconds = Some(ours.since(theirs).as_secs_f64() - theirs.since(ours).as_secs_f64());
        self.date = Finding::confirmed("the header Date");
    }

    /// Both by one call; one by one where that is refused. And whether a short page was all there is.
    async fn bounds_and_skip(
        &mut self,
        client: &Client,
        first: &Page,
        purse: &mut Purse<'_>,
    ) -> Result<(), StoreError> {
        let rows = &headers(&first.rows);
        let end = finding::telling_end(rows).unwrap_or_else(wall_clock);
        let bounded = Window { to: Some(end), ..EVER };
        let query = |window, skip| Query { window, created: None, skip, top: FEW, alerts: Alerts::Apart };
        let given = |answer: Answer| match (answer.into_given(), &first.incomplete) {
            // Nothing can be told from rows that should be those of another page which has gaps.
            (Given::Page(_), Some(why)) => Given::Unknown(why.clone()),
            (given, _) => given,
        };
        let why = match given(purse.ask(client, &query(bounded, 1)).await?) {
            Given::Page(page) => {
                self.look_behind(first, &page);
                self.bounds = finding::bounds(Given::Page(page.clone()), rows, end, 1);
                self.skip = finding::skip(Given::Page(page), rows, end);
                return Ok(());
            }
            Given::Unknown(why) => {
                self.bounds = finding::bounds(Given::Unknown(why.clone()), rows, end, 1);
                self.skip = finding::skip(Given::Unknown(why), rows, end);
                return Ok(());
            }
            Given::Rejected(why) => why,
        };
        let alone = given(purse.ask(client, &query(bounded, 0)).await?);
        let skip = match &alone {
            Given::Page(_) => Given::Rejected(why),
            Given::Unknown(why) => Given::Unknown(why.clone()),
            Given::Rejected(_) => given(purse.ask(client, &query(EVER, 1)).await?),
        };
        if let Given::Page(page) = &alone {
            self.look_behind(first, page);
        }
        self.bounds = finding::bounds(alone, rows, end, 0);
        self.skip = finding::skip(skip, rows, finding::LAST);
        if self.bounds.is_refused() && self.skip.is_refused() {
            let why = "neither windows with an end nor $skip are given, so no more than one page can be read".into();
            self.error = Some(FetchError::Rejected { why });
        }
        Ok(())
    }

    /// Whether more is behind a first page that has fewer rows than were asked for.
    fn look_behind(&mut self, first: &Page, older: &Page) {
        let asked = self.list.as_ref().map_or(0, |list| list.page_size);
        if first.rows.len() < asked as usize {
            let cap = finding::cap(asked, &headers(&first.rows), older);
            self.page_size = cap.unwrap_or_else(|| self.page_size.clone());
        }
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        lines.extend(self.list.as_ref().map(|list| ("list", format!("{list}, {} were asked for", list.page_size))));
        let all = [Some(&self.page_size), Some(&self.order), Some(&self.bounds), Some(&self.skip), Some(&self.date)];
        let all = || all.into_iter().chain([self.alerts.as_ref()]).flatten();
        let of = |outcome| all().filter(move |finding| finding.outcome == outcome).map(|finding| finding.says.as_str());
        if self.list.is_some() {
            let confirmed: Vec<_> = of(Outcome::Confirmed).collect();
            lines.extend((!confirmed.is_empty()).then(|| ("confirmed", confirmed.join("; "))));
            lines.extend(of(Outcome::Refused).map(|says| ("refused", says.to_owned())));
            lines.extend(of(Outcome::NotConfirmed).map(|says| ("note", format!("not confirmed: {says}"))));
        }
        let calls = if self.calls == 1 { "call" } else { "calls" };
        lines.extend((0 < self.calls).then(|| ("quota", format!("{} list {calls} used", self.calls))));
        lines
    }
}

/// Everything.
const EVER: Window = Window { from: Timestamp::from_ticks(0), to: None };
/// Whether less of the same may be given. Graph fails for good, by a 5xx, where an incident has too many alerts.
const fn says_something_of_the_query(error: &FetchError, api: Dialect) -> bool {
    match error {
        FetchError::Rejected { .. } | FetchError::TooLarge { .. } => true,
        FetchError::Unavailable { .. } => api.lists_alerts_apart(),
        FetchError::Throttled { .. }
        | FetchError::Unauthorized { .. }
        | FetchError::Refused { .. }
        | FetchError::Garbled { .. }
        | FetchError::NotFound => false,
    }
}

fn headers(rows: &[Row]) -> Vec<&Header> {
    rows.iter().filter_map(|row| row.head.usual()).collect()
}
