//! A client of Socket.IO that loses its connection and comes back.

use serde_json::{Value, json};

use super::eventually;
use super::frame;
use super::gateway::{call, look};
use super::metrics::Samples;
use super::server::Server;
use super::socketio::{Socket, refusal};

/// What a client knows that may come back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) sid: String,
    pub(crate) pid: String,
    pub(crate) offset: Option<String>,
}

impl Known {
    /// What it shows.
    pub(crate) fn connect(&self) -> String {
        let mut auth = json!({ "pid": self.pid });
        if let Some(offset) = &self.offset {
            auth["offset"] = json!(offset);
        }
        format!("40{auth}")
    }

    /// The answer; whether it is who it was.
    pub(crate) fn take(&mut self, packet: &str) -> bool {
        let text = packet.strip_prefix("40").expect("let in");
        let told: Value = serde_json::from_str(text).expect("JSON");
        let text = |name: &str| told[name].as_str().expect("a name").to_owned();
        let (sid, pid) = (text("sid"), text("pid"));
        let is_recovered = pid == self.pid;
        assert_eq!(is_recovered, sid == self.sid, "{told}");
        if !is_recovered {
            self.offset = None;
        }
        (self.sid, self.pid) = (sid, pid);
        is_recovered
    }

    /// An event; its data.
    pub(crate) fn hear(&mut self, packet: &str) -> (String, Value) {
        let text = packet.strip_prefix("42").expect("an event");
        let (name, data, offset): (String, Value, String) =
            serde_json::from_str(text).expect("a name, an argument and an offset");
        self.offset = Some(offset);
        (name, data)
    }
}

/// A client on a WebSocket.
pub(crate) struct Guest {
    pub(crate) socket: Socket,
    pub(crate) known: Known,
    /// The name of its session.
    pub(crate) session: String,
}

impl Guest {
    /// Somebody new.
    pub(crate) fn arrive(server: &Server) -> Self {
        Self::come(server, "40", Known::default()).0
    }

    /// One who shows what it knows; whether it is who it was.
    pub(crate) fn come_back(server: &Server, known: &Known) -> (Self, bool) {
        Self::come(server, &known.connect(), known.clone())
    }

    pub(crate) fn come(server: &Server, connect: &str, mut known: Known) -> (Self, bool) {
        let (mut socket, open) = Socket::open(server, "/socket.io/");
        socket.say(connect);
        let is_recovered = known.take(&socket.read_packet());
        let session = open["sid"].as_str().expect("a name").to_owned();
        let guest = Self {
            socket,
            known,
            session,
        };
        (guest, is_recovered)
    }

    /// A user in a room.
    pub(crate) fn member(server: &Server, user: &str, room: &str) -> Self {
        let mut guest = Self::arrive(server);
        guest.socket.register(user);
        guest.socket.ask("join", &json!(room));
        guest
    }

    pub(crate) fn hear(&mut self) -> (String, Value) {
        let packet = self.socket.read_packet();
        self.known.hear(&packet)
    }

    /// All that came until the server ended the connection; the data of each event.
    pub(crate) fn hear_to_the_end(&mut self) -> Vec<Value> {
        let bytes = self.socket.client.read_to_end().expect("an end");
        let mut rest = bytes.as_slice();
        let mut heard = Vec::new();
        while let Some((frame, length)) = frame::parse(rest) {
            rest = &rest[length..];
            if frame.opcode == frame::TEXT && frame.payload.starts_with(b"42") {
                let packet = String::from_utf8(frame.payload).expect("UTF-8");
                heard.push(self.known.hear(&packet).1);
            }
        }
        heard
    }

    /// Nothing is on its way.
    pub(crate) fn expect_silence(&mut self) {
        self.socket.say("4299[\"ping\"]");
        let packet = self.socket.read_packet();
        assert!(packet.starts_with("4399["), "{packet}");
    }

    /// Its connection is lost, and the server knows.
    pub(crate) fn vanish(self, server: &Server) -> Known {
        drop(self.socket);
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", self.session);
        eventually("the client is lost", || {
            let response = server.connect().get(&target);
            refusal(&response) == (400, json!(1))
        });
        self.known
    }
}

pub(crate) fn sessions(server: &Server) -> i64 {
    let (_, stats) = look(&mut server.connect(), "/api/stats/connections");
    stats["endpoints"]["socketio"].as_i64().expect("a count")
}

/// Publishes to a room; gives how many got it.
pub(crate) fn publish(server: &Server, room: &str, number: u32) -> Value {
    let body = json!({ "room": room, "event": "n", "data": number });
    let (status, told) = call(&mut server.connect(), "/api/publish", &body);
    assert_eq!(status, 200, "{told}");
    told["delivered"].clone()
}

pub(crate) fn recoveries(server: &Server, result: &str) -> u64 {
    let name = format!("tidegate_socketio_recoveries_total{{result=\"{result}\"}}");
    Samples::of(server).get(&name) as u64
}
