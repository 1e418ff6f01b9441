//! Which faults come when: drawn from a seed, and nothing else.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::NODES;
use crate::common::faults::Lane;

/// Faults that begin in one round.
const FAULTS_A_ROUND: usize = 4;
/// How long after the beginning of a round the last of them begins, milliseconds.
const BEGIN_MS_MAX: u64 = 3_500;
/// How often another victim is drawn where one has a fault already.
const TRIES_MAX: usize = 8;

/// Something that is done to the servers, or to the way of a node to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    KillRedis,
    StartRedis,
    StopRedis,
    ContinueRedis,
    KillNode(usize),
    StartNode(usize),
    StopNode(usize),
    ContinueNode(usize),
    Reset(usize, Lane),
    Swallow(usize, Lane),
    Late(usize, Lane, Duration),
    Narrow(usize, Lane, u32),
    Heal(usize),
}

/// What a fault befalls; one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Redis,
    Node(usize),
    Way(usize),
}

impl Act {
    pub(crate) fn victim(self) -> Victim {
        match self {
            Self::KillRedis | Self::StartRedis | Self::StopRedis | Self::ContinueRedis => {
                Victim::Redis
            }
            Self::KillNode(node)
            | Self::StartNode(node)
            | Self::StopNode(node)
            | Self::ContinueNode(node) => Victim::Node(node),
            Self::Reset(node, _)
            | Self::Swallow(node, _)
            | Self::Late(node, ..)
            | Self::Narrow(node, ..)
            | Self::Heal(node) => Victim::Way(node),
        }
    }
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Since the beginning of the round.
    pub(crate) at: Duration,
    pub(crate) act: Act,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    RedisKilled,
    RedisStopped,
    RedisStoppedForLong,
    NodeKilled,
    NodeStopped,
    WayReset,
    WaySwallows,
    WayLate,
    WayNarrow,
}

const KINDS: [Kind; 9] = [
    Kind::RedisKilled,
    Kind::RedisStopped,
    Kind::RedisStoppedForLong,
    Kind::NodeKilled,
    Kind::NodeStopped,
    Kind::WayReset,
    Kind::WaySwallows,
    Kind::WayLate,
    Kind::WayNarrow,
];

/// Draws the faults of one round after the other. Each kind comes once before one comes again.
pub(crate) struct Schedule {
    rng: StdRng,
    deck: Vec<Kind>,
}

impl Schedule {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            deck: Vec::new(),
        }
    }

    /// The steps of the next round, in order. What begins ends, and nothing has two faults at a time.
    pub(crate) fn round(&mut self) -> Vec<Step> {
        let mut busy: Vec<(Victim, Duration, Duration)> = Vec::new();
        let mut steps = Vec::new();
        for _ in 0..FAULTS_A_ROUND {
            if self.deck.is_empty() {
                self.deck.extend(KINDS);
                self.deck.shuffle(&mut self.rng);
            }
            for _ in 0..TRIES_MAX {
                let kind = *self.deck.last().expect("it was filled");
                let fault = self.fault(kind);
                let victim = fault[0].act.victim();
                let (from, to) = (fault[0].at, fault[fault.len() - 1].at);
                let meets = |(other, begin, end): &(Victim, Duration, Duration)| {
                    *other == victim && *begin <= to && from <= *end
                };
                if !busy.iter().any(meets) {
                    self.deck.pop();
                    busy.push((victim, from, to));
                    steps.extend(fault);
                    break;
                }
            }
        }
        steps.sort_by_key(|step| step.at);
        steps
    }

    fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from..=to))
    }

    fn fault(&mut self, kind: Kind) -> Vec<Step> {
        let from = self.ms(0, BEGIN_MS_MAX);
        let node = self.rng.random_range(0..NODES);
        let lane = [Lane::All, Lane::Publishers, Lane::Listeners][self.rng.random_range(0..3)];
        let (first, last, time) = match kind {
            Kind::RedisKilled => (Act::KillRedis, Act::StartRedis, self.ms(50, 2_500)),
            Kind::RedisStopped => (Act::StopRedis, Act::ContinueRedis, self.ms(300, 3_000)),
            Kind::RedisStoppedForLong => {
                (Act::StopRedis, Act::ContinueRedis, self.ms(5_100, 6_000))
            }
            Kind::NodeKilled => (
                Act::KillNode(node),
                Act::StartNode(node),
                self.ms(50, 2_500),
            ),
            Kind::NodeStopped => (
                Act::StopNode(node),
                Act::ContinueNode(node),
                self.ms(300, 4_000),
            ),
            Kind::WayReset => return self.resets(from, node, lane),
            Kind::WaySwallows => (
                Act::Swallow(node, lane),
                Act::Heal(node),
                self.ms(300, 4_000),
            ),
            Kind::WayLate => {
                let by = self.ms(5, 1_500);
                (
                    Act::Late(node, lane, by),
                    Act::Heal(node),
                    self.ms(300, 3_000),
                )
            }
            Kind::WayNarrow => {
                let bytes = self.rng.random_range(2_000..40_000);
                (
                    Act::Narrow(node, lane, bytes),
                    Act::Heal(node),
                    self.ms(300, 3_000),
                )
            }
        };
        [(from, first), (from + time, last)]
            .map(|(at, act)| Step { at, act })
            .to_vec()
    }

    fn resets(&mut self, from: Duration, node: usize, lane: Lane) -> Vec<Step> {
        let mut at = from;
        let mut steps = Vec::new();
        for _ in 0..self.rng.random_range(1..=4) {
            let act = Act::Reset(node, lane);
            steps.push(Step { at, act });
            at += self.ms(20, 500);
        }
        steps
    }
}
