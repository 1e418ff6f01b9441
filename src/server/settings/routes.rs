//! `ROUTES` and `SUBPROTOCOLS` to values.

use super::{EndpointKind, Route};
use crate::limits::ROUTES_MAX;

/// Paths that the server answers itself, and the beginnings of such paths.
const RESERVED: [&str; 3] = ["/health", "/metrics", "/dashboard"];
const RESERVED_BEGINNINGS: [&str; 3] = ["/api/", "/dashboard/", "/pages/"];
const PATH_BYTES_MAX: usize = 1_024;

/// The route table of `/path=endpoint` entries, in their order.
///
/// # Errors
/// The entry that is none, and why.
pub(super) fn parse(entries: &[String]) -> Result<Vec<Route>, String> {
    if entries.is_empty() {
        return Err("must name at least one route, such as /ws=echo".to_owned());
    }
    if entries.len() > ROUTES_MAX {
        return Err(format!(
            "names {} routes; {ROUTES_MAX} is the most",
            entries.len()
        ));
    }
    let mut routes: Vec<Route> = Vec::with_capacity(entries.len());
    for entry in entries {
        let route = parse_one(entry)?;
        if routes.iter().any(|earlier| earlier.path == route.path) {
            return Err(format!("names the path \"{}\" twice", route.path));
        }
        routes.push(route);
    }
    Ok(routes)
}

fn parse_one(entry: &str) -> Result<Route, String> {
    let Some((path, endpoint)) = entry.rsplit_once('=') else {
        return Err(format!("\"{entry}\" must be /path=endpoint"));
    };
    let (path, endpoint) = (path.trim(), endpoint.trim());
    let visible = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    if !path.starts_with('/') || !visible || path.len() > PATH_BYTES_MAX {
        return Err(format!(
            "the path \"{path}\" must begin with / and hold visible ASCII without ? and #, \
             {PATH_BYTES_MAX} bytes at most"
        ));
    }
    if RESERVED.contains(&path) || RESERVED_BEGINNINGS.iter().any(|own| path.starts_with(own)) {
        return Err(format!("the path \"{path}\" is the server's own"));
    }
    let Some(endpoint) = endpoint_named(endpoint) else {
        return Err(format!(
            "the endpoint \"{endpoint}\" of \"{path}\" must be gateway, socketio, echo, broadcast or engineio-echo"
        ));
    };
    Ok(Route {
        path: path.to_owned(),
        endpoint,
    })
}

fn endpoint_named(name: &str) -> Option<EndpointKind> {
    EndpointKind::ALL
        .into_iter()
        .find(|kind| kind.name() == name && *kind != EndpointKind::Dashboard)
}

/// Bytes of the name of a namespace.
const NAMESPACE_BYTES_MAX: usize = 128;

/// Checks names of Socket.IO namespaces: each once, of plain characters, and not the main one, which is always there.
///
/// # Errors
/// The name that is none.
pub(super) fn check_namespaces(names: &[String]) -> Result<(), String> {
    for (index, name) in names.iter().enumerate() {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        let is_name = name.len() > 1 && name.starts_with('/') && name.bytes().all(is_plain);
        if !is_name || name.len() > NAMESPACE_BYTES_MAX {
            return Err(format!(
                "\"{name}\" must begin with / and hold letters, digits, - _ . and /, \
                 {NAMESPACE_BYTES_MAX} bytes at most"
            ));
        }
        if names.iter().take(index).any(|earlier| earlier == name) {
            return Err(format!("names \"{name}\" twice"));
        }
    }
    Ok(())
}

