//! Which call a request is for.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::problem::Problem;

/// A call of the HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) enum Call {
    Health,
    OpenApi,
    AsyncApi,
    Status,
    Connections,
    ConnectionStats,
    RedisInfo,
    Rooms(ListQuery),
    Room(String),
    User(String),
    SendToUser,
    Message,
    Publish,
    Broadcast,
    Batch,
    Join,
    Leave,
    Disconnect,
    Ask,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct ListQuery {
    pub(super) prefix: String,
    pub(super) after: Option<String>,
    pub(super) limit: usize,
}

/// Entries of a list where nobody says how many.
const LIST_LIMIT: usize = 100;
/// Entries of a list at most.
const LIST_LIMIT_MAX: usize = 1_000;
/// Calls that read, and calls that act.
const READ: &[(&str, &str)] = &[("Allow", "GET, HEAD, OPTIONS")];
const ACT: &[(&str, &str)] = &[("Allow", "POST, OPTIONS")];

impl Call {
    /// Whether it takes a body, and changes something.
    pub(in crate::gateway) fn acts(&self) -> bool {
        matches!(
            self,
            Self::SendToUser
                | Self::Message
                | Self::Publish
                | Self::Broadcast
                | Self::Batch
                | Self::Join
                | Self::Leave
                | Self::Disconnect
                | Self::Ask
        )
    }

    /// Whether anybody may call it.
    pub(in crate::gateway) fn is_public(&self) -> bool {
        matches!(self, Self::Health | Self::OpenApi | Self::AsyncApi)
    }
}

/// Whether a path belongs to the API.
pub(in crate::gateway) fn is_api(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// What is at a path, whatever the method; `None` for nothing.
fn at(path: &str) -> Option<Result<Call, Problem>> {
    let call = match path.strip_prefix("/api/")? {
        "health" => Call::Health,
        "openapi.json" => Call::OpenApi,
        "asyncapi.json" => Call::AsyncApi,
        "status" => Call::Status,
        "connections" => Call::Connections,
        "stats/connections" => Call::ConnectionStats,
        "redis-info" => Call::RedisInfo,
        "rooms" => Call::Rooms(ListQuery {
            prefix: String::new(),
            after: None,
            limit: LIST_LIMIT,
        }),
        "send-to-user" => Call::SendToUser,
        "message" => Call::Message,
        "publish" => Call::Publish,
        "broadcast" => Call::Broadcast,
        "batch" => Call::Batch,
        "join" => Call::Join,
        "leave" => Call::Leave,
        "disconnect" => Call::Disconnect,
        "ask" => Call::Ask,
        rest => {
            let (kind, name) = rest.split_once('/')?;
            // A slash that belongs to a name is written %2F.
            if name.is_empty() || name.contains('/') {
                return None;
            }
            let name = match decoded(name) {
                Ok(name) => name.into_owned(),
                Err(problem) => return Some(Err(problem)),
            };
            match kind {
                "rooms" => Call::Room(name),
                "users" => Call::User(name),
                _ => return None,
            }
        }
    };
    Some(Ok(call))
}

fn decoded(text: &str) -> Result<Cow<'_, str>, Problem> {
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Problem::new(400, "The path is not UTF-8."))
}

/// The call that a request is for.
///
/// # Errors
/// 404, 405, or 400 for a path or a query that cannot be read.
pub(in crate::gateway) fn find(
    method: &str,
    path: &str,
    query: Option<&str>,
) -> Result<Call, Problem> {
    let mut call =
        at(path).ok_or_else(|| Problem::new(404, "The API has nothing at this path."))??;
    let is_right = match method {
        "GET" | "HEAD" => !call.acts(),
        "POST" => call.acts(),
        _ => false,
    };
    if !is_right {
        let allow = if call.acts() { ACT } else { READ };
        let detail = if call.acts() {
            "This call is a POST."
        } else {
            "This call is a GET."
        };
        return Err(Problem::new(405, detail).with_headers(allow));
    }
    if let Call::Rooms(list) = &mut call {
        read_query(query.unwrap_or(""), list)?;
    }
    Ok(call)
}

/// What a preflight request or an OPTIONS at `path` may use; `None` where there is nothing.
pub(in crate::gateway) fn methods(path: &str) -> Option<&'static str> {
    let call = at(path)?.ok()?;
    Some(if call.acts() {
        "POST, OPTIONS"
    } else {
        "GET, HEAD, OPTIONS"
    })
}

fn read_query(query: &str, list: &mut ListQuery) -> Result<(), Problem> {
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "prefix" => list.prefix = value.into_owned(),
            "after" => list.after = Some(value.into_owned()),
            "limit" => {
                let limit = value.parse().ok();
                list.limit = limit
                    .filter(|limit| (1..=LIST_LIMIT_MAX).contains(limit))
                    .ok_or_else(|| {
                        Problem::new(
                            400,
                            format!("`limit` is a number from 1 to {LIST_LIMIT_MAX}."),
                        )
                    })?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, path: &str, query: Option<&str>) -> u16 {
        find(method, path, query).expect_err("refused").status
    }

    #[test]
    fn calls_are_found_by_path_and_method() {
        assert_eq!(find("GET", "/api/status", None), Ok(Call::Status));
        assert_eq!(find("HEAD", "/api/status", Some("x=1")), Ok(Call::Status));
        assert_eq!(find("POST", "/api/publish", None), Ok(Call::Publish));
        assert_eq!(
            find("GET", "/api/rooms/a%2Fb%20c", None),
            Ok(Call::Room("a/b c".into()))
        );
        assert_eq!(
            find("GET", "/api/users/%C3%BC", None),
            Ok(Call::User("ü".into()))
        );
    }

    #[test]
    fn what_is_not_there_is_told_from_what_is_there_for_another_method() {
        for path in [
            "/api",
            "/api/",
            "/api/nothing",
            "/api/rooms/",
            "/api/rooms/a/b",
            "/api/others/a",
        ] {
            assert_eq!(status("GET", path, None), 404, "{path}");
            assert_eq!(methods(path), None);
        }
        for (method, path, allow) in [
            ("POST", "/api/status", "GET, HEAD, OPTIONS"),
            ("GET", "/api/publish", "POST, OPTIONS"),
            ("DELETE", "/api/rooms/a", "GET, HEAD, OPTIONS"),
        ] {
            let problem = find(method, path, None).expect_err("refused");
            assert_eq!((problem.status, problem.headers[0].1), (405, allow));
            assert_eq!(methods(path), Some(allow));
        }
        assert_eq!(status("GET", "/api/users/%FF", None), 400);
    }

    #[test]
    fn a_list_may_be_asked_for_in_parts() {
        let query = "prefix=a%20b&after=c+d&limit=7&other=1";
        let Ok(Call::Rooms(list)) = find("GET", "/api/rooms", Some(query)) else {
            panic!("the call for rooms");
        };
        assert_eq!((&*list.prefix, list.limit), ("a b", 7));
        assert_eq!(list.after.as_deref(), Some("c d"));
        for limit in ["0", "1001", "x", "", "-1"] {
            let query = format!("limit={limit}");
            assert_eq!(status("GET", "/api/rooms", Some(&query)), 400, "{limit}");
        }
    }
}
