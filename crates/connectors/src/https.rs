//! TLS of connections over HTTP: the certificates that the machine trusts.
//!
//! Promise: one provider of cryptography, named here, because two are linked and rustls then picks none by
//! itself.

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
