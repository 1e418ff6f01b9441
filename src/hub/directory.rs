//! Who is where in this process: each group with the workers that have members of it, and how many.
//!
//! Readers take no lock. A worker writes when a group gets its first member there, or loses its last, and its own count, which
//! nobody else writes.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher, RandomState};
use std::sync::Arc;

use papaya::HashMap;
use smallvec::SmallVec;

use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// What a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// All connections of the gateway protocol; it has one group, without a name.
    Everyone,
    /// The connections on a broadcast route, which is its name.
    Channel,
    /// The connections of one user.
    User,
    /// The members of a room.
    Room,
}

/// How many kinds there are.
pub(super) const KINDS: usize = 4;

impl Kind {
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// `Audience::present` of a group that is being taken out of the directory: nobody enters it any more.
const GONE: usize = usize::MAX;

/// One group: how many members each worker has.
#[derive(Debug)]
pub struct Audience {
    kind: Kind,
    name: Arc<str>,
    /// What send queues know it by; nobody else has it, and it is not 0.
    tag: u32,
    /// Workers that are in it, or [`GONE`].
    present: AtomicUsize,
    /// Members at each worker, written by that worker alone.
    counts: SmallVec<[AtomicU32; 4]>,
}

impl Audience {
    fn new(kind: Kind, name: Arc<str>, tag: u32, workers: usize) -> Self {
        Self {
            kind,
            name,
            tag,
            present: AtomicUsize::new(0),
            counts: (0..workers).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What send queues know it by, whichever worker's they are.
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// Members in this process.
    pub fn total(&self) -> u32 {
        self.counts
            .iter()
            .map(|count| count.load(Ordering::Acquire))
            .sum()
    }

    /// Members at `worker`.
    pub fn count(&self, worker: usize) -> u32 {
        self.counts[worker].load(Ordering::Acquire)
    }

    /// The workers that have a member.
    pub fn workers(&self) -> impl Iterator<Item = usize> + '_ {
        let counts = self.counts.iter().enumerate();
        counts
            .filter(|(_, count)| count.load(Ordering::Acquire) > 0)
            .map(|(worker, _)| worker)
    }

    /// Those of them that are not `own`.
    pub fn others(&self, own: usize) -> impl Iterator<Item = usize> + '_ {
        self.workers().filter(move |worker| *worker != own)
    }

    /// `worker`, which is in it, now has `count` members.
    pub(super) fn set_count(&self, worker: usize, count: u32) {
        self.counts[worker].store(count, Ordering::Release);
    }

    /// One more worker; false where the group is gone.
    fn enter(&self) -> bool {
        let enter = |present| (present != GONE).then(|| present + 1);
        self.present
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, enter)
            .is_ok()
    }

    /// One worker less; whether it was the last, and the group is gone with it.
    fn exit(&self) -> bool {
        self.present.fetch_sub(1, Ordering::AcqRel) == 1
            && self
                .present
                .compare_exchange(0, GONE, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }
}

/// A group as the key of itself: its name stands in it, and need not stand beside it.
#[derive(Debug)]
struct ByName(Arc<Audience>);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        &self.0.name
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ByName {}

type Groups = HashMap<ByName, (), RandomState>;

/// A group, as a list of groups tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Arc<str>,
    /// Members in this process.
    pub members: u32,
}

/// All groups of the process.
#[derive(Debug)]
pub struct Directory {
    workers: usize,
    /// Groups there have been.
    tags: AtomicU32,
    groups: [Groups; KINDS],
}

