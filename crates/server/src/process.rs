//! What this process uses, as the kernel counts it.

use std::time::Duration;

use ams_web::metrics::Sample;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Processor time, memory and descriptors under the names that every Prometheus client uses. What the system does not
/// tell is left out.
pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = vec![Sample::time(
        "process_cpu_seconds",
        "Processor time used since the start, in user and kernel mode.",
        cpu_time(),
    )];
    if let Some(bytes) = resident_bytes() {
        samples.push(Sample::gauge("process_resident_memory_bytes", "Memory resident now.", bytes as f64));
    }
    if let Some(count) = open_files() {
        samples.push(Sample::gauge("process_open_fds", "File descriptors open now.", count as f64));
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        samples.push(Sample::gauge("process_max_fds", "File descriptors that may be open.", limit as f64));
    }
    samples
}

fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), u32::try_from(used.tv_nsec).unwrap_or(0))
}

/// `VmRSS` of `/proc/self/status`, which is in KiB whatever the size of a page.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
}

fn open_files() -> Option<usize> {
    // The descriptor that reads the directory is in it.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_everything() {
        let samples = samples();
        assert_eq!(samples.len(), 4);
        assert!(samples[1].value != ams_web::metrics::Value::Gauge(0.0));
    }
}
