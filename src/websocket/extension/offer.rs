//! The server's side: which offer of permessage-deflate is accepted, and how (RFC 7692 sections 5 and 7.1).

use super::grammar::{Extension, Extensions};
use super::parameters::{ClientWindow, Parameters};
use super::{
    DeflateParams, DeflatePolicy, Malformed, PERMESSAGE_DEFLATE, WINDOW_BITS_MAX, WINDOW_BITS_MIN,
};

/// An accepted offer, and what its answer must say beyond the parameters' own values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::websocket) struct DeflateAnswer {
    pub(in crate::websocket) params: DeflateParams,
    /// A `server_max_window_bits` that was offered must be answered (RFC 7692 section 7.1.2.1).
    pub(in crate::websocket) server_window_offered: bool,
}

/// Goes through the offers of all header lines in the client's order of preference and takes the first that can be
/// met. Unknown extensions, and offers with parameters that are unknown, repeated, out of range or cannot be met, are
/// passed over (RFC 7692 section 5.1).
///
/// # Errors
/// `Malformed` where any line breaks the grammar, after an acceptable offer too.
pub(in crate::websocket) fn negotiate<'b>(
    values: impl Iterator<Item = &'b [u8]>,
    policy: Option<DeflatePolicy>,
) -> Result<Option<DeflateAnswer>, Malformed> {
    let mut answer = None;
    for value in values {
        for extension in Extensions::new(value) {
            let extension = extension?;
            if answer.is_none() && extension.name == PERMESSAGE_DEFLATE {
                answer = policy.and_then(|policy| accept(&extension, policy));
            }
        }
    }
    Ok(answer)
}

fn accept(extension: &Extension<'_>, policy: DeflatePolicy) -> Option<DeflateAnswer> {
    debug_assert!((WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(&policy.window_bits_max));
    let offer = Parameters::read(extension)?;
    let server_limit = offer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX);
    if server_limit < WINDOW_BITS_MIN {
        return None;
    }
    // RFC 7692 section 7.1.2.2: the client's window is limited only where the client offered that it can be.
    let client_max_window_bits = match offer.client_max_window_bits {
        None => WINDOW_BITS_MAX,
        Some(ClientWindow::Any) => policy.window_bits_max,
        Some(ClientWindow::Bits(bits)) => bits.min(policy.window_bits_max),
    };
    let reset_always = !policy.context_takeover;
    Some(DeflateAnswer {
        params: DeflateParams {
            server_no_context_takeover: reset_always || offer.server_no_context_takeover,
            // May be asked of a client that offered nothing of it (RFC 7692 section 7.1.1.2).
            client_no_context_takeover: reset_always || offer.client_no_context_takeover,
            server_max_window_bits: server_limit.min(policy.window_bits_max),
            client_max_window_bits,
        },
        server_window_offered: offer.server_max_window_bits.is_some(),
    })
}

impl DeflateAnswer {
    /// Appends the value of `Sec-WebSocket-Extensions`.
    pub(in crate::websocket) fn write(&self, out: &mut Vec<u8>) {
        let params = self.params;
        out.extend_from_slice(PERMESSAGE_DEFLATE);
        if params.server_no_context_takeover {
            out.extend_from_slice(b"; server_no_context_takeover");
        }
        if params.client_no_context_takeover {
            out.extend_from_slice(b"; client_no_context_takeover");
        }
        // Unasked only where it tells something: a server may (RFC 7692 section 7.1.2.1).
        if self.server_window_offered || params.server_max_window_bits < WINDOW_BITS_MAX {
            write_bits(
                b"; server_max_window_bits=",
                params.server_max_window_bits,
                out,
            );
        }
        // Below 15 only where the client offered it: then it may be answered.
        if params.client_max_window_bits < WINDOW_BITS_MAX {
            write_bits(
                b"; client_max_window_bits=",
                params.client_max_window_bits,
                out,
            );
        }
    }
}

