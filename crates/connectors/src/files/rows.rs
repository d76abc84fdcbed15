//! From cells to rows: one chunk becomes batches and rejects.
//!
//! Promise: every record of a chunk is in exactly one batch or one reject. Rows that do not fit are
//! found while columns are filled and explained afterwards, so good rows never pay for bad ones.
//! It does not know where chunks come from (`chunk.rs`), how a reject is explained (`rejects.rs`),
//! nor who waits for the events (`reader.rs`).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use towpath_ports::{Event, Origin, Rows};
use towpath_vocab::{RawRecord, RecordLocation, TableName};

use super::cells::{Cells, Nulls, Span, Unescape};
use super::chunk::{Chunk, Suspicion};
use super::column::{Column, Formats};
use super::csv::{self, Broken, Dialect, Index, Walk};
use super::error::FilesError;
use super::json::{self, AsText};
use super::lines::{self, LineFormat, LineTable, LineWalk};
use super::path_columns::{PathColumn, disagreeing};
use super::path_values::PathValues;
use super::readable::readable;
use super::rejects::{Flawed, PendingReject, Rejects};
use super::xml::{self, Reading, RecordPath, XmlTable, XmlWalk};
use crate::exact::local::NumberFormat;

/// How the records of one file are shaped.
#[derive(Clone, Debug)]
pub(crate) enum RecordFormat {
    /// CSV, with the name of each column of the file and, if it is read, its type.
    Csv {
        dialect: Dialect,
        columns: Vec<(String, Option<DataType>)>,
    },
    /// JSON objects: one per line, or one after the other.
    Json {
        lines: bool,
        max_record_bytes: usize,
        as_text: AsText,
    },
    /// Elements that are records; an empty one is no NULL in a column of texts.
    Xml {
        record: RecordPath,
        reading: Reading,
        as_text: AsText,
        text_nulls: Nulls,
    },
    /// Lines of a format, with the name of each column and, if it is read, its type.
    Lines {
        format: LineFormat,
        columns: Vec<(String, Option<DataType>)>,
        max_record_bytes: usize,
    },
}

/// How the records of one file become rows of the table.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) table: TableName,
    pub(crate) schema: SchemaRef,
    /// For each column of the schema, its place in a row of cells; `None`: the file lacks it.
    pub(crate) places: Vec<Option<usize>>,
    /// Cells in a row.
    pub(crate) width: usize,
    pub(crate) shape: RecordFormat,
    pub(crate) nulls: Nulls,
    pub(crate) formats: Formats,
    /// How numbers are written, where an option says it.
    pub(crate) numbers: Option<NumberFormat>,
    /// Columns whose doubles must keep every digit: their type was found, not declared.
    pub(crate) exact: BTreeSet<String>,
    /// The columns whose values come from the path of the file.
    pub(crate) from_path: Vec<PathColumn>,
    pub(crate) batch_rows: usize,
}

impl Layout {
    /// Which texts mean NULL in a column of this type.
    fn nulls_of(&self, data_type: &DataType) -> &Nulls {
        match (&self.shape, data_type) {
            (RecordFormat::Xml { text_nulls, .. }, DataType::Utf8 | DataType::Binary) => text_nulls,
            _ => &self.nulls,
        }
    }

    /// The layout for a record of a file with this path.
    pub(crate) fn with_path(self: &Arc<Self>, values: &PathValues) -> Arc<Self> {
        if self.from_path.is_empty() {
            return Arc::clone(self);
        }
        let from_path = self.from_path.iter().cloned();
        Arc::new(Self {
            from_path: from_path.map(|path| path.with(values)).collect(),
            ..Self::clone(self)
        })
    }
}

/// Where the rows of a chunk come from; keeps the chunk's text alive and reads it when asked.
#[derive(Debug)]
struct ChunkOrigin {
    chunk: Arc<Chunk>,
    shape: Arc<Layout>,
}

impl ChunkOrigin {
    fn at(&self, ordinal: u64) -> usize {
        usize::try_from(ordinal.saturating_sub(self.chunk.offset))
            .unwrap_or(usize::MAX)
            .min(self.chunk.bytes.len())
    }
}

