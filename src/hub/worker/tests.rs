use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::AtomicUsize;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::hub::publication::Target;
use crate::websocket::codec::Config;
use crate::websocket::protocol::MessageKind;

const WINDOW_BITS: u8 = 15;

fn codec() -> Codec {
    Codec::with_mask_seed(
        Config {
            message_bytes_max: 1 << 20,
            compression_bytes_min: 0,
            compression_level: 1,
        },
        [1; 32],
    )
}

fn publication(kind: Kind, name: &str, text: &str) -> Arc<Publication> {
    let target = Target {
        kind,
        name: Arc::from(name),
    };
    let under_way = Arc::new(AtomicUsize::new(0));
    let text = text.as_bytes();
    Arc::new(Publication::new(
        target,
        MessageKind::Text,
        text,
        &mut codec(),
        &under_way,
        &Arc::default(),
    ))
}

/// Ends the turn; gives what each connection was sent, whole messages of at most 125 bytes.
fn end_turn(hub: &mut Hub) -> Vec<(u32, Vec<String>)> {
    let mut sent = Vec::new();
    while let Some(round) = hub.next_round(&mut codec(), WINDOW_BITS) {
        for run in round.runs() {
            let texts = texts(&Shared::concat(run.frames));
            assert_eq!(run.messages as usize, texts.len());
            sent.extend(run.members.iter().map(|one| (one.key.index, texts.clone())));
        }
        hub.end_round(round);
    }
    hub.end_turn();
    sent
}

/// Each member with what it gets.
fn all(round: &Round) -> impl Iterator<Item = (&Member, &[Shared])> {
    let runs = round.runs();
    runs.flat_map(|run| run.members.iter().map(move |member| (member, run.frames)))
}

fn texts(mut frames: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let [_, length, rest @ ..] = frames {
        let (payload, others) = rest.split_at(usize::from(*length));
        found.push(String::from_utf8_lossy(payload).into_owned());
        frames = others;
    }
    found
}

fn key(index: u32) -> ConnKey {
    ConnKey {
        index,
        generation: index,
    }
}

#[test]
fn what_is_published_in_a_turn_goes_to_who_is_there_at_its_end_and_not_to_its_sender() {
    let mut hub = Hub::new(0, Arc::new(Directory::new(1)));
    let peers: Vec<_> = (0..3)
        .map(|index| hub.enter(key(index), Encoding::Plain))
        .collect();
    for peer in &peers {
        assert_eq!(hub.join(*peer, Kind::Room, "r"), Joined::New);
    }
    assert_eq!(hub.join(peers[0], Kind::Room, "r"), Joined::Already);
    assert_eq!(hub.reach(Kind::Room, "r", None).connections, 3);
    assert_eq!(hub.reach(Kind::Room, "r", Some(peers[1])).connections, 2);
    hub.publish(publication(Kind::Room, "r", "one"), Some(peers[1]));
    hub.publish(publication(Kind::Room, "r", "two"), None);
    assert!(hub.leave(peers[2], Kind::Room, "r"));
    assert!(!hub.leave(peers[2], Kind::Room, "r"));
    let both = ["one".to_owned(), "two".to_owned()];
    assert_eq!(
        end_turn(&mut hub),
        [(0, both.to_vec()), (1, both[1..].to_vec())]
    );
    for peer in peers {
        hub.remove(peer);
    }
    end_turn(&mut hub);
    assert!(hub.directory().find(Kind::Room, "r").is_none());
    assert!(hub.groups.is_empty() && hub.peers.is_empty());
}

#[test]
fn a_place_that_has_changed_hands_is_not_passed_by() {
    let mut hub = Hub::new(0, Arc::new(Directory::new(1)));
    let sender = hub.enter(key(0), Encoding::Plain);
    hub.join(sender, Kind::Room, "r");
    hub.publish(publication(Kind::Room, "r", "last words"), Some(sender));
    hub.remove(sender);
    let next = hub.enter(key(1), Encoding::Plain);
    assert_eq!(next, sender, "the place is the same");
    hub.join(next, Kind::Room, "r");
    assert_eq!(end_turn(&mut hub), [(1, vec!["last words".to_owned()])]);
}

