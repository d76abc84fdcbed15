//! Which columns rows get that are added to text files: those that are there, new ones behind them.
//!
//! Promise: `schema_change` holds for JSON lines and for folders of CSV or JSON lines as it does for
//! tables: a new column is added, left out or refused by name before a row comes, a missing one is NULL
//! or refused; every part of a folder has the columns of those before it. Text has no types of its own,
//! so none is compared. One CSV file has one header: `begin.rs`. Parquet: `evolve.rs`.

use arrow_schema::{DataType, Field, Schema};
use std::sync::Arc;

use towpath_vocab::SchemaChange;

use super::begin::{Columns, Job};
use super::commit_notes::Standing;
use super::error::{Result, WriteError};
use crate::files::chunk::ChunkReader;
use crate::files::csv::read_head;
use crate::files::find::InputFile;
use crate::files::json::{AsText, LineCutter, Survey, Walk};
use crate::files::options::{Compression, Format, Options};
use crate::files::spare::SpareBuffers;

/// Text that is looked at together.
const CHUNK_BYTES: usize = 256 << 10;

/// The columns of rows that are added to what is there.
pub(super) fn of_rows(job: &Job, columns: Columns) -> Result<Columns> {
    let format = job.target.format;
    if format == Format::Csv && !job.target.options.header {
        return by_place(job, columns);
    }
    let mut present: Vec<String> = Vec::new();
    for file in files(job) {
        let names = match format {
            Format::Csv => head(job, &file)?,
            _ => keys(job, &file)?,
        };
        for name in names {
            if !present.contains(&name) {
                present.push(name);
            }
        }
    }
    matched(job, columns, present)
}

/// The files that rows are added to, of the format that is written.
fn files(job: &Job) -> Vec<InputFile> {
    let location = job.location();
    if !location.many {
        return vec![job.target.input(&location.name)];
    }
    let word = format!(".{}", job.target.format.word());
    let mut files = Vec::new();
    for part in &job.known.parts {
        let packed = [
            (".gz", Compression::Gzip),
            (".zst", Compression::Zstd),
            ("", Compression::None),
        ];
        let found = packed.into_iter().find_map(|(end, compression)| {
            let name = part.name.strip_suffix(end)?;
            name.ends_with(&word).then_some(compression)
        });
        let Some(compression) = found else { continue };
        let file = InputFile {
            compression,
            ..job.target.input(&part.name)
        };
        // A part that somebody removed has none.
        if part.rows != Some(0) && job.target.there(&part.name).is_some() {
            files.push(file);
        }
    }
    files
}

/// The names in the header of a part, as it was written.
fn head(job: &Job, file: &InputFile) -> Result<Vec<String>> {
    let options = Options {
        skip_lines: 0,
        delimiter: Some(job.target.delimiter),
        ..Options::clone(&job.target.options)
    };
    let head = read_head(file, &options)?;
    Ok(head.map(|head| head.names).unwrap_or_default())
}

/// Without a header columns have places only: their number must stay.
fn by_place(job: &Job, columns: Columns) -> Result<Columns> {
    let count = columns.schema.fields().len();
    for file in files(job) {
        let there = head(job, &file)?.len();
        if there != 0 && there != count {
            return Err(wrong(
                job,
                format!("it has {there} columns, and the rows have {count}"),
            ));
        }
    }
    Ok(columns)
}

/// The keys of all objects of a file. A part that Towpath wrote has the same ones in every line.
fn keys(job: &Job, file: &InputFile) -> Result<Vec<String>> {
    let options = &job.target.options;
    let max_record_bytes = options.max_record_bytes;
    let cutter = Box::new(LineCutter { max_record_bytes });
    let buffers = SpareBuffers::new(CHUNK_BYTES);
    let mut reader = ChunkReader::open(file, (&[], None), cutter, &buffers)?;
    let is_alike = job.location().many && job.known.standing == Standing::Ours;
    let mut survey = Survey::new(&options.times, options.most_keys(), &AsText::All);
    // Within what the writer holds for itself.
    while let Some(chunk) = reader.next_chunk(&mut |_| Ok(Box::new(())))? {
        let mut walk = Walk::new(&chunk.bytes, true, max_record_bytes);
        while walk.rows(usize::MAX, &mut survey, &mut Vec::new()) {}
        let most = options.most_keys();
        if survey.columns.len() > most {
            let why = format!("its objects have more than {most} different keys");
            return Err(wrong(job, why));
        }
        if is_alike && !survey.columns.is_empty() {
            break;
        }
    }
    Ok(survey.columns.into_iter().map(|(name, _)| name).collect())
}

fn matched(job: &Job, columns: Columns, present: Vec<String>) -> Result<Columns> {
    if present.is_empty() {
        return Ok(columns);
    }
    let change = job.intent.write.schema_change;
    let incoming = columns.schema.fields();
    let place = |name: &String| incoming.iter().position(|field| field.name() == name);
    if change == SchemaChange::Fail {
        let new = |field: &&Arc<Field>| !present.contains(field.name());
        if let Some(field) = incoming.iter().find(new) {
            return Err(wrong(job, format!("it has no column `{}`", field.name())));
        }
        if let Some(name) = present.iter().find(|name| place(name).is_none()) {
            return Err(wrong(job, format!("the rows have no column `{name}`")));
        }
    }
    let mut names = present;
    if change.adds_columns() {
        let new = incoming.iter().map(|field| field.name());
        let new: Vec<String> = new.filter(|name| !names.contains(name)).cloned().collect();
        names.extend(new);
    }
    let from: Vec<Option<usize>> = names.iter().map(place).collect();
    let field = |(name, from): (&String, &Option<usize>)| match from.and_then(|at| incoming.get(at))
    {
        Some(field) => Field::clone(field),
        None => Field::new(name, DataType::Utf8, true),
    };
    let fields: Vec<Field> = names.iter().zip(&from).map(field).collect();
    Ok(Columns {
        schema: Arc::new(Schema::new(fields)),
        from,
    })
}

fn wrong(job: &Job, why: String) -> WriteError {
    WriteError::Columns {
        path: job.location().shown.clone(),
        why,
    }
}