impl Origin for ChunkOrigin {
    fn place(&self, ordinal: u64) -> RecordLocation {
        place(&self.chunk, self.at(ordinal))
    }

    fn raw(&self, ordinal: u64) -> RawRecord {
        let at = self.at(ordinal);
        let record = match &self.shape.shape {
            RecordFormat::Csv { dialect, .. } => csv::record_at(&self.chunk.bytes, dialect, at),
            RecordFormat::Json { lines, .. } => json::record_at(&self.chunk.bytes, at, *lines),
            RecordFormat::Lines { .. } => lines::record_at(&self.chunk.bytes, at),
            RecordFormat::Xml { .. } => xml::record_at(&self.chunk.bytes, &self.chunk.records, at),
        };
        RawRecord::Text(readable(record))
    }
}

pub(super) fn place(chunk: &Chunk, at: usize) -> RecordLocation {
    RecordLocation {
        object: chunk.object.to_string(),
        line: Some(chunk.line_of(at)),
        ordinal: chunk.offset + at as u64,
    }
}

/// Rows on their way into a batch.
struct Growing<'a> {
    layout: &'a Layout,
    columns: Vec<Column>,
    /// Those of the path, as in the layout.
    from_path: Vec<Column>,
    starts: Vec<usize>,
    bad: Vec<usize>,
}

/// A finished batch and the rows that did not fit.
struct Grown {
    batch: RecordBatch,
    starts: Vec<usize>,
    bad_starts: Vec<usize>,
    /// Columns of the path whose value in the file is another one, by their place in the layout.
    disagreeing: Vec<usize>,
}

impl<'a> Growing<'a> {
    fn new(layout: &'a Layout, rows: usize) -> Self {
        let columns = layout
            .schema
            .fields()
            .iter()
            .zip(&layout.places)
            .map(|(field, place)| match place {
                Some(_) => Column::new(field.data_type(), rows, layout.formats.of(field.name()))
                    .exactly(layout.exact.contains(field.name())),
                None => Column::absent(field.data_type()),
            });
        let from_path = layout.from_path.iter().map(|path| path.column(rows));
        Self {
            layout,
            columns: columns.collect(),
            from_path: from_path.collect(),
            starts: Vec::with_capacity(rows),
            bad: Vec::new(),
        }
    }

    fn add(&mut self, bytes: &[u8], spans: &[Span], starts: &[usize], unescape: Unescape<'_>) {
        let first = self.starts.len();
        let fields = self.layout.schema.fields().iter().zip(&self.layout.places);
        for (column, (field, place)) in self.columns.iter_mut().zip(fields) {
            let Some(place) = *place else {
                column.pass(starts.len());
                continue;
            };
            let cells = Cells {
                bytes,
                spans,
                width: self.layout.width,
                column: place,
                nulls: self.layout.nulls_of(field.data_type()),
                unescape,
            };
            column.fill(&cells, first, &mut self.bad);
        }
        for (column, path) in self.from_path.iter_mut().zip(&self.layout.from_path) {
            path.fill(column, first, starts.len(), &mut self.bad);
        }
        self.starts.extend_from_slice(starts);
    }

    /// Puts the values of the path where they belong, and gives those of them that differ from the file's.
    fn put_paths(&mut self, columns: &mut [ArrayRef]) -> Result<Vec<usize>, ArrowError> {
        let mut found = Vec::new();
        // An object or an element may leave out what its path says.
        let null_agrees = matches!(
            self.layout.shape,
            RecordFormat::Json { .. } | RecordFormat::Xml { .. }
        );
        let of_path = std::mem::take(&mut self.from_path).into_iter();
        for (index, (column, path)) in of_path.zip(&self.layout.from_path).enumerate() {
            let of_path = column.finish()?;
            let Some(to) = columns.get_mut(path.at) else {
                continue;
            };
            if self.layout.places.get(path.at).copied().flatten().is_some() {
                let rows = disagreeing(to, &of_path, null_agrees)?;
                found.extend((!rows.is_empty()).then_some(index));
                self.bad.extend(rows);
            }
            *to = of_path;
        }
        Ok(found)
    }

