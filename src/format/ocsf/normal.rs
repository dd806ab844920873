//! Words of the source to the numbers of OCSF. What is not there is 0 `Unknown`; what nobody knew when this was written is
//! 99 `Other` with that word, never a guess.

use std::borrow::Cow;

use crate::format::ocsf::version::{Text, Version};
use crate::model::event::Kind;

/// A number and its name: the caption in the schema, or behind 99 the word of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format::ocsf) struct Normal<'a> {
    pub(in crate::format::ocsf) id: u8,
    pub(in crate::format::ocsf) caption: Text<'a>,
}

/// What the class says of an activity.
pub(in crate::format::ocsf) struct Activity {
    pub(in crate::format::ocsf) id: u8,
    pub(in crate::format::ocsf) name: &'static str,
    pub(in crate::format::ocsf) type_uid: u32,
    pub(in crate::format::ocsf) type_name: &'static str,
}

/// `activity_id`. A merged incident is closed: all that happens further happens to the other one.
pub(in crate::format::ocsf) const fn activity(kind: Kind) -> Activity {
    match kind {
        Kind::Created => Activity { id: 1, name: "Create", type_uid: 200_501, type_name: "Incident Finding: Create" },
        Kind::Updated | Kind::Reopened => {
            Activity { id: 2, name: "Update", type_uid: 200_502, type_name: "Incident Finding: Update" }
        }
        Kind::Resolved | Kind::Redirected => {
            Activity { id: 3, name: "Close", type_uid: 200_503, type_name: "Incident Finding: Close" }
        }
    }
}

/// `severity_id`. Defender has nothing above High.
pub(in crate::format::ocsf) fn severity(version: Version, word: Option<Cow<'_, str>>) -> Normal<'_> {
    const KNOWN: [(&str, u8, &str); 5] = [
        ("unspecified", 0, UNKNOWN),
        ("informational", 1, "Informational"),
        ("low", 2, "Low"),
        ("medium", 3, "Medium"),
        ("high", 4, "High"),
    ];
    normal(version, &KNOWN, word)
}

/// `status_id`. Graph's `awaitingAction` waits for the customer.
pub(in crate::format::ocsf) fn status(version: Version, word: Option<Cow<'_, str>>) -> Normal<'_> {
    const KNOWN: [(&str, u8, &str); 6] = [
        ("active", 1, "New"),
        ("new", 1, "New"),
        ("inprogress", 2, "In Progress"),
        ("awaitingaction", 3, "On Hold"),
        ("resolved", 4, "Resolved"),
        ("redirected", 5, "Closed"),
    ];
    normal(version, &KNOWN, word)
}

/// `verdict_id`, from the classification.
pub(in crate::format::ocsf) fn verdict(version: Version, word: Option<Cow<'_, str>>) -> Normal<'_> {
    const KNOWN: [(&str, u8, &str); 5] = [
        ("unknown", 0, UNKNOWN),
        ("notset", 0, UNKNOWN),
        ("falsepositive", 1, "False Positive"),
        ("truepositive", 2, "True Positive"),
        ("informationalexpectedactivity", 5, "Benign"),
    ];
    normal(version, &KNOWN, word)
}

const UNKNOWN: &str = "Unknown";

fn normal<'a>(version: Version, known: &[(&str, u8, &'static str)], word: Option<Cow<'a, str>>) -> Normal<'a> {
    let Some(word) = word else { return Normal { id: 0, caption: version.text(UNKNOWN) } };
    let found = known.iter().find(|(name, _, _)| word.eq_ignore_ascii_case(name));
    let (id, caption) = found.map_or((99, word), |(_, id, caption)| (*id, Cow::Borrowed(*caption)));
    Normal { id, caption: version.text(caption) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_both_dialects_have_their_numbers() {
        let check = |normal: fn(Version, Option<Cow<'static, str>>) -> Normal<'static>,
                     cases: &[(Option<&'static str>, u8, &str)]| {
            for (word, id, caption) in cases {
                let found = normal(Version::V1_5, word.map(Cow::Borrowed));
                assert_eq!((found.id, found.caption.as_str()), (*id, *caption), "{word:?}");
            }
        };
        check(
            severity,
            &[
                (Some("High"), 4, "High"),
                (Some("medium"), 3, "Medium"),
                (Some("Low"), 2, "Low"),
                (Some("informational"), 1, "Informational"),
                (Some("UnSpecified"), 0, "Unknown"),
                (None, 0, "Unknown"),
                (Some("Critical|9"), 99, "Critical|9"),
            ],
        );
        check(
            status,
            &[
                (Some("Active"), 1, "New"),
                (Some("inProgress"), 2, "In Progress"),
                (Some("awaitingAction"), 3, "On Hold"),
                (Some("Resolved"), 4, "Resolved"),
                (Some("redirected"), 5, "Closed"),
                (None, 0, "Unknown"),
                (Some("unknownFutureValue"), 99, "unknownFutureValue"),
            ],
        );
        check(
            verdict,
            &[
                (Some("truePositive"), 2, "True Positive"),
                (Some("FalsePositive"), 1, "False Positive"),
                (Some("InformationalExpectedActivity"), 5, "Benign"),
                (Some("Unknown"), 0, "Unknown"),
                (None, 0, "Unknown"),
                (Some("Partly"), 99, "Partly"),
            ],
        );
        for kind in Kind::ALL {
            let activity = activity(kind);
            assert_eq!(activity.type_uid, 2005 * 100 + u32::from(activity.id), "{kind}");
            assert_eq!(activity.type_name, format!("Incident Finding: {}", activity.name), "{kind}");
        }
    }
}
