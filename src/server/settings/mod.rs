//! Every setting of the server: one value for each, checked, with where it came from.
//!
//! [`table`] says what settings there are; [`sources`] collects texts (flags > environment and `.env` > file);
//! [`value`] gives them meaning; the rest checks them together ([`Settings::load`]), compares them at a reload
//! ([`changes`]) and shows them ([`report`]). Nothing here acts on a setting.

mod build;
pub mod changes;
mod client;
pub mod error;
mod listen;
pub mod report;
mod routes;
pub mod sources;
pub mod table;
pub mod value;

#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::api_key::ApiKey;
use crate::auth::origin::OriginPolicy;
use crate::backend::{BackendUrl, Kind as EventKind, Mode, QueueLimits, Secrets};
use crate::broker::redis::RedisServer;
use crate::http::forwarded::TrustedProxies;
use crate::server::logging::escape::Escaped;

pub use crate::gateway::{EndpointKind, RateLimits, RatePolicy, Route};
pub use crate::hub::RoomPolicies;
pub use changes::{Change, reloadable_changes};
pub use client::{CLIENT_NAMES, client_texts};
pub use error::SettingsError;
pub use sources::{Arguments, Context, Source};
pub use table::{Key, Setting};
pub use value::Value;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// TCP; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// permessage-deflate (RFC 7692).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// Whether the extension is negotiated at all.
    pub enabled: bool,
    /// zlib level, 1 to 9.
    pub level: u8,
    /// Largest window of either side, 9 to 15 bits.
    pub window_bits: u8,
    /// Whether a connection may keep its compression contexts between messages (memory for each connection).
    pub context_takeover: bool,
    /// Messages shorter than this many bytes go out uncompressed.
    pub threshold_bytes: usize,
}

/// Certificate chain and key, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Chain, leaf first.
    pub certificate: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// One line a record, as text or as one JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Where the log goes and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Least severe level written.
    pub level: log::LevelFilter,
    /// Shape of a line.
    pub format: LogFormat,
    /// To files in `directory` instead of stderr.
    pub to_file: bool,
    /// Directory of the log files.
    pub directory: PathBuf,
    /// A file is rotated past this many bytes.
    pub file_bytes_max: u64,
    /// Rotated files kept.
    pub files_max: usize,
}

/// The effective settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Listening addresses, at least one.
    pub listen: Vec<ListenAddress>,
    /// Event-loop threads, at least 1.
    pub workers: usize,
    /// Connections of the process; beyond it 503.
    pub connections_max: usize,
    /// Connections of one address; 0 is off; beyond it 429.
    pub connections_per_address_max: usize,
    /// New connections of one address a second; 0 is off; beyond it 429.
    pub connection_rate_per_address_max: u32,
    /// Connections of one user in this process; 0 is off.
    pub connections_per_user_max: usize,
    /// Rooms that one connection may be in.
    pub rooms_per_connection_max: usize,
    /// Characters of the name of a user, a room, an event.
    pub name_chars_max: usize,
    /// Whose tokens are believed.
    pub tokens: TokenSettings,
    /// What the HTTP API asks for; without it nobody may call it.
    pub api_key: Option<ApiKey>,
    /// Whose scripts may read what the API answers.
    pub cors: OriginPolicy,
    /// Whether clients may send to everyone.
    pub may_clients_broadcast: bool,
    /// Whether browsers get the demo page.
    pub has_demo_page: bool,
    /// Bytes of a message after decompression.
    pub message_bytes_max: usize,
    /// How fast a WebSocket may send.
    pub rate: RateLimits,
    /// Whose pages may connect.
    pub allowed_origins: OriginPolicy,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Silence after which the server pings; zero is off.
    pub heartbeat_interval: Duration,
    /// Silence after that ping which ends the connection.
    pub heartbeat_timeout: Duration,
    /// Time from accept to a complete request head.
    pub handshake_timeout: Duration,
    /// Time the peer has to answer a Close, and to end TCP.
    pub close_timeout: Duration,
    /// Time over which SIGTERM closes connections.
    pub drain_period: Duration,
    /// permessage-deflate.
    pub compression: Compression,
    /// Send-queue bytes tolerated for `send_queue_soft_for`.
    pub send_queue_soft_bytes_max: usize,
    /// Send-queue bytes that end the connection at once.
    pub send_queue_hard_bytes_max: usize,
    /// How long the soft limit may be passed.
    pub send_queue_soft_for: Duration,
    /// Bytes that all send queues of the process may hold; 0 is off.
    pub send_queue_total_bytes_max: usize,
    /// What becomes of a room's messages that a member reads too slowly.
    pub room_policies: RoomPolicies,
    /// What this node and others are connected by.
    pub cluster: Option<ClusterSettings>,
    /// The service behind the gateway.
    pub backend: Option<BackendSettings>,
    /// TLS on every TCP listener.
    pub tls: Option<TlsFiles>,
    /// Route table, in order.
    pub routes: Vec<Route>,
    /// Subprotocols offered, in order of preference (RFC 6455 section 1.9).
    pub subprotocols: Vec<String>,
    /// What concerns Socket.IO alone.
    pub socketio: SocketIoSettings,
    /// The log.
    pub log: LogSettings,
}

