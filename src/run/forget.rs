//! Forgets what was remembered of incidents that nobody has seen for long. Knows nothing of what is remembered.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::model::moment::Moment;
use crate::run::clock::Clock;
use crate::run::tenants::Tenants;
use crate::store::Store;

/// Between two rounds.
const FORGET_EVERY: Duration = Duration::from_secs(6 * 3600);

/// Forgets marks of incidents that were not seen for `poll.remember` of any tenant, until it is stopped.
pub(crate) async fn forget(store: Store, clock: Clock, tenants: Tenants, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(FORGET_EVERY)).await.is_some() {
        let remembers = tenants.all().values().map(|tenant| tenant.remember).max();
        let Some(older_than) = forgotten_before(remembers, clock.now()) else { continue };
        match store.evict(older_than).await {
            Ok(marks) => tracing::debug!(marks, "forgot incidents that were not seen for long"),
            Err(error) => tracing::warn!(%error, "marks cannot be forgotten at the moment"),
        }
    }
}

/// What was last seen before then is forgotten; nothing at all while no tenant says how long it wants to know of it, as between a
/// reload and a restart: those that come would deliver everything once more.
fn forgotten_before(longest: Option<Duration>, now: Moment) -> Option<Moment> {
    longest.map(|remember| Moment::from_nanos(0) + now.since_epoch().saturating_sub(remember))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_forgotten_while_nobody_says_for_how_long_to_remember() {
        let (at, day) = (|seconds: u64| Moment::from_nanos(seconds * 1_000_000_000), Duration::from_secs(86_400));
        assert_eq!(forgotten_before(None, at(1_800_000_000)), None);
        assert_eq!(forgotten_before(Some(day), at(1_800_000_000)), Some(at(1_799_913_600)));
        assert_eq!(forgotten_before(Some(day), at(10)), Some(at(0)), "a clock without a battery");
    }
}
