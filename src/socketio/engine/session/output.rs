//! What a session wants done.

use super::{End, Phase, Session, WebSocketId};
use crate::limits::ENGINE_PAYLOAD_PACKETS_MAX;
use crate::socketio::engine::handshake::Transport;
use crate::socketio::engine::packet::Packet;
use crate::socketio::engine::payload::SEPARATOR;
use crate::socketio::engine::queue::{Frames, Queue};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The GET that waits is answered: status 200, `text/plain; charset=UTF-8`, this body.
    Poll(Vec<u8>),
    /// This WebSocket sends these messages.
    Send(WebSocketId, Frames),
    /// This WebSocket is closed, once it has sent what it was given. What it still says is nothing to the session.
    Close(WebSocketId),
    /// The session is over: its name means nothing any more. The last output.
    Ended(End),
}

impl Session {
    /// Whether [`poll_output`](Self::poll_output) has something to give.
    pub fn has_output(&self) -> bool {
        let is_over = matches!(self.phase, Phase::Ended(_));
        let is_direct = self.transport == Transport::WebSocket;
        let waits = !self.queue.is_empty();
        self.owes_probe
            || (self.has_poll && (is_over || self.owes_noop || (waits && !is_direct)))
            || (is_direct && waits && self.phase != Phase::Ended(End::TransportClose))
            || self.dismissed.is_some()
            || (is_over && !self.is_told)
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        if std::mem::take(&mut self.owes_probe) {
            let mut probe = Queue::default();
            probe.push_text(b'3', b"probe");
            return Some(Output::Send(self.websocket, probe.take()));
        }
        if let Some(body) = self.poll_body() {
            self.has_poll = false;
            self.owes_noop = false;
            return Some(Output::Poll(body));
        }
        let is_lost = self.phase == Phase::Ended(End::TransportClose);
        if self.transport == Transport::WebSocket && !self.queue.is_empty() && !is_lost {
            return Some(Output::Send(self.websocket, self.queue.take()));
        }
        if let Some(websocket) = self.dismissed.take() {
            return Some(Output::Close(websocket));
        }
        match self.phase {
            Phase::Ended(end) if !self.is_told => {
                self.is_told = true;
                self.queue = Queue::default();
                Some(Output::Ended(end))
            }
            _ => None,
        }
    }

    /// The answer to the GET that waits, where there is one.
    fn poll_body(&mut self) -> Option<Vec<u8>> {
        if !self.has_poll {
            return None;
        }
        let is_over = matches!(self.phase, Phase::Ended(_));
        // After a change of transport what waits is the WebSocket's.
        let mut body = match self.transport {
            Transport::Polling if is_over => self.queue.take().into_payload(),
            Transport::Polling => {
                let packets = self.queue.take_some(ENGINE_PAYLOAD_PACKETS_MAX);
                packets.into_payload()
            }
            Transport::WebSocket => Vec::new(),
        };
        let last = match self.phase {
            // It knows already.
            Phase::Ended(End::ClientClose) if body.is_empty() => Some(Packet::Noop),
            Phase::Ended(End::ClientClose) => None,
            Phase::Ended(_) => Some(Packet::Close),
            Phase::Open | Phase::Closing(_) if body.is_empty() && self.owes_noop => {
                Some(Packet::Noop)
            }
            Phase::Open | Phase::Closing(_) => None,
        };
        if let Some(packet) = last {
            if !body.is_empty() {
                body.push(SEPARATOR);
            }
            packet.put_payload(&mut body);
        }
        (!body.is_empty()).then_some(body)
    }
}
