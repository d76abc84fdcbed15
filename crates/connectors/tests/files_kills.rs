//! A process that is killed at an edge of a file write leaves the old file or the new one, each with
//! its own token, and the next run goes on from there. The killed process is this test's own program.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use towpath_connectors::FilesConnector;
use towpath_ports::{
    Commit, Connector as _, ConnectorContext, Destination, Memory, Receipt, ReservedMemory, Result,
    Secrets, WriteRequest,
};
use towpath_vocab::{
    ConnectionPlan, Generation, OptionValue, Position, SchemaChange, SecretTemplate, TableName,
    TaskKey, TaskKind, WriteMode, WritePlan,
};

const EDGES: [&str; 5] = [
    "files::begin",
    "files::write",
    "files::prepared",
    "files::before_commit",
    "files::after_commit",
];
/// The signal of `abort`.
const ABORT: i32 = 6;
const FOLDER: &str = "TOWPATH_TEST_KILL_FOLDER";

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

fn destination(folder: &Path) -> Arc<dyn Destination> {
    let connection = ConnectionPlan {
        name: "out".to_owned(),
        kind: "files".to_owned(),
        writable: true,
        options: BTreeMap::from([(
            "path".to_owned(),
            OptionValue::Plain(serde_json::json!(".")),
        )]),
    };
    let context = ConnectorContext {
        project_dir: folder.to_path_buf(),
        secrets: Arc::new(Nothing),
        memory: Arc::new(Nothing),
    };
    FilesConnector.destination(&connection, &context).unwrap()
}

fn task(object: &str) -> TaskKey {
    TaskKey {
        project: "p".into(),
        environment: "dev".into(),
        pipeline: "shop".into(),
        step: "publish".into(),
        kind: TaskKind::Step,
        table: TableName::new("out", object),
    }
}

async fn write(folder: &Path, object: &str, mode: WriteMode, generation: i64) -> Receipt {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![generation]));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let intent = WriteRequest {
        after: None,
        table: TableName::new("out", object),
        schema: batch.schema(),
        write: WritePlan {
            mode,
            key: Vec::new(),
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        },
        task: task(object),
        generation: Generation(generation),
        run: format!("shop#{generation}"),
    };
    let mut intent = intent;
    let options = &mut intent.write.options;
    if object.ends_with('/') {
        options.insert("format".to_owned(), serde_json::json!("csv"));
    }
    if object.ends_with('/') || object.ends_with(".csv") {
        options.insert("header".to_owned(), serde_json::json!(false));
    }
    let mut writer = destination(folder).begin(intent).await.unwrap();
    writer.write(batch, None).await.unwrap();
    let prepared = writer.prepare().await.unwrap();
    prepared
        .commit(Commit {
            audited: false,
            position: Position::default(),
            ..Commit::default()
        })
        .await
        .unwrap()
}

/// What readers see, one number per row.
fn seen(folder: &Path, object: &str) -> Vec<String> {
    if object.ends_with('/') {
        let manifest = std::fs::read(folder.join(object).join("_manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let names = manifest["files"].as_array().unwrap().iter();
        let text: String = names
            .map(|file| {
                std::fs::read_to_string(folder.join(object).join(file["name"].as_str().unwrap()))
                    .unwrap()
            })
            .collect();
        return text.lines().map(str::to_owned).collect();
    }
    if object.ends_with(".csv") {
        return std::fs::read_to_string(folder.join(object))
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
    }
    let file = std::fs::File::open(folder.join(object)).unwrap();
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut rows = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let column = batch
            .column(0)
            .as_any()
            .downcast_ref::<Int64Array>()
            .unwrap();
        rows.extend(column.values().iter().map(ToString::to_string));
    }
    rows
}

/// The body of the process that is killed; does nothing when it is run as a test.
#[tokio::test]
async fn child() {
    let Ok(request) = std::env::var(FOLDER) else {
        return;
    };
    let parts: Vec<&str> = request.split('|').collect();
    let [folder, object, mode, edge] = parts.as_slice() else {
        panic!("{request}")
    };
    fail::cfg_callback(*edge, || {
        // Like a kill: nothing is dropped, nothing is flushed.
        std::process::abort();
    })
    .unwrap();
    let mode = if *mode == "append" {
        WriteMode::Append
    } else {
        WriteMode::Replace
    };
    write(Path::new(folder), object, mode, 2).await;
}

#[tokio::test]
async fn every_edge_leaves_the_old_or_the_new() {
    for object in ["x.csv", "x.parquet", "x/"] {
        for (word, mode) in [
            ("replace", WriteMode::Replace),
            ("append", WriteMode::Append),
        ] {
            for edge in EDGES {
                let dir = tempfile::tempdir().unwrap();
                let case = format!("{object} {word} {edge}");
                write(dir.path(), object, mode, 1).await;
                let request = format!("{}|{object}|{word}|{edge}", dir.path().display());
                let killed = Command::new(std::env::current_exe().unwrap())
                    .args(["child", "--exact"])
                    .env(FOLDER, request)
                    .output()
                    .unwrap();
                assert_eq!(killed.status.signal(), Some(ABORT), "{case}: {killed:?}");
                let committed = edge == "files::after_commit";
                let both: &[&str] = if mode == WriteMode::Append {
                    &["1", "2"]
                } else {
                    &["2"]
                };
                let before = if committed { both } else { &["1"] };
                assert_eq!(seen(dir.path(), object), before, "{case}");
                let last = destination(dir.path())
                    .last(&task(object), &TableName::new("out", object))
                    .await
                    .unwrap();
                assert_eq!(
                    last.unwrap().token.generation,
                    Generation(if committed { 2 } else { 1 }),
                    "{case}"
                );
                // The retry reuses the generation.
                let receipt = write(dir.path(), object, mode, 2).await;
                assert_eq!(receipt.adopted, committed, "{case}");
                assert_eq!(seen(dir.path(), object), both, "{case}");
                let folder = if object == "x/" {
                    dir.path().join("x")
                } else {
                    dir.path().to_path_buf()
                };
                for entry in std::fs::read_dir(folder).unwrap() {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    assert!(
                        !name.ends_with(".towpath-tmp") && !name.ends_with(".lock"),
                        "{case}: {name}"
                    );
                }
            }
        }
    }
}
