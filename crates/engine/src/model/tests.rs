//! Tests of models over a small lakehouse: rows, types, lineage, live answers, little memory.
//!
//! Promise: a model is read to its end, as `flow` does it. Queries are tested in `session/tests.rs`. Read
//! next: `session/fixture.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use towpath_ports::{Assignment, Event, ModelEngine, ModelRequest, ModelRun, Reader, Result};
use towpath_vocab::{
    BadRows, EdgeKind, Failure, Materialized, ModelPlan, RawRecord, Remedy, SchemaChange,
    SplitPosition, TableLineage, TablePlan, Threshold, WriteMode, WritePlan,
};

use super::reader::ModelReader;
use super::run::RestartableModel;
use crate::session::fixture::{Fixture, batch, floats, ints, name, text_rows, texts};

fn table_plan(target: &str) -> TablePlan {
    TablePlan {
        target: name(target),
        write: WritePlan {
            mode: WriteMode::Replace,
            key: Vec::new(),
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        },
        filter: None,
        names: towpath_vocab::Naming::default(),
        columns: Vec::new(),
        keep: Vec::new(),
        drop: Vec::new(),
        dedup: None,
        rules: Vec::new(),
        checks: Vec::new(),
        bad_rows: BadRows::Quarantine,
        fail_above: Threshold::default(),
        lineage: TableLineage::default(),
    }
}

fn model(template: &str, sql: Option<&str>) -> ModelRequest {
    let model = ModelPlan {
        name: "delays".to_owned(),
        file: "models/delays.sql".to_owned(),
        template: template.to_owned(),
        sql: sql.map(str::to_owned),
        materialized: Materialized::Table,
        references: BTreeMap::from([
            ("flights".to_owned(), name("raw.flights")),
            ("carriers".to_owned(), name("raw.carriers")),
        ]),
        ephemerals: BTreeMap::new(),
        macros: String::new(),
        vars: BTreeMap::new(),
        env_vars: BTreeMap::new(),
        reads: Vec::new(),
        asks: false,
        full_refresh: None,
        deferred: sql.is_none(),
        table: table_plan("marts.delays"),
    };
    ModelRequest {
        model,
        full_refresh: false,
        incremental: false,
    }
}

async fn fixture() -> Fixture {
    fill(Fixture::new()).await
}

async fn fill(fixture: Fixture) -> Fixture {
    let flights = batch(vec![
        ("carrier", texts(vec![Some("AA"), Some("UA"), Some("AA")])),
        ("delay", floats(vec![Some(1.0), Some(2.0), Some(4.0)])),
    ]);
    fixture.put("raw.flights", flights).await;
    let carriers = batch(vec![
        ("carrier", texts(vec![Some("AA"), Some("UA")])),
        ("name", texts(vec![Some("American"), Some("United")])),
    ]);
    fixture.put("raw.carriers", carriers).await;
    fixture
}

/// Reads a run to its end as `flow` does.
async fn read(run: &mut ModelRun) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    let mut positions = Vec::new();
    let mut splits = run.reader.splits();
    let mut complete = false;
    while let Some(assignment) = splits.next().await {
        match assignment? {
            Assignment::Assigned(mut split) => {
                while let Some(event) = split.events.next().await {
                    match event? {
                        Event::Rows(found) => {
                            assert_eq!(found.batch.schema(), run.schema);
                            rows.extend(text_rows(&[found.batch]));
                        }
                        Event::Boundary(position) => positions.push(position),
                        Event::End => positions.push(SplitPosition::at(u64::MAX)),
                        other => panic!("{other:?}"),
                    }
                }
            }
            Assignment::Complete(_) => complete = true,
            Assignment::Revoked(_) => panic!("revoked"),
        }
    }
    assert!(complete);
    assert_eq!(
        positions,
        [
            SplitPosition::at(rows.len() as u64),
            SplitPosition::at(u64::MAX)
        ]
    );
    Ok(rows)
}

const SQL: &str = "select c.name, avg(f.delay) as delay, count(*) as n, null as note \
                   from raw.flights f join raw.carriers c on f.carrier = c.carrier group by 1 order by 1";

