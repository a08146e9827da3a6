//! One reader of a thousand stops reading: the others must not notice, and the server must not keep all for it.

use std::time::Duration;

use anyhow::{Result, bail};

use super::traffic::{drain, paced};
use super::{Conditions, Window, lateness_p99_us};
use crate::cli::Server;
use crate::load::connection::End;
use crate::load::driver::Driver;
use crate::load::traffic::{Member, Traffic};
use crate::process::ServerProcess;
use crate::result::{Figures, Stalled};
use crate::target::{self, Wanted};

/// Followers of the stream; the last one stalls.
const FOLLOWERS: usize = 1_000;

/// Large tokens, so that the kernel's buffers fill in time.
const LARGE_DATA_BYTES: [usize; 1] = [16 << 10];

/// Tokens a second: 640 KB a second to each follower.
const RATE: f64 = 40.0;

/// How long the reader stalls. The kernel takes some 3 MB for it, the server what it is willing to.
const STALL: Duration = Duration::from_secs(12);

/// The stalled reader's receive buffer; the kernel makes at least a few KiB of it.
const RECEIVE_BUFFER_BYTES: usize = 4 << 10;

/// How long the stalled socket may take to end once it is read again.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// The code a server closes a reader with that is too slow (token streams §3.11).
const BACKPRESSURE_CODE: u16 = 4290;

/// Measures the others before and while one of them stalls.
pub(super) fn measure(server: Server, process: &ServerProcess, conditions: Conditions) -> Result<Figures> {
    let wanted = Wanted { rooms: 1, connections_per_room: FOLLOWERS + 1, durable: false };
    let rooms = target::open_rooms(server, process.address, wanted)?;
    let Some(room) = rooms.first() else { bail!("there is no room") };
    let mut requests: Vec<_> = (0..=FOLLOWERS).map(|place| room.join(&format!("member-{place}"), false)).collect();
    let stalled = FOLLOWERS;
    requests[stalled].receive_buffer_bytes = Some(RECEIVE_BUFFER_BYTES);
    let member = Member { writers: 0..1, writer: None, self_subscribe: false, counted: true };
    let mut members = vec![member.clone(); FOLLOWERS + 1];
    members[0].writer = Some(0);
    members[stalled].counted = false;
    let mut traffic = Traffic::new(members, &LARGE_DATA_BYTES);
    let mut driver = Driver::new(process.address)?;
    driver.join_all(&requests)?;

    let length = conditions.window.max(Duration::from_secs(2));
    paced(&mut driver, &mut traffic, RATE, length)?;
    drain(&mut driver, &mut traffic)?;
    let before = traffic.latency.percentiles();
    let memory_before = process.memory()?;
    traffic.restart_figures();

    driver.pause(stalled)?;
    let stalled_at_ns = driver.now_ns();
    let window = Window::open(process, stalled_at_ns)?;
    paced(&mut driver, &mut traffic, RATE, STALL)?;
    drain(&mut driver, &mut traffic)?;
    let span = window.close(driver.now_ns())?;
    let during = traffic.latency.percentiles();

    driver.resume(stalled)?;
    let give_up_ns = driver.now_ns() + END_TIMEOUT.as_nanos() as u64;
    while traffic.uncounted_end.is_none() && driver.now_ns() < give_up_ns {
        driver.turn(give_up_ns, &mut traffic)?;
    }

    let mut faults = traffic.faults.clone();
    faults.missing = traffic.expected.saturating_sub(traffic.delivered);
    let mut figures = span.figures(process, "delivery", traffic.delivered, faults)?;
    figures.latency = during;
    figures.lateness_p99_us = lateness_p99_us(&traffic.lateness);
    let end = traffic.uncounted_end;
    figures.stalled = Some(Stalled {
        before,
        during,
        gone_after_s: traffic.first_notice_ns.map(|at_ns| at_ns.saturating_sub(stalled_at_ns) as f64 / 1e9),
        closed_4290: matches!(end, Some(End::Closed { code: BACKPRESSURE_CODE, .. })),
        end: end.map_or_else(|| format!("still open after {END_TIMEOUT:?}"), |end| end.to_string()),
        rss_before_kib: memory_before.resident_kib,
    });
    Ok(figures)
}
