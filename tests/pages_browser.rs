//! The demo page and the dashboard in Chromium, as people use them. What they do and what has to come is written in `demo.cjs` and
//! `dashboard.cjs`. `UPDATE_DOCS=1` writes the pictures of the documents.

mod common;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::gateway::{API_KEY, builder};
use common::peer::{facts, node_with_axe};
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
    let server = builder(2).start();
    let without_key = Server::start();
    let mut command = script("dashboard.cjs");
    command.args([&origin(&server), API_KEY, &origin(&without_key)]);
    assert_eq!(facts(command)["done"], true);
}

#[test]
fn the_pictures_are_there_and_small() {
    for page in ["demo", "dashboard"] {
        for kind in ["light", "dark", "phone"] {
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
