//! The way from the threads that log to the one that writes: bounded, and whoever puts a line in waits for no terminal and no disk.

use std::sync::{OnceLock, PoisonError};
use std::time::{Duration, Instant};

use memchr::{memchr, memrchr};

use crate::limits::LOG_BATCH_BYTES_MAX;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::sync::thread::{self, Thread};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// What became of a batch of lines.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Lines that could not be written.
    pub(super) lost: u64,
    /// What else went wrong, to be said once.
    pub(super) problem: Option<String>,
}

/// Where lines end.
pub(super) trait Sink {
    /// Writes whole lines, each with its line feed. Never panics; what cannot be written is counted.
    fn write_lines(&mut self, lines: &str) -> Written;
}

/// Lines that wait, one after the other in one text: authors and writer hold it for a copy or a swap, and no line is an
/// allocation that another thread has to free.
#[derive(Default)]
struct Waiting {
    text: String,
    lines: usize,
}

/// Lines between their authors and the log thread. Call [`push`](Self::push) anywhere, [`drain_into`](Self::drain_into)
/// on one thread until it returns, [`stop`](Self::stop) once at the end.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    lines_max: usize,
    rest: Duration,
    /// Lines that found no room or could not be written, and that nobody has been told of.
    lost: AtomicU64,
    pushed: AtomicU64,
    done: AtomicU64,
    writer: OnceLock<Thread>,
    sleeping: AtomicBool,
    /// Somebody does not want to wait for the end of the writer's rest.
    is_hurried: AtomicBool,
    stopping: AtomicBool,
    finished: AtomicBool,
    progress_lock: Mutex<()>,
    progress: Condvar,
}

impl Queue {
    /// Room for `lines_max` lines, and a writer that rests for `rest` after each write: what comes meanwhile goes out together,
    /// and nobody has to wake it.
    pub(super) fn new(lines_max: usize, rest: Duration) -> Self {
        Self {
            waiting: Mutex::default(),
            lines_max,
            rest,
            lost: AtomicU64::new(0),
            pushed: AtomicU64::new(0),
            done: AtomicU64::new(0),
            writer: OnceLock::new(),
            sleeping: AtomicBool::new(false),
            is_hurried: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            progress_lock: Mutex::new(()),
            progress: Condvar::new(),
        }
    }

