//! How much of the source's pages is in memory at once, over all tenants. Whoever has more in hand than a little needs one of few
//! places until it is committed or given up; waiting for one fails nothing and is no part of anybody's timeout.
//!
//! | in hand | how many at once | bytes each, at most |
//! |---|---|---|
//! | what comes over the wire | every reader | [`FREE`] |
//! | the same, more of it | [`COMING_PLACES`] | 2 × [`COMING`], in a buffer that may be half empty |
//! | a page of [`SMALL`] at most, unpacked | [`SMALL_PLACES`] | 3 × [`SMALL`]: unpacked, in such a buffer, and as rows |
//! | any other | [`LARGE_PLACES`] | 5 × `max_body_size`: as it came and unpacked, each in such a buffer, and as rows |
//!
//! With two readers of each of 300 tenants that is 38 MiB + 16 MiB + 36 MiB + 15 × `max_body_size`; a page of a hundred incidents of
//! 50 KB comes to 5 × 5 MB at the very worst, and 64 MiB is what none should have. Beside the pages there is one incident at a
//! time that somebody asked for, and for each reader whose page came without all alerts that page, while it is completed by calls of
//! its own: these may take minutes, and a place is not held for so long.
//!
//! Places are taken in the order of this table, the last two one instead of the other, and given back after work that waits for the
//! disk at most; so nobody waits for ever. A small place is taken when a page is there as a whole, so that no server that hangs holds
//! one. What needs a place while it still comes has to keep coming ([`STALL_MAX`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::transport::http::{BodyError, call_causes};

/// Bytes over the wire that need no place: most pages, since they come compressed.
pub const FREE: u64 = 64 << 10;
/// Bytes over the wire that need no large place.
pub const COMING: u64 = 256 << 10;
/// Pages at once of which more than [`FREE`] has come.
pub const COMING_PLACES: usize = 32;
/// Bytes of a small page, unpacked.
pub const SMALL: u64 = 1 << 20;
/// Small pages at once: more than can be read and committed at once anyway.
pub const SMALL_PLACES: usize = 12;
/// Large pages at once: one that comes, one that is being read, one that is being committed.
pub const LARGE_PLACES: usize = 3;
/// How long a page that has a place may say nothing while it comes.
const STALL_MAX: Duration = Duration::from_secs(20);
/// How long a page may wait for a place while it comes; the server is not patient for ever either. The wait counts for nothing
/// else.
pub const WAIT_MAX: Duration = Duration::from_secs(600);

/// Threads that read pages.
const THREADS_MAX: usize = 4;

/// The places.
#[derive(Debug)]
pub struct Hands {
    coming: Arc<Semaphore>,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// What one reader has in hand: one page at most.
#[derive(Debug)]
pub struct Load {
    hands: Arc<Hands>,
    held: Mutex<Held>,
    is_waiting: AtomicBool,
}

/// Places are given back when they go.
#[derive(Debug, Default)]
struct Held {
    coming: Option<OwnedSemaphorePermit>,
    small: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

tokio::task_local! {
    /// Whose pages are read here; nobody's where a command reads a few of them alone.
    static LOAD: Arc<Load>;
}

impl Default for Hands {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { coming: places(COMING_PLACES), small: places(SMALL_PLACES), large: places(LARGE_PLACES) }
    }
}

impl Hands {
    /// The one that all readers of this process share, as they share its memory.
    pub fn of_this_process() -> &'static Arc<Self> {
        static HANDS: LazyLock<Arc<Hands>> = LazyLock::new(Arc::default);
        &HANDS
    }

    /// For one reader.
    pub fn load(self: &Arc<Self>) -> Arc<Load> {
        let (hands, held) = (Arc::clone(self), Mutex::default());
        Arc::new(Load { hands, held, is_waiting: AtomicBool::new(false) })
    }
}

/// Does something as this reader: what it reads is its load.
pub async fn carrying<T>(load: Arc<Load>, work: impl Future<Output = T>) -> T {
    LOAD.scope(load, work).await
}

