//! Frames that break a rule, each with its name and the close code that answers it. The limit of a message is 1 MiB.

use super::common::frame::{
    BINARY, CLOSE, CONTINUATION, MASK, PING, PONG, TEXT, close, first_byte, frame, header,
    header_of_form, raw, text,
};

const MIB: u64 = 1 << 20;

/// Header of a frame that a client begins a binary message with.
pub(crate) fn announced(length: u64) -> Vec<u8> {
    header(first_byte(true, 0, BINARY), Some(MASK), length)
}

/// Violations by their name, bytes and close code.
pub(crate) type Row = (&'static str, Vec<u8>, u16);

pub(crate) fn wrong_lengths() -> Vec<Row> {
    let begun = |opcode: u8, length: u64| header(first_byte(false, 0, opcode), Some(MASK), length);
    let sum = |length: u64| {
        let first = frame(false, BINARY, b"ten bytes.");
        [first, begun(CONTINUATION, length)].concat()
    };
    let form = |length, form| header_of_form(first_byte(true, 0, TEXT), Some(MASK), length, form);
    vec![
        ("2^63", announced(1 << 63), 1002),
        ("2^64-1", announced(u64::MAX), 1002),
        ("2^63-1", announced((1 << 63) - 1), 1009),
        ("2^40", announced(1 << 40), 1009),
        ("one byte over the limit", announced(MIB + 1), 1009),
        ("a sum that overflows", sum((1 << 63) - 1), 1009),
        ("a sum one byte over the limit", sum(MIB - 9), 1009),
        ("a continuation of 2^64-1", sum(u64::MAX), 1002),
        ("125 in two bytes", form(125, 2), 1002),
        ("65,535 in eight bytes", form(65_535, 8), 1002),
        ("zero in eight bytes", form(0, 8), 1002),
    ]
}

pub(crate) fn wrong_frames() -> Vec<Row> {
    let first = |fin, rsv, opcode| raw(first_byte(fin, rsv, opcode), Some(MASK), b"abc");
    vec![
        (
            "no mask",
            raw(first_byte(true, 0, TEXT), None, b"abc"),
            1002,
        ),
        ("RSV1 without deflate", first(true, 4, TEXT), 1002),
        ("RSV2", first(true, 2, TEXT), 1002),
        ("RSV3", first(true, 1, BINARY), 1002),
        ("opcode 3", first(true, 0, 3), 1002),
        ("opcode 11", first(true, 0, 11), 1002),
        ("a fragmented ping", first(false, 0, PING), 1002),
        ("a fragmented Close", first(false, 0, CLOSE), 1002),
        ("a lone continuation", first(true, 0, CONTINUATION), 1002),
        (
            "a message within a message",
            [frame(false, TEXT, b"a"), text("b")].concat(),
            1002,
        ),
        ("a ping of 126 bytes", frame(true, PING, &[0; 126]), 1002),
        (
            "a ping of a megabyte",
            header(first_byte(true, 0, PING), Some(MASK), MIB),
            1002,
        ),
        (
            "a pong of a megabyte",
            header(first_byte(true, 0, PONG), Some(MASK), MIB),
            1002,
        ),
    ]
}

pub(crate) fn wrong_contents() -> Vec<Row> {
    let cut = |payload: &[u8]| {
        let header = header(first_byte(true, 0, TEXT), Some(MASK), 1000);
        let masked = raw(0, Some(MASK), payload);
        [&header, &masked[6..]].concat()
    };
    let fragments = |first: &[u8], second: &[u8]| {
        [
            frame(false, TEXT, first),
            frame(false, CONTINUATION, second),
        ]
        .concat()
    };
    vec![
        ("a Close of one byte", frame(true, CLOSE, &[3]), 1002),
        ("code 0", close(0, ""), 1002),
        ("code 999", close(999, ""), 1002),
        ("code 1004", close(1004, ""), 1002),
        ("code 1005", close(1005, ""), 1002),
        ("code 1006", close(1006, ""), 1002),
        ("code 1015", close(1015, ""), 1002),
        ("code 2999", close(2999, ""), 1002),
        ("code 5000", close(5000, ""), 1002),
        (
            "a reason that is not UTF-8",
            frame(true, CLOSE, b"\x03\xe8\xff"),
            1007,
        ),
        ("text that is not UTF-8", frame(true, TEXT, b"a\xffb"), 1007),
        (
            "text that ends in a character",
            frame(true, TEXT, b"\xe2\x82"),
            1007,
        ),
        // 997 bytes of the frame never come.
        ("a bad byte early in a frame", cut(b"ok\xff"), 1007),
        ("a surrogate", cut(b"\xed\xa0"), 1007),
        // The message never ends.
        (
            "a bad byte over fragments",
            fragments(b"\xe2", b"\xff"),
            1007,
        ),
    ]
}
