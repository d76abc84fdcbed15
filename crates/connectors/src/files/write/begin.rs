//! Claims a place for a write: lock, leftovers removed, what is there examined, columns settled.
//!
//! Promise: what cannot work is refused before a row comes; a generation that is already committed is
//! recognised here, under the lock, so nobody can commit it in between. No reader sees a difference.
//! A place in a bucket is claimed in `begin_bucket.rs`.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read as _};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use towpath_ports::{Committed, StateBeforeWrite, WriteRequest, has_exact_text};
use towpath_vocab::{SchemaChange, WriteMode, types};

use super::beside::of_rows;
use super::commit_notes::{self, Known, Part, Standing};
use super::disk::{self, Scratch};
use super::error::{Result, WriteError};
use super::evolve::of_part;
use super::links;
use super::location::{FileTarget, Location, Temporary};
use super::lock::Lock;
use super::written_types::{check_values, written};
use crate::files::chunk::open_bytes;
use crate::files::csv::read_head;
use crate::files::options::Format;
use crate::files::parts::is_part;

/// A place that nobody else writes now, or the files on their way to a bucket. Dropping it removes these files.
pub(super) struct Claim {
    // Dropped in this order: the files go before the lock.
    pub(super) scratch: Scratch,
    _held: Box<dyn Send + Sync>,
}

impl Claim {
    /// With what is given back when the write ends.
    pub(super) fn of(held: impl Send + Sync + 'static) -> Self {
        Self {
            scratch: Scratch::default(),
            _held: Box::new(held),
        }
    }
}

/// One write, from begin to commit.
pub(super) struct Job {
    pub(super) target: FileTarget,
    pub(super) intent: WriteRequest,
    /// How the place looked when it was decided what to write.
    pub(super) before: Option<StateBeforeWrite>,
    pub(super) known: Known,
    pub(super) columns: Columns,
    /// This generation's commit, when an earlier attempt made it.
    pub(super) adopted: Option<Committed>,
    /// A row group may grow this large.
    pub(super) group_bytes: u64,
}

impl Job {
    pub(super) fn location(&self) -> &Location {
        &self.target.location
    }

    pub(super) fn temporary(&self, what: Temporary) -> std::path::PathBuf {
        let location = self.location();
        location
            .folder
            .join(location.temporary(self.intent.generation, what))
    }

    /// Refuses a write that removes rows because of a look at a place which others have changed since.
    pub(super) fn check_state_before(&self, known: &Known) -> Result<()> {
        let Some(before) = self.before.as_ref().filter(|before| before.must_hold) else {
            return Ok(());
        };
        let location = self.location();
        match before.is_overtaken(commit_notes::state(location, known).as_ref()) {
            true => Err(WriteError::Changed {
                path: location.shown.clone(),
            }),
            false => Ok(()),
        }
    }

    /// Whether the file that is there becomes a part of the new one.
    pub(super) fn extends(&self) -> bool {
        self.intent.write.mode == WriteMode::Append
            && self.known.standing != Standing::Missing
            && !self.location().many
    }
}

/// The columns as they are written, each from a column of the rows or NULL.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) schema: SchemaRef,
    pub(super) from: Vec<Option<usize>>,
}

impl Columns {
    /// The columns of the rows, as the format has them.
    fn of(target: &FileTarget, intent: &WriteRequest) -> Result<Self> {
        let all = Self::all(&intent.schema);
        Ok(match target.format {
            Format::Avro | Format::Arrow => Self {
                schema: written(target.format, &all.schema)
                    .map_err(|none| none.refused(&target.location.shown))?,
                ..all
            },
            _ => all,
        })
    }

    fn all(schema: &SchemaRef) -> Self {
        let plain = |field: &Arc<Field>| Field::new(field.name(), field.data_type().clone(), true);
        let fields: Vec<Field> = schema.fields().iter().map(plain).collect();
        Self {
            from: (0..fields.len()).map(Some).collect(),
            schema: Arc::new(Schema::new(fields)),
        }
    }

    /// Brings a batch into these columns.
    pub(super) fn shape(&self, batch: &RecordBatch, shown: &str) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let column =
            |(from, field): (&Option<usize>, &Arc<Field>)| -> Result<ArrayRef, ArrowError> {
                match from.and_then(|at| batch.columns().get(at)) {
                    Some(column) => in_type(column, field.data_type()),
                    None => Ok(new_null_array(field.data_type(), rows)),
                }
            };
        let encode = |error: ArrowError| WriteError::Encode {
            path: shown.to_owned(),
            why: error.to_string(),
        };
        let columns = self.from.iter().zip(self.schema.fields()).map(column);
        let columns = columns.collect::<Result<_, _>>().map_err(encode)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(encode)
    }
}

/// The values in the type in which they are written, which holds each of them.
fn in_type(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == to {
        return Ok(Arc::clone(column));
    }
    let exact = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(column, to, &exact)
}

