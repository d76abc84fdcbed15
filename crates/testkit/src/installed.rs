//! Where `xtask/setup.sh` puts the programs that tests need and Debian does not have: the user's cache.

use std::path::PathBuf;

/// Towpath's folder in the user's cache.
pub(crate) fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty());
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    cache.map_or_else(home, PathBuf::from).join("towpath")
}

/// The folder of servers.
pub(crate) fn servers() -> PathBuf {
    cache().join("servers")
}
