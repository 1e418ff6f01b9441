//! What the page at `/dashboard` shows: one thread keeps the history of the last hour and tells every dashboard what is now, once a
//! second while there is one. It reads what the loops count anyway, so that they do nothing for it; they only send a text that is
//! ready to those who look.

mod figures;
mod history;
mod teller;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use super::config::GatewayConfig;
use super::shard::Shard;
use crate::id::ConnKey;
use crate::reactor::{CloseReason, Tick};
use crate::websocket::close::CloseCode;
pub use teller::serve_dashboards;

/// Where dashboards listen.
pub const LIVE_PATH: &str = "/dashboard/live";
/// Dashboards that may be open at one node.
pub const DASHBOARDS_MAX: u32 = 64;

/// A dashboard that has signed in, and has heard nothing yet.
#[derive(Debug)]
pub struct Arrival {
    /// Its worker.
    worker: usize,
    /// Its connection there.
    connection: ConnKey,
}

/// The dashboards of one process.
#[derive(Debug)]
pub(super) struct Dashboards {
    arrivals: OnceLock<SyncSender<Arrival>>,
    /// At each worker.
    open: Vec<AtomicU32>,
}

impl Dashboards {
    /// There is none yet.
    pub(super) fn new(workers: usize) -> Self {
        Self {
            arrivals: OnceLock::new(),
            open: (0..workers).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Tells once, before the workers run, who tells dashboards what there is.
    pub(super) fn set_teller(&self, teller: SyncSender<Arrival>) {
        assert!(self.arrivals.set(teller).is_ok(), "there is one teller");
    }

    /// Has a dashboard told what there is; false where too many wait for that.
    fn announce(&self, arrival: Arrival) -> bool {
        let teller = self.arrivals.get();
        teller.is_some_and(|teller| teller.try_send(arrival).is_ok())
    }

    /// The workers that have a dashboard.
    fn workers(&self) -> impl Iterator<Item = usize> + '_ {
        let open = self.open.iter().enumerate();
        open.filter(|(_, open)| open.load(Ordering::Relaxed) > 0)
            .map(|(worker, _)| worker)
    }

    fn is_full(&self) -> bool {
        let open = self.open.iter().map(|open| open.load(Ordering::Relaxed));
        open.sum::<u32>() >= DASHBOARDS_MAX
    }
}

/// What a dashboard says, once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    key: String,
}

/// What a dashboard is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// The last hour, once.
    History,
    /// What is now; the next one replaces it.
    Now,
}

/// A dashboard's connection.
#[derive(Debug)]
pub(super) struct Dashboard {
    /// What its worker knows it by.
    key: ConnKey,
    /// When it came.
    since: Tick,
    /// Whether it has shown the API key.
    is_known: bool,
    /// Whether it has been told of the last hour.
    has_history: bool,
}

const fn refused(detail: &'static str) -> CloseReason {
    CloseReason::server(CloseCode::POLICY_VIOLATION, detail)
}

impl Dashboard {
    /// The key did not come in time.
    pub(super) const LATE: CloseReason = refused("no API key came in time");
    /// The key may be another one from now on: who has it signs in again.
    pub(super) const RELOADED: CloseReason =
        CloseReason::server(CloseCode::SERVICE_RESTART, "the settings were reloaded");

    pub(super) fn open(key: ConnKey, since: Tick) -> Self {
        Self {
            key,
            since,
            is_known: false,
            has_history: false,
        }
    }

    /// When it has to have shown the key; `None` once it has.
    pub(super) fn due(&self, config: &GatewayConfig) -> Option<Tick> {
        (!self.is_known).then(|| self.since.after(config.handshake_timeout))
    }

    /// It has said something, and that has to be the key. That comes in a message because a page cannot set headers of a
    /// handshake, and an address is kept in histories and logs.
    ///
    /// # Errors
    /// Why it is sent away.
    pub(super) fn on_message(
        &mut self,
        message: &[u8],
        shard: &mut Shard,
    ) -> Result<(), CloseReason> {
        if self.is_known {
            return Err(refused("a dashboard says nothing but its key"));
        }
        let Some(expected) = &shard.config.api_key else {
            return Err(refused("no API key is set on this server (API_KEY)"));
        };
        let Ok(said) = serde_json::from_slice::<SignIn>(message) else {
            return Err(refused("the first message has to be {\"key\": API key}"));
        };
        if !expected.is(said.key.as_bytes()) {
            return Err(refused("the API key is wrong"));
        }
        let arrival = Arrival {
            worker: shard.worker,
            connection: self.key,
        };
        let node = Arc::clone(&shard.node);
        let is_full = node.dashboards.is_full();
        // Before the teller hears of it, which tells nothing where nobody is.
        self.is_known = true;
        self.arrive(self.key, shard);
        if is_full || !node.dashboards.announce(arrival) {
            let detail = "this server has all the dashboards it may have";
            return Err(CloseReason::server(CloseCode::TRY_AGAIN_LATER, detail));
        }
        Ok(())
    }

    /// Whether something is for it: first of all the last hour, and then what is now.
    pub(super) fn is_for(&mut self, telling: Telling) -> bool {
        self.has_history |= telling == Telling::History;
        self.has_history
    }

    /// It goes, for good or to another worker.
    pub(super) fn leave(&self, shard: &mut Shard) {
        if self.is_known {
            shard.watchers.retain(|key| *key != self.key);
            shard.node.dashboards.open[shard.worker].fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// It is at this worker from now on.
    pub(super) fn arrive(&mut self, key: ConnKey, shard: &mut Shard) {
        self.key = key;
        if self.is_known {
            shard.watchers.push(key);
            shard.node.dashboards.open[shard.worker].fetch_add(1, Ordering::Relaxed);
        }
    }
}
