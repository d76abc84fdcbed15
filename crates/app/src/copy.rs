//! `copy`: moves a table without a project, through the same data path as a run.
//!
//! Records that cannot become a row stand in `DESTINATION.rejected.jsonl`; the copy goes on unless
//! they are too many. It knows files by their ending and databases by the scheme of their URL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use towpath_flow::{Cadence, Carry, OutputSpec, OutputSummary, Progress, carry};
use towpath_ports::{Committed, Destination, Intent, ReadSpec, Writer};
use towpath_vocab::{
    BadRows, ColumnPlan, ConnectionPlan, ConnectorSpec, Environment, Failure, Generation, Naming,
    OptionValue, Position, ReadMode, Remedy, SchemaChange, SecretTemplate, Selection, TableLineage,
    TableName, TablePlan, TaskKey, Threshold, WriteMode, WritePlan,
};

use crate::Result;
use crate::house::{House, HouseOptions, connector_specs, parallelism};

/// What is to be copied.
#[derive(Clone, Debug)]
pub struct CopyRequest {
    /// A file, a glob or a URL.
    pub source: String,
    /// A file or a URL.
    pub destination: String,
    /// The table to read from a database.
    pub table: Option<String>,
    /// The table to write in a database.
    pub into: Option<String>,
    /// How; `None` replaces a file and makes a table that does not exist.
    pub write: Option<WriteMode>,
    /// Key columns, for merges.
    pub key: Vec<String>,
    /// Declared types, by column.
    pub types: Vec<(String, String)>,
    /// Options of the source.
    pub options: Vec<(String, String)>,
    /// The memory budget.
    pub memory_bytes: Option<u64>,
    /// Where relative paths start.
    pub working_dir: PathBuf,
}

/// One end of a copy.
struct End {
    connection: ConnectionPlan,
    object: String,
}

/// Copies one table; gives what happened and where rejected records stand.
///
/// # Errors
/// `FixConfig` for ends that cannot be understood, `Refused` when a table would be replaced unasked.
pub async fn copy(
    request: &CopyRequest,
    progress: Arc<Progress>,
    cancel: CancellationToken,
) -> Result<(OutputSummary, PathBuf)> {
    let scratch = tempfile::tempdir().map_err(|error| {
        Failure::new(
            "R0913",
            Remedy::FixConfig,
            format!("no temporary folder can be made: {error}"),
        )
    })?;
    let house = House::open(HouseOptions {
        dir: scratch.path(),
        lakehouse: "lake",
        environment: &Environment::new("copy"),
        memory_bytes: request.memory_bytes,
    })?;
    let specs = connector_specs();
    let from = end(
        &request.source,
        request.table.as_deref(),
        &request.working_dir,
        &specs,
    )?;
    let into = request.into.clone().unwrap_or_else(|| stem(&from.object));
    let to = end(
        &request.destination,
        Some(&into),
        &request.working_dir,
        &specs,
    )?;
    let destination = house.destination(&to.connection)?;
    let target = TableName::new(to.connection.name.clone(), to.object.clone());
    let mode = write_mode(request, &to, destination.as_ref(), &target).await?;
    let source = house.source(&from.connection)?;
    let spec = read_spec(request, &from, &target);
    let task = task_key(request, &target);
    let last = destination.last(&task, &target).await?;
    let after = last.map_or(Generation(0), |last| last.token.generation);
    let reader = source.open(&spec, None).await?;
    let rejected = rejected_path(request, &to);
    let output = OutputSpec {
        source_table: target.clone(),
        plan: table_plan(target, mode, request.key.clone()),
        task,
        generation: after.next(),
        after: Some(after),
        destination,
        quarantine: Arc::new(RejectFile::beside(&house, &rejected)?),
        committed: Position::default(),
    };
    let carried = Carry {
        reader,
        opened_at: Position::default(),
        outputs: vec![output],
        run: "copy".to_owned(),
        cadence: Cadence::default(),
        cancel,
    };
    let summary = carry(carried, &house.services(progress)).await?;
    let table = summary
        .outputs
        .into_iter()
        .next()
        .ok_or_else(|| Failure::new("R0914", Remedy::Bug, "the copy ended without a result"))?;
    Ok((table, rejected))
}

fn end(
    text: &str,
    table: Option<&str>,
    working_dir: &Path,
    specs: &[ConnectorSpec],
) -> Result<End> {
    match text.split_once("://") {
        Some((scheme, _)) => database_end(text, scheme, table, specs),
        None => file_end(text, working_dir),
    }
}

fn database_end(
    url: &str,
    scheme: &str,
    table: Option<&str>,
    specs: &[ConnectorSpec],
) -> Result<End> {
    let spec = specs
        .iter()
        .find(|spec| spec.schemes.iter().any(|known| known == scheme))
        .ok_or_else(|| {
            let known: Vec<&str> = specs
                .iter()
                .flat_map(|spec| &spec.schemes)
                .map(String::as_str)
                .collect();
            Failure::new(
                "R0915",
                Remedy::FixConfig,
                format!("there is no connector for `{scheme}://`"),
            )
            .help(format!("there are: {}", known.join(", ")))
        })?;
    let object = table.ok_or_else(|| {
        Failure::new("R0916", Remedy::FixConfig, "which table of the database?")
            .help("example: --table public.orders")
    })?;
    let url = OptionValue::Secret(SecretTemplate::new(url));
    Ok(End {
        connection: ConnectionPlan {
            name: spec.kind.clone(),
            kind: spec.kind.clone(),
            writable: true,
            options: BTreeMap::from([("url".to_owned(), url)]),
        },
        object: object.to_owned(),
    })
}

