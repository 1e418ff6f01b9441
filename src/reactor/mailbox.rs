//! How other threads reach a worker: a bounded queue and one wake-up for all that waits in it.

use std::io;

use crossbeam_queue::SegQueue;
use mio::{Registry, Token, Waker};

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What waits for one worker. Many threads send, the worker alone takes.
#[derive(Debug)]
pub struct Mailbox<M> {
    queue: SegQueue<M>,
    waiting: AtomicUsize,
    items_max: usize,
    wake_pending: AtomicBool,
    waker: Waker,
}

impl<M> Mailbox<M> {
    /// A mailbox of at most `items_max` items whose wake-ups arrive as `token` at the poller of `registry`.
    ///
    /// # Errors
    /// What the system says to one more event descriptor.
    pub fn new(registry: &Registry, token: Token, items_max: usize) -> io::Result<Self> {
        Ok(Self {
            queue: SegQueue::new(),
            waiting: AtomicUsize::new(0),
            items_max,
            wake_pending: AtomicBool::new(false),
            waker: Waker::new(registry, token)?,
        })
    }

    /// Puts an item in and wakes the worker, unless somebody has woken it already.
    ///
    /// # Errors
    /// The item, where the mailbox is full.
    pub fn send(&self, item: M) -> Result<(), M> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.items_max {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(item);
        }
        self.queue.push(item);
        self.wake();
        Ok(())
    }

    /// Wakes the worker without an item.
    pub fn wake(&self) {
        if !self.wake_pending.swap(true, Ordering::AcqRel) {
            // The only failure of an eventfd write is a full counter, and that wakes as well.
            let _ = self.waker.wake();
        }
    }

    /// The worker begins to take: from here on a sender wakes it again. Called before the first `take` of a turn, never
    /// after it, or an item that comes in between would lie until somebody else wakes the worker.
    pub fn begin_taking(&self) {
        self.wake_pending.swap(false, Ordering::AcqRel);
    }

    /// The next item.
    pub fn take(&self) -> Option<M> {
        let item = self.queue.pop()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(item)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn one_wake_up_for_many_items_and_a_limit() {
        let mut poll = Poll::new().expect("poll");
        let mailbox = Mailbox::new(poll.registry(), Token(9), 3).expect("mailbox");
        for item in 0..3 {
            mailbox.send(item).expect("room");
        }
        assert_eq!(mailbox.send(3), Err(3));
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::from_secs(5)))
            .expect("poll");
        assert_eq!(
            events
                .iter()
                .map(mio::event::Event::token)
                .collect::<Vec<_>>(),
            [Token(9)]
        );
        mailbox.begin_taking();
        assert_eq!(
            std::iter::from_fn(|| mailbox.take()).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        assert!(mailbox.is_empty());
        mailbox.send(4).expect("room again");
        poll.poll(&mut events, Some(Duration::from_secs(5)))
            .expect("poll");
        assert_eq!(
            events.iter().count(),
            1,
            "woken again after the flag was cleared"
        );
    }

    #[test]
    fn nothing_is_left_lying_when_senders_race_the_worker() {
        let mut poll = Poll::new().expect("poll");
        let mailbox = Arc::new(Mailbox::new(poll.registry(), Token(1), 1 << 20).expect("mailbox"));
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let mailbox = Arc::clone(&mailbox);
                std::thread::spawn(move || {
                    for item in 0..20_000 {
                        mailbox.send(item).expect("room");
                    }
                })
            })
            .collect();
        let mut events = Events::with_capacity(8);
        let mut taken = 0;
        while taken < 80_000 {
            poll.poll(&mut events, Some(Duration::from_secs(20)))
                .expect("poll");
            assert!(!events.is_empty(), "items lie unannounced after {taken}");
            mailbox.begin_taking();
            while mailbox.take().is_some() {
                taken += 1;
            }
        }
        for sender in senders {
            sender.join().expect("sender");
        }
    }
}
