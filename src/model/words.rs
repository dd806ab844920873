//! The words of Microsoft's enumerations: one meaning has one spelling here, whichever API said it. No free text is a word, and a
//! word that is newer than these tables is kept: nothing is guessed from it.
//!
//! Defender writes `InProgress`, Graph `inProgress`, so the rule is the case of the first letter. The tables have what does not
//! follow it: words that one of them renamed. What comes from both is written as Defender does, because that is what rules at
//! receivers were written against; Elastic's own names (`format::ecs`) want Graph's.

use std::borrow::Cow;

/// An enumeration of the APIs, by the member that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// `severity` of incidents and alerts.
    Severity,
    /// `status` of incidents and alerts.
    Status,
    /// `classification`.
    Classification,
    /// `determination`.
    Determination,
    /// `serviceSource` of alerts.
    ServiceSource,
    /// `detectionSource` of alerts.
    DetectionSource,
    /// `verdict` on evidence.
    Verdict,
    /// `remediationStatus` of evidence.
    RemediationStatus,
}

/// A word that the rule does not translate: as Defender writes it, as Graph does, and other spellings that were seen.
struct Renamed {
    defender: &'static str,
    graph: &'static str,
    others: &'static [&'static str],
}

const fn renamed(defender: &'static str, graph: &'static str, others: &'static [&'static str]) -> Renamed {
    Renamed { defender, graph, others }
}

/// What says nothing comes first in a table.
const SEVERITIES: [Renamed; 1] = [renamed("UnSpecified", "unknown", &[])];

const CLASSIFICATIONS: [Renamed; 1] = [renamed("Unknown", "unknown", &["NotSet"])];

/// Defender's pages disagree on names that it renamed, so both are known.
const DETERMINATIONS: [Renamed; 5] = [
    renamed("NotAvailable", "unknown", &[]),
    renamed("CompromisedUser", "compromisedAccount", &[]),
    renamed("ConfirmedUserActivity", "confirmedActivity", &[]),
    renamed("Clean", "notMalicious", &[]),
    renamed("InsufficientData", "notEnoughDataToValidate", &["NoEnoughDataToValidate"]),
];

/// Products, and what they were called before: Defender's newest name that was seen in an answer, or Graph's where none was.
const SERVICE_SOURCES: [Renamed; 7] = [
    renamed("MicrosoftDefenderForEndpoint", "microsoftDefenderForEndpoint", &["MicrosoftDefenderATP"]),
    renamed("MicrosoftDefenderForOffice365", "microsoftDefenderForOffice365", &["OfficeATP"]),
    renamed("MicrosoftDefenderForIdentity", "microsoftDefenderForIdentity", &["AzureATP"]),
    renamed("MicrosoftCloudAppSecurity", "microsoftDefenderForCloudApps", &[]),
    renamed("Microsoft365Defender", "microsoft365Defender", &["MicrosoftThreatProtection"]),
    renamed("AADIdentityProtection", "azureAdIdentityProtection", &[]),
    renamed("MicrosoftAppGovernance", "microsoftAppGovernance", &["AppGovernance"]),
];

/// Likewise; Defender has kept names that its portal gave up in January 2021.
const DETECTION_SOURCES: [Renamed; 10] = [
    renamed("WindowsDefenderAtp", "microsoftDefenderForEndpoint", &["EDR"]),
    renamed("WindowsDefenderAv", "antivirus", &[]),
    renamed("SmartScreen", "smartScreen", &["WindowsDefenderSmartScreen"]),
    renamed("CustomTI", "customTi", &["CustomerTI"]),
    renamed("OfficeATP", "microsoftDefenderForOffice365", &[]),
    renamed("Microsoft365Defender", "microsoft365Defender", &["MTP"]),
    renamed("MicrosoftDefenderForIdentity", "microsoftDefenderForIdentity", &["AzureATP"]),
    renamed("MCAS", "cloudAppSecurity", &["MicrosoftCloudAppSecurity"]),
    renamed("AAD", "azureAdIdentityProtection", &["AADIdentityProtection"]),
    renamed("MicrosoftThreatExperts", "microsoftThreatExperts", &["ThreatExperts"]),
];

impl Vocabulary {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Severity,
        Self::Status,
        Self::Classification,
        Self::Determination,
        Self::ServiceSource,
        Self::DetectionSource,
        Self::Verdict,
        Self::RemediationStatus,
    ];

    /// The word as everything but the incident's own JSON writes it: Defender's spelling, whichever API it came from.
    pub fn written(self, word: &str) -> Cow<'_, str> {
        match self.find(word) {
            Some(renamed) => Cow::Borrowed(renamed.defender),
            None => first_letter(word, u8::is_ascii_lowercase, |first| first.to_ascii_uppercase()),
        }
    }

    /// The word in Graph's spelling.
    pub fn in_graph(self, word: &str) -> Cow<'_, str> {
        match self.find(word) {
            Some(renamed) => Cow::Borrowed(renamed.graph),
            None => first_letter(word, u8::is_ascii_uppercase, |first| first.to_ascii_lowercase()),
        }
    }

    /// Whether two words mean the same, in any spelling of either API and in any case.
    pub fn is_same(self, one: &str, other: &str) -> bool {
        one.eq_ignore_ascii_case(other) || self.written(one).eq_ignore_ascii_case(&self.written(other))
    }

    /// Whether the word is there only because there has to be one: where one API says `unknown`, the other may say nothing.
    pub fn is_unset(self, word: &str) -> bool {
        match self {
            Self::Severity | Self::Classification | Self::Determination => {
                self.renamed().first().is_some_and(|unset| unset.is(word))
            }
            Self::Status | Self::ServiceSource | Self::DetectionSource | Self::Verdict | Self::RemediationStatus => {
                false
            }
        }
    }

    fn find(self, word: &str) -> Option<&'static Renamed> {
        self.renamed().iter().find(|renamed| renamed.is(word))
    }

    const fn renamed(self) -> &'static [Renamed] {
        match self {
            Self::Severity => &SEVERITIES,
            Self::Classification => &CLASSIFICATIONS,
            Self::Determination => &DETERMINATIONS,
            Self::ServiceSource => &SERVICE_SOURCES,
            Self::DetectionSource => &DETECTION_SOURCES,
            Self::Status | Self::Verdict | Self::RemediationStatus => &[],
        }
    }
}

