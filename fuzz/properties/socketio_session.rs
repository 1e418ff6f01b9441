//! A session under any order of requests, WebSockets, messages and time: what was sent arrives once and in order over whatever
//! carries it, each request is answered once, the end is the last word, and nothing is due twice.

use tidegate::socketio::Moment;
use tidegate::socketio::engine::handshake::Transport;
use tidegate::socketio::engine::packet::{Message, Packet};
use tidegate::socketio::engine::payload::Packets;
use tidegate::socketio::engine::{
    Config, Frame, Incoming, Output, SendError, Session, WebSocketId,
};

const CONFIG: Config = Config {
    ping_interval_ms: 300,
    ping_timeout_ms: 200,
    upgrade_timeout_ms: 250,
    payload_bytes_max: 50,
    queue_bytes_max: 500,
    allows_upgrades: true,
};

/// Each byte is something that happens.
pub fn check(events: &[u8]) {
    let Some((&first, events)) = events.split_first() else {
        return;
    };
    let transport = if first & 1 == 0 {
        Transport::Polling
    } else {
        Transport::WebSocket
    };
    let now = Moment(7);
    let (session, id) = Session::open("sid", transport, now, &CONFIG);
    let mut world = World {
        session,
        now,
        has_poll: transport == Transport::Polling,
        links: Vec::from_iter((transport == Transport::WebSocket).then_some(id)),
        sent: 0,
        arrived: 0,
        is_ended: false,
    };
    world.pump();
    for &event in events {
        world.happen(event);
        world.pump();
        world.session.handle_timeout(world.now, &CONFIG);
        world.pump();
        let deadline = world.session.next_deadline();
        assert_eq!(deadline.is_none(), world.is_ended);
        let is_direct = world.session.transport() == Transport::WebSocket;
        assert!(
            !(is_direct && world.has_poll),
            "nothing else would answer it"
        );
        assert!(
            deadline.is_none_or(|deadline| deadline > world.now),
            "it would spin"
        );
    }
    if world.session.websocket().is_some() {
        assert_eq!(
            world.arrived, world.sent,
            "a WebSocket that carries leaves nothing behind"
        );
    }
}

struct World {
    session: Session,
    now: Moment,
    has_poll: bool,
    /// WebSockets that nobody has closed.
    links: Vec<WebSocketId>,
    /// Messages that were sent: each holds its number.
    sent: u64,
    arrived: u64,
    is_ended: bool,
}

impl World {
    fn happen(&mut self, event: u8) {
        match event % 20 {
            0 | 1 => {
                let had_poll = self.has_poll;
                let result = self.session.handle_poll(self.now, &CONFIG);
                assert!(!(had_poll && result.is_ok()), "one request at a time");
                self.has_poll |= result.is_ok();
            }
            2..=4 => self.send(event.is_multiple_of(2)),
            5 => {
                if let Ok(id) = self.session.handle_websocket(self.now, &CONFIG) {
                    self.links.push(id);
                }
            }
            6 => self.say("2probe"),
            7 => self.say("5"),
            8 => self.say("3"),
            9 => self.say("4hello"),
            10 => self.say(["1", "2", "", "x", &"4".repeat(51)][usize::from(event / 20) % 5]),
            11 => {
                if let Some(id) = self.links.pop() {
                    self.session.handle_websocket_lost(id);
                }
            }
            12 => {
                if std::mem::take(&mut self.has_poll) {
                    self.session.handle_poll_lost();
                }
            }
            13 => self.post(
                ["3", "4a\x1e4b", "6", "1", "x", "2", "4a\x1ex"][usize::from(event / 20) % 7],
            ),
            14 => self.end(event / 20),
            15 => drop(
                self.session
                    .begin_post(event / 20 % 2 == 1, self.now, &CONFIG),
            ),
            step => {
                let power = 2 * (step - 16) + u8::from(event > 100);
                self.now = self.now.after(1 << power);
            }
        }
    }

    fn send(&mut self, is_text: bool) {
        let number = self.sent.to_string();
        let result = if is_text {
            self.session.send_text(number.as_bytes(), &CONFIG)
        } else {
            self.session.send_binary(number.as_bytes(), &CONFIG)
        };
        assert_ne!(result, Err(SendError::Separator));
        self.sent += u64::from(result.is_ok());
    }

    fn say(&mut self, text: &str) {
        for index in 0..self.links.len() {
            // Whom the session has closed may still be talking.
            let Some(&id) = self.links.get(index) else {
                return;
            };
            let frame = Incoming::Text(text);
            let message = self.session.receive_websocket(id, frame, self.now, &CONFIG);
            assert!(message.is_none() || self.session.transport() == Transport::WebSocket);
            self.pump();
        }
    }

    fn post(&mut self, body: &str) {
        if self.session.begin_post(false, self.now, &CONFIG).is_err() {
            return;
        }
        let mut packets = Packets::new(body.as_bytes(), 50).expect("a payload");
        while let Ok(Some(_)) = self.session.receive_post(&mut packets, self.now, &CONFIG) {
            self.send(true);
        }
        assert!(packets.next().is_none() || self.session.end().is_some());
    }

    fn end(&mut self, how: u8) {
        match how % 5 {
            0 => self.session.close(self.now),
            1 => self.session.fail(),
            2 => self.session.abort(),
            3 => self.session.refuse_post(),
            _ => self.session.handle_post_lost(),
        }
    }

    fn pump(&mut self) {
        while let Some(output) = self.session.poll_output() {
            assert!(!self.is_ended, "the end is the last word");
            match output {
                Output::Poll(body) => {
                    assert!(std::mem::take(&mut self.has_poll), "nobody asked");
                    for packet in Packets::new(&body, body.len()).expect("a payload") {
                        match packet.expect("a packet") {
                            Packet::Message(Message::Text(text)) => self.arrive(text.as_bytes()),
                            Packet::Message(Message::Binary(bytes)) => self.arrive(&bytes),
                            _ => {}
                        }
                    }
                }
                Output::Send(id, frames) => {
                    assert!(self.links.contains(&id));
                    for frame in frames.iter() {
                        match frame {
                            Frame::Text([b'4', text @ ..]) => self.arrive(text),
                            Frame::Text(_) => {}
                            Frame::Binary(bytes) => self.arrive(bytes),
                        }
                    }
                }
                Output::Close(id) => {
                    let index = self.links.iter().position(|&link| link == id);
                    self.links.remove(index.expect("closed once"));
                }
                Output::Ended(_) => {
                    assert!(!self.has_poll, "whoever waits is answered first");
                    self.is_ended = true;
                }
            }
        }
    }

    fn arrive(&mut self, number: &[u8]) {
        assert_eq!(
            number,
            self.arrived.to_string().as_bytes(),
            "once and in order"
        );
        self.arrived += 1;
        assert!(self.arrived <= self.sent);
    }
}
