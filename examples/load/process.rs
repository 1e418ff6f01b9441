//! What the kernel says of a process: CPU time and memory.

use std::fs;

use serde_json::{Value, json};

use crate::Result;

/// Time that its threads have had, and missed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CpuTime {
    /// On a core, nanoseconds.
    pub(crate) running: u64,
    /// Ready to run while others had the core, nanoseconds.
    pub(crate) waiting: u64,
}

impl CpuTime {
    pub(crate) fn of(process: u32) -> Result<Self> {
        let mut total = Self::default();
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let mut fields = text.split_whitespace().map(str::parse::<u64>);
            total.running += fields.next().ok_or("an empty schedstat")??;
            total.waiting += fields.next().ok_or("a short schedstat")??;
        }
        Ok(total)
    }
}

/// Memory, bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// All pages in memory.
    pub(crate) resident: u64,
    /// The same, pages that others have as well counted in part.
    pub(crate) proportional: u64,
}

impl Memory {
    pub(crate) fn of(process: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let line = |name: &str| -> Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.split_whitespace().next());
            Ok(kilobytes.ok_or("no such line")?.parse::<u64>()? * 1024)
        };
        Ok(Self {
            resident: line("Rss:")?,
            proportional: line("Pss:")?,
        })
    }

    pub(crate) fn json(self) -> Value {
        json!({ "rss": self.resident, "pss": self.proportional })
    }

    /// What each of `count` has added since `before`.
    pub(crate) fn each_since(self, before: Self, count: usize) -> Value {
        let each = |now: u64, before: u64| (now as f64 - before as f64) / count as f64;
        json!({
            "rss": each(self.resident, before.resident),
            "pss": each(self.proportional, before.proportional),
        })
    }
}
