//! The protocol core: `cargo bench --bench websocket`.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tidegate::websocket::codec::{Codec, Config};
use tidegate::websocket::extension::DeflateParams;
use tidegate::websocket::frame::{Header, Opcode, Rules, encode_header};
use tidegate::websocket::mask;
use tidegate::websocket::protocol::{Event, Input, MessageKind, Place, Protocol, Role};
use tidegate::websocket::utf8::{self, Utf8Stream};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const CONFIG: Config = Config {
    message_bytes_max: 1 << 20,
    compression_bytes_min: 32,
    compression_level: 1,
};
const NO_TAKEOVER: DeflateParams = DeflateParams {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
const TAKEOVER: DeflateParams = DeflateParams {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    ..NO_TAKEOVER
};

fn masks(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    for len in [16usize, 128, 4096, 65536] {
        group.throughput(Throughput::Bytes(len as u64));
        let from = vec![0x17u8; len];
        let mut bytes = from.clone();
        group.bench_function(BenchmarkId::new("apply", len), |b| {
            b.iter(|| mask::apply(black_box(&mut bytes), black_box(KEY)));
        });
        group.bench_function(BenchmarkId::new("apply_ascii", len), |b| {
            b.iter(|| mask::apply_ascii(black_box(&mut bytes), black_box(KEY)));
        });
        group.bench_function(BenchmarkId::new("copy_ascii", len), |b| {
            b.iter(|| mask::copy_ascii(black_box(&from), black_box(&mut bytes), black_box(KEY)));
        });
        group.bench_function(BenchmarkId::new("memcpy, to compare", len), |b| {
            b.iter(|| black_box(&mut bytes).copy_from_slice(black_box(&from)));
        });
    }
    group.finish();
}

fn frames(c: &mut Criterion) {
    let rules = Rules {
        masked: true,
        deflate: false,
        mid_message: false,
        payload_bytes_max: 1 << 20,
        compressed_bytes_max: 1 << 20,
    };
    let mut group = c.benchmark_group("frame");
    for length in [100u64, 1000, 100_000] {
        let header = encode_header(Opcode::Text, true, false, length, Some(KEY));
        group.bench_function(BenchmarkId::new("decode", length), |b| {
            b.iter(|| Header::decode(black_box(header.as_slice()), black_box(&rules)));
        });
        group.bench_function(BenchmarkId::new("encode", length), |b| {
            b.iter(|| encode_header(Opcode::Text, true, false, black_box(length), None));
        });
    }
    group.finish();
}

fn texts(c: &mut Criterion) {
    let mut group = c.benchmark_group("utf8");
    let samples = [
        ("ascii", "plain text ".repeat(1490)),
        ("mixed", "t\u{e9}xt \u{20ac} \u{1f30a} ".repeat(1093)),
    ];
    for (name, text) in &samples {
        let bytes = text.as_bytes();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("whole", name), |b| {
            b.iter(|| utf8::is_valid(black_box(bytes)));
        });
        group.bench_function(BenchmarkId::new("in pieces of 1000", name), |b| {
            b.iter(|| {
                let mut stream = Utf8Stream::new();
                for piece in bytes.chunks(1000) {
                    stream.feed(black_box(piece)).expect("valid");
                }
                stream.finish()
            });
        });
    }
    group.finish();
}

/// Bytes of the messages that are compressed.
const SIZES: [usize; 6] = [128, 512, 1024, 4096, 16 * 1024, 64 * 1024];

/// Text as applications send it.
fn json(len: usize) -> Vec<u8> {
    let mut text = String::new();
    for n in 0.. {
        if text.len() >= len {
            break;
        }
        text.push_str(&format!(
            "{{\"id\":{n},\"user\":\"u{}\",\"text\":\"hello there\"}},",
            n * 7919 % 1000
        ));
    }
    text.truncate(len);
    text.into_bytes()
}

