//! What the ledger and a running daemon say of sinks: how far each got, and what it refused. No test is in here.

use xdrelay::core::courier::Refusal;
use xdrelay::model::names::SinkName;
use xdrelay::store::{OnCorrupt, Settings, Store};

use crate::harness::Place;

/// Of one sink.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Up to which event it has everything; with one tenant that is the event's `sequence` too.
    pub(crate) acknowledged: u64,
    /// What it refused for good.
    pub(crate) refused: Vec<Refusal>,
}

/// How a sink stands in the ledger that a dead daemon left.
pub(crate) async fn standing(place: &Place, sink: &str) -> Standing {
    let settings = Settings { dir: place.state(), on_corrupt: OnCorrupt::Stop, max_size: 1 << 30, min_free: 0 };
    let store = Store::open(settings).expect("a whole ledger").store;
    let name = SinkName::new(sink);
    let acknowledged = store.progress(&name).expect("a sink that is known").acknowledged.0;
    let refused = store.refused(&name).expect("readable");
    store.close().await.expect("closed");
    Standing { acknowledged, refused }
}

/// What a running daemon says of a sink.
pub(crate) fn status(place: &Place, sink: &str) -> serde_json::Value {
    place.command(&["status", "--json"]).expect(0, &[]).json()["sinks"][sink].clone()
}

/// Up to which event a sink of a running daemon has everything, as it says itself.
pub(crate) fn acknowledged(place: &Place, sink: &str) -> u64 {
    status(place, sink)["acknowledged"].as_u64().expect("a position")
}
