//! Where requests may go, and where credentials may.
//!
//! Promise: only to the host and port of the connection's `url`, with credentials, and to its `hosts`,
//! without; never from https to http. A link in a response or a redirect cannot lead anywhere else, so
//! not to this machine or its network either; nor can the name of such a host, when its addresses are
//! there. An address of this machine is reached only where the project writes it.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use crate::https::is_near;

/// How far a request to an address may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The API itself.
    Own,
    /// A host that the connection names: no credentials.
    Named,
}

/// The hosts of a connection.
#[derive(Clone, Debug)]
pub(super) struct Egress {
    base: Url,
    hosts: Vec<String>,
}

impl Egress {
    pub(super) fn new(base: Url, hosts: Vec<String>) -> Self {
        let hosts = hosts.into_iter().map(|host| host.to_ascii_lowercase());
        Self {
            base,
            hosts: hosts.collect(),
        }
    }

    /// The reach of a request; the error is the host it must not go to.
    pub(super) fn reach(&self, url: &Url) -> Result<Reach, String> {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let with_port = match url.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let shown = match url.port() {
            Some(_) => with_port.clone(),
            None => host.clone(),
        };
        let is_known_scheme = matches!(url.scheme(), "http" | "https");
        let is_downgrade = self.base.scheme() == "https" && url.scheme() != "https";
        if !is_known_scheme || is_downgrade {
            return Err(format!("{}://{shown}", url.scheme()));
        }
        // A user in a link would be sent as credentials.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(shown);
        }
        if self.base.host_str() == url.host_str()
            && self.base.port_or_known_default() == url.port_or_known_default()
        {
            return Ok(Reach::Own);
        }
        let is_named = |known: &String| match known.contains(':') {
            true => *known == with_port,
            false => *known == host && url.port().is_none(),
        };
        match self.hosts.iter().any(is_named) {
            true => Ok(Reach::Named),
            false => Err(shown),
        }
    }
}

/// Finds the addresses of hosts.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Hosts that the project gives as the API or its token server: their addresses may be anywhere.
    own: Vec<String>,
}

impl Resolver {
    pub(super) fn new<'h>(own: impl Iterator<Item = &'h str>) -> Self {
        let own = own.map(str::to_ascii_lowercase);
        Self {
            own: own.chain(["localhost".to_owned()]).collect(),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_ascii_lowercase();
        let is_own = self.own.contains(&host);
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let (near, far): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.partition(|found| is_near(found.ip()));
            match (is_own, far.is_empty()) {
                (true, _) => Ok(Box::new(near.into_iter().chain(far)) as Addrs),
                (false, false) => Ok(Box::new(far.into_iter()) as Addrs),
                (false, true) => {
                    let why = format!("`{host}` is an address of this machine or its link");
                    Err(Box::<dyn std::error::Error + Send + Sync>::from(why))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_the_api_and_named_hosts_are_reached() {
        let url = |text: &str| Url::parse(text).unwrap();
        let hosts = vec![
            "Files.example.com".to_owned(),
            "cdn.example.com:8443".to_owned(),
        ];
        let egress = Egress::new(url("https://api.example.com/v1"), hosts);
        let reach = |text: &str| egress.reach(&url(text));
        assert_eq!(reach("https://api.example.com/v1/x?y"), Ok(Reach::Own));
        assert_eq!(reach("https://api.example.com:443/x"), Ok(Reach::Own));
        assert_eq!(reach("https://files.example.com/a"), Ok(Reach::Named));
        assert_eq!(reach("https://cdn.example.com:8443/a"), Ok(Reach::Named));
        for refused in [
            "http://api.example.com/v1",
            "https://api.example.com:8443/",
            "https://cdn.example.com/",
            "https://files.example.com:22/",
            "https://169.254.169.254/latest",
            "https://localhost/",
            "https://api.example.com.evil.com/",
            "file:///etc/passwd",
            "https://user:pw@api.example.com/v1",
        ] {
            assert!(reach(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn addresses_of_this_machine_and_its_link_are_known() {
        for near in [
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "0.1.2.3",
            "fd00:ec2::254",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(is_near(near.parse().unwrap()), "{near}");
        }
        for far in ["10.0.0.1", "93.184.216.34", "2606:2800::1"] {
            assert!(!is_near(far.parse().unwrap()), "{far}");
        }
    }
}
