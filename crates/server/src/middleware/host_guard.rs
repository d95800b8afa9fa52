//! Who may speak to the API whatever key is shown: programs, and no web page but our own.
//!
//! On a loopback address the API is open until the first key is made. A page anywhere on the web
//! can have the visitor's browser send requests to that address: by DNS rebinding (its own name
//! then points here, so `Host` gives it away) and by cross-site posts (`Origin` gives them away).
//! Beyond loopback a key is needed for everything, and a server may be reached by any name; pages
//! of other origins may change nothing there either.

use std::net::IpAddr;

use autom8_api::problem::{Problem, ProblemCode};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};

use crate::error::ApiProblem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which names a request may use for this server.
#[derive(Clone, Debug)]
pub enum HostGuard {
    /// Reached through a Unix socket, whose permissions say who may; no browser can.
    Off,
    /// Loopback names, and those of a proxy on this machine.
    Loopback { allowed_hosts: Vec<String> },
    /// Any name, since other machines may call it what they like.
    Beyond,
}

impl HostGuard {
    pub(super) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), ApiProblem> {
        let allowed_hosts = match self {
            HostGuard::Off => return Ok(()),
            HostGuard::Loopback { allowed_hosts } => Some(allowed_hosts),
            HostGuard::Beyond => None,
        };
        let named = headers
            .get(header::HOST)
            .map(|host| host.to_str().unwrap_or_default());
        // The target of an absolute-form request overrides the header (RFC 9112, section 3.2.2).
        let host = uri.authority().map(Authority::as_str).or(named);
        if let (Some(host), Some(allowed_hosts)) = (host, allowed_hosts)
            && !is_allowed(host_name(host), allowed_hosts)
        {
            return Err(forbidden(format!(
                "this server does not go by the name {:?}; use http://127.0.0.1 or http://localhost \
                 with its port, or add the name to `server.allowed_hosts`",
                shown(host_name(host))
            )));
        }
        if method.is_safe() {
            return Ok(());
        }
        let crosses = match headers.get(header::ORIGIN) {
            Some(origin) => !is_own_origin(origin.to_str().unwrap_or_default(), host),
            None => headers
                .get(SEC_FETCH_SITE)
                .is_some_and(|site| site != "same-origin" && site != "none"),
        };
        if crosses {
            return Err(forbidden(
                "a web page of another origin may not change anything here; \
                 call the API from a program, or from a page that this server serves",
            ));
        }
        Ok(())
    }
}

fn forbidden(message: impl Into<String>) -> ApiProblem {
    Problem::new(ProblemCode::Forbidden, message).into()
}

fn is_allowed(name: &str, allowed_hosts: &[String]) -> bool {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
        || allowed_hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(name))
}

/// The name without its port; an IPv6 address keeps its brackets.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() =>
        {
            if name.starts_with('[') == name.ends_with(']') {
                name
            } else {
                host
            }
        }
        _ => host,
    }
}

/// Whether a page of this origin came from here: same name, same port. The scheme may differ,
/// since a proxy that ends TLS hands on the name and not the scheme.
fn is_own_origin(origin: &str, host: Option<&str>) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    host.is_some_and(|host| {
        let bare = |text: &str| {
            text.strip_suffix(default_port)
                .unwrap_or(text)
                .to_ascii_lowercase()
        };
        bare(authority) == bare(host)
    })
}

/// Another's text in our answer: short.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        method: Method,
        host: Option<&str>,
        origin: Option<&str>,
        site: Option<&str>,
    ) -> Result<(), String> {
        let guard = HostGuard::Loopback {
            allowed_hosts: vec!["autom8.example".to_owned()],
        };
        let mut headers = HeaderMap::new();
        let given = [
            (header::HOST, host),
            (header::ORIGIN, origin),
            (SEC_FETCH_SITE, site),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        guard
            .check(&method, &Uri::from_static("/api/v1/tasks"), &headers)
            .map_err(|refused| refused.problem.message)
    }

    #[test]
    fn only_names_of_this_machine_and_configured_ones_are_answered() {
        for host in [
            "localhost",
            "localhost:5000",
            "LocalHost:5000",
            "127.0.0.1:5000",
            "127.0.0.2",
            "[::1]:5000",
            "[::1]",
            "[::ffff:127.0.0.1]:80",
            "autom8.example",
            "Autom8.Example:443",
        ] {
            check(Method::GET, Some(host), None, None).unwrap();
        }
        for host in [
            "evil.example",
            "evil.example:5000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.168.1.10:5000",
            "[fe80::1]:5000",
            "localhost:evil",
            "",
            "[::1",
        ] {
            let refused = check(Method::GET, Some(host), None, None).unwrap_err();
            assert!(
                refused.contains("server.allowed_hosts"),
                "{host}: {refused}"
            );
        }
        // HTTP/1.0 needs no Host, and browsers always send one.
        check(Method::GET, None, None, None).unwrap();
    }

    #[test]
    fn the_target_overrides_the_header() {
        let guard = HostGuard::Loopback {
            allowed_hosts: Vec::new(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        let uri = Uri::from_static("http://evil.example/api/v1/tasks");
        assert!(guard.check(&Method::GET, &uri, &headers).is_err());
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing() {
        let own = Some("localhost:5000");
        for (origin, site) in [
            (None, None),
            (None, Some("none")),
            (None, Some("same-origin")),
            (Some("http://localhost:5000"), None),
            (Some("https://localhost:5000"), Some("same-origin")),
        ] {
            check(Method::POST, own, origin, site).unwrap();
        }
        for (origin, site) in [
            (Some("https://evil.example"), None),
            (Some("http://localhost:3000"), None),
            (Some("http://127.0.0.1:5000"), None),
            (Some("null"), None),
            (Some("file://localhost:5000"), None),
            (None, Some("cross-site")),
            (None, Some("same-site")),
        ] {
            for method in [Method::POST, Method::DELETE, Method::PATCH, Method::PUT] {
                let refused = check(method, own, origin, site).unwrap_err();
                assert!(
                    refused.contains("another origin"),
                    "{origin:?} {site:?}: {refused}"
                );
            }
            // Its script cannot read the answer, and reading changes nothing.
            check(Method::GET, own, origin, site).unwrap();
        }
        check(
            Method::POST,
            Some("autom8.example"),
            Some("https://autom8.example"),
            None,
        )
        .unwrap();
        check(
            Method::POST,
            Some("autom8.example:443"),
            Some("https://autom8.example"),
            None,
        )
        .unwrap();
    }

    #[test]
    fn beyond_this_machine_every_name_is_good_and_foreign_pages_still_change_nothing() {
        let check = |method: Method, host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            HostGuard::Beyond
                .check(&method, &Uri::from_static("/api/v1/tasks"), &headers)
                .is_ok()
        };
        for host in ["autom8.example", "192.0.2.7:5000", "localhost"] {
            assert!(check(Method::GET, host, Some("https://evil.example")));
            assert!(check(Method::POST, host, None));
            assert!(check(Method::POST, host, Some(&format!("http://{host}"))));
            assert!(!check(Method::POST, host, Some("https://evil.example")));
        }
    }

    #[test]
    fn a_unix_socket_needs_no_names() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "anything".parse().unwrap());
        HostGuard::Off
            .check(&Method::POST, &Uri::from_static("/"), &headers)
            .unwrap();
    }
}
