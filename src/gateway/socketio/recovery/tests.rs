use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::desk::{pass, with_offset};
use super::memory::Memory;
use super::missed::missed;
use super::shared::Shared;
use super::*;
use crate::broker::redis::bundle;
use crate::broker::{Away, Keeper, KeptLog, KeptNote};
use crate::gateway::cluster::envelope::{self, Content, Envelope, Known};
use crate::limits::{RECOVERY_ENTRIES_MAX, RECOVERY_SESSIONS_MAX};
use crate::socketio::recovery::{Offset, Origin, Positions, PublicationId};
use crate::websocket::protocol::MessageKind;

const CONFIG: RecoveryConfig = RecoveryConfig {
    window: Duration::from_millis(1_000),
    notice: Duration::from_millis(500),
    is_shared: false,
};

fn id(worker: u16, sequence: u64) -> PublicationId {
    let origin = Origin { node: 7, worker };
    PublicationId { origin, sequence }
}

fn envelope(id: PublicationId, room: &str, except: &str, data: &str) -> Vec<u8> {
    let payload = format!("{{\"type\":\"message\",\"event\":\"e\",\"data\":{data}}}");
    let known = Known {
        worker: id.origin.worker,
        sequence: id.sequence,
        except,
    };
    let envelope = Envelope {
        origin: id.origin.node,
        ticket: 0,
        content: Content::Publication {
            to: Kind::Room,
            name: room,
            kind: MessageKind::Text,
            payload: payload.as_bytes(),
            known: Some(known),
        },
    };
    envelope.encode()
}

fn kept(id: PublicationId, room: &str, position: u64, at: u64) -> Kept {
    Kept {
        kind: Kind::Room,
        name: room.into(),
        position,
        at: Moment(at),
        envelope: envelope(id, room, "", "1"),
    }
}

fn record(rooms: &[(&str, u64)]) -> Record {
    let rooms = rooms.iter();
    Record {
        sid: "sid".into(),
        since: 1,
        user: None,
        rooms: rooms
            .map(|(room, from)| (Arc::from(*room), *from))
            .collect(),
    }
}

fn wanted(rooms: &[(&str, u64)], ids: &[PublicationId]) -> Wanted {
    let mut seen = Seen::default();
    ids.iter().for_each(|id| seen.add(*id));
    Wanted {
        record: record(rooms),
        seen,
        bytes_max: 1 << 20,
    }
}

/// The numbers of what is found missing.
fn sequences(found: Option<Vec<missed::Found>>, wanted: &Wanted) -> Option<Vec<u64>> {
    let missed = missed(&found?, wanted)?;
    Some(missed.iter().map(|one| one.id.sequence).collect())
}

#[test]
fn what_was_seen_is_too_old_or_of_before_is_not_missed() {
    let mut memory = Memory::new(&CONFIG);
    for (sequence, room, position, at) in [
        (1, "r", 1, 0),
        (2, "r", 2, 100),
        (3, "s", 3, 200),
        (4, "r", 4, 300),
    ] {
        memory.keep(kept(id(0, sequence), room, position, at));
    }
    let find =
        |memory: &Memory, wanted: &Wanted, now| sequences(memory.find(wanted, Moment(now)), wanted);
    let all = wanted(&[("r", 1), ("s", 1), ("t", 1)], &[]);
    assert_eq!(find(&memory, &all, 400), Some(vec![1, 2, 3, 4]));
    let some = wanted(&[("r", 1), ("s", 1)], &[id(0, 2)]);
    assert_eq!(find(&memory, &some, 400), Some(vec![3, 4]));
    let late = wanted(&[("r", 3), ("s", 4)], &[]);
    assert_eq!(find(&memory, &late, 400), Some(vec![4]));
    let keep_ms = u64::from(CONFIG.keep_ms());
    assert_eq!(find(&memory, &all, 100 + keep_ms), Some(vec![3, 4]));
    memory.pass_time(Moment(100 + keep_ms));
    assert_eq!(memory.size().0, 2, "and forgotten");
    memory.pass_time(Moment(300 + keep_ms));
    assert_eq!(memory.size(), (0, 0));
}

