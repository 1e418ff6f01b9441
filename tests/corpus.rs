//! Replays the committed fuzz corpus on stable: every file of `fuzz/corpus/<target>/` goes through the same property
//! that the fuzz target of that name checks.

// The properties are `pub` for the fuzz targets, which include the same files.
#![allow(unreachable_pub)]

use std::fs;
use std::path::Path;

#[path = "../fuzz/properties/adapter.rs"]
mod adapter;
#[path = "../fuzz/properties/deflate.rs"]
mod deflate;
#[path = "../fuzz/properties/envelope.rs"]
mod envelope;
#[path = "../fuzz/properties/frame.rs"]
mod frame;
#[path = "../fuzz/properties/handshake.rs"]
mod handshake;
#[path = "../fuzz/properties/http.rs"]
mod http;
#[path = "../fuzz/properties/socketio.rs"]
mod socketio;
#[path = "../fuzz/properties/stream.rs"]
mod stream;
#[path = "../fuzz/properties/utf8.rs"]
mod utf8;

/// Runs `check` over every seed of `target`; a target without seeds fails, for it would test nothing.
#[expect(
    clippy::print_stdout,
    reason = "names the seed at which a check failed"
)]
fn replay(target: &str, check: impl Fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut seeds: Vec<_> = fs::read_dir(&directory)
        .expect("the corpus is committed")
        .map(|entry| entry.expect("a readable directory").path())
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "no seed in {}", directory.display());
    for seed in seeds {
        println!("{}", seed.display());
        check(&fs::read(&seed).expect("a readable seed"));
    }
}

#[test]
fn adapter() {
    replay("adapter", adapter::check);
}

#[test]
fn http() {
    replay("http", http::check);
}

#[test]
fn handshake() {
    replay("handshake", handshake::check);
}

#[test]
fn frame() {
    replay("frame", frame::check);
}

#[test]
fn stream() {
    replay("stream", stream::check);
}

#[test]
fn deflate() {
    replay("deflate", deflate::check);
}

#[test]
fn envelope() {
    replay("envelope", envelope::check);
}

#[test]
fn socketio() {
    replay("socketio", socketio::check);
}

#[test]
fn utf8() {
    replay("utf8", utf8::check);
}
