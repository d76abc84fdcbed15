//! A read that is killed in the middle is a failure, never a short end. In a process of its own,
//! because failpoints are global.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use towpath_connectors::FilesConnector;
use towpath_ports::{
    Assignment, Connector, ConnectorContext, Memory, ReadSpec, ReservedMemory, Result, Secrets,
};
use towpath_vocab::{
    ColumnPlan, ConnectionPlan, OptionValue, ReadMode, SecretTemplate, Selection, TableName,
};

struct Nothing;

#[async_trait]
impl Memory for Nothing {
    fn limit_bytes(&self) -> u64 {
        1 << 30
    }

    async fn hold(&self, _: u64) -> ReservedMemory {
        Box::new(())
    }
}

#[async_trait]
impl Secrets for Nothing {
    async fn resolve(&self, _: &SecretTemplate) -> Result<String> {
        panic!("files have no secrets")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_thread_that_breaks_off_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("t.csv"), "a\n1\n").unwrap();
    let connection = ConnectionPlan {
        name: "files".to_owned(),
        kind: "files".to_owned(),
        writable: false,
        options: BTreeMap::from([(
            "path".to_owned(),
            OptionValue::Plain(serde_json::json!(".")),
        )]),
    };
    let context = ConnectorContext {
        project_dir: dir.path().to_path_buf(),
        secrets: Arc::new(Nothing),
        memory: Arc::new(Nothing),
    };
    let spec = ReadSpec {
        table: TableName::new("raw", "t"),
        selection: Selection::Object("t".to_owned()),
        mode: ReadMode::Full,
        cursor: None,
        declared: vec![ColumnPlan {
            name: "a".to_owned(),
            data_type: Some("bigint".to_owned()),
            ..ColumnPlan::default()
        }],
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 1,
        batch_rows: 8192,
        batch_bytes: 1 << 20,
        may_repeat: false,
    };
    let source = FilesConnector.source(&connection, &context).unwrap();
    let mut reader = source.open(&spec, None).await.unwrap();
    fail::cfg("files::read", "1*panic").unwrap();
    let mut splits = reader.splits();
    let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await else {
        panic!("no split")
    };
    let event = split.events.next().await.unwrap();
    fail::remove("files::read");
    assert_eq!(event.unwrap_err().code, "R0114");
}
