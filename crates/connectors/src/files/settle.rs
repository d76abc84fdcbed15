//! Decides what a read will give before its first row: files, columns, types.
//!
//! Promise: columns of several files are joined by name, in the order of their first appearance; a column that
//! a later file does not have fails the read unless `missing_columns: null`. A type is declared, else known, else
//! inferred over every row of every file. It reads no rows into batches. Read next: `columns.rs`, `survey.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, SchemaRef};
use towpath_ports::ReadSpec;
use towpath_vocab::types;

use super::binary;
use super::cells::Nulls;
use super::columnar::{FileSummary, is_readable_as, types_of};
use super::columns::{
    Declared, Wanted, by_name, exact_of, fill_types, formats_of, give_types, join_names, names_of,
    needs_look, schema_of,
};
use super::csv::{Head, read_head};
use super::encodings;
use super::error::FilesError;
use super::find::InputFile;
use super::job::{How, Job, Request, Settled};
use super::lines::LineFormat;
use super::looks::each;
use super::options::{Format, Options};
use super::path_rules;
use super::path_values::PathValues;
use super::rows::{Layout, RecordFormat};
use super::settle_lines::settle_lines;
use super::settle_objects::settle_json;
use super::settle_xml::settle_xml;
use super::{survey, xml};

/// Settles a read of these files.
pub(crate) async fn settle(
    files: Vec<InputFile>,
    request: &Request<'_>,
) -> Result<Settled, FilesError> {
    let format = files.first().map(|file| file.format);
    if let Some(format) = format
        && let Some(lines) = LineFormat::of(format, &request.options.lines)?
    {
        let (files, notes) = with_encodings(files, request).await?;
        let mut settled = settle_lines(files, request, (format, lines)).await?;
        settled.notes.extend(notes);
        return Ok(settled);
    }
    let (files, notes) = match format {
        Some(Format::Csv | Format::Json | Format::Jsonl | Format::Xml) => {
            with_encodings(files, request).await?
        }
        _ => (files, Vec::new()),
    };
    let mut settled = match format {
        Some(format @ (Format::Csv | Format::Xlsx)) => settle_csv(files, request, format).await,
        Some(format) if format.has_columns() => settle_columns(files, request, format).await,
        Some(Format::Xml) => settle_xml(files, request).await,
        _ => settle_json(files, request).await,
    }?;
    settled.notes.extend(notes);
    Ok(settled)
}

async fn with_encodings(
    files: Vec<InputFile>,
    request: &Request<'_>,
) -> Result<(Vec<InputFile>, Vec<String>), FilesError> {
    let declared = request.options.encoding;
    let looked = each(files, move |file| match file.format {
        Format::Xml => xml::settle_encoding(file, declared),
        _ => encodings::settle(file, declared),
    });
    let looked = looked.await?;
    let notes = encodings::notes(&looked);
    Ok((looked.into_iter().map(|(file, _)| file).collect(), notes))
}

async fn settle_csv(
    files: Vec<InputFile>,
    request: &Request<'_>,
    format: Format,
) -> Result<Settled, FilesError> {
    let (mut heads, mut notes) = read_heads(files, request).await?;
    let named = heads
        .iter()
        .map(|(file, head)| (file.object.as_str(), head.names.as_slice()));
    let mut wanted = join_names(named, request)?;
    let own = names_of(&wanted);
    path_rules::prefer_own(
        heads.iter_mut().map(|(file, _)| file),
        &own,
        &request.options,
    );
    let files = files_of(&heads);
    path_rules::add(&mut wanted, &own, &files, &request.options)?;
    give_types(&mut wanted, &first_object(&files), request, format)?;
    path_rules::give_types(&mut wanted, &own, &files, &mut notes);
    let mut rows = None;
    let is_untyped = wanted.iter().any(|column| column.data_type.is_none());
    let first = heads.iter().map(|(_, head)| head.first.as_slice());
    if request.count_rows || is_untyped || needs_look(&wanted, first) {
        let jobs = csv_jobs(&heads, &wanted, request);
        let findings = survey::survey(&jobs, request).await?;
        rows = Some(findings.rows);
        // The numbers of a workbook have no form of their own.
        fill_types(&mut wanted, &findings, format == Format::Csv, &mut notes);
    }
    let jobs = csv_jobs(&heads, &wanted, request);
    Ok(Settled {
        schema: schema_of(&wanted),
        jobs,
        notes,
        rows,
        options: Arc::clone(&request.options),
        own: BTreeMap::new(),
    })
}

