//! What the gateway is told at its start and at each reload.

use std::sync::Arc;
use std::time::Duration;

use super::rate::RateLimits;
use super::socketio::SocketIoConfig;
use crate::auth::api_key::ApiKey;
use crate::auth::origin::OriginPolicy;
use crate::auth::token::TokenPolicy;
use crate::http::forwarded::TrustedProxies;
use crate::hub::RoomPolicies;
use crate::websocket::codec;
use crate::websocket::extension::DeflatePolicy;

/// What a route does with the connections that come to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointKind {
    /// Every message goes back to its sender.
    Echo,
    /// Every message goes to every connection on the route, its sender included.
    Broadcast,
    /// The gateway protocol: users, rooms, private messages.
    Gateway,
    /// Socket.IO: the same users and rooms.
    SocketIo,
    /// Engine.IO alone: every message goes back to its sender.
    EngineIoEcho,
    /// What a dashboard listens to; it has a path of its own and is in no route table that a person writes.
    Dashboard,
}

impl EndpointKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Echo,
        Self::Broadcast,
        Self::Gateway,
        Self::SocketIo,
        Self::EngineIoEcho,
        Self::Dashboard,
    ];

    /// Whether requests there are Engine.IO's.
    pub(super) fn is_engineio(self) -> bool {
        matches!(self, Self::SocketIo | Self::EngineIoEcho)
    }

    /// The name in a route table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Broadcast => "broadcast",
            Self::Gateway => "gateway",
            Self::SocketIo => "socketio",
            Self::EngineIoEcho => "engineio-echo",
            Self::Dashboard => "dashboard",
        }
    }
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
    /// What the API asks for; without it nobody may call it.
    pub api_key: Option<ApiKey>,
    /// Whose scripts may read what the API answers.
    pub cors: OriginPolicy,
    /// Whose tokens are believed; without it clients have none.
    pub tokens: Option<Arc<TokenPolicy>>,
    /// Whether a WebSocket without a token is refused, where tokens are believed.
    pub is_auth_required: bool,
    /// Characters of the name of a user, a room, an event.
    pub name_chars_max: usize,
    /// Rooms that one connection may be in.
    pub rooms_per_connection_max: usize,
    /// Connections that one user may have in this process; 0 for any number.
    pub connections_per_user_max: usize,
    /// How fast a WebSocket may send.
    pub rate: RateLimits,
    /// What becomes of a room's messages that a member reads too slowly.
    pub room_policies: Arc<RoomPolicies>,
    /// Whether clients may send to everyone.
    pub may_clients_broadcast: bool,
    /// Whether a browser that asks for a page where the gateway protocol is spoken gets the demo page.
    pub has_demo_page: bool,
    /// What concerns Socket.IO alone.
    pub socketio: SocketIoConfig,
}

impl GatewayConfig {
    /// The routes that the settings name: all but the one that dashboards listen to.
    pub(super) fn table(&self) -> impl Iterator<Item = &Route> {
        let routes = self.routes.iter();
        routes.filter(|route| route.endpoint != EndpointKind::Dashboard)
    }
}

impl Default for GatewayConfig {
    /// No route, no key, no limit but those that have to be; the times of the settings' defaults.
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            origins: OriginPolicy::default(),
            proxies: TrustedProxies::default(),
            subprotocols: Vec::new(),
            deflate: None,
            codec: codec::Config {
                message_bytes_max: 1 << 20,
                compression_bytes_min: 1024,
                compression_level: 1,
            },
            handshake_timeout: Duration::from_secs(10),
            heartbeat_interval: Some(Duration::from_secs(30)),
            heartbeat_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            api_key: None,
            cors: OriginPolicy::default(),
            tokens: None,
            is_auth_required: false,
            name_chars_max: 128,
            rooms_per_connection_max: 100,
            connections_per_user_max: 0,
            rate: RateLimits::default(),
            room_policies: Arc::default(),
            may_clients_broadcast: false,
            has_demo_page: false,
            socketio: SocketIoConfig::default(),
        }
    }
}
