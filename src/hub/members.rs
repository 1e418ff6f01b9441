//! The members of a group at one worker, in dense arrays: no hashing, constant time in and out.

use smallvec::SmallVec;

use super::publication::Encoding;
use crate::id::ConnKey;

/// A member: where to send, and where its peer keeps its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The connection.
    pub key: ConnKey,
    /// Place in the worker's list of peers.
    pub(super) peer: u32,
    /// Which of the peer's seats this is.
    pub(super) seat: u32,
}

/// Members in one encoding. Most groups are one user's one connection, which needs no memory besides.
pub(super) type MemberList = SmallVec<[Member; 1]>;

/// The members, apart by the form in which they get publications.
#[derive(Debug, Default)]
pub(super) struct Members {
    lists: [MemberList; Encoding::ALL.len()],
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.lists.iter().map(SmallVec::len).sum()
    }

    pub(super) fn list(&self, encoding: Encoding) -> &[Member] {
        &self.lists[encoding.index()]
    }

    pub(super) fn list_mut(&mut self, encoding: Encoding) -> &mut MemberList {
        &mut self.lists[encoding.index()]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.lists.iter().flatten()
    }

    /// Adds a member; gives its position.
    pub(super) fn push(&mut self, encoding: Encoding, member: Member) -> u32 {
        let list = self.list_mut(encoding);
        list.push(member);
        (list.len() - 1) as u32
    }

    /// Takes out the member at `position`; the one that stands there now, if any, has moved.
    pub(super) fn remove(&mut self, encoding: Encoding, position: u32) -> Option<Member> {
        let list = self.list_mut(encoding);
        list.swap_remove(position as usize);
        list.get(position as usize).copied()
    }
}
