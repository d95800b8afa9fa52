//! The crash campaign: `kill -9` at random points under mixed load, judged from outside.
//!
//! [`load`] is the traffic, [`crash`] kills and restarts underneath it, [`history`] is what both
//! saw, [`checker`] judges the history. The checker's own tests plant one violation of each
//! invariant and demand that it is found.

pub mod checker;
pub mod crash;
pub mod history;
pub mod load;
