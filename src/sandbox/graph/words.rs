//! Values of enumerations in Graph's words. Not in general: only those that the sandbox's world has.
//!
//! Names: the schema of Graph's `microsoft.graph.security`. A member behind `unknownFutureValue` is sent only to those who say
//! that they know of such members (Graph's best practices, "evolvable enumerations").

/// What stands for a newer member.
pub const FUTURE: &str = "unknownFutureValue";

/// The same with a small first letter; `unknown` for what is not known.
pub fn plain(word: &str) -> String {
    if matches!(word, "Unknown" | "NotAvailable" | "UnSpecified") {
        return "unknown".into();
    }
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// `determination`.
pub fn determination(word: &str) -> String {
    match word {
        "Clean" => "notMalicious".into(),
        _ => plain(word),
    }
}

/// `serviceSource`.
pub fn service_source(word: &str, wants_newer: bool) -> String {
    match word {
        "MicrosoftCloudAppSecurity" => "microsoftDefenderForCloudApps".into(),
        "AADIdentityProtection" => "azureAdIdentityProtection".into(),
        "MicrosoftDefenderForCloud" => newer("microsoftDefenderForCloud", wants_newer),
        _ => plain(word),
    }
}

/// `detectionSource`.
pub fn detection_source(word: &str, wants_newer: bool) -> String {
    match word {
        "MCAS" => "cloudAppSecurity".into(),
        "AAD" => "azureAdIdentityProtection".into(),
        "OfficeATP" => "microsoftDefenderForOffice365".into(),
        "WindowsDefenderAtp" => "microsoftDefenderForEndpoint".into(),
        "WindowsDefenderAv" => "antivirus".into(),
        "CustomTI" => "customTi".into(),
        "MicrosoftDefenderForContainers" => newer("microsoftDefenderForContainers", wants_newer),
        _ => plain(word),
    }
}

fn newer(word: &str, wants_newer: bool) -> String {
    if wants_newer { word } else { FUTURE }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_schema() {
        let check = |said: String, expected: &str| assert_eq!(said, expected);
        check(plain("InProgress"), "inProgress");
        check(plain("UnSpecified"), "unknown");
        check(determination("NotAvailable"), "unknown");
        check(determination("Clean"), "notMalicious");
        check(service_source("MicrosoftDefenderForCloud", true), "microsoftDefenderForCloud");
        check(service_source("MicrosoftDefenderForCloud", false), FUTURE);
        check(service_source("MicrosoftDefenderForOffice365", false), "microsoftDefenderForOffice365");
        check(detection_source("WindowsDefenderAv", true), "antivirus");
    }
}