/// Claims the place of a target.
pub(super) fn begin(
    target: FileTarget,
    (intent, before): (WriteRequest, Option<StateBeforeWrite>),
    group_bytes: u64,
) -> Result<(Job, Claim)> {
    check(&target, &intent)?;
    let location = target.location.clone();
    let shown = location.shown.clone();
    links::check(&location)?;
    disk::make_folder(&location.folder).map_err(WriteError::io(&*shown))?;
    let claim = Claim::of(Lock::take(location.lock(), &shown)?);
    let mut known = commit_notes::read_known(&location)?;
    sweep(&location, &mut known).map_err(WriteError::io(&*shown))?;
    plan(target, (intent, before), known, group_bytes).map(|job| (job, claim))
}

/// Settles what is written to a place of which this is known.
pub(super) fn plan(
    target: FileTarget,
    (intent, before): (WriteRequest, Option<StateBeforeWrite>),
    known: Known,
    group_bytes: u64,
) -> Result<Job> {
    let location = target.location.clone();
    let shown = location.shown.clone();
    if known.standing == Standing::Foreign {
        tracing::warn!(
            "another program has written or changed `{shown}` since Towpath last wrote it"
        );
    }
    let adopted = committed(&known, &intent, &shown)?;
    let mut columns = Columns::of(&target, &intent)?;
    let mut job = Job {
        target,
        before,
        intent,
        known,
        columns: Columns::all(&Arc::new(Schema::empty())),
        adopted,
        group_bytes,
    };
    if job.adopted.is_none() {
        job.check_state_before(&job.known)?;
    }
    let appends = job.intent.write.mode == WriteMode::Append && job.adopted.is_none();
    if appends && job.extends() && !job.target.format.has_columns() {
        check_encoding(&job)?;
    }
    if appends && job.extends() && job.target.format == Format::Csv {
        columns = columns_of_csv(&mut job, columns)?;
    }
    columns = match job.target.format {
        format if format.has_columns() && appends && location.many => of_part(&job, columns)?,
        Format::Csv if appends && location.many => of_rows(&job, columns)?,
        Format::Jsonl if appends && (location.many || job.extends()) => of_rows(&job, columns)?,
        _ => columns,
    };
    check_values(job.target.format, &columns.schema, &shown)?;
    job.columns = columns;
    Ok(job)
}

/// Refuses what no file can hold.
pub(super) fn check(target: &FileTarget, intent: &WriteRequest) -> Result<()> {
    let wrong = |why: String, way_out| {
        Err(WriteError::Target {
            object: target.location.shown.clone(),
            why,
            way_out,
        })
    };
    if !matches!(intent.write.mode, WriteMode::Replace | WriteMode::Append) {
        return wrong(
            "files are written completely".to_owned(),
            "use `write: replace` or `write: append`",
        );
    }
    let fields = intent.schema.fields();
    if fields.is_empty() {
        return wrong(
            "there are no columns to write".to_owned(),
            "keep at least one column",
        );
    }
    let mut names = HashSet::with_capacity(fields.len());
    for (at, field) in fields.iter().enumerate() {
        if field.name().is_empty() {
            return wrong(
                format!("column {} has no name", at + 1),
                "give the column a name",
            );
        }
        if !target.format.has_columns() && !has_exact_text(field.data_type()) {
            let (name, data_type) = (field.name(), types::name(field.data_type()));
            return wrong(
                format!("column `{name}` is `{data_type}`, which has no exact text"),
                "give the column a different type, or write `format: parquet`",
            );
        }
        if !names.insert(field.name()) {
            return wrong(
                format!("two columns are named `{}`", field.name()),
                "rename one of them",
            );
        }
    }
    let is_rewritten = matches!(target.format, Format::Avro | Format::Arrow);
    if is_rewritten && intent.write.mode == WriteMode::Append && !target.location.many {
        return wrong(
            format!("rows are not added to one {} file", target.format.word()),
            "use `write: replace`, or a folder of files: a name that ends with `/`",
        );
    }
    Columns::of(target, intent).map(|_| ())
}

/// The commit of this very generation, if it was made.
pub(super) fn committed(
    known: &Known,
    intent: &WriteRequest,
    shown: &str,
) -> Result<Option<Committed>> {
    let last = known
        .commits
        .get(&intent.task.app_id())
        .map(|noted| &noted.committed);
    let committed = last.map_or(0, |last| last.token.generation.0);
    let (path, generation) = (shown.to_owned(), intent.generation.0);
    match intent.after {
        _ if committed > generation => Err(WriteError::Stale {
            path,
            last: committed,
            generation,
        }),
        _ if committed == generation && last.is_some() => Ok(last.cloned()),
        Some(after) if after.0 != committed => Err(WriteError::Overtaken {
            path,
            committed,
            after: after.0,
        }),
        _ => Ok(None),
    }
}

