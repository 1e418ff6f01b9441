//! The queue of `src/server/logging/queue.rs`, whatever way those that log and the thread that writes meet. A line or a stop of
//! which the writer is not told would let it sleep for ever: loom calls that a deadlock.

use std::sync::PoisonError;

use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
use loom::thread;
use tidegate_loom::explore;
use tidegate_loom::server::Log;

/// What has been written, and who waits for more.
#[derive(Default)]
struct Written {
    text: Mutex<String>,
    more: Condvar,
}

impl Written {
    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, lines: &str) {
        self.text().push_str(lines);
        self.more.notify_all();
    }

    fn wait_for(&self, all: &str) {
        let mut text = self.text();
        while *text != all {
            text = self.more.wait(text).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The log and its thread.
struct Rig {
    log: Arc<Log>,
    writer: thread::JoinHandle<()>,
    written: Arc<Written>,
}

impl Rig {
    fn new(lines_max: usize, rests: bool) -> Self {
        let log = Arc::new(Log::new(lines_max, rests));
        let written = Arc::new(Written::default());
        let ends = (Arc::clone(&log), Arc::clone(&written));
        let writer = thread::spawn(move || {
            let (log, written) = ends;
            log.write_to(|lines| written.add(lines));
        });
        Self {
            log,
            writer,
            written,
        }
    }

    /// Stops the log; gives all that was written by then.
    fn end(self) -> String {
        self.log.stop();
        let text = self.written.text().clone();
        self.writer.join().expect("the writer");
        assert_eq!(*self.written.text(), text, "written after the end");
        text
    }
}

#[test]
fn a_line_wakes_a_writer_that_sleeps() {
    explore(3, || {
        let rig = Rig::new(8, false);
        rig.log.push("a\n");
        rig.written.wait_for("a\n");
        rig.log.push("b\n");
        rig.written.wait_for("a\nb\n");
        assert_eq!(rig.end(), "a\nb\n");
    });
}

#[test]
fn what_was_logged_before_a_stop_is_written() {
    explore(3, || {
        let rig = Rig::new(8, false);
        let log = Arc::clone(&rig.log);
        let other = thread::spawn(move || log.push("b\n"));
        rig.log.push("a\n");
        other.join().expect("the other author");
        let written = rig.end();
        assert!(written == "a\nb\n" || written == "b\na\n", "{written}");
    });
}

#[test]
fn a_line_without_room_is_counted() {
    explore(2, || {
        let rig = Rig::new(1, false);
        let log = Arc::clone(&rig.log);
        let other = thread::spawn(move || log.push("line\n"));
        rig.log.push("line\n");
        other.join().expect("the other author");
        let written = rig.end();
        let lost = written.contains("own: 1 log line lost\n");
        let lines = written.matches("line\n").count();
        assert_eq!(lines + usize::from(lost), 2, "{written}");
    });
}

#[test]
fn a_flush_ends_the_rest_of_the_writer() {
    explore(3, || {
        let rig = Rig::new(8, true);
        rig.log.push("a\n");
        rig.log.flush();
        assert_eq!(*rig.written.text(), "a\n");
        rig.log.push("b\n");
        rig.log.flush();
        assert_eq!(*rig.written.text(), "a\nb\n");
        rig.end();
    });
}

#[test]
fn a_stop_without_a_line_ends_the_writer() {
    explore(3, || assert_eq!(Rig::new(8, true).end(), ""));
}
