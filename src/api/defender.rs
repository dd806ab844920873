//! The dialect `defender`: the URLs of `/api/incidents`, as Microsoft's List incidents and Get incident pages describe them.
//! Builds text and asks nobody.

use std::fmt::Write;

use url::Url;

use crate::model::names::IncidentId;
use crate::model::page::{Query, Window};

/// The application permission that reading takes, the least there is.
pub const PERMISSION: &str = "Incident.Read.All";
/// The API that the permission belongs to, as Entra lists it.
pub const PERMISSION_OF: &str = "Microsoft Threat Protection";
/// Rows of a page at most; a larger `$top` is answered with 400.
pub const PAGE_SIZE_MAX: u32 = 100;

const PATH: &str = "api/incidents";

/// The URL of one list call.
pub fn list_url(api_url: &Url, query: &Query) -> Url {
    let mut url = below(api_url, PATH);
    url.set_query(Some(&list_query(query)));
    url
}

/// The query string of one list call.
///
/// Spaces are `%20`, because OData servers do not take `+`. `$top` is always sent, for the default is not documented.
pub fn list_query(query: &Query) -> String {
    let filter = filter(query).replace(' ', "%20");
    let mut text = format!("$filter={filter}&$top={}", query.top);
    if 0 < query.skip {
        write!(text, "&$skip={}", query.skip).expect("a String takes every write");
    }
    text
}

/// The `$filter` of a query, not encoded. Literals have all seven digits and `Z`, and no quotes; an offset such as `+00:00`
/// would arrive as a space.
pub fn filter(query: &Query) -> String {
    let updated = within("lastUpdateTime", &query.window);
    match &query.created {
        None => updated,
        Some(created) => format!("{updated} and {}", within("createdTime", created)),
    }
}

fn within(property: &str, window: &Window) -> String {
    match window.to {
        None => format!("{property} ge {}", window.from),
        Some(to) => format!("{property} ge {} and {property} lt {to}", window.from),
    }
}

/// The URL of one incident; none for an id that no URL can carry.
pub fn incident_url(api_url: &Url, id: &IncidentId) -> Option<Url> {
    // A URL parser takes the dots for directories, however they are encoded, and an empty id would ask for the list.
    match id.as_str() {
        "" | "." | ".." => None,
        id => Some(below(api_url, &format!("{PATH}/{}", encoded(id)))),
    }
}

/// A path below the base, whether or not that ends with a slash.
fn below(api_url: &Url, path: &str) -> Url {
    let mut url = api_url.clone();
    url.set_path(&format!("{}/{path}", api_url.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// Everything but the unreserved characters of RFC 3986 section 2.3 as `%XX`.
fn encoded(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ => write!(text, "%{byte:02X}").expect("a String takes every write"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::timestamp::Timestamp;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_list_call_is_written_as_the_api_reads_it() {
        let check = |from: &str, to: Option<&str>, skip: u32, top: u32, expected: &str| {
            let query = Query { window: Window { from: time(from), to: to.map(time) }, created: None, skip, top };
            assert_eq!(list_query(&query), expected);
            let url = list_url(&"https://api.example.net".parse().expect("a URL"), &query);
            assert_eq!(
                url.as_str(),
                format!("https://api.example.net/api/incidents?{expected}"),
                "the URL changes nothing"
            );
        };
        check(
            "2026-11-21T10:00:00Z",
            None,
            0,
            100,
            "$filter=lastUpdateTime%20ge%202026-11-21T10:00:00.0000000Z&$top=100",
        );
        check(
            "2026-11-21T10:00:00.1234567Z",
            None,
            95,
            100,
            "$filter=lastUpdateTime%20ge%202026-11-21T10:00:00.1234567Z&$top=100&$skip=95",
        );
        check(
            "2026-11-21T10:00:00Z",
            Some("2026-11-21T11:00:00.5Z"),
            0,
            1,
            "$filter=lastUpdateTime%20ge%202026-11-21T10:00:00.0000000Z%20and%20lastUpdateTime%20lt%202026-11-21T11:00:00.5000000Z&$top=1",
        );
    }

    #[test]
    fn a_base_with_a_path_or_a_slash_is_kept() {
        let check = |base: &str, expected: &str| {
            let query =
                Query { window: Window { from: Timestamp::default(), to: None }, created: None, skip: 0, top: 1 };
            let url = list_url(&base.parse().expect("a URL"), &query);
            assert_eq!(url.as_str().split('?').next(), Some(expected));
        };
        check("https://eu.api.example.net/", "https://eu.api.example.net/api/incidents");
        check("http://127.0.0.1:8080/mtp", "http://127.0.0.1:8080/mtp/api/incidents");
        check("http://127.0.0.1:8080/mtp/?a=b#c", "http://127.0.0.1:8080/mtp/api/incidents");
    }

    #[test]
    fn an_id_stays_one_segment_whatever_is_in_it() {
        let check = |id: &str, expected: Option<&str>| {
            let url = incident_url(&"https://api.example.net".parse().expect("a URL"), &IncidentId::new(id));
            assert_eq!(url.as_ref().map(Url::as_str), expected, "{id}");
        };
        check("924565", Some("https://api.example.net/api/incidents/924565"));
        check("a/../b?c#d%é +", Some("https://api.example.net/api/incidents/a%2F..%2Fb%3Fc%23d%25%C3%A9%20%2B"));
        check("...", Some("https://api.example.net/api/incidents/..."));
        check("", None);
        check(".", None);
        check("..", None);
    }
}
