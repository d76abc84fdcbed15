//! Measures how fast the `files` connector reads: `read_files FILE [declared|inferred] [runs]`.
//!
//! Prints rows, bytes of the file, seconds and MB/s of each run. It writes nothing and takes types
//! for a declared read from a look at the file before the clock starts.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures::StreamExt;
use towpath_connectors::FilesConnector;
use towpath_ports::{
    Assignment, Connector, ConnectorContext, Event, Memory, ReadSpec, ReservedMemory, Result,
    Secrets,
};
use towpath_vocab::{
    ConnectionPlan, Failure, OptionValue, ReadMode, Remedy, SecretTemplate, Selection, TableName,
};

struct Free;

#[async_trait]
impl Memory for Free {
    fn limit_bytes(&self) -> u64 {
        1 << 30
    }

    async fn hold(&self, _: u64) -> ReservedMemory {
        Box::new(())
    }
}

#[async_trait]
impl Secrets for Free {
    async fn resolve(&self, _: &SecretTemplate) -> Result<String> {
        Err(Failure::new(
            "R0100",
            Remedy::Refused,
            "files have no secrets",
        ))
    }
}

fn usage() -> Failure {
    Failure::new(
        "R0100",
        Remedy::FixConfig,
        "usage: read_files FILE [declared|inferred] [runs]",
    )
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or_else(usage)?);
    let declared = arguments.next().as_deref() != Some("inferred");
    let runs: u32 = arguments
        .next()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(3);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(usage());
    };
    let option = |text: &str| OptionValue::Plain(serde_json::Value::from(text));
    let connection = ConnectionPlan {
        name: "files".to_owned(),
        kind: "files".to_owned(),
        writable: false,
        options: BTreeMap::from([
            ("path".to_owned(), option(&folder.to_string_lossy())),
            ("null_values".to_owned(), option("NA")),
        ]),
    };
    let context = ConnectorContext {
        project_dir: std::env::current_dir().unwrap_or_default(),
        secrets: Arc::new(Free),
        memory: Arc::new(Free),
    };
    let source = FilesConnector.source(&connection, &context)?;
    let mut spec = ReadSpec {
        table: TableName::new("raw", "bench"),
        selection: Selection::Object(name.to_string_lossy().into_owned()),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 2,
        batch_rows: 65_536,
        batch_bytes: 8 << 20,
        may_repeat: false,
    };
    if declared {
        let reader = source.open(&spec, None).await?;
        spec.known = reader
            .tables()
            .first()
            .map(|table| Arc::clone(&table.schema));
    }
    let bytes = std::fs::metadata(&path)
        .map(|metadata| metadata.len())
        .unwrap_or(0);
    for _ in 0..runs {
        let started = Instant::now();
        let (mut rows, mut rejects) = (0, 0);
        let mut reader = source.open(&spec, None).await?;
        let opened = started.elapsed();
        let mut splits = reader.splits();
        while let Some(assignment) = splits.next().await {
            let Assignment::Assigned(mut split) = assignment? else {
                continue;
            };
            while let Some(event) = split.events.next().await {
                match event? {
                    Event::Rows(batch) => rows += batch.len(),
                    Event::Rejects(batch) => rejects += batch.len(),
                    _ => {}
                }
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = bytes as f64 / 1e6 / seconds;
        println!(
            "{rows} rows, {rejects} rejects, {bytes} bytes, {seconds:.3} s ({:.3} s of it opening), {rate:.0} MB/s",
            opened.as_secs_f64()
        );
    }
    Ok(())
}