/// Removes what dead processes left on its way. A folder gets its manifest before its first file, so
/// that a file it does not name is a leftover.
fn sweep(location: &Location, known: &mut Known) -> io::Result<()> {
    let mut foreign = Vec::new();
    for entry in fs::read_dir(&location.folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if location.is_temporary(name) {
            fs::remove_file(entry.path())?;
        } else if location.many
            && is_part(name)
            && !known.parts.iter().any(|part| part.name == name)
        {
            let bytes = entry.metadata()?.len();
            foreign.push(Part {
                name: name.to_owned(),
                rows: None,
                bytes,
            });
        }
    }
    if !location.many {
        return Ok(());
    }
    if known.standing == Standing::Missing {
        // Somebody removed the manifest, or there never was one.
        foreign.sort_by(|a, b| a.name.cmp(&b.name));
        if !foreign.is_empty() {
            known.standing = Standing::Foreign;
        }
        known.parts = foreign;
        let temporary = location.temporary(towpath_vocab::Generation(0), Temporary::Note);
        let bytes = commit_notes::manifest_bytes(
            known.parts.clone(),
            commit_notes::Commits::new(),
            &location.shown,
        )
        .map_err(|error| io::Error::other(error.to_string()))?;
        return disk::replace(&location.path(), &location.folder.join(temporary), &bytes);
    }
    for part in foreign {
        fs::remove_file(location.folder.join(part.name))?;
    }
    Ok(())
}

/// The name of one commit's file in a folder.
pub(super) fn part_name(intent: &WriteRequest, extension: &str) -> String {
    use sha2::Digest as _;
    let task = commit_notes::hex(sha2::Sha256::new_with_prefix(intent.task.app_id()));
    format!(
        "part-{:06}-{}.{extension}",
        intent.generation.0,
        task.get(..8).unwrap_or_default()
    )
}

/// Rows are added in UTF-8: what others wrote must be that, too.
fn check_encoding(job: &Job) -> Result<()> {
    if job.known.standing != Standing::Foreign {
        return Ok(());
    }
    let location = job.location();
    let input = job.target.input(&location.name);
    let wrong = || WriteError::Columns {
        path: location.shown.clone(),
        why: "it is not UTF-8 text, and rows are written in UTF-8".to_owned(),
    };
    let (mut text, _, encoding) = open_bytes(&input)?;
    if encoding != encoding_rs::UTF_8 {
        return Err(wrong());
    }
    let mut bytes = Vec::new();
    loop {
        let read = text.by_ref().take(64 << 10).read_to_end(&mut bytes);
        let ended = read.map_err(WriteError::io(&*location.shown))? == 0;
        let good = match std::str::from_utf8(&bytes) {
            Ok(_) => bytes.len(),
            // A character may go on in the next bytes.
            Err(error) if error.error_len().is_none() && !ended => error.valid_up_to(),
            Err(_) => return Err(wrong()),
        };
        if ended {
            return Ok(());
        }
        bytes.drain(..good);
    }
}

/// Rows that are added to a CSV file come in the file's own order, between its own delimiters.
fn columns_of_csv(job: &mut Job, columns: Columns) -> Result<Columns> {
    let target = &mut job.target;
    let Some(head) = read_head(&target.input(&target.location.name), &target.options)? else {
        return Ok(columns);
    };
    target.delimiter = head.dialect.delimiter;
    Arc::make_mut(&mut target.options).delimiter = Some(head.dialect.delimiter);
    let target = &job.target;
    let fields = columns.schema.fields();
    let wrong = |why: String| {
        Err(WriteError::Columns {
            path: target.location.shown.clone(),
            why,
        })
    };
    if head.dialect.newline == b'\r' {
        let why = "its lines end with a carriage return, but rows are written with a line feed";
        return wrong(why.to_owned());
    }
    if !target.options.header {
        if head.names.len() == fields.len() {
            return Ok(columns);
        }
        return wrong(format!(
            "it has {} columns, and the rows have {}",
            head.names.len(),
            fields.len()
        ));
    }
    let change = job.intent.write.schema_change;
    let new: Vec<&str> = fields
        .iter()
        .map(|field| field.name().as_str())
        .filter(|name| !has(&head.names, name))
        .collect();
    if !new.is_empty() && change != SchemaChange::Ignore {
        return wrong(format!("it has no column `{}`", new.join("`, `")));
    }
    let from: Vec<Option<usize>> = head
        .names
        .iter()
        .map(|name| fields.iter().position(|field| field.name() == name))
        .collect();
    if change == SchemaChange::Fail
        && let Some(at) = from.iter().position(Option::is_none)
    {
        let name = head.names.get(at).map_or("", String::as_str);
        return wrong(format!("the rows have no column `{name}`"));
    }
    let field = |(name, from): (&String, &Option<usize>)| match from.and_then(|at| fields.get(at)) {
        Some(field) => Field::clone(field),
        None => Field::new(name, DataType::Utf8, true),
    };
    let fields: Vec<Field> = head.names.iter().zip(&from).map(field).collect();
    Ok(Columns {
        schema: Arc::new(Schema::new(fields)),
        from,
    })
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other == name)
}
