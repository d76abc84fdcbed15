//! Parquet files: row groups decoded side by side, batches in the order of the file.
//!
//! Promise: as many rows arrive as the footer counts, or the read fails; a damaged file is an error that names
//! file, row group and column, never a panic. What a column and its values are, `columnar/` knows.
//! Read next: `footer.rs` (columns), `groups.rs` (the read).

mod fine;
mod footer;
mod groups;

pub(in crate::files) use fine::look_at_times;
pub(in crate::files) use footer::read_footer;
pub(in crate::files) use groups::events;
