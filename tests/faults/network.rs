//! Where calls go: never to a stranger, whatever a redirect or a link says, and with a word about it where they cannot go at all.

use std::net::{Ipv4Addr, Ipv6Addr};

use xdrelay::sandbox::server::Sandbox;

use crate::IMPATIENT;
use crate::gate::{Act, Gate, Trap};
use crate::harness::{Daemon, Place, another, in_both_dialects, wait_for};
use crate::truth::{assert_once, missing, missing_in};

const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// Traps at every place that a redirect may lead to.
struct Traps {
    host: Trap,
    port: Trap,
    six: Option<Trap>,
}

impl Traps {
    async fn new() -> Self {
        // Not every container has IPv6.
        let six = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        Self {
            host: Trap::at(Ipv4Addr::new(127, 0, 0, 2)).await,
            port: Trap::at(Ipv4Addr::LOCALHOST).await,
            six: if six { Some(Trap::at(Ipv6Addr::LOCALHOST).await) } else { None },
        }
    }

    /// Names and addresses, with what an attacker would put in front and behind.
    fn targets(&self) -> Vec<(&'static str, String)> {
        let (host, port) = (self.host.address, self.port.address.port());
        let six = self.six.as_ref().map_or(host, |trap| trap.address);
        vec![
            ("other_host", format!("http://{host}/api/incidents?stolen=1")),
            ("other_port", format!("http://127.0.0.1:{port}/api/incidents")),
            ("other_name", format!("http://localhost:{port}/api/incidents")),
            ("https", format!("https://localhost:{port}/api/incidents")),
            ("six", format!("http://{six}/")),
            ("userinfo", format!("http://login.microsoftonline.com@{host}/")),
            ("no_scheme", format!("//{host}/")),
            ("backslash", format!("http:\\\\{host}\\")),
            ("metadata", "http://169.254.169.254/latest/meta-data/".to_owned()),
            ("idn", "https://login.mıcrosoftonline.com/".to_owned()),
            ("same_origin", "/elsewhere?token=1".to_owned()),
        ]
    }

    fn assert_empty(&self) {
        let six = self.six.iter().map(Trap::visitors).sum::<usize>();
        assert_eq!([self.host.visitors(), self.port.visitors(), six], [0; 3], "somebody went where a redirect led");
    }
}

/// A gate that sends the first five requests of a kind away, with every status once.
async fn astray(sandbox: &Sandbox, target: String, tokens: bool) -> Gate {
    let mut left = STATUSES.to_vec();
    Gate::start(sandbox, move |asked| {
        let is_token = asked.target.ends_with("/oauth2/v2.0/token");
        if is_token != tokens {
            return Act::Pass;
        }
        let Some(status) = left.pop() else { return Act::Pass };
        let head =
            format!("HTTP/1.1 {status} Moved\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        Act::Send(head.into_bytes())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_redirect_takes_a_token_or_a_secret_along() {
    let (place, traps) = (Place::new(), Traps::new().await);
    let mut tables = vec![IMPATIENT.to_owned(), place.file_sink("file")];
    let mut fronts = Vec::new();
    let both = traps
        .targets()
        .into_iter()
        .flat_map(|(name, target)| [false, true].map(|tokens| (name, target.clone(), tokens)));
    for (number, (name, target, tokens)) in (1..).zip(both) {
        let name = format!("{}_{name}", if tokens { "token" } else { "list" });
        let sandbox = another(number, 3).await;
        let gate = astray(&sandbox, target, tokens).await;
        let own = sandbox.url().to_string();
        tables.push(match tokens {
            true => place.tenant_behind(&name, &sandbox, &own, &gate.url),
            false => place.tenant_behind(&name, &sandbox, &gate.url, &own),
        });
        fronts.push((name, sandbox, gate));
    }
    place.configure(&tables.iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = Daemon::start(&place);
    for (name, sandbox, gate) in &fronts {
        wait_for(&format!("everything of {name}"), || missing(sandbox, name, &place.arrivals("file")).is_empty());
        assert!(STATUSES.len() < gate.asked().len(), "{name} met every status");
        for asked in gate.asked() {
            assert!(!asked.target.contains("elsewhere"), "{name} was followed");
            let (bearer, secret) = (asked.text().contains("Bearer "), asked.text().contains("client_secret="));
            let is_token = asked.target.ends_with("/token");
            assert_eq!((bearer, secret), (!is_token, is_token), "{name}: each secret goes to its own place");
        }
    }
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    traps.assert_empty();
    assert_once(&place.arrivals("file"));
    let log = place.text("daemon.log");
    for (name, _, _) in &fronts {
        let said = log.lines().any(|line| line.contains(&format!("tenant={name} ")) && line.contains("status 308"));
        assert!(said, "no word of {name} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_the_next_page_is_never_followed() {
    in_both_dialects(|dialect| async move {
        let (place, sandbox, traps) = (Place::speaking(dialect), another(1, 250).await, Traps::new().await);
        let mut links = traps.targets().into_iter().map(|(_, link)| link).collect::<Vec<_>>().into_iter().cycle();
        let gate = Gate::start(&sandbox, move |asked| {
            let link = links.next().expect("they go round");
            match asked.is_list() {
                true => Act::Edit(Box::new(move |body| {
                    let link = serde_json::to_string(&link).expect("a text");
                    body.replacen("\"value\":", &format!("\"@odata.nextLink\":{link},\"value\":"), 1)
                })),
                false => Act::Pass,
            }
        })
        .await;
        place.configure(&[
            IMPATIENT,
            &place.tenant_behind("contoso", &sandbox, &gate.url, &gate.url),
            &place.file_sink("file"),
        ]);
        let daemon = Daemon::start(&place);
        wait_for("everything", || missing_in(dialect, &sandbox, "contoso", &place.arrivals("file")).is_empty());
        wait_for("every link to be seen", || traps.targets().len() + 5 <= gate.lists());
        assert_eq!(daemon.stop("TERM"), 0);
        traps.assert_empty();
        assert!(gate.asked().iter().all(|asked| !asked.target.contains("elsewhere")), "a link was followed");
        assert_eq!(place.arrivals("file").len(), 250);
        assert_once(&place.arrivals("file"));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_is_said_and_stops_no_other() {
    let place = Place::new();
    let (good, no_api, no_login) = (another(1, 5).await, another(2, 5).await, another(3, 5).await);
    // RFC 6761 section 6.4: nobody resolves it.
    let nowhere = "https://api.xdrelay.invalid/";
    let own = |sandbox: &Sandbox| sandbox.url().to_string();
    let tables = [
        IMPATIENT,
        &place.tenant("good", &good),
        &place.tenant_behind("no_api", &no_api, nowhere, &own(&no_api)),
        &place.tenant_behind("no_login", &no_login, &own(&no_login), nowhere),
        &place.file_sink("file"),
    ];
    place.configure(&tables);
    let daemon = Daemon::start(&place);
    wait_for("everything of the good one", || missing(&good, "good", &place.arrivals("file")).is_empty());
    let said =
        |name: &str| daemon.log().lines().any(|line| line.contains(&format!("tenant={name} ")) && line.contains("dns"));
    wait_for("both to be said", || said("no_api") && said("no_login"));
    let status = place.command(&["status"]).out;
    assert!(status.contains("tenant no_api") && status.contains("dns"), "{status}");
    assert_eq!(daemon.stop("TERM"), 0);
    assert_eq!(place.arrivals("file").len(), 5);
}
