//! What the kernel says of processes: CPU time and memory.

use std::fs;
use std::path::Path;
use std::process;

use serde_json::{Value, json};

use super::failure::{Failure, Result};

/// Time that the threads of a process have had, and missed.
#[derive(Debug, Clone, Copy, Default)]
struct CpuTime {
    /// On a core, nanoseconds.
    running: u64,
    /// Ready to run while others had the core, nanoseconds.
    waiting: u64,
}

impl CpuTime {
    fn of(pid: u32) -> Result<Self> {
        let mut total = Self::default();
        let tasks = format!("/proc/{pid}/task");
        let tasks = fs::read_dir(&tasks).map_err(|_| is_gone(pid))?;
        for task in tasks.flatten() {
            // A thread may end while its process is looked at.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
                continue;
            };
            let mut fields = text.split_whitespace().map(str::parse::<u64>);
            if let (Some(Ok(running)), Some(Ok(waiting))) = (fields.next(), fields.next()) {
                total.running += running;
                total.waiting += waiting;
            }
        }
        Ok(total)
    }

    fn of_all(pids: &[u32]) -> Result<Self> {
        pids.iter().try_fold(Self::default(), |sum, &pid| {
            let one = Self::of(pid)?;
            Ok(Self {
                running: sum.running + one.running,
                waiting: sum.waiting + one.waiting,
            })
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            running: self.running.saturating_sub(before.running),
            waiting: self.waiting.saturating_sub(before.waiting),
        }
    }
}

fn is_gone(pid: u32) -> Failure {
    Failure::run(format!("process {pid} is gone"))
}

/// Refuses processes that cannot be measured.
pub(super) fn check(pids: &[u32]) -> Result<()> {
    for pid in pids {
        if !Path::new(&format!("/proc/{pid}/task")).is_dir() {
            return Err(Failure::usage(format!(
                "--pid {pid}: there is no such process"
            )));
        }
        Memory::of(*pid).map_err(|failure| Failure::usage(format!("--pid {pid}: {failure}")))?;
    }
    Ok(())
}

/// CPU times at one moment.
#[derive(Debug)]
pub(super) struct Sample {
    server: CpuTime,
    load: CpuTime,
}

impl Sample {
    pub(super) fn take(pids: &[u32]) -> Result<Self> {
        Ok(Self {
            server: CpuTime::of_all(pids)?,
            load: CpuTime::of(process::id())?,
        })
    }

    /// What the processes under test used since `before`; `None` where there are none.
    pub(super) fn server_since(&self, before: &Self, pids: &[u32]) -> Result<Option<Usage>> {
        if pids.is_empty() {
            return Ok(None);
        }
        Ok(Some(Usage {
            cpu: self.server.since(before.server),
            memory: Some(Memory::of_all(pids)?),
        }))
    }

    /// What this process used since `before`.
    pub(super) fn load_since(&self, before: &Self) -> Usage {
        Usage {
            cpu: self.load.since(before.load),
            memory: None,
        }
    }
}

/// What processes used in a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    cpu: CpuTime,
    /// At its end.
    pub(super) memory: Option<Memory>,
}

impl Usage {
    /// CPU time for each of `count`, microseconds.
    pub(super) fn each(&self, count: u64) -> f64 {
        self.cpu.running as f64 / 1e3 / count as f64
    }

    /// Cores that were busy with it, on average.
    pub(super) fn share(&self, seconds: f64) -> f64 {
        self.cpu.running as f64 / 1e9 / seconds
    }

    /// Cores that it wanted and others had, on average.
    pub(super) fn wait_share(&self, seconds: f64) -> f64 {
        self.cpu.waiting as f64 / 1e9 / seconds
    }
}

/// Memory, bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    /// All pages in memory.
    pub(super) resident: u64,
    /// The same, pages that others have as well counted in part.
    pub(super) proportional: u64,
}

impl Memory {
    fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text =
            fs::read_to_string(&path).map_err(|error| Failure::run(format!("{path}: {error}")))?;
        let line = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes =
                line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kilobytes
                .map(|kilobytes| kilobytes * 1024)
                .ok_or_else(|| Failure::run(format!("{path} has no {name}")))
        };
        Ok(Self {
            resident: line("Rss:")?,
            proportional: line("Pss:")?,
        })
    }

    pub(super) fn of_all(pids: &[u32]) -> Result<Self> {
        pids.iter().try_fold(Self::default(), |sum, &pid| {
            let one = Self::of(pid)?;
            Ok(Self {
                resident: sum.resident + one.resident,
                proportional: sum.proportional + one.proportional,
            })
        })
    }

    pub(super) fn json(self) -> Value {
        json!({ "rss": self.resident, "pss": self.proportional })
    }

    /// What each of `count` has added since `before`: RSS and PSS, bytes.
    pub(super) fn each_since(self, before: Self, count: usize) -> (f64, f64) {
        let each = |now: u64, before: u64| (now as f64 - before as f64) / count as f64;
        (
            each(self.resident, before.resident),
            each(self.proportional, before.proportional),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_measured_and_none_that_is_not_there() {
        let own = [process::id()];
        check(&own).expect("it is there");
        let before = Sample::take(&own).expect("a sample");
        let memory = Memory::of_all(&[own[0], own[0]]).expect("memory");
        assert!(memory.resident >= memory.proportional && memory.proportional > 0);
        let after = Sample::take(&own).expect("a sample");
        let usage = after
            .server_since(&before, &own)
            .expect("usage")
            .expect("a process");
        assert!(usage.share(1.0) >= 0.0 && usage.memory.is_some());
        assert!(after.server_since(&before, &[]).expect("usage").is_none());
        // Beyond the kernel's largest pid.
        assert!(matches!(check(&[u32::MAX]), Err(Failure::Usage(_))));
        assert!(matches!(Sample::take(&[u32::MAX]), Err(Failure::Run(_))));
    }
}
