//! Sources, precedence, reports and reloads; what is refused stands in `refusals`.

mod backend;
mod refusals;

use std::fs;

use super::*;
use crate::server::testing::TempDir;

/// A directory and an environment of its own.
struct World {
    directory: TempDir,
    context: Context,
    arguments: Arguments,
}

impl World {
    fn new() -> Self {
        let directory = TempDir::new();
        let context = Context {
            environment: std::collections::HashMap::new(),
            directory: directory.path().to_owned(),
            open_files_max: 10_000,
            cores: 4,
        };
        Self {
            directory,
            context,
            arguments: Arguments::default(),
        }
    }

    fn environment(mut self, name: &str, value: &str) -> Self {
        self.context.environment.insert(name.into(), value.into());
        self
    }

    fn flag(mut self, key: Key, value: &str) -> Self {
        self.arguments
            .flags
            .push((table::setting(key), value.into()));
        self
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.directory.path().join(name), text).expect("write");
        self
    }

    fn load(&self) -> Loaded {
        Settings::load_in(&self.arguments, &self.context).expect("settings")
    }

    fn error(&self) -> String {
        let error = Settings::load_in(&self.arguments, &self.context).expect_err("an error");
        error.to_string()
    }
}

fn entry(loaded: &Loaded, key: Key) -> (String, String) {
    let entry = &loaded.entries[key as usize];
    (entry.shown(), entry.source.described(entry.setting))
}

fn pair(value: &str, source: &str) -> (String, String) {
    (value.to_owned(), source.to_owned())
}

#[test]
fn defaults() {
    let loaded = World::new().load();
    let settings = &loaded.settings;
    let address = "127.0.0.1:3000".parse().expect("an address");
    assert_eq!(settings.listen, [ListenAddress::Tcp(address)]);
    assert_eq!(settings.workers, 4);
    assert_eq!(settings.connections_max, 10_000 - 64 - 4 * 4);
    assert_eq!(settings.connections_per_address_max, 0);
    assert_eq!(settings.message_bytes_max, 1_048_576);
    assert_eq!(settings.heartbeat_interval, Duration::from_secs(30));
    assert_eq!(settings.heartbeat_timeout, Duration::from_secs(10));
    assert_eq!(settings.handshake_timeout, Duration::from_secs(10));
    assert_eq!(settings.close_timeout, Duration::from_secs(5));
    assert_eq!(settings.drain_period, Duration::from_secs(10));
    assert_eq!(settings.send_queue_soft_bytes_max, 1 << 20);
    assert_eq!(settings.send_queue_hard_bytes_max, 8 << 20);
    assert_eq!(settings.send_queue_soft_for, Duration::from_secs(10));
    let compression = Compression {
        enabled: true,
        level: 1,
        window_bits: 15,
        context_takeover: false,
        threshold_bytes: 1_024,
    };
    assert_eq!(settings.compression, compression);
    assert_eq!(settings.tls, None);
    let routes: Vec<_> = settings
        .routes
        .iter()
        .map(|route| (route.path.as_str(), route.endpoint))
        .collect();
    assert_eq!(
        routes,
        [
            ("/", EndpointKind::Gateway),
            ("/ws", EndpointKind::Echo),
            ("/broadcast", EndpointKind::Broadcast),
            ("/socket.io/", EndpointKind::SocketIo)
        ]
    );
    assert!(settings.subprotocols.is_empty());
    let socketio = SocketIoSettings {
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
        upgrade_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(45),
        payload_bytes_max: 1_000_000,
        namespaces: Vec::new(),
        recovery: Duration::ZERO,
        is_conformance: false,
    };
    assert_eq!(settings.socketio, socketio);
    let log = LogSettings {
        level: log::LevelFilter::Info,
        format: LogFormat::Text,
        to_file: false,
        directory: "logs".into(),
        file_bytes_max: 10 << 20,
        files_max: 7,
    };
    assert_eq!(settings.log, log);
    assert_eq!(loaded.config_file, None);
    assert!(
        loaded
            .entries
            .iter()
            .all(|entry| entry.source == Source::Default)
    );
}

