//! What must hold for any bytes that come as an HTTP request: the result depends on the bytes and never on how they
//! were cut, and nothing that is accepted breaks the rules that smuggling lives on.

use tidegate::http::body::{BodyDecoder, BodyFraming};
use tidegate::http::error::HttpError;
use tidegate::http::head::{HeadRoom, HeadScanner, RequestHead};

/// The first byte chooses how the rest is cut.
pub fn check(data: &[u8]) {
    let Some((&seed, bytes)) = data.split_first() else {
        return;
    };
    let whole = HeadScanner::default().scan(bytes);
    assert_eq!(scan_cut(bytes, seed), whole, "a cut changed the head");
    if let Ok(Some(length)) = whole {
        check_head(&bytes[..length], &bytes[length..], seed);
    }
    // Whether or not the scanner liked them, no bytes may harm the parser, and the body decoder reads them anyhow.
    let _ = RequestHead::parse(bytes, &mut HeadRoom::new()).map(|head| head.body());
    check_body(BodyFraming::Chunked, bytes, seed);
}

fn check_head(head: &[u8], rest: &[u8], seed: u8) {
    assert!(head.ends_with(b"\r\n\r\n"));
    let mut room = HeadRoom::new();
    let Ok(parsed) = RequestHead::parse(head, &mut room) else {
        return;
    };
    assert!(parsed.target.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(parsed.path().starts_with('/') || parsed.path() == "*");
    assert!(
        parsed
            .query()
            .is_none_or(|query| parsed.target.ends_with(query))
    );
    assert!(parsed.minor_version() == 0 || parsed.headers("host").count() == 1);
    assert_eq!(parsed.header("host"), parsed.headers("Host").next());
    let _ = (
        parsed.keep_alive(),
        parsed.expects_continue(),
        parsed.host(),
    );
    if let Ok(framing) = parsed.body() {
        let has_coding = parsed.header("transfer-encoding").is_some();
        assert_eq!(framing == BodyFraming::Chunked, has_coding);
        assert!(!has_coding || parsed.header("content-length").is_none());
        check_body(framing, rest, seed);
    }
}

fn check_body(framing: BodyFraming, bytes: &[u8], seed: u8) {
    let bytes_max = 1 << (seed % 20);
    let whole = decode(framing, bytes_max, [bytes].into_iter());
    let cut = decode(framing, bytes_max, pieces(bytes, seed));
    assert_eq!(whole, cut, "a cut changed the body");
    if let Ok((content, used, _)) = whole {
        assert!(content.len() as u64 <= bytes_max && content.len() <= used && used <= bytes.len());
    }
}

/// Content, bytes used, and whether the body is complete.
fn decode<'b>(
    framing: BodyFraming,
    bytes_max: u64,
    pieces: impl Iterator<Item = &'b [u8]>,
) -> Result<(Vec<u8>, usize, bool), HttpError> {
    let mut decoder = BodyDecoder::new(framing, bytes_max)?;
    let mut content = Vec::new();
    let mut used = 0;
    for piece in pieces {
        let (taken, is_complete) = decoder.receive(piece, &mut content)?;
        used += taken;
        assert_eq!(is_complete, decoder.is_complete());
        if is_complete {
            break;
        }
        assert_eq!(taken, piece.len());
    }
    Ok((content, used, decoder.is_complete()))
}

/// The result of a scanner to whom `bytes` come in pieces.
fn scan_cut(bytes: &[u8], seed: u8) -> Result<Option<usize>, HttpError> {
    let mut scanner = HeadScanner::default();
    let mut end = 0;
    for piece in pieces(bytes, seed) {
        end += piece.len();
        match scanner.scan(&bytes[..end]) {
            Ok(None) => {}
            result => return result,
        }
    }
    Ok(None)
}

/// `bytes` in pieces of 1 to 16 bytes, as `seed` has it.
fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let mut state = seed;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(5).wrapping_add(17);
        let (piece, after) = rest.split_at(rest.len().min(usize::from(state >> 4) + 1));
        rest = after;
        Some(piece)
    })
}
