//! Offsets behind the events that sessions get, where clients that come back are to hear what they have missed: what a worker has
//! processed with each publication, in the order in which publications leave.

use super::publication::{Encoding, Publication};
use super::worker::Delivery;
use crate::buffer::Shared;
use crate::socketio::Moment;
use crate::socketio::recovery::{Offset, Positions, Seen};
use crate::websocket::codec::Codec;
use crate::websocket::frame::HEADER_BYTES_MAX;
use crate::websocket::protocol::MessageKind;

/// How far a worker has come.
#[derive(Debug)]
pub(super) struct Offsets {
    positions: Positions,
    now: Moment,
}

impl Offsets {
    pub(super) fn new(keep_ms: u32) -> Self {
        Self {
            positions: Positions::new(keep_ms),
            now: Moment::default(),
        }
    }

    /// What leaves from here on leaves now.
    pub(super) fn pass_time(&mut self, now: Moment) {
        self.now = now;
    }

    /// How far it has come, as of the last that left.
    pub(super) fn offset(&self) -> Offset {
        self.positions.offset(None, self.now)
    }

    /// Whether all of that has been processed, as far as is known.
    pub(super) fn have_come(&self, seen: &Seen) -> bool {
        self.offset().seen.covers(seen)
    }

    /// Processes publications, one after the other; gives the offset of each where somebody `wants` them.
    pub(super) fn advance(&mut self, deliveries: &[Delivery], wants: bool) -> Vec<String> {
        let mut offsets = Vec::new();
        for delivery in deliveries {
            let own = delivery.publication.id();
            if let Some(own) = own {
                self.positions.advance(own, self.now);
            }
            if wants {
                offsets.push(self.positions.offset(own, self.now).encode());
            }
        }
        offsets
    }
}

impl Publication {
    /// The frame for sessions with an offset behind the event. It is the worker's own.
    pub(super) fn frame_with(&self, offset: &str, codec: &mut Codec, window_bits: u8) -> Shared {
        let frame = self.frame(Encoding::SocketIo, codec, window_bits);
        let Some(event) = payload_of(frame) else {
            return Shared::clone(frame);
        };
        let mut text = Vec::with_capacity(event.len() + offset.len() + 4);
        Offset::put_behind(offset, event, &mut text);
        let mut out = Vec::with_capacity(text.len() + HEADER_BYTES_MAX);
        codec.encode_message(MessageKind::Text, &text, None, &mut out);
        Shared::on(self.account(), out)
    }
}

/// What a frame of this server carries: one that is plain and has no mask.
fn payload_of(frame: &[u8]) -> Option<&[u8]> {
    let header_bytes = match frame.get(1)? {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame.get(header_bytes..)
}
