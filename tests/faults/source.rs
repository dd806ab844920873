//! What the source answers: every kind of failure at once, answers that break off, lie about the page, or hold rows that nobody
//! expects. Nothing of it loses an incident, repeats one, or spends calls without end.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::SliceRandom;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::{Fault, Missing};
use xdrelay::sandbox::knobs::{Knobs, Pace};
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::{RetryAfter, Settings};

use crate::IMPATIENT;
use crate::gate::{Act, Gate, first, page};
use crate::harness::{
    BOUND, Daemon, Place, QUICK, another, duration, in_both_dialects, lively, sandbox, small, unlimited, wait_for,
};
use crate::truth::{assert_honest, assert_once, missing_in};

/// How long everything fails: `STORM_FOR=5m` for the long run.
const STORM_FOR: Duration = Duration::from_secs(12);
/// How late a change becomes visible at most; well within the overlap.
const LATE_MAX: Duration = Duration::from_secs(5);
/// How often arrivals are looked at to spoil the next ones.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Every kind that passes by itself. A 400 and a 403 wait for somebody to do something; they have tests of their own.
fn kinds(endpoint: Endpoint) -> Vec<Fault> {
    let (day, pause) = (86_400, Duration::from_millis(100));
    let mut kinds = vec![
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(503),
        Fault::Status(504),
        Fault::Throttled { retry_after: RetryAfter::Seconds, wait: Duration::from_secs(1) },
        Fault::Reset,
        Fault::CutBody,
        Fault::Html,
        Fault::Empty,
        Fault::CutJson,
        Fault::Slow { pieces: 4, pause },
        Fault::WrongDate(day),
        Fault::WrongDate(-day),
        Fault::GarbledDate,
    ];
    if endpoint == Endpoint::GraphList {
        kinds.extend([Fault::Partial(Missing::Rows), Fault::Partial(Missing::Alerts)]);
    }
    if endpoint != Endpoint::Token {
        kinds.extend([
            Fault::Throttled { retry_after: RetryAfter::HttpDate, wait: Duration::from_secs(2) },
            Fault::Throttled { retry_after: RetryAfter::Missing, wait: Duration::from_secs(1) },
            Fault::ErrorObject,
            Fault::Unauthorized,
            Fault::Stall,
            Fault::Stale(Duration::from_secs(3)),
        ]);
    }
    kinds
}

/// Spoils every third call of an endpoint by chance, kind after kind, whichever tenant it is of.
struct Storm<'a> {
    sandboxes: &'a [Sandbox],
    endpoint: Endpoint,
    kinds: Vec<Fault>,
    /// Calls of each tenant that were looked at.
    seen: Vec<u64>,
    struck: usize,
}

impl<'a> Storm<'a> {
    fn new(sandboxes: &'a [Sandbox], endpoint: Endpoint) -> Self {
        let mut kinds = kinds(endpoint);
        kinds.shuffle(&mut rand::rng());
        Self { sandboxes, endpoint, kinds, seen: vec![0; sandboxes.len()], struck: 0 }
    }

    fn blow(&mut self) {
        for (sandbox, seen) in self.sandboxes.iter().zip(&mut self.seen) {
            let arrived = sandbox.calls().arrived(self.endpoint);
            for _ in *seen..arrived {
                if rand::rng().random_ratio(1, 3) {
                    sandbox.faults().next(self.endpoint, 1, self.kinds[self.struck % self.kinds.len()]);
                    self.struck += 1;
                }
            }
            *seen = arrived;
        }
    }

    fn has_struck_in_every_kind(&self) -> bool {
        self.kinds.len() <= self.struck
    }
}

