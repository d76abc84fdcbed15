//! Settles a read of records that name their own members: JSON, and the elements of XML.
//!
//! Promise: a column is what any record of any file has, in the order of the first one; a record may lack it. Only
//! a projection of columns whose types are known spares the look at all records. Read next: `settle.rs`,
//! `settle_xml.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cells::Nulls;
use super::columns::{
    Wanted, as_text, exact_of, fill_types, formats_of, give_types, names_of, schema_of,
};
use super::error::FilesError;
use super::find::InputFile;
use super::job::{How, Job, Request, Settled};
use super::json;
use super::options::Format;
use super::path_rules;
use super::path_values::HivePartitions;
use super::rows::{Layout, RecordFormat};
use super::survey;

/// Settles a read of JSON.
pub(crate) async fn settle_json(
    files: Vec<InputFile>,
    request: &Request<'_>,
) -> Result<Settled, FilesError> {
    let mut notes = Vec::new();
    let looked = record_arrays(files, request, &mut notes).await?;
    let (files, arrays): (Vec<_>, Vec<_>) = looked.into_iter().unzip();
    let jobs = |files: &[InputFile], wanted: &[Wanted]| json_jobs(files, &arrays, wanted, request);
    let mut settled = settle_objects(files, request, (Format::Json, false), jobs).await?;
    settled.notes.splice(0..0, notes);
    Ok(settled)
}

/// Settles a read of records of any members. `fixed`: as in `Numbers::data_type`.
pub(super) async fn settle_objects(
    mut files: Vec<InputFile>,
    request: &Request<'_>,
    (format, fixed): (Format, bool),
    jobs: impl Fn(&[InputFile], &[Wanted]) -> Vec<Job>,
) -> Result<Settled, FilesError> {
    let path = files
        .first()
        .map_or_else(String::new, |file| file.object.clone());
    let mut notes = Vec::new();
    let mut wanted: Vec<Wanted> = Vec::new();
    // Members may come and go from record to record: only a projection with types spares the look.
    let mut settled = Vec::new();
    give_types(&mut settled, &path, request, format)?;
    let typed = request.spec.projection.is_some()
        && settled.iter().all(|column| column.data_type.is_some())
        && !is_of_either(&settled, &files, request);
    let mut rows = None;
    if typed && !request.count_rows {
        wanted = settled;
    } else {
        let findings = survey::survey(&jobs(&files, &wanted), request).await?;
        rows = Some(findings.rows);
        wanted.extend(findings.names().map(Wanted::untyped));
        if findings.rows == 0 {
            // A file without a record has the columns that it had.
            let of_path = |name: &str| files.iter().any(|file| file.path_values.has(name));
            let before = request.observed().into_iter();
            let before = before.filter(|(name, _)| !of_path(name));
            wanted.extend(before.map(|(name, _)| Wanted::untyped(&name)));
        }
        let own = names_of(&wanted);
        path_rules::prefer_own(files.iter_mut(), &own, &request.options);
        path_rules::add(&mut wanted, &own, &files, &request.options)?;
        let added = wanted.len() - own.len();
        give_types(&mut wanted, &path, request, format)?;
        path_rules::give_types(&mut wanted, &own, &files, &mut notes);
        fill_types(&mut wanted, &findings, fixed, &mut notes);
        let is_whole = request.spec.projection.is_none();
        if is_whole && wanted.len() == added {
            return Err(no_columns(path, &findings));
        }
        if findings.has_unnamed {
            notes.push(format!(
                "members of `{path}` without a name are read as the column `{}`",
                json::UNNAMED
            ));
        }
    }
    Ok(Settled {
        schema: schema_of(&wanted),
        jobs: jobs(&files, &wanted),
        notes,
        rows,
        options: Arc::clone(&request.options),
        own: BTreeMap::new(),
    })
}

/// Whether only a look tells if a column is one of the files or of their paths.
fn is_of_either(wanted: &[Wanted], files: &[InputFile], request: &Request<'_>) -> bool {
    let is_of_path = |column: &Wanted| {
        let mut files = files.iter();
        files.any(|file| file.path_values.has(&column.name))
    };
    request.options.hive_partitions == HivePartitions::Alike && wanted.iter().any(is_of_path)
}

/// Where the rows of each file are.
async fn record_arrays(
    files: Vec<InputFile>,
    request: &Request<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<(InputFile, json::RecordArray)>, FilesError> {
    let observed = request.observed().into_iter();
    let mut known = json::KnownRows {
        columns: observed.map(|(name, _)| name).collect(),
        member: None,
    };
    let mut all = Vec::with_capacity(files.len());
    for file in files {
        let array = record_array(&file, request, &known).await?;
        known.member = known.member.take().or_else(|| array.found.clone());
        all.push((file, array));
    }
    for (file, array) in &mut all {
        // The rows of a later file may show where those of an earlier one would be.
        if known.member.is_some() && array.length.is_none() {
            *array = record_array(file, request, &known).await?;
        }
        notes.extend(array.found.as_ref().map(|key| {
            let object = &file.object;
            format!("the rows of `{object}` are in its member `{key}`; `records: {key}` sets this")
        }));
    }
    Ok(all)
}

async fn record_array(
    file: &InputFile,
    request: &Request<'_>,
    known: &json::KnownRows,
) -> Result<json::RecordArray, FilesError> {
    if file.format != Format::Json {
        return Ok(json::RecordArray::default());
    }
    let (options, looked) = (Arc::clone(&request.options), file.clone());
    let (path, known) = (file.object.clone(), known.clone());
    let found = tokio::task::spawn_blocking(move || json::find_records(&looked, &options, &known));
    found.await.map_err(|_| FilesError::Broken { path })?
}

/// Why JSON gives no columns, with the record that shows it.
fn no_columns(path: String, findings: &survey::Findings) -> FilesError {
    let why = match &findings.broken {
        Some((line, why)) => format!("the record in line {line} {why}"),
        None if findings.rows > 0 => format!("its {} objects have no members", findings.rows),
        None => "it has no records".to_owned(),
    };
    FilesError::NoColumns { path, why }
}

fn json_jobs(
    files: &[InputFile],
    arrays: &[json::RecordArray],
    wanted: &[Wanted],
    request: &Request<'_>,
) -> Vec<Job> {
    let (schema, as_text) = (schema_of(wanted), as_text(request));
    let job = |(file, array): (&InputFile, &json::RecordArray)| {
        let layout = Layout {
            table: request.spec.table.clone(),
            schema: Arc::clone(&schema),
            places: (0..wanted.len()).map(Some).collect(),
            width: wanted.len(),
            shape: RecordFormat::Json {
                lines: file.format == Format::Jsonl,
                max_record_bytes: request.options.max_record_bytes,
                as_text: as_text.clone(),
            },
            nulls: Nulls::default(),
            // A JSON number has one form.
            formats: formats_of(wanted, &request.options, None),
            numbers: None,
            exact: exact_of(wanted),
            from_path: path_rules::columns(&file.path_values, wanted),
            batch_rows: request.spec.batch_rows.max(1),
        };
        Job {
            file: file.clone(),
            how: How::Text {
                layout: Arc::new(layout),
                head: array.head.clone(),
                length: array.length,
            },
        }
    };
    files.iter().zip(arrays).map(job).collect()
}
