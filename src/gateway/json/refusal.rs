//! Why a message of the gateway protocol is not followed: a code for programs, a sentence for people.

use std::fmt;

use crate::auth::token::TokenError;
use crate::gateway::name::NameProblem;
use crate::gateway::tally::Limit;

/// What is wrong. The connection stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) enum Refusal {
    /// Not one JSON object from this line and column on.
    Json(usize, usize),
    /// Messages are text.
    Binary,
    Id,
    UnknownType,
    Missing(&'static str),
    NotText(&'static str),
    NotFlag(&'static str),
    Name(&'static str, NameProblem),
    NotRegistered,
    AlreadyRegistered,
    NotAMember,
    TooManyRooms(usize),
    TooManyConnections(usize),
    /// The settings or the token do not let the client do that.
    Forbidden(&'static str),
    /// A name takes a token here.
    NotAuthenticated,
    /// Tokens are for nothing here.
    NoTokens,
    Token(TokenError),
    /// Too much waits for the back end already.
    Busy,
    /// The back end is not asked, since it does not answer.
    Away,
    /// It was asked, and has not answered as it should.
    Failed,
    /// It has said no, and why.
    Declined(Box<str>),
}

impl Refusal {
    pub(in crate::gateway) fn json(error: &serde_json::Error) -> Self {
        Self::Json(error.line(), error.column())
    }

    /// The limit that was reached, where one was.
    pub(in crate::gateway) fn limit(&self) -> Option<Limit> {
        match self {
            Self::TooManyRooms(_) => Some(Limit::Rooms),
            Self::TooManyConnections(_) => Some(Limit::UserConnections),
            Self::Name(_, NameProblem::TooLong(_)) => Some(Limit::NameLength),
            _ => None,
        }
    }

    /// What programs tell it by.
    pub(in crate::gateway) fn code(&self) -> &'static str {
        match self {
            Self::Json(..) => "bad-json",
            Self::Binary => "binary-message",
            Self::Id => "bad-id",
            Self::UnknownType => "unknown-type",
            Self::Missing(_) => "missing-field",
            Self::NotText(_) | Self::NotFlag(_) | Self::Name(..) => "bad-field",
            Self::NotRegistered => "not-registered",
            Self::AlreadyRegistered => "already-registered",
            Self::NotAMember => "not-a-member",
            Self::TooManyRooms(_) => "too-many-rooms",
            Self::TooManyConnections(_) => "too-many-connections",
            Self::Forbidden(_) => "forbidden",
            Self::NotAuthenticated => "not-authenticated",
            Self::NoTokens | Self::Token(_) => "bad-token",
            Self::Busy => "backend-busy",
            Self::Away => "backend-away",
            Self::Failed => "backend-failed",
            Self::Declined(_) => "backend-refused",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(line, column) => write!(
                f,
                "The message is not a JSON object (line {line}, column {column})."
            ),
            Self::Binary => f.write_str("Messages are text; this one was binary."),
            Self::Id => f.write_str("`id` has to be a short string or a number."),
            Self::UnknownType => f.write_str("There is no such type of message."),
            Self::Missing(field) => write!(f, "`{field}` is missing."),
            Self::NotText(field) => write!(f, "`{field}` has to be a string."),
            Self::NotFlag(field) => write!(f, "`{field}` has to be true or false."),
            Self::Name(field, problem) => f.write_str(&problem.told(field)),
            Self::NotRegistered => f.write_str("The connection has no user yet: register first."),
            Self::AlreadyRegistered => {
                f.write_str("The connection belongs to another user already.")
            }
            Self::NotAMember => f.write_str("You are not in this room."),
            Self::TooManyRooms(rooms_max) => {
                write!(f, "A connection may be in {rooms_max} rooms at most.")
            }
            Self::TooManyConnections(connections_max) => {
                write!(f, "A user may have {connections_max} connections at most.")
            }
            Self::Forbidden(what) => write!(f, "You may not {what}."),
            Self::NotAuthenticated => f.write_str("Who you are is told by a token here."),
            Self::NoTokens => f.write_str("This server knows no tokens."),
            Self::Token(error) => f.write_str(error.sentence()),
            Self::Busy => {
                f.write_str("Too much waits for the service behind this server: try again later.")
            }
            Self::Away => f.write_str("The service behind this server is away: try again later."),
            Self::Failed => {
                f.write_str("The service behind this server has not answered as it should.")
            }
            Self::Declined(sentence) if sentence.is_empty() => {
                f.write_str("The service behind this server refuses that.")
            }
            Self::Declined(sentence) => f.write_str(sentence),
        }
    }
}
