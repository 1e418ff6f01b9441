//! The places where the server is to listen: free, or this server's already.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::finding::Finding;
use crate::cli::check::unix_problem;
use crate::cli::health::{ask, reachable};
use crate::server::settings::{ListenAddress, Settings};

const ABOUT: &str = "address";

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let is_encrypted = settings.tls.is_some();
    let looks = settings.listen.iter().map(|address| match address {
        ListenAddress::Tcp(address) => tcp(*address, is_encrypted),
        ListenAddress::Unix(path) => {
            let name = format!("unix:{}", path.display());
            match unix_problem(path) {
                None => Finding::ok(ABOUT, format!("{name} can be listened on")),
                Some(why) => Finding::problem(
                    ABOUT,
                    format!("{name} cannot be listened on: {why}"),
                    "Name another path in HOST, or make room there.",
                ),
            }
        }
    });
    looks.collect()
}

fn tcp(address: SocketAddr, is_encrypted: bool) -> Finding {
    if address.port() == 0 {
        return Finding::ok(ABOUT, format!("a free port of {}", address.ip()));
    }
    let error = match TcpListener::bind(address) {
        Ok(_) => return Finding::ok(ABOUT, format!("{address} is free")),
        Err(error) => error,
    };
    let found = format!("{address} cannot be listened on: {error}");
    match error.kind() {
        io::ErrorKind::AddrInUse if is_encrypted => Finding::warning(
            ABOUT,
            format!("{address} is in use, and TLS hides by whom"),
            "Where it is not the server that runs already, choose another PORT.",
        ),
        io::ErrorKind::AddrInUse if is_ours(address) => {
            Finding::ok(ABOUT, format!("{address} is served by Tidegate already"))
        }
        io::ErrorKind::AddrInUse => Finding::problem(
            ABOUT,
            format!("{address} is in use, and not by Tidegate"),
            "Choose another PORT, or end what listens there (ss -ltnp).",
        ),
        io::ErrorKind::PermissionDenied => Finding::problem(
            ABOUT,
            found,
            "Ports below 1024 need a capability: AmbientCapabilities=CAP_NET_BIND_SERVICE in systemd.",
        ),
        _ => Finding::problem(
            ABOUT,
            found,
            "HOST has to name addresses of this machine (ip address).",
        ),
    }
}

/// Whether who listens there answers `/health` as this server does.
fn is_ours(address: SocketAddr) -> bool {
    let answer = ask(reachable(address)).unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer);
    ["ok", "draining"]
        .iter()
        .any(|status| answer.ends_with(&format!("{{\"status\":\"{status}\"}}\n")))
}
