//! Endless reads in simulated time: a quiet stream commits its last rows, a revoked split loses only
//! uncommitted rows, a cancel commits complete rows, operators continue from their stored state.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use towpath_flow::{
    CommitCadence, CommitObserver, OutputSpec, OutputSummary, Transfer, TransferSummary,
    run_transfer,
};
use towpath_ports::{
    Checkpoint, Clock, Destination, Operator, OperatorOutput, Result, Rows, TableSchema,
};
use towpath_testkit::{LiveEvent, LiveSource, MemoryDestination, SimulatedSystem, id_value_schema};
use towpath_vocab::{Failure, Generation, Position, Remedy, SplitId, TableName, WriteMode};

use super::support::{batch, key, plan, services_at, spec, table};

const SECOND: Duration = Duration::from_secs(1);
/// How often these transfers commit, in seconds.
const INTERVAL: u32 = 30;

/// What was reported, commit by commit.
#[derive(Default)]
struct Reported {
    commits: Mutex<Vec<OutputSummary>>,
    fails: bool,
}

#[async_trait]
impl CommitObserver for Reported {
    async fn table_committed(&self, table: &OutputSummary) -> Result<()> {
        self.commits.lock().unwrap().push(table.clone());
        match self.fails {
            true => Err(Failure::new("T", Remedy::Retry, "the store is gone")),
            false => Ok(()),
        }
    }
}

/// One transfer over a live source, in simulated time.
struct Stage {
    system: SimulatedSystem,
    source: LiveSource,
    lake: MemoryDestination,
    reported: Arc<Reported>,
    cancel: CancellationToken,
}

impl Stage {
    fn new(tables: &[&str], splits: &[&str]) -> Self {
        let tables = tables.iter().map(|name| TableSchema {
            table: table(name),
            schema: id_value_schema(),
        });
        Self {
            system: SimulatedSystem::new(1),
            source: LiveSource::new(tables.collect(), splits),
            lake: MemoryDestination::default(),
            reported: Arc::default(),
            cancel: CancellationToken::new(),
        }
    }

    async fn start(&self, outputs: Vec<OutputSpec>) -> JoinHandle<Result<TransferSummary>> {
        let mut from = Position::default();
        for output in &outputs {
            from.merge(output.committed.clone());
        }
        let transfer = Transfer {
            reader: Box::new(self.source.reader(&from)),
            opened_at: from,
            outputs,
            run: "pipe#1".to_owned(),
            cadence: CommitCadence {
                rows: 1_000,
                interval_us: u64::from(INTERVAL) * 1_000_000,
            },
            commits: Some(Arc::clone(&self.reported) as _),
            cancel: self.cancel.clone(),
        };
        let services = services_at(Arc::new(self.system.clone()));
        tokio::spawn(async move { run_transfer(transfer, &services).await })
    }

    fn append(&self, name: &str) -> OutputSpec {
        let plan = plan(&table(name), WriteMode::Append);
        spec(plan, &self.lake, 1, Position::default())
    }

    fn rows(&self, split: &str, name: &str, ids: &[i64]) {
        let ids: Vec<Option<i64>> = ids.iter().copied().map(Some).collect();
        let values = vec![Some("v"); ids.len()];
        let rows = LiveEvent::Rows(table(name), batch(&ids, &values), None);
        self.source.say(split, rows);
    }

    fn boundary(&self, split: &str, order: u64) {
        self.source.say(split, LiveEvent::Boundary(order));
    }

    async fn pass(&self, seconds: u32) {
        self.system.sleep(SECOND * seconds).await;
    }

    fn ids(&self, name: &str) -> Vec<i64> {
        let rows = self.lake.rows(&table(name)).into_iter().map(|row| {
            let row: serde_json::Value = serde_json::from_str(&row).unwrap();
            row["id"].as_str().unwrap().parse().unwrap()
        });
        let mut ids: Vec<i64> = rows.collect();
        ids.sort_unstable();
        ids
    }

    fn commits(&self) -> usize {
        self.reported.commits.lock().unwrap().len()
    }
}

/// Plays a scene while simulated time passes.
async fn play(stage: &Stage, scene: impl Future<Output = ()>) {
    stage.system.clone().run(scene).await;
}

