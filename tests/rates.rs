//! How fast a connection may send: who is faster waits, or is closed, and nobody else notices.

mod common;

use std::time::{Duration, Instant};

use common::DEADLINE;
use common::frame::{close, text};
use common::gateway::{self, Member, look};
use serde_json::json;

#[test]
fn who_is_throttled_loses_nothing_and_delays_nobody() {
    const MESSAGES: u64 = 60;
    let server = gateway::builder(2)
        .env("RATE_LIMIT_MESSAGES", 50)
        .env("RATE_LIMIT_BURST", "100ms")
        .start();
    let mut hasty = Member::of(&server, "hasty");
    let mut calm = Member::of(&server, "calm");
    let began = Instant::now();
    for number in 0..MESSAGES {
        hasty.send(&json!({"type": "chat", "targetUserId": "calm", "text": number.to_string()}));
    }
    calm.send(&json!({ "type": "ping" }));
    let mut numbers = 0..MESSAGES;
    let mut pong_before = None;
    while !numbers.is_empty() {
        let told = calm.read();
        if told["type"] == "pong" {
            pong_before = Some(numbers.start);
            continue;
        }
        let number = numbers.next().expect("not empty").to_string();
        assert_eq!(told["text"], number, "in order");
    }
    // A burst of 5, and 50 a second.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_000), "{took:?}");
    assert!(pong_before.is_some(), "who keeps to the rate had to wait");
    let (_, stats) = look(&mut server.connect(), "/api/stats/connections");
    assert!(
        stats["limitsReached"]["messageRate"].as_u64() > Some(0),
        "{stats}"
    );
    server.wait_for_log("a connection sent faster than it may", DEADLINE);
    let told = server.log().count("faster than it may");
    assert_eq!(told, 1, "once a while, not once a message");
}

#[test]
fn who_is_faster_is_closed_where_that_is_the_policy() {
    for path in ["/ws", "/"] {
        let server = gateway::builder(1)
            .env("RATE_LIMIT_MESSAGES", 10)
            .env("RATE_LIMIT_POLICY", "close")
            .start();
        let mut client = server.websocket(path);
        client.send_bytes(&text(r#"{"type":"ping"}"#).repeat(11));
        let answers = std::iter::repeat_with(|| client.read_frame()).take(10);
        assert!(answers.into_iter().all(|frame| frame.opcode == 1));
        let reason = client.expect_close(1008);
        assert_eq!(reason, "messages come faster than they may");
        let mut other = server.websocket(path);
        other.send_bytes(&close(1000, ""));
        other.expect_close(1000);
    }
}
