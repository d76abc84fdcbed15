//! The plan: what the execution side runs, as a graph of tasks that can be serialised and contains no
//! secret.
//!
//! Promise: `project` makes it, `app` connects it with connectors, `orchestrator` runs its tasks, `flow`
//! moves the rows of its tables. It contains no handle, no time and no resolved secret. Read next:
//! `ports/src/source.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::passwords::{
    is_literal_password, is_literal_secret_header, password_arguments, without_literal_passwords,
    without_passwords,
};
use crate::{
    Check, ConnectionPlan, Environment, PipelineName, ProjectId, Rule, Span, StepName,
    TableLineage, TableName, TaskId, Threshold,
};

/// Which rows are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadMode {
    /// Everything.
    #[default]
    Full,
    /// Rows that changed since the last commit, by a cursor column.
    Incremental,
    /// A change feed.
    Cdc,
}

/// How the target is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteMode {
    /// The new rows become the table.
    Replace,
    /// The new rows are added.
    Append,
    /// Rows with a known key are replaced, others added.
    Merge,
    /// Rows with a known key are deleted first, duplicates allowed in the new rows.
    #[serde(rename = "delete+insert")]
    DeleteInsert,
    /// Only rows with an unknown key are added.
    InsertOnly,
    /// Slowly changing dimension, type 1: read as `Merge`.
    Scd1,
    /// Every version of a row is kept, with the time in which it was valid (`RowHistoryPlan`).
    Scd2,
    /// Slowly changing dimension, type 3: read as `Merge` that keeps values before (`AuditColumns`).
    Scd3,
    /// Every read is added whole, with its time (`RowHistoryPlan`).
    Snapshot,
}

/// What happens to rows that break a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRows {
    /// They are stored with their reasons and can be replayed.
    #[default]
    Quarantine,
    /// The first one stops the load.
    Fail,
    /// They are counted and dropped.
    Drop,
}

/// What a destination does when the columns of the rows differ from those of its table. What a project says
/// about it is a `SchemaPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaChange {
    /// New columns are added and types are widened; any other change stops the load.
    #[default]
    Evolve,
    /// New columns are added; a change of a type stops the load.
    AddColumns,
    /// Any change stops the load.
    Fail,
    /// New columns are left out.
    Ignore,
}

impl SchemaChange {
    /// Whether new columns are added.
    pub fn adds_columns(self) -> bool {
        matches!(self, Self::Evolve | Self::AddColumns)
    }
}

/// Which rows of an external system are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// A table, a file or glob, a topic.
    Object(String),
    /// A query in the language of the external system.
    Query(String),
}

/// How an incremental read finds new rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorPlan {
    /// The column in the source.
    pub column: String,
    /// How far before the last position reading starts again, in seconds (timestamps) or units (numbers).
    pub lookback: u64,
}

/// How the values of a column are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// Keyed HMAC-SHA-256, hex. The key is the secret named here.
    Hash(crate::SecretTemplate),
    /// Always NULL. The project has no key to encrypt rejected records, so their text is not stored.
    Null,
    /// Always NULL. Rejected records are encrypted with the secret named here.
    NullSealed(crate::SecretTemplate),
}

/// The settings of one column of a load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnPlan {
    /// Its name in the target.
    pub name: String,
    /// Its name in the source, if it is different.
    pub from: Option<String>,
    /// An SQL expression over source columns.
    pub set: Option<String>,
    /// How its values are masked.
    pub mask: Option<Mask>,
    /// Its declared type, in the words of `vocab::types`.
    #[serde(rename = "type")]
    pub data_type: Option<String>,
    /// Where it was written.
    pub span: Option<Span>,
}

/// Removes duplicates of a key within one load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedup {
    /// The column that decides.
    pub by: String,
    /// True keeps the row with the largest value, false the one with the smallest.
    pub keep_last: bool,
}

/// How a target is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritePlan {
    /// The mode.
    pub mode: WriteMode,
    /// Key columns in the target.
    pub key: Vec<String>,
    /// What happens if columns change.
    pub schema_change: SchemaChange,
    /// Connector options of the target, for files: `format`, `compression`.
    #[serde(default)]
    pub options: BTreeMap<String, serde_json::Value>,
}

/// What happens to rows between reader and writer, and which rules and checks they must pass. It is the
/// same for a load, a model and a publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TablePlan {
    /// The table written.
    pub target: TableName,
    /// How.
    pub write: WritePlan,
    /// If set, only source rows for which this SQL expression is true are written.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// How names in the source become column names; `from` and `where` use names in the source.
    #[serde(default)]
    pub names: crate::Naming,
    /// Columns with settings; the others pass unchanged.
    pub columns: Vec<ColumnPlan>,
    /// If not empty, only these source columns.
    pub keep: Vec<String>,
    /// These source columns are left out.
    pub drop: Vec<String>,
    /// Removal of duplicate keys.
    pub dedup: Option<Dedup>,
    /// Rules about rows.
    pub rules: Vec<Rule>,
    /// Checks about the commit.
    pub checks: Vec<Check>,
    /// What happens to rows that break a rule.
    pub bad_rows: BadRows,
    /// The limit above which they stop the load.
    pub fail_above: Threshold,
    /// Where columns come from.
    pub lineage: TableLineage,
}

