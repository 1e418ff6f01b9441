//! The directory of `src/hub/directory.rs`, whatever way the workers meet that come into a group and leave it.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread::{self, JoinHandle};
use tidegate_loom::explore;
use tidegate_loom::hub::{Directory, Kind, Worker};

const ROOM: &str = "r";

fn workers<const N: usize>() -> [Worker; N] {
    let directory = Arc::new(Directory::new(N));
    std::array::from_fn(|number| Worker {
        number,
        directory: Arc::clone(&directory),
    })
}

/// What the directory gives while that worker is in the group must be the group that it entered.
fn come_and_go(worker: &Worker, times: usize) {
    for _ in 0..times {
        let audience = worker.enter(ROOM);
        let found = worker.directory.find(Kind::Room, ROOM);
        let found = found.expect("a group that a worker is in");
        assert!(Arc::ptr_eq(&found, &audience), "two groups of one name");
        assert_eq!(found.count(worker.number), 1);
        worker.exit(&audience);
    }
}

fn comer(worker: Worker, times: usize) -> JoinHandle<()> {
    thread::spawn(move || come_and_go(&worker, times))
}

#[test]
fn nobody_is_lost_and_no_ghost_stays_when_two_come_and_go() {
    explore(3, || {
        let [one, other] = workers();
        let directory = Arc::clone(&one.directory);
        let other = comer(other, 2);
        come_and_go(&one, 2);
        other.join().expect("the other worker");
        assert_eq!(directory.len(Kind::Room), 0, "a ghost");
    });
}

#[test]
fn nobody_is_lost_and_no_ghost_stays_when_three_come_and_go() {
    explore(2, || {
        let [one, other, third] = workers();
        let directory = Arc::clone(&one.directory);
        let others = [comer(other, 1), comer(third, 1)];
        come_and_go(&one, 1);
        for other in others {
            other.join().expect("another worker");
        }
        assert_eq!(directory.len(Kind::Room), 0, "a ghost");
    });
}

#[test]
fn who_stays_is_found_by_those_that_come_and_go() {
    explore(2, || {
        let [one, other, third] = workers();
        let directory = Arc::clone(&one.directory);
        let others = [comer(other, 1), comer(third, 1)];
        let audience = one.enter(ROOM);
        for other in others {
            other.join().expect("another worker");
        }
        let found = directory.find(Kind::Room, ROOM).expect("the group");
        assert!(Arc::ptr_eq(&found, &audience), "two groups of one name");
        assert_eq!(found.workers().collect::<Vec<_>>(), [0]);
        one.exit(&audience);
        assert_eq!(directory.len(Kind::Room), 0, "a ghost");
    });
}

/// A worker that answers "you are in" has entered before; who hears that answer and publishes must reach it.
#[test]
fn who_was_told_that_a_worker_is_in_finds_it() {
    explore(3, || {
        let [one, other, third] = workers();
        let directory = Arc::clone(&one.directory);
        let is_in = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_in);
        let member = thread::spawn(move || {
            let audience = one.enter(ROOM);
            told.store(true, Ordering::Release);
            audience
        });
        let comer = comer(other, 1);
        if is_in.load(Ordering::Acquire) {
            let found = third.directory.find(Kind::Room, ROOM);
            let found = found.expect("a group that a worker is in");
            assert_eq!(found.count(0), 1);
        }
        let audience = member.join().expect("the member");
        comer.join().expect("the comer");
        let found = directory.find(Kind::Room, ROOM).expect("the group");
        assert!(Arc::ptr_eq(&found, &audience), "two groups of one name");
        assert_eq!(found.total(), 1);
    });
}