    fn finish(mut self) -> Result<Grown, ArrowError> {
        let mut columns = std::mem::take(&mut self.columns)
            .into_iter()
            .map(Column::finish)
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        let disagreeing = self.put_paths(&mut columns)?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.starts.len()));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&self.layout.schema), columns, &options)?;
        if self.bad.is_empty() {
            return Ok(Grown {
                batch,
                starts: self.starts,
                bad_starts: Vec::new(),
                disagreeing,
            });
        }
        self.bad.sort_unstable();
        self.bad.dedup();
        let mut keep = vec![true; self.starts.len()];
        let mut bad_starts = Vec::with_capacity(self.bad.len());
        for row in &self.bad {
            if let (Some(keep), Some(start)) = (keep.get_mut(*row), self.starts.get(*row)) {
                *keep = false;
                bad_starts.push(*start);
            }
        }
        let starts = self
            .starts
            .iter()
            .zip(&keep)
            .filter(|(_, keep)| **keep)
            .map(|(start, _)| *start)
            .collect();
        let batch = arrow_select::filter::filter_record_batch(&batch, &BooleanArray::from(keep))?;
        Ok(Grown {
            batch,
            starts,
            bad_starts,
            disagreeing,
        })
    }
}

/// Collects what one chunk gives.
struct Harvest {
    chunk: Arc<Chunk>,
    layout: Arc<Layout>,
    events: Vec<Event>,
    pending: Vec<PendingReject>,
}

impl Harvest {
    fn new(chunk: Chunk, layout: &Arc<Layout>) -> Self {
        Self {
            chunk: Arc::new(chunk),
            layout: Arc::clone(layout),
            events: Vec::new(),
            pending: Vec::new(),
        }
    }

    fn batch(&mut self, growing: Growing<'_>) -> Result<(), FilesError> {
        let grown = growing.finish().map_err(|error| FilesError::Columns {
            path: self.chunk.object.to_string(),
            why: error.to_string(),
        })?;
        if !grown.starts.is_empty() {
            let offset = self.chunk.offset;
            self.events.push(Event::Rows(Rows {
                table: self.layout.table.clone(),
                batch: grown.batch,
                ordinals: UInt64Array::from_iter_values(
                    grown.starts.iter().map(|start| offset + *start as u64),
                ),
                ops: None,
                origin: Arc::new(ChunkOrigin {
                    chunk: Arc::clone(&self.chunk),
                    shape: Arc::clone(&self.layout),
                }),
            }));
        }
        self.misfits(grown.bad_starts);
        Ok(())
    }

    fn misfits(&mut self, starts: Vec<usize>) {
        let misfit = |start| PendingReject {
            start,
            flaw: Flawed::Values,
        };
        self.pending.extend(starts.into_iter().map(misfit));
    }

    /// The whole chunk is the head of a record that is too long.
    fn too_long(mut self) -> Parsed {
        self.pending.push(PendingReject {
            start: 0,
            flaw: Flawed::TooLong,
        });
        self.parsed()
    }

    fn parsed(mut self) -> Parsed {
        self.pending.sort_by_key(|record| record.start);
        Parsed {
            events: self.events.into_iter(),
            rejects: Rejects {
                chunk: self.chunk,
                layout: self.layout,
                records: self.pending.into_iter(),
            },
        }
    }
}

/// What one chunk gives: rows first. Rejects are made when they are asked for, a few at a time: a
/// chunk may hold millions.
pub(crate) struct Parsed {
    events: std::vec::IntoIter<Event>,
    rejects: Rejects,
}

impl Iterator for Parsed {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.events.next().or_else(|| self.rejects.next())
    }
}

/// Rows looked at together: their cells fit into the second-level cache.
const AT_ONCE: usize = 1024;

