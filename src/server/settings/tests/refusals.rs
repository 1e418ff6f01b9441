//! The exact line of each refusal.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "one row a refusal")]
fn wrong_values_say_setting_value_source_and_what_is_allowed() {
    for (name, value, line) in [
        (
            "PORT",
            "70000",
            "PORT = \"70000\" (environment): must be a whole number from 0 to 65535",
        ),
        (
            "MAX_MESSAGE_SIZE",
            "2GiB",
            "MAX_MESSAGE_SIZE = \"2GiB\" (environment): must be a size from 1 to 1GiB, such as 65536, 64k, 1MiB \
             or 1MB",
        ),
        (
            "HEARTBEAT_INTERVAL",
            "soon",
            "HEARTBEAT_INTERVAL = \"soon\" (environment): must be 0 (off) or a time from 100ms to 24h, such as \
             500ms, 30s or 2m (a plain number is seconds)",
        ),
        (
            "COMPRESSION",
            "maybe",
            "COMPRESSION = \"maybe\" (environment): must be on or off",
        ),
        (
            "COMPRESSION_LEVEL",
            "0",
            "COMPRESSION_LEVEL = \"0\" (environment): must be a whole number from 1 to 9",
        ),
        (
            "COMPRESSION_WINDOW_BITS",
            "8",
            "COMPRESSION_WINDOW_BITS = \"8\" (environment): must be a whole number from 9 to 15",
        ),
        (
            "WORKERS",
            "0",
            "WORKERS = \"0\" (environment): must be a whole number from 1 to 256",
        ),
        (
            "LOG_LEVEL",
            "loud",
            "LOG_LEVEL = \"loud\" (environment): must be off, error, warn, info, debug or trace",
        ),
        (
            "LOG_FORMAT",
            "xml",
            "LOG_FORMAT = \"xml\" (environment): must be text or json",
        ),
        (
            "HOST",
            ",",
            "HOST = \",\" (environment): must name at least one address",
        ),
        (
            "ROUTES",
            "/ws=shout",
            "ROUTES = \"/ws=shout\" (environment): the endpoint \"shout\" of \"/ws\" must be gateway, socketio, echo, broadcast or engineio-echo",
        ),
        (
            "REDIS_URL",
            "http://127.0.0.1",
            "REDIS_URL = (hidden) (environment): must be the URL of a Redis server: invalid client config",
        ),
        (
            "REDIS_SENTINELS",
            "redis://a",
            "REDIS_SENTINELS = \"redis://a\" (environment): \"redis://a\" must be a host, with :port where it is not 26379",
        ),
        (
            "REDIS_TLS_CA",
            "/x",
            "REDIS_TLS_CA = \"/x\" (environment): must come with a REDIS_URL that begins with rediss://",
        ),
        (
            "REDIS_TLS_KEY",
            "/x",
            "REDIS_TLS_KEY = \"/x\" (environment): must come with REDIS_TLS_CERT, which is not set",
        ),
        (
            "ROOM_POLICIES",
            "news=oldest",
            "ROOM_POLICIES = \"news=oldest\" (environment): the policy \"oldest\" of \"news\" must be disconnect, \
             drop-oldest or latest",
        ),
        (
            "RATE_LIMIT_BYTES",
            "1",
            "RATE_LIMIT_BYTES = \"1\" (environment): must be 0 (off) or a size from 1KiB to 1TiB, such as 65536, \
             64k, 1MiB or 1MB",
        ),
        (
            "SOCKETIO_NAMESPACES",
            "chat",
            "SOCKETIO_NAMESPACES = \"chat\" (environment): \"chat\" must begin with / and hold letters, digits, - _ . and /, 128 bytes at most",
        ),
        (
            "SUBPROTOCOLS",
            "a b",
            "SUBPROTOCOLS = \"a b\" (environment): \"a b\" must be an HTTP token: letters, digits, - . _ and such",
        ),
        (
            "PORT",
            "1\n2\u{1b}[2J",
            "PORT = \"1\\n2\\u{1b}[2J\" (environment): must be a whole number from 0 to 65535",
        ),
    ] {
        assert_eq!(World::new().environment(name, value).error(), line);
    }
}

