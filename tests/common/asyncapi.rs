//! The document of the gateway protocol, and whether messages are as it says.

use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// Where the document is.
pub(crate) const PATH: &str = "src/gateway/api/asyncapi.json";

static PROTOCOL: LazyLock<Protocol> = LazyLock::new(Protocol::read);

/// The document, ready to be asked.
pub(crate) struct Protocol {
    pub(crate) document: Value,
    messages: Vec<(String, Validator)>,
}

impl Protocol {
    /// The document as it is committed.
    pub(crate) fn get() -> &'static Self {
        &PROTOCOL
    }

    fn read() -> Self {
        let document: Value =
            serde_json::from_str(include_str!("../../src/gateway/api/asyncapi.json"))
                .unwrap_or_else(|error| panic!("{PATH}: {error}"));
        let components = &document["components"];
        let named = components["messages"].as_object().expect("messages");
        let messages = named.keys().map(|name| {
            let payload = format!("#/components/messages/{name}/payload");
            let schema = json!({ "components": components, "allOf": [{ "$ref": payload }] });
            // AsyncAPI's own dialect is a superset of draft 7.
            let validator = jsonschema::options()
                .with_draft(Draft::Draft7)
                .build(&schema)
                .unwrap_or_else(|error| panic!("{PATH}: {name}: {error}"));
            (name.clone(), validator)
        });
        let messages = messages.collect();
        Self { document, messages }
    }

    /// The messages of the document, by name.
    pub(crate) fn messages(&self) -> &serde_json::Map<String, Value> {
        let messages = &self.document["components"]["messages"];
        messages.as_object().expect("messages")
    }

    /// Names of the messages that `message` may be, of those whose names begin with `side`.
    pub(crate) fn named(&self, side: &str, message: &Value) -> Vec<&str> {
        self.messages
            .iter()
            .filter(|(name, validator)| name.starts_with(side) && validator.is_valid(message))
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

/// What a server sent is one of the messages of the document; fails the test where it is none, or could be two.
pub(crate) fn assert_told(message: &Value) {
    let names = Protocol::get().named("server.", message);
    assert_eq!(
        names.len(),
        1,
        "the server said {message}, which is {names:?} in {PATH}: describe it there, in the channel and in an operation"
    );
}
