//! Socket.IO over several nodes that are one through Redis, and behind nginx, which sends the requests of a session to its node.

mod common;

use std::collections::BTreeSet;

use common::client::Client;
use common::cluster::{Cluster, ClusterBuilder, await_status};
use common::gateway::{Member, call};
use common::peer::{Peer, facts, socketio};
use common::redis::Redis;
use common::socketio::{Socket, opened, post, refusal};
use serde_json::{Value, json};

fn builder(nodes: usize, redis: &Redis) -> ClusterBuilder {
    Cluster::builder(nodes, redis).env("SOCKETIO_CONFORMANCE", "on")
}

/// Runs a scenario of the npm client by way of nginx.
fn node(scenario: &str, cluster: &Cluster, options: &str) -> Value {
    let mut command = socketio("client.cjs");
    let url = format!("http://{}", cluster.nginx().address());
    command.args([scenario, &url, options]);
    facts(command)
}

/// Opens a session by way of nginx; gives its name.
fn open(client: &mut Client) -> String {
    let response = client.get("/socket.io/?EIO=4&transport=polling");
    assert_eq!(response.status, 200, "{response:?}");
    let open = opened(response.text());
    open["sid"].as_str().expect("a name").to_owned()
}

fn target(sid: &str) -> String {
    format!("/socket.io/?EIO=4&transport=polling&sid={sid}")
}

#[test]
fn users_reach_each_other_across_nodes() {
    let redis = Redis::start();
    let cluster = Cluster::builder(2, &redis).start();
    await_status(&cluster, "ok");
    let mut ann = Member::of(cluster.node(0), "ann");
    let mut bob = Socket::of(cluster.node(1), "bob", "r");
    ann.join("r");
    let told = bob.ask("presence", &json!("r"));
    assert_eq!(told["users"], json!(["ann", "bob"]));
    let message = json!({ "recipient": "ann", "content": "hello" });
    assert_eq!(bob.ask("send_message", &message)["delivered"], 1);
    assert_eq!(ann.read_timeless()["text"], "hello");
    ann.send(&json!({ "type": "publish", "room": "r", "event": "tide", "data": 1 }));
    assert_eq!(bob.event(), ("tide".to_owned(), json!(1)));
    let body = json!({ "userId": "bob" });
    let (status, told) = call(&mut cluster.node(0).connect(), "/api/disconnect", &body);
    assert_eq!((status, &told["connections"]), (200, &json!(1)), "{told}");
    assert_eq!(bob.read_packet(), "41");
}

#[test]
fn a_gap_in_the_cluster_is_told() {
    let mut redis = Redis::start();
    let cluster = Cluster::builder(1, &redis).start();
    await_status(&cluster, "ok");
    let (mut bob, _) = Socket::open(cluster.node(0), "/socket.io/");
    bob.say("40");
    assert!(bob.read_packet().starts_with("40"));
    redis.restart();
    assert_eq!(bob.event(), ("gap".to_owned(), json!({ "type": "gap" })));
}

/// Every request finds its session, whichever node the others are at.
#[test]
fn requests_of_a_session_go_to_its_node() {
    let redis = Redis::start();
    let cluster = builder(2, &redis).start();
    await_status(&cluster, "ok");
    let mut client = cluster.nginx().connect();
    let names: Vec<String> = (0..20).map(|_| open(&mut client)).collect();
    for _ in 0..2 {
        for name in &names {
            let response = post(&mut client, &target(name), "3");
            assert_eq!((response.status, response.text()), (200, "ok"));
        }
    }
    // At both nodes there are some, and neither knows the other's.
    let known = |node: usize| -> BTreeSet<&String> {
        let is_known = |name: &&String| {
            let mut client = cluster.node(node).connect();
            let response = post(&mut client, &target(name), "3");
            assert!(response.status == 200 || refusal(&response) == (400, json!(1)));
            response.status == 200
        };
        names.iter().filter(is_known).collect()
    };
    let (first, second) = (known(0), known(1));
    assert!(!first.is_empty() && !second.is_empty());
    assert!(first.is_disjoint(&second) && first.len() + second.len() == names.len());
}

#[test]
fn npm_clients_talk_over_two_nodes_behind_nginx() {
    let redis = Redis::start();
    let cluster = builder(2, &redis).start();
    await_status(&cluster, "ok");
    for options in ["{}", "{\"transports\":[\"polling\"]}"] {
        for scenario in ["talk", "people", "namespaces"] {
            node(scenario, &cluster, options);
        }
    }
}

/// The client of a node that is killed goes on at another, with the same options.
#[test]
fn npm_clients_go_on_at_another_node() {
    let redis = Redis::start();
    let mut cluster = builder(2, &redis).start();
    await_status(&cluster, "ok");
    let options = json!({ "reconnectionDelay": 20, "reconnectionDelayMax": 100, "userId": "bob" });
    let mut command = socketio("client.cjs");
    let url = format!("http://{}", cluster.nginx().address());
    command.args(["listen", &url, &options.to_string()]);
    let bob = Peer::start(command);
    bob.wait_for("READY websocket");
    let (heard, _) = bob.wait_after(0, common::DEADLINE, |line| line.starts_with("READY"));
    let is_at = |cluster: &Cluster, node: usize| {
        let (_, told) = common::gateway::look(&mut cluster.node(node).connect(), "/api/status");
        told["totals"]["users"] == 1
    };
    let his = usize::from(!is_at(&cluster, 0));
    cluster.kill(his);
    bob.wait_after(heard, common::DEADLINE, |line| line.starts_with("READY"));
    let mut ann = Member::of(cluster.node(1 - his), "ann");
    ann.send(&json!({ "type": "chat", "targetUserId": "bob", "text": "still there?" }));
    bob.wait_for("still there?");
}
