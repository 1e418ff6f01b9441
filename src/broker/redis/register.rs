//! What the registry is in Redis: its keys, what is asked of them, and what everybody at this node knows of it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_queue::SegQueue;
use redis::{Cmd, Connection, RedisResult};

use crate::broker::{Identity, Inbox, List, Registered};
use crate::limits::{NODE_EXPIRY, REGISTRY_NOTES_MAX};

/// Names of one command.
const NAMES_MAX: usize = 1_000;
/// What `PTTL` says of a key that there is not.
pub(super) const NO_KEY: i64 = -2;

/// Where to look, and whether that is all.
#[derive(Debug, Default)]
pub(super) struct Notes {
    channels: SegQueue<String>,
    has_lost: AtomicBool,
}

impl Notes {
    /// Whether this node listens to that channel may have changed.
    pub(super) fn push(&self, channel: &str) {
        if self.channels.len() < REGISTRY_NOTES_MAX {
            self.channels.push(channel.to_owned());
        } else {
            self.has_lost.store(true, Ordering::Release);
        }
    }

    /// What was noted, each channel once.
    pub(super) fn take(&self) -> HashSet<String> {
        let channels = &self.channels;
        (0..channels.len()).filter_map(|_| channels.pop()).collect()
    }

    /// Whether something was not noted.
    pub(super) fn has_lost(&self) -> bool {
        self.has_lost.load(Ordering::Acquire)
    }

    /// Everything is looked at after this, whatever was noted or lost.
    pub(super) fn forget(&self) {
        self.has_lost.swap(false, Ordering::AcqRel);
        self.take();
    }
}

/// What the thread and everybody else share.
#[derive(Debug)]
pub(super) struct Register {
    pub(super) inbox: Arc<dyn Inbox>,
    prefix: String,
    pub(super) node: String,
    pub(super) notes: Notes,
    nodes: Mutex<Vec<Registered>>,
    is_registered: AtomicBool,
    swept: AtomicU64,
    is_stopping: AtomicBool,
}

