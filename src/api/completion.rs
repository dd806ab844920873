//! An incident put together from what the list gave of it and the pages of its alerts. Cuts and joins texts, so that each stays as it
//! came, and proves that the pages join; asks nobody.
//!
//! Nothing is a snapshot: an alert that leaves moves those behind it up, and `$skip` would jump over one. So each page begins with the
//! last alert of the one before, which has to be there, and no other alert may come twice. Nor is a short page without a link always
//! the last: some servers cap in silence, so where there may be more the end is confirmed by a page that holds nothing new.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::rows;
use crate::model::hash::ContentHash;
use crate::model::incident::{ALERTS_BEHIND, Head, Row};
use crate::model::names::IncidentId;
use crate::model::page::{AlertsPage, FetchError};
use crate::model::parts::{Parts, elements};

/// Pages of one incident at most, which is about 5,000 alerts. What has more becomes a stub, as what is too large.
pub const PAGES_MAX: u32 = 50;

/// From so many alerts on the end of them is confirmed, whatever the list said: no server is known to cap its pages at fewer.
const CONFIRMED_FROM: u32 = 10;

/// What goes around the alerts of an incident.
const AROUND_ALERTS: &str = ",\"alerts\":[]";

/// An incident while it is completed. Holds `max_incident_size` bytes of alerts and one page more at most.
#[derive(Debug)]
pub struct Completion {
    row: Row,
    id: IncidentId,
    /// Bytes of the incident at most.
    size_max: u64,
    /// Bytes of it so far.
    size: u64,
    /// The alerts so far, with a comma behind each.
    alerts: String,
    count: u32,
    /// The last alert so far, as a number.
    last: Option<u64>,
    /// All of them.
    known: HashSet<u64>,
    /// Those that the list showed and that have not come yet.
    listed: HashSet<u64>,
    pages: u32,
    repaired: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There are more alerts, or none were read yet.
    Reading,
    /// The server says that these are all, and there may be more all the same.
    Confirming,
    /// These are all.
    Whole,
    /// The incident is over its limits, however many more there are.
    Oversize,
}

impl Completion {
    /// Begins with what the list gave. What that holds of alerts counts for nothing, but that they have to come again.
    ///
    /// # Errors
    /// [`FetchError::Garbled`]: it has no id to ask by.
    pub fn of(row: Row, size_max: u64) -> Result<Self, FetchError> {
        let id = match &row.head {
            Head::Usual(header) => header.id.clone(),
            Head::Odd { id: Some(id), .. } => id.clone(),
            Head::Odd { id: None, why } => {
                return Err(FetchError::Garbled {
                    why: format!("the alerts of an incident are not with it, and {why}"),
                });
            }
        };
        let stage = if row.truncated { Stage::Oversize } else { Stage::Reading };
        let alerts_listed = Parts::of(row.raw.get());
        let alerts_listed = elements(alerts_listed.as_ref().and_then(|parts| parts.get("alerts")));
        let mut completion = Self {
            size: 0,
            alerts: String::new(),
            count: 0,
            last: None,
            known: HashSet::new(),
            listed: alerts_listed.into_iter().map(number).collect(),
            pages: 0,
            repaired: row.repaired,
            row,
            id,
            size_max,
            stage,
        };
        completion.size = (completion.own().len() + AROUND_ALERTS.len()) as u64;
        Ok(completion)
    }

    /// Whose alerts.
    pub const fn id(&self) -> &IncidentId {
        &self.id
    }

    /// Alerts to leave out of the next page; none where nothing more is needed.
    pub fn skip(&self) -> Option<u32> {
        matches!(self.stage, Stage::Reading | Stage::Confirming).then(|| self.count.saturating_sub(1))
    }

    /// Whether the page that [`skip`](Self::skip) asks for is only asked for to be sure.
    pub fn is_confirming(&self) -> bool {
        self.stage == Stage::Confirming
    }

    /// The page that would confirm the end is not to be had in any way: what came is all that can come.
    ///
    /// # Errors
    /// [`FetchError::Unavailable`]: it is not all that there was.
    pub fn cannot_be_confirmed(&mut self) -> Result<(), FetchError> {
        self.whole()
    }

