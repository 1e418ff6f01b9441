//! What the way through Redis costs: two real nodes and a real Redis, started here, against a bare publisher and a bare subscriber
//! on the same Redis.
//!
//! usage: `cargo bench --bench cluster -- [--quick]`. `redis-server` has to be installed. Latencies are those of one message at a
//! time; rates are those of a pipeline that is never empty. Rounds go in turns, and medians stand.

mod bare;
mod nodes;

use std::env;
use std::time::Duration;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: usize,
    /// Messages of a round, one at a time.
    singles: usize,
    /// Messages of a round, as fast as they go.
    stream: usize,
}

const WHOLE: Plan = Plan {
    rounds: 5,
    singles: 5_000,
    stream: 200_000,
};
const QUICK: Plan = Plan {
    rounds: 1,
    singles: 50,
    stream: 1_000,
};

/// Payload bytes of a message as clients send it.
const DATA: &str = "The quick brown fox jumps over the lazy dog and the tide comes in at noon.";

/// What one round of one way has shown.
#[derive(Debug, Clone, Copy)]
struct Measured {
    p50: Duration,
    p99: Duration,
    /// Messages a second.
    rate: f64,
}

fn measured(mut singles: Vec<Duration>, messages: usize, took: Duration) -> Measured {
    singles.sort_unstable();
    Measured {
        p50: singles[singles.len() / 2],
        p99: singles[singles.len() * 99 / 100],
        rate: messages as f64 / took.as_secs_f64(),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(clippy::print_stdout, reason = "its report is what it is for")]
fn main() {
    let is_quick = env::args().any(|argument| argument == "--quick");
    let plan = if is_quick { QUICK } else { WHOLE };
    let redis = bare::Redis::start();
    let mut rows = Vec::new();
    for round in 0..plan.rounds {
        let (ours, floor) = if round % 2 == 0 {
            let ours = nodes::measure(&plan, redis.port);
            (ours, bare::measure(&plan, redis.port))
        } else {
            let floor = bare::measure(&plan, redis.port);
            (nodes::measure(&plan, redis.port), floor)
        };
        rows.push((ours, floor));
    }
    let ratio = |of: fn(&Measured) -> f64| {
        median(
            rows.iter()
                .map(|(ours, floor)| of(ours) / of(floor))
                .collect(),
        )
    };
    let (ours, floor) = rows[rows.len() - 1];
    println!("| what | between nodes | bare | ratio | goal |\n|---|---|---|---|---|");
    println!(
        "| p50 | {:?} | {:?} | {:.2} | adds 2 times |",
        ours.p50,
        floor.p50,
        ratio(|one| one.p50.as_secs_f64())
    );
    println!(
        "| p99 | {:?} | {:?} | {:.2} | adds 2 times |",
        ours.p99,
        floor.p99,
        ratio(|one| one.p99.as_secs_f64())
    );
    println!(
        "| messages a second | {:.0} | {:.0} | {:.2} | 0.6 |",
        ours.rate,
        floor.rate,
        ratio(|one| one.rate)
    );
}
