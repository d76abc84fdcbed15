//! `copy`: copies one table without a project, through the same data path as a run.
//!
//! Promise: a record that cannot become a row is written to `DESTINATION.rejected.jsonl`, and the copy
//! continues unless there are too many of them. Files are recognised by their ending, databases by the
//! scheme of their URL. Read next: `copy/ends.rs` (the two ends), `flow/src/transfer.rs`.

mod ends;
mod options;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use towpath_flow::{
    CommitCadence, OutputSpec, OutputSummary, Progress, SkipCommit, Transfer, run_transfer,
};
use towpath_orchestrator::{ReconnectLimit, ReconnectPause, reach};
use towpath_ports::{
    Candidate, CandidateRows, Checkpoint, Commit, Committed, Destination, OpColumn, Prepared,
    PreparedStats, ReadSpec, Receipt, StagedFile, WriteRequest, Writer,
};
use towpath_vocab::{
    Annotations, BadRows, ColumnPlan, Environment, Failure, Generation, Naming, Position, ReadMode,
    Remedy, SchemaChange, Selection, TableLineage, TableName, TablePlan, TaskKey, TaskKind,
    Threshold, WriteMode, WritePlan,
};

use self::ends::{CopyEndpoint, file_end, source, stem};
pub(crate) use self::ends::{is_of_files, refuse_address};
pub use self::verify::Verified;
use self::verify::Watch;
use crate::services::{
    ProjectServices, ServiceOptions, connector_specs, holds_files, parallelism, scratch,
};
use crate::{Result, private_files};

/// How long a copy retries a database that cannot be reached, before any rows are moved.
const RECONNECT: Duration = Duration::from_secs(60);

/// Is called before a retry of a database that cannot be reached.
pub type Waits = dyn Fn(ReconnectPause<'_>) + Send + Sync;

/// The most bad rows whose reasons are shown if a copy stops.
const SHOWN: usize = 3;

/// What to copy.
#[derive(Clone, Debug)]
pub struct CopyRequest {
    /// A file, a glob or a URL.
    pub source: String,
    /// A file or a URL.
    pub destination: String,
    /// The table to read from a database.
    pub table: Option<String>,
    /// A query of the database, instead of a table.
    pub query: Option<String>,
    /// The columns to copy; empty for all.
    pub columns: Vec<String>,
    /// Only rows for which this SQL expression is true.
    pub filter: Option<String>,
    /// At most so many rows.
    pub limit: Option<u64>,
    /// The table to write in a database.
    pub into: Option<String>,
    /// The write mode; `None` replaces a file, and creates a table that does not exist.
    pub write: Option<WriteMode>,
    /// Key columns, for merges.
    pub key: Vec<String>,
    /// Declared types, by column.
    pub types: Vec<(String, String)>,
    /// Options of the source.
    pub options: Vec<(String, String)>,
    /// Compare the target with what was copied, after the commit.
    pub verify: bool,
    /// How many bad rows stop it; `None` for the usual limit.
    pub fail_above: Option<Threshold>,
    /// The memory budget.
    pub memory_bytes: Option<u64>,
    /// The folder to which relative paths are relative.
    pub working_dir: PathBuf,
}

/// What became of a copy.
pub struct CopyReport {
    /// What was read, written and rejected.
    pub table: OutputSummary,
    /// The file of the rejected records.
    pub rejected: PathBuf,
    /// What the comparison came to, if it was asked for and the copy was committed.
    pub verified: Option<Result<Verified>>,
}

/// Copies one table.
///
/// # Errors
/// `FixConfig` for a source or target that cannot be understood, `Refused` if a table would be replaced
/// without a request to do so.
pub async fn copy(
    request: &CopyRequest,
    progress: Arc<Progress>,
    cancel: CancellationToken,
    waits: &Waits,
) -> Result<CopyReport> {
    let scratch = scratch()?;
    let environment = Environment::new("copy");
    let services = ProjectServices::open(ServiceOptions {
        dir: scratch.path(),
        files: None,
        lakehouse: None,
        project: None,
        state: None,
        environment: &environment,
        model_environment: &environment,
        memory_bytes: request.memory_bytes,
        statement_timeout_ms: None,
    })?;
    let specs = connector_specs();
    // A query has no name: `query` only stands for one in messages.
    let object = request.query.as_ref().map(|_| "query");
    let from = source(
        &request.source,
        object.or(request.table.as_deref()),
        &request.working_dir,
        &specs,
    )?;
    let options = options::read(&request.options, &from.connection.kind, &specs)?;
    let into = into(request, &from);
    let to = ends::target(
        &request.destination,
        into.as_deref(),
        &request.working_dir,
        &specs,
    )?;
    refuse_of_files(request, &from, &to)?;
    refuse_together(request)?;
    let copying = Copying {
        request,
        services: &services,
        to: &to,
        cancel,
        waits,
    };
    Box::pin(copying.carry_out(&from, options, progress)).await
}

/// A copy whose ends are understood.
struct Copying<'a> {
    request: &'a CopyRequest,
    services: &'a ProjectServices,
    to: &'a CopyEndpoint,
    cancel: CancellationToken,
    waits: &'a Waits,
}

