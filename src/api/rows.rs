//! The rows of an answer: incidents as they came, or their stubs. Asks nobody and decides nothing about a whole page.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::body::Text;
use crate::model::hash::ContentHash;
use crate::model::incident::{Head, Row};

/// Bytes of a page from which on its rows are read by several threads.
const SHARED_FROM: usize = 256 * 1024;
/// Threads at most: the rest of the process wants to go on.
const THREADS_MAX: usize = 4;

/// The rows of a page in their order. Hashes and lists of a large page take longer than everything else about it.
pub(crate) fn read(raws: &[&RawValue], text: &Text, incident_size_max: u64) -> Vec<Row> {
    let each = |raws: &[&RawValue]| raws.iter().map(|raw| row(raw, text, incident_size_max)).collect::<Vec<_>>();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    if text.json().len() < SHARED_FROM || threads == 1 {
        return each(raws);
    }
    std::thread::scope(|scope| {
        let mut shares = raws.chunks(raws.len().div_ceil(threads).max(1));
        let own = shares.next();
        let others: Vec<_> = shares.map(|share| scope.spawn(move || each(share))).collect();
        let mut rows = own.map(each).unwrap_or_default();
        for other in others {
            match other.join() {
                Ok(share) => rows.extend(share),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        rows
    })
}

/// A row of a page, or its stub.
pub(crate) fn row(raw: &RawValue, text: &Text, incident_size_max: u64) -> Row {
    let row = match incident_size_max < raw.get().len() as u64 {
        true => stub(raw, ContentHash::of(raw.get()), raw.get().len() as u64),
        false => Row::new(raw.to_owned()),
    };
    Row { repaired: text.is_repaired(raw.get()), ..row }
}

/// What is left of an incident that is too large: its id and times as they stand, and its size in bytes.
pub(crate) fn stub(raw: &RawValue, hash: ContentHash, size: u64) -> Row {
    let head = Head::read(raw.get());
    Row { raw: remains(raw, size), hash, lists: None, head, repaired: false, truncated: true, cut: false, part: false }
}

/// The text of a stub, in the dialect of its incident.
fn remains(raw: &RawValue, size: u64) -> Box<RawValue> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Kept<'a> {
        #[serde(borrow)]
        incident_id: Option<&'a RawValue>,
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        #[serde(borrow)]
        created_time: Option<&'a RawValue>,
        #[serde(borrow)]
        created_date_time: Option<&'a RawValue>,
        #[serde(borrow)]
        last_update_time: Option<&'a RawValue>,
        #[serde(borrow)]
        last_update_date_time: Option<&'a RawValue>,
    }
    /// A member is kept as long as it is what it should be: nothing makes a stub large again.
    const MEMBER_SIZE_MAX: usize = 256;
    // serde would take the elements of an array for the members too.
    let kept: Kept<'_> = match raw.get().starts_with('{') {
        true => serde_json::from_str(raw.get()).unwrap_or_default(),
        false => Kept::default(),
    };
    let mut json = String::from("{");
    for (name, member) in [
        ("incidentId", kept.incident_id),
        ("id", kept.id),
        ("createdTime", kept.created_time),
        ("createdDateTime", kept.created_date_time),
        ("lastUpdateTime", kept.last_update_time),
        ("lastUpdateDateTime", kept.last_update_date_time),
    ] {
        if let Some(value) = member.filter(|value| value.get().len() <= MEMBER_SIZE_MAX) {
            json.push_str(&format!("\"{name}\":{},", value.get()));
        }
    }
    json.push_str(&format!("\"size\":{size}}}"));
    RawValue::from_string(json).expect("members cut out of JSON, put together as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_keeps_id_and_times_as_they_stand() {
        let check = |json: &str, expected: &str| {
            let raw = RawValue::from_string(json.to_owned()).expect("JSON");
            assert_eq!(stub(&raw, ContentHash::from_bits(1), 7).raw.get(), expected, "{json}");
        };
        check(
            r#"{"incidentId" : 924565, "x":[1], "lastUpdateTime":"2026-11-21T10:00:00.50Z","createdTime": null}"#,
            r#"{"incidentId":924565,"lastUpdateTime":"2026-11-21T10:00:00.50Z","size":7}"#,
        );
        check(&format!(r#"{{"incidentId":"{}"}}"#, "9".repeat(500)), r#"{"size":7}"#);
        check(
            r#"{"id":"17","status":"active","createdDateTime":"2026-11-21T10:00:00Z","lastUpdateDateTime":"2026-11-21T10:00:00.5Z"}"#,
            r#"{"id":"17","createdDateTime":"2026-11-21T10:00:00Z","lastUpdateDateTime":"2026-11-21T10:00:00.5Z","size":7}"#,
        );
        check("[1]", r#"{"size":7}"#);
    }
}
