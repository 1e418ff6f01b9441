//! The servers of a run, what is done to them, and what they tell when all is well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::history::{Connection, Deed, History};
use super::presence::{Presence, Users};
use super::schedule::{Act, Step};
use super::verdict;
use super::world::{Phase, Seen, World};
use super::{CALLERS, NODES, PEOPLE};
use crate::common::DEADLINE;
use crate::common::cluster::{Cluster, await_status, status};
use crate::common::faults::Faults;
use crate::common::gateway::look;
use crate::common::redis::Redis;

/// The time in which nobody is told of any more who has gone.
const EXPIRY: Duration = Duration::from_secs(5);
/// In which a message has arrived anywhere, where all is well.
const ARRIVAL: Duration = Duration::from_secs(3);
/// What everybody sends where it is asked to send something.
const PROBES: usize = 3 * (PEOPLE + CALLERS);
/// Before it is looked again whether something has come.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct Stage {
    // Dropped in this order: the nodes before the ways, and Redis last.
    cluster: Cluster,
    ways: Vec<Faults>,
    redis: Redis,
    pub(crate) world: Arc<World>,
    /// Open descriptors of a node that nobody is connected to.
    descriptors: usize,
}

impl Stage {
    pub(crate) fn set_up() -> Self {
        let redis = Redis::start();
        let ways = (0..NODES).map(|_| Faults::forward(redis.address()));
        let ways: Vec<_> = ways.collect();
        let builder = Cluster::builder(NODES, &redis).env("CLIENT_BROADCAST", true);
        let builder = ways
            .iter()
            .enumerate()
            .fold(builder, |builder, (node, way)| {
                builder.env_of(node, "REDIS_URL", redis.url_at(way.address()))
            });
        let cluster = builder.start();
        await_status(&cluster, "ok");
        let addresses = (0..NODES).map(|node| cluster.node(node).address());
        let world = Arc::new(World::new(addresses.collect()));
        let descriptors = (0..NODES).map(|node| cluster.node(node).descriptors());
        Self {
            descriptors: descriptors.max().expect("there are nodes"),
            cluster,
            ways,
            redis,
            world,
        }
    }

    /// Lets the faults of a round come and go.
    pub(crate) fn suffer(&mut self, steps: &[Step]) {
        let began = Instant::now();
        for step in steps {
            thread::sleep(step.at.saturating_sub(began.elapsed()));
            let killed = match step.act {
                Act::KillNode(node) => Some(node),
                _ => None,
            };
            self.world.history().deeds.push(Deed {
                at: self.world.now(),
                what: format!("{:?}", step.act),
                killed,
            });
            self.act(step.act);
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::KillRedis => self.redis.kill(),
            Act::StartRedis => self.redis.restart(),
            Act::StopRedis => self.redis.stop_the_world(),
            Act::ContinueRedis => self.redis.go_on(),
            Act::KillNode(node) => self.cluster.kill(node),
            Act::StartNode(node) => self.cluster.restart(node),
            Act::StopNode(node) => self.cluster.node(node).stop_the_world(),
            Act::ContinueNode(node) => self.cluster.node(node).go_on(),
            Act::Reset(node, lane) => self.ways[node].reset_of(lane),
            Act::Swallow(node, lane) => self.ways[node].black_hole_of(lane),
            Act::Late(node, lane, by) => self.ways[node].late_of(lane, by),
            Act::Narrow(node, lane, bytes) => self.ways[node].slow_of(lane, bytes),
            Act::Heal(node) => {
                self.ways[node].heal();
                self.ways[node].reset_lost();
            }
        }
    }

    /// Waits until all is well again, and sees that it is: everybody hears everybody, and every node knows who is there.
    pub(crate) fn recover(&self) -> Result<(), String> {
        self.wait("the nodes are well", || {
            (0..NODES).all(|node| status(self.cluster.node(node)) == "ok")
        })?;
        self.world.order(|orders| orders.phase = Phase::Quiet);
        self.wait("everybody is there, and has been answered", || {
            let history = self.world.history();
            self.world.is_heeded() && history.open() == 0 && present(&history) == PEOPLE
        })?;
        self.probe()?;
        self.await_presence()
    }

