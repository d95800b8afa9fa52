//! Where the server listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The setting: an address without or with a port, or a socket file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// After loading, `port` is always absent: it has gone into `server.port`.
    Tcp {
        host: IpAddr,
        port: Option<u16>,
    },
    Unix(PathBuf),
}

/// Where to bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Default for Listen {
    fn default() -> Self {
        Listen::Tcp {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
        }
    }
}

impl Listen {
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("`unix:` needs a path, e.g. unix:/run/autom8.sock".to_owned()),
                path => Ok(Listen::Unix(PathBuf::from(path))),
            };
        }
        let tcp = |host, port| Ok(Listen::Tcp { host, port });
        if let Ok(address) = text.parse::<SocketAddr>() {
            return tcp(address.ip(), Some(address.port()));
        }
        if let Ok(host) = text
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            return tcp(host, None);
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        if name == "localhost" {
            let port = port.map(str::parse::<u16>).transpose();
            let port = port.map_err(|_| format!("`{text}` has no port from 0 to 65535"))?;
            return tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        }
        // A name may resolve to several addresses, or to another one tomorrow: what is bound
        // decides who can reach the server, so it has to be written down.
        Err(format!(
            "`{text}` is not an address: write an IP such as 127.0.0.1, 127.0.0.1:8080 or [::1]:8080, \
             or unix:PATH"
        ))
    }

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Listen::Tcp { host, .. } => host.to_canonical().is_loopback(),
            Listen::Unix(_) => true,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp { host, port: None } => host.fmt(f),
            Listen::Tcp {
                host,
                port: Some(port),
            } => SocketAddr::new(*host, *port).fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_a_port() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "127.0.0.1"),
            ("localhost:81", "127.0.0.1:81"),
            ("0.0.0.0:8080", "0.0.0.0:8080"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[::1]:80", "[::1]:80"),
            ("unix:a.sock", "unix:a.sock"),
        ] {
            assert_eq!(
                Listen::parse(text).map(|l| l.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_examples() {
        for text in [
            "",
            "example.org",
            "example.org:80",
            "127.0.0.1:99999",
            "localhost:http",
        ] {
            assert!(Listen::parse(text).is_err(), "{text}");
        }
        assert!(Listen::parse("unix:").is_err_and(|e| e.contains("needs a path")));
    }

    #[test]
    fn loopback_in_any_writing_is_local() {
        for (text, local) in [
            ("127.0.0.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("unix:x", true),
            ("0.0.0.0", false),
            ("::", false),
            ("192.168.1.2", false),
        ] {
            assert_eq!(
                Listen::parse(text).map(|l| l.is_local()),
                Ok(local),
                "{text}"
            );
        }
    }
}
