//! What nodes ask.

use super::*;

/// Each kind of request.
fn requests() -> Vec<Request<'static>> {
    let event = ServerEvent::new(r#"["connect",{"a":[1]}]"#).expect("an event");
    let flags = Flags {
        timeout_ms: Some(500),
        compress: Some(false),
        ..Flags::default()
    };
    let asks = [
        Ask::Sockets {
            rooms: names(&["a"]),
        },
        Ask::Rooms,
        Ask::Join {
            selection: selection(&["a"], &["b"]),
            rooms: names(&["c"]),
        },
        Ask::Leave {
            selection: selection(&[], &[]),
            rooms: names(&["c", "d"]),
        },
        Ask::Disconnect {
            selection: selection(&["a"], &[]),
            close: true,
        },
        Ask::Fetch(selection(&["a"], &["b"])),
        Ask::Emit { event },
        Ask::Broadcast {
            data: broadcast(selection(&[], &[]), flags).data,
            selection: selection(&["a", "b"], &[]),
            flags,
        },
    ];
    let request = |ask| Request {
        uid: Some("AbCdEf".to_owned()),
        id: Some("id".to_owned()),
        ask,
    };
    asks.map(request).into()
}

#[test]
fn requests_are_written_as_they_are_read() {
    for mut request in requests() {
        let bytes = request.encode(NAMESPACE);
        assert_eq!(Request::decode(&bytes), Ok(request.clone()));
        for end in 0..bytes.len() {
            assert!(Request::decode(&bytes[..end]).is_err(), "{end}");
        }
        request.uid = None;
        assert_eq!(
            Request::decode(&request.encode(NAMESPACE)),
            Ok(request.clone())
        );
        let needs_id = request.least_answer().is_some() && !matches!(request.ask, Ask::Emit { .. });
        request.id = None;
        let bytes = request.encode(NAMESPACE);
        let again = Request::decode(&bytes);
        assert_eq!(
            again,
            if needs_id {
                Err(AdapterError::Field)
            } else {
                Ok(request)
            }
        );
    }
}

