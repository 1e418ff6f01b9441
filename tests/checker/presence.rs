//! Who is there, in truth and as the nodes tell it. Nothing here touches a server.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{History, Target};

/// Connections by user.
pub(crate) type Users = BTreeMap<String, u64>;

/// Who is there.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Presence {
    pub(crate) users: Users,
    /// By room.
    pub(crate) rooms: BTreeMap<String, Users>,
}

impl Presence {
    /// What those who are connected know of themselves.
    pub(crate) fn truth(history: &History) -> Self {
        let mut presence = Self::default();
        let connections = history.connections.iter();
        for connection in connections.filter(|it| it.ended.is_none()) {
            let stays = connection.stays.iter();
            for stay in stays.filter(|stay| stay.ready.is_some() && stay.left.is_none()) {
                let users = match &stay.target {
                    Target::User(_) => &mut presence.users,
                    Target::Room(room) => presence.rooms.entry(room.clone()).or_default(),
                    Target::Everyone => continue,
                };
                *users.entry(connection.who.clone()).or_default() += 1;
            }
        }
        presence
    }

    /// How `told` differs from the truth.
    pub(crate) fn differences(&self, told: &Self) -> Vec<String> {
        let mut found = Vec::new();
        compare("users", &self.users, &told.users, &mut found);
        let none = Users::new();
        let rooms = self.rooms.keys().chain(told.rooms.keys());
        let rooms: BTreeSet<_> = rooms.collect();
        for room in rooms {
            let users = |of: &Self| of.rooms.get(room).unwrap_or(&none).clone();
            compare(room, &users(self), &users(told), &mut found);
        }
        found
    }
}

fn compare(what: &str, truth: &Users, told: &Users, found: &mut Vec<String>) {
    if truth != told {
        found.push(format!("{what}: told {told:?}, in truth {truth:?}"));
    }
}
