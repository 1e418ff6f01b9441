//! RFC 6455 and RFC 7692 without I/O: bytes in, events and bytes out.
//!
//! No socket, clock, randomness or log lives here. [`protocol::Protocol`] documents the order of calls.

pub mod assembler;
pub mod close;
pub mod codec;
pub mod deflate;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod mask;
mod pool;
pub mod protocol;
pub mod utf8;

/// How the property tests of this floor run: each time the same cases; the fuzz targets look for new ones.
#[cfg(test)]
fn properties(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(6455),
        ..proptest::test_runner::Config::default()
    }
}