/// Sixteen different documents of `len` bytes, as a sensor network sends them: what is compressed again and again is learned
/// by heart, and no longer costs what it costs at first.
fn documents(len: usize) -> Vec<Vec<u8>> {
    let mut dice = 6455u64;
    let mut below = |end: u64| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % end
    };
    let document = |_| {
        let mut text = String::from(r#"{"type":"readings","items":["#);
        while text.len() < len {
            text.push_str(&format!(
                r#"{{"id":"{:08x}","sensor":"{}-{}","at":{},"level":{}.{:03},"ok":{}}},"#,
                below(1 << 32),
                ["gauge", "buoy", "wind", "lock"][below(4) as usize],
                below(40),
                1_763_726_400_000 + below(86_400_000),
                below(9),
                below(1000),
                below(8) > 0
            ));
        }
        text.truncate(len);
        text.into_bytes()
    };
    (0..16).map(document).collect()
}

fn compression(c: &mut Criterion) {
    let mut group = c.benchmark_group("deflate");
    for (name, params, compression_level) in [
        ("alone, level 1", NO_TAKEOVER, 1),
        ("alone, level 6", NO_TAKEOVER, 6),
        ("takeover, level 1", TAKEOVER, 1),
    ] {
        let config = Config {
            compression_level,
            ..CONFIG
        };
        for len in SIZES {
            let documents = documents(len);
            let mut next = documents.iter().cycle();
            let mut codec = Codec::with_mask_seed(config, [1; 32]);
            let mut server = Protocol::new(Role::Server, Some(params));
            let mut out = Vec::new();
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(format!("send, {name}"), len), |b| {
                b.iter(|| {
                    out.clear();
                    let payload = next.next().expect("endless");
                    server.send_message(MessageKind::Text, payload, &mut codec, &mut out);
                    out.len()
                });
            });
        }
    }
    for (name, compression_level) in [("ours", 1), ("zlib's", 6)] {
        let config = Config {
            compression_level,
            ..CONFIG
        };
        for len in SIZES {
            let mut codec = Codec::with_mask_seed(config, [1; 32]);
            let mut client = Protocol::new(Role::Client, Some(NO_TAKEOVER));
            let mut encoded = |payload: Vec<u8>| {
                let mut frame = Vec::new();
                client.send_message(MessageKind::Text, &payload, &mut codec, &mut frame);
                frame
            };
            let frames: Vec<_> = documents(len).into_iter().map(&mut encoded).collect();
            let mut next = frames.iter().cycle();
            let mut server = Protocol::new(Role::Server, Some(NO_TAKEOVER));
            let mut codec = Codec::new(config);
            let mut buffer = Vec::new();
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(format!("receive {name}"), len), |b| {
                b.iter(|| {
                    buffer.clear();
                    buffer.extend_from_slice(next.next().expect("endless"));
                    receive_all(&mut server, &mut buffer, &mut codec)
                });
            });
        }
    }
    group.finish();
}

/// Receives everything, takes nothing, and says how many bytes of messages there were.
#[inline]
fn receive_all(protocol: &mut Protocol, bytes: &mut [u8], codec: &mut Codec) -> usize {
    let mut input = Input::new(bytes);
    let mut total = 0;
    while let Some(event) = protocol.receive(&mut input, codec).expect("valid") {
        if let Event::Message(message) = event {
            total += message.payload.len();
        }
    }
    total
}

fn frame(kind: MessageKind, payload: &[u8]) -> Vec<u8> {
    let mut codec = Codec::with_mask_seed(CONFIG, [1; 32]);
    let mut out = Vec::new();
    Protocol::new(Role::Client, None).send_message(kind, payload, &mut codec, &mut out);
    out
}

