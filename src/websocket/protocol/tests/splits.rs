//! The same bytes in any split give the same events and the same failure.

use super::*;
use proptest::prelude::*;

/// One thing that a peer says.
#[derive(Debug, Clone)]
enum Said {
    Message(bool, Vec<u8>, bool, Vec<usize>),
    Control(u8, Vec<u8>),
    Close(u16, String),
    Raw(Vec<u8>),
}

fn said() -> impl Strategy<Value = Said> {
    let texts = prop_oneof![
        "[a-z ]{0,200}".prop_map(String::into_bytes),
        any::<String>().prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..400),
        (0usize..70_000).prop_map(|len| vec![b'x'; len]),
    ];
    let message = (
        any::<bool>(),
        texts,
        any::<bool>(),
        proptest::collection::vec(0usize..500, 0..4),
    )
        .prop_map(|(is_text, bytes, compressed, cuts)| {
            Said::Message(is_text, bytes, compressed, cuts)
        });
    prop_oneof![
        8 => message,
        3 => (9u8..11, proptest::collection::vec(any::<u8>(), 0..126)).prop_map(|(op, p)| Said::Control(op, p)),
        1 => (990u16..1020, "[a-z\u{e4}]{0,40}").prop_map(|(code, reason)| Said::Close(code, reason)),
        1 => proptest::collection::vec(any::<u8>(), 1..20).prop_map(Said::Raw),
    ]
}

/// The bytes that `role`'s peer sends.
fn stream(role: Role, deflate: bool, all: &[Said]) -> Vec<u8> {
    let mut compress = crate::websocket::deflate::compressor(6, 15);
    let mut out = Vec::new();
    let mut put = |first: u8, payload: &[u8]| {
        out.extend(match role {
            Role::Server => masked(first, payload),
            Role::Client => plain(first, payload),
        });
    };
    for said in all {
        match said {
            Said::Message(is_text, bytes, compressed, cuts) => {
                let mut first = if *is_text { 1 } else { 2 };
                let mut deflated = Vec::new();
                let mut rest = &bytes[..];
                if *compressed && deflate {
                    crate::websocket::deflate::deflate(&mut compress, bytes, false, &mut deflated);
                    rest = &deflated;
                    first |= 0x40;
                }
                for cut in cuts {
                    let (piece, after) = rest.split_at((*cut).min(rest.len()));
                    put(first, piece);
                    first = 0;
                    rest = after;
                }
                put(first | 0x80, rest);
            }
            Said::Control(opcode, payload) => put(0x80 | opcode, payload),
            Said::Close(code, reason) => {
                put(0x88, &[&code.to_be_bytes()[..], reason.as_bytes()].concat());
            }
            Said::Raw(bytes) => put(bytes[0], bytes),
        }
    }
    out
}

fn agree(role: Role, deflate: Option<DeflateParams>, bytes: &[u8], cuts: &[usize]) {
    let mut whole = Peer::new(role, deflate);
    whole.feed(bytes);
    for pieces in [None, Some(1), Some(2), Some(7), Some(4096)] {
        let mut split = Peer::new(role, deflate);
        match pieces {
            Some(size) if bytes.len() / size < 20_000 => {
                split.feed_pieces(bytes, size);
            }
            _ => {
                let mut rest = bytes;
                for &cut in cuts {
                    let (piece, after) = rest.split_at(cut.min(rest.len()));
                    split.feed(piece);
                    rest = after;
                }
                split.feed(rest);
            }
        }
        assert_eq!(split.got, whole.got);
        assert_eq!(split.failure, whole.failure);
        assert_eq!(split.protocol.flags, whole.protocol.flags);
        assert_eq!(
            split.protocol.is_mid_message(),
            whole.protocol.is_mid_message()
        );
    }
}

fn roles() -> impl Strategy<Value = Role> {
    proptest::sample::select(vec![Role::Server, Role::Client])
}

fn params() -> impl Strategy<Value = Option<DeflateParams>> {
    proptest::sample::select(vec![None, Some(TAKEOVER), Some(NO_TAKEOVER)])
}

proptest! {
    #![proptest_config(crate::websocket::properties(200))]

    #[test]
    fn of_a_mostly_valid_stream(
        role in roles(),
        deflate in params(),
        all in proptest::collection::vec(said(), 0..8),
        cuts in proptest::collection::vec(0usize..3000, 0..20),
    ) {
        agree(role, deflate, &stream(role, deflate.is_some(), &all), &cuts);
    }

    #[test]
    fn of_a_damaged_stream(
        role in roles(),
        deflate in params(),
        all in proptest::collection::vec(said(), 1..8),
        damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        cuts in proptest::collection::vec(0usize..3000, 0..20),
    ) {
        let mut bytes = stream(role, deflate.is_some(), &all);
        for (at, byte) in damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        agree(role, deflate, &bytes, &cuts);
    }

    #[test]
    fn of_any_bytes(
        role in roles(),
        deflate in params(),
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
        cuts in proptest::collection::vec(0usize..10, 0..20),
    ) {
        agree(role, deflate, &bytes, &cuts);
    }
}