/// The page that this reader had in hand is committed, or given up.
pub fn put_down() {
    // Without a reader there is nothing to put down.
    let _ = LOAD.try_with(|load| *load.held() = Held::default());
}

/// A page of so many bytes is about to be unpacked.
pub async fn take_up(unpacked: u64) {
    let Ok(load) = LOAD.try_with(Arc::clone) else { return };
    if SMALL < unpacked { load.large().await } else { load.small().await }
}

/// The bytes of a page as they came over the wire, whole and at most `size_max` of them. Takes places as they become many.
/// `patience` is for the server; what is waited for places is no part of it.
///
/// # Errors
/// See [`BodyError`]. A body shorter than its `Content-Length`, or without its last chunk, is broken.
pub async fn body(mut response: reqwest::Response, size_max: u64, patience: Duration) -> Result<Vec<u8>, BodyError> {
    let load = LOAD.try_with(Arc::clone).ok();
    let length = response.content_length();
    if length.is_some_and(|length| size_max < length) {
        return Err(BodyError::TooLarge);
    }
    let (mut bytes, mut left) = (Vec::new(), patience);
    loop {
        // What is announced is waited for with empty hands.
        let coming = length.unwrap_or_default().max(bytes.len() as u64);
        if let Some(load) = &load {
            load.comes(coming).await;
        }
        let asked = Instant::now();
        let longest = if FREE < coming { left.min(STALL_MAX) } else { left };
        let chunk = match tokio::time::timeout(longest, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Ok(bytes),
            Ok(Err(error)) => return Err(BodyError::Broken(call_causes(error))),
            Err(_) => return Err(BodyError::Broken(format!("timed out: nothing came for {} s", longest.as_secs()))),
        };
        left = left.saturating_sub(asked.elapsed());
        if size_max < (bytes.len() + chunk.len()) as u64 {
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// Does what takes up to a second with a large page, on threads of its own: as many as there are cores and four at most. Each thread
/// keeps memory of the pages that it had; the many threads for what blocks would keep that of many pages.
pub fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    static THREADS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.thread_name("pages").max_blocking_threads(cores.min(THREADS_MAX)).build().ok()
    });
    match &*THREADS {
        Some(threads) => threads.spawn_blocking(work),
        None => tokio::task::spawn_blocking(work),
    }
}

impl Load {
    /// Whether it waits for a place at the moment: then its reader is not stuck.
    pub fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Relaxed)
    }

    /// Whether it has a large place.
    pub fn is_large(&self) -> bool {
        self.held().large.is_some()
    }

    /// So much has come over the wire, or is announced.
    async fn comes(&self, bytes: u64) {
        // Who has one of the others already, for the incidents that are completed by calls of their own, waits for none of these:
        // two kinds of places are never waited for in both orders.
        let has_place = {
            let held = self.held();
            held.coming.is_some() || held.small.is_some() || held.large.is_some()
        };
        if FREE < bytes && !has_place {
            let place = self.place(&self.hands.coming).await;
            self.held().coming = place;
        }
        if COMING < bytes {
            self.large().await;
        }
    }

    /// A small one, unless there is any.
    async fn small(&self) {
        let has_place = { self.held().small.is_some() } || self.is_large();
        if !has_place {
            let place = self.place(&self.hands.small).await;
            self.held().small = place;
        }
    }

    /// A large one. A small one is given back first: nobody waits for one kind with the other in hand.
    async fn large(&self) {
        if self.is_large() {
            return;
        }
        self.held().small = None;
        let place = self.place(&self.hands.large).await;
        self.held().large = place;
    }

    /// Always one: the semaphores are never closed.
    async fn place(&self, places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(places).try_acquire_owned() {
            return Some(place);
        }
        self.is_waiting.store(true, Ordering::Relaxed);
        // Its order is that of asking; where this is given up, so is the waiting.
        let place = Arc::clone(places).acquire_owned().await.ok();
        self.is_waiting.store(false, Ordering::Relaxed);
        place
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // What is set is whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
