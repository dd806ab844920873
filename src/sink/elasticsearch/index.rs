//! What Elasticsearch and OpenSearch allow as the name of an index or a data stream. Asks no cluster.

use crate::sink::elasticsearch::bulk::TENANT;

/// Bytes of a name at most.
const NAME_SIZE_MAX: usize = 255;
/// Bytes of a tenant's name at most (`src/config/compose.rs`).
const TENANT_SIZE_MAX: usize = 64;
/// Types of data streams for which clusters come with templates that take any name of three parts.
const TYPES: [&str; 4] = ["logs-", "metrics-", "traces-", "synthetics-"];

/// Whether the cluster will take this name, `{tenant}` in it or not.
///
/// # Errors
/// The rule that is broken, for people.
pub(super) fn check(name: &str) -> Result<(), String> {
    // Names of tenants are lower case letters, digits, hyphens and underscores.
    let longest = name.replace(TENANT, &"t".repeat(TENANT_SIZE_MAX));
    if longest.is_empty() {
        return Err("is empty".into());
    }
    if longest.contains(['{', '}']) {
        return Err("has braces around something else than {tenant}".into());
    }
    let is_wrong = |c: char| c.is_whitespace() || c.is_control() || "\\/*?\"<>|,#:".contains(c);
    if let Some(wrong) = longest.chars().find(|c| is_wrong(*c)) {
        return Err(format!("holds {wrong:?}, which no index may"));
    }
    if longest.chars().any(char::is_uppercase) {
        return Err("holds upper case letters, which no index may".into());
    }
    if longest.starts_with(['-', '_', '+']) {
        return Err("begins with -, _ or +, which no index may".into());
    }
    if matches!(&*longest, "." | "..") || longest.starts_with(".ds-") {
        return Err("is a name that the cluster keeps for itself".into());
    }
    if NAME_SIZE_MAX < longest.len() {
        return Err(format!("may be longer than {NAME_SIZE_MAX} bytes, with a tenant's name of {TENANT_SIZE_MAX}"));
    }
    Ok(())
}

/// Whether a cluster makes a data stream and no index of this name where nobody told it otherwise.
pub(super) fn is_data_stream_by_name(name: &str) -> bool {
    TYPES.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.contains('-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_for_names_are_those_of_the_cluster() {
        let check = |name: &str, word: Option<&str>| match (check(name), word) {
            (Ok(()), None) => {}
            (Err(why), Some(word)) => assert!(why.contains(word), "{name}: {why}"),
            (found, _) => panic!("{name}: {found:?}"),
        };
        for name in ["defender", "logs-xdrelay.incidents-default", "{tenant}-defender", ".hidden", "ä", "a.b+c_d-e"] {
            check(name, None);
        }
        check("", Some("empty"));
        check("Defender", Some("upper"));
        for name in ["a/b", "a\\b", "a*", "a?", "a\"b", "<a-{tenant}>", "a|b", "a b", "a,b", "a#b", "a:b", "a\nb"] {
            check(name, Some("no index may"));
        }
        for name in ["-a", "_a", "+a"] {
            check(name, Some("begins with"));
        }
        for name in [".", "..", ".ds-logs"] {
            check(name, Some("for itself"));
        }
        check("{Tenant}", Some("{tenant}"));
        check("a-{tenant", Some("{tenant}"));
        check(&"a".repeat(255), None);
        check(&"a".repeat(256), Some("255"));
        check(&format!("{}{{tenant}}", "a".repeat(191)), None);
        check(&format!("{}{{tenant}}", "a".repeat(192)), Some("255"));
    }

    #[test]
    fn a_name_of_three_parts_is_a_data_stream() {
        let check = |name: &str, expected: bool| assert_eq!(is_data_stream_by_name(name), expected, "{name}");
        check("logs-xdrelay.incidents-default", true);
        check("metrics-a-{tenant}", true);
        check("logs-defender", false);
        check("defender-logs-incidents", false);
    }
}
