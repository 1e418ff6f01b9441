//! The four parameters of permessage-deflate, as either side writes them (RFC 7692 section 7.1).

use super::grammar::Extension;

/// What an offer or an answer says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    /// 8 to 15.
    pub(super) server_max_window_bits: Option<u8>,
    pub(super) client_max_window_bits: Option<ClientWindow>,
}

/// `client_max_window_bits` has a value in every answer, in an offer it may have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientWindow {
    /// Without a value: the client's window can be limited.
    Any,
    /// 8 to 15.
    Bits(u8),
}

impl Parameters {
    /// Reads them; `None` where one is unknown, repeated, out of range, or has a value that it must not have or lacks
    /// one: such an offer is declined, such an answer fails the connection.
    pub(super) fn read(extension: &Extension<'_>) -> Option<Self> {
        let mut read = Self::default();
        for parameter in extension.parameters() {
            let bits = match parameter.value {
                None => None,
                // Only windows have values, and only numbers of bits.
                Some(value) => Some(value.window_bits()?),
            };
            let is_first = match (parameter.name, bits) {
                (b"server_no_context_takeover", None) => {
                    !std::mem::replace(&mut read.server_no_context_takeover, true)
                }
                (b"client_no_context_takeover", None) => {
                    !std::mem::replace(&mut read.client_no_context_takeover, true)
                }
                (b"server_max_window_bits", Some(bits)) => {
                    read.server_max_window_bits.replace(bits).is_none()
                }
                (b"client_max_window_bits", bits) => {
                    let window = bits.map_or(ClientWindow::Any, ClientWindow::Bits);
                    read.client_max_window_bits.replace(window).is_none()
                }
                _ => return None,
            };
            if !is_first {
                return None;
            }
        }
        Some(read)
    }
}
