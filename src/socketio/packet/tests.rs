use super::*;
use proptest::prelude::*;

fn decode(text: &str) -> Packet<'_> {
    match Packet::decode(text) {
        Ok(packet) => packet,
        Err(error) => panic!("{text}: {error}"),
    }
}

fn event_of<'a>(packet: &Packet<'a>) -> Event<'a> {
    match &packet.body {
        Body::Event(event) => event.clone(),
        body => panic!("no event: {body:?}"),
    }
}

#[track_caller]
fn refused(text: &str, error: PacketError) {
    assert_eq!(Packet::decode(text), Err(error), "{text}");
}

#[test]
fn packets_of_each_type_are_read() {
    let connect = decode(r#"0/admin,{"token":"123"}"#);
    let data = Some(r#"{"token":"123"}"#);
    assert_eq!(connect.namespace, "/admin");
    assert_eq!(connect.body, Body::Connect { data });
    assert_eq!(decode("0").body, Body::Connect { data: None });
    assert_eq!(decode("0/a").namespace, "/a");
    assert_eq!(decode("0/,").namespace, "/");
    assert_eq!(decode("1/admin,").body, Body::Disconnect);
    assert_eq!(decode("1").namespace, MAIN_NAMESPACE);
    assert_eq!(
        decode("17").body,
        Body::Disconnect,
        "an id says nothing here"
    );
    let event = event_of(&decode(r#"2/a,12["hey", 1 ,"Jude"]"#));
    assert_eq!((event.id, &*event.name), (Some(12), "hey"));
    assert_eq!(event.args, r#" 1 ,"Jude""#);
    assert_eq!(
        (event.data, event.attachments),
        (r#"["hey", 1 ,"Jude"]"#, None)
    );
    let ack = Body::Ack(Ack {
        id: 13,
        args: r#""bar""#,
        attachments: None,
    });
    assert_eq!(decode(r#"313["bar"]"#).body, ack);
    let data = r#"{"message":"Not authorized"}"#;
    assert_eq!(
        decode(&format!("4{data}")).body,
        Body::ConnectError { data }
    );
    assert_eq!(
        decode(r#"4"no""#).body,
        Body::ConnectError { data: r#""no""# }
    );
    let event = event_of(&decode(r#"51-7["baz",{"_placeholder":true,"num":0}]"#));
    assert_eq!((event.id, event.attachments), (Some(7), Some(1)));
    let ack = decode(r#"61-15["bar",{"_placeholder":true,"num":0}]"#);
    assert!(matches!(
        ack.body,
        Body::Ack(Ack {
            id: 15,
            attachments: Some(1),
            ..
        })
    ));
}

#[test]
fn arguments_pass_through_unchanged() {
    let args = r#" 1.0e2 ,{"b":1,"a":[ ],"b":2},12345678901234567890,"\u00e9\/é\ud800" "#;
    let text = format!(r#"2["a",{args}]"#);
    let event = event_of(&decode(&text));
    assert_eq!(event.args, args);
    let mut out = Vec::new();
    put_event("/", None, &event.name, event.args, None, &mut out);
    assert_eq!(String::from_utf8(out).expect("UTF-8"), text);
}

#[test]
fn an_event_without_attachments_may_be_of_the_binary_type() {
    let event = event_of(&decode(r#"50-["a",1]"#));
    assert_eq!((event.args, event.attachments), ("1", Some(0)));
}

#[test]
fn placeholders_without_the_binary_type_are_data() {
    let event = event_of(&decode(r#"2["a",{"_placeholder":true,"num":"splice"}]"#));
    assert_eq!(event.attachments, None);
}

#[test]
fn an_event_name_may_be_escaped_or_a_number() {
    assert_eq!(event_of(&decode(r#"2["\u0061\n"]"#)).name, "a\n");
    assert_eq!(event_of(&decode("2[12,1]")).name, "12");
    assert_eq!(event_of(&decode("2[-0.5]")).name, "-0.5");
    assert_eq!(event_of(&decode(r#"2[""]"#)).name, "");
}

#[test]
fn unknown_types_are_refused() {
    for text in ["", "7", "9[]", "a", "-1", "é", " 2[\"a\"]"] {
        refused(text, PacketError::Type);
    }
}

#[test]
fn namespaces_have_a_limit() {
    let longest = "/".repeat(SOCKETIO_NAMESPACE_BYTES_MAX);
    assert_eq!(decode(&format!("0{longest},")).namespace, longest);
    refused(&format!("0/{longest}"), PacketError::Namespace);
    refused(
        &format!("0/{}", "a".repeat(1_000_000)),
        PacketError::Namespace,
    );
}

#[test]
fn ids_have_a_limit_and_are_digits() {
    let event = |id: &str| format!(r#"2{id}["a"]"#);
    assert_eq!(
        event_of(&decode(&event("9007199254740991"))).id,
        Some(ACK_ID_MAX)
    );
    assert_eq!(event_of(&decode(&event("007"))).id, Some(7));
    refused(&event("9007199254740992"), PacketError::Id);
    refused(&event(&"9".repeat(1_000)), PacketError::Id);
    refused(&event("abc"), PacketError::Json);
    refused(&event("-1"), PacketError::Json);
    refused(&event("1.5"), PacketError::Json);
    refused("3[]", PacketError::Id);
}

#[test]
fn payloads_of_the_wrong_shape_are_refused() {
    for text in [
        "0[]", "0\"a\"", "0null", "01{}x", "1{}", "1[]", "1null", "2{}", "2\"a\"", "2null", "31{}",
        "31true", "4[]", "41", "5000-{}", "60-1{}",
    ] {
        let error = Packet::decode(text).expect_err("refused");
        assert!(
            [PacketError::Payload, PacketError::Json].contains(&error),
            "{text}: {error:?}"
        );
    }
    refused("2{}", PacketError::Payload);
    for text in ["2", "2[", "2/a", "2/a,1", "31", "4", "0{", "2[\"a\"]x"] {
        refused(text, PacketError::Json);
    }
}

#[test]
fn reserved_event_names_are_refused() {
    for name in RESERVED_EVENTS {
        refused(&format!(r#"2["{name}"]"#), PacketError::EventName);
        refused(&format!(r#"50-["{name}"]"#), PacketError::EventName);
        let escaped: String = name.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        refused(&format!(r#"2["{escaped}"]"#), PacketError::EventName);
    }
    assert_eq!(event_of(&decode(r#"2["connection"]"#)).name, "connection");
}

/// Events whose name is no text killed the process.
#[test]
fn cve_2023_32695_event_names_of_other_types() {
    for text in [
        r#"2[{"toString":"foo"}]"#,
        "2[[\"a\"]]",
        "2[null]",
        "2[true]",
        "2[]",
        r#"2["\ud800"]"#,
        r#"50-[{"toString":"foo"}]"#,
        r#"51-[{"_placeholder":true,"num":0}]"#,
    ] {
        refused(text, PacketError::EventName);
    }
}

/// The number of a placeholder was used as the name of any property of the list of attachments.
#[test]
fn ghsa_qm95_pgcg_qqfq_placeholder_numbers_of_other_types() {
    for num in [
        "\"splice\"",
        "\"0\"",
        "null",
        "true",
        "{}",
        "[0]",
        "-1",
        "1",
        "0.5",
        "1e0",
    ] {
        let text = format!(r#"51-["a",{{"_placeholder":true,"num":{num}}}]"#);
        refused(&text, PacketError::Placeholder);
    }
}

/// Announced attachments were waited for, and kept, without a limit.
#[test]
fn cve_2026_33151_announced_attachments() {
    let ten: Vec<_> = (0..10)
        .map(|num| format!(r#"{{"_placeholder":true,"num":{num}}}"#))
        .collect();
    let data = format!(r#"["a",{}]"#, ten.join(","));
    assert_eq!(
        event_of(&decode(&format!("510-{data}"))).attachments,
        Some(10)
    );
    for count in ["255", "256", "9007199254740993", &"9".repeat(1_000)] {
        refused(&format!("5{count}-{data}"), PacketError::TooManyAttachments);
        refused(&format!("6{count}-1[]"), PacketError::TooManyAttachments);
    }
    for count in ["", "-1", "+1", "1.5", "1e1", "x", " 1", "Infinity"] {
        refused(&format!("5{count}-{data}"), PacketError::Attachments);
    }
    refused("51[\"a\"]", PacketError::Attachments);
    refused("51", PacketError::Attachments);
}

#[test]
fn names_that_objects_have_by_themselves_are_names_like_any_other() {
    let text = r#"2/__proto__,1["__proto__",{"__proto__":{"a":1},"constructor":null}]"#;
    let packet = decode(text);
    assert_eq!(packet.namespace, "/__proto__");
    let event = event_of(&packet);
    assert_eq!(event.name, "__proto__");
    assert_eq!(event.args, r#"{"__proto__":{"a":1},"constructor":null}"#);
}

#[test]
fn json_nested_too_deep_is_refused() {
    let deep = format!("2[\"a\",{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    refused(&deep, PacketError::TooDeep);
    refused(
        &format!("0{}", r#"{"a":"#.repeat(100_000)),
        PacketError::TooDeep,
    );
}

#[test]
fn what_the_server_says_is_escaped() {
    let mut out = Vec::new();
    put_connect("/a", "b\"c", Some("d"), &mut out);
    assert_eq!(out, br#"0/a,{"sid":"b\"c","pid":"d"}"#);
    out.clear();
    put_connect_error("/", "no\n", Some(r#"{"code":1}"#), &mut out);
    assert_eq!(out, br#"4{"message":"no\n","data":{"code":1}}"#);
    out.clear();
    put_disconnect("/a", &mut out);
    assert_eq!(out, b"1/a,");
    out.clear();
    put_event("/", Some(1), "a\u{1e}\"", "", None, &mut out);
    assert_eq!(out, br#"21["a\u001e\""]"#);
}

/// Arguments with so many attachments, as they travel.
fn args() -> impl Strategy<Value = (String, Option<u8>)> {
    let values = prop::collection::vec(
        prop::sample::select(vec![
            "1",
            "\"é\\n\"",
            " null",
            "{\"a\":[1, {}]}",
            "[[]]",
            "-0.0",
        ]),
        0..4,
    );
    let count = prop::option::of(0..=SOCKETIO_ATTACHMENTS_MAX);
    (values, count).prop_map(|(values, count)| {
        let placeholders =
            (0..count.unwrap_or(0)).map(|num| format!(r#"{{"_placeholder":true,"num":{num}}}"#));
        let all: Vec<String> = values
            .iter()
            .map(|&value| value.to_owned())
            .chain(placeholders)
            .collect();
        (all.join(","), count)
    })
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[^,]{0,40}"]
}

proptest! {
    #[test]
    fn an_event_that_was_written_is_read(
        namespace in namespace(),
        id in prop::option::of(0..=ACK_ID_MAX),
        name in any::<String>(),
        (args, attachments) in args(),
    ) {
        prop_assume!(!RESERVED_EVENTS.contains(&&*name));
        let mut out = Vec::new();
        put_event(&namespace, id, &name, &args, attachments, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let packet = Packet::decode(&text).expect("a packet");
        prop_assert_eq!(packet.namespace, namespace);
        let event = event_of(&packet);
        prop_assert_eq!((event.id, &*event.name), (id, &*name));
        prop_assert_eq!((event.args, event.attachments), (&*args, attachments));
    }

    #[test]
    fn an_ack_that_was_written_is_read(
        namespace in namespace(),
        id in 0..=ACK_ID_MAX,
        (args, attachments) in args(),
    ) {
        let mut out = Vec::new();
        put_ack(&namespace, id, &args, attachments, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let packet = Packet::decode(&text).expect("a packet");
        prop_assert_eq!(packet.namespace, &*namespace);
        prop_assert_eq!(packet.body, Body::Ack(Ack { id, args: &args, attachments }));
    }

    #[test]
    fn connections_that_were_written_are_read(
        namespace in namespace(),
        sid in any::<String>(),
        message in any::<String>(),
    ) {
        let mut out = Vec::new();
        put_connect(&namespace, &sid, None, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let packet = Packet::decode(&text).expect("a packet");
        let is_connect = matches!(packet.body, Body::Connect { data: Some(_) });
        prop_assert!(is_connect && packet.namespace == namespace);
        let mut out = Vec::new();
        put_connect_error(&namespace, &message, Some("[1]"), &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let packet = Packet::decode(&text).expect("a packet");
        let Body::ConnectError { data } = packet.body else {
            return Err(TestCaseError::fail("a refusal"));
        };
        let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
        prop_assert_eq!(data, serde_json::json!({"message": message, "data": [1]}));
    }

    #[test]
    fn nothing_panics(text in "[0-7]?[0-9]{0,2}-?(/[a-z,]{0,3})?[0-9]{0,3}[\\[\\]{}\",:a-z0-9\\\\é ]{0,20}") {
        let _ = Packet::decode(&text);
    }
}

#[test]
fn an_argument_in_pieces_is_written_as_one() {
    let args = r#"{"error":{"code":"a"}}"#;
    let pieces = ["{\"error\":{", "\"code\":\"a\"", "}}"];
    for namespace in [MAIN_NAMESPACE, "/chat"] {
        let (mut whole, mut in_pieces) = (Vec::new(), Vec::new());
        put_event(namespace, None, "error", args, None, &mut whole);
        put_event_of(namespace, "error", &pieces, &mut in_pieces);
        put_ack(namespace, 7, args, None, &mut whole);
        put_ack_of(namespace, 7, &pieces, &mut in_pieces);
        assert_eq!(in_pieces, whole);
    }
}