#[test]
fn wrong_policies_name_their_setting() {
    for name in ["ALLOWED_ORIGINS", "TRUSTED_PROXIES"] {
        let error = World::new().environment(name, "not one").error();
        assert!(
            error.starts_with(&format!("{name} = \"not one\" (environment): ")),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn long_wrong_values_are_cut() {
    let error = World::new().environment("PORT", &"9".repeat(5_000)).error();
    let nines = "9".repeat(120);
    let line = format!("PORT = \"{nines}…\" (environment): must be a whole number from 0 to 65535");
    assert_eq!(error, line);
}

#[test]
fn every_source_is_named_in_errors() {
    let wrong = "must be a whole number from 0 to 65535";
    for (world, source) in [
        (World::new().flag(Key::Port, "x"), "flag --port"),
        (World::new().environment("PORT", "x"), "environment"),
        (World::new().file(".env", "PORT=x"), ".env"),
        (
            World::new().file("tidegate.toml", "port = \"x\""),
            "tidegate.toml",
        ),
    ] {
        assert_eq!(world.error(), format!("PORT = \"x\" ({source}): {wrong}"));
    }
}

#[test]
fn values_must_fit_one_another() {
    for (pairs, line) in [
        (
            &[("MAX_CONNECTIONS", "9921")][..],
            "MAX_CONNECTIONS = \"9921\" (environment): must be at most 9920: the open-file limit (ulimit -n) is \
             10000, of which 80 are reserved",
        ),
        (
            &[("SEND_QUEUE_SOFT", "9MiB")],
            "SEND_QUEUE_SOFT = \"9MiB\" (environment): must be at most SEND_QUEUE_HARD (8MiB, default)",
        ),
        (
            &[("SEND_QUEUE_HARD", "512k")],
            "SEND_QUEUE_HARD = \"512k\" (environment): must be at least SEND_QUEUE_SOFT (1MiB, default)",
        ),
        (
            &[("MAX_MESSAGE_SIZE", "8MiB")],
            "MAX_MESSAGE_SIZE = \"8MiB\" (environment): must be at most SEND_QUEUE_HARD (8MiB, default) less 14 \
             bytes for a frame's header",
        ),
        (
            &[("SEND_QUEUE_HARD", "1MiB")],
            "SEND_QUEUE_HARD = \"1MiB\" (environment): must be at least MAX_MESSAGE_SIZE (1MiB, default) and 14 \
             bytes for a frame's header",
        ),
        (
            &[("TLS_CERT", "/c")],
            "TLS_CERT = \"/c\" (environment): must come with TLS_KEY, which is not set",
        ),
        (
            &[("TLS_KEY", "/k")],
            "TLS_KEY = \"/k\" (environment): must come with TLS_CERT, which is not set",
        ),
        (
            &[
                ("REDIS_ENABLED", "on"),
                ("REDIS_SENTINELS", "a"),
                ("REDIS_CLUSTER_NODES", "b"),
            ],
            "REDIS_CLUSTER_NODES = \"b\" (environment): must not come with REDIS_SENTINELS: a Redis Cluster has none",
        ),
        (
            &[
                ("REDIS_ENABLED", "on"),
                ("REDIS_URL", "redis://a/1"),
                ("REDIS_CLUSTER_NODES", "b"),
            ],
            "REDIS_URL = (hidden) (environment): must name no database: a Redis Cluster has one",
        ),
        (
            &[("SOCKETIO_REDIS_ADAPTER", "on")],
            "SOCKETIO_REDIS_ADAPTER = \"on\" (environment): must come with REDIS_ENABLED, which is off",
        ),
    ] {
        let world = pairs.iter().fold(World::new(), |world, (name, value)| {
            world.environment(name, value)
        });
        assert_eq!(world.error(), line);
    }
    let world = World::new().environment("MAX_CONNECTIONS", "9920");
    assert_eq!(world.load().settings.connections_max, 9_920);
    let no_dir = World::new().flag(Key::LogDir, "");
    assert_eq!(
        no_dir.error(),
        "LOG_DIR = \"\" (flag --log-dir): must be a path"
    );
}

#[test]
fn an_open_file_limit_without_room_is_said() {
    let mut world = World::new();
    world.context.open_files_max = 80;
    assert_eq!(
        world.error(),
        "MAX_CONNECTIONS = \"1\" (default): must be at most 0: the open-file limit (ulimit -n) is 80, of which \
         80 are reserved"
    );
}

#[test]
fn text_that_is_not_utf_8() {
    let mut world = World::new();
    let bytes = OsString::from_vec(b"30\xff0".to_vec());
    world
        .context
        .environment
        .insert("PORT".into(), bytes.clone());
    assert_eq!(
        world.error(),
        "PORT = \"30\u{fffd}0\" (environment): must be UTF-8 text"
    );
    world.context.environment.clear();
    world
        .context
        .environment
        .insert("OF_ANOTHER_PROGRAM".into(), bytes.clone());
    world.load();
    world
        .arguments
        .flags
        .push((table::setting(Key::Host), bytes));
    assert_eq!(
        world.error(),
        "HOST = \"30\u{fffd}0\" (flag --host): must be UTF-8 text"
    );

    let world = World::new();
    fs::write(
        world.directory.path().join("tidegate.toml"),
        b"port = 1\nhost = \"\xff\"\n",
    )
    .expect("write");
    assert_eq!(world.error(), "tidegate.toml line 2: must be UTF-8 text");
    let world = World::new();
    fs::write(world.directory.path().join(".env"), b"\xffPORT=1\n").expect("write");
    assert_eq!(world.error(), ".env line 1: must be UTF-8 text");
}

#[test]
fn files_that_are_wrong() {
    for (toml, line) in [
        (
            "prot = 1\nhots = 2\n",
            "tidegate.toml: unknown keys hots, prot; the keys are the names of the settings in lower case, such \
             as max_message_size",
        ),
        (
            "\"p\\n\\u001Bt\" = 1\n",
            "tidegate.toml: unknown key p\\n\\u{1b}t; the keys are the names of the settings in lower case, \
             such as max_message_size",
        ),
        (
            "port = [1]\n",
            "PORT = \"[1]\" (tidegate.toml): must be a whole number from 0 to 65535",
        ),
        (
            "allowed_origins = [\"a,b\"]\n",
            "ALLOWED_ORIGINS = \"[\\\"a,b\\\"]\" (tidegate.toml): must be a comma list of origins such as \
             `https://example.com`, `https://*.example.com` or `*.example.com`",
        ),
        (
            "routes = { \"/a,b\" = \"echo\" }\n",
            "ROUTES = \"{ \\\"/a,b\\\" = \\\"echo\\\" }\" (tidegate.toml): must be a comma list of \
             `/path=endpoint`, where the endpoint is `gateway`, `socketio`, `echo`, `broadcast` or `engineio-echo`",
        ),
    ] {
        let error = World::new().file("tidegate.toml", toml).error();
        // The quotes that TOML itself has are shown as they are.
        assert_eq!(error, line.replace("\\\"", "\""));
    }
    let error = World::new()
        .file("tidegate.toml", "port = 1\n\nhost = \n")
        .error();
    assert!(
        error.starts_with("tidegate.toml line 3: ") && !error.contains('\n'),
        "{error}"
    );
    let error = World::new()
        .file("tidegate.toml", "port = 1\nport = 2\n")
        .error();
    assert!(
        error.starts_with("tidegate.toml line 2: duplicate key"),
        "{error}"
    );

    let long = "#".repeat((1 << 20) + 1);
    let error = World::new().file("tidegate.toml", &long).error();
    assert_eq!(error, "tidegate.toml: must be at most 1048576 bytes");

    let world = World::new();
    fs::create_dir(world.directory.path().join(".env")).expect("mkdir");
    assert_eq!(
        world.error(),
        ".env: cannot be read: Is a directory (os error 21)"
    );
}

#[test]
fn a_bad_dot_env_line_is_named_by_its_number_and_not_shown() {
    let error = World::new()
        .file(".env", "PORT=1\n\nAPI KEY=hunter2\n")
        .error();
    assert_eq!(error, ".env line 3: must be NAME=value lines");
    let error = World::new().file(".env", "PORT=1\nKEY=\"hunter2\n").error();
    assert_eq!(error, ".env line 2: must be NAME=value lines");
}

#[test]
fn clients_are_not_recovered_by_a_redis_cluster() {
    let world = |redis| {
        World::new()
            .environment("REDIS_CLUSTER_NODES", "a")
            .environment("REDIS_ENABLED", redis)
            .environment("SOCKETIO_RECOVERY", "2m")
    };
    assert_eq!(
        world("on").error(),
        "SOCKETIO_RECOVERY = \"2m\" (environment): must not come with REDIS_CLUSTER_NODES: nothing is kept in a Redis Cluster"
    );
    let settings = world("off").load().settings;
    assert_eq!(settings.socketio.recovery, Duration::from_secs(120));
}
