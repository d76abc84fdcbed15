//! A database per test, stand-ins for secrets and memory, and reading everything a source gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::StreamExt as _;
use towpath_connectors::connectors;
use towpath_ports::{
    Assignment, Commit, Connector, ConnectorContext, Destination, Discover, Event, Intent,
    Prepared, ReadSpec, Receipt, Scope, Source, row_as_json,
};
use towpath_testkit::conformance::Ample;
use towpath_testkit::postgres::PostgresServer;
use towpath_vocab::{
    ConnectionPlan, CursorPlan, Failure, Generation, OptionValue, Position, ReadMode, Reject,
    SchemaChange, SecretTemplate, Selection, TableName, TaskKey, TaskKind, WriteMode, WritePlan,
};

pub(crate) fn context() -> ConnectorContext {
    Ample::context(".")
}

pub(crate) fn postgres() -> Arc<dyn Connector> {
    connectors()
        .into_iter()
        .find(|connector| connector.spec().kind == "postgres")
        .unwrap()
}

pub(crate) fn plan(url: &str) -> ConnectionPlan {
    ConnectionPlan {
        name: "db".into(),
        kind: "postgres".into(),
        writable: true,
        options: BTreeMap::from([("url".into(), OptionValue::Secret(SecretTemplate::new(url)))]),
    }
}

pub(crate) fn source(plan: &ConnectionPlan) -> Arc<dyn Source> {
    postgres().source(plan, &context()).unwrap()
}

pub(crate) fn destination(plan: &ConnectionPlan) -> Arc<dyn Destination> {
    postgres().destination(plan, &context()).unwrap()
}

/// A database of its own on the shared server.
pub(crate) struct Database {
    pub(crate) server: Arc<PostgresServer>,
    pub(crate) name: String,
}

impl Database {
    pub(crate) fn new() -> Self {
        let server = PostgresServer::shared().unwrap();
        let name = server.new_database().unwrap();
        Self { server, name }
    }

    /// On a server of its own, where no other test has transactions open.
    pub(crate) fn alone(sql: &str) -> Self {
        let database = Self {
            server: Arc::new(PostgresServer::start().unwrap()),
            name: "postgres".into(),
        };
        database.sql(sql);
        database
    }

    pub(crate) fn with(sql: &str) -> Self {
        let database = Self::new();
        database.sql(sql);
        database
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql).unwrap()
    }

    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }

    pub(crate) fn plan(&self) -> ConnectionPlan {
        plan(&self.url())
    }

    pub(crate) fn source(&self) -> Arc<dyn Source> {
        source(&self.plan())
    }

    pub(crate) fn destination(&self) -> Arc<dyn Destination> {
        destination(&self.plan())
    }

    pub(crate) fn discover(&self) -> Arc<dyn Discover> {
        postgres().discover(&self.plan(), &context()).unwrap()
    }

    /// A client that holds a transaction open between calls.
    pub(crate) async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }
}

pub(crate) fn spec(selection: Selection) -> ReadSpec {
    ReadSpec {
        table: TableName::new("raw", "t"),
        selection,
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 2,
        batch_rows: 8192,
        batch_bytes: 8 << 20,
        may_repeat: false,
    }
}

pub(crate) fn table(name: &str) -> ReadSpec {
    spec(Selection::Object(name.into()))
}

pub(crate) fn by_cursor(name: &str, column: &str) -> ReadSpec {
    let cursor = Some(CursorPlan {
        column: column.into(),
        lookback: 0,
    });
    ReadSpec {
        mode: ReadMode::Incremental,
        cursor,
        ..table(name)
    }
}