async fn read_heads(
    files: Vec<InputFile>,
    request: &Request<'_>,
) -> Result<(Vec<(InputFile, Head)>, Vec<String>), FilesError> {
    let options = Arc::clone(&request.options);
    let path = first_object(&files);
    let looked = each(files, move |file| {
        let head = read_head(&file, &options)?;
        Ok((file, head))
    });
    let (mut heads, mut notes) = (Vec::new(), Vec::new());
    for (file, head) in looked.await? {
        match head {
            Some(head) => {
                notes.extend(head.notes.iter().cloned());
                heads.push((file, head));
            }
            None => notes.push(format!("`{}` is empty and was skipped", file.object)),
        }
    }
    if heads.is_empty() {
        return Err(FilesError::Empty { path });
    }
    Ok((heads, notes))
}

fn csv_jobs(heads: &[(InputFile, Head)], wanted: &[Wanted], request: &Request<'_>) -> Vec<Job> {
    let schema = schema_of(wanted);
    let job = |(file, head): &(InputFile, Head)| {
        let mut layout = csv_layout(head, wanted, &schema, request.spec, &request.options);
        layout.from_path = path_rules::columns(&file.path_values, wanted);
        Job {
            file: file.clone(),
            how: How::Text {
                layout: Arc::new(layout),
                head: head.bytes.clone(),
                length: None,
            },
        }
    };
    heads.iter().map(job).collect()
}

fn csv_layout(
    head: &Head,
    wanted: &[Wanted],
    schema: &SchemaRef,
    spec: &ReadSpec,
    options: &Options,
) -> Layout {
    let columns = by_name(wanted);
    let read = |name: &String| {
        let column = columns.get(name.as_str())?;
        Some(column.data_type.clone().unwrap_or(DataType::Utf8))
    };
    let names = head.names.iter().enumerate();
    let places: HashMap<&str, usize> = names.map(|(at, name)| (name.as_str(), at)).collect();
    Layout {
        table: spec.table.clone(),
        schema: Arc::clone(schema),
        places: wanted
            .iter()
            .map(|column| places.get(column.name.as_str()).copied())
            .collect(),
        width: head.names.len(),
        shape: RecordFormat::Csv {
            dialect: head.dialect.clone(),
            columns: head
                .names
                .iter()
                .map(|name| (name.clone(), read(name)))
                .collect(),
        },
        nulls: Nulls::csv(&options.nulls).also_quoted(head.dialect.has_types()),
        formats: formats_of(wanted, options, options.numbers),
        numbers: options.numbers,
        exact: exact_of(wanted),
        from_path: Vec::new(),
        batch_rows: spec.batch_rows.max(1),
    }
}

fn files_of<T>(looked: &[(InputFile, T)]) -> Vec<InputFile> {
    looked.iter().map(|(file, _)| file.clone()).collect()
}

