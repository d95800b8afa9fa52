//! The product from outside, as its users meet it. `routes` mirrors the server's own tree, `cli`
//! the commands; each other file is one promise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test stops at the first thing that is wrong"
)]

mod bad_input;
mod cli;
mod contact_import;
mod docs;
mod guide_commands;
mod guide_targets;
mod hardware;
mod hostile;
mod lanes;
mod refusals;
mod restart;
mod routes;
mod stop;
