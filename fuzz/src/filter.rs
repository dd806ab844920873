//! The sandbox's `$filter`: never a panic, and what it takes lies within the bounds that it reckons; and the queries of ours
//! mean there what they mean here.

use xdrelay::api::defender;
use xdrelay::model::page::{Alerts, Query, Window};
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::filter::Filter;
use xdrelay::sandbox::incident::{Incident, IncidentNumber, Status};
use xdrelay::sandbox::query::{ListQuery, Taste};
use xdrelay::sandbox::rows::{Facts, Revision};

use crate::input::Input;

const TASTE: Taste = Taste { top_max: 100, skip_max: None, refuses_lt: false, plus_is_space: false };

/// The text of a filter, and of a whole query string; the first bytes are the numbers of a query of ours as well.
pub fn check(bytes: &[u8]) {
    a_query_of_ours(Input::new(bytes));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for plus_is_space in [false, true] {
        if let Ok(ListQuery { filter: Some(filter), .. }) = ListQuery::parse(text, Taste { plus_is_space, ..TASTE }) {
            within_its_bounds(&filter, bytes);
        }
    }
    if let Ok(filter) = Filter::parse(text) {
        within_its_bounds(&filter, bytes);
    }
}

fn within_its_bounds(filter: &Filter, bytes: &[u8]) {
    let (first, last) = filter.bounds();
    let near = |time: Timestamp| [time.ticks().saturating_sub(1), time.ticks(), time.ticks().saturating_add(1)];
    let some = Input::new(bytes).number();
    for ticks in near(first).into_iter().chain(near(last)).chain([0, some, u64::MAX]) {
        for (status, assigned_to) in [(Status::Active, None), (Status::Resolved, Some("kim@example.net"))] {
            let row = revision(Timestamp::from_ticks(ticks), status, assigned_to);
            let within = first <= row.last_update && row.last_update <= last;
            assert!(within || !filter.takes(&row), "{filter:?} takes a row of {ticks} ticks");
        }
    }
}

fn revision(time: Timestamp, status: Status, assigned_to: Option<&'static str>) -> Revision {
    Revision {
        number: IncidentNumber(1),
        created: time,
        last_update: time,
        status,
        assigned_to,
        shown_from: time,
        sequence: 1,
        json: "{}".into(),
        // Only Graph filters by them, and none of them is a time.
        facts: Facts::new(Incident::new(IncidentNumber(1), Timestamp::default(), 0, 1)),
    }
}

fn a_query_of_ours(mut input: Input<'_>) {
    // Until a time that has a date.
    let mut time = || Timestamp::from_ticks(input.number() % 2_534_022_071_999_999_999);
    let window = Window { from: time(), to: Some(time()) };
    let query = Query {
        window,
        created: None,
        skip: u32::from(input.byte()),
        top: 1 + input.below(100) as u32,
        alerts: Alerts::Within,
    };
    let asked = ListQuery::parse(&defender::list_query(&query), TASTE).expect("a query of ours");
    assert_eq!((asked.top, asked.skip), (Some(u64::from(query.top)), u64::from(query.skip)));
    let filter = asked.filter.expect("a filter");
    assert_eq!(filter.bounds(), (window.from, window.to.expect("bounded")));
    for ticks in [window.from.ticks(), window.from.ticks() + 1, window.to.map_or(0, Timestamp::ticks)] {
        let row = revision(Timestamp::from_ticks(ticks), Status::Active, None);
        let wanted = window.from <= row.last_update && window.to.is_some_and(|to| row.last_update < to);
        assert_eq!(filter.takes(&row), wanted, "{ticks}");
    }
}
