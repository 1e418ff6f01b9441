//! What three open dashboards and a scrape each second cost beside many connections that say nothing.

use std::time::{Duration, Instant};

use crate::peers::Peers;
use crate::server::{API_KEY, Server};
use crate::{Plan, Row, spread};

const DASHBOARDS: usize = 3;
const ROOMS: usize = 1_000;
const SECOND: Duration = Duration::from_secs(1);

/// Share of a core that the server uses for so many seconds, while `each_second` is called.
fn share(
    server: &Server,
    peers: &mut Peers,
    seconds: f64,
    mut each_second: impl FnMut(&mut Peers),
) -> f64 {
    let (begun, cpu) = (Instant::now(), server.cpu_seconds());
    let mut second = 0;
    while begun.elapsed().as_secs_f64() < seconds {
        if begun.elapsed() >= SECOND * second {
            each_second(peers);
            second += 1;
        }
        peers.turn(Duration::from_millis(20), |_, _| {});
    }
    (server.cpu_seconds() - cpu) / begun.elapsed().as_secs_f64()
}

/// Shares of a core: without anybody who looks on, and with.
fn measure(plan: &Plan) -> (f64, f64) {
    let server = Server::start(2);
    let mut peers = Peers::new();
    for number in 0..plan.members {
        let texts = [
            format!(r#"{{"type":"register","userId":"user-{number}"}}"#),
            format!(
                r#"{{"type":"join","room":"room-{}","id":1}}"#,
                number % ROOMS
            ),
        ];
        peers.websocket(server.address, "/", &texts);
    }
    let without = share(&server, &mut peers, plan.seconds, |_| {});
    let key = format!(r#"{{"key":"{API_KEY}"}}"#);
    let dashboards: Vec<_> = (0..DASHBOARDS)
        .map(|_| {
            peers.websocket(
                server.address,
                "/dashboard/live",
                std::slice::from_ref(&key),
            )
        })
        .collect();
    let scraper = peers.bare(server.address);
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {API_KEY}\r\n\r\n");
    let with = share(&server, &mut peers, plan.seconds.max(3.0), |peers| {
        peers.all[scraper].send(request.as_bytes());
    });
    for &listener in dashboards.iter().chain([&scraper]) {
        assert!(peers.all[listener].received > 0, "it is told something");
    }
    (without, with)
}

pub(crate) fn run(plan: &Plan) -> Vec<Row> {
    let mut costs = Vec::new();
    for _ in 0..plan.rounds {
        let (without, with) = measure(plan);
        costs.push((with - without) * 100.0);
    }
    let (cost, extremes) = spread(costs);
    vec![Row {
        what: format!(
            "{DASHBOARDS} dashboards open and a scrape each second, beside {} users in {ROOMS} rooms who say nothing",
            plan.members
        ),
        figure: format!("{cost:.2} % of a core ({extremes})"),
        goal: Some(("less than 2 %", cost < 2.0)),
    }]
}