#[tokio::test]
async fn a_model_gives_rows_types_and_lineage() {
    let fixture = fixture().await;
    let mut run = fixture.engine.run(model("", Some(SQL))).await.unwrap();
    let types: Vec<DataType> = run
        .schema
        .fields()
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    assert_eq!(
        types,
        [
            DataType::Utf8,
            DataType::Float64,
            DataType::Int64,
            DataType::Utf8
        ]
    );
    assert!(run.reader.bounded());
    assert_eq!(run.reader.tables()[0].table, name("marts.delays"));
    assert_eq!(
        read(&mut run).await.unwrap(),
        ["American|2.5|2|-", "United|2.0|1|-"]
    );
    assert!(!run.lineage.partial);
    assert_eq!(run.lineage.inputs, ["raw.carriers", "raw.flights"]);
    let edge = run
        .lineage
        .edges
        .iter()
        .find(|edge| edge.to.column == "delay" && edge.influence == EdgeKind::Aggregation)
        .unwrap();
    assert_eq!(
        (
            edge.from.table.as_str(),
            edge.from.column.as_str(),
            edge.to.table.as_str()
        ),
        ("raw.flights", "delay", "marts.delays")
    );
}

#[tokio::test]
async fn rows_name_their_model_and_can_be_looked_at() {
    let fixture = fixture().await;
    let mut run = fixture
        .engine
        .run(model(
            "",
            Some("select carrier from raw.flights where delay = 2"),
        ))
        .await
        .unwrap();
    let Some(Ok(Assignment::Assigned(mut split))) = run.reader.splits().next().await else {
        panic!("no split")
    };
    let Some(Ok(Event::Rows(rows))) = split.events.next().await else {
        panic!("no rows")
    };
    assert_eq!(rows.origin.place(0).to_string(), "delays row 1");
    assert_eq!(
        rows.origin.raw(0),
        RawRecord::Row("{\"carrier\":\"UA\"}".to_owned())
    );
}

