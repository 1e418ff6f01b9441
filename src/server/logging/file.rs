//! The log file and its rotation by size. Only the log thread writes through it.
//!
//! Rotation is a row of renames and nothing else, written out here because it must not be able to panic: the process
//! may be out of file descriptors or of disk, and somebody may have moved the files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::queue::{Sink, Written};

pub(super) const NAME: &str = "tidegate.log";
/// Readable for the owner and the group: the log has the addresses of users.
const MODE: u32 = 0o640;

/// `tidegate.log` in a directory, with `tidegate.log.1` (newest) and so on beside it.
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Past this many bytes the file is rotated.
    rotate_at: u64,
    bytes_max: u64,
    files_max: usize,
    /// Whether the last write stopped within a line.
    torn: bool,
}

impl RotatingFile {
    /// Opens the log file for appending; makes the directory where it is missing.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(directory: &Path, bytes_max: u64, files_max: usize) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(NAME);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(MODE)
            .open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            path,
            file,
            bytes,
            rotate_at: bytes_max,
            bytes_max,
            files_max,
            torn: false,
        })
    }

    /// Writes all of `lines` that goes; the number of lines that did not.
    fn append(&mut self, lines: &[u8]) -> u64 {
        if self.torn {
            // The rest of the torn line is lost, but the next one begins at its own place.
            match self.file.write(b"\n") {
                Ok(1) => self.torn = false,
                _ => return count(lines),
            }
            self.bytes += 1;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(written) if written > 0 => {
                    self.bytes += written as u64;
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    let done = lines.len() - rest.len();
                    self.torn = done > 0 && lines[done - 1] != b'\n';
                    return count(rest);
                }
            }
        }
        0
    }

    fn numbered(&self, number: usize) -> PathBuf {
        self.path.with_file_name(format!("{NAME}.{number}"))
    }

    /// Moves the full file aside and goes on in an empty one. After an error the old one is still written to.
    fn rotate(&mut self) -> io::Result<()> {
        if self.files_max == 0 {
            self.file.set_len(0)?;
        } else {
            // First what may fail for want of a descriptor or of room, while nothing has moved.
            let fresh_path = self.path.with_file_name(format!("{NAME}.new"));
            let fresh = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(MODE)
                .open(&fresh_path)?;
            for number in (1..self.files_max).rev() {
                rename_if_there(&self.numbered(number), &self.numbered(number + 1))?;
            }
            rename_if_there(&self.path, &self.numbered(1))?;
            fs::rename(&fresh_path, &self.path)?;
            self.file = fresh;
            // What an earlier start with more files left behind.
            let mut surplus = self.files_max + 1;
            while fs::remove_file(self.numbered(surplus)).is_ok() {
                surplus += 1;
            }
        }
        self.bytes = 0;
        self.rotate_at = self.bytes_max;
        Ok(())
    }
}

