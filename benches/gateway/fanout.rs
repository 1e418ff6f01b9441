//! A message to a room of many against one to as many on the `broadcast` endpoint: deliveries for a second of CPU time.

use std::time::{Duration, Instant};

use crate::peers::{Peers, text};
use crate::server::Server;
use crate::{Plan, Row, spread};

const WORKERS: usize = 2;
const DATA: &str = "The quick brown fox jumps over the lazy dog and the tide comes in at noon.";

/// Deliveries a second of the server's CPU time: every member gets a message before the next is sent. `message` comes to
/// each as one frame; gives the frame's length too.
fn measure(
    plan: &Plan,
    path: &str,
    message: &str,
    texts: impl Fn(usize) -> Vec<String>,
) -> (f64, u64) {
    let server = Server::start(WORKERS);
    let mut peers = Peers::new();
    for number in 0..plan.members {
        peers.websocket(server.address, path, &texts(number));
    }
    let message = text(message);
    peers.all[0].send(&message);
    let len = peers.settle(0);
    let publish = |peers: &mut Peers| {
        peers.all[0].send(&message);
        let mut missing = len * plan.members as u64;
        let before: u64 = peers.all.iter().map(|peer| peer.received).sum();
        while missing > 0 {
            peers.turn(Duration::from_secs(1), |_, _| {});
            let now: u64 = peers.all.iter().map(|peer| peer.received).sum();
            missing = (len * plan.members as u64) - (now - before);
        }
    };
    for _ in 0..5 {
        publish(&mut peers);
    }
    let cpu = server.cpu_seconds();
    let begun = Instant::now();
    let mut publications = 0;
    while begun.elapsed().as_secs_f64() < plan.seconds {
        publish(&mut peers);
        publications += 1;
    }
    let cpu = server.cpu_seconds() - cpu;
    (f64::from(publications) * plan.members as f64 / cpu, len)
}

fn room(plan: &Plan) -> (f64, u64) {
    let message =
        format!(r#"{{"type":"publish","room":"r","event":"tide","data":"{DATA}","echo":true}}"#);
    measure(plan, "/", &message, |number| {
        vec![
            format!(r#"{{"type":"register","userId":"user-{number}"}}"#),
            r#"{"type":"join","room":"r","id":1}"#.to_owned(),
        ]
    })
}

fn channel(plan: &Plan, frame_len: u64) -> (f64, u64) {
    // As many bytes on the wire, the header being 4 bytes long.
    let message = "x".repeat(frame_len as usize - 4);
    measure(plan, "/broadcast", &message, |_| Vec::new())
}

pub(crate) fn run(plan: &Plan) -> Vec<Row> {
    let (_, frame_len) = room(&Plan {
        seconds: 0.0,
        ..*plan
    });
    let mut ratios = Vec::new();
    let mut last = (0.0, 0.0);
    for round in 0..plan.rounds {
        let (in_room, on_channel) = if round % 2 == 0 {
            let in_room = room(plan);
            (in_room, channel(plan, frame_len))
        } else {
            let on_channel = channel(plan, frame_len);
            (room(plan), on_channel)
        };
        assert_eq!(in_room.1, on_channel.1, "frames of one length");
        ratios.push(in_room.0 / on_channel.0);
        last = (in_room.0, on_channel.0);
    }
    let (ratio, extremes) = spread(ratios);
    vec![Row {
        what: format!(
            "Deliveries a CPU second to a room of {} on {WORKERS} workers, frames of {frame_len} bytes, against the `broadcast` endpoint",
            plan.members
        ),
        figure: format!(
            "{ratio:.3} times ({extremes}); {:.0} to {:.0} in the last round",
            last.0, last.1
        ),
        goal: Some(("0.9 times", ratio >= 0.9)),
    }]
}
