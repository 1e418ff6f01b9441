//! The client's side: what it offers, and whether the answer is one to that (RFC 7692 section 7.1).

use super::grammar::{Extension, Extensions};
use super::offer::write_bits;
use super::parameters::{ClientWindow, Parameters};
use super::{DeflateParams, PERMESSAGE_DEFLATE, WINDOW_BITS_MAX, WINDOW_BITS_MIN};

/// What a client offers of permessage-deflate. The default is what browsers offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateOffer {
    /// Asks the server to reset its compressor after each message.
    pub server_no_context_takeover: bool,
    /// Says that the client will reset its own.
    pub client_no_context_takeover: bool,
    /// Asks the server for a window of at most so many bits, 9 to 15.
    pub server_max_window_bits: Option<u8>,
    /// Says that the server may limit the client's window, which has at most so many bits anyway, 9 to 15.
    pub client_max_window_bits: Option<u8>,
}

impl Default for DeflateOffer {
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: None,
            client_max_window_bits: Some(WINDOW_BITS_MAX),
        }
    }
}

/// An answer that the offer does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::websocket) struct Unasked;

impl DeflateOffer {
    /// Appends the value of `Sec-WebSocket-Extensions`.
    pub(in crate::websocket) fn write(&self, out: &mut Vec<u8>) {
        let bits = [self.server_max_window_bits, self.client_max_window_bits];
        debug_assert!(
            bits.iter()
                .flatten()
                .all(|bits| (WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(bits))
        );
        out.extend_from_slice(PERMESSAGE_DEFLATE);
        if self.server_no_context_takeover {
            out.extend_from_slice(b"; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            out.extend_from_slice(b"; client_no_context_takeover");
        }
        if let Some(bits) = self.server_max_window_bits {
            write_bits(b"; server_max_window_bits=", bits, out);
        }
        match self.client_max_window_bits {
            None => {}
            Some(WINDOW_BITS_MAX) => out.extend_from_slice(b"; client_max_window_bits"),
            Some(bits) => write_bits(b"; client_max_window_bits=", bits, out),
        }
    }

    /// Reads the answer to `offer` (`None`: nothing was offered). `Ok(None)` where the server declined.
    ///
    /// # Errors
    /// `Unasked` for another extension, for a parameter that is unknown, repeated, out of range, was not offered or is
    /// wider than offered, and where what was asked for is missing. The connection must be failed (RFC 7692
    /// section 7.1).
    pub(in crate::websocket) fn verify<'b>(
        offer: Option<&Self>,
        values: impl Iterator<Item = &'b [u8]>,
    ) -> Result<Option<DeflateParams>, Unasked> {
        let mut agreed = None;
        for extension in values.flat_map(Extensions::new) {
            let extension = extension.map_err(|_| Unasked)?;
            let offer = offer
                .filter(|_| extension.name == PERMESSAGE_DEFLATE)
                .ok_or(Unasked)?;
            if agreed.replace(offer.verify_one(&extension)?).is_some() {
                return Err(Unasked);
            }
        }
        Ok(agreed)
    }

    fn verify_one(&self, extension: &Extension<'_>) -> Result<DeflateParams, Unasked> {
        let answer = Parameters::read(extension).ok_or(Unasked)?;
        if self.server_no_context_takeover && !answer.server_no_context_takeover {
            return Err(Unasked);
        }
        Ok(DeflateParams {
            server_no_context_takeover: answer.server_no_context_takeover,
            client_no_context_takeover: answer.client_no_context_takeover
                || self.client_no_context_takeover,
            server_max_window_bits: self.server_window(answer.server_max_window_bits)?,
            client_max_window_bits: self.client_window(answer.client_max_window_bits)?,
        })
    }

    /// What was asked for must be answered, and not widened (RFC 7692 section 7.1.2.1).
    fn server_window(&self, answered: Option<u8>) -> Result<u8, Unasked> {
        match (self.server_max_window_bits, answered) {
            (None, answered) => Ok(answered.unwrap_or(WINDOW_BITS_MAX)),
            (Some(asked), Some(bits)) if bits <= asked => Ok(bits),
            (Some(_), _) => Err(Unasked),
        }
    }

    /// Only what was offered may be limited (RFC 7692 section 7.1.2.2); to 8 bits no compressor of ours can.
    fn client_window(&self, answered: Option<ClientWindow>) -> Result<u8, Unasked> {
        match (self.client_max_window_bits, answered) {
            (offered, None) => Ok(offered.unwrap_or(WINDOW_BITS_MAX)),
            (Some(offered), Some(ClientWindow::Bits(bits)))
                if (WINDOW_BITS_MIN..=offered).contains(&bits) =>
            {
                Ok(bits)
            }
            (_, Some(_)) => Err(Unasked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: DeflateOffer = DeflateOffer {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: Some(10),
        client_max_window_bits: Some(12),
    };

    fn written(offer: DeflateOffer) -> String {
        let mut out = Vec::new();
        offer.write(&mut out);
        String::from_utf8(out).expect("text")
    }

    fn verify(offer: Option<DeflateOffer>, answer: &str) -> Result<Option<DeflateParams>, Unasked> {
        DeflateOffer::verify(offer.as_ref(), [answer.as_bytes()].into_iter())
    }

    #[test]
    fn offers_are_written_as_the_rfc_has_them() {
        assert_eq!(
            written(DeflateOffer::default()),
            "permessage-deflate; client_max_window_bits"
        );
        assert_eq!(
            written(ALL),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=10; client_max_window_bits=12"
        );
        let none = DeflateOffer {
            client_max_window_bits: None,
            ..DeflateOffer::default()
        };
        assert_eq!(written(none), "permessage-deflate");
    }

    #[test]
    fn valid_answers_are_agreed() {
        let params = verify(Some(DeflateOffer::default()), "permessage-deflate").expect("valid");
        assert_eq!(
            params,
            Some(DeflateParams {
                server_no_context_takeover: false,
                client_no_context_takeover: false,
                server_max_window_bits: 15,
                client_max_window_bits: 15,
            })
        );
        let answer = "permessage-deflate; server_max_window_bits=9; server_no_context_takeover; \
                      client_max_window_bits=11";
        assert_eq!(
            verify(Some(ALL), answer),
            Ok(Some(DeflateParams {
                server_no_context_takeover: true,
                client_no_context_takeover: true,
                server_max_window_bits: 9,
                client_max_window_bits: 11,
            }))
        );
        assert_eq!(verify(Some(ALL), ""), Ok(None), "the server may decline");
        let unasked_reset =
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=8";
        let params = verify(Some(DeflateOffer::default()), unasked_reset)
            .expect("valid")
            .expect("agreed");
        assert!(params.client_no_context_takeover && params.server_max_window_bits == 8);
    }

    #[test]
    fn answers_to_nothing_offered_are_refused() {
        let plain = DeflateOffer {
            client_max_window_bits: None,
            ..DeflateOffer::default()
        };
        for (offer, answer) in [
            (None, "permessage-deflate"),
            (Some(plain), "foo"),
            (Some(plain), "permessage-deflate, permessage-deflate"),
            (Some(plain), "permessage-deflate; client_max_window_bits=10"),
            (Some(plain), "permessage-deflate; unknown"),
            (Some(plain), "permessage-deflate; server_max_window_bits"),
            (Some(plain), "permessage-deflate; server_max_window_bits=16"),
            (
                Some(plain),
                "permessage-deflate; server_no_context_takeover=1",
            ),
            (
                Some(plain),
                "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            ),
            (Some(plain), "permessage-deflate;"),
            (
                Some(DeflateOffer::default()),
                "permessage-deflate; client_max_window_bits",
            ),
            (
                Some(DeflateOffer::default()),
                "permessage-deflate; client_max_window_bits=8",
            ),
            (Some(ALL), "permessage-deflate"),
            (Some(ALL), "permessage-deflate; server_no_context_takeover"),
            (Some(ALL), "permessage-deflate; server_max_window_bits=10"),
            (
                Some(ALL),
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=11",
            ),
            (
                Some(ALL),
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; \
                 client_max_window_bits=13",
            ),
        ] {
            assert_eq!(verify(offer, answer), Err(Unasked), "{offer:?} {answer}");
        }
    }
}
