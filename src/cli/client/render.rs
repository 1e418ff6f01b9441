//! From what happened to bytes for a terminal or a pipe. What a server says is never let steer a terminal.

use std::fmt::Write;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::machine::Line;
use crate::server::logging::escape::Escaped;
use crate::timestamp;
use crate::websocket::protocol::MessageKind;

/// Bytes of a text that a terminal is shown.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a binary message, or of a ping, that are shown in hexadecimal.
const HEX_BYTES_MAX: usize = 32;

/// What lines look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Standard output is a terminal.
    pub(super) is_terminal: bool,
    /// `<` in front of what came and `>` of what went; notes among them.
    pub(super) has_marks: bool,
    pub(super) has_colours: bool,
    pub(super) has_pings: bool,
    pub(super) has_times: bool,
    pub(super) is_raw: bool,
    pub(super) is_quiet: bool,
}

/// Where a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Error,
}

/// SGR parameters.
const DIM: &str = "2";
const RED: &str = "31";
const YELLOW: &str = "33";
const CYAN: &str = "36";

impl Style {
    /// The bytes of `line`, its end included; `None` where it is not shown.
    pub(super) fn render(&self, line: &Line, now: SystemTime) -> Option<(Stream, Vec<u8>)> {
        let (stream, colour, mark, text) = match line {
            Line::Message(_, payload) if self.is_raw => return Some(raw(line, payload)),
            Line::Message(kind, payload) => (Stream::Out, CYAN, "< ", self.message(*kind, payload)),
            Line::Ping(_) | Line::Pong(_) if !self.has_pings => return None,
            Line::Ping(payload) => (self.aside(), DIM, "< ", control("ping", payload)),
            Line::Pong(payload) => (self.aside(), DIM, "< ", control("pong", payload)),
            Line::Sent(_) if !self.has_marks => return None,
            Line::Sent(text) => (Stream::Out, "", "> ", text.clone()),
            Line::Help(text) => (self.aside(), DIM, "", lines(text)),
            Line::Note(_) if self.is_quiet => return None,
            Line::Note(text) => (self.aside(), DIM, "", lines(text)),
            Line::Problem(text) => {
                let colour = if self.has_marks { YELLOW } else { RED };
                (self.aside(), colour, "", lines(text))
            }
        };
        let mut out = String::with_capacity(text.len() + 40);
        if self.has_times {
            timestamp::push_rfc3339(&mut out, now);
            out.push(' ');
        }
        if stream == Stream::Error {
            out += "tidegate: ";
        }
        let mark = if self.has_marks { mark } else { "" };
        if self.has_colours && !colour.is_empty() {
            write!(out, "\x1b[{colour}m{mark}{text}\x1b[0m").expect("a String takes all");
        } else {
            out += mark;
            out += &text;
        }
        out.push('\n');
        Some((stream, out.into_bytes()))
    }

    /// Where goes what is no message.
    fn aside(&self) -> Stream {
        if self.has_marks {
            Stream::Out
        } else {
            Stream::Error
        }
    }

    fn message(&self, kind: MessageKind, payload: &[u8]) -> String {
        match (kind, std::str::from_utf8(payload)) {
            (MessageKind::Text, Ok(text)) if self.is_terminal => {
                let shown = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
                let mut out = lines(shown);
                if shown.len() < text.len() {
                    write!(out, "… ({} bytes in all)", text.len()).expect("a String takes all");
                }
                out
            }
            (MessageKind::Text, Ok(text)) => one_line(text),
            _ if self.has_marks => {
                format!("binary, {} bytes: {}", payload.len(), hex(payload))
            }
            _ => STANDARD.encode(payload),
        }
    }
}

fn raw(line: &Line, payload: &[u8]) -> (Stream, Vec<u8>) {
    let mut bytes = payload.to_vec();
    if matches!(line, Line::Message(MessageKind::Text, _)) {
        bytes.push(b'\n');
    }
    (Stream::Out, bytes)
}

/// For a terminal: each line escaped, and those behind the first set in, so that none can be taken for another message.
fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out += "\n  ";
        }
        let line = line
            .strip_suffix('\r')
            .unwrap_or(line)
            .replace('\t', "    ");
        write!(out, "{}", Escaped(&line)).expect("a String takes all");
    }
    out
}

/// For a pipe: one line whatever it holds. Only what JSON has no use for within a string is changed.
fn one_line(text: &str) -> String {
    let is_control = |c: char| c < ' ' && c != '\t';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_control) {
        let (plain, tail) = rest.split_at(at);
        let (control, tail) = tail.split_at(1);
        write!(out, "{plain}{}", Escaped(control)).expect("a String takes all");
        rest = tail;
    }
    out + rest
}

