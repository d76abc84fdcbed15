//! Reads a table of a PostgreSQL database to nowhere and says how fast that was:
//! `read_postgres URL TABLE [PARALLEL]`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measuring tool"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use towpath_connectors::connectors;
use towpath_ports::{
    Assignment, ConnectorContext, Event, Memory, ReadSpec, ReservedMemory, Secrets,
};
use towpath_vocab::{
    ConnectionPlan, Failure, OptionValue, ReadMode, SecretTemplate, Selection, TableName,
};

struct AsWritten;

#[async_trait]
impl Secrets for AsWritten {
    async fn resolve(&self, template: &SecretTemplate) -> Result<String, Failure> {
        Ok(template.template().to_owned())
    }
}

struct Plenty;

#[async_trait]
impl Memory for Plenty {
    fn limit_bytes(&self) -> u64 {
        1 << 30
    }

    async fn hold(&self, _bytes: u64) -> ReservedMemory {
        Box::new(())
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (url, table) = (
        arguments.next().expect("URL"),
        arguments.next().expect("TABLE"),
    );
    let parallel = arguments.next().map_or(2, |n| n.parse().expect("a number"));
    let plan = ConnectionPlan {
        name: "db".into(),
        kind: "postgres".into(),
        writable: false,
        options: BTreeMap::from([("url".into(), OptionValue::Secret(SecretTemplate::new(url)))]),
    };
    let context = ConnectorContext {
        project_dir: PathBuf::from("."),
        secrets: Arc::new(AsWritten),
        memory: Arc::new(Plenty),
    };
    let postgres = connectors()
        .into_iter()
        .find(|c| c.spec().kind == "postgres")
        .unwrap();
    let source = postgres.source(&plan, &context).unwrap();
    let spec = ReadSpec {
        table: TableName::new("raw", "t"),
        selection: Selection::Object(table),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel,
        batch_rows: 16_384,
        batch_bytes: 8 << 20,
        may_repeat: false,
    };
    let begun = Instant::now();
    let mut reader = source.open(&spec, None).await.unwrap();
    let splits: Vec<_> = reader.splits().collect().await;
    let rows: Vec<usize> = stream::iter(splits)
        .map(|assignment| {
            tokio::spawn(async move {
                let mut rows = 0;
                if let Assignment::Assigned(mut split) = assignment.unwrap() {
                    while let Some(event) = split.events.next().await {
                        if let Event::Rows(batch) = event.unwrap() {
                            rows += batch.len();
                        }
                    }
                }
                rows
            })
        })
        .buffer_unordered(parallel)
        .map(Result::unwrap)
        .collect()
        .await;
    let (rows, seconds) = (rows.iter().sum::<usize>(), begun.elapsed().as_secs_f64());
    println!(
        "{rows} rows in {seconds:.2} s: {:.0} rows/s, {parallel} lanes",
        rows as f64 / seconds
    );
}
