//! Reads Rust source as tokens: which paths it names, and the few words that no file may hold.

use std::fmt;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// One breach of the rules, and the line on which it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.what)
    }
}

/// A path such as `crate::http::head`, relative ones resolved, and the line on which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

impl Import {
    pub(crate) fn begins(&self, prefix: &[&str]) -> bool {
        self.segments.len() >= prefix.len()
            && prefix.iter().zip(&self.segments).all(|(a, b)| a == b)
    }

    pub(crate) fn contains(&self, pair: [&str; 2]) -> bool {
        self.segments.windows(2).any(|window| window == pair)
    }
}

/// Reads a token stream and collects its paths and the words that are forbidden everywhere.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) imports: Vec<Import>,
    pub(crate) findings: Vec<Finding>,
}

impl Reader {
    /// `module` is the path of the module that holds the tokens: empty at the crate's root.
    pub(crate) fn read(&mut self, tokens: TokenStream, module: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if is_test_attribute(&tokens[at..]) {
                at = end_of_item(&tokens, at + 2);
                continue;
            }
            match &tokens[at] {
                TokenTree::Ident(ident) => {
                    let inner = tokens.get(at + 1);
                    if let (true, Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
                        (ident == "mod", inner, tokens.get(at + 2))
                    {
                        let nested = [module, &[name.to_string()]].concat();
                        self.read(body.stream(), &nested);
                        at += 3;
                        continue;
                    }
                    let (line, start) = (ident.span().start().line, at);
                    let follows = start > 0 && is_separator(&tokens[..start]);
                    if !follows || is_global(&tokens[..start]) {
                        self.path(&tokens, &mut at, Vec::new(), line, module);
                    }
                    at = at.max(start + 1);
                }
                TokenTree::Group(group) => {
                    self.read(group.stream(), module);
                    at += 1;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// Reads one path, a `{…}` at its end expanded, and leaves `at` behind it.
    fn path(
        &mut self,
        tokens: &[TokenTree],
        at: &mut usize,
        mut segments: Vec<String>,
        line: usize,
        module: &[String],
    ) {
        let start = *at;
        let mut open = false;
        loop {
            match tokens.get(*at) {
                Some(TokenTree::Ident(ident)) => segments.push(ident.to_string()),
                Some(TokenTree::Group(group))
                    if group.delimiter() == Delimiter::Brace && !segments.is_empty() =>
                {
                    *at += 1;
                    return self.group(group.stream(), &segments, module);
                }
                _ => break,
            }
            *at += 1;
            open = is_separator_at(tokens, *at);
            if !open {
                break;
            }
            *at += 2;
        }
        self.forbidden_words(tokens, start, if open { *at - 2 } else { *at });
        // One word alone is a name of this file, unless it is a whole crate (`use log`, `log::*`).
        let used = start > 0 && is_ident(&tokens[start - 1], "use");
        if segments.len() > 1 || open || used {
            let segments = resolve(segments, module);
            self.imports.push(Import { line, segments });
        }
    }

    /// The branches of `a::{b, c::d}`.
    fn group(&mut self, branches: TokenStream, prefix: &[String], module: &[String]) {
        let tokens: Vec<TokenTree> = branches.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            let line = tokens[at].span().start().line;
            if matches!(tokens[at], TokenTree::Ident(_)) {
                self.path(&tokens, &mut at, prefix.to_vec(), line, module);
            }
            while at < tokens.len() && !is_punct(&tokens[at], ',') {
                at += 1;
            }
            at += 1;
        }
    }

    /// Words that are forbidden everywhere, at the path `tokens[start..end]`.
    fn forbidden_words(&mut self, tokens: &[TokenTree], start: usize, end: usize) {
        let last = &tokens[end - 1];
        let before = |distance: usize| start.checked_sub(distance).map(|at| &tokens[at]);
        let after = tokens.get(end);
        let what = if is_ident(last, "RefCell")
            && before(1).is_some_and(|token| is_punct(token, '<'))
            && before(2).is_some_and(|token| is_ident(token, "Rc"))
        {
            "Rc<RefCell<…>> is shared mutable state"
        } else if is_ident(last, "static")
            && after.is_some_and(|token| is_ident(token, "mut"))
            && !before(1).is_some_and(|token| is_punct(token, '\''))
        {
            "static mut is a global"
        } else if is_ident(last, "thread_local") && after.is_some_and(|token| is_punct(token, '!'))
        {
            "thread_local! is a global"
        } else {
            return;
        };
        self.findings.push(Finding {
            line: last.span().start().line,
            what: what.to_owned(),
        });
    }
}

fn is_ident(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// Whether `tokens[at..]` begins with `::`.
fn is_separator_at(tokens: &[TokenTree], at: usize) -> bool {
    let joint = matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':' && punct.spacing() == Spacing::Joint);
    joint && tokens.get(at + 1).is_some_and(|token| is_punct(token, ':'))
}

/// Whether `before` ends with `::`.
fn is_separator(before: &[TokenTree]) -> bool {
    before.len() >= 2 && is_separator_at(before, before.len() - 2)
}

/// Whether the `::` at the end of `before` begins a path (`::std::fs`) instead of going on with one.
fn is_global(before: &[TokenTree]) -> bool {
    let Some(previous) = before.len().checked_sub(3) else {
        return true;
    };
    match &before[previous] {
        TokenTree::Ident(ident) => ident == "use" || ident == "return" || ident == "as",
        TokenTree::Punct(punct) => punct.as_char() != '>',
        TokenTree::Group(_) | TokenTree::Literal(_) => true,
    }
}

/// `#[cfg(test)]`, `#[test]`.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    let [hash, TokenTree::Group(group), ..] = tokens else {
        return false;
    };
    let text: String = group.stream().to_string().split_whitespace().collect();
    is_punct(hash, '#')
        && (text == "cfg(test)" || text == "test" || text.starts_with("cfg(all(test"))
}

/// Behind the item that begins at `at`: its braces or its semicolon.
fn end_of_item(tokens: &[TokenTree], mut at: usize) -> usize {
    while let Some(token) = tokens.get(at) {
        at += 1;
        let braces =
            matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        // `use a::{b};` goes on after its braces; the semicolon alone that is left hurts nobody.
        if braces || is_punct(token, ';') {
            break;
        }
    }
    at
}

/// `super::x` and `self::x` as seen from the crate's root.
fn resolve(segments: Vec<String>, module: &[String]) -> Vec<String> {
    let mut base = module.to_vec();
    let mut rest = segments.as_slice();
    match rest.first().map(String::as_str) {
        Some("self") => rest = &rest[1..],
        Some("super") => {
            while rest.first().is_some_and(|segment| segment == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        _ => return segments,
    }
    let mut resolved = vec!["crate".to_owned()];
    resolved.extend(base);
    resolved.extend_from_slice(rest);
    resolved
}
