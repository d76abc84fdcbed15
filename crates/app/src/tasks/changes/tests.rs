//! Two versions of a lakehouse table, compared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field};
use futures::TryStreamExt as _;
use towpath_ports::{Commit, Destination, WriteRequest};
use towpath_vocab::{
    BadRows, ConnectionPlan, Environment, Generation, Naming, SchemaChange, TableLineage,
    TablePlan, TaskKey, TaskKind, Threshold, WriteMode, WritePlan,
};

use super::*;
use crate::services::ServiceOptions;

struct Bench {
    services: ProjectServices,
    generation: i64,
    publish: PublishPlan,
    filter_before: Option<String>,
    dropped: Vec<FieldRef>,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(key: &[&str]) -> Self {
        Self::with_memory(key, 256 << 20)
    }

    fn with_memory(key: &[&str], memory_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let services = ProjectServices::open(ServiceOptions {
            model_environment: &Environment::new("dev"),
            dir: folder.path(),
            lakehouse: Some("lake"),
            environment: &Environment::from("dev"),
            project: None,
            state: None,
            memory_bytes: Some(memory_bytes),
            statement_timeout_ms: None,
            files: None,
        })
        .unwrap();
        Self {
            services,
            generation: 0,
            publish: publish(key),
            filter_before: None,
            dropped: Vec::new(),
            _folder: folder,
        }
    }

    /// Makes a version of the table; gives its number.
    async fn write(&mut self, mode: WriteMode, batch: RecordBatch) -> u64 {
        self.generation += 1;
        let table = self.publish.from.clone();
        let lake = &self.services.lake;
        let intent = WriteRequest {
            table: table.clone(),
            schema: batch.schema(),
            write: WritePlan {
                mode,
                ..self.publish.table.write.clone()
            },
            task: TaskKey {
                project: "p".into(),
                environment: "dev".into(),
                pipeline: "l".into(),
                step: "s".into(),
                kind: TaskKind::Step,
                table: table.clone(),
            },
            generation: Generation(self.generation),
            run: "l#1".to_owned(),
            after: None,
        };
        let mut writer = lake.begin(intent).await.unwrap();
        writer.write(batch, None).await.unwrap();
        let position = Position::default();
        let prepared = writer.prepare().await.unwrap();
        prepared
            .commit(Commit {
                position,
                audited: false,
                ..Commit::default()
            })
            .await
            .unwrap();
        lake.version(&table).await.unwrap().unwrap()
    }

    async fn since(&self, before: u64, extent: PublishScope) -> Sending {
        let now = Pinned::now(&self.services.lake, &self.publish.from)
            .await
            .unwrap()
            .unwrap();
        let comparison = Comparison {
            services: &self.services,
            publish: &self.publish,
            now: &now,
            before,
            filter_before: self.filter_before.as_deref(),
            dropped: &self.dropped,
            extent,
        };
        comparison.compare().await.unwrap()
    }

    /// `U` or `D` and the values of each row sent, sorted.
    async fn changes(&self, before: u64, extent: PublishScope) -> Vec<String> {
        match self.since(before, extent).await {
            Sending::Nothing => Vec::new(),
            Sending::Everything(why) => panic!("{why}"),
            Sending::Changes(reader) => change_lines(reader).await,
        }
    }
}

fn publish(key: &[&str]) -> PublishPlan {
    PublishPlan {
        from: TableName::new("marts", "t"),
        connection: ConnectionPlan {
            name: "back".to_owned(),
            kind: "postgres".to_owned(),
            writable: true,
            options: BTreeMap::new(),
        },
        object: "t".to_owned(),
        table: TablePlan {
            target: TableName::new("back", "t"),
            write: WritePlan {
                mode: WriteMode::Merge,
                key: key.iter().map(|&k| k.to_owned()).collect(),
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
            bad_rows: BadRows::Fail,
            fail_above: Threshold::default(),
            lineage: TableLineage {
                inputs: Vec::new(),
                edges: Vec::new(),
                partial: true,
            },
        },
    }
}

async fn change_lines(mut reader: Box<dyn Reader>) -> Vec<String> {
    let schema = Arc::clone(&reader.tables()[0].schema);
    let assignments: Vec<Assignment> = reader.splits().try_collect().await.unwrap();
    let mut out = Vec::new();
    for assignment in assignments {
        let Assignment::Assigned(mut split) = assignment else {
            continue;
        };
        while let Some(event) = split.events.next().await {
            let Event::Rows(rows) = event.unwrap() else {
                continue;
            };
            assert_eq!(rows.batch.schema(), schema);
            let ops = rows.ops.unwrap();
            for row in 0..rows.batch.num_rows() {
                let word = match Op::from_byte(ops.value(row)).unwrap() {
                    Op::Delete => "D",
                    Op::Insert | Op::Update => "U",
                };
                let values = rows.batch.columns().iter().map(|column| {
                    let options = FormatOptions::default().with_null("-");
                    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
                    formatter.value(row).to_string()
                });
                let values: Vec<String> = values.collect();
                out.push(format!("{word} {}", values.join(" ")));
            }
        }
    }
    out.sort();
    out
}

type Row<'a> = (i64, Option<&'a str>);

