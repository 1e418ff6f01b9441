//! The rows of the table.

use super::{DefaultValue, Key, Setting, Theme};
use crate::server::settings::value::Kind;

const MILLISECOND: u64 = 1;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

const fn row(key: Key, environment: &'static str, theme: Theme, kind: Kind) -> Setting {
    Setting {
        key,
        environment,
        theme,
        kind,
        default: DefaultValue::Absent,
        meaning: "",
        reload: false,
        secret: false,
    }
}

impl Setting {
    const fn default(mut self, text: &'static str) -> Self {
        self.default = DefaultValue::Text(text);
        self
    }

    const fn computed(mut self, from: &'static str) -> Self {
        self.default = DefaultValue::Computed(from);
        self
    }

    const fn means(mut self, meaning: &'static str) -> Self {
        self.meaning = meaning;
        self
    }

    const fn reloads(mut self) -> Self {
        self.reload = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

const fn size(least: u64, most: u64) -> Kind {
    Kind::Size {
        least,
        most,
        zero_is_off: false,
    }
}

const fn whole(least: u64, most: u64) -> Kind {
    Kind::Whole {
        least,
        most,
        zero_is_off: false,
    }
}

const fn off_or_size(least: u64, most: u64) -> Kind {
    Kind::Size {
        least,
        most,
        zero_is_off: true,
    }
}

const fn off_or_whole(most: u64) -> Kind {
    Kind::Whole {
        least: 1,
        most,
        zero_is_off: true,
    }
}

const fn duration(least_ms: u64, most_ms: u64) -> Kind {
    Kind::Duration {
        least_ms,
        most_ms,
        zero_is_off: false,
    }
}

/// Every setting, in the order of [`Key`].
pub static SETTINGS: &[Setting] = &[
    row(
        Key::Host,
        "HOST",
        Theme::Serving,
        Kind::List {
            of: "addresses, names and `unix:/path`, each of the first two with or without `:port`",
            empty: "none",
        },
    )
    .default("127.0.0.1")
    .means("Where to listen: a comma list of addresses, names (all their addresses count) and `unix:/path`."),
    row(Key::Port, "PORT", Theme::Serving, whole(0, 65_535))
        .default("3000")
        .means("TCP port of every host that names none; 0 takes a free one."),
    row(Key::Workers, "WORKERS", Theme::Serving, whole(1, crate::limits::WORKERS_MAX))
        .computed("cores")
        .means("Event-loop threads."),
    row(
        Key::Routes,
        "ROUTES",
        Theme::Serving,
        Kind::List {
            of: "`/path=endpoint`, where the endpoint is `gateway`, `socketio`, `echo`, `broadcast` or `engineio-echo`",
            empty: "none",
        },
    )
    .default("/=gateway,/ws=echo,/broadcast=broadcast,/socket.io/=socketio")
    .means("Which endpoint lives at which exact path; replaces the default table. In the file: a table `[routes]`."),
    row(
        Key::Subprotocols,
        "SUBPROTOCOLS",
        Theme::Serving,
        Kind::List { of: "subprotocol names (HTTP tokens)", empty: "none" },
    )
    .default("")
    .means("Subprotocols that the server speaks, the preferred one first."),
    row(
        Key::MaxConnections,
        "MAX_CONNECTIONS",
        Theme::Limits,
        whole(1, crate::limits::CONNECTIONS_MAX),
    )
    .computed("open-file limit less a reserve")
    .means("Connections of the process; beyond it the answer is 503.")
    .reloads(),
    row(
        Key::MaxConnectionsPerIp,
        "MAX_CONNECTIONS_PER_IP",
        Theme::Limits,
        off_or_whole(crate::limits::CONNECTIONS_MAX),
    )
    .default("0")
    .means("Connections of one client address; beyond it the answer is 429; 0 is off.")
    .reloads(),
    row(
        Key::MaxConnectionRatePerIp,
        "MAX_CONNECTION_RATE_PER_IP",
        Theme::Limits,
        off_or_whole(1_000_000),
    )
    .default("0")
    .means("New connections of one client address a second, RATE_LIMIT_BURST of them at once; beyond it the answer is 429; 0 is off.")
    .reloads(),
    row(
        Key::MaxConnectionsPerUser,
        "MAX_CONNECTIONS_PER_USER",
        Theme::Limits,
        off_or_whole(crate::limits::CONNECTIONS_MAX),
    )
    .default("0")
    .means("Connections of one user in this process; one more is not registered; 0 is off.")
    .reloads(),
    row(Key::MaxRoomsPerConnection, "MAX_ROOMS_PER_CONNECTION", Theme::Limits, whole(0, 10_000))
        .default("100")
        .means("Rooms that one connection may be in.")
        .reloads(),
    row(Key::MaxNameLength, "MAX_NAME_LENGTH", Theme::Limits, whole(1, 4_096))
        .default("128")
        .means("Characters of the name of a user, a room, an event.")
        .reloads(),
    row(Key::MaxMessageSize, "MAX_MESSAGE_SIZE", Theme::Limits, size(1, GIB))
        .default("1MiB")
        .means("Bytes of a message after decompression; a larger one closes the connection with 1009.")
        .reloads(),
    row(Key::RateLimitMessages, "RATE_LIMIT_MESSAGES", Theme::Limits, off_or_whole(1_000_000))
        .default("0")
        .means("Messages, pings and pongs that one WebSocket may send a second; 0 is off.")
        .reloads(),
    row(Key::RateLimitBytes, "RATE_LIMIT_BYTES", Theme::Limits, off_or_size(KIB, TIB))
        .default("0")
        .means("Bytes that one WebSocket may send a second; compressed messages count also with what they become; 0 is off.")
        .reloads(),
    row(Key::RateLimitBurst, "RATE_LIMIT_BURST", Theme::Limits, duration(10 * MILLISECOND, 60 * SECOND))
        .default("1s")
        .means("The time whose share of a rate may come at once.")
        .reloads(),
    row(Key::RateLimitPolicy, "RATE_LIMIT_POLICY", Theme::Limits, Kind::Word(&["throttle", "close"]))
        .default("throttle")
        .means("What becomes of a WebSocket that sends faster: `throttle` does not read it for a while, `close` closes it with 1008.")
        .reloads(),
    row(
        Key::AllowedOrigins,
        "ALLOWED_ORIGINS",
        Theme::Access,
        Kind::List {
            of: "origins such as `https://example.com`, `https://*.example.com` or `*.example.com`",
            empty: "any",
        },
    )
    .default("")
    .means("Whose pages may connect; empty allows any. A page from elsewhere is answered 403.")
    .reloads(),
    row(
        Key::TrustedProxies,
        "TRUSTED_PROXIES",
        Theme::Access,
        Kind::List {
            of: "addresses, networks such as `10.0.0.0/8` and the word `loopback`, or the word `none` alone",
            empty: "none",
        },
    )
    .default("loopback")
    .means("Whose `X-Forwarded-For` is believed; `none` believes nobody.")
    .reloads(),
    row(Key::JwtSecret, "JWT_SECRET", Theme::Access, Kind::Text { least: 16 })
        .means("Secret that client tokens are signed with (HMAC).")
        .reloads()
        .secret(),
    row(Key::JwtPublicKeyFile, "JWT_PUBLIC_KEY_FILE", Theme::Access, Kind::Path)
        .means("Public key in PEM whose owner signs client tokens: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).")
        .reloads(),
    row(
        Key::JwtAlgorithms,
        "JWT_ALGORITHMS",
        Theme::Access,
        Kind::List { of: "`HS256`, `HS384`, `HS512`, `RS256`, `ES256`, `EdDSA`", empty: "HS256, and that of the public key" },
    )
    .default("")
    .means("Algorithms of client tokens: one for the secret, and that of the public key.")
    .reloads(),
    row(Key::JwtLeeway, "JWT_LEEWAY", Theme::Access, Kind::Duration { least_ms: 0, most_ms: HOUR, zero_is_off: false })
        .default("5s")
        .means("How far the clocks of this server and of who signs tokens may be apart.")
        .reloads(),
    row(Key::AuthRequired, "AUTH_REQUIRED", Theme::Access, Kind::Switch)
        .computed("on where a JWT key is set")
        .means("Whether a WebSocket without a token is answered 401.")
        .reloads(),
    row(
        Key::ApiKey,
        "API_KEY",
        Theme::Access,
        Kind::Text { least: crate::auth::api_key::API_KEY_BYTES_MIN },
    )
    .means("What a back end shows to call the HTTP API; without it every call that changes or reveals something is answered 403.")
    .reloads()
    .secret(),
    row(
        Key::CorsOrigin,
        "CORS_ORIGIN",
        Theme::Access,
        Kind::List { of: "origins as in `ALLOWED_ORIGINS`, or `*`", empty: "any" },
    )
    .default("*")
    .means("Whose scripts may read what the HTTP API answers.")
    .reloads(),
    row(Key::ClientBroadcast, "CLIENT_BROADCAST", Theme::Access, Kind::Switch)
        .default("off")
        .means("Whether clients of the gateway protocol may send to everyone.")
        .reloads(),
    row(Key::DemoPage, "DEMO_PAGE", Theme::Access, Kind::Switch)
        .default("on")
        .means("Whether a browser that opens a route of the gateway protocol, such as `/`, gets the demo page.")
        .reloads(),
    row(
        Key::HeartbeatInterval,
        "HEARTBEAT_INTERVAL",
        Theme::Times,
        Kind::Duration { least_ms: 100 * MILLISECOND, most_ms: DAY, zero_is_off: true },
    )
    .default("30s")
    .means("Silence after which the server sends a ping; 0 turns heartbeats off.")
    .reloads(),
    row(Key::HeartbeatTimeout, "HEARTBEAT_TIMEOUT", Theme::Times, duration(100 * MILLISECOND, DAY))
        .default("10s")
        .means("Silence after that ping which ends the connection.")
        .reloads(),
    row(Key::HandshakeTimeout, "HANDSHAKE_TIMEOUT", Theme::Times, duration(100 * MILLISECOND, HOUR))
        .default("10s")
        .means("Time from accepting a connection to its complete request head.")
        .reloads(),
    row(Key::CloseTimeout, "CLOSE_TIMEOUT", Theme::Times, duration(100 * MILLISECOND, HOUR))
        .default("5s")
        .means("Time that a peer has to answer a Close frame, and to end TCP.")
        .reloads(),
    row(Key::DrainPeriod, "DRAIN_PERIOD", Theme::Times, duration(0, HOUR))
        .default("10s")
        .means("Time over which SIGTERM closes the connections; 0 closes them at once.")
        .reloads(),
    row(Key::SendQueueSoft, "SEND_QUEUE_SOFT", Theme::SendQueue, size(KIB, TIB))
        .default("1MiB")
        .means("Bytes waiting for a slow reader that are tolerated for SEND_QUEUE_SOFT_FOR.")
        .reloads(),
    row(Key::SendQueueHard, "SEND_QUEUE_HARD", Theme::SendQueue, size(KIB, TIB))
        .default("8MiB")
        .means("Bytes waiting for a slow reader that end its connection at once.")
        .reloads(),
    row(Key::SendQueueSoftFor, "SEND_QUEUE_SOFT_FOR", Theme::SendQueue, duration(0, HOUR))
        .default("10s")
        .means("How long the soft limit may be passed before the connection ends.")
        .reloads(),
    row(Key::SendQueueTotal, "SEND_QUEUE_TOTAL", Theme::SendQueue, off_or_size(MIB, TIB))
        .default("1GiB")
        .means("Memory that all send queues of the process may hold; beyond it connections with a long queue end; 0 is off.")
        .reloads(),
    row(
        Key::RoomPolicies,
        "ROOM_POLICIES",
        Theme::SendQueue,
        Kind::List {
            of: "`room=policy`, where the room is a name or ends in `*`, and the policy is `disconnect`, `drop-oldest` or `latest`",
            empty: "disconnect for all",
        },
    )
    .default("")
    .means("What becomes of a room's messages that a member reads too slowly; the first entry that fits counts. `disconnect` \
            keeps them until a limit ends the connection; `drop-oldest` drops the oldest beyond SEND_QUEUE_SOFT; `latest` lets only the \
            newest wait. Who misses messages is told how many.")
    .reloads(),
    row(Key::SocketioPingInterval, "SOCKETIO_PING_INTERVAL", Theme::SocketIo, duration(100 * MILLISECOND, DAY))
        .default("25s")
        .means("A session is sent a ping so long after it began, and after each pong."),
    row(Key::SocketioPingTimeout, "SOCKETIO_PING_TIMEOUT", Theme::SocketIo, duration(100 * MILLISECOND, DAY))
        .default("20s")
        .means("Time after a ping in which the pong has to come, or the session ends."),
    row(Key::SocketioUpgradeTimeout, "SOCKETIO_UPGRADE_TIMEOUT", Theme::SocketIo, duration(100 * MILLISECOND, HOUR))
        .default("10s")
        .means("Time in which a WebSocket has to take over a session that has begun with long-polling."),
    row(Key::SocketioConnectTimeout, "SOCKETIO_CONNECT_TIMEOUT", Theme::SocketIo, duration(100 * MILLISECOND, HOUR))
        .default("45s")
        .means("Time in which a client has to be in a namespace, or its session ends."),
    row(Key::SocketioMaxPayload, "SOCKETIO_MAX_PAYLOAD", Theme::SocketIo, Kind::Whole { least: 1, most: GIB, zero_is_off: false })
        .default("1000000")
        .means("Bytes of a POST of long-polling (413 beyond it), and of a message with its attachments; never more than MAX_MESSAGE_SIZE."),
    row(
        Key::SocketioNamespaces,
        "SOCKETIO_NAMESPACES",
        Theme::SocketIo,
        Kind::List {
            of: "namespaces such as `/chat`",
            empty: "the main one alone",
        },
    )
    .default("")
    .means("Namespaces that clients may be in besides `/`."),
    row(Key::SocketioRecovery, "SOCKETIO_RECOVERY", Theme::SocketIo, duration(0, 600 * SECOND))
        .default("0s")
        .means("Time in which a client that has lost its connection may come back as who it was, and hears what it has missed (`docs/socketio.md`); 0 is off."),
    row(Key::SocketioConformance, "SOCKETIO_CONFORMANCE", Theme::SocketIo, Kind::Switch)
        .default("off")
        .means("Whether the events of the protocol's test suite are answered, in `/` and `/custom`: for tests."),
    row(Key::SocketioRedisAdapter, "SOCKETIO_REDIS_ADAPTER", Theme::SocketIo, Kind::Switch)
        .default("off")
        .means("Whether rooms are shared with Node's Socket.IO servers that have `@socket.io/redis-adapter`, and with `@socket.io/redis-emitter` (`docs/socketio.md`); needs REDIS_ENABLED."),
    row(Key::SocketioRedisKey, "SOCKETIO_REDIS_KEY", Theme::SocketIo, Kind::Text { least: 1 })
        .default("socket.io")
        .means("Their `key`: what the names of their channels in Redis begin with."),
    row(Key::RedisEnabled, "REDIS_ENABLED", Theme::Cluster, Kind::Switch)
        .default("off")
        .means("Whether this node and others are one server, by way of Redis (`docs/cluster.md`)."),
    row(Key::RedisUrl, "REDIS_URL", Theme::Cluster, Kind::Text { least: 8 })
        .means("Where Redis is, as `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, or `unix:///path`; in place of REDIS_HOST and REDIS_PORT.")
        .secret(),
    row(Key::RedisHost, "REDIS_HOST", Theme::Cluster, Kind::Text { least: 1 })
        .default("localhost")
        .means("Name or address of Redis."),
    row(Key::RedisPort, "REDIS_PORT", Theme::Cluster, whole(1, 65_535))
        .default("6379")
        .means("Its TCP port."),
    row(Key::RedisTlsCa, "REDIS_TLS_CA", Theme::Cluster, Kind::Path)
        .means("Certificates in PEM of whom to believe who Redis is, where the system's are not to be believed."),
    row(Key::RedisTlsCert, "REDIS_TLS_CERT", Theme::Cluster, Kind::Path)
        .means("Certificate in PEM that is shown to Redis; comes with REDIS_TLS_KEY."),
    row(Key::RedisTlsKey, "REDIS_TLS_KEY", Theme::Cluster, Kind::Path)
        .means("Its private key in PEM."),
    row(
        Key::RedisSentinels,
        "REDIS_SENTINELS",
        Theme::Cluster,
        Kind::List {
            of: "`host` or `host:port`",
            empty: "none",
        },
    )
    .default("")
    .means("Sentinels that say which Redis is the master; of REDIS_URL then only user, password, database and TLS count. Port 26379."),
    row(Key::RedisSentinelMaster, "REDIS_SENTINEL_MASTER", Theme::Cluster, Kind::Text { least: 1 })
        .default("mymaster")
        .means("What the Sentinels call the master."),
    row(Key::RedisSentinelPassword, "REDIS_SENTINEL_PASSWORD", Theme::Cluster, Kind::Text { least: 1 })
        .means("Password of the Sentinels, where they have one.")
        .secret(),
    row(
        Key::RedisClusterNodes,
        "REDIS_CLUSTER_NODES",
        Theme::Cluster,
        Kind::List {
            of: "`host` or `host:port`",
            empty: "none",
        },
    )
    .default("")
    .means("Servers of a Redis Cluster (7.0 or later), which tell of the others; of REDIS_URL then only user, password and TLS count. Port 6379."),
    row(Key::RedisPrefix, "REDIS_PREFIX", Theme::Cluster, Kind::Text { least: 1 })
        .default("tidegate")
        .means("What all names in Redis begin with: nodes with the same one are one server."),
    row(Key::BackendUrl, "BACKEND_URL", Theme::Backend, Kind::Text { least: 1 })
        .means("Where the service behind the gateway is told of events, as `http://` or `https://` (`docs/backend.md`).")
        .secret(),
    row(
        Key::BackendSecret,
        "BACKEND_SECRET",
        Theme::Backend,
        Kind::List {
            of: "`whsec_` and the base64 of 24 to 64 bytes; while they are rotated two",
            empty: "none",
        },
    )
    .default("")
    .means("What events are signed with (Standard Webhooks); empty signs nothing.")
    .secret(),
    row(Key::BackendTlsCa, "BACKEND_TLS_CA", Theme::Backend, Kind::Path)
        .means("Certificates in PEM of whom to believe who the back end is, where the system's are not to be believed."),
    row(
        Key::BackendEvents,
        "BACKEND_EVENTS",
        Theme::Backend,
        Kind::List {
            of: "`connect`, `message`, `disconnect`",
            empty: "none",
        },
    )
    .default("connect,message,disconnect")
    .means("Which events it is told of."),
    row(
        Key::BackendEndpoints,
        "BACKEND_ENDPOINTS",
        Theme::Backend,
        Kind::List {
            of: "`gateway`, `echo`, `broadcast`, `socketio`",
            empty: "none",
        },
    )
    .default("gateway,socketio")
    .means("At which endpoints it is asked who may connect; messages that the gateway does not know are its own at `gateway` and `socketio`."),
    row(
        Key::BackendHeaders,
        "BACKEND_HEADERS",
        Theme::Backend,
        Kind::List {
            of: "names of header fields",
            empty: "none",
        },
    )
    .default("cookie,origin,user-agent")
    .means("Which header fields of a handshake it sees."),
    row(Key::BackendFormat, "BACKEND_FORMAT", Theme::Backend, Kind::Word(&["binary", "structured"]))
        .default("binary")
        .means("How CloudEvents are put into requests: `binary` has attributes as header fields, `structured` all of it as one JSON object."),
    row(Key::BackendTimeout, "BACKEND_TIMEOUT", Theme::Backend, duration(100 * MILLISECOND, 60 * SECOND))
        .default("5s")
        .means("Time for a request and what it takes to try it again."),
    row(Key::BackendRetries, "BACKEND_RETRIES", Theme::Backend, whole(0, 10))
        .default("2")
        .means("How often `connect` and `message` are tried again within that time; `disconnect` is for an hour."),
    row(Key::BackendConcurrency, "BACKEND_CONCURRENCY", Theme::Backend, whole(1, 256))
        .default("64")
        .means("Requests at one time."),
    row(Key::BackendQueue, "BACKEND_QUEUE", Theme::Backend, whole(1, 1_000_000))
        .default("10000")
        .means("Events that may wait for the back end."),
    row(Key::BackendQueueSize, "BACKEND_QUEUE_SIZE", Theme::Backend, size(64 * KIB, 16 * GIB))
        .default("64MiB")
        .means("Bytes of them."),
    row(
        Key::BackendQueuePolicy,
        "BACKEND_QUEUE_POLICY",
        Theme::Backend,
        Kind::Word(&["refuse", "drop-oldest"]),
    )
    .default("refuse")
    .means("What becomes of an event that finds the queue full: it is refused, or the oldest are."),
    row(
        Key::BackendDisconnectDelay,
        "BACKEND_DISCONNECT_DELAY",
        Theme::Backend,
        duration(0, HOUR),
    )
    .default("5s")
    .means("A user who is back within this time has not gone."),
    row(Key::Compression, "COMPRESSION", Theme::Compression, Kind::Switch)
        .default("on")
        .means("Whether permessage-deflate (RFC 7692) is negotiated with clients that offer it."),
    row(Key::CompressionLevel, "COMPRESSION_LEVEL", Theme::Compression, whole(1, 9))
        .default("1")
        .means("Effort of the compressor: 1 is fastest, 9 is smallest. Where no context is kept, messages under 256 bytes come out the same at 2 to 9."),
    row(Key::CompressionWindowBits, "COMPRESSION_WINDOW_BITS", Theme::Compression, whole(9, 15))
        .default("15")
        .means("Largest window of either side, as a power of two of bytes."),
    row(
        Key::CompressionContextTakeover,
        "COMPRESSION_CONTEXT_TAKEOVER",
        Theme::Compression,
        Kind::Switch,
    )
    .default("off")
    .means("Whether a connection keeps its window between messages: smaller messages, more memory for each connection."),
    row(Key::CompressionThreshold, "COMPRESSION_THRESHOLD", Theme::Compression, size(0, GIB))
        .default("1KiB")
        .means("Messages shorter than this go out uncompressed."),
    row(Key::TlsCert, "TLS_CERT", Theme::Tls, Kind::Path)
        .means("PEM file with the certificate chain, the server's own first; turns every TCP listener to TLS.")
        .reloads(),
    row(Key::TlsKey, "TLS_KEY", Theme::Tls, Kind::Path)
        .means("PEM file with the private key of that certificate (PKCS#8, PKCS#1 or SEC1).")
        .reloads(),
    row(
        Key::LogLevel,
        "LOG_LEVEL",
        Theme::Log,
        Kind::Word(&["off", "error", "warn", "info", "debug", "trace"]),
    )
    .default("info")
    .means("Least severe level that is written.")
    .reloads(),
    row(Key::LogFormat, "LOG_FORMAT", Theme::Log, Kind::Word(&["text", "json"]))
        .default("text")
        .means("Lines for people, or one JSON object a line."),
    row(Key::LogToFile, "LOG_TO_FILE", Theme::Log, Kind::Switch)
        .default("off")
        .means("Write to `tidegate.log` in LOG_DIR instead of stderr."),
    row(Key::LogDir, "LOG_DIR", Theme::Log, Kind::Path)
        .default("logs")
        .means("Directory of the log files, of this process alone; made if it is missing."),
    row(Key::LogMaxSize, "LOG_MAX_SIZE", Theme::Log, size(16 * KIB, TIB))
        .default("10MiB")
        .means("A log file is rotated before it grows past this."),
    row(Key::LogMaxFiles, "LOG_MAX_FILES", Theme::Log, whole(0, 1_000))
        .default("7")
        .means("Rotated log files kept, `tidegate.log.1` being the newest."),
];
