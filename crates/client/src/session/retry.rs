//! When to try again, and when to give up.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::ConnectError;

/// A connection that held this long was a good one: the next outage starts with the shortest wait again.
const GOOD_AFTER: Duration = Duration::from_secs(5);

/// How long to try, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long to try to get in at all; zero = once.
    pub first: Duration,
    /// How long to try to come back after having been in; none = for ever.
    pub again: Option<Duration>,
    /// The first wait; each doubles, and up to as much again is added by chance.
    pub delay_min: Duration,
    /// No wait is longer than twice this.
    pub delay_max: Duration,
}

impl Default for Patience {
    /// One try at first, then for ever: 0.1 to 0.2 seconds at once, 10 to 20 in the long run.
    fn default() -> Self {
        Patience {
            first: Duration::ZERO,
            again: None,
            delay_min: Duration::from_millis(100),
            delay_max: Duration::from_secs(10),
        }
    }
}

/// One outage after the other.
#[derive(Debug)]
pub(super) struct Retry {
    patience: Patience,
    seed: u64,
    waits: ExponentialBackoff,
    since: Option<Instant>,
    joined_at: Option<Instant>,
}

impl Retry {
    pub(super) fn new(patience: Patience, seed: u64) -> Self {
        Retry { patience, seed, waits: waits(patience, seed), since: None, joined_at: None }
    }

    /// The connection came about.
    pub(super) fn joined(&mut self, now: Instant) {
        self.joined_at = Some(now);
        self.since = None;
    }

    /// The connection is gone; `progress` = it was of use.
    pub(super) fn lost(&mut self, now: Instant, progress: bool) {
        let held = self.joined_at.is_some_and(|at| GOOD_AFTER <= now - at);
        if progress || held {
            self.seed = self.seed.wrapping_add(1);
            self.waits = waits(self.patience, self.seed);
        }
    }

    /// How long to wait before the next try; `None` = give up.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let wait = self.waits.next().unwrap_or(self.patience.delay_max);
        let limit = if self.joined_at.is_some() { self.patience.again } else { Some(self.patience.first) };
        match limit {
            Some(limit) if limit <= now - since => None,
            Some(limit) => Some(wait.min(limit - (now - since))),
            None => Some(wait),
        }
    }
}

fn waits(patience: Patience, seed: u64) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(patience.delay_min)
        .with_max_delay(patience.delay_max)
        .with_jitter()
        .with_jitter_seed(seed)
        .without_max_times()
        .build()
}

/// Whether the next try may go better.
pub(super) fn is_worth_retrying(error: &ConnectError) -> bool {
    match error {
        ConnectError::Unreachable(_) | ConnectError::TimedOut => true,
        ConnectError::Http(status) => matches!(status, 408 | 425 | 429 | 500..),
        ConnectError::Closed(closed) => closed.fatal().is_none(),
        ConnectError::NotJoined | ConnectError::HeadersWithoutCredential | ConnectError::Tls(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(first_s: u64, again_s: Option<u64>) -> Patience {
        Patience { first: Duration::from_secs(first_s), again: again_s.map(Duration::from_secs), ..Patience::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_never_in_tries_once_by_default() {
        assert_eq!(Retry::new(Patience::default(), 1).wait(Instant::now()), None);
        assert!(Retry::new(patience(3, None), 1).wait(Instant::now()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_to_the_limit_and_never_end() {
        let (now, mut retry) = (Instant::now(), Retry::new(patience(0, None), 7));
        retry.joined(now);
        let waits: Vec<_> = (0..50).map(|_| retry.wait(now).unwrap()).collect();
        assert!(waits[0] <= Duration::from_millis(200), "{:?}", waits[0]);
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(20)));
        assert!(Duration::from_secs(10) <= waits[49]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_has_an_end_when_one_is_set() {
        let (now, mut retry) = (Instant::now(), Retry::new(patience(0, Some(60)), 7));
        retry.joined(now);
        assert!(retry.wait(now).is_some());
        assert_eq!(retry.wait(now + Duration::from_secs(60)), None);
        retry.joined(now + Duration::from_secs(70));
        assert!(retry.wait(now + Duration::from_secs(80)).is_some(), "a new outage has its own time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_no_use_does_not_shorten_the_wait() {
        let (now, mut retry) = (Instant::now(), Retry::new(patience(0, None), 7));
        retry.joined(now);
        let mut longest = Duration::ZERO;
        for _ in 0..12 {
            longest = retry.wait(now).unwrap();
            retry.joined(now);
            retry.lost(now, false);
        }
        assert!(Duration::from_secs(10) <= longest);
        retry.lost(now, true);
        assert!(retry.wait(now).unwrap() <= Duration::from_millis(200));
    }
}
