//! `POST /api/message` to a connected user, over keep-alive connections that each wait for their answer.

use std::time::{Duration, Instant};

use crate::peers::Peers;
use crate::server::{API_KEY, Server};
use crate::{Plan, Row, spread};

const CONNECTIONS: usize = 16;

fn measure(plan: &Plan) -> (f64, f64) {
    let server = Server::start(1);
    server.alone_on_a_core();
    let mut peers = Peers::new();
    let register = r#"{"type":"register","userId":"ann"}"#.to_owned();
    let user = peers.websocket(server.address, "/", &[register]);
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|_| peers.bare(server.address))
        .collect();
    let body = r#"{"userId":"ann","event":"order","data":{"id":7,"state":"shipped"}}"#;
    let request = format!(
        "POST /api/message HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {API_KEY}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    peers.all[callers[0]].send(request.as_bytes());
    let answer_len = peers.settle(callers[0]);
    let frame_len = peers.all[user].received;
    for &caller in &callers {
        peers.all[caller].send(request.as_bytes());
    }
    let mut answers = 1;
    let (mut counted_from, mut begun, mut cpu) = (0, Instant::now(), 0.0);
    let warm_up = Duration::from_secs_f64(plan.seconds / 8.0);
    loop {
        if counted_from == 0 && begun.elapsed() > warm_up {
            (counted_from, begun, cpu) = (answers, Instant::now(), server.cpu_seconds());
        }
        if counted_from > 0 && begun.elapsed().as_secs_f64() > plan.seconds {
            break;
        }
        peers.turn(Duration::from_secs(1), |number, peer| {
            if number != user && peer.received % answer_len == 0 {
                answers += 1;
                peer.send(request.as_bytes());
            }
        });
    }
    let count = f64::from(answers - counted_from);
    let rates = (
        count / begun.elapsed().as_secs_f64(),
        (server.cpu_seconds() - cpu) / count * 1e6,
    );
    while peers.all[user].received < frame_len * answers as u64 {
        peers.turn(Duration::from_secs(1), |_, _| {});
    }
    rates
}

pub(crate) fn run(plan: &Plan) -> Vec<Row> {
    let mut rates = Vec::new();
    let mut costs = Vec::new();
    for _ in 0..plan.rounds {
        let (rate, cost) = measure(plan);
        rates.push(rate / 1000.0);
        costs.push(cost);
    }
    let (rate, extremes) = spread(rates);
    let (cost, _) = spread(costs);
    vec![Row {
        what: format!(
            "`POST /api/message` to a connected user, {CONNECTIONS} keep-alive connections, one core"
        ),
        figure: format!(
            "{:.0} a second ({extremes} thousand); {cost:.1} µs of CPU each",
            rate * 1000.0
        ),
        goal: Some(("20,000 a second", rate >= 20.0)),
    }]
}
