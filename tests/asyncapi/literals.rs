//! Texts in the sources of the gateway, found in their tokens: what the server can say is written there and nowhere else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The tokens of a source file.
pub(crate) fn tokens(path: &Path) -> TokenStream {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The source files below a directory, without the tests that are files of their own.
pub(crate) fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found
}

/// The body of the function of that name.
pub(crate) fn body_of(stream: TokenStream, name: &str) -> Option<TokenStream> {
    let mut is_after_fn = false;
    let mut is_it = false;
    for token in stream {
        match token {
            TokenTree::Group(group) => {
                let is_body = group.delimiter() == Delimiter::Brace;
                if is_it && is_body {
                    return Some(group.stream());
                }
                if let Some(found) = body_of(group.stream(), name) {
                    return Some(found);
                }
            }
            TokenTree::Ident(ident) => {
                is_it |= is_after_fn && ident == name;
                is_after_fn = ident == "fn";
            }
            _ => is_after_fn = false,
        }
    }
    None
}

/// Texts on either side of the arms of a `match`: before `=>` where `is_pattern`, else behind it.
pub(crate) fn of_arms(stream: TokenStream, is_pattern: bool) -> BTreeSet<String> {
    let tokens: Vec<_> = stream.into_iter().collect();
    let mut found = BTreeSet::new();
    for (index, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            found.extend(of_arms(group.stream(), is_pattern));
        }
        let is_arrow = |at: usize| {
            let arrow = tokens.get(at..at + 2).unwrap_or_default();
            let arrow: String = arrow.iter().map(ToString::to_string).collect();
            arrow == "=>"
        };
        let is_there = if is_pattern {
            is_arrow(index + 1)
        } else {
            index >= 2 && is_arrow(index - 2)
        };
        if is_there {
            found.extend(text_of(token));
        }
    }
    found
}

/// Texts among the arguments of calls of the functions of those names, as far as they are not within further calls.
pub(crate) fn of_calls(stream: TokenStream, functions: &[&[&str]]) -> BTreeSet<String> {
    let tokens: Vec<_> = stream.into_iter().collect();
    let mut found = BTreeSet::new();
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else {
            continue;
        };
        found.extend(of_calls(group.stream(), functions));
        let is_called = functions.iter().any(|path| {
            let start = index.checked_sub(path.len());
            start.is_some_and(|start| {
                tokens[start..index]
                    .iter()
                    .map(ToString::to_string)
                    .eq(path.iter().copied())
            })
        });
        if is_called {
            found.extend(
                group
                    .stream()
                    .into_iter()
                    .filter_map(|token| text_of(&token)),
            );
        }
    }
    found.remove("");
    found
}

fn text_of(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else {
        return None;
    };
    serde_json::from_str(&literal.to_string()).ok()
}