impl Copying<'_> {
    /// Opens both ends, moves the rows, and compares where that was asked for.
    async fn carry_out(
        &self,
        from: &CopyEndpoint,
        options: BTreeMap<String, serde_json::Value>,
        progress: Arc<Progress>,
    ) -> Result<CopyReport> {
        let Self {
            request,
            services,
            to,
            cancel,
            waits,
        } = self;
        let destination = services.destination(&to.connection)?;
        let target = TableName::new(to.connection.name.clone(), to.object.clone());
        let patience = ReconnectLimit::new(RECONNECT);
        let system = services.system.as_ref();
        let mode = reach(&patience, system, cancel, *waits, || {
            write_mode(request, to, destination.as_ref(), &target)
        })
        .await?;
        if request.verify {
            verify::refuse_mode(mode)?;
        }
        let source = services.source(&from.connection)?;
        let spec = read_spec(request, from, options, &target);
        let task = task_key(request, &target);
        let last = reach(&patience, system, cancel, *waits, || {
            destination.last(&task, &target)
        })
        .await?;
        let after = last.map_or(Generation(0), |last| last.token.generation);
        // From here on a retry could write twice, so a lost connection is a failure.
        let reader = reach(&patience, system, cancel, *waits, || {
            source.open(&spec, None)
        })
        .await?;
        let watch = request.verify.then(Watch::default);
        let (reader, destination) = match &watch {
            Some(watch) => (watch.reader(reader), watch.destination(destination)),
            None => (reader, destination),
        };
        let rejected = rejected_path(request, to);
        let output = self.output((target, mode), (task, after), destination, &rejected)?;
        let transfer = Transfer {
            reader,
            opened_at: Position::default(),
            outputs: vec![output],
            run: "copy".to_owned(),
            cadence: CommitCadence::default(),
            commits: None,
            cancel: cancel.clone(),
        };
        let summary = run_transfer(transfer, &services.transfer_services(progress)).await?;
        let mut table =
            summary.outputs.into_iter().next().ok_or_else(|| {
                Failure::new("R0914", Remedy::Bug, "the copy ended without a result")
            })?;
        let stopped = table.stopped.take();
        table.stopped = stopped.map(|stopped| stop_of_a_copy(stopped, &table, to, &rejected));
        let verified = match watch.filter(|_| table.receipt.is_some()) {
            Some(watch) => Some(self.verified(&watch, &table).await),
            None => None,
        };
        Ok(CopyReport {
            table,
            rejected,
            verified,
        })
    }

    fn output(
        &self,
        (target, mode): (TableName, WriteMode),
        (task, after): (TaskKey, Generation),
        destination: Arc<dyn Destination>,
        rejected: &Path,
    ) -> Result<OutputSpec> {
        Ok(OutputSpec {
            source_table: target.clone(),
            plan: table_plan(target, mode, self.request),
            task,
            generation: after.next(),
            after: Some(after),
            destination,
            quarantine: Arc::new(RejectFile::beside(self.services, rejected)?),
            committed: Position::default(),
            fingerprint: None,
            annotations: Annotations::default(),
            checkpoint: Checkpoint::default(),
            operators: Vec::new(),
            rows_before: None,
            skip: SkipCommit::Never,
        })
    }

    /// Compares the target with what was copied, until the user stops it.
    async fn verified(&self, watch: &Watch, table: &OutputSummary) -> Result<Verified> {
        let source = self.services.source(&self.to.connection)?;
        let compared = watch.compare(self.request, self.to, source.as_ref(), table);
        tokio::select! {
            compared = Box::pin(compared) => compared,
            () = self.cancel.cancelled() => Err(verify::stopped()),
        }
    }
}

