//! The log: records of the `log` facade as one line each, written by a thread of its own to stderr or to rotated
//! files. Whoever logs formats the line and leaves it in a bounded queue: a slow terminal or a full disk costs lines,
//! which are counted, and never time of an event loop. What is logged is decided elsewhere.
//!
//! Structured values (`log::info!(connection = id, code = 1001; "closed")`) follow the message as `key=value`, or are
//! fields of the JSON object.

pub mod escape;
mod file;
mod line;
mod queue;

use std::fmt;
use std::io::{self, Write as _};
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use super::settings::{LogFormat, LogSettings};
use crate::limits::{LOG_QUEUE_LINES_MAX, LOG_REST};
use escape::Escaped;
use file::RotatingFile;
use queue::{Queue, Sink, Written};

/// How long the end of the process waits for a log that is slow.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);

/// Why there is no log.
#[derive(Debug)]
pub enum LogError {
    /// The log file cannot be written.
    File(PathBuf, io::Error),
    /// The log thread cannot start.
    Thread(io::Error),
    /// The process has a logger already.
    AlreadyStarted,
}

impl std::error::Error for LogError {}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(directory, error) => write!(
                f,
                "LOG_DIR = \"{}\": must be a directory that can be written: {error}",
                Escaped(&directory.to_string_lossy())
            ),
            Self::Thread(error) => write!(f, "the log thread cannot start: {error}"),
            Self::AlreadyStarted => f.write_str("the process has a logger already"),
        }
    }
}

/// Keeps the log going; dropped, it writes what is left and ends.
#[must_use = "the log ends when this is dropped"]
pub struct LogGuard {
    queue: Arc<Queue>,
}

impl fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogGuard").finish_non_exhaustive()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.queue.stop(FLUSH_TIME_MAX);
    }
}

/// Starts the log of the process, once, and lets panics be logged.
///
/// # Errors
/// A log file that cannot be written, no thread to be had, or a logger that is there already.
pub fn start(settings: &LogSettings) -> Result<LogGuard, LogError> {
    let mut sink: Box<dyn Sink + Send> = if settings.to_file {
        Box::new(open(settings)?)
    } else {
        Box::new(Stderr)
    };
    let queue = Arc::new(Queue::new(LOG_QUEUE_LINES_MAX, LOG_REST));
    let format = settings.format;
    let logger = Logger::new(&queue, format);
    log::set_boxed_logger(Box::new(logger)).map_err(|_| LogError::AlreadyStarted)?;
    let shared = Arc::clone(&queue);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || shared.drain_into(&mut *sink, &|what| own_line(what, format)))
        .map_err(LogError::Thread)?;
    set_level(settings.level);
    let panics = Panics {
        queue: Arc::clone(&queue),
        format,
        to_file: settings.to_file,
    };
    std::panic::set_hook(Box::new(move |info| panics.log(info)));
    Ok(LogGuard { queue })
}

/// Sets the least severe level that is written, from now on.
pub fn set_level(level: log::LevelFilter) {
    log::set_max_level(level);
}

fn open(settings: &LogSettings) -> Result<RotatingFile, LogError> {
    RotatingFile::open(
        &settings.directory,
        settings.file_bytes_max,
        settings.files_max,
    )
    .map_err(|error| LogError::File(settings.directory.clone(), error))
}

/// Whether log files could be written to the directory of `settings`, without making any.
///
/// # Errors
/// [`LogError::File`] where not.
pub fn check_directory(settings: &LogSettings) -> Result<(), LogError> {
    use rustix::fs::{Access, access};
    let refused = |error: io::Error| LogError::File(settings.directory.clone(), error);
    let mut existing: &Path = &settings.directory;
    while !existing.as_os_str().is_empty() && !existing.exists() {
        existing = existing.parent().unwrap_or(Path::new(""));
    }
    if existing.as_os_str().is_empty() {
        existing = Path::new(".");
    }
    if !existing.is_dir() {
        return Err(refused(io::ErrorKind::NotADirectory.into()));
    }
    access(existing, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| refused(error.into()))?;
    let file = settings.directory.join(file::NAME);
    if file.exists() {
        access(&file, Access::WRITE_OK).map_err(|error| refused(error.into()))?;
    }
    Ok(())
}

/// `env_logger` with our lines and our queue behind it.
struct Logger {
    front: env_logger::Logger,
    queue: Arc<Queue>,
}

impl Logger {
    fn new(queue: &Arc<Queue>, format: LogFormat) -> Self {
        let lines = Arc::clone(queue);
        // The line goes where it is to go as it is: `env_logger` would copy it twice on its way to a writer, under a lock.
        let front = env_logger::Builder::new()
            .filter_level(log::LevelFilter::Trace)
            .format(move |_, record| {
                lines.push(&line::format(record, SystemTime::now(), format));
                Ok(())
            })
            .target(env_logger::Target::Pipe(Box::new(io::sink())))
            .build();
        Self {
            front,
            queue: Arc::clone(queue),
        }
    }
}

/// Libraries are heard from this level up: what they tell below it may be anything, secrets among it.
const FOREIGN_LEVEL: log::Level = log::Level::Warn;

