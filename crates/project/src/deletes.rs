//! What a table says about rows that are gone from its source: `deletes` and `delete_above`.
//!
//! Promise: each word is obeyed or named in a diagnostic, with any write mode. `close`, and `ignore` of a
//! history, are read in `row_history.rs`. It does not know how such rows are found. Read next: `table.rs`.

use towpath_vocab::{AbsentRows, ReadMode, WriteMode, WritePlan, delete_limit, put_delete_limit};

use crate::report::Report;
use crate::table::word;
use crate::value;
use crate::yaml::Node;

/// What a merge does with rows that are gone.
pub(crate) fn read(
    settings: &Node,
    (read, mode): (ReadMode, WriteMode),
    report: &mut Report,
) -> Option<AbsentRows> {
    let node = settings.get("deletes")?;
    let text = node.text()?;
    let absent = match (mode, text) {
        (WriteMode::Scd2, "close" | "ignore") | (WriteMode::Merge, "ignore") => return None,
        (WriteMode::Merge, "hard") => AbsentRows::Delete,
        (WriteMode::Merge, "soft") => AbsentRows::Mark { at_us: None },
        (WriteMode::Merge, _) => {
            report
                .error(
                    "P0136",
                    node.at,
                    format!("`deletes: {text}` has a meaning only with `write: scd2`"),
                )
                .help("delete such rows (deletes: hard), or mark them (deletes: soft)");
            return None;
        }
        (WriteMode::Scd2, _) => {
            report
                .error(
                    "P0136",
                    node.at,
                    format!("`deletes: {text}` has no meaning with `write: scd2`"),
                )
                .help("a history ends the current version of a row that is gone: deletes: close");
            return None;
        }
        _ => {
            let message = format!(
                "`deletes` has a meaning only with `write: merge` and `write: scd2`, not with `{}`",
                word(mode)
            );
            let said = report.error("P0136", node.at, message);
            match mode {
                WriteMode::Replace => said.help(
                    "remove it: a table that is replaced has only the rows of its source; or `write: merge`",
                ),
                _ => said.help("remove it, or write the table by its key: write: merge"),
            };
            return None;
        }
    };
    if read != ReadMode::Full {
        report
            .error(
                "P0137",
                node.at,
                format!(
                    "`deletes: {text}` needs all rows of the source, and only new ones are read"
                ),
            )
            .help("read everything: mode: full")
            .help("or keep rows that are gone: deletes: ignore");
    }
    Some(absent)
}

/// Puts the limit of rows that are gone into a write that has its other options.
pub(crate) fn limit(settings: &Node, write: &mut WritePlan, report: &mut Report) {
    let Some(node) = settings.get("delete_above") else {
        return;
    };
    if delete_limit(write).is_none() {
        report
            .error(
                "P0146",
                node.at,
                "`delete_above` limits rows that are gone, and this table keeps them",
            )
            .help("remove it; or delete such rows (deletes: hard), or mark them (deletes: soft)");
        return;
    }
    if let Some(limit) = value::limit(node) {
        put_delete_limit(limit, write);
    }
}
