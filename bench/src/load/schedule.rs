//! When an open-loop run sends: fixed before it starts, whatever the server does.

use std::time::Duration;

/// Events at a fixed rate, each writer's evenly spaced, and the writers evenly staggered within one interval.
///
/// Event `n` belongs to writer `n % writers`. Being late never moves a later event, so a server that stalls is charged
/// for everything that should have happened meanwhile (no coordinated omission).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Schedule {
    start_ns: u64,
    step_ns: f64,
    writers: u64,
    events: u64,
}

impl Schedule {
    /// A schedule that starts at `start_ns` and gives each of `writers` `rate_per_writer` events a second.
    pub(crate) fn new(start_ns: u64, writers: usize, rate_per_writer: f64, length: Duration) -> Self {
        let writers = writers as u64;
        let rate = rate_per_writer * writers as f64;
        // Whole turns, so that every writer has equally many events.
        let turns = (length.as_secs_f64() * rate_per_writer).ceil().max(1.0) as u64;
        Self { start_ns, step_ns: 1e9 / rate, writers, events: turns * writers }
    }

    /// When event `number` is due, and which writer's it is; `None` after the last one.
    pub(crate) fn event(&self, number: u64) -> Option<Due> {
        let at_ns = self.start_ns + (number as f64 * self.step_ns) as u64;
        (number < self.events).then_some(Due { at_ns, writer: (number % self.writers) as usize })
    }
}

/// One event of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// When, on the driver's clock.
    pub at_ns: u64,
    /// Whose.
    pub writer: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_writer_has_its_share_evenly_spaced() {
        let schedule = Schedule::new(1_000, 10, 20.0, Duration::from_secs(2));
        let events: Vec<Due> = (0..).map_while(|number| schedule.event(number)).collect();
        assert_eq!(events.len(), 400);
        let third: Vec<u64> = events.iter().filter(|due| due.writer == 3).map(|due| due.at_ns).collect();
        assert_eq!(third.len(), 40);
        assert_eq!(third[0], 1_000 + 15_000_000);
        assert!(third.windows(2).all(|pair| pair[1].abs_diff(pair[0]).abs_diff(50_000_000) <= 1));
    }

    #[test]
    fn a_short_window_still_has_one_event_for_each_writer() {
        let schedule = Schedule::new(0, 3, 1.0, Duration::from_millis(10));
        assert_eq!((0..).map_while(|number| schedule.event(number)).count(), 3);
    }
}
