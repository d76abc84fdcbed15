//! Tests of queries over a small lakehouse: what is allowed, what is refused, what messages say.
//!
//! Promise: every table is written by the lake half, as in a load. Models are tested in `model/tests.rs`.
//! Read next: `fixture.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use futures::{StreamExt, TryStreamExt};
use towpath_ports::{
    Assignment, BoxStream, Candidate, Event, InputVersion, ModelEngine, Query, ReadSpec, Reader,
    RejectedRecord, Result, Rows, Source, Split, TableSchema,
};
use towpath_vocab::{Failure, Position, Remedy, SplitId, SplitPosition};

use super::fixture::{
    Fixture, batch, dates, decimals, floats, instants, ints, name, text_rows, texts,
};

async fn flights() -> Fixture {
    let fixture = Fixture::new();
    let flights = batch(vec![
        ("flight", ints(vec![Some(1), Some(2), Some(3)])),
        ("carrier", texts(vec![Some("AA"), Some("UA"), None])),
        ("day", dates(vec![Some(15_706), Some(15_707), Some(15_708)])),
        ("delay", floats(vec![Some(1.5), None, Some(-2.0)])),
    ]);
    fixture.put("raw.flights", flights).await;
    let carriers = batch(vec![
        ("carrier", texts(vec![Some("AA"), Some("UA")])),
        ("Full Name", texts(vec![Some("American"), Some("United")])),
    ]);
    fixture.put("raw.carriers", carriers).await;
    fixture
}

async fn refusal(fixture: &Fixture, sql: &str) -> Failure {
    match fixture.rows(sql).await {
        Ok(rows) => panic!("{sql} gave {rows:?}"),
        Err(failure) => failure,
    }
}

#[tokio::test]
async fn tables_join_and_come_out_in_plain_types() {
    let fixture = flights().await;
    let sql = "select f.flight, c.\"Full Name\" as name, f.day from raw.flights f \
               left join RAW.Carriers c using (carrier) order by flight";
    let result = fixture.query(sql).await.unwrap();
    let types: Vec<DataType> = result
        .schema
        .fields()
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    assert_eq!(types, [DataType::Int64, DataType::Utf8, DataType::Date32]);
    let rows = text_rows(&result.batches.try_collect::<Vec<_>>().await.unwrap());
    assert_eq!(
        rows,
        [
            "1|American|2013-01-01",
            "2|United|2013-01-02",
            "3|-|2013-01-03"
        ]
    );
}

#[tokio::test]
async fn names_are_found_whatever_their_case() {
    let fixture = flights().await;
    fixture
        .put("Raw.Planes", batch(vec![("n", ints(vec![Some(7)]))]))
        .await;
    assert_eq!(
        fixture.rows("select n from raw.planes").await.unwrap(),
        ["7"]
    );
    assert_eq!(
        fixture
            .rows("select n from \"Raw\".\"Planes\"")
            .await
            .unwrap(),
        ["7"]
    );
}

#[tokio::test]
async fn empty_results_keep_their_columns() {
    let fixture = flights().await;
    let result = fixture
        .query("select carrier, null as nothing from raw.flights where flight > 9")
        .await
        .unwrap();
    assert_eq!(result.schema.field(0).data_type(), &DataType::Utf8);
    assert_eq!(result.schema.field(1).data_type(), &DataType::Utf8);
    let batches: Vec<RecordBatch> = result.batches.try_collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
}

#[tokio::test]
async fn counts_and_bounds_come_from_the_log() {
    let fixture = flights().await;
    let plan = fixture
        .rows("explain select count(*), min(flight), max(day) from raw.flights")
        .await
        .unwrap()
        .join("\n");
    assert!(!plan.contains("DataSourceExec"), "{plan}");
    let sql = "select count(*), min(flight), max(day), count(delay), min(carrier) from raw.flights";
    assert_eq!(fixture.rows(sql).await.unwrap(), ["3|1|2013-01-03|2|AA"]);
}