#[tokio::test]
async fn a_quiet_stream_commits_its_tail_within_its_interval() {
    let stage = Stage::new(&["t"], &["a", "b"]);
    play(&stage, async {
        let running = stage.start(vec![stage.append("t")]).await;
        // Nothing came for a long time: the interval begins with what comes.
        stage.pass(1_000).await;
        stage.rows("a", "t", &[1, 2]);
        stage.boundary("a", 1);
        stage.pass(INTERVAL - 1).await;
        assert!(stage.ids("t").is_empty());
        stage.pass(2).await;
        assert_eq!(stage.ids("t"), [1, 2]);
        assert_eq!(stage.source.committed().len(), 1);
        // Nothing came since: no commit without rows.
        stage.pass(1_000).await;
        assert_eq!(stage.commits(), 1);
        // Without a boundary nothing is complete, however long that takes.
        stage.rows("b", "t", &[3]);
        stage.pass(1_000).await;
        assert_eq!(stage.ids("t"), [1, 2]);
        stage.boundary("b", 1);
        stage.pass(1).await;
        assert_eq!(stage.ids("t"), [1, 2, 3]);
        running.abort();
    })
    .await;
}

#[tokio::test]
async fn every_commit_is_reported_when_it_happens() {
    let stage = Stage::new(&["t", "u"], &["wal"]);
    play(&stage, async {
        let outputs = vec![stage.append("t"), stage.append("u")];
        let running = stage.start(outputs).await;
        for (at, name) in [(1, "t"), (2, "u"), (3, "t")] {
            stage.rows("wal", name, &[at * 10, at * 10 + 1]);
            stage.boundary("wal", at as u64);
            stage.pass(INTERVAL + 1).await;
            let commits = stage.reported.commits.lock().unwrap();
            assert_eq!(commits.len(), at as usize);
            let last = commits.last().unwrap();
            assert_eq!((&last.table, last.rows_loaded), (&table(name), 2));
            let position = &last.receipt.as_ref().unwrap().committed.token.position;
            let position = position.get(&SplitId("wal".to_owned())).unwrap();
            assert_eq!(position.order, at as u64);
        }
        stage.cancel.cancel();
        let summary = running.await.unwrap().unwrap();
        let loaded: Vec<u64> = summary.outputs.iter().map(|out| out.rows_loaded).collect();
        assert_eq!(loaded, [4, 2]);
    })
    .await;
}

