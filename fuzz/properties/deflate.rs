//! Any bytes inflate within the limit or are refused; what was deflated comes back.

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
    let mut frame = Vec::new();
    codec.encode_message(MessageKind::Binary, bytes, Some(9 + choice % 7), &mut frame);
    let start = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    if frame[0] & 0x40 == 0 {
        assert_eq!(&frame[start..], bytes);
    } else {
        assert!(
            frame.len() - start < bytes.len(),
            "compressed only where that is smaller"
        );
        let inflated = codec
            .inflate(&frame[start..], false)
            .map(|out| out.to_vec());
        assert_eq!(inflated.as_deref(), Ok(bytes));
    }
}
