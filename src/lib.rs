//! Tidegate: a real-time WebSocket server with its own RFC 6455 on its own event loop.
//!
//! The house has six floors; imports run strictly downwards (`tests/architecture.rs` holds them):
//!
//! | floor | modules | what lives there |
//! |---|---|---|
//! | 5 | [`cli`] | what a person types |
//! | 4 | [`server`] | settings to running threads: acceptor, workers, signals, drain |
//! | 3 | [`gateway`] | what a connection is for: routes, endpoints, HTTP answers |
//! | 2 | [`reactor`] | the mio loop: connections, readiness, timers, send queues; bytes and sessions only |
//! | 2 | [`backend`] | the HTTP way to the back end: queue, order, retries, signatures |
//! | 2 | [`hub`] | users, rooms and who hears what on this node; publications encoded once |
//! | 1 | [`websocket`], [`http`], [`socketio`], [`auth`] | protocols without I/O: bytes and `now` in, events and bytes out |
//! | 0 | [`buffer`], [`id`], [`limits`], [`metrics`], `sync`, [`timestamp`] | values that everyone may hold, and the locks and atomics of the standard library |
//!
//! **A message comes in:** `reactor` reads into the worker's shared buffer, the session of `gateway` drives
//! `websocket::protocol::Protocol::receive` until it gives `None`, the endpoint answers with effects, and
//! what was said in answer leaves in one write, from where it lies where nothing forces a copy.
//!
//! **A message goes out to many:** it is encoded once per distinct encoding, goes as one shared publication to
//! the mailbox of each worker that has a receiver, and is queued there to each of that worker's own.

#![forbid(unsafe_code)]

pub mod auth;
pub mod backend;
pub mod broker;
pub mod buffer;
pub mod cli;
pub mod gateway;
pub mod http;
pub mod hub;
pub mod id;
pub mod limits;
pub mod metrics;
pub mod reactor;
pub mod server;
pub mod socketio;
mod sync;
pub mod timestamp;
pub mod websocket;
