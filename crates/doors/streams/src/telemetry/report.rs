//! The figures as they are shown: JSON for everybody, samples for Prometheus.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ams_core::clock::Timestamp;
use ams_web::metrics::{Sample, Value};
use serde::Serialize;

use super::counters::{Counts, Metric};
use super::{Action, DAYS_KEPT, Ledger};

/// Actions in the list of the most frequent ones.
const TOP_ACTIONS_MAX: usize = 10;
const DAY_MILLIS: i64 = 86_400_000;

/// The body of `GET /v1/telemetry`: aggregates of this server alone, exact but for the last minute before a crash.
///
/// ```json
/// {
///   "ts": "2026-05-02T18:00:00.123Z",
///   "totals": {"accounts": 12, "conversations": 40, "tokens": 81234, "token_bytes": 400123, "streams_joined": 97},
///   "live": {"streams": 3, "conversations": 1},
///   "days": [{
///     "date": "2026-05-02", "tokens": 512, "token_bytes": 2048, "accounts": 1, "conversations": 2,
///     "streams_joined": 6, "calls": 14, "refusals": 1, "closes": {"1000": 5, "4001": 1}
///   }],
///   "actions": {"calls": 90, "distinct": 5, "top": [{"action": "create_account", "calls": 40, "refusals": 2}]}
/// }
/// ```
///
/// `totals.accounts` and `totals.conversations` exist now (minted less deleted); the other totals are for all time.
/// `days` are the last seven, UTC, oldest first, today last, none left out. In a day, `accounts` and `conversations` were
/// minted; `calls` are HTTP requests and upgrades to known actions, `refusals` those of them answered with an error;
/// `closes` are ended WebSocket connections by close code, rare codes together under `other`. `actions` is over the same
/// seven days, the most frequent first, at most ten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    ts: String,
    totals: Totals,
    live: Live,
    days: Vec<Daily>,
    actions: Actions,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Totals {
    accounts: u64,
    conversations: u64,
    tokens: u64,
    token_bytes: u64,
    streams_joined: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Live {
    streams: u64,
    conversations: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Daily {
    date: String,
    tokens: u64,
    token_bytes: u64,
    accounts: u64,
    conversations: u64,
    streams_joined: u64,
    calls: u64,
    refusals: u64,
    closes: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Actions {
    calls: u64,
    distinct: usize,
    top: Vec<Called>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Called {
    action: &'static str,
    calls: u64,
    refusals: u64,
}

impl Report {
    pub(super) fn new(now: Timestamp, streams: u64, conversations: u64, ledger: &Ledger) -> Self {
        let total = &ledger.total;
        let totals = Totals {
            accounts: total.get(Metric::AccountsCreated).saturating_sub(total.get(Metric::AccountsDeleted)),
            conversations: total
                .get(Metric::ConversationsCreated)
                .saturating_sub(total.get(Metric::ConversationsDeleted)),
            tokens: total.get(Metric::Tokens),
            token_bytes: total.get(Metric::TokenBytes),
            streams_joined: total.get(Metric::StreamsJoined),
        };
        let today = ledger.days.back().map_or(now.day(), |day| day.day);
        let mut week = Counts::default();
        let days = (0..DAYS_KEPT as i64).rev().map(|ago| {
            let counted = ledger.days.iter().find(|day| day.day == today - ago).map(|day| &day.counts);
            week.add(counted.unwrap_or(&Counts::default()));
            Daily::new(today - ago, counted.unwrap_or(&Counts::default()))
        });
        let days = days.collect();
        let live = Live { streams, conversations };
        Report { ts: now.to_string(), totals, live, days, actions: Actions::new(&week) }
    }
}

impl Daily {
    fn new(day: i64, counts: &Counts) -> Self {
        let sum = |metric: fn(Action) -> Metric| Action::ALL.iter().map(|action| counts.get(metric(*action))).sum();
        let closes = Metric::closes().map(|(metric, label)| (label, counts.get(metric)));
        Daily {
            date: date(day),
            tokens: counts.get(Metric::Tokens),
            token_bytes: counts.get(Metric::TokenBytes),
            accounts: counts.get(Metric::AccountsCreated),
            conversations: counts.get(Metric::ConversationsCreated),
            streams_joined: counts.get(Metric::StreamsJoined),
            calls: sum(Metric::Call),
            refusals: sum(Metric::Refusal),
            closes: closes.filter(|(_, count)| *count != 0).collect(),
        }
    }
}

/// `2026-05-02`: the first ten characters of how a time is printed.
fn date(day: i64) -> String {
    let printed = Timestamp::from_millis(day.saturating_mul(DAY_MILLIS)).to_string();
    printed.split('T').next().unwrap_or_default().to_owned()
}

impl Actions {
    fn new(week: &Counts) -> Self {
        let called = Action::ALL.iter().map(|action| Called {
            action: action.as_str(),
            calls: week.get(Metric::Call(*action)),
            refusals: week.get(Metric::Refusal(*action)),
        });
        let mut top: Vec<Called> = called.filter(|called| called.calls != 0).collect();
        let (calls, distinct) = (top.iter().map(|called| called.calls).sum(), top.len());
        top.sort_by_key(|called| Reverse(called.calls));
        top.truncate(TOP_ACTIONS_MAX);
        Actions { calls, distinct, top }
    }
}

/// The counters since the start of the process, and the gauges.
pub(super) fn samples(counts: &Counts, streams: u64, conversations: u64) -> Vec<Sample> {
    let plain = [
        (Metric::Tokens, "ams_streams_tokens", "Tokens taken in."),
        (Metric::TokenBytes, "ams_streams_token_bytes", "Bytes of the tokens taken in."),
        (Metric::AccountsCreated, "ams_streams_accounts_created", "Accounts minted."),
        (Metric::AccountsDeleted, "ams_streams_accounts_deleted", "Accounts deleted."),
        (Metric::ConversationsCreated, "ams_streams_conversations_created", "Conversations minted."),
        (Metric::ConversationsDeleted, "ams_streams_conversations_deleted", "Conversations deleted."),
        (Metric::StreamsJoined, "ams_streams_joined", "Streams that attached."),
    ];
    let plain = plain.map(|(metric, name, help)| Sample::counter(name, help, counts.get(metric)));
    let live = [
        ("ams_streams_attached", "Streams attached now.", streams),
        ("ams_streams_conversations_live", "Conversations with a stream attached now.", conversations),
    ];
    // A gauge is a float; it counts exactly up to 2^53.
    let live = live.map(|(name, help, value)| Sample::gauge(name, help, value as f64));
    let closes = Metric::closes().map(|(metric, code)| {
        let help = "Connections that ended, by close code.";
        Sample::counter("ams_streams_closes", help, counts.get(metric)).with("code", code)
    });
    let calls = Action::ALL.into_iter().flat_map(|action| {
        let sample =
            |name, help, metric| Sample::counter(name, help, counts.get(metric)).with("action", action.as_str());
        [
            sample("ams_streams_calls", "Requests, by action.", Metric::Call(action)),
            sample("ams_streams_refusals", "Requests answered with an error, by action.", Metric::Refusal(action)),
        ]
    });
    let mut samples: Vec<Sample> = plain.into_iter().chain(live).chain(closes).chain(calls).collect();
    // Samples of one name stand together, as the text format wants them.
    samples.sort_by_key(|sample| (sample.name, matches!(sample.value, Value::Gauge(_))));
    samples
}
