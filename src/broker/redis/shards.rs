//! A Redis Cluster: its channels are spread over masters by their slots (sharded pub/sub, Redis 7), and there is a link to each.
//!
//! A thread of its own looks which master has what, every second and whenever a link has reason to doubt it. A master that has
//! other slots than before gets a new link: whatever was on its way is told of as lost, as with any link.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use redis::{Connection, ErrorKind, RedisResult, Value, cmd, from_redis_value};

use super::link::{Doubts, Link, Order, Plan, Shard};
use super::log_loss;
use super::server::RedisServer;
use crate::broker::{Health, Inbox};

/// Slots of a Redis Cluster.
const SLOTS: u16 = 16_384;
/// How often the thread looks by itself, and how often at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// What a server says to a command about a slot that another one has, or that it cannot speak for at present.
pub(super) const ELSEWHERE: [&str; 2] = ["MOVED", "CLUSTERDOWN"];

/// What a shard's slot ranges are.
type Slots = Vec<RangeInclusive<u16>>;
/// The address of a master.
type Master = (String, u16);
/// Who has what.
type Map = BTreeMap<Master, Slots>;

/// The slot of a channel: the part in braces counts alone, where there is one.
fn slot(channel: &str) -> u16 {
    let braced = channel
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let counted = braced.map(|(tag, _)| tag).filter(|tag| !tag.is_empty());
    let counted = counted.unwrap_or(channel).as_bytes();
    crc16::State::<crc16::XMODEM>::calculate(counted) % SLOTS
}

/// Whether the slot of a channel is among these.
pub(super) fn has(slots: &[RangeInclusive<u16>], channel: &str) -> bool {
    let slot = slot(channel);
    slots.iter().any(|range| range.contains(&slot))
}

