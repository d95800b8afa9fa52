//! Which client a request came from.
//!
//! The address of the connection is the client's, unless the peer is one of
//! `security.trusted_proxies`. A proxy adds the address that it saw to the right end of
//! `X-Forwarded-For`, and everything to the left of that is what it was told: so the list is read
//! from the right, past proxies that are trusted, to the first address that is not. What a client
//! makes up stands to the left of it and is never reached.
//!
//! `Forwarded` (RFC 7239) is not read: a proxy that adds to the one and passes the other on
//! unchanged would let its clients choose who they are.

use std::net::{IpAddr, SocketAddr};

use autom8_config::Network;
use axum::http::{HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Proxies in a row; behind more of them the last one looked at counts as the client.
const HOPS_MAX: usize = 16;

/// The client's address; none for a program that came through a Unix socket.
pub(super) fn of(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    trusted_proxies: &[Network],
) -> Option<IpAddr> {
    let mut client = peer?.to_canonical();
    let is_trusted = |address| {
        trusted_proxies
            .iter()
            .any(|network| network.contains(address))
    };
    // Without proxies this is all that a request costs.
    if !is_trusted(client) {
        return Some(client);
    }
    // A proxy may add a line of its own instead of an entry: the lines are one list.
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let entries = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    for entry in entries.take(HOPS_MAX) {
        // No trusted proxy writes what is not an address: from here on it is made up, and the
        // proxy that passed it on answers for it.
        let Some(address) = address(entry.trim()) else {
            break;
        };
        client = address;
        if !is_trusted(client) {
            break;
        }
    }
    Some(client)
}

/// Some proxies add the port.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: IpAddr = entry
        .parse()
        .ok()
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|with| with.ip()))
        .or_else(bare)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<Network> = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]
            .into_iter()
            .map(|text| Network::parse(text).unwrap())
            .collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line.parse().unwrap());
        }
        of(Some(peer.parse().unwrap()), &headers, &trusted)
            .unwrap()
            .to_string()
    }

    #[test]
    fn only_what_trusted_proxies_have_added_is_believed() {
        for (peer, lines, expected) in [
            // Nobody is asked to vouch for a peer that is no proxy.
            ("203.0.113.9", &["1.1.1.1"][..], "203.0.113.9"),
            ("203.0.113.9", &[], "203.0.113.9"),
            ("127.0.0.2", &["1.1.1.1"], "127.0.0.2"),
            // A proxy alone is its own client: a health check of it.
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &[""], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            // What the client sent stands to the left, however it sent it.
            ("127.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["10.0.0.1, 203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["1.1.1.1, , 203.0.113.9"], "203.0.113.9"),
            // Two proxies in a row.
            (
                "127.0.0.1",
                &["1.1.1.1, 203.0.113.9, 10.1.2.3"],
                "203.0.113.9",
            ),
            (
                "127.0.0.1",
                &["203.0.113.9,10.1.2.3,10.0.0.7"],
                "203.0.113.9",
            ),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            // Clients inside the trusted networks are told apart as far as the list reaches.
            ("127.0.0.1", &["10.1.2.3"], "10.1.2.3"),
            ("127.0.0.1", &["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
            // What is no address ends the walk at whoever passed it on.
            ("127.0.0.1", &["unknown"], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9, unknown"], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9, _hidden, 10.1.2.3"], "10.1.2.3"),
            ("127.0.0.1", &["203.0.113.9,"], "127.0.0.1"),
            // Ports and other ways to write the same address.
            ("127.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("127.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("127.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("127.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("::ffff:127.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:203.0.113.9", &["1.1.1.1"], "203.0.113.9"),
        ] {
            assert_eq!(client(peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_list_of_any_length_is_read_to_its_bound() {
        let long = format!("1.1.1.1{}", ", 10.0.0.1".repeat(10_000));
        assert_eq!(client("127.0.0.1", &[&long]), "10.0.0.1");
    }

    #[test]
    fn behind_a_unix_socket_there_is_no_address() {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, "1.1.1.1".parse().unwrap());
        let everything = [Network::parse("0.0.0.0/0").unwrap()];
        assert_eq!(of(None, &headers, &everything), None);
    }
}
