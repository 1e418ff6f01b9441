//! Receiving, the long way: headers and payloads in pieces, fragments, control frames, compressed messages.
//!
//! It first finds out what happened (an `Outcome`, which borrows nothing) and then builds the event from where
//! the bytes lie.

use super::{
    CLOSE_RECEIVED, CLOSE_SENT, Event, FAILED, Input, MID_MESSAGE, Message, MessageKind, Place,
    Protocol, Role,
};
use crate::limits::{EMPTY_FRAMES_PER_MESSAGE_MAX, FRAMES_PER_MESSAGE_MAX};
use crate::websocket::assembler::{OpenFrame, Partial};
use crate::websocket::close::{self, CloseCode, Violation};
use crate::websocket::codec::Codec;
use crate::websocket::deflate::{self, Contexts};
use crate::websocket::frame::{Header, Opcode, Rules};
use crate::websocket::{mask, utf8};
use flate2::Decompress;

/// What happened, and where its bytes lie.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Message {
        kind: MessageKind,
        place: Place,
        compressed: bool,
    },
    Control {
        opcode: Opcode,
        spot: Spot,
    },
}

/// Where the payload of a control frame lies.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spot {
    Input { start: usize, len: usize },
    Partial,
}

impl Protocol {
    /// The long way.
    pub(super) fn receive_any<'a>(
        &'a mut self,
        input: &'a mut Input<'_>,
        codec: &'a mut Codec,
    ) -> Result<Option<Event<'a>>, Violation> {
        match self.next_outcome(input, codec) {
            Ok(None) => Ok(None),
            Ok(Some(outcome)) => Ok(Some(self.event(outcome, input.bytes, codec))),
            Err(violation) => Err(self.fail(violation, Some(input), codec)),
        }
    }

    fn next_outcome(
        &mut self,
        input: &mut Input<'_>,
        codec: &mut Codec,
    ) -> Result<Option<Outcome>, Violation> {
        self.settle(codec);
        if self.flags & (FAILED | CLOSE_RECEIVED) != 0 {
            self.release(codec);
            input.position = input.bytes.len();
            return Ok(None);
        }
        while !input.is_empty() {
            let found = match &self.partial {
                Some(partial) if partial.frame.is_some() => self.take_payload(input, codec)?,
                _ => self.take_header(input, codec)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        self.settle(codec);
        Ok(None)
    }

    /// Gives back what the last event lay in, and the state itself where nothing is unfinished.
    fn settle(&mut self, codec: &mut Codec) {
        if let Some(partial) = &mut self.partial {
            if partial.delivered {
                partial.delivered = false;
                partial.message.assembly.release(&mut codec.pool);
            }
            let keeps_message = self.flags & (MID_MESSAGE | CLOSE_SENT) == MID_MESSAGE;
            if partial.is_between_frames() && !keeps_message {
                self.release(codec);
            }
        }
    }

    /// Takes the bytes of a header, and begins its frame when it is complete.
    fn take_header(
        &mut self,
        input: &mut Input<'_>,
        codec: &mut Codec,
    ) -> Result<Option<Outcome>, Violation> {
        let rules = self.rules(codec);
        if let Some(partial) = self.partial.as_deref_mut()
            && !partial.header().is_empty()
        {
            let before = partial.header().len();
            let added = partial.extend_header(input.remaining());
            return match Header::decode(partial.header(), &rules)? {
                Some((header, size)) => {
                    partial.clear_header();
                    input.advance(size - before);
                    self.begin_frame(header, false, input, codec)
                }
                None => {
                    input.advance(added);
                    Ok(None)
                }
            };
        }
        if let Some((header, size)) = Header::decode(input.remaining(), &rules)? {
            input.advance(size);
            return self.begin_frame(header, true, input, codec);
        }
        let added = self.partial(codec).extend_header(input.remaining());
        input.advance(added);
        Ok(None)
    }

    /// What the next header has to obey.
    fn rules(&self, codec: &Codec) -> Rules {
        let bytes_max = codec.config.message_bytes_max;
        let compressed_max = deflate::compressed_bytes_max(bytes_max);
        let mid_message = self.flags & MID_MESSAGE != 0;
        let (payload_max, compressed_max) = if self.flags & CLOSE_SENT != 0 {
            // What is discarded takes no room.
            (u64::MAX, u64::MAX)
        } else if let Some(partial) = &self.partial
            && mid_message
        {
            let message = &partial.message;
            let whole = if message.compressed {
                compressed_max
            } else {
                bytes_max
            };
            (whole.saturating_sub(message.assembly.len()) as u64, 0)
        } else {
            (bytes_max as u64, compressed_max as u64)
        };
        Rules {
            masked: self.role == Role::Server,
            deflate: self.deflate.agreed,
            mid_message,
            payload_bytes_max: payload_max,
            compressed_bytes_max: compressed_max,
        }
    }

    /// The header is complete and obeys the rules.
    fn begin_frame(
        &mut self,
        header: Header,
        is_header_in_input: bool,
        input: &mut Input<'_>,
        codec: &mut Codec,
    ) -> Result<Option<Outcome>, Violation> {
        let frame = OpenFrame {
            opcode: header.opcode,
            fin: header.fin,
            key: header.mask.unwrap_or_default(),
            remaining: header.length,
        };
        let available = input.bytes.len() - input.position;
        let whole = usize::try_from(header.length)
            .ok()
            .filter(|&length| length <= available);
        let kind = match header.opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                if let Some(len) = whole {
                    return self.whole_control(frame, len, input);
                }
                self.partial(codec).begin_control();
                return self.begin_payload(frame, codec);
            }
            Opcode::Continuation => None,
            Opcode::Text => Some(MessageKind::Text),
            Opcode::Binary => Some(MessageKind::Binary),
        };
        if self.flags & CLOSE_SENT != 0 {
            self.flags |= MID_MESSAGE;
            return self.begin_payload(frame, codec);
        }
        if let Some(kind) = kind {
            match whole {
                Some(len) if header.fin && header.rsv1 => {
                    return self.whole_compressed(kind, frame.key, len, input, codec);
                }
                // Without its header there is no room for ours in front of it.
                Some(len) if header.fin && is_header_in_input => {
                    return whole_plain(kind, frame.key, len, input);
                }
                Some(_) | None => {}
            }
            self.flags |= MID_MESSAGE;
            self.partial(codec).message.begin(kind, header.rsv1);
        }
        let message = &mut self.partial(codec).message;
        message.frames += 1;
        if message.frames > FRAMES_PER_MESSAGE_MAX {
            return Err(Violation::TooManyFrames);
        }
        if header.length == 0 && !header.fin {
            message.empty_frames += 1;
            if message.empty_frames > EMPTY_FRAMES_PER_MESSAGE_MAX {
                return Err(Violation::TooManyEmptyFrames);
            }
        }
        self.begin_payload(frame, codec)
    }

    /// The payload is to be collected; an empty one is complete at once.
    fn begin_payload(
        &mut self,
        frame: OpenFrame,
        codec: &mut Codec,
    ) -> Result<Option<Outcome>, Violation> {
        self.partial(codec).frame = Some(frame);
        if frame.remaining == 0 {
            return self.end_frame(codec);
        }
        Ok(None)
    }

    /// A control frame that lies whole in the input.
    fn whole_control(
        &mut self,
        frame: OpenFrame,
        len: usize,
        input: &mut Input<'_>,
    ) -> Result<Option<Outcome>, Violation> {
        let start = input.position;
        let payload = &mut input.bytes[start..start + len];
        mask::apply(payload, frame.key);
        self.check_control(frame.opcode, payload)?;
        input.position = start + len;
        let spot = Spot::Input { start, len };
        Ok(Some(Outcome::Control {
            opcode: frame.opcode,
            spot,
        }))
    }

    /// A compressed message that lies whole in the input is inflated from there.
    fn whole_compressed(
        &mut self,
        kind: MessageKind,
        key: [u8; 4],
        len: usize,
        input: &mut Input<'_>,
        codec: &mut Codec,
    ) -> Result<Option<Outcome>, Violation> {
        let start = input.position;
        let payload = &mut input.bytes[start..start + len];
        if self.role == Role::Server {
            mask::apply(payload, key);
        }
        input.position = start + len;
        let own = self
            .deflate
            .peer_takeover
            .then(|| kept_decompressor(&mut self.contexts));
        codec.inflate_with(own, payload, kind == MessageKind::Text)?;
        Ok(Some(Outcome::Message {
            kind,
            place: Place::Scratch,
            compressed: true,
        }))
    }

    /// Takes payload of the frame that has begun.
    fn take_payload(
        &mut self,
        input: &mut Input<'_>,
        codec: &mut Codec,
    ) -> Result<Option<Outcome>, Violation> {
        let is_discarded = self.flags & CLOSE_SENT != 0;
        let partial = self.partial.as_deref_mut().expect("a frame has begun");
        let frame = partial.frame.as_mut().expect("a frame has begun");
        let missing = usize::try_from(frame.remaining).unwrap_or(usize::MAX);
        let bytes = input.remaining();
        let bytes = &bytes[..bytes.len().min(missing)];
        let key = frame.key;
        let announced = frame.announced(partial.message.assembly.len());
        frame.key = mask::rotate(key, bytes.len());
        frame.remaining -= bytes.len() as u64;
        let is_complete = frame.remaining == 0;
        if frame.opcode.is_control() {
            partial.append_control(bytes, key);
        } else if !is_discarded {
            partial
                .message
                .append(bytes, key, announced, &mut codec.pool)?;
        }
        let count = bytes.len();
        input.advance(count);
        if is_complete {
            return self.end_frame(codec);
        }
        Ok(None)
    }

    /// The frame in the partial state is complete.
    pub(super) fn end_frame(&mut self, codec: &mut Codec) -> Result<Option<Outcome>, Violation> {
        let is_discarded = self.flags & CLOSE_SENT != 0;
        let partial = self.partial.as_deref_mut().expect("a frame has begun");
        let frame = partial.frame.take().expect("a frame has begun");
        if frame.opcode.is_control() {
            let parsed = check_close(frame.opcode, partial.control());
            self.note_close(parsed?);
            return Ok(Some(Outcome::Control {
                opcode: frame.opcode,
                spot: Spot::Partial,
            }));
        }
        if !frame.fin {
            return Ok(None);
        }
        self.flags &= !MID_MESSAGE;
        if is_discarded {
            return Ok(None);
        }
        let message = &mut partial.message;
        let (kind, compressed) = (message.kind, message.compressed);
        let place = if compressed {
            let own = self
                .deflate
                .peer_takeover
                .then(|| kept_decompressor(&mut self.contexts));
            codec.inflate_with(own, message.assembly.payload(), kind == MessageKind::Text)?;
            message.assembly.release(&mut codec.pool);
            Place::Scratch
        } else {
            message.finish()?;
            partial.delivered = true;
            Place::Assembled
        };
        Ok(Some(Outcome::Message {
            kind,
            place,
            compressed,
        }))
    }

    fn check_control(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Violation> {
        let is_close = check_close(opcode, payload)?;
        self.note_close(is_close);
        Ok(())
    }

    fn note_close(&mut self, is_close: bool) {
        if is_close {
            self.flags = (self.flags | CLOSE_RECEIVED) & !MID_MESSAGE;
        }
    }

    /// The event that `outcome` stands for.
    pub(super) fn event<'a>(
        &'a mut self,
        outcome: Outcome,
        buffer: &'a mut [u8],
        codec: &'a mut Codec,
    ) -> Event<'a> {
        match outcome {
            Outcome::Message {
                kind,
                place,
                compressed,
            } => {
                let payload = match place {
                    Place::Input { start, len } => &mut buffer[start..start + len],
                    Place::Assembled => self.held().message.assembly.payload_mut(),
                    Place::Scratch => codec.scratch.assembly.payload_mut(),
                };
                Event::Message(Message {
                    kind,
                    payload,
                    place,
                    compressed,
                })
            }
            Outcome::Control { opcode, spot } => {
                let payload: &[u8] = match spot {
                    Spot::Input { start, len } => &buffer[start..start + len],
                    Spot::Partial => self.held().control(),
                };
                match opcode {
                    Opcode::Ping => Event::Ping(payload),
                    Opcode::Pong => Event::Pong(payload),
                    Opcode::Close | Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                        let (code, reason) =
                            close::parse(payload).unwrap_or((CloseCode::NO_STATUS, ""));
                        Event::Close { code, reason }
                    }
                }
            }
        }
    }

    /// The partial state that an event lies in.
    fn held(&mut self) -> &mut Partial {
        self.partial
            .as_deref_mut()
            .expect("the event lies in the partial state")
    }

    /// The partial state, borrowed from the pool where there is none yet.
    fn partial(&mut self, codec: &mut Codec) -> &mut Partial {
        self.partial.get_or_insert_with(|| codec.pool.partial())
    }
}

/// A plain message in one frame that lies whole in the input, of any length.
fn whole_plain(
    kind: MessageKind,
    key: [u8; 4],
    len: usize,
    input: &mut Input<'_>,
) -> Result<Option<Outcome>, Violation> {
    let start = input.position;
    let payload = &mut input.bytes[start..start + len];
    let ascii = mask::apply_ascii(payload, key);
    if kind == MessageKind::Text && !ascii && !utf8::is_valid(payload) {
        return Err(Violation::InvalidText);
    }
    input.position = start + len;
    Ok(Some(Outcome::Message {
        kind,
        place: Place::Input { start, len },
        compressed: false,
    }))
}

/// Whether the frame is a Close, which then has to be a valid one.
fn check_close(opcode: Opcode, payload: &[u8]) -> Result<bool, Violation> {
    let is_close = opcode == Opcode::Close;
    if is_close {
        close::parse(payload)?;
    }
    Ok(is_close)
}

/// The decompressor of a connection whose peer keeps its context.
fn kept_decompressor(contexts: &mut Option<Box<Contexts>>) -> &mut Decompress {
    let contexts = contexts.get_or_insert_default();
    contexts
        .decompress
        .get_or_insert_with(deflate::decompressor)
}
