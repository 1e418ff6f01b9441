//! The way to a back end, against one that does what a script says: order and fairness, time limits, retries, the breaker, bad
//! answers, signatures as others read them.

mod common;

#[path = "backend_http/bad.rs"]
mod bad;
#[path = "backend_http/foreign.rs"]
mod foreign;
#[path = "backend_http/retries.rs"]
mod retries;
#[path = "backend_http/server.rs"]
mod server;
#[path = "backend_http/told.rs"]
mod told;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::eventually;
use serde_json::Value;
use server::{Reply, Request, Server};
use tidegate::backend::{Answer, Cause, Failure, Kind, QueuePolicy, Refused};
use told::{Way, config, event};

/// The key and the ticket in the data of an event.
fn numbers(request: &Request) -> (u64, u64) {
    let data: Value = serde_json::from_slice(&request.body).expect("JSON");
    let number = |name: &str| data[name].as_u64().expect("a number");
    (number("key"), number("ticket"))
}

/// A door that is shut until it is opened.
#[derive(Debug, Default)]
struct Gate(AtomicBool);

impl Gate {
    fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn pass(&self) {
        eventually("the gate is opened", || self.0.load(Ordering::SeqCst));
    }
}

#[test]
fn events_of_a_key_come_in_order_and_one_at_a_time() {
    const KEYS: u64 = 50;
    const EVENTS: u64 = 200;
    let last: Mutex<HashMap<u64, u64>> = Mutex::default();
    let busy: Vec<AtomicBool> = (0..KEYS).map(|_| AtomicBool::new(false)).collect();
    let wrong = Arc::new(Mutex::new(Vec::new()));
    let its_wrong = Arc::clone(&wrong);
    let server = Server::start(move |request| {
        let (key, ticket) = numbers(request);
        let was_busy = busy[key as usize].swap(true, Ordering::SeqCst);
        let last = last.lock().expect("no panic").insert(key, ticket);
        if was_busy || last.is_some_and(|last| last >= ticket) {
            its_wrong
                .lock()
                .expect("no panic")
                .push((key, ticket, last));
        }
        thread::sleep(Duration::from_micros(rand::random_range(0..2_000)));
        busy[key as usize].store(false, Ordering::SeqCst);
        Reply::json("{}")
    });
    let way = Way::start(config(&server.url(), |config| config.concurrency = 8));
    for number in 0..EVENTS {
        for key in 0..KEYS {
            way.post(Kind::Message, key, number * KEYS + key);
        }
    }
    way.wait((KEYS * EVENTS) as usize);
    assert_eq!(*wrong.lock().expect("no panic"), []);
    assert_eq!(server.requests() as u64, KEYS * EVENTS, "each of them once");
    let mut last: HashMap<u64, u64> = HashMap::new();
    for (ticket, outcome) in way.told.all().iter() {
        assert!(matches!(outcome, Ok(Answer::Message(_))), "{outcome:?}");
        let last = last.insert(ticket % KEYS, *ticket);
        assert!(last.is_none_or(|last| last < *ticket), "told in order");
    }
    // Kept alive: no more connections than threads, and each had about as much to do.
    assert!(server.connections() <= 8, "{}", server.connections());
    assert!((2..=8).contains(&server.most_under_way()));
    let counts = way.backend.health().counts;
    assert_eq!(
        (counts.answered, counts.retried, counts.waiting()),
        (KEYS * EVENTS, 0, 0)
    );
    let latency = way.backend.latency_us();
    assert_eq!(latency.len(), KEYS * EVENTS);
    assert!(latency.value_at_quantile(0.5) > 100);
}

#[test]
fn a_key_with_many_events_starves_nobody() {
    let gate = Arc::new(Gate::default());
    let its_gate = Arc::clone(&gate);
    let (greedy, others) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counters = [Arc::clone(&greedy), Arc::clone(&others)];
    let server = Server::start(move |request| {
        its_gate.pass();
        let is_other = numbers(request).0 != 0;
        counters[usize::from(is_other)].fetch_add(1, Ordering::SeqCst);
        Reply::empty()
    });
    let way = Way::start(config(&server.url(), |config| config.concurrency = 1));
    for ticket in 0..10_000 {
        way.post(Kind::Message, 0, ticket);
    }
    for key in 1..=20 {
        way.post(Kind::Message, key, 10_000 + key);
    }
    gate.open();
    eventually("the others are served", || {
        others.load(Ordering::SeqCst) == 20
    });
    let greedy = greedy.load(Ordering::SeqCst);
    assert!(
        greedy < 200,
        "{greedy} events of one key came in front of 20 others"
    );
}

