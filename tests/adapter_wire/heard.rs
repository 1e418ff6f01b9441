//! What Node's servers and the emitter publish of themselves.

use super::*;

/// What the emitter publishes in `/`, in the order in which it does, and then in the other namespace.
#[test]
fn what_the_emitter_says_is_understood() {
    let redis = Redis::start();
    let mut node = Node::start(&redis, KEY, "/");
    let mut elsewhere = Node::start(&redis, KEY, "/custom");
    let mut peer = start_peer(&redis);
    peer.type_line("emit");

    let channels = node.channels.clone();
    let told = node.hear();
    let (plain, room) = told.broadcast(&channels);
    assert_eq!(
        (&*plain.uid, &*plain.namespace, room),
        ("emitter", "/", None)
    );
    assert_eq!(plain.data.event().data, r#"["plain"]"#);
    assert_eq!(
        (plain.selection, plain.flags),
        (rooms(&[]), Flags::default())
    );

    let told = node.hear();
    let (values, _) = told.broadcast(&channels);
    check_values(values.data.event().args);

    check_addresses(&mut node);
    check_binary(&node.hear(), &channels);
    check_requests(&mut node, &mut elsewhere);

    let too_many = node.hear();
    assert_eq!(
        Broadcast::decode(&too_many.bytes),
        Err(AdapterError::TooManyAttachments)
    );
    assert_eq!(
        node.hear().broadcast(&channels).0.data.event().name,
        "the end"
    );
}

/// Whom each event is for, on which channel, and how.
fn check_addresses(node: &mut Node) {
    let channels = node.channels.clone();
    let plain = Flags::default();
    let flags = |volatile, compress| Flags {
        volatile,
        compress: Some(compress),
        ..Flags::default()
    };
    let to_rooms = selection(&["a", "b", "c"], &["d", "e", "f"]);
    let harbour = Some("harbour");
    for (data, selection, room, flags) in [
        (r#"["to a room",1]"#, rooms(&["harbour"]), harbour, plain),
        (r#"["to rooms"]"#, to_rooms, None, plain),
        (r#"["to a number"]"#, rooms(&["5"]), Some("5"), plain),
        (r#"["but not to"]"#, selection(&[], &["x#y"]), None, plain),
        (r#"["flags"]"#, rooms(&[]), None, flags(true, false)),
        (r#"["more flags"]"#, rooms(&[]), None, flags(false, true)),
    ] {
        let told = node.hear();
        let (broadcast, channel) = told.broadcast(&channels);
        assert_eq!(broadcast.data.event().data, data);
        assert_eq!(channel.as_deref(), room, "{data}");
        assert_eq!(channels.of(&selection).as_bytes(), told.channel, "{data}");
        assert_eq!(broadcast.selection, selection, "{data}");
        assert_eq!(broadcast.flags, flags, "{data}");
    }
}

/// What JavaScript itself would have made JSON of.
fn check_values(args: &str) {
    let tree: Tree = serde_json::from_str(&format!("[{args}]")).expect("JSON");
    let wide = (0..20).map(|index| (format!("k{index}"), json!(index)));
    assert_eq!(
        tree,
        json!([
            {
                "text": "Flut 🌊 \"x\"\n",
                "long": "ä".repeat(200),
                "numbers": [
                    0, 127, 128, 65_536, 4_294_967_296_u64, 9_007_199_254_740_991_u64, -1, -32, -33, -129, -32_769,
                    -2_147_483_649_i64, -9_007_199_254_740_991_i64, 1.5, -0.25
                ],
                "others": [true, false, null, null, null],
                "nested": [[{}, []]],
                "key \"q\"": 1,
                "at": "2026-11-21T22:50:00.007Z",
                "second": "1970-01-01T00:00:01.000Z",
                "before": "1969-12-31T23:59:59.999Z",
            },
            Tree::Object(wide.collect()),
            (0..17).collect::<Vec<_>>(),
        ])
    );
}

fn check_binary(told: &Message, channels: &Channels) {
    let (binary, _) = told.broadcast(channels);
    let event = binary.data.event();
    assert_eq!(event.attachments, Some(3));
    let args: Tree = serde_json::from_str(&format!("[{}]", event.args)).expect("JSON");
    let [first, second, third] = [0, 1, 2].map(|num| json!({"_placeholder": true, "num": num}));
    assert_eq!(args, json!([first, {"deep": [second, third]}]));
    let long = [5; 300];
    assert_eq!(binary.data.attachments(), [&[1, 2, 3][..], &[4], &long]);
}

fn check_requests(node: &mut Node, elsewhere: &mut Node) {
    let leave = Ask::Leave {
        selection: rooms(&["5"]),
        rooms: vec!["r1".to_owned()],
    };
    let [stay, go] = [(rooms(&[]), false), (rooms(&["harbour"]), true)]
        .map(|(selection, close)| Ask::Disconnect { selection, close });
    let expected = [
        join(rooms(&[]), &["r1"]),
        join(selection(&["harbour"], &["x"]), &["r1", "r2"]),
        leave,
        stay,
        go,
    ];
    for ask in expected {
        let told = node.hear();
        let request = told.request(&node.channels);
        assert_eq!(
            request,
            Request {
                uid: None,
                id: None,
                ask
            }
        );
        assert_eq!(request.least_answer(), None);
    }
    let told = elsewhere.hear();
    let (broadcast, room) = told.broadcast(&elsewhere.channels);
    assert_eq!(broadcast.namespace, "/custom");
    assert_eq!(room.as_deref(), Some("harbour"));
    let told = elsewhere.hear();
    let event = ServerEvent::new(r#"["hello",1,{"a":[null]}]"#).expect("an event");
    let request = told.request(&elsewhere.channels);
    assert_eq!(
        (request.uid.as_deref(), request.id),
        (Some("emitter"), None)
    );
    assert_eq!(request.ask, Ask::Emit { event });
}

#[test]
fn what_a_server_says_of_itself_is_understood() {
    let redis = Redis::start();
    let (mut peer, sid) = start_servers(&redis);
    let mut node = Node::start(&redis, KEY, "/");
    let channels = node.channels.clone();
    wait_nodes(&redis, &channels, 2);
    peer.type_line("broadcast");

    let told = node.hear();
    let (to_all, room) = told.broadcast(&channels);
    let uid = to_all.uid.clone();
    assert_eq!((uid.len(), room), (6, None), "{uid}");
    assert_eq!(to_all.data.event().args, r#"{"_placeholder":true,"num":0}"#);
    assert_eq!(to_all.data.attachments(), [[9]]);
    let told = node.hear();
    let (to_rooms, _) = told.broadcast(&channels);
    assert_eq!(to_rooms.uid, uid);
    assert_eq!(to_rooms.selection, selection(&["a", "b"], &["c"]));
    assert!(to_rooms.flags.volatile);
    let told = node.hear();
    let (to_others, room) = told.broadcast(&channels);
    assert_eq!(room.as_deref(), Some("harbour"));
    assert_eq!(to_others.selection, selection(&["harbour"], &[&sid]));

    let close = false;
    let selection = rooms(&["r1"]);
    let event = ServerEvent::new(r#"["hello",1]"#).expect("an event");
    for ask in [
        join(rooms(&[]), &["r1"]),
        Ask::Disconnect { selection, close },
        Ask::Emit { event },
    ] {
        let told = node.hear();
        let request = told.request(&channels);
        assert_eq!(request.uid.as_deref(), Some(&*uid));
        assert_eq!((request.id, request.ask), (None, ask));
    }
}
