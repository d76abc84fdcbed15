//! Which hosts and origins a request may name.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use axum::http::{HeaderMap, HeaderValue, Uri, header};

use super::Hosts;

/// The code with which these headers are refused; nothing if they are let in.
fn refused(hosts: &Hosts, host: Option<&str>, origin: Option<&str>) -> Option<String> {
    let mut headers = HeaderMap::new();
    for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
        if let Some(value) = value {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
    }
    let checked = hosts.check(&headers, &Uri::from_static("/api/v1/health"));
    checked.err().map(|failure| failure.code)
}

fn at(address: &str, names: &[&str]) -> Hosts {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Hosts::new(address.parse().unwrap(), &names)
}

#[test]
fn a_local_server_has_local_names_only() {
    let hosts = at("127.0.0.1:7450", &["Towpath.example.com"]);
    for known in [
        "localhost",
        "localhost:7450",
        "LOCALHOST:1",
        "127.0.0.1:7450",
        "[::1]:7450",
        "towpath.example.com",
        "towpath.example.com:8443",
    ] {
        assert_eq!(refused(&hosts, Some(known), None), None, "{known}");
    }
    for unknown in [
        "evil.example",
        "localhost.evil.example",
        "evil.example:7450",
        "10.0.0.5:7450",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "",
        "[::1",
        "user:password@localhost:7450",
    ] {
        let code = refused(&hosts, Some(unknown), None);
        assert_eq!(code.as_deref(), Some("R1104"), "{unknown}");
    }
    assert_eq!(refused(&hosts, None, None).as_deref(), Some("R1104"));
}

#[test]
fn a_server_on_all_addresses_has_its_addresses_and_given_names() {
    let hosts = at("0.0.0.0:7450", &["towpath.example.com"]);
    for known in ["10.0.0.5:7450", "[2001:db8::1]:7450", "towpath.example.com"] {
        assert_eq!(refused(&hosts, Some(known), None), None, "{known}");
    }
    let code = refused(&hosts, Some("evil.example"), None);
    assert_eq!(code.as_deref(), Some("R1104"));
}

#[test]
fn only_pages_of_the_server_itself_may_ask() {
    let hosts = at("127.0.0.1:7450", &["towpath.example.com"]);
    let of = |host, origin| refused(&hosts, Some(host), Some(origin));
    assert_eq!(of("localhost:7450", "http://localhost:7450"), None);
    assert_eq!(of("127.0.0.1:7450", "https://towpath.example.com"), None);
    // Another program on a host that was named.
    let other = of(
        "towpath.example.com:7450",
        "http://towpath.example.com:3000",
    );
    assert_eq!(other.as_deref(), Some("R1105"));
    let hosts = at("127.0.0.1:7450", &["towpath.example.com:8443"]);
    let of = |host, origin| refused(&hosts, Some(host), Some(origin));
    assert_eq!(
        of("localhost:7450", "https://towpath.example.com:8443"),
        None
    );
    let usual = of("towpath.example.com", "https://towpath.example.com:3000");
    assert_eq!(usual.as_deref(), Some("R1105"));
    assert_eq!(of("localhost:7450", "http://localhost:7450"), None);
    for origin in [
        "http://evil.example",
        "http://localhost:3000",
        "http://127.0.0.1:7450",
        "null",
        "",
        "file://",
        "http://localhost:7450.evil.example",
    ] {
        let code = of("localhost:7450", origin);
        assert_eq!(code.as_deref(), Some("R1105"), "{origin}");
    }
}

#[test]
fn a_request_that_names_two_hosts_names_none() {
    let hosts = at("127.0.0.1:7450", &[]);
    let mut headers = HeaderMap::new();
    headers.append(header::HOST, HeaderValue::from_static("localhost"));
    let other = Uri::from_static("http://evil.example/api/v1/health");
    assert!(hosts.check(&headers, &other).is_err());
    let same = Uri::from_static("http://localhost/api/v1/health");
    assert!(hosts.check(&headers, &same).is_ok());
    headers.append(header::HOST, HeaderValue::from_static("localhost"));
    assert!(hosts.check(&headers, &same).is_err());
}
