//! The small productions that all of HTTP shares (RFC 9110 section 5.6): tokens, lists, optional white space.

/// Whether `byte` is a `tchar` (RFC 9110 section 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Whether `bytes` is a `token`: at least one `tchar` and nothing else.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Whether `bytes` may stand in a field value: visible ASCII, space, tab, and the obsolete upper half.
pub(crate) fn is_field_content(bytes: &[u8]) -> bool {
    // No early exit: the loop becomes a few vector instructions.
    !bytes.iter().fold(false, |bad, &byte| {
        bad | (byte < b' ' && byte != b'\t') | (byte == 0x7f)
    })
}

/// Whether `bytes` is visible ASCII and spaces.
pub(crate) fn is_visible_or_space(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |good, &byte| good & (b' '..0x7f).contains(&byte))
}

/// Without spaces and tabs at both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = bytes.iter().position(|byte| !is_white(byte)) else {
        return &[];
    };
    let end = bytes
        .iter()
        .rposition(|byte| !is_white(byte))
        .map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The elements of a comma-separated list, trimmed; empty ones are passed over (RFC 9110 section 5.6.1.2). Not for
/// lists whose elements may be quoted.
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// A plain decimal number: digits only, no sign, no overflow.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_bytes_are_those_of_the_rfc() {
        let tokens: Vec<u8> = (0..=255).filter(|&byte| is_token_byte(byte)).collect();
        assert_eq!(
            tokens,
            b"!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~"
        );
        assert!(is_token(b"permessage-deflate"));
        assert!(!is_token(b"") && !is_token(b"a b") && !is_token("é".as_bytes()));
    }

    #[test]
    fn lists_pass_over_empty_elements() {
        let list: Vec<_> = elements(b" , a,\tb c ,,d\t").collect();
        assert_eq!(list, [&b"a"[..], b"b c", b"d"]);
        assert_eq!(elements(b" , \t,").count(), 0);
    }

    #[test]
    fn decimals_have_no_sign_and_do_not_overflow() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"007"), Some(7));
        for bad in ["18446744073709551616", "+5", "-1", "0x5", "", "5 ", "5,5"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad}");
        }
    }
}
