//! Metadata: kept byte for byte, bounded, and one top-level text of it can be found.
#![no_main]

use std::collections::HashMap;

use ams_door_streams::metadata::Metadata;
use ams_door_streams::wire::{METADATA_BYTES_MAX, METADATA_DEPTH_MAX};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return };
    let value: Result<Value, _> = serde_json::from_str(raw.get());
    let Ok(metadata) = Metadata::new(raw) else {
        // What is refused is no object, or beyond a bound.
        let beyond = METADATA_BYTES_MAX < raw.get().len();
        assert!(
            value.is_err()
                || beyond
                || value.is_ok_and(|value| !value.is_object() || METADATA_DEPTH_MAX < depth(&value))
        );
        return;
    };
    assert_eq!(metadata.as_str(), raw.get());
    let kept = serde_json::to_string(&metadata).expect("metadata can be written");
    assert_eq!(kept, raw.get());
    let Ok(value) = value else { return };
    assert!(value.is_object() && depth(&value) <= METADATA_DEPTH_MAX);
    let fields: HashMap<String, Value> = serde_json::from_value(value).expect("it is an object");
    for (key, value) in &fields {
        assert_eq!(metadata.text(key).as_deref(), value.as_str());
    }
});

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
