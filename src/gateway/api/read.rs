//! The calls that read, and what workers have gathered as the API tells it.

use std::collections::BTreeMap;
use std::ops::Not;

use serde::Serialize;
use serde_json::{Value, json};

use super::VERSION;
use super::asyncapi;
use super::calls::{Caller, Done};
use super::openapi;
use super::route::{Call, ListQuery};
use super::sending::told_sent;
use crate::broker::Registered;
use crate::gateway::ask::{ClientAnswer, Gathered, Purpose, Question};
use crate::gateway::cluster::{Cluster, Whom};
use crate::gateway::config::EndpointKind;
use crate::gateway::tally::Limit;
use crate::hub::Kind;
use crate::limits::NODE_EXPIRY;

impl Caller<'_> {
    /// Answers a call that reads.
    pub(in crate::gateway) fn read(&mut self, call: &Call) -> Done {
        let answer = match call {
            Call::Health => self.health(),
            Call::OpenApi => return Done::Now(openapi::document(self.shard.config.name_chars_max)),
            Call::AsyncApi => return Done::Now(asyncapi::DOCUMENT.to_vec()),
            Call::Status => self.status(),
            Call::Connections => self.connections(),
            Call::ConnectionStats => self.connection_stats(),
            Call::RedisInfo => return self.redis_info(),
            Call::Rooms(list) => return self.rooms(list),
            Call::Room(room) => {
                let workers = self.shard.workers_with(Kind::Room, room);
                let question = Question::UsersIn(room.as_str().into());
                let whom = Some(Whom::Group(Kind::Room, room));
                return self.ask(
                    &workers,
                    whom,
                    &question,
                    Purpose::Room(room.as_str().into()),
                );
            }
            Call::User(user) => {
                let workers = self.shard.workers_with(Kind::User, user);
                let question = Question::ConnectionsOf(user.as_str().into());
                let whom = Some(Whom::Group(Kind::User, user));
                return self.ask(
                    &workers,
                    whom,
                    &question,
                    Purpose::User(user.as_str().into()),
                );
            }
            _ => unreachable!("calls that act have a body"),
        };
        Done::Now(answer.to_string().into_bytes())
    }

    fn health(&mut self) -> Value {
        let timestamp = self.shard.timestamp(self.now).to_owned();
        let node = &self.shard.node;
        let is_degraded = node
            .cluster()
            .is_some_and(|cluster| !cluster.health().is_whole());
        let status = match (node.is_draining(), is_degraded) {
            (true, _) => "draining",
            (false, true) => "degraded",
            (false, false) => "ok",
        };
        json!({
            "status": status,
            "uptime": node.uptime().as_secs_f64(),
            "timestamp": timestamp,
            "activeConnections": node.admission.admitted(),
            "maxConnections": node.admission.connections_max(),
        })
    }

    fn status(&self) -> Value {
        let node = &self.shard.node;
        let routes: Vec<_> = self
            .shard
            .config
            .table()
            .map(|route| json!({ "path": route.path, "endpoint": route.endpoint.name() }))
            .collect();
        let mut status = json!({
            "version": VERSION,
            "node": node.name(),
            "workers": self.shard.workers(),
            "broker": if node.cluster().is_some() { "redis" } else { "in-process" },
            "uptime": node.uptime().as_secs_f64(),
            "routes": routes,
            "totals": self.totals(),
        });
        if let Some(behind) = node.behind() {
            status["backend"] = behind.told();
        }
        status
    }

    fn totals(&self) -> Value {
        let directory = self.shard.hub.directory();
        json!({
            "connections": self.shard.node.admission.admitted(),
            "users": directory.len(Kind::User),
            "rooms": directory.len(Kind::Room),
        })
    }

    fn connections(&self) -> Value {
        let admission = &self.shard.node.admission;
        let config = &self.shard.config;
        json!({
            "activeConnections": admission.admitted(),
            "maxConnections": admission.connections_max(),
            "maxConnectionsPerAddress": admission.per_address().connections_max,
            "maxConnectionsPerUser": config.connections_per_user_max,
            "users": self.shard.hub.directory().len(Kind::User),
        })
    }

    fn connection_stats(&self) -> Value {
        let node = &self.shard.node;
        let workers: Vec<_> = (0..self.shard.workers())
            .map(|worker| json!({ "worker": worker, "connections": node.admission.assigned(worker) }))
            .collect();
        let open = |kind| node.open_at(kind);
        let open_all: u32 = EndpointKind::ALL.into_iter().map(open).sum();
        let websockets = open_all.saturating_sub(node.polling());
        let admitted = node.admission.admitted();
        json!({
            "activeConnections": admitted,
            "maxConnections": node.admission.connections_max(),
            "workers": workers,
            "endpoints": EndpointKind::ALL
                .into_iter()
                .map(|kind| (kind.name().to_owned(), json!(open(kind))))
                .collect::<serde_json::Map<_, _>>(),
            "limitsReached": Limit::ALL
                .into_iter()
                .map(|limit| (limit.name().to_owned(), json!(node.tally.count(limit))))
                .collect::<serde_json::Map<_, _>>(),
            "transports": {
                "websocket": websockets,
                "http": admitted.saturating_sub(websockets as usize),
            },
        })
    }

    fn redis_info(&mut self) -> Done {
        let local = self.shard.node.admission.admitted();
        let cluster = self.shard.node.cluster();
        let redis = cluster.map_or_else(|| json!({ "enabled": false }), redis);
        let info = json!({
            "processId": self.shard.node.name(),
            "localConnections": local,
            "redis": redis,
        });
        let own = [self.shard.worker];
        let purpose = Purpose::Nodes(info);
        self.ask(&own, Some(Whom::Everywhere), &Question::Node, purpose)
    }

    fn rooms(&mut self, list: &ListQuery) -> Done {
        let question = Question::Rooms {
            prefix: list.prefix.clone(),
            after: list.after.clone(),
            limit: list.limit,
        };
        // Who is in a room is in the protocol's one group of everyone, and so its node listens there.
        let whom = Some(Whom::Group(Kind::Everyone, ""));
        let own = [self.shard.worker];
        self.ask(&own, whom, &question, Purpose::Rooms(list.limit))
    }
}

