use super::*;
use proptest::prelude::*;

/// The only value in `bytes`.
fn only(bytes: &[u8]) -> Result<Token<'_>, AdapterError> {
    let mut reader = Reader::new(bytes);
    let token = reader.next()?;
    reader.end()?;
    Ok(token)
}

#[test]
fn values_of_each_mark_are_read() {
    let long = [b'a'; 0x1_0000];
    let with = |head: &[u8], length: usize| [head, &long[..length]].concat();
    let cases: [(Vec<u8>, Token<'_>); 38] = [
        (vec![0x00], Token::Unsigned(0)),
        (vec![0x7f], Token::Unsigned(127)),
        (vec![0x80], Token::Map(0)),
        (vec![0x90], Token::Array(0)),
        (with(&[0xa0], 0), Token::Text(b"")),
        (with(&[0xbf], 31), Token::Text(&long[..31])),
        (vec![0xc0], Token::Nil),
        (vec![0xc2], Token::Bool(false)),
        (vec![0xc3], Token::Bool(true)),
        (with(&[0xc4, 1], 1), Token::Bytes(b"a")),
        (with(&[0xc5, 1, 0], 256), Token::Bytes(&long[..256])),
        (with(&[0xc6, 0, 1, 0, 0], 65_536), Token::Bytes(&long)),
        (with(&[0xc7, 3, 5], 3), Token::Extension(5, b"aaa")),
        (with(&[0xc8, 0, 3, 0xff], 3), Token::Extension(-1, b"aaa")),
        (with(&[0xc9, 0, 0, 0, 1, 5], 1), Token::Extension(5, b"a")),
        (with(&[0xc7, 1, 0], 1), Token::Bytes(b"a")),
        (vec![0xca, 0x3f, 0xc0, 0, 0], Token::Float(1.5)),
        (vec![0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], Token::Float(1.5)),
        (vec![0xcc, 0xff], Token::Unsigned(0xff)),
        (vec![0xcd, 0xff, 0xfe], Token::Unsigned(0xfffe)),
        (vec![0xce, 0xff, 0, 0, 1], Token::Unsigned(0xff00_0001)),
        (
            with(&[0xcf, 0xff, 0, 0, 0, 0, 0, 0], 1),
            Token::Unsigned(0xff00_0000_0000_0061),
        ),
        (vec![0xd0, 0x80], Token::Signed(-128)),
        (vec![0xd1, 0x80, 0], Token::Signed(-32_768)),
        (vec![0xd2, 0x80, 0, 0, 0], Token::Signed(i32::MIN.into())),
        (
            vec![0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0],
            Token::Signed(i64::MIN),
        ),
        (with(&[0xd4, 0], 1), Token::Extension(0, b"a")),
        (with(&[0xd5, 1], 2), Token::Extension(1, b"aa")),
        (with(&[0xd6, 0xff], 4), Token::Extension(-1, b"aaaa")),
        (with(&[0xd7, 2], 8), Token::Extension(2, &long[..8])),
        (with(&[0xd8, 3], 16), Token::Extension(3, &long[..16])),
        (with(&[0xd9, 32], 32), Token::Text(&long[..32])),
        (with(&[0xda, 1, 0], 256), Token::Text(&long[..256])),
        (with(&[0xdb, 0, 1, 0, 0], 65_536), Token::Text(&long)),
        (vec![0xdd, 0, 0, 0, 0], Token::Array(0)),
        (vec![0xdf, 0, 0, 0, 0], Token::Map(0)),
        (vec![0xe0], Token::Signed(-32)),
        (vec![0xff], Token::Signed(-1)),
    ];
    for (bytes, token) in cases {
        assert_eq!(only(&bytes), Ok(token), "{:x?}", bytes[0]);
        for end in 0..bytes.len().min(300) {
            let cut = only(&bytes[..end]);
            assert_eq!(
                cut,
                Err(AdapterError::Malformed),
                "{:x?} of {end}",
                bytes[0]
            );
        }
    }
    assert_eq!(only(&[0xc1]), Err(AdapterError::Malformed));
    assert_eq!(only(&[0xc0, 0xc0]), Err(AdapterError::Malformed));
}

#[test]
fn what_is_announced_has_to_be_there() {
    for (bytes, count) in [
        (&[0x92, 0, 0][..], Token::Array(2)),
        (&[0xdc, 0, 2, 0, 0], Token::Array(2)),
        (&[0x81, 0, 0], Token::Map(1)),
        (&[0xde, 0, 1, 0, 0], Token::Map(1)),
    ] {
        assert_eq!(Reader::new(bytes).next(), Ok(count));
        let cut = Reader::new(&bytes[..bytes.len() - 1]).next();
        assert_eq!(cut, Err(AdapterError::Malformed));
    }
    for mark in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
        let announced = [mark, 0xff, 0xff, 0xff, 0xff, 0, 0, 0];
        assert_eq!(Reader::new(&announced).next(), Err(AdapterError::Malformed));
    }
}