#[tokio::test]
async fn a_statement_sees_one_version_and_the_next_one_the_new() {
    let fixture = flights().await;
    let running = fixture
        .query("select flight from raw.flights order by 1")
        .await
        .unwrap();
    fixture
        .put("raw.flights", batch(vec![("flight", ints(vec![Some(9)]))]))
        .await;
    assert_eq!(
        text_rows(&running.batches.try_collect::<Vec<_>>().await.unwrap()),
        ["1", "2", "3"]
    );
    assert_eq!(
        fixture
            .rows("select flight from raw.flights")
            .await
            .unwrap(),
        ["9"]
    );
    let old = "select count(*) from at_version('raw.flights', 0)";
    assert_eq!(fixture.rows(old).await.unwrap(), ["3"]);
    let both = "select count(*) from at_version('raw.flights', 0) old left join raw.flights new on old.flight = new.flight";
    assert_eq!(fixture.rows(both).await.unwrap(), ["3"]);
    let failure = refusal(&fixture, "select * from at_version('raw.flights', 7)").await;
    assert!(failure.message.contains("the newest is 1"), "{failure}");
}

#[tokio::test]
async fn views_stand_on_views_and_never_on_themselves() {
    let fixture = flights().await;
    let engine = &fixture.engine;
    assert_eq!(
        engine
            .create_view(
                &name("staging.late"),
                "select * from raw.flights where delay > 0"
            )
            .await
            .unwrap(),
        1
    );
    engine
        .create_view(
            &name("staging.names"),
            "select carrier, count(*) n from staging.late group by 1",
        )
        .await
        .unwrap();
    assert_eq!(
        fixture.rows("select * from staging.names").await.unwrap(),
        ["AA|1"]
    );
    let before = engine
        .versions(&[name("staging.names"), name("raw.nothing")])
        .await
        .unwrap();
    assert_eq!(before.keys().collect::<Vec<_>>(), [&name("staging.names")]);

    let broken = engine
        .create_view(&name("staging.bad"), "select nope from raw.flights")
        .await
        .unwrap_err();
    assert_eq!(broken.code, "R0503");
    let itself = engine
        .create_view(&name("staging.late"), "select * from staging.names")
        .await
        .unwrap_err();
    assert_eq!(itself.code, "R0511", "{itself}");
    assert_eq!(
        fixture
            .rows("select count(*) from staging.late")
            .await
            .unwrap(),
        ["1"]
    );

    fixture
        .put(
            "raw.flights",
            batch(vec![
                ("flight", ints(vec![Some(1)])),
                ("carrier", texts(vec![Some("AA")])),
                ("delay", floats(vec![Some(1.0)])),
            ]),
        )
        .await;
    let after = engine.versions(&[name("staging.names")]).await.unwrap();
    assert_ne!(before, after);
    assert_eq!(
        after,
        engine.versions(&[name("staging.names")]).await.unwrap()
    );
}

