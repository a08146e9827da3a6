//! How often one client address may do something, with a bounded memory of addresses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ams_core::limits::{Bucket, Rate};

/// The least time between two searches for addresses that can be forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// A bucket for each client address. Those at loopback are never limited.
///
/// When as many addresses as allowed have a bucket that is not full again, all further addresses share one: a flood from
/// many addresses is slowed down as a whole, those who were here before are not, and memory stays bounded.
#[derive(Debug)]
pub(super) struct Throttle {
    rate: Option<Rate>,
    addresses_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buckets: HashMap<IpAddr, Bucket>,
    shared: Bucket,
    swept_at: Option<Instant>,
}

impl Throttle {
    /// `None` = no limit.
    pub(super) fn new(rate: Option<Rate>, addresses_max: usize) -> Self {
        Throttle { rate, addresses_max, state: Mutex::default() }
    }

    /// Counts one time for this address.
    ///
    /// # Errors
    /// How long to wait when it was once too often.
    pub(super) fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate.filter(|_| !address.to_canonical().is_loopback()) else { return Ok(()) };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let key = network(address);
        if !state.buckets.contains_key(&key) && self.addresses_max <= state.buckets.len() {
            state.sweep(now);
            if self.addresses_max <= state.buckets.len() {
                return state.shared.take(rate, now);
            }
        }
        state.buckets.entry(key).or_default().take(rate, now)
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now < at + SWEEP_INTERVAL) {
            return;
        }
        self.swept_at = Some(now);
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
    }
}

/// What counts as one client: an IPv4 address, or the /64 network that an IPv6 subscriber is given as a whole.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ams_core::clock::{Clock, ManualClock, Timestamp};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn throttle(addresses_max: usize) -> (Throttle, ManualClock) {
        let rate = Rate::per(2, Duration::from_secs(60));
        (Throttle::new(Some(rate), addresses_max), ManualClock::at(Timestamp::default()))
    }

    #[test]
    fn each_address_has_its_own_count_and_loopback_none() {
        let (throttle, clock) = throttle(10);
        let take = |from: &str| throttle.take(address(from), clock.monotonic());
        assert_eq!([take("192.0.2.1"), take("192.0.2.1")], [Ok(()); 2]);
        assert_eq!(take("192.0.2.1"), Err(Duration::from_secs(30)));
        assert_eq!(take("::ffff:192.0.2.1"), Err(Duration::from_secs(30)));
        assert_eq!(take("192.0.2.2"), Ok(()));
        for _ in 0..9 {
            assert_eq!([take("127.0.0.1"), take("::1"), take("::ffff:127.0.0.9")], [Ok(()); 3]);
        }
    }

    #[test]
    fn an_ipv6_subscriber_is_one_client() {
        let (throttle, clock) = throttle(10);
        let take = |from: &str| throttle.take(address(from), clock.monotonic()).is_ok();
        assert!(take("2001:db8::1") && take("2001:db8::2"));
        assert!(!take("2001:db8:0:0:ffff::3") && take("2001:db8:0:1::1"));
    }

    #[test]
    fn a_flood_of_addresses_shares_one_count_and_is_forgotten_in_time() {
        let (throttle, clock) = throttle(3);
        let mut taken = 0;
        for last in 0..100 {
            taken += u32::from(throttle.take(IpAddr::from([192, 0, 2, last]), clock.monotonic()).is_ok());
        }
        assert_eq!(taken, 3 + 2, "one for each of three, two for all the others together");
        assert_eq!(throttle.state.lock().unwrap().buckets.len(), 3);
        clock.advance(Duration::from_secs(61));
        assert!(throttle.take(address("198.51.100.1"), clock.monotonic()).is_ok());
        assert_eq!(throttle.state.lock().unwrap().buckets.len(), 1);
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let throttle = Throttle::new(None, 1);
        let clock = ManualClock::at(Timestamp::default());
        assert!((0..100).all(|_| throttle.take(address("192.0.2.1"), clock.monotonic()).is_ok()));
    }
}
