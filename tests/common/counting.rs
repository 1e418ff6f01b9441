//! An allocator that counts, for the tests that hold the steady state to no allocation. To be included by its path: it is
//! the allocator of the whole test program.
#![allow(dead_code, reason = "each test crate uses its own part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what the current thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
}

fn count(allocations: u64, bytes: i64) {
    // A thread that is ending has nothing left to count in.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + allocations));
    let _ = LIVE_BYTES.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of a hundred rounds, after a few to warm up.
pub(crate) fn steady_state(mut round: impl FnMut()) -> u64 {
    for _ in 0..5 {
        round();
    }
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        round();
    }
    ALLOCATIONS.get() - before
}

/// Bytes that the current thread has allocated and not given back.
pub(crate) fn live_bytes() -> i64 {
    LIVE_BYTES.get()
}
