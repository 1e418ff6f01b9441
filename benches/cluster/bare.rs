//! The floor: a publisher and a subscriber, with nothing in between but Redis.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{CHANNELS, DATA, Measured, Plan, percentiles, rate};

/// Publications of one pipeline.
const PIPELINE: usize = 1_000;

/// A Redis that keeps nothing; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    child: Child,
    pub(crate) port: u16,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--client-output-buffer-limit", "pubsub 0 0 0"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let redis = Self { child, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "Redis starts");
            thread::sleep(Duration::from_millis(5));
        }
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(port: u16) -> redis::Connection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a URL");
    client.get_connection().expect("Redis")
}

pub(crate) fn measure(plan: &Plan, port: u16) -> Measured {
    let (mut publisher, mut subscriber) = (connect(port), connect(port));
    let mut subscriber = subscriber.as_pubsub();
    subscriber.subscribe("bare").expect("subscribed");
    let mut singles = Vec::new();
    for _ in 0..plan.singles {
        let begun = Instant::now();
        redis::cmd("PUBLISH")
            .arg("bare")
            .arg(DATA)
            .exec(&mut publisher)
            .expect("published");
        subscriber.get_message().expect("heard");
        singles.push(begun.elapsed());
    }
    let (p50, p99) = percentiles(singles);
    let one = stream(plan, &mut publisher, &mut subscriber, &["bare".to_owned()]);
    let names: Vec<_> = (0..CHANNELS)
        .map(|number| format!("bare-{number}"))
        .collect();
    subscriber.subscribe(&names).expect("subscribed");
    let many = stream(plan, &mut publisher, &mut subscriber, &names);
    Measured {
        p50,
        p99,
        rate: rate(plan.stream, one),
        rate_of_many: rate(plan.stream, many),
    }
}

/// How long all messages take, to each channel in turn.
fn stream(
    plan: &Plan,
    publisher: &mut redis::Connection,
    subscriber: &mut redis::PubSub<'_>,
    channels: &[String],
) -> Duration {
    let begun = Instant::now();
    let mut channels = channels.iter().cycle();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..plan.stream / PIPELINE.min(plan.stream) {
                let mut pipeline = redis::Pipeline::new();
                for channel in channels.by_ref().take(PIPELINE.min(plan.stream)) {
                    pipeline.cmd("PUBLISH").arg(channel).arg(DATA).ignore();
                }
                pipeline.exec(publisher).expect("published");
            }
        });
        for _ in 0..plan.stream {
            subscriber.get_message().expect("heard");
        }
    });
    begun.elapsed()
}
