//! In place of `crossbeam_queue`.

use std::sync::{Mutex, PoisonError};

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Items that one check may put in.
const ITEMS_MAX: usize = 8;

#[derive(Debug)]
struct Slot<T> {
    is_written: AtomicBool,
    item: Mutex<Option<T>>,
}

/// The queue, as much of it as its users may count on. First a place is taken, then the item is written, as in the real
/// one; and a pop is only sure to see what happened before it. A lock would order more than that, and hide a missing
/// `Acquire` of those who use the queue.
#[derive(Debug)]
pub struct SegQueue<T> {
    head: AtomicUsize,
    tail: AtomicUsize,
    slots: [Slot<T>; ITEMS_MAX],
}

impl<T> SegQueue<T> {
    /// An empty queue.
    #[expect(clippy::new_without_default, reason = "nobody asks for one")]
    pub fn new() -> Self {
        Self {
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            slots: std::array::from_fn(|_| Slot {
                is_written: AtomicBool::new(false),
                item: Mutex::new(None),
            }),
        }
    }

    /// Puts an item at the end.
    pub fn push(&self, item: T) {
        let slot = &self.slots[self.tail.fetch_add(1, Ordering::AcqRel)];
        *slot.item.lock().unwrap_or_else(PoisonError::into_inner) = Some(item);
        slot.is_written.store(true, Ordering::Release);
    }

    /// Takes the first item.
    pub fn pop(&self) -> Option<T> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if head >= self.tail.load(Ordering::Acquire) {
                return None;
            }
            let next =
                self.head
                    .compare_exchange(head, head + 1, Ordering::AcqRel, Ordering::Acquire);
            match next {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        let slot = &self.slots[head];
        while !slot.is_written.load(Ordering::Acquire) {
            loom::thread::yield_now();
        }
        let mut item = slot.item.lock().unwrap_or_else(PoisonError::into_inner);
        item.take()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.head.load(Ordering::Acquire) >= self.tail.load(Ordering::Acquire)
    }
}
