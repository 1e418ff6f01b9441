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
    let (p50, p99) = percentiles(singles);
    let one = stream(plan, &mut peers, speaker, listener, &[message]);
    let room = |number: usize| format!("room-{number:02}");
    let rooms: Vec<_> = (0..CHANNELS).map(room).collect();
    let join = |room: &String| format!(r#"{{"type":"join","room":"{room}","id":1}}"#);
    // Who publishes to a room is in it, and gets nothing of its own.
    let texts = |user: &str| -> Vec<_> {
        let register = register(user).into_iter();
        register.chain(rooms.iter().map(join)).collect()
    };
    let speaker = peers.websocket(nodes[0].address, "/", &texts("eve"));
    let member = peers.websocket(nodes[1].address, "/", &texts("joe"));
    let publish = |room: &String| {
        text(&format!(
            r#"{{"type":"publish","room":"{room}","event":"e","data":"{DATA}"}}"#
        ))
    };
    let messages: Vec<_> = rooms.iter().map(publish).collect();
    let many = stream(plan, &mut peers, speaker, member, &messages);
    Measured {
        p50,
        p99,
        rate: rate(plan.stream, one),
        rate_of_many: rate(plan.stream, many),
    }
}

/// How long it takes until `listener` has all messages, which `speaker` says in turns.
fn stream(
    plan: &Plan,
    peers: &mut Peers,
    speaker: usize,
    listener: usize,
    messages: &[Vec<u8>],
) -> Duration {
    peers.all[speaker].send(&messages[0]);
    let len = peers.settle(listener);
    let burst = messages.concat().repeat(BURST / messages.len());
    let (all, burst_len) = (plan.stream as u64, BURST as u64);
    let before = peers.all[listener].received;
    let begun = Instant::now();
    let mut sent = 0;
    loop {
        let came = (peers.all[listener].received - before) / len;
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
