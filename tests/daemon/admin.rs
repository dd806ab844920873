//! The admin endpoints and the control socket of a daemon that runs.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use xdrelay::admin::metrics::age;
use xdrelay::model::timestamp::Timestamp;

use crate::harness::{BOUND, Daemon, Place, QUICK, another, closed_port, lively, wait_for, web};

/// Of the names that dashboards rely on.
const METRICS: [&str; 14] = [
    "xdrelay_source_lag_seconds{tenant=\"contoso\"}",
    "xdrelay_freshness_seconds_bucket{",
    "xdrelay_delivery_seconds_bucket{",
    "xdrelay_events_total{tenant=\"contoso\",kind=\"created\"}",
    "xdrelay_delivered_total{sink=\"file\"}",
    "xdrelay_refused_total{sink=\"file\"} 0",
    "xdrelay_outbox_events{sink=\"file\"}",
    "xdrelay_outbox_oldest_seconds{sink=\"file\"}",
    "xdrelay_api_calls_total{tenant=\"contoso\",endpoint=\"list\",outcome=\"ok\"}",
    "xdrelay_quota_remaining{tenant=\"contoso\",endpoint=\"list\",window=\"hour\"}",
    "xdrelay_audit_missed_total{tenant=\"contoso\"} 0",
    "xdrelay_quarantined{tenant=\"contoso\"} 0",
    "xdrelay_clock_skew_seconds{tenant=\"contoso\"}",
    "xdrelay_token_expires_seconds{tenant=\"contoso\"}",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoints_tell_how_the_daemon_fares() {
    let (place, sandbox) = (Place::new(), lively().await);
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n\n";
    place.configure(&[QUICK, &place.tenant("contoso", &sandbox), &place.file_sink("file"), admin]);
    let daemon = Daemon::start(&place);
    let (origin, client) = (daemon.origin(), web());
    let ask = async |path: &str| {
        let answer = client.get(format!("{origin}{path}")).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    };
    assert_eq!(ask("/healthz").await.0, 200);
    let start = Instant::now();
    while ask("/readyz").await.0 != 200 || place.arrivals("file").is_empty() {
        assert!(start.elapsed() < BOUND, "it does not become ready: {}", daemon.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, ready) = ask("/readyz").await;
    assert!(ready.contains("\"ready\":true") && ready.contains("\"a_sink_delivers\":true"), "{ready}");
    wait_for("the delivery to be acknowledged", || !place.command(&["status"]).out.contains("file: delivering, 0"));
    wait_for("a sweep", || place.command(&["status"]).out.contains("last complete sweep"));
    let (status, metrics) = ask("/metrics").await;
    assert_eq!(status, 200);
    for name in METRICS {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));
    assert_eq!(ask("/incidents/40961").await.0, 404, "incidents are for the owner of the socket alone");
    let mode = |name: &str| std::fs::metadata(place.state().join(name)).expect("it is there").permissions().mode();
    assert_eq!(mode("control.sock") & 0o777, 0o600);
    assert_eq!(mode(".") & 0o777, 0o700);
    assert_eq!(daemon.stop("TERM"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_while_the_source_is_away_is_behind_since_the_last_sweep_or_since_the_start() {
    let (place, read, unread) = (Place::new(), another(1, 3).await, another(2, 3).await);
    let (sink, admin) = (place.file_sink("file"), "[admin]\nlisten = \"127.0.0.1:0\"\n\n");
    place.configure(&[QUICK, &place.tenant("contoso", &read), &sink, admin]);
    let daemon = Daemon::start(&place);
    wait_for("a sweep", || place.command(&["status"]).out.contains("last complete sweep"));
    assert_eq!(daemon.stop("TERM"), 0);
    let at_rest = place.command(&["status", "--json"]).expect(0, &[]).json();
    let swept = at_rest["tenants"][0]["last_complete_sweep"].as_str().expect("a time").to_owned();

    std::fs::remove_file(place.path("daemon.log")).expect("the next one has an address of its own");
    let away = format!("http://127.0.0.1:{}", closed_port());
    let behind = |name: &str, sandbox| place.tenant_behind(name, sandbox, &away, &away);
    place.configure(&[QUICK, &behind("contoso", &read), &behind("fabrikam", &unread), &sink, admin]);
    let daemon = Daemon::start(&place);
    let (origin, client) = (daemon.origin(), web());
    let lags = async || {
        let text = client.get(format!("{origin}/metrics")).send().await.expect("an answer").text().await;
        let text = text.expect("a text");
        ["contoso", "fabrikam"].map(|name| {
            let series = format!("xdrelay_source_lag_seconds{{tenant=\"{name}\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&series));
            value.unwrap_or_else(|| panic!("{series}is not in {text}")).parse::<f64>().expect("a number")
        })
    };
    wait_for("both to fail", || place.command(&["status"]).out.matches("failing").count() == 2);
    let status = place.command(&["status", "--json"]).expect(0, &[]).json();
    let [contoso, fabrikam] = ["contoso", "fabrikam"].map(|name| &status["tenants"][name]);
    assert_eq!(contoso["last_complete_sweep"], *swept, "it is that of the former process");
    assert!(fabrikam["last_complete_sweep"].is_null() && fabrikam["lag_seconds"].is_null(), "{fabrikam:#}");
    let first = lags().await;
    let of_swept: Timestamp = swept.parse().expect("a time");
    assert!(first[0] <= age(of_swept).as_secs_f64() && fabrikam["since_pass_seconds"].as_f64() < Some(first[1]));
    wait_for("time to pass", || {
        let status = place.command(&["status", "--json"]).expect(0, &[]).json();
        first[1] + 1.0 < status["tenants"]["fabrikam"]["since_pass_seconds"].as_f64().expect("a number")
    });
    let later = lags().await;
    assert!(first[0] < later[0] && first[1] + 1.0 < later[1], "it grows: {first:?}, {later:?}");
    assert_eq!(daemon.stop("TERM"), 0);
}
