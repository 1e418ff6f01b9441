//! Certificates: whether they serve, and for how long.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;

use super::finding::Finding;
use crate::server::settings::Settings;
use crate::server::tls_files;
use crate::timestamp;

const CERTIFICATE: &str = "TLS certificate";
const KEY: &str = "TLS key";
const DAY_S: i64 = 86_400;
/// Days before its end at which a certificate should have been renewed: who renews by itself does so at 30.
const DAYS_LEFT_MIN: i64 = 14;

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let Some(files) = &settings.tls else {
        return Vec::new();
    };
    if let Err(error) = tls_files::load(files) {
        let advice = "TLS_CERT is the chain, its leaf first, TLS_KEY its key, both as PEM and readable to the server.";
        return vec![Finding::problem(CERTIFICATE, error.to_string(), advice)];
    }
    let now = timestamp::since_1970().as_secs() as i64;
    let leaf = CertificateDer::from_pem_file(&files.certificate).ok();
    let validity = leaf.and_then(|leaf| validity(&leaf));
    let advice = "Renew it, then send SIGHUP: connections stay.";
    vec![judge(CERTIFICATE, validity, now, advice), key(&files.key)]
}

/// What is to be said of the certificate of somebody else who was believed.
pub(super) fn judge_leaf(about: &'static str, leaf: &CertificateDer<'_>) -> Finding {
    let now = timestamp::since_1970().as_secs() as i64;
    judge(about, validity(leaf), now, "Renew it where it is served.")
}

/// From when to when a leaf is valid, seconds since 1970.
fn validity(leaf: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, leaf) = parse_x509_certificate(leaf).ok()?;
    let validity = leaf.validity();
    Some((
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    ))
}

fn judge(about: &'static str, validity: Option<(i64, i64)>, now: i64, advice: &str) -> Finding {
    let Some((from, to)) = validity else {
        return Finding::warning(
            about,
            "it serves, and when it ends cannot be read",
            "Look at it: openssl x509 -noout -dates",
        );
    };
    let days = |seconds: i64| seconds / DAY_S;
    if now < from {
        let found = format!("it begins in {} days", days(from - now));
        return Finding::problem(about, found, "Take the older one, or mend the clock.");
    }
    if now >= to {
        let found = format!("it ended {} days ago", days(now - to));
        return Finding::problem(about, found, advice);
    }
    let left = days(to - now);
    let found = format!("it serves, and ends in {left} days");
    if left < DAYS_LEFT_MIN {
        return Finding::warning(about, found, advice);
    }
    Finding::ok(about, found)
}

fn key(path: &Path) -> Finding {
    let mode = fs::metadata(path).map_or(0, |file| file.permissions().mode());
    if mode & 0o007 != 0 {
        return Finding::warning(
            KEY,
            "everybody on this machine may read it",
            format!("chmod o= {}", path.display()),
        );
    }
    Finding::ok(KEY, "it fits the certificate, and is not for everybody")
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn the_end_of_a_certificate_comes_nearer() {
        let (from, to) = (100 * DAY_S, 200 * DAY_S);
        for (day, state, found) in [
            (99, State::Problem, "it begins in 1 days"),
            (150, State::Ok, "it serves, and ends in 50 days"),
            (187, State::Warning, "it serves, and ends in 13 days"),
            (200, State::Problem, "it ended 0 days ago"),
            (230, State::Problem, "it ended 30 days ago"),
        ] {
            let finding = judge(CERTIFICATE, Some((from, to)), day * DAY_S, "Renew it.");
            assert_eq!((finding.state, finding.found.as_str()), (state, found));
        }
        assert_eq!(
            judge(CERTIFICATE, None, 0, "Renew it.").state,
            State::Warning
        );
    }
}
