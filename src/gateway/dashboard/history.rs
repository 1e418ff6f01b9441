//! The last hour in a fixed amount of memory: a row of figures every five seconds, and how connections ended minute by minute.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backend::Latency;
use crate::gateway::backend::Behind;
use crate::gateway::config::EndpointKind;
use crate::gateway::metrics::{CODES, INITIATORS, WorkerMeters};
use crate::gateway::node::Node;
use crate::gateway::tally::Limit;
use crate::hub::Kind;
use crate::metrics::BOUNDS_US;
use crate::timestamp;

/// Time between two rows.
pub(super) const STEP: Duration = Duration::from_secs(5);
/// Rows of an hour.
const ROWS_MAX: usize = 720;
/// Rows of a minute.
const ROWS_PER_MINUTE: usize = 12;
/// Minutes of an hour.
const MINUTES_MAX: usize = 60;
/// Buckets of the times of turns.
const BUCKETS: usize = BOUNDS_US.len() + 1;

/// What the process has done up to a time: sums that only grow.
#[derive(Debug, Clone)]
pub(super) struct Totals {
    pub(super) at: Instant,
    received: u64,
    sent: u64,
    received_bytes: u64,
    sent_bytes: u64,
    turns: [u64; BUCKETS],
    /// Time that each loop has worked.
    pub(super) busy: Vec<Duration>,
    /// How long requests to the back end took, where there is one.
    pub(super) backend: Option<Latency>,
}

impl Totals {
    pub(super) fn of(node: &Node, at: Instant) -> Self {
        let sum = |count: fn(&WorkerMeters) -> u64| {
            let meters = node.meters().iter();
            meters.map(|meters| count(meters)).sum()
        };
        let mut turns = [0; BUCKETS];
        for meters in node.meters() {
            for (sum, count) in turns.iter_mut().zip(meters.turns.turns.counts()) {
                *sum += count;
            }
        }
        let busy = node
            .meters()
            .iter()
            .map(|meters| meters.turns.turns.total());
        Self {
            at,
            received: sum(|meters| meters.messages_received.get()),
            sent: sum(|meters| meters.messages_sent.get()),
            received_bytes: sum(|meters| meters.turns.received_bytes.get()),
            sent_bytes: sum(|meters| meters.turns.sent_bytes.get()),
            turns,
            busy: busy.collect(),
            backend: node.behind().map(Behind::latency_us),
        }
    }
}

/// What stands in a row, in this order: the time in milliseconds since 1970; WebSockets that are open, dashboards left out; messages
/// and bytes a second; microseconds within which half and 99 of 100 turns of the loops ended, or null where there was none; bytes
/// that wait to be sent; users and rooms.
const COLUMNS: [&str; 11] = [
    "at",
    "connections",
    "received",
    "sent",
    "receivedBytes",
    "sentBytes",
    "turnP50",
    "turnP99",
    "sendQueue",
    "users",
    "rooms",
];

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    at: Duration,
    connections: u32,
    received: f64,
    sent: f64,
    received_bytes: f64,
    sent_bytes: f64,
    turn_p50_us: Option<u64>,
    turn_p99_us: Option<u64>,
    send_queue_bytes: usize,
    users: usize,
    rooms: usize,
}

impl Row {
    /// What there is, and what was done between `earlier` and `now`.
    pub(super) fn between(earlier: &Totals, now: &Totals, node: &Node) -> Self {
        let seconds = now.at.duration_since(earlier.at).as_secs_f64();
        let rate = |earlier: u64, now: u64| {
            let rate = now.saturating_sub(earlier) as f64 / seconds.max(1e-3);
            (rate * 10.0).round() / 10.0
        };
        let turns = std::array::from_fn(|at| now.turns[at].saturating_sub(earlier.turns[at]));
        Self {
            at: timestamp::since_1970(),
            connections: connections(node),
            received: rate(earlier.received, now.received),
            sent: rate(earlier.sent, now.sent),
            received_bytes: rate(earlier.received_bytes, now.received_bytes),
            sent_bytes: rate(earlier.sent_bytes, now.sent_bytes),
            turn_p50_us: quantile_us(&turns, 0.5),
            turn_p99_us: quantile_us(&turns, 0.99),
            send_queue_bytes: node.account().bytes(),
            users: node.directory().len(Kind::User),
            rooms: node.directory().len(Kind::Room),
        }
    }

