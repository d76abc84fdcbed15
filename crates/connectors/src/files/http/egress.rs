//! Where redirects may lead.
//!
//! Promise: to no address of this machine or its link, by name or by number, unless the address that the project
//! writes is there itself; never from https to http. A name is looked up where its address is used, so that it
//! cannot lead elsewhere in between.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::https::is_near;

/// Whether an address is one of this machine or its link, as far as the URL shows it.
pub(super) fn is_near_url(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_near(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_near(IpAddr::V6(address)),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        None => true,
    }
}

/// Whether a redirect may be followed.
pub(super) fn may_lead(from: &Url, to: &Url, is_base_near: bool) -> bool {
    let is_http = matches!(to.scheme(), "http" | "https");
    let is_downgrade = from.scheme() == "https" && to.scheme() != "https";
    let has_user = !to.username().is_empty() || to.password().is_some();
    is_http && !is_downgrade && !has_user && (is_base_near || !is_near_url(to))
}

/// A name that leads to an address of this machine or its link.
#[derive(Debug, thiserror::Error)]
#[error("it is an address of this machine or its link")]
pub(super) struct Near;

/// Finds the addresses of hosts; those of this machine and its link only for the host that the project writes.
#[derive(Debug)]
pub(super) struct Resolver {
    own: String,
    is_base_near: bool,
}

impl Resolver {
    pub(super) fn new(base: &Url) -> Self {
        Self {
            own: base.host_str().unwrap_or_default().to_ascii_lowercase(),
            is_base_near: is_near_url(base),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_ascii_lowercase();
        let any = self.is_base_near || host == self.own;
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let found: Vec<SocketAddr> =
                found.filter(|found| any || !is_near(found.ip())).collect();
            if found.is_empty() {
                return Err(Box::<dyn std::error::Error + Send + Sync>::from(Near));
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn redirects_lead_to_no_address_of_this_machine() {
        let url = |text: &str| Url::parse(text).unwrap();
        let from = url("https://example.com/a.csv");
        let leads = |to: &str| may_lead(&from, &url(to), false);
        assert!(leads("https://cdn.example.org/b.csv"));
        for refused in [
            "http://cdn.example.org/b.csv",
            "https://127.0.0.1/b.csv",
            "https://[::1]/b.csv",
            "https://[::ffff:169.254.169.254]/latest",
            "https://169.254.169.254/latest",
            "https://0x7f000001/b.csv",
            "https://localhost:8080/b.csv",
            "https://x.localhost./b.csv",
            "https://user:pw@cdn.example.org/b.csv",
            "file:///etc/passwd",
        ] {
            assert!(!leads(refused), "{refused}");
        }
        let near = url("http://127.0.0.1:1/a.csv");
        assert!(may_lead(&near, &url("http://127.0.0.1:2/b.csv"), true));
    }
}
