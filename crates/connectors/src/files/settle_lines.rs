//! Settles a read of files whose records are lines: their columns come from the format, not from a header.
//!
//! Promise: a log of a known format has the types of its format, unless others are declared; the types of other
//! lines are found in all values, as those of CSV. It reads no lines into batches. Read next: `lines/mod.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cells::Nulls;
use super::columns::{
    Wanted, by_name, exact_of, fill_types, formats_of, give_types, needs_look, schema_of,
};
use super::error::FilesError;
use super::find::InputFile;
use super::job::{How, Job, Request, Settled};
use super::lines::{self, LineFormat};
use super::looks::each;
use super::options::Format;
use super::path_rules;
use super::rows::{Layout, RecordFormat};
use super::survey;

/// Settles a read of these files.
pub(crate) async fn settle_lines(
    files: Vec<InputFile>,
    request: &Request<'_>,
    (format, lines): (Format, LineFormat),
) -> Result<Settled, FilesError> {
    let path = files
        .first()
        .map_or_else(String::new, |file| file.object.clone());
    let mut notes = Vec::new();
    let mut wanted: Vec<Wanted> = Vec::new();
    for (name, data_type) in lines.columns() {
        let mut column = Wanted::untyped(&name);
        column.data_type = data_type;
        wanted.push(column);
    }
    let own: Vec<String> = wanted.iter().map(|column| column.name.clone()).collect();
    path_rules::add(&mut wanted, &own, &files, &request.options)?;
    give_types(&mut wanted, &path, request, format)?;
    path_rules::give_types(&mut wanted, &own, &files, &mut notes);
    let heads = heads(files, request).await?;
    notes.extend(note_of_times(&heads, &lines).await?);
    let mut rows = None;
    let is_untyped = wanted.iter().any(|column| column.data_type.is_none());
    if request.count_rows || is_untyped || needs_look(&wanted, std::iter::empty()) {
        let jobs = jobs(&heads, &wanted, request, &lines);
        let findings = survey::survey(&jobs, request).await?;
        rows = Some(findings.rows);
        fill_types(&mut wanted, &findings, true, &mut notes);
    }
    Ok(Settled {
        schema: schema_of(&wanted),
        jobs: jobs(&heads, &wanted, request, &lines),
        notes,
        rows,
        options: Arc::clone(&request.options),
        own: BTreeMap::new(),
    })
}

/// Each file with the lines that are passed over.
async fn heads(
    files: Vec<InputFile>,
    request: &Request<'_>,
) -> Result<Vec<(InputFile, Vec<u8>)>, FilesError> {
    let skipped = request.options.skip_lines;
    each(files, move |file| {
        let head = lines::head(&file, skipped)?;
        Ok((file, head))
    })
    .await
}

/// What is said where times have no year and the project does not say one.
async fn note_of_times(
    heads: &[(InputFile, Vec<u8>)],
    lines: &LineFormat,
) -> Result<Option<String>, FilesError> {
    if !lines.wants_a_year() {
        return Ok(None);
    }
    let files = heads.iter().map(|(file, _)| file.clone()).collect();
    let looked = each(files, |file| {
        let has_some = lines::has_local_times(&file)?;
        Ok(has_some.then_some(file.object))
    });
    let first = looked.await?.into_iter().flatten().next();
    Ok(first.map(|object| {
        format!(
            "times in `{object}` have no year and no zone: they are text in `local_time`, and `time` is NULL; `year` and `offset` make them moments"
        )
    }))
}

fn jobs(
    heads: &[(InputFile, Vec<u8>)],
    wanted: &[Wanted],
    request: &Request<'_>,
    format: &LineFormat,
) -> Vec<Job> {
    let (schema, options) = (schema_of(wanted), &request.options);
    let read = by_name(wanted);
    let columns: Vec<_> = format
        .columns()
        .into_iter()
        .map(|(name, _)| {
            let of = read.get(name.as_str());
            let data_type = of.and_then(|column| column.data_type.clone());
            (name, data_type)
        })
        .collect();
    let place = |column: &Wanted| columns.iter().position(|(name, _)| *name == column.name);
    let nulls = match format.has_empty_nulls() {
        true => Nulls::csv(&options.nulls),
        false => Nulls::default(),
    };
    let job = |(file, head): &(InputFile, Vec<u8>)| {
        let layout = Layout {
            table: request.spec.table.clone(),
            schema: Arc::clone(&schema),
            places: wanted.iter().map(place).collect(),
            width: columns.len(),
            shape: RecordFormat::Lines {
                format: format.clone(),
                columns: columns.clone(),
                max_record_bytes: options.max_record_bytes,
            },
            nulls: nulls.clone(),
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
                head: head.clone(),
                length: None,
            },
        }
    };
    heads.iter().map(job).collect()
}