#[test]
fn what_is_kept_no_more_is_a_gap_for_who_has_not_seen_it() {
    let mut memory = Memory::new(&CONFIG);
    let last = RECOVERY_ENTRIES_MAX as u64 + 1;
    for sequence in 1..=last {
        memory.keep(kept(id(0, sequence), "r", sequence, 0));
    }
    memory.keep(kept(id(1, 1), "s", last + 1, 0));
    let find = |wanted: &Wanted| sequences(memory.find(wanted, Moment(1)), wanted);
    assert_eq!(find(&wanted(&[("r", 1)], &[])), None);
    assert_eq!(
        find(&wanted(&[("r", 1)], &[id(1, 9)])),
        None,
        "of another origin"
    );
    let rest = find(&wanted(&[("r", 1)], &[id(0, 1)])).expect("the rest");
    assert_eq!((rest.len() as u64, rest[0]), (last - 1, 2));
    assert!(
        find(&wanted(&[("r", 2)], &[])).is_some(),
        "it was not there yet"
    );
    assert_eq!(find(&wanted(&[("s", 1)], &[])), Some(vec![1]));
    let short = Wanted {
        bytes_max: 15,
        ..wanted(&[("s", 1), ("r", last)], &[])
    };
    assert_eq!(find(&short), None, "more than it may be told");
}

#[test]
fn who_was_lost_is_claimed_once_and_in_time() {
    let mut memory = Memory::new(&CONFIG);
    let pid = || Box::from("pid");
    let claim = |memory: &mut Memory, now| memory.claim("pid", Moment(now));
    assert_eq!(claim(&mut memory, 0), Some(Err(Outcome::Unknown)));
    memory.save(pid(), record(&[]));
    assert_eq!(claim(&mut memory, 0), None, "it is there");
    memory.lose(pid(), record(&[("r", 1)]), Moment(10));
    assert_eq!(claim(&mut memory, 1_009), Some(Ok(record(&[("r", 1)]))));
    assert_eq!(claim(&mut memory, 1_009), Some(Err(Outcome::Unknown)));
    memory.lose(pid(), record(&[]), Moment(10));
    assert_eq!(claim(&mut memory, 1_010), Some(Err(Outcome::Expired)));
    memory.lose(pid(), record(&[]), Moment(10));
    memory.pass_time(Moment(2_010));
    assert_eq!(claim(&mut memory, 2_010), Some(Err(Outcome::Unknown)));
    memory.save(pid(), record(&[]));
    memory.forget("pid");
    assert_eq!(claim(&mut memory, 0), Some(Err(Outcome::Unknown)));
}

#[test]
fn a_client_does_not_hear_what_it_was_excepted_from() {
    let bytes = envelope(id(0, 1), "r", "sid", "1");
    let found = [missed::Found {
        position: 1,
        envelope: bytes,
    }];
    assert_eq!(missed(&found, &wanted(&[("r", 1)], &[])), Some(Vec::new()));
    // Nor what is no event at all.
    let found = [Vec::new(), vec![1, 6], b"nonsense".to_vec()];
    let found = found.map(|envelope| missed::Found {
        position: 1,
        envelope,
    });
    assert_eq!(missed(&found, &wanted(&[("r", 1)], &[])), Some(Vec::new()));
}

#[test]
fn what_is_of_one_origin_comes_in_its_order_whatever_the_clock_says() {
    let found = [
        (5, id(0, 1)),
        (4, id(0, 2)),
        (4, id(1, 8)),
        (6, id(1, 7)),
        (7, id(0, 3)),
    ];
    let found = found.map(|(position, id)| missed::Found {
        position,
        envelope: envelope(id, "r", "", "1"),
    });
    let missed = missed(&found, &wanted(&[("r", 1)], &[])).expect("few");
    let ids: Vec<_> = missed.iter().map(|one| one.id).collect();
    assert_eq!(ids, [id(0, 1), id(1, 7), id(0, 2), id(1, 8), id(0, 3)]);
}

