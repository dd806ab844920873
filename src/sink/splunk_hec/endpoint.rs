//! Where HTTP Event Collector listens, out of whichever of its addresses somebody wrote down. Asks nobody.

use url::Url;

/// What comes behind the base of every address of HEC.
const COLLECTOR: &str = "/services/collector";

/// The two addresses that the sink posts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoints {
    /// Takes events.
    pub(super) event: Url,
    /// Says which requests are indexed.
    pub(super) ack: Url,
}

impl Endpoints {
    /// The addresses that belong to a base such as `https://splunk.example.net:8088`, or to the whole address of the event
    /// endpoint, with or without its version.
    ///
    /// # Errors
    /// It is the address of something else, or holds more than an address. As a fragment, for people.
    pub(super) fn of(url: &Url) -> Result<Self, String> {
        if url.query().is_some() || url.fragment().is_some() {
            return Err(
                "holds a `?` or a `#`, which an address of HEC does not need; the token goes into `token`".into()
            );
        }
        let path = url.path().trim_end_matches('/');
        let (base, endpoint) = match path.rfind(COLLECTOR) {
            Some(at) => (&path[..at], &path[at + COLLECTOR.len()..]),
            None => (path, ""),
        };
        let event = match endpoint {
            "" | "/event" => "/event",
            "/event/1.0" => "/event/1.0",
            other => {
                let remedy = "leave out what comes after the port, or write /services/collector/event";
                return Err(format!("leads to {COLLECTOR}{other}, which takes no events with their fields: {remedy}"));
            }
        };
        let at = |endpoint: &str| {
            let mut address = url.clone();
            address.set_path(&format!("{base}{COLLECTOR}{endpoint}"));
            address
        };
        Ok(Self { event: at(event), ack: at("/ack") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_and_a_whole_address_lead_to_the_same_place() {
        let check = |url: &str, expected: Result<&str, &str>| {
            let found = Endpoints::of(&url.parse().expect("a url"));
            match (found, expected) {
                (Ok(Endpoints { event, ack }), Ok(path)) => {
                    assert_eq!(event.path(), path, "{url}");
                    let ack_path = format!("{}/ack", path.split("/event").next().expect("a base"));
                    assert_eq!((ack.path(), ack.port()), (ack_path.as_str(), event.port()), "{url}");
                }
                (Err(why), Err(word)) => assert!(why.contains(word), "{url}: {why}"),
                (found, _) => panic!("{url}: {found:?}"),
            }
        };
        check("https://splunk.example.net:8088", Ok("/services/collector/event"));
        check("https://splunk.example.net:8088/", Ok("/services/collector/event"));
        check("https://splunk.example.net/services/collector", Ok("/services/collector/event"));
        check("https://splunk.example.net/services/collector/event/", Ok("/services/collector/event"));
        check("https://splunk.example.net/services/collector/event/1.0", Ok("/services/collector/event/1.0"));
        check("https://proxy.example.net/splunk/", Ok("/splunk/services/collector/event"));
        check("https://proxy.example.net/splunk/services/collector/event", Ok("/splunk/services/collector/event"));
        check("https://splunk.example.net/services/collector/raw", Err("leads to /services/collector/raw"));
        check("https://splunk.example.net/services/collector/health/1.0", Err("takes no events"));
        check("https://splunk.example.net/services/collectors", Err("takes no events"));
        check("https://splunk.example.net/?token=1", Err("the token goes into `token`"));
        check("https://splunk.example.net/#x", Err("`#`"));
    }
}