impl Directory {
    /// The empty directory of `workers` workers.
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            tags: AtomicU32::new(0),
            groups: std::array::from_fn(|_| Groups::default()),
        }
    }

    /// The group of that name; `None` where nobody is in it.
    pub fn find(&self, kind: Kind, name: &str) -> Option<Arc<Audience>> {
        let groups = self.groups[kind.index()].pin();
        let (ByName(audience), ()) = groups.get_key_value(name)?;
        Some(Arc::clone(audience))
    }

    /// Members of that group in this process.
    pub fn total(&self, kind: Kind, name: &str) -> u32 {
        let groups = self.groups[kind.index()].pin();
        let group = groups.get_key_value(name);
        group.map_or(0, |(ByName(audience), ())| audience.total())
    }

    /// The names of all groups of that kind.
    pub fn names(&self, kind: Kind) -> Vec<Arc<str>> {
        let groups = self.groups[kind.index()].pin();
        let names = groups.iter().map(|(ByName(audience), ())| audience.name());
        names.map(Arc::clone).collect()
    }

    /// Groups of that kind.
    pub fn len(&self, kind: Kind) -> usize {
        self.groups[kind.index()].len()
    }

    /// The first `groups_max` groups of that kind whose names begin with `prefix` and come after `after`, by name, and whether
    /// there are more.
    pub fn list(
        &self,
        kind: Kind,
        prefix: &str,
        after: Option<&str>,
        groups_max: usize,
    ) -> (Vec<Listed>, bool) {
        let groups = self.groups[kind.index()].pin();
        let mut found: Vec<_> = groups
            .iter()
            .map(|(ByName(audience), ())| audience)
            .filter(|audience| {
                audience.name.starts_with(prefix)
                    && after.is_none_or(|after| *audience.name > *after)
            })
            .map(|audience| Listed {
                name: Arc::clone(&audience.name),
                members: audience.total(),
            })
            .filter(|group| group.members > 0)
            .collect();
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let has_more = found.len() > groups_max;
        found.truncate(groups_max);
        (found, has_more)
    }

    /// The groups of that kind with the most members, those with as many by name; `groups_max` at most.
    pub fn largest(&self, kind: Kind, groups_max: usize) -> Vec<Listed> {
        let groups = self.groups[kind.index()].pin();
        let mut found: Vec<_> = groups
            .iter()
            .map(|(ByName(audience), ())| (audience.total(), audience))
            .filter(|(members, _)| *members > 0)
            .collect();
        let order = |one: &(u32, &Arc<Audience>), other: &(u32, &Arc<Audience>)| {
            (other.0, &one.1.name).cmp(&(one.0, &other.1.name))
        };
        if found.len() > groups_max {
            found.select_nth_unstable_by(groups_max, order);
            found.truncate(groups_max);
        }
        found.sort_unstable_by(order);
        let listed = found.into_iter().map(|(members, audience)| Listed {
            name: Arc::clone(&audience.name),
            members,
        });
        listed.collect()
    }

    /// A worker gets its first member of that group.
    pub(super) fn enter(&self, kind: Kind, name: &str) -> Arc<Audience> {
        let groups = self.groups[kind.index()].pin();
        loop {
            let Some((ByName(audience), ())) = groups.get_key_value(name) else {
                let made = Audience::new(kind, Arc::from(name), self.tag(), self.workers);
                // Another worker may be faster: then its group is the one.
                groups.get_or_insert(ByName(Arc::new(made)), ());
                continue;
            };
            if audience.enter() {
                return Arc::clone(audience);
            }
            // Its last worker has gone and has not taken it out yet.
            Self::take_out(&groups, audience);
        }
    }

    fn tag(&self) -> u32 {
        // After four billion groups tags come again: none is left of the old ones in a send queue by then.
        self.tags
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1)
            .max(1)
    }

    /// A worker has lost its last member of that group, and its count is 0.
    pub(super) fn exit(&self, audience: &Arc<Audience>) {
        if audience.exit() {
            Self::take_out(&self.groups[audience.kind.index()].pin(), audience);
        }
    }

    fn take_out<G: papaya::Guard>(
        groups: &papaya::HashMapRef<'_, ByName, (), RandomState, G>,
        gone: &Arc<Audience>,
    ) {
        // Somebody may have taken it out, and somebody else have put another of the same name in.
        let _ = groups.remove_if(&*gone.name, |ByName(audience), ()| {
            Arc::ptr_eq(audience, gone)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_group_is_there_while_a_worker_is_in_it() {
        let directory = Directory::new(3);
        let first = directory.enter(Kind::Room, "a");
        let second = directory.enter(Kind::Room, "a");
        assert!(Arc::ptr_eq(&first, &second));
        first.set_count(0, 2);
        second.set_count(2, 5);
        assert_eq!(directory.total(Kind::Room, "a"), 7);
        assert_eq!(directory.total(Kind::User, "a"), 0, "another kind");
        assert_eq!(first.others(0).collect::<Vec<_>>(), [2]);
        assert_eq!(first.others(1).collect::<Vec<_>>(), [0, 2]);
        first.set_count(0, 0);
        directory.exit(&first);
        assert_eq!(directory.total(Kind::Room, "a"), 5);
        second.set_count(2, 0);
        directory.exit(&second);
        assert!(directory.find(Kind::Room, "a").is_none());
        assert_eq!(directory.len(Kind::Room), 0);
        assert!(!first.enter(), "who holds the old one cannot enter it");
        assert!(!Arc::ptr_eq(&directory.enter(Kind::Room, "a"), &first));
    }

    #[test]
    fn groups_are_listed_by_name_and_in_pages() {
        let directory = Directory::new(1);
        for (text, members) in [("b2", 1), ("a", 2), ("b1", 3), ("b3", 4), ("empty", 0)] {
            directory.enter(Kind::Room, text).set_count(0, members);
        }
        let names = |prefix, after, groups_max| {
            let (found, has_more) = directory.list(Kind::Room, prefix, after, groups_max);
            let names: Vec<_> = found.iter().map(|group| group.name.to_string()).collect();
            (names.join(" "), has_more)
        };
        assert_eq!(names("", None, 10), ("a b1 b2 b3".to_owned(), false));
        assert_eq!(names("b", None, 2), ("b1 b2".to_owned(), true));
        assert_eq!(names("b", Some("b2"), 2), ("b3".to_owned(), false));
    }

    #[test]
    fn the_largest_groups_come_first() {
        let directory = Directory::new(1);
        for (text, members) in [("b", 2), ("c", 1), ("a", 2), ("d", 9), ("empty", 0)] {
            directory.enter(Kind::Room, text).set_count(0, members);
        }
        let largest = |groups_max| {
            let found = directory.largest(Kind::Room, groups_max);
            let names: Vec<_> = found.iter().map(|group| &*group.name).collect();
            names.join(" ")
        };
        assert_eq!(largest(10), "d a b c");
        assert_eq!(largest(2), "d a");
        assert_eq!(largest(0), "");
    }

    #[test]
    fn workers_that_come_and_go_at_once_leave_nothing_and_lose_nobody() {
        const WORKERS: usize = 4;
        let directory = Arc::new(Directory::new(WORKERS));
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let directory = Arc::clone(&directory);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        let audience = directory.enter(Kind::User, "u");
                        audience.set_count(worker, 1);
                        let found = directory.find(Kind::User, "u").expect("it is there");
                        assert!(Arc::ptr_eq(&found, &audience), "while a member is in it");
                        audience.set_count(worker, 0);
                        directory.exit(&audience);
                    }
                });
            }
        });
        assert_eq!(directory.len(Kind::User), 0);
    }
}
