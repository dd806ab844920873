//! A panic is a line of the log like any other: with what it happened to, and without what was in hand. Who catches it says what
//! becomes of it.

use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A defect that shows again and again is said again after so long.
const EVERY: Duration = Duration::from_secs(60);
/// Places that are told apart.
const PLACES_MAX: usize = 32;

/// Where it was last said of, and how often it has shown since.
static SAID: Mutex<Vec<(String, Instant, u64)>> = Mutex::new(Vec::new());

/// Panics are reported from now on.
pub(super) fn report() {
    std::panic::set_hook(Box::new(tell));
}

fn tell(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| "unknown".into(), ToString::to_string);
    // What it says may quote what it was about, such as the text that was cut in the middle of a letter.
    let words = info.payload().downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| info.payload().downcast_ref::<&str>().copied()).unwrap_or("no words");
    // sled answers damage with a panic. The store catches it and says what it means.
    if place.contains("/sled-") {
        return tracing::debug!(place, words, "the database engine gave up");
    }
    tracing::debug!(place, words, "panicked");
    if let Some(times) = times(place.clone(), Instant::now()) {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(place, thread, times, "a part of xdrelay panicked; this is a defect, please report it");
    }
}

/// How often it has shown here, where it is to be said now.
fn times(place: String, now: Instant) -> Option<u64> {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((_, before, times)) = said.iter_mut().find(|(known, ..)| *known == place) else {
        if said.len() == PLACES_MAX {
            said.remove(0);
        }
        said.push((place, now, 0));
        return Some(1);
    };
    *times += 1;
    (EVERY <= now.duration_since(*before)).then(|| {
        *before = now;
        std::mem::take(times)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_that_shows_again_and_again_is_said_once_a_minute() {
        let start = Instant::now();
        let check = |place: &str, seconds: u64, expected: Option<u64>| {
            assert_eq!(times(place.into(), start + Duration::from_secs(seconds)), expected, "{place} {seconds}");
        };
        check("a.rs:1:2", 0, Some(1));
        check("a.rs:1:2", 1, None);
        check("b.rs:1:2", 1, Some(1));
        check("a.rs:1:2", 59, None);
        check("a.rs:1:2", 60, Some(3));
        check("a.rs:1:2", 119, None);
    }
}