#[test]
fn a_key_that_waits_for_its_turn_holds_no_thread() {
    let server = Server::start(|request| match numbers(request) {
        (0, _) => Reply::raw(
            "HTTP/1.1 503 x\r\nContent-Length: 0\r\nRetry-After: 60\r\n\r\n",
            server::Then::Next,
        ),
        _ => Reply::empty(),
    });
    let way = Way::start(config(&server.url(), |config| config.concurrency = 1));
    for ticket in 0..10 {
        way.post(Kind::Disconnect, 0, ticket);
    }
    assert!(way.ask(Kind::Message, 1, 100).is_ok());
    eventually("the first is to be tried again", || {
        way.backend.health().counts.retried == 1
    });
    assert!(way.ask(Kind::Message, 1, 101).is_ok());
    assert_eq!(way.backend.health().counts.disconnects, 10);
    assert_eq!(server.requests(), 3);
}

#[test]
fn a_client_is_let_in_named_or_refused() {
    let server = Server::start(|request| match numbers(request).1 {
        0 => Reply::json(r#"{"userId":"ann","rooms":["a"]}"#),
        1 => Reply::new(403, "text/plain; charset=utf-8", "Not today.\r\n"),
        2 => Reply::new(
            401,
            "application/problem+json",
            r#"{"detail":"Who are you?"}"#,
        ),
        3 => Reply::empty(),
        _ => Reply::new(500, "text/html", "<h1>Oh no</h1>"),
    });
    let way = Way::start(config(&server.url(), |_| ()));
    let ask = |ticket| way.ask(Kind::Connect, 1, ticket);
    let Ok(Answer::Connect(answer)) = ask(0) else {
        panic!("no answer");
    };
    assert_eq!(
        (answer.user_id.as_deref(), answer.rooms.len()),
        (Some("ann"), 1)
    );
    for (ticket, status, said) in [(1, 403, "Not today."), (2, 401, "Who are you?")] {
        let failure = ask(ticket).expect_err("a no");
        assert_eq!(failure.client_status(), status);
        let sentence = said.into();
        assert_eq!(failure, Failure::Declined { status, sentence });
    }
    assert!(matches!(ask(3), Ok(Answer::Connect(answer)) if answer.user_id.is_none()));
    let failure = ask(4).expect_err("a failure");
    assert_eq!(
        (failure.client_status(), &failure),
        (503, &Failure::Status(500))
    );
    assert_eq!(server.connections(), 1, "none of it costs the connection");
}

/// Fills a queue of three behind an event that is under way, and one more: what became of all.
fn overfill(policy: QueuePolicy) -> (Result<(), Refused>, Way) {
    let gate = Arc::new(Gate::default());
    let its_gate = Arc::clone(&gate);
    let server = Server::start(move |_| {
        its_gate.pass();
        Reply::empty()
    });
    let way = Way::start(config(&server.url(), |config| {
        config.concurrency = 1;
        config.queue.events_max = 4;
        config.queue.policy = policy;
    }));
    way.post(Kind::Message, 0, 0);
    eventually("one is under way", || server.requests() == 1);
    for ticket in 1..4 {
        way.post(Kind::Message, ticket, ticket);
    }
    let last = way.backend.post(event(Kind::Message, 4, 4));
    way.post(Kind::Disconnect, 0, 5);
    gate.open();
    assert!(way.backend.drain(common::DEADLINE));
    way.wait(if last.is_ok() { 6 } else { 5 });
    (last, way)
}

#[test]
fn a_full_queue_refuses_or_drops_the_oldest_as_the_policy_says() {
    let (last, way) = overfill(QueuePolicy::Refuse);
    assert_eq!(last, Err(Refused::Full));
    let counts = way.backend.health().counts;
    assert_eq!((counts.refused_full, counts.answered), (1, 5));

    let (last, way) = overfill(QueuePolicy::DropOldest);
    assert_eq!(last, Ok(()));
    let counts = way.backend.health().counts;
    assert_eq!((counts.refused_full, counts.answered), (0, 5));
    assert_eq!(counts.failed[Cause::Dropped as usize], 1);
    let all = way.told.all();
    let dropped = all.iter().find(|(_, outcome)| outcome.is_err());
    assert!(
        matches!(dropped, Some((1, Err(Failure::Dropped)))),
        "{dropped:?}"
    );
}

#[test]
fn what_waits_too_long_is_told_while_every_thread_is_busy() {
    let server = Server::start(|_| Reply::raw("", server::Then::Silence));
    let way = Way::start(config(&server.url(), |config| {
        config.concurrency = 1;
        config.queue.wait_max = Duration::from_secs(1);
    }));
    way.post(Kind::Message, 0, 0);
    eventually("it is under way", || server.requests() == 1);
    let failure = way.ask(Kind::Message, 1, 1).expect_err("it was never sent");
    assert_eq!(failure, Failure::Expired);
    assert_eq!(way.backend.health().counts.in_flight, 1);
    assert!(!way.backend.drain(Duration::from_millis(10)));
}
