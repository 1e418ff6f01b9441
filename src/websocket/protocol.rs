//! One WebSocket connection as a value: server or client role, no I/O (RFC 6455 sections 5 to 8).
//!
//! The types of the seam and the state between calls live here, receiving in `whole`, `receive` and `direct`, sending in
//! `send`. No clock:
//! the time that a message or a close handshake may take is the caller's to watch.

mod direct;
mod receive;
mod send;
#[cfg(test)]
mod tests;
mod whole;

pub use whole::Whole;

use super::assembler::{Assembly, Partial};
use super::close::{CloseCode, Violation};
use super::codec::Codec;
use super::deflate::{COMPRESS_WINDOW_BITS_MIN, Contexts};
use super::extension::DeflateParams;
use super::frame::{Opcode, put_header};
use super::utf8;

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

impl MessageKind {
    /// The opcode of its first frame.
    #[inline]
    #[must_use]
    pub fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// Bytes that arrived, consumed from the front.
///
/// A reply may be left in the part that is consumed, to be written from there. The reply to the next message can then follow
/// it without a gap, so that both leave in one piece: [`keep_until`](Self::keep_until) says where the last one ends.
#[derive(Debug)]
pub struct Input<'b> {
    bytes: &'b mut [u8],
    position: usize,
    /// Where the last reply ends; 0 where there is none. Never beyond the position.
    kept: usize,
}

impl<'b> Input<'b> {
    /// All of `bytes` are still to be consumed.
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            kept: 0,
        }
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

    /// What lies in front of `end` is a reply and stays as it is; from there to the position the bytes are free.
    ///
    /// # Panics
    /// Where `end` is beyond the position.
    #[inline]
    pub fn keep_until(&mut self, end: usize) {
        assert!(end <= self.position, "a reply in what is not consumed");
        self.kept = end;
    }

    /// The whole buffer, consumed bytes included: what `Place::Input` counts in.
    pub fn buffer(&mut self) -> &mut [u8] {
        self.bytes
    }
}

/// Where the payload of a message lies, so that it can be sent on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the input's buffer at `start`; the unmasked header for `len` bytes has room in front of it, free to be
    /// overwritten. Where a reply was kept, a short message lies right behind it, with just that room between.
    Input {
        /// Offset in `Input::buffer`.
        start: usize,
        /// Bytes.
        len: usize,
    },
    /// In a buffer of its own that `Protocol::take_assembled` gives away.
    Assembled,
    /// In the codec's scratch space, until its next use; `Codec::take_scratch` gives it away.
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

/// One connection.
///
/// The order of calls: bytes that arrive go to [`receive`](Self::receive), again and again with the same `Input` until it gives
/// `None`; that last call also gives back what the connection borrowed from the codec, so that an idle one owns no
/// buffer. Between two calls the `send_*` functions append what is to be written.
///
/// * A ping is answered by `send_pong`.
/// * A Close is answered by `send_close`, after which [`is_closed`](Self::is_closed).
/// * A violation is answered by `send_close` with its code and sentence.
/// * After `send_close` nothing else is sent, and of what arrives only control frames are told.
/// * Before it is dropped, [`release`](Self::release) gives back what it still holds of the pool.
///
/// It is 24 bytes, and owns memory only in the middle of a frame or a message, or where contexts are kept between
/// compressed messages.
#[derive(Debug)]
pub struct Protocol {
    /// What is unfinished, or was just delivered from there.
    partial: Option<Box<Partial>>,
    contexts: Option<Box<Contexts>>,
    deflate: Deflate,
    role: Role,
    flags: u8,
}

/// We have sent a Close.
const CLOSE_SENT: u8 = 1;
/// The peer has sent a Close.
const CLOSE_RECEIVED: u8 = 2;
/// The peer has broken a rule.
const FAILED: u8 = 4;
/// A data frame has begun a message that has not ended. Kept although what arrives is discarded.
const MID_MESSAGE: u8 = 8;

/// What was agreed, from our side.
#[derive(Debug, Clone, Copy)]
struct Deflate {
    agreed: bool,
    own_window_bits: u8,
    own_takeover: bool,
    peer_takeover: bool,
}

impl Deflate {
    const NONE: Self = Self {
        agreed: false,
        own_window_bits: 0,
        own_takeover: false,
        peer_takeover: false,
    };

    fn new(role: Role, params: DeflateParams) -> Self {
        let server = (
            params.server_max_window_bits,
            !params.server_no_context_takeover,
        );
        let client = (
            params.client_max_window_bits,
            !params.client_no_context_takeover,
        );
        let (own, peer) = match role {
            Role::Server => (server, client),
            Role::Client => (client, server),
        };
        Self {
            agreed: true,
            own_window_bits: own.0,
            own_takeover: own.1,
            peer_takeover: peer.1,
        }
    }
}

impl Protocol {
    /// A connection right after its handshake. One in the client role has to be given a codec with a mask seed.
    #[must_use]
    pub fn new(role: Role, deflate: Option<DeflateParams>) -> Self {
        Self {
            partial: None,
            contexts: None,
            deflate: deflate.map_or(Deflate::NONE, |params| Deflate::new(role, params)),
            role,
            flags: 0,
        }
    }