#[test]
fn what_goes_to_several_groups_keeps_its_order() {
    let mut hub = Hub::new(0, Arc::new(Directory::new(1)));
    let peer = hub.enter(key(0), Encoding::Plain);
    hub.join(peer, Kind::Room, "r");
    hub.join(peer, Kind::User, "u");
    for (kind, name, text) in [
        (Kind::Room, "r", "1"),
        (Kind::User, "u", "2"),
        (Kind::Room, "r", "3"),
        (Kind::Room, "nobody is in it", "4"),
    ] {
        hub.publish(publication(kind, name, text), None);
    }
    let sent: Vec<_> = end_turn(&mut hub)
        .into_iter()
        .flat_map(|(_, texts)| texts)
        .collect();
    assert_eq!(sent, ["1", "2", "3"]);
}

/// A connection of the reference model.
#[derive(Debug)]
struct Model {
    worker: usize,
    peer: PeerId,
    encoding: Encoding,
    /// Groups that it is in, with the step at which it came.
    groups: BTreeMap<(usize, String), usize>,
    /// Numbers of publications, in the order in which they came.
    received: Vec<usize>,
    /// What must come in this turn, and what may.
    must: BTreeSet<usize>,
    may: BTreeSet<usize>,
}

/// A publication on its way, as the model sees it.
#[derive(Debug, Clone)]
struct Note {
    number: usize,
    group: (usize, String),
    except: Option<u32>,
}

const KINDS_TRIED: [Kind; 3] = [Kind::User, Kind::Room, Kind::Everyone];

