//! Calls that are made for their answer and not for their rows: whether the source works, and whether it lists anything at all.

use crate::model::page::{Alerts, Query, Window};
use crate::model::timestamp::Timestamp;

/// What asks nothing of anybody: no incident was changed in 1970. It is answered where the source works at all.
pub const PROBE: Query = one_row(Timestamp::from_seconds(0), Some(Timestamp::from_seconds(1)));

/// The same for a server that refuses bounds: nothing was changed in the year 9999.
pub(crate) const OPEN_PROBE: Query = one_row(Timestamp::from_seconds(253_370_764_800), None);

/// Any incident at all. A source that lists none where it listed some before tells nothing by an empty list.
pub(crate) const ANYTHING: Query = one_row(Timestamp::from_seconds(0), None);

const fn one_row(from: Timestamp, to: Option<Timestamp>) -> Query {
    Query { window: Window { from, to }, created: None, skip: 0, top: 1, alerts: Alerts::Within }
}