impl Renamed {
    fn is(&self, word: &str) -> bool {
        let is = |known: &&str| known.eq_ignore_ascii_case(word);
        is(&self.defender) || is(&self.graph) || self.others.iter().any(is)
    }
}

/// The word with its first letter as it has to be. What is not made of letters and digits alone is no word.
fn first_letter(word: &str, is_wrong: fn(&u8) -> bool, right: fn(u8) -> u8) -> Cow<'_, str> {
    let bytes = word.as_bytes();
    match bytes.first() {
        Some(first) if is_wrong(first) && bytes.iter().all(u8::is_ascii_alphanumeric) => {
            Cow::Owned(format!("{}{}", char::from(right(*first)), &word[1..]))
        }
        Some(_) | None => Cow::Borrowed(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word in every spelling, Defender's first and Graph's last.
    fn check(vocabulary: Vocabulary, spellings: &[&str]) {
        let (first, last) = (spellings[0], spellings[spellings.len() - 1]);
        for word in spellings {
            assert_eq!(vocabulary.written(word), first, "{vocabulary:?} {word}");
            assert_eq!(vocabulary.in_graph(word), last, "{vocabulary:?} {word}");
            assert!(spellings.iter().all(|other| vocabulary.is_same(word, &other.to_uppercase())), "{word}");
        }
    }

    #[test]
    fn every_word_has_one_spelling_for_each_api() {
        use Vocabulary::{
            Classification, DetectionSource, Determination, RemediationStatus, ServiceSource, Severity, Status, Verdict,
        };
        check(Severity, &["UnSpecified", "unknown"]);
        for word in [["Informational", "informational"], ["Low", "low"], ["Medium", "medium"], ["High", "high"]] {
            check(Severity, &word);
        }
        for word in [
            ["Active", "active"],
            ["New", "new"],
            ["InProgress", "inProgress"],
            ["Resolved", "resolved"],
            ["Redirected", "redirected"],
            ["AwaitingAction", "awaitingAction"],
        ] {
            check(Status, &word);
        }
        check(Classification, &["Unknown", "unknown"]);
        check(Classification, &["InformationalExpectedActivity", "informationalExpectedActivity"]);
        check(Determination, &["NotAvailable", "unknown"]);
        check(Determination, &["Apt", "apt"]);
        check(Determination, &["CompromisedUser", "CompromisedAccount", "compromisedAccount"]);
        check(Determination, &["ConfirmedUserActivity", "ConfirmedActivity", "confirmedActivity"]);
        check(Determination, &["Clean", "NotMalicious", "notMalicious"]);
        check(Determination, &["InsufficientData", "NoEnoughDataToValidate", "notEnoughDataToValidate"]);
        check(ServiceSource, &["MicrosoftDefenderForEndpoint", "MicrosoftDefenderATP", "microsoftDefenderForEndpoint"]);
        check(
            ServiceSource,
            &["MicrosoftCloudAppSecurity", "MicrosoftDefenderForCloudApps", "microsoftDefenderForCloudApps"],
        );
        check(ServiceSource, &["AADIdentityProtection", "azureAdIdentityProtection"]);
        check(ServiceSource, &["MicrosoftSentinel", "microsoftSentinel"]);
        check(DetectionSource, &["WindowsDefenderAtp", "microsoftDefenderForEndpoint"]);
        check(DetectionSource, &["AutomatedInvestigation", "automatedInvestigation"]);
        check(Verdict, &["NoThreatsFound", "noThreatsFound"]);
        check(RemediationStatus, &["PartiallyRemediated", "partiallyRemediated"]);
        check(Status, &["NewerThanThis", "newerThanThis"]);
    }

    #[test]
    fn what_is_no_word_stays_as_it_came() {
        for vocabulary in Vocabulary::ALL {
            for text in ["", "a b", "high|10", "active\r\nstatus=Resolved", "é", "\u{0}", "7"] {
                assert_eq!((&*vocabulary.written(text), &*vocabulary.in_graph(text)), (text, text), "{vocabulary:?}");
            }
        }
    }

    #[test]
    fn only_what_says_nothing_is_unset() {
        for (vocabulary, word, is) in [
            (Vocabulary::Severity, "unknown", true),
            (Vocabulary::Severity, "UnSpecified", true),
            (Vocabulary::Classification, "unknown", true),
            (Vocabulary::Determination, "NotAvailable", true),
            (Vocabulary::Determination, "Clean", false),
            (Vocabulary::ServiceSource, "MicrosoftDefenderATP", false),
            (Vocabulary::Verdict, "unknown", false),
        ] {
            assert_eq!(vocabulary.is_unset(word), is, "{vocabulary:?} {word}");
        }
    }

    #[test]
    fn no_word_is_in_two_rows_of_its_table() {
        for vocabulary in Vocabulary::ALL {
            for row in vocabulary.renamed() {
                for word in [&[row.defender, row.graph], row.others].concat() {
                    assert!(vocabulary.find(word).is_some_and(|found| std::ptr::eq(found, row)), "{word}");
                }
            }
        }
    }
}
