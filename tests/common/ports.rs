//! Ports for what is ended and started again at the same address.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Where the kernel takes free ports from.
const CHANCE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Ports below belong to services of the machine.
const PORT_MIN: u16 = 10_000;
/// Fewer than these are not looked for one.
const RANGE_MIN: usize = 1000;
const TRIES_MAX: usize = 100;

/// What was given already: its owner may not have bound it yet, or may be down.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that is free now and that the kernel gives to nobody who asks for any: not to a connection of another test
/// while its owner is down, nor to one that its clients open to it, which would connect to itself.
pub(crate) fn lasting() -> u16 {
    let range = range(&fs::read_to_string(CHANCE).unwrap_or_default());
    for _ in 0..TRIES_MAX {
        let port = rand::random_range(range.clone());
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port of {range:?} in {TRIES_MAX} tries");
}

/// The ports that are not within the range that the kernel tells.
pub(crate) fn range(told: &str) -> Range<u16> {
    let mut ends = told
        .split_whitespace()
        .filter_map(|end| end.parse::<u16>().ok());
    let (first, last) = (ends.next().unwrap_or(32_768), ends.next().unwrap_or(60_999));
    let free = [PORT_MIN..first, last.saturating_add(1)..u16::MAX];
    let free = free.into_iter().find(|range| range.len() >= RANGE_MIN);
    free.unwrap_or_else(|| panic!("{CHANCE} leaves no ports: {told}"))
}
