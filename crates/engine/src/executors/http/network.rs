//! Which addresses an HTTP task may connect to.
//!
//! A task's URL is input from outside, and the server sits where its caller does not: next to
//! cloud metadata services that hand out credentials, and inside private networks. The verdict is
//! on addresses, never on names, because a name can resolve differently a moment later.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// What of the non-public networks is open to HTTP tasks. The default opens none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Loopback and private networks are open: whoever can reach the API, on this machine only
    /// and without a key, can reach them as well.
    pub open_private: bool,
    /// Networks that are open in any case (`executors.http.allow_networks`).
    pub allow_networks: Vec<Network>,
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0} belongs to a metadata service or to the local link, which HTTP tasks never reach")]
    Never(IpAddr),
    #[error(
        "{address} is a loopback or private address: to let HTTP tasks reach it, add it to \
         executors.http.allow_networks, e.g. [\"{address}/{bits}\"]", bits = bits_of(.address)
    )]
    Private { address: IpAddr },
    #[error("{0} is no address that a connection can go to")]
    Unusable(IpAddr),
}

fn bits_of(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl NetworkPolicy {
    /// # Errors
    /// Why a connection to `address` must not be made.
    pub fn check(&self, address: IpAddr) -> Result<(), Refusal> {
        let address = embedded(address);
        if NEVER.iter().any(|network| network.contains(address)) {
            return Err(Refusal::Never(address));
        }
        if UNUSABLE.iter().any(|network| network.contains(address)) {
            return Err(Refusal::Unusable(address));
        }
        let private = PRIVATE.iter().any(|network| network.contains(address));
        let listed = self
            .allow_networks
            .iter()
            .any(|network| network.contains(address));
        if private && !self.open_private && !listed {
            return Err(Refusal::Private { address });
        }
        Ok(())
    }
}

/// The IPv4 address that an IPv6 address leads to, if it is of a form that does: mapped and
/// compatible addresses, NAT64 and 6to4. Else the address itself.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| {
        let [first, second] = high.to_be_bytes();
        let [third, fourth] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(first, second, third, fourth))
    };
    match [a, b, c, d, e, f] {
        // `::` and `::1` have the compatible form and mean themselves.
        [0, 0, 0, 0, 0, 0] if v6.to_bits() > 1 => v4(g, h),
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        // The local-use NAT64 prefix of RFC 8215.
        [0x64, 0xff9b, 1, ..] => v4(g, h),
        [0x2002, ..] => v4(b, c),
        _ => address,
    }
}

/// Metadata services of the large clouds, and what is valid on one link only.
const NEVER: &[Network] = &[
    // Link-local; 169.254.169.254 is the metadata service of AWS, Azure, Google, Oracle, …
    v4([169, 254, 0, 0], 16),
    // Alibaba Cloud.
    v4([100, 100, 100, 200], 32),
    // Azure's wire server.
    v4([168, 63, 129, 16], 32),
    // Oracle Cloud's older metadata address.
    v4([192, 0, 0, 192], 32),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    // AWS and Google over IPv6.
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
];

