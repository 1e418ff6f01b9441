//! What a document shows, against what the server says.

use serde_json::Value;

/// Stands for any value.
pub(crate) const ANY: &str = "…";

/// Whether `told` is what a document shows: `…` stands for any value, and the order of fields is left open.
pub(crate) fn is_like(told: &Value, shown: &Value) -> bool {
    match (told, shown) {
        (_, Value::String(any)) if any == ANY => true,
        (Value::Object(told), Value::Object(shown)) => {
            told.len() == shown.len()
                && told
                    .iter()
                    .all(|(name, value)| shown.get(name).is_some_and(|shown| is_like(value, shown)))
        }
        (Value::Array(told), Value::Array(shown)) => {
            told.len() == shown.len()
                && told
                    .iter()
                    .zip(shown)
                    .all(|(told, shown)| is_like(told, shown))
        }
        _ => told == shown,
    }
}

/// JSON of a document.
pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
