//! Looks at every row of every file to learn columns, types and the number of rows.
//!
//! Promise: what it finds is what a read would find. It uses the same chunks and the same cells as a read,
//! without building a column. Records that a read would reject for their shape or bytes say nothing about
//! types. Read next: `infer.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::DataType;
use futures::{StreamExt, TryStreamExt, stream};

use super::cells::Cells;
use super::chunk::Chunk;
use super::csv::{self, Index, Walk};
use super::error::FilesError;
use super::infer::{Guess, Hint, InferOptions, Verdict};
use super::job::{How, Job, Request};
use super::json::{self, AsText, MOST_NAMES, Shape};
use super::lines::{LineFormat, LineTable, LineWalk};
use super::pieces::{Piece, pieces, workers};
use super::rows::{Layout, RecordFormat};
use super::spare::SpareBuffers;
use super::xml::{self, Reading, XmlSurvey, XmlWalk};
use crate::exact::local::{DateOrder, NumberFormat};
use crate::exact::xml::TEXT;

/// What a look at the whole input showed.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// In the order of first appearance.
    columns: Vec<(String, Shape)>,
    places: HashMap<String, usize>,
    /// Names of members of nested columns that are kept.
    names: usize,
    pub(crate) rows: u64,
    /// How numbers are written in the table.
    hint: Hint,
    /// The first record that is no row, with its line: of JSON only.
    pub(crate) broken: Option<(u64, String)>,
    /// A record has a member without a name: of JSON only.
    pub(crate) has_unnamed: bool,
}

impl Findings {
    /// Columns in the order of first appearance.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    fn shape(&self, name: &str) -> Option<&Shape> {
        let at = self.places.get(name)?;
        self.columns.get(*at).map(|(_, shape)| shape)
    }

    /// The type of a column; text when it never had a value. `fixed`: as in `Numbers::data_type`.
    pub(crate) fn verdict(&self, name: &str, fixed: bool) -> Verdict {
        match self.shape(name) {
            Some(shape) => shape.verdict(name, self.hint, fixed),
            None => Guess::default().verdict(name, self.hint, fixed),
        }
    }

    /// A type for values that one known from before does not keep: as in `Shape::wider`.
    pub(crate) fn wider(&self, name: &str, before: &DataType, fixed: bool) -> Option<DataType> {
        self.shape(name)?.wider(before, self.hint, fixed)
    }

    /// How a column is written, as far as its values tell.
    pub(crate) fn written(&self, name: &str) -> (Option<NumberFormat>, Option<DateOrder>) {
        let shape = self.shape(name);
        shape.map_or((None, None), |shape| shape.scalars().written(self.hint))
    }

    /// One element stands for a list of one.
    fn take_single_items(&mut self) {
        let mut room = MOST_NAMES.saturating_sub(self.names);
        for (_, shape) in &mut self.columns {
            *shape = std::mem::take(shape).with_single_items(TEXT, &mut room);
        }
        self.names = MOST_NAMES.saturating_sub(room);
    }

    fn add(&mut self, part: Part) {
        self.broken = self.broken.take().or(part.broken);
        self.rows += part.rows;
        self.has_unnamed |= part.has_unnamed;
        let mut room = MOST_NAMES.saturating_sub(self.names);
        for (name, shape) in part.columns {
            let at = match self.places.get(&name) {
                Some(at) => *at,
                None => {
                    self.places.insert(name.clone(), self.columns.len());
                    self.columns.push((name, Shape::default()));
                    self.columns.len() - 1
                }
            };
            if let Some((_, all)) = self.columns.get_mut(at) {
                all.merge(shape, &mut room);
            }
        }
        self.names = MOST_NAMES.saturating_sub(room);
    }
}

struct Part {
    columns: Vec<(String, Shape)>,
    rows: u64,
    broken: Option<(u64, String)>,
    has_unnamed: bool,
}

