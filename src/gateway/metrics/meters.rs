//! What a worker counts: each count has a place of its own, so that nothing is looked up and no name comes from outside.

use std::sync::Arc;

use super::super::config::EndpointKind;
use crate::metrics::Counter;
use crate::reactor::{CloseReason, Initiator, LoopMeters};
use crate::socketio::engine::handshake::Refusal;
use crate::websocket::close::CloseCode;

/// Statuses that an opening handshake is answered with; the last stands for all others.
pub(super) const STATUSES: [&str; 10] = [
    "101", "400", "401", "403", "404", "405", "426", "429", "503", "other",
];

/// Paths that the server answers itself, as its documents write them; the last stands for all others.
pub(super) const PATHS: [&str; 23] = [
    "/health",
    "/metrics",
    "/api/health",
    "/api/openapi.json",
    "/api/asyncapi.json",
    "/api/status",
    "/api/connections",
    "/api/stats/connections",
    "/api/redis-info",
    "/api/rooms",
    "/api/rooms/{room}",
    "/api/users/{id}",
    "/api/send-to-user",
    "/api/message",
    "/api/publish",
    "/api/broadcast",
    "/api/batch",
    "/api/join",
    "/api/leave",
    "/api/ask",
    "/api/disconnect",
    "/socket.io/",
    "other",
];

/// Classes of statuses.
pub(super) const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Close codes (RFC 6455 section 7.4): those that a Close may carry, the two that stand for none, the one of an expired token,
/// and the ranges of libraries and applications.
pub(in crate::gateway) const CODES: [&str; 17] = [
    "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012",
    "1013", "1014", "3xxx", "4401", "4xxx",
];

/// How many codes there are of refusals of Engine.IO.
pub(super) const REFUSALS: usize = 6;

/// Who ends connections.
pub(in crate::gateway) const INITIATORS: [&str; 3] = ["peer", "server", "transport"];

/// What an answer is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Asked {
    /// A WebSocket.
    Handshake,
    /// The place of a path in [`PATHS`].
    Path(u8),
}

impl Asked {
    /// A request that is none, or for nothing that is known.
    pub(in crate::gateway) const OTHER: Self = Self::Path(PATHS.len() as u8 - 1);
    /// A request of long-polling, whatever the path of the route.
    pub(in crate::gateway) const SOCKETIO: Self = Self::Path(PATHS.len() as u8 - 2);

    /// A plain request for `path`.
    pub(in crate::gateway) fn plain(path: &str) -> Self {
        let one_of_many = [
            ("/api/rooms/", "/api/rooms/{room}"),
            ("/api/users/", "/api/users/{id}"),
        ];
        let begun = one_of_many.iter().find(|(from, _)| path.starts_with(from));
        let name = begun.map_or(path, |(_, name)| name);
        let place = PATHS.iter().position(|known| *known == name);
        place.map_or(Self::OTHER, |place| Self::Path(place as u8))
    }
}

/// The counts of one worker, which alone writes them. Aligned so that no other worker writes near them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerMeters {
    /// Those of its loop.
    pub turns: Arc<LoopMeters>,
    pub(in crate::gateway) messages_received: Counter,
    pub(in crate::gateway) messages_sent: Counter,
    /// How often somebody came to miss messages of a room.
    pub(in crate::gateway) gaps: Counter,
    /// Sessions that have changed from long-polling to a WebSocket.
    pub(in crate::gateway) socketio_upgrades: Counter,
    /// Requests of Engine.IO that were refused, by the code of the answer.
    refused: [Counter; REFUSALS],
    opened: [Counter; EndpointKind::ALL.len()],
    handshakes: [Counter; STATUSES.len()],
    answers: [[Counter; CLASSES.len()]; PATHS.len()],
    closes: [[Counter; CODES.len()]; INITIATORS.len()],
}

impl WorkerMeters {
    /// A message has come and goes back.
    #[inline]
    pub(in crate::gateway) fn count_echo(&self) {
        self.messages_received.add(1);
        self.messages_sent.add(1);
    }

    /// A request of Engine.IO was refused.
    pub(in crate::gateway) fn count_refused(&self, refusal: Refusal) {
        self.refused[usize::from(refusal.code())].add(1);
    }

    /// Those that were refused with that code.
    pub(super) fn refused(&self, code: usize) -> u64 {
        self.refused[code].get()
    }

    /// An endpoint has got a WebSocket.
    pub(in crate::gateway) fn count_opened(&self, kind: EndpointKind) {
        self.opened[kind as usize].add(1);
    }

    /// WebSockets that endpoints have got.
    pub(super) fn opened(&self) -> u64 {
        self.opened.iter().map(Counter::get).sum()
    }

