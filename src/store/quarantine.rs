//! What is kept of a quarantine: its windows always, the words beside them as far as one value has room. It knows no window
//! better than another.

use crate::core::quarantine::{Quarantine, Quarantined};
use crate::model::names::IncidentId;
use crate::store::page::truncate;
use crate::store::values::CHUNK_MAX;

/// An incident's id beside a window, in bytes, where there is room; a longer one is of no use to people.
const ID_MAX: usize = 64;
/// Bytes of a cause where there is little room.
const WHY_MAX: usize = 40;

/// The same windows in a value that is not too large: with fewer words, where it has to be. Words are for people; windows are
/// what would be lost.
pub(crate) fn fitting(quarantine: Quarantine) -> Quarantine {
    let steps: [fn(&mut Quarantined); 4] = [
        |_| (),
        drop_long_ids,
        |window| truncate(&mut window.why, WHY_MAX),
        |window| {
            (window.before, window.after) = (None, None);
        },
    ];
    let mut windows = quarantine.windows().to_vec();
    for shorten in steps {
        windows.iter_mut().for_each(shorten);
        let bytes = serde_json::to_vec(&windows).expect("our own structs have text keys and no failing serializer");
        if bytes.len() <= CHUNK_MAX {
            break;
        }
    }
    let add = |kept: Quarantine, window| kept.with(window).expect("as many windows as there were");
    windows.into_iter().fold(Quarantine::default(), add)
}

fn drop_long_ids(window: &mut Quarantined) {
    let is_short = |id: &IncidentId| id.as_str().len() <= ID_MAX;
    window.before = window.before.take().filter(is_short);
    window.after = window.after.take().filter(is_short);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::quarantine::WINDOWS_MAX;
    use crate::model::timestamp::Timestamp;

    fn full(why: &str, id: Option<String>) -> Quarantine {
        let time = |n| Timestamp::from_seconds(9_000_000_000 + n);
        (0..WINDOWS_MAX as u64).fold(Quarantine::default(), |quarantine, n| {
            let (before, after) = (id.clone().map(IncidentId::new), id.clone().map(IncidentId::new));
            let window = Quarantined { before, after, ..Quarantined::new((time(n), time(n + 1)), time(n), why) };
            quarantine.with(window).expect("room")
        })
    }

    #[test]
    fn a_full_quarantine_fits_with_all_of_its_windows_whatever_is_said_beside_them() {
        for why in ["", "500", &"\"".repeat(500), &"\\".repeat(500), &"ö".repeat(500), &"\u{7f}\u{2028}".repeat(500)] {
            for id in [None, Some("924565".to_owned()), Some("7".repeat(100_000)), Some("\u{1}".repeat(ID_MAX))] {
                let quarantine = full(why, id);
                let kept = fitting(quarantine.clone());
                let bounds = |of: &Quarantine| of.windows().iter().map(|w| (w.from, w.to, w.since)).collect::<Vec<_>>();
                assert_eq!(bounds(&kept), bounds(&quarantine));
                let bytes = serde_json::to_vec(&kept).expect("JSON").len();
                assert!(bytes <= CHUNK_MAX, "{bytes} bytes with {why:.9}");
            }
        }
    }

    #[test]
    fn what_fits_is_kept_word_for_word() {
        let quarantine = full("500 Internal Server Error", Some("924565".to_owned()));
        assert_eq!(fitting(quarantine.clone()), quarantine);
    }
}
