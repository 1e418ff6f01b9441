//! Why settings cannot be used: always one line, with nothing of a secret in it.

use std::fmt;
use std::path::PathBuf;

use super::sources::Source;
use super::table::Setting;
use crate::server::logging::escape::Escaped;

/// Characters of a wrong value that the line shows.
const SHOWN_CHARACTERS_MAX: usize = 120;

/// The first thing that is wrong with the settings. `Display` gives one line.
#[derive(Debug)]
pub enum SettingsError {
    /// A value that is not allowed.
    Value {
        /// Whose value.
        setting: &'static Setting,
        /// Where it came from.
        source: Source,
        /// The value as it was written.
        value: String,
        /// What is allowed, a clause such as "must be on or off".
        problem: String,
    },
    /// A file that cannot be read or understood.
    File {
        /// Which file.
        path: PathBuf,
        /// Where in it, from 1.
        line: Option<usize>,
        /// What is wrong.
        problem: String,
    },
    /// Keys of the configuration file that are no settings.
    UnknownKeys {
        /// Which file.
        path: PathBuf,
        /// The keys.
        keys: Vec<String>,
    },
}

impl std::error::Error for SettingsError {}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value {
                setting,
                source,
                value,
                problem,
            } => {
                write!(f, "{} = ", setting.environment)?;
                if setting.secret {
                    f.write_str("(hidden)")?;
                } else {
                    let shown: String = value.chars().take(SHOWN_CHARACTERS_MAX).collect();
                    let cut = if shown.len() < value.len() { "…" } else { "" };
                    write!(f, "\"{}{cut}\"", Escaped(&shown))?;
                }
                write!(f, " ({}): {}", source.described(setting), Escaped(problem))
            }
            Self::File {
                path,
                line,
                problem,
            } => {
                write!(f, "{}", Escaped(&path.to_string_lossy()))?;
                if let Some(line) = line {
                    write!(f, " line {line}")?;
                }
                write!(f, ": {}", Escaped(problem))
            }
            Self::UnknownKeys { path, keys } => write!(
                f,
                "{}: unknown {} {}; the keys are the names of the settings in lower case, such as \
                 max_message_size",
                Escaped(&path.to_string_lossy()),
                if keys.len() == 1 { "key" } else { "keys" },
                Escaped(&keys.join(", ")),
            ),
        }
    }
}