impl Register {
    pub(super) fn new(identity: Identity, inbox: Arc<dyn Inbox>) -> Self {
        Self {
            inbox,
            prefix: identity.prefix,
            node: identity.node,
            notes: Notes::default(),
            nodes: Mutex::default(),
            is_registered: AtomicBool::new(false),
            swept: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// The nodes, as of the last look.
    pub(super) fn nodes(&self) -> Vec<Registered> {
        let nodes = self.nodes.lock();
        nodes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this node is registered from now on; whether it was.
    pub(super) fn set_registered(&self, is_registered: bool) -> bool {
        self.is_registered.swap(is_registered, Ordering::Relaxed)
    }

    pub(super) fn is_registered(&self) -> bool {
        self.is_registered.load(Ordering::Relaxed)
    }

    /// Nodes that this one has swept.
    pub(super) fn swept(&self) -> u64 {
        self.swept.load(Ordering::Relaxed)
    }

    pub(super) fn count_swept(&self) {
        self.swept.fetch_add(1, Ordering::Relaxed);
    }

    /// The node goes.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Of all nodes. In a Redis Cluster the part in braces, which is that of all keys, keeps them at one master.
    pub(super) fn nodes_key(&self) -> String {
        format!("{}:{{registry}}:nodes", self.prefix)
    }

    /// Of one node.
    pub(super) fn key(&self, node: &str, what: &str) -> String {
        format!("{}:{{registry}}:{node}:{what}", self.prefix)
    }

    pub(super) fn own_key(&self, what: &str) -> String {
        self.key(&self.node, what)
    }

    /// Whether this node is alive still, and if so, it is for longer.
    pub(super) fn live_on(&self) -> Cmd {
        let mut command = redis::cmd("PEXPIRE");
        command.arg(self.own_key("alive")).arg(millis(NODE_EXPIRY));
        command
    }

    /// This node is alive from now on.
    pub(super) fn rise(&self, link: &mut Connection) -> RedisResult<()> {
        let mut set = redis::cmd("SET");
        set.arg(self.own_key("alive")).arg(1);
        set.arg("PX").arg(millis(NODE_EXPIRY)).exec(link)
    }

    /// Adds names to a list of this node or takes them off; it stays alive meanwhile, however many there are.
    pub(super) fn write(
        &self,
        link: &mut Connection,
        command: &str,
        list: List,
        names: &[&[u8]],
    ) -> RedisResult<()> {
        for names in names.chunks(NAMES_MAX) {
            let mut pipeline = redis::pipe();
            pipeline.add_command(self.live_on());
            pipeline.cmd(command).arg(self.own_key(list.name()));
            pipeline.arg(names).exec(link)?;
        }
        Ok(())
    }

    /// The nodes that are registered. Whatever else somebody has put there is left alone.
    pub(super) fn read_nodes(&self, link: &mut Connection) -> RedisResult<HashSet<String>> {
        let members = redis::cmd("SMEMBERS").arg(self.nodes_key()).take();
        let members: Vec<Vec<u8>> = members.query(link)?;
        let texts = members.into_iter().map(String::from_utf8);
        Ok(texts
            .filter_map(Result::ok)
            .filter(|name| is_node(name))
            .collect())
    }

    /// Enters this node.
    pub(super) fn enter(&self, link: &mut Connection) -> RedisResult<()> {
        let mut add = redis::cmd("SADD");
        add.arg(self.nodes_key()).arg(&self.node).exec(link)
    }

    /// Takes a node out; where it is alive, it enters anew.
    pub(super) fn take_out(&self, link: &mut Connection, node: &str) -> RedisResult<()> {
        redis::cmd("SREM")
            .arg(self.nodes_key())
            .arg(node)
            .exec(link)
    }

    /// Looks which of the nodes are alive; gives those that are not.
    pub(super) fn look(
        &self,
        link: &mut Connection,
        nodes: HashSet<String>,
    ) -> RedisResult<Vec<String>> {
        let others: Vec<_> = nodes
            .into_iter()
            .filter(|node| *node != self.node)
            .collect();
        let mut pipeline = redis::pipe();
        for node in &others {
            pipeline.cmd("PTTL").arg(self.key(node, "alive"));
        }
        // Nothing at all cannot be asked.
        let lives: Vec<i64> = match others.is_empty() {
            true => Vec::new(),
            false => pipeline.query(link)?,
        };
        let now = Instant::now();
        let mut nodes = vec![Registered {
            node: self.node.clone(),
            alive_at: Some(now),
        }];
        let (before, mut dead) = (self.nodes(), Vec::new());
        for (node, left) in others.into_iter().zip(lives) {
            let alive_at = if left == NO_KEY {
                dead.push(node.clone());
                let known = before.iter().find(|known| known.node == node);
                known.and_then(|known| known.alive_at)
            } else {
                let left = Duration::from_millis(left.max(0) as u64);
                now.checked_sub(NODE_EXPIRY.saturating_sub(left))
            };
            nodes.push(Registered { node, alive_at });
        }
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
        Ok(dead)
    }
}

pub(super) fn delete(link: &mut Connection, key: &str) -> RedisResult<()> {
    redis::cmd("DEL").arg(key).exec(link)
}

pub(super) fn scan(key: &str, cursor: u64) -> Cmd {
    let mut scan = redis::cmd("SSCAN");
    scan.arg(key).arg(cursor).arg("COUNT").arg(NAMES_MAX);
    scan
}

/// Whether that is the name of a node.
fn is_node(name: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.len() == 16 && name.bytes().all(is_digit)
}

pub(super) fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nodes_are_nothing_else() {
        assert!(is_node("00000000000000ab"));
        for other in [
            "",
            "ab",
            "00000000000000AB",
            "00000000000000a:",
            "00000000000000abc",
        ] {
            assert!(!is_node(other), "{other}");
        }
    }

    #[test]
    fn notes_that_are_too_many_are_dropped_and_not_forgotten() {
        let notes = Notes::default();
        for _ in 0..REGISTRY_NOTES_MAX {
            notes.push("c");
        }
        assert!(!notes.has_lost());
        notes.push("d");
        assert!(notes.has_lost());
        assert_eq!(notes.take(), HashSet::from(["c".to_owned()]));
        assert!(notes.has_lost(), "nobody has looked at everything");
        notes.forget();
        assert!(!notes.has_lost());
    }
}
