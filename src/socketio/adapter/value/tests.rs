use super::*;
use crate::limits::JSON_DEPTH_MAX;
use proptest::prelude::*;
use serde_json::Value as Tree;

fn read(bytes: &[u8]) -> Result<Value<'_>, AdapterError> {
    let mut reader = Reader::new(bytes);
    let value = Value::read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[track_caller]
fn reads(bytes: &[u8], text: &str, attachments: &[&[u8]]) {
    let value = read(bytes).unwrap_or_else(|error| panic!("{error}: {bytes:x?}"));
    assert_eq!(value.text(), text);
    assert_eq!(value.attachments(), attachments);
}

fn written(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.put(&mut out);
    out
}

#[test]
fn messagepack_becomes_what_javascript_would_make_of_it() {
    let cases: [(&[u8], &str); 21] = [
        (&[0xc0], "null"),
        (&[0xc2], "false"),
        (&[0xc3], "true"),
        (
            &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "18446744073709551615",
        ),
        (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808"),
        (&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], "1.5"),
        (&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], "null"),
        (&[0xca, 0x7f, 0x80, 0, 0], "null"),
        (b"\xa4\"\\\n\x01", r#""\"\\\n\u0001""#),
        (b"\xa3a\xffb", "\"a\u{fffd}b\""),
        // A time of each kind, and none.
        (&[0xd6, 0xff, 0, 0, 0, 1], "\"1970-01-01T00:00:01.000Z\""),
        (
            &[0xd7, 0xff, 0, 0, 0, 0, 0, 0, 0, 1],
            "\"1970-01-01T00:00:01.000Z\"",
        ),
        (
            &[0xd7, 0x00, 0, 0, 0, 0, 0, 0, 0, 1],
            "\"1970-01-01T00:00:00.001Z\"",
        ),
        (&[0xd7, 0x00, 0x7f, 0, 0, 0, 0, 0, 0, 1], "null"),
        // `undefined`.
        (&[0x92, 0xd4, 0, 0, 1], "[null,1]"),
        (b"\x82\xa1a\xd4\x00\x00\xa1b\x01", r#"{"b":1}"#),
        // Keys that are no text.
        (
            b"\x84\x01\x02\xff\x02\xc0\x02\xc3\x02",
            r#"{"1":2,"-1":2,"null":2,"true":2}"#,
        ),
        (b"\x81\xa9__proto__\x01", r#"{"__proto__":1}"#),
        (b"\x82\xa1a\x80\xa1b\x90", r#"{"a":{},"b":[]}"#),
        (&[0x80], "{}"),
        (&[0x90], "[]"),
    ];
    for (bytes, text) in cases {
        reads(bytes, text, &[]);
    }
}

#[test]
fn what_is_binary_becomes_attachments() {
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    reads(&[0xc4, 2, 1, 2], placeholder, &[&[1, 2]]);
    // What was an ArrayBuffer once.
    reads(
        &[0xc7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        placeholder,
        &[&[1, 2, 3, 4, 5, 6, 7, 8]],
    );
    reads(&[0xd5, 5, 1, 2], &format!("[5,{placeholder}]"), &[&[1, 2]]);
    let two = r#"[{"_placeholder":true,"num":0},{"a":{"_placeholder":true,"num":1}}]"#;
    reads(b"\x92\xc4\x00\x81\xa1a\xc4\x01\x09", two, &[&[], &[9]]);

    let many = |count: u8| [&[0xdc, 0, count][..], &[0xc4, 0].repeat(count.into())].concat();
    assert_eq!(
        read(&many(10)).map(|value| value.attachments().len()),
        Ok(10)
    );
    assert_eq!(read(&many(11)), Err(AdapterError::TooManyAttachments));
}

#[test]
fn what_looks_like_a_placeholder_is_data_only_where_nothing_is_binary() {
    let mut look = b"\x82\xac_placeholder\xc3\xa3num\x00".to_vec();
    reads(&look, r#"{"_placeholder":true,"num":0}"#, &[]);
    look.splice(0..0, [0x92, 0xc4, 0]);
    assert_eq!(read(&look), Err(AdapterError::Placeholder));
}

#[test]
fn what_no_value_can_be_is_refused() {
    for (bytes, error) in [
        (&[][..], AdapterError::Malformed),
        (&[0xc1], AdapterError::Malformed),
        (&[0x91, 0xc1], AdapterError::Malformed),
        (&[0x81, 0xa1, b'a', 0xc1], AdapterError::Malformed),
        (&[0x81, 0xc4, 0, 1], AdapterError::Field),
        (&[0x81, 0x90, 1], AdapterError::Field),
        (&[0x81, 0x80, 1], AdapterError::Field),
        (&[0x81, 0x91, 0xd4, 0, 0, 1], AdapterError::Field),
    ] {
        assert_eq!(read(bytes), Err(error), "{bytes:x?}");
    }
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    let deepest = JSON_DEPTH_MAX as usize;
    let nested = |depth: usize| [&vec![0x91; depth][..], &[0xc0]].concat();
    let in_maps = |depth: usize| [&[0x81, 1].repeat(depth)[..], &[0xc0]].concat();
    for bytes in [nested(deepest), in_maps(deepest)] {
        let value = read(&bytes).expect("not too deep");
        assert!(json::check(value.text(), None).is_ok());
        // And the way back.
        let again = written(&value);
        assert_eq!(read(&again).expect("not too deep").text(), value.text());
    }
    for bytes in [
        nested(deepest + 1),
        in_maps(deepest + 1),
        nested(100_000),
        in_maps(100_000),
    ] {
        assert_eq!(read(&bytes), Err(AdapterError::TooDeep));
    }
    let mut extension = vec![0x91; deepest];
    extension.extend([0xd4, 5, 0]);
    assert_eq!(read(&extension), Err(AdapterError::TooDeep));
}

#[test]
fn json_becomes_messagepack() {
    for (text, bytes) in [
        ("null", &[0xc0][..]),
        (" true ", &[0xc3]),
        ("false", &[0xc2]),
        ("-0", &[0]),
        ("12", &[12]),
        (
            "18446744073709551615",
            &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
        ),
        ("-33", &[0xd0, 0xdf]),
        ("1.5", &[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]),
        ("15e-1", &[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]),
        ("1e999", &[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]),
        (r#""""#, b"\xa0"),
        (
            r#""a\"\\\/\u00e4\ud83c\udf0a""#,
            b"\xaaa\"\\/\xc3\xa4\xf0\x9f\x8c\x8a",
        ),
        // Halves of pairs, and what begins with the same byte.
        (
            r#""\ud800A\udfff\ud7ff\t""#,
            b"\xab\xef\xbf\xbdA\xef\xbf\xbd\xed\x9f\xbf\t",
        ),
        (
            r#""\ud800\u0041\ud800\ud800\udc00""#,
            b"\xab\xef\xbf\xbdA\xef\xbf\xbd\xf0\x90\x80\x80",
        ),
        ("[ ]", &[0xdd, 0, 0, 0, 0]),
        ("{ }", &[0xdf, 0, 0, 0, 0]),
        ("[1 , 2]", &[0xdd, 0, 0, 0, 2, 1, 2]),
        (
            r#"{ "a" : [ ] , "b":1 }"#,
            b"\xdf\0\0\0\x02\xa1a\xdd\0\0\0\0\xa1b\x01",
        ),
    ] {
        let out = written(&Value::new(text, vec![]).expect("JSON"));
        assert_eq!(out, bytes, "{text}");
    }
}

#[test]
fn attachments_stand_where_their_placeholders_were() {
    let text = r#"[{"num":1,"_placeholder":true},{"a":{ "_placeholder" : true , "num" : 0 }}]"#;
    let value = Value::new(text, vec![&[1], &[2, 3]]).expect("two attachments");
    let bytes = b"\xdd\0\0\0\x02\xc4\x02\x02\x03\xdf\0\0\0\x01\xa1a\xc4\x01\x01";
    assert_eq!(written(&value), bytes);
    let escaped = r#"{"\u005fplaceholder":true,"num":0}"#;
    let value = Value::new(escaped, vec![&[1]]).expect("one attachment");
    assert_eq!(written(&value), [0xc4, 1, 1]);

    let one = r#"{"_placeholder":true,"num":0}"#;
    let value = Value::new(one, vec![]).expect("no attachment");
    reads(&written(&value), one, &[]);
    assert_eq!(Value::new("[]", vec![&[1]]), Err(AdapterError::Placeholder));
    assert_eq!(
        Value::new(one, vec![&[1], &[2]]),
        Err(AdapterError::Placeholder)
    );
    assert_eq!(Value::new("[", vec![]), Err(AdapterError::Malformed));
    let many = vec![&[][..]; 11];
    assert_eq!(
        Value::new("[]", many),
        Err(AdapterError::TooManyAttachments)
    );
}

#[test]
fn of_an_answer_the_first_argument_is_told() {
    let first = |args: &str| Value::first_of(args, vec![]).map(|value| value.text().to_owned());
    assert_eq!(first("").as_deref(), Ok("null"));
    assert_eq!(first(" [1] , 2").as_deref(), Ok("[1]"));
    assert_eq!(first("1,").as_deref(), Err(&AdapterError::Malformed));
    assert_eq!(first("1],[2").as_deref(), Err(&AdapterError::Malformed));
    let args = r#"{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}"#;
    let value = Value::first_of(args, vec![&[1], &[2]]).expect("two arguments");
    assert_eq!(written(&value), [0xc4, 1, 2]);
    assert_eq!(
        Value::first_of("1", vec![&[1]]),
        Err(AdapterError::Placeholder)
    );
}

#[test]
fn an_event_has_a_name_that_it_may_have() {
    let event = EventData::new(r#"["a\"b", 1 ,{}]"#, vec![]).expect("an event");
    assert_eq!(event.event().name, "a\"b");
    assert_eq!(event.event().args, " 1 ,{}");
    assert_eq!(event.event().attachments, None);
    for text in [
        "{}",
        "[]",
        "[null]",
        r#"["disconnect"]"#,
        r#""a""#,
        r#"["\ud800"]"#,
    ] {
        assert_eq!(
            EventData::new(text, vec![]),
            Err(AdapterError::Event),
            "{text}"
        );
    }
    assert_eq!(EventData::new("[", vec![]), Err(AdapterError::Malformed));
    for bytes in [
        &[0x80][..],
        &[0x90],
        &[0x91, 0xc0],
        b"\x91\xa7connect",
        b"\xa1a",
    ] {
        let event = EventData::read(&mut Reader::new(bytes));
        assert_eq!(event, Err(AdapterError::Event), "{bytes:x?}");
    }
}

#[test]
fn an_event_for_a_program_may_have_any_name() {
    let event = ServerEvent::new(r#"[ "connect" ,1]"#).expect("an event");
    assert_eq!(event.data().text(), r#"[ "connect" ,1]"#);
    for text in ["{}", "[]", "[1]", r#""a""#] {
        assert_eq!(ServerEvent::new(text), Err(AdapterError::Field), "{text}");
    }
    assert_eq!(ServerEvent::new("["), Err(AdapterError::Malformed));
    assert_eq!(Json::new("1 2"), Err(AdapterError::Malformed));
    let deep = "[".repeat(100_000);
    assert_eq!(Json::new(deep), Err(AdapterError::TooDeep));
}

/// Trees of JSON, with numbers that JSON and MessagePack write in their own ways.
fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        any::<u64>().prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        any::<f64>().prop_map(Tree::from),
        any::<String>().prop_map(Tree::from),
    ];
    leaf.prop_recursive(5, 60, 20, |inner| {
        let key = prop_oneof![
            any::<String>(),
            Just("_placeholder".to_owned()),
            Just("num".to_owned())
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Tree::from),
            proptest::collection::vec((key, inner), 0..20)
                .prop_map(|pairs| Tree::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_comes_back_from_messagepack(tree in tree(), is_pretty: bool) {
        let text = if is_pretty {
            serde_json::to_string_pretty(&tree)
        } else {
            serde_json::to_string(&tree)
        };
        let text = text.expect("JSON");
        let bytes = written(&Value::new(&text, vec![]).expect("JSON"));
        let again = read(&bytes).expect("what was written");
        prop_assert_eq!(serde_json::from_str::<Tree>(again.text()).expect("JSON"), tree);
        prop_assert!(again.attachments().is_empty());
    }

    #[test]
    fn attachments_come_back_from_messagepack(
        attachments in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..10),
    ) {
        let text: Vec<Tree> = (0..attachments.len())
            .rev()
            .map(|num| serde_json::json!([{"_placeholder": true, "num": num}]))
            .collect();
        let text = Tree::from(text).to_string();
        let slices: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
        let bytes = written(&Value::new(&text, slices.clone()).expect("as many placeholders"));
        let again = read(&bytes).expect("what was written");
        let backwards: Vec<&[u8]> = slices.into_iter().rev().collect();
        prop_assert_eq!(again.attachments(), backwards);
        let begins = r#"[[{"_placeholder":true,"num":0}]"#;
        prop_assert!(again.text().starts_with(begins));
    }
}
