//! Close codes (RFC 6455 section 7.4), the payload of a Close frame, and why a connection was failed.
//!
//! Values and their meaning; never a state of a connection.

use super::utf8;
use crate::limits::CLOSE_REASON_BYTES_MAX;
use std::fmt;

/// A status code of a Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000
    pub const NORMAL: Self = Self(1000);
    /// 1001
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005, never on the wire: the Close frame had no code.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006, never on the wire: TCP ended without a Close frame.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015, never on the wire: TLS could not be set up.
    pub const TLS_HANDSHAKE: Self = Self(1015);

    /// Whether a Close frame may carry it: the registered codes, and those of libraries and applications, 3000 to 4999
    /// (sections 7.4.1 and 7.4.2).
    #[must_use]
    pub fn is_on_the_wire(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads the payload of a Close frame (section 5.5.1): its code, `NO_STATUS` where it is empty, and its reason.
///
/// # Errors
/// One byte, a code that must not be sent, a reason that is not UTF-8.
pub fn parse(payload: &[u8]) -> Result<(CloseCode, &str), Violation> {
    let (code, reason) = match payload {
        [] => return Ok((CloseCode::NO_STATUS, "")),
        [_] => return Err(Violation::CloseTooShort),
        [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
    };
    if !code.is_on_the_wire() {
        return Err(Violation::InvalidCloseCode);
    }
    match simdutf8::basic::from_utf8(reason) {
        Ok(reason) => Ok((code, reason)),
        Err(_) => Err(Violation::InvalidCloseReason),
    }
}

/// The payload of a Close frame with `code` and `reason`, the reason cut at a character to
/// [`CLOSE_REASON_BYTES_MAX`] bytes. A code that must not be sent gives an empty one.
pub(crate) fn payload<'b>(code: CloseCode, reason: &str, space: &'b mut [u8; 125]) -> &'b [u8] {
    if !code.is_on_the_wire() {
        return &[];
    }
    let reason = &reason.as_bytes()[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
    debug_assert!(utf8::is_valid(reason));
    let len = 2 + reason.len();
    space[..2].copy_from_slice(&code.0.to_be_bytes());
    space[2..len].copy_from_slice(reason);
    &space[..len]
}

/// What a peer did that ends its connection. `code()` is exhaustive, `sentence()` goes into the Close frame's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
    /// RSV bits without a negotiated extension that gives them a meaning (section 5.2).
    ReservedBits,
    /// RSV1 on a control or continuation frame, with permessage-deflate agreed (RFC 7692 section 6.1).
    MisplacedCompressionBit,
    /// Opcode 3 to 7 or 11 to 15 (section 5.2).
    ReservedOpcode,
    /// A control frame without FIN (section 5.5).
    FragmentedControl,
    /// A control frame of more than 125 bytes (section 5.5).
    OversizedControl,
    /// A continuation where no message has begun (section 5.4).
    UnexpectedContinuation,
    /// A new message inside a fragmented one (section 5.4).
    InterleavedMessage,
    /// An unmasked frame from a client (section 5.1).
    Unmasked,
    /// A masked frame from a server (section 5.1).
    Masked,
    /// A length in more bytes than it needs (section 5.2).
    NonMinimalLength,
    /// A 64-bit length with its top bit set (section 5.2).
    LengthTopBit,
    /// A message over `message_bytes_max`, announced or reached.
    MessageTooBig,
    /// More than `limits::FRAMES_PER_MESSAGE_MAX` frames.
    TooManyFrames,
    /// More than `limits::EMPTY_FRAMES_PER_MESSAGE_MAX` empty frames.
    TooManyEmptyFrames,
    /// A Close frame with a payload of one byte (section 5.5.1).
    CloseTooShort,
    /// A close code that must not be sent (section 7.4).
    InvalidCloseCode,
    /// A close reason that is not UTF-8 (section 5.5.1).
    InvalidCloseReason,
    /// A text that is not UTF-8 (section 8.1).
    InvalidText,
    /// Bytes that are not a deflated message (RFC 7692 section 7.2.2).
    InvalidDeflate,
    /// A message that inflates to more than `message_bytes_max`.
    InflatedTooBig,
}

impl Violation {
    /// The close code that answers it.
    #[must_use]
    pub fn code(self) -> CloseCode {
        match self {
            Self::ReservedBits
            | Self::MisplacedCompressionBit
            | Self::ReservedOpcode
            | Self::FragmentedControl
            | Self::OversizedControl
            | Self::UnexpectedContinuation
            | Self::InterleavedMessage
            | Self::Unmasked
            | Self::Masked
            | Self::NonMinimalLength
            | Self::LengthTopBit
            | Self::CloseTooShort
            | Self::InvalidCloseCode => CloseCode::PROTOCOL_ERROR,
            Self::InvalidCloseReason | Self::InvalidText | Self::InvalidDeflate => {
                CloseCode::INVALID_PAYLOAD
            }
            Self::TooManyFrames | Self::TooManyEmptyFrames => CloseCode::POLICY_VIOLATION,
            Self::MessageTooBig | Self::InflatedTooBig => CloseCode::MESSAGE_TOO_BIG,
        }
    }