fn rows(rows: &[Row<'_>]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|row| Some(row.0)).collect();
    let names: StringArray = rows.iter().map(|row| row.1).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(ids) as ArrayRef, false),
        ("say \"hi\"", Arc::new(names) as ArrayRef, true),
    ])
    .unwrap()
}

#[tokio::test]
async fn new_different_and_gone_rows_are_told_apart() {
    let mut bench = Bench::new(&["id"]);
    let before = [(1, Some("a")), (2, None), (3, None), (4, Some("d"))];
    let first = bench.write(WriteMode::Replace, rows(&before)).await;
    assert!(matches!(
        bench.since(first, PublishScope::Changed).await,
        Sending::Nothing
    ));
    // The same rows in other files, in another order: a new version, and nothing to send.
    let shuffled = [before[2], before[0], before[3], before[1]];
    bench.write(WriteMode::Replace, rows(&shuffled)).await;
    assert!(matches!(
        bench.since(first, PublishScope::Changed).await,
        Sending::Nothing
    ));

    let after = [(1, Some("a")), (2, Some("b")), (3, None), (5, None)];
    bench.write(WriteMode::Replace, rows(&after)).await;
    assert_eq!(
        bench.changes(first, PublishScope::Changed).await,
        ["D 4 d", "U 2 b", "U 5 -"]
    );
    assert_eq!(
        bench.changes(first, PublishScope::All).await,
        ["D 4 d", "U 1 a", "U 2 b", "U 3 -", "U 5 -"]
    );
    bench.write(WriteMode::Replace, rows(&[])).await;
    assert_eq!(
        bench.changes(first, PublishScope::Changed).await,
        ["D 1 a", "D 2 -", "D 3 -", "D 4 d"]
    );
}

/// Rows with long texts, as many as asked for, and what is changed about them.
fn many(count: i64, text: impl Fn(i64) -> Option<String>) -> RecordBatch {
    let ids: Int64Array = (0..count).filter(|id| id % 7 != 6).map(Some).collect();
    let texts: StringArray = ids.values().iter().map(|id| text(*id)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(ids) as ArrayRef, false),
        ("text", Arc::new(texts) as ArrayRef, true),
    ])
    .unwrap()
}

#[tokio::test]
async fn versions_larger_than_the_memory_are_compared() {
    // Two versions of 24 MB of text each, of which a third differs, in 16 MB.
    let mut bench = Bench::with_memory(&["id"], 16 << 20);
    let text = |id: i64| Some(format!("{id:0200}"));
    let first = bench.write(WriteMode::Replace, many(140_000, text)).await;
    let changed = |id: i64| text(if id % 3 == 0 { id + 1 } else { id });
    bench
        .write(WriteMode::Replace, many(139_300, changed))
        .await;
    let changes = bench.changes(first, PublishScope::Changed).await;
    let of = |op: &str| changes.iter().filter(|c| c.starts_with(op)).count();
    assert_eq!((of("U"), of("D")), (39_800, 600));
}

#[tokio::test]
async fn files_both_versions_have_are_not_read() {
    let mut bench = Bench::new(&["id"]);
    let first = bench
        .write(WriteMode::Append, rows(&[(1, Some("a")), (2, None)]))
        .await;
    let shared = bench.services.lake.snapshot(&bench.publish.from).await;
    bench
        .write(WriteMode::Append, rows(&[(3, Some("c"))]))
        .await;
    assert_eq!(bench.changes(first, PublishScope::Changed).await, ["U 3 c"]);

    let then = shared.unwrap().unwrap();
    let now = Pinned::now(&bench.services.lake, &bench.publish.from).await;
    let (then_only, now_only) = apart(&then, &now.unwrap().unwrap().table);
    assert_eq!((then_only.files.len(), now_only.files.len()), (0, 1));
    // A key that is in a shared file and in a new one: the destination is to refuse it.
    bench
        .write(WriteMode::Append, rows(&[(1, Some("again"))]))
        .await;
    match bench.since(first, PublishScope::Changed).await {
        Sending::Everything(why) => assert!(why.contains("the key (id) is not unique"), "{why}"),
        _ => panic!("a repeated key was taken for a change"),
    }
}

