//! Keys of a later version, and options that have no effect where they stand.
//!
//! Promise: a key that is not obeyed is reported, as an error where data would differ. Read next: `shape.rs`, which
//! asks for each key.

use towpath_vocab::{Level, OptionSpec, OptionUse};

use crate::keys::{self, Key, KeySchema};
use crate::report::{FileRange, Report};

/// Reports a key without an effect in this version.
pub(crate) fn say_inactive(key: &Key, at: FileRange, report: &mut Report) {
    let Some(inactive) = key.inactive else { return };
    let message = format!("`{}` is not supported in this version", key.name);
    let said = match inactive.level {
        Level::Error => report.error("P0115", at, message),
        _ => report.warning("P0115", at, message),
    };
    said.help(inactive.way);
}

/// Reports an option of a connector that has no effect in such a table.
pub(crate) fn say_unused(
    option: &OptionSpec,
    shape: &KeySchema,
    at: FileRange,
    report: &mut Report,
) {
    let is_written = std::ptr::eq(shape, &raw const keys::PUBLISH_TABLE);
    let (done, help) = match (option.used_by, is_written) {
        (OptionUse::Writes, false) => ("read", "set it in a `publish` step or at the connection"),
        (OptionUse::Reads, true) => ("written", "set it in a `load` step or at the connection"),
        _ => return,
    };
    let name = &option.name;
    let message = format!("`{name}` has no effect on a table that is {done}");
    report.error("C0519", at, message).help(help);
}
