//! The ledger on a real disk: what is committed stays, what is damaged is found out, what is cut is gone.
#![allow(clippy::print_stdout, reason = "tests say how much they tried, and what they had to leave out")]

mod crash;
mod damage;
mod disk;
mod formats;
mod inject;
mod life;
mod outbox;
mod recall;
mod room;
mod rot;
#[path = "../receivers/skipped.rs"]
mod skipped;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

use serde_json::value::RawValue;
use skipped::skipped;
use tempfile::TempDir;
use xdrelay::core::commit::Committed;
use xdrelay::core::courier::{Progress, Refusal};
use xdrelay::model::event::Event;
use xdrelay::model::incident::Row;
use xdrelay::model::moment::Moment;
use xdrelay::model::names::{Seq, SinkName, TenantKey, TenantName};
use xdrelay::model::timestamp::Timestamp;
use xdrelay::store::chunk::{Chunk, ReadLimit};
use xdrelay::store::error::OpenError;
use xdrelay::store::page::PageBatch;
use xdrelay::store::{OnCorrupt, Opened, Settings, Store};

const EVERYTHING: ReadLimit = ReadLimit { events: usize::MAX, bytes: u64::MAX };

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A directory in memory where there is plenty of it: for what is about contents and not about disks.
fn directory_in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
    if free < 1 << 30 { directory() } else { tempfile::tempdir_in(memory).expect("a directory") }
}

fn settings(dir: &Path) -> Settings {
    Settings { dir: dir.to_owned(), on_corrupt: OnCorrupt::Rebuild, max_size: 1 << 32, min_free: 0 }
}

/// Opens what must open without anything made again.
fn open(dir: &Path) -> Store {
    let Opened { store, recovery } = opened(settings(dir)).expect("it opens");
    assert_eq!(recovery, None);
    store
}

/// Opens a store. A child that another test is just starting holds every lock of this process until it has become another
/// program; that passes at once.
fn opened(settings: Settings) -> Result<Opened, OpenError> {
    for _ in 0..200 {
        match Store::open(settings.clone()) {
            Err(OpenError::Held { .. }) => std::thread::sleep(std::time::Duration::from_millis(10)),
            result => return result,
        }
    }
    Store::open(settings)
}

/// A number from the environment, for long runs and for one made again.
fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// Says that something was not tested, and fails where nothing may be left out. Always false.
fn skip(why: &str) -> bool {
    skipped::<()>(why).is_some()
}

/// Does every job, a few at a time: most of the time of most of them is the disk's. A failed one fails the test.
fn in_lanes<T: Send, F: Future<Output = ()>>(jobs: impl IntoIterator<Item = T>, work: impl Fn(T) -> F + Sync) {
    const LANES: usize = 6;
    let jobs = Mutex::new(jobs.into_iter().collect::<VecDeque<T>>());
    let next = || jobs.lock().expect("no lane panics here").pop_front();
    let lane = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        while let Some(job) = next() {
            runtime.block_on(work(job));
        }
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().for_each(|lane| lane.join().expect("no job fails"));
    });
}

fn tenant() -> TenantKey {
    TenantKey::of("global", "11111111-2222-3333-4444-555555555555")
}

fn sink(name: &str) -> SinkName {
    SinkName::new(name)
}

fn second(n: u64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + n)
}

/// An incident changed at a second, with so much text in it.
fn row(id: u64, at: u64, text: &str) -> Row {
    let time = second(at);
    let json = format!(
        r#"{{"incidentId":{id}, "createdTime":"{time}","lastUpdateTime":"{time}","severity":"High","text":"{text}"}}"#
    );
    Row::new(RawValue::from_string(json).expect("JSON"))
}

fn page(rows: Vec<Row>) -> PageBatch {
    let tenant_name = TenantName::new("contoso");
    PageBatch {
        key: tenant(),
        tenant: tenant_name,
        rows,
        date: None,
        now: Moment::from_nanos(1_795_000_000_000_000_000),
        again: None,
    }
}

async fn commit(store: &Store, rows: Vec<Row>) -> Committed {
    store.commit_page(page(rows)).await.expect("committed")
}

fn read(store: &Store, after: u64) -> Chunk {
    store.read_after(Seq(after), &|_, _| true, EVERYTHING).expect("read")
}

fn seqs(store: &Store) -> Vec<u64> {
    read(store, 0).events.iter().map(|(seq, _)| seq.0).collect()
}

fn ids(events: &[(Seq, Event)]) -> Vec<String> {
    events.iter().map(|(_, event)| event.event_id.to_string()).collect()
}

async fn acknowledge(store: &Store, name: &str, to: u64, refused: &[u64]) {
    let refused = refused.iter().map(|&seq| Refusal { seq: Seq(seq), why: "too odd".into() }).collect();
    store
        .acknowledge(&sink(name), Progress { acknowledged: Seq(to), counted: 0 }, refused)
        .await
        .expect("acknowledged");
}

/// Waits until something holds: the writer cuts when nobody waits for it.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("not within ten seconds: {what}");
}
