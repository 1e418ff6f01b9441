//! Texts to the effective [`Settings`]: every value parsed, then checked against the others.

mod backend;
mod cluster;

use std::path::PathBuf;
use std::time::Duration;

use super::error::SettingsError;
use super::sources::{Context, Gathered, Source};
use super::table::{DefaultValue, Key, SETTINGS, setting};
use super::value::Value;
use super::{
    Compression, Entry, Loaded, LogFormat, LogSettings, RateLimits, RatePolicy, RoomPolicies,
    Secret, Settings, SocketIoSettings, TlsFiles, TokenSettings,
};
use super::{listen, routes};
use crate::auth::api_key::ApiKey;
use crate::auth::origin::OriginPolicy;
use crate::http::forwarded::TrustedProxies;
use crate::limits::{CONNECTIONS_MAX, OPEN_FILES_RESERVE, OPEN_FILES_RESERVE_PER_WORKER};

/// Bytes of the longest frame header (RFC 6455 section 5.2): a message and it must fit the send queue.
const FRAME_HEADER_BYTES_MAX: u64 = 14;

/// Parses and checks all that was gathered.
///
/// # Errors
/// The first value that is not allowed, by itself or beside the others.
pub(super) fn build(gathered: Gathered, context: &Context) -> Result<Loaded, SettingsError> {
    let mut entries = Entries(Vec::with_capacity(SETTINGS.len()));
    for (setting, text) in SETTINGS.iter().zip(gathered.texts) {
        entries.0.push(match text {
            Some((text, source)) => match Value::parse(&setting.kind, &text) {
                Ok(value) => Entry {
                    setting,
                    value,
                    source,
                    written: text,
                },
                Err(problem) => {
                    return Err(SettingsError::Value {
                        setting,
                        source,
                        value: text,
                        problem,
                    });
                }
            },
            None => default_entry(setting),
        });
    }
    entries.compute_defaults(context);
    entries.check(context)?;
    let settings = entries.settings()?;
    Ok(Loaded {
        settings,
        entries: entries.0,
        config_file: gathered.config_file,
    })
}

fn default_entry(setting: &'static super::Setting) -> Entry {
    let (value, written) = match setting.default {
        DefaultValue::Text(text) => (
            Value::parse(&setting.kind, text).expect("a test holds that defaults are allowed"),
            text,
        ),
        DefaultValue::Absent | DefaultValue::Computed(_) => (Value::Absent, ""),
    };
    Entry {
        setting,
        value,
        source: Source::Default,
        written: written.to_owned(),
    }
}

/// One entry a setting, in the order of the table.
struct Entries(Vec<Entry>);

impl Entries {
    fn compute_defaults(&mut self, context: &Context) {
        let workers = context.cores.clamp(1, crate::limits::WORKERS_MAX);
        self.fill_absent(Key::Workers, workers);
        let has_key =
            self.text(Key::JwtSecret).is_some() || self.path(Key::JwtPublicKeyFile).is_some();
        let required = &mut self.0[Key::AuthRequired as usize];
        if required.value == Value::Absent {
            required.value = Value::Switch(has_key);
            required.written = required.value.to_string();
        }
        let connections = self.connections_possible(context).clamp(1, CONNECTIONS_MAX);
        self.fill_absent(Key::MaxConnections, connections);
    }

    fn fill_absent(&mut self, key: Key, number: u64) {
        let entry = &mut self.0[key as usize];
        if entry.value == Value::Absent {
            entry.value = Value::Whole(number);
            entry.written = number.to_string();
        }
    }

    /// Connections for which the open-file limit has room.
    fn connections_possible(&self, context: &Context) -> u64 {
        context
            .open_files_max
            .saturating_sub(self.open_files_reserve())
    }

    fn open_files_reserve(&self) -> u64 {
        OPEN_FILES_RESERVE + OPEN_FILES_RESERVE_PER_WORKER * self.number(Key::Workers)
    }

