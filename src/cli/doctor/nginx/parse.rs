//! The configuration of nginx as a tree of directives, with the files that it includes. It is read by the letter: what a directive
//! means is for others to say.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Bytes of one file, files of one configuration, blocks within blocks: beyond them it is none that a person wrote.
const FILE_BYTES_MAX: u64 = 4 << 20;
const FILES_MAX: usize = 2_000;
const DEPTH_MAX: usize = 64;

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    /// Its name and what follows it.
    pub(super) words: Vec<String>,
    /// What is between its braces.
    pub(super) block: Option<Vec<Self>>,
    pub(super) file: Rc<Path>,
    pub(super) line: usize,
}

impl Directive {
    pub(super) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The first word behind the name.
    pub(super) fn value(&self) -> &str {
        self.words.get(1).map_or("", String::as_str)
    }
}

/// Reads a configuration and all that it includes.
///
/// # Errors
/// What cannot be read, and where, as one line.
pub(super) fn read(path: &Path) -> Result<Vec<Directive>, String> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut reader = Reader {
        directory,
        files: 0,
    };
    reader.file(path, 0)
}

struct Reader<'p> {
    /// What relative paths of `include` are relative to.
    directory: &'p Path,
    files: usize,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, depth: usize) -> Result<Vec<Directive>, String> {
        let unreadable = |error| format!("{} cannot be read: {error}", path.display());
        self.files += 1;
        let file = fs::metadata(path).map_err(unreadable)?;
        if !file.is_file() {
            return Err(format!("{} is no file", path.display()));
        }
        if self.files > FILES_MAX || file.len() > FILE_BYTES_MAX {
            return Err(format!("{} is more than is read", path.display()));
        }
        let text = fs::read(path).map_err(unreadable)?;
        let text = String::from_utf8_lossy(&text);
        let file: Rc<Path> = Rc::from(path);
        let mut tokens = Tokens {
            rest: &text,
            line: 1,
        };
        self.block(&mut tokens, &file, depth, false)
            .map_err(|what| format!("{}:{}: {what}", path.display(), tokens.line))
    }

    /// Directives up to the end of the file, or to the brace that ends the block.
    fn block(
        &mut self,
        tokens: &mut Tokens<'_>,
        file: &Rc<Path>,
        depth: usize,
        is_inner: bool,
    ) -> Result<Vec<Directive>, String> {
        if depth > DEPTH_MAX {
            return Err("too many blocks within blocks, or files within files".to_owned());
        }
        let mut directives = Vec::new();
        let mut words = Vec::new();
        let mut line = tokens.line;
        loop {
            let token = tokens.next()?;
            if words.is_empty() {
                line = tokens.line;
            }
            let directive = |words: &mut Vec<String>, block| Directive {
                words: std::mem::take(words),
                block,
                file: Rc::clone(file),
                line,
            };
            match token {
                Token::Word(word) => words.push(word),
                Token::End if words.is_empty() => {}
                Token::End if words[0] == "include" => {
                    for path in self.included(words.get(1).map_or("", String::as_str)) {
                        directives.extend(self.file(&path, depth + 1)?);
                    }
                    words.clear();
                }
                Token::End => directives.push(directive(&mut words, None)),
                Token::Open if words.is_empty() => return Err("a block without a name".to_owned()),
                Token::Open => {
                    let mut opened = directive(&mut words, None);
                    opened.block = Some(self.block(tokens, file, depth + 1, true)?);
                    directives.push(opened);
                }
                Token::Close if is_inner && words.is_empty() => return Ok(directives),
                Token::Close => return Err("a brace closes nothing".to_owned()),
                Token::Nothing if is_inner => return Err("a block does not end".to_owned()),
                Token::Nothing if !words.is_empty() => {
                    return Err("the last directive does not end".to_owned());
                }
                Token::Nothing => return Ok(directives),
            }
        }
    }

    /// The files that an `include` means, in their order; none where there is none.
    fn included(&self, pattern: &str) -> Vec<PathBuf> {
        let path = self.directory.join(pattern);
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        if !name.contains(['*', '?']) {
            return vec![path];
        }
        let entries = fs::read_dir(path.parent().unwrap_or(Path::new("/")));
        let entries = entries.into_iter().flatten().flatten();
        let mut found: Vec<_> = entries
            .filter(|entry| {
                let entry = entry.file_name();
                let entry = entry.to_string_lossy();
                !entry.starts_with('.') && fits(name.as_bytes(), entry.as_bytes())
            })
            .map(|entry| entry.path())
            .filter(|path| path.is_file())
            .collect();
        found.sort();
        found
    }
}

/// Whether a name fits a pattern in which `*` is any text and `?` any letter.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star stands, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == name[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((place, taken)) = &mut star else {
                    return false;
                };
                *taken += 1;
                (at, from) = (*place + 1, *taken);
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
    /// Of the file.
    Nothing,
}

struct Tokens<'t> {
    rest: &'t str,
    line: usize,
}