impl Sink for RotatingFile {
    fn write_lines(&mut self, lines: &str) -> Written {
        let mut written = Written::default();
        let mut rest = lines.as_bytes();
        while !rest.is_empty() {
            let room =
                usize::try_from(self.rotate_at.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
            let fits = whole_lines(rest, room);
            if fits == 0 && self.bytes > 0 {
                if let Err(error) = self.rotate() {
                    // Goes on in the same file, and tries again when as much has been written once more.
                    self.rotate_at = self.bytes.saturating_add(self.bytes_max);
                    written.problem = Some(format!("the log file cannot be rotated: {error}"));
                }
                continue;
            }
            // A line longer than a whole file has one for itself.
            let take = if fits == 0 { first_line(rest) } else { fits };
            written.lost += self.append(&rest[..take]);
            rest = &rest[take..];
        }
        written
    }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

fn first_line(lines: &[u8]) -> usize {
    memchr::memchr(b'\n', lines).map_or(lines.len(), |at| at + 1)
}

/// Bytes of the whole lines that `room` bytes hold.
fn whole_lines(lines: &[u8], room: usize) -> usize {
    if lines.len() <= room {
        return lines.len();
    }
    memchr::memrchr(b'\n', &lines[..room]).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::TempDir;

    fn read(directory: &TempDir, name: &str) -> Option<String> {
        fs::read_to_string(directory.path().join(name)).ok()
    }

    #[test]
    fn files_rotate_by_size_between_lines_and_the_oldest_goes() {
        let directory = TempDir::new();
        let mut file = RotatingFile::open(&directory.path().join("deep/er"), 12, 2).expect("open");
        for n in 0..8 {
            let written = file.write_lines(&format!("line{n}\n"));
            assert_eq!((written.lost, written.problem), (0, None));
        }
        assert_eq!(
            read(&directory, "deep/er/tidegate.log").as_deref(),
            Some("line6\nline7\n")
        );
        assert_eq!(
            read(&directory, "deep/er/tidegate.log.1").as_deref(),
            Some("line4\nline5\n")
        );
        assert_eq!(
            read(&directory, "deep/er/tidegate.log.2").as_deref(),
            Some("line2\nline3\n")
        );
        assert_eq!(read(&directory, "deep/er/tidegate.log.3"), None);
        assert_eq!(read(&directory, "deep/er/tidegate.log.new"), None);
    }

    #[test]
    fn a_batch_is_split_where_the_file_is_full_and_a_long_line_stays_whole() {
        let directory = TempDir::new();
        let mut file = RotatingFile::open(directory.path(), 10, 5).expect("open");
        assert_eq!(
            file.write_lines("aaaa\nbbbb\ncccccccccccccccc\ndd\n").lost,
            0
        );
        assert_eq!(
            read(&directory, "tidegate.log.2").as_deref(),
            Some("aaaa\nbbbb\n")
        );
        assert_eq!(
            read(&directory, "tidegate.log.1").as_deref(),
            Some("cccccccccccccccc\n")
        );
        assert_eq!(read(&directory, "tidegate.log").as_deref(), Some("dd\n"));
    }

    #[test]
    fn a_second_start_appends_and_keeps_fewer_files_where_it_is_told_to() {
        let directory = TempDir::new();
        for number in 1..=4 {
            let name = format!("tidegate.log.{number}");
            fs::write(directory.path().join(name), format!("old{number}\n")).expect("write");
        }
        fs::write(directory.path().join("tidegate.log"), "before\n").expect("write");
        let mut file = RotatingFile::open(directory.path(), 13, 2).expect("open");
        file.write_lines("after\n");
        assert_eq!(
            read(&directory, "tidegate.log").as_deref(),
            Some("before\nafter\n")
        );
        file.write_lines("next\n");
        assert_eq!(read(&directory, "tidegate.log").as_deref(), Some("next\n"));
        assert_eq!(
            read(&directory, "tidegate.log.1").as_deref(),
            Some("before\nafter\n")
        );
        assert_eq!(
            read(&directory, "tidegate.log.2").as_deref(),
            Some("old1\n")
        );
        assert_eq!(read(&directory, "tidegate.log.3"), None);
        assert_eq!(read(&directory, "tidegate.log.4"), None);
    }

    #[test]
    fn no_rotated_files_means_the_one_file_begins_anew() {
        let directory = TempDir::new();
        let mut file = RotatingFile::open(directory.path(), 8, 0).expect("open");
        file.write_lines("one\ntwo\nthree\n");
        assert_eq!(read(&directory, "tidegate.log").as_deref(), Some("three\n"));
        assert_eq!(read(&directory, "tidegate.log.1"), None);
    }

    #[test]
    fn files_that_somebody_moved_or_removed_do_no_harm() {
        let directory = TempDir::new();
        let mut file = RotatingFile::open(directory.path(), 4, 3).expect("open");
        file.write_lines("a\n");
        fs::remove_file(directory.path().join("tidegate.log")).expect("remove");
        assert_eq!(file.write_lines("b\nc\n").lost, 0);
        assert_eq!(read(&directory, "tidegate.log").as_deref(), Some("c\n"));
    }

    #[test]
    fn a_rotation_that_cannot_be_done_loses_no_line_and_is_said_once() {
        let directory = TempDir::new();
        let mut file = RotatingFile::open(directory.path(), 4, 1).expect("open");
        // A directory cannot be replaced by a file.
        fs::create_dir_all(directory.path().join("tidegate.log.1/in-the-way")).expect("mkdir");
        file.write_lines("one\n");
        let written = file.write_lines("two\n");
        assert_eq!(written.lost, 0);
        let problem = written.problem.expect("a problem");
        assert!(
            problem.starts_with("the log file cannot be rotated: "),
            "{problem}"
        );
        assert_eq!(
            read(&directory, "tidegate.log").as_deref(),
            Some("one\ntwo\n")
        );
        fs::remove_dir_all(directory.path().join("tidegate.log.1")).expect("rmdir");
        assert_eq!(file.write_lines("three\n").problem, None);
        assert_eq!(
            read(&directory, "tidegate.log.1").as_deref(),
            Some("one\ntwo\n")
        );
        assert_eq!(read(&directory, "tidegate.log").as_deref(), Some("three\n"));
    }

    #[test]
    fn a_full_disk_drops_and_counts() {
        let directory = TempDir::new();
        std::os::unix::fs::symlink("/dev/full", directory.path().join("tidegate.log"))
            .expect("symlink");
        let mut file = RotatingFile::open(directory.path(), 1 << 20, 1).expect("open");
        assert_eq!(file.write_lines("one\ntwo\n").lost, 2);
        assert_eq!(file.write_lines("three\n").lost, 1);
    }
}