#[tokio::test]
async fn quarantine_and_lists_are_tables_like_others() {
    let fixture = flights().await;
    let quarantine = towpath_vocab::TableName::new("_quarantine", "raw.flights");
    fixture
        .put(
            &quarantine.to_string(),
            batch(vec![("reason", texts(vec![Some("min")]))]),
        )
        .await;
    assert_eq!(
        fixture
            .rows("select reason from _quarantine.\"raw.flights\"")
            .await
            .unwrap(),
        ["min"]
    );
    fixture
        .engine
        .create_view(&name("staging.late"), "select * from raw.flights")
        .await
        .unwrap();
    let tables = fixture.rows("select table_schema || '.' || table_name, table_type from information_schema.tables where table_schema <> 'information_schema' order by 1").await.unwrap();
    assert_eq!(
        tables,
        [
            "_quarantine.raw.flights|BASE TABLE",
            "raw.carriers|BASE TABLE",
            "raw.flights|BASE TABLE",
            "staging.late|VIEW"
        ]
    );
    let columns = fixture.rows("select ordinal_position, column_name, data_type, is_nullable from information_schema.columns where table_name = 'carriers' order by ordinal_position").await.unwrap();
    assert_eq!(columns, ["1|carrier|text|YES", "2|Full Name|text|YES"]);
    let views = fixture
        .rows("select table_schema, table_name from information_schema.views")
        .await
        .unwrap();
    assert_eq!(views, ["staging|late"]);
    assert_eq!(
        fixture.rows("describe raw.carriers").await.unwrap(),
        ["carrier|text|YES", "Full Name|text|YES"]
    );
    assert_eq!(
        fixture
            .rows("show tables")
            .await
            .unwrap()
            .iter()
            .filter(|row| row.contains("carriers"))
            .count(),
        1
    );
    fixture
        .engine
        .create_view(&name("staging.broken"), "select * from staging.late")
        .await
        .unwrap();
    fixture
        .engine
        .lake()
        .drop_view(&name("staging.late"))
        .await
        .unwrap();
    assert_eq!(
        fixture
            .rows("show tables")
            .await
            .unwrap()
            .iter()
            .filter(|row| row.contains("broken"))
            .count(),
        1
    );
    assert_eq!(
        fixture
            .rows(
                "select column_name from information_schema.columns where table_name = 'carriers'"
            )
            .await
            .unwrap()
            .len(),
        2
    );
    let broken = refusal(&fixture, "select * from staging.broken").await;
    assert!(broken.message.contains("view `staging.broken`"), "{broken}");
}

#[tokio::test]
async fn only_queries_pass() {
    let fixture = flights().await;
    for sql in [
        "drop table raw.flights",
        "insert into raw.flights values (1)",
        "create table x.y as select 1",
        "create view x.y as select 1",
        "update raw.flights set flight = 1",
        "delete from raw.flights",
        "copy (select 1) to 'x.csv'",
        "explain analyze insert into raw.flights select * from raw.flights",
        "with x as (select 1) insert into raw.flights select * from x",
        "set datafusion.execution.batch_size = 1",
        "select 1 into x",
    ] {
        let failure = refusal(&fixture, sql).await;
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0505", Remedy::Refused),
            "{sql}: {failure}"
        );
        assert!(!failure.help.is_empty());
    }
    assert_eq!(refusal(&fixture, "select 1; select 2").await.code, "R0506");
    assert_eq!(refusal(&fixture, "  -- nothing").await.code, "R0501");
    assert_eq!(refusal(&fixture, "selec 1").await.code, "R0501");
    assert_eq!(fixture.rows("select 1;").await.unwrap(), ["1"]);
    assert!(
        fixture
            .rows("explain select * from raw.flights")
            .await
            .unwrap()
            .join(" ")
            .contains("DataSourceExec")
    );
}

#[tokio::test]
async fn mistakes_name_what_was_meant() {
    let fixture = flights().await;
    let table = refusal(&fixture, "select * from raw.flihgts").await;
    assert_eq!(table.code, "R0502");
    assert!(
        table
            .help
            .iter()
            .any(|line| line.contains("`raw.flights`?")),
        "{:?}",
        table.help
    );
    let schema = refusal(&fixture, "select * from flights").await;
    assert!(
        schema
            .help
            .iter()
            .any(|line| line.contains("did you mean `raw.flights`?")),
        "{:?}",
        schema.help
    );
    let column = refusal(&fixture, "select\n  flight,\n  carier\nfrom raw.flights").await;
    assert_eq!(column.code, "R0503");
    assert!(column.message.contains("line 3"), "{column}");
    assert!(
        column.help.iter().any(|line| line.contains("carrier")),
        "{:?}",
        column.help
    );
    let quoted = refusal(&fixture, "select \"full name\" from raw.carriers").await;
    assert!(
        quoted.help.iter().any(|line| line.contains("Full Name")),
        "{:?}",
        quoted.help
    );
}

