//! What files of columns share, whatever their format: Parquet, Avro, Arrow.
//!
//! Promise: each value of a file arrives exactly or its row is rejected with a reason; a damaged file is an
//! error that names the file and its part, never a panic. Ordinals are row numbers. It knows no format and
//! no options of text files. Read next: `columns.rs` (columns), `form.rs` (values), `parts.rs` (a read).

mod columns;
mod convert;
mod expand;
mod fine;
mod form;
mod guard;
mod parts;
mod shape;

pub(in crate::files) use columns::{FileColumn, FileSummary, types_of};
pub(crate) use convert::exact_values;
pub(in crate::files) use fine::FineTimes;
pub(crate) use form::Form;
pub(in crate::files) use form::{Leaf, UNSIGNED_INTERVAL, UUID};
pub(in crate::files) use guard::quietly;
pub(in crate::files) use parts::{
    BATCHES, ColumnarRead, Limits, Open, Opened, Part, Parts, damaged, events, fitting,
    look_at_times, unread,
};
pub(in crate::files) use shape::shape;
pub(crate) use shape::{is_readable_as, values as read_as};
