//! Writes one file of a project for the user, and creates its folders; an error names the file.
//!
//! It does not know the contents. Files that must survive a power failure are written elsewhere. Callers:
//! `editor.rs`, `external_systems.rs`.

use std::path::Path;

use towpath_vocab::{Failure, Remedy};

use crate::Result;

/// Writes a file, and creates the folders above it.
pub(crate) fn put(path: &Path, text: &str) -> Result<()> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text))
        .map_err(|error| {
            Failure::new(
                "R0945",
                Remedy::FixConfig,
                format!("{} cannot be written: {error}", path.display()),
            )
            .help("check the folder's permissions and free space")
        })
}