/// The links to other nodes, and the nodes that are registered.
fn redis(cluster: &Cluster) -> Value {
    let health = cluster.health();
    let nodes = cluster
        .nodes()
        .into_iter()
        .map(|Registered { node, alive_at }| {
            let silence = alive_at.map(|at| at.elapsed());
            json!({
                "node": node,
                "alive": silence.is_some_and(|silence| silence < NODE_EXPIRY),
                "silentSeconds": silence.map(|silence| silence.as_secs_f64()),
            })
        });
    json!({
        "enabled": true,
        "publishing": health.is_publishing,
        "listening": health.is_listening,
        "registered": health.is_registered,
        "roundTripMicroseconds": health.round_trip_us,
        "queued": health.queued,
        "published": health.published,
        "received": health.received,
        "dropped": health.dropped,
        "swept": health.swept,
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

/// What was gathered, as the answer to the call that asked for it.
pub(in crate::gateway) fn told(purpose: &Purpose, gathered: &Gathered) -> Vec<u8> {
    let mut answer = match purpose {
        Purpose::Presence { .. }
        | Purpose::Delivered { .. }
        | Purpose::Reply(_)
        | Purpose::Part { .. }
        | Purpose::Departed(_)
        | Purpose::Recovered(_)
        | Purpose::Node { .. } => {
            unreachable!("told elsewhere")
        }
        Purpose::Sent(sent) => return told_sent(sent, gathered),
        Purpose::Answered => return told_answers(gathered),
        Purpose::Nodes(info) => {
            let mut processes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (node, report) in &gathered.nodes {
                for user in &report.names {
                    processes.entry(user).or_default().push(node);
                }
            }
            let users = gathered.nodes.iter();
            let users: BTreeMap<_, _> = users.map(|(node, report)| (node, report.users)).collect();
            let mut answer = info.clone();
            answer["userProcesses"] = json!(processes);
            answer["processUsers"] = json!(users);
            answer
        }
        Purpose::Rooms(limit) => {
            let rooms = gathered.rooms.iter().take(*limit);
            let rooms: Vec<_> = rooms
                .map(|(room, members)| json!({ "room": **room, "connections": members }))
                .collect();
            let has_more = gathered.has_more || gathered.rooms.len() > *limit;
            json!({ "rooms": rooms, "hasMore": has_more })
        }
        Purpose::Room(room) => {
            let counts = gathered.users.values();
            let connections: u64 = counts.map(|count| u64::from(*count)).sum();
            let users: Vec<_> = gathered
                .users
                .iter()
                .map(|(user, connections)| json!({ "userId": **user, "connections": connections }))
                .collect();
            json!({ "room": **room, "connections": connections, "users": users })
        }
        Purpose::User(user) => {
            let connections = &gathered.connections;
            json!({
                "userId": **user,
                "online": !connections.is_empty(),
                "connections": connections,
            })
        }
        Purpose::Joined | Purpose::Left | Purpose::Disconnected => {
            json!({ "success": true, "connections": gathered.concerned })
        }
    };
    tell_missing(gathered, &mut answer);
    answer.to_string().into_bytes()
}

/// What clients have answered, as they have written it.
fn told_answers(gathered: &Gathered) -> Vec<u8> {
    #[derive(Serialize)]
    struct Told<'t> {
        asked: u32,
        answers: &'t [ClientAnswer],
        #[serde(skip_serializing_if = "Not::not")]
        truncated: bool,
        #[serde(flatten)]
        missing: Value,
    }
    let mut missing = json!({});
    tell_missing(gathered, &mut missing);
    let told = Told {
        asked: gathered.concerned,
        answers: &gathered.answers,
        truncated: gathered.is_cut,
        missing,
    };
    serde_json::to_vec(&told).expect("answers are JSON")
}

/// Says where an answer does not know of all nodes.
pub(super) fn tell_missing(gathered: &Gathered, answer: &mut Value) {
    if gathered.unanswered > 0 {
        answer["unanswered"] = Value::from(gathered.unanswered);
    }
    if gathered.is_unsent {
        answer["unsent"] = Value::from(true);
    }
}
