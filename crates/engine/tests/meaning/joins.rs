//! Random joins of tables whose columns have the same names, with conditions, groups and more joins on top.
//!
//! Promise: the tables have different sizes, so that the planner swaps the sides of joins, and the conditions
//! tell columns of one name apart. It knows neither system.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use towpath_engine::Lake;
use towpath_ports::{Commit, Destination as _, WriteRequest};
use towpath_vocab::{
    Generation, Position, SchemaChange, TableName, TaskKey, TaskKind, WriteMode, WritePlan,
};

/// `id`, `k` and `n`.
type Row = (i64, Option<i64>, Option<i64>);

/// The tables: name and number of rows. All have the columns `id`, `k` and `n`.
const TABLES: &[(&str, usize)] = &[("ja", 3), ("jb", 40), ("jc", 400), ("jd", 0)];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// The rows of a table: `id`, `k` and `n`, where `k` and `n` are sometimes NULL.
fn rows(name: &str, count: usize) -> Vec<Row> {
    let mut random = Random(name.bytes().map(u64::from).sum());
    (0..count)
        .map(|id| {
            let mut some =
                |nulls, limit| (random.below(nulls) > 0).then(|| random.below(limit) as i64);
            (id as i64, some(8, 25), some(6, 7))
        })
        .collect()
}

/// All tables, as name and rows.
pub(crate) fn tables() -> Vec<(&'static str, Vec<Row>)> {
    TABLES
        .iter()
        .map(|(name, count)| (*name, rows(name, *count)))
        .collect()
}

/// The tables for PostgreSQL.
pub(crate) fn ddl() -> String {
    let mut sql = String::from("create schema raw;\n");
    for (name, rows) in tables() {
        let _ = writeln!(
            sql,
            "create table raw.{name} (id bigint, k bigint, n bigint);"
        );
        let null = |value: Option<i64>| value.map_or("null".to_owned(), |value| value.to_string());
        for (id, k, n) in rows {
            let _ = writeln!(
                sql,
                "insert into raw.{name} values ({id}, {}, {});",
                null(k),
                null(n)
            );
        }
    }
    sql
}

/// Writes the tables into a lakehouse.
pub(crate) async fn write(lake: &Lake) {
    for (name, rows) in tables() {
        let column = |pick: fn(&Row) -> Option<i64>| -> ArrayRef {
            Arc::new(Int64Array::from(rows.iter().map(pick).collect::<Vec<_>>()))
        };
        let columns = [
            ("id", column(|row| Some(row.0)), true),
            ("k", column(|row| row.1), true),
            ("n", column(|row| row.2), true),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let table = TableName::new("raw", name);
        let task = TaskKey {
            project: "p".into(),
            environment: "dev".into(),
            pipeline: "t".into(),
            step: "load".into(),
            kind: TaskKind::Step,
            table: table.clone(),
        };
        let intent = WriteRequest {
            after: None,
            table,
            schema: batch.schema(),
            write: WritePlan {
                mode: WriteMode::Replace,
                key: Vec::new(),
                schema_change: SchemaChange::Evolve,
                options: BTreeMap::new(),
            },
            task,
            generation: Generation(1),
            run: "t#1".to_owned(),
        };
        let mut writer = lake.begin(intent).await.unwrap();
        writer.write(batch, None).await.unwrap();
        let prepared = writer.prepare().await.unwrap();
        let commit = Commit {
            audited: false,
            position: Position::default(),
            ..Commit::default()
        };
        prepared.commit(commit).await.unwrap();
    }
}

fn condition(random: &mut Random, aliases: &[&str]) -> String {
    let column =
        |random: &mut Random| format!("{}.{}", random.one(aliases), random.one(&["id", "k", "n"]));
    let (a, b) = (column(random), column(random));
    match random.below(9) {
        0 | 1 => format!("{a} is null"),
        2 => format!("{a} is not null"),
        3 => format!("{a} in (1, 3)"),
        4 => format!("({a} = 3 or {b} is null)"),
        5 => format!("{a} is distinct from {b}"),
        6 => format!("coalesce({a}, 0) < {}", random.below(12)),
        7 => format!("{a} > {b}"),
        _ => format!("({a} in (1, 3) or {b} = 2)"),
    }
}

/// `count` statements over the tables.
pub(crate) fn statements(count: usize) -> Vec<String> {
    let mut random = Random(11);
    (0..count).map(|_| statement(&mut random)).collect()
}

const KINDS: &[&str] = &["join", "left join", "right join", "right join", "full join"];

fn statement(random: &mut Random) -> String {
    let table = |random: &mut Random| random.one(&["ja", "jb", "jc", "ja", "jb", "jc", "jd"]);
    let mut aliases = vec!["x", "y"];
    let key = random.one(&["k", "id", "n"]);
    let (one, kind, other) = (table(random), random.one(KINDS), table(random));
    let mut from = format!(
        "raw.{one} x {kind} raw.{other} y on x.{key} = y.{}",
        random.one(&["k", "id"])
    );
    if random.below(4) == 0 && !from.contains("full") {
        let _ = write!(from, " and {}", condition(random, &aliases));
    }
    if random.below(2) == 0 {
        let side = random.one(&["x", "y"]);
        let (kind, third) = (random.one(KINDS), table(random));
        let (left, right) = (random.one(&["k", "id"]), random.one(&["k", "id"]));
        let _ = write!(from, " {kind} raw.{third} z on {side}.{left} = z.{right}");
        aliases.push("z");
    }
    let mut filters: Vec<String> = (0..random.below(3))
        .map(|_| condition(random, &aliases))
        .collect();
    if filters.is_empty() {
        filters.push("true".to_owned());
    }
    let filters = filters.join(" and ");
    let (a, b) = (random.one(&aliases), random.one(&aliases));
    match random.below(5) {
        0 => format!(
            "select {a}.n, count(*) as c, sum({b}.id) as s from {from} where {filters} group by {a}.n"
        ),
        1 => format!(
            "select {a}.id as g, {b}.k as h, count(*) as c from {from} where {filters} group by {a}.id, {b}.k having count(*) > {}",
            random.below(3)
        ),
        2 => format!(
            "select w.p, w.q, v.n from (select {a}.id as p, {b}.id as q from {from} where {filters}) w {} raw.{} v on v.id = w.q and v.id = w.p",
            random.one(KINDS),
            table(random)
        ),
        3 => format!(
            "select w.p, w.q, v.n from (select {a}.k as p, {b}.k as q, count(*) as c from {from} where {filters} group by {a}.k, {b}.k) w left join raw.{} v on v.k = w.q and v.id = w.p",
            table(random)
        ),
        _ => {
            let columns: Vec<String> = aliases
                .iter()
                .flat_map(|t| ["id", "k", "n"].map(|c| format!("{t}.{c} as {t}{c}")))
                .collect();
            format!("select {} from {from} where {filters}", columns.join(", "))
        }
    }
}
