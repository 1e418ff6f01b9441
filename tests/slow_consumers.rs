//! Rooms whose messages are dropped for who reads too slowly: each is told how many it misses, and nobody else notices.

mod common;

use common::DEADLINE;
use common::client::Client;
use common::frame::{TEXT, frame};
use common::gateway::{self, Member, look};
use common::server::Server;
use serde_json::json;

const MESSAGES: u64 = 1_500;

/// A connection with small kernel buffers.
fn narrow(server: &Server, user: &str) -> Member {
    let mut client = Client::tcp_narrow(server.address());
    client.upgrade("/");
    let mut member = Member { client };
    let told = member.ask(&json!({ "type": "register", "userId": user }));
    assert_eq!(told["type"], "registered");
    member
}

fn publish(speaker: &mut Member, room: &str, number: u64) {
    let data = json!({ "number": number, "filler": "x".repeat(4_000) });
    speaker.send(&json!({ "type": "publish", "room": room, "event": "tick", "data": data }));
}

/// Reads up to the last message; gives how many came, and how many were missed. Whatever does not come is told as missed
/// where it would have come.
fn catch_up(member: &mut Member, room: &str) -> (u64, u64) {
    let (mut next, mut came, mut missed) = (0, 0, 0);
    while next < MESSAGES {
        let told = member.read();
        assert_eq!(told["room"], room);
        if told["type"] == "gap" {
            let gap = told["missed"].as_u64().expect("a number");
            next += gap;
            missed += gap;
        } else {
            assert_eq!(told["data"]["number"], next, "a loss in silence");
            next += 1;
            came += 1;
        }
    }
    member.expect_silence();
    (came, missed)
}

#[test]
fn nothing_is_lost_in_silence_and_the_connection_stays() {
    let server = gateway::builder(2)
        .env("SEND_QUEUE_SOFT", "256KiB")
        .env("SEND_QUEUE_SOFT_FOR", "0s")
        .env("ROOM_POLICIES", "ticker.*=latest,news=drop-oldest")
        .start();
    for (room, kept_least) in [("ticker.gold", 1), ("news", 128 / 5)] {
        let mut speaker = Member::of(&server, "speaker");
        let mut stalled: Vec<_> = (0..2).map(|_| narrow(&server, "stalled")).collect();
        let mut reader = Member::of(&server, "reader");
        for member in stalled.iter_mut().chain([&mut speaker, &mut reader]) {
            member.join(room);
        }
        for number in 0..MESSAGES {
            publish(&mut speaker, room, number);
            let told = reader.read();
            assert_eq!(told["data"]["number"], number, "who reads misses nothing");
        }
        for member in &mut stalled {
            let (came, missed) = catch_up(member, room);
            assert_eq!(came + missed, MESSAGES);
            assert!(
                missed > 0 && came > kept_least,
                "{room}: {came} came, {missed} missed"
            );
        }
    }
    let (_, stats) = look(&mut server.connect(), "/api/stats/connections");
    let limits = &stats["limitsReached"];
    assert!(limits["roomMessagesDropped"].as_u64() > Some(0), "{limits}");
    assert_eq!(limits["sendQueue"], 0, "{limits}");
}

#[test]
fn all_send_queues_together_have_a_limit() {
    let server = Server::builder()
        .env("SEND_QUEUE_TOTAL", "1MiB")
        .env("SEND_QUEUE_SOFT", "8MiB")
        .start();
    let mut sender = server.websocket("/broadcast");
    let mut reader = server.websocket("/broadcast");
    let stalled: Vec<_> = (0..3)
        .map(|_| {
            let mut client = Client::tcp_narrow(server.address());
            client.upgrade("/broadcast");
            client
        })
        .collect();
    let descriptors = server.descriptors();
    let message = vec![b'x'; 32 * 1024];
    let mut sent = 0;
    while server.log().count("the send queues of the server are full") < stalled.len() {
        sender.send_bytes(&frame(true, TEXT, &message));
        sender.expect_frame(TEXT, &message);
        reader.expect_frame(TEXT, &message);
        sent += 1;
        assert!(sent < 1_000, "never dropped");
    }
    assert!(sent > 32, "dropped after {sent}");
    server.wait_descriptors(descriptors - stalled.len(), DEADLINE);
    let line = server.wait_for_log("read too slowly and was dropped", DEADLINE);
    assert!(line.contains("times=1 "), "{line}");
}
