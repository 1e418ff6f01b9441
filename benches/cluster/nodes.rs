//! The way of a message from a client of one node to a client of another.

#[path = "../gateway/peers.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod peers;
#[path = "../gateway/server.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod server;

use std::thread;
use std::time::{Duration, Instant};

use crate::{CHANNELS, DATA, Measured, Plan, percentiles, rate};
use peers::{Peers, text};
use server::Server;

/// Messages that may be on their way at one time.
const WINDOW: u64 = 4_000;
/// Messages of one write: some for every channel.
const BURST: usize = 200;

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
    let message = chat("bob");
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
    let (p50, p99) = percentiles(singles);
    let one = stream(plan, &mut peers, speaker, &[listener], &[message]);
    let name = |number: usize| format!("user-{number}");
    let listeners: Vec<_> = (0..CHANNELS)
        .map(|number| peers.websocket(nodes[1].address, "/", &register(&name(number))))
        .collect();
    let chat = |number: usize| chat(&name(number));
    let messages: Vec<_> = (0..CHANNELS).map(chat).collect();
    let many = stream(plan, &mut peers, speaker, &listeners, &messages);
    Measured {
        p50,
        p99,
        rate: rate(plan.stream, one),
        rate_of_many: rate(plan.stream, many),
    }
}

fn chat(user: &str) -> Vec<u8> {
    text(&format!(
        r#"{{"type":"chat","targetUserId":"{user}","text":"{DATA}"}}"#
    ))
}

/// How long it takes until `listeners` have all messages, which `speaker` says in turns.
fn stream(
    plan: &Plan,
    peers: &mut Peers,
    speaker: usize,
    listeners: &[usize],
    messages: &[Vec<u8>],
) -> Duration {
    peers.all[speaker].send(&messages[0]);
    let len = peers.settle(listeners[0]);
    let received = |peers: &Peers| -> u64 {
        let received = listeners
            .iter()
            .map(|listener| peers.all[*listener].received);
        received.sum()
    };
    let burst = messages.concat().repeat(BURST / messages.len());
    let (all, burst_len) = (plan.stream as u64, BURST as u64);
    let before = received(peers);
    let begun = Instant::now();
    let mut sent = 0;
    loop {
        let came = (received(peers) - before) / len;
        if came >= all {
            return begun.elapsed();
        }
        while sent < all && sent < came + WINDOW {
            peers.all[speaker].send(&burst);
            sent += burst_len;
        }
        peers.turn(Duration::from_secs(1), |_, _| {});
    }
}
