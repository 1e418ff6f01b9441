//! A real Redis Cluster of three masters, the first of which has a replica; and Sentinels.

use std::net::SocketAddr;

use super::redis::Redis;
use super::resp::Reply;
use super::{eventually, ports};

/// Slots of a Redis Cluster.
const SLOTS: u16 = 16_384;
/// After this time without a word a server is taken for dead, milliseconds.
const NODE_TIMEOUT_MS: u32 = 1_000;

/// A running Redis Cluster; dropping it ends it.
pub(crate) struct RedisCluster {
    /// Masters, and one that follows the first of them.
    servers: Vec<Redis>,
}

impl RedisCluster {
    pub(crate) const MASTERS: usize = 3;

    /// Starts the servers, gives them their slots and waits until they are one.
    pub(crate) fn start() -> Self {
        let start = |_| {
            let bus = ports::lasting();
            let server = Redis::builder()
                .setting("cluster-enabled yes")
                .setting(&format!("cluster-port {bus}"))
                .setting(&format!("cluster-node-timeout {NODE_TIMEOUT_MS}"))
                .setting("cluster-replica-validity-factor 0")
                .start();
            (server, bus)
        };
        let servers: Vec<(Redis, u16)> = (0..=Self::MASTERS).map(start).collect();
        let (first, _) = &servers[0];
        for (server, bus) in &servers[1..] {
            let port = server.port().to_string();
            let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus.to_string()];
            expect_ok(&first.command(&meet));
        }
        let cluster = Self {
            servers: servers.into_iter().map(|(server, _)| server).collect(),
        };
        let share = SLOTS.div_ceil(Self::MASTERS as u16);
        for (number, server) in cluster.servers[..Self::MASTERS].iter().enumerate() {
            let first = share * number as u16;
            let last = (first + share).min(SLOTS) - 1;
            let range = [first.to_string(), last.to_string()];
            expect_ok(&server.command(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]));
        }
        cluster.join_replica();
        cluster
    }

    fn join_replica(&self) {
        let (master, replica) = (&self.servers[0], &self.servers[Self::MASTERS]);
        let id = self.id(0);
        eventually("the replica knows its master", || {
            matches!(
                replica.command(&["CLUSTER", "REPLICATE", &id]),
                Reply::Status(_)
            )
        });
        for server in &self.servers {
            eventually("all servers are one", || {
                let info = server.command(&["CLUSTER", "INFO"]);
                let has = |line: &str| info.text().lines().any(|one| one.trim() == line);
                has("cluster_state:ok") && has("cluster_known_nodes:4")
            });
        }
        eventually("the replica follows", || {
            let info = master.command(&["INFO", "replication"]);
            info.text().contains("state=online")
        });
    }

    /// What the others call a server.
    fn id(&self, server: usize) -> String {
        let id = self.servers[server].command(&["CLUSTER", "MYID"]);
        id.text().to_owned()
    }

    /// One of its servers.
    pub(crate) fn any(&self) -> &Redis {
        &self.servers[1]
    }

    /// A master by its number, or the replica by the number of masters.
    pub(crate) fn server(&self, number: usize) -> &Redis {
        &self.servers[number]
    }

    /// The addresses of all servers, as a list of a setting.
    pub(crate) fn seeds(&self) -> String {
        let seeds: Vec<_> = self
            .servers
            .iter()
            .map(|server| server.address().to_string())
            .collect();
        seeds.join(",")
    }

    fn slot(&self, channel: &str) -> u16 {
        let slot = self.servers[1].command(&["CLUSTER", "KEYSLOT", channel]);
        slot.integer() as u16
    }

    /// The server that has the slot of a channel.
    pub(crate) fn master_of(&self, channel: &str) -> usize {
        usize::from(self.slot(channel) / SLOTS.div_ceil(Self::MASTERS as u16))
    }

    /// How many listen to a channel, at the server that has it.
    pub(crate) fn listeners(&self, channel: &str, server: usize) -> i64 {
        let told = self.servers[server].command(&["PUBSUB", "SHARDNUMSUB", channel]);
        told.items()[1].integer()
    }

    /// Gives the slot of a channel to another master.
    pub(crate) fn move_slot(&self, channel: &str, to: usize) {
        let slot = self.slot(channel).to_string();
        let (from, ids) = (self.master_of(channel), [0, 1, 2].map(|one| self.id(one)));
        let tell = |server: usize, words: [&str; 2]| {
            let command = ["CLUSTER", "SETSLOT", &slot, words[0], words[1]];
            expect_ok(&self.servers[server].command(&command));
        };
        tell(to, ["IMPORTING", &ids[from]]);
        tell(from, ["MIGRATING", &ids[to]]);
        tell(to, ["NODE", &ids[to]]);
        tell(from, ["NODE", &ids[to]]);
    }

    /// Ends the master that has a replica; who takes its place is a matter of a second or two.
    pub(crate) fn kill_first(&mut self) {
        self.servers[0].kill();
    }
}

fn expect_ok(reply: &Reply) {
    assert_eq!(*reply, Reply::Status("OK".to_owned()));
}

/// A Sentinel that watches over `master`.
pub(crate) fn sentinel(master: SocketAddr, password: &str) -> Redis {
    Redis::builder()
        .setting(&format!(
            "sentinel monitor mymaster 127.0.0.1 {} 1",
            master.port()
        ))
        .setting("sentinel down-after-milliseconds mymaster 500")
        .setting("sentinel failover-timeout mymaster 2000")
        .password(password)
        .sentinel()
        .start()
}
