//! What fails stops nobody else: a tenant that is refused, dead or deaf, a sink that is gone.

use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::knobs::Knobs;
use xdrelay::sandbox::server::Sandbox;

use crate::harness::{Daemon, Place, QUICK, closed_port, live, lively, sandbox, small, wait_for};

/// Another tenant than the usual one.
async fn tenant(number: u32) -> Sandbox {
    let tenant_id = format!("5a11d0b0-7e57-4000-8000-{number:012}");
    sandbox(Knobs { tenant_id, ..small() }, live()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_fails_stops_no_other() {
    let place = Place::new();
    let (good, refused, dead, deaf) = (lively().await, tenant(1).await, tenant(2).await, tenant(3).await);
    dead.faults().often(Endpoint::List, 1.0, Fault::Status(500));
    deaf.faults().often(Endpoint::List, 1.0, Fault::Stall);
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
    assert_eq!(asked(&refused, Endpoint::List), 0, "nobody is asked without a token");
    assert_eq!(asked(&deaf, Endpoint::List), 1, "one call is waited for");
    place.write("refused.secret", &refused.secret());
    dead.faults().clear();
    wait_for("both to be read again", || {
        let arrivals = place.arrivals("file");
        ["refused", "dead"].iter().all(|name| arrivals.iter().any(|arrival| arrival.tenant == *name))
    });
    assert_eq!(daemon.stop("TERM"), 0, "a call that hangs does not keep it");
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
