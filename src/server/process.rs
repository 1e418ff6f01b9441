//! What the system says of this process.

use std::fs;
use std::time::Duration;

use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};

use super::open_files::open_file_limit;
use crate::gateway::ProcessFigures;

/// The figures as they are now; `started_at` is when the process started, since 1970. What the system does not say is 0.
pub(super) fn figures(started_at: Duration) -> ProcessFigures {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let [virtual_pages, resident_pages] = pages();
    let page_bytes = page_size() as u64;
    ProcessFigures {
        cpu: Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32),
        started_at,
        resident_bytes: resident_pages * page_bytes,
        virtual_bytes: virtual_pages * page_bytes,
        descriptors: descriptors(),
        descriptors_max: open_file_limit(),
    }
}

/// Pages of address space, and of it those in RAM (proc_pid_statm(5)).
fn pages() -> [u64; 2] {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

/// Open file descriptors. Linux tells their number as the size of the directory since 6.2; before, they have to be counted.
fn descriptors() -> u64 {
    const DIRECTORY: &str = "/proc/self/fd";
    match fs::metadata(DIRECTORY) {
        Ok(directory) if directory.len() > 0 => directory.len(),
        // The one that reads the directory is one of them.
        _ => fs::read_dir(DIRECTORY).map_or(0, |entries| entries.count().saturating_sub(1) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_this_process() {
        let figures = figures(Duration::from_secs(7));
        assert_eq!(figures.started_at, Duration::from_secs(7));
        assert!(figures.cpu > Duration::ZERO);
        assert!(figures.resident_bytes > 1 << 20);
        assert!(figures.virtual_bytes > figures.resident_bytes);
        assert!(figures.descriptors >= 3 && figures.descriptors < figures.descriptors_max);
    }
}
