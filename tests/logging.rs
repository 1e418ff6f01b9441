//! The log of a process from start to end. One test: a process has one logger.

use std::fs;

use tidegate::server::logging::{self, LogError};
use tidegate::server::settings::{LogFormat, LogSettings};

/// As the server's own lines have it.
const OWN: &str = "tidegate::gateway";

#[test]
fn a_log_from_start_to_end() {
    let directory = std::env::temp_dir().join(format!("tidegate-logging-{}", std::process::id()));
    let settings = LogSettings {
        level: log::LevelFilter::Info,
        format: LogFormat::Json,
        to_file: true,
        directory: directory.clone(),
        file_bytes_max: 1 << 20,
        files_max: 2,
    };
    let guard = logging::start(&settings).expect("the log starts");
    assert!(matches!(
        logging::start(&settings),
        Err(LogError::AlreadyStarted)
    ));

    log::debug!(target: OWN, "not yet");
    // What libraries tell below a warning is not heard.
    log::info!(target: "ureq::run", "a secret");
    log::info!(target: OWN, connection = 17, code = 1001, reason = "gone\r\n{\"ts\":1}"; "closed");
    logging::set_level(log::LevelFilter::Debug);
    log::debug!(target: OWN, "now");
    let panicking = std::thread::Builder::new()
        .name("worker-1".to_owned())
        .spawn(|| panic!("out of {}", "luck"))
        .expect("a thread");
    assert!(panicking.join().is_err());
    // Of a panic everything is out before the process could end.
    let before_the_end = fs::read_to_string(directory.join("tidegate.log")).expect("a log file");
    assert!(
        before_the_end.contains("panicked: out of luck"),
        "{before_the_end}"
    );
    log::warn!(target: "elsewhere", "last");
    drop(guard);
    log::warn!("after the end");

    let text = fs::read_to_string(directory.join("tidegate.log")).expect("a log file");
    fs::remove_dir_all(&directory).expect("the directory goes");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let messages: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["message"].as_str())
        .collect();
    assert_eq!(messages, ["closed", "now", "panicked: out of luck", "last"]);
    assert_eq!(lines[0]["connection"], 17);
    assert_eq!(lines[0]["code"], 1001);
    assert_eq!(lines[0]["reason"], "gone\r\n{\"ts\":1}");
    assert_eq!(lines[0]["level"], "info");
    assert_eq!(lines[0]["target"], "gateway");
    assert_eq!(lines[2]["level"], "error");
    assert_eq!(lines[2]["thread"], "worker-1");
    let location = lines[2]["location"].as_str().expect("a location");
    assert!(location.starts_with("tests/logging.rs:"), "{location}");
    assert_eq!(lines[3]["target"], "elsewhere");
}
