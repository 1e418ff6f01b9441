//! `docs/settings.md` and `tidegate.example.toml` say what the table says. `UPDATE_DOCS=1 cargo test settings_doc`
//! writes them anew.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::table::{DefaultValue, SETTINGS, Setting, Theme};
use super::value::Kind;
use super::{Arguments, Context, Key, Settings};
use crate::server::testing::TempDir;

const INTRODUCTION: &str = "\
# Settings

Every setting has one name in three spellings: `MAX_MESSAGE_SIZE` in the environment, `--max-message-size` as a flag,
`max_message_size` in `tidegate.toml`. The stronger source wins:

1. flags;
2. the environment of the process; then the file `.env` in the working directory, which is read and never put into the
   environment. An empty variable counts as not set;
3. `tidegate.toml` in the working directory, or the file that `--config` or `TIDEGATE_CONFIG` names, which must exist
   then. Unknown keys are an error;
4. the defaults below.

`tidegate check` prints what is in force and where each value came from. A wrong value stops the start with one line
and exit status 2. `WS_URL`, `RECONNECT_INTERVAL` and `MESSAGE_INTERVAL` are for `tidegate client` ([client.md](client.md)) and
mean nothing to the server. SIGHUP reads all sources but the flags again; the settings marked *reload* change in the running
server, certificate and key files are read again in any case, the rest waits for the next start.

How values are written:

- **Sizes** are bytes, with `k`, `m`, `g`, `t` or `KiB`, `MiB`, `GiB`, `TiB` for powers of 1024, and `kB`, `MB`, `GB`,
  `TB` for powers of 1000: `65536`, `64k`, `1MiB`. Letters may be of either case.
- **Times** have `ms`, `s`, `m`, `h` or `d`; a plain number is seconds: `500ms`, `30s`, `1.5`, `2m`.
- **Switches** are `on` or `off` (`true`, `false`, `yes`, `no`, `1`, `0`).
- **Lists** are separated by commas; in the file they may be arrays, and a flag may be given several times.
";

fn themes() -> Vec<Theme> {
    let mut themes: Vec<Theme> = SETTINGS.iter().map(|setting| setting.theme).collect();
    themes.dedup();
    themes
}

fn of(theme: Theme) -> impl Iterator<Item = &'static Setting> {
    SETTINGS
        .iter()
        .filter(move |setting| setting.theme == theme)
}

fn shown_default(setting: &Setting) -> String {
    match setting.default {
        DefaultValue::Text("") | DefaultValue::Absent | DefaultValue::Computed(_) => {
            setting.default.shown().to_owned()
        }
        DefaultValue::Text(text) => format!("`{text}`"),
    }
}

fn markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    for theme in themes() {
        writeln!(text, "\n## {}\n", theme.heading()).expect("a String takes all");
        text += "| setting | default | allowed | meaning |\n|---|---|---|---|\n";
        for setting in of(theme) {
            let reload = if setting.reload { " *reload*" } else { "" };
            let cells = [
                format!("`{}`", setting.environment),
                shown_default(setting),
                setting.kind.allowed(),
                format!("{}{reload}", setting.meaning),
            ];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            writeln!(text, "| {} |", cells.join(" | ")).expect("a String takes all");
        }
    }
    text
}

