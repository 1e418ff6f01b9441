//! One worker's share: its peers, the groups that they are in, what goes out at the end of the turn.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use slab::Slab;

use super::directory::{Audience, Directory, KINDS, Kind};
use super::members::{Member, Members};
use super::offsets::Offsets;
use super::policy::{Overflow, RoomPolicies};
use super::publication::{Encoding, Publication};
use super::round::{Lossy, Round, Skip};
use crate::buffer::Shared;
use crate::id::ConnKey;
use crate::socketio::Moment;
use crate::socketio::recovery::{Offset, Seen};
use crate::websocket::codec::Codec;

/// Seats of a peer up to which it has room for hardly more than it needs.
const SEATS_EXACT_MAX: usize = 16;

/// A connection, as its worker's hub names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerId(u32);

/// A peer's place in a group.
#[derive(Debug, Clone, Copy)]
struct Seat {
    group: u32,
    /// In the list of its encoding.
    position: u32,
}

#[derive(Debug)]
struct Peer {
    key: ConnKey,
    encoding: Encoding,
    seats: Vec<Seat>,
}

#[derive(Debug)]
struct Group {
    audience: Arc<Audience>,
    members: Members,
}

/// What joining came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The peer is a member from now on.
    New,
    /// It was one before.
    Already,
}

/// Whom a publication is for.
#[derive(Debug)]
pub struct Reach {
    /// The group; `None` where nobody in this process is in it.
    pub audience: Option<Arc<Audience>>,
    /// Connections that get it.
    pub connections: u32,
}

/// Is told of a group.
type Told = dyn Fn(Kind, &str) + Send;

