//! The open-file limit of the process. Nothing else that a process may have is set here.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft open-file limit to the hard one, so that connections need no `ulimit -n` before the start,
/// and gives the limit that holds now. A kernel that refuses leaves it as it was.
pub fn raise_open_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // Refused where the hard limit passes the kernel's fs.nr_open: the old one still serves.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    open_file_limit()
}

/// File descriptors that the process may have open.
pub fn open_file_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_open_file_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(Some(raised), limit.current.or(Some(u64::MAX)));
        assert_eq!(raised, open_file_limit());
    }
}
