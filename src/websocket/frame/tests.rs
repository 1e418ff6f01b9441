use super::*;
use proptest::prelude::*;

const SERVER: Rules = Rules {
    masked: true,
    deflate: false,
    mid_message: false,
    payload_bytes_max: 1 << 20,
    compressed_bytes_max: 1 << 21,
};
const CLIENT: Rules = Rules {
    masked: false,
    ..SERVER
};
const DEFLATE: Rules = Rules {
    deflate: true,
    ..SERVER
};
const MID: Rules = Rules {
    mid_message: true,
    ..DEFLATE
};

/// Refused at the last byte of `bytes`, and not before it.
fn refused(bytes: &[u8], rules: &Rules) -> Violation {
    for len in 0..bytes.len() {
        assert_eq!(
            Header::decode(&bytes[..len], rules),
            Ok(None),
            "{len} of {bytes:x?}"
        );
    }
    Header::decode(bytes, rules).expect_err("refused")
}

#[test]
fn reserved_bits_are_refused_at_the_first_byte() {
    for bits in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70] {
        assert_eq!(refused(&[0x81 | bits], &SERVER), Violation::ReservedBits);
        assert_eq!(refused(&[0x89 | bits], &SERVER), Violation::ReservedBits);
    }
    for bits in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
        assert_eq!(refused(&[0x81 | bits], &DEFLATE), Violation::ReservedBits);
    }
    assert_eq!(Header::decode(&[0xc1], &DEFLATE), Ok(None));
}

#[test]
fn the_compression_bit_is_refused_on_control_and_continuation_frames() {
    for first in [0xc8, 0xc9, 0xca] {
        assert_eq!(
            refused(&[first], &DEFLATE),
            Violation::MisplacedCompressionBit
        );
    }
    for first in [0x40, 0xc0] {
        assert_eq!(refused(&[first], &MID), Violation::MisplacedCompressionBit);
    }
}

#[test]
fn reserved_opcodes_are_refused_at_the_first_byte() {
    for opcode in (3..=7).chain(11..=15) {
        assert_eq!(
            refused(&[0x80 | opcode], &SERVER),
            Violation::ReservedOpcode
        );
        assert_eq!(refused(&[opcode], &MID), Violation::ReservedOpcode);
    }
}

#[test]
fn fragmented_control_frames_are_refused_at_the_first_byte() {
    for first in [0x08, 0x09, 0x0a] {
        assert_eq!(refused(&[first], &SERVER), Violation::FragmentedControl);
    }
}

#[test]
fn control_frames_over_125_bytes_are_refused_at_the_second_byte() {
    for first in [0x88, 0x89, 0x8a] {
        assert_eq!(
            refused(&[first, 0x80 | 126], &SERVER),
            Violation::OversizedControl
        );
        assert_eq!(refused(&[first, 127], &CLIENT), Violation::OversizedControl);
        assert_eq!(Header::decode(&[first, 0x80 | 125], &SERVER), Ok(None));
    }
}

#[test]
fn a_close_of_one_byte_is_refused_at_the_second_byte() {
    assert_eq!(refused(&[0x88, 0x81], &SERVER), Violation::CloseTooShort);
    assert_eq!(refused(&[0x88, 0x01], &CLIENT), Violation::CloseTooShort);
    assert_eq!(Header::decode(&[0x89, 0x81], &SERVER), Ok(None));
}

#[test]
fn continuations_and_new_messages_have_their_place() {
    assert_eq!(refused(&[0x80], &SERVER), Violation::UnexpectedContinuation);
    assert_eq!(refused(&[0x00], &CLIENT), Violation::UnexpectedContinuation);
    for first in [0x01, 0x81, 0x02, 0x82, 0xc1] {
        assert_eq!(refused(&[first], &MID), Violation::InterleavedMessage);
    }
    for first in [0x00, 0x80, 0x88, 0x89, 0x8a] {
        assert_eq!(Header::decode(&[first], &MID), Ok(None));
    }
}

#[test]
fn the_mask_bit_follows_the_role() {
    assert_eq!(refused(&[0x81, 0x05], &SERVER), Violation::Unmasked);
    assert_eq!(refused(&[0x81, 0x85], &CLIENT), Violation::Masked);
    assert_eq!(refused(&[0x88, 0x01], &SERVER), Violation::Unmasked);
}