/// Parses one chunk.
pub(crate) fn parse(chunk: Chunk, layout: &Arc<Layout>) -> Result<Parsed, FilesError> {
    match &layout.shape {
        RecordFormat::Csv { dialect, columns } => parse_csv(chunk, layout, dialect, columns),
        RecordFormat::Json {
            lines,
            max_record_bytes,
            ..
        } => parse_json(chunk, layout, *lines, *max_record_bytes),
        RecordFormat::Lines {
            format,
            max_record_bytes,
            ..
        } => parse_lines(chunk, layout, format, *max_record_bytes),
        RecordFormat::Xml { reading, .. } => parse_xml(chunk, layout, *reading),
    }
}

/// The columns of the path, by their places in the layout, of which a record has another value.
pub(super) fn disagreements(record: &[u8], layout: &Layout) -> Result<Vec<usize>, ArrowError> {
    let mut growing = Growing::new(layout, 1);
    match &layout.shape {
        RecordFormat::Csv { dialect, columns } => {
            let unescape = |text: &[u8], to: &mut Vec<u8>| csv::unescape(text, dialect, to);
            let mut index = Index::new(columns.len());
            Walk::new(record, dialect, Suspicion::NONE).rows(1, &mut index, &mut Vec::new());
            growing.add(record, &index.spans, &index.starts, &unescape);
        }
        RecordFormat::Json {
            lines,
            max_record_bytes,
            ..
        } => {
            let names = names_of(layout);
            let mut table = json::Table::new(&names);
            let mut walk = json::Walk::new(record, *lines, *max_record_bytes);
            walk.rows(1, &mut table, &mut Vec::new());
            growing.add(record, &table.spans, &table.starts, &json::unescape);
        }
        RecordFormat::Lines { format, .. } => {
            let mut table = LineTable::default();
            LineWalk::new(record, format, usize::MAX).rows(1, &mut table, &mut Vec::new());
            growing.add(&table.text, &table.spans, &table.starts, &plain);
        }
        RecordFormat::Xml { reading, .. } => {
            let mut table = XmlTable::new(&layout.schema, *reading);
            let whole = [(0, record.len())];
            XmlWalk::new(record, &whole, *reading).rows(1, &mut table, &mut Vec::new());
            growing.add(&table.text, &table.spans, &table.starts, &plain);
        }
    }
    Ok(growing.finish()?.disagreeing)
}

fn names_of(layout: &Layout) -> Vec<&str> {
    let fields = layout.schema.fields().iter();
    fields.map(|field| field.name().as_str()).collect()
}

fn parse_csv(
    chunk: Chunk,
    layout: &Arc<Layout>,
    dialect: &Dialect,
    columns: &[(String, Option<DataType>)],
) -> Result<Parsed, FilesError> {
    let mut harvest = Harvest::new(chunk, layout);
    let chunk = Arc::clone(&harvest.chunk);
    let bytes = chunk.bytes.as_slice();
    if chunk.too_long.is_some() {
        return Ok(harvest.too_long());
    }
    let clean = std::str::from_utf8(bytes).is_ok();
    let unescape = |text: &[u8], to: &mut Vec<u8>| csv::unescape(text, dialect, to);
    let mut walk = Walk::new(bytes, dialect, chunk.suspicion);
    let mut index = Index::new(columns.len());
    let mut broken: Vec<Broken> = Vec::new();
    let mut bad: Vec<usize> = Vec::new();
    let mut more = true;
    while more {
        let mut growing = Growing::new(
            layout,
            layout
                .batch_rows
                .min(bytes.len() / columns.len().max(1) / 2 + 1),
        );
        while more && growing.starts.len() < layout.batch_rows {
            index.clear();
            more = walk.rows(
                AT_ONCE.min(layout.batch_rows - growing.starts.len()),
                &mut index,
                &mut broken,
            );
            if !clean {
                csv::without_foreign_bytes(bytes, dialect, &mut index, columns.len(), &mut bad);
            }
            growing.add(bytes, &index.spans, &index.starts, &unescape);
        }
        harvest.batch(growing)?;
        harvest.misfits(std::mem::take(&mut bad));
        harvest
            .pending
            .extend(broken.drain(..).map(PendingReject::csv));
    }
    Ok(harvest.parsed())
}

