//! The prompt: lines that are edited and kept, and a way to print above them. rustyline does the work; what is here is how it
//! begins and how it ends, for it waits for a key and cannot be told that all is over.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Config, Editor, ExternalPrinter, Helper};

/// Lines that the history keeps.
const HISTORY_LINES_MAX: usize = 1_000;
const PROMPT: &str = "> ";
/// Up and down again: shows nothing.
const NOTHING: &str = "\x1b[A\n";
/// Time for the prompt to stop. It does so at once, or was idle already.
const STOP_TIME_MAX: Duration = Duration::from_millis(100);
/// The same where it was still to begin, which changes the terminal.
const BEGIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Where lines are typed.
pub(super) struct Prompt {
    editor: Editor<Curtain, FileHistory>,
    history: Option<PathBuf>,
}

/// What one call of the prompt gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Line(String),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D, or the terminal is gone.
    End,
}

/// Prints above the prompt.
pub(super) struct Above {
    printer: Box<dyn ExternalPrinter + Send>,
    has_begun: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    fallen: Receiver<()>,
}

/// A terminal that is to be left as it was found.
#[derive(Debug)]
pub(super) struct Terminal(Termios);

/// The prompt on this terminal; `None` where that is no good for one.
pub(super) fn open(history: Option<&Path>) -> Option<(Prompt, Above, Terminal)> {
    let terminal = Terminal(tcgetattr(io::stdin()).ok()?);
    let config = Config::builder()
        .max_history_size(HISTORY_LINES_MAX)
        .ok()?
        .history_ignore_space(true)
        // Or else the curtain is not asked.
        .color_mode(ColorMode::Forced)
        .build();
    let mut editor = Editor::with_config(config).ok()?;
    let (has_begun, is_over) = (Arc::default(), Arc::default());
    let (fall, fallen) = mpsc::channel();
    editor.set_helper(Some(Curtain {
        has_begun: Arc::clone(&has_begun),
        is_over: Arc::clone(&is_over),
        fall,
    }));
    let above = Above {
        printer: Box::new(editor.create_external_printer().ok()?),
        has_begun,
        is_over,
        fallen,
    };
    if let Some(path) = history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    let prompt = Prompt {
        editor,
        history: history.map(Path::to_owned),
    };
    Some((prompt, above, terminal))
}

impl Prompt {
    /// Waits for a line.
    pub(super) fn read(&mut self) -> Entry {
        match self.editor.readline(PROMPT) {
            Ok(line) => {
                if let (Ok(true), Some(path)) =
                    (self.editor.add_history_entry(&line), &self.history)
                {
                    // A full disk does not stop a conversation.
                    let _ = self.editor.append_history(path);
                }
                Entry::Line(line)
            }
            Err(ReadlineError::Interrupted) => Entry::Interrupt,
            Err(_) => Entry::End,
        }
    }
}

impl Above {
    /// Waits where the terminal is slow.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn print(&mut self, text: String) -> io::Result<()> {
        self.printer.print(text).map_err(io::Error::other)
    }

    /// Shows all that was printed, and stops the prompt for good.
    pub(super) fn end(mut self) {
        // One text waits while another is shown: when the second of these is taken to wait, all before them is shown.
        for _ in 0..2 {
            let _ = self.print(NOTHING.to_owned());
        }
        self.is_over.store(true, Ordering::SeqCst);
        let time = match self.has_begun.load(Ordering::SeqCst) {
            true => STOP_TIME_MAX,
            false => BEGIN_TIME_MAX,
        };
        // Where Ctrl-D has ended the prompt this says so at once.
        let _ = self.fallen.recv_timeout(time);
    }
}

impl Terminal {
    /// Takes the prompt away.
    pub(super) fn restore(&self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        let mut out = io::stdout();
        let mut is_free = [PollFd::new(&out, PollFlags::OUT)];
        // A terminal that takes nothing does not keep us.
        if poll(&mut is_free, Some(&Timespec::default())).is_ok_and(|count| count > 0) {
            // No synchronized update, no bracketed paste, no prompt.
            let end = "\x1b[?2026l\x1b[?2004l\r\x1b[J";
            let _ = out.write_all(end.as_bytes()).and_then(|()| out.flush());
        }
    }
}

/// Is asked whenever the prompt is about to be drawn, and once all is over never answers.
struct Curtain {
    has_begun: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    fall: Sender<()>,
}

impl Highlighter for Curtain {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        self.has_begun.store(true, Ordering::SeqCst);
        if self.is_over.load(Ordering::SeqCst) {
            let _ = self.fall.send(());
            loop {
                thread::park();
            }
        }
        Cow::Borrowed(prompt)
    }
}

impl Completer for Curtain {
    type Candidate = String;
}
impl Hinter for Curtain {
    type Hint = String;
}
impl Validator for Curtain {}
impl Helper for Curtain {}