#[tokio::test]
async fn only_what_is_sent_is_compared() {
    let mut bench = Bench::new(&["id"]);
    let before = [(1, Some("a")), (2, Some("b")), (3, Some("c"))];
    let first = bench.write(WriteMode::Replace, rows(&before)).await;
    let after = [(1, Some("z")), (2, Some("b")), (4, Some("c"))];
    bench.write(WriteMode::Replace, rows(&after)).await;
    // A row that no longer fulfils `where` is gone for the destination.
    bench.publish.table.filter = Some("\"say \"\"hi\"\"\" < 'm' -- the first half".to_owned());
    bench.filter_before.clone_from(&bench.publish.table.filter);
    assert_eq!(
        bench.changes(first, PublishScope::Changed).await,
        ["D 1 a", "D 3 c", "U 4 c"]
    );
    bench.publish.table.filter = None;
    bench.filter_before = None;
    bench.publish.table.drop = vec!["say \"hi\"".to_owned()];
    assert_eq!(
        bench.changes(first, PublishScope::Changed).await,
        ["D 3", "U 4"]
    );
}

#[tokio::test]
async fn what_cannot_be_compared_says_why() {
    let mut bench = Bench::new(&["id"]);
    let first = bench
        .write(WriteMode::Replace, rows(&[(1, Some("a"))]))
        .await;
    let old = bench.services.lake.snapshot(&bench.publish.from).await;
    let numbers = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef, false),
        (
            "say \"hi\"",
            Arc::new(Float64Array::from(vec![0.5])) as ArrayRef,
            true,
        ),
    ]);
    let other = common(&rows(&[]).schema(), &numbers.unwrap().schema());
    assert!(other.is_none());

    bench
        .write(WriteMode::Replace, rows(&[(2, Some("b"))]))
        .await;
    let why = |sending| match sending {
        Sending::Everything(why) => why,
        _ => panic!("compared"),
    };
    for file in old.unwrap().unwrap().addresses() {
        std::fs::remove_file(file).unwrap();
    }
    let vacuumed = why(bench.since(first, PublishScope::Changed).await);
    assert!(vacuumed.contains("was vacuumed"), "{vacuumed}");
    let future = why(bench.since(99, PublishScope::Changed).await);
    assert!(future.contains("cannot be read any more"), "{future}");
}

#[tokio::test]
async fn columns_may_be_added_and_hold_lists() {
    let mut bench = Bench::new(&["id"]);
    let first = bench
        .write(
            WriteMode::Replace,
            rows(&[(1, Some("a")), (2, None), (3, None)]),
        )
        .await;
    let wider = |tags: &[(i64, Option<i64>)]| {
        let ids: Int64Array = tags.iter().map(|row| Some(row.0)).collect();
        let mut lists = ListBuilder::new(Int64Builder::new());
        for (_, tag) in tags {
            lists.append_option(tag.map(|tag| vec![Some(tag), None]));
        }
        let names: StringArray = tags.iter().map(|row| (row.0 == 1).then_some("a")).collect();
        RecordBatch::try_from_iter_with_nullable([
            ("id", Arc::new(ids) as ArrayRef, false),
            ("say \"hi\"", Arc::new(names) as ArrayRef, true),
            ("tags", Arc::new(lists.finish()) as ArrayRef, true),
        ])
        .unwrap()
    };
    let second = bench
        .write(WriteMode::Replace, wider(&[(1, Some(7)), (2, None)]))
        .await;
    assert_eq!(
        bench.changes(first, PublishScope::Changed).await,
        ["D 3 - -", "U 1 a [7, -]"]
    );
    bench
        .write(WriteMode::Replace, wider(&[(1, Some(7)), (2, Some(8))]))
        .await;
    assert_eq!(
        bench.changes(second, PublishScope::Changed).await,
        ["U 2 - [8, -]"]
    );
}

#[tokio::test]
async fn what_was_sent_is_told_by_how_it_was_sent() {
    let mut bench = Bench::new(&["id"]);
    let held = [(1, Some("a")), (2, Some("b")), (3, Some("c"))];
    let first = bench.write(WriteMode::Replace, rows(&held)).await;
    // All rows were sent; of the same version now only some are wanted, without a column.
    bench.publish.table.filter = Some("id > 1".to_owned());
    bench.publish.table.drop = vec!["say \"hi\"".to_owned()];
    let dropped = Field::new("say \"hi\"", DataType::Utf8, true);
    bench.dropped = vec![Arc::new(dropped)];
    assert_eq!(
        bench.changes(first, PublishScope::All).await,
        ["D 1 -", "U 2 -", "U 3 -"]
    );
    // Only some were sent, and those are not wanted now.
    bench.filter_before = Some("id < 3".to_owned());
    bench.publish.table.filter = Some("id = 3".to_owned());
    assert_eq!(
        bench.changes(first, PublishScope::All).await,
        ["D 1 -", "D 2 -", "U 3 -"]
    );
}
