//! What the command line, the environment and the files say together: checked, with nothing left to be refused later.

use std::env;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::arguments::{ClientCommand, duration};
use super::machine::{Plan, Source};
use super::render::Style;
use super::target::Target;
use super::trust;
use crate::cli::url::{Scheme, Url, split_header};
use crate::server::settings::{CLIENT_NAMES, Context, client_texts};

const URL_DEFAULT: &str = "ws://localhost:3000/ws";
const SCHEMES: &str = "it begins with ws:// or wss://, as ws://localhost:3000/ws does";
const RECONNECT_INTERVAL_DEFAULT: Duration = Duration::from_millis(5_000);
const MESSAGE_INTERVAL_DEFAULT: Duration = Duration::from_millis(1_000);
/// Of the intervals, milliseconds.
const INTERVAL_LEAST_MS: u64 = 10;
const INTERVAL_MOST_MS: u64 = 3_600_000;
/// What a handshake writes itself.
const OWN_HEADERS: [&str; 5] = ["host", "upgrade", "connection", "origin", "authorization"];

/// Everything that a run depends on.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) target: Arc<Target>,
    pub(super) plan: Plan,
    pub(super) style: Style,
    /// Where lines come from: a person at the prompt, a pipe, or nowhere.
    pub(super) input: Input,
    /// Where the prompt keeps its history.
    pub(super) history: Option<PathBuf>,
}

/// Where messages to send come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// A person at a terminal.
    Prompt,
    /// Standard input, a message a line.
    Lines { is_binary: bool },
    /// The command line.
    Given { texts: Vec<String>, is_binary: bool },
    /// Random numbers, which nobody types.
    Nobody,
}

impl Options {
    /// # Errors
    /// What is wrong, as one sentence.
    pub(super) fn new(command: &ClientCommand) -> Result<Self, String> {
        let texts = client_texts(&Context::of_process()).map_err(|error| error.to_string())?;
        let [url, reconnect_interval, message_interval] = texts;
        let is_output_terminal = std::io::stdout().is_terminal();
        let input = input(command, is_output_terminal);
        if command.binary && input == Input::Prompt {
            return Err("--binary is for --execute and pipes; /binary FILE sends one".to_owned());
        }
        if command.wait.is_some() && input == Input::Prompt {
            return Err("--wait is for --execute and pipes".to_owned());
        }
        if command.raw && is_output_terminal {
            return Err(
                "--raw would let a server steer this terminal: it is for pipes and files"
                    .to_owned(),
            );
        }
        let is_attended = matches!(input, Input::Prompt | Input::Nobody);
        let plan = Plan {
            source: match input {
                Input::Prompt => Source::Person,
                Input::Lines { .. } | Input::Given { .. } => Source::Lines,
                Input::Nobody => Source::Random,
            },
            url: String::new(),
            wait: command.wait,
            reconnects: command.reconnect || is_attended && !command.no_reconnect,
            reconnect_interval: interval(
                (
                    "--reconnect-interval",
                    command.reconnect_interval.as_deref(),
                ),
                (CLIENT_NAMES[1], reconnect_interval.as_deref()),
                RECONNECT_INTERVAL_DEFAULT,
            )?,
            message_interval: interval(
                ("--message-interval", command.message_interval.as_deref()),
                (CLIENT_NAMES[2], message_interval.as_deref()),
                MESSAGE_INTERVAL_DEFAULT,
            )?,
            message_bytes_max: command.max_message_size,
        };
        let url = command.url.clone().or(url);
        let (target, url) = target(command, url.unwrap_or_else(|| URL_DEFAULT.to_owned()))?;
        let is_chat = is_attended && is_output_terminal;
        Ok(Self {
            target: Arc::new(target),
            plan: Plan { url, ..plan },
            style: Style {
                is_terminal: is_output_terminal,
                has_marks: is_chat,
                has_colours: is_chat && !command.no_color && has_colours(),
                has_pings: command.show_ping_pong.unwrap_or(is_chat),
                has_times: command.timestamps,
                is_raw: command.raw,
                is_quiet: command.quiet,
            },
            history: (input == Input::Prompt && !command.no_history)
                .then(history)
                .flatten(),
            input,
        })
    }
}

