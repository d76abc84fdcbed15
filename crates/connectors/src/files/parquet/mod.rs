//! Parquet files: row groups decoded side by side, batches in the order of the file.
//!
//! Promise: each value of the file arrives exactly or its row is rejected with a reason; as many rows
//! arrive as the footer counts, or the read fails; a damaged file is an error that names file, row
//! group and column, never a panic. Ordinals are row numbers. It knows no options of text files.
//! Read next: `footer.rs` (columns), `form.rs` (values), `groups.rs` (the read).

mod convert;
mod fine;
mod footer;
mod form;
mod groups;
mod guard;
mod shape;

pub(crate) use fine::fine_times;
pub(crate) use footer::{FooterSummary, read_footer, types_of};
pub(crate) use groups::{ParquetRead, events};
pub(crate) use guard::quietly;
pub(crate) use shape::is_readable_as;
