//! The thread that keeps the history and tells dashboards.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::Arrival;
use super::figures;
use super::history::{History, Row, STEP, Totals};
use crate::gateway::metrics::ProcessFigures;
use crate::gateway::node::Node;
use crate::gateway::session::Mail;

/// Time between two things that dashboards are told.
const PERIOD: Duration = Duration::from_secs(1);
/// Time that rates are taken over at least, so that they say something.
const SPAN_MIN: Duration = Duration::from_millis(400);

/// Keeps the history and tells dashboards until the node is gone. `process` is asked as often as anything is told.
pub fn serve_dashboards(
    node: &Weak<Node>,
    arrivals: &Receiver<Arrival>,
    process: impl Fn() -> ProcessFigures,
) {
    let Some(mut teller) = node
        .upgrade()
        .map(|node| Teller::new(&node, Instant::now(), process()))
    else {
        return;
    };
    loop {
        let arrival = arrivals.recv_timeout(teller.due.saturating_duration_since(Instant::now()));
        let Some(node) = node.upgrade() else {
            return;
        };
        match arrival {
            Ok(arrival) => teller.welcome(&node, &arrival),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        teller.go_on(&node, Instant::now(), &process);
    }
}

struct Teller {
    history: History,
    /// At the last row of the history.
    row: Totals,
    /// When dashboards were told something the last time, or at the last row where there was none.
    told: (Totals, ProcessFigures),
    /// Whether it is time to look for the largest rooms again.
    wants_largest: bool,
    /// Whether a dashboard has come that was not told yet what is now.
    has_newcomer: bool,
    /// When there is something to do.
    due: Instant,
}

impl Teller {
    fn new(node: &Node, now: Instant, process: ProcessFigures) -> Self {
        let totals = Totals::of(node, now);
        Self {
            history: History::new(),
            row: totals.clone(),
            told: (totals, process),
            wants_largest: false,
            has_newcomer: false,
            due: now + STEP,
        }
    }

    /// A dashboard has come: it gets the last hour, and soon after it what is now.
    fn welcome(&mut self, node: &Node, arrival: &Arrival) {
        self.wants_largest = true;
        self.has_newcomer = true;
        let mail = Mail::Dashboard {
            connection: arrival.connection,
            text: self.history.told(),
        };
        node.deliver(arrival.worker, mail);
    }

    /// Does what is due at `now`.
    fn go_on(&mut self, node: &Node, now: Instant, process: &impl Fn() -> ProcessFigures) {
        let is_watched = node.dashboards.workers().next().is_some();
        if now.duration_since(self.row.at) >= STEP {
            let totals = Totals::of(node, now);
            self.history
                .push(Row::between(&self.row, &totals, node), node);
            if !is_watched {
                self.told = (totals.clone(), process());
            }
            self.row = totals;
            self.wants_largest = true;
        }
        if is_watched && now >= self.next_telling() {
            self.tell(node, now, process());
        }
        self.due = self.row.at + STEP;
        if is_watched {
            self.due = self.due.min(self.next_telling());
        }
    }

    /// When dashboards are told something: one that has just come need not wait for a whole period.
    fn next_telling(&self) -> Instant {
        self.told.0.at + if self.has_newcomer { SPAN_MIN } else { PERIOD }
    }

    fn tell(&mut self, node: &Node, now: Instant, process: ProcessFigures) {
        let totals = Totals::of(node, now);
        let (earlier, process_earlier) = &self.told;
        let mut told = figures::told(
            node,
            &self.history,
            [earlier, &totals],
            [process_earlier, &process],
        );
        if std::mem::take(&mut self.wants_largest) {
            let [rooms, users] = figures::told_largest(node);
            told["rooms"] = rooms;
            told["users"] = users;
        }
        let text: Arc<str> = told.to_string().into();
        for worker in node.dashboards.workers() {
            // A worker without room for it gets the next one.
            let _ = node.send(worker, Mail::Dashboards(Arc::clone(&text)));
        }
        self.told = (totals, process);
        self.has_newcomer = false;
    }
}