/// Wants to know of groups that come or go.
struct Watch(Box<Told>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// A publication that leaves at the end of the turn.
#[derive(Debug)]
pub(super) struct Delivery {
    group: u32,
    pub(super) publication: Arc<Publication>,
    /// Who does not get it. Its place may be another's by the end of the turn.
    except: Option<(PeerId, ConnKey)>,
}

/// The users, rooms and channels of one worker. What is published during a turn goes out at its end: [`next_round`](Self::next_round)
/// and [`end_round`](Self::end_round) until there is none, then [`end_turn`](Self::end_turn). Between the two peers may go at any time.
#[derive(Debug)]
pub struct Hub {
    worker: usize,
    directory: Arc<Directory>,
    policies: Arc<RoomPolicies>,
    peers: Slab<Peer>,
    groups: Slab<Group>,
    /// Numbers of groups, by the names that these have.
    by_name: [HashTable<u32>; KINDS],
    hasher: RandomState,
    pending: Vec<Delivery>,
    /// How far it has come, where events tell that.
    offsets: Option<Offsets>,
    /// Is told of each group that comes or goes here.
    watch: Option<Watch>,
    /// Groups that have lost their last member in this turn, some of which may have got one again.
    emptied: Vec<u32>,
    /// Whether the members of a group are out on a round.
    is_on_round: bool,
    /// Whether something has gone out in this turn.
    has_had_round: bool,
    /// Peers that went meanwhile.
    gone: Vec<PeerId>,
}

impl Hub {
    /// The hub of `worker`.
    pub fn new(worker: usize, directory: Arc<Directory>) -> Self {
        Self {
            worker,
            directory,
            policies: Arc::default(),
            peers: Slab::new(),
            groups: Slab::new(),
            by_name: Default::default(),
            hasher: RandomState::new(),
            pending: Vec::new(),
            offsets: None,
            watch: None,
            emptied: Vec::new(),
            is_on_round: false,
            has_had_round: false,
            gone: Vec::new(),
        }
    }

    /// What the workers share.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Has `watch` called for each group that gets its first member here, and for each that has lost its last.
    pub fn set_watch(&mut self, watch: impl Fn(Kind, &str) + Send + 'static) {
        self.watch = Some(Watch(Box::new(watch)));
    }

    fn tell_watch(&self, kind: Kind, name: &str) {
        if let Some(Watch(watch)) = &self.watch {
            watch(kind, name);
        }
    }

    /// Has every event that sessions get tell how far this worker has come, in offsets that leave out who has published nothing for
    /// so many milliseconds.
    pub fn tell_offsets(&mut self, keep_ms: u32) {
        self.offsets = Some(Offsets::new(keep_ms));
    }

    /// What goes out from here on goes out now.
    pub fn pass_time(&mut self, now: Moment) {
        if let Some(offsets) = &mut self.offsets {
            offsets.pass_time(now);
        }
    }

    /// How far what has gone out tells sessions that this worker has come, where it does.
    pub fn offset(&self) -> Option<Offset> {
        Some(self.offsets.as_ref()?.offset())
    }

    /// Whether all of that has been processed here, as far as is known.
    pub fn has_come(&self, seen: &Seen) -> bool {
        let offsets = self.offsets.as_ref();
        offsets.is_some_and(|offsets| offsets.have_come(seen))
    }

    /// Other policies from now on, also of the rooms that there are.
    pub fn set_policies(&mut self, policies: Arc<RoomPolicies>) {
        self.policies = policies;
    }

    /// A connection that gets publications in that form. It is in no group yet.
    pub fn enter(&mut self, key: ConnKey, encoding: Encoding) -> PeerId {
        PeerId(self.peers.insert(Peer {
            key,
            encoding,
            seats: Vec::new(),
        }) as u32)
    }

    /// The connection of a peer.
    pub fn key_of(&self, peer: PeerId) -> Option<ConnKey> {
        Some(self.peers.get(peer.0 as usize)?.key)
    }

    /// The connection has gone, or goes to another worker: it leaves every group. Nothing is sent to it any more.
    pub fn remove(&mut self, peer: PeerId) {
        if self.is_on_round {
            return self.gone.push(peer);
        }
        while let Some(last) = self.peers[peer.0 as usize].seats.len().checked_sub(1) {
            self.give_up(peer, last);
        }
        self.peers.remove(peer.0 as usize);
    }

    /// Makes the peer a member of that group.
    pub fn join(&mut self, peer: PeerId, kind: Kind, name: &str) -> Joined {
        debug_assert!(!self.is_on_round, "peers may go during a round, not move");
        let group = self.group(kind, name);
        if self.seat_in(peer, group).is_some() {
            return Joined::Already;
        }
        let Peer {
            key,
            encoding,
            seats,
        } = &mut self.peers[peer.0 as usize];
        let member = Member {
            key: *key,
            peer: peer.0,
            seat: seats.len() as u32,
        };
        let position = self.groups[group as usize].members.push(*encoding, member);
        if seats.len() == seats.capacity() && seats.len() < SEATS_EXACT_MAX {
            // Sizes that fill what an allocator gives: three seats, then two more at a time.
            seats.reserve_exact(if seats.is_empty() { 3 } else { 2 });
        }
        seats.push(Seat { group, position });
        self.count(group);
        Joined::New
    }

    /// Takes the peer out of that group; whether it was in it.
    pub fn leave(&mut self, peer: PeerId, kind: Kind, name: &str) -> bool {
        debug_assert!(!self.is_on_round, "peers may go during a round, not move");
        let group = self.find(kind, name);
        let seat = group.and_then(|group| self.seat_in(peer, group));
        if let Some(seat) = seat {
            self.give_up(peer, seat);
        }
        seat.is_some()
    }

    /// Whether the peer is in that group.
    pub fn is_member(&self, peer: PeerId, kind: Kind, name: &str) -> bool {
        let group = self.find(kind, name);
        group.is_some_and(|group| self.seat_in(peer, group).is_some())
    }

    /// The groups of that kind that the peer is in.
    pub fn groups_of(&self, peer: PeerId, kind: Kind) -> impl Iterator<Item = &Arc<Audience>> {
        let seats = self.peers[peer.0 as usize].seats.iter();
        seats
            .map(|seat| &self.groups[seat.group as usize].audience)
            .filter(move |audience| audience.kind() == kind)
    }

    /// The members that a group has here.
    pub fn members(&self, kind: Kind, name: &str) -> impl Iterator<Item = (PeerId, ConnKey)> {
        let group = self.find(kind, name);
        let members = group.map(|group| &self.groups[group as usize].members);
        let members = members.into_iter().flat_map(Members::iter);
        members.map(|member| (PeerId(member.peer), member.key))
    }

    /// The same, with the form in which each gets publications.
    pub fn receivers(&self, kind: Kind, name: &str) -> impl Iterator<Item = (ConnKey, Encoding)> {
        let group = self.find(kind, name);
        let members = group.map(|group| &self.groups[group as usize].members);
        Encoding::ALL.into_iter().flat_map(move |encoding| {
            let members = members.into_iter();
            members.flat_map(move |members| {
                members
                    .list(encoding)
                    .iter()
                    .map(move |one| (one.key, encoding))
            })
        })
    }

    /// Whom a publication to that group is for, but for `except`.
    pub fn reach(&self, kind: Kind, name: &str, except: Option<PeerId>) -> Reach {
        let Some(group) = self.find(kind, name) else {
            let audience = self.directory.find(kind, name);
            let connections = audience.as_ref().map_or(0, |audience| audience.total());
            return Reach {
                audience,
                connections,
            };
        };
        let audience = &self.groups[group as usize].audience;
        let is_excepted = except.is_some_and(|peer| self.seat_in(peer, group).is_some());
        Reach {
            audience: Some(Arc::clone(audience)),
            connections: audience.total() - u32::from(is_excepted),
        }
    }

    /// Lets a publication go to its members here, but for `except`, at the end of the turn.
    pub fn publish(&mut self, publication: Arc<Publication>, except: Option<PeerId>) {
        let target = publication.target();
        if let Some(group) = self.find(target.kind, &target.name) {
            let except = except.map(|peer| (peer, self.peers[peer.0 as usize].key));
            self.pending.push(Delivery {
                group,
                publication,
                except,
            });
        }
    }

    /// Whether something is to go out.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What goes out next: as many publications as have the same members, in order. Every round is given back by
    /// [`end_round`](Self::end_round) before the next is asked for.
    pub fn next_round(&mut self, codec: &mut Codec, window_bits: u8) -> Option<Round> {
        debug_assert!(!self.is_on_round, "one round at a time");
        let group = self.pending.first()?.group;
        let same = self.pending.iter().take_while(|one| one.group == group);
        let count = same.count();
        let is_alone = !self.has_had_round && count == self.pending.len();
        let mut round = Round::new(group, is_alone, self.lossy(group));
        let members = &self.groups[group as usize].members;
        let has_sessions = !members.list(Encoding::SocketIo).is_empty();
        let offsets = self.offsets.as_mut().map_or_else(Vec::new, |offsets| {
            offsets.advance(&self.pending[..count], has_sessions)
        });
        for encoding in Encoding::ALL {
            if self.groups[group as usize]
                .members
                .list(encoding)
                .is_empty()
            {
                continue;
            }
            let list = round.list_mut(encoding);
            let deliveries = &self.pending[..count];
            let mut one = |index: usize, one: &Delivery| match offsets.get(index) {
                Some(offset) if encoding == Encoding::SocketIo => {
                    one.publication.frame_with(offset, codec, window_bits)
                }
                _ => Shared::clone(one.publication.frame(encoding, codec, window_bits)),
            };
            let all = deliveries.iter().enumerate();
            list.frames
                .extend(all.map(|(index, delivery)| one(index, delivery)));
            for (position, who) in self.excepted(group, encoding, count) {
                let all = deliveries.iter().zip(&list.frames);
                let theirs = all.filter(|(one, _)| one.except != Some(who));
                let frames = theirs.map(|(_, frame)| Shared::clone(frame)).collect();
                list.skips.push(Skip {
                    position,
                    frames,
                    messages: 0,
                });
            }
            // One by one, where each may be dropped by itself.
            let stays_apart = round.lossy().is_some();
            let list = round.list_mut(encoding);
            list.prepare(stays_apart);
            list.members = std::mem::take(self.groups[group as usize].members.list_mut(encoding));
        }
        self.pending.drain(..count);
        self.is_on_round = true;
        self.has_had_round = true;
        Some(round)
    }

    fn lossy(&self, group: u32) -> Option<Lossy> {
        let audience = &self.groups[group as usize].audience;
        let overflow = self.policy(audience.kind(), audience.name());
        (overflow != Overflow::Disconnect).then(|| Lossy {
            overflow,
            tag: audience.tag(),
            room: Arc::clone(audience.name()),
        })
    }

    /// Those whom one of the first `count` publications passes by, with their positions, in order of these.
    fn excepted(
        &self,
        group: u32,
        encoding: Encoding,
        count: usize,
    ) -> Vec<(u32, (PeerId, ConnKey))> {
        let all = self.pending[..count].iter().filter_map(|one| one.except);
        let mut excepted: Vec<_> = all
            .filter_map(|(id, key)| {
                let peer = self.peers.get(id.0 as usize)?;
                let seat = peer.seats.iter().find(|seat| seat.group == group)?;
                let is_it = peer.key == key && peer.encoding == encoding;
                is_it.then_some((seat.position, (id, key)))
            })
            .collect();
        excepted.sort_unstable_by_key(|(position, _)| *position);
        excepted.dedup();
        excepted
    }

    /// The round is over.
    pub fn end_round(&mut self, round: Round) {
        let (group, lists) = round.into_parts();
        for (encoding, members) in lists {
            *self.groups[group as usize].members.list_mut(encoding) = members;
        }
        self.is_on_round = false;
        while let Some(peer) = self.gone.pop() {
            self.remove(peer);
        }
    }

    /// The turn is over: groups without members are forgotten.
    pub fn end_turn(&mut self) {
        debug_assert!(self.pending.is_empty(), "rounds come before the end");
        self.has_had_round = false;
        while let Some(group) = self.emptied.pop() {
            let is_empty = self
                .groups
                .get(group as usize)
                .is_some_and(|group| group.members.len() == 0);
            if is_empty {
                let Group { audience, .. } = self.groups.remove(group as usize);
                let hash = self.hasher.hash_one(&**audience.name());
                let by_name = &mut self.by_name[audience.kind().index()];
                if let Ok(entry) = by_name.find_entry(hash, |&one| one == group) {
                    entry.remove();
                }
                self.directory.exit(&audience);
                self.tell_watch(audience.kind(), audience.name());
            }
        }
    }

    /// The group of that name, made where it is not here yet.
    fn group(&mut self, kind: Kind, name: &str) -> u32 {
        if let Some(group) = self.find(kind, name) {
            return group;
        }
        let audience = self.directory.enter(kind, name);
        self.tell_watch(kind, name);
        let group = self.groups.insert(Group {
            audience,
            members: Members::default(),
        }) as u32;
        let hash = self.hasher.hash_one(name);
        let Self { groups, hasher, .. } = self;
        let hash_of = |&group: &u32| hasher.hash_one(&**groups[group as usize].audience.name());
        self.by_name[kind.index()].insert_unique(hash, group, hash_of);
        group
    }

    fn find(&self, kind: Kind, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        let has_name = |&group: &u32| **self.groups[group as usize].audience.name() == *name;
        self.by_name[kind.index()].find(hash, has_name).copied()
    }

    fn policy(&self, kind: Kind, name: &str) -> Overflow {
        match kind {
            Kind::Room => self.policies.of(name),
            Kind::Everyone | Kind::Channel | Kind::User => Overflow::Disconnect,
        }
    }

    fn seat_in(&self, peer: PeerId, group: u32) -> Option<usize> {
        let seats = &self.peers[peer.0 as usize].seats;
        seats.iter().position(|seat| seat.group == group)
    }

    /// Gives the peer's seat up: whoever moves on either side is told of the new place.
    fn give_up(&mut self, peer: PeerId, index: usize) {
        let Peer {
            encoding, seats, ..
        } = &mut self.peers[peer.0 as usize];
        let encoding = *encoding;
        let seat = seats.swap_remove(index);
        if let Some(moved) = seats.get(index) {
            let list = self.groups[moved.group as usize].members.list_mut(encoding);
            list[moved.position as usize].seat = index as u32;
        }
        let members = &mut self.groups[seat.group as usize].members;
        if let Some(moved) = members.remove(encoding, seat.position) {
            self.peers[moved.peer as usize].seats[moved.seat as usize].position = seat.position;
        }
        self.count(seat.group);
    }

    fn count(&mut self, group: u32) {
        let Group { audience, members } = &self.groups[group as usize];
        audience.set_count(self.worker, members.len() as u32);
        if members.len() == 0 {
            self.emptied.push(group);
        }
    }
}

#[cfg(test)]
mod tests;
