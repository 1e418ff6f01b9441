//! Any bytes inflate within the limit or are refused; what was deflated comes back, by our hand and by zlib's.

use flate2::{Decompress, FlushDecompress, Status};
use tidegate::limits::{
    ASSEMBLY_LARGE_POOLED_BYTES_MAX, ASSEMBLY_SMALL_BYTES, ASSEMBLY_SMALL_POOLED_MAX,
};
use tidegate::websocket::codec::{Codec, Config};
use tidegate::websocket::protocol::MessageKind;

/// What the pool may keep, whatever came.
const POOLED_BYTES_MAX: usize =
    ASSEMBLY_LARGE_POOLED_BYTES_MAX + ASSEMBLY_SMALL_POOLED_MAX * ASSEMBLY_SMALL_BYTES + 16 * 1024;

/// The first two bytes choose the limit, the third the window and the level; the rest is deflated data, and then a payload.
pub fn check(data: &[u8]) {
    let Some((&[high, low, choice], bytes)) = data.split_first_chunk() else {
        return;
    };
    let config = Config {
        message_bytes_max: usize::from(u16::from_be_bytes([high, low])),
        compression_bytes_min: 1,
        compression_level: 1 + choice / 8 % 9,
    };
    let mut codec = Codec::new(config);
    for is_text in [false, true] {
        let first = codec.inflate(bytes, is_text).map(|out| out.to_vec());
        if let Ok(out) = &first {
            assert!(out.len() <= config.message_bytes_max);
            assert!(!is_text || std::str::from_utf8(out).is_ok());
        }
        if !is_text {
            // The first message of all: its buffer grew by doubling up to the limit, and those that it grew out of are
            // kept for the next. They double up to twice its size at most.
            assert!(codec.pooled_bytes() <= 3 * config.message_bytes_max + 16 * 1024);
        }
        let again = codec.inflate(bytes, is_text).map(|out| out.to_vec());
        assert_eq!(first, again, "nothing is left of the message before");
        assert!(codec.pooled_bytes() <= config.message_bytes_max + POOLED_BYTES_MAX);
    }
    codec.set_config(Config {
        message_bytes_max: bytes.len(),
        ..config
    });
    round_trip(&mut codec, bytes, 9 + choice % 7);
    for level in [1, 2] {
        alone(bytes, 9 + choice % 7, level);
    }
    alone(&grown(bytes), 9 + choice % 7, 1);
}

/// Encodes, and inflates what came of it.
fn round_trip(codec: &mut Codec, bytes: &[u8], window_bits: u8) {
    let (payload, is_compressed) = encoded(codec, bytes, window_bits);
    if is_compressed {
        let inflated = codec.inflate(&payload, false).map(|out| out.to_vec());
        assert_eq!(inflated.as_deref(), Ok(bytes));
    } else {
        assert_eq!(payload, bytes);
    }
}

/// The payload of the frame, and whether it is compressed.
fn encoded(codec: &mut Codec, bytes: &[u8], window_bits: u8) -> (Vec<u8>, bool) {
    let mut frame = Vec::new();
    codec.encode_message(MessageKind::Binary, bytes, Some(window_bits), &mut frame);
    let start = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let is_compressed = frame[0] & 0x40 != 0;
    let payload = frame.split_off(start);
    assert!(
        !is_compressed || payload.len() < bytes.len(),
        "compressed only where that is smaller"
    );
    (payload, is_compressed)
}

/// What our own encoder makes, at level 1 and of short messages, zlib understands with a window of that size; and messages
/// leave no trace in others.
fn alone(bytes: &[u8], window_bits: u8, compression_level: u8) {
    let config = Config {
        message_bytes_max: bytes.len(),
        compression_bytes_min: 1,
        compression_level,
    };
    let mut codec = Codec::new(config);
    let (payload, is_compressed) = encoded(&mut codec, bytes, window_bits);
    let half = &bytes[bytes.len() / 2..];
    let others = encoded(&mut codec, half, window_bits);
    assert!(others == encoded(&mut Codec::new(config), half, window_bits));
    assert!((payload.clone(), is_compressed) == encoded(&mut codec, bytes, window_bits));
    if is_compressed {
        assert!(zlib_inflated(&payload, window_bits) == bytes);
    }
}

/// In steps so small that a copy from beyond the window fails.
fn zlib_inflated(payload: &[u8], window_bits: u8) -> Vec<u8> {
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut zlib = Decompress::new_with_window_bits(false, window_bits);
    let mut out = Vec::new();
    let mut step = [0; 64];
    loop {
        let (total_in, total_out) = (zlib.total_in(), zlib.total_out());
        let rest = &input[total_in as usize..];
        let status = zlib
            .decompress(rest, &mut step, FlushDecompress::None)
            .expect("deflate");
        assert_ne!(status, Status::StreamEnd, "no block is final");
        out.extend_from_slice(&step[..(zlib.total_out() - total_out) as usize]);
        if (zlib.total_in(), zlib.total_out()) == (total_in, total_out) {
            assert!(rest.is_empty(), "all of it is understood");
            return out;
        }
    }
}

/// A longer message of pieces that repeat: each four bytes say how many of the bytes are taken as they are, and how many are
/// copied from how far back.
fn grown(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for (index, &[literals, length, far, near]) in bytes.as_chunks().0.iter().enumerate() {
        let end = bytes.len().min(index + usize::from(literals) % 32);
        out.extend_from_slice(&bytes[index..end]);
        let back = usize::from(u16::from_be_bytes([far, near])) % (out.len() + 1);
        let start = out.len() - back;
        for at in start..start + 4 * usize::from(length) {
            out.push(out.get(at).copied().unwrap_or_default());
        }
        if out.len() > 1 << 18 {
            break;
        }
    }
    out
}