/// What a worker does with a client, and what that one hears.
struct Worker {
    number: u16,
    sequence: u64,
    positions: Positions,
    /// What others have sent, in the order of each.
    mail: Vec<Vec<PublicationId>>,
}

impl Worker {
    /// The event of a publication that is processed, as its members get it.
    fn process(&mut self, id: PublicationId) -> Vec<u8> {
        self.positions.advance(id, Moment(0));
        let offset = self.positions.offset(Some(id), Moment(0)).encode();
        let mut event = Vec::new();
        Offset::put_behind(&offset, b"2[\"e\",1]", &mut event);
        event
    }
}

/// One client among workers that publish to its room, and are as late as they like with each other's mail.
struct World {
    workers: Vec<Worker>,
    memory: Memory,
    position: u64,
    dice: StdRng,
    /// Where the client is, and what it has seen that its worker has not, where that is so.
    at: Option<usize>,
    ahead: Option<Seen>,
    /// What it has heard, and what its last offset was.
    heard: Vec<PublicationId>,
    offset: String,
}

impl World {
    fn new(seed: u64) -> Self {
        let worker = |number| Worker {
            number,
            sequence: 0,
            positions: Positions::new(1_000),
            mail: vec![Vec::new(); 3],
        };
        Self {
            workers: (0..3).map(worker).collect(),
            memory: Memory::new(&CONFIG),
            position: 0,
            dice: StdRng::seed_from_u64(seed),
            at: Some(0),
            ahead: None,
            heard: Vec::new(),
            offset: String::new(),
        }
    }

    /// A worker publishes; whoever has members then gets it, by and by.
    fn publish(&mut self, from: usize) {
        let worker = &mut self.workers[from];
        worker.sequence += 1;
        let id = id(worker.number, worker.sequence);
        self.position += 1;
        self.memory.keep(kept(id, "r", self.position, 0));
        match self.at {
            Some(at) if at == from => self.hand_over(from, id),
            Some(at) => self.workers[at].mail[from].push(id),
            None => {}
        }
    }

    /// A worker takes some mail of another.
    fn work_off(&mut self) {
        let (at, from) = (self.dice.random_range(0..3), self.dice.random_range(0..3));
        if !self.workers[at].mail[from].is_empty() {
            let id = self.workers[at].mail[from].remove(0);
            self.hand_over(at, id);
        }
    }

    fn hand_over(&mut self, at: usize, id: PublicationId) {
        let event = self.workers[at].process(id);
        if self.at != Some(at) {
            return;
        }
        let event = match &mut self.ahead {
            None => Some(event),
            Some(seen) => pass(seen, &event).map(|(event, has_come)| {
                if has_come {
                    self.ahead = None;
                }
                event
            }),
        };
        // Some of the last that is sent never arrives.
        if let Some(event) = event
            && self.dice.random_bool(0.9)
        {
            self.hear(&event);
        } else {
            self.at = None;
            self.ahead = None;
        }
    }

    fn hear(&mut self, event: &[u8]) {
        let (_, offset) = Offset::take_off(event).expect("an offset");
        self.heard.push(offset.own.expect("a number"));
        self.offset = offset.encode();
    }

    /// The client comes back at some worker, which has been handed what it has not processed yet.
    fn come_back(&mut self) {
        let at = self.dice.random_range(0..3);
        let seen = Offset::decode(&self.offset).unwrap_or_default().seen;
        let mut wanted = wanted(&[("r", 1)], &[]);
        wanted.seen = seen;
        let found = self.memory.find(&wanted, Moment(1)).expect("all is kept");
        let mut seen = wanted.seen.clone();
        self.at = Some(at);
        for one in missed(&found, &wanted).expect("little") {
            seen.add(one.id);
            let event = with_offset(Some(one.id), &seen, &one.event);
            if self.dice.random_bool(0.95) {
                self.hear(&event);
            } else {
                return self.at = None;
            }
        }
        self.ahead = Some(seen);
    }
}

