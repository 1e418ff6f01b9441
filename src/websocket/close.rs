//! Close codes (RFC 6455 section 7.4) and why a connection was failed.

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
    /// 1011
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1013
    pub const TRY_AGAIN_LATER: Self = Self(1013);
}

/// What a peer did that ends its connection. `code()` is exhaustive, `sentence()` goes into the Close frame's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// RSV bits without a negotiated extension (section 5.2). More variants follow.
    ReservedBits,
}

impl Violation {
    /// The close code that answers it.
    pub fn code(self) -> CloseCode {
        todo!()
    }

    /// One plain sentence, at most 123 bytes.
    pub fn sentence(self) -> &'static str {
        todo!()
    }
}
