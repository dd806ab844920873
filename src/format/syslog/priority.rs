//! What PRI is made of: the facility that a sink is set to, and the severity of an incident.

use std::str::FromStr;

/// The facilities by the names that syslog daemons know, in the order of their numbers (RFC 5424 table 1).
const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

/// A facility, 0 to 23.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility(pub(super) u8);

/// By name or by number.
impl FromStr for Facility {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let by_name = FACILITIES.iter().position(|name| name.eq_ignore_ascii_case(text));
        by_name
            .or_else(|| text.parse().ok().filter(|number| *number < FACILITIES.len()))
            .and_then(|number| u8::try_from(number).ok())
            .map(Self)
            .ok_or_else(|| {
                format!("{text:?} is no facility: a number from 0 to 23, or one of {}", FACILITIES.join(" "))
            })
    }
}

/// The severities that an incident can have. The three above `Error` are left to the receiver's own house: a syslog
/// daemon shows `emerg` to everybody who is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// 3: an incident of severity `High`.
    Error = 3,
    /// 4: `Medium`.
    Warning = 4,
    /// 5: `Low`, and whatever is missing, unspecified or newer than we know.
    Notice = 5,
    /// 6: `Informational`.
    Informational = 6,
}

impl Severity {
    /// The severity for that of an incident, in the spelling of either dialect.
    pub fn of_incident(severity: Option<&str>) -> Self {
        match severity.unwrap_or_default().to_ascii_lowercase().as_str() {
            "high" => Self::Error,
            "medium" => Self::Warning,
            "informational" => Self::Informational,
            _ => Self::Notice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_and_facilities_have_their_numbers() {
        for (severity, number) in [
            (Some("High"), 3),
            (Some("medium"), 4),
            (Some("Low"), 5),
            (Some("Informational"), 6),
            (Some("UnSpecified"), 5),
            (None, 5),
        ] {
            assert_eq!(Severity::of_incident(severity) as u8, number, "{severity:?}");
        }
        for (text, number) in
            [("kern", Some(0)), ("LOCAL7", Some(23)), ("16", Some(16)), ("24", None), ("-1", None), ("", None)]
        {
            assert_eq!(text.parse::<Facility>().ok().map(|facility| facility.0), number, "{text:?}");
        }
    }
}
