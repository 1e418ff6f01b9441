//! Several envelopes in one message of Redis: each behind its length, so that what waits for one channel leaves by one command.

/// Bytes before each.
const LEN_BYTES: usize = 4;

/// Adds an envelope, of less than 4 GiB.
pub fn push(bundle: &mut Vec<u8>, envelope: &[u8]) {
    let len = u32::try_from(envelope.len()).expect("messages are limited to far less");
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(envelope);
}

/// The envelopes of a bundle, up to the first that is cut off.
pub fn envelopes(mut bundle: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = bundle.split_first_chunk::<LEN_BYTES>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (envelope, rest) = rest.split_at_checked(len)?;
        bundle = rest;
        Some(envelope)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_come_out_as_they_went_in() {
        let sent: [&[u8]; 4] = [b"one", b"", b"three", &[0; 70_000]];
        let mut bundle = Vec::new();
        for envelope in sent {
            push(&mut bundle, envelope);
        }
        assert_eq!(envelopes(&bundle).collect::<Vec<_>>(), sent);
        assert_eq!(envelopes(&[]).count(), 0);
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        let mut bundle = Vec::new();
        push(&mut bundle, b"whole");
        push(&mut bundle, b"not whole");
        for cut in 9..bundle.len() {
            let heard: Vec<_> = envelopes(&bundle[..cut]).collect();
            assert_eq!(heard, [b"whole"], "{cut}");
        }
        for huge in [&[0xff; 4][..], &[0xff; 40]] {
            assert_eq!(envelopes(huge).count(), 0);
        }
    }
}
