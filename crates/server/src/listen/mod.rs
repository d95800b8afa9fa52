//! From a socket to the router: our own accept loop.
//!
//! `axum::serve` leaves silent connections, half-sent heads and single bytes open for ever, and
//! hyper's own timer covers the head only. Here each connection carries a [`watch`] that says
//! what it waits for, and once a tick one task closes every connection that waits too long: no
//! timer and no reading of the clock by connection or request. [`accept`] bounds how many there
//! are and drains them at the end, [`connection`] serves one, [`framing`] refuses what could be
//! read as two requests, [`bind`] opens the socket and names whoever holds a busy one
//! ([`port_owner`]), and [`open_files`] keeps a flood of connections from taking the files that
//! the store needs.
//!
//! HTTP/1.1 only: without TLS no browser speaks HTTP/2, and its floods (reset, CONTINUATION,
//! empty DATA) are not a price worth paying for the few programs that would.

pub mod accept;
pub mod bind;
pub mod limits;
pub mod open_files;
pub mod port_owner;

mod connection;
mod framing;
#[cfg(test)]
mod tests;
mod watch;

use std::net::IpAddr;

pub use accept::{Drained, serve};
pub use bind::{ListenError, Listener};
pub use limits::ListenLimits;

/// Whom a connection comes from, in the extensions of its requests; none through a Unix socket.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub Option<IpAddr>);
