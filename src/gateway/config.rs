//! What the gateway is told at its start and at each reload.

use std::time::Duration;

use crate::auth::origin::OriginPolicy;
use crate::http::forwarded::TrustedProxies;
use crate::websocket::codec;
use crate::websocket::extension::DeflatePolicy;

/// What a route does with the connections that come to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointKind {
    /// Every message goes back to its sender.
    Echo,
    /// Every message goes to every connection on the route, its sender included.
    Broadcast,
}

/// One row of the route table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Exact path, begins with `/`.
    pub path: String,
    /// What lives there.
    pub endpoint: EndpointKind,
}

/// The gateway's settings. A reload replaces the whole value; the routes of two values in one process are the same.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Route table, first match wins.
    pub routes: Vec<Route>,
    /// Whose pages may connect.
    pub origins: OriginPolicy,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: TrustedProxies,
    /// Subprotocols offered, in order of preference.
    pub subprotocols: Vec<String>,
    /// What may be agreed on permessage-deflate; `None` agrees on nothing.
    pub deflate: Option<DeflatePolicy>,
    /// Limits of the frame codec.
    pub codec: codec::Config,
    /// Time from accept, or from the last answer, to a complete request head.
    pub handshake_timeout: Duration,
    /// Silence after which a peer is pinged; `None` never.
    pub heartbeat_interval: Option<Duration>,
    /// Silence after that ping which ends the connection.
    pub heartbeat_timeout: Duration,
    /// Time the peer has to answer a Close.
    pub close_timeout: Duration,
}
