//! Clients of the gateway protocol, and callers of the HTTP API.

use serde_json::{Value, json};

use super::asyncapi;
use super::client::{Client, Response};
use super::frame;
use super::server::{Server, ServerBuilder};

/// The key of servers that these tests start.
pub(crate) const API_KEY: &str = "a key for tests";

/// A server with the key of the tests.
pub(crate) fn builder(workers: usize) -> ServerBuilder {
    Server::builder()
        .env("WORKERS", workers)
        .env("API_KEY", API_KEY)
}

/// What is the same however many workers there are.
pub(crate) fn on_one_and_on_three(test: impl Fn(&Server)) {
    for workers in [1, 3] {
        test(&builder(workers).start());
    }
}

/// A connection on `/`.
pub(crate) struct Member {
    pub(crate) client: Client,
}

impl Member {
    /// A connection that is nobody yet.
    pub(crate) fn connect(server: &Server) -> Self {
        Self {
            client: server.websocket("/"),
        }
    }

    /// A connection of that user.
    pub(crate) fn of(server: &Server, user: &str) -> Self {
        Self::over(server.websocket("/"), user)
    }

    /// A WebSocket on `/`, whatever the way to it, becomes a connection of that user.
    pub(crate) fn over(client: Client, user: &str) -> Self {
        let mut member = Self { client };
        let told = member.ask(&json!({ "type": "register", "userId": user }));
        assert_eq!(told["type"], "registered", "{told}");
        assert_eq!(told["userId"], user);
        member
    }

    /// Puts the connection into a room.
    pub(crate) fn join(&mut self, room: &str) {
        let told = self.ask(&json!({ "type": "join", "room": room, "id": 1 }));
        assert_eq!(told, json!({ "type": "ack", "id": 1, "room": room }));
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.client.send_bytes(&frame::text(&message.to_string()));
    }

    /// The next message, which must be one of those that `asyncapi.json` describes.
    pub(crate) fn read(&mut self) -> Value {
        let frame = self.client.read_frame();
        assert_eq!(frame.opcode, frame::TEXT, "{frame:?}");
        let message = serde_json::from_slice(&frame.payload).expect("a JSON message");
        asyncapi::assert_told(&message);
        message
    }

    /// The next message, which is the back end's own: no document has it.
    pub(crate) fn read_foreign(&mut self) -> Value {
        let frame = self.client.read_frame();
        assert_eq!(frame.opcode, frame::TEXT, "{frame:?}");
        serde_json::from_slice(&frame.payload).expect("a JSON message")
    }

    /// Sends a message and reads the next one that comes.
    pub(crate) fn ask(&mut self, message: &Value) -> Value {
        self.send(message);
        self.read()
    }

    /// The next message, without its timestamp, which must be one.
    pub(crate) fn read_timeless(&mut self) -> Value {
        let mut message = self.read();
        let timestamp = message["timestamp"].take();
        let timestamp = timestamp.as_str().expect("a timestamp");
        assert!(
            timestamp.len() == 24 && timestamp.ends_with('Z'),
            "{timestamp}"
        );
        message
            .as_object_mut()
            .expect("an object")
            .remove("timestamp");
        message
    }

    /// Nothing is on its way: what is asked now is answered first.
    pub(crate) fn expect_silence(&mut self) {
        let told = self.ask(&json!({ "type": "ping", "id": "silence" }));
        assert_eq!(
            (&told["type"], &told["id"]),
            (&json!("pong"), &json!("silence"))
        );
    }
}

/// Calls the API with the key of the tests.
pub(crate) fn call(client: &mut Client, path: &str, body: &Value) -> (u16, Value) {
    let response = post(client, path, &[("X-API-Key", API_KEY)], &body.to_string());
    (response.status, json_of(&response))
}

/// GET with the key of the tests.
pub(crate) fn look(client: &mut Client, path: &str) -> (u16, Value) {
    client.request("GET", path, &[("X-API-Key", API_KEY)]);
    let response = client.read_response();
    (response.status, json_of(&response))
}

/// POST of a JSON text.
pub(crate) fn post(
    client: &mut Client,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let length = body.len().to_string();
    let mut all = vec![
        ("Content-Type", "application/json"),
        ("Content-Length", length.as_str()),
    ];
    all.extend_from_slice(headers);
    client.request("POST", path, &all);
    client.send_bytes(body.as_bytes());
    client.read_response()
}

pub(crate) fn json_of(response: &Response) -> Value {
    let kind = response.header("content-type");
    assert!(
        matches!(kind, Some("application/json" | "application/problem+json")),
        "{response:?}"
    );
    serde_json::from_slice(&response.body).expect("JSON")
}
