//! A database per test, and what a test wants to know of a read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use towpath_connectors::connectors;
use towpath_ports::{
    Commit, Connector, Destination, Discover, Prepared, Receipt, Source, WriteRequest,
};
use towpath_testkit::conformance::Ample;
use towpath_testkit::mariadb::MariadbServer;
use towpath_vocab::{
    ConnectionPlan, Failure, Generation, OptionValue, SchemaChange, SecretTemplate, TableName,
    TaskKey, TaskKind, WriteMode, WritePlan,
};

pub(crate) use crate::reads::{Read, by_cursor, read, spec, table, try_read};

pub(crate) fn mysql() -> Arc<dyn Connector> {
    let mut all = connectors().into_iter();
    all.find(|connector| connector.spec().kind == "mysql")
        .unwrap()
}

pub(crate) fn plan(url: &str) -> ConnectionPlan {
    ConnectionPlan {
        name: "db".into(),
        kind: "mysql".into(),
        writable: true,
        options: BTreeMap::from([("url".into(), OptionValue::Secret(SecretTemplate::new(url)))]),
    }
}

pub(crate) fn source_at(url: &str) -> Arc<dyn Source> {
    mysql().source(&plan(url), &Ample::context(".")).unwrap()
}

pub(crate) fn destination_at(url: &str) -> Arc<dyn Destination> {
    let context = Ample::context(".");
    mysql().destination(&plan(url), &context).unwrap()
}

pub(crate) fn target() -> TableName {
    TableName::new("db", "t")
}

pub(crate) fn intent(
    schema: SchemaRef,
    mode: WriteMode,
    key: &[&str],
    generation: i64,
) -> WriteRequest {
    WriteRequest {
        after: None,
        table: target(),
        schema,
        write: WritePlan {
            mode,
            key: key.iter().map(|name| (*name).to_owned()).collect(),
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        },
        task: TaskKey {
            project: "p".into(),
            environment: "test".into(),
            pipeline: "shop".into(),
            step: "back".into(),
            kind: TaskKind::Step,
            table: target(),
        },
        generation: Generation(generation),
        run: format!("shop#{generation}"),
    }
}

pub(crate) async fn prepare(
    destination: &dyn Destination,
    intent: WriteRequest,
    rows: &RecordBatch,
) -> Result<Box<dyn Prepared>, Failure> {
    let mut writer = destination.begin(intent).await?;
    writer.write(rows.clone(), None).await?;
    writer.prepare().await
}

pub(crate) async fn write(
    destination: &dyn Destination,
    intent: WriteRequest,
    rows: &RecordBatch,
) -> Result<Receipt, Failure> {
    let prepared = prepare(destination, intent, rows).await?;
    prepared.commit(Commit::default()).await
}

/// A database of its own on the shared server.
pub(crate) struct Database {
    pub(crate) server: Arc<MariadbServer>,
    pub(crate) name: String,
}

impl Database {
    pub(crate) fn with(sql: &str) -> Self {
        Self::on(MariadbServer::shared().unwrap(), sql)
    }

    /// On a server of its own, with these arguments.
    pub(crate) fn alone(settings: &[&str], sql: &str) -> Self {
        let server = MariadbServer::start_with(settings).unwrap();
        Self::on(Arc::new(server), sql)
    }

    fn on(server: Arc<MariadbServer>, sql: &str) -> Self {
        let name = server.new_database().unwrap();
        let database = Self { server, name };
        database.sql(sql);
        database
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql).unwrap()
    }

    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }

    pub(crate) fn source(&self) -> Arc<dyn Source> {
        source_at(&self.url())
    }

    pub(crate) fn destination(&self) -> Arc<dyn Destination> {
        destination_at(&self.url())
    }

    pub(crate) fn discover(&self) -> Arc<dyn Discover> {
        let context = Ample::context(".");
        mysql().discover(&plan(&self.url()), &context).unwrap()
    }

    pub(crate) async fn read(&self, name: &str) -> Read {
        read(self.source().as_ref(), &table(name), None).await
    }

    pub(crate) async fn fails(&self, name: &str) -> Failure {
        let answer = try_read(self.source().as_ref(), &table(name), None).await;
        answer.unwrap_err()
    }
}

/// The types of a read, as the project writes them.
pub(crate) fn types_of(read: &Read) -> Vec<String> {
    let schema = read.schema.as_ref().unwrap();
    let fields = schema.fields().iter();
    fields
        .map(|field| {
            format!(
                "{} {}",
                field.name(),
                towpath_vocab::types::name(field.data_type())
            )
        })
        .collect()
}

pub(crate) fn texts(values: &[&str]) -> Vec<Option<String>> {
    values
        .iter()
        .map(|value| Some((*value).to_owned()))
        .collect()
}
