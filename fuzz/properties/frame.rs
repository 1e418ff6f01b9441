//! A frame header: read the same from any part of it, and written back as it was read.

use tidegate::websocket::frame::{HEADER_BYTES_MAX, Header, Rules};

/// The first byte chooses the rules, the rest is the header and what follows.
pub fn check(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let rules = Rules {
        masked: choice & 1 != 0,
        deflate: choice & 2 != 0,
        mid_message: choice & 4 != 0,
        payload_bytes_max: if choice & 8 != 0 { 1 << 16 } else { u64::MAX },
        compressed_bytes_max: if choice & 16 != 0 { 1 << 17 } else { u64::MAX },
    };
    let whole = Header::decode(bytes, &rules);
    for len in 0..bytes.len().min(HEADER_BYTES_MAX) {
        match Header::decode(&bytes[..len], &rules) {
            // Nothing to say yet, or the final word.
            Ok(None) => {}
            early => assert_eq!(early, whole),
        }
    }
    match whole {
        Ok(Some((header, size))) => {
            let encoded = header.encode();
            assert_eq!(encoded.as_slice(), &bytes[..size]);
            assert_eq!(header.mask.is_some(), rules.masked);
            assert!(!header.opcode.is_control() || (header.fin && header.length <= 125));
            assert!(!header.rsv1 || rules.deflate);
        }
        Ok(None) => assert!(
            bytes.len() < HEADER_BYTES_MAX,
            "a header this long is complete"
        ),
        Err(violation) => assert!(violation.code().is_on_the_wire()),
    }
}
