//! Answers that are late, endless, huge or none at all: each costs its own event, and no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tidegate::backend::{Answer, Cause, Failure, Kind};

use super::common::DEADLINE;
use super::server::{Reply, Server, Then};
use super::told::{Way, config};

/// Bytes that one answer may have.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A back end that answers the event with ticket 0 so, and every other one as it should.
fn bad(reply: Reply) -> Server {
    Server::start(move |request| match super::numbers(request).1 {
        0 => reply.clone(),
        _ => Reply::json(r#"{"send":[{}]}"#),
    })
}

/// What a message comes to that is answered so, by the one thread that there is; then another one is answered as it should be.
fn ask(reply: Reply, time_limit: Duration) -> Result<Answer, Failure> {
    let server = bad(reply);
    let way = Way::start(config(&server.url(), |config| {
        config.concurrency = 1;
        config.queue.time_limit = time_limit;
        config.queue.retries = 0;
    }));
    let begun = Instant::now();
    let outcome = way.ask(Kind::Message, 1, 0);
    let took = begun.elapsed();
    assert!(took < time_limit + Duration::from_secs(5), "{took:?}");
    let next = way.ask(Kind::Message, 1, 1);
    assert!(matches!(next, Ok(Answer::Message(_))), "{next:?}");
    assert_eq!(server.requests(), 2, "nothing was tried again");
    outcome
}

fn fails(reply: Reply) -> Failure {
    ask(reply, DEADLINE).expect_err("a bad answer")
}

#[test]
fn answers_that_do_not_end_in_time_are_given_up() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let pause = Duration::from_millis(20);
    let forever = |bytes: &str| Then::Forever(bytes.as_bytes().to_vec(), pause);
    let replies = [
        ("nothing", Reply::raw("", Then::Silence)),
        (
            "half a head",
            Reply::raw("HTTP/1.1 200 OK\r\nConte", Then::Silence),
        ),
        (
            "a head",
            Reply::raw(format!("{head}Content-Length: 2\r\n\r\n"), Then::Silence),
        ),
        (
            "a head that trickles",
            Reply::raw("HTTP/1.1 200 OK\r\nX: ", forever("x")),
        ),
        (
            "a body that trickles",
            Reply::raw(
                format!("{head}Content-Length: 1000000\r\n\r\n"),
                forever("x"),
            ),
        ),
        (
            "chunks for ever",
            Reply::raw(
                format!("{head}Transfer-Encoding: chunked\r\n\r\n"),
                forever("1\r\nx\r\n"),
            ),
        ),
        (
            "a body without an end",
            Reply::raw(format!("{head}\r\n"), forever("x")),
        ),
        (
            "103 for ever",
            Reply::raw(
                "",
                forever("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
            ),
        ),
    ];
    thread::scope(|scope| {
        for (what, reply) in replies {
            scope.spawn(move || {
                let failure = ask(reply, Duration::from_secs(2)).expect_err(what);
                assert_eq!(failure, Failure::TimedOut, "{what}");
            });
        }
    });
}

#[test]
fn answers_that_are_too_large_are_not_read() {
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let ten_megabytes = "x".repeat(10 << 20);
    let chunked =
        format!("{json}Transfer-Encoding: chunked\r\n\r\na00000\r\n{ten_megabytes}\r\n0\r\n\r\n");
    let over = " ".repeat(ANSWER_BYTES_MAX + 1);
    let over = format!("{json}Transfer-Encoding: chunked\r\n\r\n100001\r\n{over}\r\n0\r\n\r\n");
    let unending = format!("{json}\r\n{ten_megabytes}");
    let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20 << 10));
    for (what, reply) in [
        ("a length", Reply::json(&ten_megabytes)),
        ("a chunk", Reply::raw(chunked, Then::Next)),
        ("a body to the end", Reply::raw(unending, Then::Close)),
        ("a head", Reply::raw(head, Then::Next)),
        ("one byte in chunks", Reply::raw(over, Then::Next)),
        ("one byte", Reply::json(&" ".repeat(ANSWER_BYTES_MAX + 1))),
    ] {
        assert_eq!(fails(reply), Failure::TooLarge, "{what}");
    }
    let padding = " ".repeat(ANSWER_BYTES_MAX - 2);
    let largest = ask(Reply::json(&format!("{{{padding}}}")), DEADLINE);
    assert!(matches!(largest, Ok(Answer::Message(_))), "{largest:?}");
}

