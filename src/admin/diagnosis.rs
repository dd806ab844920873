//! From what the loops say to what somebody should know: what is wrong, since when, and what to do about it. Changes nothing,
//! and no loop asks it.

use std::time::Duration;

use serde::Serialize;

use crate::admin::status::{SinkStatus, TenantStatus};

/// A failure that is younger passes by itself more often than not.
const PATIENCE: Duration = Duration::from_secs(120);
/// A tenant whose last complete sweep is older is late, and so is a sink whose oldest event is.
pub const LATE: Duration = Duration::from_secs(300);
/// A certificate that ends within this is worth a word.
const CERTIFICATE_SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// It passes by itself, as it seems, or there is time.
    Notice,
    /// Somebody should look.
    Bad,
}

/// How one tenant, sink or the daemon itself fares.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// How bad it is.
    pub level: Level,
    /// One word for it.
    pub state: &'static str,
    /// What is wrong in a few words, without the name.
    pub headline: String,
    /// All of what is known of it.
    pub what: Option<String>,
    /// What to do.
    pub remedy: Option<&'static str>,
    /// For how long, in seconds.
    pub seconds: Option<f64>,
}

impl Diagnosis {
    fn well(state: &'static str) -> Self {
        Self { level: Level::Ok, state, headline: String::new(), what: None, remedy: None, seconds: None }
    }

    fn new(level: Level, state: &'static str, headline: impl Into<String>) -> Self {
        Self { level, headline: headline.into(), ..Self::well(state) }
    }

    fn because(self, what: impl Into<String>, remedy: &'static str) -> Self {
        Self { what: Some(what.into()), remedy: Some(remedy), ..self }
    }

    fn since(self, seconds: Option<f64>) -> Self {
        Self { seconds, ..self }
    }
}

/// How a tenant fares.
pub fn of_tenant(status: &TenantStatus) -> Diagnosis {
    if let Some(error) = &status.error {
        return failing(status, error);
    }
    if let Some(error) = status.renewal_error.as_deref().filter(|_| status.renewal_refused) {
        return renewal(Level::Bad, error, status.token_expires_seconds);
    }
    if 0 < status.quarantined {
        let headline = match status.quarantined {
            1 => "one window of time cannot be read".to_owned(),
            windows => format!("{windows} windows of time cannot be read"),
        };
        return Diagnosis::new(Level::Bad, "quarantine", headline).because(
            "Everything around it is read, and it is tried again every ten minutes for ever.",
            "The log names the incidents next to it (“cannot be read”): look at them in the portal, and give Microsoft's support the window.",
        );
    }
    // Until something was read, how long ago a former process did is no measure of how it fares.
    let lag = status.lag_seconds.filter(|_| 0 < status.passes).unwrap_or(status.since_pass_seconds);
    if let Some((at, to)) = &status.catching_up {
        return Diagnosis::new(Level::Notice, "catching up", "reads a long way back").because(
            format!("It has come to {at} of {to}."),
            "It takes what the quota has to spare; what is new goes first.",
        );
    }
    if LATE.as_secs_f64() < lag {
        let late = Diagnosis::new(Level::Bad, "late", "no complete sweep for too long");
        return late.since(Some(lag - LATE.as_secs_f64())).because(
            "Nothing is lost; what changes comes late.",
            "Look at the calls that are left and at the log: the quota may be too small, or the source slow.",
        );
    }
    if status.passes == 0 {
        return Diagnosis::new(Level::Notice, "starting", "has not been read to the end yet");
    }
    if let Some(error) = &status.renewal_error {
        return renewal(Level::Notice, error, status.token_expires_seconds);
    }
    match status.certificate_expires_seconds {
        Some(left) if left < CERTIFICATE_SOON.as_secs_f64() => certificate(left),
        Some(_) | None => Diagnosis::well("well"),
    }
}

fn failing(status: &TenantStatus, error: &str) -> Diagnosis {
    let lasts = PATIENCE.as_secs_f64() <= status.failing_seconds.unwrap_or_default();
    let level = if lasts || status.refused { Level::Bad } else { Level::Notice };
    let (headline, remedy) = match status.error_kind.as_deref().unwrap_or_default() {
        "refused" | "unauthorized" => (
            "the credential or a permission is refused",
            "Put the credential or the permission right, see docs/credentials.md. It is tried again by itself; a secret below /run/credentials counts after systemctl restart xdrelay.",
        ),
        "throttled" => (
            "the API throttles",
            "Passes by itself. If it comes back: another program uses this app registration's calls; give xdrelay one of its own.",
        ),
        "unavailable" => (
            "the source cannot be reached",
            "Passes by itself when the network or the API is back. If it lasts: name resolution, proxy, firewall, Microsoft's service health.",
        ),
        "too_large" => (
            "an answer is larger than allowed",
            "It is asked for in smaller pieces. If it lasts, raise poll.max_body_size.",
        ),
        _ => (
            "the source answers in a way that is not understood",
            "It is tried again. If it lasts: is something between here and the API, such as a proxy with a page of its own?",
        ),
    };
    let state = if status.refused { "refused" } else { "failing" };
    Diagnosis::new(level, state, headline).because(error, remedy).since(status.failing_seconds)
}

