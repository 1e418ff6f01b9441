//! Users who may have gone: from their last connection at this node to the answer of the back end that it knows.
//!
//! A user who is back within a while has not gone. After it the other nodes are asked: one where the user is, or where the user left
//! later than here, has the last word. What is noted here is in the registry of nodes as if the user were still there, so that
//! another node goes on with it where this one dies.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How far it is with one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// May come back until then.
    Waiting(Instant),
    /// Other nodes are asked.
    Asking,
    /// The back end is told.
    Telling,
}

/// A user who may have gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Who.
    pub(in crate::gateway) user: Arc<str>,
    /// When: the number of that event, which is also the time in microseconds since 1970. No two at a node are the same.
    pub(in crate::gateway) left_at: u64,
}

/// What is known of all of them.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Departures {
    pending: HashMap<Arc<str>, (u64, Step)>,
    /// When to look at whom; what is noted of them meanwhile counts.
    due: BinaryHeap<Reverse<(Instant, Arc<str>)>>,
    /// Those that the back end knows of, and when it heard: another node may ask about the same user a little later.
    known: HashMap<Arc<str>, u64>,
    known_since: VecDeque<(Instant, Departure)>,
}

impl Departures {
    /// The user's last connection here has ended at `left_at`, and is to be looked at after `due`. Whatever was under way for the user is
    /// outdated.
    pub(in crate::gateway) fn note(&mut self, user: &Arc<str>, left_at: u64, due: Instant) {
        let step = Step::Waiting(due);
        let before = self.pending.insert(Arc::clone(user), (left_at, step));
        // Whoever waits already is on the list: coming and going without end costs no memory.
        if !matches!(before, Some((_, Step::Waiting(_)))) {
            self.due.push(Reverse((due, Arc::clone(user))));
        }
    }

    /// Whether something is still to be told of that user.
    pub(in crate::gateway) fn is_pending(&self, user: &str) -> bool {
        self.pending.contains_key(user)
    }

    /// Who.
    pub(in crate::gateway) fn names(&self) -> Vec<Arc<str>> {
        self.pending.keys().cloned().collect()
    }

    /// Nobody is waited for any more.
    pub(in crate::gateway) fn hurry(&mut self) {
        let now = Instant::now();
        for (user, (_, step)) in &mut self.pending {
            if *step != Step::Telling {
                *step = Step::Waiting(now);
                self.due.push(Reverse((now, Arc::clone(user))));
            }
        }
    }

    /// How many.
    pub(in crate::gateway) fn len(&self) -> usize {
        self.pending.len()
    }

    /// When somebody is due.
    pub(in crate::gateway) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }

    /// At most `max` of those who are due and are to be asked for; those who `is_here` are not gone, and given besides.
    pub(in crate::gateway) fn take_due(
        &mut self,
        now: Instant,
        max: usize,
        is_here: impl Fn(&str) -> bool,
    ) -> (Vec<Departure>, Vec<Arc<str>>) {
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        while gone.len() < max
            && let Some(Reverse((due, _))) = self.due.peek()
            && *due <= now
            && let Some(Reverse((_, user))) = self.due.pop()
        {
            let Some((left_at, step)) = self.pending.get_mut(&user) else {
                continue;
            };
            match *step {
                Step::Waiting(due) if due > now => {
                    self.due.push(Reverse((due, user)));
                    continue;
                }
                Step::Waiting(_) => {}
                Step::Asking | Step::Telling => continue,
            }
            if is_here(&user) {
                self.pending.remove(&user);
                back.push(user);
                continue;
            }
            *step = Step::Asking;
            let left_at = *left_at;
            gone.push(Departure { user, left_at });
        }
        (gone, back)
    }

    /// Nobody else has that user: the back end is told. False where the user has been here again meanwhile.
    pub(in crate::gateway) fn tell(&mut self, departure: &Departure) -> bool {
        let known = self.known(departure);
        known.is_some_and(|step| {
            *step = Step::Telling;
            true
        })
    }

    /// It could not be told, or not be asked: it is looked at again after `due`.
    pub(in crate::gateway) fn again(&mut self, departure: &Departure, due: Instant) {
        let user = Arc::clone(&departure.user);
        if let Some(step) = self.known(departure) {
            *step = Step::Waiting(due);
            self.due.push(Reverse((due, user)));
        }
    }

    /// The back end knows of it; false where the user has been here again meanwhile.
    pub(in crate::gateway) fn told(&mut self, departure: &Departure, now: Instant) -> bool {
        while let Some((since, _)) = self.known_since.front()
            && (now.duration_since(*since) > REMEMBERED || self.known_since.len() >= REMEMBERED_MAX)
            && let Some((_, Departure { user, left_at })) = self.known_since.pop_front()
        {
            if self.known.get(&user) == Some(&left_at) {
                self.known.remove(&user);
            }
        }
        let user = &departure.user;
        self.known.insert(Arc::clone(user), departure.left_at);
        self.known_since.push_back((now, departure.clone()));
        self.end(departure)
    }

    /// There is nothing more to do; false where the user has been here again meanwhile.
    pub(in crate::gateway) fn end(&mut self, departure: &Departure) -> bool {
        let is_known = self.known(departure).is_some();
        if is_known {
            self.pending.remove(&departure.user);
        }
        is_known
    }

    /// Whether the user left here, node number `own`, later than at the node `other` at `left_at`: then this one has the last word.
    pub(in crate::gateway) fn outranks(&self, own: u64, departure: &Departure, other: u64) -> bool {
        let pending = self.pending.get(&departure.user);
        let pending = pending.map(|(left_at, _)| left_at);
        let mut here = pending.into_iter().chain(self.known.get(&departure.user));
        here.any(|here| (*here, own) > (departure.left_at, other))
    }

    fn known(&mut self, departure: &Departure) -> Option<&mut Step> {
        let (left_at, step) = self.pending.get_mut(&departure.user)?;
        (*left_at == departure.left_at).then_some(step)
    }
}

