//! Several real nodes that share a Redis, and nginx in front of them.

use std::net::SocketAddr;

use rustix::process::Signal;

use super::client::Client;
use super::gateway::{self, Member, look};
use super::nginx::Nginx;
use super::ports;
use super::redis::Redis;
use super::server::{Server, ServerBuilder, ended_by};
use super::{DEADLINE, eventually};

/// Event loops of a node: a message within one must find another loop as well as another node.
const WORKERS: usize = 2;

/// What a node is started with, the first time and again.
struct Plan {
    port: u16,
    environment: Vec<(String, String)>,
}

impl Plan {
    fn builder(&self) -> ServerBuilder {
        let builder = gateway::builder(WORKERS).env("PORT", self.port);
        let settings = self.environment.iter();
        settings.fold(builder, |builder, (name, value)| builder.env(name, value))
    }
}

/// How a cluster is to be started.
pub(crate) struct ClusterBuilder {
    plans: Vec<Plan>,
}

impl ClusterBuilder {
    /// Sets one setting of every node.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "numbers, strings and paths are written alike"
    )]
    pub(crate) fn env(mut self, name: &str, value: impl ToString) -> Self {
        for plan in &mut self.plans {
            let setting = (name.to_owned(), value.to_string());
            plan.environment.push(setting);
        }
        self
    }

    /// Sets one setting of one node, such as a `REDIS_URL` that leads over a way with faults.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "numbers, strings and paths are written alike"
    )]
    pub(crate) fn env_of(mut self, node: usize, name: &str, value: impl ToString) -> Self {
        let setting = (name.to_owned(), value.to_string());
        self.plans[node].environment.push(setting);
        self
    }

    /// Starts the nodes and nginx, and waits until all accept.
    pub(crate) fn start(self) -> Cluster {
        let start = |plan: &Plan| Some(plan.builder().start());
        let nodes: Vec<_> = self.plans.iter().map(start).collect();
        let address = |node: &Option<Server>| node.as_ref().map(Server::address);
        let addresses: Vec<SocketAddr> = nodes.iter().filter_map(address).collect();
        // What it lets in of one address is a matter of tests/nginx.rs; here everybody has the same.
        let nginx = Nginx::builder()
            .replace("limit_req zone=tidegate_requests burst=99 nodelay;", "")
            .start_before(&addresses);
        Cluster {
            nginx,
            nodes,
            plans: self.plans,
        }
    }
}

/// Running nodes with nginx in front of them.
pub(crate) struct Cluster {
    // Dropped before the servers that it speaks to.
    nginx: Nginx,
    /// None where the node was ended.
    nodes: Vec<Option<Server>>,
    plans: Vec<Plan>,
}

impl Cluster {
    /// So many nodes that share `redis`.
    pub(crate) fn start(nodes: usize, redis: &Redis) -> Self {
        Self::builder(nodes, redis).start()
    }

    /// Nodes with settings of their own.
    pub(crate) fn builder(nodes: usize, redis: &Redis) -> ClusterBuilder {
        let plan = |_| Plan {
            port: ports::lasting(),
            environment: Vec::new(),
        };
        let plans = (0..nodes).map(plan).collect();
        ClusterBuilder { plans }
            .env("REDIS_ENABLED", true)
            .env("REDIS_URL", redis.url())
    }

    /// How many nodes there are, with those that were ended.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether a node was not ended.
    pub(crate) fn is_running(&self, node: usize) -> bool {
        self.nodes[node].is_some()
    }

    /// A running node.
    pub(crate) fn node(&self, node: usize) -> &Server {
        self.nodes[node].as_ref().expect("the node was not ended")
    }

    /// nginx in front of all.
    pub(crate) fn nginx(&self) -> &Nginx {
        &self.nginx
    }

    /// A fresh raw connection to a node, to call its API.
    pub(crate) fn connect(&self, node: usize) -> Client {
        self.node(node).connect()
    }

    /// A connection of that user to a node.
    pub(crate) fn member(&self, node: usize, user: &str) -> Member {
        Member::of(self.node(node), user)
    }

    /// A connection of that user to the node that nginx chooses.
    pub(crate) fn member_through_nginx(&self, user: &str) -> Member {
        let mut client = self.nginx.connect();
        client.upgrade("/");
        Member::over(client, user)
    }

    /// SIGKILL: the node says good-bye to nobody.
    pub(crate) fn kill(&mut self, node: usize) {
        let status = self.end(node, Signal::KILL);
        assert!(ended_by(status, Signal::KILL), "{status}");
    }

    /// SIGTERM: the node drains and leaves the others in order.
    pub(crate) fn stop(&mut self, node: usize) {
        let status = self.end(node, Signal::TERM);
        assert_eq!(status.code(), Some(0), "{status}");
    }

    fn end(&mut self, node: usize, signal: Signal) -> std::process::ExitStatus {
        let mut server = self.nodes[node].take().expect("the node was not ended");
        server.signal(signal);
        // Dropped here, it looks whether it panicked.
        server.wait_exit(DEADLINE * 2)
    }

    /// Starts a node that was ended at the address that it had. nginx may keep away from it for five seconds more.
    pub(crate) fn restart(&mut self, node: usize) {
        assert!(self.nodes[node].is_none(), "the node runs");
        self.nodes[node] = Some(self.plans[node].builder().start());
    }
}

/// What a node says of itself: `ok`, or `degraded` where it is cut off from the others.
pub(crate) fn status(server: &Server) -> String {
    let (_, health) = look(&mut server.connect(), "/api/health");
    health["status"].as_str().expect("a status").to_owned()
}

/// Waits until every node says that of itself.
pub(crate) fn await_status(cluster: &Cluster, expected: &str) {
    for node in 0..cluster.len() {
        eventually(&format!("node {node} is {expected}"), || {
            status(cluster.node(node)) == expected
        });
    }
}

/// Waits until so many nodes listen to a channel, where nobody has been told that they do.
pub(crate) fn await_listeners(redis: &Redis, channel: &str, nodes: i64) {
    eventually(&format!("{nodes} nodes listen to {channel}"), || {
        let reply = redis.command(&["PUBSUB", "NUMSUB", channel]);
        reply.items()[1].integer() == nodes
    });
}