#[tokio::test]
async fn values_that_do_not_fit_are_about_data() {
    let fixture = flights().await;
    for sql in [
        "select flight / (flight - flight) from raw.flights",
        "select carrier::int from raw.flights",
        "select flight + 9223372036854775807 from raw.flights",
        "select sum(flight * 9223372036854775807) from raw.flights",
        "select sum(flight + 9223372036854775800) from raw.flights",
        "select flight * 9223372036854775807, count(*) from raw.flights group by 1",
        "select sum(x) from (values (1, 9223372036854775807), (1, 1)) t(g, x) group by g",
        "select sum(x) over (order by x) from (values (9223372036854775807), (1)) t(x)",
        "select sum(distinct x) from (values (9223372036854775807), (1)) t(x)",
        "select * from raw.flights where flight * 9223372036854775807 > 0",
    ] {
        let failure = refusal(&fixture, sql).await;
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0508", Remedy::FixData),
            "{sql}: {failure}"
        );
    }
    assert_eq!(
        fixture
            .rows("select sum(flight + 1) from raw.flights")
            .await
            .unwrap(),
        ["9"]
    );
    // What passes the bound on the way and comes back fits.
    let back = "select sum(x), sum(x) filter (where x < 0), sum(x - x) from (values (9223372036854775807), (1), (-5)) t(x)";
    assert_eq!(
        fixture.rows(back).await.unwrap(),
        ["9223372036854775803|-5|0"]
    );
    let sliding = "select sum(x) over (order by x rows between 1 preceding and current row) from (values (1), (2), (3)) t(x)";
    assert_eq!(fixture.rows(sliding).await.unwrap(), ["1", "3", "5"]);
    assert_eq!(
        fixture
            .rows("select sum(flight) from raw.flights where flight > 9")
            .await
            .unwrap(),
        ["-"]
    );
}

#[tokio::test]
async fn no_number_is_bent_wherever_it_is_computed() {
    let fixture = flights().await;
    let most = "9223372036854775807";
    let digits = "'99999999999999999999999999999999999999'::decimal(38,0)";
    for sql in [
        // Constants, also those that meet only when plans are merged.
        format!("select {most} + 1"),
        "select -9223372036854775808 - 1 from raw.flights".to_owned(),
        format!("select {most} * 2 > 0"),
        "select -x from (values (-9223372036854775808)) t(x)".to_owned(),
        format!("select x + 1 from (select {most} as x) t"),
        format!(
            "with a as (select {most} x), b as (select x + flight y from a, raw.flights) select * from b"
        ),
        format!("select * from raw.flights where flight < {most} + 1"),
        "select cast(2147483647 as int) + cast(1 as int)".to_owned(),
        "select cast(127 as tinyint) * cast(2 as tinyint)".to_owned(),
        // Windows, joins, sorts, keys, cases, subqueries.
        format!("select sum(flight + {most}) over () from raw.flights"),
        format!("select lag(flight + {most}) over (order by flight) from raw.flights"),
        format!("select row_number() over (order by flight + {most}) from raw.flights"),
        format!("select row_number() over (partition by flight * {most}) from raw.flights"),
        format!("select 1 from raw.flights a join raw.flights b on a.flight + {most} = b.flight"),
        format!("select 1 from raw.flights a join raw.flights b on a.flight * {most} > b.flight"),
        format!(
            "select 1 from raw.flights a left join raw.flights b on a.flight = b.flight and b.flight + {most} > 5"
        ),
        format!("select flight from raw.flights order by flight + {most}"),
        format!(
            "select flight from raw.flights where flight in (select flight + {most} from raw.flights)"
        ),
        format!("select (select max(flight + {most}) from raw.flights)"),
        format!("select case when flight > 0 then flight + {most} end from raw.flights"),
        format!("select distinct flight * {most} from raw.flights"),
        format!("select count(*) from raw.flights having sum(flight) + {most} > 0"),
        // Decimals: over 38 digits, although 128 bits would still hold some of them.
        format!("select {digits} + 1::decimal(38,0)"),
        format!("select {digits} + '50000000000000000000000000000000000000'::decimal(38,0)"),
        format!("select {digits} * 10::decimal(2,0)"),
        "select x * x from (values ('1000000000000000000000'::decimal(22,0))) t(x)".to_owned(),
        format!("select x / 0.1::decimal(2,1) from (values ({digits})) t(x)"),
        format!("select sum(x) from (values ({digits}), (2), ({digits}), ({digits})) t(x)"),
        format!("select g, sum(x) from (values (1, {digits}), (1, 1)) t(g, x) group by g"),
        format!("select sum(x) over (order by x) from (values ({digits}), (1)) t(x)"),
        // Casts.
        "select cast(flight * 100000 as smallint) from raw.flights".to_owned(),
        "select cast(300 as tinyint)".to_owned(),
        "select cast(1e300 as bigint)".to_owned(),
        "select cast(123456 as decimal(4,0))".to_owned(),
        format!("select cast(x as int) from (values ({most})) t(x)"),
        "select abs(x) from (values (-9223372036854775808)) t(x)".to_owned(),
    ] {
        let failure = refusal(&fixture, &sql).await;
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0508", Remedy::FixData),
            "{sql}: {failure}"
        );
    }
    let named = refusal(
        &fixture,
        &format!("select flight + {most} from raw.flights"),
    )
    .await;
    assert!(
        named.message.contains(&format!(
            "`raw.flights.flight + {most}` does not fit `bigint`"
        )),
        "{named}"
    );
}

