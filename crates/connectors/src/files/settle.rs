//! Settles what a read will give before the first row: files, columns, types.
//!
//! Columns of several files are joined by name, in the order of first appearance. A column that
//! earlier files have and a later one lacks is a failure unless `missing_columns: null`; a new one is
//! added. Types: declared, else known, else inferred over every row of every file (`survey.rs`).

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use towpath_ports::{ConnectorContext, ReadSpec};
use towpath_vocab::types::{self, SOURCE_NAME};
use towpath_vocab::{Naming, Selection};

use super::cells::Nulls;
use super::csv::{CsvCutter, Head, read_head};
use super::chunk::Cutter;
use super::error::FilesError;
use super::find::{Folder, InputFile};
use super::json::{JsonCutter, LineCutter};
use super::options::{Format, Options};
use super::parquet;
use super::rows::{Layout, Shape};
use super::survey::{self, Findings};

/// One file, ready to be read.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) file: InputFile,
    pub(crate) how: How,
}

/// How a file is read.
#[derive(Clone, Debug)]
pub(crate) enum How {
    /// In chunks of text, behind a head that is passed over.
    Text { layout: Arc<Layout>, head: Vec<u8> },
    /// In row groups.
    Parquet { schema: SchemaRef },
}

/// A settled read.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) schema: SchemaRef,
    pub(crate) jobs: Vec<Job>,
    pub(crate) notes: Vec<String>,
    /// Rows, where settling has counted them.
    pub(crate) rows: Option<u64>,
    pub(crate) options: Arc<Options>,
}

/// What a read is asked for.
pub(crate) struct Request<'a> {
    pub(crate) spec: &'a ReadSpec,
    pub(crate) options: Arc<Options>,
    pub(crate) context: &'a ConnectorContext,
    /// Look at every row even where types are known.
    pub(crate) count_rows: bool,
}

impl Request<'_> {
    pub(crate) fn chunk_bytes(&self) -> usize {
        chunk_bytes(self.spec.batch_bytes, self.context.memory.limit_bytes())
    }

    fn known(&self) -> Vec<(String, DataType)> {
        let fields = self.spec.known.iter().flat_map(|schema| schema.fields().iter());
        fields
            .map(|field| {
                let name = field.metadata().get(SOURCE_NAME).unwrap_or(field.name());
                (name.clone(), field.data_type().clone())
            })
            .collect()
    }
}

/// A few megabytes, fewer when the whole budget is small.
pub(crate) fn chunk_bytes(batch_bytes: usize, limit_bytes: u64) -> usize {
    let budget = usize::try_from(limit_bytes / 32).unwrap_or(usize::MAX);
    batch_bytes.min(budget).clamp(64, 4 << 20)
}

/// The files of a selection.
pub(crate) fn select(folder: &Folder, selection: &Selection, options: &Options) -> Result<Vec<InputFile>, FilesError> {
    match selection {
        Selection::Object(object) => folder.find(object, options),
        Selection::Query(_) => Err(FilesError::Query),
    }
}

/// The cutter for records of a shape.
pub(crate) fn cutter(shape: &Shape) -> Box<dyn Cutter> {
    match shape {
        Shape::Csv { dialect, .. } => Box::new(CsvCutter { dialect: dialect.clone() }),
        Shape::Json { lines: true, max_record_bytes } => Box::new(LineCutter { max_record_bytes: *max_record_bytes }),
        Shape::Json { max_record_bytes, .. } => Box::new(JsonCutter { max_record_bytes: *max_record_bytes }),
    }
}

/// Settles a read of these files.
pub(crate) async fn settle(files: Vec<InputFile>, request: &Request<'_>) -> Result<Settled, FilesError> {
    match files.first().map(|file| file.format) {
        Some(Format::Csv) => settle_csv(files, request).await,
        Some(Format::Parquet) => settle_parquet(files, request).await,
        _ => settle_json(files, request).await,
    }
}

/// A column on its way to a type.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) data_type: Option<DataType>,
}

