//! Files in a local folder, in a bucket or behind `https://`: CSV, JSON lines, JSON, XML, Parquet, Avro, Arrow, Excel workbooks, logs.
//!
//! Promise: a bad record never fails a file. It becomes a reject with file, line, text and every
//! reason; all other rows are read, typed exactly, in the order of the file. Memory is bounded by
//! the budget, work is shared by all cores.
//!
//! The way of a read: `options.rs` and `root.rs` (which files, how written; `place.rs`: where their bytes are) -> `settle.rs` (columns
//! and types, with `survey.rs` and `infer.rs` where nobody declared them) -> `job.rs` (what was
//! settled) -> `reader.rs` (one split per file) -> `pieces.rs` and `chunk.rs` (bytes) -> `csv/`, `json/` or
//! `xml/` (cells) -> `rows.rs` and `column.rs` (rows), `rejects.rs` (rejects); files that say their
//! own columns go through `binary.rs` and `columnar/`; `workbook/` gives a sheet as the text of CSV, `lines/` reads
//! logs and other lines, `xml/` elements. `named.rs` is how queries read files,
//! `objects.rs` how the JSON objects of a program are read. `file_position.rs` and `grown.rs` leave out what an
//! incremental read has read before.

mod ahead;
mod arrow_ipc;
mod avro;
mod binary;
mod bucket;
mod bucket_folder;
mod cells;
mod chunk;
mod codes;
mod column;
mod columnar;
mod columns;
mod connector;
mod csv;
mod discover;
mod encodings;
mod error;
mod file_position;
mod file_stat;
mod find;
mod fingerprint;
mod given_options;
mod grown;
mod http;
mod http_folder;
mod infer;
mod job;
mod json;
mod line_count;
mod lines;
mod looks;
mod named;
mod names;
mod nested;
mod numbers;
mod objects;
mod options;
mod parquet;
mod parts;
mod path_columns;
mod path_rules;
mod path_values;
mod pieces;
mod place;
mod readable;
mod reader;
mod record;
mod record_end;
mod record_values;
mod rejects;
mod replay;
mod room;
mod root;
mod rows;
mod settle;
mod settle_lines;
mod settle_objects;
mod settle_xml;
mod source;
mod spare;
mod spec;
mod survey;
mod time_options;
mod transcoder;
mod workbook;
mod write;
mod xml;

#[cfg(test)]
mod tests;

use crate::exact::read as value;

pub use bucket::url::split_url;
pub(crate) use codes::CODES;
pub(crate) use columnar::{Form, exact_values, is_readable_as, read_as};
pub use connector::FilesConnector;
pub(crate) use csv::Whole as WholeCsv;
pub(crate) use find::Folder;
pub(crate) use job::chunk_bytes;
pub use named::QueriedFiles;
pub(crate) use objects::{
    MemberValue, NoObject, ObjectColumns, ObjectLines, ObjectRows, TimeForms, is_readable_type,
    members, time_forms,
};
pub use record::record_value;
pub(crate) use root::Root;
pub(crate) use source::FilesSource;

/// True for the failure of a read that found no file.
pub fn found_no_file(failure: &towpath_vocab::Failure) -> bool {
    failure.code == "R0101"
}
