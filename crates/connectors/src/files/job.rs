//! What a read is asked for and what it is settled to be: the data that all of its stages share.
//!
//! Promise: plain data with the few sums that follow from it; no file is touched here. `settle.rs`
//! fills it in, `survey.rs`, `reader.rs` and `replay.rs` work by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, SchemaRef};
use towpath_ports::{ConnectorContext, ReadSpec};
use towpath_vocab::types::SOURCE_NAME;

use super::chunk::Cutter;
use super::csv::CsvCutter;
use super::find::InputFile;
use super::json::{JsonCutter, LineCutter};
use super::options::Options;
use super::rows::{Layout, RecordFormat};
use super::xml::XmlCutter;

/// One file, ready to be read.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) file: InputFile,
    pub(crate) how: How,
}

/// How a file is read.
#[derive(Clone, Debug)]
pub(crate) enum How {
    /// In chunks of text, behind a head that is passed over.
    Text {
        layout: Arc<Layout>,
        head: Vec<u8>,
        /// Bytes behind the head; `None` for all.
        length: Option<u64>,
    },
    /// As columns that the file itself has.
    Columns { schema: SchemaRef },
}

/// A settled read.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) schema: SchemaRef,
    pub(crate) jobs: Vec<Job>,
    pub(crate) notes: Vec<String>,
    /// Rows, where settling has counted them.
    pub(crate) rows: Option<u64>,
    pub(crate) options: Arc<Options>,
    /// The types that files themselves give their columns; empty for text.
    pub(crate) own: BTreeMap<String, DataType>,
}

/// What a read is asked for.
pub(crate) struct Request<'a> {
    pub(crate) spec: &'a ReadSpec,
    pub(crate) options: Arc<Options>,
    pub(crate) context: &'a ConnectorContext,
    /// Look at every row even where types are known.
    pub(crate) count_rows: bool,
}

impl Request<'_> {
    pub(crate) fn chunk_bytes(&self) -> usize {
        chunk_bytes(self.spec.batch_bytes, self.context.memory.limit_bytes())
    }

    /// What is known of the source's columns, by their own names.
    pub(crate) fn known(&self) -> Vec<(String, DataType)> {
        let known = by_source_name(self.spec.known.as_ref()).into_iter();
        known
            .map(|(name, field)| (name, field.data_type().clone()))
            .collect()
    }

    /// What the source's columns were when they were last read, by their own names.
    pub(crate) fn observed(&self) -> Vec<(String, FieldRef)> {
        by_source_name(self.spec.observed.as_ref())
    }
}

fn by_source_name(schema: Option<&SchemaRef>) -> Vec<(String, FieldRef)> {
    let fields = schema.into_iter().flat_map(|schema| schema.fields().iter());
    fields
        .map(|field| {
            let name = field.metadata().get(SOURCE_NAME).unwrap_or(field.name());
            (name.clone(), Arc::clone(field))
        })
        .collect()
}

/// A few megabytes, fewer when the whole budget is small: about a dozen chunks are on their way at
/// once, each held at three times its size, and most of the budget belongs to others.
pub(crate) fn chunk_bytes(batch_bytes: usize, limit_bytes: u64) -> usize {
    let budget = usize::try_from(limit_bytes / 128).unwrap_or(usize::MAX);
    batch_bytes.min(budget).clamp(64, 4 << 20)
}

/// The cutter for records of a shape.
pub(crate) fn cutter(shape: &RecordFormat) -> Box<dyn Cutter> {
    match shape {
        RecordFormat::Csv { dialect, .. } => Box::new(CsvCutter::new(dialect.clone())),
        RecordFormat::Json {
            lines: true,
            max_record_bytes,
            ..
        }
        | RecordFormat::Lines {
            max_record_bytes, ..
        } => Box::new(LineCutter {
            max_record_bytes: *max_record_bytes,
        }),
        RecordFormat::Json {
            max_record_bytes, ..
        } => Box::new(JsonCutter::new(*max_record_bytes)),
        RecordFormat::Xml {
            record, reading, ..
        } => Box::new(XmlCutter::new(record.clone(), reading.max_record_bytes)),
    }
}
