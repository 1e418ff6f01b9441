//! Text to values and back: sizes, durations, numbers, switches, lists. Pure: no source and no system call
//! lives here.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Whole {
        /// Smallest.
        least: u64,
        /// Largest.
        most: u64,
        /// Whether 0 and `off` are allowed below `least`, as "off".
        zero_is_off: bool,
    },
    /// Bytes: `1048576`, `64k`, `1MiB` (powers of 1024) or `1MB` (powers of 1000).
    Size {
        /// Smallest, bytes.
        least: u64,
        /// Largest, bytes.
        most: u64,
        /// Whether 0 and `off` are allowed below `least`, as "off".
        zero_is_off: bool,
    },
    /// `500ms`, `30s`, `2m`, `1h`; a plain number is seconds.
    Duration {
        /// Shortest, milliseconds.
        least_ms: u64,
        /// Longest, milliseconds.
        most_ms: u64,
        /// Whether 0 is allowed below `least_ms`, as "off".
        zero_is_off: bool,
    },
    /// `on` or `off` (`true`, `false`, `yes`, `no`, `1`, `0`).
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A comma list.
    List {
        /// What its entries are.
        of: &'static str,
        /// How an empty one is shown.
        empty: &'static str,
    },
    /// A file or directory.
    Path,
    /// Any text, of that many bytes at least where there is one.
    Text {
        /// Shortest, bytes.
        least: usize,
    },
}

impl Kind {
    /// What is allowed, to follow "must be".
    pub fn allowed(&self) -> String {
        match *self {
            Self::Whole {
                least,
                most,
                zero_is_off,
            } => format!("{}a whole number from {least} to {most}", off(zero_is_off)),
            Self::Size {
                least,
                most,
                zero_is_off,
            } => format!(
                "{}a size from {} to {}, such as 65536, 64k, 1MiB or 1MB",
                off(zero_is_off),
                Size(least),
                Size(most)
            ),
            Self::Duration {
                least_ms,
                most_ms,
                zero_is_off,
            } => format!(
                "{}a time from {} to {}, such as 500ms, 30s or 2m (a plain number is seconds)",
                off(zero_is_off),
                Milliseconds(least_ms),
                Milliseconds(most_ms)
            ),
            Self::Switch => "on or off".to_owned(),
            Self::Word(words) => one_of(words),
            Self::List { of, .. } => format!("a comma list of {of}"),
            Self::Path => "a path".to_owned(),
            Self::Text { least } => format!("a text of {least} bytes or more"),
        }
    }

    /// What stands for the value in help: `--port <NUMBER>`.
    pub fn placeholder(&self) -> &'static str {
        match self {
            Self::Whole { .. } => "NUMBER",
            Self::Size { .. } => "SIZE",
            Self::Duration { .. } => "TIME",
            Self::Switch => "on|off",
            Self::Word(_) => "WORD",
            Self::List { .. } => "LIST",
            Self::Path => "PATH",
            Self::Text { .. } => "TEXT",
        }
    }
}

fn off(is_allowed: bool) -> &'static str {
    if is_allowed { "0 (off) or " } else { "" }
}

fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A value of one of the kinds. `Display` writes it as a person would, in one canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// No value.
    Absent,
    /// See [`Kind::Whole`].
    Whole(u64),
    /// Bytes.
    Size(u64),
    /// Milliseconds are its finest part.
    Duration(Duration),
    /// On is true.
    Switch(bool),
    /// The word as the table writes it.
    Word(&'static str),
    /// Entries, trimmed, none empty.
    List(Vec<String>),
    /// Not empty.
    Path(PathBuf),
    /// Not empty.
    Text(String),
}