fn renewal(level: Level, error: &str, left: Option<f64>) -> Diagnosis {
    let minutes = (left.unwrap_or_default() / 60.0).floor();
    let headline = format!("the token cannot be renewed, and ends in {minutes:.0} min");
    Diagnosis::new(level, "renewal", headline).because(
        error,
        "Everything is read until then. Put the credential right, see docs/credentials.md; it is tried again by itself; a secret below /run/credentials counts after systemctl restart xdrelay.",
    )
}

fn certificate(left: f64) -> Diagnosis {
    let (level, headline) = match left < 0.0 {
        true => (Level::Bad, "the certificate of the sign-in has ended".to_owned()),
        false => {
            (Level::Notice, format!("the certificate of the sign-in ends in {:.0} days", (left / 86_400.0).floor()))
        }
    };
    Diagnosis::new(level, "certificate", headline).because(
        "Without it there is no new token.",
        "Upload the next one to the app registration and put it in the place of this one. It counts by itself; files below /run/credentials count after systemctl restart xdrelay.",
    )
}

/// How a sink fares: what it says, the age of its oldest event that waits, and the refusals that are kept.
pub fn of_sink(status: &SinkStatus, oldest_seconds: Option<f64>, refusals: usize) -> Diagnosis {
    let error = status.error.clone().unwrap_or_default();
    match status.state.as_str() {
        "paused" => {
            return Diagnosis::new(Level::Bad, "paused", "needs somebody").since(status.failing_seconds).because(
                error,
                "Put right what the far side says. Its events wait, nothing is lost, and it is tried again by itself; a secret below /run/credentials counts after systemctl restart xdrelay.",
            );
        }
        "retrying" => {
            let lasts = PATIENCE.as_secs_f64() <= status.failing_seconds.unwrap_or_default();
            let level = if lasts { Level::Bad } else { Level::Notice };
            return Diagnosis::new(level, "retrying", "takes nothing").since(status.failing_seconds).because(
                error,
                "Is the receiver up, and reachable from here? Its events wait, nothing is lost, and it is tried again by itself.",
            );
        }
        _ => {}
    }
    if 0 < refusals {
        let headline = match refusals {
            1 => "refused an event for good".to_owned(),
            events => format!("refused {events} events for good"),
        };
        return Diagnosis::new(Level::Notice, "refused some", headline).because(
            "They are kept with the reason; everything else is delivered.",
            "xdrelay refused list says why; then retry or drop them.",
        );
    }
    match oldest_seconds {
        Some(oldest) if LATE.as_secs_f64() < oldest => {
            Diagnosis::new(Level::Notice, "behind", "is behind").since(Some(oldest - LATE.as_secs_f64())).because(
                "It takes events, and more slowly than they come.",
                "Look at its rate and at the receiver's load.",
            )
        }
        Some(_) | None if status.state == "new" => Diagnosis::well("idle"),
        Some(_) | None => Diagnosis::well("delivering"),
    }
}