    pub(super) fn told(&self) -> Value {
        json!([
            self.at.as_millis() as u64,
            self.connections,
            self.received,
            self.sent,
            self.received_bytes,
            self.sent_bytes,
            self.turn_p50_us,
            self.turn_p99_us,
            self.send_queue_bytes,
            self.users,
            self.rooms,
        ])
    }
}

/// WebSockets that are open. Who only looks on is not among them.
fn connections(node: &Node) -> u32 {
    let kinds = EndpointKind::ALL.into_iter();
    let kinds = kinds.filter(|kind| *kind != EndpointKind::Dashboard);
    kinds.map(|kind| node.open_at(kind)).sum()
}

/// Microseconds within which that share of the counted ended, as if they lay evenly within each bucket; `None` where there was none.
fn quantile_us(counts: &[u64; BUCKETS], share: f64) -> Option<u64> {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = share * all as f64;
    let (mut below, mut from) = (0.0, 0.0);
    for (&bound, &count) in BOUNDS_US.iter().zip(counts) {
        let (bound, count) = (bound as f64, count as f64);
        if below + count >= wanted && count > 0.0 {
            return Some((from + (bound - from) * (wanted - below) / count) as u64);
        }
        below += count;
        from = bound;
    }
    Some(BOUNDS_US[BOUNDS_US.len() - 1])
}

/// How often connections have ended, and limits were reached, since the start.
#[derive(Debug, Clone)]
struct Ends {
    closes: [[u64; CODES.len()]; INITIATORS.len()],
    limits: [u64; Limit::ALL.len()],
}

impl Ends {
    const NONE: Self = Self {
        closes: [[0; CODES.len()]; INITIATORS.len()],
        limits: [0; Limit::ALL.len()],
    };

    fn of(node: &Node) -> Self {
        let mut ends = Self::NONE;
        for (who, codes) in ends.closes.iter_mut().enumerate() {
            for (code, count) in codes.iter_mut().enumerate() {
                let meters = node.meters().iter();
                *count = meters.map(|meters| meters.closed(who, code)).sum();
            }
        }
        ends.limits = Limit::ALL.map(|limit| node.tally.count(limit));
        ends
    }
}

/// The last hour.
#[derive(Debug)]
pub(super) struct History {
    rows: VecDeque<Row>,
    /// Of each minute its beginning.
    minutes: VecDeque<Ends>,
    /// Rows since the last of them.
    since_minute: usize,
}

impl History {
    /// It begins where nothing has been done yet.
    pub(super) fn new() -> Self {
        Self {
            rows: VecDeque::with_capacity(ROWS_MAX),
            minutes: VecDeque::from([Ends::NONE]),
            since_minute: 0,
        }
    }

    /// Takes one more row, to be called once in each [`STEP`].
    pub(super) fn push(&mut self, row: Row, node: &Node) {
        if self.rows.len() == ROWS_MAX {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
        self.since_minute += 1;
        if self.since_minute == ROWS_PER_MINUTE {
            self.since_minute = 0;
            if self.minutes.len() == MINUTES_MAX {
                self.minutes.pop_front();
            }
            self.minutes.push_back(Ends::of(node));
        }
    }

    /// All rows, for a dashboard that has come.
    pub(super) fn told(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::told).collect();
        json!({
            "type": "history",
            "step": STEP.as_secs(),
            "columns": COLUMNS,
            "rows": rows,
        })
        .to_string()
    }

