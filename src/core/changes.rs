//! What happened between two revisions of an incident: the kind of the event, and what differs. That the other API tells of the
//! second one is no difference. Here are the plain fields; `lists` has the rest.

pub mod lists;

use std::time::Duration;

use crate::model::event::{Change, Kind};
use crate::model::incident::{Fields, Header};
use crate::model::words::Vocabulary;

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

/// Whether one API tells of both revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tellers {
    /// One.
    Same,
    /// The second revision comes from the other API: what differs only because the two say it differently is no difference.
    Switched,
}

/// The plain fields that differ, in a fixed order. Another spelling of the same word (the dialects write `Active` and `active`,
/// `NotAvailable` and `unknown`) is no difference, except in the assignee, which is free text. Words are written as `words` does.
pub fn changes(from: &Fields, to: &Fields, tellers: Tellers) -> Vec<Change> {
    let words = |field: &str, vocabulary: Vocabulary, from: &Option<String>, to: &Option<String>| {
        let equal = match (from, to) {
            (None, None) => true,
            (Some(from), Some(to)) => vocabulary.is_same(from, to),
            // Where one API says nothing, the other may have a word for that.
            (Some(word), None) | (None, Some(word)) => tellers == Tellers::Switched && vocabulary.is_unset(word),
        };
        let written = |word: &Option<String>| word.as_deref().map(|word| vocabulary.written(word).into_owned());
        (!equal).then(|| Change::value(field, written(from), written(to)))
    };
    let texts = |field: &str, from: &Option<String>, to: &Option<String>| {
        let is_said = |text: &&String| tellers == Tellers::Same || !text.is_empty();
        let equal = from.as_ref().filter(is_said) == to.as_ref().filter(is_said);
        (!equal).then(|| Change::value(field, from.clone(), to.clone()))
    };
    let changes = [
        words("status", Vocabulary::Status, &from.status, &to.status),
        words("severity", Vocabulary::Severity, &from.severity, &to.severity),
        texts("assignee", &from.assignee, &to.assignee),
        words("classification", Vocabulary::Classification, &from.classification, &to.classification),
        words("determination", Vocabulary::Determination, &from.determination, &to.determination),
        texts("redirected_to", &from.redirected_to, &to.redirected_to),
    ];
    changes.into_iter().flatten().collect()
}

fn is_status(fields: &Fields, status: &str) -> bool {
    fields.status.as_deref().is_some_and(|value| Vocabulary::Status.is_same(value, status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dialect::Dialect;

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
            dialect: Dialect::Defender,
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
        let names = changes(&from, &to, Tellers::Same);
        assert_eq!(
            names,
            [
                Change::value("severity", Some("Low".into()), Some("High".into())),
                Change::value("assignee", None, Some("kim@example.net".into())),
            ]
        );
        assert_eq!(changes(&to, &to, Tellers::Same), []);
    }

    #[test]
    fn a_switch_of_the_api_is_no_change() {
        let words = |[status, severity, classification, determination]: [Option<&str>; 4], assignee: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let (status, severity) = (owned(status), owned(severity));
            let (classification, determination) = (owned(classification), owned(determination));
            Fields { status, severity, classification, determination, assignee: owned(assignee), redirected_to: None }
        };
        let of_defender = words([Some("Active"), Some("UnSpecified"), None, Some("NotAvailable")], None);
        let of_graph = words([Some("active"), Some("unknown"), Some("unknown"), Some("unknown")], Some(""));
        assert_eq!(changes(&of_defender, &of_graph, Tellers::Switched), []);
        assert_eq!(changes(&of_graph, &of_defender, Tellers::Switched), []);
        // From one API both are what they always were.
        let fields = |changes: Vec<Change>| changes.into_iter().map(|change| change.field).collect::<Vec<_>>();
        assert_eq!(fields(changes(&of_defender, &of_graph, Tellers::Same)), ["assignee", "classification"]);
    }

    #[test]
    fn what_changed_besides_is_told_in_one_spelling() {
        let from = Fields { determination: Some("NotAvailable".into()), ..fields("Active") };
        let to = Fields { determination: Some("compromisedAccount".into()), ..fields("inProgress") };
        for tellers in [Tellers::Same, Tellers::Switched] {
            assert_eq!(
                changes(&from, &to, tellers),
                [
                    Change::value("status", Some("Active".into()), Some("InProgress".into())),
                    Change::value("determination", Some("NotAvailable".into()), Some("CompromisedUser".into())),
                ]
            );
        }
    }
}
