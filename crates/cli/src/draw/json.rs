//! Facts as JSON.

use towpath_vocab::{Failure, Remedy};

/// One JSON value on standard output.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Failure::new(
            "R0993",
            Remedy::Bug,
            format!("the report is no JSON: {error}"),
        )
    })?;
    println!("{text}");
    Ok(())
}
