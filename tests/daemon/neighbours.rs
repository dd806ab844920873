//! What fails stops nobody else: a tenant that is refused, dead or deaf, a sink that is gone.

use std::time::Duration;

use serde_json::Value;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::knobs::Knobs;
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::{Coding, RetryAfter};

use crate::harness::{
    Daemon, Place, QUICK, another, closed_port, in_both_dialects, live, lively, sandbox, small, wait_for,
};

/// Another tenant than the usual one.
async fn tenant(number: u32) -> Sandbox {
    let tenant_id = format!("5a11d0b0-7e57-4000-8000-{number:012}");
    sandbox(Knobs { tenant_id, ..small() }, live()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_fails_stops_no_other() {
    in_both_dialects(|dialect| async move {
        let place = Place::speaking(dialect);
        let (good, refused, dead, deaf) = (lively().await, tenant(1).await, tenant(2).await, tenant(3).await);
        dead.faults().often(Endpoint::list(dialect), 1.0, Fault::Status(500));
        deaf.faults().often(Endpoint::list(dialect), 1.0, Fault::Stall);
        let tables = [
            QUICK,
            &place.tenant("good", &good),
            &place.tenant_with("refused", &refused, "not-the-secret"),
            &place.tenant("dead", &dead),
            &place.tenant("deaf", &deaf),
            &place.file_sink("file"),
        ];
        place.configure(&tables);
        let daemon = Daemon::start(&place);
        wait_for("events of the good one", || 40 <= place.arrivals("file").len());
        assert!(place.arrivals("file").iter().all(|arrival| arrival.tenant == "good"));
        wait_for("all to be seen", || {
            let status = place.command(&["status"]).out;
            status.contains("AADSTS7000215") && status.contains("status 500")
        });
        let asked = |sandbox: &Sandbox, endpoint| sandbox.calls().arrived(endpoint);
        assert!(asked(&refused, Endpoint::Token) <= 5, "a refusal is not asked again and again");
        assert_eq!(asked(&refused, Endpoint::list(dialect)), 0, "nobody is asked without a token");
        assert_eq!(asked(&deaf, Endpoint::list(dialect)), 1, "one call is waited for");
        place.write("refused.secret", &refused.secret());
        dead.faults().clear();
        wait_for("both to be read again", || {
            let arrivals = place.arrivals("file");
            ["refused", "dead"].iter().all(|name| arrivals.iter().any(|arrival| arrival.tenant == *name))
        });
        assert_eq!(daemon.stop("TERM"), 0, "a call that hangs does not keep it");
    });
}

/// A tenant whose one page is of megabytes and comes as slowly as it may.
async fn dripping(number: u32) -> Sandbox {
    let sandbox = another(number, 0).await;
    let now = sandbox.now();
    sandbox.world().create_many(
        40,
        60_000,
        now.earlier(Duration::from_secs(300)),
        now.earlier(Duration::from_secs(60)),
    );
    sandbox.settings().coding = Coding::Identity;
    sandbox.faults().often(Endpoint::List, 1.0, Fault::Slow { pieces: 60, pause: Duration::from_millis(800) });
    sandbox
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_tenants_share_is_kept_from_nobody_by_one() {
    let (place, good, throttled, rejected, mute) =
        (Place::new(), lively().await, another(1, 5).await, another(2, 5).await, another(3, 5).await);
    let wait = Duration::from_secs(3600);
    throttled.faults().often(Endpoint::List, 1.0, Fault::Throttled { retry_after: RetryAfter::Seconds, wait });
    rejected.faults().often(Endpoint::List, 1.0, Fault::Unauthorized);
    mute.faults().often(Endpoint::Token, 1.0, Fault::Stall);
    let dripping = [dripping(4).await, dripping(5).await, dripping(6).await, dripping(7).await];
    let mut tables = vec![QUICK.to_owned(), place.tenant("good", &good), place.file_sink("file")];
    for (name, sandbox) in [("throttled", &throttled), ("rejected", &rejected), ("mute", &mute)] {
        tables.push(place.tenant(name, sandbox));
    }
    for (number, sandbox) in dripping.iter().enumerate() {
        tables.push(place.tenant(&format!("dripping-{number}"), sandbox));
    }
    place.configure(&tables.iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = Daemon::start(&place);
    let status = || place.command(&["status", "--json"]).json();
    wait_for("all to be in trouble", || {
        let tenants = &status()["tenants"];
        let failing = ["throttled", "rejected"].iter().all(|name| tenants[name]["error"].is_string());
        failing && dripping.iter().all(|sandbox| 0 < sandbox.calls().arrived(Endpoint::List))
    });
    let before = place.arrivals("file").len();
    wait_for("events of the good one", || before + 30 <= place.arrivals("file").len());
    let tenants = &status()["tenants"];
    assert_eq!((&tenants["good"]["error"], &tenants["good"]["failures"]), (&Value::Null, &Value::from(0)));
    let calls = |sandbox: &Sandbox, endpoint| sandbox.calls().arrived(endpoint);
    assert_eq!(calls(&good, Endpoint::Token), 1, "nothing made it sign in again");
    assert!(calls(&throttled, Endpoint::List) <= 2, "an hour is an hour");
    assert!(calls(&rejected, Endpoint::Token) <= 4, "no storm");
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_gone_stops_no_other() {
    let (place, sandbox) = (Place::new(), lively().await);
    let siem = format!("[sinks.siem]\nkind = \"syslog\"\naddress = \"tcp://127.0.0.1:{}\"\n\n", closed_port());
    let hook = format!("[sinks.hook]\nkind = \"http\"\nurl = \"http://127.0.0.1:{}/\"\n\n", closed_port());
    let tenant = place.tenant("contoso", &sandbox);
    place.configure(&[QUICK, &tenant, &place.file_sink("file"), &siem, &hook]);
    let daemon = Daemon::start(&place);
    wait_for("events", || 40 <= place.arrivals("file").len());
    wait_for("the others to say why", || {
        let status = place.command(&["status"]).out;
        ["sink siem: retrying", "sink hook: retrying"].iter().all(|words| status.contains(words))
    });
    let before = place.arrivals("file").len();
    wait_for("more events", || before + 10 <= place.arrivals("file").len());
    assert_eq!(daemon.stop("TERM"), 0);
}
