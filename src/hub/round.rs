//! What goes out to the members of one group at once.

use std::sync::Arc;

use super::members::{Member, MemberList};
use super::policy::Overflow;
use super::publication::Encoding;
use crate::buffer::Shared;

/// Publications of one turn leave as one piece up to this size, which costs the kernel less than many slices.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// A member whom some of the publications pass by.
#[derive(Debug)]
pub(super) struct Skip {
    pub(super) position: u32,
    /// What it gets all the same.
    pub(super) frames: Vec<Shared>,
    /// Publications in them.
    pub(super) messages: u32,
}

/// Members one after the other who get the same.
#[derive(Debug)]
pub struct Run<'r> {
    /// Who.
    pub members: &'r [Member],
    /// What, in order.
    pub frames: &'r [Shared],
    /// How many publications that is.
    pub messages: u32,
    /// In which form.
    pub encoding: Encoding,
}

/// The members that take one encoding, and what they get.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) members: MemberList,
    pub(super) frames: Vec<Shared>,
    /// Publications in them.
    messages: u32,
    /// In order of their positions.
    pub(super) skips: Vec<Skip>,
}

impl List {
    /// Counts what goes out, and makes as few pieces as possible of it unless it has to stay apart.
    pub(super) fn prepare(&mut self, stays_apart: bool) {
        let skips = self.skips.iter_mut();
        let skips = skips.map(|skip| (&mut skip.frames, &mut skip.messages));
        for (frames, messages) in [(&mut self.frames, &mut self.messages)]
            .into_iter()
            .chain(skips)
        {
            *messages = frames.len() as u32;
            if !stays_apart {
                put_together(frames);
            }
        }
    }

    /// Members one after the other who get the same. Those whom nothing passes by get everything.
    fn runs(&self, encoding: Encoding) -> impl Iterator<Item = Run<'_>> {
        let begins = self.skips.iter().map(|skip| skip.position as usize + 1);
        let begins = std::iter::once(0).chain(begins);
        let ends = self.skips.iter().map(Some).chain([None]);
        begins.zip(ends).flat_map(move |(begin, skip)| {
            let end = skip.map_or(self.members.len(), |skip| skip.position as usize);
            let others = Run {
                members: &self.members[begin..end],
                frames: &self.frames,
                messages: self.messages,
                encoding,
            };
            let skipped = skip.map(|skip| Run {
                members: &self.members[end..=end],
                frames: &skip.frames,
                messages: skip.messages,
                encoding,
            });
            std::iter::once(others).chain(skipped)
        })
    }
}

/// The members of one group, on loan from the hub, with everything that they get.
#[derive(Debug)]
pub struct Round {
    group: u32,
    /// Whether nothing else goes out in this turn.
    is_alone: bool,
    /// Where what goes out may be dropped for who reads too slowly.
    lossy: Option<Lossy>,
    lists: [List; Encoding::ALL.len()],
}

/// A group whose messages may be dropped for who reads too slowly.
#[derive(Debug, Clone)]
pub struct Lossy {
    /// Which of them.
    pub overflow: Overflow,
    /// What send queues know it by.
    pub tag: u32,
    /// Its name.
    pub room: Arc<str>,
}

impl Round {
    pub(super) fn new(group: u32, is_alone: bool, lossy: Option<Lossy>) -> Self {
        Self {
            group,
            is_alone,
            lossy,
            lists: Default::default(),
        }
    }

    pub(super) fn list_mut(&mut self, encoding: Encoding) -> &mut List {
        &mut self.lists[encoding.index()]
    }

    /// What may be dropped of it, if anything.
    pub fn lossy(&self) -> Option<&Lossy> {
        self.lossy.as_ref()
    }

    /// Whether nothing else goes out in this turn: what a member gets now is all that it gets.
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Who gets what: members one after the other, with all that each of them gets, in order.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let lists = Encoding::ALL.into_iter().zip(&self.lists);
        let lists = lists.flat_map(|(encoding, list)| list.runs(encoding));
        lists.filter(|run| !run.members.is_empty() && !run.frames.is_empty())
    }

    pub(super) fn into_parts(self) -> (u32, impl Iterator<Item = (Encoding, MemberList)>) {
        let lists = Encoding::ALL.into_iter().zip(self.lists);
        (
            self.group,
            lists.map(|(encoding, list)| (encoding, list.members)),
        )
    }
}

fn put_together(frames: &mut Vec<Shared>) {
    if frames.len() < 2 {
        return;
    }
    let mut pieces: Vec<Shared> = Vec::new();
    let mut rest = frames.as_slice();
    while let Some(first) = rest.first() {
        let mut bytes = first.len();
        let more = rest[1..].iter().take_while(|frame| {
            bytes += frame.len();
            bytes <= PIECE_BYTES_MAX
        });
        let count = 1 + more.count();
        let (together, others) = rest.split_at(count);
        pieces.push(match together {
            [one] => Shared::clone(one),
            several => Shared::concat(several),
        });
        rest = others;
    }
    *frames = pieces;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ConnKey;

    #[test]
    fn publications_of_one_turn_are_put_together_in_order() {
        let lengths = [3, 4, PIECE_BYTES_MAX - 7, 1, PIECE_BYTES_MAX + 1, 5];
        let mut frames: Vec<Shared> = lengths
            .iter()
            .map(|&length| vec![length as u8; length].into())
            .collect();
        let whole = Shared::concat(&frames).to_vec();
        put_together(&mut frames);
        let lengths: Vec<_> = frames.iter().map(|piece| piece.len()).collect();
        assert_eq!(lengths, [PIECE_BYTES_MAX, 1, PIECE_BYTES_MAX + 1, 5]);
        assert_eq!(*Shared::concat(&frames), *whole);
    }

    #[test]
    fn who_is_skipped_gets_what_is_left_in_its_place() {
        let frame = |text: &str| -> Shared { text.as_bytes().to_vec().into() };
        let key = |index| ConnKey {
            index,
            generation: 0,
        };
        let member = |index| Member {
            key: key(index),
            peer: index,
            seat: 0,
        };
        let skip = |position, frames: &[&str]| Skip {
            position,
            frames: frames.iter().map(|text| frame(text)).collect(),
            messages: 0,
        };
        let mut round = Round::new(0, true, None);
        let list = round.list_mut(Encoding::Deflated);
        list.members = (0..6).map(member).collect();
        list.frames = vec![frame("a"), frame("b")];
        list.skips = vec![skip(0, &["b"]), skip(3, &[]), skip(5, &["a"])];
        list.prepare(false);
        let mut sent = Vec::new();
        for run in round.runs() {
            let Run {
                members, frames, ..
            } = run;
            let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
            assert_eq!(run.messages as usize, bytes, "one byte each");
            let text = String::from_utf8(Shared::concat(frames).to_vec()).expect("text");
            sent.extend(
                members
                    .iter()
                    .map(|member| (member.key.index, text.clone())),
            );
        }
        let expected = [(0, "b"), (1, "ab"), (2, "ab"), (4, "ab"), (5, "a")];
        assert_eq!(sent, expected.map(|(index, text)| (index, text.to_owned())));
    }
}