#[test]
fn lengths_in_more_bytes_than_needed_are_refused() {
    for length in [0u16, 1, 125] {
        let [high, low] = length.to_be_bytes();
        assert_eq!(
            refused(&[0x81, 126, high, low], &CLIENT),
            Violation::NonMinimalLength
        );
        assert_eq!(
            refused(&[0x81, 0xfe, high, low], &SERVER),
            Violation::NonMinimalLength
        );
    }
    for length in [0u64, 125, 126, 0xffff] {
        let bytes = [&[0x82, 127][..], &length.to_be_bytes()].concat();
        assert_eq!(refused(&bytes, &CLIENT), Violation::NonMinimalLength);
    }
}

#[test]
fn the_top_bit_of_a_length_is_refused_at_its_byte() {
    assert_eq!(
        refused(&[0x82, 127, 0x80], &CLIENT),
        Violation::LengthTopBit
    );
    let whole = [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(
        Header::decode(&whole, &SERVER),
        Err(Violation::LengthTopBit)
    );
}

#[test]
fn a_length_over_the_limit_is_refused_before_the_mask_has_arrived() {
    for length in [(1u64 << 20) + 1, 1 << 40, (1 << 63) - 1] {
        let bytes = [&[0x82, 0xff][..], &length.to_be_bytes()].concat();
        assert_eq!(refused(&bytes, &SERVER), Violation::MessageTooBig);
    }
    let rules = Rules {
        payload_bytes_max: 5,
        ..SERVER
    };
    assert_eq!(refused(&[0x82, 0x86], &rules), Violation::MessageTooBig);
    assert_eq!(Header::decode(&[0x82, 0x85], &rules), Ok(None));
    assert_eq!(
        Header::decode(&[0x89, 0xfd], &rules),
        Ok(None),
        "pings are no messages"
    );
}

#[test]
fn a_compressed_message_has_a_limit_of_its_own() {
    let bytes = [&[0xc2, 0xff][..], &(1u64 << 21).to_be_bytes()].concat();
    assert_eq!(Header::decode(&bytes, &DEFLATE), Ok(None));
    let bytes = [&[0xc2, 0xff][..], &((1u64 << 21) + 1).to_be_bytes()].concat();
    assert_eq!(refused(&bytes, &DEFLATE), Violation::MessageTooBig);
}

#[test]
fn header_len_is_the_length_of_the_encoded_header() {
    for length in [0, 1, 125, 126, 127, 0xffff, 0x10000, 1 << 40] {
        for mask in [None, Some([1, 2, 3, 4])] {
            let header = encode_header(Opcode::Binary, true, false, length, mask);
            assert_eq!(header.len(), header_len(length as usize, mask.is_some()));
            assert_eq!(header.as_slice().len(), header.len());
        }
    }
}

fn opcodes() -> impl Strategy<Value = Opcode> {
    proptest::sample::select(vec![
        Opcode::Continuation,
        Opcode::Text,
        Opcode::Binary,
        Opcode::Close,
        Opcode::Ping,
        Opcode::Pong,
    ])
}

proptest! {
    #![proptest_config(crate::websocket::properties(1000))]

    #[test]
    fn what_is_encoded_is_decoded(
        opcode in opcodes(),
        fin: bool,
        rsv1: bool,
        mask: Option<[u8; 4]>,
        bits in 0u32..63,
        low: u64,
        tail: Vec<u8>,
    ) {
        let length = low & ((1 << bits) - 1);
        let header = if opcode.is_control() {
            let length = if length % 126 == 1 { 2 } else { length % 126 };
            Header { fin: true, rsv1: false, opcode, mask, length }
        } else {
            Header { fin, rsv1: rsv1 && opcode != Opcode::Continuation, opcode, mask, length }
        };
        let rules = Rules {
            masked: mask.is_some(),
            deflate: true,
            mid_message: opcode == Opcode::Continuation,
            payload_bytes_max: u64::MAX,
            compressed_bytes_max: u64::MAX,
        };
        let encoded = header.encode();
        let bytes = [encoded.as_slice(), &tail].concat();
        prop_assert_eq!(Header::decode(&bytes, &rules), Ok(Some((header, encoded.len()))));
        for len in 0..encoded.len() {
            prop_assert_eq!(Header::decode(&bytes[..len], &rules), Ok(None));
        }
    }

    #[test]
    fn more_bytes_never_change_a_refusal(bytes in proptest::collection::vec(any::<u8>(), 0..16), masked: bool, deflate: bool, mid_message: bool) {
        let rules = Rules { masked, deflate, mid_message, payload_bytes_max: 70_000, compressed_bytes_max: 80_000 };
        let whole = Header::decode(&bytes, &rules);
        for len in 0..bytes.len() {
            match Header::decode(&bytes[..len], &rules) {
                Ok(None) => {}
                early => prop_assert_eq!(early, whole),
            }
        }
    }
}