/// Appends `name` and 8 to 15 in decimal.
pub(super) fn write_bits(name: &[u8], bits: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    if bits >= 10 {
        out.push(b'1');
    }
    out.push(b'0' + bits % 10);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: DeflatePolicy = DeflatePolicy {
        context_takeover: false,
        window_bits_max: 15,
    };
    const KEPT: DeflatePolicy = DeflatePolicy {
        context_takeover: true,
        window_bits_max: 15,
    };

    /// The answer to these header lines; `None` where compression is declined.
    fn answer(policy: DeflatePolicy, lines: &[&str]) -> Option<String> {
        let values = lines.iter().map(|line| line.as_bytes());
        let answer = negotiate(values, Some(policy)).expect("grammatical")?;
        let mut out = Vec::new();
        answer.write(&mut out);
        Some(String::from_utf8(out).expect("text"))
    }

    fn kept(offer: &str) -> Option<String> {
        answer(KEPT, &[offer])
    }

    #[test]
    fn without_takeover_both_resets_are_always_answered() {
        let resets = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_no_context_takeover",
        ] {
            assert_eq!(answer(SHARED, &[offer]).as_deref(), Some(resets), "{offer}");
        }
    }

    #[test]
    fn with_takeover_the_client_decides() {
        for (offer, expected) in [
            ("permessage-deflate", "permessage-deflate"),
            (
                "permessage-deflate; client_max_window_bits",
                "permessage-deflate",
            ),
            (
                "permessage-deflate; server_no_context_takeover",
                "permessage-deflate; server_no_context_takeover",
            ),
            (
                "permessage-deflate; client_no_context_takeover; client_max_window_bits",
                "permessage-deflate; client_no_context_takeover",
            ),
        ] {
            assert_eq!(kept(offer).as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_offered_server_window_is_always_answered() {
        for bits in 9..=15 {
            let expected = format!("permessage-deflate; server_max_window_bits={bits}");
            assert_eq!(kept(&expected), Some(expected));
        }
        let quoted = kept("permessage-deflate; server_max_window_bits=\"10\"");
        assert_eq!(
            quoted.as_deref(),
            Some("permessage-deflate; server_max_window_bits=10")
        );
    }

    #[test]
    fn the_client_window_is_answered_only_where_it_was_offered() {
        let small = DeflatePolicy {
            window_bits_max: 11,
            ..KEPT
        };
        for (offer, expected, client_bits) in [
            (
                "permessage-deflate",
                "permessage-deflate; server_max_window_bits=11",
                15,
            ),
            (
                "permessage-deflate; client_max_window_bits",
                "permessage-deflate; server_max_window_bits=11; client_max_window_bits=11",
                11,
            ),
            (
                "permessage-deflate; client_max_window_bits=9",
                "permessage-deflate; server_max_window_bits=11; client_max_window_bits=9",
                9,
            ),
            (
                "permessage-deflate; client_max_window_bits=8",
                "permessage-deflate; server_max_window_bits=11; client_max_window_bits=8",
                8,
            ),
            (
                "permessage-deflate; server_max_window_bits=10",
                "permessage-deflate; server_max_window_bits=10",
                15,
            ),
        ] {
            assert_eq!(answer(small, &[offer]).as_deref(), Some(expected));
            let lines = [offer.as_bytes()].into_iter();
            let params = negotiate(lines, Some(small))
                .expect("valid")
                .expect("accepted")
                .params;
            assert_eq!(params.client_max_window_bits, client_bits);
        }
    }

    /// undici CVE-2026-2229 and RFC 7692 section 7.1: declined, and the next offer gets its turn.
    #[test]
    fn offers_that_cannot_be_met_are_declined() {
        for parameter in [
            "constructor",
            "__proto__=1",
            "unknown",
            "server_max_window_bits",
            "server_max_window_bits=07",
            "server_max_window_bits=7",
            "server_max_window_bits=8",
            "server_max_window_bits=16",
            "server_max_window_bits=8abc",
            "server_max_window_bits=99999999999999999999",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=012",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "Server_No_Context_Takeover",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits; client_max_window_bits=10",
        ] {
            let bad = format!("permessage-deflate; {parameter}");
            assert_eq!(kept(&bad), None, "{bad}");
            let next = format!("{bad}, permessage-deflate; server_max_window_bits=12");
            let expected = Some("permessage-deflate; server_max_window_bits=12");
            assert_eq!(kept(&next).as_deref(), expected, "{next}");
        }
    }

    #[test]
    fn other_extensions_are_passed_over_and_lines_combine() {
        assert_eq!(
            kept("x-webkit-deflate-frame, constructor, toString;a=b"),
            None
        );
        assert_eq!(kept("").as_deref(), None);
        let lines = [
            "foo;permessage-deflate",
            "permessage-deflate;bad",
            ",,permessage-deflate",
        ];
        assert_eq!(answer(KEPT, &lines).as_deref(), Some("permessage-deflate"));
    }

    #[test]
    fn without_a_policy_nothing_is_agreed() {
        let values = [&b"permessage-deflate"[..]].into_iter();
        assert_eq!(negotiate(values, None), Ok(None));
    }

    #[test]
    fn a_malformed_line_fails_even_after_an_acceptable_offer() {
        for bad in [
            "permessage-deflate, ;",
            "permessage-deflate; a=\"",
            "foo bar",
        ] {
            assert_eq!(
                negotiate([bad.as_bytes()].into_iter(), Some(KEPT)),
                Err(Malformed)
            );
            assert_eq!(
                negotiate([bad.as_bytes()].into_iter(), None),
                Err(Malformed)
            );
        }
    }
}
