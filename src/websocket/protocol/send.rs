//! Sending: every function appends whole frames to `out`, and nothing once a Close has been sent.

use super::{CLOSE_SENT, MessageKind, Protocol, Role};
use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;
use crate::websocket::close::{self, CloseCode};
use crate::websocket::codec::Codec;
use crate::websocket::deflate;
use crate::websocket::frame::{Opcode, encode_header};
use crate::websocket::mask;

impl Protocol {
    /// Appends a message as one frame, compressed where that was agreed and is worth it. Nothing once a Close has passed.
    ///
    /// # Panics
    /// As all that send: in the client role with a codec that has no mask seed.
    #[inline]
    pub fn send_message(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        codec: &mut Codec,
        out: &mut Vec<u8>,
    ) {
        if !self.is_open() {
            return;
        }
        if self.deflates(payload.len(), codec) && self.send_deflated(kind, payload, codec, out) {
            return;
        }
        self.send_frame(kind.opcode(), payload, codec, out);
    }

    /// Appends a ping; `payload` is at most 125 bytes, more is cut off.
    pub fn send_ping(&mut self, payload: &[u8], codec: &mut Codec, out: &mut Vec<u8>) {
        self.send_control(Opcode::Ping, payload, codec, out);
    }

    /// Appends a pong; `payload` is at most 125 bytes, more is cut off.
    pub fn send_pong(&mut self, payload: &[u8], codec: &mut Codec, out: &mut Vec<u8>) {
        self.send_control(Opcode::Pong, payload, codec, out);
    }

    /// Appends a Close, unless one was sent before. `NO_STATUS`, and every code that must not be sent, sends an empty one.
    /// `reason` is cut at a character to 123 bytes. What has arrived of an unfinished message is dropped.
    pub fn send_close(
        &mut self,
        code: CloseCode,
        reason: &str,
        codec: &mut Codec,
        out: &mut Vec<u8>,
    ) {
        if self.flags & CLOSE_SENT != 0 {
            return;
        }
        let mut space = [0; CONTROL_PAYLOAD_BYTES_MAX];
        let payload = close::payload(code, reason, &mut space);
        self.send_frame(Opcode::Close, payload, codec, out);
        self.flags |= CLOSE_SENT;
        if let Some(partial) = &mut self.partial
            && !partial.delivered
        {
            partial.message.assembly.release(&mut codec.pool);
        }
    }

    fn send_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        codec: &mut Codec,
        out: &mut Vec<u8>,
    ) {
        debug_assert!(payload.len() <= CONTROL_PAYLOAD_BYTES_MAX);
        if self.is_open() {
            let payload = &payload[..payload.len().min(CONTROL_PAYLOAD_BYTES_MAX)];
            self.send_frame(opcode, payload, codec, out);
        }
    }

    #[inline]
    fn send_frame(&self, opcode: Opcode, payload: &[u8], codec: &mut Codec, out: &mut Vec<u8>) {
        let length = payload.len() as u64;
        match self.role {
            Role::Server => {
                let header = encode_header(opcode, true, false, length, None);
                out.reserve(header.len() + payload.len());
                out.extend_from_slice(header.as_slice());
                out.extend_from_slice(payload);
            }
            Role::Client => {
                let key = codec.mask_key();
                let header = encode_header(opcode, true, false, length, Some(key));
                out.reserve(header.len() + payload.len());
                out.extend_from_slice(header.as_slice());
                let start = out.len();
                out.extend_from_slice(payload);
                mask::apply(&mut out[start..], key);
            }
        }
    }

    /// False where the plain form is to be sent.
    fn send_deflated(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        codec: &mut Codec,
        out: &mut Vec<u8>,
    ) -> bool {
        let bits = self.deflate.own_window_bits;
        let own = if self.deflate.own_takeover {
            let level = codec.config().compression_level;
            let contexts = self.contexts.get_or_insert_default();
            let compress = &mut contexts.compress;
            Some(compress.get_or_insert_with(|| deflate::compressor(level, bits)))
        } else {
            None
        };
        let mask_key = match self.role {
            Role::Server => None,
            Role::Client => Some(codec.mask_key()),
        };
        codec.encode_deflated(kind, payload, bits, own, mask_key, out)
    }
}