async fn settle_csv(files: Vec<InputFile>, request: &Request<'_>) -> Result<Settled, FilesError> {
    let (heads, mut notes) = read_heads(files, request).await?;
    let mut wanted = join_columns(&heads, request)?;
    give_types(&mut wanted, heads.first().map_or("", |(file, _)| file.object.as_str()), request, true)?;
    let layouts: Vec<(InputFile, Head)> = heads;
    let mut rows = None;
    if request.count_rows || wanted.iter().any(|column| column.data_type.is_none()) {
        let jobs = csv_jobs(&layouts, &wanted, request);
        let findings = survey::survey(&jobs, request).await?;
        rows = Some(findings.rows);
        fill_types(&mut wanted, &findings, &mut notes);
    }
    let jobs = csv_jobs(&layouts, &wanted, request);
    Ok(Settled { schema: schema_of(&wanted), jobs, notes, rows, options: Arc::clone(&request.options) })
}

async fn read_heads(
    files: Vec<InputFile>,
    request: &Request<'_>,
) -> Result<(Vec<(InputFile, Head)>, Vec<String>), FilesError> {
    let options = Arc::clone(&request.options);
    let path = files.first().map(|file| file.object.clone()).unwrap_or_default();
    let read = tokio::task::spawn_blocking(move || {
        let (mut heads, mut notes) = (Vec::with_capacity(files.len()), Vec::new());
        for file in files {
            match read_head(&file, &options)? {
                Some(head) => heads.push((file, head)),
                None => notes.push(format!("`{}` is empty and was passed over", file.object)),
            }
        }
        Ok((heads, notes))
    });
    let (heads, notes) = read.await.map_err(|_| FilesError::Broken { path: path.clone() })??;
    if heads.is_empty() {
        return Err(FilesError::Empty { path });
    }
    Ok((heads, notes))
}

fn join_columns(heads: &[(InputFile, Head)], request: &Request<'_>) -> Result<Vec<Wanted>, FilesError> {
    let mut joined: Vec<(String, &str)> = Vec::new();
    for (file, head) in heads {
        if !request.options.missing_columns_null
            && let Some((column, first)) = joined.iter().find(|(name, _)| !head.names.contains(name))
        {
            return Err(missing(&file.object, column, &format!("`{first}` has it"), &head.names));
        }
        for name in &head.names {
            if !joined.iter().any(|(other, _)| other == name) {
                joined.push((name.clone(), &file.object));
            }
        }
    }
    Ok(joined.into_iter().map(|(name, _)| Wanted { name, data_type: None }).collect())
}

fn missing(path: &str, column: &str, because: &str, present: &[String]) -> FilesError {
    let nearest = present
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&name.to_lowercase(), &column.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= column.len().div_ceil(3))
        .min();
    FilesError::MissingColumn {
        path: path.to_owned(),
        column: column.to_owned(),
        because: because.to_owned(),
        nearest: nearest.map(|(_, name)| name.clone()),
    }
}

/// Declared and known types, and the projection. With `strict` a column that no file has is a
/// failure; otherwise it is added.
fn give_types(wanted: &mut Vec<Wanted>, path: &str, request: &Request<'_>, strict: bool) -> Result<(), FilesError> {
    let strict = strict && !request.options.missing_columns_null;
    let present: Vec<String> = wanted.iter().map(|column| column.name.clone()).collect();
    let mut set = |name: &str, data_type: DataType, because: &str, declared: bool| -> Result<(), FilesError> {
        let at = position(wanted, name);
        match at.and_then(|at| wanted.get_mut(at)) {
            Some(column) if declared || column.data_type.is_none() => column.data_type = Some(data_type),
            Some(_) => {}
            None if strict => return Err(missing(path, name, because, &present)),
            None => wanted.push(Wanted { name: name.to_owned(), data_type: Some(data_type) }),
        }
        Ok(())
    };
    for column in &request.spec.declared {
        let name = column.from.as_ref().unwrap_or(&column.name);
        let (None, Some(word)) = (&column.set, &column.data_type) else { continue };
        let format = if strict { "CSV" } else { "JSON" };
        let wrong = || FilesError::Type { column: name.clone(), word: word.clone(), format };
        let data_type = types::parse(word).map_err(|_| wrong())?;
        if !super::column::readable_type(&data_type) {
            return Err(wrong());
        }
        set(name, data_type, "its type is declared", true)?;
    }
    for (name, data_type) in request.known() {
        if super::column::readable_type(&data_type) {
            set(&name, data_type, "the schema known from before has it", false)?;
        }
    }
    project(wanted, path, request, strict)
}

