//! Makes any text harmless for one line of output. No output lives here.

use std::fmt::{self, Write};

/// Shows a text so that it stays one line and cannot steer a terminal: control characters (C0, DEL, C1), line and
/// paragraph separators and what turns the direction of writing come out as `\n`, `\r`, `\t` or `\u{1b}`.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(is_harmful) {
            let (plain, tail) = rest.split_at(at);
            f.write_str(plain)?;
            let mut characters = tail.chars();
            if let Some(harmful) = characters.next() {
                write_escape(f, harmful, Style::Message)?;
            }
            rest = characters.as_str();
        }
        f.write_str(rest)
    }
}

/// What besides the harmful characters is escaped, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Text on its own.
    Message,
    /// Text that may stand between quotes.
    Quoted,
    /// Text between the quotes of a JSON string (RFC 8259 section 7).
    Json,
}

/// Writes escaped text to the end of a line, up to a number of bytes; what is beyond is cut and an ellipsis says so.
/// Formatting stops there: a value that would print without end costs no more.
pub(super) struct Limited<'a> {
    out: &'a mut String,
    left: usize,
    style: Style,
    cut: bool,
}

impl<'a> Limited<'a> {
    pub(super) fn new(out: &'a mut String, bytes_max: usize, style: Style) -> Self {
        Self {
            out,
            left: bytes_max,
            style,
            cut: false,
        }
    }

    /// Writes `arguments`; a `Display` that fails leaves what it wrote.
    pub(super) fn write(mut self, arguments: fmt::Arguments<'_>) {
        if self.write_plain(arguments) {
            return;
        }
        let _ = self.write_fmt(arguments);
        if self.cut {
            self.out.push('…');
        }
    }

    /// What nearly every text comes to: nothing to escape, nothing to cut. Looks once at the whole of it; false, and nothing
    /// written, where it has to be looked at piece by piece.
    fn write_plain(&mut self, arguments: fmt::Arguments<'_>) -> bool {
        let start = self.out.len();
        let mut unchecked = Unchecked {
            out: self.out,
            left: self.left,
        };
        let is_plain = unchecked.write_fmt(arguments).is_ok()
            && is_plain_ascii(&self.out.as_bytes()[start..], self.style);
        if !is_plain {
            self.out.truncate(start);
        }
        is_plain
    }
}

/// Writes text as it is, up to a number of bytes, and fails where it is longer.
struct Unchecked<'a> {
    out: &'a mut String,
    left: usize,
}

impl Write for Unchecked<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.out.push_str(text);
        Ok(())
    }
}

impl Write for Limited<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let style = self.style;
        let special =
            |c: char| is_harmful(c) || (style != Style::Message && (c == '"' || c == '\\'));
        let mut rest = text;
        while !rest.is_empty() {
            let plain = &rest[..rest.find(special).unwrap_or(rest.len())];
            let taken = &plain[..plain.floor_char_boundary(self.left)];
            self.out.push_str(taken);
            self.left -= taken.len();
            rest = &rest[taken.len()..];
            if taken.len() < plain.len() {
                self.cut = true;
                return Err(fmt::Error);
            }
            let mut characters = rest.chars();
            if let Some(c) = characters.next() {
                let before = self.out.len();
                write_escape(self.out, c, style)?;
                let written = self.out.len() - before;
                if written > self.left {
                    self.out.truncate(before);
                    self.cut = true;
                    return Err(fmt::Error);
                }
                self.left -= written;
                rest = characters.as_str();
            }
        }
        Ok(())
    }
}

/// Whether `text` is ASCII in which no character is escaped.
fn is_plain_ascii(text: &[u8], style: Style) -> bool {
    let is_plain = |byte: u8| (b' '..0x7f).contains(&byte);
    let is_quote = |byte: u8| byte == b'"' || byte == b'\\';
    // No early exit: the loops become a few vector instructions.
    match style {
        Style::Message => text.iter().fold(true, |all, &byte| all & is_plain(byte)),
        Style::Quoted | Style::Json => text
            .iter()
            .fold(true, |all, &byte| all & is_plain(byte) & !is_quote(byte)),
    }
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{2028}' | '\u{2029}'
            // What turns the direction of writing (Unicode UAX 9): marks, embeddings, overrides, isolates.
            | '\u{61c}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn write_escape(out: &mut impl Write, c: char, style: Style) -> fmt::Result {
    match c {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '"' | '\\' => {
            out.write_char('\\')?;
            out.write_char(c)
        }
        // All of them lie in the first plane, so four digits do.
        _ if style == Style::Json => write!(out, "\\u{:04x}", u32::from(c)),
        _ => write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARMFUL: &str = "a\nb\rc\td\u{1b}[31me\u{0}f\u{7f}g\u{9b}h\u{2028}i\u{202e}j\u{2066}k";

    #[test]
    fn nothing_harmful_stays() {
        let shown = Escaped(HARMFUL).to_string();
        assert_eq!(
            shown,
            "a\\nb\\rc\\td\\u{1b}[31me\\u{0}f\\u{7f}g\\u{9b}h\\u{2028}i\\u{202e}j\\u{2066}k"
        );
        assert_eq!(
            Escaped("plain, \"quoted\" \\ ü 漢 🙂").to_string(),
            "plain, \"quoted\" \\ ü 漢 🙂"
        );
    }

    #[test]
    fn every_character_is_either_harmless_or_escaped() {
        for c in (0..=0x1_ffff).filter_map(char::from_u32) {
            let mut out = String::new();
            Limited::new(&mut out, 16, Style::Json).write(format_args!("{c}"));
            assert!(!out.chars().any(is_harmful), "U+{:04X}", u32::from(c));
            let back: String = serde_json::from_str(&format!("\"{out}\"")).expect("a JSON string");
            assert_eq!(back.chars().collect::<Vec<_>>(), [c]);
        }
    }

    #[test]
    fn limits_cut_between_characters_and_say_so() {
        let limited = |text: &str, bytes_max, style| {
            let mut out = String::from("> ");
            Limited::new(&mut out, bytes_max, style).write(format_args!("{text}!"));
            out
        };
        assert_eq!(limited("abc", 4, Style::Message), "> abc!");
        assert_eq!(limited("abcd", 4, Style::Message), "> abcd…");
        assert_eq!(limited("aüü", 4, Style::Message), "> aü…");
        assert_eq!(limited("abc\n", 4, Style::Message), "> abc…");
        assert_eq!(limited("ab\"", 4, Style::Json), "> ab\\\"…");
        assert_eq!(limited("a\\\"", 9, Style::Quoted), "> a\\\\\\\"!");
    }

    #[test]
    fn endless_values_are_stopped() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("more ")?;
                }
            }
        }
        let mut out = String::new();
        Limited::new(&mut out, 12, Style::Message).write(format_args!("{Endless}"));
        assert_eq!(out, "more more mo…");
    }
}
