//! The man pages in `deploy/man/` are made of the definition of the command line. `UPDATE_DOCS=1 cargo test --lib man_pages`
//! writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::CommandFactory;

use super::Cli;
use crate::server::testing::TempDir;

fn pages(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read_to_string(&path).expect("text"))
        })
        .collect()
}

#[test]
fn man_pages_are_up_to_date() {
    let directory = TempDir::new();
    clap_mangen::generate_to(Cli::command(), directory.path()).expect("written");
    let expected = pages(directory.path());
    assert!(expected.contains_key("tidegate.1") && expected.contains_key("tidegate-client.1"));
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/man");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        // Of commands that are gone nothing stays.
        let _ = fs::remove_dir_all(&committed);
        fs::create_dir_all(&committed).expect("mkdir");
        for (name, page) in &expected {
            fs::write(committed.join(name), page).expect("write");
        }
    }
    let found = pages(&committed);
    assert!(
        found.keys().eq(expected.keys()),
        "{:?} are not {:?}: UPDATE_DOCS=1 cargo test --lib man_pages",
        found.keys(),
        expected.keys()
    );
    for (name, page) in &expected {
        let is_same = found.get(name) == Some(page);
        assert!(
            is_same,
            "deploy/man/{name} is old: UPDATE_DOCS=1 cargo test --lib man_pages"
        );
    }
}
