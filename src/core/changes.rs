//! What happened between two revisions of an incident: the kind of the event and the plain fields that differ.

use std::time::Duration;

use crate::model::event::{Change, Kind};
use crate::model::incident::{Fields, Header};

/// An incident first seen with a last update this long after its creation was there before we looked: it is `updated`
/// with `first_seen`, not `created`. Ten minutes is what Defender takes to settle a fresh incident's alerts.
pub const FRESH: Duration = Duration::from_secs(600);

/// What to tell of an incident of which nothing is remembered: its kind, and whether it is an old one first seen now.
pub fn first_kind(header: &Header) -> (Kind, bool) {
    let old = header.created.is_some_and(|created| FRESH < header.last_update.since(created));
    if is_status(&header.fields, "redirected") {
        (Kind::Redirected, true)
    } else if old {
        (Kind::Updated, true)
    } else {
        (Kind::Created, false)
    }
}

/// What happened from one revision to the next.
pub fn kind(from: &Fields, to: &Fields) -> Kind {
    let became = |status| is_status(to, status) && !is_status(from, status);
    if became("redirected") {
        Kind::Redirected
    } else if became("resolved") {
        Kind::Resolved
    } else if is_status(from, "resolved") && !is_status(to, "resolved") && !is_status(to, "redirected") {
        Kind::Reopened
    } else {
        Kind::Updated
    }
}

/// The plain fields that differ, in a fixed order. Spelling in another case (the dialects write `Active` and `active`) is
/// no difference, except in the assignee, which is free text.
pub fn changes(from: &Fields, to: &Fields) -> Vec<Change> {
    let exact = |a: &str, b: &str| a == b;
    let folded = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let mut changes = Vec::new();
    let mut compare = |field: &str, from: &Option<String>, to: &Option<String>, same: &dyn Fn(&str, &str) -> bool| {
        let equal = match (from, to) {
            (None, None) => true,
            (Some(from), Some(to)) => same(from, to),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !equal {
            changes.push(Change::value(field, from.clone(), to.clone()));
        }
    };
    compare("status", &from.status, &to.status, &folded);
    compare("severity", &from.severity, &to.severity, &folded);
    compare("assignee", &from.assignee, &to.assignee, &exact);
    compare("classification", &from.classification, &to.classification, &folded);
    compare("determination", &from.determination, &to.determination, &folded);
    compare("redirected_to", &from.redirected_to, &to.redirected_to, &exact);
    changes
}

fn is_status(fields: &Fields, status: &str) -> bool {
    fields.status.as_deref().is_some_and(|value| value.eq_ignore_ascii_case(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(status: &str) -> Fields {
        Fields { status: Some(status.into()), ..Fields::default() }
    }

    #[test]
    fn the_kind_follows_the_status() {
        let check = |from: &str, to: &str, expected: Kind| {
            assert_eq!(kind(&fields(from), &fields(to)), expected, "{from} {to}")
        };
        check("Active", "Active", Kind::Updated);
        check("Active", "InProgress", Kind::Updated);
        check("Active", "Resolved", Kind::Resolved);
        check("Resolved", "Resolved", Kind::Updated);
        check("Resolved", "resolved", Kind::Updated);
        check("Resolved", "Active", Kind::Reopened);
        check("Resolved", "somethingNew", Kind::Reopened);
        check("Resolved", "Redirected", Kind::Redirected);
        check("Active", "Redirected", Kind::Redirected);
        check("Redirected", "Redirected", Kind::Updated);
    }

    #[test]
    fn an_old_incident_first_seen_is_an_update() {
        let header = |created: &str, last_update: &str, status: &str| Header {
            id: crate::model::names::IncidentId::new("1"),
            created: created.parse().ok(),
            last_update: last_update.parse().expect("a time"),
            fields: fields(status),
        };
        let check =
            |created, updated, status, expected| assert_eq!(first_kind(&header(created, updated, status)), expected);
        check("2026-01-01T00:00:00Z", "2026-01-01T00:00:03Z", "Active", (Kind::Created, false));
        check("2026-01-01T00:00:00Z", "2026-01-01T00:11:00Z", "Active", (Kind::Updated, true));
        check("2026-01-01T00:00:00Z", "2026-01-01T00:00:03Z", "Redirected", (Kind::Redirected, true));
        check("never", "2026-01-01T00:00:03Z", "Active", (Kind::Created, false));
    }

    #[test]
    fn changes_name_the_fields_that_differ() {
        let from = Fields { severity: Some("Low".into()), assignee: None, ..fields("Active") };
        let to = Fields { severity: Some("High".into()), assignee: Some("kim@example.net".into()), ..fields("active") };
        let names = changes(&from, &to);
        assert_eq!(
            names,
            [
                Change::value("severity", Some("Low".into()), Some("High".into())),
                Change::value("assignee", None, Some("kim@example.net".into())),
            ]
        );
        assert_eq!(changes(&to, &to), []);
    }
}