/// Everything a read gave.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) ordinals: Vec<u64>,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) position: Position,
    pub(crate) splits: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Read {
    pub(crate) fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Rows as JSON texts, sorted.
    pub(crate) fn rows(&self) -> Vec<String> {
        let mut rows: Vec<String> = self
            .batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|row| row_as_json(batch, row)))
            .collect();
        rows.sort();
        rows
    }

    /// One column as text, in order.
    pub(crate) fn column(&self, name: &str) -> Vec<Option<String>> {
        self.batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|row| row_as_json(batch, row)))
            .map(|row| {
                let row: serde_json::Value = serde_json::from_str(&row).unwrap();
                match &row[name] {
                    serde_json::Value::Null => None,
                    serde_json::Value::String(text) => Some(text.clone()),
                    other => Some(other.to_string()),
                }
            })
            .collect()
    }

    /// One column as numbers, sorted.
    pub(crate) fn numbers(&self, name: &str) -> Vec<i64> {
        let mut numbers: Vec<i64> = self
            .column(name)
            .into_iter()
            .flatten()
            .map(|n| n.parse().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

pub(crate) async fn try_read(
    source: &dyn Source,
    spec: &ReadSpec,
    from: Option<&Position>,
) -> Result<Read, Failure> {
    let mut reader = source.open(spec, from).await?;
    let mut read = Read {
        notes: reader.notes(),
        ..Read::default()
    };
    read.schema = reader.tables().first().map(|table| table.schema.clone());
    let assignments: Vec<_> = reader.splits().collect().await;
    let mut splits = Vec::new();
    for assignment in assignments {
        match assignment? {
            Assignment::Assigned(split) => {
                read.splits.push(split.id.0.clone());
                splits.push(split.events);
            }
            Assignment::Complete(position) => read.position = position,
            Assignment::Revoked(_) => panic!("a table's split was revoked"),
        }
    }
    let mut events = futures::stream::select_all(splits);
    while let Some(event) = events.next().await {
        match event? {
            Event::Rows(rows) => {
                read.ordinals.extend(rows.ordinals.values());
                read.batches.push(rows.batch);
            }
            Event::Rejects(rejects) => read.rejects.extend(rejects),
            Event::End => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    Ok(read)
}

pub(crate) async fn read(source: &dyn Source, spec: &ReadSpec, from: Option<&Position>) -> Read {
    try_read(source, spec, from).await.unwrap()
}

pub(crate) async fn read_table(database: &Database, name: &str) -> Read {
    read(database.source().as_ref(), &table(name), None).await
}

pub(crate) fn task(target: &TableName) -> TaskKey {
    TaskKey {
        project: "p".into(),
        environment: "test".into(),
        pipeline: "shop".into(),
        step: "back".into(),
        kind: TaskKind::Step,
        table: target.clone(),
    }
}

pub(crate) fn intent(
    target: &TableName,
    schema: SchemaRef,
    mode: WriteMode,
    key: &[&str],
    generation: i64,
) -> Intent {
    Intent {
        after: None,
        table: target.clone(),
        schema,
        write: WritePlan {
            mode,
            key: key.iter().map(|name| (*name).to_owned()).collect(),
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        },
        task: task(target),
        generation: Generation(generation),
        run: format!("shop#{generation}"),
    }
}

pub(crate) async fn prepare(
    destination: &dyn Destination,
    intent: Intent,
    batches: &[RecordBatch],
) -> Result<Box<dyn Prepared>, Failure> {
    let mut writer = destination.begin(intent).await?;
    for batch in batches {
        writer.write(batch.clone(), None).await?;
    }
    writer.prepare().await
}

pub(crate) async fn write(
    destination: &dyn Destination,
    intent: Intent,
    batches: &[RecordBatch],
) -> Result<Receipt, Failure> {
    let position = Position::single(
        "s",
        towpath_vocab::SplitPosition::at(intent.generation.0.unsigned_abs()),
    );
    prepare(destination, intent, batches)
        .await?
        .commit(Commit {
            audited: false,
            position,
            ..Commit::default()
        })
        .await
}

pub(crate) async fn candidate(prepared: &dyn Prepared, scope: Scope) -> Read {
    let candidate = prepared.candidate(scope).await.unwrap();
    read(candidate.source.as_ref(), &table("ignored"), None).await
}
