//! The change from long-polling to a WebSocket, and what may come between.

use super::*;

/// A session and the WebSocket that has probed.
fn probed() -> (Session, WebSocketId) {
    let mut session = polling();
    let id = session.handle_websocket(NOW, &CONFIG).expect("accepted");
    assert_eq!(outputs(&mut session), []);
    say(&mut session, id, "2probe", NOW);
    assert_eq!(sent(&mut session, id), ["3probe"]);
    (session, id)
}

#[test]
fn what_waits_goes_over_the_websocket_once_and_in_order() {
    let (mut session, id) = probed();
    session.send_text(b"a", &CONFIG).expect("sent");
    session.send_binary(&[1], &CONFIG).expect("sent");
    assert_eq!(session.websocket(), None);
    assert_eq!(
        outputs(&mut session),
        [],
        "it still belongs to long-polling"
    );
    say(&mut session, id, "5", NOW);
    session.send_text(b"b", &CONFIG).expect("sent");
    assert_eq!(sent(&mut session, id), ["4a", "[1]", "4b"]);
    assert_eq!(session.websocket(), Some(id));
    assert_eq!(session.transport(), Transport::WebSocket);
    assert_eq!(say(&mut session, id, "4c", NOW).as_deref(), Some("c"));
}

#[test]
fn a_request_fetches_what_waits_until_the_change() {
    let (mut session, id) = probed();
    session.send_text(b"a", &CONFIG).expect("sent");
    poll(&mut session, NOW).expect("it waits");
    assert_eq!(body(&mut session), "4a");
    assert_eq!(
        post(&mut session, "4b", NOW),
        (vec!["b".to_owned()], Ok(()))
    );
    say(&mut session, id, "5", NOW);
    assert_eq!(outputs(&mut session), [], "it was fetched");
}

#[test]
fn a_request_that_waits_is_answered_by_a_noop_at_the_probe() {
    let mut session = polling();
    poll(&mut session, NOW).expect("it waits");
    let id = session.handle_websocket(NOW, &CONFIG).expect("accepted");
    assert_eq!(outputs(&mut session), []);
    say(&mut session, id, "2probe", NOW);
    let outputs = outputs(&mut session);
    assert!(matches!(outputs[0], Output::Send(to, _) if to == id));
    assert_eq!(outputs[1..], [Output::Poll(b"6".to_vec())]);
    poll(&mut session, NOW).expect("it waits");
    assert_eq!(session.poll_output(), None, "once");
}

#[test]
fn requests_are_answered_by_noops_at_their_pace_until_the_change() {
    let (mut session, _) = probed();
    poll(&mut session, NOW.after(1)).expect("it waits");
    assert_eq!(
        outputs(&mut session),
        [],
        "or the client would ask as fast as it can"
    );
    assert_eq!(session.next_deadline(), Some(NOW.after(100)));
    session.handle_timeout(NOW.after(100), &CONFIG);
    assert_eq!(body(&mut session), "6");
    poll(&mut session, NOW.after(150)).expect("it waits");
    assert_eq!(session.next_deadline(), Some(NOW.after(200)));
    session.handle_timeout(NOW.after(200), &CONFIG);
    assert_eq!(body(&mut session), "6");
    // One that comes when a noop is due has it at once.
    let (mut session, _) = probed();
    poll(&mut session, NOW.after(120)).expect("it waits");
    assert_eq!(body(&mut session), "6");
}

#[test]
fn a_request_that_waits_at_the_change_is_answered_by_a_noop() {
    let (mut session, id) = probed();
    poll(&mut session, NOW).expect("it waits");
    session.begin_post(false, NOW, &CONFIG).expect("begun");
    say(&mut session, id, "5", NOW);
    session.send_text(b"a", &CONFIG).expect("sent");
    let outputs = outputs(&mut session);
    assert_eq!(outputs[0], Output::Poll(b"6".to_vec()));
    assert!(matches!(outputs[1..], [Output::Send(..)]));
    // The connections of both end, and the session does not care.
    session.handle_poll_lost();
    let mut packets = Packets::new(b"4a", 10).expect("a payload");
    let refused = session.receive_post(&mut packets, NOW, &CONFIG);
    assert_eq!(refused, Err(Refusal::BadRequest));
    session.handle_post_lost();
    assert_eq!(poll(&mut session, NOW), Err(Refusal::BadRequest));
    assert_eq!(
        session.begin_post(false, NOW, &CONFIG),
        Err(Refusal::BadRequest)
    );
    assert_eq!(session.end(), None);
}

