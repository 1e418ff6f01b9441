//! What is told of clients of Socket.IO that come back, where they may be recovered.

use std::fmt;

use super::families::{Figures, Page, family, in_bytes};
use crate::gateway::socketio::Outcome;

impl Figures {
    /// What there is to tell of them.
    pub(super) fn recovery(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(recovery) = self.node.recovery() else {
            return Ok(());
        };
        page.counters(
            &family(
                "tidegate_socketio_recoveries",
                "Clients that asked to be who they were: those that are (recovered), and those that are somebody new, because nobody of \
                 that name was lost (unknown), too long ago (expired), too much was published since or is not known (gap), or they may \
                 not be (refused).",
            ),
            Outcome::ALL.map(|outcome| ([("result", outcome.name())], recovery.counted(outcome))),
        )?;
        if let Some((is_up, failures)) = recovery.shared() {
            page.gauge(
                &family(
                    "tidegate_socketio_recovery_store_up",
                    "1 where Redis keeps what clients that come back need.",
                ),
                u64::from(is_up),
            )?;
            page.counter(
                &family(
                    "tidegate_socketio_recovery_failures",
                    "What could not be written to Redis, or found there, for clients that come back; they may be somebody new then.",
                ),
                failures,
            )?;
        }
        let (entries, bytes) = recovery.kept();
        page.gauge(
            &family(
                "tidegate_socketio_recovery_publications",
                "Publications that are kept in the process for clients that come back; with Redis none are.",
            ),
            entries,
        )?;
        page.gauge(
            &in_bytes(
                "tidegate_socketio_recovery_publication",
                "Bytes of these publications.",
            ),
            bytes,
        )
    }
}
