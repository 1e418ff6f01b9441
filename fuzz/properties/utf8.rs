//! UTF-8 in any split, against `std`.

use tidegate::websocket::utf8::{self, Utf8Stream};

/// The first byte says how many bytes after it are the sizes of pieces; the rest is the text.
pub fn check(data: &[u8]) {
    let Some((&count, rest)) = data.split_first() else {
        return;
    };
    let (sizes, text) = rest.split_at(usize::from(count % 32).min(rest.len()));
    assert_eq!(utf8::is_valid(text), std::str::from_utf8(text).is_ok());
    let mut stream = Utf8Stream::new();
    let mut end = 0;
    for size in sizes
        .iter()
        .map(|&size| usize::from(size))
        .chain([text.len()])
    {
        let start = end;
        end = (start + size).min(text.len());
        let fed = stream.feed(&text[start..end]);
        let possible = match std::str::from_utf8(&text[..end]) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        };
        assert_eq!(
            fed.is_ok(),
            possible,
            "at the first byte that makes it impossible"
        );
        if !possible {
            return;
        }
    }
    assert_eq!(stream.finish().is_ok(), utf8::is_valid(text));
}
