use super::*;
use crate::limits::{SOCKETIO_ACKS_MAX, SOCKETIO_NAMESPACES_MAX};
use crate::socketio::Moment;
use crate::socketio::packet::{Event, PacketError};

const NOW: Moment = Moment(1_000);
const CONFIG: Config = Config {
    connect_timeout_ms: 1_000,
    binary_bytes_max: 200,
    binary_age_max_ms: 500,
};
const ONE: &str = r#"51-["a",{"_placeholder":true,"num":0}]"#;
const TWO: &str = r#"52-9["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#;

fn sockets() -> Sockets {
    Sockets::new(NOW, &CONFIG)
}

fn receive<'a>(sockets: &mut Sockets, text: &'a str) -> Result<Option<Incoming<'a>>, Violation> {
    sockets.receive_text(text, NOW, &CONFIG)
}

fn attach(sockets: &mut Sockets, bytes: &[u8]) -> Result<Option<Assembled>, Violation> {
    sockets.receive_binary(bytes, NOW, &CONFIG)
}

/// Lets a client into `namespace`.
fn enter(sockets: &mut Sockets, namespace: &str) {
    let packet = format!("0{namespace},");
    let incoming = receive(sockets, &packet).expect("accepted");
    let auth = None;
    assert_eq!(incoming, Some(Incoming::Connect { namespace, auth }));
    assert!(sockets.accept(namespace, "sid", None, &mut Vec::new()));
}

/// A client in the main namespace.
fn connected() -> Sockets {
    let mut sockets = sockets();
    enter(&mut sockets, "/");
    sockets
}

/// The namespace, name and arguments of an event.
#[track_caller]
fn event<'a>(incoming: Option<Incoming<'a>>) -> (&'a str, String, &'a str) {
    match incoming {
        Some(Incoming::Event {
            namespace,
            event: Event { name, args, .. },
        }) => (namespace, name.into_owned(), args),
        other => panic!("no event: {other:?}"),
    }
}