    /// A request has been answered.
    pub(in crate::gateway) fn count_answer(&self, asked: Asked, status: u16) {
        match asked {
            Asked::Handshake => {
                let place = STATUSES
                    .iter()
                    .position(|known| known.parse() == Ok(status));
                self.handshakes[place.unwrap_or(STATUSES.len() - 1)].add(1);
            }
            Asked::Path(path) => {
                let class = usize::from(status / 100).clamp(2, 5) - 2;
                self.answers[usize::from(path)][class].add(1);
            }
        }
    }

    /// Handshakes that were answered with the status at that place of [`STATUSES`].
    pub(super) fn handshakes(&self, status: usize) -> u64 {
        self.handshakes[status].get()
    }

    /// Answers to requests for the path at that place of [`PATHS`], by the class of their status.
    pub(super) fn answers(&self, path: usize, class: usize) -> u64 {
        self.answers[path][class].get()
    }

    /// A WebSocket has ended.
    pub(in crate::gateway) fn count_closed(&self, reason: CloseReason) {
        let initiator = match reason.initiator {
            Initiator::Peer => 0,
            Initiator::Server => 1,
            Initiator::Transport => 2,
        };
        self.closes[initiator][place_of(reason.code)].add(1);
    }

    /// WebSockets that one of [`INITIATORS`] has ended with one of [`CODES`].
    pub(in crate::gateway) fn closed(&self, initiator: usize, code: usize) -> u64 {
        self.closes[initiator][code].get()
    }
}

/// Of a close code in [`CODES`].
fn place_of(code: CloseCode) -> usize {
    let written = |name: &str| CODES.iter().position(|known| *known == name);
    let exact = CODES.iter().position(|known| known.parse() == Ok(code.0));
    let range = match code.0 {
        3000..=3999 => "3xxx",
        4000..=4999 => "4xxx",
        // No Close carries another, and whoever ends a connection says one of those.
        _ => "1006",
    };
    exact.or_else(|| written(range)).unwrap_or(0)
}

/// Whether a connection that ends with the code at that place of [`CODES`] ends by an error: of the protocol, of a limit, of the
/// network. What applications close with is theirs to judge.
pub(super) fn is_error(code: usize) -> bool {
    matches!(
        CODES[code],
        "1002" | "1003" | "1006" | "1007" | "1008" | "1009" | "1010" | "1011" | "1013" | "1014"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_place() {
        for (code, name) in [
            (1000, "1000"),
            (1005, "1005"),
            (1014, "1014"),
            (1015, "1006"),
            (2999, "1006"),
            (3000, "3xxx"),
            (4401, "4401"),
            (4400, "4xxx"),
            (4999, "4xxx"),
        ] {
            assert_eq!(CODES[place_of(CloseCode(code))], name, "{code}");
        }
        for code in (0..=u16::MAX).map(CloseCode) {
            let is_named = CODES.contains(&code.to_string().as_str());
            assert!(is_named || code.0 >= 3000 || !code.is_on_the_wire());
        }
    }

    #[test]
    fn every_path_of_the_document_has_a_place() {
        let document = include_str!("../api/openapi.json");
        let document: serde_json::Value = serde_json::from_str(document).expect("JSON");
        let paths = document["paths"].as_object().expect("an object");
        // Engine.IO is no call of the API, and has no place in its document.
        let known = PATHS
            .iter()
            .filter(|path| !["other", "/socket.io/"].contains(*path));
        assert_eq!(known.count(), paths.len());
        for path in paths.keys() {
            let asked = Asked::plain(&path.replace(['{', '}'], "x"));
            assert_ne!(asked, Asked::OTHER, "{path}");
            assert_eq!(asked, Asked::plain(path));
        }
        for path in ["", "/", "/api/roomsx", "/api/x", "/health/", "other"] {
            assert_eq!(Asked::plain(path), Asked::OTHER, "{path}");
        }
    }

    #[test]
    fn answers_are_counted_under_what_was_asked() {
        let meters = WorkerMeters::default();
        for status in [101, 503, 431, 599] {
            meters.count_answer(Asked::Handshake, status);
        }
        let handshakes: Vec<_> = (0..STATUSES.len())
            .map(|at| meters.handshakes(at))
            .collect();
        assert_eq!(handshakes, [1, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        for status in [200, 204, 404, 503] {
            meters.count_answer(Asked::OTHER, status);
        }
        let answers: Vec<_> = (0..CLASSES.len())
            .map(|class| meters.answers(PATHS.len() - 1, class))
            .collect();
        assert_eq!(answers, [2, 0, 1, 1]);
    }
}