/// The name of the table that is written; `None` if a query needs a name for it.
fn into(request: &CopyRequest, from: &CopyEndpoint) -> Option<String> {
    match (&request.into, &request.query) {
        (Some(into), _) => Some(into.clone()),
        (None, None) => Some(stem(&from.object)),
        (None, Some(_)) => None,
    }
}

/// Refuses options that would not mean together what each means alone.
fn refuse_together(request: &CopyRequest) -> Result<()> {
    if request.limit.is_some() && request.filter.is_some() {
        return Err(Failure::new(
            "R0919",
            Remedy::FixConfig,
            "--limit counts the rows that are read, before --where",
        )
        .help("copy with one of them, or let a database do both: --query \"select … where … limit …\""));
    }
    Ok(())
}

/// Refuses settings that only a database has, where the source or the target is a file.
fn refuse_of_files(request: &CopyRequest, from: &CopyEndpoint, to: &CopyEndpoint) -> Result<()> {
    let refuse = |option: &str, why: String| {
        Err(Failure::new(
            "R0919",
            Remedy::FixConfig,
            format!("{option} has no effect: {why}"),
        )
        .help(format!("copy without {option}")))
    };
    let is_rewritten = matches!(
        request.write,
        None | Some(WriteMode::Replace | WriteMode::Append)
    );
    for (option, value) in [("--table", &request.table), ("--query", &request.query)] {
        if value.is_some() && holds_files(&from.connection.kind) {
            return refuse(option, format!("the source `{}` is a file", request.source));
        }
    }
    if request.into.is_some() && holds_files(&to.connection.kind) {
        return refuse("--into", format!("the target `{}` is a file", to.object));
    }
    if !request.key.is_empty() && holds_files(&to.connection.kind) && is_rewritten {
        let why = format!("the file `{}` is not written by key", to.object);
        return refuse("--key", why);
    }
    Ok(())
}

/// The failure of a stopped copy, which has neither a project nor a quarantine.
fn stop_of_a_copy(
    stopped: Failure,
    table: &OutputSummary,
    to: &CopyEndpoint,
    rejected: &Path,
) -> Failure {
    if table.samples.is_empty() {
        return stopped;
    }
    let named = format!("`{}`", table.table);
    let message = stopped
        .message
        .replacen(&named, &format!("`{}`", to.object), 1);
    let mut failure = Failure::new(&stopped.code, stopped.remedy, message);
    for reject in table.samples.iter().take(SHOWN) {
        for reason in &reject.reasons {
            failure = failure.help(format!("{}: {}", reject.place, reason.text()));
        }
    }
    failure
        .help("nothing was written; the target is unchanged")
        .help(format!("look: every bad row is in {}", rejected.display()))
        .help("accept: towpath copy --fail-above 100% …")
}

async fn write_mode(
    request: &CopyRequest,
    to: &CopyEndpoint,
    destination: &dyn Destination,
    target: &TableName,
) -> Result<WriteMode> {
    if let Some(mode) = request.write {
        return Ok(mode);
    }
    if holds_files(&to.connection.kind) || destination.schema(target).await?.is_none() {
        return Ok(WriteMode::Replace);
    }
    Err(Failure::new(
        "R0918",
        Remedy::Refused,
        format!("`{}` exists already", to.object),
    )
    .help("choose how to write it: --write replace, --write append, or --write merge --key …"))
}

fn read_spec(
    request: &CopyRequest,
    from: &CopyEndpoint,
    options: BTreeMap<String, serde_json::Value>,
    target: &TableName,
) -> ReadSpec {
    let declared = request.types.iter().map(|(name, data_type)| ColumnPlan {
        name: name.clone(),
        data_type: Some(data_type.clone()),
        ..ColumnPlan::default()
    });
    let selection = match &request.query {
        Some(query) => Selection::Query(query.clone()),
        None => Selection::Object(from.object.clone()),
    };
    // `where` may name other columns.
    let is_narrow = !request.columns.is_empty() && request.filter.is_none();
    ReadSpec {
        table: target.clone(),
        selection,
        mode: ReadMode::Full,
        cursor: None,
        declared: declared.collect(),
        known: None,
        observed: None,
        projection: is_narrow.then(|| request.columns.clone()),
        limit: request.limit,
        options,
        parallel: parallelism(),
        batch_rows: 32 * 1024,
        batch_bytes: 8 << 20,
        may_repeat: false,
    }
}