/// Wakes the thread that looks.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    is_due: AtomicBool,
    is_over: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Alarm {
    pub(super) fn ring(&self) {
        self.is_due.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// A link, and what its master has.
#[derive(Debug)]
struct Held {
    slots: Slots,
    link: Link,
}

/// What the thread and everybody else share.
#[derive(Debug)]
struct Desk {
    server: RedisServer,
    own_channel: String,
    inbox: Arc<dyn Inbox>,
    alarm: Arc<Alarm>,
    /// Written to where a master is new or gone, for the moment of it; never held while anybody waits.
    links: RwLock<BTreeMap<Master, Arc<Held>>>,
}

/// The links to a Redis Cluster. Dropped, they end.
#[derive(Debug)]
pub(super) struct Shards {
    desk: Arc<Desk>,
}

impl Shards {
    /// Begins to look for the masters, and to connect to them.
    pub(super) fn start(
        server: RedisServer,
        own_channel: String,
        inbox: Arc<dyn Inbox>,
    ) -> io::Result<Self> {
        let desk = Arc::new(Desk {
            server,
            own_channel,
            inbox,
            alarm: Arc::default(),
            links: RwLock::default(),
        });
        let its_desk = Arc::clone(&desk);
        let thread = thread::Builder::new()
            .name("redis-cluster".to_owned())
            .spawn(move || watch(&its_desk))?;
        let _ = desk.alarm.thread.set(thread.thread().clone());
        Ok(Self { desk })
    }

    /// See [`crate::broker::Broker::publish`].
    pub(super) fn publish(&self, order: Order) -> bool {
        let held = self.desk.find(&order.channel);
        held.is_some_and(|held| held.link.publish(order))
    }

    /// See [`crate::broker::Broker::note`].
    pub(super) fn note(&self, channel: String, ticket: Option<u64>) -> bool {
        let held = self.desk.find(&channel);
        held.is_some_and(|held| held.link.note(channel, ticket))
    }

    /// Finds masters, as long as the shards are there.
    pub(super) fn finder(&self) -> Finder {
        Finder(Arc::clone(&self.desk))
    }

    /// That of all links together; whole only where every slot has one.
    pub(super) fn health(&self) -> Health {
        let links = self
            .desk
            .links
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let covered: usize = links
            .values()
            .flat_map(|held| &held.slots)
            .map(ExactSizeIterator::len)
            .sum();
        let is_covered = covered == usize::from(SLOTS);
        let all = links.values().map(|held| held.link.health());
        let begin = Health {
            is_publishing: is_covered,
            is_listening: is_covered,
            ..Health::default()
        };
        all.fold(begin, |sum, one| Health {
            is_publishing: sum.is_publishing && one.is_publishing,
            is_listening: sum.is_listening && one.is_listening,
            queued: sum.queued + one.queued,
            published: sum.published + one.published,
            dropped: sum.dropped + one.dropped,
            received: sum.received + one.received,
            round_trip_us: sum.round_trip_us.max(one.round_trip_us),
            ..sum
        })
    }
}

/// Finds masters.
#[derive(Debug)]
pub(super) struct Finder(Arc<Desk>);

impl Finder {
    /// A connection to the master that has a key.
    pub(super) fn connect(&self, key: &str) -> RedisResult<Connection> {
        let links = self.0.links.read();
        let links = links.unwrap_or_else(PoisonError::into_inner);
        let found = links.iter().find(|(_, held)| has(&held.slots, key));
        let found = found.map(|((host, port), _)| self.0.server.sibling(host, *port));
        drop(links);
        let unknown = (ErrorKind::ClusterConnectionNotFound, "nobody has its slot");
        found.ok_or(unknown)?.connect()
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.desk.alarm.is_over.store(true, Ordering::Release);
        self.desk.alarm.ring();
    }
}

impl Desk {
    fn find(&self, channel: &str) -> Option<Arc<Held>> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let held = links.values().find(|held| has(&held.slots, channel));
        held.map(Arc::clone)
    }

    /// Makes the links be those to the masters of `map`.
    fn follow(&self, map: &Map) -> io::Result<()> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let mut next = BTreeMap::new();
        for (master, slots) in map {
            let held = match links.get(master) {
                Some(held) if held.slots == *slots => Arc::clone(held),
                _ => self.begin(master, slots)?,
            };
            next.insert(master.clone(), held);
        }
        drop(links);
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *links, next);
        drop(links);
        // Those that nobody has any more end, and may say something that goes by the others.
        drop(before);
        Ok(())
    }

    fn begin(&self, master: &Master, slots: &Slots) -> io::Result<Arc<Held>> {
        let (host, port) = master;
        log::info!(
            "Redis Cluster: {host}:{port} has {} ranges of slots",
            slots.len()
        );
        let link = Link::start(Plan {
            server: self.server.sibling(host, *port),
            own_channel: own_channel(&self.own_channel, slots),
            inbox: Arc::clone(&self.inbox),
            shard: Some(Shard {
                slots: slots.clone(),
                alarm: Arc::clone(&self.alarm),
            }),
            keeping: None,
            // Who has other slots than before, or none, gets another link in any case.
            doubts: Doubts::default(),
        })?;
        Ok(Arc::new(Held {
            slots: slots.clone(),
            link,
        }))
    }

    /// Asks those that are known, one after the other, for who has what; the one that has answered before first, unless there is
    /// doubt.
    fn look(&self, at: &mut Option<(Connection, String)>, is_doubtful: bool) -> RedisResult<Map> {
        if let Some((connection, host)) = at.as_mut().filter(|_| !is_doubtful)
            && let Ok(map) = ask(connection, host)
        {
            return Ok(map);
        }
        *at = None;
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let mut masters: Vec<_> = links.keys().cloned().collect();
        drop(links);
        // One that the others have cut off knows it last: it is not to be the first that is asked each time.
        masters.shuffle(&mut rand::rng());
        let siblings = masters
            .iter()
            .map(|(host, port)| self.server.sibling(host, *port));
        let mut problem = None;
        for server in siblings.chain(self.server.seeds()) {
            let host = server.host();
            let asked = server.connect().and_then(|mut connection| {
                let map = ask(&mut connection, &host)?;
                Ok((map, connection))
            });
            match asked {
                Ok((map, connection)) => {
                    *at = Some((connection, host));
                    return Ok(map);
                }
                Err(error) => problem = Some(error),
            }
        }
        Err(problem.expect("there are seeds"))
    }
}

