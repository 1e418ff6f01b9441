//! What the way through Redis costs: two real nodes and a real Redis, started here, against a bare publisher and a bare subscriber
//! on the same Redis.
//!
//! usage: `cargo bench --bench cluster -- [--quick] [--write]`; `--write` puts the table into `benches/CLUSTER.md`, `--quick` only
//! finds out whether everything works. `redis-server` has to be installed. Latencies are those of one message at a time; rates
//! are those of a pipeline that is never empty, to one channel and to many in turns. Rounds go in turns, and medians stand.

mod bare;
mod nodes;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
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
/// Channels that take turns, where there is more than one: no two messages for one of them wait one behind the other.
const CHANNELS: usize = 10;

/// What one round of one way has shown.
#[derive(Debug, Clone, Copy)]
struct Measured {
    p50: Duration,
    p99: Duration,
    /// Messages a second over one channel, and over [`CHANNELS`] in turns.
    rate: f64,
    rate_of_many: f64,
}

/// The middle and the 99th hundredth.
fn percentiles(mut singles: Vec<Duration>) -> (Duration, Duration) {
    singles.sort_unstable();
    let at = |share: usize| singles[singles.len() * share / 100];
    (at(50), at(99))
}

fn rate(messages: usize, took: Duration) -> f64 {
    messages as f64 / took.as_secs_f64()
}

/// One line of the report: what, which figure, and the ratio that is to be reached.
struct Row {
    what: &'static str,
    of: fn(&Measured) -> f64,
    goal: &'static str,
    is_reached: fn(f64) -> bool,
}

const ROWS: [Row; 4] = [
    Row {
        what: "p50 of one message at a time, µs",
        of: |one| one.p50.as_secs_f64() * 1e6,
        goal: "adds 2 times (3)",
        is_reached: |ratio| ratio <= 3.0,
    },
    Row {
        what: "p99 of one message at a time, µs",
        of: |one| one.p99.as_secs_f64() * 1e6,
        goal: "adds 2 times (3)",
        is_reached: |ratio| ratio <= 3.0,
    },
    Row {
        what: "messages a second, one channel",
        of: |one| one.rate,
        goal: "0.6",
        is_reached: |ratio| ratio >= 0.6,
    },
    Row {
        what: "messages a second, 10 channels in turns",
        of: |one| one.rate_of_many,
        goal: "0.6",
        is_reached: |ratio| ratio >= 0.6,
    },
];

/// Median, least and most.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    [
        values[values.len() / 2],
        values[0],
        values[values.len() - 1],
    ]
}

fn report(rounds: &[(Measured, Measured)]) -> String {
    let mut text =
        "| what | between nodes | bare | ratio | goal | |\n|---|---|---|---|---|---|\n".to_owned();
    for row in &ROWS {
        let of = |pick: fn(&(Measured, Measured)) -> &Measured| {
            spread(rounds.iter().map(|round| (row.of)(pick(round))).collect())[0]
        };
        let ratios = rounds
            .iter()
            .map(|(ours, floor)| (row.of)(ours) / (row.of)(floor));
        let [ratio, least, most] = spread(ratios.collect());
        let verdict = if (row.is_reached)(ratio) {
            "reached"
        } else {
            "missed"
        };
        writeln!(
            text,
            "| {} | {:.0} | {:.0} | {ratio:.2} ({least:.2} to {most:.2}) | {} | {verdict} |",
            row.what,
            of(|round| &round.0),
            of(|round| &round.1),
            row.goal,
        )
        .expect("a String takes all");
    }
    text
}

#[expect(clippy::print_stdout, reason = "its report is what it is for")]
fn main() {
    let has = |option: &str| env::args().any(|argument| argument == option);
    let plan = if has("--quick") { QUICK } else { WHOLE };
    let redis = bare::Redis::start();
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        let (ours, floor) = if round % 2 == 0 {
            let ours = nodes::measure(&plan, redis.port);
            (ours, bare::measure(&plan, redis.port))
        } else {
            let floor = bare::measure(&plan, redis.port);
            (nodes::measure(&plan, redis.port), floor)
        };
        rounds.push((ours, floor));
    }
    let table = report(&rounds);
    println!("{table}");
    if has("--write") {
        let text = format!(
            "# What the way through Redis costs\n\nWritten by `make bench-cluster`; `benches/cluster/` says how each figure is taken. Two nodes of one \
             worker, Redis and the load share two cores. Medians of {} rounds, the extremes of the ratio in brackets.\n\n{table}",
            plan.rounds
        );
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/CLUSTER.md");
        fs::write(path, text).expect("the report can be written");
    }
}