#[tokio::test]
async fn arithmetic_that_fits_keeps_names_types_and_values() {
    let fixture = flights().await;
    for (sql, rows) in [
        (
            "select 9223372036854775806 + 1, -9223372036854775807 - 1",
            "9223372036854775807|-9223372036854775808",
        ),
        ("select 1.10 * 2.5, 7 / 2, 7 % 2, 7.0 / 2", "2.75|3|1|3.5"),
        (
            "select sum(x) from (values ('99999999999999999999999999999999999998'::decimal(38,0)), (1)) t(x)",
            "99999999999999999999999999999999999999",
        ),
        (
            "select sum(x) from (values ('99999999999999999999999999999999999999'::decimal(38,0)), (1), (-1)) t(x)",
            "99999999999999999999999999999999999999",
        ),
        ("select null + 1, -null::int", "-|-"),
        (
            "select date '2013-01-01' + interval '1 day', 1.5::double * 2",
            "2013-01-02T00:00:00|3.0",
        ),
        ("select try_cast(300 as tinyint)", "-"),
    ] {
        assert_eq!(fixture.rows(sql).await.unwrap(), [rows], "{sql}");
    }
    let found = fixture
        .query("select flight + 1, flight * 2 as twice, sum(flight + 1) over (), count(*) filter (where flight + 1 > 0) from raw.flights group by flight")
        .await
        .unwrap();
    let names: Vec<&str> = found
        .schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(names[..2], ["flight + 1", "twice"]);
    let keyed =
        "select count(*) from raw.flights a join raw.flights b on a.flight + 1 = b.flight + 1";
    let plan = fixture
        .rows(&format!("explain {keyed}"))
        .await
        .unwrap()
        .join("\n");
    assert!(plan.contains("HashJoin"), "{plan}");
}

