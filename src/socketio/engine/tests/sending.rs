//! Messages both ways, the queue, and the heartbeat.

use super::*;
use crate::limits::{ENGINE_EMPTY_PACKETS_MAX, ENGINE_PAYLOAD_PACKETS_MAX};

#[test]
fn what_waits_is_fetched_once_and_in_order() {
    let mut session = polling();
    session.send_text(b"a", &CONFIG).expect("sent");
    session.send_binary(&[1, 2], &CONFIG).expect("sent");
    session.send_text(b"", &CONFIG).expect("sent");
    assert_eq!(outputs(&mut session), []);
    assert_eq!(session.websocket(), None);
    poll(&mut session, NOW).expect("it waits");
    assert_eq!(body(&mut session), "4a\x1ebAQI=\x1e4");
    poll(&mut session, NOW).expect("it waits");
    assert_eq!(outputs(&mut session), [], "nothing is fetched twice");
    session.send_text(b"b", &CONFIG).expect("sent");
    assert_eq!(body(&mut session), "4b");
}

#[test]
fn an_answer_has_no_more_packets_than_every_client_takes() {
    let mut session = polling();
    for number in 0..20 {
        let text = number.to_string();
        session.send_text(text.as_bytes(), &CONFIG).expect("sent");
    }
    session.send_binary(&[1], &CONFIG).expect("sent");
    poll(&mut session, NOW).expect("it waits");
    let first = body(&mut session);
    assert_eq!(first.split('\x1e').count(), ENGINE_PAYLOAD_PACKETS_MAX);
    poll(&mut session, NOW).expect("it waits");
    assert_eq!(body(&mut session), "416\x1e417\x1e418\x1e419\x1ebAQ==");
    assert_eq!(session.queue.capacity(), 0);
    for _ in 0..20 {
        session.send_text(b"", &CONFIG).expect("sent");
    }
    poll(&mut session, NOW).expect("it waits");
    session.fail();
    let end = outputs(&mut session);
    let [Output::Poll(last), Output::Ended(End::Parse)] = &end[..] else {
        panic!("{end:?}");
    };
    let packets = last.split(|&byte| byte == 0x1e).count();
    assert_eq!(packets, 21, "the last answer has all, and the close");
}

#[test]
fn a_post_of_packets_without_messages_is_looked_at_only_so_far() {
    let mut session = polling();
    let noops = vec!["6"; ENGINE_EMPTY_PACKETS_MAX - 1].join("\x1e");
    let config = Config {
        payload_bytes_max: 10_000,
        ..CONFIG
    };
    for (body, result) in [
        (format!("{noops}\x1e4a\x1e{noops}"), Ok(None)),
        (format!("{noops}\x1e6"), Err(Refusal::BadRequest)),
    ] {
        session.begin_post(false, NOW, &config).expect("begun");
        let mut packets = Packets::new(body.as_bytes(), 10_000).expect("a payload");
        let mut next = session.receive_post(&mut packets, NOW, &config);
        while let Ok(Some(_)) = next {
            next = session.receive_post(&mut packets, NOW, &config);
        }
        assert_eq!(next, result);
    }
    assert_eq!(session.end(), Some(End::Protocol));
}

#[test]
fn a_websocket_sends_at_once() {
    let (mut session, id) = direct();
    assert_eq!(session.websocket(), Some(id));
    session.send_text(b"a", &CONFIG).expect("sent");
    session.send_binary(&[1, 2], &CONFIG).expect("sent");
    assert_eq!(session.websocket(), None, "what waits goes first");
    assert_eq!(sent(&mut session, id), ["4a", "[1, 2]"]);
    assert_eq!(session.websocket(), Some(id));
    session
        .send_text(b"with \x1e inside", &CONFIG)
        .expect("sent");
    assert_eq!(sent(&mut session, id), ["4with \x1e inside"]);
}

#[test]
fn a_separator_in_a_text_is_refused_while_polling() {
    let mut session = polling();
    let refused = session.send_text(b"a\x1eb", &CONFIG);
    assert_eq!(refused, Err(SendError::Separator));
    session.send_binary(b"a\x1eb", &CONFIG).expect("sent");
}

#[test]
fn a_queue_that_nobody_fetches_has_a_limit() {
    let mut session = polling();
    let mut count = 0;
    let refused = loop {
        if let Err(refused) = session.send_binary(&[0; 100], &CONFIG) {
            break refused;
        }
        count += 1;
        assert!(session.queue.bytes() <= CONFIG.queue_bytes_max + 20);
    };
    assert_eq!(refused, SendError::QueueFull);
    assert_eq!(count, 9, "100 bytes each, and what the queue adds");
    assert_eq!(outputs(&mut session), [Output::Ended(End::QueueFull)]);
    assert_eq!(poll(&mut session, NOW), Err(Refusal::UnknownSession));
    assert_eq!(session.send_text(b"a", &CONFIG), Err(SendError::Closed));
}

#[test]
fn a_message_for_a_request_that_waits_may_be_larger_than_the_queue() {
    let mut session = polling();
    poll(&mut session, NOW).expect("it waits");
    session.send_text(&[b'a'; 5_000], &CONFIG).expect("sent");
    assert_eq!(body(&mut session).len(), 5_001);
}

