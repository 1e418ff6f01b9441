//! The parts of the checker: those who take part ([`person`], [`caller`]), what happens to the servers ([`schedule`]), what was
//! seen ([`history`]) and what is to be said of it ([`verdict`], [`presence`]).

pub(crate) mod caller;
pub(crate) mod history;
pub(crate) mod person;
pub(crate) mod presence;
pub(crate) mod schedule;
pub(crate) mod stage;
mod tests;
pub(crate) mod verdict;
pub(crate) mod wire;
pub(crate) mod world;

/// Nodes of the cluster.
pub(crate) const NODES: usize = 3;
/// Those who connect; some of them are the same user.
pub(crate) const PEOPLE: usize = 12;
pub(crate) const USERS: usize = 8;
/// Who calls the API.
pub(crate) const CALLERS: usize = 3;
/// Rooms that one stays in; everybody is in the first.
pub(crate) const FIXED_ROOMS: [&str; 3] = ["harbour", "pier", "quay"];
/// Rooms that people join and leave, so that nodes begin and cease to listen to them.
pub(crate) const FLOATING_ROOMS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// The name of a user.
pub(crate) fn user(number: usize) -> String {
    format!("user-{number}")
}

/// The rooms that a person stays in.
pub(crate) fn fixed_rooms_of(person: usize) -> impl Iterator<Item = &'static str> {
    let rooms = FIXED_ROOMS.into_iter().enumerate();
    rooms
        .filter(move |(number, _)| person.is_multiple_of(number + 1))
        .map(|(_, room)| room)
}
