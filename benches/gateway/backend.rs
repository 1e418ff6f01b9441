//! A back end behind the gateway: what those notice who do not use it, and what an event costs.

#[path = "../../tests/backend_http/server.rs"]
#[allow(dead_code, reason = "of all that a script can say these say one thing")]
mod service;

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use service::{Reply, Server as BackEnd};

use crate::peers::{Peers, text};
use crate::server::{Server, rest_on_second_core};
use crate::{Plan, Row, spread};

/// The back end that is slow takes so long, and up to so much longer: answers that are all due at one time would be a wave, and no load.
const SLOW: Duration = Duration::from_millis(40);
const SLOWER: Duration = Duration::from_millis(20);
/// Connections that do not use the back end, and how often one of them says something.
const PROBES: usize = 50;
const PROBE_INTERVAL: Duration = Duration::from_millis(2);
/// Microseconds; a longer one counts as this.
const LATENCY_MAX_US: u64 = 60_000_000;
/// Connections of which each has one event under way or waiting, where it is to be seen what an event costs.
const SENDERS: usize = 256;
const CONCURRENCY: &str = "16";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// A message of a client that is the back end's to answer.
const ORDER: &str = r#"{"type":"order","item":"The tide comes in at noon.","count":3,"id":1}"#;

/// One that answers in 50 ms or so.
fn slow() -> BackEnd {
    BackEnd::start(|_| {
        thread::sleep(SLOW + SLOWER.mul_f64(rand::random()));
        Reply::empty()
    })
}

fn server(workers: usize, back_end: &BackEnd, settings: &[(&str, &str)]) -> Server {
    let url = back_end.url();
    let own = [
        ("BACKEND_URL", url.as_str()),
        ("BACKEND_SECRET", SECRET),
        ("BACKEND_EVENTS", "message"),
    ];
    Server::start_with(workers, &[&own, settings].concat())
}

/// Has these connections send, and gives the length of an answer, which is the same each time.
fn begin(peers: &mut Peers, senders: &[usize]) -> u64 {
    let order = text(ORDER);
    peers.all[senders[0]].send(&order);
    let answer_len = peers.settle(senders[0]);
    for &sender in senders {
        peers.all[sender].send(&order);
    }
    answer_len
}

/// The 99th percentile of the time that echoes take, milliseconds, while so many others use the back end.
fn p99(seconds: f64, senders: usize) -> f64 {
    let slow = slow();
    let server = server(2, &slow, &[]);
    let mut peers = Peers::new();
    let probes: Vec<_> = (0..PROBES)
        .map(|_| peers.websocket(server.address, "/ws", &[]))
        .collect();
    let senders: Vec<_> = (0..senders)
        .map(|_| peers.websocket(server.address, "/", &[]))
        .collect();
    let message = text("on and on");
    peers.all[probes[0]].send(&message);
    let echo_len = peers.settle(probes[0]);
    let answer_len = if senders.is_empty() {
        0
    } else {
        begin(&mut peers, &senders)
    };
    let order = text(ORDER);
    let mut latency = Histogram::<u64>::new_with_bounds(1, LATENCY_MAX_US, 3).expect("bounds");
    // When each probe was due to say what it waits for.
    let mut due_at = [None; PROBES];
    // All of them begin at the same time, and make connections: that is over soon.
    let warm_up = seconds / 4.0;
    let begun = Instant::now();
    let (mut count, mut skipped) = (0_u32, 0_u32);
    while begun.elapsed().as_secs_f64() < warm_up + seconds {
        let due = begun + PROBE_INTERVAL * count;
        if due <= Instant::now() {
            let probe = count as usize % PROBES;
            count += 1;
            if due_at[probe].is_some() {
                skipped += 1;
                continue;
            }
            due_at[probe] = Some(due);
            peers.all[probes[probe]].send(&message);
            continue;
        }
        peers.turn(due - Instant::now(), |number, peer| {
            if let Some(waits) = due_at.get_mut(number) {
                if peer.received % echo_len == 0
                    && let Some(due) = waits.take()
                    && (due - begun).as_secs_f64() > warm_up
                {
                    latency.saturating_record(due.elapsed().as_micros() as u64);
                }
            } else if peer.received % answer_len == 0 {
                peer.send(&order);
            }
        });
    }
    assert!(
        skipped * 100 <= count,
        "echoes take longer than a tenth of a second"
    );
    latency.value_at_quantile(0.99) as f64 / 1e3
}

/// Events a second to a back end that answers at once, and microseconds of the server's CPU time for each.
fn cost(plan: &Plan) -> (f64, f64) {
    rest_on_second_core();
    let quick = BackEnd::start(|_| Reply::empty());
    let server = server(1, &quick, &[("BACKEND_CONCURRENCY", CONCURRENCY)]);
    server.alone_on_a_core();
    let mut peers = Peers::new();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| peers.websocket(server.address, "/", &[]))
        .collect();
    let answer_len = begin(&mut peers, &senders);
    let order = text(ORDER);
    let warm_up = Duration::from_secs_f64(plan.seconds / 8.0);
    let (mut answers, mut begun, mut cpu) = (None, Instant::now(), 0.0);
    loop {
        if answers.is_none() && begun.elapsed() > warm_up {
            (answers, begun, cpu) = (Some(0_u64), Instant::now(), server.cpu_seconds());
        }
        if answers.is_some() && begun.elapsed().as_secs_f64() > plan.seconds {
            break;
        }
        peers.turn(Duration::from_secs(1), |_, peer| {
            if peer.received % answer_len == 0 {
                answers = answers.map(|answers| answers + 1);
                peer.send(&order);
            }
        });
    }
    let count = answers.expect("it was warm") as f64;
    assert!(count > 0.0, "the back end is asked");
    let cpu = server.cpu_seconds() - cpu;
    (count / begun.elapsed().as_secs_f64(), cpu / count * 1e6)
}

pub(crate) fn run(plan: &Plan) -> Vec<Row> {
    let (mut ratios, mut last) = (Vec::new(), (0.0, 0.0));
    for _ in 0..plan.rounds {
        let quiet = p99(plan.seconds, 0);
        let loud = p99(plan.seconds, plan.senders);
        ratios.push(loud / quiet);
        last = (quiet, loud);
    }
    let (ratio, extremes) = spread(ratios);
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let (rate, cost) = cost(plan);
        rates.push(rate / 1e3);
        costs.push(cost);
    }
    let ((rate, rates), (cost, _)) = (spread(rates), spread(costs));
    vec![
        Row {
            what: format!(
                "99th percentile of echoes while {} others wait for a back end that answers in 50 ms, against none",
                plan.senders
            ),
            figure: format!(
                "{ratio:.3} times ({extremes}); {:.2} and {:.2} ms in the last round",
                last.0, last.1
            ),
            goal: Some(("1.2 times", ratio <= 1.2)),
        },
        Row {
            what: format!(
                "Messages of {SENDERS} connections answered by a back end on the same machine, {CONCURRENCY} requests at a time, one core"
            ),
            figure: format!(
                "{:.0} a second ({rates} thousand); {cost:.1} µs of CPU each, {:.0} a CPU second",
                rate * 1e3,
                1e6 / cost
            ),
            goal: Some(("10,000 a CPU second", cost <= 100.0)),
        },
    ]
}
