//! Where a server is, and whether others can listen in on the way to it.

use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;

use super::DEFAULT_SERVER;

/// The address of a server, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// What paths are appended to: without a slash at its end.
    pub(super) base: String,
    pub(super) socket: Option<PathBuf>,
    /// Encrypted, or not leaving this machine or its own network.
    pub(super) is_private: bool,
}

/// Endings of names that are given out within a house only (RFC 6762, RFC 8375, and ICANN's
/// `internal`).
const HOUSE_NAMES: [&str; 5] = [".localhost", ".local", ".lan", ".internal", ".home.arpa"];

impl Address {
    /// Reads `http://HOST:PORT`, `https://…` or `unix:PATH`.
    ///
    /// # Errors
    /// What to write instead.
    pub(super) fn parse(server: &str) -> Result<Self, String> {
        if let Some(path) = server.strip_prefix("unix:") {
            return match path {
                "" => Err("write unix:PATH".to_owned()),
                path => Ok(Address {
                    base: "http://localhost".to_owned(),
                    socket: Some(PathBuf::from(path)),
                    is_private: true,
                }),
            };
        }
        let hint = || format!("write http://HOST:PORT, e.g. {DEFAULT_SERVER}, or unix:PATH");
        let url = Url::parse(server).map_err(|_| hint())?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.query().is_none();
        let host = url.host_str().filter(|_| is_web).ok_or_else(hint)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL is shown and logged: give an API key in its own place".to_owned());
        }
        Ok(Address {
            base: server.trim_end_matches('/').to_owned(),
            socket: None,
            is_private: url.scheme() == "https" || is_near(host),
        })
    }
}

/// Whether a host is this machine, or of a network that is not routed beyond its house.
fn is_near(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        // A name without a dot is of the local network, or of a container's.
        Err(_) => !bare.contains('.') || HOUSE_NAMES.iter().any(|ending| bare.ends_with(ending)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_travels_in_the_clear_within_the_house_only() {
        for (server, is_private) in [
            ("http://127.0.0.1:5000", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:5000", true),
            ("http://[::ffff:127.0.0.1]:5000", true),
            ("http://localhost:5000", true),
            ("http://app.localhost", true),
            ("http://10.1.2.3", true),
            ("http://172.16.0.1", true),
            ("http://172.32.0.1", false),
            ("http://192.168.1.9:5000", true),
            ("http://[fd00::1]:5000", true),
            ("http://[fe80::1]:5000", true),
            ("http://autom8:5000", true),
            ("http://nas.lan", true),
            ("http://printer.local", true),
            ("unix:/run/autom8.sock", true),
            ("https://autom8.example.org", true),
            ("http://autom8.example.org", false),
            ("http://localhost.example.org", false),
            ("http://8.8.8.8", false),
            ("http://100.64.0.1", false),
            ("http://[2001:db8::1]:5000", false),
        ] {
            let address = Address::parse(server).unwrap();
            assert_eq!(address.is_private, is_private, "{server}");
        }
    }

    #[test]
    fn a_password_has_no_place_in_the_address() {
        for server in ["http://ada:secret@127.0.0.1", "http://ada@127.0.0.1"] {
            let refused = Address::parse(server).unwrap_err();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}
