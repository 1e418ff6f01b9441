use super::*;

/// Content and bytes used of a whole body, fed in pieces of `step` bytes.
fn decode(
    framing: BodyFraming,
    bytes_max: u64,
    input: &[u8],
    step: usize,
) -> Result<(Vec<u8>, usize, bool), HttpError> {
    let mut decoder = BodyDecoder::new(framing, bytes_max)?;
    let mut content = Vec::new();
    let mut used = 0;
    for piece in input.chunks(step) {
        let (taken, is_complete) = decoder.receive(piece, &mut content)?;
        used += taken;
        if is_complete {
            break;
        }
        assert_eq!(taken, piece.len(), "an incomplete body uses everything");
    }
    Ok((content, used, decoder.is_complete()))
}

/// The same from every cut; the result of one.
fn chunked(bytes_max: u64, input: &str) -> Result<(Vec<u8>, usize, bool), HttpError> {
    let whole = decode(
        BodyFraming::Chunked,
        bytes_max,
        input.as_bytes(),
        input.len().max(1),
    );
    for step in 1..8 {
        assert_eq!(
            decode(BodyFraming::Chunked, bytes_max, input.as_bytes(), step),
            whole
        );
    }
    whole
}

#[test]
fn no_body_is_complete_at_once() {
    for framing in [BodyFraming::None, BodyFraming::Length(0)] {
        let mut decoder = BodyDecoder::new(framing, 0).expect("allowed");
        assert!(decoder.is_complete());
        assert_eq!(decoder.receive(b"GET /", &mut Vec::new()), Ok((0, true)));
    }
}

#[test]
fn a_length_takes_exactly_its_bytes() {
    for step in 1..10 {
        let result = decode(BodyFraming::Length(5), 5, b"helloGET / HTTP/1.1", step);
        assert_eq!(result, Ok((b"hello".to_vec(), 5, true)));
    }
    let result = decode(BodyFraming::Length(5), 5, b"hel", 2);
    assert_eq!(result, Ok((b"hel".to_vec(), 3, false)));
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_bytes() {
    for length in [6, u64::MAX] {
        let error = BodyDecoder::new(BodyFraming::Length(length), 5).expect_err("too long");
        assert_eq!(error, HttpError::BodyTooLarge);
    }
}

#[test]
fn chunks_are_joined_and_the_rest_is_left() {
    let result = chunked(
        100,
        "5\r\nhello\r\n00b; a=b ;c=\"d e\"\r\n, big world\r\n0\r\n\r\nGET",
    );
    assert_eq!(result, Ok((b"hello, big world".to_vec(), 47, true)));
    assert_eq!(chunked(0, "0\r\n\r\n"), Ok((vec![], 5, true)));
    assert_eq!(
        chunked(9, "3 \t;x\r\nabc\r\n0\r\n\r\n"),
        Ok((b"abc".to_vec(), 17, true))
    );
    assert_eq!(chunked(9, "3\r\nab"), Ok((b"ab".to_vec(), 5, false)));
}

#[test]
fn trailers_are_read_and_dropped() {
    let input = "1\r\na\r\n0\r\nExpires: never\r\nX:\r\n\r\nnext";
    assert_eq!(
        chunked(9, input),
        Ok((b"a".to_vec(), input.len() - 4, true))
    );
}

/// hyper CVE-2021-32715, -32714, RUSTSEC-2021-0020.
#[test]
fn broken_chunks_are_refused() {
    for bad in [
        "\r\n",
        "g\r\n",
        "+5\r\nhello\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\nhello\n",
        "5\r\nhelloo\r\n",
        "5;a\nhello\r\n",
        "5;a\0\r\nhello\r\n",
        "5\r\rhello",
        "5\r\nhello\r\n0\n",
        "0\r\n\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nnocolon\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "10000000000000000\r\n",
        "00000000000000001\r\n",
        "fffffffffffffffff\r\n",
    ] {
        assert_eq!(chunked(u64::MAX, bad), Err(HttpError::Chunk), "{bad:?}");
    }
}

#[test]
fn a_chunk_over_the_limit_is_refused_when_it_is_announced() {
    assert_eq!(chunked(10, "b\r\n"), Err(HttpError::BodyTooLarge));
    assert_eq!(
        chunked(10, "6\r\nabcdef\r\n5\r\n"),
        Err(HttpError::BodyTooLarge)
    );
    assert_eq!(
        chunked(10, "ffffffffffffffff\r\n"),
        Err(HttpError::BodyTooLarge)
    );
    let overflow = "1\r\na\r\nffffffffffffffff\r\n";
    assert_eq!(chunked(u64::MAX, overflow), Err(HttpError::BodyTooLarge));
}

#[test]
fn nothing_is_allocated_by_what_is_announced() {
    let mut content = Vec::new();
    let mut decoder = BodyDecoder::new(BodyFraming::Chunked, u64::MAX).expect("allowed");
    decoder
        .receive(b"ffffffffffffff00\r\nab", &mut content)
        .expect("so far valid");
    assert_eq!(content, b"ab");
    assert!(content.capacity() < 64);
}

#[test]
fn extensions_are_bounded_over_the_whole_body() {
    let room = "x".repeat(CHUNK_EXTENSION_BYTES_MAX);
    assert!(chunked(9, &format!("1;{room}\r\na\r\n0\r\n\r\n")).is_ok());
    assert_eq!(
        chunked(9, &format!("1;{room}x\r\na\r\n")),
        Err(HttpError::Chunk)
    );
    let many = "1;xxxxxxx\r\na\r\n".repeat(CHUNK_EXTENSION_BYTES_MAX / 7 + 1);
    assert_eq!(chunked(u64::MAX, &many), Err(HttpError::Chunk));
    let spaces = " ".repeat(CHUNK_EXTENSION_BYTES_MAX + 1);
    assert_eq!(
        chunked(9, &format!("1{spaces};x\r\n")),
        Err(HttpError::Chunk)
    );
}

#[test]
fn trailers_are_bounded() {
    let many = "a: b\r\n".repeat(TRAILER_BYTES_MAX);
    assert_eq!(
        chunked(9, &format!("0\r\n{many}")),
        Err(HttpError::HeadTooLarge)
    );
    assert_eq!(HttpError::HeadTooLarge.status(), 431);
}

#[test]
fn an_error_stays() {
    let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 9).expect("allowed");
    let mut content = Vec::new();
    assert_eq!(decoder.receive(b"x", &mut content), Err(HttpError::Chunk));
    assert_eq!(
        decoder.receive(b"1\r\na\r\n0\r\n\r\n", &mut content),
        Err(HttpError::Chunk)
    );
    assert_eq!(decoder.receive(b"", &mut content), Err(HttpError::Chunk));
    assert!(content.is_empty() && !decoder.is_complete());
}
