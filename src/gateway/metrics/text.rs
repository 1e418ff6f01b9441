//! The two forms of the text: OpenMetrics, and the older one of Prometheus for whoever does not ask for the other.

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::ProcessFigures;
use super::families::Figures;
use crate::gateway::node::Node;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus.
    Classic,
}

impl Format {
    /// What fits the values of a request's `Accept` (RFC 9110 section 12.5.1): OpenMetrics has to be named.
    pub(in crate::gateway) fn accepted<'v>(values: impl Iterator<Item = &'v [u8]>) -> Self {
        let mut ranges = values.flat_map(|value| value.split(|byte| *byte == b','));
        if ranges.any(wants_open_metrics) {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }

    pub(in crate::gateway) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

fn wants_open_metrics(range: &[u8]) -> bool {
    let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let is_named = parts
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case(b"application/openmetrics-text"));
    let is_unwanted = |part: &[u8]| {
        let weight = part.strip_prefix(b"q=").or(part.strip_prefix(b"Q="));
        weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
    };
    is_named && !parts.any(is_unwanted)
}

/// All metrics of the node as they are now.
pub(super) fn of(node: &Arc<Node>, process: ProcessFigures, format: Format) -> String {
    let mut registry = Registry::default();
    let node = Arc::clone(node);
    registry.register_collector(Box::new(Figures { node, process }));
    let mut text = String::with_capacity(32 * 1024);
    encode(&mut text, &registry).expect("writing to a string cannot fail");
    match format {
        Format::OpenMetrics => text,
        Format::Classic => classic(&text),
    }
}

/// The same in the older form: there a counter is described under the name that its samples have, and units and the end of the
/// text are not told.
fn classic(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 1024);
    let mut help = "";
    for line in text.lines() {
        if line.starts_with("# HELP ") {
            help = line;
        } else if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').unwrap_or((described, ""));
            let suffix = if kind == "counter" { "_total" } else { "" };
            let meaning = help.splitn(4, ' ').nth(3).unwrap_or_default();
            written.extend(["# HELP ", name, suffix, " ", meaning, "\n"]);
            written.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            written.extend([line, "\n"]);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_are_for_who_names_them() {
        for (values, expected) in [
            (&[][..], Format::Classic),
            (&["*/*"], Format::Classic),
            (&["text/plain", "application/json"], Format::Classic),
            (&["application/openmetrics-text"], Format::OpenMetrics),
            (
                &[
                    "text/html",
                    "Application/OpenMetrics-Text ; version=1.0.0 ;q=0.75,text/plain",
                ],
                Format::OpenMetrics,
            ),
            (&["application/openmetrics-text;q=0, */*"], Format::Classic),
            (&["application/openmetrics-text; Q=0.000"], Format::Classic),
            (&["application/openmetrics-textile"], Format::Classic),
        ] {
            let bytes = values.iter().map(|value| value.as_bytes());
            assert_eq!(Format::accepted(bytes), expected, "{values:?}");
        }
    }

    #[test]
    fn the_older_form_describes_samples_by_their_names() {
        let text = "# HELP a_bytes What comes.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n\
                    a_bytes_total{x=\"# TYPE\"} 1\n# HELP b B b.\n# TYPE b gauge\nb 2\n# EOF\n";
        let expected = "# HELP a_bytes_total What comes.\n# TYPE a_bytes_total counter\n\
                        a_bytes_total{x=\"# TYPE\"} 1\n# HELP b B b.\n# TYPE b gauge\nb 2\n";
        assert_eq!(classic(text), expected);
    }
}
