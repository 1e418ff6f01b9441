//! Answers that are complete in memory.

use crate::gateway::metrics::Asked;
use crate::gateway::shard::Shard;
use crate::http::response::Response;
use crate::reactor::Tick;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// An answer that needs no more than itself.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) content_type: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
    pub(super) keep_alive: bool,
    pub(super) head_only: bool,
    /// What it is counted under.
    pub(super) asked: Asked,
}

impl<'a> Answer<'a> {
    /// Refuses with a plain sentence; the connection ends after it.
    pub(super) fn refusal(status: u16, sentence: &'a str) -> Self {
        Self {
            status,
            content_type: TEXT,
            headers: &[],
            body: sentence.as_bytes(),
            keep_alive: false,
            head_only: false,
            asked: Asked::OTHER,
        }
    }

    /// Is counted under that.
    pub(super) fn to(mut self, asked: Asked) -> Self {
        self.asked = asked;
        self
    }

    pub(super) fn with_headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, shard: &mut Shard, now: Tick) {
        shard.meters.count_answer(self.asked, self.status);
        Response {
            status: self.status,
            content_type: self.content_type,
            headers: self.headers,
            body: self.body,
            keep_alive: self.keep_alive,
            head_only: self.head_only,
            date: shard.date(now),
        }
        .write(out);
    }
}
