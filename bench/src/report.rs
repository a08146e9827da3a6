//! The ratios, as medians over rounds, and everything else that helps to judge them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use clap::ValueEnum as _;

use crate::cli::Server;
use crate::floors::{Bound, Floor, Metric, floors};
use crate::load::latency::Percentiles;
use crate::result::{Figures, Measurement, Stalled};
use crate::scenario::Scenario;

/// From this share of a core on, the generator's one thread may itself have been the limit.
const GENERATOR_CORES_MAX: f64 = 0.9;

/// The middle of some values, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

impl Spread {
    /// The spread of `values`; `None` when there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&least, &greatest) = (values.first()?, values.last()?);
        let upper = values[values.len() / 2];
        let lower = values[(values.len() - 1) / 2];
        Some(Self { median: f64::midpoint(lower, upper), least, greatest })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.least, self.greatest)
    }
}

/// The valid figures of one scenario, by round and server.
type Rounds<'a> = BTreeMap<u32, BTreeMap<Server, &'a Figures>>;

/// Renders the whole report.
pub(crate) fn render(measurements: &[Measurement]) -> String {
    let mut text = String::new();
    let mut ratios = Table::new(&["scenario", "figure", "median (min–max)", "rounds", "floor", "ambition"]);
    let mut details = Table::new(&[
        "scenario",
        "server",
        "CPU µs/unit",
        "unit",
        "units/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "server cores",
        "generator cores",
        "late p99 µs",
        "RSS MiB",
    ]);
    let mut remarks = Vec::new();
    for &scenario in Scenario::value_variants() {
        let of_scenario: Vec<&Measurement> =
            measurements.iter().filter(|measurement| measurement.scenario == scenario).collect();
        let rounds = valid(&of_scenario, &mut remarks);
        for floor in floors(scenario) {
            ratio_rows(&mut ratios, scenario, &floor, &rounds);
        }
        detail_rows(&mut details, &mut remarks, scenario, &rounds);
    }
    text.push_str(&ratios.render());
    text.push('\n');
    text.push_str(&details.render());
    for measurement in measurements {
        if let Some(stalled) = measurement.figures.as_ref().and_then(|figures| figures.stalled.as_ref()) {
            stalled_text(&mut text, measurement, stalled);
        }
    }
    for remark in remarks {
        writeln!(text, "! {remark}").ok();
    }
    text
}

/// Sorts measurements into rounds, and leaves out what failed or has faults.
fn valid<'a>(measurements: &[&'a Measurement], remarks: &mut Vec<String>) -> Rounds<'a> {
    let mut rounds = Rounds::new();
    for Measurement { scenario, server, round, error, figures } in measurements.iter().copied() {
        let place = format!("{} on {}, round {round}", scenario.name(), server.name());
        if let Some(error) = error {
            remarks.push(format!("{place}: {error}"));
        }
        let Some(figures) = figures else { continue };
        if figures.faults.none() {
            rounds.entry(*round).or_default().insert(*server, figures);
        } else {
            remarks.push(format!("{place} is not valid: {:?}", figures.faults));
        }
    }
    rounds
}

/// The rows of one floor: AMS beside what it is compared with, and where there is more, that beside each other.
fn ratio_rows(table: &mut Table, scenario: Scenario, floor: &Floor, rounds: &Rounds<'_>) {
    let servers: BTreeSet<Server> = rounds.values().flat_map(|servers| servers.keys().copied()).collect();
    let mut row = |subject: Server, demanded: Option<Bound>, ambition: Option<Bound>| {
        let values = rounds.values().filter_map(|servers| value(floor, subject, servers));
        let values: Vec<f64> = values.collect();
        let Some(spread) = Spread::of(values.iter().copied()) else { return };
        let judge = |bound: Bound| format!("{bound} {}", if bound.holds(spread.median) { "met" } else { "NOT MET" });
        let hope = |bound: Bound| format!("{bound} {}", if bound.holds(spread.median) { "met" } else { "not yet" });
        let figure = match floor.against {
            Some(other) => format!("{} {} : {}", floor.metric.name(), subject.name(), other.name()),
            None => format!("{} {}", floor.metric.name(), subject.name()),
        };
        table.row(vec![
            scenario.name(),
            figure,
            spread.to_string(),
            values.len().to_string(),
            demanded.map_or_else(|| "-".to_owned(), judge),
            ambition.map_or_else(|| "-".to_owned(), hope),
        ]);
    };
    row(Server::Ams, floor.demanded, floor.ambition);
    for &server in servers.iter().filter(|&&server| server != Server::Ams && Some(server) != floor.against) {
        // For comparison: the customary design beside the limit. The other way round says nothing more.
        if floor.against != Some(Server::Queue) {
            row(server, None, None);
        }
    }
}

/// A round's value of a floor's figure, for one server.
fn value(floor: &Floor, subject: Server, servers: &BTreeMap<Server, &Figures>) -> Option<f64> {
    let own = floor.metric.of(servers.get(&subject)?)?;
    let Some(other) = floor.against else { return Some(own) };
    let other = floor.metric.of(servers.get(&other)?)?;
    (0.0 < other).then(|| own / other)
}

