//! What is kept in Redis for clients that may come back: who they are, each under a key of its own that expires, and a stream of what was
//! published on each channel, which the publisher writes before it publishes (`publisher`).
//!
//! All times are the server's own, and so are the ids of the streams: no clock of a node is held against another.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use redis::{Connection, Pipeline, RedisError, RedisResult, Value};

use super::link::Doubts;
use super::relay::Connect;
use super::{Backoff, log_loss};
use crate::broker::{Away, Keeper, KeptLog, KeptNote};
use crate::limits::RECOVERY_ENTRIES_MAX;

/// Of a stream entry: bytes as they were published, and what is left of those that are too many.
pub(super) const WHOLE: &str = "e";
pub(super) const HEAD: &str = "h";
/// Commands of one pipeline.
const PIPELINE_MAX: usize = 1_000;

/// The key of the stream of a channel of the cluster with that prefix, where it is one.
pub(super) fn stream_of(prefix: &str, channel: &str) -> Option<String> {
    let rest = channel.strip_prefix(prefix)?;
    rest.starts_with(':').then(|| format!("{prefix}:s{rest}"))
}

/// The key of what tells that publications were lost before they were kept.
pub(super) fn hole_of(prefix: &str) -> String {
    format!("{prefix}:s:hole")
}

/// Keeps in Redis. It connects by itself, and again.
pub struct RedisKeeper {
    connect: Arc<Connect>,
    doubts: Doubts,
    prefix: String,
    /// With how many doubts there were when it was made.
    link: Option<(Connection, u64)>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    is_lost: bool,
    links: u64,
}

impl fmt::Debug for RedisKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisKeeper")
    }
}

impl RedisKeeper {
    pub(super) fn new(connect: Arc<Connect>, doubts: Doubts, prefix: String) -> Self {
        Self {
            connect,
            doubts,
            prefix,
            link: None,
            backoff: Backoff::new(),
            retry_at: None,
            is_lost: false,
            links: 0,
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}:s:p:{name}", self.prefix)
    }

    /// Has something done where there is a link, or one can be made. What fails on one that was there before is tried again on a new one:
    /// it may have been lost long ago.
    fn with_link<R>(
        &mut self,
        call: impl Fn(&mut Connection) -> RedisResult<R>,
    ) -> Result<R, Away> {
        if let Some((connection, doubts)) = &mut self.link {
            let done = self.doubts.expect(*doubts).and_then(|()| call(connection));
            match done {
                Ok(done) => return Ok(done),
                Err(error) => log::debug!("the link that keeps is lost: {error}"),
            }
            self.link = None;
        }
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Err(Away);
        }
        let doubts = self.doubts.count();
        let made = (self.connect)().and_then(|mut connection| {
            let done = call(&mut connection)?;
            Ok((connection, done))
        });
        let (connection, done) = made.map_err(|error| self.lose(&error))?;
        self.links += 1;
        self.link = Some((connection, doubts));
        self.retry_at = None;
        (self.is_lost, self.backoff) = (false, Backoff::new());
        Ok(done)
    }

    fn lose(&mut self, error: &RedisError) -> Away {
        self.retry_at = Some(Instant::now() + self.backoff.wait());
        let what = "Redis keeps nothing for clients that come back";
        log_loss(what, error, &mut self.is_lost);
        Away
    }
}

impl Keeper for RedisKeeper {
    fn links(&self) -> u64 {
        self.links
    }

    fn time(&mut self) -> Result<u64, Away> {
        let (seconds, micros): (u64, u64) =
            self.with_link(|link| redis::cmd("TIME").query(link))?;
        Ok(seconds * 1_000 + micros / 1_000)
    }

