//! What connections over HTTP share: the certificates that the machine trusts, and which addresses are its own.
//!
//! Promise: one provider of cryptography, named here, because two are linked and rustls then picks none by
//! itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// The settings of TLS for a client; the error is a reason for people.
pub(crate) fn tls() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// True for addresses of this machine and its link, in all their spellings, and for those at which clouds answer
/// questions of a machine about itself.
pub(crate) fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_near_v4(v4),
        IpAddr::V6(v6) => {
            // RFC 6052: an IPv4 address behind a translator.
            let [a, b, c, d, e, f, high, low] = v6.segments();
            let is_translated = [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0];
            let v4 = Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
            v6.is_loopback()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6 == OF_A_CLOUD
                || (is_translated && is_near_v4(v4))
        }
    }
}

/// Where Amazon answers over IPv6.
const OF_A_CLOUD: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

fn is_near_v4(v4: Ipv4Addr) -> bool {
    v4.is_loopback() || v4.is_link_local() || v4.octets().first() == Some(&0)
}
