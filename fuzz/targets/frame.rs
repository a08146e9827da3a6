//! A client's text message as a frame: what is taken is what any JSON parser finds, and reads back once written.
#![no_main]

use ams_door_streams::fuzzing;
use ams_door_streams::wire::ClientFrame;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let Ok(frame) = ClientFrame::parse(text) else { return };
    // What an extension holds is not kept, so there is nothing to write.
    if !matches!(frame, ClientFrame::Extension) {
        let written = serde_json::to_string(&frame).expect("a frame can be written");
        let again = ClientFrame::parse(&written).expect("what was written is a frame");
        assert_eq!(std::mem::discriminant(&frame), std::mem::discriminant(&again));
    }

    // A parser that builds values refuses what only ever is passed on: deep nesting, halves of characters.
    let value: Option<Value> = serde_json::from_str(text).ok();
    if let Some(value) = &value {
        assert!(value["type"].is_string(), "a frame without a type");
    }
    match &frame {
        ClientFrame::Token { data, key } => {
            let whole: String = serde_json::from_str(data.get()).expect("a token's data is text");
            for max in [0, 1, whole.len().saturating_sub(1), whole.len(), whole.len() + 1] {
                assert_eq!(fuzzing::is_longer(data, max), max < whole.len());
            }
            if let Some(value) = &value {
                assert_eq!(value["data"].as_str(), Some(whole.as_str()));
                assert_eq!(value["key"].as_str(), key.as_deref());
            }
        }
        ClientFrame::Attach(attach) => {
            fuzzing::wish_of_attach(attach);
        }
        _ => {}
    }
});