fn control(name: &str, payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok("") => name.to_owned(),
        Ok(text) if !text.contains(char::is_control) => format!("{name}: {}", Escaped(text)),
        _ => format!("{name}: {}", hex(payload)),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (index, byte) in bytes.iter().take(HEX_BYTES_MAX).enumerate() {
        let space = if index > 0 { " " } else { "" };
        write!(out, "{space}{byte:02x}").expect("a String takes all");
    }
    if bytes.len() > HEX_BYTES_MAX {
        out += " …";
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const PIPE: Style = Style {
        is_terminal: false,
        has_marks: false,
        has_colours: false,
        has_pings: false,
        has_times: false,
        is_raw: false,
        is_quiet: false,
    };
    const TERMINAL: Style = Style {
        is_terminal: true,
        has_marks: true,
        has_pings: true,
        ..PIPE
    };

    fn text(text: &str) -> Line {
        Line::Message(MessageKind::Text, text.into())
    }

    fn binary(bytes: &[u8]) -> Line {
        Line::Message(MessageKind::Binary, bytes.to_vec())
    }

    fn shown(style: Style, line: &Line) -> Option<(Stream, String)> {
        let (stream, bytes) = style.render(line, UNIX_EPOCH)?;
        Some((stream, String::from_utf8(bytes).expect("UTF-8")))
    }

    fn out(style: Style, line: &Line) -> String {
        let (stream, text) = shown(style, line).expect("shown");
        assert_eq!(stream, Stream::Out);
        text
    }

    #[test]
    fn no_message_steers_a_terminal() {
        for (hostile, harmless) in [
            ("\u{1b}[2Jx", "< \\u{1b}[2Jx\n"),
            ("\u{9b}31m", "< \\u{9b}31m\n"),
            ("a\u{8}b\u{7f}", "< a\\u{8}b\\u{7f}\n"),
            ("\u{202e}abc", "< \\u{202e}abc\n"),
            ("a\r\n< b\rc", "< a\n  < b\\rc\n"),
            ("a\tb", "< a    b\n"),
        ] {
            assert_eq!(out(TERMINAL, &text(hostile)), harmless);
            for line in [Line::Note(hostile.into()), Line::Problem(hostile.into())] {
                assert!(!out(TERMINAL, &line).contains(['\u{1b}', '\u{9b}', '\r', '\u{202e}']));
            }
            let ping = Line::Ping(hostile.into());
            assert!(!out(TERMINAL, &ping).contains(['\u{1b}', '\u{9b}', '\r', '\u{202e}']));
        }
    }

    #[test]
    fn a_pipe_gets_one_line_a_message() {
        for (message, line) in [
            (
                "{\"a\": \"\u{200e}\u{7f}ä\"}",
                "{\"a\": \"\u{200e}\u{7f}ä\"}\n",
            ),
            ("a\tb", "a\tb\n"),
            ("a\r\nb", "a\\r\\nb\n"),
            ("\u{1b}[2J", "\\u{1b}[2J\n"),
            ("", "\n"),
        ] {
            assert_eq!(out(PIPE, &text(message)), line);
        }
        assert_eq!(out(PIPE, &binary(b"\0\xff")), "AP8=\n");
    }

    #[test]
    fn raw_is_what_came() {
        let raw = Style {
            is_raw: true,
            ..PIPE
        };
        assert_eq!(out(raw, &text("\u{1b}\n")), "\u{1b}\n\n");
        assert_eq!(out(raw, &binary(b"ab")), "ab");
    }

    #[test]
    fn a_terminal_is_shown_the_head_of_what_is_large() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(
            out(TERMINAL, &binary(&bytes[..2])),
            "< binary, 2 bytes: 00 01\n"
        );
        let line = out(TERMINAL, &binary(&bytes));
        assert!(line.starts_with("< binary, 256 bytes: 00 01 ") && line.ends_with("1f …\n"));
        let line = out(TERMINAL, &text(&"ä".repeat(100_000)));
        assert!(line.ends_with("ä… (200000 bytes in all)\n"));
        assert!(line.len() < TEXT_BYTES_MAX + 100);
    }

    #[test]
    fn asides_leave_the_output_of_a_pipe_alone() {
        let note = Line::Note("x".into());
        let expected = Some((Stream::Error, "tidegate: x\n".to_owned()));
        assert_eq!(shown(PIPE, &note), expected);
        assert_eq!(shown(PIPE, &Line::Ping(b"x".to_vec())), None);
        assert_eq!(shown(PIPE, &Line::Sent("1".into())), None);
        let quiet = Style {
            is_quiet: true,
            ..PIPE
        };
        assert_eq!(shown(quiet, &note), None);
        assert!(shown(quiet, &Line::Problem("x".into())).is_some());
    }

    #[test]
    fn colours_and_times_go_round_the_text() {
        let style = Style {
            has_colours: true,
            has_times: true,
            ..TERMINAL
        };
        assert_eq!(
            out(style, &text("x")),
            "1970-01-01T00:00:00.000Z \u{1b}[36m< x\u{1b}[0m\n"
        );
        assert_eq!(
            out(style, &Line::Pong(b"\x01".to_vec())),
            "1970-01-01T00:00:00.000Z \u{1b}[2m< pong: 01\u{1b}[0m\n"
        );
    }
}