fn input(command: &ClientCommand, is_output_terminal: bool) -> Input {
    let is_binary = command.binary;
    if command.random {
        Input::Nobody
    } else if !command.execute.is_empty() {
        let texts = command.execute.clone();
        Input::Given { texts, is_binary }
    } else if is_output_terminal && std::io::stdin().is_terminal() {
        Input::Prompt
    } else {
        Input::Lines { is_binary }
    }
}

/// A plain number is milliseconds, as it was before there were units.
fn interval(
    flag: (&str, Option<&str>),
    setting: (&str, Option<&str>),
    default: Duration,
) -> Result<Duration, String> {
    let (name, text) = match (flag, setting) {
        ((name, Some(text)), _) | (_, (name, Some(text))) => (name, text),
        _ => return Ok(default),
    };
    let text = text.trim();
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unit = if is_plain { "ms" } else { "" };
    duration(&format!("{text}{unit}"), INTERVAL_LEAST_MS, INTERVAL_MOST_MS).map_err(|_| {
        format!(
            "{name} = {text:?}: must be a time from {INTERVAL_LEAST_MS}ms to 1h, such as 500ms or 5s (a plain number is milliseconds)"
        )
    })
}

/// The target, and its URL as people read it.
fn target(command: &ClientCommand, mut text: String) -> Result<(Target, String), String> {
    if !text.contains("://") {
        text.insert_str(0, "ws://");
    }
    let wrong = |why: &str| format!("URL {text:?}: {why}");
    let url = Url::parse(&text, SCHEMES).map_err(wrong)?;
    let tls = match url.scheme {
        Scheme::WebSocket => None,
        Scheme::Secure => Some(trust::config(command.ca.as_deref(), command.insecure)?),
        Scheme::Bare => return Err(wrong(SCHEMES)),
    };
    if tls.is_none() && (command.ca.is_some() || command.insecure) {
        return Err("--ca and --insecure are for wss://".to_owned());
    }
    let port = url.port.unwrap_or(if tls.is_some() { 443 } else { 80 });
    let path = if url.path.is_empty() { "/" } else { &url.path };
    let target = Target {
        tls: tls
            .map(|config| trust::for_host(config, &url.host))
            .transpose()?,
        port,
        path: path.to_owned(),
        host: url.host,
        authority: url.authority,
        origin: command.origin.clone(),
        subprotocols: command.subprotocols.clone(),
        headers: headers(command)?,
        is_compressed: !command.no_compress,
        timeout: command.connect_timeout,
    };
    target.check()?;
    Ok((target, text))
}

