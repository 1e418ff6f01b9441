//! Of `src/reactor`: the mailbox.

#[path = "../../src/reactor/mailbox.rs"]
mod mailbox;

pub use mailbox::Mailbox;