fn project(wanted: &mut Vec<Wanted>, path: &str, request: &Request<'_>, strict: bool) -> Result<(), FilesError> {
    let Some(projection) = &request.spec.projection else { return Ok(()) };
    let present: Vec<String> = wanted.iter().map(|column| column.name.clone()).collect();
    for name in projection {
        if position(wanted, name).is_none() {
            if strict {
                return Err(missing(path, name, "it is asked for by name", &present));
            }
            wanted.push(Wanted { name: name.clone(), data_type: None });
        }
    }
    let kept: Vec<usize> = projection.iter().filter_map(|name| position(wanted, name)).collect();
    let mut at = 0;
    wanted.retain(|_| {
        at += 1;
        kept.contains(&(at - 1))
    });
    Ok(())
}

/// A column by its own name, or else by the only one whose snake-case name this is.
fn position(wanted: &[Wanted], name: &str) -> Option<usize> {
    if let Some(at) = wanted.iter().position(|column| column.name == name) {
        return Some(at);
    }
    let mut alike = wanted.iter().enumerate().filter(|(_, column)| Naming::Snake.apply(&column.name) == name);
    match (alike.next(), alike.next()) {
        (Some((at, _)), None) => Some(at),
        _ => None,
    }
}

fn fill_types(wanted: &mut [Wanted], findings: &Findings, notes: &mut Vec<String>) {
    for column in wanted.iter_mut().filter(|column| column.data_type.is_none()) {
        let verdict = findings.verdict(&column.name);
        notes.extend(verdict.note);
        column.data_type = Some(verdict.data_type);
    }
}

fn schema_of(wanted: &[Wanted]) -> SchemaRef {
    let field = |column: &Wanted| Field::new(&column.name, column.data_type.clone().unwrap_or(DataType::Utf8), true);
    Arc::new(Schema::new(wanted.iter().map(field).collect::<Vec<_>>()))
}

fn csv_jobs(heads: &[(InputFile, Head)], wanted: &[Wanted], request: &Request<'_>) -> Vec<Job> {
    let schema = schema_of(wanted);
    let job = |(file, head): &(InputFile, Head)| {
        let layout = csv_layout(head, wanted, &schema, request.spec, &request.options);
        Job { file: file.clone(), how: How::Text { layout: Arc::new(layout), head: head.bytes.clone() } }
    };
    heads.iter().map(job).collect()
}

fn csv_layout(head: &Head, wanted: &[Wanted], schema: &SchemaRef, spec: &ReadSpec, options: &Options) -> Layout {
    let read = |name: &String| {
        let column = wanted.iter().find(|column| column.name == *name)?;
        Some(column.data_type.clone().unwrap_or(DataType::Utf8))
    };
    Layout {
        table: spec.table.clone(),
        schema: Arc::clone(schema),
        places: wanted.iter().map(|column| head.names.iter().position(|name| *name == column.name)).collect(),
        width: head.names.len(),
        shape: Shape::Csv {
            dialect: head.dialect.clone(),
            columns: head.names.iter().map(|name| (name.clone(), read(name))).collect(),
        },
        nulls: Nulls::csv(&options.nulls),
        times: options.times.clone(),
        batch_rows: spec.batch_rows.max(1),
    }
}

async fn settle_json(files: Vec<InputFile>, request: &Request<'_>) -> Result<Settled, FilesError> {
    let path = files.first().map(|file| file.object.clone()).unwrap_or_default();
    let mut notes = Vec::new();
    let mut wanted: Vec<Wanted> = Vec::new();
    // Keys may come and go from record to record: only a projection with types spares the look.
    let mut settled = Vec::new();
    give_types(&mut settled, &path, request, false)?;
    let typed = request.spec.projection.is_some() && settled.iter().all(|column| column.data_type.is_some());
    let mut rows = None;
    if typed && !request.count_rows {
        wanted = settled;
    } else {
        let findings = survey::survey(&json_jobs(&files, &wanted, request), request).await?;
        rows = Some(findings.rows);
        wanted.extend(findings.names().map(|name| Wanted { name: name.to_owned(), data_type: None }));
        give_types(&mut wanted, &path, request, false)?;
        fill_types(&mut wanted, &findings, &mut notes);
    }
    let jobs = json_jobs(&files, &wanted, request);
    Ok(Settled { schema: schema_of(&wanted), jobs, notes, rows, options: Arc::clone(&request.options) })
}

