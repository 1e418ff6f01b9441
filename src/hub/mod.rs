//! Users, rooms and who hears what on this node; publications that are encoded once for all who get them.
//!
//! [`Directory`] is shared by the workers and says which of them have members of a group, and how many. [`Hub`] belongs to
//! one worker: its peers, the groups that they are in, and what goes out to them at the end of the turn. Sockets, mailboxes and
//! the meaning of a message are known elsewhere: who publishes asks the directory for the workers that must hear of it, and brings
//! it to them.
//!
//! Order: what one peer publishes reaches one receiver in that order, whatever groups it went to, because every hand on the
//! way keeps it: the mailbox between two workers, the list of what goes out in a turn, the send queue of a connection.

mod directory;
mod event;
mod members;
mod offsets;
mod policy;
mod publication;
mod round;
mod worker;

pub use directory::{Audience, Directory, Kind, Listed};
pub use event::{event, put_event_of};
pub use members::Member;
pub use policy::{Overflow, RoomPolicies};
pub use publication::{Encoding, Publication, Target};
pub use round::{Lossy, Round, Run};
pub use worker::{Hub, Joined, PeerId, Reach};
