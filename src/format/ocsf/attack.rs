//! MITRE ATT&CK: techniques, sub-techniques in their own member, and tactics where the category of an alert is one. A technique
//! is never paired with a tactic: the source does not say which of its tactics was meant.

use serde::Serialize;

/// One of the three members is there (the object's `at_least_one`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(in crate::format::ocsf) struct Attack<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tactic: Option<Tactic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    technique: Option<Technique<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_technique: Option<Technique<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Tactic {
    uid: &'static str,
    name: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Technique<'a> {
    uid: &'a str,
}

/// The tactics of ATT&CK for enterprises, in the order of a campaign.
const TACTICS: [Tactic; 14] = [
    Tactic { uid: "TA0043", name: "Reconnaissance" },
    Tactic { uid: "TA0042", name: "Resource Development" },
    Tactic { uid: "TA0001", name: "Initial Access" },
    Tactic { uid: "TA0002", name: "Execution" },
    Tactic { uid: "TA0003", name: "Persistence" },
    Tactic { uid: "TA0004", name: "Privilege Escalation" },
    Tactic { uid: "TA0005", name: "Defense Evasion" },
    Tactic { uid: "TA0006", name: "Credential Access" },
    Tactic { uid: "TA0007", name: "Discovery" },
    Tactic { uid: "TA0008", name: "Lateral Movement" },
    Tactic { uid: "TA0009", name: "Collection" },
    Tactic { uid: "TA0011", name: "Command and Control" },
    Tactic { uid: "TA0010", name: "Exfiltration" },
    Tactic { uid: "TA0040", name: "Impact" },
];

impl<'a> Attack<'a> {
    /// The tactic that a category names: `LateralMovement`, `CommandAndControl`. Many name none: `Malware`.
    pub(in crate::format::ocsf) fn of_category(category: &str) -> Option<Self> {
        let tactic = TACTICS.into_iter().find(|tactic| is_same_word(category, tactic.name))?;
        Some(Self { tactic: Some(tactic), technique: None, sub_technique: None })
    }

    /// `T1059`, or `T1059.001` with the technique that it belongs to. Nothing else.
    pub(in crate::format::ocsf) fn of_technique(id: &'a str) -> Option<Self> {
        let (technique, sub_technique) = id.split_once('.').map_or((id, None), |(of, number)| (of, Some(number)));
        let is_technique = technique.strip_prefix('T').is_some_and(|number| is_number(number, 4));
        let fits = is_technique && sub_technique.is_none_or(|number| is_number(number, 3));
        fits.then_some(Self {
            tactic: None,
            technique: Some(Technique { uid: technique }),
            sub_technique: sub_technique.map(|_| Technique { uid: id }),
        })
    }
}

fn is_number(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Without regard to spaces and case.
fn is_same_word(text: &str, name: &str) -> bool {
    let fold = |byte: &u8| (*byte != b' ').then(|| byte.to_ascii_lowercase());
    text.as_bytes().iter().filter_map(fold).eq(name.as_bytes().iter().filter_map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_technique_stands_beside_its_technique() {
        let check = |id: &str, expected: Option<&str>| {
            let written = Attack::of_technique(id).map(|attack| serde_json::to_string(&attack).expect("JSON"));
            assert_eq!(written.as_deref(), expected, "{id}");
        };
        check("T1021", Some(r#"{"technique":{"uid":"T1021"}}"#));
        check("T1059.001", Some(r#"{"technique":{"uid":"T1059"},"sub_technique":{"uid":"T1059.001"}}"#));
        for wrong in
            ["", "T", "T105", "T10591", "T1059.", "T1059.01", "T1059.001\n", "TA0002", "t1059", "T１０５９", "<script>"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn a_category_that_is_a_tactic_is_one() {
        let check = |category: &str, expected: Option<&str>| {
            let tactic = Attack::of_category(category).and_then(|attack| attack.tactic).map(|tactic| tactic.uid);
            assert_eq!(tactic, expected, "{category}");
        };
        check("Execution", Some("TA0002"));
        check("LateralMovement", Some("TA0008"));
        check("commandAndControl", Some("TA0011"));
        check("Initial access", Some("TA0001"));
        check("Malware", None);
        check("", None);
    }
}
