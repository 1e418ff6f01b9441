use super::*;

fn send(peer: &mut Peer, kind: MessageKind, payload: &[u8]) -> Vec<u8> {
    let mut out = b"kept".to_vec();
    peer.protocol
        .send_message(kind, payload, &mut peer.codec, &mut out);
    assert_eq!(out[..4], *b"kept");
    out.split_off(4)
}

#[test]
fn a_server_sends_unmasked_frames_with_the_shortest_length() {
    for len in [0, 1, 125, 126, 65535, 65536] {
        let payload = vec![b'x'; len];
        let mut peer = Peer::server();
        assert_eq!(
            send(&mut peer, MessageKind::Text, &payload),
            plain(0x81, &payload)
        );
        assert_eq!(
            send(&mut peer, MessageKind::Binary, &payload),
            plain(0x82, &payload)
        );
        let mut buffer = vec![b'x'; 14 + len];
        let front = peer
            .protocol
            .put_header(MessageKind::Text, &mut buffer, 14, len);
        assert_eq!(plain(0x81, &payload), buffer[front..]);
    }
}

#[test]
fn a_client_masks_each_frame_with_a_key_of_its_own() {
    let mut client = Peer::client();
    let mut server = Peer::server();
    let mut keys = Vec::new();
    for len in [0, 1, 125, 126, 65535, 65536] {
        let payload = vec![b'x'; len];
        let bytes = send(&mut client, MessageKind::Text, &payload);
        assert_eq!(bytes[1] & 0x80, 0x80);
        let start = bytes.len() - len;
        keys.push(bytes[start - 4..start].to_vec());
        server.feed(&bytes);
        assert_eq!(
            server.take(),
            [text(std::str::from_utf8(&payload).expect("text"))]
        );
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 6);
}

#[test]
fn mask_keys_follow_from_the_seed() {
    let first = |seed| {
        let mut codec = Codec::with_mask_seed(CONFIG, [seed; 32]);
        let mut out = Vec::new();
        Protocol::new(Role::Client, None).send_ping(b"", &mut codec, &mut out);
        out
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}

#[test]
#[should_panic(expected = "mask seed")]
fn a_client_without_a_mask_seed_is_a_mistake_of_the_program() {
    let mut codec = Codec::new(CONFIG);
    Protocol::new(Role::Client, None).send_ping(b"", &mut codec, &mut Vec::new());
}

#[test]
fn pings_and_pongs() {
    let mut peer = Peer::new(Role::Server, Some(TAKEOVER));
    let mut out = Vec::new();
    peer.protocol
        .send_ping(&[b'x'; 125], &mut peer.codec, &mut out);
    peer.protocol.send_pong(b"", &mut peer.codec, &mut out);
    let wanted = [plain(0x89, &[b'x'; 125]), plain(0x8a, b"")].concat();
    assert_eq!(out, wanted, "control frames are never compressed");
}
