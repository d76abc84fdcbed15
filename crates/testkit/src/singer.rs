//! Real Singer taps and targets from PyPI, where `make setup` installs them.
//!
//! Promise: a test that asks for a program that is not there fails with the line that installs it. It starts
//! nothing. Read next: `xtask/setup.sh`.

use std::path::PathBuf;

use crate::installed;

/// The folder of the installed programs.
///
/// # Errors
/// If a program of this name is not installed.
pub fn programs(name: &str) -> Result<PathBuf, String> {
    let folder = installed::cache().join("singer/bin");
    match folder.join(name).is_file() {
        true => Ok(folder),
        false => Err(format!(
            "the Singer program {name} is not installed; install it: make setup (a virtual environment with what `xtask/setup.sh` names)"
        )),
    }
}