async fn settle_columns(
    mut files: Vec<InputFile>,
    request: &Request<'_>,
    format: Format,
) -> Result<Settled, FilesError> {
    let path = first_object(&files);
    let count = request.count_rows;
    let looked = each(files.clone(), move |file| binary::summary(&file, count));
    let summaries = looked.await?;
    let names: Vec<Vec<String>> = summaries.iter().map(FileSummary::names).collect();
    let named = files
        .iter()
        .zip(&names)
        .map(|(file, names)| (file.object.as_str(), names.as_slice()));
    let mut wanted = join_names(named, request)?;
    let declared = Declared::of(request);
    let types = types_of(&files, &summaries, |name| declared.has(name))?;
    let own = names_of(&wanted);
    path_rules::prefer_own(files.iter_mut(), &own, &request.options);
    path_rules::add(&mut wanted, &own, &files, &request.options)?;
    give_types(&mut wanted, &path, request, format)?;
    readable(&files, &summaries, &wanted)?;
    let mut notes: Vec<String> = summaries
        .iter()
        .flat_map(|summary| summary.notes.clone())
        .collect();
    path_rules::give_types(&mut wanted, &own, &files, &mut notes);
    let finer = finer_times(
        &files,
        &summaries,
        &wanted,
        (request, &declared),
        &mut notes,
    )
    .await?;
    for column in &mut wanted {
        // The file's own type stands unless another one is declared.
        let own = types
            .get(&column.name)
            .filter(|_| !declared.has(&column.name));
        column.data_type = match (own, &column.data_type) {
            // What a column without a value is, an earlier load may know.
            (Some(DataType::Null), known) => Some(known.clone().unwrap_or(DataType::Utf8)),
            (Some(_), Some(DataType::Utf8)) if is_fine(&summaries, &column.name) => {
                Some(DataType::Utf8)
            }
            (Some(_), _) if finer.contains(&column.name) => Some(DataType::Utf8),
            (Some(own), _) => Some(own.clone()),
            (None, known) => known.clone(),
        };
    }
    let schema = schema_of(&wanted);
    Ok(Settled {
        jobs: column_jobs(files, &wanted, &schema),
        notes,
        rows: summaries.iter().map(|summary| summary.rows).sum(),
        options: Arc::clone(&request.options),
        own: types,
        schema,
    })
}

fn column_jobs(files: Vec<InputFile>, wanted: &[Wanted], schema: &SchemaRef) -> Vec<Job> {
    let exact = exact_of(wanted);
    let job = |mut file: InputFile| {
        let values = PathValues::clone(&file.path_values);
        file.path_values = Arc::new(values.exactly(exact.clone()));
        Job {
            file,
            how: How::Columns {
                schema: Arc::clone(schema),
            },
        }
    };
    files.into_iter().map(job).collect()
}

fn is_fine(summaries: &[FileSummary], name: &str) -> bool {
    summaries.iter().any(|summary| summary.fine.contains(name))
}

/// A declared type must be one that the values of every file can have.
fn readable(
    files: &[InputFile],
    summaries: &[FileSummary],
    wanted: &[Wanted],
) -> Result<(), FilesError> {
    for (file, summary) in files.iter().zip(summaries) {
        let fields = summary.schema.fields().iter();
        let fields: HashMap<&str, &FieldRef> =
            fields.map(|field| (field.name().as_str(), field)).collect();
        for column in wanted {
            let found = fields.get(column.name.as_str());
            if let (Some(found), Some(to), false) = (found, &column.data_type, column.exact)
                && found.data_type() != to
                && !is_readable_as(found.data_type(), to)
            {
                return Err(FilesError::NotReadable {
                    path: file.object.clone(),
                    column: column.name.clone(),
                    found: types::name(found.data_type()),
                    wanted: types::name(to),
                });
            }
        }
    }
    Ok(())
}

/// Columns whose timestamps need digits below a microsecond. Those with a type need no look.
async fn finer_times(
    files: &[InputFile],
    summaries: &[FileSummary],
    wanted: &[Wanted],
    (request, declared): (&Request<'_>, &Declared),
    notes: &mut Vec<String>,
) -> Result<BTreeSet<String>, FilesError> {
    let open = wanted.iter().filter(|column| column.data_type.is_none());
    let asked: BTreeSet<String> = open
        .filter(|column| is_fine(summaries, &column.name) && !declared.has(&column.name))
        .map(|column| column.name.clone())
        .collect();
    if asked.is_empty() {
        return Ok(asked);
    }
    let budget = request.context.memory.limit_bytes();
    let (files, path) = (files.to_vec(), first_object(files));
    let looked = tokio::task::spawn_blocking(move || binary::fine_times(&files, &asked, budget));
    let found = looked.await.map_err(|_| FilesError::Broken { path })??;
    notes.extend(found.notes);
    Ok(found.finer)
}

fn first_object(files: &[InputFile]) -> String {
    files
        .first()
        .map(|file| file.object.clone())
        .unwrap_or_default()
}
