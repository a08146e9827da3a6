//! Every bound of the core, with its reason and what happens when it is met; and the token bucket.

use std::time::{Duration, Instant};

/// Bytes in a room's id; a longer one is no id.
pub const ROOM_ID_BYTES_MAX: usize = 128;
/// Bytes in an idempotency key; a longer one is refused.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// Bytes in a record's name; only doors make names, out of parsed parts that are shorter.
pub const RECORD_NAME_BYTES_MAX: usize = 512;

/// Bounds of one room, the same for every room of a server.
#[derive(Debug, Clone, Copy)]
pub struct RoomLimits {
    /// Items the tail keeps. Older ones leave; a reader that still wanted one goes to the engine (durable) or is
    /// closed with its door's code (ephemeral).
    pub tail_items_max: usize,
    /// Bytes of bodies and frames the tail keeps; the oldest leave first.
    pub tail_bytes_max: usize,
    /// The same two bounds for a durable room, whose engine has everything: only the usual lag has to fit.
    pub durable_tail_items_max: usize,
    /// See [`Self::durable_tail_items_max`].
    pub durable_tail_bytes_max: usize,
    /// How long a tail remembers.
    pub tail_age_max: Duration,
    /// Presence changes kept for readers that catch up from the engine; one that misses more is closed to rejoin.
    pub signals_max: usize,
    /// Bytes of one gathered write; a longer round is written in several.
    pub round_bytes_max: usize,
    /// Entries of a room that wait for the engine at once; a writer that meets it is not read until it falls.
    pub pending_entries_max: usize,
    /// Bytes of bodies of a room that wait for the engine at once; the same happens.
    pub pending_bytes_max: usize,
    /// Those present in a room at once; one more is refused.
    pub present_max: usize,
}

impl Default for RoomLimits {
    fn default() -> Self {
        RoomLimits {
            tail_items_max: 8_192,
            tail_bytes_max: 4 << 20,
            durable_tail_items_max: 1_024,
            durable_tail_bytes_max: 1 << 20,
            tail_age_max: Duration::from_secs(60),
            signals_max: 4_096,
            // What one `send` takes without splitting on a default Linux socket, give or take.
            round_bytes_max: 64 << 10,
            pending_entries_max: 8_192,
            pending_bytes_max: 4 << 20,
            present_max: 16_384,
        }
    }
}

/// A token bucket as one moment: the generic cell rate algorithm (ITU-T I.371). A bucket that was never touched is full.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// When the bucket will be full again; in the past or absent = full now.
    full_at: Option<Instant>,
}

/// How fast a [`Bucket`] refills and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How long one token takes to come back.
    pub interval: Duration,
    /// Tokens a full bucket holds.
    pub burst: u32,
}

impl Rate {
    /// `count` in each `period`, all of which may come at once.
    ///
    /// # Panics
    /// When `count` is zero.
    pub fn per(count: u32, period: Duration) -> Self {
        Rate { interval: period / count, burst: count }
    }
}

impl Bucket {
    /// Takes one token, or says how long to wait for it.
    ///
    /// # Errors
    /// The wait after which one token will be there.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        let next = full_at + rate.interval;
        let tolerance = rate.interval * rate.burst;
        if tolerance < next - now {
            return Err((next - now) - tolerance);
        }
        self.full_at = Some(next);
        Ok(())
    }

    /// Whether the bucket is full, so that forgetting it changes nothing.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock, Timestamp};
    use proptest::prelude::*;

    #[test]
    fn a_bucket_gives_its_burst_then_one_for_each_interval() {
        let clock = ManualClock::at(Timestamp::default());
        let (rate, mut bucket) = (Rate::per(3, Duration::from_secs(3)), Bucket::default());
        let mut take = || bucket.take(rate, clock.monotonic());
        assert_eq!([take(), take(), take()], [Ok(()); 3]);
        assert_eq!(take(), Err(Duration::from_secs(1)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(take(), Ok(()));
        assert_eq!(take(), Err(Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn no_window_ever_sees_more_than_burst_and_rate(steps in prop::collection::vec(0u64..700, 1..200)) {
            let clock = ManualClock::at(Timestamp::default());
            let (rate, mut bucket, mut taken) = (Rate::per(5, Duration::from_secs(1)), Bucket::default(), 0u32);
            let start = clock.monotonic();
            for step in steps {
                clock.advance(Duration::from_millis(step));
                taken += u32::from(bucket.take(rate, clock.monotonic()).is_ok());
                let refilled = (clock.monotonic() - start).as_millis() / rate.interval.as_millis();
                prop_assert!(u128::from(taken) <= u128::from(rate.burst) + refilled);
            }
        }
    }
}
