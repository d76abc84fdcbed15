//! Prints a report as JSON on standard output, on several lines or on one.
//!
//! It does not know which report it prints; the fields are those of the `app` types.

use towpath_vocab::{Failure, Remedy};

/// One JSON value on standard output.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    outln!("{}", serde_json::to_string_pretty(value).map_err(no_json)?);
    Ok(())
}

/// One JSON value on one line of standard output.
pub(crate) fn json_line<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    outln!("{}", serde_json::to_string(value).map_err(no_json)?);
    Ok(())
}

fn no_json(error: serde_json::Error) -> Failure {
    let message = format!("the report is not valid JSON: {error}");
    Failure::new("R0993", Remedy::Bug, message)
}