#[test]
fn a_client_is_let_in_with_what_it_shows() {
    let mut sockets = sockets();
    let incoming = receive(&mut sockets, r#"0/a,{"token":1}"#);
    let expected = Incoming::Connect {
        namespace: "/a",
        auth: Some(r#"{"token":1}"#),
    };
    assert_eq!(incoming, Ok(Some(expected)));
    assert!(!sockets.is_connected("/a"));
    let mut out = Vec::new();
    assert!(sockets.accept("/a", "xyz", Some("p"), &mut out));
    assert_eq!(out, br#"0/a,{"sid":"xyz","pid":"p"}"#);
    assert!(sockets.is_connected("/a"));
    assert_eq!(sockets.connected().collect::<Vec<_>>(), ["/a"]);
    assert_eq!(
        event(receive(&mut sockets, r#"2/a,["b",1]"#).expect("heard")),
        ("/a", "b".to_owned(), "1")
    );
    out.clear();
    assert!(!sockets.accept("/a", "xyz", None, &mut out), "once");
    assert!(!sockets.refuse("/a", "no", None, &mut out));
    assert_eq!(out, b"");
}

#[test]
fn a_client_is_refused_and_may_ask_again() {
    let mut sockets = sockets();
    receive(&mut sockets, "0").expect("asked");
    let mut out = Vec::new();
    assert!(sockets.refuse("/", "Not you", Some(r#"{"code":7}"#), &mut out));
    assert_eq!(out, br#"4{"message":"Not you","data":{"code":7}}"#);
    assert!(!sockets.is_connected("/"));
    enter(&mut sockets, "/");
}

#[test]
fn packets_that_do_not_fit_the_state_are_refused() {
    for text in [r#"2["a"]"#, r#"30[]"#, "1", r#"4{"message":"no"}"#, ONE] {
        assert_eq!(
            receive(&mut sockets(), text),
            Err(Violation::State),
            "before: {text}"
        );
    }
    let mut asking = sockets();
    receive(&mut asking, "0").expect("asked");
    assert_eq!(
        receive(&mut asking, r#"2["a"]"#),
        Err(Violation::State),
        "while asking"
    );
    assert_eq!(
        receive(&mut asking, "0"),
        Err(Violation::State),
        "asked already"
    );
    let mut connected = connected();
    for text in ["0", r#"2/b,["a"]"#, "1/b", "3/b,0[]", r#"4"no""#] {
        assert_eq!(
            receive(&mut connected, text),
            Err(Violation::State),
            "in: {text}"
        );
    }
    let wrong = Violation::Packet(PacketError::Payload);
    assert_eq!(receive(&mut connected, "2{}"), Err(wrong));
}

#[test]
fn a_client_leaves() {
    let mut sockets = connected();
    enter(&mut sockets, "/a");
    let left = Incoming::Disconnect { namespace: "/a" };
    assert_eq!(receive(&mut sockets, "1/a,"), Ok(Some(left)));
    assert_eq!(sockets.connected().collect::<Vec<_>>(), ["/"]);
    enter(&mut sockets, "/a");
    // It may also lose patience.
    receive(&mut sockets, "0/b").expect("asked");
    let left = Incoming::Disconnect { namespace: "/b" };
    assert_eq!(receive(&mut sockets, "1/b"), Ok(Some(left)));
    assert!(
        !sockets.accept("/b", "sid", None, &mut Vec::new()),
        "too late"
    );
}

#[test]
fn what_a_client_that_was_put_out_still_says_is_not_held_against_it() {
    let mut sockets = connected();
    enter(&mut sockets, "/a");
    let mut out = Vec::new();
    assert!(sockets.disconnect("/a", &mut out));
    assert_eq!(out, b"1/a,");
    assert!(!sockets.disconnect("/a", &mut out), "once");
    assert!(!sockets.is_connected("/a"));
    assert_eq!(receive(&mut sockets, r#"2/a,["b"]"#), Ok(None));
    assert_eq!(
        receive(&mut sockets, r#"51-/a,["b",{"_placeholder":true,"num":0}]"#),
        Ok(None)
    );
    let assembled = attach(&mut sockets, b"x")
        .expect("taken")
        .expect("complete");
    assert_eq!(sockets.incoming(&assembled), None);
    assert_eq!(receive(&mut sockets, "1/a,"), Ok(None), "that was told");
    assert_eq!(receive(&mut sockets, r#"2/a,["b"]"#), Err(Violation::State));
    enter(&mut sockets, "/a");
    sockets.disconnect("/a", &mut out);
    enter(&mut sockets, "/a");
}

#[test]
fn namespaces_have_a_limit() {
    let mut sockets = connected();
    for number in 1..SOCKETIO_NAMESPACES_MAX {
        enter(&mut sockets, &format!("/{number}"));
    }
    assert_eq!(
        receive(&mut sockets, "0/more"),
        Err(Violation::TooManyNamespaces)
    );
    assert!(receive(&mut sockets, "1/1").is_ok());
    enter(&mut sockets, "/more");
}

#[test]
fn the_main_namespace_takes_no_memory() {
    let sockets = connected();
    assert!(!sockets.owns_memory());
}

#[test]
fn a_client_has_to_get_in_in_time() {
    let mut sockets = sockets();
    assert_eq!(sockets.next_deadline(), Some(NOW.after(1_000)));
    receive(&mut sockets, "0").expect("asked");
    assert_eq!(sockets.handle_timeout(NOW.after(999)), Ok(()));
    let over = Err(Violation::ConnectTimeout);
    assert_eq!(sockets.handle_timeout(NOW.after(1_000)), over);
    let late = sockets.receive_text("0", NOW.after(1_000), &CONFIG);
    assert_eq!(late, Err(Violation::ConnectTimeout));
    let mut sockets = connected();
    assert_eq!(sockets.next_deadline(), None);
    assert_eq!(sockets.handle_timeout(NOW.after(100_000)), Ok(()));
    receive(&mut sockets, "1").expect("left");
    assert_eq!(sockets.next_deadline(), None, "it was in once");
}

#[test]
fn attachments_come_with_their_packet() {
    let mut sockets = connected();
    assert_eq!(receive(&mut sockets, TWO), Ok(None));
    assert_eq!(attach(&mut sockets, b"first"), Ok(None));
    let assembled = attach(&mut sockets, b"").expect("taken").expect("complete");
    assert_eq!(
        assembled.attachments().collect::<Vec<_>>(),
        [&b"first"[..], b""]
    );
    let incoming = sockets.incoming(&assembled);
    assert!(matches!(&incoming, Some(Incoming::Event { event, .. })
        if event.id == Some(9) && event.attachments == Some(2)));
    let args = r#"{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}"#;
    assert_eq!(event(incoming), ("/", "a".to_owned(), args));
    assert!(!sockets.owns_memory());
    assert_eq!(
        event(receive(&mut sockets, r#"50-["b"]"#).expect("heard")).1,
        "b"
    );
    assert_eq!(
        event(receive(&mut sockets, r#"2["c"]"#).expect("heard")).1,
        "c"
    );
}

#[test]
fn a_text_among_attachments_is_refused() {
    for text in [r#"2["a"]"#, "1", "0/b", ONE] {
        let mut sockets = connected();
        receive(&mut sockets, TWO).expect("announced");
        attach(&mut sockets, b"x").expect("taken");
        assert_eq!(
            receive(&mut sockets, text),
            Err(Violation::TextAmongAttachments)
        );
    }
}

#[test]
fn an_attachment_of_nothing_is_refused() {
    let mut sockets = connected();
    assert_eq!(
        attach(&mut sockets, b"x"),
        Err(Violation::BinaryUnannounced)
    );
    receive(&mut sockets, ONE).expect("announced");
    attach(&mut sockets, b"x").expect("taken");
    assert_eq!(
        attach(&mut sockets, b"x"),
        Err(Violation::BinaryUnannounced)
    );
}

#[test]
fn attachments_have_a_limit_together() {
    let mut sockets = connected();
    receive(&mut sockets, TWO).expect("announced");
    let half = (CONFIG.binary_bytes_max - TWO.len()) / 2;
    attach(&mut sockets, &vec![0; half]).expect("taken");
    let too_large = attach(&mut sockets, &vec![0; half + 2]);
    assert_eq!(too_large, Err(Violation::BinaryTooLarge));
    receive(&mut sockets, TWO).expect("announced");
    let rest = CONFIG.binary_bytes_max - TWO.len() - half;
    attach(&mut sockets, &vec![0; half]).expect("taken");
    assert!(
        attach(&mut sockets, &vec![0; rest])
            .expect("taken")
            .is_some()
    );
}

#[test]
fn attachments_have_to_arrive_in_time() {
    let mut sockets = connected();
    receive(&mut sockets, TWO).expect("announced");
    assert_eq!(sockets.next_deadline(), Some(NOW.after(500)));
    let first = sockets.receive_binary(b"x", NOW.after(499), &CONFIG);
    assert_eq!(first, Ok(None));
    assert_eq!(
        sockets.next_deadline(),
        Some(NOW.after(500)),
        "of the packet"
    );
    assert_eq!(sockets.handle_timeout(NOW.after(499)), Ok(()));
    let late = sockets.receive_binary(b"x", NOW.after(500), &CONFIG);
    assert_eq!(late, Err(Violation::BinaryTooOld));
    assert_eq!(
        sockets.handle_timeout(NOW.after(500)),
        Err(Violation::BinaryTooOld)
    );
}

#[test]
fn a_packet_of_an_earlier_stay_says_nothing() {
    let mut sockets = connected();
    receive(&mut sockets, ONE).expect("announced");
    sockets.disconnect("/", &mut Vec::new());
    let assembled = attach(&mut sockets, b"x")
        .expect("taken")
        .expect("complete");
    enter(&mut sockets, "/");
    assert_eq!(sockets.incoming(&assembled), None);
}

/// The token of an answer.
fn token(incoming: Option<Incoming<'_>>) -> Option<u64> {
    match incoming? {
        Incoming::Ack { token, .. } => Some(token),
        other => panic!("no answer: {other:?}"),
    }
}

#[test]
fn answers_are_taken_once_and_where_they_belong() {
    let mut sockets = connected();
    enter(&mut sockets, "/a");
    let first = sockets.expect_ack("/", 70, NOW.after(100));
    let second = sockets.expect_ack("/a", 71, NOW.after(50));
    assert!(first && second);
    assert_eq!(sockets.next_deadline(), Some(NOW.after(50)));
    let answer = |sockets: &mut Sockets, text| token(receive(sockets, text).expect("heard"));
    assert_eq!(
        answer(&mut sockets, "3/a,70[]"),
        None,
        "of another namespace"
    );
    assert_eq!(answer(&mut sockets, "37[]"), None, "never asked for");
    assert_eq!(answer(&mut sockets, "370[1]"), Some(70));
    assert_eq!(answer(&mut sockets, "370[1]"), None, "once");
    receive(&mut sockets, r#"61-/a,71[{"_placeholder":true,"num":0}]"#).expect("announced");
    let assembled = attach(&mut sockets, b"x")
        .expect("taken")
        .expect("complete");
    let incoming = sockets.incoming(&assembled);
    assert_eq!(token(incoming), Some(71));
    assert_eq!(sockets.next_deadline(), None);
}

#[test]
fn answers_have_a_time_limit() {
    let mut sockets = connected();
    sockets.expect_ack("/", 70, NOW.after(100));
    sockets.expect_ack("/", 71, NOW.after(50));
    assert_eq!(sockets.poll_expired(NOW.after(49)), None);
    assert_eq!(
        sockets.poll_expired(NOW.after(50)),
        Some(Expired { token: 71 })
    );
    assert_eq!(sockets.poll_expired(NOW.after(50)), None);
    assert_eq!(
        token(receive(&mut sockets, "371[]").expect("heard")),
        None,
        "too late"
    );
    assert_eq!(sockets.next_deadline(), Some(NOW.after(100)));
    assert_eq!(
        token(receive(&mut sockets, "370[]").expect("heard")),
        Some(70)
    );
}

#[test]
fn nobody_waits_for_the_answer_of_a_client_that_has_left() {
    let mut sockets = connected();
    enter(&mut sockets, "/a");
    sockets.expect_ack("/", 70, NOW.after(100));
    sockets.expect_ack("/a", 71, NOW.after(100));
    receive(&mut sockets, "1/a").expect("left");
    assert_eq!(sockets.poll_expired(NOW), Some(Expired { token: 71 }));
    assert_eq!(sockets.poll_expired(NOW), None);
    sockets.disconnect("/", &mut Vec::new());
    assert_eq!(sockets.poll_expired(NOW), Some(Expired { token: 70 }));
    assert!(!sockets.expect_ack("/", 72, NOW.after(100)), "it is not in");
    assert!(!sockets.expect_ack("/b", 72, NOW.after(100)));
    sockets.receive_text("1", NOW, &CONFIG).expect("left");
    assert!(!sockets.owns_memory());
}

#[test]
fn answers_that_are_owed_have_a_limit() {
    let mut sockets = connected();
    for token in 0..SOCKETIO_ACKS_MAX as u64 {
        assert!(sockets.expect_ack("/", token, NOW.after(100)));
    }
    let next = SOCKETIO_ACKS_MAX as u64;
    assert!(!sockets.expect_ack("/", next, NOW.after(100)));
    receive(&mut sockets, "35[]").expect("heard");
    assert!(sockets.expect_ack("/", next, NOW.after(100)));
}
