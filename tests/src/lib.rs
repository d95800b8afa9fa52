//! What the tests of the whole product share: the real binary as a child, a sink for its effects,
//! a client that knows what it does not know.
//!
//! In reading order: [`binary`] finds the program, [`server`] starts, kills and restarts it on one
//! data directory, [`client`] speaks HTTP/1.1 to it, [`wire`] holds one connection and sends what
//! is no HTTP, [`sink`] counts what its tasks did outside of it, [`wait`] is how a test waits.
//! [`chaos`] is the crash campaign built out of these, and [`limits`] that of the rate limit.
//!
//! Nothing here uses the product's own code for what it checks: a bug shared by both sides would
//! pass.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a fixture that cannot do its work fails the test that asked for it, in words"
)]

pub mod binary;
#[path = "../chaos/mod.rs"]
pub mod chaos;
pub mod client;
#[path = "../limits/mod.rs"]
pub mod limits;
pub mod namespace;
pub mod random;
pub mod server;
pub mod sink;
pub mod steps;
pub mod wait;
pub mod wire;

pub use client::{Answer, Client, Unanswered};
pub use server::{Server, ServerOptions};
pub use sink::Sink;
