//! The origin check of the opening handshake (RFC 6454, RFC 6455 section 10.2).
//!
//! The value is taken apart and compared part by part, never by prefix or suffix of the text.

use std::net::Ipv6Addr;

/// Whose pages may open a connection. Empty allows any, and an absent `Origin` too.
///
/// As soon as there is one entry, a handshake without `Origin` is refused: what a browser always sends is then
/// required of all. `null` (sandboxed frames, local files) is refused unless it is an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OriginPolicy {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// `*`: any, absent too.
    Any,
    /// `null`, the origin of what has none.
    Null,
    Exact {
        scheme: String,
        host: Host<String>,
        port: Option<u16>,
    },
    /// Any name below `domain`, at any depth, not `domain` itself.
    Below {
        /// `http` and `https` where none is given.
        scheme: Option<String>,
        domain: String,
        /// The scheme's default port where none is given.
        port: Option<u16>,
    },
}

/// An origin taken apart (RFC 6454 section 6.2). An absent port is the scheme's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Origin<'a> {
    scheme: &'a str,
    host: Host<&'a str>,
    port: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host<Name> {
    Name(Name),
    Address(Ipv6Addr),
}

impl OriginPolicy {
    /// Parses one entry after the other: exact origins (`https://example.com`, `http://localhost:3000`), patterns
    /// (`https://*.example.com`, `https://*.example.com:8443`; without a scheme `*.example.com` means http and https),
    /// `null`, and `*` for any. A port that is not named is the scheme's default, and only that. Empty entries are
    /// passed over.
    ///
    /// # Errors
    /// The entry that is neither, with what is wrong.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let entries = entries
            .into_iter()
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| parse_entry(entry).map_err(|why| format!("`{entry}` {why}")))
            .collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// Whether every origin is allowed, and no origin too.
    pub fn is_any(&self) -> bool {
        self.entries.is_empty() || self.entries.contains(&Entry::Any)
    }

    /// Whether a handshake with this `Origin` header value (`None`: absent) is allowed. A value that is no single
    /// serialized origin matches nothing but `*`.
    pub fn allows(&self, origin: Option<&[u8]>) -> bool {
        if self.is_any() {
            return true;
        }
        let Some(text) = origin.and_then(|value| str::from_utf8(value).ok()) else {
            return false;
        };
        if text == "null" {
            return self.entries.contains(&Entry::Null);
        }
        parse_origin(text)
            .is_some_and(|origin| self.entries.iter().any(|entry| entry.matches(&origin)))
    }
}

impl Entry {
    fn matches(&self, origin: &Origin<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Null => false,
            Self::Exact { scheme, host, port } => {
                let is_same_host = match (host, origin.host) {
                    (Host::Name(ours), Host::Name(theirs)) => ours.eq_ignore_ascii_case(theirs),
                    (Host::Address(ours), Host::Address(theirs)) => *ours == theirs,
                    _ => false,
                };
                is_same_host
                    && scheme.eq_ignore_ascii_case(origin.scheme)
                    && is_same_port(*port, origin)
            }
            Self::Below {
                scheme,
                domain,
                port,
            } => {
                let is_scheme = match scheme {
                    Some(scheme) => scheme.eq_ignore_ascii_case(origin.scheme),
                    None => default_port(origin.scheme).is_some(),
                };
                let Host::Name(name) = origin.host else {
                    return false;
                };
                is_scheme && is_below(name, domain) && is_same_port(*port, origin)
            }
        }
    }
}

/// A port that is the scheme's default is the same as none.
fn is_same_port(port: Option<u16>, origin: &Origin<'_>) -> bool {
    let default = default_port(origin.scheme);
    port.or(default) == origin.port.or(default)
}

fn default_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else {
        None
    }
}

/// Whether `name` is `domain` with at least one more label in front. Labels of `name` are not empty: it was parsed.
fn is_below(name: &str, domain: &str) -> bool {
    let Some(front) = name.len().checked_sub(domain.len()) else {
        return false;
    };
    let (Some(front), Some(back)) = (name.get(..front), name.get(front..)) else {
        return false;
    };
    back.eq_ignore_ascii_case(domain) && front.len() > 1 && front.ends_with('.')
}

/// Takes a serialized origin apart; `None` for anything more or less than one.
fn parse_origin(text: &str) -> Option<Origin<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    if !is_scheme(scheme) {
        return None;
    }
    let (host, port) = if rest.starts_with('[') {
        let end = rest.find(']')? + 1;
        let (literal, port) = rest.split_at(end);
        (Host::Address(literal[1..end - 1].parse().ok()?), port)
    } else {
        let end = rest.find(':').unwrap_or(rest.len());
        let (name, port) = rest.split_at(end);
        if !is_host_name(name) {
            return None;
        }
        (Host::Name(name), port)
    };
    let port = if port.is_empty() {
        None
    } else {
        Some(parse_port(port.strip_prefix(':')?)?)
    };
    Some(Origin { scheme, host, port })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Labels of letters, digits, `-` and `_` (not in DNS's rules for hosts, but in use), with a dot between; one dot may
/// end the name, which makes it another name. Everything else in an origin is a trick.
fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    text.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    })
}

/// 1 to 65535, digits without a leading zero: as browsers write it.
fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if is_plain { text.parse().ok() } else { None }
}

fn parse_entry(entry: &str) -> Result<Entry, &'static str> {
    match entry {
        "*" => return Ok(Entry::Any),
        "null" => return Ok(Entry::Null),
        _ => {}
    }
    let (scheme, rest) = match entry.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, entry),
    };
    match scheme {
        Some(scheme) if !is_scheme(scheme) => return Err("has a scheme that is none"),
        Some(scheme)
            if ["ws", "wss"]
                .iter()
                .any(|ws| scheme.eq_ignore_ascii_case(ws)) =>
        {
            return Err("must name the scheme of the page: http or https, not ws or wss");
        }
        _ => {}
    }
    if let Some(pattern) = rest.strip_prefix("*.") {
        return parse_pattern(scheme, pattern);
    }
    if scheme.is_none() {
        return Err(
            "needs a scheme, such as https://example.com, or is a pattern such as *.example.com",
        );
    }
    if !entry.is_ascii() {
        return Err("must be written in ASCII: a name in other letters begins with xn--");
    }
    let origin = parse_origin(entry)
        .ok_or("is no origin: it must be scheme://host or scheme://host:port, without path")?;
    let host = match origin.host {
        Host::Name(name) => Host::Name(name.to_ascii_lowercase()),
        Host::Address(address) => Host::Address(address),
    };
    Ok(Entry::Exact {
        scheme: origin.scheme.to_ascii_lowercase(),
        host,
        port: origin.port,
    })
}

/// What follows `*.` in a pattern.
fn parse_pattern(scheme: Option<&str>, pattern: &str) -> Result<Entry, &'static str> {
    let (domain, port) = match pattern.split_once(':') {
        None => (pattern, None),
        Some((domain, port)) => (
            domain,
            Some(parse_port(port).ok_or("has a port that is none")?),
        ),
    };
    if !is_host_name(domain) {
        return Err("is no pattern: after *. there must be a domain and nothing else");
    }
    Ok(Entry::Below {
        scheme: scheme.map(str::to_ascii_lowercase),
        domain: domain.to_ascii_lowercase(),
        port,
    })
}

#[cfg(test)]
mod tests;
