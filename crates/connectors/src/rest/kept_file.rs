//! Files of the project's folder that only this user can read, with names made of what they are for.
//!
//! Promise: names tell nothing, and differ where one of the texts differs. It does not know what the files
//! hold: `kept_refresh.rs` and `kept_job.rs` do.

use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::jwt::hex;

/// A name made of these texts.
pub(super) fn digest(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    hex(&digest.finalize())
}

/// Takes what is hashed into a digest that no other value has.
struct Digested(Sha256);

impl Hasher for Digested {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let bytes = self.0.clone().finalize();
        let first = bytes.iter().take(8);
        first.fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }
}

/// A name made of a value: the same in each process of this program.
pub(super) fn digest_of(value: &impl Hash) -> String {
    let mut hasher = Digested(Sha256::new());
    value.hash(&mut hasher);
    hex(&hasher.0.finalize())
}

/// A folder that only this user can read.
#[cfg(unix)]
pub(super) fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// A folder.
#[cfg(not(unix))]
pub(super) fn make_folder(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

/// A file that only this user can read.
pub(super) fn private(path: &Path, truncate: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(truncate);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}
