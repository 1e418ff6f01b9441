//! A client of Engine.IO and Socket.IO, written down a second time.

use serde_json::{Value, json};

use super::client::{Client, Response};
use super::frame;
use super::gateway::builder;
use super::server::{Server, ServerBuilder};

/// Times of servers that the tests start, milliseconds: those of the protocol's own suites.
pub(crate) const PING_INTERVAL_MS: u64 = 300;
pub(crate) const PING_TIMEOUT_MS: u64 = 200;
const QUERY: &str = "EIO=4&transport=polling";

/// A server with both endpoints, the events of the suites and their times.
pub(crate) fn conformant(workers: usize) -> ServerBuilder {
    patient(workers)
        .env("SOCKETIO_PING_INTERVAL", format!("{PING_INTERVAL_MS}ms"))
        .env("SOCKETIO_PING_TIMEOUT", format!("{PING_TIMEOUT_MS}ms"))
}

/// The same with the usual times.
pub(crate) fn patient(workers: usize) -> ServerBuilder {
    builder(workers)
        .env(
            "ROUTES",
            "/socket.io/=socketio,/engine.io/=engineio-echo,/=gateway",
        )
        .env("SOCKETIO_CONFORMANCE", "on")
}

/// A session of long-polling, each request on a connection of its own unless it says otherwise.
pub(crate) struct Polling<'s> {
    server: &'s Server,
    path: &'static str,
    pub(crate) sid: String,
}

impl<'s> Polling<'s> {
    /// Opens one.
    pub(crate) fn open(server: &'s Server, path: &'static str) -> Self {
        let response = server.connect().get(&format!("{path}?{QUERY}"));
        assert_eq!(response.status, 200, "{response:?}");
        let open = opened(response.text());
        assert_eq!(open["upgrades"], json!(["websocket"]));
        let sid = open["sid"].as_str().expect("a name").to_owned();
        Self { server, path, sid }
    }

    /// One of Socket.IO, in the main namespace.
    pub(crate) fn connected(server: &'s Server) -> Self {
        let session = Self::open(server, "/socket.io/");
        assert_eq!(session.post("40").text(), "ok");
        let packets = session.poll().text().to_owned();
        assert!(packets.starts_with("40{\"sid\":"), "{packets}");
        session
    }

    /// Where its requests go.
    pub(crate) fn target(&self) -> String {
        format!("{}?{QUERY}&sid={}", self.path, self.sid)
    }

    /// Begins a GET.
    pub(crate) fn begin_poll(&self) -> Client {
        let mut client = self.server.connect();
        client.request("GET", &self.target(), &[]);
        client
    }

    /// A GET and its answer.
    pub(crate) fn poll(&self) -> Response {
        self.begin_poll().read_response()
    }

    /// A POST and its answer.
    pub(crate) fn post(&self, body: &str) -> Response {
        post(&mut self.server.connect(), &self.target(), body)
    }

    /// What the client is told, until it was so many packets; pings are answered and left out.
    pub(crate) fn packets(&self, count: usize) -> Vec<String> {
        let mut packets = Vec::new();
        while packets.len() < count {
            let response = self.poll();
            assert_eq!(response.status, 200, "{packets:?}");
            for packet in response.text().split('\x1e') {
                match packet {
                    "2" => assert_eq!(self.post("3").status, 200),
                    _ => packets.push(packet.to_owned()),
                }
            }
        }
        packets
    }

    /// A WebSocket for the session, which has probed and taken over.
    pub(crate) fn upgrade(&self) -> Socket {
        let mut client = self.server.connect();
        let target = self.target().replace("polling", "websocket");
        client.upgrade(&target);
        let mut socket = Socket { client };
        socket.say("2probe");
        assert_eq!(socket.read_packet(), "3probe");
        socket.say("5");
        socket
    }
}

/// POST of a payload.
pub(crate) fn post(client: &mut Client, target: &str, body: &str) -> Response {
    let length = body.len().to_string();
    let headers = [
        ("Content-Type", "text/plain;charset=UTF-8"),
        ("Content-Length", length.as_str()),
    ];
    client.request("POST", target, &headers);
    client.send_bytes(body.as_bytes());
    client.read_response()
}