fn file_end(text: &str, working_dir: &Path) -> Result<End> {
    let path = working_dir.join(text);
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .ok_or_else(|| {
            Failure::new(
                "R0917",
                Remedy::FixConfig,
                format!("`{text}` names no file"),
            )
        })?;
    let folder = path.parent().unwrap_or(working_dir).display().to_string();
    let folder = OptionValue::Plain(serde_json::Value::String(folder));
    Ok(End {
        connection: ConnectionPlan {
            name: "files".to_owned(),
            kind: "files".to_owned(),
            writable: true,
            options: BTreeMap::from([("path".to_owned(), folder)]),
        },
        object: name,
    })
}

/// `orders.csv.gz` and `public.orders` are both `orders` to a person.
fn stem(object: &str) -> String {
    let is_file = [".csv", ".tsv", ".jsonl", ".json", ".parquet"]
        .iter()
        .any(|ending| object.contains(ending));
    let name = if is_file {
        object.split('.').next()
    } else {
        object.rsplit('.').next()
    };
    name.unwrap_or(object).to_owned()
}

async fn write_mode(
    request: &CopyRequest,
    to: &End,
    destination: &dyn Destination,
    target: &TableName,
) -> Result<WriteMode> {
    if let Some(mode) = request.write {
        return Ok(mode);
    }
    if to.connection.kind == "files" || destination.schema(target).await?.is_none() {
        return Ok(WriteMode::Replace);
    }
    Err(Failure::new(
        "R0918",
        Remedy::Refused,
        format!("`{}` exists already", to.object),
    )
    .help("say what is to happen to it: --write replace, --write append, or --write merge --key …"))
}

fn read_spec(request: &CopyRequest, from: &End, target: &TableName) -> ReadSpec {
    let declared = request.types.iter().map(|(name, data_type)| ColumnPlan {
        name: name.clone(),
        data_type: Some(data_type.clone()),
        ..ColumnPlan::default()
    });
    ReadSpec {
        table: target.clone(),
        selection: Selection::Object(from.object.clone()),
        mode: ReadMode::Full,
        cursor: None,
        declared: declared.collect(),
        known: None,
        projection: None,
        limit: None,
        options: request
            .options
            .iter()
            .map(|(key, value)| (key.clone(), option_value(value)))
            .collect(),
        parallel: parallelism(),
        batch_rows: 32 * 1024,
        batch_bytes: 8 << 20,
    }
}

/// `true`, `3` and `["a","b"]` as what they are, anything else as text.
fn option_value(text: &str) -> serde_json::Value {
    match serde_json::from_str(text) {
        Ok(
            value @ (serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::Array(_)),
        ) => value,
        _ => serde_json::Value::String(text.to_owned()),
    }
}

fn table_plan(target: TableName, mode: WriteMode, key: Vec<String>) -> TablePlan {
    TablePlan {
        target,
        write: WritePlan {
            mode,
            key,
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        },
        filter: None,
        names: Naming::Exact,
        columns: Vec::new(),
        keep: Vec::new(),
        drop: Vec::new(),
        dedup: None,
        rules: Vec::new(),
        checks: Vec::new(),
        bad_rows: BadRows::Quarantine,
        fail_above: Threshold::default(),
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
        table: target.clone(),
    }
}

fn rejected_path(request: &CopyRequest, to: &End) -> PathBuf {
    match to.connection.kind.as_str() {
        "files" => request
            .working_dir
            .join(format!("{}.rejected.jsonl", request.destination)),
        _ => request
            .working_dir
            .join(format!("{}.rejected.jsonl", to.object)),
    }
}

/// A quarantine that is one file of JSON lines: what `flow` would merge into a table is added to it.
struct RejectFile {
    files: Arc<dyn Destination>,
    table: TableName,
}

impl RejectFile {
    fn beside(house: &House, path: &Path) -> Result<Self> {
        let end = file_end(&path.display().to_string(), Path::new("/"))?;
        let table = TableName::new(end.connection.name.clone(), end.object);
        Ok(Self {
            files: house.destination(&end.connection)?,
            table,
        })
    }
}

#[async_trait]
impl Destination for RejectFile {
    async fn last(&self, task: &TaskKey, _table: &TableName) -> Result<Option<Committed>> {
        self.files.last(task, &self.table).await
    }

    async fn begin(&self, mut intent: Intent) -> Result<Box<dyn Writer>> {
        intent.table = self.table.clone();
        intent.task.table = self.table.clone();
        intent.write.mode = WriteMode::Replace;
        intent.write.key.clear();
        self.files.begin(intent).await
    }

    async fn schema(&self, _table: &TableName) -> Result<Option<SchemaRef>> {
        self.files.schema(&self.table).await
    }
}
