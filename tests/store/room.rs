//! Whether there is room, as the callers hear it.

use xdrelay::store::Settings;
use xdrelay::store::tally::Room;

use crate::{acknowledge, commit, directory, row, settings, sink, until};

#[tokio::test]
async fn a_full_outbox_says_so_until_it_is_delivered() {
    let dir = directory();
    let store = crate::opened(Settings { max_size: 1, ..settings(dir.path()) }).expect("it opens").store;
    store.register_sinks(&[sink("siem")]).await.expect("registered");
    assert_eq!(store.room(), Room::Enough);
    commit(&store, vec![row(1, 1, "")]).await;
    assert!(matches!(store.room(), Room::OutboxFull { .. }));
    acknowledge(&store, "siem", 1, &[]).await;
    until("there is room", || store.has_room()).await;
}

#[test]
fn a_disk_with_too_little_left_says_so() {
    let dir = directory();
    let store = crate::opened(Settings { min_free: u64::MAX, ..settings(dir.path()) }).expect("it opens").store;
    assert!(matches!(store.room(), Room::DiskFull { .. }));
    assert!(!dir.path().join("ballast").exists(), "no room to waste");
}
