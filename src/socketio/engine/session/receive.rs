//! What requests and WebSockets bring.

use std::borrow::Cow;

use super::{Candidate, Config, End, Heart, Phase, Session, WebSocketId};
use crate::limits::{ENGINE_EMPTY_PACKETS_MAX, ENGINE_NOOP_INTERVAL_MS};
use crate::socketio::Moment;
use crate::socketio::engine::handshake::{Refusal, Transport};
use crate::socketio::engine::packet::{Message, Packet};
use crate::socketio::engine::payload::Packets;

/// What a WebSocket brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

impl Incoming<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

impl Session {
    /// A GET that waits for packets. The session ends where one waits already.
    ///
    /// # Errors
    /// `UnknownSession` where it is over, else `BadRequest`.
    pub fn handle_poll(&mut self, now: Moment, config: &Config) -> Result<(), Refusal> {
        self.check_request(now, config)?;
        if self.has_poll {
            self.finish(End::Protocol);
            return Err(Refusal::BadRequest);
        }
        self.has_poll = true;
        if let Phase::Closing(_) = self.phase
            && self.queue.is_empty()
        {
            self.finish(End::ServerClose);
        }
        // It may have come when a noop was due.
        self.pass_time(now, config);
        Ok(())
    }

    /// The connection of the GET that waits was lost.
    pub fn handle_poll_lost(&mut self) {
        if std::mem::take(&mut self.has_poll) {
            self.finish(End::TransportClose);
        }
    }

    /// Something waits behind the GET that waits: that is answered, by a noop where there is nothing else.
    pub fn hurry_poll(&mut self) {
        self.owes_noop |= self.has_poll;
    }

    /// The head of a POST; `is_binary` where its content type is `application/octet-stream`. The session ends where one is
    /// under way already, and where the content is no text.
    ///
    /// # Errors
    /// As `handle_poll`.
    pub fn begin_post(
        &mut self,
        is_binary: bool,
        now: Moment,
        config: &Config,
    ) -> Result<(), Refusal> {
        self.check_request(now, config)?;
        if self.has_post || is_binary {
            self.finish(End::Protocol);
            return Err(Refusal::BadRequest);
        }
        self.has_post = true;
        Ok(())
    }