fn table_plan(target: TableName, mode: WriteMode, request: &CopyRequest) -> TablePlan {
    TablePlan {
        target,
        write: WritePlan {
            mode,
            key: request.key.clone(),
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        },
        filter: request.filter.clone(),
        names: Naming::Exact,
        columns: Vec::new(),
        keep: request.columns.clone(),
        drop: Vec::new(),
        dedup: None,
        rules: Vec::new(),
        checks: Vec::new(),
        bad_rows: BadRows::Quarantine,
        fail_above: request.fail_above.unwrap_or_default(),
        lineage: TableLineage::default(),
    }
}

fn task_key(request: &CopyRequest, target: &TableName) -> TaskKey {
    let source = request
        .source
        .split_once("://")
        .map_or(request.source.as_str(), |(scheme, _)| scheme);
    TaskKey {
        project: "copy".into(),
        environment: "copy".into(),
        pipeline: "copy".into(),
        step: source.into(),
        kind: TaskKind::Step,
        table: target.clone(),
    }
}

fn rejected_path(request: &CopyRequest, to: &CopyEndpoint) -> PathBuf {
    let of = match holds_files(&to.connection.kind) {
        // Of a file in a bucket: here, by its own name.
        true if !request.destination.contains("://") => &request.destination,
        _ => to.object.rsplit('/').next().unwrap_or(&to.object),
    };
    request.working_dir.join(format!("{of}.rejected.jsonl"))
}

/// A quarantine in one file of JSON lines: records that `flow` would merge into a table are appended to it.
struct RejectFile {
    files: Arc<dyn Destination>,
    table: TableName,
    path: PathBuf,
}

impl RejectFile {
    fn beside(services: &ProjectServices, path: &Path) -> Result<Self> {
        let end = file_end(&path.display().to_string(), Path::new("/"))?;
        let table = TableName::new(end.connection.name.clone(), end.object);
        Ok(Self {
            files: services.destination(&end.connection)?,
            table,
            path: path.to_path_buf(),
        })
    }

    /// The task with its name in the ledger of the file.
    fn task(&self, task: &TaskKey) -> TaskKey {
        TaskKey {
            table: self.table.clone(),
            ..task.clone()
        }
    }
}

#[async_trait]
impl Destination for RejectFile {
    async fn last(&self, task: &TaskKey, _table: &TableName) -> Result<Option<Committed>> {
        self.files.last(&self.task(task), &self.table).await
    }

    async fn begin(&self, mut intent: WriteRequest) -> Result<Box<dyn Writer>> {
        intent.table = self.table.clone();
        intent.task = self.task(&intent.task);
        intent.write.mode = WriteMode::Replace;
        intent.write.key.clear();
        Ok(Box::new(RejectWriter {
            inner: self.files.begin(intent).await?,
            path: self.path.clone(),
        }))
    }

    async fn schema(&self, _table: &TableName) -> Result<Option<SchemaRef>> {
        self.files.schema(&self.table).await
    }
}

/// Appends records when they come; a file has no keys by which they could be merged.
struct RejectWriter {
    inner: Box<dyn Writer>,
    path: PathBuf,
}

#[async_trait]
impl Writer for RejectWriter {
    async fn write(&mut self, batch: RecordBatch, _ops: Option<OpColumn>) -> Result<()> {
        self.inner.write(batch, None).await
    }

    async fn add_files(&mut self, files: Vec<StagedFile>) -> Result<()> {
        self.inner.add_files(files).await
    }

    async fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>> {
        let inner = self.inner.prepare().await?;
        Ok(Box::new(RejectPrepared {
            inner,
            path: self.path,
        }))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}

/// The file of rejected records, which only its owner can read.
struct RejectPrepared {
    inner: Box<dyn Prepared>,
    path: PathBuf,
}

#[async_trait]
impl Prepared for RejectPrepared {
    fn stats(&self) -> PreparedStats {
        self.inner.stats()
    }

    async fn candidate(&self, scope: CandidateRows) -> Result<Candidate> {
        self.inner.candidate(scope).await
    }

    async fn commit(self: Box<Self>, commit: Commit) -> Result<Receipt> {
        let receipt = self.inner.commit(commit).await?;
        private_files::close_one(&self.path);
        Ok(receipt)
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        self.inner.discard().await
    }
}
