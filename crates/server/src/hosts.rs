//! Which hosts and origins a request may name.
//!
//! Promise: a name that is not this server's is refused, so a web page cannot reach the server through a name of
//! its own (DNS rebinding), and so is a request of another page's origin. It looks nothing up.
//! `docs/decisions/0026-http-api.md` has the reasons. Read next: `gate.rs`.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri, header};
use towpath_vocab::{Failure, Remedy};

/// The hosts by which a request may name this server.
pub(crate) struct Hosts {
    /// True when only this machine reaches the server.
    is_local: bool,
    /// Names that the user has given, each with the port of its pages if that is not the usual one.
    names: Vec<String>,
}

impl Hosts {
    pub(crate) fn new(address: SocketAddr, names: &[String]) -> Self {
        Self {
            is_local: address.ip().is_loopback(),
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        }
    }

    /// Whether a request may name this host. A page of an attacker has a name, never an address.
    fn knows(&self, host: &str) -> bool {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        match bare.unwrap_or(host).parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || !self.is_local,
            Err(_) => host.eq_ignore_ascii_case("localhost") || self.is_named(host),
        }
    }

    fn is_named(&self, host: &str) -> bool {
        let mut names = self.names.iter();
        names.any(|name| host_of(name).eq_ignore_ascii_case(host))
    }

    /// Whether the pages of a named host are at this place: `NAME` or `NAME:PORT`, as it was given.
    fn has_pages_at(&self, page: &str) -> bool {
        let mut names = self.names.iter();
        names.any(|name| name.eq_ignore_ascii_case(page))
    }

    /// # Errors
    /// R1104 and R1105.
    pub(crate) fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Failure> {
        let authority = authority(headers, uri).ok_or_else(|| unknown_host("no host"))?;
        if !self.knows(host_of(&authority)) {
            return Err(unknown_host(&format!("`{}`", authority.escape_debug())));
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return Ok(());
        };
        let origin = origin.to_str().unwrap_or_default();
        let page = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .unwrap_or_default();
        let is_own = page.eq_ignore_ascii_case(&authority) || self.has_pages_at(page);
        match is_own && origins.next().is_none() && self.knows(host_of(page)) {
            true => Ok(()),
            false => Err(foreign_origin(origin)),
        }
    }
}

/// `HOST` or `HOST:PORT` as the request says it. One that says two things says none.
fn authority(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let target = uri.authority().map(|authority| authority.as_str());
    match (host, hosts.next(), target) {
        (Some(host), None, None) => Some(host.to_owned()),
        (Some(host), None, Some(target)) if host == target => Some(host.to_owned()),
        _ => None,
    }
}

/// The host without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn unknown_host(host: &str) -> Failure {
    let message = format!("this server does not have the name of the request: {host}");
    Failure::new("R1104", Remedy::Refused, message)
        .help("ask by localhost or by address")
        .help("or name the host: towpath serve --allow-host NAME")
}

fn foreign_origin(origin: &str) -> Failure {
    let message = format!(
        "a page of `{}` may not ask this server",
        origin.escape_debug()
    );
    Failure::new("R1105", Remedy::Refused, message)
        .help("behind a proxy, name the host that users see: towpath serve --allow-host NAME")
}

#[cfg(test)]
#[path = "hosts_tests.rs"]
mod tests;
