//! Latencies, recorded exactly enough and told in microseconds.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies from the moment something was due to the moment it was seen.
#[derive(Debug)]
pub(crate) struct Latency {
    nanoseconds: Histogram<u64>,
}

/// The percentiles of a run, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    /// Half were faster.
    pub p50_us: f64,
    /// One in a hundred was slower.
    pub p99_us: f64,
    /// One in a thousand was slower.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

impl Latency {
    /// The longest latency that is told apart, in nanoseconds; a minute.
    const HIGHEST_NS: u64 = 60_000_000_000;

    /// Nothing recorded yet.
    pub(crate) fn new() -> Self {
        let nanoseconds =
            Histogram::new_with_bounds(100, Self::HIGHEST_NS, 3).expect("the bounds are constants and fit");
        Self { nanoseconds }
    }

    /// Records one.
    pub(crate) fn record(&mut self, due_ns: u64, seen_ns: u64) {
        self.nanoseconds.saturating_record(seen_ns.saturating_sub(due_ns));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.nanoseconds.reset();
    }

    /// The percentiles; `None` when nothing was recorded.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| round(self.nanoseconds.value_at_quantile(quantile) as f64 / 1e3);
        (!self.nanoseconds.is_empty()).then(|| Percentiles {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: round(self.nanoseconds.max() as f64 / 1e3),
        })
    }
}

/// To a tenth; the histogram has three digits.
fn round(us: f64) -> f64 {
    (us * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latency = Latency::new();
        assert_eq!(latency.percentiles(), None);
        for us in 1..=1_000 {
            latency.record(5_000, 5_000 + us * 1_000);
        }
        let found = latency.percentiles().unwrap();
        assert!((found.p50_us - 500.0).abs() < 2.0, "{found:?}");
        assert!((found.p99_us - 990.0).abs() < 2.0, "{found:?}");
        assert!((found.max_us - 1_000.0).abs() < 2.0, "{found:?}");
        latency.clear();
        assert_eq!(latency.percentiles(), None);
    }
}
