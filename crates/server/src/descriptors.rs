//! Open files: how many there may be, and how many of them may be connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are no connections: databases and their logs, the listener, timers, and refusals that linger.
const RESERVE: u64 = 256;
/// Connections when the system sets no limit of open files; each still costs memory.
const UNLIMITED: u64 = 1 << 20;

/// Raises this process's soft limit of open files to its hard limit and returns what holds then; `None` is no limit.
///
/// The soft limit is low by custom only because of `select`, which nobody here calls.
pub(crate) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "could not raise the limit of open files");
            limit.current
        }
    }
}

/// Connections that may be open at once under a limit of open files.
///
/// A configured count that the system does not allow is cut down to what it does.
pub(crate) fn connections_max(configured: Option<u32>, files: Option<u64>) -> usize {
    let allowed = files.map_or(UNLIMITED, |files| files.saturating_sub(RESERVE.min(files / 2)).max(1));
    let wanted = configured.map_or(allowed, u64::from);
    let count = wanted.min(allowed);
    if count < wanted {
        tracing::warn!(wanted, count, files, "the limit of open files allows fewer connections than configured");
    } else {
        tracing::info!(count, files, "connections that may be open at once");
    }
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_stays_for_everything_else() {
        assert_eq!(connections_max(None, Some(65_536)), 65_280);
        assert_eq!(connections_max(None, Some(100)), 50);
        assert_eq!(connections_max(Some(10), Some(65_536)), 10);
        assert_eq!(connections_max(Some(100_000), Some(65_536)), 65_280);
        assert_eq!(connections_max(Some(7), None), 7);
    }
}
