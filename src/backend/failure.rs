//! What can come of an event besides an answer, and why one is not taken in the first place.

use std::error::Error;
use std::fmt;

/// An event is not taken. Nothing more comes of it: its ticket is not given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// As many events wait as may, or as many bytes, and none of them gives way.
    Full,
    /// As many events of its key wait as may: who sends them is to be slowed down.
    KeyFull,
    /// The back end is away, and whoever would wait for it waits in vain.
    Away,
    /// Nothing is sent any more.
    Stopped,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many events wait for the back end",
            Self::KeyFull => "too many events of this connection wait for the back end",
            Self::Away => "the back end is away",
            Self::Stopped => "the server is stopping",
        })
    }
}

impl Error for Refused {}

/// What came of an event that the back end has not answered as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It has said no: a status from 400 to 499, and a sentence for the client, of 300 bytes at most and without control
    /// characters. Empty where it gave none.
    Declined {
        /// The status.
        status: u16,
        /// What it said.
        sentence: Box<str>,
    },
    /// A status that is neither a success nor a no: 500 to 599, or 101.
    Status(u16),
    /// A status from 300 to 399. It is never followed: a signed event goes where the settings say, and nowhere else.
    Redirect(u16),
    /// No connection, and so nothing was sent: refused, no such name, TLS that is not to be trusted.
    Unreachable(Box<str>),
    /// The connection broke before the answer was whole.
    Lost,
    /// No whole answer within the time limit.
    TimedOut,
    /// The answer is longer than [`ANSWER_BYTES_MAX`](crate::limits::ANSWER_BYTES_MAX), or its head than
    /// [`ANSWER_HEAD_BYTES_MAX`](crate::limits::ANSWER_HEAD_BYTES_MAX).
    TooLarge,
    /// An answer that is not what it should be: not HTTP, not JSON, another content type, a field that is wrong.
    Garbage(Box<str>),
    /// It waited for longer than events may: it was never sent, or is a disconnect that is too old.
    Expired,
    /// It gave way to a newer one (`drop-oldest`), and was never sent.
    Dropped,
    /// The back end is away: too much has failed lately, and it was not sent.
    Away,
    /// Nothing is sent any more: the server is stopping.
    Stopped,
}

/// Of what kind a failure is, for those who count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Cause {
    /// See [`Failure::Declined`].
    Declined,
    /// See [`Failure::Status`].
    Status,
    /// See [`Failure::Redirect`].
    Redirect,
    /// See [`Failure::Unreachable`].
    Unreachable,
    /// See [`Failure::Lost`].
    Lost,
    /// See [`Failure::TimedOut`].
    TimedOut,
    /// See [`Failure::TooLarge`].
    TooLarge,
    /// See [`Failure::Garbage`].
    Garbage,
    /// See [`Failure::Expired`].
    Expired,
    /// See [`Failure::Dropped`].
    Dropped,
    /// See [`Failure::Away`].
    Away,
    /// See [`Failure::Stopped`].
    Stopped,
}

impl Cause {
    /// Every kind, in the order in which they are counted.
    pub const ALL: [Self; 12] = [
        Self::Declined,
        Self::Status,
        Self::Redirect,
        Self::Unreachable,
        Self::Lost,
        Self::TimedOut,
        Self::TooLarge,
        Self::Garbage,
        Self::Expired,
        Self::Dropped,
        Self::Away,
        Self::Stopped,
    ];

    /// As a label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::Status => "status",
            Self::Redirect => "redirect",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::Garbage => "garbage",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
            Self::Away => "away",
            Self::Stopped => "stopped",
        }
    }
}

impl Failure {
    /// Its kind.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Declined { .. } => Cause::Declined,
            Self::Status(_) => Cause::Status,
            Self::Redirect(_) => Cause::Redirect,
            Self::Unreachable(_) => Cause::Unreachable,
            Self::Lost => Cause::Lost,
            Self::TimedOut => Cause::TimedOut,
            Self::TooLarge => Cause::TooLarge,
            Self::Garbage(_) => Cause::Garbage,
            Self::Expired => Cause::Expired,
            Self::Dropped => Cause::Dropped,
            Self::Away => Cause::Away,
            Self::Stopped => Cause::Stopped,
        }
    }

    /// The status with which a client is refused whose `connect` came to this: the back end's own no, else 503.
    pub fn client_status(&self) -> u16 {
        match self {
            Self::Declined { status, .. } => *status,
            _ => 503,
        }
    }

    /// Whether the back end may have done what it was asked to, and answered yes.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Self::Lost | Self::TimedOut | Self::TooLarge | Self::Garbage(_) => true,
            Self::Declined { .. }
            | Self::Status(_)
            | Self::Redirect(_)
            | Self::Unreachable(_)
            | Self::Expired
            | Self::Dropped
            | Self::Away
            | Self::Stopped => false,
        }
    }

    /// Whether it tells that the back end is not there, or not able to work. An answer that is only wrong does not: its
    /// event may be the reason.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status, 502..=504),
            Self::Unreachable(_) | Self::Lost | Self::TimedOut => true,
            _ => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined { status, .. } | Self::Status(status) => {
                write!(f, "the back end answered with status {status}")
            }
            Self::Redirect(status) => {
                write!(
                    f,
                    "the back end answered with a redirect, status {status}, which is not followed"
                )
            }
            Self::Unreachable(why) => write!(f, "the back end cannot be reached: {why}"),
            Self::Lost => f.write_str("the connection to the back end broke"),
            Self::TimedOut => f.write_str("the back end did not answer in time"),
            Self::TooLarge => f.write_str("the answer of the back end is too large"),
            Self::Garbage(what) => write!(f, "the answer of the back end is no good: {what}"),
            Self::Expired => f.write_str("the event waited too long for the back end"),
            Self::Dropped => f.write_str("the event gave way to newer ones"),
            Self::Away => f.write_str("the back end is away"),
            Self::Stopped => f.write_str("the server is stopping"),
        }
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_counted_at_their_place() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index, "{}", cause.name());
        }
    }

    #[test]
    fn a_client_sees_the_no_of_the_back_end_and_no_other_status() {
        let no = Failure::Declined {
            status: 402,
            sentence: "Pay first.".into(),
        };
        assert_eq!(no.client_status(), 402);
        for failure in [
            Failure::Status(500),
            Failure::Redirect(302),
            Failure::TimedOut,
        ] {
            assert_eq!(failure.client_status(), 503, "{failure}");
        }
    }
}