#[test]
fn a_post_brings_messages_one_by_one() {
    let mut session = polling();
    let (messages, end) = post(&mut session, "4a\x1ebAQI=\x1e6\x1e4b", NOW);
    assert_eq!(end, Ok(()));
    assert_eq!(messages, ["a", "[1, 2]", "b"]);
    assert_eq!(outputs(&mut session), []);
}

#[test]
fn a_post_at_the_same_time_is_refused_and_ends_the_session() {
    let mut session = polling();
    poll(&mut session, NOW).expect("it waits");
    session.begin_post(false, NOW, &CONFIG).expect("begun");
    assert_eq!(
        session.begin_post(false, NOW, &CONFIG),
        Err(Refusal::BadRequest)
    );
    assert_eq!(
        outputs(&mut session),
        [Output::Poll(b"1".to_vec()), Output::Ended(End::Protocol)]
    );
    // The first one finds its session gone.
    let mut packets = Packets::new(b"4a", 10).expect("a payload");
    let refused = session.receive_post(&mut packets, NOW, &CONFIG);
    assert_eq!(refused, Err(Refusal::BadRequest));
}

#[test]
fn a_post_that_is_no_text_ends_the_session() {
    let mut session = polling();
    assert_eq!(
        session.begin_post(true, NOW, &CONFIG),
        Err(Refusal::BadRequest)
    );
    assert_eq!(outputs(&mut session), [Output::Ended(End::Protocol)]);
    let mut session = polling();
    session.begin_post(false, NOW, &CONFIG).expect("begun");
    session.handle_bad_post();
    assert_eq!(outputs(&mut session), [Output::Ended(End::Parse)]);
}

#[test]
fn a_post_that_is_too_large_leaves_the_session_alone() {
    let mut session = polling();
    session.begin_post(false, NOW, &CONFIG).expect("begun");
    session.refuse_post();
    assert_eq!(outputs(&mut session), []);
    assert_eq!(post(&mut session, "4a", NOW).1, Ok(()));
}

#[test]
fn a_message_on_a_websocket_has_a_limit() {
    let (mut session, id) = direct();
    let longest = vec![0; CONFIG.payload_bytes_max];
    let frame = Incoming::Binary(&longest);
    let message = session.receive_websocket(id, frame, NOW, &CONFIG);
    assert!(message.is_some());
    let longer = "4".repeat(CONFIG.payload_bytes_max + 1);
    assert_eq!(say(&mut session, id, &longer, NOW), None);
    assert_eq!(
        outputs(&mut session),
        [Output::Close(id), Output::Ended(End::TooLarge)]
    );
}

#[test]
fn packets_that_only_servers_send_change_nothing() {
    let (mut session, id) = direct();
    for text in ["0{}", "5", "6", "6probe"] {
        assert_eq!(say(&mut session, id, text, NOW), None);
        assert_eq!(outputs(&mut session), []);
    }
    assert_eq!(say(&mut session, id, "4a", NOW).as_deref(), Some("a"));
}

#[test]
fn a_ping_of_the_client_ends_the_session() {
    let (mut session, id) = direct();
    say(&mut session, id, "2", NOW);
    assert_eq!(
        outputs(&mut session),
        [Output::Close(id), Output::Ended(End::Protocol)]
    );
    let mut session = polling();
    assert_eq!(
        post(&mut session, "2\x1e4a", NOW),
        (vec![], Err(Refusal::BadRequest))
    );
    assert_eq!(outputs(&mut session), [Output::Ended(End::Protocol)]);
}

#[test]
fn pings_follow_the_schedule_however_late_anybody_calls() {
    let (mut session, id) = direct();
    assert_eq!(session.next_deadline(), Some(NOW.after(300)));
    session.handle_timeout(NOW.after(299), &CONFIG);
    assert_eq!(outputs(&mut session), []);
    // 40 ms late: the pong is due as if it had been punctual.
    session.handle_timeout(NOW.after(340), &CONFIG);
    assert_eq!(sent(&mut session, id), ["2"]);
    assert_eq!(session.next_deadline(), Some(NOW.after(500)));
    session.handle_timeout(NOW.after(499), &CONFIG);
    assert_eq!(outputs(&mut session), [], "one ping");
    say(&mut session, id, "3", NOW.after(499));
    assert_eq!(session.next_deadline(), Some(NOW.after(799)));
    session.handle_timeout(NOW.after(799), &CONFIG);
    assert_eq!(sent(&mut session, id), ["2"]);
    say(&mut session, id, "3", NOW.after(999));
    assert_eq!(
        outputs(&mut session),
        [Output::Close(id), Output::Ended(End::PingTimeout)],
        "at the very moment it is too late"
    );
}

#[test]
fn a_ping_waits_for_a_request_but_its_time_does_not() {
    let mut session = polling();
    session.handle_timeout(NOW.after(300), &CONFIG);
    assert_eq!(outputs(&mut session), []);
    poll(&mut session, NOW.after(450)).expect("it waits");
    assert_eq!(body(&mut session), "2");
    poll(&mut session, NOW.after(460)).expect("it waits");
    session.handle_timeout(NOW.after(500), &CONFIG);
    assert_eq!(
        outputs(&mut session),
        [Output::Poll(b"1".to_vec()), Output::Ended(End::PingTimeout)]
    );
    assert_eq!(session.next_deadline(), None);
}