fn receiving(c: &mut Criterion) {
    let mut codec = Codec::new(CONFIG);
    let mut server = Protocol::new(Role::Server, None);
    let mut group = c.benchmark_group("receive");
    for (name, kind, len, count) in [
        ("16 texts of 128", MessageKind::Text, 128, 16),
        ("16 binaries of 128", MessageKind::Binary, 128, 16),
        ("16 texts of 16", MessageKind::Text, 16, 16),
        ("a binary of 16 KiB", MessageKind::Binary, 16 * 1024, 1),
        ("a text of 16 KiB", MessageKind::Text, 16 * 1024, 1),
    ] {
        let bytes = frame(kind, &json(len)).repeat(count);
        let mut buffer = bytes.clone();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                // The copy stands for the read; its cost is the last line of this group.
                buffer.copy_from_slice(black_box(&bytes));
                receive_all(&mut server, &mut buffer, &mut codec)
            });
        });
    }
    let bytes = frame(MessageKind::Text, &json(128)).repeat(16);
    let mut buffer = bytes.clone();
    group.bench_function("16 texts of 128, the copy alone", |b| {
        b.iter(|| black_box(&mut buffer).copy_from_slice(black_box(&bytes)));
    });
    for (name, kind) in [("binary", MessageKind::Binary), ("text", MessageKind::Text)] {
        let bytes = frame(kind, &json(512 * 1024));
        let mut buffer = vec![0; 64 * 1024];
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("a {name} of 512 KiB in pieces of 64 KiB"), |b| {
            b.iter(|| {
                let mut total = 0;
                for piece in bytes.chunks(64 * 1024) {
                    let buffer = &mut buffer[..piece.len()];
                    buffer.copy_from_slice(piece);
                    total += receive_all(&mut server, buffer, &mut codec);
                }
                total
            });
        });
        group.bench_function(format!("a {name} of 512 KiB read into its buffer"), |b| {
            b.iter(|| direct(&bytes, &mut buffer, &mut server, &mut codec));
        });
    }
    group.finish();
}

/// As the reactor may do it: the first read into the shared buffer, the others straight into the assembly buffer.
fn direct(bytes: &[u8], buffer: &mut [u8], server: &mut Protocol, codec: &mut Codec) -> usize {
    let (first, mut rest) = bytes.split_at(64 * 1024);
    buffer.copy_from_slice(first);
    let mut total = receive_all(server, buffer, codec);
    while let Some(space) = server.payload_space(codec) {
        let (piece, after) = rest.split_at(space.len().min(64 * 1024).min(rest.len()));
        space[..piece.len()].copy_from_slice(piece);
        rest = after;
        if let Some(Event::Message(message)) =
            server.payload_filled(piece.len(), codec).expect("valid")
        {
            total += message.payload.len();
        }
    }
    let mut rest = rest.to_vec();
    total + receive_all(server, &mut rest, codec)
}

fn echo(c: &mut Criterion) {
    let mut codec = Codec::new(CONFIG);
    let mut server = Protocol::new(Role::Server, None);
    let bytes = frame(MessageKind::Text, &json(128)).repeat(16);
    let mut buffer = bytes.clone();
    let mut out = Vec::new();
    let mut group = c.benchmark_group("echo");
    group.throughput(Throughput::Elements(16));
    group.bench_function("16 texts of 128 in place", |b| {
        b.iter(|| {
            buffer.copy_from_slice(black_box(&bytes));
            let mut input = Input::new(&mut buffer);
            let mut at = 0;
            loop {
                let (kind, place) = match server.receive(&mut input, &mut codec) {
                    Ok(Some(Event::Message(message))) => (message.kind, message.place),
                    _ => break at,
                };
                if let Place::Input { start, len } = place {
                    at += server.put_header(kind, input.buffer(), start, len);
                    input.keep_until(start + len);
                }
            }
        });
    });
    let payload = json(128);
    group.bench_function("16 texts of 128 sent by copy", |b| {
        b.iter(|| {
            out.clear();
            for _ in 0..16 {
                server.send_message(MessageKind::Text, black_box(&payload), &mut codec, &mut out);
            }
            out.len()
        });
    });
    group.finish();
}

criterion_group!(benches, masks, frames, texts, compression, receiving, echo);
criterion_main!(benches);
