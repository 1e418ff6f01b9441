//! The end of a session, in every state.

use super::*;
use crate::limits::ENGINE_PAYLOAD_PACKETS_MAX;

#[test]
fn the_server_closes_at_once_where_something_can_tell() {
    let mut session = polling();
    poll(&mut session, NOW).expect("it waits");
    session.close(NOW);
    assert_eq!(
        outputs(&mut session),
        [Output::Poll(b"1".to_vec()), Output::Ended(End::ServerClose)]
    );
    let (mut session, id) = direct();
    session.send_text(b"last", &CONFIG).expect("sent");
    session.close(NOW);
    let outputs = outputs(&mut session);
    assert!(matches!(&outputs[0], Output::Send(to, frames)
        if *to == id && frames.iter().map(shown).eq(["4last"])));
    assert_eq!(
        outputs[1..],
        [Output::Close(id), Output::Ended(End::ServerClose)]
    );
}

#[test]
fn the_server_closes_with_the_next_request() {
    let mut session = polling();
    session.send_text(b"last", &CONFIG).expect("sent");
    session.close(NOW);
    assert_eq!(outputs(&mut session), []);
    assert_eq!(session.send_text(b"more", &CONFIG), Err(SendError::Closed));
    assert_eq!(
        post(&mut session, "4a", NOW),
        (vec![], Ok(())),
        "nobody listens"
    );
    session.close(NOW.after(10));
    poll(&mut session, NOW.after(20)).expect("it waits");
    assert_eq!(outputs(&mut session), [Output::Poll(b"4last".to_vec())]);
    poll(&mut session, NOW.after(30)).expect("it waits");
    assert_eq!(
        outputs(&mut session),
        [Output::Poll(b"1".to_vec()), Output::Ended(End::ServerClose)]
    );
}

/// Else `socket.io-client` is told twice that it is disconnected: it reads the end before what stands in front of it.
#[test]
fn the_end_is_told_by_a_request_of_its_own() {
    let mut session = polling();
    poll(&mut session, NOW).expect("it waits");
    for _ in 0..=ENGINE_PAYLOAD_PACKETS_MAX {
        session.send_text(b"a", &CONFIG).expect("sent");
    }
    session.close(NOW);
    let first = ["4a"; ENGINE_PAYLOAD_PACKETS_MAX].join("\x1e");
    for body in [first.as_str(), "4a"] {
        assert_eq!(
            outputs(&mut session),
            [Output::Poll(body.as_bytes().to_vec())]
        );
        poll(&mut session, NOW.after(10)).expect("it waits");
    }
    assert_eq!(
        outputs(&mut session),
        [Output::Poll(b"1".to_vec()), Output::Ended(End::ServerClose)]
    );
    // Or by none, where the client goes first.
    let mut session = polling();
    poll(&mut session, NOW).expect("it waits");
    session.send_text(b"a", &CONFIG).expect("sent");
    session.close(NOW);
    assert_eq!(outputs(&mut session), [Output::Poll(b"4a".to_vec())]);
    post(&mut session, "1", NOW).1.expect("heard");
    assert_eq!(outputs(&mut session), [Output::Ended(End::ClientClose)]);
}

#[test]
fn a_poll_that_something_waits_behind_is_answered() {
    let mut session = polling();
    session.hurry_poll();
    assert_eq!(outputs(&mut session), [], "nothing waits");
    poll(&mut session, NOW).expect("it waits");
    session.hurry_poll();
    session.hurry_poll();
    assert_eq!(outputs(&mut session), [Output::Poll(b"6".to_vec())]);
    poll(&mut session, NOW).expect("it waits");
    assert_eq!(outputs(&mut session), []);
    session.hurry_poll();
    session.send_text(b"a", &CONFIG).expect("sent");
    assert_eq!(outputs(&mut session), [Output::Poll(b"4a".to_vec())]);
}

#[test]
fn the_server_does_not_wait_for_ever_for_the_next_request() {
    let mut session = polling();
    session.send_text(b"last", &CONFIG).expect("sent");
    session.close(NOW);
    assert_eq!(session.next_deadline(), Some(NOW.after(30_000)));
    session.handle_timeout(NOW.after(30_000), &CONFIG);
    assert_eq!(outputs(&mut session), [Output::Ended(End::ServerClose)]);
    assert_eq!(poll(&mut session, NOW), Err(Refusal::UnknownSession));
}

#[test]
fn the_server_closes_in_the_middle_of_the_change() {
    // The change comes first.
    let mut session = polling();
    let id = session.handle_websocket(NOW, &CONFIG).expect("accepted");
    session.send_text(b"last", &CONFIG).expect("sent");
    session.close(NOW);
    assert_eq!(outputs(&mut session), []);
    say(&mut session, id, "5", NOW);
    let all = outputs(&mut session);
    assert!(matches!(all[0], Output::Send(to, _) if to == id));
    assert_eq!(
        all[1..],
        [Output::Close(id), Output::Ended(End::ServerClose)]
    );
    // A request comes first.
    let mut session = polling();
    let id = session.handle_websocket(NOW, &CONFIG).expect("accepted");
    session.close(NOW);
    poll(&mut session, NOW).expect("it waits");
    assert_eq!(
        outputs(&mut session),
        [
            Output::Poll(b"1".to_vec()),
            Output::Close(id),
            Output::Ended(End::ServerClose)
        ]
    );
    // Neither comes.
    let mut session = polling();
    let id = session.handle_websocket(NOW, &CONFIG).expect("accepted");
    session.close(NOW);
    session.handle_timeout(NOW.after(250), &CONFIG);
    assert_eq!(outputs(&mut session), [Output::Close(id)]);
    assert_eq!(session.next_deadline(), Some(NOW.after(30_000)));
}

