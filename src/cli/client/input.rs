//! The thread that reads what is typed or comes through a pipe, ahead by a few messages and no more.

use std::io::{self, BufRead};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::events::{Event, Events};
use super::machine::Typed;
use super::options::{Input, Options};
use super::output::Sink;
use super::prompt::{self, Entry, Prompt, Terminal};
use super::typing;
use crate::websocket::protocol::MessageKind;

/// Messages read ahead: few, for each may be of the largest size.
const AHEAD_MAX: usize = 2;

/// What comes of the input, and what there is to know of it.
pub(super) struct Opened {
    pub(super) typed: Receiver<Typed>,
    /// Where output goes so that it does not disturb the prompt.
    pub(super) sink: Sink,
    /// To be left as it was before.
    pub(super) terminal: Option<Terminal>,
}

/// Starts to read.
pub(super) fn open(options: &Options, events: Events) -> Opened {
    let (sender, typed) = mpsc::sync_channel(AHEAD_MAX);
    let feed = Feed { sender, events };
    let bytes_max = options.plan.message_bytes_max;
    let kind = |is_binary| match is_binary {
        true => MessageKind::Binary,
        false => MessageKind::Text,
    };
    let mut opened = Opened {
        typed,
        sink: Sink::Streams,
        terminal: None,
    };
    match &options.input {
        Input::Prompt => match prompt::open(options.history.as_deref()) {
            Some((prompt, above, terminal)) => {
                opened.sink = Sink::Prompt(above);
                opened.terminal = Some(terminal);
                thread::spawn(move || feed.read_prompt(prompt, bytes_max));
            }
            None => {
                thread::spawn(move || feed.read_dumb_terminal(bytes_max));
            }
        },
        Input::Lines { is_binary } => {
            let kind = kind(*is_binary);
            thread::spawn(move || feed.read_pipe(kind, bytes_max));
        }
        Input::Given { texts, is_binary } => {
            let (texts, kind) = (texts.clone(), kind(*is_binary));
            thread::spawn(move || feed.read_arguments(texts, kind, bytes_max));
        }
        Input::Nobody => {}
    }
    opened
}

/// The way of the input to the loop.
struct Feed {
    sender: SyncSender<Typed>,
    events: Events,
}

impl Feed {
    /// Waits for room; false once nobody listens, or nothing follows.
    fn give(&self, typed: Typed) -> bool {
        let is_last = matches!(typed, Typed::Ended | Typed::Bad(_));
        let is_heard = self.sender.send(typed).is_ok();
        self.events.wake();
        is_heard && !is_last
    }

    fn read_prompt(self, mut prompt: Prompt, bytes_max: usize) {
        loop {
            let typed = match prompt.read() {
                Entry::Line(line) => typing::command(&line, bytes_max),
                // The prompt stays until all is over, so that what still comes is shown.
                Entry::Interrupt => {
                    self.events.send(Event::Interrupt);
                    continue;
                }
                Entry::End => Typed::Ended,
            };
            if !self.give(typed) {
                return;
            }
        }
    }

    /// No prompt and no history, but commands.
    fn read_dumb_terminal(self, bytes_max: usize) {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if !self.give(typing::command(&line, bytes_max)) {
                return;
            }
        }
        self.give(Typed::Ended);
    }

    fn read_pipe(self, kind: MessageKind, bytes_max: usize) {
        let mut input = io::stdin().lock();
        for number in 1.. {
            if !self.give(typing::line(&mut input, number, kind, bytes_max)) {
                return;
            }
        }
    }

    fn read_arguments(self, texts: Vec<String>, kind: MessageKind, bytes_max: usize) {
        for text in texts {
            let message = typing::message(kind, text.into_bytes(), bytes_max);
            if !self.give(message.unwrap_or_else(Typed::Bad)) {
                return;
            }
        }
        self.give(Typed::Ended);
    }
}