impl Value {
    /// Parses `text` (spaces around it do not count) as a value of `kind`.
    ///
    /// # Errors
    /// What is allowed, as a clause that begins with "must be".
    pub fn parse(kind: &Kind, text: &str) -> Result<Self, String> {
        let text = text.trim();
        let value = match *kind {
            Kind::Whole {
                least,
                most,
                zero_is_off,
            } => parse_whole(or_zero(text, zero_is_off))
                .filter(|number| (least..=most).contains(number) || (zero_is_off && *number == 0))
                .map(Self::Whole),
            Kind::Size {
                least,
                most,
                zero_is_off,
            } => parse_size(or_zero(text, zero_is_off))
                .filter(|bytes| (least..=most).contains(bytes) || (zero_is_off && *bytes == 0))
                .map(Self::Size),
            Kind::Duration {
                least_ms,
                most_ms,
                zero_is_off,
            } => parse_milliseconds(or_zero(text, zero_is_off))
                .filter(|ms| (least_ms..=most_ms).contains(ms) || (zero_is_off && *ms == 0))
                .map(|ms| Self::Duration(Duration::from_millis(ms))),
            Kind::Switch => parse_switch(text).map(Self::Switch),
            Kind::Word(words) => words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text))
                .map(|word| Self::Word(word)),
            Kind::List { .. } => Some(Self::List(parse_list(text))),
            Kind::Path | Kind::Text { .. } if text.is_empty() => Some(Self::Absent),
            Kind::Path => Some(Self::Path(PathBuf::from(text))),
            Kind::Text { least } => (text.len() >= least).then(|| Self::Text(text.to_owned())),
        };
        value.ok_or_else(|| format!("must be {}", kind.allowed()))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => Ok(()),
            Self::Whole(number) => number.fmt(f),
            Self::Size(bytes) => Size(*bytes).fmt(f),
            Self::Duration(time) => {
                Milliseconds(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).fmt(f)
            }
            Self::Switch(on) => f.write_str(if *on { "on" } else { "off" }),
            Self::Word(word) => f.write_str(word),
            Self::List(entries) => f.write_str(&entries.join(",")),
            Self::Path(path) => path.display().fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Bytes, written in the largest unit that divides them.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// Milliseconds, written in the largest unit that divides them.
struct Milliseconds(u64);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0;
        match ms {
            0 => f.write_str("0s"),
            _ if ms.is_multiple_of(3_600_000) => write!(f, "{}h", ms / 3_600_000),
            _ if ms.is_multiple_of(60_000) => write!(f, "{}m", ms / 60_000),
            _ if ms.is_multiple_of(1_000) => write!(f, "{}s", ms / 1_000),
            _ => write!(f, "{ms}ms"),
        }
    }
}

/// `off` where that is what zero means.
fn or_zero(text: &str, zero_is_off: bool) -> &str {
    match text {
        _ if !zero_is_off => text,
        off if off.eq_ignore_ascii_case("off") => "0",
        other => other,
    }
}

/// Digits only: `u64::from_str` would take a sign.
fn parse_whole(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn split_unit(text: &str) -> (&str, String) {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    (number, unit.trim_start().to_ascii_lowercase())
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    parse_whole(number)?.checked_mul(factor)
}

fn parse_milliseconds(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit.as_str() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    let mut ms = parse_whole(whole)?.checked_mul(factor)?;
    let mut place = factor;
    for digit in fraction.bytes() {
        // Finer than a millisecond is no time that the timers can keep.
        if !digit.is_ascii_digit() || !place.is_multiple_of(10) {
            return None;
        }
        place /= 10;
        ms = ms.checked_add(u64::from(digit - b'0') * place)?;
    }
    Some(ms)
}

fn parse_switch(text: &str) -> Option<bool> {
    const ON: [&str; 4] = ["on", "true", "yes", "1"];
    const OFF: [&str; 4] = ["off", "false", "no", "0"];
    if ON.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        Some(true)
    } else if OFF.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        Some(false)
    } else {
        None
    }
}

