//! What a connection is for: routes, stages, endpoints, HTTP answers. It knows requests and messages, no socket.

mod address;
mod admission;
mod answering;
mod api;
mod ask;
mod backend;
mod bearer;
mod client;
mod cluster;
mod config;
mod dashboard;
mod delivery;
mod http;
mod json;
mod metrics;
mod name;
mod node;
mod pages;
mod rate;
mod session;
mod shard;
mod socketio;
mod tally;
mod websocket;

pub use address::AddressLimits;
pub use admission::{Admission, Verdict};
pub use backend::{BackendPolicy, Behind, serve_departures};
pub use client::ClientAddress;
pub use cluster::{Cluster, envelope};
pub use config::{EndpointKind, GatewayConfig, Route};
pub use dashboard::{Arrival, DASHBOARDS_MAX, LIVE_PATH, serve_dashboards};
pub use metrics::{ProcessFigures, SCRAPES_MAX, Scrape, WorkerMeters, serve_scrapes};
pub use node::Node;
pub use rate::{RateLimits, RatePolicy};
pub use session::{GatewaySession, Mail};
pub use shard::Shard;
pub use socketio::{
    Neighbours, NeighboursConfig, Recovery, RecoveryConfig, RecoveryOrder, SocketIoConfig,
    serve_recovery,
};
pub use tally::{Limit, Tally};

#[cfg(test)]
mod tests;