#[test]
fn whatever_is_lost_and_late_a_client_hears_everything_once_and_in_order() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..120 {
            match world.dice.random_range(0..10) {
                0..4 => {
                    let from = world.dice.random_range(0..3);
                    world.publish(from);
                }
                4..8 => world.work_off(),
                8 => (world.at, world.ahead) = (None, None),
                _ if world.at.is_none() => world.come_back(),
                _ => {}
            }
        }
        world.at = None;
        while world.at.is_none() {
            world.come_back();
        }
        let all: u64 = world.workers.iter().map(|worker| worker.sequence).sum();
        let once: HashSet<_> = world.heard.iter().collect();
        assert_eq!(
            (once.len(), world.heard.len()),
            (all as usize, all as usize),
            "seed {seed}"
        );
        for worker in 0..3 {
            let theirs = world.heard.iter().filter(|id| id.origin.worker == worker);
            assert!(theirs.is_sorted_by_key(|id| id.sequence), "seed {seed}");
        }
    }
}

/// A keeper that has what a test says.
#[derive(Debug, Clone, Default)]
struct Fake(Arc<Mutex<FakeState>>);

#[derive(Debug, Default)]
struct FakeState {
    clients: std::collections::BTreeMap<String, Vec<u8>>,
    links: u64,
    is_away: bool,
}

impl Fake {
    fn state(&self) -> Result<std::sync::MutexGuard<'_, FakeState>, Away> {
        let state = self.0.lock().expect("one thread");
        if state.is_away { Err(Away) } else { Ok(state) }
    }
}

impl Keeper for Fake {
    fn links(&self) -> u64 {
        self.0.lock().expect("one thread").links
    }

    fn time(&mut self) -> Result<u64, Away> {
        self.state().map(|_| 1_000_000)
    }