/// Hubs with mail between them, and beside them what ought to be.
struct World {
    dice: SmallRng,
    directory: Arc<Directory>,
    hubs: Vec<Hub>,
    mail: Vec<VecDeque<(Arc<Publication>, Note)>>,
    handed_in: Vec<Vec<(Note, usize)>>,
    connections: BTreeMap<u32, Model>,
    next_key: u32,
    step: usize,
    senders: Vec<u32>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let workers = dice.random_range(1..=4);
        let directory = Arc::new(Directory::new(workers));
        Self {
            dice,
            hubs: (0..workers)
                .map(|worker| Hub::new(worker, Arc::clone(&directory)))
                .collect(),
            directory,
            mail: vec![VecDeque::new(); workers],
            handed_in: vec![Vec::new(); workers],
            connections: BTreeMap::new(),
            next_key: 0,
            step: 0,
            senders: Vec::new(),
        }
    }

    fn someone(&mut self) -> Option<u32> {
        let count = self.connections.len();
        if count == 0 {
            return None;
        }
        let index = self.dice.random_range(0..count);
        self.connections.keys().nth(index).copied()
    }

    fn some_group(&mut self) -> (usize, String) {
        let kind = self.dice.random_range(0..KINDS_TRIED.len());
        let name = match KINDS_TRIED[kind] {
            Kind::Everyone => String::new(),
            _ => format!("{}", self.dice.random_range(0..3)),
        };
        (kind, name)
    }

    fn members(&self, group: &(usize, String)) -> usize {
        let all = self.connections.values();
        all.filter(|one| one.groups.contains_key(group)).count()
    }

    fn act(&mut self) {
        self.step += 1;
        match self.dice.random_range(0..20) {
            0..3 => self.open(),
            3 => self.close(),
            4..9 => self.join(),
            9..12 => self.leave(),
            12..17 => self.publish(),
            _ => {
                let worker = self.dice.random_range(0..self.hubs.len());
                self.turn(worker);
            }
        }
    }

    fn open(&mut self) {
        let worker = self.dice.random_range(0..self.hubs.len());
        let encoding = Encoding::ALL[self.dice.random_range(0..Encoding::ALL.len())];
        let index = self.next_key;
        self.next_key += 1;
        let peer = self.hubs[worker].enter(key(index), encoding);
        let model = Model {
            worker,
            peer,
            encoding,
            groups: BTreeMap::new(),
            received: Vec::new(),
            must: BTreeSet::new(),
            may: BTreeSet::new(),
        };
        self.connections.insert(index, model);
    }

    fn close(&mut self) {
        if let Some(who) = self.someone() {
            let one = self.connections.remove(&who).expect("someone");
            self.hubs[one.worker].remove(one.peer);
        }
    }

    fn join(&mut self) {
        let group = self.some_group();
        if let Some(who) = self.someone() {
            let one = self.connections.get_mut(&who).expect("someone");
            let joined = self.hubs[one.worker].join(one.peer, KINDS_TRIED[group.0], &group.1);
            let is_new = !one.groups.contains_key(&group);
            assert_eq!(joined == Joined::New, is_new);
            one.groups.entry(group).or_insert(self.step);
        }
    }

    fn leave(&mut self) {
        let group = self.some_group();
        if let Some(who) = self.someone() {
            let one = self.connections.get_mut(&who).expect("someone");
            let left = self.hubs[one.worker].leave(one.peer, KINDS_TRIED[group.0], &group.1);
            assert_eq!(left, one.groups.remove(&group).is_some());
        }
    }

    /// Somebody publishes, as the gateway does: here at once, at other workers by mail.
    fn publish(&mut self) {
        let group = self.some_group();
        let Some(who) = self.someone() else { return };
        let is_excepted = self.dice.random_bool(0.5);
        let one = &self.connections[&who];
        let (worker, except) = (one.worker, is_excepted.then_some(one.peer));
        let kind = KINDS_TRIED[group.0];
        let reach = self.hubs[worker].reach(kind, &group.1, except);
        let passed_by = is_excepted && one.groups.contains_key(&group);
        let expected = self.members(&group) - usize::from(passed_by);
        assert_eq!(reach.connections as usize, expected, "of {group:?}");
        let number = self.senders.len();
        self.senders.push(who);
        let note = Note {
            number,
            group,
            except: is_excepted.then_some(who),
        };
        let one = publication(kind, &note.group.1, &numbered(number));
        if let Some(audience) = reach.audience {
            for other in audience.others(worker) {
                self.mail[other].push_back((Arc::clone(&one), note.clone()));
            }
        }
        self.hubs[worker].publish(one, except);
        self.handed_in[worker].push((note, self.step));
    }

    /// Some mail, then the end of the turn, in which somebody may be lost.
    fn turn(&mut self, worker: usize) {
        let letters = self.dice.random_range(0..=self.mail[worker].len());
        for (one, note) in self.mail[worker].drain(..letters) {
            self.hubs[worker].publish(one, None);
            self.handed_in[worker].push((note, self.step));
        }
        for (note, step) in std::mem::take(&mut self.handed_in[worker]) {
            let here = self.connections.iter_mut();
            for (who, one) in here.filter(|(_, one)| one.worker == worker) {
                let since = one.groups.get(&note.group);
                if let Some(since) = since.filter(|_| note.except != Some(*who)) {
                    one.may.insert(note.number);
                    if *since < step {
                        one.must.insert(note.number);
                    }
                }
            }
        }
        let mut codec = codec();
        while let Some(round) = self.hubs[worker].next_round(&mut codec, WINDOW_BITS) {
            let mut lost = Vec::new();
            for (member, frames) in all(&round) {
                if let Some(one) = self.connections.get_mut(&member.key.index) {
                    one.take(frames);
                    if self.dice.random_ratio(1, 100) {
                        lost.push(member.key.index);
                    }
                }
            }
            for who in lost {
                let one = self.connections.remove(&who).expect("it was there");
                self.hubs[worker].remove(one.peer);
            }
            self.hubs[worker].end_round(round);
        }
        self.hubs[worker].end_turn();
        for (who, one) in &mut self.connections {
            if one.worker == worker {
                assert!(one.must.is_empty(), "{who} missed {:?}", one.must);
                one.may.clear();
            }
        }
    }

    /// Everything in quiet is as the model has it.
    fn check(&mut self) {
        for worker in 0..self.hubs.len() {
            while !self.mail[worker].is_empty() {
                self.turn(worker);
            }
            self.turn(worker);
        }
        for (kind, tried) in KINDS_TRIED.into_iter().enumerate() {
            let mut expected: BTreeMap<String, u32> = BTreeMap::new();
            for one in self.connections.values() {
                for (_, name) in one.groups.keys().filter(|(of, _)| *of == kind) {
                    *expected.entry(name.clone()).or_default() += 1;
                }
            }
            let (listed, _) = self.directory.list(tried, "", None, usize::MAX);
            let listed: BTreeMap<_, _> = listed
                .into_iter()
                .map(|group| (group.name.to_string(), group.members))
                .collect();
            assert_eq!(listed, expected);
            assert_eq!(self.directory.len(tried), expected.len(), "no ghost");
        }
        for one in self.connections.values() {
            let mut in_order: BTreeMap<u32, usize> = BTreeMap::new();
            for number in &one.received {
                let before = in_order.insert(self.senders[*number], *number);
                assert!(before.is_none_or(|before| before < *number), "in order");
            }
            let hub = &self.hubs[one.worker];
            for (kind, tried) in KINDS_TRIED.into_iter().enumerate() {
                let names: BTreeSet<_> = hub
                    .groups_of(one.peer, tried)
                    .map(|audience| audience.name().to_string())
                    .collect();
                let expected = one.groups.keys().filter(|(of, _)| *of == kind);
                assert_eq!(names, expected.map(|(_, name)| name.clone()).collect());
            }
        }
    }
}

