//! Somebody at a terminal, with `wscat` on it.

use super::common::DEADLINE;
use super::common::example::{is_like, json};
use super::common::peer::{Peer, on_terminal};

/// A terminal of its own.
pub(crate) struct Terminal {
    peer: Peer,
    /// Behind the last line that was looked at.
    position: usize,
}

impl Terminal {
    /// Runs a command of the shell there.
    pub(crate) fn begin(command: &str) -> Self {
        Self {
            peer: Peer::start(on_terminal(command)),
            position: 0,
        }
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        self.peer.type_line(line);
    }

    /// The next line that `wscat` shows has to be this one.
    pub(crate) fn expect(&mut self, expected: &str) {
        let line = self.next();
        let is_it = match (line.strip_prefix("< "), expected.strip_prefix("< ")) {
            (Some(told), Some(shown)) => is_like(&json(told), &json(shown)),
            _ => line == expected,
        };
        assert!(
            is_it,
            "the terminal shows\n{line}\nwhere\n{expected}\nis due"
        );
    }

    /// Nothing has come that was not looked at: what is asked now is answered first.
    pub(crate) fn expect_silence(&mut self) {
        self.type_line(r#"{"type":"ping"}"#);
        self.expect(r#"< {"type":"pong","timestamp":"…"}"#);
    }

    fn next(&mut self) -> String {
        let is_shown = |line: &str| !visible(line).starts_with('>');
        let (position, line) = self.peer.wait_after(self.position, DEADLINE, is_shown);
        self.position = position;
        visible(&line)
    }
}

/// What is to be seen of a line in the end: without colours and movements of the cursor, and without what stood there before
/// `wscat` went back to the beginning. What is typed stands behind a prompt.
fn visible(line: &str) -> String {
    const ESCAPE: char = '\u{1b}';
    let last = line.rsplit('\r').next().unwrap_or_default();
    let mut text = String::new();
    let mut rest = last;
    while let Some((before, sequence)) = rest.split_once(ESCAPE) {
        text += before;
        let end = sequence.find(|letter: char| letter.is_ascii_alphabetic());
        rest = end.map_or("", |end| &sequence[end + 1..]);
    }
    text + rest
}
