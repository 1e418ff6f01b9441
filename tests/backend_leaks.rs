//! What a way to a back end leaves behind when it is dropped in the middle of everything: nothing. The only test of its process, as it
//! counts threads and descriptors.

mod common;

#[path = "backend_http/server.rs"]
#[allow(dead_code, reason = "not all that a script can say is said here")]
mod server;
#[path = "backend_http/told.rs"]
#[allow(dead_code, reason = "nothing is asked here")]
mod told;

use std::fs;
use std::net::TcpListener;
use std::time::Instant;

use common::{DEADLINE, eventually};
use server::{Reply, Server, Then};
use tidegate::backend::{Failure, Kind};
use told::{Way, config};

/// Threads of this process that the back end has named.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("threads").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("backend-")).count()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("descriptors").count()
}

#[test]
fn nothing_is_left_of_a_way_that_is_dropped() {
    // Takes connections in its backlog, and says nothing at all.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mute_url = format!("http://{}/", mute.local_addr().expect("an address"));
    let before = descriptors();
    for round in 0..5 {
        let server = Server::start(|request| match request.field("ce-type") {
            "io.tidegate.connect" => Reply::raw("", Then::Silence),
            "io.tidegate.message" => Reply::json("{}"),
            _ => Reply::status(503),
        });
        let url = if round % 2 == 0 {
            server.url()
        } else {
            mute_url.clone()
        };
        let way = Way::start(config(&url, |config| config.concurrency = 6));
        // Each gives itself its name.
        eventually("all threads run", || threads() == 7);
        for key in 0..40 {
            let kind = [Kind::Message, Kind::Connect, Kind::Disconnect][key as usize % 3];
            way.post(kind, key, key);
        }
        let busy = || way.backend.health().counts.in_flight == 6;
        eventually("all threads have something that never ends", busy);
        let told = way.told;
        let begun = Instant::now();
        drop(way.backend);
        assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
        eventually("the threads are gone", || threads() == 0);
        let mut all: Vec<u64> = told.all().iter().map(|(ticket, _)| *ticket).collect();
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>(), "each is told once");
        let stopped = told
            .all()
            .iter()
            .filter(|(_, outcome)| matches!(outcome, Err(Failure::Stopped)))
            .count();
        assert!(stopped >= 6, "{stopped}");
    }
    eventually("the descriptors are back", || descriptors() <= before);
}
