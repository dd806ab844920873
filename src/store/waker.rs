//! Wakes who waits inside of sled for a write that has failed. It must not write anything.
//!
//! sled 0.34.7 keeps the error of a write that one of its own threads made, and does not always wake those who wait for that
//! write (`Log::exit_reservation`): a flush then waits for ever. Whoever asks afterwards is told the error at once, and wakes
//! the others; so somebody has to ask.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::store::error::StoreError;
use crate::store::ledger::guarded;

/// How often it is looked whether a write has failed: one read of memory.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// An opening during which a write has failed ends by itself within this time, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Wakes them, as long as it lives.
#[derive(Debug)]
pub(crate) struct Waker {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Waker {
    /// For a database that was opened with this configuration.
    pub(crate) fn new(config: sled::Config, db: sled::Db) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let watch = move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                if config.global_error().is_err() {
                    // Fails at once, with the error that whoever is woken by it gets too.
                    let _ = db.flush();
                }
            }
        };
        let thread = std::thread::Builder::new().name("store waker".into()).spawn(watch)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Its handle of the database must be gone before the last one closes it.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Opens a database on a thread of its own, which is left behind where it waits for ever: nobody can ask before it is open.
pub(crate) fn open(config: &sled::Config) -> Result<sled::Db, StoreError> {
    let (tell, told) = sync_channel(1);
    let opening = config.clone();
    let open = move || {
        // Who asked may have lost patience.
        let _ = tell.send(guarded(|| opening.open().map_err(StoreError::from)));
    };
    std::thread::Builder::new().name("store opening".into()).spawn(open)?;
    let mut failed_at = None;
    loop {
        match told.recv_timeout(LOOK_EVERY) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(StoreError::Poisoned { why: "the database engine gave up while it opened".into() });
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(error) = config.global_error()
            && PATIENCE < failed_at.get_or_insert_with(Instant::now).elapsed()
        {
            return Err(error.into());
        }
    }
}
