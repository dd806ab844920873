//! `threat.*`: tactics and techniques of MITRE ATT&CK, as the alerts name them. Nothing is guessed from texts.

use std::borrow::Cow;

use serde::Serialize;

use crate::format::ecs::bounds::{distinct, keyword, only};
use crate::model::content::alert::Alert;

/// What the ids are ids of.
const FRAMEWORK: &str = "MITRE ATT&CK";

/// The tactics of ATT&CK for enterprises by the names of Defender's categories. Other categories, such as `Malware`, have no id.
const TACTICS: [(&str, &str); 14] = [
    ("Reconnaissance", "TA0043"),
    ("ResourceDevelopment", "TA0042"),
    ("InitialAccess", "TA0001"),
    ("Execution", "TA0002"),
    ("Persistence", "TA0003"),
    ("PrivilegeEscalation", "TA0004"),
    ("DefenseEvasion", "TA0005"),
    ("CredentialAccess", "TA0006"),
    ("Discovery", "TA0007"),
    ("LateralMovement", "TA0008"),
    ("Collection", "TA0009"),
    ("CommandAndControl", "TA0011"),
    ("Exfiltration", "TA0010"),
    ("Impact", "TA0040"),
];

/// Bytes of the id of a technique: `T1059`.
const TECHNIQUE_LEN: usize = 5;
/// Bytes of the id of a sub-technique: `T1059.001`.
const SUBTECHNIQUE_LEN: usize = 9;

/// The fields.
#[derive(Serialize)]
pub(super) struct Threat<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    framework: Option<&'static str>,
    #[serde(skip_serializing_if = "Tactic::is_empty")]
    tactic: Tactic<'a>,
    #[serde(skip_serializing_if = "Technique::is_empty")]
    technique: Technique<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    software: Option<Named<'a>>,
}

#[derive(Serialize)]
struct Tactic<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    id: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    name: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Technique<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    id: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Subtechnique::is_empty")]
    subtechnique: Subtechnique<'a>,
}

#[derive(Serialize)]
struct Subtechnique<'a> {
    id: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: Cow<'a, str>,
}

impl<'a> Threat<'a> {
    /// What these alerts say, if anything.
    pub(super) fn of(alerts: &[Alert<'a>]) -> Option<Self> {
        let name = distinct(alerts.iter().filter_map(|alert| alert.category()));
        let tactic = Tactic { id: distinct(name.iter().filter_map(|name| tactic_id(name))), name };
        let techniques = || alerts.iter().flat_map(|alert| alert.techniques()).filter(|id| is_technique(id));
        let subtechniques = techniques().filter(|id| id.len() == SUBTECHNIQUE_LEN);
        let technique = Technique {
            id: distinct(techniques().map(|id| &id[..TECHNIQUE_LEN])),
            subtechnique: Subtechnique { id: distinct(subtechniques) },
        };
        // Of these the schema takes one, and one out of several would be a choice of ours.
        let group = only(alerts.iter().filter_map(|alert| alert.actor())).map(Named::of);
        let software = only(alerts.iter().filter_map(|alert| alert.threat_family())).map(Named::of);
        let is_known = !tactic.id.is_empty() || !technique.id.is_empty();
        let says = is_known || !tactic.is_empty() || group.is_some() || software.is_some();
        says.then(|| Self { framework: is_known.then_some(FRAMEWORK), tactic, technique, group, software })
    }
}

impl Tactic<'_> {
    fn is_empty(&self) -> bool {
        self.name.is_empty()
    }
}

impl Technique<'_> {
    fn is_empty(&self) -> bool {
        self.id.is_empty()
    }
}

impl Subtechnique<'_> {
    fn is_empty(&self) -> bool {
        self.id.is_empty()
    }
}

impl<'a> Named<'a> {
    fn of(name: &'a str) -> Self {
        Self { name: keyword(name) }
    }
}

fn tactic_id(category: &str) -> Option<&'static str> {
    TACTICS.iter().find(|(name, _)| name.eq_ignore_ascii_case(category)).map(|(_, id)| *id)
}

/// `T1059`, `T1059.001`, and nothing else.
fn is_technique(id: &str) -> bool {
    let is_digits = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    match id.as_bytes() {
        [b'T', digits @ ..] if id.len() == TECHNIQUE_LEN => is_digits(digits),
        [b'T', digits @ .., b'.', a, b, c] if id.len() == SUBTECHNIQUE_LEN => {
            is_digits(digits) && is_digits(&[*a, *b, *c])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::content::Content;

    fn check(alerts: &str, expected: &str) {
        let incident = format!(r#"{{"alerts":[{alerts}]}}"#);
        let content = Content::of(&incident);
        let threat = Threat::of(&content.alerts().collect::<Vec<_>>());
        assert_eq!(serde_json::to_string(&threat).expect("JSON"), expected, "{alerts}");
    }

    #[test]
    fn a_sub_technique_is_one_and_is_its_technique_too() {
        check(
            r#"{"category":"Execution","mitreTechniques":["T1059.001","T1021","T1021.002"]},{"mitreTechniques":["T1059"]}"#,
            concat!(
                r#"{"framework":"MITRE ATT&CK","tactic":{"id":["TA0002"],"name":["Execution"]},"#,
                r#""technique":{"id":["T1059","T1021"],"subtechnique":{"id":["T1059.001","T1021.002"]}}}"#,
            ),
        );
    }

    #[test]
    fn what_is_not_of_the_framework_is_not_called_so() {
        check(r#"{"category":"Malware","mitreTechniques":["x"]}"#, r#"{"tactic":{"name":["Malware"]}}"#);
        check(r#"{"threatFamilyName":"Emotet"}"#, r#"{"software":{"name":"Emotet"}}"#);
        check(r#"{"actorName":"a"},{"actorName":"b"}"#, "null");
    }

    #[test]
    fn only_ids_of_techniques_are_techniques() {
        for id in ["T1059", "T1059.001"] {
            assert!(is_technique(id), "{id}");
        }
        for id in
            ["", "T", "T105", "T10590", "t1059", "T1059.", "T1059.01", "T1059.0011", "T1059.001\n", "TÄ59", "T1059,001"]
        {
            assert!(!is_technique(id), "{id:?}");
        }
    }
}
