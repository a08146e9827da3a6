//! Metadata: a JSON object that people and programs describe themselves with, carried byte for byte.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::wire::{METADATA_BYTES_MAX, METADATA_DEPTH_MAX};

/// A JSON object as its writer wrote it: order of keys, spaces and number formats included. At most
/// [`METADATA_BYTES_MAX`] bytes and [`METADATA_DEPTH_MAX`] levels; never logged.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(Box<RawValue>);

/// The value is no JSON object, or too large, or nested too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "metadata has to be a JSON object of at most {METADATA_BYTES_MAX} bytes, nested at most {METADATA_DEPTH_MAX} deep"
)]
pub struct InvalidMetadata;

impl Metadata {
    /// Takes a JSON value that a parser has found to be well formed.
    ///
    /// # Errors
    /// When it is no object, or larger or deeper than the limits.
    pub fn new(value: &RawValue) -> Result<Self, InvalidMetadata> {
        let text = value.get();
        if !text.starts_with('{') || METADATA_BYTES_MAX < text.len() || METADATA_DEPTH_MAX < depth(text) {
            return Err(InvalidMetadata);
        }
        Ok(Metadata(value.to_owned()))
    }

    /// The object as JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The object as JSON, to be put into a larger one.
    pub fn as_raw(&self) -> &RawValue {
        &self.0
    }

    /// The text under a top-level key, if there is one and it is a string. Of a key written twice the last counts.
    pub fn text(&self, key: &str) -> Option<String> {
        let fields: std::collections::HashMap<String, &RawValue> = serde_json::from_str(self.as_str()).ok()?;
        serde_json::from_str(fields.get(key)?.get()).ok()
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Metadata(RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Metadata {}

/// Shows the size alone: what people write here is theirs (token streams §6.1).
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} bytes)", self.as_str().len())
    }
}

/// How deep arrays and objects nest in well-formed JSON; 0 for a bare string or number.
fn depth(json: &str) -> usize {
    let (mut deepest, mut open, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn metadata(json: &str) -> Result<Metadata, InvalidMetadata> {
        Metadata::new(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn an_object_is_kept_byte_for_byte() {
        let json = "{ \"z\":1, \"a\":{\"\\u00e9\":1.50,  \"k\":[]},\n\"z\":1e2}";
        let kept = metadata(json).unwrap();
        assert_eq!(kept.as_str(), json);
        let stored = serde_json::to_vec(&kept).unwrap();
        assert_eq!(serde_json::from_slice::<Metadata>(&stored).unwrap(), kept);
        assert_eq!(format!("{kept:?}"), format!("Metadata({} bytes)", json.len()));
        assert_eq!(Metadata::default().as_str(), "{}");
    }

    #[test]
    fn anything_but_a_bounded_object_is_refused() {
        for json in ["null", "[]", "\"{\"", "1", "true"] {
            assert_eq!(metadata(json), Err(InvalidMetadata), "{json}");
        }
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(metadata(&nested(METADATA_DEPTH_MAX)).is_ok());
        assert!(metadata(&nested(METADATA_DEPTH_MAX + 1)).is_err());
        assert!(metadata(&nested(100_000)).is_err(), "and no stack is used up on the way");
        let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(metadata(&sized(METADATA_BYTES_MAX)).is_ok());
        assert!(metadata(&sized(METADATA_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn text_is_found_under_its_key_only() {
        let found = metadata(r#"{"instructions":"say \"hi\" 你好","n":1,"o":{"instructions":"no"}}"#).unwrap();
        assert_eq!(found.text("instructions").as_deref(), Some("say \"hi\" 你好"));
        assert_eq!((found.text("n"), found.text("o"), found.text("x")), (None, None, None));
    }

    /// The depth as a parser finds it.
    fn depth_of(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
            serde_json::Value::Object(fields) => 1 + fields.values().map(depth_of).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![Just(serde_json::Value::Null), "[\\PC\\\\\"{}\\[\\]]{0,8}".prop_map(Into::into)];
        leaf.prop_recursive(8, 64, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[\\PC\\\\\"{}]{0,4}", inner, 0..4)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_depth_is_what_a_parser_finds(value in any_json()) {
            prop_assert_eq!(depth(&value.to_string()), depth_of(&value));
        }
    }
}
