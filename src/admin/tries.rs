//! Slows down whoever tries tokens: after a few wrong ones an address has to wait before the next is looked at, longer each
//! time. Decides with times that it is given; waits for nothing.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Wrong tries without a pause: people mistype.
const FREE: u32 = 3;
/// The first pause; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// After so long without a wrong try an address is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Addresses that are remembered; one more takes the place of the one that was wrong longest ago.
const ADDRESSES_MAX: usize = 256;

/// The wrong tries of late.
#[derive(Debug, Default)]
pub(crate) struct Tries(Vec<Wrong>);

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
        let wrong = self.0.iter().find(|wrong| wrong.address == address)?;
        let left = wrong.pause().checked_sub(now.saturating_duration_since(wrong.last))?;
        (!left.is_zero()).then_some(left)
    }

    /// A try of this address was wrong.
    pub(crate) fn wrong(&mut self, address: IpAddr, now: Instant) {
        let address = network(address);
        self.0.retain(|wrong| now.saturating_duration_since(wrong.last) < FORGET_AFTER);
        let count = match self.0.iter().position(|wrong| wrong.address == address) {
            Some(known) => self.0.remove(known).count,
            None => 0,
        };
        if self.0.len() == ADDRESSES_MAX {
            self.0.remove(0);
        }
        self.0.push(Wrong { address, count: count.saturating_add(1), last: now });
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
    fn a_host_is_one_network_and_their_number_has_a_bound() {
        let (mut tries, now) = (Tries::default(), Instant::now());
        for host in 0..u32::try_from(ADDRESSES_MAX).expect("small") * 2 {
            tries.wrong(IpAddr::from(host.to_be_bytes()), now);
        }
        assert_eq!(tries.0.len(), ADDRESSES_MAX);
        for host in 1..=FREE {
            tries.wrong(address(&format!("2001:db8::{host}")), now);
        }
        assert!(tries.wait(address("2001:db8::ffff"), now).is_some());
        assert!(tries.wait(address("2001:db8:0:1::1"), now).is_none());
    }
}
