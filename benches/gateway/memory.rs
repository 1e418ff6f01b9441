//! What a registered user in three rooms costs over an idle connection.

use crate::peers::Peers;
use crate::server::Server;
use crate::{Plan, Row};

const ROOMS: usize = 3;

/// Bytes of memory for each of many connections.
fn measure(plan: &Plan, path: &str, texts: impl Fn(usize) -> Vec<String>) -> f64 {
    let server = Server::start(2);
    let mut peers = Peers::new();
    // Whatever the server needs but once.
    for number in 0..plan.members / 10 {
        peers.websocket(server.address, path, &texts(number));
    }
    let before = server.memory_bytes();
    for number in plan.members / 10..plan.members {
        peers.websocket(server.address, path, &texts(number));
    }
    let grown = server.memory_bytes().saturating_sub(before);
    grown as f64 / (plan.members - plan.members / 10) as f64
}

/// A user in rooms of `size` members.
fn user(number: usize, size: usize) -> Vec<String> {
    let mut texts = vec![format!(r#"{{"type":"register","userId":"user-{number}"}}"#)];
    texts.extend((0..ROOMS).map(|room| {
        let group = number / size;
        format!(r#"{{"type":"join","room":"room-{room}-{group}","id":1}}"#)
    }));
    texts
}

pub(crate) fn run(plan: &Plan) -> Vec<Row> {
    let idle = measure(plan, "/ws", |_| Vec::new());
    let row = |(size, goal): (usize, Option<&'static str>)| {
        let cost = measure(plan, "/", |number| user(number, size)) - idle;
        Row {
            what: format!(
                "Memory of a registered user in {ROOMS} rooms of {size} over an idle connection"
            ),
            figure: format!("{cost:.0} bytes (an idle one: {idle:.0})"),
            goal: goal.map(|goal| (goal, cost <= 1024.0)),
        }
    };
    // With rooms of one there are three rooms more for each user: what a room costs, rather than a user.
    let goal = Some("1,024 bytes");
    [(100, goal), (10, goal), (2, goal), (1, None)]
        .map(row)
        .into()
}
