//! Where requests may go, and where credentials may.
//!
//! Promise: only to the host and port of the connection's `url`, with credentials, and to its `hosts`,
//! without; never from https to http. A link in a response or a redirect cannot lead anywhere else, so
//! not to this machine or its network either.

use url::Url;

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
        ] {
            assert!(reach(refused).is_err(), "{refused}");
        }
    }
}
