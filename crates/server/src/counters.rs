//! What the server frame counts.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// A counter that grows for the life of the process.
pub(crate) type Count = Counter<u64, AtomicU64>;

/// Upper bounds in seconds. Requests here are short; what takes longer than the last bound is worth a look by itself.
const DURATION_SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// One kind of request; every label has few values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// A method of the standard, or `other`.
    pub method: &'static str,
    /// The route's template, or `unmatched`.
    pub route: String,
    /// The status code.
    pub status: u16,
}

/// Counters of connections and requests.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Connections accepted.
    pub accepted: Count,
    /// Connections turned away because there was no room.
    pub refused: Count,
    /// Times that the system could not accept.
    pub accept_errors: Count,
    /// Connections closed because handshake or first request took too long.
    pub timed_out: Count,
    /// TLS handshakes that failed.
    pub handshakes_failed: Count,
    /// Requests answered.
    pub requests: Family<RequestLabels, Count>,
    /// How long answers took.
    pub durations: Histogram,
    /// Handlers that panicked.
    pub panics: Count,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            accepted: Count::default(),
            refused: Count::default(),
            accept_errors: Count::default(),
            timed_out: Count::default(),
            handshakes_failed: Count::default(),
            requests: Family::default(),
            durations: Histogram::new(DURATION_SECONDS),
            panics: Count::default(),
        }
    }
}