    /// How WebSockets have ended, each way with how often in the last hour and since the start; what never happened is left out.
    /// And the same of limits that were reached.
    pub(super) fn told_ends(&self, node: &Node) -> (Value, Value) {
        let now = Ends::of(node);
        let hour_ago = self.minutes.front().unwrap_or(&Ends::NONE);
        let mut closes = Vec::new();
        for (who, codes) in now.closes.iter().enumerate() {
            for (code, &total) in codes.iter().enumerate().filter(|(_, total)| **total > 0) {
                closes.push(json!({
                    "initiator": INITIATORS[who],
                    "code": CODES[code],
                    "hour": total - hour_ago.closes[who][code],
                    "total": total,
                }));
            }
        }
        let limits = Limit::ALL.into_iter().zip(now.limits).zip(hour_ago.limits);
        let limits = limits.filter(|((_, total), _)| *total > 0);
        let limits = limits.map(|((limit, total), before)| {
            json!({ "limit": limit.name(), "hour": total - before, "total": total })
        });
        (closes.into(), limits.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::{AddressLimits, Admission};
    use crate::reactor::{CloseReason, Tick};

    fn node() -> Node {
        Node::new(2, Admission::new(2, 10, AddressLimits::default()))
    }

    #[test]
    fn quantiles_are_within_the_bucket_that_holds_them() {
        let mut counts = [0; BUCKETS];
        assert_eq!(quantile_us(&counts, 0.5), None);
        counts[0] = 100;
        assert_eq!(quantile_us(&counts, 0.5), Some(25));
        assert_eq!(quantile_us(&counts, 0.99), Some(49));
        counts[2] = 100;
        assert_eq!(quantile_us(&counts, 0.5), Some(50));
        assert_eq!(quantile_us(&counts, 0.75), Some(175));
        counts = [0; BUCKETS];
        counts[BUCKETS - 1] = 3;
        assert_eq!(quantile_us(&counts, 0.5), Some(1_000_000), "or longer");
    }

    #[test]
    fn a_row_tells_what_was_done_between_two_times() {
        let node = node();
        let begun = Instant::now();
        let earlier = Totals::of(&node, begun);
        node.meters()[0].messages_received.add(10);
        node.meters()[1].messages_received.add(5);
        node.meters()[1].turns.sent_bytes.add(1_000);
        node.meters()[1]
            .turns
            .turns
            .record(Duration::from_micros(80));
        node.opened(EndpointKind::Echo);
        node.opened(EndpointKind::Dashboard);
        let now = Totals::of(&node, begun + Duration::from_secs(2));
        let told = Row::between(&earlier, &now, &node).told();
        let told = told.as_array().expect("an array");
        assert_eq!(told.len(), COLUMNS.len());
        assert_eq!(
            told[1..6],
            [json!(1), json!(7.5), json!(0.0), json!(0.0), json!(500.0)]
        );
        assert_eq!(
            told[6..],
            [json!(75), json!(99), json!(0), json!(0), json!(0)]
        );
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let node = node();
        let mut history = History::new();
        let totals = Totals::of(&node, Instant::now());
        let limit = |times| node.tally.reached(Limit::Rooms, times, Tick(5), &"a test");
        node.meters()[0].count_closed(CloseReason::RESET);
        limit(2);
        let row = Row::between(&totals, &totals, &node);
        for _ in 0..ROWS_MAX {
            history.push(row, &node);
        }
        let (closes, limits) = history.told_ends(&node);
        let all = json!([{ "initiator": "transport", "code": "1006", "hour": 0, "total": 1 }]);
        assert_eq!(closes, all, "an hour after it was not known yet");
        node.meters()[1].count_closed(CloseReason::RESET);
        limit(3);
        let (closes, more) = history.told_ends(&node);
        assert_eq!(
            (&closes[0]["hour"], &closes[0]["total"]),
            (&json!(1), &json!(2))
        );
        assert_eq!(
            limits[0],
            json!({ "limit": "roomsOfConnection", "hour": 0, "total": 2 })
        );
        assert_eq!(
            more[0],
            json!({ "limit": "roomsOfConnection", "hour": 3, "total": 5 })
        );
        for _ in 0..ROWS_MAX {
            history.push(row, &node);
        }
        assert_eq!(
            (history.rows.len(), history.minutes.len()),
            (ROWS_MAX, MINUTES_MAX)
        );
        assert_eq!(
            history.rows.capacity(),
            VecDeque::<Row>::with_capacity(ROWS_MAX).capacity()
        );
        let told: Value = serde_json::from_str(&history.told()).expect("JSON");
        assert_eq!(told["rows"].as_array().expect("rows").len(), ROWS_MAX);
    }
}
