//! How many events a second reach a back end on this machine over connections that are kept, and what of the way is ours.
//!
//! usage: `cargo bench --bench backend -- [--quick]`; `--quick` only finds out whether it works. All threads that send are on the first
//! core, the back end is on the second. So many keys have an event under way or waiting all the time: whenever one is answered the
//! next of its key is posted.

#[path = "../tests/backend_http/server.rs"]
#[allow(
    dead_code,
    reason = "of all that a script can say this one says one thing"
)]
mod server;

use std::env;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::value::RawValue;
use server::{Reply, Server};
use tidegate::backend::{
    Answer, Backend, BackendConfig, BackendUrl, BreakerLimits, ClientConfig, DeliveryId, Event,
    Failure, Inbox, Kind, Mode, QueueLimits, Secrets,
};

const KEYS: u64 = 256;
const EVENTS: u64 = 100_000;
const EVENTS_QUICK: u64 = 1_000;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// A message as clients send it.
const DATA: &str = r#"{"connectionId":"0-17.3","userId":"ann","message":{"type":"order","item":"The tide comes in at noon.","count":3}}"#;

/// Posts the next event of a key when one was answered.
#[derive(Debug, Default)]
struct Loop {
    backend: OnceLock<Weak<Backend>>,
    /// Events that were not posted yet.
    left: AtomicU64,
    answered: Mutex<u64>,
    is_done: Condvar,
}

impl Loop {
    fn post(&self, key: u64) {
        let next = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        let backend = self.backend.get().and_then(Weak::upgrade);
        if let (Ok(_), Some(backend)) = (next, backend) {
            backend.post(event(key)).expect("room");
        }
    }
}

impl Inbox for Loop {
    fn settle(&self, key: u64, answer: Result<Answer, Failure>) {
        assert!(answer.is_ok(), "{answer:?}");
        self.post(key);
        *self.answered.lock().expect("no panic") += 1;
        self.is_done.notify_one();
    }
}

fn event(key: u64) -> Event {
    Event {
        id: DeliveryId::random(),
        kind: Kind::Message,
        key,
        ticket: key,
        time: SystemTime::now(),
        subject: Some("0-17.3".into()),
        extensions: vec![("sequence", "12".into())],
        data: RawValue::from_string(DATA.to_owned()).expect("JSON"),
    }
}

/// Puts this thread, and those that it starts, on one core.
fn settle_on(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).expect("two cores");
}

/// Sends so many events with so many threads: the time that it took, and the median and 99th hundredth of a request.
fn run(events: u64, concurrency: usize) -> (Duration, [Duration; 2]) {
    settle_on(1);
    let server = Server::start(|_| Reply::json("{}"));
    settle_on(0);
    let inbox = Arc::new(Loop::default());
    let config = BackendConfig {
        client: ClientConfig {
            url: BackendUrl::parse(&server.url()).expect("a URL"),
            secrets: Secrets::parse([SECRET]).expect("a secret"),
            mode: Mode::Binary,
            source: "/tidegate/bench".into(),
        },
        concurrency,
        queue: QueueLimits::default(),
        breaker: BreakerLimits::default(),
    };
    let backend = Backend::start(config, Arc::clone(&inbox) as Arc<dyn Inbox>);
    let backend = Arc::new(backend.expect("threads"));
    inbox.left.store(events, Ordering::SeqCst);
    inbox
        .backend
        .set(Arc::downgrade(&backend))
        .expect("it is set once");
    let begun = Instant::now();
    (0..KEYS).for_each(|key| inbox.post(key));
    let mut answered = inbox.answered.lock().expect("no panic");
    while *answered < events {
        answered = inbox.is_done.wait(answered).expect("no panic");
    }
    let took = begun.elapsed();
    let latency = backend.latency_us();
    let at = |quantile| Duration::from_micros(latency.value_at_quantile(quantile));
    (took, [at(0.5), at(0.99)])
}

fn main() -> io::Result<()> {
    let events = if env::args().any(|argument| argument == "--quick") {
        EVENTS_QUICK
    } else {
        EVENTS
    };
    let mut out = io::stdout();
    for concurrency in [1, 4, 16, 32] {
        let (took, [p50, p99]) = run(events, concurrency);
        let rate = events as f64 / took.as_secs_f64();
        writeln!(
            out,
            "{concurrency:>3} threads: {rate:>6.0} events/s, a request p50 {p50:?}, p99 {p99:?}"
        )?;
    }
    Ok(())
}