    /// Gives the next message of the POST that has begun; `None` when its body is done with. What follows a packet that closes the
    /// session is not looked at, and while this server closes it everything is dropped.
    ///
    /// # Errors
    /// `BadRequest` where the session came to an end over it, or a WebSocket took over meanwhile. Nothing more is given then.
    pub fn receive_post<'a>(
        &mut self,
        packets: &mut Packets<'a>,
        now: Moment,
        config: &Config,
    ) -> Result<Option<Message<'a>>, Refusal> {
        self.pass_time(now, config);
        let message = self.next_of_post(packets, now, config);
        if !matches!(message, Ok(Some(_))) {
            self.has_post = false;
        }
        message
    }

    fn next_of_post<'a>(
        &mut self,
        packets: &mut Packets<'a>,
        now: Moment,
        config: &Config,
    ) -> Result<Option<Message<'a>>, Refusal> {
        if !self.has_post {
            return Err(Refusal::BadRequest);
        }
        for empty in 0.. {
            if empty >= ENGINE_EMPTY_PACKETS_MAX {
                // No client has reason to, and each costs time.
                self.finish(End::Protocol);
            }
            match self.phase {
                Phase::Ended(End::ClientClose | End::ServerClose) => return Ok(None),
                Phase::Ended(_) => return Err(Refusal::BadRequest),
                Phase::Open | Phase::Closing(_) => {}
            }
            match packets.next() {
                None => return Ok(None),
                Some(Err(_)) => self.finish(End::Parse),
                Some(Ok(packet)) => {
                    let message = self.take_packet(packet, now, config);
                    if message.is_some() {
                        return Ok(message);
                    }
                }
            }
        }
        Ok(None)
    }

    /// The body of the POST that has begun is not UTF-8. The session ends.
    pub fn handle_bad_post(&mut self) {
        if std::mem::take(&mut self.has_post) {
            self.finish(End::Parse);
        }
    }

    /// The body of the POST that has begun is too large and was refused. The session goes on.
    pub fn refuse_post(&mut self) {
        self.has_post = false;
    }

    /// The connection of the POST that has begun was lost.
    pub fn handle_post_lost(&mut self) {
        if std::mem::take(&mut self.has_post) {
            self.finish(End::TransportClose);
        }
    }

    /// A WebSocket that would take over. It has to probe, and to say that it does, within the time for that.
    ///
    /// # Errors
    /// `UnknownSession` where the session is over; `BadRequest` where a WebSocket carries it or is about to, and where the
    /// settings allow none.
    pub fn handle_websocket(
        &mut self,
        now: Moment,
        config: &Config,
    ) -> Result<WebSocketId, Refusal> {
        self.check_request(now, config)?;
        let is_alone = matches!(self.candidate, Candidate::None);
        if !is_alone || !config.allows_upgrades {
            return Err(Refusal::BadRequest);
        }
        self.candidate = Candidate::Silent {
            until: now.after(config.upgrade_timeout_ms),
        };
        self.websocket = WebSocketId(self.websocket.0.wrapping_add(1));
        Ok(self.websocket)
    }

    /// A message of a WebSocket; gives what there is to hand on of it.
    pub fn receive_websocket<'a>(
        &mut self,
        websocket: WebSocketId,
        frame: Incoming<'a>,
        now: Moment,
        config: &Config,
    ) -> Option<Message<'a>> {
        self.pass_time(now, config);
        if websocket != self.websocket || matches!(self.phase, Phase::Ended(_)) {
            return None;
        }
        if self.transport == Transport::Polling {
            self.take_probe(frame, now);
            return None;
        }
        if frame.len() > config.payload_bytes_max {
            self.finish(End::TooLarge);
            return None;
        }
        match frame {
            Incoming::Binary(bytes) => Some(Message::Binary(Cow::Borrowed(bytes))),
            Incoming::Text(text) => match Packet::decode_text(text) {
                Ok(packet) => self.take_packet(packet, now, config),
                Err(_) => {
                    self.finish(End::Parse);
                    None
                }
            },
        }
    }

    /// A WebSocket has ended, by whomever.
    pub fn handle_websocket_lost(&mut self, websocket: WebSocketId) {
        if websocket != self.websocket {
            return;
        }
        match self.transport {
            Transport::WebSocket => self.finish(End::TransportClose),
            // The session goes on without it.
            Transport::Polling => self.dismiss_candidate(),
        }
        // There is nothing left to close.
        if self.dismissed == Some(websocket) {
            self.dismissed = None;
        }
    }

    /// Whether a request finds the session there, and carried by long-polling.
    fn check_request(&mut self, now: Moment, config: &Config) -> Result<(), Refusal> {
        self.pass_time(now, config);
        match (self.phase, self.transport) {
            (Phase::Ended(_), _) => Err(Refusal::UnknownSession),
            (_, Transport::WebSocket) => Err(Refusal::BadRequest),
            (_, Transport::Polling) => Ok(()),
        }
    }

    /// A packet of the transport that carries the session; gives its message.
    fn take_packet<'a>(
        &mut self,
        packet: Packet<'a>,
        now: Moment,
        config: &Config,
    ) -> Option<Message<'a>> {
        match packet {
            Packet::Close => self.finish(End::ClientClose),
            // The server pings.
            Packet::Ping(_) => self.finish(End::Protocol),
            Packet::Pong(_) => self.heart = Heart::PingAt(now.after(config.ping_interval_ms)),
            Packet::Message(message) => return (self.phase == Phase::Open).then_some(message),
            // A client has no reason to send these; they change nothing.
            Packet::Open(_) | Packet::Upgrade | Packet::Noop => {}
        }
        None
    }

    /// A message of a WebSocket that would take over: the probe, or that it does. After anything else it is closed.
    fn take_probe(&mut self, frame: Incoming<'_>, now: Moment) {
        let until = match self.candidate {
            Candidate::None => return,
            Candidate::Silent { until } | Candidate::Probed { until, .. } => until,
        };
        match frame {
            Incoming::Text("2probe") => {
                self.owes_probe = true;
                self.owes_noop = self.has_poll;
                let noop_at = now.after(ENGINE_NOOP_INTERVAL_MS);
                self.candidate = Candidate::Probed { until, noop_at };
            }
            Incoming::Text("5") => self.take_over(now),
            _ => self.dismiss_candidate(),
        }
    }

    /// The WebSocket carries the session from now on.
    fn take_over(&mut self, now: Moment) {
        self.candidate = Candidate::None;
        self.transport = Transport::WebSocket;
        self.owes_noop = self.has_poll;
        self.has_post = false;
        if let Phase::Closing(_) = self.phase {
            self.phase = Phase::Open;
            self.close(now);
        }
    }
}
