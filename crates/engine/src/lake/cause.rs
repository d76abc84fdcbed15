//! What is behind a library's error: its text without the library's own trace, and what kind of failure of the
//! operating system began it.
//!
//! It knows no table and no code. Read next: `error.rs`.

use std::error::Error;
use std::io::ErrorKind;

/// A library's error without the trace of its own calls.
pub(crate) fn brief(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    if let Some(said) = towpath_buckets::cleaned(&text) {
        return said;
    }
    let ends = [
        "\nstack backtrace",
        "\n\nbacktrace",
        "\nBacktrace",
        "\n   0:",
    ];
    let end = ends.iter().filter_map(|end| text.find(end)).min();
    let text = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    text.trim().replace('\n', " ")
}

/// What the rights of files and folders do not allow.
pub(super) const DENIED: &[ErrorKind] = &[
    ErrorKind::PermissionDenied,
    ErrorKind::ReadOnlyFilesystem,
    ErrorKind::NotADirectory,
];

/// True when a failure of one of these kinds is behind an error.
pub(super) fn has_io(error: &(dyn Error + 'static), kinds: &[ErrorKind]) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| kinds.contains(&io.kind()))
        {
            return true;
        }
        next = error.source();
    }
    false
}
