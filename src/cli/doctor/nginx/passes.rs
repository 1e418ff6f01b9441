//! What nginx passes to the server, and the directives in force there.

use std::collections::HashMap;
use std::time::Duration;

use super::parse::Directive;
use crate::server::settings::ListenAddress;

/// A `proxy_pass` to the server.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    /// Where it stands, for people.
    pub(super) name: String,
    scope: Scope,
}

/// What is in force somewhere: set there, or in a block around it.
#[derive(Debug, Clone, Default)]
struct Scope {
    values: HashMap<String, String>,
    /// Names in lower case. A block that sets one has none of those around it.
    headers: HashMap<String, String>,
}

impl Pass {
    /// The value of a directive.
    pub(super) fn value(&self, directive: &str) -> Option<&str> {
        self.scope.values.get(directive).map(String::as_str)
    }

    /// What a header is set to, where it is; its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.scope.headers.get(name).map(String::as_str)
    }
}

/// What stands for an address in `proxy_pass` and `server`: the port, or `unix:` and the path. Nothing for a port that is different
/// each time.
pub(super) fn place(address: &ListenAddress) -> Option<String> {
    match address {
        ListenAddress::Tcp(address) => (address.port() != 0).then(|| address.port().to_string()),
        ListenAddress::Unix(path) => Some(format!("unix:{}", path.display())),
    }
}

/// Every `proxy_pass` to one of `places`, by itself or through an upstream.
pub(super) fn find(directives: &[Directive], places: &[String]) -> Vec<Pass> {
    let mut upstreams = HashMap::new();
    collect_upstreams(directives, &mut upstreams);
    let mut found = Vec::new();
    let search = Search { upstreams, places };
    search.walk(directives, &Scope::default(), "the top level", &mut found);
    found
}

/// The servers of each upstream, as they are written.
fn collect_upstreams(directives: &[Directive], found: &mut HashMap<String, Vec<String>>) {
    for directive in directives {
        let Some(block) = &directive.block else {
            continue;
        };
        if directive.name() == "upstream" {
            let servers = block.iter().filter(|one| one.name() == "server");
            let servers = servers.map(|one| one.value().to_owned()).collect();
            found.insert(directive.value().to_owned(), servers);
        } else {
            collect_upstreams(block, found);
        }
    }
}

struct Search<'p> {
    upstreams: HashMap<String, Vec<String>>,
    places: &'p [String],
}

impl Search<'_> {
    fn walk(&self, block: &[Directive], around: &Scope, name: &str, found: &mut Vec<Pass>) {
        let mut scope = around.clone();
        let is_header = |one: &&Directive| one.name() == "proxy_set_header";
        if block.iter().any(|one| is_header(&one)) {
            scope.headers.clear();
        }
        for directive in block {
            match &directive.words[..] {
                [name, header, value] if name == "proxy_set_header" => {
                    scope
                        .headers
                        .insert(header.to_ascii_lowercase(), value.clone());
                }
                [name, value] if name.starts_with("proxy_") && directive.block.is_none() => {
                    scope.values.insert(name.clone(), value.clone());
                }
                _ => {}
            }
        }
        for directive in block {
            if directive.name() == "proxy_pass" && self.is_ours(directive.value()) {
                found.push(Pass {
                    name: format!("{name} ({}:{})", directive.file.display(), directive.line),
                    scope: scope.clone(),
                });
            }
            if let Some(inner) = &directive.block {
                self.walk(inner, &scope, &directive.words.join(" "), found);
            }
        }
    }

    fn is_ours(&self, url: &str) -> bool {
        let target = url.split_once("://").map_or(url, |(_, rest)| rest);
        if let Some(path) = target.strip_prefix("unix:") {
            // In a URL what follows the path stands behind one more colon.
            let path = path.split(':').next().unwrap_or(path);
            return self.is_place(&format!("unix:{path}"));
        }
        let host = target.split('/').next().unwrap_or(target);
        match self.upstreams.get(host) {
            Some(servers) => servers.iter().any(|server| self.is_place(server)),
            None => self.is_place(host),
        }
    }

    /// Whether it is an address that the server listens on: its port says so, whatever the machine is called.
    fn is_place(&self, address: &str) -> bool {
        let end = address.rsplit(':').next().unwrap_or(address);
        self.places
            .iter()
            .any(|place| place == address || (!address.starts_with("unix:") && place == end))
    }
}

/// A time of nginx: `90`, `90s`, `1m 30s` without the blank, `500ms`.
pub(super) fn time(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 8] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 7 * 86_400_000),
        ("M", 30 * 86_400_000),
        ("y", 365 * 86_400_000),
    ];
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit());
        let (number, behind) = rest.split_at(digits.unwrap_or(rest.len()));
        let letters = behind.find(|letter: char| letter.is_ascii_digit());
        let (unit, behind) = behind.split_at(letters.unwrap_or(behind.len()));
        // Without a unit it is seconds.
        let unit = if unit.is_empty() { "s" } else { unit };
        let (_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let milliseconds = number.parse::<u64>().ok()?.checked_mul(*length)?;
        total = total.checked_add(milliseconds)?;
        rest = behind;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}
