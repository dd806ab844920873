//! The far sides: one file each. A sink sends and says what was confirmed; when and what again is the courier's business
//! (`core/courier.rs`), and so are batches, retries and logging.

pub mod file;
pub mod http;
pub mod stdout;
pub mod syslog;

use futures_util::future::BoxFuture;

use crate::core::courier::DeliverError;
use crate::model::event::Event;
use crate::model::names::Seq;

/// One event as it is handed to a sink: where it stands, what it is, and its rendering.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its position in the outbox.
    pub seq: Seq,
    /// The event, for headers and keys.
    pub event: Event,
    /// The rendering in the sink's format: one record, without a trailing newline.
    pub body: Vec<u8>,
}

/// A place that events go to.
pub trait Sink: Send {
    /// Sends these events, in this order, and answers up to where the far side has everything.
    ///
    /// `Ok(Some(seq))`: every event up to and including `seq` that was ever handed over is at the far side (an fsync, an
    /// HTTP 2xx, a connection that proved alive afterwards). It may lag behind what was sent; then the courier calls again
    /// later with an empty slice and asks how far it got. `Ok(None)`: nothing new is confirmed.
    ///
    /// `Err`: see [`DeliverError`]. After an error the courier starts again behind the last acknowledged event, so the sink
    /// forgets what it had in the air; what it sends then may be a repetition, with the same `event_id`.
    ///
    /// Dropping the future (a shutdown) leaves the sink in a state in which the next call may fail but nothing that was
    /// not confirmed counts as confirmed.
    fn deliver<'a>(&'a mut self, events: &'a [Outgoing]) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>>;

    /// Closes the sink in good order and answers as [`deliver`](Self::deliver) does with no events: what a clean close
    /// proves (a peer that read to the end) counts as confirmed. Called once, last.
    fn close<'a>(&'a mut self) -> BoxFuture<'a, Result<Option<Seq>, DeliverError>> {
        self.deliver(&[])
    }
}