#[test]
fn the_change_may_come_without_a_probe() {
    let mut session = polling();
    let id = session.handle_websocket(NOW, &CONFIG).expect("accepted");
    say(&mut session, id, "5", NOW);
    assert_eq!(session.websocket(), Some(id));
}

#[test]
fn a_second_websocket_is_refused() {
    let (mut session, id) = probed();
    let refused = session.handle_websocket(NOW, &CONFIG);
    assert_eq!(refused, Err(Refusal::BadRequest), "while one probes");
    say(&mut session, id, "5", NOW);
    let refused = session.handle_websocket(NOW, &CONFIG);
    assert_eq!(refused, Err(Refusal::BadRequest), "while one carries");
    let (mut session, _) = direct();
    let refused = session.handle_websocket(NOW, &CONFIG);
    assert_eq!(refused, Err(Refusal::BadRequest));
    let config = Config {
        allows_upgrades: false,
        ..CONFIG
    };
    let refused = polling().handle_websocket(NOW, &config);
    assert_eq!(refused, Err(Refusal::BadRequest), "by the settings");
}

#[test]
fn a_websocket_that_says_something_else_is_closed() {
    for frame in [
        Incoming::Text("2"),
        Incoming::Text("2probe2"),
        Incoming::Text("4a"),
        Incoming::Text("1"),
        Incoming::Text(""),
        Incoming::Text("x"),
        Incoming::Binary(b"2probe"),
    ] {
        let (mut session, id) = probed();
        let message = session.receive_websocket(id, frame, NOW, &CONFIG);
        assert_eq!(message, None);
        assert_eq!(outputs(&mut session), [Output::Close(id)], "{frame:?}");
        // It may say what it wants now.
        say(&mut session, id, "5", NOW);
        assert_eq!(outputs(&mut session), []);
        let next = session.handle_websocket(NOW, &CONFIG).expect("another may");
        assert_ne!(next, id);
        say(&mut session, id, "5", NOW);
        assert_eq!(
            session.transport(),
            Transport::Polling,
            "it is not the next one"
        );
        say(&mut session, next, "5", NOW);
        assert_eq!(session.websocket(), Some(next));
    }
}

#[test]
fn a_probe_that_never_finishes_is_given_up() {
    for texts in [&[][..], &["2probe"][..], &["2probe", "2probe"][..]] {
        let mut session = polling();
        let id = session.handle_websocket(NOW, &CONFIG).expect("accepted");
        for text in texts {
            say(&mut session, id, text, NOW.after(10));
            sent(&mut session, id);
        }
        assert_eq!(session.next_deadline(), Some(NOW.after(250)));
        session.handle_timeout(NOW.after(249), &CONFIG);
        assert_eq!(outputs(&mut session), []);
        session.handle_timeout(NOW.after(250), &CONFIG);
        assert_eq!(outputs(&mut session), [Output::Close(id)]);
        assert_eq!(
            session.next_deadline(),
            Some(NOW.after(300)),
            "the next ping"
        );
        assert_eq!(post(&mut session, "4a", NOW.after(251)).0, ["a"]);
    }
}

#[test]
fn a_websocket_that_is_lost_before_the_change_is_not_missed() {
    let (mut session, id) = probed();
    session.handle_websocket_lost(id);
    assert_eq!(outputs(&mut session), []);
    assert_eq!(post(&mut session, "4a", NOW).0, ["a"]);
    assert!(session.handle_websocket(NOW, &CONFIG).is_ok());
}

#[test]
fn the_end_of_a_websocket_that_was_dismissed_is_nothing() {
    let (mut session, id) = probed();
    say(&mut session, id, "x", NOW);
    assert_eq!(outputs(&mut session), [Output::Close(id)]);
    let next = session.handle_websocket(NOW, &CONFIG).expect("another may");
    say(&mut session, next, "5", NOW);
    session.handle_websocket_lost(id);
    assert_eq!(session.end(), None);
    session.handle_websocket_lost(next);
    assert_eq!(outputs(&mut session), [Output::Ended(End::TransportClose)]);
}

#[test]
fn the_heartbeat_goes_on_across_the_change() {
    let (mut session, id) = probed();
    session.handle_timeout(NOW.after(240), &CONFIG);
    session.send_text(b"a", &CONFIG).expect("sent");
    say(&mut session, id, "5", NOW.after(240));
    sent(&mut session, id);
    session.handle_timeout(NOW.after(300), &CONFIG);
    assert_eq!(sent(&mut session, id), ["2"]);
    say(&mut session, id, "3", NOW.after(310));
    assert_eq!(session.next_deadline(), Some(NOW.after(610)));
}
