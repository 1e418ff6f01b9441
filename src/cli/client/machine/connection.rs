//! One connection of the machine: the protocol in the client role, what is to be written, and how it ends.

use std::collections::VecDeque;
use std::time::Instant;

use super::{CLOSE_TIME_MAX, Line, Typed, UNSENT_BYTES_MAX};
use crate::cli::client::dial::Opened;
use crate::cli::client::outcome::End;
use crate::websocket::close::CloseCode;
use crate::websocket::codec::Codec;
use crate::websocket::protocol::{Event, Input, Protocol, Role};

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    protocol: Protocol,
    out: Vec<u8>,
    /// What of `out` is written.
    written: usize,
    /// The pong to the latest ping, where there was no room for it: of several pings the last one may be answered alone
    /// (RFC 6455 section 5.5.3).
    pong: Option<Vec<u8>>,
    pub(super) since: Instant,
    /// Until when the end is waited for, once a Close has passed or a rule was broken.
    pub(super) closing: Option<Instant>,
    /// How it ends, once that is known.
    pub(super) end: Option<End>,
    /// Our Close was the first.
    own_close: Option<(CloseCode, String)>,
}

impl Connection {
    pub(super) fn new(opened: &Opened, now: Instant) -> Self {
        Self {
            protocol: Protocol::new(Role::Client, opened.deflate),
            out: Vec::new(),
            written: 0,
            pong: None,
            since: now,
            closing: None,
            end: None,
            own_close: None,
        }
    }

    /// Whether messages may be sent.
    pub(super) fn is_open(&self) -> bool {
        self.protocol.is_open()
    }

    pub(super) fn is_closed_by_us(&self) -> bool {
        self.own_close.is_some()
    }

    pub(super) fn unsent(&self) -> &[u8] {
        &self.out[self.written..]
    }

    pub(super) fn sent(&mut self, count: usize, codec: &mut Codec) {
        self.written += count;
        if self.written == self.out.len() {
            // A large message leaves no large buffer behind.
            if self.out.capacity() > UNSENT_BYTES_MAX {
                self.out = Vec::new();
            }
            self.out.clear();
            self.written = 0;
        }
        if self.unsent().len() < UNSENT_BYTES_MAX
            && let Some(payload) = self.pong.take()
        {
            self.protocol.send_pong(&payload, codec, &mut self.out);
        }
    }

    pub(super) fn send(&mut self, typed: &Typed, codec: &mut Codec) {
        let (protocol, out) = (&mut self.protocol, &mut self.out);
        match typed {
            Typed::Message(kind, payload) => protocol.send_message(*kind, payload, codec, out),
            Typed::Ping(payload) => protocol.send_ping(payload, codec, out),
            Typed::Pong(payload) => protocol.send_pong(payload, codec, out),
            _ => {}
        }
    }

    /// Begins to close, where that has not begun.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str, codec: &mut Codec, now: Instant) {
        if self.closing.is_none() {
            self.protocol.send_close(code, reason, codec, &mut self.out);
            self.own_close = Some((code, reason.to_owned()));
            self.closing = Some(now + CLOSE_TIME_MAX);
        }
    }

    pub(super) fn receive(
        &mut self,
        bytes: &mut [u8],
        codec: &mut Codec,
        lines: &mut VecDeque<Line>,
        now: Instant,
    ) {
        let mut input = Input::new(bytes);
        loop {
            match self.protocol.receive(&mut input, codec) {
                Ok(None) => break,
                Ok(Some(Event::Message(message))) => {
                    lines.push_back(Line::Message(message.kind, message.payload.to_vec()));
                }
                Ok(Some(Event::Ping(payload))) => {
                    let payload = payload.to_vec();
                    if self.unsent().len() < UNSENT_BYTES_MAX {
                        self.protocol.send_pong(&payload, codec, &mut self.out);
                    } else {
                        self.pong = Some(payload.clone());
                    }
                    lines.push_back(Line::Ping(payload));
                }
                Ok(Some(Event::Pong(payload))) => lines.push_back(Line::Pong(payload.to_vec())),
                Ok(Some(Event::Close { code, reason })) => {
                    let reason = reason.to_owned();
                    self.protocol.send_close(code, "", codec, &mut self.out);
                    self.end = Some(self.own_end().unwrap_or(End::Closed {
                        code,
                        reason,
                        by_us: false,
                    }));
                    self.closing.get_or_insert(now + CLOSE_TIME_MAX);
                }
                Err(violation) => {
                    let (code, sentence) = (violation.code(), violation.sentence());
                    self.protocol
                        .send_close(code, sentence, codec, &mut self.out);
                    self.end = Some(End::Violated(violation));
                    self.closing.get_or_insert(now + CLOSE_TIME_MAX);
                }
            }
        }
    }

    /// As we closed it, where we did.
    fn own_end(&self) -> Option<End> {
        let (code, reason) = self.own_close.clone()?;
        Some(End::Closed {
            code,
            reason,
            by_us: true,
        })
    }

    /// How it ended, where TCP did so without what should have come before. A server that hangs up on our Close has heard it.
    pub(super) fn end_without_answer(&mut self, why: Option<String>) -> End {
        match (self.end.take(), why) {
            (Some(end), _) => end,
            (None, Some(why)) => End::Lost(why),
            (None, None) => self
                .own_end()
                .filter(|_| self.unsent().is_empty())
                .unwrap_or_else(|| End::Lost("the server ended it without Close".to_owned())),
        }
    }

    /// How it ended, once all is said and written.
    pub(super) fn take_end(&mut self) -> Option<End> {
        if self.protocol.is_closed() && self.unsent().is_empty() {
            self.end.take()
        } else {
            None
        }
    }

    pub(super) fn release(&mut self, codec: &mut Codec) {
        self.protocol.release(codec);
    }
}
