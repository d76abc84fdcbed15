//! Formats whose record is one line: server logs, syslog, a pattern of the user, fields of fixed width.
//!
//! Promise: a line gives the cells of one row, or it is rejected with its text; only empty lines are neither.
//! Columns come from the format or its options, so a file has no header. Types, nulls and rejects are those of
//! all text formats (`../rows.rs`, `../rejects.rs`): nothing here knows them.
//!
//! `walk.rs` goes from line to line, `options.rs` says how a line is read; `access.rs`, `syslog.rs`,
//! `pattern.rs` and `fixed.rs` read one.

mod access;
mod fixed;
mod options;
mod pattern;
mod syslog;
mod table;
mod walk;

pub(crate) use options::{GivenLines, LineFormat, LineOptions};
pub(crate) use table::LineTable;
pub(crate) use walk::{LineWalk, has_local_times, head, reasons, record_at, too_long, wrong_with};
