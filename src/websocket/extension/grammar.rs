//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 section 9.1), one pass, nothing copied.
//!
//! ```text
//! extension-list  = 1#extension
//! extension       = token *( ";" extension-param )
//! extension-param = token [ "=" ( token | quoted-string ) ]   ; what is quoted must be a token too
//! ```

use crate::http::grammar::is_token_byte;

use super::Malformed;

/// The elements of one header value, in order. Empty elements are passed over.
#[derive(Debug, Clone)]
pub(super) struct Extensions<'b> {
    rest: &'b [u8],
}

/// One element: a name and its parameters, whose grammar has been checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extension<'b> {
    pub(super) name: &'b [u8],
    parameters: &'b [u8],
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter<'b> {
    pub(super) name: &'b [u8],
    pub(super) value: Option<Value<'b>>,
}

/// The value of a parameter, maybe with the backslashes of a quoted string in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'b> {
    raw: &'b [u8],
}

impl<'b> Extensions<'b> {
    pub(super) fn new(value: &'b [u8]) -> Self {
        Self { rest: value }
    }
}

impl<'b> Iterator for Extensions<'b> {
    type Item = Result<Extension<'b>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let begin = self
            .rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b','));
        self.rest = &self.rest[begin?..];
        let result = self.take_extension();
        if result.is_err() {
            self.rest = &[];
        }
        Some(result)
    }
}

impl<'b> Extensions<'b> {
    fn take_extension(&mut self) -> Result<Extension<'b>, Malformed> {
        let name = take_token(&mut self.rest)?;
        let from_parameters = self.rest;
        while take_parameter(&mut self.rest)?.is_some() {}
        let parameters = &from_parameters[..from_parameters.len() - self.rest.len()];
        match self.rest.split_first() {
            None => {}
            Some((b',', rest)) => self.rest = rest,
            Some(_) => return Err(Malformed),
        }
        Ok(Extension { name, parameters })
    }
}

impl<'b> Extension<'b> {
    pub(super) fn parameters(&self) -> impl Iterator<Item = Parameter<'b>> + use<'b> {
        let mut rest = self.parameters;
        // The grammar was checked: an error cannot come again.
        std::iter::from_fn(move || take_parameter(&mut rest).ok().flatten())
    }
}

impl Value<'_> {
    /// A number of window bits: 8 to 15, decimal, without leading zeros (RFC 7692 section 7.1.2).
    pub(super) fn window_bits(self) -> Option<u8> {
        // A token has no backslash, so each one here is the escape of a quoted pair.
        let mut digits = self.raw.iter().filter(|&&byte| byte != b'\\');
        match (digits.next(), digits.next(), digits.next()) {
            (Some(digit @ b'8'..=b'9'), None, None) => Some(digit - b'0'),
            (Some(b'1'), Some(digit @ b'0'..=b'5'), None) => Some(10 + digit - b'0'),
            _ => None,
        }
    }
}

/// Takes one `;`-led parameter and the white space around it; `None` where no `;` follows.
fn take_parameter<'b>(rest: &mut &'b [u8]) -> Result<Option<Parameter<'b>>, Malformed> {
    skip_white(rest);
    let Some(after) = rest.strip_prefix(b";") else {
        return Ok(None);
    };
    *rest = after;
    skip_white(rest);
    let name = take_token(rest)?;
    skip_white(rest);
    let Some(after) = rest.strip_prefix(b"=") else {
        return Ok(Some(Parameter { name, value: None }));
    };
    *rest = after;
    skip_white(rest);
    let raw = match rest.strip_prefix(b"\"") {
        Some(after) => {
            *rest = after;
            take_quoted(rest)?
        }
        None => take_token(rest)?,
    };
    skip_white(rest);
    Ok(Some(Parameter {
        name,
        value: Some(Value { raw }),
    }))
}

fn take_token<'b>(rest: &mut &'b [u8]) -> Result<&'b [u8], Malformed> {
    let end = rest
        .iter()
        .position(|&byte| !is_token_byte(byte))
        .unwrap_or(rest.len());
    if end == 0 {
        return Err(Malformed);
    }
    let (token, after) = rest.split_at(end);
    *rest = after;
    Ok(token)
}

