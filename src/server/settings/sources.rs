//! Where settings come from: flags, the environment, `.env`, the configuration file. Collects text; what
//! the text means is decided elsewhere. The process environment is read, never written.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::client::is_client_key;
use super::error::SettingsError;
use super::table::{SETTINGS, Setting};
use super::value::Kind;
use crate::limits::CONFIG_FILE_BYTES_MAX;
use crate::server::logging::escape::Escaped;

/// The configuration file that is read where none is named.
pub const CONFIG_FILE_DEFAULT: &str = "tidegate.toml";
/// Names the configuration file in the environment.
pub const CONFIG_FILE_VARIABLE: &str = "TIDEGATE_CONFIG";
const DOT_ENV: &str = ".env";

/// Where a value came from, the strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A flag of the command line.
    Flag,
    /// The environment of the process.
    Environment,
    /// The file `.env` in the working directory.
    DotEnv,
    /// This configuration file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl Source {
    /// The source of `setting` as people read it.
    pub fn described(&self, setting: &Setting) -> String {
        match self {
            Self::Flag => format!("flag --{}", setting.flag()),
            Self::Environment => "environment".to_owned(),
            Self::DotEnv => DOT_ENV.to_owned(),
            Self::File(path) => Escaped(&path.to_string_lossy()).to_string(),
            Self::Default => "default".to_owned(),
        }
    }
}

/// What the command line says about settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The configuration file, where one is named; it must exist then.
    pub config: Option<PathBuf>,
    /// Flags that were given, each with its text.
    pub flags: Vec<(&'static Setting, OsString)>,
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Setting {}

/// What settings depend on besides the command line.
#[derive(Debug, Clone)]
pub struct Context {
    /// The environment.
    pub environment: HashMap<OsString, OsString>,
    /// Where `.env` and the configuration file are looked for; empty is the working directory.
    pub directory: PathBuf,
    /// File descriptors that the process may have open.
    pub open_files_max: u64,
    /// Processors that it may use.
    pub cores: u64,
}

impl Context {
    /// The context of this process, now.
    pub fn of_process() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            environment: std::env::vars_os().collect(),
            directory: PathBuf::new(),
            open_files_max: crate::server::open_files::open_file_limit(),
            cores: cores as u64,
        }
    }
}

/// The text of each setting that some source names, in the order of [`SETTINGS`].
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) texts: Vec<Option<(String, Source)>>,
    /// The configuration file that was read.
    pub(super) config_file: Option<PathBuf>,
}

/// Asks every source for every setting and keeps the strongest answer.
///
/// # Errors
/// A file that cannot be read or understood, a named one that does not exist, unknown keys, text that is not UTF-8.
pub(super) fn gather(arguments: &Arguments, context: &Context) -> Result<Gathered, SettingsError> {
    let dot_env = read_dot_env(&context.directory)?;
    let (config_file, mut file_values) = read_config_file(arguments, context, &dot_env)?;
    let mut texts = Vec::with_capacity(SETTINGS.len());
    for setting in SETTINGS {
        let from_file = file_values.remove(&setting.toml_key());
        texts.push(strongest(setting, arguments, context, &dot_env, from_file)?);
    }
    file_values.retain(|key, _| !is_client_key(key));
    if let (Some(path), false) = (&config_file, file_values.is_empty()) {
        return Err(SettingsError::UnknownKeys {
            path: path.clone(),
            keys: file_values.keys().cloned().collect(),
        });
    }
    Ok(Gathered { texts, config_file })
}

fn strongest(
    setting: &'static Setting,
    arguments: &Arguments,
    context: &Context,
    dot_env: &HashMap<String, String>,
    from_file: Option<(toml::Value, Source)>,
) -> Result<Option<(String, Source)>, SettingsError> {
    let flag = arguments
        .flags
        .iter()
        .find(|(named, _)| named.key == setting.key);
    if let Some((_, text)) = flag {
        return utf8(setting, text.clone(), Source::Flag).map(Some);
    }
    // Compose files pass `NAME=` for what is not set, so an empty variable counts as none.
    if let Some(text) = context
        .environment
        .get(setting.environment.as_ref() as &std::ffi::OsStr)
        && !text.is_empty()
    {
        return utf8(setting, text.clone(), Source::Environment).map(Some);
    }
    if let Some(text) = dot_env.get(setting.environment)
        && !text.is_empty()
    {
        return Ok(Some((text.clone(), Source::DotEnv)));
    }
    from_file
        .map(|(value, source)| from_toml(setting, &value, source))
        .transpose()
}

fn utf8(
    setting: &'static Setting,
    text: OsString,
    source: Source,
) -> Result<(String, Source), SettingsError> {
    match text.into_string() {
        Ok(text) => Ok((text, source)),
        Err(text) => Err(SettingsError::Value {
            setting,
            source,
            value: text.to_string_lossy().into_owned(),
            problem: "must be UTF-8 text".to_owned(),
        }),
    }
}