/// What the packet that opens a session says.
pub(crate) fn opened(packet: &str) -> Value {
    let text = packet.strip_prefix('0').expect("an open packet");
    serde_json::from_str(text).expect("JSON")
}

/// Of a refused request: the status and the code of its answer.
pub(crate) fn refusal(response: &Response) -> (u16, Value) {
    assert_eq!(response.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert!(body["message"].is_string(), "{body}");
    (response.status, body["code"].clone())
}

/// A session that a WebSocket carries.
pub(crate) struct Socket {
    pub(crate) client: Client,
}

impl Socket {
    /// Opens one; gives what it was told.
    pub(crate) fn open(server: &Server, path: &str) -> (Self, Value) {
        let client = server.websocket(&format!("{path}?EIO=4&transport=websocket"));
        let mut socket = Self { client };
        let open = opened(&socket.read());
        (socket, open)
    }

    /// One of Socket.IO, in the main namespace, which has been greeted.
    pub(crate) fn connected(server: &Server) -> Self {
        let (mut socket, _) = Self::open(server, "/socket.io/");
        socket.say("40");
        assert!(socket.read_packet().starts_with("40{\"sid\":"));
        assert_eq!(socket.read_packet(), "42[\"auth\",{}]");
        socket
    }

    /// The same as `user` and in a room, where nobody is greeted.
    pub(crate) fn of(server: &Server, user: &str, room: &str) -> Self {
        let (mut socket, _) = Self::open(server, "/socket.io/");
        socket.say("40");
        assert!(socket.read_packet().starts_with("40{\"sid\":"));
        socket.register(user);
        assert_eq!(socket.ask("join", &json!(room)), json!({ "room": room }));
        socket
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.client.send_bytes(&frame::text(text));
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) {
        self.client.send_bytes(&frame::binary(bytes));
    }

    /// The next text.
    pub(crate) fn read(&mut self) -> String {
        let frame = self.client.read_frame();
        assert_eq!(frame.opcode, frame::TEXT, "{frame:?}");
        String::from_utf8(frame.payload).expect("UTF-8")
    }

    /// The next text that is no ping; pings are answered.
    pub(crate) fn read_packet(&mut self) -> String {
        loop {
            let text = self.read();
            if text != "2" {
                return text;
            }
            self.say("3");
        }
    }

    /// The next binary message; pings are answered.
    pub(crate) fn read_bytes(&mut self) -> Vec<u8> {
        loop {
            let frame = self.client.read_frame();
            if frame.opcode == frame::BINARY {
                return frame.payload;
            }
            assert_eq!(frame.payload, b"2", "{frame:?}");
            self.say("3");
        }
    }

    /// Sends an event that wants an answer, and gives that; whatever comes before it is left out.
    pub(crate) fn ask(&mut self, event: &str, argument: &Value) -> Value {
        self.say(&format!("4277{}", json!([event, argument])));
        loop {
            let packet = self.read_packet();
            if let Some(answer) = packet.strip_prefix("4377") {
                let mut args: Vec<Value> = serde_json::from_str(answer).expect("an answer");
                return args.remove(0);
            }
        }
    }

    /// Becomes that user.
    pub(crate) fn register(&mut self, user: &str) {
        let told = self.ask("register", &json!({ "userId": user }));
        assert_eq!(told["userId"], user, "{told}");
    }

    /// The next event: its name and its argument.
    pub(crate) fn event(&mut self) -> (String, Value) {
        let packet = self.read_packet();
        let text = packet.strip_prefix("42").expect("an event");
        serde_json::from_str(text).expect("a name and an argument")
    }

    /// The server ends it.
    pub(crate) fn expect_end(&mut self) {
        loop {
            let frame = self.client.read_frame();
            if frame.opcode == frame::CLOSE {
                return;
            }
        }
    }
}
