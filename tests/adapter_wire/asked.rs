//! What Node's servers ask, and what becomes of our answers.

use super::*;

/// The time-outs of Node are longer than any deadline here: it must not come to them.
#[test]
fn node_gets_its_answers_at_once() {
    let redis = Redis::start();
    let (mut peer, sid) = start_servers(&redis);
    let mut node = Node::start(&redis, KEY, "/");
    wait_nodes(&redis, &node.channels, 2);
    let mut ask = |line: &str, answer: Answer<'_>, expected: Ask<'_>, result: Tree| {
        let position = peer.output().position();
        peer.type_line(line);
        node.answer(|request| {
            assert_eq!(request.ask, expected, "{line}");
            answer
        });
        assert_eq!(
            fact_after(&peer, position, "answer")["answer"],
            result,
            "{line}"
        );
        // And a node with nothing to tell.
        let position = peer.output().position();
        peer.type_line(line);
        node.answer(|request| request.least_answer().expect("an answer").answer);
        fact_after(&peer, position, "answer")["answer"].take()
    };

    let least = ask(
        "rooms",
        Answer::Rooms(names(&["ours"])),
        Ask::Rooms,
        json!([sid, "harbour", "ours"]),
    );
    assert_eq!(least, json!([sid, "harbour"]));
    let json_of = |text| Json::new(text).expect("JSON");
    let socket = Socket {
        id: "ours".to_owned(),
        handshake: json_of(r#"{"auth":{"token":"U"}}"#),
        rooms: names(&["ours", "harbour"]),
        data: json_of(r#"{"name":"Grace"}"#),
    };
    let theirs = json!({"id": sid, "auth": {"token": "T"}, "rooms": [sid, "harbour"], "data": {"name": "Ada"}});
    let ours = json!({"id": "ours", "auth": {"token": "U"}, "rooms": ["ours", "harbour"], "data": {"name": "Grace"}});
    let least = ask(
        "fetch",
        Answer::Sockets(vec![socket]),
        Ask::Fetch(selection(&["harbour"], &["x"])),
        json!([theirs, ours]),
    );
    assert_eq!(least, json!([theirs]));
    let event = ServerEvent::new(r#"["hello",{"a":1}]"#).expect("an event");
    let least = ask(
        "emit to servers",
        Answer::Emitted(json_of("[1,null]")),
        Ask::Emit { event },
        json!([[1, null]]),
    );
    assert_eq!(least, json!([null]));
    node_hears_our_clients(&mut peer, &mut node);
}

fn node_hears_our_clients(peer: &mut Peer, node: &mut Node) {
    let theirs = |bytes: &[u8]| json!({"type": "Buffer", "data": bytes});
    let theirs = json!({"heard": theirs(&[1]), "bytes": theirs(&[7, 8])});
    for clients in [2, 0] {
        let position = peer.output().position();
        peer.type_line("broadcast with ack");
        let told = node.hear();
        let request = told.request(&node.channels);
        let Ask::Broadcast {
            data,
            selection,
            flags,
        } = &request.ask
        else {
            panic!("no broadcast: {request:?}");
        };
        assert_eq!(data.event().name, "question");
        assert_eq!(data.attachments(), [[1]]);
        assert_eq!(selection, &rooms(&["harbour"]));
        assert_eq!(flags.timeout_ms, Some(120_000));
        let id = request.id.expect("answers are wanted");
        node.respond(&Response {
            id: id.clone(),
            answer: Answer::ClientCount(clients),
        });
        for client in 0..clients {
            let args = format!(r#"[{client},{{"_placeholder":true,"num":0}}],2"#);
            let bytes = [client as u8];
            let value = Value::first_of(&args, vec![&bytes]).expect("a value");
            node.respond(&Response {
                id: id.clone(),
                answer: Answer::ClientAck(value),
            });
        }
        let mut result = fact_after(peer, position, "answer")["answer"].take();
        let result = result.as_array_mut().expect("a list");
        // Who answers first is not said.
        result.sort_by_key(Tree::is_object);
        let ours = (0..clients).map(|client| json!([client, {"type": "Buffer", "data": [client]}]));
        let expected: Vec<Tree> = ours.chain([theirs.clone()]).collect();
        assert_eq!(result, &expected);
        for _ in 0..=clients {
            node.hear().response(&node.channels);
        }
    }
}
