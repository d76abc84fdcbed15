//! Encryption of a connection to PostgreSQL, as its address asks for it.
//!
//! Promise: what `sslmode` means is in `relational/tls.rs`; this is only the form in which the driver takes
//! it. It does not connect: `session.rs` does.

use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::Address;
use crate::relational::tls::client_config;

/// The connector for an address; the error is a reason in words.
pub(super) fn connector(address: &Address) -> Result<MakeRustlsConnect, String> {
    client_config(&address.encryption).map(MakeRustlsConnect::new)
}
