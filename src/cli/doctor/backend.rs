//! The back end: whether it is there, who it shows to be, whether what is sent there is safe. No event is sent.

use std::fs;

use super::finding::Finding;
use super::tls;
use crate::backend::Kind;
use crate::gateway::EndpointKind;
use crate::server::settings::{BackendSettings, Settings};

const ABOUT: &str = "back end";
const SECRET: &str = "back end secret";
const URL: &str = "back end URL";
const ENDPOINTS: &str = "back end endpoints";
const CERTIFICATE: &str = "back end certificate";

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let Some(backend) = &settings.backend else {
        return vec![Finding::ok(ABOUT, "not used (BACKEND_URL is not set)")];
    };
    let mut findings = reach(backend);
    findings.push(secret(backend.secrets.count()));
    if backend.url.is_exposed() {
        findings.push(Finding::warning(
            URL,
            "events go over the network in the clear",
            "They have addresses, cookies and messages of users in them: use https:// in BACKEND_URL.",
        ));
    }
    let is_aside = backend.events.contains(&Kind::Connect)
        && !backend.endpoints.contains(&EndpointKind::SocketIo);
    let mut routes = settings.routes.iter();
    let aside = routes.find(|route| route.endpoint == EndpointKind::SocketIo);
    if let (Some(route), true, false) = (aside, is_aside, settings.tokens.is_required) {
        findings.push(Finding::warning(
            ENDPOINTS,
            format!("{} lets clients of Socket.IO in without asking it", route.path),
            "Have it asked about them (BACKEND_ENDPOINTS), want tokens (JWT_SECRET), or leave the route out (ROUTES).",
        ));
    }
    findings
}

fn reach(backend: &BackendSettings) -> Vec<Finding> {
    let url = match &backend.roots {
        None => backend.url.clone(),
        Some(path) => match fs::read(path) {
            Ok(roots) => backend.url.clone().with_roots(roots),
            Err(error) => {
                let found = format!("BACKEND_TLS_CA cannot be read: {error}");
                let advice = "Name a PEM file that the server may read.";
                return vec![Finding::problem(CERTIFICATE, found, advice)];
            }
        },
    };
    let reached = match url.reach() {
        Ok(reached) => reached,
        Err(why) => {
            let advice = "See that it runs, that BACKEND_URL names it, that it is let through from here, and that its certificate is for that name and \
                          from whom BACKEND_TLS_CA or the system believes.";
            return vec![Finding::problem(ABOUT, why, advice)];
        }
    };
    let took = reached.took.as_secs_f64() * 1e3;
    let found = format!("{} is reached within {took:.1} ms", reached.address);
    let mut findings = vec![Finding::ok(ABOUT, found)];
    findings.extend(
        reached
            .certificate
            .map(|certificate| tls::judge_leaf(CERTIFICATE, &certificate)),
    );
    findings
}

fn secret(secrets: usize) -> Finding {
    match secrets {
        0 => Finding::warning(
            SECRET,
            "nothing is signed",
            "Anybody who reaches the back end can tell it what they like: set BACKEND_SECRET, here and there.",
        ),
        1 => Finding::ok(SECRET, "events are signed"),
        _ => Finding::ok(SECRET, "events are signed by two, while they are rotated"),
    }
}
