//! `tidegate check`: the effective settings, and what of them will not work. It changes nothing.

use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::ExitCode;

use super::{STATUS_WRONG_SETTINGS, fail};
use crate::server::open_files::raise_open_file_limit;
use crate::server::settings::{Arguments, ListenAddress, Loaded, Settings, report};
use crate::server::{logging, tls_files, token_keys};

pub(super) fn run(arguments: &Arguments, json: bool) -> ExitCode {
    // As serve does it, so that the defaults are those of serve.
    raise_open_file_limit();
    let loaded = match Settings::load(arguments) {
        Ok(loaded) => loaded,
        Err(error) => return fail(STATUS_WRONG_SETTINGS, &error),
    };
    let problem = problem(&loaded.settings);
    let warnings = warnings(&loaded.settings);
    let text = if json {
        let object = serde_json::json!({
            "config_file": loaded.config_file.as_ref().map(|path| path.to_string_lossy()),
            "settings": report::json(&loaded),
            "warnings": warnings,
            "problem": problem,
        });
        format!("{object:#}\n")
    } else {
        table(&loaded)
    };
    // A reader that went away does not make the settings wrong.
    let _ = io::stdout().write_all(text.as_bytes());
    for warning in &warnings {
        let _ = writeln!(io::stderr(), "tidegate: warning: {warning}");
    }
    match problem {
        None => ExitCode::SUCCESS,
        Some(problem) => fail(STATUS_WRONG_SETTINGS, &problem),
    }
}

fn table(loaded: &Loaded) -> String {
    let table = report::table(loaded);
    match &loaded.config_file {
        Some(path) => format!("{table}\nConfiguration file: {}\n", path.display()),
        None => table,
    }
}

/// What stops a start although every value is allowed.
fn problem(settings: &Settings) -> Option<String> {
    let tls = settings
        .tls
        .as_ref()
        .and_then(|files| tls_files::load(files).err());
    if let Some(error) = tls {
        return Some(error.to_string());
    }
    if let Err(error) = token_keys::load(&settings.tokens) {
        return Some(error.to_string());
    }
    let log = settings
        .log
        .to_file
        .then(|| logging::check_directory(&settings.log));
    log.and_then(Result::err).map(|error| error.to_string())
}

/// What would stop a start now, and may be meant: the server that runs already has the address.
fn warnings(settings: &Settings) -> Vec<String> {
    let unusable = settings.listen.iter().filter_map(|address| match address {
        ListenAddress::Tcp(address) => {
            let error = TcpListener::bind(address).err()?;
            Some(format!(
                "HOST, PORT: {address} cannot be listened on now: {error}"
            ))
        }
        ListenAddress::Unix(path) => {
            let why = unix_problem(path)?;
            Some(format!(
                "HOST: unix:{} cannot be listened on now: {why}",
                path.display()
            ))
        }
    });
    unusable.collect()
}

pub(super) fn unix_problem(path: &Path) -> Option<&'static str> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        return (!metadata.file_type().is_socket()).then_some("a file of another kind is there");
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    (!parent.unwrap_or(Path::new(".")).is_dir()).then_some("its directory does not exist")
}
