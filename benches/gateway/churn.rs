//! Messages to a large room, at a steady rate, while others join and leave it, against a quiet hour.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::peers::{Peers, text};
use crate::server::Server;
use crate::{Plan, Row, spread};

/// Rare enough for two cores, which server and load share, to be idle for most of the time in the quiet hour: a machine at its limit
/// would answer any further load by a queue.
const PUBLICATION_INTERVAL: Duration = Duration::from_millis(250);
/// Joins and leaves are sent so often.
const STEP: Duration = Duration::from_millis(2);
/// Microseconds; a longer one counts as this.
const LATENCY_MAX_US: u64 = 60_000_000;
/// Connections that join and leave.
const CHURNERS: usize = 200;

struct Hall {
    /// Ends with this.
    _server: Server,
    peers: Peers,
    /// The first of those who join and leave; members come before it, and the first of these speaks.
    churners: usize,
    frame_len: u64,
    message: Vec<u8>,
}

impl Hall {
    fn open(plan: &Plan) -> Self {
        let server = Server::start(2);
        let mut peers = Peers::new();
        let join = r#"{"type":"join","room":"r","id":1}"#;
        for number in 0..plan.members + CHURNERS {
            let register = format!(r#"{{"type":"register","userId":"user-{number}"}}"#);
            let mut texts = vec![register];
            if number < plan.members {
                texts.push(join.to_owned());
            }
            peers.websocket(server.address, "/", &texts);
        }
        let message =
            text(r#"{"type":"publish","room":"r","event":"tide","data":3.2,"echo":true}"#);
        peers.all[0].send(&message);
        let frame_len = peers.settle(0);
        Self {
            _server: server,
            peers,
            churners: plan.members,
            frame_len,
            message,
        }
    }

    /// The 99th percentile of the time from a publication to each member, milliseconds, with so many joins, and as many
    /// leaves, a second.
    fn p99(&mut self, seconds: f64, churn: u64) -> f64 {
        let mut latency = Histogram::<u64>::new_with_bounds(1, LATENCY_MAX_US, 3).expect("bounds");
        let join = text(r#"{"type":"join","room":"r"}"#);
        let leave = text(r#"{"type":"leave","room":"r"}"#);
        let begun = Instant::now();
        let window = Duration::from_secs_f64(seconds);
        let mut sent: Vec<Instant> = Vec::new();
        let before: Vec<u64> = self.peers.all.iter().map(|peer| peer.received).collect();
        let (mut pairs, mut deliveries) = (0, 0);
        let publications = window.div_duration_f64(PUBLICATION_INTERVAL).max(1.0) as u64;
        let members = self.churners;
        while deliveries < publications * members as u64 {
            let passed = begun.elapsed();
            let due = PUBLICATION_INTERVAL * sent.len() as u32;
            if (sent.len() as u64) < publications && passed >= due {
                // When it was due: a load that is late is late for its members too.
                sent.push(begun + due);
                self.peers.all[0].send(&self.message);
            }
            while passed < window && pairs < (passed.as_secs_f64() * churn as f64) as u64 {
                let number = members + pairs as usize % CHURNERS;
                let both = [join.as_slice(), &leave].concat();
                self.peers.all[number].send(&both);
                pairs += 1;
            }
            let len = self.frame_len;
            self.peers.turn(STEP, |number, peer| {
                if number >= members {
                    return;
                }
                let now = Instant::now();
                let due = (peer.received - before[number]) / len;
                let had = peer.told.max(before[number] / len) - before[number] / len;
                for index in had..due {
                    latency.saturating_record((now - sent[index as usize]).as_micros() as u64);
                    deliveries += 1;
                }
                peer.told = before[number] / len + due;
            });
        }
        latency.value_at_quantile(0.99) as f64 / 1000.0
    }
}

pub(crate) fn run(plan: &Plan) -> Vec<Row> {
    let mut hall = Hall::open(plan);
    let mut ratios = Vec::new();
    let mut last = (0.0, 0.0);
    hall.p99(plan.seconds / 4.0, plan.churn);
    for round in 0..plan.rounds {
        let (quiet, busy) = if round % 2 == 0 {
            let quiet = hall.p99(plan.seconds, 0);
            (quiet, hall.p99(plan.seconds, plan.churn))
        } else {
            let busy = hall.p99(plan.seconds, plan.churn);
            (hall.p99(plan.seconds, 0), busy)
        };
        ratios.push(busy / quiet);
        last = (busy, quiet);
    }
    let (ratio, extremes) = spread(ratios);
    vec![Row {
        what: format!(
            "99th percentile of messages to a room of {} with {} joins and as many leaves a second, against none",
            plan.members, plan.churn
        ),
        figure: format!(
            "{ratio:.3} times ({extremes}); {:.1} to {:.1} ms in the last round",
            last.0, last.1
        ),
        goal: Some(("2 times", ratio <= 2.0)),
    }]
}
