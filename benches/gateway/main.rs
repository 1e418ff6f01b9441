//! What users and rooms cost: the real server, started here, against itself on a simpler endpoint or in a quieter hour.
//!
//! usage: `cargo bench --bench gateway -- [--quick] [--write] [SECTION...]`; `--write` puts the table into `benches/GATEWAY.md`,
//! `--quick` only finds out whether everything works. Sections: `fanout`, `push`, `memory`, `churn`, `pages`, `backend`.
//!
//! Two cores are needed. Figures of one row come from the same run, in turns, and the medians of several rounds stand: CPU time
//! of the server, system calls included, is what other load on the machine disturbs least.

mod backend;
mod churn;
mod fanout;
mod memory;
mod pages;
mod peers;
mod push;
mod server;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: usize,
    seconds: f64,
    /// Members of a large room.
    members: usize,
    /// Joins, and as many leaves, a second.
    churn: u64,
    /// Connections that wait for a slow back end.
    senders: usize,
}

const WHOLE: Plan = Plan {
    rounds: 5,
    seconds: 4.0,
    members: 10_000,
    churn: 10_000,
    senders: 2_000,
};
const QUICK: Plan = Plan {
    rounds: 1,
    seconds: 0.2,
    members: 50,
    churn: 1_000,
    senders: 50,
};

/// One line of the report.
#[derive(Debug)]
struct Row {
    what: String,
    figure: String,
    /// What was to be reached, and whether it was.
    goal: Option<(&'static str, bool)>,
}

/// The median, and the extremes in brackets.
fn spread(mut values: Vec<f64>) -> (f64, String) {
    values.sort_unstable_by(f64::total_cmp);
    let median = values[values.len() / 2];
    let extremes = format!("{:.3} to {:.3}", values[0], values[values.len() - 1]);
    (median, extremes)
}

fn report(rows: &[Row]) -> String {
    let mut text = "| what | measured | goal | |\n|---|---|---|---|\n".to_owned();
    for row in rows {
        let (goal, verdict) = match row.goal {
            Some((goal, true)) => (goal, "reached"),
            Some((goal, false)) => (goal, "missed"),
            None => ("", ""),
        };
        writeln!(
            text,
            "| {} | {} | {goal} | {verdict} |",
            row.what, row.figure
        )
        .expect("a String takes all");
    }
    text
}

type Section = fn(&Plan) -> Vec<Row>;

#[expect(clippy::print_stdout, reason = "its report is what it is for")]
fn main() {
    // Cargo passes `--bench`.
    let (options, names): (Vec<_>, Vec<_>) = env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let has = |option: &str| options.iter().any(|one| one == option);
    let plan = if has("--quick") { QUICK } else { WHOLE };
    let sections: [(&str, Section); 6] = [
        ("fanout", fanout::run),
        ("push", push::run),
        ("memory", memory::run),
        ("churn", churn::run),
        ("pages", pages::run),
        ("backend", backend::run),
    ];
    let mut rows = Vec::new();
    for (name, section) in sections {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            rows.extend(section(&plan));
        }
    }
    let table = report(&rows);
    println!("{table}");
    if has("--write") {
        let text = format!(
            "# What users and rooms cost\n\nWritten by `make bench-gateway`; `benches/gateway/` says how each figure is taken. Medians of {} \
             rounds, the extremes in brackets.\n\n{table}",
            plan.rounds
        );
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/GATEWAY.md");
        fs::write(path, text).expect("the report can be written");
    }
}
