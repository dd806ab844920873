//! The pictures of the documentation, of a real daemon that has been at work for as long as somebody lets it:
//! `XDRELAY_PICTURES=40m cargo test --test page pictures`. Without that it works for a moment, and they go to `target/tmp`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::json;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::knobs::{Knobs, Pace};
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::Settings;

use crate::browser::Browser;
use crate::faking::Faking;
use crate::harness::{Daemon, Place, duration, sandbox, small, wait_for};

/// The tenants, and how many seconds pass between two new incidents of each.
const TENANTS: [(&str, u64); 4] = [("contoso", 9), ("fabrikam", 31), ("northwind", 57), ("woodgrove", 140)];

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_the_page_are_made() {
    let Some(mut browser) = Browser::start() else { return };
    let work = duration("XDRELAY_PICTURES", Duration::ZERO);
    let (place, siem) = (Place::new(), Receiver::start().await);
    let (mut sandboxes, mut tables) = (Vec::new(), Vec::new());
    for (number, (name, pause)) in (1u32..).zip(TENANTS) {
        let sandbox = tenant(number, pause).await;
        tables.push(place.tenant(name, &sandbox));
        sandboxes.push(sandbox);
    }
    let breaking = Faking::start().await;
    tables.push(breaking.tenant(&place, "adatum", 99));
    tables.push(place.file_sink("archive"));
    tables.push(format!(
        "[sinks.siem]\nkind = \"http\"\nurl = \"http://{}/ingest\"\nformat = \"json\"\n\n",
        siem.address
    ));
    tables.push("[admin]\nlisten = \"127.0.0.1:0\"\nshow_incidents = true\n\n".into());
    place.configure(&tables.iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = Daemon::start(&place);
    live_through(work, &sandboxes, &siem).await;

    let page = format!("{}/", daemon.origin());
    browser.open_as(&page, json!({ "width": 1200, "height": 1130 }));
    browser.see("#headline", "All well");
    browser.click("#tenants summary", "contoso");
    browser.see("#tenants .detail", "Calls left");
    browser.shot(&picture(work, "status-light"), false);

    let role = "Missing application roles. API required roles: Incident.Read.All, application roles: .";
    breaking.say(403, json!({ "error": { "code": "Forbidden", "message": role } }));
    siem.is_up.store(false, Ordering::Relaxed);
    wait_for("both to be noticed", || {
        let said = place.command(&["status"]).out;
        said.contains("failing") && said.contains("siem: retrying")
    });
    for (name, how) in [
        ("status-dark", json!({ "scheme": "dark", "width": 1200, "height": 1130 })),
        ("status-phone", json!({ "width": 390, "height": 844, "scale": 2 })),
    ] {
        browser.open_as(&page, how);
        browser.see("#problems li", "adatum");
        browser.see("#problems li", "siem");
        browser.shot(&picture(work, name), false);
    }
    browser.assert_quiet(&daemon.origin());
}

fn picture(work: Duration, name: &str) -> PathBuf {
    let place = match work.is_zero() {
        true => Path::new(env!("CARGO_TARGET_TMPDIR")).join("page"),
        false => Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots"),
    };
    std::fs::create_dir_all(&place).expect("a directory");
    place.join(format!("{name}.png"))
}

/// A tenant that lives at this pace, with Microsoft's quota.
async fn tenant(number: u32, pause: u64) -> Sandbox {
    let every = |part: u64| Duration::from_secs(pause * part / 4);
    let pace = Pace { create: every(4), update: every(3), resolve: every(9), merge: every(40), ..Pace::default() };
    let tenant_id = format!("5a11d0b0-7e57-4000-8000-{number:012}");
    sandbox(Knobs { tenant_id, pace, backlog: 12, ..small() }, Settings::live()).await
}

/// Lets it work, with a source and a receiver that are away for a while.
async fn live_through(work: Duration, sandboxes: &[Sandbox], siem: &Receiver) {
    let start = Instant::now();
    let (mut source_fails, part) = (false, |tenths: u32| work * tenths / 10);
    while start.elapsed() < work {
        let now = start.elapsed();
        let fails = (part(5)..part(6)).contains(&now);
        if fails != source_fails {
            source_fails = fails;
            match fails {
                true => sandboxes[1].faults().often(Endpoint::List, 1.0, Fault::Status(503)),
                false => sandboxes[1].faults().clear(),
            }
        }
        siem.is_up.store(!(part(7)..part(7) + work / 25).contains(&now), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A receiver that can be away.
struct Receiver {
    address: SocketAddr,
    is_up: Arc<AtomicBool>,
}

impl Receiver {
    async fn start() -> Self {
        let is_up = Arc::new(AtomicBool::new(true));
        let asked = is_up.clone();
        let answer = move || {
            let code = if asked.load(Ordering::Relaxed) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            std::future::ready(code)
        };
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let routes = Router::new().route("/ingest", post(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, is_up }
    }
}
