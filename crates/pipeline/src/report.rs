//! Reports results to people: on pull requests, on commits, in chats.

pub(crate) mod comment;
pub(crate) mod notify;
