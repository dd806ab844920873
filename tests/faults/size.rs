//! Answers that are too large, in whatever wrapping: memory stays bounded, and the rows come with fewer rows a page.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::gate::{Act, Gate, page};
use crate::harness::{Daemon, Place, QUICK, another, in_both_dialects, wait_for};
use crate::truth::{assert_once, missing, missing_in};

const MIB: usize = 1 << 20;
/// What a body holds that is far over the limit of 64 MiB.
const HUGE: usize = 300;
/// What the daemon may hold at most, whatever comes: docs/performance.md.
const MEMORY_MAX_MIB: u64 = 256;
/// Pages of more rows than this are huge.
const ROWS_THAT_FIT: u32 = 25;

/// 300 MiB that say so in front.
fn counted() -> Act {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", HUGE * MIB);
    Act::Flood(head.into_bytes(), vec![b' '; MIB], HUGE)
}

/// 300 MiB that do not.
fn chunked() -> Act {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunk = [format!("{MIB:x}\r\n").as_bytes(), &[b' '; MIB], b"\r\n"].concat();
    Act::Flood(head, chunk, HUGE)
}

/// 300 MiB in 300 KiB: RFC 1952 lets members follow each other, so one is packed and sent many times.
fn bomb(member: &[u8]) -> Act {
    Act::Send(page(&member.repeat(HUGE), "content-encoding: gzip\r\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_megabytes_are_an_error_within_bounded_memory_and_the_rows_come_after_all() {
    let (place, sandbox) = (Place::new(), another(1, 60).await);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let member = encoder.write_all(&vec![b' '; MIB]).and_then(|()| encoder.finish()).expect("a Vec takes every write");
    assert!(member.len() * 500 < MIB, "it is a bomb");
    let mut turn = 0;
    let gate = Gate::start(&sandbox, move |asked| {
        if asked.number("$top").is_none_or(|top| top <= ROWS_THAT_FIT) {
            return Act::Pass;
        }
        turn += 1;
        match turn % 3 {
            0 => counted(),
            1 => chunked(),
            _ => bomb(&member),
        }
    })
    .await;
    place.configure(&[
        QUICK,
        &place.tenant_behind("contoso", &sandbox, &gate.url, &gate.url),
        &place.file_sink("file"),
    ]);
    let daemon = Daemon::start(&place);
    wait_for("everything", || missing(&sandbox, "contoso", &place.arrivals("file")).is_empty());
    let huge = || gate.asked().iter().filter(|asked| asked.number("$top") > Some(ROWS_THAT_FIT)).count();
    wait_for("each kind of a huge answer", || 3 <= huge());
    assert!(daemon.log().contains("larger than max_body_size"), "{}", daemon.log());
    let peak = daemon.peak_memory();
    println!("{} answers of {HUGE} MiB: the daemon held {peak} MiB at most", huge());
    assert!(peak <= MEMORY_MAX_MIB, "{peak} MiB");
    assert_eq!(daemon.stop("TERM"), 0);
    assert_once(&place.arrivals("file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_does_not_fit_is_read_with_fewer_rows() {
    in_both_dialects(|dialect| async move {
        let (place, sandbox) = (Place::speaking(dialect), another(1, 0).await);
        let now = sandbox.now();
        sandbox.world().create_many(
            60,
            60_000,
            now.earlier(Duration::from_secs(200)),
            now.earlier(Duration::from_secs(10)),
        );
        let poll = QUICK.replace("[poll]\n", "[poll]\nmax_body_size = \"1 MiB\"\nmax_incident_size = \"1 MiB\"\n");
        // A page that is asked for in another way is no failure yet.
        let log = "[log]\nlevel = \"info,xdrelay::run=debug\"\n\n";
        place.configure(&[&poll, log, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
        let daemon = Daemon::start(&place);
        wait_for("everything", || missing_in(dialect, &sandbox, "contoso", &place.arrivals("file")).is_empty());
        assert!(daemon.log().contains("larger than max_body_size"), "{}", daemon.log());
        wait_for("a sweep", || place.command(&["status"]).out.contains("last complete sweep"));
        assert_eq!(daemon.stop("TERM"), 0);
        assert_once(&place.arrivals("file"));
        assert_eq!(place.arrivals("file").len(), 60);
    });
}
