//! The cases of the protocol test suites of the Socket.IO project, against a server in memory under a clock that the test moves.
//!
//! The server is what a caller of this module has to be: it keeps sessions by name, hands requests and messages to them, and does
//! what they say. Above them it echoes (Engine.IO), or does what the suite of Socket.IO asks of an endpoint.

mod engine_suite;
mod socket_suite;

use std::collections::BTreeMap;

use super::Moment;
use super::engine::handshake::{Refusal, Request, Transport};
use super::engine::packet::Message;
use super::engine::payload::Packets;
use super::engine::{self, Frame, Incoming, Output, Session, WebSocketId};
use super::packet::{put_ack, put_event};
use super::socket::{self, Assembled, Sockets};

const PING_INTERVAL: u32 = 300;
const PING_TIMEOUT: u32 = 200;

/// What the server does with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Echo,
    SocketIo,
}

/// What a WebSocket has received.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Received {
    Text(String),
    Binary(Vec<u8>),
}

fn text(text: &str) -> Received {
    Received::Text(text.to_owned())
}

#[derive(Debug)]
struct Hosted {
    session: Session,
    sockets: Sockets,
    /// The request that waits.
    poll: Option<usize>,
    links: Vec<(WebSocketId, usize)>,
}

/// A WebSocket, as its client sees it.
#[derive(Debug, Default)]
struct Client {
    sid: String,
    inbox: Vec<Received>,
    is_closed: bool,
}

/// The server, its clients and the time.
#[derive(Debug)]
struct World {
    now: Moment,
    endpoint: Endpoint,
    config: engine::Config,
    socket_config: socket::Config,
    sessions: BTreeMap<String, Hosted>,
    next_sid: u32,
    /// Of each request.
    answers: Vec<Option<(u16, String)>>,
    clients: Vec<Client>,
}

impl World {
    fn new(endpoint: Endpoint) -> Self {
        Self {
            now: Moment(12_345),
            endpoint,
            config: engine::Config {
                ping_interval_ms: PING_INTERVAL,
                ping_timeout_ms: PING_TIMEOUT,
                ..engine::Config::default()
            },
            socket_config: socket::Config {
                connect_timeout_ms: 1_000,
                ..socket::Config::default()
            },
            sessions: BTreeMap::new(),
            next_sid: 0,
            answers: Vec::new(),
            clients: Vec::new(),
        }
    }

