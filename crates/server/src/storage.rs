//! Which engine runs: the only place that knows there is more than one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ams_core::engine::{Engine, MemoryEngine};
use ams_engine::{OpenError, Options, SYNC_BUCKETS, SqliteEngine};
use ams_web::door::Samples;
use ams_web::metrics::Sample;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::config;
use crate::metrics;

/// The engine, and what only this one has to say.
pub(crate) struct Storage {
    pub engine: Arc<dyn Engine>,
    /// Where it keeps things, if on a disk of ours.
    pub data: Option<PathBuf>,
    pub samples: Samples,
    pub collectors: Vec<Box<dyn Collector>>,
}

/// Opens the configured engine; blocks while it replays what the last run left.
pub(crate) fn open(config: &config::Storage) -> Result<Storage, OpenError> {
    if config.ephemeral {
        let engine = Arc::new(MemoryEngine::new());
        return Ok(Storage { engine, data: None, samples: metrics::source(Vec::new), collectors: Vec::new() });
    }
    let engine = Arc::new(SqliteEngine::open(&config.data, Options::default())?);
    let counted = engine.clone();
    let samples = metrics::source(move || samples(&counted.stats()));
    let collectors: Vec<Box<dyn Collector>> = vec![Box::new(Syncs(engine.clone()))];
    Ok(Storage { engine, data: Some(config.data.clone()), samples, collectors })
}

fn samples(stats: &ams_engine::Stats) -> Vec<Sample> {
    let batches = "Commits to the journal, one sync each.";
    vec![
        Sample::counter("ams_commits_total", batches, stats.commits).with("result", "ok"),
        Sample::counter("ams_commits_total", batches, stats.commits_failed).with("result", "failed"),
        Sample::counter("ams_append_total", "Appends by what became of them.", stats.appends).with("result", "created"),
        Sample::counter("ams_append_total", "Appends by what became of them.", stats.repeats)
            .with("result", "duplicate"),
        Sample::counter("ams_append_total", "Appends by what became of them.", stats.busy).with("result", "busy"),
        Sample::counter("ams_entries_total", "Entries stored.", stats.entries),
        Sample::counter("ams_journal_bytes_total", "Bytes written to the journal.", stats.journal_bytes),
        Sample::counter("ams_flushes_total", "Moves from the journal into the shards.", stats.flushes)
            .with("result", "ok"),
        Sample::counter("ams_flushes_total", "Moves from the journal into the shards.", stats.flushes_failed)
            .with("result", "failed"),
        Sample::time("ams_flush_seconds_total", "Time spent in such moves.", stats.flush_time),
        Sample::counter("ams_record_commits_total", "Commits of records.", stats.record_commits),
        Sample::counter("ams_transactions_total", "Transactions of records.", stats.transactions),
        Sample::counter("ams_record_reads_total", "Reads of records.", stats.record_hits).with("from", "memory"),
        Sample::counter("ams_record_reads_total", "Reads of records.", stats.record_misses).with("from", "disk"),
        Sample::gauge(
            "ams_recovered_entries",
            "Entries that the last start took from the journal.",
            stats.recovered as f64,
        ),
        Sample::gauge("ams_unflushed_entries", "Entries in the journal alone.", stats.unflushed_entries as f64),
        Sample::gauge("ams_storage_bytes", "Bytes on disk.", stats.disk_bytes as f64).with("kind", "engine"),
    ]
}

/// The engine's own histogram, printed as one.
#[derive(Debug)]
struct Syncs(Arc<SqliteEngine>);

impl Collector for Syncs {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = self.0.stats();
        let bounds = SYNC_BUCKETS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(stats.sync_counts).collect();
        let help = "How long commits took, nearly all of it in the sync.";
        let mut histogram =
            encoder.encode_descriptor("ams_fsync_duration_seconds", help, None, MetricType::Histogram)?;
        histogram.encode_histogram::<NoLabelSet>(stats.sync_time.as_secs_f64(), stats.commits, &buckets, None)
    }
}
