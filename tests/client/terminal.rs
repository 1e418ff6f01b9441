//! At a terminal: the prompt, commands, what is shown, and what must not be.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::closes::mute;
use crate::common::peer::{Peer, on_terminal};
use crate::common::server::Server;
use crate::fake;
use crate::stage::Home;

const CTRL_D: &[u8] = b"\x04";
const UP: &[u8] = b"\x1b[A";

/// A line may be typed once the client says that it is connected.
fn at_prompt(home: &Home, arguments: &[&str]) -> Peer {
    let client = home.at_terminal(arguments);
    client.wait_for("Connected to ");
    client
}

fn leave(client: &mut Peer) {
    // Ctrl-C.
    client.type_bytes(b"\x03");
    client.wait_for("Closed: 1000 (normal)");
    assert_eq!(client.wait_exit().code(), Some(0));
}

#[test]
fn what_is_typed_comes_back() {
    let server = Server::start();
    let home = Home::new();
    let mut client = at_prompt(&home, &[&server.ws_url("/ws")]);
    client.type_line("hello");
    client.wait_for("< hello");
    client.type_line("//slash");
    client.wait_for("< /slash");
    client.type_line("/dance");
    client.wait_for("/dance is no command");
    client.type_line("/help");
    client.wait_for("/binary FILE");
    client.type_line("/ping tide");
    client.wait_for("< pong: tide");
    // Faster than anybody types: a paste of several lines.
    client.type_bytes(b"one\rtwo\rthree\r");
    client.wait_for("< three");
    assert_eq!(client.output().count("< one"), 1);
    assert_eq!(client.output().count("< two"), 1);
    leave(&mut client);
}

#[test]
fn a_file_goes_as_one_message() {
    let server = Server::start();
    let home = Home::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    fs::write(home.path().join("file"), bytes).expect("written");
    fs::write(home.path().join("text"), "a\nb").expect("written");
    let mut client = at_prompt(&home, &[&server.ws_url("/ws")]);
    client.type_line("/binary file");
    client.wait_for("< binary, 1000000 bytes: 00 01 02 03");
    client.type_line("/text file");
    client.wait_for("file: not UTF-8");
    client.type_line("/text text");
    client.wait_for("< a");
    client.type_line("/binary nowhere");
    client.wait_for("nowhere: No such file");
    assert_eq!(client.press_until_exit(CTRL_D).code(), Some(0));
    client.wait_for("Closed: 1000 (normal)");
}

#[test]
fn pings_of_the_server_are_shown() {
    let server = Server::builder().env("HEARTBEAT_INTERVAL", "100ms").start();
    let url = server.ws_url("/ws");
    let home = Home::new();
    let mut client = at_prompt(&home, &[&url]);
    client.wait_for("< ping");
    leave(&mut client);
    let mut client = at_prompt(&home, &[&url, "--show-ping-pong=off"]);
    client.type_line("/ping unseen");
    client.type_line("seen");
    client.wait_for("< seen");
    assert_eq!(client.output().count("< p"), 0);
    leave(&mut client);
    // In a pipe they are on stderr, where they are asked for.
    let (_, output, errors) = Home::new().run(&[&url, "-P", "-w", "1"]);
    assert_eq!(output, "");
    assert!(errors.contains("tidegate: ping"), "{errors}");
}

