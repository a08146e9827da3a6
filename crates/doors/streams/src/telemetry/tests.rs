use std::time::Duration;

use ams_core::clock::ManualClock;
use ams_core::engine::MemoryEngine;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn clock() -> Arc<ManualClock> {
    // 2026-05-02T18:00:00.123Z
    Arc::new(ManualClock::at(Timestamp::from_millis(1_777_744_800_123)))
}

fn records() -> Records {
    Records::new(Arc::new(MemoryEngine::new()))
}

fn json(telemetry: &Telemetry) -> serde_json::Value {
    serde_json::to_value(telemetry.report()).unwrap()
}

#[tokio::test]
async fn a_fresh_server_reports_seven_empty_days() {
    let telemetry = Telemetry::new(records(), clock());
    let report = json(&telemetry);
    assert_eq!(report["ts"], "2026-05-02T18:00:00.123Z");
    assert_eq!(report["days"].as_array().unwrap().len(), 7);
    assert_eq!((&report["days"][0]["date"], &report["days"][6]["date"]), (&"2026-04-26".into(), &"2026-05-02".into()));
    assert_eq!(report["actions"], serde_json::json!({"calls": 0, "distinct": 0, "top": []}));
}

#[tokio::test]
async fn days_roll_and_the_eighth_is_forgotten() {
    let clock = clock();
    let telemetry = Telemetry::new(records(), clock.clone());
    telemetry.token(10);
    telemetry.account_created();
    let today = &json(&telemetry)["days"][6];
    assert_eq!((&today["tokens"], &today["token_bytes"], &today["accounts"]), (&1.into(), &10.into(), &1.into()));

    clock.advance(DAY);
    telemetry.tokens(2, 7);
    let report = json(&telemetry);
    assert_eq!((&report["days"][5]["tokens"], &report["days"][6]["tokens"]), (&1.into(), &2.into()));
    assert_eq!(report["days"][6]["token_bytes"], 7);

    clock.advance(6 * DAY);
    let report = json(&telemetry);
    assert_eq!((&report["days"][0]["tokens"], &report["days"][6]["tokens"]), (&2.into(), &0.into()));
    assert_eq!((&report["totals"]["tokens"], &report["totals"]["token_bytes"]), (&3.into(), &17.into()));
    assert_eq!(report["totals"]["accounts"], 1);
}

#[tokio::test]
async fn a_restart_keeps_the_counts_and_a_crash_loses_what_was_not_saved() {
    let (clock, records) = (clock(), records());
    let before = Telemetry::new(records.clone(), clock.clone());
    before.token(3);
    before.conversation_created();
    before.closed(Close::new(4001, "stream_displaced"));
    before.called(Action::CreateAccount, 201);
    before.called(Action::CreateAccount, 409);
    before.save().await.unwrap();
    before.token(3);

    let after = Telemetry::new(records.clone(), clock.clone());
    after.closed(Close::new(4999, "own"));
    after.load().await.unwrap();
    after.load().await.unwrap();
    let report = json(&after);
    assert_eq!((&report["totals"]["tokens"], &report["totals"]["conversations"]), (&1.into(), &1.into()));
    assert_eq!(report["days"][6]["closes"], serde_json::json!({"4001": 1, "other": 1}));
    let top = serde_json::json!([{"action": "create_account", "calls": 2, "refusals": 1}]);
    assert_eq!(report["actions"]["top"], top);
    assert_eq!((&report["days"][6]["calls"], &report["days"][6]["refusals"]), (&2.into(), &1.into()));
}

#[tokio::test]
async fn what_was_saved_is_never_overwritten_by_a_process_that_has_not_read_it() {
    let (clock, records) = (clock(), records());
    let first = Telemetry::new(records.clone(), clock.clone());
    first.token(3);
    first.save().await.unwrap();
    clock.advance(DAY);
    let second = Telemetry::new(records.clone(), clock.clone());
    second.token(4);
    second.save().await.unwrap();
    let third = Telemetry::new(records, clock);
    third.load().await.unwrap();
    let report = json(&third);
    assert_eq!((&report["totals"]["tokens"], &report["totals"]["token_bytes"]), (&2.into(), &7.into()));
    assert_eq!((&report["days"][5]["token_bytes"], &report["days"][6]["token_bytes"]), (&3.into(), &4.into()));
}

#[tokio::test(start_paused = true)]
async fn the_counts_are_saved_each_minute_and_at_the_end() {
    let (clock, records) = (clock(), records());
    let telemetry = Arc::new(Telemetry::new(records.clone(), clock.clone()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let keeper = telemetry.clone();
    let keeping = tokio::spawn(async move { keeper.keep_saved(async { drop(stopped.await) }).await });
    let saved = async || {
        let after = Telemetry::new(records.clone(), clock.clone());
        after.load().await.unwrap();
        json(&after)["totals"]["tokens"].clone()
    };
    telemetry.token(1);
    tokio::time::sleep(SAVE_INTERVAL - Duration::from_secs(1)).await; // the paused clock: nothing really waits
    assert_eq!(saved().await, 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(saved().await, 1);
    telemetry.token(1);
    stop.send(()).unwrap();
    keeping.await.unwrap();
    assert_eq!(saved().await, 2);
}

#[tokio::test]
async fn a_clock_that_steps_back_neither_loses_nor_doubles_a_day() {
    let mut ledger = Ledger::default();
    let at = |day: i64| Timestamp::from_millis(day * 86_400_000);
    let counters = Counters::default();
    for (day, tokens) in [(100, 1), (101, 2), (100, 4)] {
        counters.add(Metric::Tokens, tokens);
        ledger.book(at(day), counters.read());
    }
    let booked: Vec<(i64, u64)> = ledger.days.iter().map(|day| (day.day, day.counts.get(Metric::Tokens))).collect();
    assert_eq!(booked, [(100, 1), (101, 6)]);
}

#[tokio::test]
async fn gauges_follow_joins_and_leaves() {
    let telemetry = Telemetry::new(records(), clock());
    telemetry.conversation_filled();
    telemetry.stream_joined();
    telemetry.stream_joined();
    telemetry.stream_left();
    assert_eq!(json(&telemetry)["live"], serde_json::json!({"streams": 1, "conversations": 1}));
    telemetry.stream_left();
    telemetry.conversation_emptied();
    let report = json(&telemetry);
    assert_eq!(report["live"], serde_json::json!({"streams": 0, "conversations": 0}));
    assert_eq!(report["totals"]["streams_joined"], 2);
}

#[tokio::test]
async fn samples_of_one_name_stand_together_and_count_since_the_start() {
    let telemetry = Telemetry::new(records(), clock());
    telemetry.token(5);
    telemetry.closed(Close::new(4005, "conversation_not_found"));
    let samples = telemetry.samples();
    let mut names: Vec<&str> = samples.iter().map(|sample| sample.name).collect();
    assert!(names.is_sorted());
    names.dedup();
    assert!(names.iter().all(|name| name.starts_with("ams_streams_")));
    let found = |name: &str, label: &str| {
        let fits = |sample: &&Sample| sample.name == name && sample.labels.iter().all(|(_, value)| value == label);
        samples.iter().find(fits).map(|sample| sample.value)
    };
    use ams_web::metrics::Value;
    assert_eq!(found("ams_streams_token_bytes", ""), Some(Value::Counter(5)));
    assert_eq!(found("ams_streams_closes", "4005"), Some(Value::Counter(1)));
    assert_eq!(found("ams_streams_attached", ""), Some(Value::Gauge(0.0)));
}