#[tokio::test]
async fn a_recursive_query_that_does_not_end_is_ended() {
    let fixture = flights().await;
    let counting = |end: &str| {
        format!(
            "with recursive r as (select 1 as n union all select n + 1 from r {end}) select count(*) from r"
        )
    };
    let found = fixture.rows(&counting("where n < 400")).await.unwrap();
    assert_eq!(found, ["400"]);
    for sql in [
        counting(""),
        "with recursive r as (select 1 as n union all select n from r) select * from r".to_owned(),
        "with recursive r as (select 1 as n union all select b.n from (select n from r) b join (select 1 as n) c on b.n = c.n) select max(n) from r".to_owned(),
    ] {
        let failure = fixture.rows(&sql).await.unwrap_err();
        assert_eq!(failure.code.as_str(), "R0527", "{sql}: {failure}");
        let right = "`r` has gone 500 rounds without an end";
        assert!(failure.message.contains(right), "{failure}");
    }
    // `union` ends by itself where rows come back.
    let around = "with recursive r as (select 1 as n union select n from r) select count(*) from r";
    assert_eq!(fixture.rows(around).await.unwrap(), ["1"]);
    // Each query counts its own rounds.
    let two = "with recursive a as (select 1 as n union all select n + 1 from a where n < 300), b as (select 1 as n union all select n + 1 from b where n < 300) select (select count(*) from a) + (select count(*) from b)";
    assert_eq!(fixture.rows(two).await.unwrap(), ["600"]);
    // One inside another begins anew in each round of that, and does not hide that the outer one is endless.
    let nested = |end: &str| {
        format!(
            "with recursive r as (select 1 as n union all select r.n + s.c - 99 from r cross join (\
             with recursive q as (select 1 as m union all select m + 1 from q where m < 100) \
             select count(*) as c from q) s {end}) select count(*) from r"
        )
    };
    let found = fixture.rows(&nested("where r.n < 20")).await.unwrap();
    assert_eq!(found, ["20"]);
    let failure = fixture.rows(&nested("")).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "R0527", "{failure}");
    assert!(failure.message.contains("`r`"), "{failure}");
}