/// The text of a value of the configuration file: what the same setting would be in the environment.
fn from_toml(
    setting: &'static Setting,
    value: &toml::Value,
    source: Source,
) -> Result<(String, Source), SettingsError> {
    let is_list = matches!(setting.kind, Kind::List { .. });
    let text = match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(on) => Some(on.to_string()),
        toml::Value::Array(entries) if is_list => entries
            .iter()
            .map(|entry| entry.as_str().filter(|text| !text.contains(',')))
            .collect::<Option<Vec<_>>>()
            .map(|entries| entries.join(",")),
        toml::Value::Table(rows) if setting.key == super::Key::Routes => rows
            .iter()
            .map(|(path, endpoint)| {
                let endpoint = endpoint.as_str().filter(|text| !text.contains([',', '=']));
                Some(format!(
                    "{path}={}",
                    endpoint.filter(|_| !path.contains([',', '=']))?
                ))
            })
            .collect::<Option<Vec<_>>>()
            .map(|rows| rows.join(",")),
        _ => None,
    };
    match text {
        Some(text) => Ok((text, source)),
        None => Err(SettingsError::Value {
            setting,
            source,
            value: value.to_string(),
            problem: format!("must be {}", setting.kind.allowed()),
        }),
    }
}

pub(super) fn read_dot_env(directory: &Path) -> Result<HashMap<String, String>, SettingsError> {
    let path = PathBuf::from(DOT_ENV);
    let text = match read_limited(&directory.join(&path)) {
        Ok(text) => text,
        Err(FileProblem::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(HashMap::new());
        }
        Err(problem) => return Err(problem.of(path)),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // A name given twice: the later line counts, as a shell has it.
    dotenvy::from_read_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| dot_env_error(path, text, &error))
}

/// Says where a bad line is, not what it holds: `.env` files hold secrets.
fn dot_env_error(path: PathBuf, text: &str, error: &dotenvy::Error) -> SettingsError {
    let line = match error {
        dotenvy::Error::LineParse(bad, _) => {
            let first = bad.lines().next().unwrap_or_default().trim_end();
            text.lines()
                .position(|line| line.contains(first))
                .map(|index| index + 1)
        }
        _ => None,
    };
    SettingsError::File {
        path,
        line,
        problem: "must be NAME=value lines".to_owned(),
    }
}

pub(super) type FileValues = BTreeMap<String, (toml::Value, Source)>;

pub(super) fn read_config_file(
    arguments: &Arguments,
    context: &Context,
    dot_env: &HashMap<String, String>,
) -> Result<(Option<PathBuf>, FileValues), SettingsError> {
    let from_environment = context
        .environment
        .get(CONFIG_FILE_VARIABLE.as_ref() as &std::ffi::OsStr)
        .map(PathBuf::from)
        .or_else(|| dot_env.get(CONFIG_FILE_VARIABLE).map(PathBuf::from))
        .filter(|path| !path.as_os_str().is_empty());
    let named = arguments.config.clone().or(from_environment);
    let path = named
        .clone()
        .unwrap_or_else(|| PathBuf::from(CONFIG_FILE_DEFAULT));
    let text = match read_limited(&context.directory.join(&path)) {
        Ok(text) => text,
        Err(FileProblem::Io(error))
            if error.kind() == io::ErrorKind::NotFound && named.is_none() =>
        {
            return Ok((None, FileValues::new()));
        }
        Err(problem) => return Err(problem.of(path)),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let table: toml::Table = text
        .parse()
        .map_err(|error| toml_error(path.clone(), text, &error))?;
    let values = table
        .into_iter()
        .map(|(key, value)| (key, (value, Source::File(path.clone()))))
        .collect();
    Ok((Some(path), values))
}

fn toml_error(path: PathBuf, text: &str, error: &toml::de::Error) -> SettingsError {
    let line = error.span().map(|span| {
        let before = text.as_bytes().iter().take(span.start);
        before.filter(|byte| **byte == b'\n').count() + 1
    });
    let problem = error.message().lines().collect::<Vec<_>>().join("; ");
    SettingsError::File {
        path,
        line,
        problem,
    }
}

enum FileProblem {
    Io(io::Error),
    TooLong,
    NotUtf8 { line: usize },
}

impl FileProblem {
    fn of(self, path: PathBuf) -> SettingsError {
        let (line, problem) = match self {
            Self::Io(error) => (None, format!("cannot be read: {error}")),
            Self::TooLong => (
                None,
                format!("must be at most {CONFIG_FILE_BYTES_MAX} bytes"),
            ),
            Self::NotUtf8 { line } => (Some(line), "must be UTF-8 text".to_owned()),
        };
        SettingsError::File {
            path,
            line,
            problem,
        }
    }
}

fn read_limited(path: &Path) -> Result<String, FileProblem> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(FileProblem::Io)?;
    file.take(CONFIG_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(FileProblem::Io)?;
    if bytes.len() as u64 > CONFIG_FILE_BYTES_MAX {
        return Err(FileProblem::TooLong);
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        FileProblem::NotUtf8 {
            line: before.filter(|byte| **byte == b'\n').count() + 1,
        }
    })
}
