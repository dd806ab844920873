//! The client of the API against the sandbox: each kind of answer and each fault, and what it must become.

#[path = "source/graph.rs"]
mod graph;
#[path = "source/sign_in.rs"]
mod sign_in;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use xdrelay::api;
use xdrelay::api::client::Client;
use xdrelay::core::cell::Cell;
use xdrelay::core::pass::{Pass, Step};
use xdrelay::identity::token::Tokens;
use xdrelay::identity::{self, Credential};
use xdrelay::model::dialect::Dialect;
use xdrelay::model::names::IncidentId;
use xdrelay::model::page::{Alerts, FetchError, Page, Query, Window};
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;
use xdrelay::sandbox::knobs::Knobs;
use xdrelay::sandbox::query::Taste;
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::{Coding, Limits, QuotaWords, Quotas, RetryAfter, Settings};
use xdrelay::sandbox::world::World;
use xdrelay::transport::http::{Options, client};
use xdrelay::transport::secret::SecretSource;

/// A sandbox with incidents, one a second up to a minute ago, and the client of the daemon.
struct Source {
    dialect: Dialect,
    sandbox: Sandbox,
    client: Client,
    _secret: tempfile::NamedTempFile,
}

/// Rows of a sandbox here, unless a test says otherwise.
const ROWS: u32 = 5;

impl Source {
    async fn new(dialect: Dialect, count: u32, settings: Settings) -> Self {
        Self::limited(dialect, count, settings, 64 << 20, Duration::from_secs(20)).await
    }

    async fn limited(dialect: Dialect, count: u32, settings: Settings, body_max: u64, timeout: Duration) -> Self {
        let audience = settings.audience_in(dialect).to_owned();
        Self::for_audience(audience, dialect, count, settings, (body_max, timeout)).await
    }

    async fn for_audience(
        audience: String,
        dialect: Dialect,
        count: u32,
        settings: Settings,
        (body_max, timeout): (u64, Duration),
    ) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sandbox = Sandbox::start(listen, World::new(Knobs::still(1)), settings).await.expect("a free port");
        let end = sandbox.now().earlier(Duration::from_secs(60));
        sandbox.world().create_many(count, 3_000, end.earlier(Duration::from_secs(count.into())), end);
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), sandbox.secret()).expect("written");
        let http = || client(&Options { timeout, loopback: true, ..Options::default() }).expect("a client");
        let identity = identity::Settings {
            tenant_id: sandbox.tenant_id().to_owned(),
            client_id: Some(sandbox.client_id()),
            login_url: sandbox.url().clone(),
            audience,
            credential: Credential::ClientSecret(SecretSource::file(secret.path())),
        };
        let settings = api::Settings {
            dialect,
            api_url: sandbox.url().clone(),
            max_body_size: body_max,
            max_incident_size: 16 << 20,
            request_timeout: timeout,
        };
        let client = Client::new(http(), Arc::new(Tokens::new(http(), identity)), settings);
        Self { dialect, sandbox, client, _secret: secret }
    }

    async fn list(&self) -> Result<Page, FetchError> {
        self.client.list(&self.everything()).await
    }

    fn everything(&self) -> Query {
        Query {
            window: Window { from: Timestamp::default(), to: None },
            created: None,
            skip: 0,
            top: self.dialect.page_size_max(),
            alerts: Alerts::Within,
        }
    }

    /// The answer to one list call that goes wrong; the next one goes well.
    async fn spoiled(&self, fault: Fault) -> Result<Page, FetchError> {
        let list = Endpoint::list(self.dialect);
        self.sandbox.faults().next(list, 1, fault);
        let before = self.sandbox.calls().arrived(list);
        let answer = self.list().await;
        assert_eq!(self.sandbox.calls().arrived(list), before + 1, "{fault:?}: one call, whatever comes");
        let next = self.list().await.unwrap_or_else(|error| panic!("after {fault:?}: {error}"));
        assert_eq!(next.rows.len(), ROWS as usize);
        answer
    }
}

fn taste(settings: &mut Settings, dialect: Dialect) -> &mut Taste {
    match dialect {
        Dialect::Defender => &mut settings.taste,
        Dialect::Graph => &mut settings.graph.taste,
    }
}

fn unlimited() -> Settings {
    Settings { quotas: Quotas::lifted(), ..Settings::default() }
}

