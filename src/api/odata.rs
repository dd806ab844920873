//! URLs of list calls and of single incidents, as OData servers read them. Builds text and asks nobody.

use std::fmt::Write;

use url::Url;

use crate::model::names::IncidentId;
use crate::model::page::{Query, Window};

/// What a dialect calls the two times that are filtered by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub(crate) last_update: &'static str,
    pub(crate) created: &'static str,
}

/// The query string of one list call.
///
/// Spaces are `%20`, because OData servers do not take `+`. `$top` is always sent, for the default is not documented.
pub(crate) fn list_query(names: Names, query: &Query) -> String {
    let filter = filter(names, query).replace(' ', "%20");
    let mut text = format!("$filter={filter}&$top={}", query.top);
    if 0 < query.skip {
        write!(text, "&$skip={}", query.skip).expect("a String takes every write");
    }
    text
}

/// The `$filter` of a query, not encoded. Literals have all seven digits and `Z`, and no quotes; an offset such as `+00:00`
/// would arrive as a space.
pub(crate) fn filter(names: Names, query: &Query) -> String {
    let updated = within(names.last_update, &query.window);
    match &query.created {
        None => updated,
        Some(created) => format!("{updated} and {}", within(names.created, created)),
    }
}

fn within(property: &str, window: &Window) -> String {
    match window.to {
        None => format!("{property} ge {}", window.from),
        Some(to) => format!("{property} ge {} and {property} lt {to}", window.from),
    }
}

/// A path below the base, whether or not that ends with a slash.
pub(crate) fn below(api_url: &Url, path: &str, query: Option<&str>) -> Url {
    let mut url = api_url.clone();
    url.set_path(&format!("{}/{path}", api_url.path().trim_end_matches('/')));
    url.set_query(query);
    url.set_fragment(None);
    url
}

/// An id as one segment of a path; none for an id that no URL can carry.
pub(crate) fn segment(id: &IncidentId) -> Option<String> {
    // A URL parser takes the dots for directories, however they are encoded, and an empty id would ask for the list.
    match id.as_str() {
        "" | "." | ".." => None,
        id => Some(encoded(id)),
    }
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
