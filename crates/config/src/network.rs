//! Blocks of addresses.

use std::fmt;
use std::net::IpAddr;

/// Addresses that share their first bits, written `10.0.0.0/8`; a single address is a network of
/// its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            format!("`{text}` is not a network: write e.g. 10.0.0.0/8, fd00::/8 or 192.168.1.7")
        })?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => bits,
            Some(prefix) => prefix
                .parse()
                .ok()
                .filter(|prefix| *prefix <= bits)
                .ok_or_else(|| {
                    format!("`{text}`: the part after `/` is a number from 0 to {bits}")
                })?,
        };
        let network = Network {
            address,
            prefix_bits,
        };
        let first = network.first_address();
        if first != address {
            // 10.1.2.3/8 is nearly always a slip, and a wider one than was meant.
            return Err(format!(
                "`{text}` has bits set behind its prefix: write {first}/{prefix_bits} for the network, \
                 or {address} for the one address"
            ));
        }
        Ok(network)
    }

    /// Whether every address of its family lies within.
    pub fn is_everything(&self) -> bool {
        self.prefix_bits == 0
    }

    /// Whether the address lies within; an IPv4 address in IPv6 clothes counts as the IPv4 one.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && Network { address, ..*self }.first_address() == self.address
    }

    fn first_address(&self) -> IpAddr {
        let prefix = u32::from(self.prefix_bits);
        match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_shares_its_prefix() {
        for (network, address, contained) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.8", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "fe80::1", true),
        ] {
            let address = address.parse().unwrap();
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(address), contained, "{network} {address}");
        }
    }

    #[test]
    fn slips_are_refused_with_the_fix() {
        for (text, fix) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.0.0.0/33", "0 to 32"),
            ("fd00::/x", "0 to 128"),
            ("example.org", "10.0.0.0/8"),
            ("", "10.0.0.0/8"),
        ] {
            let error = Network::parse(text).unwrap_err();
            assert!(error.contains(fix), "{text}: {error}");
        }
    }
}