/// A load from an external system into the lakehouse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadPlan {
    /// The connection to read from.
    pub connection: ConnectionPlan,
    /// What is read.
    pub selection: Selection,
    /// Options of this table; they win over those of the connection.
    #[serde(default)]
    pub options: BTreeMap<String, serde_json::Value>,
    /// How it is read.
    pub read: ReadMode,
    /// For incremental reads.
    pub cursor: Option<CursorPlan>,
    /// The known columns of the source, from `schemas/CONNECTION.yml`, which are not inferred again. `None`
    /// if nothing was discovered.
    #[serde(default)]
    pub known: Option<crate::TableFact>,
    /// What happens to the rows.
    pub table: TablePlan,
}

/// How a model is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Materialized {
    /// Rebuilt each time.
    Table,
    /// Stored as SQL.
    View,
    /// Built once, then added to.
    Incremental,
    /// Inlined where it is used; never a task.
    Ephemeral,
}

/// A table defined by SQL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPlan {
    /// The model's name, as in `ref()`.
    pub name: String,
    /// The file, relative to the project folder.
    pub file: String,
    /// The template text; it is rendered again at run time if `deferred`.
    pub template: String,
    /// SQL with every reference resolved to `schema.table`, if it could be rendered at check time and does
    /// not depend on the contents of the warehouse.
    pub sql: Option<String>,
    /// How it is stored.
    pub materialized: Materialized,
    /// `ref('x')` and `source('a', 'b')` of this model and of the ephemeral models inlined into it,
    /// resolved: the text between the parentheses, without quotes, joined by `.`, to the table.
    pub references: BTreeMap<String, TableName>,
    /// Bodies of ephemeral models it uses, by name: their templates.
    pub ephemerals: BTreeMap<String, String>,
    /// Macros visible to it: the text of all macro files, joined.
    pub macros: String,
    /// `var()` values.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// Names of `env_var()` it reads, with defaults.
    pub env_vars: BTreeMap<String, Option<String>>,
    /// All tables that its SQL is known to read, sorted: those of `references`, those that it names itself,
    /// and those that its template asks about while it is rendered.
    #[serde(default)]
    pub reads: Vec<TableName>,
    /// True if its template queries rows of the warehouse while it is rendered, so equal inputs do not mean
    /// equal SQL.
    #[serde(default)]
    pub asks: bool,
    /// Wins over `--full-refresh`: with true an incremental model is rebuilt in every run, with false in
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_refresh: Option<bool>,
    /// True if its SQL or its types are known only in the run.
    pub deferred: bool,
    /// What happens to the rows.
    pub table: TablePlan,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandPlan {
    /// The program and its arguments; there is no shell. `${env:…}`, `${secret:…}` and `${run:…}` are not
    /// resolved here or in `env`: only the program gets their values.
    #[serde(serialize_with = "shown_argv")]
    pub argv: Vec<String>,
    /// Working folder, relative to the project.
    pub directory: String,
    /// Extra environment variables.
    #[serde(serialize_with = "shown_env")]
    pub env: BTreeMap<String, String>,
    /// Tables it reads.
    pub reads: Vec<TableName>,
    /// Tables that it writes; each is committed like a load.
    pub writes: Vec<TablePlan>,
}

/// Serialises arguments without passwords, so that they are never shown or stored.
fn shown_argv<S: serde::Serializer>(argv: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    let hidden = password_arguments(argv);
    serializer.collect_seq(
        argv.iter()
            .enumerate()
            .map(|(at, text)| match hidden.contains(&at) {
                true => "…".into(),
                false => without_passwords(text),
            }),
    )
}

fn shown_env<S: serde::Serializer>(
    env: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let shown = |name: &str, text: &str| match is_literal_password(name, text) {
        true => "…".to_owned(),
        false => without_passwords(text).into_owned(),
    };
    serializer.collect_map(env.iter().map(|(name, text)| (name, shown(name, text))))
}

/// SQL that runs in an external system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SqlPlan {
    /// The connection.
    pub connection: ConnectionPlan,
    /// The statements, in order. `${run:…}` in them is not resolved here.
    pub statements: Vec<String>,
    /// Whether all of them take effect, or none.
    pub transaction: bool,
    /// Tables of the lakehouse that must be there before.
    pub reads: Vec<TableName>,
}

/// One HTTP request. `${env:…}`, `${secret:…}` and `${run:…}` in its texts are not resolved here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpPlan {
    /// The method, in capitals.
    pub method: String,
    /// Where it goes.
    #[serde(serialize_with = "shown_text")]
    pub url: String,
    /// Its headers.
    #[serde(serialize_with = "shown_headers")]
    pub headers: BTreeMap<String, String>,
    /// What it brings.
    pub body: HttpBody,
    /// The statuses of an answer that is well, as ranges from and to.
    pub expect: Vec<(u16, u16)>,
    /// Tables of the lakehouse that must be there before.
    pub reads: Vec<TableName>,
}

