//! The destination part of `files`: one CSV, JSON lines, Parquet, Avro or Arrow file per table, or a folder of them.
//!
//! Promise: a file is written under a hidden name beside its place, synced, and renamed at the commit;
//! readers see the old file or the new one, never a part. What was committed (the token) is known from
//! the file itself: from a Parquet footer, or from a hidden sidecar that says which bytes it speaks of.
//! A folder of files becomes visible through its `_manifest.json`; a glob may see files early.
//! Files of a bucket are written in a folder of this machine and put at the commit, under conditions.
//!
//! The way of a write: `destination.rs` and `begin.rs` (claim the place) -> `writer.rs` (rows) ->
//! `format_writer.rs` with `text.rs`, `parquet.rs` or `columnar_file.rs` (bytes) -> `finish.rs` (the file as it will be) ->
//! `prepared.rs` (read the ledger again, then rename). In a bucket `begin_bucket.rs` claims the place, and
//! `commit_bucket.rs` puts the file. It knows nothing of pipelines or of who reads the files.

mod begin;
mod begin_bucket;
mod beside;
mod bucket_place;
mod candidate;
mod columnar_file;
mod commit_bucket;
mod commit_notes;
mod csv;
mod destination;
mod disk;
mod error;
mod evolve;
mod finish;
mod format_writer;
mod jsonl;
mod links;
mod location;
mod lock;
mod parquet;
mod prepared;
mod text;
mod writer;
mod written;
mod written_types;

#[cfg(test)]
mod tests;

use crate::exact::write as values;

pub(super) use destination::FilesDestination;
