//! What a door counts, in a form that needs no metrics library.

use std::time::Duration;

/// One value at the time of a scrape. Labels never hold names or ids of users.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Prometheus name with unit, without the `_total` that a counter gets when printed: `ams_streams_attached`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Label names and values, few and fixed.
    pub labels: Vec<(&'static str, String)>,
    /// The value and what kind it is.
    pub value: Value,
}

/// A value that only grows, one that adds up time, or one that goes up and down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Counts since the start.
    Counter(u64),
    /// Adds up time since the start; printed in seconds.
    Time(Duration),
    /// How it stands now.
    Gauge(f64),
}

impl Sample {
    /// A counter without labels.
    pub const fn counter(name: &'static str, help: &'static str, count: u64) -> Self {
        Sample { name, help, labels: Vec::new(), value: Value::Counter(count) }
    }

    /// A sum of time without labels.
    pub const fn time(name: &'static str, help: &'static str, time: Duration) -> Self {
        Sample { name, help, labels: Vec::new(), value: Value::Time(time) }
    }

    /// A gauge without labels.
    pub const fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Sample { name, help, labels: Vec::new(), value: Value::Gauge(value) }
    }

    /// The same sample with one more label.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((label, value.into()));
        self
    }
}
