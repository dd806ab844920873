//! How fast events are written in each format, and taken apart for a sink that splits them. Measures nothing but our own code, on
//! one thread: no network, no disk.

mod measured;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use measured::Figures;
use xdrelay::core::seen::{self, Verdict};
use xdrelay::format::split::{Split, split};
use xdrelay::format::{Format, Style};
use xdrelay::model::event::Event;
use xdrelay::model::incident::Row;
use xdrelay::model::moment::Moment;
use xdrelay::model::names::TenantName;
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::knobs::Knobs;
use xdrelay::sandbox::world::World;

const INCIDENTS: u32 = 400;
const INCIDENT_BYTES: usize = 10_000;
/// The best of so many runs counts: the others say how busy the machine was.
const RUNS: u32 = 30;

/// Megabytes of incident JSON per second.
fn bar(format: Format) -> f64 {
    match format {
        Format::Json | Format::Cef | Format::Leef => 50.0,
        Format::Ecs | Format::Ocsf => 30.0,
    }
}

fn main() -> ExitCode {
    let events = events();
    let bytes: usize = events.iter().map(|event| event.incident.get().len()).sum();
    let mut figures = Figures::default();
    for format in Format::ALL {
        let style = Style::of(*format);
        let speed = best(bytes, || events.iter().map(|event| style.render(event).len()).sum());
        figures.at_least(&format!("incidents of 10 KB written as {format}"), speed, bar(*format), "MB/s");
    }
    let parts = || events.iter().map(|event| split(event.clone(), Split::Alerts).len()).sum();
    figures.plain("incidents of 10 KB taken apart by alert", best(bytes, parts), "MB/s");
    figures.exit_code()
}

/// Megabytes of incidents per second, on the clock of the wall.
fn best(bytes: usize, run: impl Fn() -> usize) -> f64 {
    let mut shortest = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        assert!(INCIDENTS as usize <= black_box(run()), "every incident is there");
        shortest = shortest.min(start.elapsed());
    }
    bytes as f64 / 1e6 / shortest.as_secs_f64()
}

/// Incidents of both shapes, as the sandbox makes them.
fn events() -> Vec<Event> {
    let mut world = World::new(Knobs::still(1));
    let start = Timestamp::from_seconds(1_790_000_000);
    let end = start.later(Duration::from_secs(3600));
    world.create_many(INCIDENTS, INCIDENT_BYTES, start, end);
    world.settle(end);
    let now = Moment::from_nanos(end.ticks() * 100);
    let event = |json: &str| {
        let raw = serde_json::value::RawValue::from_string(json.to_owned()).expect("JSON");
        let row = Row::new(raw);
        match seen::judge(None, &row, None, now) {
            Verdict::New(news) => Some(news.event(row, &TenantName::new("contoso"), 1, now)),
            Verdict::Known | Verdict::Stale | Verdict::TooSoon | Verdict::Noted(_) => None,
        }
    };
    let events: Vec<Event> = world.rows().by_number().filter_map(|revision| event(&revision.json)).collect();
    assert_eq!(events.len(), INCIDENTS as usize);
    events
}