#[tokio::test]
async fn an_empty_model_keeps_its_columns() {
    let fixture = fixture().await;
    let mut run = fixture
        .engine
        .run(model(
            "",
            Some("select carrier, delay from raw.flights where delay > 100"),
        ))
        .await
        .unwrap();
    assert_eq!(run.schema.fields().len(), 2);
    assert!(read(&mut run).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_model_that_cannot_be_a_table_is_refused() {
    let fixture = fixture().await;
    let refusal = async |sql: &str| -> Failure {
        match fixture.engine.run(model("", Some(sql))).await {
            Ok(_) => panic!("{sql} ran"),
            Err(failure) => failure,
        }
    };
    let twice = refusal("select a.carrier, b.carrier from raw.flights a join raw.carriers b on a.carrier = b.carrier").await;
    assert_eq!(
        (twice.code.as_str(), twice.remedy),
        ("R0521", Remedy::FixConfig)
    );
    let missing = refusal("select * from raw.nothing").await;
    assert!(missing.message.contains("model `delays`"), "{missing}");
    assert_eq!(refusal("drop table raw.flights").await.code, "R0505");
}

#[tokio::test]
async fn bad_values_name_the_model() {
    let fixture = fixture().await;
    let mut run = fixture
        .engine
        .run(model("", Some("select carrier::int as c from raw.flights")))
        .await
        .unwrap();
    let failure = read(&mut run).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0508", Remedy::FixData)
    );
    assert!(failure.message.contains("model `delays`"), "{failure}");
}

#[tokio::test]
async fn a_join_that_does_not_fit_is_planned_again_with_one_that_spills() {
    let fixture = Fixture::with_memory(32 << 20);
    let rows = 300_000_i64;
    let notes: Vec<String> = (0..rows).map(|at| format!("{at:0100}")).collect();
    fixture
        .put(
            "raw.big",
            batch(vec![
                ("k", ints((0..rows).map(Some).collect())),
                ("v", ints((0..rows).rev().map(Some).collect())),
                (
                    "note",
                    texts(notes.iter().map(|note| Some(note.as_str())).collect()),
                ),
            ]),
        )
        .await;
    let sql = "select a.k, b.v, c.v as w, b.note, c.note as other from raw.big a join raw.big b on a.k = b.v join raw.big c on c.k = b.k where a.k + b.v + c.v >= 0";
    let target = name("marts.delays");
    assert!(!fixture.engine.is_tight(&target));
    let mut run = fixture.engine.run(model("", Some(sql))).await.unwrap();
    let read = read(&mut run).await.unwrap();
    assert_eq!(read.len() as i64, rows);
    assert!(
        fixture.engine.is_tight(&target),
        "the hash join was expected not to fit"
    );
    // The next run starts with what fits.
    let mut again = fixture.engine.run(model("", Some(sql))).await.unwrap();
    assert_eq!(self::read(&mut again).await.unwrap().len() as i64, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_that_do_not_fit_beside_each_other_run_one_after_the_other() {
    let fixture = Fixture::with_memory(32 << 20);
    let rows = 200_000_i64;
    let note = |at: i64| format!("{:032}{:064}", at * 7919 % rows, at);
    let notes: Vec<String> = (0..rows).map(note).collect();
    fixture
        .put(
            "raw.wide",
            batch(vec![
                ("k", ints((0..rows).map(Some).collect())),
                (
                    "note",
                    texts(notes.iter().map(|note| Some(note.as_str())).collect()),
                ),
            ]),
        )
        .await;
    let sql = "select k, note from raw.wide order by note, k";
    let models = ["marts.a", "marts.b", "marts.c"].map(|table| {
        let mut request = model("", Some(sql));
        request.model.table.target = name(table);
        let engine = fixture.engine.clone();
        tokio::spawn(async move {
            loop {
                let mut run = engine.run(request.clone()).await?;
                match read(&mut run).await {
                    // Rows were handed out already: the orchestrator tries again.
                    Err(failure) if failure.remedy == Remedy::Retry => {}
                    done => return done,
                }
            }
        })
    });
    for model in models {
        assert_eq!(model.await.unwrap().unwrap().len() as i64, rows);
    }
}

/// A reader of `select carrier from raw.flights` whose first plan gives these batches.
async fn reader(
    fixture: &Fixture,
    first: Vec<std::result::Result<RecordBatch, DataFusionError>>,
    tight: bool,
) -> ModelReader {
    let request = model("", Some("select carrier from raw.flights order by 1"));
    let recipe = RestartableModel::new(
        &fixture.engine,
        &request.model,
        request.model.sql.clone().unwrap(),
    )
    .unwrap();
    let schema = batch(vec![("carrier", texts(vec![]))]).schema();
    let batches = RecordBatchStreamAdapter::new(Arc::clone(&schema), futures::stream::iter(first));
    let ready = recipe.ready(tight).await.unwrap();
    ModelReader::new(recipe, ready, tight).begun(Box::pin(batches))
}

async fn events(mut reader: ModelReader) -> Vec<Result<Event>> {
    let Some(Ok(Assignment::Assigned(split))) = reader.splits().next().await else {
        panic!("no split")
    };
    split.events.collect().await
}

fn exhausted() -> std::result::Result<RecordBatch, DataFusionError> {
    Err(DataFusionError::ResourcesExhausted("Failed to allocate".to_owned()).context("joining"))
}

#[tokio::test]
async fn memory_that_ends_before_the_first_row_is_not_seen() {
    let fixture = fixture().await;
    let events = events(reader(&fixture, vec![exhausted()], false).await).await;
    let [
        Ok(Event::Rows(rows)),
        Ok(Event::Boundary(position)),
        Ok(Event::End),
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        text_rows(std::slice::from_ref(&rows.batch)),
        ["AA", "AA", "UA"]
    );
    assert_eq!(*position, SplitPosition::at(3));
    assert!(fixture.engine.is_tight(&name("marts.delays")));
}

#[tokio::test]
async fn memory_that_ends_later_asks_for_another_attempt_once() {
    let fixture = fixture().await;
    let row = || Ok(batch(vec![("carrier", texts(vec![Some("XX")]))]));
    let later = events(reader(&fixture, vec![row(), exhausted(), row()], false).await).await;
    let [Ok(Event::Rows(_)), Err(failure)] = later.as_slice() else {
        panic!("{later:?}")
    };
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0507", Remedy::Retry)
    );
    assert!(fixture.engine.is_tight(&name("marts.delays")));
    // What already runs with less memory has no other way out than more of it.
    let tight = events(reader(&fixture, vec![exhausted()], true).await).await;
    let [Err(failure)] = tight.as_slice() else {
        panic!("{tight:?}")
    };
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0507", Remedy::FixConfig)
    );
}

const DEFERRED: &str = "{% set names = run_query('select distinct name from ' ~ ref('carriers') ~ ' order by 1').columns[0].values() %}
select f.carrier, '{{ env_var('REGION') }}' as region
{%- for name in names %}, sum(case when c.name = '{{ name }}' then f.delay end) as {{ name | lower }}{% endfor %}
from {{ ref('flights') }} f join {{ ref('carriers') }} c on c.carrier = f.carrier
{% if is_incremental() %}where f.delay > (select max(american) from {{ this }}){% endif %}
group by 1 order by 1";

#[tokio::test]
async fn a_deferred_model_is_rendered_with_live_answers() {
    let fixture = fixture().await;
    let mut run = fixture.engine.run(model(DEFERRED, None)).await.unwrap();
    assert!(
        run.sql.contains("as american") && run.sql.contains("as united"),
        "{}",
        run.sql
    );
    assert_eq!(
        read(&mut run).await.unwrap(),
        ["AA|north|5.0|-", "UA|north|-|2.0"]
    );
    assert_eq!(run.lineage.inputs, ["raw.carriers", "raw.flights"]);
}

#[tokio::test]
async fn an_incremental_model_reads_its_own_table() {
    let fixture = fixture().await;
    fixture
        .put(
            "marts.delays",
            batch(vec![
                ("carrier", texts(vec![Some("AA")])),
                ("american", floats(vec![Some(1.5)])),
            ]),
        )
        .await;
    let mut request = model(DEFERRED, None);
    request.model.materialized = Materialized::Incremental;
    request.incremental = true;
    let mut run = fixture.engine.run(request).await.unwrap();
    assert!(run.sql.contains("marts"), "{}", run.sql);
    assert_eq!(
        read(&mut run).await.unwrap(),
        ["AA|north|4.0|-", "UA|north|-|2.0"]
    );
}

#[tokio::test]
async fn a_template_that_cannot_be_answered_says_why() {
    let fixture = fixture().await;
    let refusal = async |template: &str| -> Failure {
        match fixture.engine.run(model(template, None)).await {
            Ok(run) => panic!("{template} gave {}", run.sql),
            Err(failure) => failure,
        }
    };
    let missing = refusal("select {{ run_query('select 1 from raw.carrier') }}").await;
    assert_eq!(
        (missing.code.as_str(), missing.remedy),
        ("R0502", Remedy::FixConfig)
    );
    assert!(missing.message.contains("model `delays`"), "{missing}");
    assert!(
        missing
            .help
            .iter()
            .any(|line| line.contains("raw.carriers")),
        "{:?}",
        missing.help
    );
    assert_eq!(
        refusal("select {{ run_query('drop table raw.carriers') }}")
            .await
            .code,
        "R0505"
    );
    let wrong = refusal("select 1,\n {{ refx('flights') }}").await;
    assert_eq!(
        (wrong.code.as_str(), wrong.remedy),
        ("R0513", Remedy::FixConfig)
    );
    assert!(wrong.message.contains("models/delays.sql:2"), "{wrong}");
}

#[tokio::test]
async fn an_incremental_model_keeps_the_number_types_of_its_table() {
    let fixture = fixture().await;
    let table = batch(vec![
        ("carrier", texts(vec![Some("AA")])),
        ("share", floats(vec![Some(0.5)])),
    ]);
    fixture.put("marts.delays", table).await;
    let sql = "select carrier, delay::numeric(10,2) / 4 as share from raw.flights order by 1, 2";
    let mut request = model("", Some(sql));
    let run = fixture.engine.run(request.clone()).await.unwrap();
    let anew = run.schema.field(1).data_type().clone();
    assert_eq!(anew, DataType::Decimal128(28, 20));
    assert!(run.reader.notes().is_empty());
    request.incremental = true;
    let mut run = fixture.engine.run(request).await.unwrap();
    assert_eq!(run.schema.field(1).data_type(), &DataType::Float64);
    let notes = run.reader.notes();
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].starts_with("column `share` stays `double`"),
        "{notes:?}"
    );
    assert_eq!(
        read(&mut run).await.unwrap(),
        ["AA|0.25", "AA|1.0", "UA|0.5"]
    );
}