fn headers(command: &ClientCommand) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::new();
    if let Some(token) = &command.token {
        headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
    }
    if let Some(auth) = &command.auth {
        if !auth.contains(':') {
            return Err("--auth: it is written as USER:PASSWORD".to_owned());
        }
        let value = format!("Basic {}", STANDARD.encode(auth));
        headers.push(("Authorization".to_owned(), value));
    }
    let has_authorization = !headers.is_empty();
    for line in &command.headers {
        let (name, value) = split_header(line)?;
        let lower = name.to_ascii_lowercase();
        let is_own = OWN_HEADERS.contains(&&lower[..]) || lower.starts_with("sec-websocket-");
        if is_own && (lower != "authorization" || has_authorization) {
            return Err(format!(
                "--header {name}: the handshake has its own; --origin, --subprotocol, --token and --auth set some"
            ));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

/// <https://no-color.org>, and terminals that have none.
fn has_colours() -> bool {
    let is_refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !is_refused && env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// The file of the history in the state directory of the XDG Base Directory Specification; none where there is no home.
fn history() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    let directory = state.join("tidegate");
    make_private(&directory).ok()?;
    Some(directory.join("client_history"))
}

/// What is typed is nobody else's business.
fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command, FromArgMatches};

    fn command(line: &[&str]) -> ClientCommand {
        let command = ClientCommand::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.try_get_matches_from(line).expect("parses");
        ClientCommand::from_arg_matches(&matches).expect("arguments")
    }

    #[test]
    fn a_plain_interval_is_milliseconds() {
        let told = |flag: Option<&str>, setting: Option<&str>| {
            interval(("--it", flag), ("IT", setting), Duration::from_secs(9))
        };
        assert_eq!(told(None, None), Ok(Duration::from_secs(9)));
        assert_eq!(told(None, Some(" 250 ")), Ok(Duration::from_millis(250)));
        assert_eq!(told(Some("2s"), Some("x")), Ok(Duration::from_secs(2)));
        for (flag, setting, says) in [
            (None, Some("x"), "IT = \"x\": must be"),
            (Some("5"), None, "--it = \"5\": must be"),
            (Some("2h"), None, "from 10ms to 1h"),
            (Some(""), None, "must be"),
        ] {
            let why = told(flag, setting).expect_err("wrong");
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn a_url_may_lack_its_scheme_and_its_path() {
        let of = |url: &str| target(&command(&[]), url.to_owned());
        let (target, shown) = of("localhost:3000").expect("a URL");
        assert_eq!((&target.path[..], target.port), ("/", 3000));
        assert_eq!(shown, "ws://localhost:3000");
        assert_eq!(of("wss://localhost/ws").expect("a URL").0.port, 443);
        assert_eq!(of("ws://localhost/ws").expect("a URL").0.port, 80);
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for (line, url, says) in [
            (&[][..], "http://a/", "it begins with ws:// or wss://"),
            (&[], "tcp://a:1", "it begins with ws:// or wss://"),
            (&[], "ws://a/ä", "percent-encoded"),
            (&["--insecure"], "ws://a/", "for wss://"),
            (&["--ca", "/nowhere"], "wss://a/", "/nowhere"),
            (&["-H", "x"], "ws://a/", "'Name: value'"),
            (&["-H", "x y: z"], "ws://a/", "header"),
            (&["-H", "Host: z"], "ws://a/", "its own"),
            (&["-H", "Sec-WebSocket-Key: z"], "ws://a/", "its own"),
            (&["--token", "a\nb"], "ws://a/", "header"),
            (
                &["--token", "a", "-H", "Authorization: b"],
                "ws://a/",
                "its own",
            ),
            (&["--auth", "nobody"], "ws://a/", "USER:PASSWORD"),
            (&["-s", "a,b"], "ws://a/", "subprotocol"),
        ] {
            let why = target(&command(line), url.to_owned()).expect_err("refused");
            assert!(why.contains(says), "{line:?} {url}: {why}");
        }
    }

    #[test]
    fn who_one_is_becomes_a_header() {
        for (line, value) in [
            (&["--token", "abc"], "Bearer abc"),
            (&["--auth", "ann:s e"], "Basic YW5uOnMgZQ=="),
            (&["-H", "authorization: Custom"], "Custom"),
        ] {
            assert_eq!(headers(&command(line)).expect("headers")[0].1, value);
        }
    }

    #[test]
    fn every_option_is_in_the_document() {
        const DOCUMENT: &str = include_str!("../../../docs/client.md");
        let command = ClientCommand::augment_args(Command::new("test"));
        for option in command.get_opts() {
            let long = format!("`--{}", option.get_long().expect("a long name"));
            let mut rows = DOCUMENT.lines().filter(|line| line.starts_with('|'));
            let row = rows.find(|line| line.contains(&long));
            let row = row.unwrap_or_else(|| panic!("{long} is in no table"));
            if let Some(short) = option.get_short() {
                assert!(row.contains(&format!("`-{short}`")), "{row}");
            }
        }
    }
}
