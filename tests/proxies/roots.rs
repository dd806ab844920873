//! Whom the daemon trusts where nothing is configured: the system's authorities, or the built-in ones where it has none.

use crate::harness::{Daemon, Place, QUICK, another, wait_for};

const NOTHING: [(&str, &str); 2] =
    [("SSL_CERT_FILE", "/nonexistent/roots.pem"), ("SSL_CERT_DIR", "/nonexistent/roots")];
const BUILT_IN: &str = "trusting the built-in authorities";
const SYSTEM: &str = "trusting the authorities of this system";

#[tokio::test(flavor = "multi_thread")]
async fn which_authorities_are_trusted_is_said_once_for_all_tenants() {
    let (one, other) = (another(1, 1).await, another(2, 1).await);
    let check = |environment: &[(&str, &str)], said: &str, unsaid: &str| {
        let place = Place::new();
        place.configure(&[QUICK, &place.tenant("one", &one), &place.tenant("other", &other), &place.file_sink("file")]);
        let daemon = Daemon::launch_in(&place, environment);
        wait_for("both tenants", || place.arrivals("file").len() == 2);
        let log = daemon.log();
        assert_eq!((log.matches(said).count(), log.matches(unsaid).count()), (1, 0), "{log}");
        assert!(log.lines().any(|line| line.contains(said) && line.contains("INFO")), "{log}");
        assert_eq!(daemon.stop("TERM"), 0);
        log
    };
    let log = check(&NOTHING, BUILT_IN, SYSTEM);
    assert!(log.contains("/nonexistent/roots"), "{log}");
    let pki = Place::new();
    let own = crate::far_side::Authority::new(&pki.path(""), "of the system");
    let file = own.file.display().to_string();
    let log = check(&[("SSL_CERT_FILE", &file), NOTHING[1]], SYSTEM, BUILT_IN);
    assert!(log.contains("count=1"), "{log}");
}