    /// Consumes from `input` up to the next event; `None` when all is consumed. Frames that are not complete
    /// are kept inside; nothing needs to be fed twice.
    ///
    /// # Errors
    /// The first rule that the peer breaks. From then on everything received is swallowed.
    #[inline]
    pub fn receive<'a>(
        &'a mut self,
        input: &'a mut Input<'_>,
        codec: &'a mut Codec,
    ) -> Result<Option<Event<'a>>, Violation> {
        if let Some(whole) = self.receive_whole(input, codec)? {
            let payload = &mut input.bytes[whole.start..whole.start + whole.len];
            return Ok(Some(Event::Message(Message {
                kind: whole.kind,
                payload,
                place: Place::Input {
                    start: whole.start,
                    len: whole.len,
                },
                compressed: false,
            })));
        }
        if input.is_empty() && self.is_idle() {
            return Ok(None);
        }
        self.receive_any(input, codec)
    }

    /// Consumes the next message from `input` where it is the usual one: uncompressed, in one frame of less than 64 KiB, whole
    /// in the input, and nothing unfinished before it. `None` tells nothing: [`receive`](Self::receive) knows.
    ///
    /// # Errors
    /// `InvalidText`, after which it is as after an error of `receive`.
    #[inline(always)]
    pub fn receive_whole(
        &mut self,
        input: &mut Input<'_>,
        codec: &mut Codec,
    ) -> Result<Option<Whole>, Violation> {
        if !self.is_idle() {
            return Ok(None);
        }
        let Some((whole, is_ascii)) = whole::whole_message(input, self.role, codec) else {
            return Ok(None);
        };
        if !is_ascii
            && whole.kind == MessageKind::Text
            && !utf8::is_valid(&input.bytes[whole.start..whole.start + whole.len])
        {
            return Err(self.fail(Violation::InvalidText, Some(input), codec));
        }
        Ok(Some(whole))
    }

    /// Whether nothing is unfinished, borrowed or closed: what arrives next is the first byte of a frame.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.flags == 0 && self.partial.is_none()
    }

    /// The buffer of a message whose place is `Assembled`, and where in it the payload begins; at least
    /// `frame::HEADER_BYTES_MAX` bytes lie in front. To be called before the next `receive`, and to be followed by
    /// `Codec::recycle` when the buffer is done with.
    pub fn take_assembled(&mut self) -> (Vec<u8>, usize) {
        match &mut self.partial {
            Some(partial) if partial.delivered => partial.message.assembly.take(),
            _ => Assembly::default().take(),
        }
    }

    /// Gives back to the pool what is held of it. For the end of the connection.
    pub fn release(&mut self, codec: &mut Codec) {
        if let Some(partial) = self.partial.take() {
            codec.pool.give_partial(partial);
        }
    }

    /// Writes the header of an uncompressed message in front of its payload, which lies at `buffer[start..start + len]`; gives
    /// where the frame begins. Server role, and only while [`is_open`](Self::is_open).
    ///
    /// # Panics
    /// Where there is no room in front: `frame::header_len` tells how much it takes.
    #[inline]
    pub fn put_header(
        &self,
        kind: MessageKind,
        buffer: &mut [u8],
        start: usize,
        len: usize,
    ) -> usize {
        debug_assert!(self.role == Role::Server, "what a client sends is masked");
        put_header(buffer, start, kind.opcode(), len)
    }

    /// Whether [`send_message`](Self::send_message) would try to compress a message of `len` bytes.
    #[inline]
    #[must_use]
    pub fn deflates(&self, len: usize, codec: &Codec) -> bool {
        self.deflate.agreed && codec.is_worth_compressing(len, self.deflate.own_window_bits)
    }

    /// The window of which this connection takes shared messages from `Codec::encode_message`; `None` where only plain
    /// ones fit: nothing was agreed, or our side keeps its context.
    #[must_use]
    pub fn shared_window_bits(&self) -> Option<u8> {
        let deflate = self.deflate;
        (deflate.agreed && !deflate.own_takeover && self.role == Role::Server)
            .then_some(deflate.own_window_bits)
            .filter(|&bits| bits >= COMPRESS_WINDOW_BITS_MIN)
    }

    /// Whether messages may still be sent: no Close has passed in either direction, and no rule was broken.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.flags & (CLOSE_SENT | CLOSE_RECEIVED | FAILED) == 0
    }

    /// Whether both Close frames have passed: TCP may end (section 7.1.1). After a violation none is expected of the
    /// peer.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.flags & CLOSE_SENT != 0 && self.flags & (CLOSE_RECEIVED | FAILED) != 0
    }

    /// Whether a message or a frame has begun and not ended; the caller may limit for how long.
    #[inline]
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        self.flags & MID_MESSAGE != 0
            || self
                .partial
                .as_ref()
                .is_some_and(|partial| !partial.is_between_frames())
    }

    /// Notes a broken rule; what is still there is swallowed.
    #[cold]
    fn fail(
        &mut self,
        violation: Violation,
        input: Option<&mut Input<'_>>,
        codec: &mut Codec,
    ) -> Violation {
        self.flags = (self.flags | FAILED) & !MID_MESSAGE;
        self.release(codec);
        if let Some(input) = input {
            input.position = input.bytes.len();
        }
        violation
    }
}
