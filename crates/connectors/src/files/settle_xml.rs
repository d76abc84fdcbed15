//! Settles a read of XML files: which elements are records, then as for all records that name their members.
//!
//! Promise: the elements that `record` names, or else the ones that all files together, and the columns that the
//! table has already, show for certain; anything else is refused with the candidates. It reads no record into batches. Read next: `xml/mod.rs`,
//! `settle_objects.rs`.

use std::sync::Arc;

use super::cells::Nulls;
use super::columns::{Wanted, as_text, exact_of, formats_of, schema_of};
use super::error::FilesError;
use super::find::InputFile;
use super::job::{How, Job, Request, Settled};
use super::looks::each;
use super::options::Format;
use super::path_rules;
use super::rows::{Layout, RecordFormat};
use super::settle_objects::settle_objects;
use super::xml::{self, KnownColumns, Reading, RecordPath};

/// Settles a read of XML.
pub(crate) async fn settle_xml(
    files: Vec<InputFile>,
    request: &Request<'_>,
) -> Result<Settled, FilesError> {
    let (files, record, note) = records(files, request).await?;
    let jobs = |files: &[InputFile], wanted: &[Wanted]| jobs(files, &record, wanted, request);
    let mut settled = settle_objects(files, request, (Format::Xml, true), jobs).await?;
    settled.notes.splice(0..0, note);
    Ok(settled)
}

/// Which elements of the files are records.
async fn records(
    files: Vec<InputFile>,
    request: &Request<'_>,
) -> Result<(Vec<InputFile>, RecordPath, Option<String>), FilesError> {
    let options = &request.options;
    if let Some(record) = &options.xml.record {
        return Ok((files, record.clone(), None));
    }
    let observed = request.observed().into_iter();
    let known = Arc::new(KnownColumns {
        names: observed.map(|(name, _)| name).collect(),
        keeps_prefix: options.xml.keeps_prefix,
    });
    let looked = each(files, move |file| {
        let found = xml::find_records(&file, &known)?;
        Ok((file, found))
    });
    let looked = looked.await?;
    let (record, note) = xml::of_all(&looked)?;
    let files = looked.into_iter().map(|(file, _)| file).collect();
    // Where no file has an element, none is a record.
    let record = record.unwrap_or_else(|| RecordPath::absolute(vec![String::new(); 2]));
    Ok((files, record, note))
}

fn jobs(
    files: &[InputFile],
    record: &RecordPath,
    wanted: &[Wanted],
    request: &Request<'_>,
) -> Vec<Job> {
    let (schema, as_text, options) = (schema_of(wanted), as_text(request), &request.options);
    let empty = std::iter::once(String::new());
    let words: Vec<String> = empty.chain(options.nulls.iter().cloned()).collect();
    let job = |file: &InputFile| {
        let layout = Layout {
            table: request.spec.table.clone(),
            schema: Arc::clone(&schema),
            places: (0..wanted.len()).map(Some).collect(),
            width: wanted.len(),
            shape: RecordFormat::Xml {
                record: record.clone(),
                reading: Reading {
                    keeps_prefix: options.xml.keeps_prefix,
                    trims: options.xml.trims,
                    max_record_bytes: options.max_record_bytes,
                },
                as_text: as_text.clone(),
                text_nulls: Nulls::csv(&options.nulls).also_quoted(true),
            },
            nulls: Nulls::csv(&words).also_quoted(true),
            formats: formats_of(wanted, options, options.numbers),
            numbers: options.numbers,
            exact: exact_of(wanted),
            from_path: path_rules::columns(&file.path_values, wanted),
            batch_rows: request.spec.batch_rows.max(1),
        };
        Job {
            file: file.clone(),
            how: How::Text {
                layout: Arc::new(layout),
                head: Vec::new(),
                length: None,
            },
        }
    };
    files.iter().map(job).collect()
}