/// Multicast, broadcast and reserved.
const UNUSABLE: &[Network] = &[
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

const PRIVATE: &[Network] = &[
    // "This host": Linux connects 0.0.0.0 and :: to loopback.
    v4([0, 0, 0, 0], 8),
    v4([127, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    // Carrier-grade NAT, and many overlay networks.
    v4([100, 64, 0, 0], 10),
    // Protocol assignments and benchmarks.
    v4([192, 0, 0, 0], 24),
    v4([198, 18, 0, 0], 15),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 127),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    // Site-local, deprecated and still routed somewhere.
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
];

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

const fn v4(octets: [u8; 4], prefix_bits: u8) -> Network {
    let [a, b, c, d] = octets;
    Network {
        address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        prefix_bits,
    }
}

const fn v6(segments: [u16; 8], prefix_bits: u8) -> Network {
    let [a, b, c, d, e, f, g, h] = segments;
    Network {
        address: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)),
        prefix_bits,
    }
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = u64::from(network.to_bits() ^ address.to_bits());
                differ >> (32 - u32::from(self.prefix_bits)) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                self.prefix_bits == 0 || differ >> (128 - u32::from(self.prefix_bits)) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

/// Text that is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a network: write an address or a range such as 10.0.0.0/8 or fd00::/8")]
pub struct NetworkError {
    text: String,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let parse = || {
            let (address, prefix) = match text.trim().split_once('/') {
                Some((address, prefix)) => (address, Some(prefix)),
                None => (text.trim(), None),
            };
            let address: IpAddr = address.parse().ok()?;
            let bits_max = bits_of(&address);
            let prefix_bits = prefix.map_or(Some(bits_max), |prefix| prefix.parse().ok())?;
            (prefix_bits <= bits_max).then_some(Network {
                address,
                prefix_bits,
            })
        };
        parse().ok_or_else(|| NetworkError {
            text: text.chars().take(60).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(policy: &NetworkPolicy, address: &str) -> &'static str {
        match policy.check(address.parse().unwrap()) {
            Ok(()) => "open",
            Err(Refusal::Never(_)) => "never",
            Err(Refusal::Private { .. }) => "private",
            Err(Refusal::Unusable(_)) => "unusable",
        }
    }

    #[test]
    fn every_kind_of_address_has_its_verdict() {
        let closed = NetworkPolicy::default();
        let open = NetworkPolicy {
            open_private: true,
            ..NetworkPolicy::default()
        };
        // address, closed, with private networks open
        let table = [
            ("93.184.216.34", "open", "open"),
            ("2606:2800:220:1::1", "open", "open"),
            ("127.0.0.1", "private", "open"),
            ("127.255.255.254", "private", "open"),
            ("0.0.0.0", "private", "open"),
            ("10.1.2.3", "private", "open"),
            ("172.15.255.255", "open", "open"),
            ("172.16.0.1", "private", "open"),
            ("172.31.255.255", "private", "open"),
            ("172.32.0.0", "open", "open"),
            ("192.168.1.1", "private", "open"),
            ("100.64.0.1", "private", "open"),
            ("198.19.0.1", "private", "open"),
            ("::1", "private", "open"),
            ("::", "private", "open"),
            ("fd12:3456::1", "private", "open"),
            ("fec0::1", "private", "open"),
            ("::ffff:127.0.0.1", "private", "open"),
            ("::ffff:10.0.0.1", "private", "open"),
            ("::7f00:1", "private", "open"),
            ("64:ff9b::a00:1", "private", "open"),
            ("2002:a00:1::", "private", "open"),
            ("169.254.169.254", "never", "never"),
            ("169.254.0.1", "never", "never"),
            ("::ffff:169.254.169.254", "never", "never"),
            ("::a9fe:a9fe", "never", "never"),
            ("64:ff9b::a9fe:a9fe", "never", "never"),
            ("64:ff9b:1::a9fe:a9fe", "never", "never"),
            ("2002:a9fe:a9fe::1", "never", "never"),
            ("fe80::1", "never", "never"),
            ("febf::1", "never", "never"),
            ("fd00:ec2::254", "never", "never"),
            ("fd20:ce::254", "never", "never"),
            ("100.100.100.200", "never", "never"),
            ("168.63.129.16", "never", "never"),
            ("192.0.0.192", "never", "never"),
            ("224.0.0.1", "unusable", "unusable"),
            ("255.255.255.255", "unusable", "unusable"),
            ("ff02::1", "unusable", "unusable"),
        ];
        for (address, when_closed, when_open) in table {
            assert_eq!(verdict(&closed, address), when_closed, "{address}, closed");
            assert_eq!(verdict(&open, address), when_open, "{address}, open");
        }
    }

    #[test]
    fn a_listed_network_is_open_but_metadata_stays_closed() {
        let policy = NetworkPolicy {
            open_private: false,
            allow_networks: ["10.1.0.0/16", "0.0.0.0/0", "::/0"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
        };
        assert_eq!(verdict(&policy, "10.1.200.3"), "open");
        assert_eq!(verdict(&policy, "127.0.0.1"), "open");
        assert_eq!(verdict(&policy, "fd12::1"), "open");
        assert_eq!(verdict(&policy, "169.254.169.254"), "never");
        assert_eq!(verdict(&policy, "::ffff:169.254.169.254"), "never");
    }

    #[test]
    fn a_refusal_names_the_setting_and_the_value_to_add() {
        let refusal = NetworkPolicy::default()
            .check("10.1.2.3".parse().unwrap())
            .unwrap_err();
        let message = refusal.to_string();
        assert!(
            message.contains("executors.http.allow_networks"),
            "{message}"
        );
        assert!(message.contains("[\"10.1.2.3/32\"]"), "{message}");
    }

    #[test]
    fn networks_are_read_with_and_without_their_bits() {
        assert_eq!(
            "10.0.0.0/8".parse::<Network>().unwrap().to_string(),
            "10.0.0.0/8"
        );
        assert_eq!(
            "10.1.2.3".parse::<Network>().unwrap().to_string(),
            "10.1.2.3/32"
        );
        assert_eq!(
            "fd00::/8".parse::<Network>().unwrap().to_string(),
            "fd00::/8"
        );
        for bad in [
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0/8",
            "example.org",
            "",
            "10.0.0.0/-1",
        ] {
            let message = bad.parse::<Network>().unwrap_err().to_string();
            assert!(message.contains("10.0.0.0/8"), "{message}");
        }
    }
}