/// The entries of a comma list; empty ones (a trailing comma) do not count.
fn parse_list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1_048_576),
            ("64k", 65_536),
            ("64K", 65_536),
            ("64KiB", 65_536),
            ("10m", 10_485_760),
            ("1MiB", 1_048_576),
            ("1 MiB", 1_048_576),
            ("1mib", 1_048_576),
            ("1MB", 1_000_000),
            ("2kB", 2_000),
            ("1g", 1 << 30),
            ("3GB", 3_000_000_000),
            ("1TiB", 1 << 40),
            ("1tb", 1_000_000_000_000),
            ("17B", 17),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "k",
            "-1",
            "+1",
            "1.5m",
            "1x",
            "1 m b",
            "0x10",
            "1e6",
            "18446744073709551616",
            "16777216TiB",
            "１",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("30", 30_000),
            ("30s", 30_000),
            ("30 s", 30_000),
            ("0", 0),
            ("500ms", 500),
            ("2m", 120_000),
            ("2min", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("1.5s", 1_500),
            ("0.25", 250),
            ("1.5m", 90_000),
            ("0.001", 1),
        ] {
            assert_eq!(parse_milliseconds(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "s",
            "-1s",
            "1.s",
            ".5s",
            "1.5.2s",
            "0.0001s",
            "1.5ms",
            "5us",
            "1w",
            "18446744073709551615h",
        ] {
            assert_eq!(parse_milliseconds(text), None, "{text}");
        }
    }

    #[test]
    fn switches_lists_words_and_paths() {
        for text in ["on", "ON", "true", "yes", "1"] {
            assert_eq!(Value::parse(&Kind::Switch, text), Ok(Value::Switch(true)));
        }
        for text in ["off", "False", "no", "0"] {
            assert_eq!(Value::parse(&Kind::Switch, text), Ok(Value::Switch(false)));
        }
        assert_eq!(
            Value::parse(&Kind::Switch, "2"),
            Err("must be on or off".to_owned())
        );

        let list = Kind::List {
            of: "things",
            empty: "none",
        };
        let expected = vec!["a".to_owned(), "b c".to_owned()];
        assert_eq!(Value::parse(&list, " a , b c ,"), Ok(Value::List(expected)));
        assert_eq!(Value::parse(&list, " , "), Ok(Value::List(Vec::new())));

        let word = Kind::Word(&["text", "json"]);
        assert_eq!(Value::parse(&word, "JSON"), Ok(Value::Word("json")));
        assert_eq!(
            Value::parse(&word, "xml"),
            Err("must be text or json".to_owned())
        );

        let text = Kind::Text { least: 3 };
        assert_eq!(Value::parse(&text, ""), Ok(Value::Absent));
        assert_eq!(Value::parse(&text, " abc "), Ok(Value::Text("abc".into())));
        assert_eq!(
            Value::parse(&text, "ab"),
            Err("must be a text of 3 bytes or more".into())
        );
        assert_eq!(Value::parse(&Kind::Path, ""), Ok(Value::Absent));
        assert_eq!(
            Value::parse(&Kind::Path, "/x"),
            Ok(Value::Path("/x".into()))
        );
    }

    #[test]
    fn numbers_keep_their_range_and_say_it() {
        let kind = Kind::Whole {
            least: 9,
            most: 15,
            zero_is_off: false,
        };
        assert_eq!(Value::parse(&kind, " 15 "), Ok(Value::Whole(15)));
        for text in [
            "8",
            "16",
            "+9",
            "-9",
            "9.0",
            "",
            "nine",
            "99999999999999999999",
        ] {
            assert_eq!(
                Value::parse(&kind, text),
                Err("must be a whole number from 9 to 15".to_owned()),
                "{text}"
            );
        }
        assert_eq!(
            Value::parse(
                &Kind::Size {
                    least: 1,
                    most: 1 << 30,
                    zero_is_off: false,
                },
                "0"
            ),
            Err("must be a size from 1 to 1GiB, such as 65536, 64k, 1MiB or 1MB".to_owned())
        );
        let limit = Kind::Whole {
            least: 5,
            most: 9,
            zero_is_off: true,
        };
        for text in ["0", "off", "OFF"] {
            assert_eq!(Value::parse(&limit, text), Ok(Value::Whole(0)), "{text}");
        }
        assert_eq!(
            Value::parse(&limit, "4"),
            Err("must be 0 (off) or a whole number from 5 to 9".to_owned())
        );
        let heartbeat = Kind::Duration {
            least_ms: 100,
            most_ms: 60_000,
            zero_is_off: true,
        };
        assert_eq!(
            Value::parse(&heartbeat, "0"),
            Ok(Value::Duration(Duration::ZERO))
        );
        assert_eq!(
            Value::parse(&heartbeat, "99ms"),
            Err(
                "must be 0 (off) or a time from 100ms to 1m, such as 500ms, 30s or 2m \
                 (a plain number is seconds)"
                    .to_owned()
            )
        );
    }

    #[test]
    fn canonical_forms_parse_back_to_themselves() {
        for bytes in [0, 1, 1_000, 1_024, 1_536, 1 << 20, 3 << 30, 1 << 40] {
            assert_eq!(parse_size(&Size(bytes).to_string()), Some(bytes));
        }
        for ms in [
            0, 1, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_000,
        ] {
            assert_eq!(parse_milliseconds(&Milliseconds(ms).to_string()), Some(ms));
        }
    }
}
