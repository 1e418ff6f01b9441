//! Somebody with a connection of the gateway protocol, which comes and goes: sends, listens, and writes down what it saw.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::history::{Answer, Heard, History, Stamp, Target};
use super::wire::Wire;
use super::world::{Orders, Phase, Seen, World};
use super::{FIXED_ROOMS, FLOATING_ROOMS, USERS, fixed_rooms_of, user};

/// Longer than a node sleeps: one that has not answered by then is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// Between two attempts to connect.
pub(crate) const RETRY: Duration = Duration::from_millis(20);
/// The longest time between two messages, and messages of a burst.
const PAUSE_MS_MAX: u64 = 100;
const BURST_MAX: usize = 20;
/// The longest wait for a message before the orders are looked at again, and the shortest.
const LISTEN_MOST: Duration = Duration::from_millis(20);
const LISTEN_LEAST: Duration = Duration::from_millis(1);

pub(crate) struct Person {
    world: Arc<World>,
    number: usize,
    user: String,
    rng: StdRng,
    /// What was asked for so often has been done.
    probes: u64,
    looks: u64,
}

/// How a connection came to its end.
enum End {
    /// It is wanted elsewhere.
    Leaving,
    /// Everybody goes home.
    Over,
}

/// A connection of a person.
struct Session<'p> {
    person: &'p mut Person,
    wire: Wire,
    /// In the history.
    place: usize,
    /// Rooms that it is in.
    rooms: BTreeSet<String>,
    /// What it was not answered yet: messages, and other things.
    open: usize,
    asked: usize,
    next: Instant,
}

impl Person {
    pub(crate) fn new(world: Arc<World>, number: usize, seed: u64) -> Self {
        Self {
            world,
            number,
            user: user(number % USERS),
            rng: StdRng::seed_from_u64(seed),
            probes: 0,
            looks: 0,
        }
    }

    /// Connects again and again until the run is over.
    pub(crate) fn live(mut self) {
        while !self.world.is_over() {
            let node = self.rng.random_range(0..self.world.addresses.len());
            let Ok(wire) = Wire::connect(self.world.addresses[node]) else {
                self.world.rest(RETRY);
                continue;
            };
            let place = self.world.history().connect(node, &self.user);
            let mut session = Session {
                wire,
                place,
                rooms: BTreeSet::new(),
                open: 0,
                asked: 0,
                next: Instant::now(),
                person: &mut self,
            };
            let ended = session.run();
            let mut history = self.world.history();
            history.end(place, self.world.now());
            if let Err(error) = ended
                && matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::InvalidData)
            {
                history.oddities.push(format!("#{place}: {error}"));
            }
        }
    }
}

