//! `tidegate client` against the real server, and against servers that misbehave: in pipes here, on terminals and across losses
//! in the modules.

#[path = "client/closes.rs"]
mod closes;
mod common;
#[path = "client/document.rs"]
mod document;
#[path = "bench/fake.rs"]
mod fake;
#[path = "client/handshakes.rs"]
mod handshakes;
#[path = "client/losses.rs"]
mod losses;
#[path = "client/stage.rs"]
mod stage;
#[path = "client/terminal.rs"]
mod terminal;

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::server::Server;
use rustix::process::{Pid, Signal, kill_process};
use stage::{Home, told};
use tungstenite::Message;

/// What is sent is answered long before that, also on a loaded machine.
const WAIT: &str = "1";

#[test]
fn lines_go_out_and_come_back() {
    let server = Server::start();
    let home = Home::new();
    let mut client = home.start(&[&server.ws_url("/ws"), "--wait", WAIT]);
    client.type_bytes("one\n\r\nthree \u{1f30a}\r\nlast, without an end".as_bytes());
    client.end_input();
    assert_eq!(client.wait_exit().code(), Some(0));
    assert_eq!(
        client.output().text(),
        "one\n\nthree \u{1f30a}\nlast, without an end\n"
    );
    let notes = client.errors().text();
    assert!(
        notes.starts_with("tidegate: Connected to ws://127.0.0.1:"),
        "{notes}"
    );
    assert!(
        notes.ends_with("tidegate: Closed: 1000 (normal)\n"),
        "{notes}"
    );
}

#[test]
fn a_line_is_answered_while_the_pipe_is_open() {
    let server = Server::start();
    let home = Home::new();
    let mut client = home.start(&[&server.ws_url("/ws")]);
    for line in ["first", "second"] {
        client.type_line(line);
        client.wait_for(line);
    }
}

#[test]
fn a_large_input_comes_back_whole() {
    let server = Server::start();
    let url = server.ws_url("/ws");
    let line = "0123456789abcdef".repeat(60_000);
    for compression in [&[][..], &["--no-compress"]] {
        let home = Home::new();
        let mut input = tempfile::tempfile().expect("a file");
        for _ in 0..20 {
            writeln!(input, "{line}").expect("written");
        }
        std::io::Seek::rewind(&mut input).expect("rewound");
        let output = home.path().join("output");
        let arguments = [&[&url[..], "-q"], compression].concat();
        let mut child = home
            .command(&arguments)
            .stdin(input)
            .stdout(fs::File::create(&output).expect("a file"))
            .spawn()
            .expect("starts");
        let status = common::server::wait_child(&mut child, common::DEADLINE);
        assert_eq!(status.and_then(|status| status.code()), Some(0));
        let output = fs::read_to_string(&output).expect("text");
        assert_eq!(output.lines().count(), 20);
        assert!(output.lines().all(|echo| echo == line));
    }
}

#[test]
fn given_messages_are_sent_and_answered() {
    let server = Server::start();
    let url = server.ws_url("/ws");
    let run = |arguments: &[&str]| {
        let arguments = [&[&url, "-q", "-w", WAIT], arguments].concat();
        Home::new().run(&arguments)
    };
    let expect = |output: &str| (0, output.to_owned(), String::new());
    assert_eq!(
        run(&["-x", "a", "--execute", "b\n\x1bc"]),
        expect("a\nb\\n\\u{1b}c\n")
    );
    assert_eq!(run(&["-x", "a\nb", "--raw"]), expect("a\nb\n"));
    assert_eq!(run(&["-x", "ab", "--binary"]), expect("YWI=\n"));
    assert_eq!(
        run(&["-x", "ab", "-x", "cd", "--binary", "--raw"]),
        expect("abcd\n"),
        "but for the last line end, which is the harness's"
    );
    // Nothing is no message.
    assert_eq!(run(&[]), expect(""));
    let (_, output, _) = run(&["-x", "a", "--timestamps"]);
    assert_eq!(output.len(), "2026-11-21T20:00:00.000Z a\n".len());
}

