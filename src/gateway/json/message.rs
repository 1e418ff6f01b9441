//! What the server says on the gateway protocol.

use super::refusal::Refusal;
use super::request::Id;

/// An object that is being written.
pub(in crate::gateway) struct Object<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Object<'o> {
    /// Begins `{"type":KIND`.
    pub(in crate::gateway) fn new(out: &'o mut Vec<u8>, kind: &str) -> Self {
        out.extend_from_slice(b"{\"type\":");
        write_text(kind, out);
        Self { out }
    }

    pub(in crate::gateway) fn text(mut self, name: &'static str, value: &str) -> Self {
        self.name(name);
        write_text(value, self.out);
        self
    }

    /// A value that is JSON already.
    pub(in crate::gateway) fn json(mut self, name: &'static str, value: &str) -> Self {
        self.name(name);
        self.out.extend_from_slice(value.as_bytes());
        self
    }

    pub(in crate::gateway) fn number(mut self, name: &'static str, value: u64) -> Self {
        self.name(name);
        let mut digits = itoa::Buffer::new();
        self.out.extend_from_slice(digits.format(value).as_bytes());
        self
    }

    pub(in crate::gateway) fn texts<'t>(
        mut self,
        name: &'static str,
        values: impl Iterator<Item = &'t str>,
    ) -> Self {
        self.name(name);
        self.out.push(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_text(value, self.out);
        }
        self.out.push(b']');
        self
    }

    pub(super) fn id(self, id: Id<'_>) -> Self {
        match id {
            Some(id) => self.json("id", id),
            None => self,
        }
    }

    pub(in crate::gateway) fn end(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &'static str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("memory takes it");
}

/// `{"type":"error",…}`.
pub(in crate::gateway) fn write_refusal(refusal: &Refusal, id: Id<'_>, out: &mut Vec<u8>) {
    Object::new(out, "error")
        .id(id)
        .text("code", refusal.code())
        .text("message", &refusal.to_string())
        .end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_json_whatever_is_in_them() {
        let mut out = Vec::new();
        Object::new(&mut out, "message")
            .id(Some("\"7\""))
            .text("room", "a\"b\\\u{1}\u{2028}")
            .json("data", "{\"x\":[1]}")
            .number("delivered", 3)
            .texts("users", ["u", "v\n"].into_iter())
            .end();
        let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        let expected = serde_json::json!({
            "type": "message", "id": "7", "room": "a\"b\\\u{1}\u{2028}", "data": { "x": [1] },
            "delivered": 3, "users": ["u", "v\n"],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_refusal_has_a_code_and_a_sentence() {
        let mut out = Vec::new();
        write_refusal(&Refusal::Missing("room"), None, &mut out);
        assert_eq!(
            String::from_utf8(out).expect("text"),
            r#"{"type":"error","code":"missing-field","message":"`room` is missing."}"#
        );
    }
}
