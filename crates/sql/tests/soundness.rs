//! Lineage and types compared with execution: if one input column changes, every output column that changes
//! must have an edge from it. The values of our own functions are tested too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(
    clippy::disallowed_types,
    reason = "the statements are really run here"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::catalog::SchemaProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::context::SessionContext;
use datafusion::prelude::SessionConfig;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use towpath_sql::{AnalysisResult, SETTINGS, TableLookup, analyze, functions, query};
use towpath_vocab::{TableName, types};

type Columns = Vec<(&'static str, Vec<Cell>)>;

#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Int(Option<i64>),
    Text(&'static str),
}

/// Two tables; `seed` moves the values about.
fn tables() -> BTreeMap<&'static str, Columns> {
    let ints = |values: [i64; 8]| {
        values
            .iter()
            .map(|v| Cell::Int((*v != 9).then_some(*v)))
            .collect::<Vec<_>>()
    };
    let text = |values: [&'static str; 8]| values.map(Cell::Text).to_vec();
    BTreeMap::from([
        (
            "t",
            vec![
                ("a", ints([1, 2, 3, 4, 5, 6, 7, 8])),
                ("b", ints([1, 1, 2, 2, 3, 3, 9, 9])),
                ("c", ints([10, 30, 20, 40, 9, 60, 50, 5])),
                ("s", text(["x", "y", "x", "z", "y", "x", "z", "w"])),
            ],
        ),
        (
            "u",
            vec![
                ("a", ints([1, 2, 3, 3, 9, 7, 11, 12])),
                ("d", ints([5, 4, 3, 2, 1, 0, 7, 6])),
                ("e", text(["p", "q", "p", "r", "q", "p", "x", "y"])),
            ],
        ),
    ])
}

/// The table with one column's values changed in several rows.
fn changed(columns: &Columns, at: usize) -> Columns {
    let mut columns = columns.clone();
    for (row, cell) in columns[at].1.iter_mut().enumerate() {
        *cell = match cell {
            Cell::Int(Some(value)) if row % 2 == 0 => Cell::Int(Some(*value + 2)),
            Cell::Int(None) => Cell::Int(Some(3)),
            Cell::Int(other) => Cell::Int(*other),
            Cell::Text(text) => Cell::Text(if row % 3 == 0 { "z" } else { text }),
        };
    }
    columns
}

fn batch(columns: &Columns) -> RecordBatch {
    let arrays: Vec<(&str, ArrayRef)> = columns
        .iter()
        .map(|(name, cells)| {
            let array: ArrayRef = match cells[0] {
                Cell::Int(_) => Arc::new(
                    cells
                        .iter()
                        .map(|c| if let Cell::Int(v) = c { *v } else { None })
                        .collect::<Int64Array>(),
                ),
                Cell::Text(_) => Arc::new(
                    cells
                        .iter()
                        .map(|c| {
                            if let Cell::Text(v) = c {
                                Some(*v)
                            } else {
                                None
                            }
                        })
                        .collect::<StringArray>(),
                ),
            };
            (*name, array)
        })
        .collect();
    let fields: Vec<Field> = arrays
        .iter()
        .map(|(n, a)| Field::new(*n, a.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        arrays.into_iter().map(|(_, a)| a).collect(),
    )
    .unwrap()
}

struct Known(BTreeMap<TableName, SchemaRef>);

impl TableLookup for Known {
    fn columns(&self, table: &TableName) -> Option<SchemaRef> {
        self.0.get(table).cloned()
    }

    fn known(&self) -> Vec<TableName> {
        self.0.keys().cloned().collect()
    }
}

fn known(tables: &BTreeMap<&'static str, Columns>) -> Known {
    Known(
        tables
            .iter()
            .map(|(name, columns)| (TableName::new("m", *name), batch(columns).schema()))
            .collect(),
    )
}

fn session(tables: &BTreeMap<&'static str, Columns>) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1);
    for (key, value) in SETTINGS {
        config = config.set_str(key, value);
    }
    let context = SessionContext::new_with_config(config);
    for function in &functions().scalar {
        context.register_udf(function.as_ref().clone());
    }
    let schema = Arc::new(MemorySchemaProvider::new());
    for (name, columns) in tables {
        let batch = batch(columns);
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
        schema
            .register_table((*name).to_owned(), Arc::new(table))
            .unwrap();
    }
    context
        .catalog("datafusion")
        .unwrap()
        .register_schema("m", schema)
        .unwrap();
    context
}

/// Runs a statement: its types, and its values by column.
async fn run(context: &SessionContext, sql: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let plan = context
        .state()
        .statement_to_plan(query(sql).unwrap())
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
    let frame = context.execute_logical_plan(plan).await.unwrap();
    let schema = frame
        .clone()
        .create_physical_plan()
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
        .schema();
    let types = schema
        .fields()
        .iter()
        .map(|f| format!("{} {}", f.name(), types::name(f.data_type())))
        .collect();
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); schema.fields().len()];
    for batch in frame
        .collect()
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
    {
        for (at, array) in batch.columns().iter().enumerate() {
            let text = arrow_cast::cast(array, &DataType::Utf8).unwrap_or_else(|_| {
                Arc::new(StringArray::from(
                    (0..array.len())
                        .map(|row| format!("{:?}", array.slice(row, 1)))
                        .collect::<Vec<_>>(),
                ))
            });
            let text = text.as_any().downcast_ref::<StringArray>().unwrap();
            columns[at].extend(text.iter().map(|value| value.unwrap_or("NULL").to_owned()));
        }
    }
    (types, columns)
}

fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort();
    values
}

async fn check(sql: &str) {
    let tables = tables();
    let analysis = match analyze(sql, &known(&tables)) {
        AnalysisResult::Proven(analysis) => analysis,
        other => panic!("{sql}: {other:#?}"),
    };
    let (ran, base) = run(&session(&tables), sql).await;
    let proven: Vec<String> = analysis
        .schema
        .fields()
        .iter()
        .map(|f| format!("{} {}", f.name(), types::name(f.data_type())))
        .collect();
    assert_eq!(proven, ran, "{sql}");
    let edges: BTreeSet<(String, String, String)> = analysis
        .lineage
        .edges
        .iter()
        .map(|edge| {
            (
                edge.from.table.clone(),
                edge.from.column.clone(),
                edge.to.column.clone(),
            )
        })
        .collect();
    for (name, columns) in &tables {
        let table = format!("m.{name}");
        for (at, (column, _)) in columns.iter().enumerate() {
            let mut other = tables.clone();
            other.insert(name, changed(columns, at));
            let (_, after) = run(&session(&other), sql).await;
            let whole = edges.contains(&(table.clone(), (*column).to_owned(), String::new()));
            for (position, field) in analysis.schema.fields().iter().enumerate() {
                let same = sorted(base[position].clone()) == sorted(after[position].clone());
                let edge =
                    edges.contains(&(table.clone(), (*column).to_owned(), field.name().clone()));
                assert!(
                    same || whole || edge,
                    "{sql}\n`{}` changes with `{table}.{column}`, and no edge says so:\n{edges:#?}",
                    field.name()
                );
            }
        }
    }
}