#[test]
fn bytes_that_are_no_text_need_binary() {
    let server = Server::start();
    let url = server.ws_url("/ws");
    for (arguments, status, output) in [(&[][..], 2, "ok\n"), (&["--binary"], 0, "b2s=\n/w==\n")] {
        let arguments = [&[&url[..], "-q", "-w", WAIT], arguments].concat();
        let home = Home::new();
        let mut client = home.start(&arguments);
        client.type_bytes(b"ok\n");
        client.wait_for(output.lines().next().expect("a line"));
        client.type_bytes(b"\xff\n");
        client.end_input();
        assert_eq!(client.wait_exit().code(), Some(status));
        assert_eq!(client.output().text(), output);
        let is_told = client.errors().text().contains("line 2: not UTF-8");
        assert_eq!(is_told, status == 2);
    }
}

#[test]
fn an_input_that_is_too_large_is_refused() {
    let server = Server::start();
    let arguments = [&server.ws_url("/ws"), "-x", &"x".repeat(300)[..]];
    let limit = ["--max-message-size", "200"];
    let (status, output, errors) = Home::new().run(&[&arguments[..], &limit].concat());
    assert_eq!((status, &output[..]), (2, ""));
    assert!(errors.contains("larger than 200 bytes"), "{errors}");
}

#[test]
fn answers_are_waited_for_as_long_as_is_said() {
    // Answers a message after a while.
    let address = fake::serve_messages(|socket, _, message| {
        // A Close is answered by the next call.
        if !message.is_close() {
            std::thread::sleep(Duration::from_millis(400));
            socket.send(message).expect("written");
        }
        true
    });
    let url = format!("ws://{address}/");
    let run = |wait: &[&str]| Home::new().run(&[&[&url, "-q", "-x", "late"], wait].concat());
    assert_eq!(told(&run(&[])), (0, "late\n"));
    assert_eq!(run(&["-w", "0"]).1, "");
    assert_eq!(told(&run(&["-w", "2000ms"])), (0, "late\n"));
    let home = Home::new();
    let client = home.start(&[&url, "-x", "late", "-w", "forever"]);
    client.wait_for("late");
}

#[test]
fn random_numbers_come_at_their_interval() {
    let server = Server::start();
    let home = Home::new();
    let mut command = home.command(&[&server.ws_url("/ws"), "--random"]);
    command.env("MESSAGE_INTERVAL", "50");
    let began = Instant::now();
    let mut client = common::peer::Peer::start(command);
    let mut position = 0;
    for _ in 0..5 {
        let (next, line) = client.wait_after(position, common::DEADLINE, |_| true);
        line.parse::<u32>().expect("a number comes back");
        position = next;
    }
    assert!(began.elapsed() >= Duration::from_millis(200));
    let id = Pid::from_raw(client.id().cast_signed()).expect("a process");
    kill_process(id, Signal::INT).expect("the client runs");
    assert_eq!(client.wait_exit().code(), Some(0));
    assert!(client.errors().text().contains("Closed: 1000 (normal)"));
}

