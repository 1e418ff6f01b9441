//! How a connection ended, in words and as an exit status, and whether it is worth another attempt.

use super::dial::Failure;
use crate::cli::{STATUS_FAILED, STATUS_WRONG_SETTINGS};
use crate::websocket::close::{CloseCode, Violation};

/// Why a connection is over, or never was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Both Close frames have passed.
    Closed {
        code: CloseCode,
        reason: String,
        by_us: bool,
    },
    /// The server broke the protocol, and we said so.
    Violated(Violation),
    /// TCP ended without them.
    Lost(String),
    /// There was no connection.
    Failed(Failure),
    /// The input cannot be sent.
    BadInput,
}

impl End {
    /// Whether the next attempt may go better.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Closed { by_us: true, .. } | Self::Violated(_) | Self::BadInput => false,
            // The server goes away, has failed, restarts, or has too much to do.
            Self::Closed { code, .. } => matches!(code.0, 1001 | 1011..=1014),
            Self::Lost(_) => true,
            Self::Failed(failure) => failure.is_transient,
        }
    }

    /// The exit status: `docs/client.md` has the table.
    pub(super) fn status(&self) -> u8 {
        match self {
            Self::Closed { code, .. } => close_status(*code),
            Self::Violated(violation) => close_status(violation.code()),
            Self::Lost(_) | Self::Failed(_) => STATUS_FAILED,
            Self::BadInput => STATUS_WRONG_SETTINGS,
        }
    }

    /// Whether nobody has to worry.
    pub(super) fn is_clean(&self) -> bool {
        self.status() == 0
    }

    /// One sentence for people.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Closed {
                code,
                reason,
                by_us,
            } => {
                let who = if *by_us {
                    "Closed"
                } else {
                    "Closed by the server"
                };
                let what = match words(*code) {
                    "" => format!("{who}: {code}"),
                    words if *code == CloseCode::NO_STATUS => format!("{who}: {words}"),
                    words => format!("{who}: {code} ({words})"),
                };
                match &reason[..] {
                    "" => what,
                    reason => format!("{what}: {reason}"),
                }
            }
            Self::Violated(violation) => {
                format!(
                    "The server broke the protocol ({}): {violation}",
                    violation.code()
                )
            }
            Self::Lost(why) => format!("Lost the connection: {why}"),
            Self::Failed(failure) => format!("Not connected: {}", failure.sentence),
            Self::BadInput => "Closed: the input cannot be sent".to_owned(),
        }
    }
}

/// 0 where all is well; 12 to 25 for 1002 to 1015; the first two digits for 3000 to 4999.
fn close_status(code: CloseCode) -> u8 {
    let status = match code {
        CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode::NO_STATUS => 0,
        CloseCode(code @ 1002..=1015) => code - 990,
        CloseCode(code @ 3000..=4999) => code / 100,
        CloseCode(_) => u16::from(STATUS_FAILED),
    };
    u8::try_from(status).unwrap_or(STATUS_FAILED)
}

/// What a registered code means.
fn words(code: CloseCode) -> &'static str {
    match code.0 {
        1000 => "normal",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "data it does not take",
        1005 => "without a code",
        1007 => "invalid data",
        1008 => "against its policy",
        1009 => "message too big",
        1010 => "extension missing",
        1011 => "internal error",
        1012 => "restart",
        1013 => "try again later",
        1014 => "bad gateway",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16, by_us: bool) -> End {
        End::Closed {
            code: CloseCode(code),
            reason: "why".to_owned(),
            by_us,
        }
    }

    #[test]
    fn every_code_has_a_status() {
        for (code, status) in [
            (1000, 0),
            (1001, 0),
            (1005, 0),
            (1002, 12),
            (1008, 18),
            (1009, 19),
            (1014, 24),
            (3000, 30),
            (3999, 39),
            (4000, 40),
            (4401, 44),
            (4999, 49),
        ] {
            assert_eq!(closed(code, false).status(), status, "{code}");
            assert_eq!(closed(code, false).is_clean(), status == 0);
        }
    }

    #[test]
    fn what_passes_is_tried_again() {
        for code in [1001, 1011, 1012, 1013, 1014] {
            assert!(closed(code, false).is_transient(), "{code}");
            assert!(!closed(code, true).is_transient(), "{code}");
        }
        for code in [1000, 1002, 1003, 1005, 1007, 1008, 1009, 1010, 3000, 4401] {
            assert!(!closed(code, false).is_transient(), "{code}");
        }
        assert!(End::Lost(String::new()).is_transient());
        assert!(!End::Violated(Violation::Masked).is_transient());
    }

    #[test]
    fn ends_are_told_in_words() {
        for (end, sentence) in [
            (
                closed(1001, false),
                "Closed by the server: 1001 (going away): why",
            ),
            (closed(1000, true), "Closed: 1000 (normal): why"),
            (closed(4001, false), "Closed by the server: 4001: why"),
            (
                closed(1005, false),
                "Closed by the server: without a code: why",
            ),
            (
                End::Violated(Violation::Masked),
                "The server broke the protocol (1002): A server must not mask its frames.",
            ),
            (End::Lost("x".to_owned()), "Lost the connection: x"),
        ] {
            assert_eq!(end.sentence(), sentence);
        }
    }
}
