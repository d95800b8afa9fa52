//! Who is limited: a key, or else an address, as 64 bits that nobody outside can aim.
//!
//! The bits are SipHash-1-3 (Aumasson and Bernstein, 2012) under the limiter's secret, so that
//! clients cannot pick keys or addresses which share a bucket, or crowd one part of the table.

use std::net::IpAddr;

/// Known only to the limiter that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(pub(super) u64);

/// Sets addresses and keys apart, and the two kinds of addresses.
#[derive(Clone, Copy)]
enum Domain {
    Key = 1,
    Ipv4 = 2,
    Ipv6Network = 3,
}

/// The limiter's secret.
pub(super) struct Naming {
    key: [u64; 2],
}

impl Naming {
    /// The key's two halves are two outputs of SplitMix64, which spreads any seed.
    pub(super) fn seeded(seed: u64) -> Self {
        let spread = |step: u64| {
            let mut mixed = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        Self {
            key: [spread(1), spread(2)],
        }
    }

    pub(super) fn of_key(&self, key_id: u64) -> ClientId {
        self.name(Domain::Key, key_id)
    }

    /// An IPv6 network of 64 bits is one client: whoever has one address there has all of them.
    /// An IPv4 address is the same client however it is written.
    pub(super) fn of_address(&self, address: IpAddr) -> ClientId {
        match address.to_canonical() {
            IpAddr::V4(address) => self.name(Domain::Ipv4, u64::from(address.to_bits())),
            IpAddr::V6(address) => self.name(Domain::Ipv6Network, (address.to_bits() >> 64) as u64),
        }
    }

    fn name(&self, domain: Domain, value: u64) -> ClientId {
        ClientId(siphash_1_3(self.key, [domain as u64, value]))
    }
}

/// Of a message of sixteen bytes, given as two little-endian words.
fn siphash_1_3(key: [u64; 2], message: [u64; 2]) -> u64 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    // The last word carries the length alone, since sixteen bytes leave none over.
    for word in [message[0], message[1], 16 << 56] {
        state[3] ^= word;
        round(&mut state);
        state[0] ^= word;
    }
    state[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn round(state: &mut [u64; 4]) {
    let [a, b, c, d] = state;
    *a = a.wrapping_add(*b);
    *c = c.wrapping_add(*d);
    *b = b.rotate_left(13) ^ *a;
    *d = d.rotate_left(16) ^ *c;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*b);
    *a = a.wrapping_add(*d);
    *b = b.rotate_left(17) ^ *c;
    *d = d.rotate_left(21) ^ *a;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the standard library's hasher gives them, which is SipHash-1-3 under a zero key.
    #[test]
    fn the_hash_is_siphash() {
        for (message, expected) in [
            ([0, 0], 0x76be_999e_3e25_b2a0),
            ([1, 2], 0xfb05_8313_e620_1d48),
            ([u64::MAX, 0x0123_4567_89ab_cdef], 0xc64c_ee0e_a810_f46e),
        ] {
            assert_eq!(siphash_1_3([0, 0], message), expected);
        }
        assert_ne!(siphash_1_3([1, 0], [0, 0]), siphash_1_3([0, 1], [0, 0]));
    }

    #[test]
    fn an_address_is_one_client_however_it_is_written() {
        let naming = Naming::seeded(1);
        let of = |text: &str| naming.of_address(text.parse().unwrap());
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.7"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::9"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }

    #[test]
    fn keys_and_addresses_of_equal_bits_are_different_clients() {
        let naming = Naming::seeded(1);
        let ids = [
            naming.of_key(1),
            naming.of_address("0.0.0.1".parse().unwrap()),
            naming.of_address("0:0:0:1::".parse().unwrap()),
        ];
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        assert_ne!(ids[0], Naming::seeded(2).of_key(1), "another secret");
    }
}