#[test]
fn the_client_closes_in_every_state() {
    let mut session = polling();
    let (messages, end) = post(&mut session, "4a\x1e1\x1e4b", NOW);
    assert_eq!((messages, end), (vec!["a".to_owned()], Ok(())));
    assert_eq!(outputs(&mut session), [Output::Ended(End::ClientClose)]);

    let mut session = polling();
    let id = session.handle_websocket(NOW, &CONFIG).expect("accepted");
    poll(&mut session, NOW).expect("it waits");
    post(&mut session, "1", NOW).1.expect("heard");
    assert_eq!(
        outputs(&mut session),
        [
            Output::Poll(b"6".to_vec()),
            Output::Close(id),
            Output::Ended(End::ClientClose)
        ]
    );

    let (mut session, id) = direct();
    say(&mut session, id, "1", NOW);
    assert_eq!(
        outputs(&mut session),
        [Output::Close(id), Output::Ended(End::ClientClose)]
    );
    assert_eq!(say(&mut session, id, "4a", NOW), None);
    let late = session.receive_websocket(id, Incoming::Binary(b"a"), NOW, &CONFIG);
    assert_eq!(late, None);

    let mut session = polling();
    session.close(NOW);
    post(&mut session, "1", NOW).1.expect("heard");
    assert_eq!(outputs(&mut session), [Output::Ended(End::ClientClose)]);
}

#[test]
fn what_was_answered_before_the_client_closes_is_still_fetched() {
    let mut session = polling();
    poll(&mut session, NOW).expect("it waits");
    session.begin_post(false, NOW, &CONFIG).expect("begun");
    let mut packets = Packets::new(b"4a\x1e1", 10).expect("a payload");
    let message = session.receive_post(&mut packets, NOW, &CONFIG);
    assert!(matches!(message, Ok(Some(_))));
    session.send_text(b"b", &CONFIG).expect("sent");
    let end = session.receive_post(&mut packets, NOW, &CONFIG);
    assert_eq!(end, Ok(None));
    assert_eq!(
        outputs(&mut session),
        [
            Output::Poll(b"4b".to_vec()),
            Output::Ended(End::ClientClose)
        ]
    );
}

#[test]
fn a_second_poll_is_refused_and_closes_the_first() {
    let mut session = polling();
    let id = session.handle_websocket(NOW, &CONFIG).expect("accepted");
    poll(&mut session, NOW).expect("it waits");
    assert_eq!(poll(&mut session, NOW), Err(Refusal::BadRequest));
    assert_eq!(
        outputs(&mut session),
        [
            Output::Poll(b"1".to_vec()),
            Output::Close(id),
            Output::Ended(End::Protocol)
        ]
    );
}

#[test]
fn a_lost_connection_ends_the_session() {
    let mut session = polling();
    poll(&mut session, NOW).expect("it waits");
    session.handle_poll_lost();
    assert_eq!(outputs(&mut session), [Output::Ended(End::TransportClose)]);

    let mut session = polling();
    poll(&mut session, NOW).expect("it waits");
    session.begin_post(false, NOW, &CONFIG).expect("begun");
    session.handle_post_lost();
    assert_eq!(
        outputs(&mut session),
        [
            Output::Poll(b"1".to_vec()),
            Output::Ended(End::TransportClose)
        ]
    );

    let (mut session, id) = direct();
    session.send_text(b"lost", &CONFIG).expect("sent");
    session.handle_websocket_lost(id);
    assert_eq!(outputs(&mut session), [Output::Ended(End::TransportClose)]);

    // Nothing waited, nothing is lost.
    let mut session = polling();
    session.handle_poll_lost();
    session.handle_post_lost();
    session.handle_bad_post();
    assert_eq!(outputs(&mut session), []);
}

#[test]
fn a_websocket_that_is_lost_while_it_is_closed_is_not_closed_again() {
    let (mut session, id) = direct();
    session.close(NOW);
    assert_eq!(session.websocket(), None);
    session.handle_websocket_lost(id);
    assert_eq!(outputs(&mut session), [Output::Ended(End::ServerClose)]);
}

#[test]
fn a_message_that_breaks_what_the_session_is_for_ends_it() {
    let mut session = polling();
    session.begin_post(false, NOW, &CONFIG).expect("begun");
    let mut packets = Packets::new(b"4a\x1e4b", 10).expect("a payload");
    let message = session.receive_post(&mut packets, NOW, &CONFIG);
    assert!(matches!(message, Ok(Some(_))));
    session.fail();
    let refused = session.receive_post(&mut packets, NOW, &CONFIG);
    assert_eq!(refused, Err(Refusal::BadRequest));
    assert_eq!(outputs(&mut session), [Output::Ended(End::Parse)]);
}

#[test]
fn an_end_at_once_waits_for_nobody_and_happens_once() {
    let mut session = polling();
    session.send_text(b"lost", &CONFIG).expect("sent");
    session.abort();
    assert_eq!(outputs(&mut session), [Output::Ended(End::ServerClose)]);
    assert_eq!(session.queue.capacity(), 0);
    session.abort();
    session.fail();
    session.close(NOW);
    session.handle_timeout(NOW.after(100_000), &CONFIG);
    assert_eq!(outputs(&mut session), []);
    assert_eq!(session.end(), Some(End::ServerClose));
    assert_eq!(session.next_deadline(), None);
    let refused = session.handle_websocket(NOW, &CONFIG);
    assert_eq!(refused, Err(Refusal::UnknownSession));
}
