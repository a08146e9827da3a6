//! What a start reads back from the journal: a round of changes, an author, a record. Damage is an error, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    ams_engine::fuzzing::round(data);
    let Some((length, rest)) = data.split_first() else { return };
    let (author, record) = rest.split_at(usize::from(*length).min(rest.len()));
    ams_engine::fuzzing::entry(author, record);
});
