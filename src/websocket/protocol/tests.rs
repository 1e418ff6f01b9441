//! Tests of the protocol: helpers here, the rules in files of their own.

mod closing;
mod compression;
mod pitfalls;
mod receiving;
mod sending;
mod splits;

use super::*;
use crate::websocket::codec::{Codec, Config};
use crate::websocket::frame::encode_header;
use crate::websocket::mask;

pub(super) const CONFIG: Config = Config {
    message_bytes_max: 1 << 16,
    compression_bytes_min: 16,
    compression_level: 6,
};
pub(super) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
pub(super) const TAKEOVER: DeflateParams = DeflateParams {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
pub(super) const NO_TAKEOVER: DeflateParams = DeflateParams {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

pub(super) fn codec() -> Codec {
    Codec::with_mask_seed(CONFIG, [7; 32])
}

/// An event that owns what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Got {
    Text(String, bool),
    Binary(Vec<u8>, bool),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
}

pub(super) fn text(text: &str) -> Got {
    Got::Text(text.to_owned(), false)
}

pub(super) fn binary(bytes: &[u8]) -> Got {
    Got::Binary(bytes.to_vec(), false)
}

impl Got {
    pub(super) fn of(event: Event<'_>) -> Self {
        match event {
            Event::Message(message) => match message.kind {
                MessageKind::Text => {
                    let text = std::str::from_utf8(message.payload).expect("text is UTF-8");
                    Self::Text(text.to_owned(), message.compressed)
                }
                MessageKind::Binary => Self::Binary(message.payload.to_vec(), message.compressed),
            },
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Close { code, reason } => Self::Close(code.0, reason.to_owned()),
        }
    }
}

/// A protocol with its codec, and what it has made of the bytes so far.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) protocol: Protocol,
    pub(super) codec: Codec,
    pub(super) got: Vec<Got>,
    pub(super) failure: Option<Violation>,
    pub(super) places: Vec<Place>,
}

impl Peer {
    pub(super) fn new(role: Role, deflate: Option<DeflateParams>) -> Self {
        Self {
            protocol: Protocol::new(role, deflate),
            codec: codec(),
            got: Vec::new(),
            failure: None,
            places: Vec::new(),
        }
    }

    pub(super) fn server() -> Self {
        Self::new(Role::Server, None)
    }

    pub(super) fn client() -> Self {
        Self::new(Role::Client, None)
    }

    /// Feeds one piece until nothing more comes of it.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> &mut Self {
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            match self.protocol.receive(&mut input, &mut self.codec) {
                Ok(Some(event)) => {
                    if let Event::Message(message) = &event {
                        self.places.push(message.place);
                    }
                    self.got.push(Got::of(event));
                }
                Ok(None) => break,
                Err(violation) => {
                    assert_eq!(self.failure, None, "a connection fails once");
                    self.failure = Some(violation);
                }
            }
        }
        assert!(input.is_empty(), "everything is consumed");
        self
    }

    pub(super) fn feed_pieces(&mut self, bytes: &[u8], size: usize) -> &mut Self {
        for piece in bytes.chunks(size) {
            self.feed(piece);
        }
        self
    }

    /// What came since the last time.
    pub(super) fn take(&mut self) -> Vec<Got> {
        std::mem::take(&mut self.got)
    }

    pub(super) fn close(&mut self, code: CloseCode, reason: &str) -> Vec<u8> {
        let mut out = Vec::new();
        self.protocol
            .send_close(code, reason, &mut self.codec, &mut out);
        out
    }
}

/// A frame with these bits in its first byte, masked as a client does.
pub(super) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some(KEY))
}

/// A frame as a server sends it.
pub(super) fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, None)
}

fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let header = encode_header(Opcode::Text, true, false, payload.len() as u64, key);
    let mut bytes = header.as_slice().to_vec();
    bytes[0] = first;
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if let Some(key) = key {
        mask::apply(&mut bytes[start..], key);
    }
    bytes
}

/// What a server makes of `bytes`, the last of which must be the one that breaks the rule.
pub(super) fn violation(deflate: Option<DeflateParams>, bytes: &[u8]) -> Violation {
    let mut peer = Peer::new(Role::Server, deflate);
    let (last, before) = bytes.split_last().expect("not empty");
    peer.feed(before);
    assert_eq!(peer.failure, None, "refused too early: {bytes:x?}");
    peer.feed(&[*last]);
    assert!(!peer.protocol.is_mid_message());
    let split = peer.failure.expect("refused");
    let mut whole = Peer::new(Role::Server, deflate);
    whole.feed(bytes);
    assert_eq!(whole.failure, Some(split));
    split
}
