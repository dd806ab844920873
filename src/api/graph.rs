//! The dialect `graph`: the URLs of `/v1.0/security/incidents`, as Microsoft Graph's List incidents and Get incident pages describe
//! them. Builds text and asks nobody.
//!
//! `@odata.nextLink` is never followed: pages are asked for by `$skip`, whose joints `core::pass` proves, so that no answer decides
//! where the token goes.

use url::Url;

use crate::api::odata::{self, Names};
use crate::model::names::IncidentId;
use crate::model::page::{Alerts, Query};

/// The application permission that reading takes, the least there is.
pub const PERMISSION: &str = "SecurityIncident.Read.All";
/// The API that the permission belongs to, as Entra lists it.
pub const PERMISSION_OF: &str = "Microsoft Graph";
/// Without it, newer values of enumerations come as `unknownFutureValue` (Graph's best practices, "evolvable enumerations").
pub const PREFER: &str = "include-unknown-enum-members";

const PATH: &str = "v1.0/security/incidents";
const NAMES: Names = Names { last_update: "lastUpdateDateTime", created: "createdDateTime" };
const EXPAND: &str = "$expand=alerts";
/// Alerts on one page of the alerts of an incident.
pub const ALERTS_TOP: u32 = 100;

/// The URL of one list call.
pub fn list_url(api_url: &Url, query: &Query) -> Url {
    odata::below(api_url, PATH, Some(&list_query(query)))
}

/// The query string of one list call.
pub fn list_query(query: &Query) -> String {
    let text = odata::list_query(NAMES, query);
    match query.alerts {
        Alerts::Within => format!("{text}&{EXPAND}"),
        Alerts::Apart => text,
    }
}

/// The `$filter` of a query, not encoded.
pub fn filter(query: &Query) -> String {
    odata::filter(NAMES, query)
}

/// The URL of one incident with its alerts; none for an id that no URL can carry.
pub fn incident_url(api_url: &Url, id: &IncidentId) -> Option<Url> {
    Some(odata::below(api_url, &format!("{PATH}/{}", odata::segment(id)?), Some(EXPAND)))
}

/// The URL of one incident without its alerts; none for an id that no URL can carry.
pub fn bare_incident_url(api_url: &Url, id: &IncidentId) -> Option<Url> {
    Some(odata::below(api_url, &format!("{PATH}/{}", odata::segment(id)?), None))
}

/// The URL of a page of the alerts of one incident; none for an id that no URL can carry.
pub fn alerts_url(api_url: &Url, id: &IncidentId, skip: u32) -> Option<Url> {
    let query = match skip {
        0 => format!("$top={ALERTS_TOP}"),
        _ => format!("$top={ALERTS_TOP}&$skip={skip}"),
    };
    Some(odata::below(api_url, &format!("{PATH}/{}/alerts", odata::segment(id)?), Some(&query)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::page::Window;

    #[test]
    fn a_list_call_is_written_as_graph_reads_it() {
        let check = |alerts: Alerts, skip: u32, expected: &str| {
            let from = "2026-11-21T10:00:00.12Z".parse().expect("a time");
            let query = Query { window: Window { from, to: Some(from) }, created: None, skip, top: 50, alerts };
            let url = list_url(&"https://graph.example.net/".parse().expect("a URL"), &query);
            assert_eq!(url.as_str(), format!("https://graph.example.net/v1.0/security/incidents?{expected}"));
        };
        let filter = "$filter=lastUpdateDateTime%20ge%202026-11-21T10:00:00.1200000Z%20and%20lastUpdateDateTime%20lt%202026-11-21T10:00:00.1200000Z";
        check(Alerts::Within, 0, &format!("{filter}&$top=50&$expand=alerts"));
        check(Alerts::Apart, 45, &format!("{filter}&$top=50&$skip=45"));
    }

    #[test]
    fn an_incident_and_its_alerts_are_below_the_list() {
        let base = "http://127.0.0.1:8080/graph".parse().expect("a URL");
        let id = IncidentId::new("92/45");
        let shown = |url: Option<Url>| url.map(String::from);
        assert_eq!(
            shown(incident_url(&base, &id)).as_deref(),
            Some("http://127.0.0.1:8080/graph/v1.0/security/incidents/92%2F45?$expand=alerts")
        );
        assert_eq!(
            shown(bare_incident_url(&base, &id)).as_deref(),
            Some("http://127.0.0.1:8080/graph/v1.0/security/incidents/92%2F45")
        );
        assert_eq!(
            shown(alerts_url(&base, &id, 0)).as_deref(),
            Some("http://127.0.0.1:8080/graph/v1.0/security/incidents/92%2F45/alerts?$top=100")
        );
        assert_eq!(
            shown(alerts_url(&base, &id, 100)).as_deref(),
            Some("http://127.0.0.1:8080/graph/v1.0/security/incidents/92%2F45/alerts?$top=100&$skip=100")
        );
        assert_eq!(alerts_url(&base, &IncidentId::new(".."), 0), None);
    }
}