    /// What the values must be beside one another.
    fn check(&self, context: &Context) -> Result<(), SettingsError> {
        let possible = self.connections_possible(context);
        if self.number(Key::MaxConnections) > possible {
            return Err(self.wrong(
                Key::MaxConnections,
                format!(
                    "must be at most {possible}: the open-file limit (ulimit -n) is {}, of which {} are reserved",
                    context.open_files_max,
                    self.open_files_reserve()
                ),
            ));
        }
        let (soft, hard) = (
            self.number(Key::SendQueueSoft),
            self.number(Key::SendQueueHard),
        );
        if soft > hard {
            return Err(self.wrong_pair(Key::SendQueueSoft, Key::SendQueueHard, ""));
        }
        if hard < self.number(Key::MaxMessageSize) + FRAME_HEADER_BYTES_MAX {
            let header = format!(" less {FRAME_HEADER_BYTES_MAX} bytes for a frame's header");
            return Err(self.wrong_pair(Key::MaxMessageSize, Key::SendQueueHard, &header));
        }
        for (one, other) in [
            (Key::TlsCert, Key::TlsKey),
            (Key::TlsKey, Key::TlsCert),
            (Key::RedisTlsCert, Key::RedisTlsKey),
            (Key::RedisTlsKey, Key::RedisTlsCert),
        ] {
            if self.path(one).is_some() && self.path(other).is_none() {
                let names = setting(other).environment;
                return Err(self.wrong(one, format!("must come with {names}, which is not set")));
            }
        }
        let has_key =
            self.text(Key::JwtSecret).is_some() || self.path(Key::JwtPublicKeyFile).is_some();
        for (key, is_set) in [
            (Key::AuthRequired, self.switch(Key::AuthRequired)),
            (
                Key::JwtAlgorithms,
                !self.list(Key::JwtAlgorithms).is_empty(),
            ),
        ] {
            if is_set && !has_key {
                let problem = "must come with JWT_SECRET or JWT_PUBLIC_KEY_FILE, which are not set";
                return Err(self.wrong(key, problem.to_owned()));
            }
        }
        if self.path(Key::LogDir).is_none() {
            return Err(self.wrong(Key::LogDir, "must be a path".to_owned()));
        }
        Ok(())
    }

    /// `small` passes `large`: blames the one that somebody set, `small` where both are.
    fn wrong_pair(&self, small: Key, large: Key, less: &str) -> SettingsError {
        let described = |key: Key| {
            let entry = self.entry(key);
            let source = entry.source.described(entry.setting);
            format!("{} ({}, {source})", entry.setting.environment, entry.value)
        };
        if self.entry(small).source == Source::Default {
            let more = less.replace(" less ", " and ");
            self.wrong(
                large,
                format!("must be at least {}{more}", described(small)),
            )
        } else {
            self.wrong(small, format!("must be at most {}{less}", described(large)))
        }
    }

    fn settings(&self) -> Result<Settings, SettingsError> {
        let port = self.number(Key::Port) as u16;
        Ok(Settings {
            listen: self.or_wrong(Key::Host, listen::parse(self.list(Key::Host), port))?,
            workers: self.number(Key::Workers) as usize,
            connections_max: self.number(Key::MaxConnections) as usize,
            connections_per_address_max: self.number(Key::MaxConnectionsPerIp) as usize,
            connection_rate_per_address_max: self.number(Key::MaxConnectionRatePerIp) as u32,
            connections_per_user_max: self.number(Key::MaxConnectionsPerUser) as usize,
            rooms_per_connection_max: self.number(Key::MaxRoomsPerConnection) as usize,
            name_chars_max: self.number(Key::MaxNameLength) as usize,
            may_clients_broadcast: self.switch(Key::ClientBroadcast),
            has_demo_page: self.switch(Key::DemoPage),
            tokens: TokenSettings {
                secret: self
                    .text(Key::JwtSecret)
                    .map(|text| Secret(text.to_owned())),
                public_key_file: self.path(Key::JwtPublicKeyFile),
                algorithms: self.list(Key::JwtAlgorithms).to_vec(),
                leeway: self.duration(Key::JwtLeeway),
                is_required: self.switch(Key::AuthRequired),
            },
            api_key: self.text(Key::ApiKey).map(ApiKey::new),
            cors: self.or_wrong(Key::CorsOrigin, self.origins(Key::CorsOrigin))?,
            message_bytes_max: self.number(Key::MaxMessageSize) as usize,
            rate: self.rate(),
            allowed_origins: self
                .or_wrong(Key::AllowedOrigins, self.origins(Key::AllowedOrigins))?,
            trusted_proxies: self.or_wrong(Key::TrustedProxies, self.trusted_proxies())?,
            heartbeat_interval: self.duration(Key::HeartbeatInterval),
            heartbeat_timeout: self.duration(Key::HeartbeatTimeout),
            handshake_timeout: self.duration(Key::HandshakeTimeout),
            close_timeout: self.duration(Key::CloseTimeout),
            drain_period: self.duration(Key::DrainPeriod),
            compression: Compression {
                enabled: self.switch(Key::Compression),
                level: self.number(Key::CompressionLevel) as u8,
                window_bits: self.number(Key::CompressionWindowBits) as u8,
                context_takeover: self.switch(Key::CompressionContextTakeover),
                threshold_bytes: self.number(Key::CompressionThreshold) as usize,
            },
            send_queue_soft_bytes_max: self.number(Key::SendQueueSoft) as usize,
            send_queue_hard_bytes_max: self.number(Key::SendQueueHard) as usize,
            send_queue_soft_for: self.duration(Key::SendQueueSoftFor),
            send_queue_total_bytes_max: self.number(Key::SendQueueTotal) as usize,
            room_policies: self.or_wrong(Key::RoomPolicies, self.room_policies())?,
            cluster: self.cluster()?,
            backend: self.backend()?,
            tls: self
                .path(Key::TlsCert)
                .zip(self.path(Key::TlsKey))
                .map(|(certificate, key)| TlsFiles { certificate, key }),
            routes: self.or_wrong(Key::Routes, routes::parse(self.list(Key::Routes)))?,
            subprotocols: self.subprotocols()?,
            socketio: self.socketio()?,
            log: self.log(),
        })
    }

