//! What the API says of itself (OpenAPI 3.1).

use super::VERSION;

const DOCUMENT: &str = include_str!("openapi.json");
/// What stands in the document for the version of the server.
const VERSION_PLACE: &str = "\"version\": \"0.0.0\"";
/// What stands in the document for the limit of the schema `Name`; the default of the setting, so that the file tells the truth
/// of most servers.
const NAME_LENGTH_PLACE: &str = "\"maxLength\": 128";

/// The document, with what the settings make of it.
pub(super) fn document(name_chars_max: usize) -> Vec<u8> {
    DOCUMENT
        .replacen(VERSION_PLACE, &format!("\"version\": \"{VERSION}\""), 1)
        .replacen(
            NAME_LENGTH_PLACE,
            &format!("\"maxLength\": {name_chars_max}"),
            1,
        )
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn version_and_limits_are_those_of_the_server() {
        for place in [VERSION_PLACE, NAME_LENGTH_PLACE] {
            assert_eq!(DOCUMENT.matches(place).count(), 1, "{place}");
        }
        let document: Value = serde_json::from_slice(&document(7)).expect("JSON");
        assert_eq!(document["info"]["version"], VERSION);
        assert_eq!(document["components"]["schemas"]["Name"]["maxLength"], 7);
    }
}
