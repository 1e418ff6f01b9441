//! A back end: calls the HTTP API of one node or another, one call after the other.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::history::{Stamp, Target};
use super::person::{PATIENCE, RETRY, answer};
use super::wire::Wire;
use super::world::{Phase, World};
use super::{FIXED_ROOMS, FLOATING_ROOMS, PEOPLE, USERS, user};

/// What it calls itself in the history.
const WHO: &str = "a caller of the API";
const PAUSE_MS_MAX: u64 = 60;
/// Before the orders are looked at again.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) struct Caller {
    world: Arc<World>,
    number: usize,
    rng: StdRng,
    probes: u64,
}

impl Caller {
    pub(crate) fn new(world: Arc<World>, number: usize, seed: u64) -> Self {
        Self {
            world,
            number,
            rng: StdRng::seed_from_u64(seed),
            probes: 0,
        }
    }

    /// Calls until the run is over.
    pub(crate) fn live(mut self) {
        while !self.world.is_over() {
            let node = self.rng.random_range(0..self.world.addresses.len());
            let Ok(mut wire) = Wire::connect(self.world.addresses[node]) else {
                self.world.rest(RETRY);
                continue;
            };
            let place = self.world.history().connect(node, WHO);
            let ended = self.stay(&mut wire, place);
            let mut history = self.world.history();
            history.end(place, self.world.now());
            if let Err(error) = ended
                && matches!(
                    error.kind(),
                    io::ErrorKind::TimedOut | io::ErrorKind::InvalidData
                )
            {
                history.oddities.push(format!("#{place}: {error}"));
            }
        }
    }

    fn stay(&mut self, wire: &mut Wire, place: usize) -> io::Result<()> {
        loop {
            let orders = self.world.heed(PEOPLE + self.number);
            if orders.phase == Phase::Over {
                return Ok(());
            }
            if orders.probe > self.probes {
                self.probes = orders.probe;
                self.call(wire, place, Target::User(user(0)))?;
                self.call(wire, place, Target::Room(FIXED_ROOMS[0].to_owned()))?;
                self.call(wire, place, Target::Everyone)?;
            }
            let mut pause = LOOK;
            if orders.phase == Phase::Traffic {
                if self.rng.random_range(0..100) == 0 {
                    return Ok(());
                }
                let target = self.somewhere();
                self.call(wire, place, target)?;
                pause = Duration::from_millis(self.rng.random_range(0..PAUSE_MS_MAX));
            }
            self.world.rest(pause);
        }
    }

    fn somewhere(&mut self) -> Target {
        let rooms = FIXED_ROOMS.len() + FLOATING_ROOMS.len();
        match self.rng.random_range(0..10) {
            0..4 => Target::User(user(self.rng.random_range(0..USERS))),
            4..8 => {
                let mut all = FIXED_ROOMS.iter().chain(&FLOATING_ROOMS);
                let room = all.nth(self.rng.random_range(0..rooms));
                Target::Room((*room.expect("there are so many")).to_owned())
            }
            _ => Target::Everyone,
        }
    }

    fn call(&mut self, wire: &mut Wire, place: usize, target: Target) -> io::Result<()> {
        let now = self.world.now();
        let mut history = self.world.history();
        let number = history.send(place, target.clone(), now);
        let Stamp { sender, sequence } = history.sent[number].stamp;
        drop(history);
        let data = json!([sender, sequence]);
        let (path, body) = match target {
            Target::User(user) => (
                "/api/message",
                json!({ "userId": user, "event": "e", "data": data }),
            ),
            Target::Room(room) => (
                "/api/publish",
                json!({ "room": room, "event": "e", "data": data }),
            ),
            Target::Everyone => ("/api/broadcast", json!({ "event": "e", "data": data })),
        };
        let deadline = Instant::now() + PATIENCE;
        let (status, told) = wire.call("POST", path, &body.to_string(), deadline)?;
        let at = self.world.now();
        let mut history = self.world.history();
        match answer(&told, at).filter(|_| status == 200) {
            Some(answer) => history.sent[number].answer = Some(answer),
            None => history
                .oddities
                .push(format!("#{place} was answered {status} {told}")),
        }
        Ok(())
    }
}
