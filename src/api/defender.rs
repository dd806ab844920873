//! The dialect `defender`: the URLs of `/api/incidents`, as Microsoft's List incidents and Get incident pages describe them.
//! Builds text and asks nobody.

use url::Url;

use crate::api::odata::{self, Names};
use crate::model::names::IncidentId;
use crate::model::page::Query;

/// The application permission that reading takes, the least there is.
pub const PERMISSION: &str = "Incident.Read.All";
/// The API that the permission belongs to, as Entra lists it.
pub const PERMISSION_OF: &str = "Microsoft Threat Protection";

const PATH: &str = "api/incidents";
const NAMES: Names = Names { last_update: "lastUpdateTime", created: "createdTime" };

/// The URL of one list call.
pub fn list_url(api_url: &Url, query: &Query) -> Url {
    odata::below(api_url, PATH, Some(&list_query(query)))
}

/// The query string of one list call. Alerts always come with their incidents.
pub fn list_query(query: &Query) -> String {
    odata::list_query(NAMES, query)
}

/// The `$filter` of a query, not encoded.
pub fn filter(query: &Query) -> String {
    odata::filter(NAMES, query)
}

/// The URL of one incident; none for an id that no URL can carry.
pub fn incident_url(api_url: &Url, id: &IncidentId) -> Option<Url> {
    Some(odata::below(api_url, &format!("{PATH}/{}", odata::segment(id)?), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::page::{Alerts, Window};
    use crate::model::timestamp::Timestamp;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_list_call_is_written_as_the_api_reads_it() {
        let check = |from: &str, to: Option<&str>, skip: u32, top: u32, expected: &str| {
            let query = Query {
                window: Window { from: time(from), to: to.map(time) },
                created: None,
                skip,
                top,
                alerts: Alerts::Within,
            };
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
            let query = Query {
                window: Window { from: Timestamp::default(), to: None },
                created: None,
                skip: 0,
                top: 1,
                alerts: Alerts::Within,
            };
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
