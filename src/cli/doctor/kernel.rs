//! What the kernel allows: file descriptors, queues of connections that come, ports, memory, connections that a firewall tracks.

use std::fs;

use super::finding::Finding;
use crate::limits::{OPEN_FILES_RESERVE, OPEN_FILES_RESERVE_PER_WORKER};
use crate::server::settings::Settings;

/// Connections that wait to be accepted: what the server asks for, and what the kernel should allow.
const BACKLOG: u64 = 4_096;
/// Fewer connections than that are hardly what somebody wants of such a server.
const CONNECTIONS_FEW: u64 = 10_000;
/// What the kernel should have for each connection, bytes: an idle one takes 5 KB.
const TCP_BYTES_PER_CONNECTION: u64 = 8 * 1024;

/// Reads a number, or several, below `/proc/sys`.
type Read<'r> = &'r dyn Fn(&str) -> Option<Vec<u64>>;

/// Everything that the kernel tells here: containers hide some of it.
pub(super) fn look(settings: &Settings, open_files_max: u64) -> Vec<Finding> {
    let asked = Asked {
        connections: settings.connections_max as u64,
        workers: settings.workers as u64,
    };
    judge(&asked, open_files_max, &|name| {
        let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
        text.split_whitespace()
            .map(|word| word.parse().ok())
            .collect()
    })
}

/// What the settings ask for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    connections: u64,
    workers: u64,
}

fn judge(asked: &Asked, open_files_max: u64, read: Read<'_>) -> Vec<Finding> {
    let first = |name: &str| read(name)?.first().copied();
    let mut findings = vec![open_files(asked, open_files_max)];
    findings.extend(first("fs/file-max").map(|most| file_max(asked, most)));
    findings.extend(
        [
            (
                "net.core.somaxconn",
                "net/core/somaxconn",
                "wait to be accepted",
            ),
            (
                "net.ipv4.tcp_max_syn_backlog",
                "net/ipv4/tcp_max_syn_backlog",
                "are being opened",
            ),
        ]
        .into_iter()
        .filter_map(|(about, name, which)| Some(backlog(about, first(name)?, which))),
    );
    findings.extend(read("net/ipv4/ip_local_port_range").and_then(|range| ports(asked, &range)));
    findings.extend(read("net/ipv4/tcp_mem").and_then(|pages| tcp_memory(asked, &pages)));
    findings.extend(
        first("net/netfilter/nf_conntrack_max")
            .map(|most| tracked(asked, most, first("net/netfilter/nf_conntrack_count"))),
    );
    findings
}

fn open_files(asked: &Asked, most: u64) -> Finding {
    const ABOUT: &str = "open files";
    let advice = "Raise the hard limit of the service: LimitNOFILE= in systemd, `ulimit -Hn` in a shell, --ulimit in Docker.";
    let reserve = OPEN_FILES_RESERVE + OPEN_FILES_RESERVE_PER_WORKER * asked.workers;
    let room = most.saturating_sub(reserve);
    let found = format!(
        "{most} at most, {reserve} of them in reserve; MAX_CONNECTIONS is {}",
        asked.connections
    );
    if room < asked.connections {
        Finding::problem(ABOUT, found, advice)
    } else if asked.connections < CONNECTIONS_FEW && room - asked.connections < CONNECTIONS_FEW {
        Finding::warning(ABOUT, found, advice)
    } else {
        Finding::ok(ABOUT, found)
    }
}

fn file_max(asked: &Asked, most: u64) -> Finding {
    const ABOUT: &str = "fs.file-max";
    let found = format!("{most} files on the whole machine");
    if most < asked.connections + OPEN_FILES_RESERVE {
        let advice = format!(
            "Raise it well beyond MAX_CONNECTIONS: sysctl fs.file-max={}",
            asked.connections * 4
        );
        return Finding::problem(ABOUT, found, advice);
    }
    Finding::ok(ABOUT, found)
}

fn backlog(about: &'static str, most: u64, which: &str) -> Finding {
    let found = format!("{most} connections that {which}");
    if most < BACKLOG {
        let advice =
            format!("When many come at once the others wait for seconds: sysctl {about}={BACKLOG}");
        return Finding::warning(about, found, advice);
    }
    Finding::ok(about, found)
}

fn ports(asked: &Asked, range: &[u64]) -> Option<Finding> {
    const ABOUT: &str = "net.ipv4.ip_local_port_range";
    let [from, to] = range else {
        return None;
    };
    let ports = (to + 1).saturating_sub(*from);
    let found = format!("{from} to {to}, {ports} ports");
    if ports < asked.connections {
        let advice = format!(
            "nginx on one machine reaches one address of the server with so many connections only, and MAX_CONNECTIONS is {}: \
             sysctl {ABOUT}=\"1024 65535\", several addresses in the upstream, or a Unix socket",
            asked.connections
        );
        return Some(Finding::warning(ABOUT, found, advice));
    }
    Some(Finding::ok(ABOUT, found))
}

