//! Model checks of what threads of Tidegate share without a lock: `make loom` runs them.
//!
//! The sources of those protocols are included here as they stand. They take atomics and locks from `crate::sync`, which is
//! loom's in this crate and the standard library's in the package. For the crates that they name, which loom cannot look
//! into, stand models that promise no more than the real ones: [`SegQueue`], [`HashMap`], [`Waker`]. loom then runs each check with
//! every order of steps, up to a number of switches between threads, and every value that the memory model lets a load see.

// So `mio::Waker` in an included source is the one below.
extern crate self as crossbeam_queue;
extern crate self as mio;
extern crate self as papaya;

pub mod hub;
#[path = "../../src/limits.rs"]
pub mod limits;
mod map;
mod queue;
pub mod reactor;
pub mod server;
pub mod sync;
mod waker;

pub use map::{Guard, HashMap, HashMapRef, LocalGuard};
pub use queue::SegQueue;
pub use waker::{Registry, Token, Waker};

/// Runs `check` in every way in which its threads can meet, with at most `preemptions_max` switches away from a thread that
/// could have gone on. Bugs of such protocols show with two; a third is for the doubt.
pub fn explore(preemptions_max: usize, check: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions_max);
    model.max_branches = 10_000;
    model.check(check);
}
