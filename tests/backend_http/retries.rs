//! What is tried again, how often and when; and the breaker, behind which nothing is.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidegate::backend::{Answer, BreakerState, Failure, Kind, Refused};

use super::common::eventually;
use super::server::{Reply, Request, Server, Then};
use super::told::{Outcome, Way, config, event};

/// Requests as they came.
type Seen = Arc<Mutex<Vec<Request>>>;

/// A back end that gives these answers one after the other, and then good ones.
fn scripted(replies: Vec<Reply>) -> (Server, Seen) {
    let seen = Seen::default();
    let its_seen = Arc::clone(&seen);
    let server = Server::start(move |request| {
        let mut seen = its_seen.lock().expect("no panic");
        seen.push(request.clone());
        let reply = replies.get(seen.len() - 1).cloned();
        reply.unwrap_or_else(Reply::empty)
    });
    (server, seen)
}

/// What an event comes to that is answered so, and how many requests it took.
fn requests(kind: Kind, replies: Vec<Reply>) -> (Outcome, usize) {
    let (server, seen) = scripted(replies);
    let way = Way::start(config(&server.url(), |config| {
        config.queue.time_limit = Duration::from_secs(2);
    }));
    let outcome = way.ask(kind, 1, 7);
    assert!(way.backend.health().counts.in_flight == 0);
    let seen = seen.lock().expect("no panic");
    let first = &seen[0];
    for request in seen.iter() {
        assert_eq!(request.field("webhook-id"), first.field("webhook-id"));
        assert_eq!(request.field("ce-id"), first.field("webhook-id"));
        assert_eq!(request.body, first.body);
    }
    let retried = way.backend.health().counts.retried;
    assert_eq!(retried as usize, seen.len() - 1);
    (outcome, seen.len())
}

fn lost() -> Reply {
    Reply::raw("", Then::Close)
}

#[test]
fn messages_are_tried_again_where_the_back_end_had_no_say() {
    let again = |reply: Reply| requests(Kind::Message, vec![reply.clone(), reply.clone(), reply]);
    for reply in [Reply::status(502), Reply::status(503), Reply::status(504)] {
        let (outcome, count) = again(reply);
        assert!(
            matches!(outcome, Err(Failure::Status(502..=504))),
            "{outcome:?}"
        );
        assert_eq!(count, 3, "two retries and no more");
    }
    let (outcome, count) = again(lost());
    assert_eq!((outcome.err(), count), (Some(Failure::Lost), 3));
    let (outcome, count) = requests(
        Kind::Connect,
        vec![lost(), Reply::status(503), Reply::json("{}")],
    );
    assert!(matches!(outcome, Ok(Answer::Connect(_))), "{outcome:?}");
    assert_eq!(count, 3);
}

#[test]
fn messages_are_not_tried_again_where_it_had() {
    for reply in [
        Reply::status(400),
        Reply::status(404),
        Reply::status(429),
        Reply::status(500),
        Reply::status(501),
        Reply::json("garbage"),
        Reply::raw("", Then::Silence),
    ] {
        for kind in [Kind::Connect, Kind::Message] {
            let (outcome, count) = requests(kind, vec![reply.clone()]);
            assert!(outcome.is_err(), "{reply:?}");
            assert_eq!(count, 1, "{reply:?}");
        }
    }
}

#[test]
fn disconnects_are_tried_until_they_are_delivered() {
    let replies = vec![
        Reply::status(500),
        lost(),
        Reply::status(404),
        Reply::raw("", Then::Silence),
        Reply::status(302),
        Reply::raw("garbage\r\n\r\n", Then::Close),
        Reply::new(200, "text/html", "thanks"),
    ];
    let (outcome, count) = requests(Kind::Disconnect, replies);
    assert!(matches!(outcome, Ok(Answer::Delivered)), "{outcome:?}");
    assert_eq!(count, 7);
    let (outcome, count) = requests(Kind::Disconnect, vec![Reply::status(410)]);
    assert_eq!(outcome.expect_err("no more").client_status(), 410);
    assert_eq!(count, 1);
}

#[test]
fn disconnects_are_given_up_when_they_are_old() {
    let server = Server::start(|_| Reply::status(500));
    let way = Way::start(config(&server.url(), |config| {
        config.queue.disconnect_age_max = Duration::from_millis(1_500);
    }));
    let failure = way.ask(Kind::Disconnect, 1, 7).expect_err("too old");
    // The other one where the thread comes too late for one more.
    assert!(
        matches!(failure, Failure::Status(500) | Failure::Expired),
        "{failure}"
    );
    assert!(server.requests() >= 2, "{}", server.requests());
}