/// Socket.IO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketIoSettings {
    /// A ping is sent so long after the handshake, and after each pong.
    pub ping_interval: Duration,
    /// A pong has to follow its ping within this time.
    pub ping_timeout: Duration,
    /// A WebSocket has to take over within this time.
    pub upgrade_timeout: Duration,
    /// A client has to be in a namespace so long after the handshake.
    pub connect_timeout: Duration,
    /// Bytes of a POST, and of a message.
    pub payload_bytes_max: usize,
    /// Namespaces besides the main one.
    pub namespaces: Vec<String>,
    /// Time in which a client may come back as who it was; zero never.
    pub recovery: Duration,
    /// Whether events are answered as the protocol's test suite wants it.
    pub is_conformance: bool,
}

/// Redis between nodes.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Where it is.
    pub server: RedisServer,
    /// Files for TLS with it.
    pub tls: Option<RedisTlsFiles>,
    /// What all names in it begin with.
    pub prefix: String,
    /// What the channels of Socket.IO servers begin with, where rooms are shared with some.
    pub socketio_key: Option<String>,
}

/// The service behind the gateway.
#[derive(Debug, Clone)]
pub struct BackendSettings {
    /// Where it is.
    pub url: BackendUrl,
    /// `BACKEND_TLS_CA`.
    pub roots: Option<PathBuf>,
    /// What it knows us by.
    pub secrets: Secrets,
    /// How events are put into requests.
    pub mode: Mode,
    /// The kinds of events that it is told of.
    pub events: Vec<EventKind>,
    /// The endpoints whose connections it is asked about.
    pub endpoints: Vec<EndpointKind>,
    /// The header fields that it sees, in lower case.
    pub headers: Vec<String>,
    /// Requests at one time.
    pub concurrency: usize,
    /// What may wait.
    pub queue: QueueLimits,
    /// A user who is back within this time has not gone.
    pub disconnect_delay: Duration,
}

/// Files for TLS with Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisTlsFiles {
    /// `REDIS_TLS_CA`.
    pub roots: Option<PathBuf>,
    /// `REDIS_TLS_CERT` and `REDIS_TLS_KEY`.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// The keys of client tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// What tokens are signed with.
    pub secret: Option<Secret>,
    /// Whose owner signs tokens.
    pub public_key_file: Option<PathBuf>,
    /// What the keys are for; empty takes what they are usually for.
    pub algorithms: Vec<String>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// Whether a WebSocket without a token is refused.
    pub is_required: bool,
}

impl TokenSettings {
    /// The algorithm of the secret.
    pub fn secret_algorithm(&self) -> &str {
        let hmac = self.algorithms.iter().find(|name| name.starts_with("HS"));
        hmac.map_or("HS256", String::as_str)
    }
}

impl Settings {
    /// Reads every source afresh, as at the start and at SIGHUP. Names in `HOST` are resolved, which can take the
    /// resolver's time: call it where nothing else waits.
    ///
    /// # Errors
    /// The first thing that is wrong, as one line.
    pub fn load(arguments: &Arguments) -> Result<Loaded, SettingsError> {
        Self::load_in(arguments, &Context::of_process())
    }

    /// The same in a `context` of the caller's.
    ///
    /// # Errors
    /// The first thing that is wrong, as one line.
    pub fn load_in(arguments: &Arguments, context: &Context) -> Result<Loaded, SettingsError> {
        build::build(sources::gather(arguments, context)?, context)
    }
}

/// The effective settings, with where each came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the server runs with.
    pub settings: Settings,
    /// One entry a setting, in the order of [`table::SETTINGS`].
    pub entries: Vec<Entry>,
    /// The configuration file that was read, if any.
    pub config_file: Option<PathBuf>,
}

/// One effective value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Whose.
    pub setting: &'static Setting,
    /// What it is.
    pub value: Value,
    /// Where it came from.
    pub source: Source,
    /// How it was written there.
    pub written: String,
}

impl Entry {
    /// The value as people may see it: in its canonical form, masked where it is secret, one line always.
    pub fn shown(&self) -> String {
        let text = self.value.to_string();
        match self.setting.kind {
            _ if self.setting.secret && !text.is_empty() => "(hidden)".to_owned(),
            value::Kind::List { empty, .. } if text.is_empty() => empty.to_owned(),
            value::Kind::Path | value::Kind::Text { .. } if text.is_empty() => "none".to_owned(),
            _ => Escaped(&text).to_string(),
        }
    }
}