#[test]
fn a_stronger_source_wins_and_is_named() {
    let mut world = World::new();
    assert_eq!(entry(&world.load(), Key::Port), pair("3000", "default"));
    world = world.file("tidegate.toml", "port = 1\n");
    assert_eq!(entry(&world.load(), Key::Port), pair("1", "tidegate.toml"));
    world = world.file(".env", "PORT=2\n");
    assert_eq!(entry(&world.load(), Key::Port), pair("2", ".env"));
    world = world.environment("PORT", "3");
    assert_eq!(entry(&world.load(), Key::Port), pair("3", "environment"));
    world = world.flag(Key::Port, "4");
    assert_eq!(entry(&world.load(), Key::Port), pair("4", "flag --port"));
    assert_eq!(world.load().config_file, Some("tidegate.toml".into()));
}

#[test]
fn every_setting_comes_from_every_source() {
    let texts = |setting: &Setting| match setting.key {
        Key::TlsCert | Key::TlsKey | Key::LogDir | Key::JwtPublicKeyFile => "/x",
        Key::Subprotocols => "chat",
        Key::SocketioNamespaces => "/chat",
        Key::JwtSecret | Key::ApiKey => "long-enough-to-be-one",
        Key::JwtAlgorithms => "HS512",
        Key::RedisUrl => "rediss://127.0.0.1:6379",
        Key::RedisTlsCa | Key::RedisTlsCert | Key::RedisTlsKey => "/x",
        Key::RedisSentinels | Key::RedisClusterNodes => "127.0.0.1:7000",
        Key::BackendUrl => "http://127.0.0.1:1/",
        Key::BackendSecret => backend::SECRET,
        Key::BackendTlsCa => "/x",
        Key::RoomPolicies => "ticker.*=latest",
        Key::AuthRequired => "on",
        Key::AllowedOrigins => "https://example.com",
        _ => match setting.default {
            table::DefaultValue::Text(text) => text,
            table::DefaultValue::Absent | table::DefaultValue::Computed(_) => "5",
        },
    };
    let (mut flags, mut environment) = (World::new(), World::new());
    let (mut env, mut toml) = (String::new(), String::new());
    for setting in table::SETTINGS {
        let text = texts(setting);
        flags = flags.flag(setting.key, text);
        environment = environment.environment(setting.environment, text);
        env += &format!("{}={text}\n", setting.environment);
        toml += &format!("{} = \"{text}\"\n", setting.toml_key());
    }
    let expected = flags.load();
    for (loaded, source) in [
        (expected.clone(), Source::Flag),
        (environment.load(), Source::Environment),
        (World::new().file(".env", &env).load(), Source::DotEnv),
        (
            World::new().file("tidegate.toml", &toml).load(),
            Source::File("tidegate.toml".into()),
        ),
    ] {
        for (entry, as_flag) in loaded.entries.iter().zip(&expected.entries) {
            assert_eq!(entry.source, source, "{}", entry.setting.environment);
            assert_eq!(entry.value, as_flag.value, "{}", entry.setting.environment);
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a setting")]
fn values_reach_their_fields() {
    let loaded = World::new()
        .environment("HOST", "127.0.0.1,[::1]:81,unix:/run/t.sock")
        .environment("PORT", "0")
        .environment("WORKERS", "2")
        .environment("MAX_CONNECTIONS", "100")
        .environment("MAX_CONNECTIONS_PER_IP", "7")
        .environment("MAX_MESSAGE_SIZE", "64k")
        .environment("HEARTBEAT_INTERVAL", "0")
        .environment("HEARTBEAT_TIMEOUT", "1500ms")
        .environment("HANDSHAKE_TIMEOUT", "3")
        .environment("CLOSE_TIMEOUT", "4s")
        .environment("DRAIN_PERIOD", "2m")
        .environment("SEND_QUEUE_SOFT", "100k")
        .environment("SEND_QUEUE_HARD", "200k")
        .environment("SEND_QUEUE_SOFT_FOR", "1s")
        .environment("COMPRESSION", "off")
        .environment("COMPRESSION_LEVEL", "9")
        .environment("COMPRESSION_WINDOW_BITS", "9")
        .environment("COMPRESSION_CONTEXT_TAKEOVER", "on")
        .environment("COMPRESSION_THRESHOLD", "0")
        .environment("TLS_CERT", "/c.pem")
        .environment("TLS_KEY", "/k.pem")
        .environment("ROUTES", "/a=broadcast")
        .environment("SUBPROTOCOLS", "v2, v1")
        .environment("LOG_LEVEL", "TRACE")
        .environment("LOG_FORMAT", "json")
        .environment("LOG_TO_FILE", "true")
        .environment("LOG_DIR", "/var/log/t")
        .environment("LOG_MAX_SIZE", "1m")
        .environment("LOG_MAX_FILES", "0")
        .load();
    let settings = loaded.settings;
    assert_eq!(
        settings.listen,
        [
            ListenAddress::Tcp("127.0.0.1:0".parse().expect("an address")),
            ListenAddress::Tcp("[::1]:81".parse().expect("an address")),
            ListenAddress::Unix("/run/t.sock".into()),
        ]
    );
    assert_eq!((settings.workers, settings.connections_max), (2, 100));
    assert_eq!(
        (
            settings.connections_per_address_max,
            settings.message_bytes_max
        ),
        (7, 65_536)
    );
    assert_eq!(settings.heartbeat_interval, Duration::ZERO);
    assert_eq!(settings.heartbeat_timeout, Duration::from_millis(1_500));
    assert_eq!(settings.handshake_timeout, Duration::from_secs(3));
    assert_eq!(settings.close_timeout, Duration::from_secs(4));
    assert_eq!(settings.drain_period, Duration::from_secs(120));
    assert_eq!(settings.send_queue_soft_bytes_max, 102_400);
    assert_eq!(settings.send_queue_hard_bytes_max, 204_800);
    assert_eq!(settings.send_queue_soft_for, Duration::from_secs(1));
    let compression = Compression {
        enabled: false,
        level: 9,
        window_bits: 9,
        context_takeover: true,
        threshold_bytes: 0,
    };
    assert_eq!(settings.compression, compression);
    let tls = TlsFiles {
        certificate: "/c.pem".into(),
        key: "/k.pem".into(),
    };
    assert_eq!(settings.tls, Some(tls));
    let route = Route {
        path: "/a".to_owned(),
        endpoint: EndpointKind::Broadcast,
    };
    assert_eq!(settings.routes, [route]);
    assert_eq!(settings.subprotocols, ["v2", "v1"]);
    let log = LogSettings {
        level: log::LevelFilter::Trace,
        format: LogFormat::Json,
        to_file: true,
        directory: "/var/log/t".into(),
        file_bytes_max: 1 << 20,
        files_max: 0,
    };
    assert_eq!(settings.log, log);
}

#[test]
fn the_file_has_tables_lists_numbers_and_switches() {
    let toml = "\u{feff}host = [\"127.0.0.1\", \"unix:/t\"]\nheartbeat_interval = 1.5\nlog_to_file = true\n\
                max_message_size = 4096\n[routes]\n\"/b\" = \"broadcast\"\n\"/a\" = \"echo\"\n";
    let loaded = World::new().file("tidegate.toml", toml).load();
    assert_eq!(loaded.settings.listen.len(), 2);
    assert_eq!(
        loaded.settings.heartbeat_interval,
        Duration::from_millis(1_500)
    );
    assert!(loaded.settings.log.to_file);
    assert_eq!(loaded.settings.message_bytes_max, 4_096);
    assert_eq!(
        entry(&loaded, Key::Routes),
        pair("/a=echo,/b=broadcast", "tidegate.toml")
    );
}

#[test]
fn empty_variables_count_as_not_set_and_an_empty_flag_as_empty() {
    let world = World::new()
        .file(
            "tidegate.toml",
            "allowed_origins = [\"https://example.com\"]\nport = 1\n",
        )
        .environment("ALLOWED_ORIGINS", "")
        .environment("PORT", "")
        .environment("TIDEGATE_CONFIG", "")
        .file(".env", "PORT=\n");
    let loaded = world.load();
    assert_eq!(entry(&loaded, Key::Port).1, "tidegate.toml");
    assert_eq!(entry(&loaded, Key::AllowedOrigins).1, "tidegate.toml");
    let loaded = world.flag(Key::AllowedOrigins, "").load();
    assert_eq!(
        entry(&loaded, Key::AllowedOrigins),
        pair("any", "flag --allowed-origins")
    );
    assert!(
        loaded
            .settings
            .allowed_origins
            .allows(Some(b"https://elsewhere.example"))
    );
}

#[test]
fn dot_env_quotes_comments_and_later_lines() {
    let text =
        "\u{feff}# a comment\nexport PORT='5' # five\nOTHER=\"two\nlines\"\nWORKERS=1\nWORKERS=3\n";
    let loaded = World::new().file(".env", text).load();
    assert_eq!(entry(&loaded, Key::Port), pair("5", ".env"));
    assert_eq!(entry(&loaded, Key::Workers), pair("3", ".env"));
}

#[test]
fn nobody_is_trusted_where_none_is_said() {
    let peer = "127.0.0.1".parse().expect("an address");
    assert!(World::new().load().settings.trusted_proxies.contains(peer));
    let world = World::new().environment("TRUSTED_PROXIES", "none");
    assert!(!world.load().settings.trusted_proxies.contains(peer));
}

#[test]
fn the_configuration_file_can_be_named_and_must_exist_then() {
    let world = World::new()
        .file("tidegate.toml", "port = 1\n")
        .file("env.toml", "port = 2\n")
        .file("real.toml", "port = 3\n")
        .file("flag.toml", "port = 4\n")
        .file(".env", "TIDEGATE_CONFIG=env.toml\n");
    assert_eq!(entry(&world.load(), Key::Port), pair("2", "env.toml"));
    let mut world = world.environment("TIDEGATE_CONFIG", "real.toml");
    assert_eq!(entry(&world.load(), Key::Port), pair("3", "real.toml"));
    world.arguments.config = Some("flag.toml".into());
    assert_eq!(entry(&world.load(), Key::Port), pair("4", "flag.toml"));
    world.arguments.config = Some("gone.toml".into());
    assert_eq!(
        world.error(),
        "gone.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn the_default_stays_sane_without_an_open_file_limit() {
    let mut world = World::new();
    world.context.open_files_max = u64::MAX;
    assert_eq!(world.load().settings.connections_max, 4_000_000);
}

static SECRET: Setting = Setting {
    key: Key::Port,
    environment: "TEST_SECRET",
    theme: table::Theme::Access,
    kind: value::Kind::Whole {
        least: 0,
        most: 1,
        zero_is_off: false,
    },
    default: table::DefaultValue::Absent,
    meaning: "For this test.",
    reload: false,
    secret: true,
};

#[test]
fn secrets_are_never_shown() {
    let mut loaded = World::new().load();
    loaded.entries[0] = Entry {
        setting: &SECRET,
        value: Value::List(vec!["hunter2".to_owned()]),
        source: Source::Environment,
        written: "hunter2".to_owned(),
    };
    let table = report::table(&loaded);
    assert!(
        table.contains("TEST_SECRET") && table.contains("(hidden)"),
        "{table}"
    );
    assert!(!table.contains("hunter2"), "{table}");
    let json = report::json(&loaded).to_string();
    assert!(
        json.contains("(hidden)") && !json.contains("hunter2"),
        "{json}"
    );

    let problem = Value::parse(&SECRET.kind, "hunter2").expect_err("no number");
    let error = SettingsError::Value {
        setting: &SECRET,
        source: Source::Environment,
        value: "hunter2".to_owned(),
        problem,
    };
    assert_eq!(
        error.to_string(),
        "TEST_SECRET = (hidden) (environment): must be a whole number from 0 to 1"
    );
}

#[test]
fn the_report_has_a_row_for_each_setting_and_escapes_them() {
    let loaded = World::new()
        .environment("LOG_DIR", "/a\u{1b}[2J\nPORT")
        .load();
    let table = report::table(&loaded);
    assert_eq!(table.lines().count(), table::SETTINGS.len() + 1);
    assert!(table.contains("/a\\u{1b}[2J\\nPORT"), "{table}");
    let json = report::json(&loaded);
    assert_eq!(
        json[Key::MaxMessageSize as usize],
        serde_json::json!({
            "name": "MAX_MESSAGE_SIZE",
            "value": "1MiB",
            "source": "default",
            "reload": true,
        })
    );
}

#[test]
fn a_reload_tells_what_changes_now_and_what_at_the_next_start() {
    let old = World::new().environment("LOG_LEVEL", "info").load();
    let new = World::new()
        .environment("LOG_LEVEL", "debug")
        .environment("MAX_MESSAGE_SIZE", "1048576")
        .environment("MAX_CONNECTIONS", "50")
        .environment("PORT", "4000")
        .environment("ROUTES", "/x=echo")
        .environment("COMPRESSION", "off")
        .environment("LOG_FORMAT", "json")
        .environment("SUBPROTOCOLS", "v1")
        .environment("WORKERS", "1")
        .load();
    let changes: Vec<_> = reloadable_changes(&old, &new)
        .into_iter()
        .map(|change| {
            (
                change.setting.environment,
                change.from,
                change.to,
                change.at_run_time,
            )
        })
        .collect();
    let row = |name, from: &str, to: &str, now| (name, from.to_owned(), to.to_owned(), now);
    assert_eq!(
        changes,
        [
            row("PORT", "3000", "4000", false),
            row("WORKERS", "4", "1", false),
            row(
                "ROUTES",
                "/=gateway,/ws=echo,/broadcast=broadcast,/socket.io/=socketio",
                "/x=echo",
                false
            ),
            row("SUBPROTOCOLS", "none", "v1", false),
            row("MAX_CONNECTIONS", "9920", "50", true),
            row("COMPRESSION", "on", "off", false),
            row("LOG_LEVEL", "info", "debug", true),
            row("LOG_FORMAT", "text", "json", false),
        ]
    );
    assert_eq!(reloadable_changes(&old, &old), []);

    let merged = old.reloaded(&new);
    assert_eq!(merged.settings.connections_max, 50);
    assert_eq!(merged.settings.log.level, log::LevelFilter::Debug);
    assert_eq!(merged.settings.log.format, LogFormat::Text);
    assert_eq!(merged.settings.listen, old.settings.listen);
    assert_eq!(merged.settings.workers, 4);
    assert_eq!(merged.settings.routes, old.settings.routes);
    assert_eq!(merged.settings.compression, old.settings.compression);
    assert!(merged.settings.subprotocols.is_empty());
    // What is in force now is what the next reload is compared with.
    let left = reloadable_changes(&merged, &new);
    assert!(
        left.len() == 6 && left.iter().all(|change| !change.at_run_time),
        "{left:?}"
    );
}

#[test]
fn certificates_change_at_run_time_but_tls_does_not_begin_or_end() {
    let tls = |name: &str| {
        World::new()
            .environment("TLS_CERT", name)
            .environment("TLS_KEY", "/key.pem")
            .load()
    };
    let (plain, one, other) = (World::new().load(), tls("/1.pem"), tls("/2.pem"));
    let now = |old, new| -> Vec<bool> {
        reloadable_changes(old, new)
            .iter()
            .map(|change| change.at_run_time)
            .collect()
    };
    assert_eq!(now(&one, &other), [true]);
    assert_eq!(now(&plain, &one), [false, false]);
    assert_eq!(now(&one, &plain), [false, false]);
    assert_eq!(one.reloaded(&other).settings.tls, other.settings.tls);
    assert_eq!(plain.reloaded(&one).settings.tls, None);
    assert_eq!(one.reloaded(&plain).settings.tls, one.settings.tls);
}
