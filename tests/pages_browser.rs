//! The demo page and the dashboard in Chromium, as people use them. What they do and what has to come is written in `demo.cjs` and
//! `dashboard.cjs`. `UPDATE_DOCS=1` writes the pictures of the documents.

mod common;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::back_end::{BackEnd, nothing};
use common::cluster::{Cluster, await_status};
use common::gateway::{API_KEY, builder};
use common::peer::{Peer, facts, node_with_axe};
use common::redis::Redis;
use common::server::Server;

/// Bytes of one picture.
const PICTURE_BYTES_MAX: u64 = 150_000;

fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn script(name: &str) -> Command {
    let mut command = node_with_axe(name);
    if env::var_os("UPDATE_DOCS").is_some() {
        command.env("PICTURES", documents());
    }
    command
}

fn origin(server: &Server) -> String {
    format!("http://{}", server.address())
}

#[test]
fn people_talk_on_the_demo_page() {
    let server = builder(2).start();
    let mut command = script("demo.cjs");
    command.args([&origin(&server), API_KEY]);
    assert_eq!(facts(command)["done"], true);
}

#[test]
fn an_operator_works_on_the_dashboard() {
    let back_end = BackEnd::start(|event| match event.data()["query"].as_str() {
        Some("away") => (503, "", String::new()),
        _ => nothing(),
    });
    let server = builder(2).env("BACKEND_URL", back_end.url()).start();
    let without_key = Server::start();
    let mut command = script("dashboard.cjs");
    command.args([&origin(&server), API_KEY, &origin(&without_key)]);
    assert_eq!(facts(command)["done"], true);
}

#[test]
fn the_dashboard_shows_all_nodes_and_that_redis_is_away() {
    let mut redis = Redis::start();
    let cluster = Cluster::start(2, &redis);
    await_status(&cluster, "ok");
    let mut ann = cluster.member(1, "ann");
    let mut command = node_with_axe("dashboard_cluster.cjs");
    command.args([&origin(cluster.node(0)), API_KEY, "ann"]);
    let peer = Peer::start(command);
    peer.wait_for("READY");
    let why = ann.client.expect_close(1008);
    assert_eq!(why, "disconnected by an operator");
    redis.kill();
    assert_eq!(peer.facts()["done"], true);
}

#[test]
fn the_pictures_are_there_and_small() {
    for (page, kinds) in [
        ("demo", &["light", "dark", "phone"][..]),
        ("dashboard", &["light", "dark", "phone"]),
        ("dashboard-backend", &["light", "dark"]),
    ] {
        for kind in kinds {
            let path = documents().join(format!("{page}-{kind}.png"));
            let picture =
                fs::metadata(&path).unwrap_or_else(|error| panic!("{error}: {}", path.display()));
            assert!(
                picture.len() <= PICTURE_BYTES_MAX,
                "{}: {}",
                path.display(),
                picture.len()
            );
        }
    }
}