fn parse_json(
    chunk: Chunk,
    layout: &Arc<Layout>,
    lines: bool,
    max_record_bytes: usize,
) -> Result<Parsed, FilesError> {
    let mut harvest = Harvest::new(chunk, layout);
    let chunk = Arc::clone(&harvest.chunk);
    let bytes = chunk.bytes.as_slice();
    if chunk.too_long.is_some() {
        return Ok(harvest.too_long());
    }
    let names = names_of(layout);
    let mut walk = json::Walk::new(bytes, lines, max_record_bytes);
    let mut table = json::Table::new(&names);
    let mut broken = Vec::new();
    let mut more = true;
    while more {
        let mut growing = Growing::new(layout, layout.batch_rows.min(bytes.len() / 8 + 1));
        while more && growing.starts.len() < layout.batch_rows {
            table.clear();
            more = walk.rows(
                AT_ONCE.min(layout.batch_rows - growing.starts.len()),
                &mut table,
                &mut broken,
            );
            growing.add(bytes, &table.spans, &table.starts, &json::unescape);
        }
        harvest.batch(growing)?;
        let of_lines = |broken| PendingReject::json(broken, lines);
        harvest.pending.extend(broken.drain(..).map(of_lines));
    }
    Ok(harvest.parsed())
}

/// Cells that are written as they are.
fn plain(text: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(text);
}

fn parse_lines(
    chunk: Chunk,
    layout: &Arc<Layout>,
    format: &LineFormat,
    max_record_bytes: usize,
) -> Result<Parsed, FilesError> {
    let mut harvest = Harvest::new(chunk, layout);
    let chunk = Arc::clone(&harvest.chunk);
    let bytes = chunk.bytes.as_slice();
    if chunk.too_long.is_some() {
        return Ok(harvest.too_long());
    }
    let mut walk = LineWalk::new(bytes, format, max_record_bytes);
    let (mut table, mut broken) = (LineTable::default(), Vec::new());
    let mut more = true;
    while more {
        let mut growing = Growing::new(layout, layout.batch_rows.min(bytes.len() / 8 + 1));
        while more && growing.starts.len() < layout.batch_rows {
            table.clear();
            let count = AT_ONCE.min(layout.batch_rows - growing.starts.len());
            more = walk.rows(count, &mut table, &mut broken);
            growing.add(&table.text, &table.spans, &table.starts, &plain);
        }
        harvest.batch(growing)?;
        let lines = broken.drain(..).map(PendingReject::line);
        harvest.pending.extend(lines);
    }
    Ok(harvest.parsed())
}

fn parse_xml(chunk: Chunk, layout: &Arc<Layout>, reading: Reading) -> Result<Parsed, FilesError> {
    let mut harvest = Harvest::new(chunk, layout);
    let chunk = Arc::clone(&harvest.chunk);
    if chunk.too_long.is_some() {
        return Ok(harvest.too_long());
    }
    let mut walk = XmlWalk::new(&chunk.bytes, &chunk.records, reading);
    let (mut table, mut broken) = (XmlTable::new(&layout.schema, reading), Vec::new());
    let mut more = true;
    while more {
        let mut growing = Growing::new(layout, layout.batch_rows.min(chunk.records.len()));
        while more && growing.starts.len() < layout.batch_rows {
            table.clear();
            let count = AT_ONCE.min(layout.batch_rows - growing.starts.len());
            more = walk.rows(count, &mut table, &mut broken);
            growing.add(&table.text, &table.spans, &table.starts, &plain);
        }
        harvest.batch(growing)?;
        let elements = broken.drain(..).map(PendingReject::line);
        harvest.pending.extend(elements);
    }
    Ok(harvest.parsed())
}

impl fmt::Display for RecordFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv { .. } => "CSV",
            Self::Json { .. } => "JSON",
            Self::Lines { .. } => "lines",
            Self::Xml { .. } => "XML",
        })
    }
}