impl Session<'_> {
    fn run(&mut self) -> io::Result<()> {
        self.begin()?;
        match self.stay()? {
            End::Over => Ok(()),
            End::Leaving => self.leave(),
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let user = Target::User(self.person.user.clone());
        for target in [Target::Everyone, user] {
            self.note_asked(target);
        }
        self.wire.upgrade(Instant::now() + PATIENCE)?;
        self.ask(&json!({ "type": "register", "userId": self.person.user }))?;
        let floating = self.person.rng.random_range(0..FLOATING_ROOMS.len());
        let floating = std::iter::once(FLOATING_ROOMS[floating]);
        for room in fixed_rooms_of(self.person.number).chain(floating) {
            self.join(room)?;
        }
        Ok(())
    }

    fn stay(&mut self) -> io::Result<End> {
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            let orders = self.person.world.heed(self.person.number);
            if orders.phase == Phase::Over {
                return Ok(End::Over);
            }
            if self.asked == 0 {
                deadline = Instant::now() + PATIENCE;
                self.obey(orders)?;
                if orders.phase == Phase::Traffic && Instant::now() >= self.next && self.act()? {
                    return Ok(End::Leaving);
                }
            } else if Instant::now() > deadline {
                let what = "what was asked was not answered";
                return Err(io::Error::new(ErrorKind::TimedOut, what));
            }
            let now = Instant::now();
            let until = self.next.clamp(now + LISTEN_LEAST, now + LISTEN_MOST);
            if let Some(message) = self.wire.receive(until)? {
                self.on_message(&message);
            }
        }
    }

    /// Does what everybody is to do once.
    fn obey(&mut self, orders: Orders) -> io::Result<()> {
        if orders.probe > self.person.probes {
            self.person.probes = orders.probe;
            let target = self.somebody_else();
            self.send(target)?;
            self.send(Target::Room(FIXED_ROOMS[0].to_owned()))?;
            self.send(Target::Everyone)?;
        }
        if orders.look > self.person.looks {
            self.person.looks = orders.look;
            for room in self.rooms.clone() {
                self.wire
                    .send(&json!({ "type": "presence", "room": room, "id": orders.look }))?;
            }
        }
        Ok(())
    }

    /// Does something; whether that is to go elsewhere.
    fn act(&mut self) -> io::Result<bool> {
        let rng = &mut self.person.rng;
        self.next = Instant::now() + Duration::from_millis(rng.random_range(0..PAUSE_MS_MAX));
        match rng.random_range(0..1000) {
            // Who goes has been answered.
            0..3 => return Ok(self.open == 0),
            3..20 => self.change_room()?,
            20..50 => {
                for _ in 0..rng.random_range(2..BURST_MAX) {
                    let target = self.somewhere();
                    self.send(target)?;
                }
            }
            _ => {
                let target = self.somewhere();
                self.send(target)?;
            }
        }
        Ok(false)
    }

    fn somebody_else(&mut self) -> Target {
        let own = self.person.number % USERS;
        let other = (own + self.person.rng.random_range(1..USERS)) % USERS;
        Target::User(user(other))
    }

    fn somewhere(&mut self) -> Target {
        match self.person.rng.random_range(0..10) {
            0..4 => self.somebody_else(),
            4..8 => {
                let room = self.person.rng.random_range(0..self.rooms.len());
                let room = self.rooms.iter().nth(room).expect("it is in that many");
                Target::Room(room.clone())
            }
            _ => Target::Everyone,
        }
    }

    fn change_room(&mut self) -> io::Result<()> {
        let room = self.person.rng.random_range(0..FLOATING_ROOMS.len());
        let room = FLOATING_ROOMS[room];
        if !self.rooms.remove(room) {
            return self.join(room);
        }
        let world = &self.person.world;
        let now = world.now();
        let target = Target::Room(room.to_owned());
        let mut history = world.history();
        let stay = history.stay(self.place, &target).expect("it was there");
        stay.leaving = Some(now);
        drop(history);
        self.ask(&json!({ "type": "leave", "room": room, "id": format!("leave {room}") }))
    }

    fn join(&mut self, room: &str) -> io::Result<()> {
        self.note_asked(Target::Room(room.to_owned()));
        self.rooms.insert(room.to_owned());
        self.ask(&json!({ "type": "join", "room": room, "id": format!("join {room}") }))
    }

    fn note_asked(&self, target: Target) {
        let world = &self.person.world;
        let now = world.now();
        world.history().ask(self.place, target, now);
    }

    fn ask(&mut self, message: &Value) -> io::Result<()> {
        self.asked += 1;
        self.wire.send(message)
    }

    fn send(&mut self, target: Target) -> io::Result<()> {
        let world = &self.person.world;
        let now = world.now();
        let mut history = world.history();
        let number = history.send(self.place, target.clone(), now);
        let Stamp { sender, sequence } = history.sent[number].stamp;
        drop(history);
        let data = json!([sender, sequence]);
        self.open += 1;
        self.wire.send(&match target {
            Target::User(user) => json!({
                "type": "notification", "targetUserId": user, "action": "a", "data": data, "id": number,
            }),
            Target::Room(room) => json!({
                "type": "publish", "room": room, "event": "e", "data": data, "id": number,
            }),
            Target::Everyone => json!({
                "type": "broadcast", "event": "e", "data": data, "id": number,
            }),
        })
    }

    /// Goes in order: nothing counts it any more once its connection is at its end.
    fn leave(&mut self) -> io::Result<()> {
        let world = Arc::clone(&self.person.world);
        let now = world.now();
        for stay in &mut world.history().connections[self.place].stays {
            stay.leaving.get_or_insert(now);
        }
        self.wire.close()?;
        let deadline = Instant::now() + PATIENCE;
        // Until the end, which is an error.
        while let Some(message) = self.wire.receive(deadline)? {
            self.on_message(&message);
        }
        let what = "a close was not answered";
        Err(io::Error::new(ErrorKind::TimedOut, what))
    }

    fn on_message(&mut self, message: &Value) {
        let world = Arc::clone(&self.person.world);
        let now = world.now();
        let mut history = world.history();
        let heard = match message["type"].as_str() {
            Some("gap") if message.get("room").is_none() => Some(Heard::Gap),
            Some("message" | "notification" | "broadcast") => {
                stamp(&message["data"]).map(Heard::Message)
            }
            _ => None,
        };
        if let Some(heard) = heard {
            history.connections[self.place].heard.push((now, heard));
            return;
        }
        if let Some(number) = message["id"].as_u64().filter(|_| message["type"] == "ack") {
            let answer = answer(message, now);
            self.open -= 1;
            let sent = &mut history.sent[number as usize];
            if sent.stamp.sender == self.place && sent.answer.is_none() && answer.is_some() {
                sent.answer = answer;
                return;
            }
        } else if message["type"] == "registered" {
            self.asked -= 1;
            let user = Target::User(self.person.user.clone());
            for target in [Target::Everyone, user] {
                let stay = history.stay(self.place, &target).expect("it has asked");
                stay.ready = Some(now);
            }
            return;
        } else if message["type"] == "ack" && self.on_room(message, &mut history, now) {
            self.asked -= 1;
            return;
        } else if let Some(seen) = self.seen(message) {
            world.seen().push(seen);
            return;
        }
        history
            .oddities
            .push(format!("#{} was told {message}", self.place));
    }

    /// It was told that it is in a room, or has left it.
    fn on_room(&self, message: &Value, history: &mut History, now: Duration) -> bool {
        let Some((what, room)) = message["id"].as_str().and_then(|id| id.split_once(' ')) else {
            return false;
        };
        let Some(stay) = history.stay(self.place, &Target::Room(room.to_owned())) else {
            return false;
        };
        match what {
            "join" => stay.ready = Some(now),
            _ => stay.left = Some(now),
        }
        true
    }

    fn seen(&self, message: &Value) -> Option<Seen> {
        if message["type"] != "presence" {
            return None;
        }
        let users = message["users"].as_array()?.iter();
        Some(Seen {
            look: message["id"].as_u64()?,
            connection: self.place,
            room: message["room"].as_str()?.to_owned(),
            users: users
                .filter_map(|user| Some(user.as_str()?.to_owned()))
                .collect(),
        })
    }
}

/// The stamp that a message carries as its data.
fn stamp(data: &Value) -> Option<Stamp> {
    Some(Stamp {
        sender: data[0].as_u64()? as usize,
        sequence: data[1].as_u64()? as usize,
    })
}

/// What an `ack`, or the API, says of a message.
pub(crate) fn answer(told: &Value, at: Duration) -> Option<Answer> {
    let unanswered = told.get("unanswered").map_or(Some(0), Value::as_u64)?;
    Some(Answer {
        at,
        delivered: told["delivered"].as_u64()?,
        unanswered,
        unsent: told.get("unsent").is_some_and(|unsent| *unsent == true),
    })
}
