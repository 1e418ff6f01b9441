//! The way of a message from a client of one node to a client of another.

#[path = "../gateway/peers.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod peers;
#[path = "../gateway/server.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod server;

use std::thread;
use std::time::{Duration, Instant};

use crate::{DATA, Measured, Plan, measured};
use peers::{Peers, text};
use server::Server;

/// Messages that may be on their way at one time.
const WINDOW: u64 = 4_000;
/// Messages of one write.
const BURST: u64 = 200;

pub(crate) fn measure(plan: &Plan, redis: u16) -> Measured {
    let url = format!("redis://127.0.0.1:{redis}");
    let settings = [("REDIS_ENABLED", "on"), ("REDIS_URL", &*url)];
    let nodes = [(); 2].map(|()| Server::start_with(1, &settings));
    // Their links to Redis are made by then.
    thread::sleep(Duration::from_millis(300));
    let mut peers = Peers::new();
    let register = |user: &str| vec![format!(r#"{{"type":"register","userId":"{user}"}}"#)];
    let speaker = peers.websocket(nodes[0].address, "/", &register("ann"));
    let listener = peers.websocket(nodes[1].address, "/", &register("bob"));
    let message = text(&format!(
        r#"{{"type":"chat","targetUserId":"bob","text":"{DATA}"}}"#
    ));
    peers.all[speaker].send(&message);
    let len = peers.settle(listener);
    let mut singles = Vec::new();
    for _ in 0..plan.singles {
        let begun = Instant::now();
        let due = peers.all[listener].received + len;
        peers.all[speaker].send(&message);
        while peers.all[listener].received < due {
            peers.turn(Duration::from_secs(1), |_, _| {});
        }
        singles.push(begun.elapsed());
    }
    let begun = Instant::now();
    let before = peers.all[listener].received;
    let burst = message.repeat(BURST as usize);
    let mut sent = 0;
    loop {
        let came = (peers.all[listener].received - before) / len;
        if came >= plan.stream as u64 {
            break;
        }
        while sent < plan.stream as u64 && sent < came + WINDOW {
            peers.all[speaker].send(&burst);
            sent += BURST;
        }
        peers.turn(Duration::from_secs(1), |_, _| {});
    }
    measured(singles, plan.stream, begun.elapsed())
}
