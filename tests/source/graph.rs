//! What only Graph does: answers that are a part, links to elsewhere, tokens for the other API, words that are newer than most.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use xdrelay::model::dialect::Dialect;
use xdrelay::model::page::{Alerts, FetchError, Query};
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::{Fault, Missing};
use xdrelay::sandbox::settings::{Graph, NextLink, Settings};

use crate::{ROWS, Source, decision, unlimited};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_a_part_says_so() {
    let source = Source::new(Dialect::Graph, ROWS, unlimited()).await;
    for missing in [Missing::Rows, Missing::Alerts] {
        let page = source.spoiled(Fault::Partial(missing)).await.expect("a page");
        let why = page.incomplete.expect("a word about it");
        assert!(why.contains("206") && why.contains("Microsoft 365 Defender/504"), "{why}");
        match missing {
            Missing::Rows => assert_eq!(page.rows.len(), ROWS as usize / 2),
            Missing::Alerts => assert_eq!(page.rows.len(), ROWS as usize),
        }
        assert_eq!(source.list().await.expect("a page").incomplete, None);
    }
    // Defender has no such status: nothing is concluded from it.
    let source = Source::new(Dialect::Defender, ROWS, unlimited()).await;
    assert_eq!(decision(&source.spoiled(Fault::Partial(Missing::Rows)).await), ("garbled", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_the_other_api_is_not_accepted() {
    for (dialect, other) in [(Dialect::Graph, Dialect::Defender), (Dialect::Defender, Dialect::Graph)] {
        let audience = Settings::default().audience_in(other).to_owned();
        let limits = (64 << 20, Duration::from_secs(20));
        let source = Source::for_audience(audience, dialect, ROWS, unlimited(), limits).await;
        let Err(FetchError::Unauthorized { why }) = source.list().await else { panic!("{dialect:?}") };
        assert!(why.to_lowercase().contains("audience"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_elsewhere_is_never_asked_and_gets_no_token() {
    let trap = TcpListener::bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0))).await.expect("a port");
    let origin = format!("http://{}", trap.local_addr().expect("an address"));
    let visitors = Arc::new(AtomicUsize::new(0));
    let count = visitors.clone();
    tokio::spawn(async move {
        while trap.accept().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let graph = Graph { next_link: NextLink::Foreign(origin), expanded_max: Some(1), ..Graph::default() };
    let source = Source::new(Dialect::Graph, 120, Settings { graph, ..unlimited() }).await;
    for skip in [0, 50, 100] {
        source.client.list(&Query { skip, ..source.everything() }).await.expect("a page");
    }
    let number = source.sandbox.world().rows().by_number().next().expect("one").number;
    source.client.get(&number.id()).await.expect("an incident");
    assert_eq!(visitors.load(Ordering::Relaxed), 0, "somebody went where a link led");
    assert_eq!(source.sandbox.calls().arrived(Endpoint::GraphList), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_words_come_as_they_are() {
    let source = Source::new(Dialect::Graph, 50, unlimited()).await;
    let page = source.list().await.expect("a page");
    let holds = |word: &str| page.rows.iter().filter(|row| row.raw.get().contains(word)).count();
    assert!(0 < holds("\"microsoftDefenderForCloud\""), "there is something to be seen");
    assert_eq!(holds("unknownFutureValue"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_come_with_their_incidents_unless_they_are_to_come_apart() {
    let source = Source::new(Dialect::Graph, ROWS, unlimited()).await;
    let whole = source.list().await.expect("a page");
    assert!(whole.rows.iter().all(|row| row.raw.get().contains("\"alerts\":[{")));
    let poisoned = source.sandbox.world().rows().by_number().next().expect("one").number;
    source.sandbox.settings().graph.poison_expanded.insert(poisoned.0);
    assert_eq!(decision(&source.list().await), ("unavailable", None));
    let query = Query { alerts: Alerts::Apart, ..source.everything() };
    assert_eq!(source.client.list(&query).await.expect("a page").rows.len(), ROWS as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_rows_are_skipped_up_to_the_ceiling() {
    let source = Source::new(Dialect::Graph, ROWS, unlimited()).await;
    let skipping = async |skip| source.client.list(&Query { skip, ..source.everything() }).await;
    assert_eq!(decision(&skipping(500).await), ("page", None));
    assert_eq!(decision(&skipping(501).await), ("rejected", None));
}
