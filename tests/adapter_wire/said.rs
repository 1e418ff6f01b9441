//! What Node's clients get, and what its servers do and answer, where we say something.

use super::*;

#[test]
fn clients_of_node_get_what_we_say() {
    let redis = Redis::start();
    let (peer, sid) = start_servers(&redis);
    let mut node = Node::start(&redis, KEY, "/");
    wait_nodes(&redis, &node.channels, 2);
    wait_nodes(&redis, &Channels::new(KEY, "/custom", UID), 1);

    let values = r#"["values", "Flut 🌊 \"x\"\n", [0,255,-1,-200,9007199254740991,1.5,1e3], {"a":{"b":[[],{}]},"\u00e4":null}, true, false]"#;
    let binary = r#"["binary",{"num":1,"_placeholder":true},[{"_placeholder":true,"num":0}]]"#;
    let long = [5_u8; 300];
    let position = peer.output().position();
    node.broadcast("/", values, vec![], rooms(&[]));
    node.broadcast("/", r#"["not to us"]"#, vec![], rooms(&["elsewhere"]));
    node.broadcast(
        "/",
        r#"["not to us"]"#,
        vec![],
        selection(&["harbour"], &[&sid]),
    );
    node.broadcast("/", r#"["half","a\ud800"]"#, vec![], rooms(&["harbour"]));
    node.broadcast("/", binary, vec![&[1, 2], &long], rooms(&["x", "harbour"]));
    node.broadcast(
        "/",
        r#"["looks","like",{"_placeholder":true,"num":0}]"#,
        vec![],
        rooms(&[&sid]),
    );
    node.broadcast("/custom", r#"["elsewhere"]"#, vec![], rooms(&[]));

    let buffer = |bytes: &[u8]| json!({"type": "Buffer", "data": bytes});
    let numbers = json!([0, 255, -1, -200, 9_007_199_254_740_991_u64, 1.5, 1_000]);
    let tree = json!({"a": {"b": [[], {}]}, "ä": null});
    let expected = [
        (
            "/",
            json!(["values", "Flut 🌊 \"x\"\n", numbers, tree, true, false]),
        ),
        ("/", json!(["half", "a\u{fffd}"])),
        ("/", json!(["binary", buffer(&long), [buffer(&[1, 2])]])),
        (
            "/",
            json!(["looks", "like", {"_placeholder": true, "num": 0}]),
        ),
    ];
    let mut next = position;
    for (namespace, event) in expected {
        let begins = format!("{{\"heard\":\"{namespace}\"");
        let (behind, line) = peer.wait_after(next, DEADLINE, |line| line.starts_with(&begins));
        next = behind;
        let heard: Tree = serde_json::from_str(&line).expect("JSON");
        assert_eq!(heard["event"], event);
    }
    // Namespaces are at channels of their own, and come in any order.
    let heard = r#"{"heard":"/custom","event":["elsewhere"]}"#;
    peer.wait_after(position, DEADLINE, |line| line == heard);
}

#[test]
fn node_answers_what_we_ask_and_does_what_we_say() {
    let redis = Redis::start();
    let (mut peer, sid) = start_servers(&redis);
    let mut node = Node::start(&redis, KEY, "/");
    let channels = node.channels.clone();
    wait_nodes(&redis, &channels, 2);

    let said = node.ask(None, join(selection(&[&sid], &["r9"]), &["r1", "r2"]));
    assert_eq!(node.hear().bytes, said);
    let leave = Ask::Leave {
        selection: rooms(&[]),
        rooms: names(&["r1"]),
    };
    let said = node.ask(None, leave);
    assert_eq!(node.hear().bytes, said);
    let said = node.ask(
        Some("s"),
        Ask::Sockets {
            rooms: names(&["harbour", "r1"]),
        },
    );
    let told = node.hear_others(&said);
    let expected = Response {
        id: "s".to_owned(),
        answer: Answer::Names(names(&[&sid])),
    };
    assert_eq!(told.response(&channels), expected);
    let told = step(&mut peer, "tell rooms", "rooms");
    assert_eq!(told["rooms"], json!([sid, "harbour", "r2"]));

    let said = node.ask(Some("r"), Ask::Rooms);
    let told = node.hear_others(&said);
    let answer = Answer::Rooms(names(&[&sid, "harbour", "r2"]));
    assert_eq!(told.response(&channels).answer, answer);
    for room in ["harbour", "nowhere"] {
        let said = node.ask(Some("f"), Ask::Fetch(rooms(&[room])));
        let told = node.hear_others(&said);
        match told.response(&channels).answer {
            Answer::Sockets(sockets) => check_socket(&sockets, &sid),
            answer => assert_eq!((room, answer), ("nowhere", Answer::Names(vec![]))),
        }
    }
    check_acks(&mut node, &mut peer);

    let selection = rooms(&["r2"]);
    let said = node.ask(
        None,
        Ask::Disconnect {
            selection,
            close: true,
        },
    );
    assert_eq!(node.hear().bytes, said);
    peer.wait_for(r#""left":"/""#);
    peer.wait_for(r#""left":"/custom""#);
}

fn check_socket(sockets: &[Socket<'_>], sid: &str) {
    let [socket] = sockets else {
        panic!("one socket: {sockets:?}");
    };
    assert_eq!(socket.id, sid);
    assert_eq!(socket.rooms, [sid, "harbour", "r2"]);
    assert_eq!(socket.data.text(), r#"{"name":"Ada"}"#);
    let handshake: Tree = serde_json::from_str(socket.handshake.text()).expect("JSON");
    assert_eq!(handshake["auth"], json!({"token": "T"}));
    let mut fields: Vec<&str> = handshake
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    let expected = [
        "address", "auth", "headers", "issued", "query", "secure", "time", "url", "xdomain",
    ];
    assert_eq!(fields, expected);
}

/// Events that are to be answered: by a client of Node, and by its server.
fn check_acks(node: &mut Node, peer: &mut Peer) {
    let channels = node.channels.clone();
    let data = EventData::new(r#"["question",{"_placeholder":true,"num":0}]"#, vec![&[1]]);
    let flags = Flags {
        timeout_ms: Some(60_000),
        ..Flags::default()
    };
    let ask = Ask::Broadcast {
        data: data.expect("an event"),
        selection: rooms(&["harbour"]),
        flags,
    };
    let said = node.ask(Some("b"), ask);
    let told = node.hear_others(&said);
    assert_eq!(told.response(&channels).answer, Answer::ClientCount(1));
    let told = node.hear();
    let answer = r#"{"heard":{"_placeholder":true,"num":0},"bytes":{"_placeholder":true,"num":1}}"#;
    let answer = Value::new(answer, vec![&[1], &[7, 8]]).expect("a value");
    assert_eq!(told.response(&channels).answer, Answer::ClientAck(answer));

    step(peer, "answer emitted events", "answers");
    let event = ServerEvent::new(r#"["add",2,3]"#).expect("an event");
    let said = node.ask(Some("e"), Ask::Emit { event });
    let told = node.hear_others(&said);
    let five = Json::new("5").expect("a number");
    assert_eq!(told.response(&channels).answer, Answer::Emitted(five));
}

#[test]
fn a_node_that_answers_to_its_asker_alone_is_heard() {
    let redis = Redis::start();
    let (mut peer, _) = start_servers(&redis);
    step(&mut peer, "start another", "started");
    let mut node = Node::start(&redis, "other", "/");
    let channels = node.channels.clone();
    wait_nodes(&redis, &channels, 2);
    let said = node.ask(Some("r"), Ask::Rooms);
    let told = node.hear_others(&said);
    assert_eq!(told.channel, channels.own_responses().as_bytes());
    assert_eq!(told.response(&channels).answer, Answer::Rooms(vec![]));
}
