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
    Declared, Wanted, as_text, by_name, exact_of, fill_types, formats_of, give_types, join_names,
    needs_look, schema_of,
};
use super::csv::{Head, read_head};
use super::encodings;
use super::error::FilesError;
use super::find::InputFile;
use super::job::{How, Job, Request, Settled};
use super::json;
use super::lines::LineFormat;
use super::looks::each;
use super::options::{Format, Options};
use super::path_rules;
use super::path_values::{HivePartitions, PathValues};
use super::rows::{Layout, RecordFormat};
use super::settle_lines::settle_lines;
use super::survey;

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
        Some(Format::Csv | Format::Json | Format::Jsonl) => with_encodings(files, request).await?,
        _ => (files, Vec::new()),
    };
    let mut settled = match format {
        Some(format @ (Format::Csv | Format::Xlsx)) => settle_csv(files, request, format).await,
        Some(format) if format.has_columns() => settle_columns(files, request, format).await,
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
    let looked = each(files, move |file| encodings::settle(file, declared)).await?;
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

fn names_of(wanted: &[Wanted]) -> Vec<String> {
    wanted.iter().map(|column| column.name.clone()).collect()
}

fn files_of<T>(looked: &[(InputFile, T)]) -> Vec<InputFile> {
    looked.iter().map(|(file, _)| file.clone()).collect()
}

async fn settle_json(files: Vec<InputFile>, request: &Request<'_>) -> Result<Settled, FilesError> {
    let path = first_object(&files);
    let mut notes = Vec::new();
    let mut files = record_arrays(files, request, &mut notes).await?;
    let mut wanted: Vec<Wanted> = Vec::new();
    // Keys may come and go from record to record: only a projection with types spares the look.
    let mut settled = Vec::new();
    give_types(&mut settled, &path, request, Format::Json)?;
    let typed = request.spec.projection.is_some()
        && settled.iter().all(|column| column.data_type.is_some())
        && !is_of_either(&settled, &files, request);
    let mut rows = None;
    if typed && !request.count_rows {
        wanted = settled;
    } else {
        let findings = survey::survey(&json_jobs(&files, &wanted, request), request).await?;
        rows = Some(findings.rows);
        wanted.extend(findings.names().map(Wanted::untyped));
        if findings.rows == 0 {
            // A file without a record has the columns that it had.
            let of_path = |name: &str| files.iter().any(|(file, _)| file.path_values.has(name));
            let before = request.observed().into_iter();
            let before = before.filter(|(name, _)| !of_path(name));
            wanted.extend(before.map(|(name, _)| Wanted::untyped(&name)));
        }
        let own = names_of(&wanted);
        path_rules::prefer_own(
            files.iter_mut().map(|(file, _)| file),
            &own,
            &request.options,
        );
        let of_paths = files_of(&files);
        path_rules::add(&mut wanted, &own, &of_paths, &request.options)?;
        let added = wanted.len() - own.len();
        give_types(&mut wanted, &path, request, Format::Json)?;
        path_rules::give_types(&mut wanted, &own, &of_paths, &mut notes);
        fill_types(&mut wanted, &findings, false, &mut notes);
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
    let jobs = json_jobs(&files, &wanted, request);
    Ok(Settled {
        schema: schema_of(&wanted),
        jobs,
        notes,
        rows,
        options: Arc::clone(&request.options),
        own: BTreeMap::new(),
    })
}

/// Whether only a look tells if a column is one of the files or of their paths.
fn is_of_either(
    wanted: &[Wanted],
    files: &[(InputFile, json::RecordArray)],
    request: &Request<'_>,
) -> bool {
    let is_of_path = |column: &Wanted| {
        let mut files = files.iter();
        files.any(|(file, _)| file.path_values.has(&column.name))
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
    files: &[(InputFile, json::RecordArray)],
    wanted: &[Wanted],
    request: &Request<'_>,
) -> Vec<Job> {
    let (schema, as_text) = (schema_of(wanted), as_text(request));
    let job = |(file, array): &(InputFile, json::RecordArray)| {
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
    files.iter().map(job).collect()
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