#[test]
fn a_value_is_passed_over_with_all_that_it_holds() {
    // An array of a map of an array, then 1.
    let mut reader = Reader::new(&[0x92, 0x81, 0xa1, b'a', 0x91, 0xc0, 0xc4, 1, 0, 1]);
    assert_eq!(reader.skip(), Ok(()));
    assert_eq!(reader.next(), Ok(Token::Unsigned(1)));
    assert_eq!(reader.end(), Ok(()));
    assert_eq!(reader.skip(), Err(AdapterError::Malformed));
    let deep = [&vec![0x91; 1_000_000][..], &[0xc0]].concat();
    let mut reader = Reader::new(&deep);
    assert_eq!(reader.skip(), Ok(()));
    assert_eq!(reader.end(), Ok(()));
}

#[test]
fn names_are_texts_and_whole_numbers() {
    let name = |bytes: &[u8]| Reader::new(bytes).name().map(Cow::into_owned);
    assert_eq!(name(b"\xa1a").as_deref(), Ok("a"));
    assert_eq!(name(b"\xa1\xff").as_deref(), Ok("\u{fffd}"));
    assert_eq!(name(&[5]).as_deref(), Ok("5"));
    assert_eq!(name(&[0xff]).as_deref(), Ok("-1"));
    for other in [
        &[0xc0][..],
        &[0xc3],
        &[0xc4, 0],
        &[0x90],
        &[0xca, 0, 0, 0, 0],
    ] {
        assert_eq!(name(other), Err(AdapterError::Field), "{other:x?}");
    }
    let named = |length| {
        let mut bytes = Vec::new();
        put_text(&"a".repeat(length), &mut bytes);
        name(&bytes).map(|name| name.len())
    };
    let longest = ADAPTER_NAME_BYTES_MAX;
    assert_eq!(named(longest), Ok(longest));
    assert_eq!(named(longest + 1), Err(AdapterError::Name));
}

#[test]
fn what_is_written_takes_no_more_than_it_has_to() {
    let bytes_of = |put: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        put(&mut out);
        out.len()
    };
    for (number, bytes) in [
        (0, 1),
        (127, 1),
        (128, 2),
        (255, 2),
        (256, 3),
        (65_535, 3),
        (65_536, 5),
        (u32::MAX.into(), 5),
        (1 << 32, 9),
        (-1, 1),
        (-32, 1),
        (-33, 2),
        (-128, 2),
        (-129, 3),
        (-32_768, 3),
        (-32_769, 5),
        (i32::MIN.into(), 5),
        (-(1 << 31) - 1, 9),
    ] {
        assert_eq!(bytes_of(&|out| put_signed(number, out)), bytes, "{number}");
    }
    for (length, head) in [(0, 1), (31, 1), (32, 2), (255, 2), (256, 3), (65_536, 5)] {
        let text = "a".repeat(length);
        assert_eq!(bytes_of(&|out| put_text(&text, out)), head + length);
    }
    for (count, bytes) in [(15, 1), (16, 3), (65_535, 3), (65_536, 5)] {
        assert_eq!(bytes_of(&|out| put_array(count, out)), bytes);
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        unsigned: u64, signed in i64::MIN..0, float: f64, flag: bool, text: String,
        bytes in proptest::collection::vec(any::<u8>(), 0..400), values in 0_usize..400,
    ) {
        let mut out = Vec::new();
        put_unsigned(unsigned, &mut out);
        put_signed(signed, &mut out);
        put_float(float, &mut out);
        put_bool(flag, &mut out);
        put_text(&text, &mut out);
        put_bytes(&bytes, &mut out);
        put_array(values, &mut out);
        out.resize(out.len() + values, 0xc0);
        let mut reader = Reader::new(&out);
        prop_assert_eq!(reader.next(), Ok(Token::Unsigned(unsigned)));
        prop_assert_eq!(reader.next(), Ok(Token::Signed(signed)));
        prop_assert_eq!(reader.next(), Ok(Token::Float(float)));
        prop_assert_eq!(reader.next(), Ok(Token::Bool(flag)));
        prop_assert_eq!(reader.next(), Ok(Token::Text(text.as_bytes())));
        prop_assert_eq!(reader.next(), Ok(Token::Bytes(&bytes)));
        prop_assert_eq!(reader.next(), Ok(Token::Array(values as u32)));
    }

    #[test]
    fn any_bytes_are_harmless(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = Reader::new(&bytes);
        while reader.next().is_ok() {}
        let _ = Reader::new(&bytes).skip();
    }
}
