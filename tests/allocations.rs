//! The steady state allocates nothing: after a warm-up, no message, whole or in pieces, plain or compressed, costs an
//! allocation.
#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

#[path = "common/counting.rs"]
mod counting;

use counting::steady_state;
use tidegate::websocket::codec::{Codec, Config};
use tidegate::websocket::extension::DeflateParams;
use tidegate::websocket::frame::{Opcode, encode_header};
use tidegate::websocket::mask;
use tidegate::websocket::protocol::{Event, Input, MessageKind, Place, Protocol, Role};

const KEY: [u8; 4] = [1, 2, 3, 4];
const CONFIG: Config = Config {
    message_bytes_max: 1 << 20,
    compression_bytes_min: 32,
    compression_level: 1,
};
/// Our own encoder, and zlib.
const LEVELS: [u8; 2] = [1, 6];
const NO_TAKEOVER: DeflateParams = DeflateParams {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

/// A server that echoes from where a message lies.
struct Echo {
    protocol: Protocol,
    codec: Codec,
    buffer: Vec<u8>,
    out: Vec<u8>,
    messages: usize,
}

impl Echo {
    fn new(deflate: Option<DeflateParams>, config: Config) -> Self {
        Self {
            protocol: Protocol::new(Role::Server, deflate),
            codec: Codec::new(config),
            buffer: Vec::with_capacity(1 << 20),
            out: Vec::with_capacity(1 << 20),
            messages: 0,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.clear();
        self.buffer.extend_from_slice(bytes);
        self.out.clear();
        let mut input = Input::new(&mut self.buffer);
        loop {
            let event = self.protocol.receive(&mut input, &mut self.codec);
            let (kind, place) = match event.expect("valid") {
                Some(Event::Message(message)) => (message.kind, message.place),
                Some(Event::Ping(payload)) => {
                    let mut pong = [0; 125];
                    let pong = &mut pong[..payload.len()];
                    pong.copy_from_slice(payload);
                    self.protocol
                        .send_pong(pong, &mut self.codec, &mut self.out);
                    continue;
                }
                Some(event) => panic!("{event:?}"),
                None => break,
            };
            self.messages += 1;
            let (protocol, codec, out) = (&mut self.protocol, &mut self.codec, &mut self.out);
            match place {
                Place::Input { start, len } => {
                    let front = protocol.put_header(kind, input.buffer(), start, len);
                    assert!(front < start);
                    let payload = &input.buffer()[start..start + len];
                    protocol.send_message(kind, payload, codec, out);
                }
                Place::Assembled => {
                    let (buffer, start) = protocol.take_assembled();
                    protocol.send_message(kind, &buffer[start..], codec, out);
                    codec.recycle(buffer);
                }
                Place::Scratch => {
                    let scratch = codec.take_scratch();
                    protocol.send_message(kind, &scratch, codec, out);
                    codec.give_scratch(scratch);
                }
            }
        }
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let header = encode_header(Opcode::Text, true, false, payload.len() as u64, Some(KEY));
    let mut bytes = header.as_slice().to_vec();
    bytes[0] = first;
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    mask::apply(&mut bytes[start..], KEY);
    bytes
}

/// A text of `len` bytes, not all of them ASCII.
fn text(len: usize) -> Vec<u8> {
    let mut text = "w\u{f8}rds ".repeat(len / 7 + 1).into_bytes();
    text.truncate(len / 7 * 7);
    text
}

#[test]
fn the_counter_counts() {
    assert_eq!(
        steady_state(|| drop(std::hint::black_box(vec![1u8; 100]))),
        100
    );
    assert_eq!(steady_state(|| ()), 0);
}

#[test]
fn whole_frames() {
    let mut echo = Echo::new(None, CONFIG);
    for len in [0, 128, 1000, 100_000] {
        let bytes = [frame(0x81, &text(len)), frame(0x89, b"ping")]
            .concat()
            .repeat(3);
        assert_eq!(steady_state(|| echo.feed(&bytes)), 0, "{len}");
    }
    assert_eq!(echo.messages, 4 * 3 * 105);
}

#[test]
fn frames_in_pieces() {
    let mut echo = Echo::new(None, CONFIG);
    for (len, size) in [(128, 1), (128, 50), (1000, 333), (500_000, 65_536)] {
        let bytes = [frame(0x81, &text(len)), frame(0x89, b"ping")].concat();
        let round = || bytes.chunks(size).for_each(|piece| echo.feed(piece));
        assert_eq!(steady_state(round), 0, "{len} in pieces of {size}");
    }
    assert_eq!(echo.messages, 4 * 105);
}

#[test]
fn fragmented_messages() {
    let mut echo = Echo::new(None, CONFIG);
    let bytes = [
        frame(0x01, &text(1000)),
        frame(0x89, b"ping"),
        frame(0x00, &text(5000)),
        frame(0x80, &text(700)),
    ]
    .concat();
    assert_eq!(steady_state(|| echo.feed(&bytes)), 0);
    for size in [7, 100, 4096] {
        let round = || bytes.chunks(size).for_each(|piece| echo.feed(piece));
        assert_eq!(steady_state(round), 0, "in pieces of {size}");
    }
    assert_eq!(echo.messages, 4 * 105);
}

#[test]
fn compressed_messages_without_context_takeover() {
    for compression_level in LEVELS {
        let config = Config {
            compression_level,
            ..CONFIG
        };
        let mut echo = Echo::new(Some(NO_TAKEOVER), config);
        let mut codec = Codec::with_mask_seed(config, [1; 32]);
        let mut client = Protocol::new(Role::Client, Some(NO_TAKEOVER));
        for len in [128, 1000, 100_000] {
            let mut bytes = Vec::new();
            client.send_message(MessageKind::Text, &text(len), &mut codec, &mut bytes);
            assert_eq!(bytes[0], 0xc1);
            assert_eq!(steady_state(|| echo.feed(&bytes)), 0, "{len}");
            let round = || bytes.chunks(40).for_each(|piece| echo.feed(piece));
            assert_eq!(steady_state(round), 0, "{len} in pieces");
        }
        assert_eq!(echo.messages, 6 * 105);
    }
}

#[test]
fn a_client_that_sends() {
    let mut codec = Codec::with_mask_seed(CONFIG, [1; 32]);
    let mut client = Protocol::new(Role::Client, Some(NO_TAKEOVER));
    let mut out = Vec::with_capacity(1 << 20);
    let payload = text(1000);
    let round = || {
        out.clear();
        client.send_message(MessageKind::Text, &payload, &mut codec, &mut out);
        client.send_message(MessageKind::Binary, &payload[..10], &mut codec, &mut out);
        client.send_ping(b"ping", &mut codec, &mut out);
    };
    assert_eq!(steady_state(round), 0);
}

#[test]
fn messages_encoded_once_for_many() {
    let mut out = Vec::with_capacity(1 << 20);
    for compression_level in LEVELS {
        let mut codec = Codec::new(Config {
            compression_level,
            ..CONFIG
        });
        for payload in [text(128), text(1000), text(50_000)] {
            for bits in [None, Some(9), Some(15)] {
                let round = || {
                    out.clear();
                    codec.encode_message(MessageKind::Text, &payload, bits, &mut out);
                };
                assert_eq!(steady_state(round), 0);
            }
        }
    }
}

#[test]
fn payload_read_straight_into_its_buffer() {
    let mut echo = Echo::new(None, CONFIG);
    let bytes = frame(0x82, &[7; 300_000]);
    let mut messages = 0;
    let round = || {
        let mut at = 65_536;
        echo.feed(&bytes[..at]);
        while let Some(space) = echo.protocol.payload_space(&mut echo.codec) {
            let count = space.len().min(bytes.len() - at);
            space[..count].copy_from_slice(&bytes[at..at + count]);
            at += count;
            match echo.protocol.payload_filled(count, &mut echo.codec) {
                Ok(Some(Event::Message(_))) => messages += 1,
                Ok(None) => {}
                other => panic!("{other:?}"),
            }
        }
        echo.feed(&bytes[at..]);
    };
    assert_eq!(steady_state(round), 0);
    assert_eq!(messages + echo.messages, 105);
}
