//! A log record to one line, as text or JSON. No output and no clock lives here.

use std::fmt::Write;
use std::time::SystemTime;

use log::kv::{self, VisitSource, VisitValue};

use super::escape::{Limited, Style};
use crate::limits::{LOG_MESSAGE_BYTES_MAX, LOG_VALUE_BYTES_MAX};
use crate::server::settings::LogFormat;
use crate::timestamp;

/// Room that most lines fit.
const LINE_BYTES_USUAL: usize = 256;
/// Fields that every JSON line has; a value of such a name gets an underscore.
const JSON_FIELDS: [&str; 4] = ["ts", "level", "target", "message"];

/// The line of `record`, its line feed included.
pub(super) fn format(record: &log::Record<'_>, now: SystemTime, format: LogFormat) -> String {
    let mut line = String::with_capacity(LINE_BYTES_USUAL);
    match format {
        LogFormat::Text => text(&mut line, record, now),
        LogFormat::Json => json(&mut line, record, now),
    }
    line.push('\n');
    line
}

fn text(line: &mut String, record: &log::Record<'_>, now: SystemTime) {
    timestamp::push_rfc3339(line, now);
    line.push_str(match record.level() {
        log::Level::Error => " ERROR ",
        log::Level::Warn => " WARN  ",
        log::Level::Info => " INFO  ",
        log::Level::Debug => " DEBUG ",
        log::Level::Trace => " TRACE ",
    });
    value(
        line,
        Style::Message,
        format_args!("{}", short(record.target())),
    );
    line.push_str(": ");
    Limited::new(line, LOG_MESSAGE_BYTES_MAX, Style::Message).write(*record.args());
    // Only a source of the caller's own making can fail; the line stands without the rest then.
    let _ = record.key_values().visit(&mut TextPairs(line));
}

fn json(line: &mut String, record: &log::Record<'_>, now: SystemTime) {
    line.push_str("{\"ts\":\"");
    timestamp::push_rfc3339(line, now);
    let level = match record.level() {
        log::Level::Error => "error",
        log::Level::Warn => "warn",
        log::Level::Info => "info",
        log::Level::Debug => "debug",
        log::Level::Trace => "trace",
    };
    put(line, format_args!("\",\"level\":\"{level}\",\"target\":\""));
    value(
        line,
        Style::Json,
        format_args!("{}", short(record.target())),
    );
    line.push_str("\",\"message\":\"");
    Limited::new(line, LOG_MESSAGE_BYTES_MAX, Style::Json).write(*record.args());
    line.push('"');
    let _ = record.key_values().visit(&mut JsonPairs(line));
    line.push('}');
}

/// The crate's own name says nothing in its own log.
fn short(target: &str) -> &str {
    target.strip_prefix("tidegate::").unwrap_or(target)
}

fn value(line: &mut String, style: Style, arguments: std::fmt::Arguments<'_>) {
    Limited::new(line, LOG_VALUE_BYTES_MAX, style).write(arguments);
}

fn put(line: &mut String, arguments: std::fmt::Arguments<'_>) {
    line.write_fmt(arguments).expect("a String takes all");
}

/// ` key=value`, quoted where the value is empty or holds a space, `=`, a quote or a backslash.
struct TextPairs<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for TextPairs<'_> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, pair: kv::Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push(' ');
        value(self.0, Style::Message, format_args!("{key}"));
        self.0.push('=');
        let start = self.0.len();
        value(self.0, Style::Quoted, format_args!("{pair}"));
        let written = &self.0[start..];
        if written.is_empty() || written.contains([' ', '=', '"', '\\']) {
            self.0.insert(start, '"');
            self.0.push('"');
        }
        Ok(())
    }
}

/// `,"key":value`: numbers and booleans as such, all else as strings.
struct JsonPairs<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for JsonPairs<'_> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, pair: kv::Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push_str(",\"");
        value(self.0, Style::Json, format_args!("{key}"));
        if JSON_FIELDS.contains(&key.as_str()) {
            self.0.push('_');
        }
        self.0.push_str("\":");
        pair.visit(JsonValue(self.0))
    }
}

struct JsonValue<'a>(&'a mut String);

