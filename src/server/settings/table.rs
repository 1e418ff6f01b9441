//! The one table of settings: names, kinds, defaults and meanings. Sources, flags, help, `check` and the
//! documents all read it, so that nothing is said twice. No value and no system call lives here.

mod rows;

use super::value::Kind;
pub use rows::SETTINGS;

/// Names a row of [`SETTINGS`]; in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described by its row in SETTINGS")]
pub enum Key {
    Host,
    Port,
    Workers,
    Routes,
    Subprotocols,
    MaxConnections,
    MaxConnectionsPerIp,
    MaxConnectionRatePerIp,
    MaxConnectionsPerUser,
    MaxRoomsPerConnection,
    MaxNameLength,
    MaxMessageSize,
    RateLimitMessages,
    RateLimitBytes,
    RateLimitBurst,
    RateLimitPolicy,
    AllowedOrigins,
    TrustedProxies,
    JwtSecret,
    JwtPublicKeyFile,
    JwtAlgorithms,
    JwtLeeway,
    AuthRequired,
    ApiKey,
    CorsOrigin,
    ClientBroadcast,
    DemoPage,
    HeartbeatInterval,
    HeartbeatTimeout,
    HandshakeTimeout,
    CloseTimeout,
    DrainPeriod,
    SendQueueSoft,
    SendQueueHard,
    SendQueueSoftFor,
    SendQueueTotal,
    RoomPolicies,
    SocketioPingInterval,
    SocketioPingTimeout,
    SocketioUpgradeTimeout,
    SocketioConnectTimeout,
    SocketioMaxPayload,
    SocketioNamespaces,
    SocketioRecovery,
    SocketioConformance,
    SocketioRedisAdapter,
    SocketioRedisKey,
    RedisEnabled,
    RedisUrl,
    RedisHost,
    RedisPort,
    RedisTlsCa,
    RedisTlsCert,
    RedisTlsKey,
    RedisSentinels,
    RedisSentinelMaster,
    RedisSentinelPassword,
    RedisClusterNodes,
    RedisPrefix,
    BackendUrl,
    BackendSecret,
    BackendTlsCa,
    BackendEvents,
    BackendEndpoints,
    BackendHeaders,
    BackendFormat,
    BackendTimeout,
    BackendRetries,
    BackendConcurrency,
    BackendQueue,
    BackendQueueSize,
    BackendQueuePolicy,
    BackendDisconnectDelay,
    Compression,
    CompressionLevel,
    CompressionWindowBits,
    CompressionContextTakeover,
    CompressionThreshold,
    TlsCert,
    TlsKey,
    LogLevel,
    LogFormat,
    LogToFile,
    LogDir,
    LogMaxSize,
    LogMaxFiles,
}

/// The heading that a setting stands under in help and documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Addresses, threads, routes.
    Serving,
    /// How much of everything.
    Limits,
    /// Who may connect.
    Access,
    /// Deadlines and periods.
    Times,
    /// Slow consumers.
    SendQueue,
    /// Socket.IO.
    SocketIo,
    /// Other nodes.
    Cluster,
    /// The service behind the gateway.
    Backend,
    /// permessage-deflate.
    Compression,
    /// Certificates.
    Tls,
    /// The log.
    Log,
}

impl Theme {
    /// The heading as people read it.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Serving => "Serving",
            Self::Limits => "Limits",
            Self::Access => "Access",
            Self::Times => "Times",
            Self::SendQueue => "Send queue",
            Self::SocketIo => "Socket.IO",
            Self::Cluster => "Cluster",
            Self::Backend => "Back end",
            Self::Compression => "Compression",
            Self::Tls => "TLS",
            Self::Log => "Log",
        }
    }
}

/// The value of a setting that no source names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This, as a person would write it.
    Text(&'static str),
    /// No value at all.
    Absent,
    /// Worked out at the start, from what this says.
    Computed(&'static str),
}

impl DefaultValue {
    /// The default as help and documents show it.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Text("") => "empty",
            Self::Text(text) | Self::Computed(text) => text,
            Self::Absent => "none",
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// Which one it is.
    pub key: Key,
    /// Name in the environment and in `.env`; the other names follow from it.
    pub environment: &'static str,
    /// Where it stands in help and documents.
    pub theme: Theme,
    /// What values it takes.
    pub kind: Kind,
    /// What it is where nobody says.
    pub default: DefaultValue,
    /// What it does, one sentence or two.
    pub meaning: &'static str,
    /// Whether SIGHUP changes it in a running server.
    pub reload: bool,
    /// Whether its value is never shown.
    pub secret: bool,
}

impl Setting {
    /// Name of the flag without its dashes: `max-message-size`.
    pub fn flag(&self) -> String {
        self.environment.to_ascii_lowercase().replace('_', "-")
    }

    /// Name in `tidegate.toml`: `max_message_size`.
    pub fn toml_key(&self) -> String {
        self.environment.to_ascii_lowercase()
    }
}

/// The row of `key`.
pub fn setting(key: Key) -> &'static Setting {
    &SETTINGS[key as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::settings::value::Value;

    #[test]
    fn rows_stand_in_the_order_of_their_keys_and_say_everything() {
        for (index, row) in SETTINGS.iter().enumerate() {
            assert_eq!(row.key as usize, index, "{}", row.environment);
            assert_eq!(setting(row.key).environment, row.environment);
            assert!(
                row.meaning.ends_with('.'),
                "{} has no sentence",
                row.environment
            );
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = SETTINGS.iter().map(|row| row.environment).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SETTINGS.len());
    }

    #[test]
    fn defaults_are_allowed_and_written_as_they_are_shown() {
        for row in SETTINGS {
            if let DefaultValue::Text(text) = row.default {
                let value = Value::parse(&row.kind, text)
                    .unwrap_or_else(|why| panic!("{}: {why}", row.environment));
                if !text.is_empty() {
                    assert_eq!(value.to_string(), text, "{}", row.environment);
                }
            }
        }
    }

    #[test]
    fn flag_and_file_names_follow_from_the_environment_name() {
        let row = setting(Key::MaxConnectionsPerIp);
        assert_eq!(row.flag(), "max-connections-per-ip");
        assert_eq!(row.toml_key(), "max_connections_per_ip");
    }
}