/// What is wrong with the daemon as a whole: a store without room, loops that make no progress.
pub fn of_daemon(paused: Option<(&str, Option<f64>)>, stuck: &[String]) -> Vec<Diagnosis> {
    let paused = paused.map(|(why, seconds)| {
        Diagnosis::new(Level::Bad, "paused", "Polling is paused")
            .since(seconds)
            .because(why, "Nothing is lost: the source keeps the incidents. It goes on by itself when there is room.")
    });
    let stuck = (!stuck.is_empty()).then(|| {
        Diagnosis::new(Level::Bad, "stuck", "A loop makes no progress").because(
            format!("For five minutes or more: {}.", stuck.join(", ")),
            "Restart it (systemd's watchdog does), and please report it with the log around it.",
        )
    });
    paused.into_iter().chain(stuck).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut TenantStatus), level: Level, state: &str) {
        let mut status = TenantStatus { passes: 3, lag_seconds: Some(20.0), ..TenantStatus::default() };
        change(&mut status);
        let diagnosis = of_tenant(&status);
        assert_eq!((diagnosis.level, diagnosis.state), (level, state), "{status:?}");
        assert_eq!(diagnosis.level == Level::Ok, diagnosis.headline.is_empty());
    }

    fn error(kind: &str, seconds: f64) -> impl FnOnce(&mut TenantStatus) {
        let kind = kind.to_owned();
        move |status| {
            (status.error, status.refused) = (Some("said so".into()), kind == "refused");
            (status.error_kind, status.failing_seconds) = (Some(kind), Some(seconds));
        }
    }

    #[test]
    fn what_is_wrong_with_a_tenant_is_said_by_what_matters_most() {
        check(|_| {}, Level::Ok, "well");
        check(error("unavailable", 5.0), Level::Notice, "failing");
        check(error("unavailable", 500.0), Level::Bad, "failing");
        check(error("refused", 0.0), Level::Bad, "refused");
        check(error("something new", 0.0), Level::Notice, "failing");
        check(|status| status.quarantined = 2, Level::Bad, "quarantine");
        check(|status| status.lag_seconds = Some(301.0), Level::Bad, "late");
        let never = |seconds| {
            move |status: &mut TenantStatus| {
                (status.passes, status.lag_seconds, status.since_pass_seconds) = (0, None, seconds);
            }
        };
        check(never(299.0), Level::Notice, "starting");
        check(never(301.0), Level::Bad, "late");
        check(|status| (status.passes, status.lag_seconds) = (0, Some(7200.0)), Level::Notice, "starting");
        check(|status| status.certificate_expires_seconds = Some(86_400.0), Level::Notice, "certificate");
        check(|status| status.certificate_expires_seconds = Some(-1.0), Level::Bad, "certificate");
        let renewal = |refused| {
            move |status: &mut TenantStatus| {
                (status.renewal_error, status.renewal_refused) = (Some("expired".into()), refused);
            }
        };
        check(renewal(false), Level::Notice, "renewal");
        check(renewal(true), Level::Bad, "renewal");
        let way_back = Some(("2026-01-01T00:00:00Z".into(), "2026-02-01T00:00:00Z".into()));
        check(
            |status| (status.catching_up, status.lag_seconds) = (way_back, Some(4000.0)),
            Level::Notice,
            "catching up",
        );
    }

    /// Systemd's copies are of the start of the service, and such is the set-up of the README.
    #[test]
    fn where_a_new_secret_is_the_remedy_the_restart_that_systemd_wants_is_too() {
        let tenant = |change: &dyn Fn(&mut TenantStatus)| {
            let mut status = TenantStatus { passes: 3, lag_seconds: Some(20.0), ..TenantStatus::default() };
            change(&mut status);
            of_tenant(&status)
        };
        let refused = |kind: &'static str| {
            move |status: &mut TenantStatus| {
                (status.error, status.error_kind) = (Some("said so".into()), Some(kind.into()))
            }
        };
        let paused = SinkStatus { state: "paused".into(), error: Some("403".into()), ..SinkStatus::default() };
        for diagnosis in [
            tenant(&refused("refused")),
            tenant(&refused("unauthorized")),
            tenant(&|status| (status.renewal_error, status.renewal_refused) = (Some("expired".into()), true)),
            tenant(&|status| status.renewal_error = Some("it cannot be read".into())),
            tenant(&|status| status.certificate_expires_seconds = Some(86_400.0)),
            tenant(&|status| status.certificate_expires_seconds = Some(-1.0)),
            of_sink(&paused, None, 0),
        ] {
            let remedy = diagnosis.remedy.expect("a remedy");
            assert!(remedy.contains("below /run/credentials"), "{remedy}");
            assert!(remedy.contains("after systemctl restart xdrelay"), "{remedy}");
            assert!(!remedy.contains("without a restart"), "{remedy}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_sink_is_said_with_what_to_do() {
        let status = |state: &str, seconds| SinkStatus {
            state: state.into(),
            error: matches!(state, "retrying" | "paused").then(|| "connection refused".into()),
            failing_seconds: seconds,
            ..SinkStatus::default()
        };
        for (state, seconds, oldest, refusals, level, said) in [
            ("new", None, None, 0, Level::Ok, "idle"),
            ("delivering", None, Some(2.0), 0, Level::Ok, "delivering"),
            ("delivering", None, Some(400.0), 0, Level::Notice, "behind"),
            ("delivering", None, None, 3, Level::Notice, "refused some"),
            ("retrying", Some(3.0), Some(3.0), 0, Level::Notice, "retrying"),
            ("retrying", Some(300.0), Some(3.0), 0, Level::Bad, "retrying"),
            ("paused", Some(1.0), None, 1, Level::Bad, "paused"),
        ] {
            let diagnosis = of_sink(&status(state, seconds), oldest, refusals);
            assert_eq!((diagnosis.level, diagnosis.state), (level, said), "{state}");
            assert_eq!(diagnosis.remedy.is_some(), level != Level::Ok, "{state}");
        }
    }
}
