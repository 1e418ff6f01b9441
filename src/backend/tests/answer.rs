//! Answers as they should be, and all others.

use super::*;

const JSON: Option<&str> = Some("application/json");

fn received(status: u16, content_type: Option<&str>, body: &str) -> Received {
    Received {
        status,
        content_type: content_type.map(str::to_owned),
        retry_after: None,
        body: Ok(body.as_bytes().to_vec()),
    }
}

fn connected(body: &str) -> Result<ConnectAnswer, Failure> {
    match received(200, JSON, body).read(Kind::Connect)? {
        Answer::Connect(answer) => Ok(answer),
        other => panic!("{other:?}"),
    }
}

fn answered(body: &str) -> Result<MessageAnswer, Failure> {
    match received(200, JSON, body).read(Kind::Message)? {
        Answer::Message(answer) => Ok(answer),
        other => panic!("{other:?}"),
    }
}

fn why<T: std::fmt::Debug>(answer: Result<T, Failure>) -> String {
    match answer {
        Err(Failure::Garbage(why)) => why.into(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_that_is_let_in_may_be_named_and_put_into_rooms() {
    let body =
        r#"{"userId":"ann","rooms":["a","b"],"metadata":{"plan":"free"},"subprotocol":"v2"}"#;
    let answer = connected(body).expect("an answer");
    assert_eq!(answer.user_id.as_deref(), Some("ann"));
    assert_eq!(answer.rooms, ["a", "b"]);
    assert_eq!(
        answer.metadata.expect("an object").get(),
        r#"{"plan":"free"}"#
    );
    assert_eq!(answer.subprotocol.as_deref(), Some("v2"));
    let answer = connected(r#"{"userId":null,"rooms":null,"metadata":null}"#).expect("an answer");
    assert_eq!((answer.user_id, answer.rooms.len()), (None, 0));
}

#[test]
fn an_answer_without_a_body_is_a_yes_and_nothing_more() {
    for (status, content_type) in [(204, None), (200, None), (202, Some("text/html"))] {
        let answer = received(status, content_type, "").read(Kind::Connect);
        let Ok(Answer::Connect(answer)) = answer else {
            panic!("{status}: {answer:?}");
        };
        assert!(answer.user_id.is_none() && answer.rooms.is_empty());
        let answer = received(status, content_type, "").read(Kind::Message);
        let Ok(Answer::Message(answer)) = answer else {
            panic!("{status}: {answer:?}");
        };
        assert!(answer.send.is_empty() && answer.close.is_none());
    }
}

#[test]
fn a_message_may_be_answered_in_every_way() {
    let body = r#"{"send":[{"type":"pong"},{"a":[1]}],"join":["a"],"leave":["b"],
        "publish":[{"room":"a","event":"e","data":{"x":1},"echo":true},{"room":"b","event":"f"}],
        "ack":[1.50, null],"close":{"code":4001,"reason":"bye"}}"#;
    let answer = answered(body).expect("an answer");
    let ack = answer.ack.as_ref().map(|ack| ack.get());
    assert_eq!(ack, Some("[1.50, null]"));
    let sent: Vec<&str> = answer.send.iter().map(|message| message.get()).collect();
    assert_eq!(sent, [r#"{"type":"pong"}"#, r#"{"a":[1]}"#]);
    assert_eq!(
        (answer.join, answer.leave),
        (vec!["a".to_owned()], vec!["b".to_owned()])
    );
    let [first, second] = answer.publish.as_slice() else {
        panic!("{:?}", answer.publish);
    };
    assert_eq!(
        (first.room.as_str(), first.event.as_str(), first.echo),
        ("a", "e", true)
    );
    assert_eq!(
        first.data.as_ref().map(|data| data.get()),
        Some(r#"{"x":1}"#)
    );
    assert!(second.data.is_none() && !second.echo);
    let close = answer.close.expect("a close");
    assert_eq!((close.code, close.reason.as_str()), (4001, "bye"));
    let close = answered(r#"{"close":{}}"#).expect("an answer").close;
    assert_eq!(close.map(|close| close.code), Some(1000));
}

#[test]
fn what_is_no_answer_is_refused_with_why() {
    let rooms = format!(
        r#"{{"rooms":[{}"a"]}}"#,
        r#""a","#.repeat(ROOMS_PER_ANSWER_MAX)
    );
    let metadata = format!(
        r#"{{"metadata":{{"a":"{}"}}}}"#,
        "x".repeat(METADATA_BYTES_MAX)
    );
    for (body, what) in [
        ("<html>", "expected value"),
        ("{\"userId\":\"ann\"", "EOF"),
        (r#"{"userid":"ann"}"#, "unknown field `userid`"),
        (r#"{"userId":7}"#, "expected a string"),
        (r#"{"userId":""}"#, "userId is empty"),
        (r#"{"userId":"a\nb"}"#, "userId is empty"),
        (r#"{"rooms":["a",""]}"#, "room is empty"),
        (r#"{"metadata":[1]}"#, "metadata is not"),
        (r#"{"subprotocol":""}"#, "subprotocol is empty"),
        (rooms.as_str(), "too many rooms"),
        (metadata.as_str(), "metadata is too large"),
        ("[]x", "trailing"),
    ] {
        let why = why(connected(body));
        assert!(why.contains(what), "{what}: {why}");
    }
    let sends = format!(r#"{{"send":[{}{{}}]}}"#, "{},".repeat(SENDS_PER_ANSWER_MAX));
    let reason = format!(r#"{{"close":{{"reason":"{}"}}}}"#, "x".repeat(124));
    let deep = format!(r#"{{"send":[{}"#, r#"{"a":"#.repeat(100_000));
    for (body, what) in [
        (r#"{"send":"hello"}"#, "expected a sequence"),
        (r#"{"send":["hello"]}"#, "send is not"),
        (r#"{"publish":[{"room":"a"}]}"#, "missing field `event`"),
        (r#"{"publish":[{"room":"a","event":""}]}"#, "event is empty"),
        (r#"{"publish":[{"room":"","event":"e"}]}"#, "room is empty"),
        (r#"{"close":{"code":1006}}"#, "the code of close"),
        (r#"{"close":{"code":2999}}"#, "the code of close"),
        (r#"{"close":{"code":70000}}"#, "expected u16"),
        (reason.as_str(), "the reason of close"),
        (sends.as_str(), "too much to send"),
        (r#"{"reply":{}}"#, "unknown field `reply`"),
        (deep.as_str(), "EOF"),
    ] {
        let why = why(answered(body));
        assert!(why.contains(what), "{what}: {why}");
        assert!(why.len() <= SENTENCE_BYTES_MAX, "{what}: {why}");
    }
}

#[test]
fn another_content_type_is_no_answer() {
    for content_type in [None, Some("text/html"), Some("application/jsonx"), Some("")] {
        let answer = received(200, content_type, "{}").read(Kind::Message);
        assert!(why(answer).contains("Content-Type"), "{content_type:?}");
    }
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let answer = received(200, Some(content_type), "{}").read(Kind::Message);
        assert!(matches!(answer, Ok(Answer::Message(_))), "{content_type}");
    }
}

#[test]
fn statuses_are_told_apart() {
    let read = |status| received(status, None, "{").read(Kind::Connect);
    assert!(matches!(read(302), Err(Failure::Redirect(302))));
    assert!(matches!(read(503), Err(Failure::Status(503))));
    assert!(matches!(read(101), Err(Failure::Status(101))));
    assert!(matches!(
        read(403),
        Err(Failure::Declined { status: 403, .. })
    ));
    // Whatever stands in its body, a back end that says 2xx to a disconnect has it.
    let answer = received(200, None, "<html>").read(Kind::Disconnect);
    assert!(matches!(answer, Ok(Answer::Delivered)));
}

#[test]
fn a_no_has_a_sentence_that_can_be_shown() {
    let sentence = |content_type, body: &str| match received(403, Some(content_type), body)
        .read(Kind::Connect)
    {
        Err(Failure::Declined { sentence, .. }) => String::from(sentence),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        sentence("text/plain; charset=utf-8", " Not today.\n"),
        "Not today."
    );
    assert_eq!(sentence("text/plain", "a\r\nb\u{1b}[31mc\0"), "a  b[31mc");
    let problem = r#"{"title":"No","detail":"Not you.","status":403}"#;
    assert_eq!(sentence("application/problem+json", problem), "Not you.");
    assert_eq!(
        sentence("application/problem+json", r#"{"title":"No"}"#),
        "No"
    );
    for (content_type, body) in [
        ("text/html", "<h1>No</h1>"),
        ("application/problem+json", "{"),
        ("application/problem+json", r#"{"detail":7}"#),
    ] {
        assert_eq!(sentence(content_type, body), "", "{body}");
    }
    let long = sentence("text/plain", &"ü".repeat(1_000));
    assert_eq!(long.len(), SENTENCE_BYTES_MAX);
}
