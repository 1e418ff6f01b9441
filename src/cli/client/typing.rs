//! From what was typed or came through a pipe to what the machine takes. Files are read here, in the thread of the input.

use std::fs::File;
use std::io::{BufRead, Read};

use super::machine::{Line, Typed};
use crate::limits::{CLOSE_REASON_BYTES_MAX, CONTROL_PAYLOAD_BYTES_MAX};
use crate::websocket::close::CloseCode;
use crate::websocket::protocol::MessageKind;

/// What `/help` shows.
pub(super) const HELP: &str = "\
A line is sent as a text message; one that begins with // as a message that begins with /.
/ping [TEXT]            send a ping
/pong [TEXT]            send a pong that nobody asked for
/binary FILE            send the file as a binary message
/text FILE              send the file as a text message
/close [CODE [REASON]]  close and leave (1000 without a code)
/help                   show this
Ctrl-C or Ctrl-D leaves.";

/// What a line at the prompt means; a command that cannot be done is told.
pub(super) fn command(line: &str, message_bytes_max: usize) -> Typed {
    let Some(command) = line.strip_prefix('/') else {
        return match line {
            "" => Typed::Nudge,
            line => Typed::Message(MessageKind::Text, line.into()),
        };
    };
    if command.starts_with('/') {
        return Typed::Message(MessageKind::Text, command.into());
    }
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    let done = match name {
        "ping" => control(rest).map(Typed::Ping),
        "pong" => control(rest).map(Typed::Pong),
        "close" => close(rest),
        "binary" | "file" => file(rest, MessageKind::Binary, message_bytes_max),
        "text" => file(rest, MessageKind::Text, message_bytes_max),
        "help" | "?" => Ok(Typed::Show(Line::Help(HELP))),
        _ => Err(format!(
            "/{name} is no command: /help shows them, // begins a message that begins with /"
        )),
    };
    done.unwrap_or_else(|why| Typed::Show(Line::Problem(why)))
}

fn control(text: &str) -> Result<Vec<u8>, String> {
    if text.len() > CONTROL_PAYLOAD_BYTES_MAX {
        return Err(format!(
            "pings and pongs have at most {CONTROL_PAYLOAD_BYTES_MAX} bytes"
        ));
    }
    Ok(text.into())
}

fn close(text: &str) -> Result<Typed, String> {
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    let code = match code {
        "" => CloseCode::NORMAL,
        code => code
            .parse()
            .ok()
            .map(CloseCode)
            .filter(|code| code.is_on_the_wire())
            .ok_or("close codes are 1000 to 1003, 1007 to 1014 and 3000 to 4999")?,
    };
    let reason = reason.trim();
    if reason.len() > CLOSE_REASON_BYTES_MAX {
        return Err(format!(
            "a reason has at most {CLOSE_REASON_BYTES_MAX} bytes"
        ));
    }
    Ok(Typed::Close(code, reason.to_owned()))
}

fn file(path: &str, kind: MessageKind, bytes_max: usize) -> Result<Typed, String> {
    if path.is_empty() {
        return Err("which file? /binary FILE or /text FILE".to_owned());
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| format!("{path}: {error}"))?;
    message(kind, bytes, bytes_max).map_err(|why| format!("{path}: {why}"))
}

/// A message, where it can be one.
///
/// # Errors
/// Text that is not UTF-8, too many bytes.
pub(super) fn message(
    kind: MessageKind,
    bytes: Vec<u8>,
    bytes_max: usize,
) -> Result<Typed, String> {
    if bytes.len() > bytes_max {
        return Err(format!(
            "larger than {bytes_max} bytes (--max-message-size)"
        ));
    }
    if kind == MessageKind::Text && std::str::from_utf8(&bytes).is_err() {
        return Err("not UTF-8; as a binary message it can be sent".to_owned());
    }
    Ok(Typed::Message(kind, bytes))
}

/// The next line of a pipe as a message, without its end (LF or CR LF); `Ended` behind the last one.
pub(super) fn line(
    input: &mut impl BufRead,
    number: usize,
    kind: MessageKind,
    bytes_max: usize,
) -> Typed {
    let mut bytes = Vec::new();
    // One byte more than a message of the largest size and CR LF: what is longer is too large in any case.
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(3);
    match input.take(limit).read_until(b'\n', &mut bytes) {
        Ok(0) => return Typed::Ended,
        Ok(_) => {}
        // It would be read again and again.
        Err(error) => return Typed::Bad(format!("standard input: {error}")),
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    message(kind, bytes, bytes_max)
        .unwrap_or_else(|why| Typed::Bad(format!("line {number}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 100;

    fn text(text: &str) -> Typed {
        Typed::Message(MessageKind::Text, text.into())
    }

    fn complaint(typed: Typed) -> String {
        match typed {
            Typed::Show(Line::Problem(why)) | Typed::Bad(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_at_the_prompt() {
        for (line, typed) in [
            ("hello", text("hello")),
            (" /hello", text(" /hello")),
            ("//hello", text("/hello")),
            ("", Typed::Nudge),
            ("/ping", Typed::Ping(Vec::new())),
            ("/ping  a b ", Typed::Ping(b"a b".to_vec())),
            ("/pong x", Typed::Pong(b"x".to_vec())),
            ("/close", Typed::Close(CloseCode::NORMAL, String::new())),
            (
                "/close 4001 so long",
                Typed::Close(CloseCode(4001), "so long".into()),
            ),
            ("/help", Typed::Show(Line::Help(HELP))),
        ] {
            assert_eq!(command(line, MAX), typed, "{line}");
        }
    }

    #[test]
    fn commands_that_cannot_be_done() {
        let long = "x".repeat(126);
        for (line, says) in [
            ("/dance".to_owned(), "/dance is no command"),
            (format!("/ping {long}"), "at most 125"),
            ("/close 1005".to_owned(), "close codes are"),
            ("/close x".to_owned(), "close codes are"),
            ("/close 70000".to_owned(), "close codes are"),
            (format!("/close 1000 {long}"), "at most 123"),
            ("/binary".to_owned(), "which file"),
            ("/binary /nowhere".to_owned(), "/nowhere: "),
            ("/text /".to_owned(), "/: "),
            ("/binary /dev/zero".to_owned(), "larger than 100 bytes"),
        ] {
            let why = complaint(command(&line, MAX));
            assert!(why.contains(says), "{line}: {why}");
        }
    }

    #[test]
    fn lines_of_a_pipe() {
        let mut input = &b"a\r\n\nb"[..];
        for expected in [text("a"), text(""), text("b"), Typed::Ended] {
            assert_eq!(line(&mut input, 1, MessageKind::Text, MAX), expected);
        }
        let fits = "x".repeat(MAX) + "\r\n";
        assert_eq!(
            line(&mut fits.as_bytes(), 1, MessageKind::Text, MAX),
            text(&"x".repeat(MAX))
        );
    }

    #[test]
    fn lines_that_cannot_be_sent() {
        let long = "x".repeat(MAX + 1) + "\n";
        let endless = "x".repeat(10 * MAX);
        for (bytes, says) in [
            (&b"\xff\n"[..], "line 7: not UTF-8"),
            (long.as_bytes(), "line 7: larger than 100 bytes"),
            (endless.as_bytes(), "line 7: larger than 100 bytes"),
        ] {
            let why = complaint(line(&mut &*bytes, 7, MessageKind::Text, MAX));
            assert!(why.contains(says), "{why}");
        }
        let bytes = line(&mut &b"\xff\n"[..], 1, MessageKind::Binary, MAX);
        assert_eq!(bytes, Typed::Message(MessageKind::Binary, vec![0xff]));
    }
}
