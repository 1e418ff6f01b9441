//! The server as a process of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

pub(crate) const API_KEY: &str = "a key for benches";

/// A server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(workers: usize) -> Self {
        Self::start_with(workers, &[])
    }

    /// One with further settings.
    pub(crate) fn start_with(workers: usize, settings: &[(&str, &str)]) -> Self {
        let directory = env!("CARGO_TARGET_TMPDIR");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .current_dir(directory)
            .env_clear()
            .env("PORT", "0")
            .env("WORKERS", workers.to_string())
            .env("API_KEY", API_KEY)
            .env("HEARTBEAT_INTERVAL", "0")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let address = lines
            .find_map(|line| {
                let line = line.expect("text");
                let told = line.split_once("listening on http://")?.1;
                told.split_whitespace().next()?.parse().ok()
            })
            .expect("the server says where it listens");
        // Nobody reads the log, and it must not fill the pipe.
        thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Puts the server on the first core and this thread, with those that it starts, on the second.
    pub(crate) fn alone_on_a_core(&self) {
        for task in self.tasks() {
            let task = Pid::from_raw(task.parse().expect("a number")).expect("not 0");
            sched_setaffinity(Some(task), &only(0)).expect("the first core");
        }
        rest_on_second_core();
    }

    fn tasks(&self) -> Vec<String> {
        let directory = format!("/proc/{}/task", self.pid().as_raw_nonzero());
        let tasks = fs::read_dir(directory).expect("its threads");
        let name = |task: fs::DirEntry| task.file_name().into_string().expect("a number");
        tasks.map(|task| name(task.expect("a thread"))).collect()
    }

    /// CPU time of all its threads, seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let of_task = |task: &String| {
            let path = format!(
                "/proc/{}/task/{task}/schedstat",
                self.pid().as_raw_nonzero()
            );
            let text = fs::read_to_string(path).expect("schedstat");
            let nanoseconds = text.split_whitespace().next().expect("a number");
            nanoseconds.parse::<f64>().expect("a number") / 1e9
        };
        self.tasks().iter().map(of_task).sum()
    }

    /// Its memory, bytes: what is in no file.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.pid().as_raw_nonzero());
        let text = fs::read_to_string(path).expect("smaps_rollup");
        let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.expect("Pss_Anon").parse::<u64>().expect("a number") * 1024
    }
}

fn only(core: usize) -> CpuSet {
    let mut cores = CpuSet::new();
    cores.set(core);
    cores
}

/// Puts this thread, and what it starts from now on, on the second core.
pub(crate) fn rest_on_second_core() {
    sched_setaffinity(None, &only(1)).expect("the second core");
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
