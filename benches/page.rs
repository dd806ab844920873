//! How fast a page of a hundred large incidents is split into headers and raw bodies, and how fast it becomes rows. Measures
//! nothing but our own code: no network, no disk.

mod measured;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use divan::Bencher;
use divan::counter::BytesCount;
use measured::Figures;
use xdrelay::model::digest::Lists;
use xdrelay::model::incident::Row;
use xdrelay::model::page;
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::knobs::Knobs;
use xdrelay::sandbox::world::World;

const INCIDENTS: u32 = 100;
const INCIDENT_BYTES: usize = 50_000;
/// The best of so many runs counts: the others say how busy the machine was.
const RUNS: u32 = 60;
/// Megabytes per second.
const SPLIT_BAR: f64 = 400.0;

fn main() -> ExitCode {
    divan::main();
    let body = body();
    let mut figures = Figures::default();
    let split = best(&body, |body| page::split_with_heads(body).expect("a page").len());
    figures.at_least("a page of 5 MB into headers and raw bodies", split, SPLIT_BAR, "MB/s");
    figures.plain(
        "of that, the raw bodies alone",
        best(&body, |body| page::split(body).expect("a page").len()),
        "MB/s",
    );
    figures.plain("the same with content hashes, as it is taken in", best(&body, rows), "MB/s");
    figures.plain("its lists, which changes are told from", best(&body, lists), "MB/s");
    figures.exit_code()
}

#[divan::bench]
fn split_with_heads(bencher: Bencher<'_, '_>) {
    let body = body();
    let bencher = bencher.counter(BytesCount::of_str(&body));
    bencher.bench(|| page::split_with_heads(black_box(&body)).expect("a page").len());
}

#[divan::bench]
fn rows_with_hashes(bencher: Bencher<'_, '_>) {
    let body = body();
    bencher.counter(BytesCount::of_str(&body)).bench(|| rows(black_box(&body)));
}

fn rows(body: &str) -> usize {
    let raws = page::split(body).expect("a page");
    raws.into_iter().map(|raw| Row::new(raw.to_owned())).filter(|row| row.head.usual().is_some()).count()
}

fn lists(body: &str) -> usize {
    let raws = page::split(body).expect("a page");
    raws.into_iter().map(|raw| Lists::of(raw.get(), &[])).filter(|lists| !lists.alerts.is_empty()).count()
}

/// Megabytes per second, on the clock of the wall.
fn best(body: &str, run: impl Fn(&str) -> usize) -> f64 {
    let mut shortest = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        assert_eq!(black_box(run(black_box(body))), INCIDENTS as usize, "every incident is there");
        shortest = shortest.min(start.elapsed());
    }
    body.len() as f64 / 1e6 / shortest.as_secs_f64()
}

/// A page as the API writes it.
fn body() -> String {
    let mut world = World::new(Knobs::still(1));
    let start = Timestamp::from_seconds(1_790_000_000);
    let end = start.later(Duration::from_secs(3600));
    world.create_many(INCIDENTS, INCIDENT_BYTES, start, end);
    world.settle(end);
    let incidents: Vec<&str> = world.rows().by_number().map(|revision| &*revision.json).collect();
    let body = format!(
        r#"{{"@odata.context":"https://api.security.microsoft.com/api/$metadata#Incidents","value":[{}]}}"#,
        incidents.join(",")
    );
    assert!((4_000_000..7_000_000).contains(&body.len()), "{} bytes", body.len());
    body
}