#[test]
fn who_reads_no_more_ends_it() {
    let server = Server::start();
    let home = Home::new();
    let mut client = home
        .command(&[
            &server.ws_url("/ws"),
            "--random",
            "--message-interval",
            "20",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    drop(client.stdout.take());
    let status = common::server::wait_child(&mut client, common::DEADLINE);
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[test]
fn a_reader_that_is_slow_slows_the_server() {
    // Sends until it can send no more for a while; then says how much that was.
    let (sender, receiver) = std::sync::mpsc::channel();
    let address = fake::serve(move |stream| {
        let limit = Some(Duration::from_secs(1));
        stream.set_write_timeout(limit).expect("an option");
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        let mut sent = 0;
        let message = "x".repeat(60_000);
        while sent < 200 << 20 && socket.send(Message::text(message.clone())).is_ok() {
            sent += message.len();
        }
        sender.send(sent).expect("the test waits");
    });
    let home = Home::new();
    let mut client = home
        .command(&[&format!("ws://{address}/"), "-w", "forever"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let sent = receiver.recv_timeout(common::DEADLINE).expect("it stops");
    let status = fs::read_to_string(format!("/proc/{}/status", client.id())).expect("it runs");
    client.kill().expect("it runs");
    client.wait().expect("it ends");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: usize = peak
        .and_then(|peak| peak.trim().strip_suffix(" kB"))
        .and_then(|peak| peak.parse().ok())
        .expect("VmHWM is in kB");
    assert!(sent < 32 << 20, "{sent} bytes were taken");
    assert!(peak < 64 << 10, "{peak} kB");
}

#[test]
fn a_reader_that_is_slow_misses_nothing() {
    let server = Server::start();
    let home = Home::new();
    // More than waits anywhere on the way.
    let line = "0123456789abcdef".repeat(4_096);
    let input = home.path().join("input");
    fs::write(&input, format!("{line}\n").repeat(200)).expect("written");
    let mut client = home
        .command(&[&server.ws_url("/ws"), "-q", "--no-compress"])
        .stdin(fs::File::open(&input).expect("a file"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut output = client.stdout.take().expect("piped");
    // Longer than the silence that means that everything is answered.
    std::thread::sleep(Duration::from_millis(1_500));
    let mut echo = String::new();
    std::io::Read::read_to_string(&mut output, &mut echo).expect("text");
    assert_eq!(echo.lines().count(), 200);
    assert!(echo.lines().all(|echo| echo == line));
    let status = common::server::wait_child(&mut client, common::DEADLINE);
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[test]
fn who_leaves_while_nobody_reads_is_heard() {
    let server = Server::start();
    let home = Home::new();
    let input = home.path().join("input");
    fs::write(&input, format!("{}\n", "x".repeat(60_000)).repeat(400)).expect("written");
    let mut client = home
        .command(&[&server.ws_url("/ws"), "-q", "--no-compress"])
        .stdin(fs::File::open(&input).expect("a file"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    // It stands still once all is full.
    let read = || fs::read_to_string(format!("/proc/{}/io", client.id())).expect("it runs");
    let mut last = String::new();
    common::eventually("a pipe that is full", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = read();
        std::mem::replace(&mut last, now) == last
    });
    let id = Pid::from_child(&client);
    kill_process(id, Signal::INT).expect("the client runs");
    let status = common::server::wait_child(&mut client, common::DEADLINE);
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[test]
fn settings_come_from_the_environment_and_from_files() {
    let server = Server::start();
    let url = server.ws_url("/ws");
    let home = Home::new();
    let arguments = ["-q", "-w", WAIT, "-x", "hello"];
    fs::write(
        home.path().join("tidegate.toml"),
        format!("ws_url = {url:?}\n"),
    )
    .expect("written");
    assert_eq!(told(&home.run(&arguments)), (0, "hello\n"));
    fs::write(home.path().join(".env"), "WS_URL=ws://127.0.0.1:1/\n").expect("written");
    assert_eq!(home.run(&arguments).0, 1);
    let mut command = home.command(&arguments);
    command.env("WS_URL", &url);
    let (status, output, _) = common::server::run_to_end(command, common::DEADLINE);
    assert_eq!((status.code(), &output[..]), (Some(0), "hello\n"));
    let mut command = home.command(&["--random"]);
    command.env("MESSAGE_INTERVAL", "never");
    let (status, _, errors) = common::server::run_to_end(command, common::DEADLINE);
    assert_eq!(status.code(), Some(2));
    assert!(
        errors.contains("MESSAGE_INTERVAL = \"never\": must be a time"),
        "{errors}"
    );
}

#[test]
fn wrong_usage() {
    for (arguments, says) in [
        (&["http://localhost/"][..], "it begins with ws:// or wss://"),
        (&["ws://localhost/", "-H", "x"], "'Name: value'"),
        (&["--random", "-x", "a"], "cannot be used with"),
        (&["--message-interval", "1s"], "--random"),
        (&["-w", "soon"], "such as 500ms"),
        (&["--max-message-size", "2GiB"], "a size from"),
        (&["--reconnect", "--no-reconnect"], "cannot be used with"),
        (&["--insecure"], "for wss://"),
    ] {
        let (status, output, errors) = Home::new().run(arguments);
        assert_eq!((status, &output[..]), (2, ""), "{arguments:?}: {errors}");
        assert!(errors.contains(says), "{arguments:?}: {errors}");
    }
}