    fn write(&mut self, notes: &[KeptNote<'_>]) -> Result<(), Away> {
        for notes in notes.chunks(PIPELINE_MAX) {
            let mut pipeline = redis::pipe();
            for note in notes {
                match note {
                    KeptNote::New { name, bytes, ms } => {
                        let key = self.key(name);
                        pipeline.cmd("SET").arg(key).arg(*bytes).arg("PX").arg(ms);
                    }
                    KeptNote::Changed { name, bytes, ms } => {
                        let key = self.key(name);
                        let set = pipeline.cmd("SET").arg(key).arg(*bytes);
                        set.arg("PX").arg(ms).arg("XX");
                    }
                    KeptNote::There { name, ms } => {
                        pipeline.cmd("PEXPIRE").arg(self.key(name)).arg(ms);
                    }
                    KeptNote::Gone { name } => {
                        pipeline.cmd("DEL").arg(self.key(name));
                    }
                }
                pipeline.ignore();
            }
            self.with_link(|link| pipeline.query::<()>(link))?;
        }
        Ok(())
    }

    fn look(&mut self, names: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Away> {
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(PIPELINE_MAX) {
            let mut pipeline = redis::pipe();
            for name in names {
                pipeline.cmd("GET").arg(self.key(name));
            }
            let some: Vec<_> = self.with_link(|link| pipeline.query(link))?;
            found.extend(some);
        }
        Ok(found)
    }

    fn take(&mut self, names: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Away> {
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(PIPELINE_MAX) {
            let mut pipeline = redis::pipe();
            for name in names {
                let key = self.key(name);
                // Only the first who does so gets it.
                pipeline.cmd("GETSET").arg(&key).arg("");
                pipeline.cmd("DEL").arg(&key).ignore();
            }
            let some: Vec<Option<Vec<u8>>> = self.with_link(|link| pipeline.query(link))?;
            let some = some.into_iter();
            found.extend(some.map(|one| one.filter(|one| !one.is_empty())));
        }
        Ok(found)
    }

    fn is_there(&mut self, node: &str, channel: &str) -> Result<bool, Away> {
        let alive = format!("{}:{{registry}}:{node}:alive", self.prefix);
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(alive);
        // Nothing at all: it only counts who listens.
        pipeline.cmd("PUBLISH").arg(channel).arg("");
        let (alive, listeners): (Option<Vec<u8>>, u64) =
            self.with_link(|link| pipeline.query(link))?;
        Ok(alive.is_some() && listeners > 0)
    }

    fn read(&mut self, channels: &[(String, u64)]) -> Result<(u64, Vec<KeptLog>), Away> {
        let mut pipeline = redis::pipe();
        range(&mut pipeline, &hole_of(&self.prefix), "-");
        for (channel, from) in channels {
            let stream = stream_of(&self.prefix, channel).ok_or(Away)?;
            pipeline.cmd("XLEN").arg(&stream);
            range(&mut pipeline, &stream, "-").arg("COUNT").arg(1);
            range(&mut pipeline, &stream, &from.to_string());
        }
        let answers: Vec<Value> = self.with_link(|link| pipeline.query(link))?;
        let mut answers = answers.into_iter();
        let holes = answers.next().map(entries).unwrap_or_default();
        let hole = holes.last().map_or(0, |hole| hole.0);
        let mut logs = Vec::with_capacity(channels.len());
        for _ in channels {
            let is_full = match answers.next() {
                Some(Value::Int(len)) => len >= RECOVERY_ENTRIES_MAX as i64,
                _ => return Err(Away),
            };
            let oldest = answers.next().map(entries).unwrap_or_default().pop();
            logs.push(KeptLog {
                is_full,
                oldest: oldest.map(|oldest| oldest.0),
                entries: answers.next().map(entries).unwrap_or_default(),
            });
        }
        Ok((hole, logs))
    }
}

fn range<'p>(pipeline: &'p mut Pipeline, stream: &str, from: &str) -> &'p mut Pipeline {
    pipeline.cmd("XRANGE").arg(stream).arg(from).arg("+")
}

/// Entries of a stream: when each was made, and what it has; those that nobody here has written are left out.
fn entries(answer: Value) -> Vec<(u64, Vec<u8>)> {
    let Value::Array(entries) = answer else {
        return Vec::new();
    };
    entries.into_iter().filter_map(entry).collect()
}

fn entry(value: Value) -> Option<(u64, Vec<u8>)> {
    let Value::Array(parts) = value else {
        return None;
    };
    let parts: [Value; 2] = parts.try_into().ok()?;
    let [Value::BulkString(id), Value::Array(fields)] = parts else {
        return None;
    };
    let id = String::from_utf8(id).ok()?;
    let (ms, _) = id.split_once('-')?;
    let fields: [Value; 2] = fields.try_into().ok()?;
    let [Value::BulkString(field), Value::BulkString(bytes)] = fields else {
        return None;
    };
    let is_ours = field == WHOLE.as_bytes() || field == HEAD.as_bytes();
    Some((ms.parse().ok()?, bytes)).filter(|_| is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_after_their_channels() {
        assert_eq!(stream_of("t", "t:r:a:b").as_deref(), Some("t:s:r:a:b"));
        assert_eq!(stream_of("t", "t:e:").as_deref(), Some("t:s:e:"));
        assert_eq!(stream_of("t", "tt:e:"), None);
        assert_eq!(stream_of("t", "u:e:"), None);
    }

    #[test]
    fn entries_that_are_not_ours_are_left_out() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let entry = |id: &str, field: &str| {
            Value::Array(vec![bulk(id), Value::Array(vec![bulk(field), bulk("x")])])
        };
        let answer = Value::Array(vec![
            entry("7-1", WHOLE),
            entry("8-0", HEAD),
            entry("9-0", "other"),
            entry("ten", WHOLE),
            Value::Int(1),
            Value::Array(vec![bulk("1-1"), Value::Nil]),
        ]);
        assert_eq!(entries(answer), [(7, b"x".to_vec()), (8, b"x".to_vec())]);
        assert_eq!(entries(Value::Nil), []);
    }
}