/// Checks subprotocol names: tokens (RFC 9110 section 5.6.2), each once (RFC 6455 section 11.3.4).
///
/// # Errors
/// The name that is none.
pub(super) fn check_subprotocols(names: &[String]) -> Result<(), String> {
    for (index, name) in names.iter().enumerate() {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !name.bytes().all(is_token) {
            return Err(format!(
                "\"{name}\" must be an HTTP token: letters, digits, - . _ and such"
            ));
        }
        if names.iter().take(index).any(|earlier| earlier == name) {
            return Err(format!("names \"{name}\" twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Route>, String> {
        parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn routes_keep_their_order() {
        let routes = parsed("/ws=echo,/a=b=broadcast,/ = echo").expect("routes");
        let rows: Vec<_> = routes
            .iter()
            .map(|route| (route.path.as_str(), route.endpoint.name()))
            .collect();
        assert_eq!(
            rows,
            [("/ws", "echo"), ("/a=b", "broadcast"), ("/", "echo")]
        );
    }

    #[test]
    fn refusals_say_which_route_and_why() {
        let bad_path =
            "must begin with / and hold visible ASCII without ? and #, 1024 bytes at most";
        for (text, problem) in [
            ("/ws", "\"/ws\" must be /path=endpoint".to_owned()),
            ("ws=echo", format!("the path \"ws\" {bad_path}")),
            ("/w s=echo", format!("the path \"/w s\" {bad_path}")),
            ("/ws?x=echo", format!("the path \"/ws?x\" {bad_path}")),
            ("/ü=echo", format!("the path \"/ü\" {bad_path}")),
            (
                "/ws=shout",
                "the endpoint \"shout\" of \"/ws\" must be gateway, socketio, echo, broadcast or engineio-echo"
                    .to_owned(),
            ),
            (
                "/ws=",
                "the endpoint \"\" of \"/ws\" must be gateway, socketio, echo, broadcast or engineio-echo"
                    .to_owned(),
            ),
            (
                "/health=echo",
                "the path \"/health\" is the server's own".to_owned(),
            ),
            (
                "/metrics=echo",
                "the path \"/metrics\" is the server's own".to_owned(),
            ),
            (
                "/api/chat=gateway",
                "the path \"/api/chat\" is the server's own".to_owned(),
            ),
            (
                "/dashboard/live=echo",
                "the path \"/dashboard/live\" is the server's own".to_owned(),
            ),
            (
                "/watch=dashboard",
                "the endpoint \"dashboard\" of \"/watch\" must be gateway, socketio, echo, broadcast or engineio-echo"
                    .to_owned(),
            ),
            (
                "/a=echo,/a=broadcast",
                "names the path \"/a\" twice".to_owned(),
            ),
        ] {
            assert_eq!(parsed(text), Err(problem), "{text}");
        }
        let none = "must name at least one route, such as /ws=echo";
        assert_eq!(parse(&[]), Err(none.to_owned()));
        let many: Vec<String> = (0..=ROUTES_MAX).map(|n| format!("/{n}=echo")).collect();
        assert_eq!(
            parse(&many),
            Err("names 257 routes; 256 is the most".to_owned())
        );
    }

    #[test]
    fn namespaces_are_plain_and_unique() {
        let check = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            check_namespaces(&names)
        };
        assert_eq!(check(&["/chat", "/a/b-c_d.e"]), Ok(()));
        assert_eq!(check(&["/a", "/a"]), Err("names \"/a\" twice".to_owned()));
        let long = format!("/{}", "a".repeat(NAMESPACE_BYTES_MAX));
        for name in ["/", "chat", "/a b", "/a,b", "/\u{fc}", "/a\"", &long] {
            let problem = format!(
                "\"{name}\" must begin with / and hold letters, digits, - _ . and /, 128 bytes at most"
            );
            assert_eq!(check(&[name]), Err(problem));
        }
    }

    #[test]
    fn subprotocols_are_tokens_and_unique() {
        let check = |names: &[&str]| {
            check_subprotocols(
                &names
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(check(&["chat", "v2.chat!"]), Ok(()));
        assert_eq!(check(&["a", "b", "a"]), Err("names \"a\" twice".to_owned()));
        assert_eq!(
            check(&["a b"]),
            Err("\"a b\" must be an HTTP token: letters, digits, - . _ and such".to_owned())
        );
    }
}
