//! The status page as people see it, in Chromium.

use std::path::PathBuf;

use serde_json::json;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;

use crate::browser::Browser;
use crate::faking::{Faking, incident};
use crate::harness::{Daemon, Place, QUICK, closed_port, still, unlimited, wait_for};
use crate::token::{TOKEN, locked};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n\n";

/// Each has clients of its own, which takes its time where the compiler does not optimise.
const MANY: u32 = 80;

/// Where pictures of a test go.
fn picture(name: &str) -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&place).expect("a directory");
    place.join(format!("{name}.png"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_happens_as_it_happens() {
    let Some(mut browser) = Browser::start() else { return };
    let (place, sandbox) = (Place::new(), still(2, unlimited()).await);
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("archive"), ADMIN]);
    let daemon = Daemon::start(&place);
    let origin = daemon.origin();
    browser.open(&format!("{origin}/"));
    browser.see("#headline", "All well");
    browser.see("#summary", "1 tenant, 1 sink");
    browser.see("#sinks .row", "archive");
    browser.see("#tenants .row .pill", "well");
    browser.see("#tenants dd", "2 created");
    browser.see("#events li", "created");
    assert_eq!(browser.evaluate("document.title"), "xdrelay: all well");

    let (now, before) = (sandbox.now(), browser.texts("#events .id"));
    let number = { sandbox.world().create(now) };
    sandbox.world().settle(now);
    browser.see("#events .id", &format!("contoso/{}/", number.id()));
    browser.see("#tenants dd", "3 created");
    assert_eq!(browser.texts("#events .id")[1..], before, "the newest is on top");

    sandbox.faults().often(Endpoint::List, 1.0, Fault::Status(503));
    browser.see("#headline", "contoso: the source cannot be reached");
    browser.see("#problems .what", "503");
    browser.see("#problems .remedy", "Passes by itself");
    browser.see("#tenants .row .pill", "failing");
    browser.shot(&picture("failing"), true);
    sandbox.faults().clear();
    browser.see("#headline", "All well");
    browser.miss("#problems li", "");
    browser.assert_quiet(&origin);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_are_found_by_typing_and_clicking() {
    let Some(mut browser) = Browser::start() else { return };
    let (place, source, broken) = (Place::new(), Faking::start().await, Faking::start().await);
    broken.say(403, json!({ "error": { "code": "Forbidden", "message": "the role is missing" } }));
    let mut tables = vec!["[poll]\ninterval = \"60s\"\n\n".to_owned(), ADMIN.to_owned(), place.file_sink("archive")];
    tables.extend((1..=MANY).map(|number| source.tenant(&place, &format!("tenant-{number:03}"), number)));
    tables.push(broken.tenant(&place, "zebra", 999));
    place.configure(&tables.iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = Daemon::start(&place);
    let origin = daemon.origin();
    wait_for("all to be read once", || {
        place.command(&["status"]).out.matches("last complete sweep").count() as u32 == MANY
    });
    browser.open(&format!("{origin}/"));
    browser.see("#headline", "zebra: the credential or a permission is refused");
    let names = browser.texts("#tenants .name");
    assert_eq!(
        (names.len(), &names[0][..], &names[1][..]),
        (MANY as usize + 1, "zebra", "tenant-001"),
        "problems first"
    );
    assert!(browser.texts("#tenants .detail").is_empty(), "all are folded");

    browser.write("#filter", "nt-04");
    browser.miss("#tenants .name", "zebra");
    assert_eq!(browser.texts("#tenants .name").len(), 10);
    browser.click("#tenants summary", "tenant-042");
    browser.see("#tenants .detail", "Calls left");
    browser.write("#filter", "nobody is called so");
    browser.see("#nobody", "No tenant is like that");
    browser.write("#filter", "refused");
    browser.see("#tenants .name", "zebra");
    browser.write("#filter", "");
    browser.click("#show-problems", "");
    browser.miss("#tenants .name", "tenant-");
    assert_eq!(browser.texts("#tenants .name"), ["zebra"]);
    browser.click("#show-all", "");
    assert_eq!(browser.texts("#tenants .name").len(), MANY as usize + 1);

    // From the problem to the tenant, and by the keyboard alone.
    browser.click("#problems button", "zebra");
    browser.see("#tenants .detail .trouble", "the role is missing");
    browser.press("Enter");
    browser.miss("#tenants .detail .trouble", "the role is missing");
    browser.press("Enter");
    browser.see("#tenants .detail .trouble", "the role is missing");

    broken.say(200, json!({ "value": [] }));
    browser.shot(&picture("many"), false);
    browser.assert_quiet(&origin);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_outside_stays_text() {
    const MARKUP: &str = "<img src=x onerror=alert(1)><script>alert(2)</script>";
    let Some(mut browser) = Browser::start() else { return };
    let (place, source, broken) = (Place::new(), Faking::start().await, Faking::start().await);
    source.say(200, json!({ "value": [incident(7, MARKUP)] }));
    broken.say(403, json!({ "error": { "code": "Forbidden", "message": MARKUP } }));
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\nshow_incidents = true\n\n";
    let tenants = [source.tenant(&place, "contoso", 1), broken.tenant(&place, "fabrikam", 2)].concat();
    place.configure(&[QUICK, &tenants, &place.file_sink("archive"), admin]);
    let daemon = Daemon::start(&place);
    let origin = daemon.origin();
    browser.open(&format!("{origin}/"));
    browser.see("#events .title", MARKUP);
    browser.see("#problems .what", "<img src=x onerror=alert(1)>");
    browser.see("#tenants .trouble", "<img src=x onerror=alert(1)>");
    assert_eq!(browser.evaluate("document.querySelectorAll('img, script:not(:last-of-type)').length"), 0);
    browser.assert_quiet(&origin);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_reads_in_the_dark_on_a_phone_and_without_scripts() {
    let Some(mut browser) = Browser::start() else { return };
    let (place, source, broken) = (Place::new(), Faking::start().await, Faking::start().await);
    source.say(200, json!({ "value": [incident(7, "A title"), incident(8, &"long".repeat(50))] }));
    broken.say(403, json!({ "error": { "code": "Forbidden", "message": "word".repeat(300) } }));
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\nshow_incidents = true\n\n";
    let (long, tenant) = ("t".repeat(60), source.tenant(&place, "contoso", 1));
    let tables = [tenant, broken.tenant(&place, &long, 2), place.file_sink(&"s".repeat(60))].concat();
    place.configure(&[QUICK, &tables, admin]);
    let daemon = Daemon::start(&place);
    let origin = daemon.origin();
    let mut grounds = Vec::new();
    for (name, how) in [
        ("light", json!({ "scheme": "light" })),
        ("dark", json!({ "scheme": "dark" })),
        ("phone", json!({ "width": 360, "height": 740, "scheme": "dark", "motion": "no-preference" })),
        ("tablet", json!({ "width": 800, "height": 1000 })),
    ] {
        browser.open_as(&format!("{origin}/"), how);
        browser.see("#events li", "contoso");
        browser.see("#tenants .detail", "Calls left");
        browser.click("#sinks summary", "");
        browser.see("#sinks .detail", "at least once");
        let wide = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(wide, 0, "{name} does not scroll sideways");
        let cut = "[...document.querySelectorAll('h1, h2, dd, .what, .remedy, .left, .pill, .figure')].filter((node) => \
                   node.getClientRects().length && document.documentElement.clientWidth < node.getBoundingClientRect().right).length";
        assert_eq!(browser.evaluate(cut), 0, "{name} shows everything");
        grounds.push(browser.evaluate("getComputedStyle(document.body).backgroundColor"));
        browser.shot(&picture(name), true);
        browser.assert_quiet(&origin);
    }
    assert_ne!(grounds[0], grounds[1], "the dark is another");
    browser.open_as(&format!("{origin}/"), json!({ "js": false }));
    browser.see("noscript .hint", "/status");
    browser.miss("#headline", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_comes_back_is_shown_again() {
    let Some(mut browser) = Browser::start() else { return };
    let (place, source) = (Place::new(), Faking::start().await);
    let admin = format!("[admin]\nlisten = \"127.0.0.1:{}\"\n\n", closed_port());
    place.configure(&[QUICK, &source.tenant(&place, "contoso", 1), &place.file_sink("archive"), &admin]);
    let daemon = Daemon::start(&place);
    let origin = daemon.origin();
    browser.open(&format!("{origin}/"));
    browser.see("#line", "live");
    assert_eq!(daemon.stop("TERM"), 0);
    browser.see("#line", "no connection since");
    let _daemon = Daemon::start(&place);
    browser.see("#line", "live");
    browser.see("#headline", "All well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_with_the_token_and_out_again() {
    let Some(mut browser) = Browser::start() else { return };
    let (_place, _source, daemon) = locked().await;
    let origin = daemon.origin();
    assert_eq!(browser.open_as(&format!("{origin}/"), json!({})), 401);
    browser.see("label", "Token");
    browser.shot(&picture("sign-in"), false);
    browser.write("#token", "not the token");
    browser.press("Enter");
    browser.see("#why", "That is not the token.");
    browser.write("#token", TOKEN);
    browser.click("button", "Sign in");
    browser.see("#headline", "All well");
    assert_eq!(browser.evaluate("document.cookie"), "", "no script reads the session");
    browser.click("#sign-out button", "Sign out");
    browser.see("label", "Token");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_that_come_and_go_do_so_on_a_page_that_is_open() {
    let Some(mut browser) = Browser::start() else { return };
    let (place, source, broken) = (Place::new(), Faking::start().await, Faking::start().await);
    broken.say(403, json!({ "error": { "code": "Forbidden", "message": "the role is missing" } }));
    let (stays, leaves) = (source.tenant(&place, "stays", 1), broken.tenant(&place, "leaves", 2));
    place.configure(&[QUICK, &stays, &leaves, &place.file_sink("archive"), ADMIN]);
    let daemon = Daemon::start(&place);
    let origin = daemon.origin();
    browser.open(&format!("{origin}/"));
    browser.see("#headline", "leaves: the credential or a permission is refused");
    browser.see("#summary", "2 tenants, 1 sink");
    browser.see("#tenants .detail .trouble", "the role is missing");

    place.configure(&[QUICK, &stays, &place.file_sink("archive"), ADMIN]);
    daemon.signal("HUP");
    browser.miss("#tenants .name", "leaves");
    browser.see("#headline", "All well");
    browser.see("#summary", "1 tenant, 1 sink");
    assert_eq!(browser.texts("#tenants .name"), ["stays"]);

    // The same name, and a source that answers.
    let comes = source.tenant(&place, "leaves", 3);
    place.configure(&[QUICK, &stays, &comes, &place.file_sink("archive"), ADMIN]);
    daemon.signal("HUP");
    browser.see("#summary", "2 tenants, 1 sink");
    browser.see("#headline", "All well");
    assert_eq!(browser.texts("#tenants .name"), ["leaves", "stays"]);
    browser.assert_quiet(&origin);
}
