//! Which reader reads a file of a format that says its own columns.
//!
//! Promise: every such format has a summary, a read and a look at its timestamps. It knows nothing of what they
//! do: see `parquet/`, `avro/`, `arrow_ipc/`.

use std::collections::BTreeSet;
use std::sync::Arc;

use towpath_ports::{BoxStream, Event, Memory, Result};

use super::columnar::{self, ColumnarRead, FileSummary, FineTimes, Open};
use super::error::FilesError;
use super::find::InputFile;
use super::options::Format;
use super::{arrow_ipc, avro, parquet};

/// How files of a format are opened that are read part by part.
fn open_of(format: Format) -> Option<Open> {
    match format {
        Format::Avro => Some(avro::open),
        Format::Arrow => Some(arrow_ipc::open),
        _ => None,
    }
}

/// A file's columns; with `count`, its rows too, where they are not known without.
pub(in crate::files) fn summary(file: &InputFile, count: bool) -> Result<FileSummary, FilesError> {
    match file.format {
        Format::Avro => avro::summary(file, count),
        Format::Arrow => arrow_ipc::summary(file, count),
        _ => parquet::read_footer(file),
    }
}

/// The rows of a file, in batches.
pub(in crate::files) fn events(
    file: InputFile,
    asked: ColumnarRead,
    memory: &Arc<dyn Memory>,
) -> BoxStream<Result<Event>> {
    match open_of(file.format) {
        Some(open) => columnar::events(file, asked, memory, open),
        None => parquet::events(file, asked, memory),
    }
}

/// Looks at the timestamps of these columns of the files that may be finer than a microsecond.
pub(in crate::files) fn fine_times(
    files: &[InputFile],
    asked: &BTreeSet<String>,
    budget: u64,
) -> Result<FineTimes, FilesError> {
    let mut found = FineTimes::default();
    for file in files {
        if asked.is_subset(&found.finer) {
            break;
        }
        match open_of(file.format) {
            Some(open) => columnar::look_at_times(file, asked, &mut found, open, budget)?,
            None => parquet::look_at_times(file, asked, &mut found)?,
        }
    }
    Ok(found)
}