    fn origins(&self, key: Key) -> Result<OriginPolicy, String> {
        OriginPolicy::parse(self.list(key).iter().map(String::as_str))
    }

    fn trusted_proxies(&self) -> Result<TrustedProxies, String> {
        match self.list(Key::TrustedProxies) {
            [none] if none == "none" => TrustedProxies::parse([]),
            entries => TrustedProxies::parse(entries.iter().map(String::as_str)),
        }
    }

    fn room_policies(&self) -> Result<RoomPolicies, String> {
        RoomPolicies::parse(self.list(Key::RoomPolicies).iter().map(String::as_str))
    }

    fn rate(&self) -> RateLimits {
        RateLimits {
            messages: self.number(Key::RateLimitMessages) as u32,
            bytes: self.number(Key::RateLimitBytes),
            burst: self.duration(Key::RateLimitBurst),
            policy: match self.word(Key::RateLimitPolicy) {
                "close" => RatePolicy::Close,
                _ => RatePolicy::Throttle,
            },
        }
    }

    fn subprotocols(&self) -> Result<Vec<String>, SettingsError> {
        let names = self.list(Key::Subprotocols);
        self.or_wrong(Key::Subprotocols, routes::check_subprotocols(names))?;
        Ok(names.to_vec())
    }

    fn socketio(&self) -> Result<SocketIoSettings, SettingsError> {
        let namespaces = self.list(Key::SocketioNamespaces);
        self.or_wrong(
            Key::SocketioNamespaces,
            routes::check_namespaces(namespaces),
        )?;
        Ok(SocketIoSettings {
            ping_interval: self.duration(Key::SocketioPingInterval),
            ping_timeout: self.duration(Key::SocketioPingTimeout),
            upgrade_timeout: self.duration(Key::SocketioUpgradeTimeout),
            connect_timeout: self.duration(Key::SocketioConnectTimeout),
            payload_bytes_max: self.number(Key::SocketioMaxPayload) as usize,
            namespaces: namespaces.to_vec(),
            recovery: self.duration(Key::SocketioRecovery),
            is_conformance: self.switch(Key::SocketioConformance),
        })
    }

    fn log(&self) -> LogSettings {
        LogSettings {
            level: self
                .word(Key::LogLevel)
                .parse()
                .expect("the table has the level's own names"),
            format: match self.word(Key::LogFormat) {
                "json" => LogFormat::Json,
                _ => LogFormat::Text,
            },
            to_file: self.switch(Key::LogToFile),
            directory: self.path(Key::LogDir).expect("checked before"),
            file_bytes_max: self.number(Key::LogMaxSize),
            files_max: self.number(Key::LogMaxFiles) as usize,
        }
    }

    fn entry(&self, key: Key) -> &Entry {
        &self.0[key as usize]
    }

    fn or_wrong<T>(&self, key: Key, result: Result<T, String>) -> Result<T, SettingsError> {
        result.map_err(|problem| self.wrong(key, problem))
    }

    fn wrong(&self, key: Key, problem: String) -> SettingsError {
        let entry = self.entry(key);
        SettingsError::Value {
            setting: entry.setting,
            source: entry.source.clone(),
            value: entry.written.clone(),
            problem,
        }
    }

    // The table says the kind of each setting, so a value of another kind here is a mistake in this file, which the
    // first test that loads the defaults finds.

    fn number(&self, key: Key) -> u64 {
        match self.entry(key).value {
            Value::Whole(number) | Value::Size(number) => number,
            ref other => unreachable!("{key:?} is no number: {other:?}"),
        }
    }

    fn duration(&self, key: Key) -> Duration {
        match self.entry(key).value {
            Value::Duration(time) => time,
            ref other => unreachable!("{key:?} is no time: {other:?}"),
        }
    }

    fn switch(&self, key: Key) -> bool {
        match self.entry(key).value {
            Value::Switch(on) => on,
            ref other => unreachable!("{key:?} is no switch: {other:?}"),
        }
    }

    fn word(&self, key: Key) -> &'static str {
        match self.entry(key).value {
            Value::Word(word) => word,
            ref other => unreachable!("{key:?} is no word: {other:?}"),
        }
    }

    fn list(&self, key: Key) -> &[String] {
        match &self.entry(key).value {
            Value::List(entries) => entries,
            other => unreachable!("{key:?} is no list: {other:?}"),
        }
    }

    fn text(&self, key: Key) -> Option<&str> {
        match &self.entry(key).value {
            Value::Text(text) => Some(text),
            Value::Absent => None,
            other => unreachable!("{key:?} is no text: {other:?}"),
        }
    }

    fn path(&self, key: Key) -> Option<PathBuf> {
        match &self.entry(key).value {
            Value::Path(path) => Some(path.clone()),
            Value::Absent => None,
            other => unreachable!("{key:?} is no path: {other:?}"),
        }
    }
}