#[test]
fn lines_are_kept_for_the_next_time() {
    let server = Server::start();
    let url = server.ws_url("/ws");
    let home = Home::new();
    let mut client = at_prompt(&home, &[&url]);
    client.type_line("remember me");
    client.wait_for("< remember me");
    client.type_line(" but not this");
    client.wait_for("<  but not this");
    leave(&mut client);
    let file = home.path().join(".local/state/tidegate/client_history");
    let kept = fs::read_to_string(&file).expect("a history");
    assert!(kept.contains("remember me") && !kept.contains("but not this"));
    for path in [&file, file.parent().expect("a directory")] {
        let mode = fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    let mut client = at_prompt(&home, &[&url]);
    client.type_bytes(UP);
    client.type_bytes(b"\r");
    client.wait_for("< remember me");
    leave(&mut client);
    let other = Home::new();
    let mut client = at_prompt(&other, &[&url, "--no-history"]);
    client.type_line("hello");
    client.wait_for("< hello");
    leave(&mut client);
    assert_eq!(fs::read_dir(other.path()).expect("a home").count(), 0);
}

#[test]
fn a_server_does_not_steer_the_terminal() {
    let address = fake::serve_messages(|socket, _, _| {
        let hostile = "\u{1b}[2J\u{9b}31mx\r\n> fake\u{7}";
        socket.send(Message::text(hostile)).expect("written");
        socket.send(Message::Ping(hostile.into())).expect("written");
        let reason = CloseFrame {
            code: CloseCode::Library(4000),
            reason: "\u{1b}]0;title\u{7}".into(),
        };
        socket.close(Some(reason)).expect("written");
        true
    });
    let home = Home::new();
    let mut client = at_prompt(&home, &[&format!("ws://{address}/")]);
    client.type_line("go");
    assert_eq!(client.wait_exit().code(), Some(40));
    let shown = client.output().text();
    assert!(shown.contains(r"< \u{1b}[2J\u{9b}31mx"), "{shown:?}");
    assert!(shown.contains("\n  > fake\\u{7}"), "{shown:?}");
    assert!(shown.contains(r"4000: \u{1b}]0;title\u{7}"), "{shown:?}");
    for sequence in ["\u{1b}[2J", "\u{9b}", "\u{1b}]0;", "\u{7}"] {
        assert!(!shown.contains(sequence), "{sequence:?} in {shown:?}");
    }
    // Neither where nobody types, nor in what goes wrong.
    let refusal =
        fake::bare_accept("HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\n\u{1b}[2Jno!");
    let mut client = home.at_terminal(&[&format!("ws://{refusal}/"), "-x", "hello"]);
    assert_eq!(client.wait_exit().code(), Some(1));
    let shown = client.output().text();
    assert!(shown.contains(r"\u{1b}[2Jno!"), "{shown:?}");
    for (option, says) in [
        ("--raw", "would let a server steer this terminal"),
        ("--wait=1", "--wait is for --execute and pipes"),
        ("--binary", "--binary is for --execute and pipes"),
    ] {
        let mut client = home.at_terminal(&["ws://localhost/", option]);
        client.wait_for(says);
        assert_eq!(client.wait_exit().code(), Some(2));
    }
}

#[test]
fn colours_are_there_where_they_are_wanted() {
    let server = Server::start();
    let url = server.ws_url("/ws");
    let home = Home::new();
    for (arguments, is_coloured) in [(&[&url[..]][..], true), (&[&url[..], "--no-color"], false)] {
        let mut command = home.terminal_command(arguments);
        command.env_remove("NO_COLOR");
        let mut client = Peer::start(command);
        client.wait_for("Connected to ");
        client.type_line("hello");
        let line = client.wait_for("< hello");
        assert_eq!(line.contains("\u{1b}[36m< hello"), is_coloured, "{line:?}");
        leave(&mut client);
    }
}

#[test]
fn a_terminal_that_can_do_nothing_is_enough() {
    let server = Server::start();
    let home = Home::new();
    let mut command = home.terminal_command(&[&server.ws_url("/ws")]);
    command.env("TERM", "dumb");
    let mut client = Peer::start(command);
    client.wait_for("Connected to ");
    client.type_line("hello");
    client.wait_for("< hello");
    client.type_line("/ping x");
    client.wait_for("< pong: x");
    assert_eq!(client.press_until_exit(CTRL_D).code(), Some(0));
    assert!(!client.output().text().contains('\u{1b}'));
}

#[test]
fn the_terminal_is_left_as_it_was() {
    let server = Server::start();
    let (echo, mute) = (server.ws_url("/ws"), mute());
    for (url, status) in [
        (&echo[..], 0),
        // Does not answer Close, so that it takes one key more.
        (&mute, 130),
        // Over before it begins.
        ("ws://127.0.0.1:1/ --no-reconnect", 1),
    ] {
        let home = Home::new();
        let line = format!(
            "sh -c 'trap : INT; stty -a >before; \"{}\" client {url}; status=$?; trap \"\" INT; stty -a >after; exit $status'",
            env!("CARGO_BIN_EXE_tidegate"),
        );
        let mut command = on_terminal(&line);
        command.env("HOME", home.path()).current_dir(home.path());
        let mut client = Peer::start(command);
        if status != 1 {
            client.wait_for("Connected to ");
        }
        let left = match status {
            130 => client.press_until_exit(b"\x03"),
            0 => {
                client.type_bytes(b"\x03");
                client.wait_exit()
            }
            _ => client.wait_exit(),
        };
        assert_eq!(left.code(), Some(status));
        let state = |name: &str| fs::read_to_string(home.path().join(name)).expect("stty's");
        assert!(state("before").contains("speed"));
        assert_eq!(state("before"), state("after"), "{url}");
        let shown = client.output().text();
        let last = |mode: &str| shown.rfind(mode).expect("bracketed paste");
        assert!(last("\u{1b}[?2004l") > last("\u{1b}[?2004h"), "{url}");
    }
}