/// How long it is remembered that the back end knows of a departure, and of how many.
const REMEMBERED: Duration = Duration::from_secs(60);
const REMEMBERED_MAX: usize = 65_536;

/// Time after which a question that was not answered is asked again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const DEBOUNCE: Duration = Duration::from_secs(2);

    fn ann() -> Arc<str> {
        Arc::from("ann")
    }

    fn nowhere(_: &str) -> bool {
        false
    }

    #[test]
    fn who_is_back_in_time_has_not_gone() {
        let mut departures = Departures::default();
        let now = Instant::now();
        departures.note(&ann(), 5, now + DEBOUNCE);
        assert!(departures.is_pending("ann"));
        assert_eq!(departures.next_due(), Some(now + DEBOUNCE));
        assert_eq!(departures.take_due(now, 9, nowhere), (vec![], vec![]));
        let (gone, back) = departures.take_due(now + DEBOUNCE, 9, |user| user == "ann");
        assert_eq!((gone.len(), back), (0, vec![ann()]));
        assert!(!departures.is_pending("ann"));
        assert_eq!(departures.next_due(), None);
    }

    #[test]
    fn who_comes_and_goes_again_is_waited_for_anew() {
        let mut departures = Departures::default();
        let now = Instant::now();
        departures.note(&ann(), 5, now + DEBOUNCE);
        departures.note(&ann(), 6, now + DEBOUNCE * 2);
        let (gone, back) = departures.take_due(now + DEBOUNCE, 9, nowhere);
        assert!(gone.is_empty() && back.is_empty());
        let (gone, _) = departures.take_due(now + DEBOUNCE * 2, 9, nowhere);
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].left_at, 6);
        assert_eq!(departures.len(), 1);
        for left_at in 7..1_000 {
            departures.note(&ann(), left_at, now + DEBOUNCE);
        }
        assert_eq!(departures.due.len(), 1);
    }

    #[test]
    fn what_comes_of_an_outdated_departure_changes_nothing() {
        let mut departures = Departures::default();
        let now = Instant::now();
        departures.note(&ann(), 5, now);
        let (gone, _) = departures.take_due(now, 9, nowhere);
        departures.note(&ann(), 6, now + DEBOUNCE);
        assert!(!departures.tell(&gone[0]));
        assert!(!departures.end(&gone[0]));
        departures.again(&gone[0], now);
        assert!(departures.take_due(now, 9, nowhere).0.is_empty());
        assert!(departures.is_pending("ann"));
    }

    #[test]
    fn what_was_told_is_over_and_what_was_not_is_looked_at_again() {
        let mut departures = Departures::default();
        let now = Instant::now();
        departures.note(&ann(), 5, now);
        let (gone, _) = departures.take_due(now, 9, nowhere);
        assert!(departures.tell(&gone[0]));
        departures.again(&gone[0], now + DEBOUNCE);
        assert_eq!(departures.take_due(now + DEBOUNCE, 9, nowhere).0, gone);
        assert!(departures.end(&gone[0]));
        assert_eq!(departures.len(), 0);
    }

    #[test]
    fn what_was_told_is_remembered_for_a_while() {
        let mut departures = Departures::default();
        let now = Instant::now();
        let of = |user: &str, left_at| Departure {
            user: Arc::from(user),
            left_at,
        };
        departures.note(&ann(), 5, now);
        assert!(departures.told(&of("ann", 5), now));
        assert!(!departures.is_pending("ann"));
        assert!(departures.outranks(1, &of("ann", 4), 2));
        assert!(!departures.outranks(1, &of("ann", 6), 2));
        departures.told(&of("bob", 7), now + REMEMBERED * 2);
        assert!(!departures.outranks(1, &of("ann", 4), 2));
        assert!(departures.outranks(2, &of("bob", 7), 1));
    }

    #[test]
    fn no_more_are_taken_than_wanted() {
        let mut departures = Departures::default();
        let now = Instant::now();
        for number in 0..10 {
            departures.note(&Arc::from(format!("user-{number}")), 5, now);
        }
        assert_eq!(departures.take_due(now, 4, nowhere).0.len(), 4);
        assert_eq!(departures.take_due(now, 40, nowhere).0.len(), 6);
    }

    #[test]
    fn one_of_two_nodes_has_the_last_word() {
        let now = Instant::now();
        let (mut one, mut other) = (Departures::default(), Departures::default());
        one.note(&ann(), 5, now);
        other.note(&ann(), 5, now);
        let departure = Departure {
            user: ann(),
            left_at: 5,
        };
        assert!(!one.outranks(1, &departure, 2));
        assert!(other.outranks(2, &departure, 1));
        let later = Departure {
            user: ann(),
            left_at: 6,
        };
        assert!(!other.outranks(2, &later, 1));
        assert!(!Departures::default().outranks(2, &departure, 1));
    }
}