impl Tokens<'_> {
    fn take(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.rest = &self.rest[letter.len_utf8()..];
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    fn next(&mut self) -> Result<Token, String> {
        loop {
            let Some(letter) = self.take() else {
                return Ok(Token::Nothing);
            };
            return Ok(match letter {
                letter if letter.is_whitespace() => continue,
                '#' => {
                    while self.take().is_some_and(|letter| letter != '\n') {}
                    continue;
                }
                ';' => Token::End,
                '{' => Token::Open,
                '}' => Token::Close,
                '"' | '\'' => Token::Word(self.quoted(letter)?),
                letter => Token::Word(self.word(letter)?),
            });
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut word = String::new();
        while let Some(letter) = self.take() {
            match letter {
                '\\' => word.extend(self.take()),
                letter if letter == quote => return Ok(word),
                letter => word.push(letter),
            }
        }
        Err("a quoted text does not end".to_owned())
    }

    /// A word goes on to a blank or to what ends a directive; `${name}` belongs to it.
    fn word(&mut self, first: char) -> Result<String, String> {
        let mut word = String::from(first);
        if first == '\\' {
            word.extend(self.take());
        }
        while let Some(letter) = self.rest.chars().next() {
            let is_variable = letter == '{' && word.ends_with('$');
            if letter.is_whitespace() || (matches!(letter, ';' | '{' | '}') && !is_variable) {
                break;
            }
            word.extend(self.take());
            if letter == '\\' {
                word.extend(self.take());
            }
            while is_variable && !word.ends_with('}') {
                word.push(self.take().ok_or("a variable does not end")?);
            }
        }
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Directive>, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("nginx.conf");
        fs::write(&path, text).expect("written");
        read(&path).map_err(|error| error.replace(&directory.path().display().to_string(), ""))
    }

    /// Each directive on a line, with its line, and its block behind it.
    fn shown(directives: &[Directive], depth: usize) -> String {
        let lines = directives.iter().map(|one| {
            let block = one
                .block
                .as_deref()
                .map_or_else(String::new, |block| shown(block, depth + 1));
            format!(
                "{}{}:{}\n{block}",
                " ".repeat(depth),
                one.line,
                one.words.join("|")
            )
        });
        lines.collect()
    }

    #[test]
    fn directives_words_and_blocks() {
        let text = "a 1; # c;\nb \"x y\" 'z;{' \\{q ${v}w$;\n\nserver\n{ d ;e{f 1;}\n}";
        let directives = parsed(text).expect("parsed");
        let expected = "1:a|1\n2:b|x y|z;{|\\{q|${v}w$\n4:server\n 5:d\n 5:e\n  5:f|1\n";
        assert_eq!(shown(&directives, 0), expected);
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_line() {
        for (text, why) in [
            ("a 1;\n}", "/nginx.conf:2: a brace closes nothing"),
            ("a {\nb 1;\n", "/nginx.conf:3: a block does not end"),
            ("a 1", "/nginx.conf:1: the last directive does not end"),
            ("{}", "/nginx.conf:1: a block without a name"),
            ("a \"", "/nginx.conf:1: a quoted text does not end"),
            ("a ${", "/nginx.conf:1: a variable does not end"),
            (
                &"a{".repeat(100),
                "/nginx.conf:1: too many blocks within blocks, or files within files",
            ),
        ] {
            assert_eq!(parsed(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn files_are_included_where_they_are_and_in_order() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("conf.d")).expect("made");
        for name in ["b.conf", "a.conf", ".c.conf", "d.off"] {
            fs::write(at("conf.d").join(name), format!("from {name};")).expect("written");
        }
        fs::write(
            at("nginx.conf"),
            "http { include conf.d/*.conf; include none/*; }",
        )
        .expect("written");
        let directives = read(&at("nginx.conf")).expect("read");
        assert_eq!(
            shown(&directives, 0),
            "1:http\n 1:from|a.conf\n 1:from|b.conf\n"
        );
        // A file that includes itself, and one that is not there.
        fs::write(at("nginx.conf"), "include nginx.conf;").expect("written");
        assert!(
            read(&at("nginx.conf"))
                .expect_err("endless")
                .contains("files within files")
        );
        fs::write(at("nginx.conf"), "include /dev/zero;").expect("written");
        let why = read(&at("nginx.conf")).expect_err("no file");
        assert!(why.ends_with("/dev/zero is no file"), "{why}");
        fs::write(at("nginx.conf"), "include gone.conf;").expect("written");
        assert!(
            read(&at("nginx.conf"))
                .expect_err("gone")
                .contains("gone.conf cannot be read")
        );
    }

    #[test]
    fn patterns() {
        for (pattern, name, fit) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.off", false),
            ("*", "", true),
            ("a*b?c", "axxbyc", true),
            ("a*b?c", "axxbc", false),
            ("*a*a*a*b", &"a".repeat(200), false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), fit, "{pattern}");
        }
    }
}
