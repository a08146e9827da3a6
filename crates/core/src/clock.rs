//! Time and randomness as arguments: the only place of the core that could touch the real ones.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A moment of wall-clock time, in milliseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Takes milliseconds since 1970 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since 1970 UTC.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Reads an RFC 3339 time, such as `2026-05-02T18:00:00.123Z`; finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond()))
    }

    /// This time plus a duration.
    pub fn after(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This time minus a duration.
    pub fn before(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Days since 1970 UTC, the key of daily counts.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(86_400_000)
    }
}

/// UTC ISO 8601 with milliseconds and `Z`, as every door prints times (token streams §2.1).
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{at:.3}")
    }
}

/// Where time comes from. A server has one [`SystemClock`]; tests move a [`ManualClock`] by hand.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall-clock time, for people and frames; may step backwards.
    fn now(&self) -> Timestamp;
    /// Time that never steps backwards, for waits and limits.
    fn monotonic(&self) -> Instant;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that only moves when told to.
#[derive(Debug)]
pub struct ManualClock {
    start: Instant,
    origin: Timestamp,
    elapsed: std::sync::Mutex<Duration>,
}

impl ManualClock {
    /// A clock that stands at `origin`.
    #[expect(
        clippy::disallowed_methods,
        reason = "an `Instant` can only be made from the real clock; it is a base, never read again"
    )]
    pub fn at(origin: Timestamp) -> Self {
        ManualClock { start: Instant::now(), origin, elapsed: std::sync::Mutex::default() }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        *self.elapsed() += by;
    }

    fn elapsed(&self) -> std::sync::MutexGuard<'_, Duration> {
        self.elapsed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.origin.after(*self.elapsed())
    }

    fn monotonic(&self) -> Instant {
        self.start + *self.elapsed()
    }
}

/// Where random bytes come from.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills the buffer with bytes that nobody can guess.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the randomness that everybody else is given")]
    #[expect(clippy::expect_used, reason = "a machine without randomness can keep no secret; going on would be worse")]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}

/// Bytes that count up from a seed: for tests, never for secrets.
#[derive(Debug, Default)]
pub struct CountingEntropy(std::sync::atomic::AtomicU64);

impl Entropy for CountingEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        use sha2::{Digest, Sha256};
        for chunk in buffer.chunks_mut(32) {
            let count = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            chunk.copy_from_slice(&Sha256::digest(count.to_le_bytes())[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_prints_with_milliseconds_and_reads_itself_back() {
        let at = Timestamp::from_millis(1_777_744_800_123);
        assert_eq!(at.to_string(), "2026-05-02T18:00:00.123Z");
        assert_eq!(Timestamp::parse(&at.to_string()), Some(at));
        assert_eq!(Timestamp::from_millis(1_777_744_800_000).to_string(), "2026-05-02T18:00:00.000Z");
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(Timestamp::from_millis(5));
        let start = clock.monotonic();
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_millis(1005));
        assert_eq!(clock.monotonic() - start, Duration::from_secs(1));
    }
}