fn toml_value(setting: &Setting) -> String {
    match (setting.key, setting.kind, setting.default) {
        (Key::Workers, ..) => "4".to_owned(),
        (Key::MaxConnections, ..) => "10000".to_owned(),
        (Key::AllowedOrigins, ..) => "[\"https://example.com\", \"*.example.com\"]".to_owned(),
        (Key::SocketioNamespaces, ..) => "[\"/chat\"]".to_owned(),
        (Key::Subprotocols, ..) => "[\"chat.v2\", \"chat.v1\"]".to_owned(),
        (Key::JwtSecret, ..) => "\"at least sixteen bytes\"".to_owned(),
        (Key::JwtPublicKeyFile, ..) => "\"/etc/tidegate/tokens.pem\"".to_owned(),
        (Key::JwtAlgorithms, ..) => "[\"HS256\", \"EdDSA\"]".to_owned(),
        (Key::AuthRequired, ..) => "true".to_owned(),
        (Key::ApiKey, ..) => "\"at least eight bytes\"".to_owned(),
        (Key::RoomPolicies, ..) => "[\"ticker.*=latest\", \"news=drop-oldest\"]".to_owned(),
        (Key::RedisUrl, ..) => "\"rediss://:password@redis.example:6379\"".to_owned(),
        (Key::RedisTlsCa, ..) => "\"/etc/tidegate/redis-ca.pem\"".to_owned(),
        (Key::RedisTlsCert, ..) => "\"/etc/tidegate/redis-client.pem\"".to_owned(),
        (Key::RedisTlsKey, ..) => "\"/etc/tidegate/redis-client-key.pem\"".to_owned(),
        (Key::RedisSentinels, ..) => "[\"sentinel-1.example\", \"sentinel-2.example\"]".to_owned(),
        (Key::RedisSentinelPassword, ..) => "\"password\"".to_owned(),
        (Key::RedisClusterNodes, ..) => {
            "[\"redis-1.example:6379\", \"redis-2.example:6379\"]".to_owned()
        }
        (Key::BackendUrl, ..) => "\"https://app.example/events\"".to_owned(),
        (Key::BackendSecret, ..) => "[\"whsec_c2VjcmV0IG9mIHR3ZW50eS1mb3VyIGJ5dGVz\"]".to_owned(),
        (Key::BackendTlsCa, ..) => "\"/etc/tidegate/backend-ca.pem\"".to_owned(),
        (Key::TlsCert, ..) => "\"/etc/tidegate/certificate.pem\"".to_owned(),
        (Key::TlsKey, ..) => "\"/etc/tidegate/key.pem\"".to_owned(),
        (_, Kind::Whole { .. }, default) => default.shown().to_owned(),
        (_, Kind::Switch, default) => (default.shown() == "on").to_string(),
        (_, Kind::List { .. }, default) => {
            format!("[\"{}\"]", default.shown().replace(',', "\", \""))
        }
        (_, _, default) => format!("\"{}\"", default.shown()),
    }
}

fn example() -> String {
    let mut text = "# Every key that tidegate.toml takes. What stands here is the default, or an example where the\n\
                    # default is none or is worked out. docs/settings.md says more.\n"
        .to_owned();
    for theme in themes() {
        writeln!(text, "\n## {}\n", theme.heading()).expect("a String takes all");
        // A table would swallow the keys after it: routes stand at the end of the file.
        for setting in of(theme).filter(|setting| setting.key != Key::Routes) {
            let (key, value) = (setting.toml_key(), toml_value(setting));
            let meaning = setting.meaning;
            write!(text, "# {meaning}\n#{key} = {value}\n").expect("a String takes all");
        }
    }
    text += "\n## Routes: they replace the default table, and stand last because a table takes all keys after it.\n\n\
             #[routes]\n";
    let DefaultValue::Text(routes) = super::table::setting(Key::Routes).default else {
        panic!("routes have a default")
    };
    for row in routes.split(',') {
        let (path, endpoint) = row.split_once('=').expect("a route");
        writeln!(text, "#\"{path}\" = \"{endpoint}\"").expect("a String takes all");
    }
    text
}

fn is_up_to_date(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().expect("a file in a directory")).expect("mkdir");
        fs::write(&path, expected).expect("write");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, expected,
        "{name} is old: UPDATE_DOCS=1 cargo test settings_doc"
    );
}

#[test]
fn settings_doc_is_up_to_date() {
    is_up_to_date("docs/settings.md", &markdown());
}

#[test]
fn settings_doc_example_is_up_to_date() {
    is_up_to_date("tidegate.example.toml", &example());
}

/// The example with its comment signs taken off is a configuration file that sets every key.
#[test]
fn settings_doc_example_loads() {
    let directory = TempDir::new();
    let text: String = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase() || "\"[".contains(c)) => {
                format!("{key}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(directory.path().join("tidegate.toml"), text).expect("write");
    let context = Context {
        environment: std::collections::HashMap::new(),
        directory: directory.path().to_owned(),
        open_files_max: 20_000,
        cores: 1,
    };
    let loaded = Settings::load_in(&Arguments::default(), &context).expect("the example loads");
    for entry in &loaded.entries {
        assert_eq!(entry.source.described(entry.setting), "tidegate.toml");
        if let DefaultValue::Text(text) = entry.setting.default
            && !text.is_empty()
        {
            let in_file = entry.value.to_string();
            let same = in_file
                .split(',')
                .all(|part| text.split(',').any(|other| other == part));
            assert!(
                same,
                "{}: {in_file} is not the default {text}",
                entry.setting.environment
            );
        }
    }
}