    /// A request; gives its number.
    fn begin(&mut self, method: &str, query: &str, body: &[u8]) -> usize {
        let number = self.answers.len();
        self.answers.push(None);
        let refused = match Request::read(method, query, false) {
            Ok(Request::Open(transport)) => {
                let sid = self.open(transport, Some(number));
                self.pump(&sid);
                Ok(())
            }
            Ok(Request::Poll(sid)) => self.poll(&sid, number),
            Ok(Request::Post(sid)) => self.post(&sid, body, number),
            Ok(Request::Upgrade(_)) => unreachable!("no upgrade was asked for"),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = refused {
            let body = String::from_utf8(refusal.body()).expect("JSON");
            self.answers[number] = Some((refusal.status(), body));
        }
        number
    }

    fn answer(&self, number: usize) -> Option<(u16, &str)> {
        let answer = self.answers[number].as_ref();
        answer.map(|(status, body)| (*status, &**body))
    }

    /// A GET that must have been answered at once.
    fn get(&mut self, query: &str) -> (u16, String) {
        let number = self.begin("GET", query, b"");
        self.answers[number].clone().expect("an answer at once")
    }

    /// A GET for a session, and the time until it is answered.
    fn get_within(&mut self, sid: &str, milliseconds: u32) -> (u16, String) {
        let number = self.begin("GET", &with_sid(sid), b"");
        let end = self.now.after(milliseconds);
        while self.answers[number].is_none() && self.now < end {
            self.sleep(1);
        }
        self.answers[number].clone().expect("an answer in time")
    }

    fn post_text(&mut self, sid: &str, body: &str) -> (u16, String) {
        let number = self.begin("POST", &with_sid(sid), body.as_bytes());
        self.answers[number].clone().expect("an answer at once")
    }

    /// Opens a session by long-polling.
    fn open_polling(&mut self) -> String {
        let (status, body) = self.get("EIO=4&transport=polling");
        assert_eq!(status, 200);
        let json = body.strip_prefix('0').expect("an open packet");
        let open: serde_json::Value = serde_json::from_str(json).expect("JSON");
        open["sid"].as_str().expect("a name").to_owned()
    }

    fn open(&mut self, transport: Transport, poll: Option<usize>) -> String {
        let sid = format!("session{}", self.next_sid);
        self.next_sid += 1;
        let (session, id) = Session::open(&sid, transport, self.now, &self.config);
        let links = match transport {
            Transport::Polling => Vec::new(),
            Transport::WebSocket => vec![(id, self.clients.len() - 1)],
        };
        let hosted = Hosted {
            session,
            sockets: Sockets::new(self.now, &self.socket_config),
            poll,
            links,
        };
        self.sessions.insert(sid.clone(), hosted);
        sid
    }

    fn poll(&mut self, sid: &str, number: usize) -> Result<(), Refusal> {
        let hosted = self.sessions.get_mut(sid).ok_or(Refusal::UnknownSession)?;
        let result = hosted.session.handle_poll(self.now, &self.config);
        if result.is_ok() {
            hosted.poll = Some(number);
        }
        self.pump(sid);
        result
    }

    fn post(&mut self, sid: &str, body: &[u8], number: usize) -> Result<(), Refusal> {
        let (now, config) = (self.now, self.config);
        let hosted = self.sessions.get_mut(sid).ok_or(Refusal::UnknownSession)?;
        let begun = hosted.session.begin_post(false, now, &config);
        if begun.is_err() {
            self.pump(sid);
            return begun;
        }
        let mut packets = Packets::new(body, config.payload_bytes_max).expect("a payload");
        let result = loop {
            let hosted = self.sessions.get_mut(sid).expect("it was there");
            match hosted.session.receive_post(&mut packets, now, &config) {
                Ok(Some(message)) => self.hear(sid, &message),
                Ok(None) => break Ok(()),
                Err(refusal) => break Err(refusal),
            }
        };
        if result.is_ok() {
            self.answers[number] = Some((200, "ok".to_owned()));
        }
        self.pump(sid);
        result
    }

    /// A WebSocket, unless its opening handshake is refused.
    fn connect(&mut self, query: &str) -> Result<usize, Refusal> {
        let request = Request::read("GET", query, true)?;
        let number = self.clients.len();
        self.clients.push(Client::default());
        match request {
            Request::Open(transport) => {
                let sid = self.open(transport, None);
                self.clients[number].sid.clone_from(&sid);
                self.pump(&sid);
            }
            Request::Upgrade(sid) => {
                let hosted = self.sessions.get_mut(&*sid);
                let hosted = hosted.ok_or(Refusal::UnknownSession)?;
                match hosted.session.handle_websocket(self.now, &self.config) {
                    Ok(id) => hosted.links.push((id, number)),
                    Err(_) => self.clients[number].is_closed = true,
                }
                self.clients[number].sid = sid.clone().into_owned();
                self.pump(&sid);
            }
            Request::Poll(_) | Request::Post(_) => unreachable!("an upgrade was asked for"),
        }
        Ok(number)
    }

    /// Opens a session on a WebSocket and takes the packet that opens it.
    fn open_websocket(&mut self) -> usize {
        let client = self.connect("EIO=4&transport=websocket").expect("accepted");
        assert_eq!(self.take(client).len(), 1);
        client
    }

    /// A client says something on its WebSocket.
    fn say(&mut self, client: usize, text: &str) {
        self.say_frame(client, Incoming::Text(text));
    }

    fn say_frame(&mut self, client: usize, frame: Incoming<'_>) {
        let sid = self.clients[client].sid.clone();
        let (now, config) = (self.now, self.config);
        if let Some(hosted) = self.sessions.get_mut(&sid)
            && let Some(&(id, _)) = hosted.links.iter().find(|(_, number)| *number == client)
        {
            let session = &mut hosted.session;
            if let Some(message) = session.receive_websocket(id, frame, now, &config) {
                self.hear(&sid, &message);
            }
            self.pump(&sid);
        }
    }

    /// What a client has received since the last call.
    fn take(&mut self, client: usize) -> Vec<Received> {
        std::mem::take(&mut self.clients[client].inbox)
    }

    fn is_closed(&self, client: usize) -> bool {
        self.clients[client].is_closed
    }

    /// Time passes, and everything that is due in it happens at its moment.
    fn sleep(&mut self, milliseconds: u32) {
        let end = self.now.after(milliseconds);
        loop {
            let due = self.sessions.values().filter_map(Hosted::next_deadline);
            let Some(next) = due.min().filter(|next| next.is_reached(end)) else {
                break;
            };
            self.now = self.now.max(next);
            let sids: Vec<String> = self.sessions.keys().cloned().collect();
            for sid in sids {
                let hosted = self.sessions.get_mut(&sid).expect("it is there");
                hosted.session.handle_timeout(self.now, &self.config);
                if self.endpoint == Endpoint::SocketIo
                    && hosted.sockets.handle_timeout(self.now).is_err()
                {
                    hosted.session.close(self.now);
                }
                self.pump(&sid);
            }
        }
        self.now = end;
    }

    /// A message for the application.
    fn hear(&mut self, sid: &str, message: &Message<'_>) {
        let (now, config, socket_config) = (self.now, self.config, self.socket_config);
        let Hosted {
            session, sockets, ..
        } = self.sessions.get_mut(sid).expect("it is there");
        let mut answers = Answers::default();
        let result = match (self.endpoint, message) {
            (Endpoint::Echo, Message::Text(text)) => {
                session.send_text(text.as_bytes(), &config).expect("sent");
                return;
            }
            (Endpoint::Echo, Message::Binary(bytes)) => {
                session.send_binary(bytes, &config).expect("sent");
                return;
            }
            (Endpoint::SocketIo, Message::Text(text)) => sockets
                .receive_text(text, now, &socket_config)
                .map(|incoming| {
                    if let Some(incoming) = incoming {
                        answers.answer(&incoming, sockets, None);
                    }
                }),
            (Endpoint::SocketIo, Message::Binary(bytes)) => sockets
                .receive_binary(bytes, now, &socket_config)
                .map(|assembled| {
                    if let Some(assembled) = assembled
                        && let Some(incoming) = sockets.incoming(&assembled)
                    {
                        answers.answer(&incoming, sockets, Some(&assembled));
                    }
                }),
        };
        if result.is_err() {
            session.fail();
        }
        for answer in answers.0 {
            match answer {
                Received::Text(text) => session.send_text(text.as_bytes(), &config).expect("sent"),
                Received::Binary(bytes) => session.send_binary(&bytes, &config).expect("sent"),
            }
        }
    }

    /// Does what a session wants done.
    fn pump(&mut self, sid: &str) {
        while let Some(hosted) = self.sessions.get_mut(sid)
            && let Some(output) = hosted.session.poll_output()
        {
            let client_of = |hosted: &Hosted, id| {
                let mut links = hosted.links.iter();
                let link = links.find(|(link, _)| *link == id);
                link.expect("a WebSocket of the session").1
            };
            match output {
                Output::Poll(body) => {
                    let number = hosted.poll.take().expect("a request waits");
                    let body = String::from_utf8(body).expect("UTF-8");
                    self.answers[number] = Some((200, body));
                }
                Output::Send(id, frames) => {
                    let client = client_of(hosted, id);
                    self.clients[client].inbox.extend(frames.iter().map(own));
                }
                Output::Close(id) => {
                    let client = client_of(hosted, id);
                    self.clients[client].is_closed = true;
                }
                Output::Ended(end) => {
                    assert_eq!(hosted.session.end(), Some(end));
                    assert_eq!(hosted.poll, None, "whoever waits is answered first");
                    assert_eq!(hosted.session.poll_output(), None, "the last output");
                    self.sessions.remove(sid);
                }
            }
        }
    }
}

impl Hosted {
    fn next_deadline(&self) -> Option<Moment> {
        let deadlines = [self.session.next_deadline(), self.sockets.next_deadline()];
        deadlines.into_iter().flatten().min()
    }
}

fn own(frame: Frame<'_>) -> Received {
    match frame {
        Frame::Text(text) => Received::Text(std::str::from_utf8(text).expect("UTF-8").to_owned()),
        Frame::Binary(bytes) => Received::Binary(bytes.to_vec()),
    }
}

fn with_sid(sid: &str) -> String {
    format!("EIO=4&transport=polling&sid={sid}")
}

fn upgrade_of(sid: &str) -> String {
    format!("EIO=4&transport=websocket&sid={sid}")
}

/// What the endpoint of the suite says in answer.
#[derive(Default)]
struct Answers(Vec<Received>);

impl Answers {
    fn answer(
        &mut self,
        incoming: &socket::Incoming<'_>,
        sockets: &mut Sockets,
        assembled: Option<&Assembled>,
    ) {
        let mut out = Vec::new();
        match incoming {
            socket::Incoming::Connect { namespace, auth } => {
                if !["/", "/custom"].contains(namespace) {
                    sockets.refuse(namespace, "Invalid namespace", None, &mut out);
                    return self.push(out);
                }
                sockets.accept(namespace, "abc", None, &mut out);
                self.push(out);
                let mut out = Vec::new();
                put_event(
                    namespace,
                    None,
                    "auth",
                    auth.unwrap_or("{}"),
                    None,
                    &mut out,
                );
                self.push(out);
            }
            socket::Incoming::Event { namespace, event } => {
                let attachments = event.attachments;
                match (&*event.name, event.id) {
                    ("message", _) => {
                        let name = "message-back";
                        put_event(namespace, None, name, event.args, attachments, &mut out);
                    }
                    ("message-with-ack", Some(id)) => {
                        put_ack(namespace, id, event.args, attachments, &mut out);
                    }
                    _ => return,
                }
                self.push(out);
                for bytes in assembled.iter().flat_map(|packet| packet.attachments()) {
                    self.0.push(Received::Binary(bytes.to_vec()));
                }
            }
            socket::Incoming::Disconnect { .. } | socket::Incoming::Ack { .. } => {}
        }
    }

    fn push(&mut self, text: Vec<u8>) {
        let text = String::from_utf8(text).expect("UTF-8");
        self.0.push(Received::Text(text));
    }
}
