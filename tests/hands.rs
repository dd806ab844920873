//! How many pages are in memory at once, counted where somebody has them in hand: against a sandbox with large incidents.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use xdrelay::api;
use xdrelay::api::client::Client;
use xdrelay::identity::token::Tokens;
use xdrelay::identity::{self, Credential};
use xdrelay::model::dialect::Dialect;
use xdrelay::model::page::{Alerts, Query, Window};
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::knobs::Knobs;
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::{Coding, Quotas, Settings};
use xdrelay::sandbox::world::World;
use xdrelay::transport::hands::{self, Hands, LARGE_PLACES, Load, SMALL_PLACES};
use xdrelay::transport::http::{Options, client};
use xdrelay::transport::secret::SecretSource;

/// How long anything may take that should happen.
const BOUND: Duration = Duration::from_secs(180);

/// A sandbox, and somebody who asks it.
struct Source {
    sandbox: Sandbox,
    client: Client,
    _secret: tempfile::NamedTempFile,
}

impl Source {
    /// With a page of so many bytes, and this long for one call.
    async fn new(coding: Coding, page_bytes: usize, patience: Duration) -> Self {
        const ROWS: u32 = 50;
        let settings = Settings { coding, quotas: Quotas::lifted(), ..Settings::default() };
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sandbox = Sandbox::start(loopback, World::new(Knobs::still(1)), settings).await.expect("a free port");
        let end = sandbox.now().earlier(Duration::from_secs(60));
        sandbox.world().create_many(ROWS, page_bytes / ROWS as usize, end.earlier(Duration::from_secs(60)), end);
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), sandbox.secret()).expect("written");
        let http = || client(&Options { timeout: patience, loopback: true, ..Options::default() }).expect("a client");
        let identity = identity::Settings {
            tenant_id: sandbox.tenant_id().to_owned(),
            client_id: Some(sandbox.client_id()),
            login_url: sandbox.url().clone(),
            audience: "https://api.security.microsoft.com".into(),
            credential: Credential::ClientSecret(SecretSource::file(secret.path())),
        };
        let settings = api::Settings {
            dialect: Dialect::Defender,
            api_url: sandbox.url().clone(),
            max_body_size: 64 << 20,
            max_incident_size: 16 << 20,
            request_timeout: patience,
        };
        let client = Client::new(http(), Arc::new(Tokens::new(http(), identity)), settings);
        Self { sandbox, client, _secret: secret }
    }
}

fn everything() -> Query {
    let window = Window { from: Timestamp::default(), to: None };
    Query { window, created: None, skip: 0, top: 100, alerts: Alerts::Within }
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < BOUND, "waited {BOUND:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Pages that somebody has in hand now, and the most that there were.
#[derive(Default)]
struct Count {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Readers who all have one page in hand, each until `is_over`. Their loads.
fn readers(
    count: usize,
    hands: &Arc<Hands>,
    source: &Source,
    counted: &Arc<Count>,
    is_over: impl Fn(&Count) -> bool + Clone + Send + Sync + 'static,
) -> (Vec<Arc<Load>>, JoinSet<bool>) {
    let loads: Vec<_> = (0..count).map(|_| hands.load()).collect();
    let mut tasks = JoinSet::new();
    for load in &loads {
        let (client, counted, is_over, load) = (source.client.clone(), counted.clone(), is_over.clone(), load.clone());
        let this = load.clone();
        tasks.spawn(hands::carrying(load, async move {
            let page = client.list(&everything()).await.expect("a page, however long it waited");
            let now = counted.now.fetch_add(1, Ordering::SeqCst) + 1;
            counted.most.fetch_max(now, Ordering::SeqCst);
            until("the others", || is_over(&counted)).await;
            drop(page);
            counted.now.fetch_sub(1, Ordering::SeqCst);
            let was_large = this.is_large();
            hands::put_down();
            assert!(!this.is_large());
            was_large
        }));
    }
    (loads, tasks)
}

async fn check(coding: Coding, page_bytes: usize, readers_count: usize, places: usize, is_large: bool) {
    let source = Source::new(coding, page_bytes, Duration::from_secs(30)).await;
    let counted = Arc::new(Count::default());
    // Each is kept until as many are in hand as there are places: so many do flow, and if more did, they would be counted.
    let (_, mut tasks) = readers(readers_count, &Arc::default(), &source, &counted, move |count| {
        places <= count.most.load(Ordering::SeqCst)
    });
    while let Some(was_large) = tasks.join_next().await {
        assert_eq!(was_large.expect("no panic"), is_large, "{coding:?}, {page_bytes} bytes");
    }
    assert_eq!(counted.most.load(Ordering::SeqCst), places, "{coding:?}, {page_bytes} bytes");
    let calls = source.sandbox.calls().arrived(Endpoint::List);
    assert_eq!(calls, readers_count as u64, "a page that waits is not asked for again");
    source.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_large_pages_are_in_memory_than_there_are_places() {
    for coding in [Coding::Identity, Coding::Gzip, Coding::Zlib, Coding::RawDeflate] {
        check(coding, 1_300_000, 2 * LARGE_PLACES + 2, LARGE_PLACES, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_small_pages_are_in_memory_than_there_are_places() {
    for coding in [Coding::Identity, Coding::Gzip] {
        check(coding, 60_000, SMALL_PLACES + 5, SMALL_PLACES, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_a_place_is_not_the_servers() {
    let patience = Duration::from_secs(2);
    let source = Source::new(Coding::Identity, 1_300_000, patience).await;
    let (counted, begun) = (Arc::new(Count::default()), Instant::now());
    // Longer than a call may take; the time is what this is about.
    let (loads, mut tasks) =
        readers(LARGE_PLACES + 3, &Arc::default(), &source, &counted, move |_| patience * 3 / 2 < begun.elapsed());
    until("the others to wait", || 3 <= loads.iter().filter(|load| load.is_waiting()).count()).await;
    while let Some(was_large) = tasks.join_next().await {
        assert!(was_large.expect("none failed"));
    }
    assert_eq!(source.sandbox.calls().arrived(Endpoint::List), loads.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_given_up_gives_back_what_it_had_and_waited_for() {
    let source = Source::new(Coding::Identity, 1_300_000, Duration::from_secs(30)).await;
    let (hands, counted) = (Arc::new(Hands::default()), Arc::new(Count::default()));
    let (loads, mut tasks) = readers(LARGE_PLACES + 3, &hands, &source, &counted, |_| false);
    until("pages and waiting", || {
        let waiting = loads.iter().filter(|load| load.is_waiting()).count();
        counted.now.load(Ordering::SeqCst) == LARGE_PLACES && waiting == 3
    })
    .await;
    tasks.shutdown().await;
    assert!(loads.iter().all(|load| Arc::strong_count(load) == 1), "nobody has it any more");
    drop(loads);
    // As many as there are places go through, one after the other and together.
    let (_, mut tasks) = readers(2 * LARGE_PLACES, &hands, &source, &counted, |_| true);
    while let Some(was_large) = tasks.join_next().await {
        assert!(was_large.expect("no panic"));
    }
}