/// What an HTTP request brings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpBody {
    /// Nothing.
    #[default]
    None,
    /// A text.
    Text(#[serde(serialize_with = "shown_text")] String),
    /// JSON, in whose texts values are put.
    Json(#[serde(serialize_with = "shown_json")] serde_json::Value),
}

/// Serialises headers without what shows who asks.
fn shown_headers<S: serde::Serializer>(
    headers: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let shown = |name: &str, text: &str| match is_literal_secret_header(name, text) {
        true => "…".to_owned(),
        false => without_passwords(text).into_owned(),
    };
    serializer.collect_map(headers.iter().map(|(name, text)| (name, shown(name, text))))
}

/// Serialises JSON without the passwords in it.
fn shown_json<S: serde::Serializer>(
    value: &serde_json::Value,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    without_literal_passwords("", value).serialize(serializer)
}

/// Serialises a text without the passwords in it.
fn shown_text<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&without_passwords(text))
}

/// A table that is sent to an external system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishPlan {
    /// The lakehouse table.
    pub from: TableName,
    /// The connection to write to.
    pub connection: ConnectionPlan,
    /// The object there.
    pub object: String,
    /// What happens to the rows; `target` names the object as `connection.object`.
    pub table: TablePlan,
}

/// What a task does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Load a table.
    Load(Box<LoadPlan>),
    /// Build a model.
    Model(Box<ModelPlan>),
    /// Run a program.
    Command(Box<CommandPlan>),
    /// Send a table to an external system.
    Publish(Box<PublishPlan>),
    /// Run SQL in an external system.
    Sql(Box<SqlPlan>),
    /// Send one HTTP request.
    Http(Box<HttpPlan>),
}

/// When a task may start, given how its parents ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerRule {
    /// All succeeded.
    #[default]
    AllSuccess,
    /// All ended, however.
    AllDone,
    /// At least one failed.
    OneFailed,
    /// At least one succeeded; the task starts as soon as it did.
    OneSuccess,
    /// None failed (a skipped parent is allowed).
    NoneFailed,
}

/// How often, and with which delays, a failed task is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPlan {
    /// The number of attempts after the first.
    pub retries: u32,
    /// Delay before the first retry, in milliseconds; doubled each time, with full jitter.
    pub backoff_ms: u64,
    /// The longest delay, in milliseconds.
    pub backoff_max_ms: u64,
    /// An attempt is stopped after this many milliseconds.
    pub timeout_ms: Option<u64>,
    /// If a system cannot be reached, the task is tried again for this many milliseconds; this does not
    /// count as one of `retries`.
    #[serde(default = "reconnect_ms")]
    pub reconnect_ms: u64,
}

/// A minute: most servers restart in less.
fn reconnect_ms() -> u64 {
    60_000
}

impl Default for RetryPlan {
    fn default() -> Self {
        Self {
            retries: 2,
            backoff_ms: 1_000,
            backoff_max_ms: 60_000,
            timeout_ms: None,
            reconnect_ms: reconnect_ms(),
        }
    }
}

/// One node of the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// Unique in its pipeline.
    pub id: TaskId,
    /// The step it belongs to.
    pub step: StepName,
    /// What it does.
    pub action: Action,
    /// Tasks it waits for, from data and from `after`.
    pub after: Vec<TaskId>,
    /// When it may start.
    pub when: TriggerRule,
    /// What happens after a failure.
    pub retry: RetryPlan,
    /// Where it was written.
    pub span: Option<Span>,
}

/// One pipeline, compiled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedPipeline {
    /// Its name.
    pub name: PipelineName,
    /// Steps in the order of the file.
    pub steps: Vec<StepName>,
    /// Tasks, parents before children.
    pub tasks: Vec<PlannedTask>,
    /// The most tasks at once.
    pub parallel: usize,
    /// When it runs by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<crate::SchedulePlan>,
    /// Who gets its alerts.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub alerts: crate::AlertsPlan,
}

/// A checked project, ready to run in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this form; 1.
    pub version: u32,
    /// The project's id.
    pub project: ProjectId,
    /// The project's name.
    pub name: String,
    /// The environment.
    pub environment: Environment,
    /// Where the tables are stored: a path relative to the project folder, or a URL.
    pub lakehouse: String,
    /// The state store, if the project names one: a URL or the path of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<crate::SecretTemplate>,
    /// The time limit of one statement, if the project sets one; 0 means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_timeout_ms: Option<u64>,
    /// Every connection, by name.
    pub connections: BTreeMap<String, ConnectionPlan>,
    /// Every pipeline, in the order of their names.
    pub pipelines: Vec<PlannedPipeline>,
}