/// A tenant in which something happens every tenth of a second while somebody advances it, some of it seen late, and whose
/// tokens do not live long.
async fn busy(number: u32) -> Sandbox {
    let every = Duration::from_millis;
    let knobs = Knobs {
        tenant_id: format!("5a11d0b0-7e57-4000-8000-{number:012}"),
        pace: Pace { create: every(200), update: every(250), resolve: every(1_500), ..Pace::default() },
        late_rate: 0.1,
        late_max: LATE_MAX,
        tie_rate: 0.1,
        incidents_max: 1_000_000,
        history_max: 1_000_000,
        ..small()
    };
    sandbox(knobs, Settings { token_lifetime: Duration::from_secs(2), ..unlimited() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_of_all_calls_fails_in_every_kind_and_nothing_is_lost() {
    in_both_dialects(|dialect| async move {
        let place = Place::speaking(dialect);
        let sandboxes = [busy(1).await, busy(2).await, busy(3).await];
        let names = ["one", "two", "three"];
        let tenants: Vec<_> = names.iter().zip(&sandboxes).map(|(name, sandbox)| place.tenant(name, sandbox)).collect();
        let poll = IMPATIENT.replace("[poll]\n", "[poll]\npage_size = 20\n");
        place.configure(&[&poll, &tenants.concat(), &place.file_sink("file")]);
        let daemon = Daemon::start(&place);
        let mut storms = [Endpoint::list(dialect), Endpoint::Token].map(|endpoint| Storm::new(&sandboxes, endpoint));
        let (start, span) = (Instant::now(), duration("STORM_FOR", STORM_FOR));
        while start.elapsed() < span || !storms.iter().all(Storm::has_struck_in_every_kind) {
            assert!(start.elapsed() < span + BOUND * 3, "the daemon hardly asks any more: {}", daemon.log());
            storms.iter_mut().for_each(Storm::blow);
            for sandbox in &sandboxes {
                let now = sandbox.now();
                sandbox.world().advance(now);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let calls: u64 = storms.iter().flat_map(|storm| &storm.seen).sum();
        let [lists, tokens] = storms.map(|storm| storm.struck);
        for sandbox in &sandboxes {
            sandbox.faults().clear();
        }
        // The world stands still now. What is current counts; what was superseded while nobody could be reached does not.
        let (calm, settled) = (Instant::now(), sandboxes[0].now().later(LATE_MAX));
        for (name, sandbox) in names.iter().zip(&sandboxes) {
            let lost = || missing_in(dialect, sandbox, name, &place.arrivals("file"));
            while sandbox.now() < settled || !lost().is_empty() {
                assert!(calm.elapsed() < BOUND * 3, "lost of {name}: {:#?}\n{}", lost(), daemon.log());
                std::thread::sleep(LOOK_EVERY * 20);
            }
        }
        let healed = calm.elapsed();
        assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
        let arrivals = place.arrivals("file");
        assert_once(&arrivals);
        for (name, sandbox) in names.iter().zip(&sandboxes) {
            assert_honest(sandbox, name, &arrivals);
        }
        let total: usize = sandboxes.iter().map(|sandbox| sandbox.world().rows().len()).sum();
        println!(
            "{}: {calls} calls, {lists} list and {tokens} token calls failed: {total} incidents, {} events, lost 0, \
         complete {} s after the last failure",
            dialect.as_str(),
            arrivals.len(),
            healed.as_secs()
        );
        assert!(100 < total, "too little happened to prove anything");
    });
}

/// A tenant's name, how its first three list calls fare, and what the log says of it.
type Broken = (&'static str, fn() -> Act, &'static str);

/// Half a page.
fn half() -> Vec<u8> {
    let whole = page(format!(r#"{{"value":[{{"incidentId":1,"x":"{}"}}]}}"#, "x".repeat(5_000)).as_bytes(), "");
    whole[..whole.len() / 2].to_vec()
}

fn chunked(rest: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{rest}")
        .into_bytes()
}

const BROKEN: [Broken; 17] = [
    ("reset", || Act::Cut(half()), "the answer broke off"),
    ("cut", || Act::Send(half()), "the answer broke off"),
    ("silent", || Act::Hold, "timed out"),
    ("slow_head", || Act::Drip(half(), Duration::from_millis(300)), "timed out"),
    ("slow_body", || Act::Drip(page(&[b' '; 1000], ""), Duration::from_millis(20)), "timed out"),
    ("closed", || Act::Send(Vec::new()), "cannot be reached"),
    ("no_http", || Act::Send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()), "cannot be reached"),
    ("short_length", || Act::Send(page(b"{\"value\":[]}", "").split_last().expect("bytes").1.to_vec()), "broke off"),
    ("bad_chunk", || Act::Send(chunked("zz\r\n{\"value\":[]}\r\n0\r\n\r\n")), "the answer broke off"),
    ("no_last_chunk", || Act::Send(chunked("c\r\n{\"value\":[]}\r\n")), "the answer broke off"),
    ("two_documents", || Act::Send(page(b"{\"value\":[]}{\"value\":[]}", "")), "trailing characters"),
    ("no_body", || Act::Send(page(b"", "")), "cannot be understood"),
    ("brotli", || Act::Send(page(b"\x0b\x02\x80{}\x03", "content-encoding: br\r\n")), "encoded as br"),
    ("zstd", || Act::Send(page(b"\x28\xb5\x2f\xfd", "content-encoding: zstd\r\n")), "encoded as zstd"),
    ("no_gzip", || Act::Send(page(b"{\"value\":[]}", "content-encoding: gzip\r\n")), "cannot be decompressed"),
    (
        "utf_16",
        || Act::Send(page(&"{\"value\":[]}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), "")),
        "cannot be understood",
    ),
    ("no_page", || Act::Send(page(b"[]", "")), "no JSON object"),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_or_makes_no_sense_costs_time_and_nothing_else() {
    in_both_dialects(|dialect| async move {
        let place = Place::speaking(dialect);
        let mut tables = vec![IMPATIENT.to_owned(), place.file_sink("file")];
        let mut fronts = Vec::new();
        for (number, (name, act, _)) in (1..).zip(BROKEN) {
            let sandbox = another(number, 12).await;
            let gate = Gate::start(&sandbox, first(3, act)).await;
            tables.push(place.tenant_behind(name, &sandbox, &gate.url, &gate.url));
            fronts.push((name, sandbox, gate));
        }
        place.configure(&tables.iter().map(String::as_str).collect::<Vec<_>>());
        let daemon = Daemon::start(&place);
        for (name, sandbox, _) in &fronts {
            wait_for(&format!("everything of {name}"), || {
                missing_in(dialect, sandbox, name, &place.arrivals("file")).is_empty()
            });
        }
        assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
        let arrivals = place.arrivals("file");
        assert_once(&arrivals);
        assert_eq!(arrivals.len(), 12 * BROKEN.len());
        let log = place.text("daemon.log");
        for (name, _, words) in BROKEN {
            let warnings: Vec<_> = log.lines().filter(|line| line.contains(&format!("tenant={name} "))).collect();
            assert!(warnings.iter().any(|line| line.contains(words)), "{words:?} is not said of {name}: {warnings:#?}");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_how_far_to_skip_is_not_asked_without_end() {
    in_both_dialects(|dialect| async move {
        let (place, same, good) = (Place::speaking(dialect), another(1, 250).await, another(2, 250).await);
        let gate = Gate::start(&same, |asked| match asked.number("$skip") {
            Some(_) => Act::Ask(asked.without("$skip")),
            None => Act::Pass,
        })
        .await;
        let tenants = [place.tenant_behind("same", &same, &gate.url, &gate.url), place.tenant("good", &good)];
        place.configure(&[QUICK, &tenants.concat(), &place.file_sink("file")]);
        let daemon = Daemon::start(&place);
        wait_for("calls of both", || 20 <= good.calls().arrived(Endpoint::list(dialect)) && 60 <= gate.lists());
        // Each page of a reading skips further; one that does not notice goes on and on.
        let furthest = gate.asked().iter().filter_map(|asked| asked.number("$skip")).max().unwrap_or_default();
        assert!(furthest <= 2_500, "it skipped {furthest} rows of 250");
        let arrivals = place.arrivals("file");
        assert_once(&arrivals);
        let there = arrivals.iter().filter(|arrival| arrival.tenant == "same").count();
        assert!(dialect.page_size_max() as usize <= there, "{there} events: what it does show is delivered");
        assert_eq!(daemon.stop("TERM"), 0);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_more_rows_than_were_asked_for_is_taken_as_it_is() {
    in_both_dialects(|dialect| async move {
        let (place, sandbox) = (Place::speaking(dialect), another(1, 90).await);
        let gate = Gate::start(&sandbox, move |asked| match asked.number("$top") {
            Some(20) => Act::Ask(asked.target.replace("$top=20", &format!("$top={}", dialect.page_size_max()))),
            Some(_) | None => Act::Pass,
        })
        .await;
        let poll = QUICK.replace("[poll]\n", "[poll]\npage_size = 20\n");
        place.configure(&[
            &poll,
            &place.tenant_behind("contoso", &sandbox, &gate.url, &gate.url),
            &place.file_sink("file"),
        ]);
        let daemon = Daemon::start(&place);
        wait_for("everything", || missing_in(dialect, &sandbox, "contoso", &place.arrivals("file")).is_empty());
        wait_for("a sweep", || place.command(&["status"]).out.contains("last complete sweep"));
        assert_eq!(daemon.stop("TERM"), 0);
        assert_eq!(place.arrivals("file").len(), 90);
        assert_once(&place.arrivals("file"));
        assert!(gate.asked().iter().any(|asked| asked.number("$top") == Some(20)), "the gate had something to do");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_answers_for_less_than_the_overlap_hide_nothing_in_the_end() {
    in_both_dialects(|dialect| async move {
        let (place, sandbox) = (Place::speaking(dialect), another(1, 30).await);
        let gate = Gate::start(&sandbox, |_| Act::Pass).await;
        place.configure(&[
            QUICK,
            &place.tenant_behind("contoso", &sandbox, &gate.url, &gate.url),
            &place.file_sink("file"),
        ]);
        let daemon = Daemon::start(&place);
        let complete = || missing_in(dialect, &sandbox, "contoso", &place.arrivals("file")).is_empty();
        wait_for("what is there", complete);
        // The neighbour of a good answer: a whole page, well formed, with nothing in it.
        gate.decide(|asked| match asked.is_list() {
            true => Act::Edit(Box::new(|_| r#"{"value":[]}"#.to_owned())),
            false => Act::Pass,
        });
        let now = sandbox.now();
        sandbox.world().create_many(20, 2_000, now, now);
        let before = gate.lists();
        wait_for("two sweeps and more of nothing", || before + 16 <= gate.lists());
        assert_eq!(place.arrivals("file").len(), 30, "nothing could be seen");
        gate.decide(|_| Act::Pass);
        wait_for("what was hidden", complete);
        assert_eq!(daemon.stop("TERM"), 0);
        assert_once(&place.arrivals("file"));
        assert_eq!(place.arrivals("file").len(), 50);
    });
}

/// Rows that nobody expects, each to be delivered once and as it is.
const ODD: [&str; 14] = [
    r#"{"incidentId":90000001,"lastUpdateTime":"9999-12-31T23:59:59.9999999Z","incidentName":"the end"}"#,
    r#"{"incidentId":90000002,"lastUpdateTime":"0001-01-01T00:00:00Z","incidentName":"the default of .NET"}"#,
    r#"{"incidentId":90000003,"incidentName":"no time"}"#,
    r#"{"incidentId":90000004,"lastUpdateTime":null}"#,
    r#"{"incidentId":90000005,"lastUpdateTime":1795255200}"#,
    r#"{"incidentId":90000006,"lastUpdateTime":"yesterday"}"#,
    r#"{"lastUpdateTime":"2026-11-21T09:30:00Z","incidentName":"no id"}"#,
    r#"{"incidentId":null,"incidentName":"null"}"#,
    r#"{"incidentId":12345678901234567890,"lastUpdateTime":"soon","incidentName":"twenty digits"}"#,
    r#"{"incidentId":"90000007","lastUpdateTime":"2262-04-11T23:47:16.854775807Z","incidentName":"a text for an id"}"#,
    r#"{"incidentId":90000008,"incidentId":90000009,"lastUpdateTime":"x"}"#,
    r#"{"incidentId":90000010,"n":1e400,"m":-0.0,"lastUpdateTime":"never"}"#,
    r#"{"incidentId":90000011,"incidentName":"\ud83d alone","severity":{"new":"shape"},"status":7,"lastUpdateTime":""}"#,
    r#""no incident at all""#,
];

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_impossible_times_and_shapes_come_once_and_move_nothing() {
    in_both_dialects(|dialect| async move {
        let (place, sandbox) = (Place::speaking(dialect), lively().await);
        let gate = Gate::start(&sandbox, |asked| match asked.is_list() {
            false => Act::Pass,
            true => Act::Edit(Box::new(|body| {
                let Some((rows, _)) = body.rsplit_once("]}") else { return body };
                let comma = if rows.ends_with('[') { "" } else { "," };
                format!("{rows}{comma}{}]}}", ODD.join(","))
            })),
        })
        .await;
        place.configure(&[
            QUICK,
            &place.tenant_behind("contoso", &sandbox, &gate.url, &gate.url),
            &place.file_sink("file"),
        ]);
        let daemon = Daemon::start(&place);
        let odd = || {
            let arrivals = place.arrivals("file");
            ODD.iter().filter(|odd| arrivals.iter().any(|arrival| arrival.incident.get() == **odd)).count()
        };
        wait_for("every odd row", || odd() == ODD.len());
        let before = place.arrivals("file").len();
        wait_for("the others to go on", || before + 50 <= place.arrivals("file").len());
        wait_for("a sweep", || place.command(&["status"]).out.contains("last complete sweep"));
        let status = place.command(&["status", "--json"]).expect(0, &[]).json();
        let cursor = status["tenants"]["contoso"]["cursor"].as_str().expect("a cursor").parse().expect("a time");
        assert!(cursor <= sandbox.now(), "the cursor went to {cursor:?}");
        assert!(sandbox.now().earlier(Duration::from_secs(3_600)) <= cursor, "the cursor went to {cursor:?}");
        assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
        let arrivals = place.arrivals("file");
        assert_once(&arrivals);
        for odd in ODD {
            let times = arrivals.iter().filter(|arrival| arrival.incident.get() == odd).count();
            assert_eq!(times, 1, "{odd}");
        }
    });
}