    /// Waits until `holds`; says at the deadline what did not come true.
    fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
        let end = Instant::now() + DEADLINE;
        while !holds() {
            if Instant::now() > end {
                return Err(format!("not in time: {what}"));
            }
            self.world.rest(LOOK);
        }
        Ok(())
    }

    /// Has everybody send something, until everybody gets everything.
    fn probe(&self) -> Result<(), String> {
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            let since = self.world.history().sent.len();
            self.world.order(|orders| orders.probe += 1);
            let late = Instant::now() + ARRIVAL;
            while Instant::now() < late {
                let history = self.world.history();
                let all_sent = history.sent.len() == since + PROBES;
                if all_sent && verdict::all_arrived(&history, since) {
                    return Ok(());
                }
                drop(history);
                self.world.rest(LOOK);
            }
            self.wait("what was sent is answered", || {
                let history = self.world.history();
                history.sent.len() == since + PROBES && history.open() == 0
            })?;
        }
        Err("all is well, and not everybody hears everybody".to_owned())
    }

    fn await_presence(&self) -> Result<(), String> {
        let deadline = Instant::now() + EXPIRY;
        let truth = Presence::truth(&self.world.history());
        loop {
            let mut wrong = Vec::new();
            for node in 0..NODES {
                let differences = truth.differences(&self.told_by(node, &truth));
                let of_node = differences.into_iter();
                wrong.extend(of_node.map(|it| format!("node {node}: {it}")));
            }
            wrong.extend(self.told_to_people(&truth)?);
            if wrong.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("who is there is not known: {}", wrong.join("; ")));
            }
            self.world.rest(LOOK);
        }
    }

    /// What the API of a node tells.
    fn told_by(&self, node: usize, truth: &Presence) -> Presence {
        let mut client = self.cluster.connect(node);
        let mut told = Presence::default();
        for user in truth.users.keys() {
            let (_, answer) = look(&mut client, &format!("/api/users/{user}"));
            let connections = answer["connections"].as_array().map_or(0, Vec::len);
            told.users.insert(user.clone(), connections as u64);
        }
        let (_, rooms) = look(&mut client, "/api/rooms?limit=1000");
        for room in rooms["rooms"].as_array().into_iter().flatten() {
            let name = room["room"].as_str().unwrap_or_default();
            let (_, answer) = look(&mut client, &format!("/api/rooms/{name}"));
            let mut users = users_of(&answer);
            let total = users.values().sum::<u64>();
            // Two answers about the same.
            if room["connections"] != total || answer["connections"] != total {
                users.insert("(counts that differ)".to_owned(), 0);
            }
            told.rooms.insert(name.to_owned(), users);
        }
        told
    }

    /// What the gateway protocol tells those who are in rooms.
    fn told_to_people(&self, truth: &Presence) -> Result<Vec<String>, String> {
        let orders = self.world.order(|orders| orders.look += 1);
        let expected: u64 = truth.rooms.values().flat_map(Users::values).sum();
        let seen = || {
            let seen = self.world.seen();
            let of_this = seen.iter().filter(|seen| seen.look == orders.look);
            of_this.cloned().collect::<Vec<_>>()
        };
        self.wait("everybody is told who is in its rooms", || {
            seen().len() as u64 == expected
        })?;
        let is_wrong = |seen: &Seen| {
            let users = truth.rooms.get(&seen.room).map(BTreeMap::keys);
            !users.is_some_and(|users| users.eq(seen.users.iter()))
        };
        let wrong = seen().into_iter().filter(is_wrong);
        let wrong = wrong.map(|seen| format!("#{} was told {seen:?}", seen.connection));
        Ok(wrong.collect())
    }

    /// Waits until no node keeps anything of those who were there.
    pub(crate) fn await_nobody(&self) {
        for node in 0..NODES {
            let node = self.cluster.node(node);
            node.wait_descriptors(self.descriptors, DEADLINE);
        }
    }
}

/// How many people are wherever they want to be.
fn present(history: &History) -> usize {
    let connections = history.connections.iter();
    let is_present = |it: &&Connection| {
        let mut open = it.stays.iter().filter(|stay| stay.left.is_none());
        let is_settled = open.all(|stay| stay.ready.is_some() && stay.leaving.is_none());
        it.ended.is_none() && !it.stays.is_empty() && is_settled
    };
    connections.filter(is_present).count()
}

fn users_of(room: &Value) -> Users {
    let users = room["users"].as_array().into_iter().flatten();
    let user = |user: &Value| {
        let name = user["userId"].as_str().unwrap_or_default().to_owned();
        (name, user["connections"].as_u64().unwrap_or_default())
    };
    users.map(user).collect()
}
