//! The file as it will be: for a replace the new rows, for an append the old file and the new rows.
//!
//! Promise: the old file is only read. Text is copied unchanged; Parquet row groups are copied as
//! they are when the columns are equal, else rows are written anew with the columns of both.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{RecordBatch, new_null_array};
use arrow_schema::{Field, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::begin::Job;
use super::commit_notes::Standing;
use super::error::{Result, WriteError};
use super::evolve::{joined, schema_of};
use super::location::Temporary;
use super::parquet::{ParquetFile, broken};
use super::text::Counted;
use super::written::Written;
use crate::files::chunk::open_text;
use crate::files::options::{Compression, Format};
use crate::files::place::Place;

/// Makes the file as it will be, when that is not the file of the new rows.
pub(super) fn whole(job: &Job, rows: &Written) -> Result<Option<Written>> {
    if !job.extends() {
        return Ok(None);
    }
    match job.target.format {
        Format::Parquet => whole_parquet(job).map(Some),
        _ => whole_text(job, rows).map(Some),
    }
}

fn whole_text(job: &Job, rows: &Written) -> Result<Written> {
    let shown = &*job.location().shown;
    let io = |source| WriteError::Io {
        path: shown.to_owned(),
        source,
    };
    let mut old = File::open(job.location().path()).map_err(io)?;
    let mut out = Counted::create(&job.temporary(Temporary::Whole)).map_err(io)?;
    let copied = io::copy(&mut old, &mut out).map_err(io)?;
    let mut skip = rows.head_bytes;
    if copied == 0 {
        skip = 0;
    } else if job.known.standing == Standing::Foreign && !ends_a_line(job)? {
        out.write_all(&packed_line_end(job.target.compression).map_err(io)?)
            .map_err(io)?;
    }
    let mut new = File::open(job.temporary(Temporary::Rows)).map_err(io)?;
    new.seek(SeekFrom::Start(skip)).map_err(io)?;
    io::copy(&mut new, &mut out).map_err(io)?;
    let (bytes, sha256) = out.finish().map_err(io)?;
    Ok(Written {
        rows: rows.rows,
        bytes,
        head_bytes: 0,
        sha256,
    })
}

/// What others wrote may lack its last line end.
fn ends_a_line(job: &Job) -> Result<bool> {
    let input = job.target.input(&job.location().name);
    let (mut text, _) = open_text(&input)?;
    let mut buffer = vec![0_u8; 64 << 10];
    let mut last = b'\n';
    loop {
        let read = text
            .read(&mut buffer)
            .map_err(WriteError::io(&*job.location().shown))?;
        match buffer.get(..read).and_then(<[u8]>::last) {
            Some(byte) => last = *byte,
            None => return Ok(last == b'\n' || last == b'\r'),
        }
    }
}

fn packed_line_end(compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(b"\n".to_vec()),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(b"\n")?;
            encoder.finish()
        }
        Compression::Zstd => zstd::encode_all(b"\n".as_slice(), 1),
    }
}

fn whole_parquet(job: &Job) -> Result<Written> {
    let shown = &*job.location().shown;
    let (old, new) = (job.location().path(), job.temporary(Temporary::Rows));
    let there = schema_of(&Place::Local(old.clone()), shown)?;
    let schema = joined(job, &there, &job.columns.schema)?;
    let path = job.temporary(Temporary::Whole);
    let mut writer = ParquetFile::open(&path, &job.target, &schema, job.group_bytes)?;
    for part in [&old, &new] {
        if !writer.copy(part)? {
            write_anew(&mut writer, part, &schema, shown)?;
        }
    }
    writer.finish()
}

fn write_anew(
    writer: &mut ParquetFile,
    path: &Path,
    schema: &SchemaRef,
    shown: &str,
) -> Result<()> {
    let encode = |error: arrow_schema::ArrowError| WriteError::Encode {
        path: shown.to_owned(),
        why: error.to_string(),
    };
    let file = File::open(path).map_err(WriteError::io(shown))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build);
    for batch in reader.map_err(|error| broken(shown, error))? {
        let batch = batch.map_err(encode)?;
        let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        let columns = schema.fields().iter().map(column).collect();
        writer.write(&RecordBatch::try_new(Arc::clone(schema), columns).map_err(encode)?)?;
    }
    Ok(())
}

/// Gives the file the rights others have, not those of a private file.
pub(super) fn same_rights(job: &Job, file: &Path) -> io::Result<()> {
    match fs::metadata(job.location().path()) {
        Ok(old) => fs::set_permissions(file, old.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