#[test]
fn retry_after_is_waited_for_where_there_is_time() {
    let busy = |seconds: u32| {
        let bytes =
            format!("HTTP/1.1 503 x\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n");
        Reply::raw(bytes, Then::Next)
    };
    let (server, seen) = scripted(vec![busy(1), Reply::json("{}"), busy(60)]);
    let way = Way::start(config(&server.url(), |_| ()));
    let begun = Instant::now();
    assert!(way.ask(Kind::Message, 1, 0).is_ok());
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let stamp =
        |request: &Request| -> u64 { request.field("webhook-timestamp").parse().expect("seconds") };
    {
        let seen = seen.lock().expect("no panic");
        assert!(
            stamp(&seen[1]) > stamp(&seen[0]),
            "each attempt has its own time"
        );
        assert_ne!(
            seen[1].field("webhook-signature"),
            seen[0].field("webhook-signature")
        );
        assert_eq!(seen[1].field("webhook-id"), seen[0].field("webhook-id"));
    }
    let begun = Instant::now();
    let failure = way.ask(Kind::Message, 1, 1).expect_err("no time for that");
    assert_eq!(failure, Failure::Status(503));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(server.requests(), 3);
}

/// A port on which nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

#[test]
fn a_back_end_that_is_not_there_is_tried_again() {
    let url = format!("http://{}/", nobody());
    let way = Way::start(config(&url, |_| ()));
    let failure = way.ask(Kind::Message, 1, 0).expect_err("nobody is there");
    assert!(
        matches!(&failure, Failure::Unreachable(why) if why.contains("refused")),
        "{failure}"
    );
    assert_eq!(way.backend.health().counts.retried, 2);
    let way = Way::start(config("http://nobody.invalid/", |config| {
        config.queue.retries = 0;
    }));
    let failure = way.ask(Kind::Message, 1, 0).expect_err("no such host");
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure}");
}

#[test]
fn a_connection_that_the_back_end_has_closed_meanwhile_costs_nothing() {
    // It promises to keep the connection, and does not.
    let server = Server::start(|_| Reply {
        then: Then::Close,
        ..Reply::json("{}")
    });
    let way = Way::start(config(&server.url(), |config| config.concurrency = 1));
    for ticket in 0..50 {
        let outcome = way.ask(Kind::Message, 1, ticket);
        assert!(outcome.is_ok(), "{ticket}: {outcome:?}");
    }
    assert_eq!((server.requests(), server.connections()), (50, 50));
}

#[test]
fn a_back_end_that_is_away_is_asked_by_one_and_then_by_all() {
    let (is_back, refused) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let (its_back, its_refused) = (Arc::clone(&is_back), Arc::clone(&refused));
    let server = Server::start(move |_| {
        if its_back.load(Ordering::SeqCst) {
            return Reply::empty();
        }
        its_refused.fetch_add(1, Ordering::SeqCst);
        Reply::status(503)
    });
    let pause = Duration::from_millis(150);
    let way = Way::start(config(&server.url(), |config| {
        config.queue.retries = 0;
        config.breaker.failures = 5;
        config.breaker.pause = pause;
        config.breaker.pause_max = pause;
    }));
    for ticket in 0..5 {
        way.ask(Kind::Message, 1, ticket).expect_err("503");
    }
    let health = way.backend.health();
    assert_eq!((health.breaker, health.opened), (BreakerState::Open, 1));
    assert_eq!(
        way.backend.post(event(Kind::Message, 1, 5)),
        Err(Refused::Away)
    );

    // They stay; by turns one of them finds out.
    for ticket in 100..200 {
        way.post(Kind::Disconnect, ticket, ticket);
    }
    eventually("three probes have failed", || {
        way.backend.health().opened >= 4
    });
    let health = way.backend.health();
    assert_eq!(health.counts.disconnects, 100);
    assert_ne!(health.breaker, BreakerState::Closed);
    let probes = refused.load(Ordering::SeqCst) - 5;
    let opened = way.backend.health().opened - 1;
    assert!(
        probes.abs_diff(opened) <= 1,
        "{probes} requests, {opened} probes"
    );

    is_back.store(true, Ordering::SeqCst);
    way.wait(100);
    assert!(way.told.all().iter().all(|(_, outcome)| outcome.is_ok()));
    let health = way.backend.health();
    assert_eq!(
        (health.breaker, health.counts.disconnects),
        (BreakerState::Closed, 0)
    );
    assert!(way.ask(Kind::Message, 1, 6).is_ok());
}