#[tokio::test]
async fn no_edge_is_missing() {
    for sql in [
        "select a, b + c as x, upper(s) y from m.t where s <> 'z'",
        "select s, sum(c) total, count(*) n, count(b) k from m.t group by s having sum(c) > 20",
        "select t.a, u.e, case when u.d > 3 then t.c else t.b end x from m.t t left join m.u u on t.a = u.a",
        "select a, sum(c) over (partition by b order by a) r, lag(s) over (order by c) p from m.t",
        "select a, s from m.t union all select d, e from m.u where a > 2",
        "select a from m.t intersect select a from m.u",
        "select a from m.t except select d from m.u",
        "select distinct s, b from m.t",
        "select distinct on (b) a, c from m.t order by b, c desc",
        "select a, (select max(d) from m.u where u.a = t.a) m from m.t t",
        "select a from m.t where a in (select d from m.u where e = 'p')",
        "select a from m.t t where not exists (select 1 from m.u u where u.a = t.a and u.d > 2)",
        "with recursive r(x, y) as (select a, c from m.t where b = 1 union all select u.d, r.y from r join m.u u on u.a = r.x where u.d < r.x) select * from r",
        "select coalesce(b, c) x, nullif(a, c) y, iff(b > 1, a, c) z from m.t",
        "select b, array_agg(s order by c) list, max(c) filter (where s = 'x') m from m.t group by b",
        "select s, b, sum(c) t from m.t group by cube(s, b)",
        "select a, unnest(make_array(b, c)) v from m.t",
        "select x.a, y.n from m.t x join (select a, count(*) n from m.u group by a) y using (a)",
        "select a from m.t qualify row_number() over (partition by s order by c desc) = 1",
        "select * from m.t order by c limit 3",
        "select count(*) n from (select a from m.t where c > 15) q",
        "select (select count(*) from m.u) n, a from m.t",
        "select t.a, v.d from m.t t cross join lateral (select d from m.u u where u.a = t.b) v",
        "select named_struct('p', a, 'q', s)['q'] as q, a between b and c as inside from m.t",
    ] {
        check(sql).await;
    }
}

/// Small queries put together by chance.
fn statement() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("t.a".to_owned()),
        Just("t.b".to_owned()),
        Just("t.c".to_owned()),
        Just("t.a + t.c".to_owned()),
        Just("coalesce(t.b, 0)".to_owned()),
        Just("case when t.s = 'x' then t.c else t.a end".to_owned()),
        Just("u.d".to_owned()),
        Just("abs(u.d - t.b)".to_owned()),
        Just("length(u.e)".to_owned()),
    ];
    let test = prop_oneof![
        Just("t.b > 1".to_owned()),
        Just("t.s <> 'y'".to_owned()),
        Just("u.d < 5 or t.c > 20".to_owned()),
        Just("t.a in (select d from m.u)".to_owned()),
        Just("u.e is not null".to_owned()),
        Just("exists (select 1 from m.u w where w.a = t.b)".to_owned()),
    ];
    let join = prop_oneof![Just("join"), Just("left join"), Just("full join")];
    let shape = prop_oneof![Just(0_u8), Just(1), Just(2), Just(3)];
    (value.clone(), value, test, join, shape).prop_map(|(x, y, test, join, shape)| {
        let from = format!("from m.t t {join} m.u u on t.a = u.a");
        match shape {
            0 => format!("select {x} as x, {y} as y {from} where {test}"),
            1 => format!("select {x} as x, sum({y}) as y, count(*) n {from} where {test} group by {x}"),
            2 => format!("select {x} as x, sum({y}) over (partition by t.s order by t.a, u.d, u.e) as y {from}"),
            _ => format!("with q as (select {x} as x, {y} as y {from}) select x, y from q where y > 1 union select y, x from q"),
        }
    })
}

#[tokio::test]
async fn no_edge_is_missing_in_queries_made_by_chance() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    for _ in 0..20 {
        let sql = statement().new_tree(&mut runner).unwrap().current();
        check(&sql).await;
    }
}

#[tokio::test]
async fn our_functions_compute() {
    let context = session(&tables());
    for (sql, expected) in [
        (
            "select iff(a > 6, s, 'small') x from m.t where a > 5",
            "small z w",
        ),
        ("select zeroifnull(b) x from m.t where a > 5", "3 0 0"),
        (
            "select safe_divide(a, b - 3) x from m.t where a < 6",
            "-0.5 -1.0 -3.0 -4.0 NULL",
        ),
        (
            "select dateadd(month, a, timestamp '2024-01-31') x from m.t where a < 3",
            "2024-02-29T00:00:00 2024-03-31T00:00:00",
        ),
        (
            "select datediff(year, date '2025-12-31', date '2026-01-01') x",
            "1",
        ),
        (
            "select datediff('day', '2026-01-01 23:00:00', '2026-01-03') x",
            "2",
        ),
        ("select last_day(date '2024-02-10') x", "2024-02-29"),
        ("select 7 / 2 x", "3"),
    ] {
        let (_, columns) = run(&context, sql).await;
        assert_eq!(columns[0].join(" "), expected, "{sql}");
    }
}