#[tokio::test]
async fn values_that_the_library_cannot_hold_are_a_failure() {
    let fixture = flights().await;
    let sql = "select length(string_agg(repeat('x', 1000000), '')) from generate_series(1, 5000)";
    let failure = fixture.rows(sql).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "R0528", "{failure}");
    assert_eq!(fixture.rows("select 1").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn candidates_stand_in_for_their_tables_also_through_views() {
    let fixture = flights().await;
    fixture
        .engine
        .create_view(&name("staging.late"), "select flight from raw.flights")
        .await
        .unwrap();
    let new = batch(vec![("flight", ints(vec![Some(40), Some(41)]))]);
    let (prepared, candidate) = fixture.candidate("raw.flights", new).await;
    let candidates = BTreeMap::from([(name("raw.flights"), candidate.clone())]);
    let seen = async |sql: &str, candidates: &BTreeMap<_, Candidate>| {
        let result = fixture.engine.query(sql, candidates).await.unwrap();
        text_rows(&result.batches.try_collect::<Vec<_>>().await.unwrap())
    };
    assert_eq!(
        seen("select flight from staging.late order by 1", &candidates).await,
        ["40", "41"]
    );
    let plan = seen("explain select flight from raw.flights", &candidates)
        .await
        .join(" ");
    assert!(plan.contains("DataSourceExec"), "{plan}");
    // Any other maker's candidate is read through its source.
    let foreign = Candidate {
        native: Arc::new(()),
        ..candidate
    };
    let candidates = BTreeMap::from([(name("raw.flights"), foreign)]);
    assert_eq!(
        seen(
            "select sum(a.flight + b.flight) from raw.flights a join raw.flights b using (flight)",
            &candidates
        )
        .await,
        ["162"]
    );
    prepared.discard().await.unwrap();
    assert_eq!(
        fixture
            .rows("select count(*) from raw.flights")
            .await
            .unwrap(),
        ["3"]
    );
}

/// A source that fails in the middle, or just stops there.
struct Failing(RecordBatch, Option<Failure>);

struct FailingReader(RecordBatch, Option<Failure>);

#[async_trait]
impl Source for Failing {
    async fn open(&self, _: &ReadSpec, _: Option<&Position>) -> Result<Box<dyn Reader>> {
        Ok(Box::new(FailingReader(self.0.clone(), self.1.clone())))
    }

    async fn version(&self, _: &ReadSpec) -> Result<Option<InputVersion>> {
        Ok(None)
    }

    async fn replay(&self, _: &ReadSpec, _: Vec<RejectedRecord>) -> Result<Box<dyn Reader>> {
        Err(Failure::new("R0999", Remedy::Refused, "no replay"))
    }
}

#[async_trait]
impl Reader for FailingReader {
    fn tables(&self) -> Vec<TableSchema> {
        vec![TableSchema {
            table: name("a.b"),
            schema: self.0.schema(),
        }]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let rows = Rows::of_batch(name("a.b"), "b", self.0.clone(), 0);
        let events = [
            Ok(Event::Rows(rows)),
            Ok(Event::Boundary(SplitPosition::at(1))),
        ];
        let events = futures::stream::iter(events.into_iter().chain(self.1.take().map(Err)));
        let split = Split {
            id: SplitId("one".to_owned()),
            events: events.boxed(),
        };
        futures::stream::iter([
            Ok(Assignment::Assigned(split)),
            Ok(Assignment::Complete(Position::default())),
        ])
        .boxed()
    }

    async fn committed(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }
}

async fn cut_short(failure: Option<Failure>) -> Failure {
    let fixture = Fixture::new();
    let rows = batch(vec![("n", ints(vec![Some(1)]))]);
    let candidate = Candidate {
        schema: rows.schema(),
        source: Arc::new(Failing(rows, failure)),
        native: Arc::new(()),
    };
    let candidates = BTreeMap::from([(name("a.b"), candidate)]);
    let result = fixture
        .engine
        .query("select sum(n) from a.b group by n % 2", &candidates)
        .await
        .unwrap();
    result.batches.try_collect::<Vec<_>>().await.unwrap_err()
}

#[tokio::test]
async fn what_a_source_fails_with_comes_out_unchanged() {
    let failure = Failure::new("R0998", Remedy::Retry, "the cable was cut");
    assert_eq!(cut_short(Some(failure.clone())).await, failure);
}

#[tokio::test]
async fn a_candidate_that_stops_before_its_end_is_not_judged() {
    let failure = cut_short(None).await;
    assert_eq!(failure.code, "R0515");
    assert!(failure.message.contains("`a.b`"), "{failure}");
}

#[tokio::test]
async fn now_fits_microseconds() {
    assert_eq!(
        Fixture::new()
            .rows("select now() is not null, now() as n")
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn little_memory_spills_and_completes() {
    let fixture = Fixture::with_memory(24 << 20);
    let rows = 400_000_i64;
    let keys = (0..rows)
        .map(|n| Some(format!("key number {:07}", (n * 7919) % rows)))
        .collect::<Vec<_>>();
    let keys = Arc::new(datafusion::arrow::array::StringArray::from(keys));
    let values = ints((0..rows).map(Some).collect());
    fixture
        .put("raw.wide", batch(vec![("k", keys), ("v", values)]))
        .await;
    let sql =
        "select count(*), sum(s) from (select k, sum(v) s, max(k) m from raw.wide group by k) t";
    let spilled = fixture
        .rows(&format!("explain analyze {sql}"))
        .await
        .unwrap()
        .join("\n");
    assert!(
        spilled
            .split("spill_count=")
            .skip(1)
            .any(|rest| !rest.starts_with('0')),
        "{spilled}"
    );
    let total: i64 = (0..rows).sum();
    assert_eq!(
        fixture.rows(sql).await.unwrap(),
        [format!("{rows}|{total}")]
    );
}

#[tokio::test]
async fn spilling_is_bounded_too() {
    let fixture = Fixture::with_limits(8 << 20, 1 << 20);
    let values = ints((0..400_000).map(|n| Some((n * 7919) % 400_000)).collect());
    fixture
        .put(
            "raw.wide",
            batch(vec![
                ("a", Arc::clone(&values)),
                ("b", Arc::clone(&values)),
                ("c", values),
            ]),
        )
        .await;
    let failure = refusal(&fixture, "select * from raw.wide order by a, b desc, c").await;
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0514", Remedy::FixConfig),
        "{failure}"
    );
}

#[tokio::test]
async fn a_sort_completes_in_any_memory() {
    for megabytes in [4, 10, 16, 24] {
        let fixture = Fixture::with_memory(megabytes << 20);
        let values = ints((0..400_000).map(|n| Some((n * 7919) % 400_000)).collect());
        fixture
            .put(
                "raw.wide",
                batch(vec![
                    ("a", Arc::clone(&values)),
                    ("b", Arc::clone(&values)),
                    ("c", values),
                ]),
            )
            .await;
        let sorted = fixture
            .rows("select * from raw.wide order by a, b desc, c")
            .await;
        assert_eq!(sorted.map(|rows| rows.len()), Ok(400_000), "{megabytes} MB");
    }
}

#[tokio::test]
async fn every_type_of_a_table_comes_back() {
    let fixture = Fixture::new();
    let rows = batch(vec![
        ("n", ints(vec![Some(i64::MIN), None])),
        ("t", texts(vec![Some("\u{1f600} ß"), None])),
        ("d", dates(vec![Some(-1), None])),
        (
            "p",
            decimals(
                vec![
                    Some(99_999_999_999_999_999_999_999_999_999_999_999_999),
                    None,
                ],
                38,
                10,
            ),
        ),
        ("at", instants(vec![Some(1), None])),
        ("f", floats(vec![Some(f64::INFINITY), None])),
    ]);
    fixture.put("raw.types", rows.clone()).await;
    let found = fixture.query("select * from raw.types").await.unwrap();
    assert_eq!(found.schema, rows.schema());
    assert_eq!(found.batches.try_collect::<Vec<_>>().await.unwrap(), [rows]);
    assert_eq!(
        fixture
            .rows("select n, p from raw.types where p > 1 and at < now() and t like '%ß'")
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn no_memory_is_told_with_the_key_to_change() {
    let fixture = Fixture::with_memory(1 << 20);
    let keys = ints((0..300_000).map(Some).collect());
    fixture.put("raw.wide", batch(vec![("k", keys)])).await;
    let sql = "select count(*) from raw.wide a join raw.wide b on a.k = b.k + 1 and a.k * 2 > b.k";
    let failure = refusal(&fixture, sql).await;
    assert_eq!(failure.code, "R0507", "{failure}");
    assert!(
        failure.help.iter().any(|line| line.contains("`memory:`")),
        "{:?}",
        failure.help
    );
}

#[tokio::test]
async fn statements_that_never_end_are_stopped() {
    let fixture = Fixture::with_timeout(std::time::Duration::from_millis(300));
    let endless = "select count(*) from generate_series(1, 1000000) a(x)
                   join generate_series(1, 1000000) b(y) on a.x * b.y % 7 = 9";
    let failure = fixture.rows(endless).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "R0520", "{failure}");
    assert!(
        failure
            .help
            .iter()
            .any(|line| line.contains("statement_timeout")),
        "{failure}"
    );
    for huge in [
        "select repeat('x', 100000000000) as x",
        "select length(repeat(t, 1000000)) from (select repeat('x', 1000000) as t) x",
        "select lpad('x', 2000000000) as x",
        "select array_length(range(1, 100000000000)) as x",
        "select array_repeat(1, 100000000000) as x",
    ] {
        let failure = fixture.rows(huge).await.unwrap_err();
        assert_eq!(failure.code.as_str(), "R0508", "{huge}: {failure}");
    }
}

#[tokio::test]
async fn batches_of_many_columns_have_fewer_rows() {
    let fixture = Fixture::new();
    let names: Vec<String> = (0..1_000).map(|at| format!("c{at}")).collect();
    let columns = names.iter().map(|name| {
        let values = (0..3_000).map(Some).collect();
        (name.as_str(), ints(values))
    });
    fixture.put("raw.wide", batch(columns.collect())).await;
    for sql in [
        "select * from raw.wide",
        "select * from raw.wide where c1 >= 0 order by c2 desc",
    ] {
        let mut answer = fixture.engine.query(sql, &BTreeMap::new()).await.unwrap();
        let mut rows = 0;
        while let Some(batch) = answer.batches.next().await {
            let batch = batch.unwrap();
            rows += batch.num_rows();
            assert!(batch.num_rows() <= 524, "{sql}: {} rows", batch.num_rows());
        }
        assert_eq!(rows, 3_000, "{sql}");
    }
}