impl Model {
    fn take(&mut self, frames: &[Shared]) {
        let numbers: Vec<usize> = match self.encoding {
            Encoding::Plain => texts(&Shared::concat(frames))
                .iter()
                .map(|text| number_of(text, "{\"type\":\"n\",\"message\":", "}"))
                .collect(),
            Encoding::SocketIo => texts(&Shared::concat(frames))
                .iter()
                .map(|text| number_of(text, "42[\"n\",", "]"))
                .collect(),
            Encoding::Deflated => inflated(&Shared::concat(frames)),
        };
        for number in numbers {
            assert!(
                self.may.remove(&number),
                "{number} is not for it, or came twice"
            );
            self.must.remove(&number);
            self.received.push(number);
        }
    }
}

/// A message that both protocols have a form for.
fn numbered(number: usize) -> String {
    format!("{{\"type\":\"n\",\"message\":{number}}}")
}

fn number_of(text: &str, before: &str, behind: &str) -> usize {
    let number = text.strip_prefix(before).expect("the form");
    let number = number.strip_suffix(behind).expect("the form");
    number.parse().expect("a number")
}

fn inflated(frames: &[u8]) -> Vec<usize> {
    let mut frames = frames;
    let mut numbers = Vec::new();
    while let [first, length, rest @ ..] = frames {
        let (payload, others) = rest.split_at(usize::from(*length));
        let mut text = Vec::new();
        if first & 0x40 == 0 {
            text.extend_from_slice(payload);
        } else {
            let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
            let mut inflate = flate2::Decompress::new(false);
            text.reserve(64);
            inflate
                .decompress_vec(&whole, &mut text, flate2::FlushDecompress::Sync)
                .expect("deflated");
        }
        let text = String::from_utf8(text).expect("digits");
        numbers.push(number_of(&text, "{\"type\":\"n\",\"message\":", "}"));
        frames = others;
    }
    numbers
}

/// Random operations on several workers against a model that is simple enough to be right. `TIDEGATE_SEED` repeats a run.
#[test]
fn hubs_do_what_the_model_does() {
    let seed: u64 = std::env::var("TIDEGATE_SEED").map_or_else(
        |_| rand::random(),
        |text| text.parse().expect("TIDEGATE_SEED is a number"),
    );
    println!("TIDEGATE_SEED={seed}");
    for episode in 0..200 {
        let mut world = World::new(seed.wrapping_add(episode));
        for _ in 0..300 {
            world.act();
        }
        world.check();
        for who in world.connections.keys().copied().collect::<Vec<_>>() {
            let one = world.connections.remove(&who).expect("there");
            world.hubs[one.worker].remove(one.peer);
        }
        world.check();
        for hub in &world.hubs {
            assert!(hub.groups.is_empty() && hub.peers.is_empty());
        }
    }
}
