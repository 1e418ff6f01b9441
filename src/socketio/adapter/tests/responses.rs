//! What nodes answer.

use super::*;

fn json_of(text: &'static str) -> Json<'static> {
    Json::new(text).expect("JSON")
}

/// Each kind of response.
fn responses() -> [Response<'static>; 8] {
    let socket = |id: &str| Socket {
        id: id.to_owned(),
        handshake: json_of(r#"{"auth":{}}"#),
        rooms: names(&["a", id]),
        data: json_of("[1]"),
    };
    let value = Value::new(r#"[{"_placeholder":true,"num":0}]"#, vec![b"bin"]);
    [
        Answer::Done,
        Answer::Names(names(&[])),
        Answer::Names(names(&["a", "b"])),
        Answer::Sockets(vec![socket("s"), socket("t")]),
        Answer::Rooms(names(&["a"])),
        Answer::Emitted(json_of(r#"{"a":1}"#)),
        Answer::ClientCount(7),
        Answer::ClientAck(value.expect("a value")),
    ]
    .map(|answer| Response {
        id: "id".to_owned(),
        answer,
    })
}

#[test]
fn responses_are_written_as_they_are_read() {
    for response in responses() {
        let bytes = response.encode();
        for end in 0..bytes.len() {
            assert!(Response::decode(&bytes[..end]).is_err(), "{end}");
        }
        match (Response::decode(&bytes), &response.answer) {
            // MessagePack has a form of its own for the list.
            (Ok(again), Answer::ClientAck(_)) => assert_eq!(again.encode(), bytes),
            (again, _) => assert_eq!(again, Ok(response)),
        }
    }
}

#[test]
fn what_node_leaves_out_of_a_response_is_nothing() {
    let decode = |text: &'static str| Response::decode(text.as_bytes()).map(|told| told.answer);
    assert_eq!(
        decode(r#"{"requestId":"i","type":6}"#),
        Ok(Answer::Emitted(json_of("null")))
    );
    let socket = Socket {
        id: "s".to_owned(),
        handshake: json_of("{}"),
        rooms: vec![],
        data: json_of("{}"),
    };
    assert_eq!(
        decode(r#"{"requestId":"i","sockets":[{"id":"s"}]}"#),
        Ok(Answer::Sockets(vec![socket]))
    );
}

#[test]
fn what_is_no_response_is_refused() {
    let refused = |bytes: &[u8], error| {
        let shown = bytes[..bytes.len().min(60)].escape_ascii();
        assert_eq!(Response::decode(bytes), Err(error), "{shown}");
    };
    for text in [
        r#"{}"#,
        r#"{"requestId":1}"#,
        r#"{"requestId":"i","sockets":{}}"#,
        r#"{"requestId":"i","sockets":[null]}"#,
        r#"{"requestId":"i","sockets":["a",{"id":"s"}]}"#,
        r#"{"requestId":"i","sockets":[{"id":1}]}"#,
        r#"{"requestId":"i","sockets":[{"id":"s","rooms":[null]}]}"#,
        r#"{"requestId":"i","sockets":[],"rooms":[]}"#,
        r#"{"requestId":"i","rooms":"r"}"#,
        r#"{"requestId":"i","type":8}"#,
        r#"{"requestId":"i","type":8,"clientCount":-1}"#,
    ] {
        refused(text.as_bytes(), AdapterError::Field);
    }
    refused(br#"{"requestId":"i","type":7}"#, AdapterError::Type);
    refused(br#"{"requestId":"i"}}"#, AdapterError::Malformed);
    let long = "a".repeat(ADAPTER_NAME_BYTES_MAX + 1);
    for text in [
        format!(r#"{{"requestId":"{long}"}}"#),
        format!(r#"{{"requestId":"i","rooms":["{long}"]}}"#),
        format!(r#"{{"requestId":"i","sockets":["{long}"]}}"#),
        format!(r#"{{"requestId":"i","sockets":[{{"id":"{long}"}}]}}"#),
    ] {
        refused(text.as_bytes(), AdapterError::Name);
    }
    for item in ["0", r#"{"id":"s"}"#] {
        let more = format!(",{item}").repeat(ADAPTER_LIST_MAX);
        let many = format!(r#"{{"requestId":"i","sockets":[{item}{more}]}}"#);
        refused(many.as_bytes(), AdapterError::TooMany);
    }
    let id: (&str, &[u8]) = ("requestId", b"\xa1i");
    refused(&map(&[id, ("type", &[9])]), AdapterError::Field);
    refused(
        &map(&[("type", &[9]), ("packet", &[1])]),
        AdapterError::Field,
    );
    refused(&map(&[id, ("packet", &[1])]), AdapterError::Field);
    refused(
        &map(&[id, ("type", &[8]), ("packet", &[1])]),
        AdapterError::Type,
    );
    refused(
        &[map(&[id, ("type", &[9]), ("packet", &[1])]), vec![1]].concat(),
        AdapterError::Malformed,
    );
    refused(&[0x90], AdapterError::Field);
}
