//! A packet and its binary attachments, which come one after the other.

use super::sockets::Violation;
use crate::socketio::Moment;
use crate::socketio::packet::Packet;

/// What there is of a packet that waits for attachments. It grows with what arrives, not with what was announced.
#[derive(Debug)]
pub(super) struct Assembly {
    assembled: Assembled,
    missing: u8,
    until: Moment,
}

impl Assembly {
    /// A packet that `missing` attachments have to follow.
    pub(super) fn new(text: &str, missing: u8, until: Moment, stay: u32) -> Self {
        let assembled = Assembled {
            packet: text.into(),
            bytes: Vec::new(),
            ends: Vec::new(),
            stay,
        };
        Self {
            assembled,
            missing,
            until,
        }
    }

    /// Takes an attachment; whether it was the last one.
    pub(super) fn push(&mut self, bytes: &[u8], bytes_max: usize) -> Result<bool, Violation> {
        let Assembled {
            packet,
            bytes: held,
            ends,
            ..
        } = &mut self.assembled;
        if packet.len() + held.len() + bytes.len() > bytes_max {
            return Err(Violation::BinaryTooLarge);
        }
        held.extend_from_slice(bytes);
        ends.push(held.len());
        self.missing -= 1;
        Ok(self.missing == 0)
    }

    pub(super) fn until(&self) -> Moment {
        self.until
    }

    pub(super) fn into_assembled(self) -> Assembled {
        self.assembled
    }
}

/// A packet with all of its attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    packet: Box<str>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Of the stay in the namespace that it came in.
    stay: u32,
}

impl Assembled {
    /// The packet.
    pub fn packet(&self) -> Packet<'_> {
        Packet::decode(&self.packet).expect("it was read when it came")
    }

    /// The attachments, in the order of their placeholders' numbers.
    pub fn attachments(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let end_of = |number: usize| self.ends[number];
        (0..self.ends.len()).map(move |number| {
            let start = number.checked_sub(1).map_or(0, end_of);
            &self.bytes[start..end_of(number)]
        })
    }

    pub(super) fn stay(&self) -> u32 {
        self.stay
    }
}