/// One row per server: medians of what was measured.
fn detail_rows(table: &mut Table, remarks: &mut Vec<String>, scenario: Scenario, rounds: &Rounds<'_>) {
    for &server in Server::value_variants() {
        let of_server: Vec<&Figures> = rounds.values().filter_map(|servers| servers.get(&server).copied()).collect();
        let Some(first) = of_server.first() else { continue };
        let median = |read: &dyn Fn(&Figures) -> Option<f64>| {
            Spread::of(of_server.iter().filter_map(|figures| read(figures))).map(|spread| spread.median)
        };
        let show = |value: Option<f64>, digits: usize| value.map_or_else(|| "-".into(), |v| format!("{v:.digits$}"));
        let latency = |read: fn(&Percentiles) -> f64| median(&|figures| figures.latency.as_ref().map(read));
        let generator = median(&|figures| Some(figures.generator_cores));
        if generator.is_some_and(|cores| GENERATOR_CORES_MAX < cores) {
            let name = format!("{} on {}", scenario.name(), server.name());
            remarks.push(format!(
                "{name}: the generator used its whole core, so the rate is its own; CPU per unit still counts"
            ));
        }
        table.row(vec![
            scenario.name(),
            server.name().to_owned(),
            show(median(&|figures| Metric::CpuPerUnit.of(figures)), 2),
            first.unit.clone(),
            show(median(&|figures| Some(figures.rate_per_s)), 0),
            show(latency(|percentiles| percentiles.p50_us), 0),
            show(latency(|percentiles| percentiles.p99_us), 0),
            show(latency(|percentiles| percentiles.p999_us), 0),
            show(median(&|figures| Some(figures.server_cores)), 3),
            show(generator, 2),
            show(median(&|figures| figures.lateness_p99_us), 0),
            show(median(&|figures| Some(figures.rss_kib as f64 / 1024.0)), 1),
        ]);
    }
}

/// What a stalled reader did.
fn stalled_text(text: &mut String, measurement: &Measurement, stalled: &Stalled) {
    let Some(figures) = &measurement.figures else { return };
    let show = |percentiles: &Option<Percentiles>| {
        percentiles.map_or_else(
            || "nothing".to_owned(),
            |p| format!("p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs", p.p50_us, p.p99_us, p.p999_us),
        )
    };
    let gone = stalled.gone_after_s.map_or_else(|| "never".to_owned(), |s| format!("after {s:.1} s"));
    let verdict = if stalled.closed_4290 { "met" } else { "NOT MET" };
    write!(
        text,
        "\n{} on {}: 1,000 followers of one stream, the last stops reading\n  \
         others before    {}\n  others meanwhile {}\n  \
         server memory    {:.1} MiB before, {:.1} MiB at its peak\n  \
         others were told {gone}\n  the stalled one  {} (4290 demanded: {verdict})\n",
        measurement.scenario.name(),
        measurement.server.name(),
        show(&stalled.before),
        show(&stalled.during),
        stalled.rss_before_kib as f64 / 1024.0,
        figures.rss_peak_kib as f64 / 1024.0,
        stalled.end,
    )
    .ok();
}

/// Columns of text, as wide as their widest cell.
#[derive(Debug)]
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&name| name.to_owned()).collect()] }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn render(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::traffic::Faults;

    fn measured(server: Server, round: u32, cpu_us_per_unit: f64, faults: Faults) -> Measurement {
        let figures = Figures {
            unit: "delivery".into(),
            units: 10,
            seconds: 1.0,
            rate_per_s: 10.0,
            cpu_us_per_unit,
            server_cores: 0.1,
            generator_cores: 0.1,
            latency: None,
            lateness_p99_us: None,
            rss_kib: 1024,
            rss_peak_kib: 1024,
            connection_bytes: None,
            stalled: None,
            faults,
        };
        Measurement { scenario: Scenario::FanOut1x100, server, round, error: None, figures: Some(figures) }
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_two() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.least, spread.greatest), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_ratio_is_taken_within_a_round_and_never_across_rounds() {
        // The machine was three times slower in round 2; the ratio does not see it.
        let measurements = [
            measured(Server::Ams, 1, 6.0, Faults::default()),
            measured(Server::Direct, 1, 5.0, Faults::default()),
            measured(Server::Direct, 2, 15.0, Faults::default()),
            measured(Server::Ams, 2, 18.0, Faults::default()),
            measured(Server::Ams, 3, 99.0, Faults::default()),
        ];
        let text = render(&measurements);
        assert!(text.contains("CPU ams : direct  1.20 (1.20–1.20)  2       ≤ 1.40 met  ≤ 1.15 not yet"), "{text}");
    }

    #[test]
    fn a_result_with_faults_is_left_out_and_named() {
        let faults = Faults { missing: 7, ..Faults::default() };
        let text =
            render(&[measured(Server::Ams, 1, 6.0, faults), measured(Server::Direct, 1, 5.0, Faults::default())]);
        assert!(!text.contains("ams : direct"), "{text}");
        assert!(text.contains("fanout-1x100 on ams, round 1 is not valid") && text.contains("missing: 7"), "{text}");
    }
}
