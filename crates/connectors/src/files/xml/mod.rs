//! XML files: elements as rows.
//!
//! Promise: the elements that `record` names are records, one after the other, none in memory with another; a
//! record that cannot be read is rejected with its text, a document that is damaged or cut short is an error with
//! its line and column. Nothing outside of the file is read, and nothing is expanded. Values of elements follow
//! the one rule of `../../exact/xml.rs`.
//!
//! `scan.rs` goes from tag to tag, `cutter.rs` finds the records of a chunk, `find.rs` those of a file where no
//! option names them; `walk.rs` reads a record, `table.rs` makes cells of it, `survey.rs` finds types.
//! `encoding.rs` is what a declaration says. Types, nulls and rejects are those of all text formats.

mod cutter;
mod encoding;
mod find;
mod options;
mod scan;
mod survey;
mod table;
mod walk;

pub(crate) use cutter::XmlCutter;
pub(crate) use encoding::settle as settle_encoding;
pub(crate) use find::{KnownColumns, find_records, of_all};
pub(crate) use options::{RecordPath, XmlOptions};
pub(crate) use scan::{Damage, DamageKind};
pub(crate) use survey::XmlSurvey;
pub(crate) use table::{XmlTable, reasons};
pub(crate) use walk::{Reading, XmlWalk, record_at, wrong_with};
