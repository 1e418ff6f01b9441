//! One WebSocket connection as a value: server or client role, no I/O (RFC 6455 sections 5 to 8).

use super::close::{CloseCode, Violation};
use super::codec::Codec;
use super::extension::DeflateParams;

/// Which end of the connection this is; a client masks what it sends (section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Receives masked frames, sends unmasked ones.
    Server,
    /// Receives unmasked frames, sends masked ones.
    Client,
}

/// The two kinds of message (section 5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8, checked.
    Text,
    /// Bytes.
    Binary,
}

/// Bytes that arrived, consumed from the front.
#[derive(Debug)]
pub struct Input<'b> {
    bytes: &'b mut [u8],
    position: usize,
}

impl<'b> Input<'b> {
    /// All of `bytes` are still to be consumed.
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// What is not consumed yet.
    pub fn remaining(&self) -> &[u8] {
        &self.bytes[self.position..]
    }

    /// How much has been consumed.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether everything has been consumed.
    pub fn is_empty(&self) -> bool {
        self.position == self.bytes.len()
    }

    /// Consumes `count` bytes.
    pub fn advance(&mut self, count: usize) {
        assert!(
            count <= self.bytes.len() - self.position,
            "consumed more than arrived"
        );
        self.position += count;
    }

    /// The whole buffer, consumed bytes included: what `Place::Input` counts in.
    pub fn buffer(&mut self) -> &mut [u8] {
        self.bytes
    }
}

/// Where the payload of a message lies, so that it can be sent on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the input's buffer at `start`; at least the longest unmasked header for `len` bytes lies in front of it, free
    /// to be overwritten (the peer's own header and mask stood there).
    Input {
        /// Offset in `Input::buffer`.
        start: usize,
        /// Bytes.
        len: usize,
    },
    /// In a buffer of its own that `Protocol::take_assembled` gives away.
    Assembled,
    /// In the codec's scratch space, until its next use.
    Scratch,
}

/// A complete message, unmasked, inflated, and checked where it is text.
#[derive(Debug)]
pub struct Message<'a> {
    /// Text or binary.
    pub kind: MessageKind,
    /// The payload; text is valid UTF-8.
    pub payload: &'a mut [u8],
    /// Where `payload` lies.
    pub place: Place,
    /// Whether it came compressed.
    pub compressed: bool,
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A complete message.
    Message(Message<'a>),
    /// A ping, to be answered by `Protocol::send_pong` with the same bytes (section 5.5.2).
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The peer's Close. `code` is `NO_STATUS` where it had none. The answer is `send_close`, once.
    Close {
        /// As received.
        code: CloseCode,
        /// Valid UTF-8.
        reason: &'a str,
    },
}

/// One connection. See the module for the order of calls.
#[derive(Debug)]
pub struct Protocol {}

impl Protocol {
    /// A connection right after its handshake.
    pub fn new(_role: Role, _deflate: Option<DeflateParams>) -> Self {
        todo!()
    }

    /// Consumes from `input` up to the next event; `None` when all is consumed. Frames that are not complete
    /// are kept inside; nothing needs to be fed twice.
    ///
    /// # Errors
    /// The first rule that the peer breaks. From then on everything received is swallowed.
    pub fn receive<'a>(
        &'a mut self,
        _input: &'a mut Input<'_>,
        _codec: &'a mut Codec,
    ) -> Result<Option<Event<'a>>, Violation> {
        todo!()
    }

    /// The buffer of a message whose place is `Assembled`, and where in it the payload begins; at least
    /// `frame::HEADER_BYTES_MAX` bytes lie in front. To be called before the next `receive`.
    pub fn take_assembled(&mut self) -> (Vec<u8>, usize) {
        todo!()
    }

    /// Appends a message as one frame, compressed where that was agreed and is worth it.
    pub fn send_message(
        &mut self,
        _kind: MessageKind,
        _payload: &[u8],
        _codec: &mut Codec,
        _out: &mut Vec<u8>,
    ) {
        todo!()
    }

    /// Appends a ping; `payload` is at most 125 bytes.
    pub fn send_ping(&mut self, _payload: &[u8], _codec: &mut Codec, _out: &mut Vec<u8>) {
        todo!()
    }

    /// Appends a pong; `payload` is at most 125 bytes.
    pub fn send_pong(&mut self, _payload: &[u8], _codec: &mut Codec, _out: &mut Vec<u8>) {
        todo!()
    }

    /// Appends a Close, unless one was sent before. `NO_STATUS` sends an empty one. `reason` is cut to 123 bytes.
    pub fn send_close(
        &mut self,
        _code: CloseCode,
        _reason: &str,
        _codec: &mut Codec,
        _out: &mut Vec<u8>,
    ) {
        todo!()
    }

    /// Whether messages may still be sent.
    pub fn is_open(&self) -> bool {
        todo!()
    }

    /// Whether both Close frames have passed: TCP may end (section 7.1.1).
    pub fn is_closed(&self) -> bool {
        todo!()
    }

    /// Whether a message has begun and not ended.
    pub fn is_mid_message(&self) -> bool {
        todo!()
    }
}