/// Takes what is left of a quoted string, its closing quote included; gives what was inside, escapes and all.
fn take_quoted<'b>(rest: &mut &'b [u8]) -> Result<&'b [u8], Malformed> {
    let text = *rest;
    let mut at = 0;
    loop {
        match text.get(at) {
            Some(b'"') if at > 0 => break,
            Some(b'\\') if text.get(at + 1).is_some_and(|&byte| is_token_byte(byte)) => at += 2,
            Some(&byte) if is_token_byte(byte) => at += 1,
            _ => return Err(Malformed),
        }
    }
    *rest = &text[at + 1..];
    Ok(&text[..at])
}

fn skip_white(rest: &mut &[u8]) {
    let white = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    *rest = &rest[white..];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name;param=value` of each element, values raw.
    fn read(value: &str) -> Result<Vec<String>, Malformed> {
        Extensions::new(value.as_bytes())
            .map(|extension| {
                let extension = extension?;
                let mut text = String::from_utf8_lossy(extension.name).into_owned();
                for parameter in extension.parameters() {
                    text.push(';');
                    text.push_str(&String::from_utf8_lossy(parameter.name));
                    if let Some(value) = parameter.value {
                        text.push('=');
                        text.push_str(&String::from_utf8_lossy(value.raw));
                    }
                }
                Ok(text)
            })
            .collect()
    }

    #[test]
    fn reads_lists_parameters_and_quotes() {
        for (value, expected) in [
            ("", vec![]),
            (" , ,\t", vec![]),
            ("foo", vec!["foo"]),
            ("foo, bar;baz=2", vec!["foo", "bar;baz=2"]),
            (
                " foo ; a ; b = 1 ,, bar ;c=\"x\\y\" ,",
                vec!["foo;a;b=1", "bar;c=x\\y"],
            ),
            ("a;b=\"1\"", vec!["a;b=1"]),
            ("constructor;__proto__=x", vec!["constructor;__proto__=x"]),
        ] {
            assert_eq!(
                read(value),
                Ok(expected.into_iter().map(String::from).collect()),
                "{value:?}"
            );
        }
    }

    #[test]
    fn refuses_what_breaks_the_grammar() {
        for bad in [
            ";",
            "=",
            "a;",
            "a;;b",
            "a;b=",
            "a b",
            "a;b c",
            "a;b=1 2",
            "a=1",
            "a;=1",
            "\"a\"",
            "a;b=\"",
            "a;b=\"\"",
            "a;b=\"x",
            "a;b=\"x y\"",
            "a;b=\"x\\\"",
            "a;b=\"x\"y",
            "a;b=\"\\,\"",
            "a;b='",
            "\u{e9}",
            "a;b=\u{e9}",
            "a,;",
            "a;b=c=d",
            "a/b",
        ] {
            // An apostrophe is a token byte (RFC 9110 section 5.6.2).
            assert_eq!(read(bad).is_err(), bad != "a;b='", "{bad:?}");
        }
    }

    #[test]
    fn an_error_ends_the_list() {
        let results: Vec<_> = Extensions::new(b"a, b c, d")
            .map(|item| item.is_ok())
            .collect();
        assert_eq!(results, [true, false]);
    }

    #[test]
    fn window_bits_are_8_to_15_without_leading_zeros() {
        for bits in 8..=15u8 {
            let text = bits.to_string();
            assert_eq!(
                Value {
                    raw: text.as_bytes()
                }
                .window_bits(),
                Some(bits)
            );
        }
        assert_eq!(Value { raw: b"1\\5" }.window_bits(), Some(15));
        for bad in [
            "7",
            "16",
            "07",
            "08",
            "015",
            "8abc",
            "x",
            "1",
            "150",
            "-9",
            "+9",
            "256",
            "99999999999999999999",
        ] {
            assert_eq!(
                Value {
                    raw: bad.as_bytes()
                }
                .window_bits(),
                None,
                "{bad}"
            );
        }
    }

    /// ws CVE-2021-32640, of another header: 16 KB of one byte cost what 16 KB cost.
    #[test]
    fn long_runs_take_one_pass() {
        for unit in [" ", ",", " ,", "a,", "a;b,", "\t"] {
            let value = unit.repeat(100_000 / unit.len());
            let begin = std::time::Instant::now();
            let _ = read(&value);
            assert!(begin.elapsed().as_secs() < 5, "{unit:?}");
        }
    }
}