    fn write(&mut self, notes: &[KeptNote<'_>]) -> Result<(), Away> {
        let clients = &mut self.state()?.clients;
        for note in notes {
            match *note {
                KeptNote::New { name, bytes, .. } => {
                    clients.insert(name.to_owned(), bytes.to_vec());
                }
                KeptNote::Changed { name, bytes, .. } => {
                    if let Some(known) = clients.get_mut(name) {
                        *known = bytes.to_vec();
                    }
                }
                KeptNote::There { .. } => {}
                KeptNote::Gone { name } => {
                    clients.remove(name);
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, names: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Away> {
        let state = self.state()?;
        Ok(names
            .iter()
            .map(|name| state.clients.get(*name).cloned())
            .collect())
    }

    fn take(&mut self, names: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Away> {
        let mut state = self.state()?;
        let taken = names.iter().map(|name| state.clients.remove(*name));
        Ok(taken.collect())
    }

    fn is_there(&mut self, _: &str, _: &str) -> Result<bool, Away> {
        self.state().map(|_| true)
    }

    fn read(&mut self, channels: &[(String, u64)]) -> Result<(u64, Vec<KeptLog>), Away> {
        let _there = self.state()?;
        Ok((0, channels.iter().map(|_| KeptLog::default()).collect()))
    }
}

#[test]
fn what_redis_may_lack_or_has_in_part_is_a_gap_for_who_has_not_seen_it() {
    let message = |envelopes: &[&[u8]]| {
        let mut message = Vec::new();
        envelopes
            .iter()
            .for_each(|one| bundle::push(&mut message, one));
        message
    };
    let [one, two, three] = [1, 2, 3].map(|sequence| envelope(id(0, sequence), "r", "", "1"));
    let cut = &three[..envelope::KNOWN_BYTES];
    let log = |is_full, last: &[u8]| KeptLog {
        is_full,
        oldest: Some(10),
        entries: vec![(10, message(&[&one, &two])), (20, message(&[last]))],
    };
    let picked = |log: &KeptLog, from, ids: &[PublicationId]| {
        let mut found = Vec::new();
        shared::pick(log, from, &wanted(&[("r", 1)], ids), &mut found).then_some(found.len())
    };
    let (short, full) = (log(false, &three), log(true, &three));
    assert_eq!(picked(&short, 1, &[]), Some(3));
    assert_eq!(picked(&short, 11, &[]), Some(1));
    for (from, ids, expected) in [
        (1, &[][..], None),
        (10, &[id(0, 1)], None),
        (10, &[id(0, 2)], Some(3)),
        (10, &[id(1, 9)], None),
        (11, &[], Some(1)),
    ] {
        assert_eq!(picked(&full, from, ids), expected, "{from} {ids:?}");
    }
    let cut = log(false, cut);
    assert_eq!(picked(&cut, 1, &[id(0, 2)]), None);
    assert_eq!(picked(&cut, 1, &[id(0, 3)]), Some(3));
}

#[test]
fn what_a_node_knows_of_its_clients_is_written_again_after_a_loss() {
    let fake = Fake::default();
    let mut shared = Shared::new(Box::new(fake.clone()), 7, &CONFIG);
    let known = |fake: &Fake| fake.0.lock().expect("one thread").clients.len();
    let save = |shared: &mut Shared, pid: &str, since| {
        let record = Record {
            since,
            ..record(&[])
        };
        shared.save(pid.into(), record);
        shared.flush(Moment(1));
    };
    save(&mut shared, "early", 0);
    assert_eq!(known(&fake), 0, "nobody knows what it may have missed");
    fake.0.lock().expect("one thread").is_away = true;
    save(&mut shared, "one", 5);
    shared.pass_time(Moment(1), || Moment(1));
    assert_eq!((known(&fake), shared.failures, shared.is_up), (0, 2, false));
    {
        let mut state = fake.0.lock().expect("one thread");
        (state.is_away, state.links) = (false, 1);
    }
    shared.pass_time(Moment(2), || Moment(2));
    assert_eq!((known(&fake), shared.is_up), (1, true));
    assert_eq!(shared.clock(), Some(1_000_000 - 2 - 2));
    // Another node has taken it over: it is not this one's to lose.
    let theirs = fake.0.lock().expect("one thread").clients["one"].clone();
    let theirs = String::from_utf8(theirs)
        .expect("JSON")
        .replace("\"node\":7", "\"node\":8");
    fake.0
        .lock()
        .expect("one thread")
        .clients
        .insert("one".to_owned(), theirs.clone().into_bytes());
    shared.lose("one".into(), record(&[]), Moment(3));
    shared.flush(Moment(3));
    assert_eq!(
        fake.0.lock().expect("one thread").clients["one"],
        theirs.into_bytes()
    );
    save(&mut shared, "two", 5);
    shared.lose("two".into(), record(&[]), Moment(3));
    shared.flush(Moment(3));
    let lost = fake.0.lock().expect("one thread").clients["two"].clone();
    let lost: serde_json::Value = serde_json::from_slice(&lost).expect("JSON");
    assert_eq!(lost["lost_at"], 999_999);
    save(&mut shared, "three", 5);
    shared.forget("three".into());
    shared.flush(Moment(3));
    assert_eq!(known(&fake), 2);
}

#[test]
fn no_more_are_lost_at_a_time_than_allowed() {
    let fake = Fake::default();
    let mut shared = Shared::new(Box::new(fake.clone()), 7, &CONFIG);
    let known = || fake.0.lock().expect("one thread").clients.len();
    for number in 0..=RECOVERY_SESSIONS_MAX {
        shared.lose(number.to_string().into(), record(&[]), Moment(5));
    }
    shared.flush(Moment(5));
    assert_eq!(known(), RECOVERY_SESSIONS_MAX);
    for (now, expected) in [(2_004, 0), (2_005, 1)] {
        shared.lose("late".into(), record(&[]), Moment(now));
        shared.flush(Moment(now));
        assert_eq!(known(), RECOVERY_SESSIONS_MAX + expected, "{now}");
    }
}