fn watch(desk: &Desk) {
    let mut at = None;
    let mut is_lost = false;
    let mut is_doubtful = false;
    let mut map = Map::new();
    while !desk.alarm.is_over.load(Ordering::Acquire) {
        match desk.look(&mut at, is_doubtful) {
            Ok(found) => {
                is_lost = false;
                if found != map {
                    match desk.follow(&found) {
                        Ok(()) => map = found,
                        Err(error) => log::error!("a link to Redis cannot be made: {error}"),
                    }
                }
            }
            Err(error) => log_loss(
                "no server of the Redis Cluster answers",
                &error,
                &mut is_lost,
            ),
        }
        thread::sleep(LOOK_PAUSE);
        let until = Instant::now() + LOOK_INTERVAL;
        while !desk.alarm.is_due.load(Ordering::Acquire) && Instant::now() < until {
            thread::park_timeout(LOOK_INTERVAL);
        }
        is_doubtful = desk.alarm.is_due.swap(false, Ordering::AcqRel);
    }
}

/// Who has what, as a server sees it. A master without a name of its own is the server that was asked.
fn ask(connection: &mut Connection, host: &str) -> RedisResult<Map> {
    map_of(cmd("CLUSTER").arg("SLOTS").query(connection)?, host)
}

fn map_of(rows: Vec<Vec<Value>>, host: &str) -> RedisResult<Map> {
    let mut map = Map::new();
    for row in rows {
        let mut row = row.into_iter();
        let mut next = || row.next().unwrap_or(Value::Nil);
        let (first, last): (u16, u16) = (number(next())?, number(next())?);
        // Of slots that there are not no channel would ever be found.
        if first > last || last >= SLOTS {
            return Err((ErrorKind::UnexpectedReturnType, "no range of slots").into());
        }
        // Behind it are its replicas.
        let master: Vec<Value> = from_redis_value(next())?;
        let mut master = master.into_iter();
        let mut next = || master.next().unwrap_or(Value::Nil);
        let (name, port) = (next(), number(next())?);
        let name = from_redis_value::<Option<String>>(name)?.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| host.to_owned());
        map.entry((name, port)).or_default().push(first..=last);
    }
    Ok(map)
}

/// A slot or a port. The library would cut what is too large for one.
fn number(value: Value) -> RedisResult<u16> {
    let number: i64 = from_redis_value(value)?;
    let too_large = |_| (ErrorKind::UnexpectedReturnType, "no slot and no port").into();
    u16::try_from(number).map_err(too_large)
}

/// A channel of this node that a shard with these slots has.
fn own_channel(own_channel: &str, slots: &Slots) -> String {
    let mut names = (0_u32..).map(|number| format!("{own_channel}:{number}"));
    let mine = names.find(|name| has(slots, name));
    mine.expect("every slot has names")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        for (channel, expected) in [
            ("123456789", 0x31c3),
            ("foo", 12_182),
            ("{user1000}.following", slot("user1000")),
            ("foo{}{bar}", slot("foo{}{bar}")),
            ("foo{{bar}}zap", slot("{bar")),
        ] {
            assert_eq!(slot(channel), expected, "{channel}");
        }
    }

    #[test]
    fn ranges_of_slots_that_there_are_not_are_refused() {
        let row = |first: i64, last: i64, name: &str| {
            let master = [Value::BulkString(name.into()), Value::Int(7_000)];
            vec![
                Value::Int(first),
                Value::Int(last),
                Value::Array(master.into()),
            ]
        };
        let rows = vec![row(0, 9, ""), row(20, 29, "b"), row(10, 19, "")];
        let map = map_of(rows, "a").expect("a map");
        let expected = [("a", vec![0..=9, 10..=19]), ("b", vec![20..=29])];
        let expected = expected.map(|(name, slots)| ((name.to_owned(), 7_000), slots));
        assert_eq!(map, Map::from(expected));
        for (first, last) in [(5, 3), (0, 16_384), (16_384, 16_384), (-1, 3), (0, 70_000)] {
            map_of(vec![row(first, last, "a")], "a").expect_err("no range");
        }
        for short in [vec![], vec![Value::Int(1)], row(0, 1, "a")[..2].to_vec()] {
            map_of(vec![short], "a").expect_err("no row");
        }
    }

    #[test]
    fn every_shard_has_a_channel_of_this_node() {
        for slots in [vec![0..=16_383], vec![7..=7], vec![0..=0, 16_383..=16_383]] {
            assert!(has(&slots, &own_channel("t:n:1", &slots)), "{slots:?}");
        }
    }
}