/// Looks at all files.
pub(crate) async fn survey(jobs: &[Job], request: &Request<'_>) -> Result<Findings, FilesError> {
    let mut findings = Findings::default();
    let buffers = SpareBuffers::new(request.chunk_bytes());
    let most = request.options.most_keys();
    let parts = stream::iter(jobs.iter().cloned())
        .map(|job| {
            let pieces = pieces(&job, &request.context.memory, &buffers);
            let path = job.file.object.clone();
            let layout = match job.how {
                How::Text { layout, .. } => Some(layout),
                How::Columns { .. } => None,
            };
            pieces.map(move |piece| {
                let (layout, path) = (layout.clone(), path.clone());
                async move {
                    let (Piece::Chunk(chunk), Some(layout)) = (piece?, layout) else {
                        return Ok(None);
                    };
                    let part =
                        tokio::task::spawn_blocking(move || survey_chunk(&chunk, &layout, most));
                    part.await
                        .map(Some)
                        .map_err(|_| FilesError::Broken { path })
                }
            })
        })
        .flatten()
        .buffered(workers());
    let mut parts = std::pin::pin!(parts);
    while let Some(part) = parts.try_next().await? {
        if let Some(part) = part {
            findings.add(part);
            bounded(&findings, jobs, most)?;
        }
    }
    if jobs.iter().any(is_xml) {
        findings.take_single_items();
    }
    for (_, shape) in &findings.columns {
        shape.scalars().hint(&mut findings.hint);
    }
    Ok(findings)
}

fn is_xml(job: &Job) -> bool {
    let How::Text { layout, .. } = &job.how else {
        return false;
    };
    matches!(layout.shape, RecordFormat::Xml { .. })
}

/// Objects with data as keys would make a column of each.
fn bounded(findings: &Findings, jobs: &[Job], most: usize) -> Result<(), FilesError> {
    let json = jobs.iter().find(|job| match &job.how {
        How::Text { layout, .. } => matches!(
            layout.shape,
            RecordFormat::Json { .. } | RecordFormat::Xml { .. }
        ),
        How::Columns { .. } => false,
    });
    match json {
        Some(job) if findings.columns.len() > most => Err(FilesError::TooManyColumns {
            path: job.file.object.clone(),
            most,
            are_keys: true,
        }),
        _ => Ok(()),
    }
}

fn survey_chunk(chunk: &Chunk, layout: &Arc<Layout>, most: usize) -> Part {
    if chunk.too_long.is_some() {
        return Part {
            columns: Vec::new(),
            rows: 0,
            broken: None,
            has_unnamed: false,
        };
    }
    match &layout.shape {
        RecordFormat::Json {
            lines,
            max_record_bytes,
            as_text,
        } => {
            let mut survey = json::Survey::new(&layout.formats.usual.times, most, as_text);
            let mut walk = json::Walk::new(&chunk.bytes, *lines, *max_record_bytes);
            let (mut broken, mut first) = (Vec::new(), None);
            let mut more = true;
            while more {
                more = walk.rows(usize::MAX, &mut survey, &mut broken);
                first = first.or(broken
                    .first()
                    .map(|broken| (chunk.line_of(broken.start), broken.flaw.reason().message)));
                broken.clear();
            }
            Part {
                has_unnamed: survey.has_unnamed,
                columns: survey.columns,
                rows: survey.rows,
                broken: first,
            }
        }
        RecordFormat::Lines {
            format,
            columns,
            max_record_bytes,
        } => survey_lines(chunk, layout, (format, columns), *max_record_bytes),
        RecordFormat::Xml {
            reading, as_text, ..
        } => survey_xml(chunk, layout, (*reading, as_text), most),
        RecordFormat::Csv { dialect, columns } => {
            let bytes = chunk.bytes.as_slice();
            let width = columns.len();
            let clean = std::str::from_utf8(bytes).is_ok();
            let unescape = |text: &[u8], to: &mut Vec<u8>| csv::unescape(text, dialect, to);
            let mut walk = Walk::new(bytes, dialect, chunk.suspicion);
            let (mut index, mut broken, mut bad) = (Index::new(width), Vec::new(), Vec::new());
            let mut guesses = vec![Guess::default(); width];
            let infer = InferOptions {
                times: &layout.formats.usual.times,
                typed: dialect.has_types(),
                numbers: layout.numbers,
                commas: dialect.delimiter != b',',
                semicolons: dialect.delimiter == b';',
            };
            let mut rows = 0;
            let mut more = true;
            while more {
                index.clear();
                broken.clear();
                more = walk.rows(1024, &mut index, &mut broken);
                if !clean {
                    csv::without_foreign_bytes(bytes, dialect, &mut index, width, &mut bad);
                }
                rows += index.starts.len() as u64;
                for place in layout.places.iter().flatten() {
                    let cells = Cells {
                        bytes,
                        spans: &index.spans,
                        width,
                        column: *place,
                        nulls: &layout.nulls,
                        unescape: &unescape,
                    };
                    if let Some(guess) = guesses.get_mut(*place) {
                        guess.see(&cells, &infer);
                    }
                }
            }
            let columns = columns
                .iter()
                .zip(guesses)
                .map(|((name, _), guess)| (name.clone(), Shape::from(guess)));
            Part {
                columns: columns.collect(),
                rows,
                broken: None,
                has_unnamed: false,
            }
        }
    }
}