#[test]
fn a_node_with_nothing_to_tell_says_so() {
    let least: Vec<Option<String>> = requests()
        .iter()
        .map(|request| {
            let response = request.least_answer()?;
            Some(String::from_utf8(response.encode()).expect("JSON"))
        })
        .collect();
    let expected = [
        Some(r#"{"requestId":"id","sockets":[]}"#),
        Some(r#"{"requestId":"id","rooms":[]}"#),
        None,
        None,
        None,
        Some(r#"{"requestId":"id","sockets":[]}"#),
        Some(r#"{"type":6,"requestId":"id","data":null}"#),
        Some(r#"{"type":8,"requestId":"id","clientCount":0}"#),
    ];
    assert_eq!(least, expected.map(|text| text.map(str::to_owned)));
    let mut emit = requests().remove(6);
    emit.id = None;
    assert_eq!(emit.least_answer(), None, "nobody waits");
}

#[test]
fn requests_of_older_nodes_are_about_one_socket() {
    let decode = |text: &'static str| Request::decode(text.as_bytes()).map(|request| request.ask);
    let selection = selection(&["s"], &[]);
    let rooms = names(&["7"]);
    assert_eq!(
        decode(r#"{"requestId":"i","type":2,"sid":"s","room":7}"#),
        Ok(Ask::Join {
            selection: selection.clone(),
            rooms: rooms.clone()
        })
    );
    assert_eq!(
        decode(r#"{"requestId":"i","type":3,"sid":"s","room":"7"}"#),
        Ok(Ask::Leave {
            selection: selection.clone(),
            rooms
        })
    );
    assert_eq!(
        decode(r#"{"requestId":"i","type":4,"sid":"s"}"#),
        Ok(Ask::Disconnect {
            selection,
            close: false
        })
    );
}

#[test]
fn what_is_no_request_is_refused() {
    let refused = |bytes: &[u8], error| {
        let shown = bytes[..bytes.len().min(60)].escape_ascii();
        assert_eq!(Request::decode(bytes), Err(error), "{shown}");
    };
    for text in [
        r#"{}"#,
        r#"{"type":"0"}"#,
        r#"{"type":-1}"#,
        r#"{"type":0.5}"#,
        r#"{"type":0}"#,
        r#"{"type":0,"requestId":7}"#,
        r#"{"type":0,"requestId":"i","rooms":"r"}"#,
        r#"{"type":0,"requestId":"i","rooms":[null]}"#,
        r#"{"type":0,"requestId":"i","rooms":[1.5]}"#,
        r#"{"type":0,"requestId":"i","rooms":[["r"]]}"#,
        r#"{"type":0,"type":0,"requestId":"i"}"#,
        r#"{"type":1}"#,
        r#"{"type":1,"uid":5,"requestId":"i"}"#,
        r#"{"type":2,"opts":{}}"#,
        r#"{"type":2,"opts":[],"rooms":["a"]}"#,
        r#"{"type":2,"opts":{"rooms":[{}]},"rooms":["a"]}"#,
        r#"{"type":2,"rooms":["a"]}"#,
        r#"{"type":2,"sid":"s"}"#,
        r#"{"type":3,"sid":{},"room":"r"}"#,
        r#"{"type":4}"#,
        r#"{"type":4,"opts":{},"close":1}"#,
        r#"{"type":5,"requestId":"i"}"#,
        r#"{"type":5,"opts":{}}"#,
        r#"{"type":6}"#,
        r#"{"type":6,"data":{"0":"a"}}"#,
        r#"{"type":6,"data":[]}"#,
        r#"{"type":6,"data":[1]}"#,
        r#"{"type":7,"requestId":"i","opts":{},"packet":{"type":2,"data":["e"]}}"#,
    ] {
        refused(text.as_bytes(), AdapterError::Field);
    }
    refused(br#"{"type":8,"requestId":"i"}"#, AdapterError::Type);
    refused(br#"{"type":1,"requestId":"i"} x"#, AdapterError::Malformed);
    refused(
        b"{\"type\":1,\"requestId\":\"\xff\"}",
        AdapterError::Malformed,
    );
    refused(br#"["#, AdapterError::Field);
    let deep = format!(r#"{{"type":6,"data":["a",{}"#, "[".repeat(100_000));
    refused(deep.as_bytes(), AdapterError::TooDeep);
    let long = "a".repeat(ADAPTER_NAME_BYTES_MAX + 1);
    for text in [
        format!(r#"{{"type":1,"requestId":"{long}"}}"#),
        format!(r#"{{"type":1,"requestId":"i","uid":"{long}"}}"#),
        format!(r#"{{"type":0,"requestId":"i","rooms":["{long}"]}}"#),
        format!(r#"{{"type":2,"sid":"{long}","room":"r"}}"#),
        format!(r#"{{"type":2,"sid":"s","room":"{long}"}}"#),
        format!(r#"{{"type":4,"opts":{{"except":["{long}"]}}}}"#),
    ] {
        refused(text.as_bytes(), AdapterError::Name);
    }
    let many = format!(
        r#"{{"type":5,"requestId":"i","opts":{{"rooms":[0{}]}}}}"#,
        ",0".repeat(ADAPTER_LIST_MAX)
    );
    refused(many.as_bytes(), AdapterError::TooMany);
}

#[test]
fn what_is_no_request_in_messagepack_is_refused() {
    let (packet, options) = (packet(), map(&[]));
    let fields: [(&str, &[u8]); 4] = [
        ("requestId", b"\xa1i"),
        ("type", &[7]),
        ("packet", &packet),
        ("opts", &options),
    ];
    let whole = map(&fields);
    assert!(Request::decode(&whole).is_ok());
    for missing in 0..fields.len() {
        let mut fields = fields.to_vec();
        fields.remove(missing);
        assert_eq!(
            Request::decode(&map(&fields)),
            Err(AdapterError::Field),
            "{missing}"
        );
    }
    let with = |key, value| {
        let mut fields = fields.to_vec();
        fields.push((key, value));
        Request::decode(&map(&fields)).map(|_| ())
    };
    assert_eq!(with("x", &[0x91, 0xc0]), Ok(()));
    assert_eq!(with("type", &[1]), Err(AdapterError::Type));
    assert_eq!(with("uid", &[1]), Err(AdapterError::Field));
    assert_eq!(with("requestId", &[0xc0]), Err(AdapterError::Field));
    assert_eq!(with("packet", &[0x80]), Err(AdapterError::Field));
    let followed = [whole, vec![0]].concat();
    assert_eq!(Request::decode(&followed), Err(AdapterError::Malformed));
}