    /// The page that [`skip`](Self::skip) asked for.
    ///
    /// # Errors
    /// [`FetchError::Unavailable`]: it does not join the pages before it, or what the list showed is not there at the end, so the
    /// incident has to be read anew.
    pub fn read(&mut self, page: AlertsPage) -> Result<(), FetchError> {
        let AlertsPage { alerts, more, repaired } = page;
        let numbers: Vec<u64> = alerts.iter().map(|alert| number(alert.get())).collect();
        let shared = usize::from(self.last.is_some());
        if self.last.is_some() && numbers.first() != self.last.as_ref() {
            return Err(self.broken("its alerts moved between two pages"));
        }
        if numbers.iter().skip(shared).any(|number| self.known.contains(number)) {
            return Err(self.broken("one of its alerts came on two pages"));
        }
        if more && alerts.len() <= shared {
            return Err(self.broken("a page of its alerts holds nothing new and says that there are more"));
        }
        self.repaired |= repaired;
        self.pages += 1;
        for (alert, number) in alerts.iter().zip(numbers).skip(shared) {
            self.size += alert.get().len() as u64 + u64::from(0 < self.count);
            if self.size_max < self.size {
                return self.enter(Stage::Oversize);
            }
            self.alerts.push_str(alert.get());
            self.alerts.push(',');
            self.known.insert(number);
            self.listed.remove(&number);
            self.count += 1;
            self.last = Some(number);
        }
        let may_be_more = shared < alerts.len() && self.is_doubtful();
        match more || may_be_more {
            false => self.whole(),
            true if PAGES_MAX <= self.pages => self.enter(Stage::Oversize),
            true => self.enter(if more { Stage::Reading } else { Stage::Confirming }),
        }
    }

    /// Whether there may be more alerts though the server says nothing of them: the list hints at it, they are many, or it was so before.
    fn is_doubtful(&self) -> bool {
        self.row.cut || self.stage == Stage::Confirming || !self.listed.is_empty() || CONFIRMED_FROM <= self.count
    }

    fn whole(&mut self) -> Result<(), FetchError> {
        match self.listed.is_empty() {
            true => self.enter(Stage::Whole),
            false => Err(self.broken("an alert that was listed with it is not among its alerts")),
        }
    }

    /// The page that was asked for is over `max_body_size`, which no incident may be.
    pub fn page_is_too_large(&mut self) {
        self.size = self.size.max(self.size_max.saturating_add(1));
        self.stage = Stage::Oversize;
    }

    /// The incident: its own members as they came and in their order, and its alerts in the place of what stood there; or its stub.
    /// The hash is that of the same incident listed whole. That of a stub is of its own members only, because which alerts were read
    /// before it was too large is up to the order in which they came.
    ///
    /// # Errors
    /// [`FetchError::Garbled`]: its members are out of the ordinary, and what came of them is not whole.
    pub fn row(self) -> Result<Row, FetchError> {
        let Self { row, alerts, size, repaired, stage, .. } = &self;
        let completed = match stage {
            Stage::Oversize if row.truncated => row.clone(),
            Stage::Oversize => rows::stub(&row.raw, ContentHash::of(&self.own()), *size),
            Stage::Reading | Stage::Confirming => return Err(self.broken("not all of its alerts were read")),
            Stage::Whole => {
                let alerts = format!("[{}]", alerts.strip_suffix(',').unwrap_or(alerts));
                let parts = Parts::of(row.raw.get()).map(|parts| parts.without(&[ALERTS_BEHIND]));
                let text = parts.map(|parts| parts.with("alerts", "\"alerts\"", alerts).text());
                let raw = text.and_then(|text| RawValue::from_string(text).ok());
                Row::new(raw.ok_or_else(|| self.garbled("it is no object"))?)
            }
        };
        match completed.cut {
            true => Err(self.garbled("it says that it is cut in a way that we do not understand")),
            false => Ok(Row { repaired: *repaired, ..completed }),
        }
    }

    /// The incident without any alerts.
    fn own(&self) -> String {
        let parts = Parts::of(self.row.raw.get());
        parts.map(|parts| parts.without(&["alerts", ALERTS_BEHIND]).text()).unwrap_or_default()
    }

    const fn enter(&mut self, stage: Stage) -> Result<(), FetchError> {
        self.stage = stage;
        Ok(())
    }

    fn broken(&self, why: &str) -> FetchError {
        FetchError::Unavailable { after: None, why: format!("incident {}: {why}", self.id) }
    }

    fn garbled(&self, why: &str) -> FetchError {
        FetchError::Garbled { why: format!("incident {}: {why}", self.id) }
    }
}

/// An alert as a number: by its id, or where it has none by its text. Two share one by a chance of one in 2^64, which costs another
/// reading.
fn number(alert: &str) -> u64 {
    #[derive(Deserialize, Default)]
    struct Named<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }
    let named: Named<'_> = serde_json::from_str(alert).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    named.id.map_or(alert, RawValue::get).hash(&mut hasher);
    hasher.finish()
}
