//! Clients of Socket.IO that a back end is asked about.

use serde_json::{Value, json};

use crate::common::back_end::{Answer, BackEnd, Event, json as said, nothing};
use crate::common::gateway::API_KEY;
use crate::common::server::{Server, ServerBuilder};
use crate::common::socketio::Socket;

pub(crate) const PATH: &str = "/socket.io/";

pub(crate) fn builder(back_end: &BackEnd) -> ServerBuilder {
    Server::builder()
        .env("WORKERS", 2)
        .env("API_KEY", API_KEY)
        .env("SOCKETIO_NAMESPACES", "/chat")
        .env("BACKEND_URL", back_end.url())
        .env("BACKEND_ENDPOINTS", "gateway,socketio")
        .env("BACKEND_DISCONNECT_DELAY", "100ms")
        .env("BACKEND_RETRIES", 0)
        .env("LOG_LEVEL", "debug")
}

/// A session that shows `auth` in the main namespace, and what it is told.
pub(crate) fn asking(server: &Server, auth: &Value) -> (Socket, String) {
    let (mut socket, _) = Socket::open(server, PATH);
    socket.say(&format!("40{auth}"));
    let told = socket.read_packet();
    (socket, told)
}

/// One that is let in.
pub(crate) fn connected(server: &Server, name: &str) -> Socket {
    let (socket, told) = asking(server, &json!({ "name": name }));
    assert!(told.starts_with("40{\"sid\":"), "{told}");
    socket
}

/// The user is who it says, and in a room.
pub(crate) fn named(event: &Event) -> Answer {
    match event.kind() {
        "connect" => said(&json!({
            "userId": event.data()["auth"]["name"],
            "rooms": ["harbour"],
            "metadata": { "plan": "gold" },
        })),
        _ => nothing(),
    }
}
