//! A database per test, stand-ins for secrets and memory, and reading everything a source gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use towpath_connectors::connectors;
use towpath_ports::{
    CandidateRows, Commit, Connector, ConnectorContext, Destination, Discover, Prepared, Receipt,
    Source, WriteRequest,
};
use towpath_testkit::conformance::Ample;
use towpath_testkit::postgres::PostgresServer;
use towpath_vocab::{
    ConnectionPlan, Failure, Generation, OptionValue, Position, SchemaChange, SecretTemplate,
    TableName, TaskKey, TaskKind, WriteMode, WritePlan,
};

pub(crate) use crate::reads::{Read, by_cursor, read, spec, table, try_read};

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
) -> WriteRequest {
    WriteRequest {
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
    intent: WriteRequest,
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
    intent: WriteRequest,
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

pub(crate) async fn candidate(prepared: &dyn Prepared, scope: CandidateRows) -> Read {
    let candidate = prepared.candidate(scope).await.unwrap();
    read(candidate.source.as_ref(), &table("ignored"), None).await
}