/// The decision and the pause of an answer.
fn decision(answer: &Result<Page, FetchError>) -> (&'static str, Option<u64>) {
    let seconds = |after: &Option<Duration>| after.map(|after| after.as_secs());
    match answer {
        Ok(_) => ("page", None),
        Err(FetchError::Throttled { after, .. }) => ("throttled", seconds(after)),
        Err(FetchError::Unavailable { after, .. }) => ("unavailable", seconds(after)),
        Err(FetchError::Unauthorized { .. }) => ("unauthorized", None),
        Err(FetchError::Refused { .. }) => ("refused", None),
        Err(FetchError::Rejected { .. }) => ("rejected", None),
        Err(FetchError::Garbled { .. }) => ("garbled", None),
        Err(FetchError::TooLarge { .. }) => ("too large", None),
        Err(FetchError::NotFound) => ("not found", None),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_becomes_the_decision_that_it_asks_for() {
    for dialect in Dialect::ALL {
        let source = Source::limited(dialect, ROWS, unlimited(), 64 << 20, Duration::from_secs(2)).await;
        let wait = Duration::from_secs(17);
        let pause = Duration::from_millis(20);
        let cases = [
            (Fault::Status(400), ("rejected", None)),
            (Fault::Status(403), ("refused", None)),
            (Fault::Status(404), ("unavailable", None)),
            (Fault::Status(500), ("unavailable", None)),
            (Fault::Status(502), ("unavailable", None)),
            (Fault::Status(503), ("unavailable", None)),
            (Fault::Status(504), ("unavailable", None)),
            (Fault::Status(302), ("unavailable", None)),
            (Fault::Status(204), ("garbled", None)),
            (Fault::Throttled { retry_after: RetryAfter::Missing, wait }, ("throttled", Some(17))),
            (Fault::Throttled { retry_after: RetryAfter::Seconds, wait }, ("throttled", Some(17))),
            (Fault::Reset, ("unavailable", None)),
            (Fault::Stall, ("unavailable", None)),
            (Fault::CutBody, ("unavailable", None)),
            (Fault::Html, ("garbled", None)),
            (Fault::ErrorObject, ("garbled", None)),
            (Fault::Empty, ("garbled", None)),
            (Fault::CutJson, ("garbled", None)),
            (Fault::Unauthorized, ("unauthorized", None)),
            (Fault::WrongDate(-90_000), ("page", None)),
            (Fault::GarbledDate, ("page", None)),
            (Fault::Slow { pieces: 4, pause }, ("page", None)),
            (Fault::Stale(Duration::from_secs(3_600)), ("page", None)),
        ];
        for (fault, expected) in cases {
            let answer = source.spoiled(fault).await;
            assert_eq!(decision(&answer), expected, "{fault:?}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_until_a_date_is_reckoned_on_the_servers_clock() {
    for dialect in Dialect::ALL {
        let source = Source::new(dialect, ROWS, Settings { clock_offset_ms: -7_200_000, ..unlimited() }).await;
        let wait = Duration::from_secs(40);
        let answer = source.spoiled(Fault::Throttled { retry_after: RetryAfter::HttpDate, wait }).await;
        let Err(FetchError::Throttled { after: Some(after), .. }) = answer else { panic!("{answer:?}") };
        assert!((35..=45).contains(&after.as_secs()), "{after:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_date_of_an_answer_is_the_servers_or_none() {
    for dialect in Dialect::ALL {
        let source = Source::new(dialect, ROWS, unlimited()).await;
        let date = async |fault| source.spoiled(fault).await.expect("a page").date;
        assert_eq!(date(Fault::GarbledDate).await, None);
        let (honest, off) = (source.list().await.expect("a page").date, date(Fault::WrongDate(-90_000)).await);
        let between = honest.expect("a date").since(off.expect("a date")).as_secs();
        assert!((89_990..=90_010).contains(&between), "{between}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_the_same_however_it_is_packed() {
    for dialect in Dialect::ALL {
        let source = Source::new(dialect, ROWS, unlimited()).await;
        let truth: BTreeSet<String> = source
            .sandbox
            .world()
            .truth()
            .iter()
            .map(|truth| truth.revision.told(dialect, source.sandbox.tenant_id()).to_owned())
            .collect();
        for coding in [Coding::AsOffered, Coding::Identity, Coding::Gzip, Coding::Zlib, Coding::RawDeflate] {
            source.sandbox.settings().coding = coding;
            let page = source.list().await.unwrap_or_else(|error| panic!("{coding:?}: {error}"));
            let rows: BTreeSet<String> = page.rows.iter().map(|row| row.raw.get().to_owned()).collect();
            assert_eq!(rows, truth, "{coding:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_too_large_packed_or_not() {
    // Graph's words for the same are longer.
    for (dialect, limit) in [(Dialect::Defender, 8_000), (Dialect::Graph, 14_000)] {
        let source = Source::limited(dialect, ROWS, unlimited(), limit, Duration::from_secs(20)).await;
        for coding in [Coding::Identity, Coding::Gzip, Coding::Zlib, Coding::RawDeflate] {
            source.sandbox.settings().coding = coding;
            assert_eq!(decision(&source.list().await), ("too large", None), "{coding:?}");
            let two = Query { top: 2, ..source.everything() };
            assert_eq!(source.client.list(&two).await.expect("a small page").rows.len(), 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_read_whole_page_by_page() {
    // Graph skips no more than five hundred.
    for (dialect, rows) in [(Dialect::Defender, 730), (Dialect::Graph, 480)] {
        let source = Source::new(dialect, rows, unlimited()).await;
        let mut pass =
            Pass::new(Cell::of(Window { from: Timestamp::default(), to: None }), dialect.page_size_max(), None, true);
        let (mut taken, mut pages) = (BTreeSet::new(), 0);
        let mut touched = None;
        loop {
            let query = match pass.step() {
                Step::Read(query) => query,
                Step::Complete => break,
                Step::Broken => panic!("the pages do not join"),
            };
            let page = source.client.list(&query).await.expect("a page");
            taken.extend(page.rows.iter().map(|row| row.raw.get().to_owned()));
            pass.read(&page.rows);
            pages += 1;
            if pages == 3 {
                // One that was read already moves to the other end: the rows behind it shift.
                let now = source.sandbox.now();
                let mut world = source.sandbox.world();
                let number = world.rows().by_number().next().expect("one").number;
                world.update(number, now).expect("it is there");
                touched = Some(number);
            }
        }
        assert!((8..=12).contains(&pages), "{pages} pages");
        let world = source.sandbox.world();
        let missing = world.rows().by_number().filter(|row| {
            Some(row.number) != touched && !taken.contains(row.told(dialect, source.sandbox.tenant_id()))
        });
        assert_eq!(missing.count(), 0, "every row that stayed was read");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_lt_refuses_windows_and_takes_the_rest() {
    for dialect in Dialect::ALL {
        let source = Source::new(dialect, ROWS, unlimited()).await;
        let refuses_lt = |refuses| taste(&mut source.sandbox.settings(), dialect).refuses_lt = refuses;
        refuses_lt(true);
        let to = Some(source.sandbox.now());
        let bounded = Query { window: Window { to, ..source.everything().window }, ..source.everything() };
        assert_eq!(decision(&source.client.list(&bounded).await), ("rejected", None));
        assert_eq!(source.list().await.expect("a page").rows.len(), ROWS as usize);
        refuses_lt(false);
        assert_eq!(source.client.list(&bounded).await.expect("a page").rows.len(), ROWS as usize);
        let many = Query { top: dialect.page_size_max() + 1, ..source.everything() };
        assert_eq!(decision(&source.client.list(&many).await), ("rejected", None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_plus_as_it_is_understands_us_too() {
    for dialect in Dialect::ALL {
        let source = Source::new(dialect, ROWS, unlimited()).await;
        taste(&mut source.sandbox.settings(), dialect).plus_is_space = false;
        assert_eq!(source.list().await.expect("a page").rows.len(), ROWS as usize);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_says_when_to_come_back_in_all_its_words() {
    for dialect in Dialect::ALL {
        for words in [QuotaWords::Newer, QuotaWords::Older, QuotaWords::Documented] {
            let list = Some(Limits { per_minute: 2, per_hour: 100 });
            let quotas = Quotas { list, words, ..Quotas::default() };
            let source = Source::new(dialect, ROWS, Settings { quotas, ..Settings::default() }).await;
            source.list().await.expect("the first");
            source.list().await.expect("the second");
            let Err(FetchError::Throttled { after, .. }) = source.list().await else { panic!("{words:?}") };
            match words {
                QuotaWords::Older => assert_eq!(after, None),
                QuotaWords::Newer | QuotaWords::Documented => {
                    assert!(after.is_some_and(|after| (1..=60).contains(&after.as_secs())), "{words:?}: {after:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_incident_is_found_by_its_id_or_not() {
    for dialect in Dialect::ALL {
        let source = Source::new(dialect, ROWS, unlimited()).await;
        let row = source.sandbox.world().rows().by_number().next().expect("one").clone();
        let found = source.client.get(&row.number.id()).await.expect("an incident");
        let header = found.head.usual().expect("a header").clone();
        assert_eq!((header.id, header.last_update), (row.number.id(), row.last_update));
        for id in ["1", "..", "a/b", "", "%"] {
            let missing = source.client.get(&IncidentId::new(id)).await.expect_err("no such incident");
            assert_eq!(missing, FetchError::NotFound, "{id}");
        }
        let now = source.sandbox.now();
        source.sandbox.world().vanish(row.number, now);
        assert_eq!(source.client.get(&row.number.id()).await.expect_err("it is gone"), FetchError::NotFound);
    }
}