fn json_jobs(files: &[InputFile], wanted: &[Wanted], request: &Request<'_>) -> Vec<Job> {
    let schema = schema_of(wanted);
    let job = |file: &InputFile| {
        let layout = Layout {
            table: request.spec.table.clone(),
            schema: Arc::clone(&schema),
            places: (0..wanted.len()).map(Some).collect(),
            width: wanted.len(),
            shape: Shape::Json {
                lines: file.format == Format::Jsonl,
                max_record_bytes: request.options.max_record_bytes,
            },
            nulls: Nulls::default(),
            times: request.options.times.clone(),
            batch_rows: request.spec.batch_rows.max(1),
        };
        Job { file: file.clone(), how: How::Text { layout: Arc::new(layout), head: Vec::new() } }
    };
    files.iter().map(job).collect()
}

async fn settle_parquet(files: Vec<InputFile>, request: &Request<'_>) -> Result<Settled, FilesError> {
    let path = files.first().map(|file| file.object.clone()).unwrap_or_default();
    let look = files.clone();
    let looked = tokio::task::spawn_blocking(move || look.iter().map(parquet::look).collect::<Result<Vec<_>, _>>());
    let looks = looked.await.map_err(|_| FilesError::Broken { path: path.clone() })??;
    let mut fields: Vec<(Field, String)> = Vec::new();
    for (file, look) in files.iter().zip(&looks) {
        let names: Vec<String> = look.schema.fields().iter().map(|field| field.name().clone()).collect();
        if !request.options.missing_columns_null
            && let Some((field, first)) = fields.iter().find(|(field, _)| !names.contains(field.name()))
        {
            return Err(missing(&file.object, field.name(), &format!("`{first}` has it"), &names));
        }
        for field in look.schema.fields() {
            match fields.iter().find(|(other, _)| other.name() == field.name()) {
                None => fields.push((field.as_ref().clone().with_nullable(true), file.object.clone())),
                Some((other, _)) if other.data_type() == field.data_type() => {}
                Some((other, _)) => {
                    return Err(FilesError::TypeDiffers {
                        column: field.name().clone(),
                        first: types::name(other.data_type()),
                        second: types::name(field.data_type()),
                        path: file.object.clone(),
                    });
                }
            }
        }
    }
    let mut wanted: Vec<Wanted> =
        fields.iter().map(|(field, _)| Wanted { name: field.name().clone(), data_type: None }).collect();
    let typed = Request { spec: request.spec, options: Arc::clone(&request.options), context: request.context, count_rows: false };
    give_types(&mut wanted, &path, &typed, true)?;
    let declared: Vec<&str> = request.spec.declared.iter().map(|column| column.from.as_ref().unwrap_or(&column.name).as_str()).collect();
    let of_file = |column: &Wanted| fields.iter().find(|(field, _)| *field.name() == column.name);
    let schema = Schema::new(
        wanted
            .iter()
            .map(|column| match of_file(column) {
                // The file's own type stands unless another one is declared.
                Some((field, _)) if !declared.iter().any(|name| position(std::slice::from_ref(column), name).is_some()) => {
                    field.clone()
                }
                _ => Field::new(&column.name, column.data_type.clone().unwrap_or(DataType::Utf8), true),
            })
            .collect::<Vec<_>>(),
    );
    let schema = Arc::new(schema);
    let jobs = files.into_iter().map(|file| Job { file, how: How::Parquet { schema: Arc::clone(&schema) } }).collect();
    let rows = Some(looks.iter().map(|look| look.rows).sum());
    Ok(Settled { schema, jobs, notes: Vec::new(), rows, options: Arc::clone(&request.options) })
}
