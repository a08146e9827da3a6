//! `/metrics`: everything that is counted, as Prometheus text.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ams_web::door::Samples;
use ams_web::metrics::{Sample, Value};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::counters::Counters;

/// The content type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The one registry.
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// Registers what the frame counts, and sources and collectors that are asked at each scrape.
    pub(crate) fn new(
        counters: &Counters,
        build: Vec<(&'static str, String)>,
        sources: Vec<Samples>,
        collectors: Vec<Box<dyn Collector>>,
    ) -> Self {
        let mut registry = Registry::default();
        registry.register("ams_build", "What was built", Info::new(build));
        registry.register("ams_connections_accepted", "Connections accepted", counters.accepted.clone());
        let text = "Connections turned away for want of room";
        registry.register("ams_connections_refused", text, counters.refused.clone());
        let text = "Connections closed because handshake or first request took too long";
        registry.register("ams_connections_timed_out", text, counters.timed_out.clone());
        registry.register(
            "ams_accept_errors",
            "Times that the system could not accept",
            counters.accept_errors.clone(),
        );
        registry.register(
            "ams_tls_handshakes_failed",
            "TLS handshakes that failed",
            counters.handshakes_failed.clone(),
        );
        registry.register("ams_http_requests", "Requests answered", counters.requests.clone());
        registry.register("ams_http_request_duration_seconds", "How long answers took", counters.durations.clone());
        registry.register("ams_http_panics", "Request handlers that panicked", counters.panics.clone());
        registry.register_collector(Box::new(Sources(sources)));
        collectors.into_iter().for_each(|collector| registry.register_collector(collector));
        Metrics(registry)
    }

    /// Everything as it stands now.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// Whoever counts by itself.
struct Sources(Vec<Samples>);

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sources").field(&self.0.len()).finish()
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut families: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
        for sample in self.0.iter().flat_map(|source| source()) {
            families.entry(sample.name).or_default().push(sample);
        }
        families.into_iter().try_for_each(|(name, samples)| encode_family(&mut encoder, name, &samples))
    }
}

/// One name with its help, then a line for each set of labels.
fn encode_family(encoder: &mut DescriptorEncoder<'_>, name: &str, samples: &[Sample]) -> Result<(), fmt::Error> {
    let Some(first) = samples.first() else { return Ok(()) };
    let kind = match first.value {
        Value::Counter(_) | Value::Time(_) => MetricType::Counter,
        Value::Gauge(_) => MetricType::Gauge,
    };
    // The encoder adds `_total` to counters by itself.
    let name = if matches!(kind, MetricType::Counter) { name.trim_end_matches("_total") } else { name };
    let mut family = encoder.encode_descriptor(name, first.help, None, kind)?;
    for sample in samples {
        if sample.labels.is_empty() {
            // A single line takes the whole encoder; a family of it would be printed with empty braces.
            return encode_value(sample.value, family);
        }
        encode_value(sample.value, family.encode_family(&sample.labels)?)?;
    }
    Ok(())
}

fn encode_value(value: Value, line: MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match value {
        Value::Counter(count) => ConstCounter::new(count).encode(line),
        Value::Time(time) => ConstCounter::new(time.as_secs_f64()).encode(line),
        Value::Gauge(value) => ConstGauge::new(value).encode(line),
    }
}

/// A source that is asked for its samples at each scrape.
pub(crate) fn source(samples: impl Fn() -> Vec<Sample> + Send + Sync + 'static) -> Samples {
    Arc::new(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_share_one_description() {
        let counters = Counters::default();
        counters.accepted.inc();
        let samples = || {
            vec![
                Sample::counter("ams_x_total", "X.", 3).with("kind", "a"),
                Sample::gauge("ams_y", "Y.", 1.5),
                Sample::counter("ams_x_total", "X.", 4).with("kind", "b"),
            ]
        };
        let metrics = Metrics::new(&counters, vec![("version", "1".to_owned())], vec![source(samples)], Vec::new());
        let text = metrics.text().unwrap();
        for line in [
            "ams_connections_accepted_total 1",
            "ams_x_total{kind=\"a\"} 3",
            "ams_x_total{kind=\"b\"} 4",
            "ams_y 1.5",
            "ams_build_info{version=\"1\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("# TYPE ams_x counter").count(), 1, "{text}");
    }
}
