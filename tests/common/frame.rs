//! Frames of RFC 6455 section 5.2, written down a second time for the tests.

use std::ops::RangeInclusive;

/// A continuation of a fragmented message.
pub(crate) const CONTINUATION: u8 = 0x0;
/// A text message, or its first fragment.
pub(crate) const TEXT: u8 = 0x1;
/// A binary message, or its first fragment.
pub(crate) const BINARY: u8 = 0x2;
/// Close.
pub(crate) const CLOSE: u8 = 0x8;
/// Ping.
pub(crate) const PING: u8 = 0x9;
/// Pong.
pub(crate) const PONG: u8 = 0xA;

/// The masking key of every frame that these tests send: no byte of it is zero, so an unmasked byte shows.
pub(crate) const MASK: [u8; 4] = [0xA5, 0x3C, 0x96, 0x0F];

/// A frame as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    /// RSV1 to RSV3 as the bits 4, 2 and 1.
    pub(crate) rsv: u8,
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

/// A frame as a client must send it: minimal length, masked.
pub(crate) fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    raw(first_byte(fin, 0, opcode), Some(MASK), payload)
}

/// A whole text message in one frame.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(true, TEXT, payload.as_bytes())
}

/// A whole binary message in one frame.
pub(crate) fn binary(payload: &[u8]) -> Vec<u8> {
    frame(true, BINARY, payload)
}

/// A Close frame with a code and a reason.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    frame(true, CLOSE, &payload)
}

/// First byte of a frame: FIN, three reserved bits, opcode.
pub(crate) fn first_byte(fin: bool, rsv: u8, opcode: u8) -> u8 {
    u8::from(fin) << 7 | rsv << 4 | opcode
}

/// A frame from any first byte, with or without a mask.
pub(crate) fn raw(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, mask, payload.len() as u64);
    let key = mask.unwrap_or([0; 4]);
    bytes.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

/// A header alone that announces `length` bytes, in the shortest of the three length forms.
pub(crate) fn header(first: u8, mask: Option<[u8; 4]>, length: u64) -> Vec<u8> {
    let form = match length {
        0..=125 => 1,
        126..=0xFFFF => 2,
        _ => 8,
    };
    header_of_form(first, mask, length, form)
}

/// A header whose length is written in `form` bytes (1, 2 or 8), shortest or not.
pub(crate) fn header_of_form(
    first: u8,
    mask: Option<[u8; 4]>,
    length: u64,
    form: usize,
) -> Vec<u8> {
    let masked = u8::from(mask.is_some()) << 7;
    let mut bytes = vec![first];
    match form {
        1 => bytes.push(masked | u8::try_from(length).expect("a length of one byte")),
        2 => {
            bytes.push(masked | 126);
            let length = u16::try_from(length).expect("a length of two bytes");
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes.extend(mask.iter().flatten());
    bytes
}

/// The first frame in `bytes` and how many bytes it took; `None` while it is not complete.
///
/// # Panics
/// Where the length is not in its shortest form, or larger than a test may receive.
pub(crate) fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    const PAYLOAD_BYTES_MAX: u64 = 64 << 20;
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (length, mut at): (u64, usize) = match second & 0x7F {
        126 => {
            let length = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
            (check_form(length.into(), 126..=0xFFFF), 4)
        }
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            (check_form(length, 0x1_0000..=PAYLOAD_BYTES_MAX), 10)
        }
        short => (short.into(), 2),
    };
    let masked = second & 0x80 != 0;
    let mut key = [0; 4];
    if masked {
        key = bytes.get(at..at + 4)?.try_into().ok()?;
        at += 4;
    }
    let end = at + usize::try_from(length).expect("a length that fits");
    let payload = bytes.get(at..end)?.iter().zip(key.iter().cycle());
    let frame = Frame {
        fin: first & 0x80 != 0,
        rsv: first >> 4 & 7,
        opcode: first & 0xF,
        masked,
        payload: payload.map(|(byte, key)| byte ^ key).collect(),
    };
    Some((frame, end))
}

fn check_form(length: u64, allowed: RangeInclusive<u64>) -> u64 {
    assert!(
        allowed.contains(&length),
        "a frame of {length} bytes in the wrong length form"
    );
    length
}
