//! Which columns rows get that are added to Parquet, Avro and Arrow files: those that are there, new ones behind them.
//!
//! Promise: a column keeps its type, or the rows are refused by name before anything is replaced; a part
//! of a folder has every column of the parts before it, so that whoever reads them together finds one
//! table. It reads footers only.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use towpath_vocab::{SchemaChange, types};

use super::begin::{Columns, Job};
use super::error::{Result, WriteError};
use crate::files::options::Format;
use crate::files::place::Place;
use crate::files::{arrow_ipc, avro};

/// The columns of a Parquet file.
pub(super) fn schema_of(place: &Place, shown: &str) -> Result<SchemaRef> {
    let file = place.ranges().map_err(WriteError::io(shown))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| {
        // A library says only that a read of an object failed.
        let why = || WriteError::Columns {
            path: shown.to_owned(),
            why: format!("it is not a readable Parquet file: {error}"),
        };
        place.failure().map_or_else(why, WriteError::Read)
    })?;
    Ok(Arc::clone(reader.schema()))
}

/// The columns of the old file with those that only the new rows have behind them.
pub(super) fn joined(job: &Job, old: &Schema, new: &Schema) -> Result<SchemaRef> {
    let wrong = |why: String| WriteError::Columns {
        path: job.location().shown.clone(),
        why,
    };
    let change = job.intent.write.schema_change;
    let mut fields: Vec<Field> = old
        .fields()
        .iter()
        .map(|field| Field::clone(field).with_nullable(true))
        .collect();
    for field in new.fields() {
        match old.field_with_name(field.name()) {
            Ok(there) if there.data_type() == field.data_type() => {}
            Ok(there) => {
                let (there, here) = (
                    types::name(there.data_type()),
                    types::name(field.data_type()),
                );
                return Err(wrong(format!(
                    "column `{}` is `{there}` in the file and `{here}` in the rows",
                    field.name()
                )));
            }
            Err(_) if change.adds_columns() => fields.push(Field::clone(field)),
            Err(_) if change == SchemaChange::Ignore => {}
            Err(_) => return Err(wrong(format!("it has no column `{}`", field.name()))),
        }
    }
    if change == SchemaChange::Fail
        && let Some(field) = old
            .fields()
            .iter()
            .find(|field| new.field_with_name(field.name()).is_err())
    {
        return Err(wrong(format!("they have no column `{}`", field.name())));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The columns of a new part, beside the parts of its format that are there. A column that held no value yet
/// takes any type.
pub(super) fn of_part(job: &Job, columns: Columns) -> Result<Columns> {
    let present = present_columns(job)?;
    if present.is_empty() {
        return Ok(columns);
    }
    let new = &columns.schema;
    let there = |name: &str| present.iter().find(|field| field.name() == name);
    let incoming = |field: &Arc<Field>| match there(field.name()) {
        Some(there) if *field.data_type() == DataType::Null => there.clone(),
        _ => Field::clone(field),
    };
    let incoming = Schema::new(new.fields().iter().map(incoming).collect::<Vec<_>>());
    // Parts are files of their own: one type may be encoded in two ways.
    let is_same = |there: &DataType, here: &DataType| {
        *there == DataType::Null || types::name(there) == types::name(here)
    };
    let standing = |field: &Field| match incoming.field_with_name(field.name()) {
        Ok(here) if is_same(field.data_type(), here.data_type()) => here.clone(),
        _ => field.clone(),
    };
    let standing = Schema::new(present.iter().map(standing).collect::<Vec<_>>());
    let schema = joined(job, &standing, &incoming)?;
    let from = |field: &Arc<Field>| {
        let at = new.index_of(field.name()).ok()?;
        (new.field(at).data_type() == field.data_type()).then_some(at)
    };
    Ok(Columns {
        from: schema.fields().iter().map(from).collect(),
        schema,
    })
}

/// The columns of a part, in the format that is written.
fn schema_of_part(job: &Job, name: &str, place: &Place) -> Result<SchemaRef> {
    let input = || job.target.input(name);
    match job.target.format {
        Format::Avro => Ok(avro::summary(&input(), false)?.schema),
        Format::Arrow => Ok(arrow_ipc::summary(&input(), false)?.schema),
        _ => schema_of(place, &job.location().shown),
    }
}

/// The columns of all parts of the format, in the order they came. A part that somebody removed has none.
fn present_columns(job: &Job) -> Result<Vec<Field>> {
    let mut present: Vec<Field> = Vec::new();
    let end = format!(".{}", job.target.extension());
    for part in &job.known.parts {
        let is_meant = part.name.ends_with(&end);
        let Some(place) = job.target.there(&part.name).filter(|_| is_meant) else {
            continue;
        };
        for field in schema_of_part(job, &part.name, &place)?.fields() {
            match present
                .iter_mut()
                .find(|other| other.name() == field.name())
            {
                None => present.push(Field::clone(field).with_nullable(true)),
                Some(other) if *other.data_type() == DataType::Null => {
                    *other = Field::clone(field).with_nullable(true);
                }
                Some(_) => {}
            }
        }
    }
    Ok(present)
}