#[tokio::test]
async fn who_cannot_be_told_of_a_commit_ends_the_transfer_behind_it() {
    let mut stage = Stage::new(&["t"], &["a"]);
    stage.reported = Arc::new(Reported {
        fails: true,
        ..Reported::default()
    });
    play(&stage, async {
        let running = stage.start(vec![stage.append("t")]).await;
        stage.rows("a", "t", &[1]);
        stage.boundary("a", 1);
        let failure = running.await.unwrap().unwrap_err();
        assert_eq!(failure.message, "the store is gone");
        assert_eq!(stage.ids("t"), [1]);
        // The source must keep what the store has not heard of.
        assert!(stage.source.committed().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_split_that_is_taken_away_loses_only_what_is_not_committed() {
    for stands in [true, false] {
        let stage = Stage::new(&["t"], &["a", "b"]);
        play(&stage, async {
            let running = stage.start(vec![stage.append("t")]).await;
            stage.rows("a", "t", &[1]);
            stage.boundary("a", 1);
            stage.rows("b", "t", &[11]);
            stage.boundary("b", 1);
            stage.pass(INTERVAL + 1).await;
            assert_eq!(stage.ids("t"), [1, 11]);
            stage.rows("a", "t", &[2]);
            if stands {
                stage.boundary("a", 2);
            }
            stage.rows("b", "t", &[12]);
            stage.boundary("b", 2);
            stage.rows("b", "t", &[13]);
            stage.pass(1).await;
            stage.source.revoke("a");
            stage.pass(1).await;
            stage.rows("b", "t", &[14]);
            stage.boundary("b", 3);
            stage.pass(INTERVAL + 1).await;
            assert_eq!(stage.ids("t"), [1, 11, 12, 13, 14], "stands: {stands}");
            stage.cancel.cancel();
            let summary = running.await.unwrap().unwrap();
            assert_eq!(summary.outputs[0].rows_read, 5);
            assert!(summary.outputs[0].balances());
        })
        .await;
    }
}

#[tokio::test]
async fn a_split_that_gave_nothing_since_the_commit_goes_quietly() {
    let stage = Stage::new(&["t"], &["a", "b"]);
    play(&stage, async {
        let _running = stage.start(vec![stage.append("t")]).await;
        stage.rows("a", "t", &[1]);
        stage.boundary("a", 1);
        stage.pass(INTERVAL + 1).await;
        stage.rows("b", "t", &[11]);
        stage.boundary("b", 1);
        stage.pass(1).await;
        stage.source.revoke("a");
        stage.pass(INTERVAL + 1).await;
        assert_eq!(stage.ids("t"), [1, 11]);
        assert_eq!(stage.commits(), 2);
    })
    .await;
}

#[tokio::test]
async fn cancel_commits_what_is_complete() {
    // A split in the middle of a transaction comes to its end in time, or does not.
    for in_time in [true, false] {
        let stage = Stage::new(&["t"], &["a", "b"]);
        play(&stage, async {
            let running = stage.start(vec![stage.append("t")]).await;
            stage.rows("a", "t", &[1]);
            stage.boundary("a", 1);
            stage.rows("b", "t", &[11]);
            stage.pass(1).await;
            stage.cancel.cancel();
            stage.pass(1).await;
            assert!(!running.is_finished());
            if in_time {
                stage.boundary("b", 1);
            }
            let began_us = stage.system.monotonic_us();
            running.await.unwrap().unwrap();
            let waited_us = stage.system.monotonic_us() - began_us;
            match in_time {
                true => assert_eq!((stage.ids("t"), waited_us), (vec![1, 11], 0)),
                false => assert_eq!((stage.ids("t"), waited_us), (vec![], 4_000_000)),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn cancel_of_a_quiet_stream_ends_at_once() {
    let stage = Stage::new(&["t"], &["a"]);
    play(&stage, async {
        let running = stage.start(vec![stage.append("t")]).await;
        stage.pass(1).await;
        stage.rows("a", "t", &[1]);
        stage.boundary("a", 1);
        stage.pass(1).await;
        stage.cancel.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(stage.ids("t"), [1]);
    })
    .await;
}

/// Starts a second attempt of the same generation while the first has read one row. The first commits, and
/// ends; `more` comes before the second commits.
async fn replaced(stage: &Stage, more: impl FnOnce()) -> JoinHandle<Result<TransferSummary>> {
    let first = stage.start(vec![stage.append("t")]).await;
    stage.rows("a", "t", &[1]);
    stage.boundary("a", 1);
    stage.pass(INTERVAL - 10).await;
    let second = stage.start(vec![stage.append("t")]).await;
    stage.pass(11).await;
    assert_eq!((stage.ids("t"), stage.commits()), (vec![1], 1));
    first.abort();
    more();
    stage.pass(INTERVAL).await;
    second
}

#[tokio::test]
async fn the_commit_of_an_attempt_that_read_less_is_not_ones_own() {
    let stage = Stage::new(&["t"], &["a"]);
    play(&stage, async {
        let second = replaced(&stage, || {
            stage.rows("a", "t", &[2]);
            stage.boundary("a", 2);
        })
        .await;
        assert!(second.is_finished(), "it goes on behind the rows of nobody");
        let failure = second.await.unwrap().unwrap_err();
        assert_eq!(failure.code, "R0629", "{failure}");
        assert_eq!(failure.remedy, Remedy::Retry);
        // Nothing was confirmed that is not stored, and the next attempt reads on from what is.
        assert_eq!(stage.source.committed().len(), 1);
        let mut next = resumed(&stage).await;
        next.operators.clear();
        let third = stage.start(vec![next]).await;
        stage.rows("a", "t", &[3]);
        stage.boundary("a", 3);
        stage.pass(INTERVAL + 1).await;
        assert_eq!(stage.ids("t"), [1, 2, 3]);
        third.abort();
    })
    .await;
}

#[tokio::test]
async fn the_commit_of_an_attempt_that_read_as_much_is_ones_own() {
    let stage = Stage::new(&["t"], &["a"]);
    play(&stage, async {
        let second = replaced(&stage, || {}).await;
        assert_eq!(stage.commits(), 2);
        stage.rows("a", "t", &[2]);
        stage.boundary("a", 2);
        stage.pass(INTERVAL + 1).await;
        assert_eq!(stage.ids("t"), [1, 2]);
        second.abort();
    })
    .await;
}

fn with_extra() -> SchemaRef {
    let mut fields = id_value_schema().fields().to_vec();
    fields.push(Arc::new(Field::new("extra", DataType::Utf8, true)));
    Arc::new(Schema::new(fields))
}

#[tokio::test]
async fn new_columns_commit_what_came_before_at_once() {
    let stage = Stage::new(&["t"], &["a"]);
    play(&stage, async {
        let _running = stage.start(vec![stage.append("t")]).await;
        stage.rows("a", "t", &[1]);
        stage.boundary("a", 1);
        let schema = TableSchema {
            table: table("t"),
            schema: with_extra(),
        };
        stage.source.say("a", LiveEvent::Schema(schema));
        stage.pass(1).await;
        assert_eq!(stage.ids("t"), [1]);
        let mut columns = batch(&[Some(2)], &[Some("v")]).columns().to_vec();
        columns.push(Arc::new(StringArray::from(vec!["new"])));
        let rows = RecordBatch::try_new(with_extra(), columns).unwrap();
        stage
            .source
            .say("a", LiveEvent::Rows(table("t"), rows, None));
        stage.boundary("a", 2);
        stage.pass(INTERVAL + 1).await;
        assert_eq!(stage.ids("t"), [1, 2]);
        let held = stage.lake.rows(&table("t")).join("");
        assert!(held.contains(r#""extra":"new""#), "{held}");
    })
    .await;
}

/// Sums ids until a watermark, and gives the sum as a row.
struct SumUntil {
    schema: SchemaRef,
    sum: i64,
}

fn sums() -> towpath_flow::OperatorFactory {
    Arc::new(|schema| {
        Ok(Box::new(SumUntil {
            schema: Arc::clone(schema),
            sum: 0,
        }))
    })
}

#[async_trait]
impl Operator for SumUntil {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput> {
        let ids = rows.batch.column(0).as_primitive::<Int64Type>();
        self.sum += ids.values().iter().sum::<i64>();
        Ok(OperatorOutput {
            filtered_rows: rows.len() as u64,
            ..OperatorOutput::default()
        })
    }

    async fn watermark(&mut self, event_time_us: i64) -> Result<OperatorOutput> {
        let sum = std::mem::take(&mut self.sum);
        let time = event_time_us.to_string();
        let batch = batch(&[Some(sum)], &[Some(time.as_str())]);
        Ok(OperatorOutput::of(Rows::of_batch(
            table("t"),
            "sums",
            batch,
            0,
        )))
    }

    fn freeze(&self) -> Result<Vec<RecordBatch>> {
        let sum: ArrayRef = Arc::new(Int64Array::from(vec![self.sum]));
        Ok(vec![RecordBatch::try_from_iter([("sum", sum)]).unwrap()])
    }

    fn restore(&mut self, state: Vec<RecordBatch>) -> Result<()> {
        self.sum = state[0].column(0).as_primitive::<Int64Type>().value(0);
        Ok(())
    }
}

fn watermark(stage: &Stage, split: &str, time: i64) {
    stage
        .source
        .say(split, LiveEvent::Watermark(table("t"), time));
}

async fn resumed(stage: &Stage) -> OutputSpec {
    let t: TableName = table("t");
    let last = stage.lake.last(&key(&t), &t).await.unwrap();
    let (generation, committed) = last.map_or((0, Position::default()), |last| {
        (last.token.generation.0, last.token.position)
    });
    let mut output = spec(
        plan(&t, WriteMode::Append),
        &stage.lake,
        generation + 1,
        committed,
    );
    output.after = Some(Generation(generation));
    output.operators = vec![sums()];
    output.checkpoint = stage
        .lake
        .checkpoint(&key(&t), &t)
        .await
        .unwrap()
        .unwrap_or_else(Checkpoint::default);
    output
}

#[tokio::test]
async fn operators_go_on_from_the_state_of_the_last_commit() {
    let stage = Stage::new(&["t"], &["a", "b"]);
    play(&stage, async {
        let running = stage.start(vec![resumed(&stage).await]).await;
        stage.rows("a", "t", &[1]);
        stage.boundary("a", 1);
        stage.pass(INTERVAL + 1).await;
        // Over a commit, and over a split that was taken away.
        stage.rows("a", "t", &[2]);
        stage.boundary("a", 2);
        stage.rows("b", "t", &[100]);
        stage.boundary("b", 1);
        stage.pass(1).await;
        stage.source.revoke("b");
        stage.pass(INTERVAL + 1).await;
        running.abort();
        // Over a restart: what is committed is not summed again.
        let cancel = stage.cancel.clone();
        let running = stage.start(vec![resumed(&stage).await]).await;
        stage.rows("a", "t", &[4]);
        watermark(&stage, "a", 1_000);
        stage.boundary("a", 3);
        stage.pass(INTERVAL + 1).await;
        assert_eq!(
            stage.lake.rows(&table("t")),
            [r#"{"id":"7","value":"1000"}"#]
        );
        cancel.cancel();
        running.await.unwrap().unwrap();
    })
    .await;
}
