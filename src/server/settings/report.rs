//! The effective settings as `check` prints them, secrets masked.

use std::fmt::Write as _;

use super::Loaded;

/// A table for people: name, value, where it came from.
pub fn table(loaded: &Loaded) -> String {
    let header = [
        "SETTING".to_owned(),
        "VALUE".to_owned(),
        "SOURCE".to_owned(),
    ];
    let rows: Vec<[String; 3]> = std::iter::once(header)
        .chain(loaded.entries.iter().map(|entry| {
            let source = entry.source.described(entry.setting);
            [entry.setting.environment.to_owned(), entry.shown(), source]
        }))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let (names, values) = (width(0), width(1));
    let mut text = String::new();
    for [name, value, source] in &rows {
        writeln!(text, "{name:names$}  {value:values$}  {source}").expect("a String takes all");
    }
    text
}

/// The same for machines: an array of objects.
pub fn json(loaded: &Loaded) -> serde_json::Value {
    loaded
        .entries
        .iter()
        .map(|entry| {
            serde_json::json!({
                "name": entry.setting.environment,
                "value": entry.shown(),
                "source": entry.source.described(entry.setting),
                "reload": entry.setting.reload,
            })
        })
        .collect()
}
