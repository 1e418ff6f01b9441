//! A checker in the manner of Jepsen: three nodes and a Redis suffer what a seed draws, while people and back ends send and
//! listen; what everybody saw must be what the server promises. `tests/checker/verdict.rs` says what that is.
//!
//! `CHECKER_SEED=7` draws the same faults and messages again (the threads meet as they will), `CHECKER_SECONDS=600` runs longer.

mod common;

#[path = "checker/mod.rs"]
mod checker;

use std::env;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use checker::caller::Caller;
use checker::person::Person;
use checker::schedule::Schedule;
use checker::stage::Stage;
use checker::world::Phase;
use checker::{CALLERS, PEOPLE, verdict};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Violations that are shown.
const SHOWN_MAX: usize = 3;

fn setting(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

/// What is wrong, or what was seen.
fn run(seed: u64, time: Duration) -> Result<String, String> {
    let mut stage = Stage::set_up();
    let mut schedule = Schedule::new(seed);
    let began = Instant::now();
    let mut people = Vec::new();
    let mut seeds = StdRng::seed_from_u64(seed);
    for number in 0..PEOPLE {
        let person = Person::new(Arc::clone(&stage.world), number, seeds.random());
        people.push(thread::spawn(|| person.live()));
    }
    for number in 0..CALLERS {
        let caller = Caller::new(Arc::clone(&stage.world), number, seeds.random());
        people.push(thread::spawn(|| caller.live()));
    }
    let mut recovered = Ok(());
    while recovered.is_ok() && began.elapsed() < time {
        let steps = schedule.round();
        stage.world.order(|orders| orders.phase = Phase::Traffic);
        stage.suffer(&steps);
        recovered = stage.recover();
        let now = stage.world.now();
        stage.world.history().rounds.push(now);
    }
    stage.world.order(|orders| orders.phase = Phase::Over);
    if recovered.is_ok() {
        stage.await_nobody();
    }
    for person in people {
        person.join().expect("nothing that a node does fails it");
    }
    let history = stage.world.history();
    let (summary, violations) = verdict::judge(&history);
    if let (Ok(()), []) = (&recovered, violations.as_slice()) {
        let (deeds, rounds) = (history.deeds.len(), history.rounds.len());
        let probes = stage.world.orders().probe;
        return Ok(format!(
            "{rounds} rounds, {deeds} deeds, {probes} probes, {summary:?}"
        ));
    }
    let mut wrong = format!("{} violations\n", violations.len());
    if let Err(what) = recovered {
        let last = history.rounds.last().copied().unwrap_or_default();
        wrong += &format!("{what}\n{}", verdict::deeds_around(&history, last));
    }
    let shown = violations.iter().take(SHOWN_MAX);
    wrong.extend(shown.map(|it| verdict::excerpt(&history, it)));
    Err(wrong)
}

#[test]
fn nothing_is_lost_in_silence_doubled_or_out_of_order_whatever_fails() {
    let seed = setting("CHECKER_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    let seconds = setting("CHECKER_SECONDS").unwrap_or(45);
    println!("CHECKER_SEED={seed} CHECKER_SECONDS={seconds}");
    match run(seed, Duration::from_secs(seconds)) {
        Ok(summary) => println!("{summary}"),
        Err(wrong) => panic!("CHECKER_SEED={seed}: {wrong}"),
    }
}