fn survey_xml(
    chunk: &Chunk,
    layout: &Layout,
    (reading, as_text): (Reading, &AsText),
    most: usize,
) -> Part {
    let infer = InferOptions {
        times: &layout.formats.usual.times,
        typed: false,
        numbers: layout.numbers,
        commas: true,
        semicolons: false,
    };
    let mut survey = XmlSurvey::new(infer, most, (as_text, &layout.nulls), reading);
    let mut walk = XmlWalk::new(&chunk.bytes, &chunk.records, reading);
    let (mut broken, mut first) = (Vec::new(), None);
    let mut more = true;
    while more {
        more = walk.rows(usize::MAX, &mut survey, &mut broken);
        first = first.or(broken.first().copied());
        broken.clear();
    }
    let told = |start| {
        let record = xml::record_at(&chunk.bytes, &chunk.records, start);
        let why = xml::wrong_with(record, reading).message;
        (chunk.line_of(start), why)
    };
    Part {
        columns: survey.columns,
        rows: survey.rows,
        broken: first.map(told),
        has_unnamed: false,
    }
}

fn survey_lines(
    chunk: &Chunk,
    layout: &Layout,
    (format, columns): (&LineFormat, &[(String, Option<DataType>)]),
    max_record_bytes: usize,
) -> Part {
    let infer = InferOptions {
        times: &layout.formats.usual.times,
        typed: false,
        numbers: layout.numbers,
        commas: true,
        semicolons: false,
    };
    let mut walk = LineWalk::new(&chunk.bytes, format, max_record_bytes);
    let (mut table, mut broken) = (LineTable::default(), Vec::new());
    let mut guesses = vec![Guess::default(); columns.len()];
    let (mut rows, mut more) = (0, true);
    while more {
        table.clear();
        broken.clear();
        more = walk.rows(1024, &mut table, &mut broken);
        rows += table.starts.len() as u64;
        for (column, guess) in guesses.iter_mut().enumerate() {
            let cells = Cells {
                bytes: &table.text,
                spans: &table.spans,
                width: columns.len(),
                column,
                nulls: &layout.nulls,
                unescape: &|text, to| to.extend_from_slice(text),
            };
            guess.see(&cells, &infer);
        }
    }
    let columns = columns.iter().zip(guesses);
    Part {
        columns: columns
            .map(|((name, _), guess)| (name.clone(), Shape::from(guess)))
            .collect(),
        rows,
        broken: None,
        has_unnamed: false,
    }
}
