//! Slows down whoever tries tokens: after a few wrong ones an address has to wait before the next is looked at, longer each
//! time. Who shares an address with somebody that tries is not kept out by it. Decides with times that it is given; waits for nothing.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Wrong tries without a pause: people mistype.
const FREE: u32 = 3;
/// The first pause; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// After so long without a wrong try an address is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Addresses that are remembered of either kind; one more takes the place of the one that tried longest ago.
const ADDRESSES_MAX: usize = 256;

/// The tries of late.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    wrong: Vec<Wrong>,
    /// From where the token was shown, the latest last.
    right: Vec<(IpAddr, Instant)>,
}

#[derive(Debug)]
struct Wrong {
    address: IpAddr,
    count: u32,
    last: Instant,
}

impl Tries {
    /// How long this address has to wait before a try of it is looked at; none where it may try now.
    pub(crate) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let address = network(address);
        let wrong = self.wrong.iter().find(|wrong| wrong.address == address)?;
        let left = wrong.pause().checked_sub(now.saturating_duration_since(wrong.last))?;
        (!left.is_zero()).then_some(left)
    }

    /// Whether the token is looked for among the tries of this address even while it has to wait. Somebody has it there: their token
    /// was right lately, or it is this host, where a proxy may stand for many. Who else tries there is told as little as before
    /// of a wrong one, and finds a right one sooner: what keeps them from it is its length.
    pub(crate) fn is_shared(&self, address: IpAddr, now: Instant) -> bool {
        let from = network(address);
        let is_known =
            |(known, last): &(IpAddr, Instant)| *known == from && now.saturating_duration_since(*last) < FORGET_AFTER;
        address.to_canonical().is_loopback() || self.right.iter().any(is_known)
    }

    /// A try of this address was right.
    pub(crate) fn right(&mut self, address: IpAddr, now: Instant) {
        let address = network(address);
        self.right.retain(|(known, last)| *known != address && now.saturating_duration_since(*last) < FORGET_AFTER);
        if self.right.len() == ADDRESSES_MAX {
            self.right.remove(0);
        }
        self.right.push((address, now));
    }

    /// A try of this address was wrong.
    pub(crate) fn wrong(&mut self, address: IpAddr, now: Instant) {
        let address = network(address);
        self.wrong.retain(|wrong| now.saturating_duration_since(wrong.last) < FORGET_AFTER);
        let count = match self.wrong.iter().position(|wrong| wrong.address == address) {
            Some(known) => self.wrong.remove(known).count,
            None => 0,
        };
        if self.wrong.len() == ADDRESSES_MAX {
            self.wrong.remove(0);
        }
        self.wrong.push(Wrong { address, count: count.saturating_add(1), last: now });
    }
}

impl Wrong {
    fn pause(&self) -> Duration {
        match self.count.checked_sub(FREE) {
            Some(doublings) => (PAUSE_MIN * 2u32.pow(doublings.min(6))).min(PAUSE_MAX),
            None => Duration::ZERO,
        }
    }
}

/// An IPv6 host has a network of its own to take addresses from.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_wrong_try_makes_the_next_wait_longer() {
        let (mut tries, mut now, peer) = (Tries::default(), Instant::now(), address("192.0.2.1"));
        let mut waited = Vec::new();
        for _ in 0..12 {
            tries.wrong(peer, now);
            let wait = tries.wait(peer, now).unwrap_or_default();
            waited.push(wait.as_secs());
            now += wait;
            assert_eq!(tries.wait(peer, now), None, "the pause is over");
        }
        assert_eq!(waited, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(tries.wait(address("192.0.2.2"), now), None, "another address");
        tries.wrong(peer, now + FORGET_AFTER);
        assert_eq!(tries.wait(peer, now + FORGET_AFTER), None, "it was forgotten");
    }

    #[test]
    fn an_address_is_shared_where_the_token_was_shown_lately_and_on_this_host() {
        let (mut tries, now, peer) = (Tries::default(), Instant::now(), address("192.0.2.1"));
        assert!(!tries.is_shared(peer, now));
        tries.right(peer, now);
        assert!(tries.is_shared(peer, now + FORGET_AFTER - PAUSE_MIN) && !tries.is_shared(peer, now + FORGET_AFTER));
        assert!(!tries.is_shared(address("192.0.2.2"), now), "another address");
        for ours in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(Tries::default().is_shared(address(ours), now), "{ours}");
        }
        for host in 0..u32::try_from(ADDRESSES_MAX).expect("small") {
            tries.right(IpAddr::from(host.to_be_bytes()), now);
        }
        assert_eq!((tries.right.len(), tries.is_shared(peer, now)), (ADDRESSES_MAX, false), "it made room");
    }

    #[test]
    fn a_host_is_one_network_and_their_number_has_a_bound() {
        let (mut tries, now) = (Tries::default(), Instant::now());
        for host in 0..u32::try_from(ADDRESSES_MAX).expect("small") * 2 {
            tries.wrong(IpAddr::from(host.to_be_bytes()), now);
        }
        assert_eq!(tries.wrong.len(), ADDRESSES_MAX);
        for host in 1..=FREE {
            tries.wrong(address(&format!("2001:db8::{host}")), now);
        }
        assert!(tries.wait(address("2001:db8::ffff"), now).is_some());
        assert!(tries.wait(address("2001:db8:0:1::1"), now).is_none());
    }
}