    /// Puts a line in, or drops and counts it where there is no room.
    pub(super) fn push(&self, line: &str) {
        if self.stopping.load(Ordering::Relaxed) {
            return;
        }
        let mut waiting = self.waiting();
        if waiting.lines < self.lines_max {
            waiting.text.push_str(line);
            waiting.lines += 1;
            self.pushed.fetch_add(1, Ordering::Relaxed);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        let is_half_full = waiting.lines > self.lines_max / 2;
        drop(waiting);
        self.wake();
        if is_half_full {
            self.hurry();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Whoever panics under this lock, for want of memory, leaves whole lines.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the writer's rest, or its sleep.
    fn hurry(&self) {
        self.is_hurried.store(true, Ordering::SeqCst);
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn wake(&self) {
        // Pairs with the fence in `sleep`: either the writer sees the line, or we see that it sleeps.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed)
            && self.sleeping.swap(false, Ordering::Relaxed)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// Whether the calling thread is the one that writes: it must not wait for itself.
    pub(super) fn is_writer(&self) -> bool {
        self.writer
            .get()
            .is_some_and(|writer| writer.id() == thread::current().id())
    }

    /// Waits until all that was put in before has been written or lost, `time_max` at most; whether it has.
    pub(super) fn flush(&self, time_max: Duration) -> bool {
        let target = self.pushed.load(Ordering::SeqCst);
        self.hurry();
        self.wait(time_max, || self.done.load(Ordering::SeqCst) >= target)
    }

    /// Takes no more lines, and waits until the rest is out, `time_max` at most; whether it is.
    pub(super) fn stop(&self, time_max: Duration) -> bool {
        self.stopping.store(true, Ordering::SeqCst);
        self.hurry();
        self.wait(time_max, || self.finished.load(Ordering::SeqCst))
    }

    fn wait(&self, time_max: Duration, mut reached: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + time_max;
        let mut guard = self
            .progress_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if reached() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            guard = self
                .progress
                .wait_timeout(guard, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn tell_progress(&self) {
        // Under the lock, so that nobody who has just looked misses it.
        let _guard = self
            .progress_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.progress.notify_all();
    }

    /// Writes lines to `sink` until [`stop`](Self::stop). `own_line` makes a line of what the log itself has to say.
    pub(super) fn drain_into(&self, sink: &mut dyn Sink, own_line: &dyn Fn(&str) -> String) {
        self.writer.get_or_init(thread::current);
        let mut taken = String::new();
        loop {
            // Before the lines are taken: whoever hurries the writer has put in what is to be written.
            self.is_hurried.swap(false, Ordering::SeqCst);
            let count = self.take(&mut taken);
            if count > 0 {
                for batch in batches(&taken) {
                    self.write(sink, batch, own_line);
                }
                self.done.fetch_add(count, Ordering::SeqCst);
                self.tell_progress();
            }
            // Asked before whether lines wait: asked after, it would also leave those that came between the two questions.
            let is_last = self.stopping.load(Ordering::SeqCst);
            if self.is_empty() {
                self.tell_lost(sink, own_line);
                if is_last {
                    break;
                }
                if count > 0 {
                    self.rest();
                } else {
                    self.sleep();
                }
            }
        }
        self.finished.store(true, Ordering::SeqCst);
        self.tell_progress();
    }

    /// Puts the lines that wait in the place of what `taken` holds; gives how many they are.
    fn take(&self, taken: &mut String) -> u64 {
        taken.clear();
        if taken.capacity() > 2 * LOG_BATCH_BYTES_MAX {
            // There was much to say once.
            *taken = String::new();
        }
        let mut waiting = self.waiting();
        std::mem::swap(&mut waiting.text, taken);
        std::mem::take(&mut waiting.lines) as u64
    }

    fn is_empty(&self) -> bool {
        self.waiting().lines == 0
    }

    fn write(&self, sink: &mut dyn Sink, lines: &str, own_line: &dyn Fn(&str) -> String) {
        let written = sink.write_lines(lines);
        let mut lost = written.lost;
        if let Some(problem) = written.problem {
            lost += sink.write_lines(&own_line(&problem)).lost;
        }
        self.lost.fetch_add(lost, Ordering::Relaxed);
    }

    fn tell_lost(&self, sink: &mut dyn Sink, own_line: &dyn Fn(&str) -> String) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let noun = if lost == 1 { "log line" } else { "log lines" };
            if sink
                .write_lines(&own_line(&format!("{lost} {noun} lost")))
                .lost
                > 0
            {
                // Told when the next line comes through.
                self.lost.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }

    fn rest(&self) {
        let end = Instant::now() + self.rest;
        while !self.is_hurried.load(Ordering::SeqCst) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }

    fn sleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.is_empty() && !self.stopping.load(Ordering::Relaxed) {
            thread::park();
        }
        self.sleeping.store(false, Ordering::Relaxed);
    }
}

/// Whole lines, as many as are written at once, and at least one.
fn batches(lines: &str) -> impl Iterator<Item = &str> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let end = match rest.as_bytes().get(..LOG_BATCH_BYTES_MAX) {
            None => rest.len(),
            Some(beginning) => memrchr(b'\n', beginning)
                .or_else(|| memchr(b'\n', rest.as_bytes()))
                .map_or(rest.len(), |last| last + 1),
        };
        let (batch, tail) = rest.split_at(end);
        rest = tail;
        (!batch.is_empty()).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;
    use crate::limits::LOG_REST;

    const LONG: Duration = Duration::from_secs(20);

    /// Hands on what it is given; holds each batch until it is let through.
    struct Gate {
        entered: mpsc::Sender<()>,
        open: mpsc::Receiver<()>,
        out: mpsc::Sender<String>,
        broken: Arc<AtomicBool>,
    }

    impl Sink for Gate {
        fn write_lines(&mut self, lines: &str) -> Written {
            if self.broken.load(Ordering::SeqCst) {
                return Written {
                    lost: lines.lines().count() as u64,
                    problem: None,
                };
            }
            self.entered.send(()).ok();
            self.open.recv().ok();
            self.out.send(lines.to_owned()).expect("the test listens");
            Written::default()
        }
    }

    struct Rig {
        entered: mpsc::Receiver<()>,
        queue: Arc<Queue>,
        open: Option<mpsc::Sender<()>>,
        out: mpsc::Receiver<String>,
        broken: Arc<AtomicBool>,
        thread: thread::JoinHandle<()>,
    }

    fn rig(lines_max: usize) -> Rig {
        resting_rig(lines_max, LOG_REST)
    }

    fn resting_rig(lines_max: usize, rest: Duration) -> Rig {
        let queue = Arc::new(Queue::new(lines_max, rest));
        let (entered_sender, entered) = mpsc::channel();
        let (open, open_receiver) = mpsc::channel();
        let (out_sender, out) = mpsc::channel();
        let broken = Arc::new(AtomicBool::new(false));
        let mut gate = Gate {
            entered: entered_sender,
            open: open_receiver,
            out: out_sender,
            broken: Arc::clone(&broken),
        };
        let shared = Arc::clone(&queue);
        let thread = thread::spawn(move || {
            shared.drain_into(&mut gate, &|what| format!("own: {what}\n"));
        });
        Rig {
            entered,
            queue,
            open: Some(open),
            out,
            broken,
            thread,
        }
    }

    #[test]
    fn lines_come_out_in_order_and_stop_flushes() {
        let mut rig = rig(16);
        rig.open = None;
        for n in 0..10 {
            rig.queue.push(&format!("{n}\n"));
        }
        assert!(rig.queue.flush(LONG));
        rig.queue.push("last\n");
        assert!(rig.queue.stop(LONG));
        rig.queue.push("too late\n");
        rig.thread.join().expect("the log thread");
        assert_eq!(
            rig.out.iter().collect::<String>(),
            "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\nlast\n"
        );
    }

    #[test]
    fn a_full_queue_drops_counts_and_says_so_once() {
        let mut rig = rig(4);
        rig.queue.push("first\n");
        rig.entered
            .recv_timeout(LONG)
            .expect("the first line is at the gate");
        for n in 0..7 {
            rig.queue.push(&format!("{n}\n"));
        }
        rig.open = None;
        assert!(rig.queue.stop(LONG));
        rig.thread.join().expect("the log thread");
        let all: String = rig.out.iter().collect();
        assert_eq!(all, "first\n0\n1\n2\n3\nown: 3 log lines lost\n");
    }

    #[test]
    fn a_lone_line_goes_out_at_once_and_those_behind_it_together() {
        let mut rig = resting_rig(64, Duration::from_secs(3_600));
        rig.open = None;
        rig.queue.push("lone\n");
        assert_eq!(rig.out.recv_timeout(LONG).expect("at once"), "lone\n");
        // The writer rests for an hour now, unless it is told otherwise: by one who waits, or by a queue that is half full.
        for n in 0..3 {
            rig.queue.push(&format!("{n}\n"));
        }
        assert!(rig.queue.flush(LONG));
        assert_eq!(rig.out.try_recv().expect("one write"), "0\n1\n2\n");
        let mut all = String::new();
        for n in 0..33 {
            rig.queue.push(&format!("{n}\n"));
        }
        while !all.ends_with("32\n") {
            all += &rig
                .out
                .recv_timeout(LONG)
                .expect("half of the room is taken");
        }
        assert!(rig.queue.stop(LONG));
        rig.thread.join().expect("the log thread");
    }

    #[test]
    fn what_piled_up_is_written_in_batches_of_whole_lines() {
        let line = format!("{}\n", "x".repeat(LOG_BATCH_BYTES_MAX / 3));
        let long = format!("{}\n", "y".repeat(2 * LOG_BATCH_BYTES_MAX));
        let twice = line.repeat(2);
        let lines = [line.repeat(5), long.clone(), line.clone()].concat();
        let expected = [&twice, &twice, &line, &long, &line];
        assert_eq!(batches(&lines).collect::<Vec<_>>(), expected);
        assert_eq!(batches("").count(), 0);
    }

    #[test]
    fn a_stalled_sink_stops_nobody() {
        let rig = rig(4);
        for n in 0..1_000 {
            rig.queue.push(&format!("{n}\n"));
        }
        assert!(!rig.queue.flush(Duration::from_millis(1)));
        assert!(!rig.queue.stop(Duration::from_millis(1)));
        drop(rig.open);
        rig.thread.join().expect("the log thread");
    }

    #[test]
    fn a_broken_sink_is_counted_and_told_when_it_works_again() {
        let mut rig = rig(16);
        rig.open = None;
        rig.broken.store(true, Ordering::SeqCst);
        rig.queue.push("a\n");
        assert!(rig.queue.flush(LONG));
        rig.queue.push("b\n");
        assert!(rig.queue.flush(LONG));
        // The two were tried and lost before the sink works again; the telling of them may come at any time after.
        rig.broken.store(false, Ordering::SeqCst);
        rig.queue.push("c\n");
        assert!(rig.queue.stop(LONG));
        rig.thread.join().expect("the log thread");
        let all: String = rig.out.iter().collect();
        assert!(all.contains("own: 2 log lines lost\n"), "{all}");
        assert!(all.contains("c\n"), "{all}");
    }

    #[test]
    fn many_authors_lose_nothing_where_there_is_room() {
        const AUTHORS: usize = 4;
        const LINES: usize = 2_000;
        let mut rig = rig(AUTHORS * LINES);
        rig.open = None;
        thread::scope(|scope| {
            for author in 0..AUTHORS {
                let queue = &rig.queue;
                scope.spawn(move || {
                    for n in 0..LINES {
                        queue.push(&format!("{author} {n}\n"));
                    }
                });
            }
        });
        assert!(rig.queue.stop(LONG));
        rig.thread.join().expect("the log thread");
        let all: String = rig.out.iter().collect();
        for author in 0..AUTHORS {
            let own = all
                .lines()
                .filter(|line| line.starts_with(&format!("{author} ")));
            let expected: Vec<String> = (0..LINES).map(|n| format!("{author} {n}")).collect();
            assert_eq!(own.collect::<Vec<_>>(), expected);
        }
    }
}