impl VisitValue<'_> for JsonValue<'_> {
    fn visit_any(&mut self, any: kv::Value<'_>) -> Result<(), kv::Error> {
        self.0.push('"');
        value(self.0, Style::Json, format_args!("{any}"));
        self.0.push('"');
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.0.push_str("null");
        Ok(())
    }

    fn visit_u64(&mut self, number: u64) -> Result<(), kv::Error> {
        put(self.0, format_args!("{number}"));
        Ok(())
    }

    fn visit_i64(&mut self, number: i64) -> Result<(), kv::Error> {
        put(self.0, format_args!("{number}"));
        Ok(())
    }

    fn visit_f64(&mut self, number: f64) -> Result<(), kv::Error> {
        if number.is_finite() {
            put(self.0, format_args!("{number}"));
            Ok(())
        } else {
            self.visit_null()
        }
    }

    fn visit_bool(&mut self, on: bool) -> Result<(), kv::Error> {
        put(self.0, format_args!("{on}"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: u64, ms: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(ms)
    }

    fn line_of(shape: LogFormat, message: &str, pairs: &[(&str, kv::Value<'_>)]) -> String {
        format(
            &log::Record::builder()
                .args(format_args!("{message}"))
                .level(log::Level::Info)
                .target("tidegate::server::acceptor")
                .key_values(&pairs)
                .build(),
            at(1_772_323_200, 42),
            shape,
        )
    }

    #[test]
    fn text_lines() {
        let pairs = [
            ("connection", kv::Value::from(17_u64)),
            ("address", kv::Value::from("192.0.2.1:55")),
            ("reason", kv::Value::from("going \"away\"\nnow")),
            ("empty", kv::Value::from("")),
            ("path", kv::Value::from("a\\b")),
        ];
        assert_eq!(
            line_of(LogFormat::Text, "closed\r\nby peer", &pairs),
            "2026-03-01T00:00:00.042Z INFO  server::acceptor: closed\\r\\nby peer connection=17 \
             address=192.0.2.1:55 reason=\"going \\\"away\\\"\\nnow\" empty=\"\" path=\"a\\\\b\"\n"
        );
    }

    #[test]
    fn json_lines() {
        let pairs = [
            ("connection", kv::Value::from(17_u64)),
            ("change", kv::Value::from(-2_i64)),
            ("load", kv::Value::from(0.5)),
            ("bad", kv::Value::from(f64::NAN)),
            ("tls", kv::Value::from(true)),
            ("message", kv::Value::from("\u{202e}\"x\u{1b}")),
        ];
        let line = line_of(LogFormat::Json, "a \"b\"\n\u{2028}", &pairs);
        assert_eq!(
            line,
            "{\"ts\":\"2026-03-01T00:00:00.042Z\",\"level\":\"info\",\"target\":\"server::acceptor\",\
             \"message\":\"a \\\"b\\\"\\n\\u2028\",\"connection\":17,\"change\":-2,\"load\":0.5,\"bad\":null,\
             \"tls\":true,\"message_\":\"\\u202e\\\"x\\u001b\"}\n"
        );
        let parsed: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(parsed["message"], "a \"b\"\n\u{2028}");
    }

    #[test]
    fn long_lines_are_cut_and_stay_whole() {
        let long = "\"".repeat(LOG_MESSAGE_BYTES_MAX);
        let pairs = [("value", kv::Value::from(long.as_str()))];
        let line = line_of(LogFormat::Json, &long, &pairs);
        assert!(line.len() < LOG_MESSAGE_BYTES_MAX + LOG_VALUE_BYTES_MAX + 200);
        let parsed: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert!(
            parsed["message"]
                .as_str()
                .is_some_and(|text| text.ends_with("\"…"))
        );
        assert!(
            parsed["value"]
                .as_str()
                .is_some_and(|text| text.ends_with("\"…"))
        );
    }

    #[test]
    fn one_record_is_one_line_whatever_it_holds() {
        let all: String = (0..=0x2fff).filter_map(char::from_u32).collect();
        for shape in [LogFormat::Text, LogFormat::Json] {
            let pairs = [(all.as_str(), kv::Value::from(all.as_str()))];
            let line = line_of(shape, &all, &pairs);
            let harmful = line
                .char_indices()
                .filter(|(_, c)| c.is_control())
                .map(|(at, _)| at);
            assert_eq!(harmful.collect::<Vec<_>>(), [line.len() - 1]);
        }
    }
}
