//! What a reload changes: old settings against new ones.

use std::fmt;

use super::table::{Key, Setting};
use super::{Loaded, Value};

/// A setting whose value is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub setting: &'static Setting,
    /// What it was, as people may see it.
    pub from: String,
    /// What the sources say now.
    pub to: String,
    /// Whether a running server takes it; otherwise it waits for the next start.
    pub at_run_time: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            from,
            to,
            at_run_time,
        } = self;
        write!(f, "{} changes from {from} to {to}", setting.environment)?;
        if *at_run_time {
            Ok(())
        } else {
            f.write_str(" at the next start")
        }
    }
}

/// The settings that differ, in the order of the table. Certificates are to be read again at every reload, also
/// where nothing is said of them here: renewed files keep their names.
pub fn reloadable_changes(old: &Loaded, new: &Loaded) -> Vec<Change> {
    let tls_stays = old.settings.tls.is_some() == new.settings.tls.is_some();
    old.entries
        .iter()
        .zip(&new.entries)
        .filter(|(before, after)| before.value != after.value)
        .map(|(before, after)| {
            debug_assert_eq!(before.setting.key, after.setting.key, "both in table order");
            let is_tls = matches!(after.setting.key, Key::TlsCert | Key::TlsKey);
            Change {
                setting: after.setting,
                from: before.shown(),
                to: after.shown(),
                // A listener does not turn from plain to TLS while it listens.
                at_run_time: after.setting.reload && (!is_tls || tls_stays),
            }
        })
        .collect()
}

impl Loaded {
    /// The settings to run with after a reload to `new`: its values where a running server takes them, else
    /// those of `self`.
    pub fn reloaded(&self, new: &Self) -> Self {
        let tls_stays = self.settings.tls.is_some() == new.settings.tls.is_some();
        let mut settings = new.settings.clone();
        let old = &self.settings;
        settings.listen.clone_from(&old.listen);
        settings.workers = old.workers;
        settings.routes.clone_from(&old.routes);
        settings.subprotocols.clone_from(&old.subprotocols);
        settings.compression = old.compression;
        settings.cluster.clone_from(&old.cluster);
        settings.backend.clone_from(&old.backend);
        if !tls_stays {
            settings.tls.clone_from(&old.tls);
        }
        let level = settings.log.level;
        settings.log.clone_from(&old.log);
        settings.log.level = level;
        let entries = self
            .entries
            .iter()
            .zip(&new.entries)
            .map(|(before, after)| {
                let is_tls = matches!(after.setting.key, Key::TlsCert | Key::TlsKey);
                if after.setting.reload && (!is_tls || tls_stays) {
                    after
                } else {
                    before
                }
                .clone()
            })
            .collect();
        Self {
            settings,
            entries,
            config_file: new.config_file.clone(),
        }
    }

    /// The value of one setting.
    pub fn value(&self, key: Key) -> &Value {
        &self.entries[key as usize].value
    }
}
