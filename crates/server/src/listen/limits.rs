//! What one peer may take of the listener.

use std::time::Duration;

/// Bounds of connections, in number and in time. The defaults are the product's; tests shorten.
#[derive(Clone, Debug)]
pub struct ListenLimits {
    /// A connection costs about 8 KiB here and as much in the kernel.
    pub connections_max: usize,
    /// By address, IPv6 by its /64. Peers on the loopback are exempt: behind a proxy on this
    /// machine all clients share that address, and so do the threads of an honest load generator.
    pub connections_per_peer_max: usize,
    /// From the accept to the first byte.
    pub first_byte_within: Duration,
    /// From the first byte of a request's head to its last.
    pub head_within: Duration,
    /// A body may take this long at any speed; then it is judged, and so is each stretch of this
    /// length after it.
    pub body_grace: Duration,
    /// A body must arrive at this rate on average over each stretch.
    pub body_bytes_per_second_min: u64,
    /// How long the kernel may refuse more of an answer because the peer does not read.
    pub answer_stalled_max: Duration,
    /// Between an answer and the next request's first byte.
    pub idle_max: Duration,
    /// A head may also have 100 headers and no more, which is hyper's own bound: naming the same
    /// number makes it fill a vector for each request, for 3 % of the time in user space.
    pub head_bytes_max: usize,
    /// How often overdue connections are looked for; each deadline is late by up to one tick.
    pub tick: Duration,
}

impl Default for ListenLimits {
    fn default() -> Self {
        ListenLimits {
            connections_max: 10_000,
            connections_per_peer_max: 256,
            first_byte_within: Duration::from_secs(10),
            head_within: Duration::from_secs(10),
            body_grace: Duration::from_secs(10),
            body_bytes_per_second_min: 1024,
            answer_stalled_max: Duration::from_secs(30),
            idle_max: Duration::from_secs(60),
            head_bytes_max: 32 * 1024,
            tick: Duration::from_secs(1),
        }
    }
}