/// Whether a line is of this program and of none of its libraries.
fn is_own(target: &str) -> bool {
    let of = target.split("::").next();
    of.is_some_and(|of| matches!(of, env!("CARGO_PKG_NAME") | "log" | "panic"))
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        let level = metadata.level();
        level <= log::max_level() && (level <= FOREIGN_LEVEL || is_own(metadata.target()))
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.front.log(record);
        }
    }

    fn flush(&self) {
        if !self.queue.is_writer() {
            self.queue.flush(FLUSH_TIME_MAX);
        }
    }
}

/// The standard error of the process.
struct Stderr;

impl Sink for Stderr {
    fn write_lines(&mut self, lines: &str) -> Written {
        match io::stderr().write_all(lines.as_bytes()) {
            Ok(()) => Written::default(),
            // How much of it came through is not known; a closed stderr takes nothing.
            Err(_) => Written {
                lost: lines.lines().count() as u64,
                problem: None,
            },
        }
    }
}

fn own_line(what: &str, format: LogFormat) -> String {
    line::format(
        &log::Record::builder()
            .args(format_args!("{what}"))
            .level(log::Level::Warn)
            .target("log")
            .build(),
        SystemTime::now(),
        format,
    )
}

/// Writes panics to the log and, where that goes to a file or cannot go on, to stderr.
struct Panics {
    queue: Arc<Queue>,
    format: LogFormat,
    to_file: bool,
}

impl Panics {
    fn log(&self, info: &PanicHookInfo<'_>) {
        let line = panic_line(info, self.format);
        let mut for_stderr = String::new();
        if self.queue.is_writer() {
            for_stderr.push_str(&line);
        } else {
            if self.to_file {
                for_stderr.push_str(&line);
            }
            self.queue.push(&line);
            self.queue.flush(FLUSH_TIME_MAX);
        }
        let backtrace = std::backtrace::Backtrace::capture();
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            for_stderr.push_str(&format!("{backtrace}\n"));
        }
        if !for_stderr.is_empty() {
            write_stderr(for_stderr);
        }
    }
}

/// Writes to stderr, but does not wait long for one that nobody reads: a panic must come to its end.
fn write_stderr(text: String) {
    let (done, written) = mpsc::channel();
    let helper = thread::Builder::new()
        .name("panic".to_owned())
        .spawn(move || {
            let _ = io::stderr().write_all(text.as_bytes());
            let _ = done.send(());
        });
    if helper.is_ok() {
        let _ = written.recv_timeout(FLUSH_TIME_MAX);
    }
}

fn panic_line(info: &PanicHookInfo<'_>, format: LogFormat) -> String {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = thread::current();
    let pairs = [
        ("location", location.as_str()),
        ("thread", thread.name().unwrap_or("unnamed")),
    ];
    line::format(
        &log::Record::builder()
            .args(format_args!(
                "panicked: {}",
                info.payload_as_str().unwrap_or("no message")
            ))
            .level(log::Level::Error)
            .target("panic")
            .key_values(&pairs)
            .build(),
        SystemTime::now(),
        format,
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::server::testing::TempDir;

    fn settings(directory: PathBuf) -> LogSettings {
        LogSettings {
            level: log::LevelFilter::Info,
            format: LogFormat::Text,
            to_file: true,
            directory,
            file_bytes_max: 1 << 20,
            files_max: 1,
        }
    }

    #[test]
    fn a_directory_that_does_not_exist_yet_is_fine_and_stays_unmade() {
        let directory = TempDir::new();
        let wanted = directory.path().join("a/b");
        check_directory(&settings(wanted.clone())).expect("fine");
        assert!(!wanted.exists());
        check_directory(&settings(directory.path().to_owned())).expect("fine");
    }

    #[test]
    fn what_cannot_be_written_is_refused_in_one_line() {
        let directory = TempDir::new();
        let file = directory.path().join("file");
        std::fs::write(&file, "").expect("write");
        for wanted in [file.clone(), file.join("below")] {
            let checked = check_directory(&settings(wanted.clone())).expect_err("no directory");
            let expected = format!(
                "LOG_DIR = \"{}\": must be a directory that can be written: not a directory",
                wanted.display()
            );
            assert_eq!(checked.to_string(), expected);
            let opened = open(&settings(wanted))
                .err()
                .expect("no directory")
                .to_string();
            assert!(
                opened.starts_with("LOG_DIR = ") && !opened.contains('\n'),
                "{opened}"
            );
        }
        let closed = directory.path().join("closed");
        std::fs::create_dir(&closed).expect("mkdir");
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o500)).expect("chmod");
        // The superuser may write anywhere.
        if !rustix::process::geteuid().is_root() {
            check_directory(&settings(closed)).expect_err("no permission");
        }
    }

    #[test]
    fn own_lines_have_the_shape_of_all_lines() {
        let text = own_line("3 log lines lost", LogFormat::Text);
        assert!(text.ends_with("Z WARN  log: 3 log lines lost\n"), "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&own_line("x", LogFormat::Json)).expect("JSON");
        assert_eq!(json["message"], "x");
    }
}