fn tcp_memory(asked: &Asked, pages: &[u64]) -> Option<Finding> {
    const ABOUT: &str = "net.ipv4.tcp_mem";
    let [.., most] = pages else {
        return None;
    };
    let page_bytes = rustix::param::page_size() as u64;
    let bytes = most.saturating_mul(page_bytes);
    let found = format!("{} MiB for all of TCP", bytes >> 20);
    let wanted = asked.connections.saturating_mul(TCP_BYTES_PER_CONNECTION);
    if bytes < wanted {
        let wanted = wanted.div_ceil(page_bytes);
        let advice = format!(
            "{} connections need more, or the kernel drops some: sysctl {ABOUT}=\"{} {wanted} {}\"",
            asked.connections,
            wanted / 2,
            wanted * 2
        );
        return Some(Finding::warning(ABOUT, found, advice));
    }
    Some(Finding::ok(ABOUT, found))
}

fn tracked(asked: &Asked, most: u64, now: Option<u64>) -> Finding {
    const ABOUT: &str = "net.netfilter.nf_conntrack_max";
    let used = now.map_or_else(String::new, |now| format!(", {now} in use"));
    let found = format!("the firewall tracks {most} connections at most{used}");
    let advice = format!(
        "Packets of others are dropped once it is full: sysctl {ABOUT}={}, or no tracking of the server's port",
        asked.connections.saturating_mul(2).max(most)
    );
    if now.is_some_and(|now| now >= most / 10 * 9) {
        Finding::problem(ABOUT, found, advice)
    } else if most < asked.connections {
        Finding::warning(ABOUT, found, advice)
    } else {
        Finding::ok(ABOUT, found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    const ASKED: Asked = Asked {
        connections: 100_000,
        workers: 4,
    };

    /// What is found where the kernel says that.
    fn found(asked: Asked, open_files_max: u64, told: &[(&str, &[u64])]) -> Vec<(String, State)> {
        let read = |name: &str| {
            let mut told = told.iter();
            let (_, numbers) = told.find(|(known, _)| *known == name)?;
            Some(numbers.to_vec())
        };
        let findings = judge(&asked, open_files_max, &read);
        let each = findings.into_iter();
        each.map(|finding| {
            assert_eq!(finding.advice.is_empty(), finding.state == State::Ok);
            (finding.about.to_owned(), finding.state)
        })
        .collect()
    }

    #[test]
    fn a_machine_for_many_is_well_and_a_hidden_kernel_says_nothing() {
        let told: &[(&str, &[u64])] = &[
            ("fs/file-max", &[1 << 40]),
            ("net/core/somaxconn", &[4096]),
            ("net/ipv4/tcp_max_syn_backlog", &[8192]),
            ("net/ipv4/ip_local_port_range", &[1024, 65_535]),
            ("net/ipv4/tcp_mem", &[1, 2, 1 << 20]),
            ("net/netfilter/nf_conntrack_max", &[1 << 20]),
            ("net/netfilter/nf_conntrack_count", &[1000]),
        ];
        let asked = Asked {
            connections: 60_000,
            ..ASKED
        };
        let states = found(asked, 1 << 20, told);
        assert_eq!(states.len(), 7);
        assert!(
            states.iter().all(|(_, state)| *state == State::Ok),
            "{states:?}"
        );
        assert_eq!(
            found(asked, 1 << 20, &[]),
            [("open files".to_owned(), State::Ok)]
        );
    }

    #[test]
    fn what_is_too_small_is_found() {
        let small: &[(&str, &[u64], State)] = &[
            ("fs/file-max", &[50_000], State::Problem),
            ("net/core/somaxconn", &[128], State::Warning),
            ("net/ipv4/tcp_max_syn_backlog", &[256], State::Warning),
            (
                "net/ipv4/ip_local_port_range",
                &[32_768, 60_999],
                State::Warning,
            ),
            ("net/ipv4/tcp_mem", &[1, 2, 3], State::Warning),
            ("net/netfilter/nf_conntrack_max", &[65_536], State::Warning),
        ];
        for (name, numbers, state) in small {
            let states = found(ASKED, 1 << 20, &[(name, numbers)]);
            assert_eq!(states[1].1, *state, "{name}");
        }
        let full: &[(&str, &[u64])] = &[
            ("net/netfilter/nf_conntrack_max", &[1 << 20]),
            ("net/netfilter/nf_conntrack_count", &[1_000_000]),
        ];
        assert_eq!(found(ASKED, 1 << 20, full)[1].1, State::Problem);
        // Numbers that are none, or too few, are nothing that could be judged.
        assert_eq!(found(ASKED, 1 << 20, &[("net/ipv4/tcp_mem", &[])]).len(), 1);
        assert_eq!(
            found(ASKED, 1 << 20, &[("net/ipv4/ip_local_port_range", &[1])]).len(),
            1
        );
    }

    #[test]
    fn descriptors_have_to_do_for_the_connections() {
        let asked = |connections| Asked {
            connections,
            workers: 1,
        };
        let reserve = OPEN_FILES_RESERVE + OPEN_FILES_RESERVE_PER_WORKER;
        for (most, connections, state) in [
            (1 << 20, 100_000, State::Ok),
            (100 + reserve, 100, State::Warning),
            (99 + reserve, 100, State::Problem),
            // Somebody wants few, and there is room for more.
            (1 << 20, 100, State::Ok),
        ] {
            assert_eq!(found(asked(connections), most, &[])[0].1, state, "{most}");
        }
    }
}