    /// One plain sentence, at most 123 bytes.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::ReservedBits => "A frame has reserved bits set that no agreed extension uses.",
            Self::MisplacedCompressionBit => {
                "Only the first frame of a text or binary message may have the compression bit."
            }
            Self::ReservedOpcode => "A frame has a reserved opcode.",
            Self::FragmentedControl => "A control frame must not be fragmented.",
            Self::OversizedControl => "A control frame must not have more than 125 bytes.",
            Self::UnexpectedContinuation => {
                "A continuation frame came although no message has begun."
            }
            Self::InterleavedMessage => "A new message began before the fragmented one had ended.",
            Self::Unmasked => "A client must mask its frames.",
            Self::Masked => "A server must not mask its frames.",
            Self::NonMinimalLength => "A frame's length is written in more bytes than it needs.",
            Self::LengthTopBit => "A frame's 64-bit length has its top bit set.",
            Self::MessageTooBig => "The message is larger than this server accepts.",
            Self::TooManyFrames => "The message has more frames than this server accepts.",
            Self::TooManyEmptyFrames => {
                "The message has more empty frames than this server accepts."
            }
            Self::CloseTooShort => "A Close frame must be empty or begin with a code of two bytes.",
            Self::InvalidCloseCode => "The Close frame's code must not be sent.",
            Self::InvalidCloseReason => "The Close frame's reason is not UTF-8.",
            Self::InvalidText => "The text message is not UTF-8.",
            Self::InvalidDeflate => "The compressed message cannot be inflated.",
            Self::InflatedTooBig => "The message inflates to more than this server accepts.",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_and_private_codes_are_on_the_wire() {
        let allowed: Vec<u16> = (0..=u16::MAX)
            .filter(|&code| CloseCode(code).is_on_the_wire())
            .collect();
        let wanted: Vec<u16> = [1000, 1001, 1002, 1003]
            .into_iter()
            .chain(1007..=1014)
            .chain(3000..=4999)
            .collect();
        assert_eq!(allowed, wanted);
    }

    #[test]
    fn a_close_payload_is_empty_or_has_a_code_and_a_text() {
        assert_eq!(parse(b""), Ok((CloseCode::NO_STATUS, "")));
        assert_eq!(parse(b"\x03"), Err(Violation::CloseTooShort));
        assert_eq!(parse(b"\x03\xe8"), Ok((CloseCode::NORMAL, "")));
        assert_eq!(parse(b"\x0f\xa0bye"), Ok((CloseCode(4000), "bye")));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(Violation::InvalidCloseReason));
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            assert_eq!(
                parse(&code.to_be_bytes()),
                Err(Violation::InvalidCloseCode),
                "{code}"
            );
        }
    }

    #[test]
    fn codes_that_must_not_be_sent_give_an_empty_close() {
        let mut space = [0; 125];
        for code in [0, 999, 1004, 1005, 1006, 1015, 5000] {
            assert_eq!(payload(CloseCode(code), "why", &mut space), b"", "{code}");
        }
        assert_eq!(
            payload(CloseCode::NORMAL, "why", &mut space),
            b"\x03\xe8why"
        );
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let mut space = [0; 125];
        for front in 0..4 {
            let reason = "x".repeat(front) + &"\u{1f30a}".repeat(60);
            let (_, cut) = parse(payload(CloseCode::NORMAL, &reason, &mut space)).expect("valid");
            assert!(
                reason.starts_with(cut) && cut.len() <= 123 && cut.len() > 119,
                "{front}"
            );
        }
    }

    #[test]
    fn every_sentence_fits_into_a_close_frame() {
        use Violation as V;
        for violation in [
            V::ReservedBits,
            V::MisplacedCompressionBit,
            V::ReservedOpcode,
            V::FragmentedControl,
            V::OversizedControl,
            V::UnexpectedContinuation,
            V::InterleavedMessage,
            V::Unmasked,
            V::Masked,
            V::NonMinimalLength,
            V::LengthTopBit,
            V::MessageTooBig,
            V::TooManyFrames,
            V::TooManyEmptyFrames,
            V::CloseTooShort,
            V::InvalidCloseCode,
            V::InvalidCloseReason,
            V::InvalidText,
            V::InvalidDeflate,
            V::InflatedTooBig,
        ] {
            let sentence = violation.sentence();
            assert!(
                sentence.len() <= CLOSE_REASON_BYTES_MAX && sentence.ends_with('.'),
                "{violation:?}"
            );
            assert!(violation.code().is_on_the_wire());
        }
    }
}
