//! What a run showed: one JSON object for machines, a table for people.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::arguments::Common;
use super::latency::{Latency, PERCENTILES};
use super::process::Memory;
use super::work::Window;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Message,
    Delivery,
    Connection,
}

impl Unit {
    fn singular(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Delivery => "delivery",
            Self::Connection => "connection",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Message => "messages",
            Self::Delivery => "deliveries",
            Self::Connection => "connections",
        }
    }
}

/// The result of a run.
#[derive(Debug)]
pub(super) struct Report {
    object: Map<String, Value>,
    /// Lines of the table: a name, and what stands beside it.
    lines: Vec<(String, String)>,
    pub(super) latency: Option<Latency>,
    /// What the table and the plot are called.
    title: String,
    /// What makes the result doubtful.
    pub(super) warning: Option<String>,
    unit: Unit,
}

impl Report {
    pub(super) fn new(command: &str, common: &Common, connections: usize, unit: Unit) -> Self {
        let mut object = Map::new();
        object.insert("command".to_owned(), json!(command));
        object.insert("url".to_owned(), json!(common.url));
        object.insert("connections".to_owned(), json!(connections));
        object.insert("size".to_owned(), json!(common.size));
        object.insert("unit".to_owned(), json!(unit.singular()));
        let bytes = match unit {
            Unit::Connection => String::new(),
            Unit::Message | Unit::Delivery => format!(", {} bytes", grouped(common.size as f64)),
        };
        let connections = grouped(connections as f64);
        let title = format!("{command} {}, {connections} connections{bytes}", common.url);
        Self {
            object,
            lines: Vec::new(),
            latency: None,
            title,
            warning: None,
            unit,
        }
    }

    /// Adds what only this command has.
    pub(super) fn add(&mut self, name: &str, value: Value) {
        self.object.insert(name.to_owned(), value);
    }

    /// Adds what makes this run another than one of the same command to the title.
    pub(super) fn entitle(&mut self, more: &str) {
        self.title.push_str(", ");
        self.title.push_str(more);
    }

    /// For the plot.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// Adds a line of the table.
    pub(super) fn line(&mut self, name: &str, text: String) {
        self.lines.push((name.to_owned(), text));
    }

    /// Adds what the window showed.
    pub(super) fn window(&mut self, window: &Window, latency: &Latency, pids: &[u32]) {
        let Window { seconds, count, .. } = *window;
        let per_second = count as f64 / seconds;
        self.add("seconds", json!(seconds));
        self.add("count", json!(count));
        self.add("count_in_all", json!(window.count_in_all));
        self.add("per_second", json!(per_second));
        self.line(
            "throughput",
            format!(
                "{} {} a second ({} in {seconds:.2} s)",
                grouped(per_second),
                self.unit.plural(),
                grouped(count as f64)
            ),
        );
        let singular = self.unit.singular();
        if let Some(server) = &window.server {
            let memory = server.memory.unwrap_or_default();
            self.add(
                "server",
                json!({
                    "pids": pids,
                    "cpu_us_each": server.each(count),
                    "cpu_share": server.share(seconds),
                    "wait_share": server.wait_share(seconds),
                    "rss_bytes": memory.resident,
                    "pss_bytes": memory.proportional,
                }),
            );
            self.line(
                "server",
                format!(
                    "{:.3} µs CPU a {singular}, {} of a core busy, {} waiting for one",
                    server.each(count),
                    percent(server.share(seconds)),
                    percent(server.wait_share(seconds))
                ),
            );
            self.line("", format!("{} resident", mebibytes(memory.resident)));
        }
        let load = &window.load;
        self.add(
            "load",
            json!({ "cpu_us_each": load.each(count), "cpu_share": load.share(seconds) }),
        );
        self.line(
            "load",
            format!(
                "{:.3} µs CPU a {singular}, {} of a core busy",
                load.each(count),
                percent(load.share(seconds))
            ),
        );
        self.add("latency_us", latency.json());
        self.latency = Some(latency.clone());
    }

    /// Adds what connections cost: memory before the first, with all, and after a message on each.
    pub(super) fn memory(
        &mut self,
        seconds: f64,
        [before, connected, spoken]: [Memory; 3],
        count: usize,
    ) {
        self.add("seconds", json!(seconds));
        self.add("count", json!(count));
        self.add("count_in_all", json!(count));
        self.add("per_second", json!(count as f64 / seconds));
        self.add("before", before.json());
        self.line("before", format!("{} resident", mebibytes(before.resident)));
        for (name, memory) in [("connected", connected), ("spoken", spoken)] {
            let (rss, pss) = memory.each_since(before, count);
            self.add(name, memory.json());
            self.add(&format!("each_{name}"), json!({ "rss": rss, "pss": pss }));
            self.line(
                name,
                format!(
                    "{} resident, {} bytes a connection",
                    mebibytes(memory.resident),
                    grouped(rss)
                ),
            );
        }
    }

    /// For machines.
    pub(super) fn json(&self) -> String {
        format!("{}\n", Value::Object(self.object.clone()))
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for (name, line) in &self.lines {
            let _ = writeln!(text, "  {name:<12}{line}");
        }
        if let Some(latency) = &self.latency {
            let _ = writeln!(text, "\n  latency     {:>14}", "µs");
            let rows = [("min", latency.min()), ("mean", latency.mean())]
                .into_iter()
                .chain(PERCENTILES.map(|(name, share)| (name, latency.at(share))))
                .chain([("max", latency.max())]);
            for (name, microseconds) in rows {
                let name = name.replace('_', ".");
                let _ = writeln!(text, "    {name:<10}{:>14}", one_digit(microseconds));
            }
        }
        text
    }
}

/// A whole number with its thousands apart.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number.round() < 0.0 {
        text.insert(0, '-');
    }
    text
}

fn one_digit(number: f64) -> String {
    let tenths = (number * 10.0).round();
    format!("{}.{:.0}", grouped((tenths / 10.0).floor()), tenths % 10.0)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (number, text) in [
            (0.0, "0"),
            (999.4, "999"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-1_234.0, "-1,234"),
            (-0.4, "0"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(one_digit(1_999.96), "2,000.0");
        assert_eq!(one_digit(0.25), "0.3");
        assert_eq!(mebibytes(3 << 19), "1.5 MiB");
    }
}