#[test]
fn answers_that_are_no_http_are_told_as_such() {
    let lines = |lines: &[&str]| lines.join("\r\n") + "\r\n\r\n";
    let many = "X: x\r\n".repeat(200);
    for (what, bytes) in [
        ("a page", "<html>hello</html>\r\n\r\n".to_owned()),
        (
            "HTTP/2",
            "\0\0\u{12}\u{4}\0\0\0\0\0\0\u{3}\0\0\0d\r\n\r\n".to_owned(),
        ),
        ("a status", lines(&["HTTP/1.1 abc"])),
        ("a low status", lines(&["HTTP/1.1 099 x"])),
        ("a version", lines(&["HTTP/3.7 200 OK"])),
        ("a name", lines(&["HTTP/1.1 200 OK", "a b: c"])),
        ("a folded field", lines(&["HTTP/1.1 200 OK", "a: b", " c"])),
        (
            "a length",
            lines(&["HTTP/1.1 200 OK", "Content-Length: +5"]),
        ),
        (
            "two lengths",
            lines(&["HTTP/1.1 200 OK", "Content-Length: 2", "Content-Length: 3"]),
        ),
        ("many fields", format!("HTTP/1.1 200 OK\r\n{many}\r\n")),
        (
            "a chunk",
            lines(&[
                "HTTP/1.1 200 OK",
                "Content-Type: application/json",
                "Transfer-Encoding: chunked",
                "",
                "xyz",
            ]),
        ),
    ] {
        let failure = fails(Reply::raw(bytes, Then::Close));
        assert!(
            matches!(failure, Failure::Garbage(_)),
            "{what}: {failure:?}"
        );
    }
}

#[test]
fn answers_that_break_off_are_lost() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    for (what, bytes) in [
        ("nothing", String::new()),
        ("half a head", "HTTP/1.1 200 OK\r\nCont".to_owned()),
        (
            "half a body",
            format!("{head}Content-Length: 9\r\n\r\n{{}}"),
        ),
        (
            "half a chunk",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n9\r\n{{}}"),
        ),
        (
            "no last chunk",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n"),
        ),
    ] {
        assert_eq!(
            fails(Reply::raw(bytes, Then::Close)),
            Failure::Lost,
            "{what}"
        );
    }
}

#[test]
fn answers_that_say_something_else_are_told_as_such() {
    assert_eq!(
        fails(Reply::raw(
            "HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n",
            Then::Close
        )),
        Failure::Status(101)
    );
    for (what, reply) in [
        ("a page", Reply::new(200, "text/html", "<h1>Hello</h1>")),
        ("no JSON", Reply::json("hello")),
        ("another JSON", Reply::json(r#"{"sent":[]}"#)),
        ("no UTF-8", Reply::raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n\"\xff\xff\"", Then::Next)),
    ] {
        let failure = fails(reply);
        assert!(matches!(failure, Failure::Garbage(_)), "{what}: {failure:?}");
    }
}

#[test]
fn interim_answers_are_passed_over() {
    let last = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
    ] {
        let answer = ask(Reply::raw(format!("{interim}{last}"), Then::Next), DEADLINE);
        assert!(
            matches!(answer, Ok(Answer::Message(_))),
            "{interim}: {answer:?}"
        );
    }
}

#[test]
fn redirects_are_never_followed() {
    let seen = Arc::new(AtomicU64::new(0));
    let its_seen = Arc::clone(&seen);
    let elsewhere = Server::start(move |_| {
        its_seen.fetch_add(1, Ordering::SeqCst);
        Reply::json("{}")
    });
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let bytes = format!(
            "HTTP/1.1 {status} x\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
            elsewhere.url()
        );
        let failure = fails(Reply::raw(bytes, Then::Next));
        assert_eq!(failure, Failure::Redirect(status));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_back_end_that_answers_badly_is_there_all_the_same() {
    let server = Server::start(|_| Reply::json("garbage"));
    let way = Way::start(config(&server.url(), |config| config.breaker.failures = 2));
    for ticket in 0..20 {
        way.ask(Kind::Message, ticket, ticket).expect_err("garbage");
    }
    let health = way.backend.health();
    assert_eq!(
        (health.opened, health.counts.failed[Cause::Garbage as usize]),
        (0, 20)
    );
}

#[test]
fn bytes_behind_an_answer_are_not_taken_for_the_next_one() {
    let good = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let smuggled = good.replace("{}", "[]");
    let answer = ask(
        Reply::raw(format!("{good}{smuggled}"), Then::Next),
        DEADLINE,
    );
    assert!(matches!(answer, Ok(Answer::Message(_))), "{answer:?}");
}
