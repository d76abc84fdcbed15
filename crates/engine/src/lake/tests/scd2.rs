//! `write: scd2` beside a model in memory: versions, their ends, what makes none, what is refused.

mod model;

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array as _, Float64Array, TimestampMicrosecondArray, UInt8Array};
use arrow_schema::TimeUnit;
use towpath_ports::Op;
use towpath_vocab::{Remedy, RowHistoryPlan, WriteMode};

use super::*;

/// One row of the table: id, name, from, until.
type Row = (i64, Option<String>, i64, Option<i64>);

/// The second of a generation, in microseconds.
fn at(generation: i64) -> i64 {
    generation * 1_000_000
}

fn scd2(schema: SchemaRef, generation: i64, history: RowHistoryPlan) -> WriteRequest {
    let mut intent = intent(WriteMode::Scd2, schema, generation);
    RowHistoryPlan {
        at_us: Some(at(generation)),
        ..history
    }
    .put(&mut intent.write);
    intent
}

fn closing() -> RowHistoryPlan {
    RowHistoryPlan {
        closes_absent: true,
        ..RowHistoryPlan::default()
    }
}

async fn full(lake: &Lake, generation: i64, pairs: &[(i64, &str)]) -> PreparedStats {
    let intent = scd2(schema(), generation, closing());
    load(lake, intent, rows(pairs))
        .await
        .unwrap()
        .committed
        .stats
}

async fn versions(lake: &Lake) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in read_all(lake.source(&table()).unwrap().as_ref()).await {
        let ids = batch.column_by_name("id").unwrap();
        let ids = ids.as_primitive::<Int64Type>();
        let names = batch.column_by_name("name").unwrap().as_string::<i32>();
        let time = |name: &str| {
            let column = batch.column_by_name(name).unwrap();
            let column = column.as_primitive::<TimestampMicrosecondType>();
            column.iter().collect::<Vec<_>>()
        };
        let (from, to) = (time("_valid_from"), time("_valid_to"));
        let current = batch.column_by_name("_is_current").unwrap().as_boolean();
        for row in 0..batch.num_rows() {
            assert_eq!(current.value(row), to[row].is_none());
            let name = names.is_valid(row).then(|| names.value(row).to_owned());
            rows.push((ids.value(row), name, from[row].unwrap(), to[row]));
        }
    }
    rows.sort();
    rows
}

fn row(id: i64, name: &str, from: i64, until: Option<i64>) -> Row {
    (id, Some(name.to_owned()), at(from), until.map(at))
}

/// No key has two current versions, and no two versions of a key overlap.
fn check_invariants(rows: &[Row]) {
    let mut by_key: BTreeMap<i64, Vec<(i64, Option<i64>)>> = BTreeMap::new();
    for (id, _, from, until) in rows {
        by_key.entry(*id).or_default().push((*from, *until));
    }
    for (id, mut spans) in by_key {
        spans.sort();
        for pair in spans.windows(2) {
            let until = pair[0]
                .1
                .unwrap_or_else(|| panic!("two current versions of {id}"));
            assert!(until <= pair[1].0, "versions of {id} overlap: {spans:?}");
        }
        let is_backward =
            |(from, until): &(i64, Option<i64>)| until.is_some_and(|end| end <= *from);
        assert!(!spans.iter().any(is_backward), "{id}: {spans:?}");
    }
}

#[tokio::test]
async fn changed_rows_get_versions_and_gone_ones_end() {
    let f = Fixture::new();
    let stats = full(&f.lake, 1, &[(1, "a"), (2, "b"), (3, "c")]).await;
    assert_eq!((stats.inserted, stats.updated, stats.deleted), (3, 0, 0));
    let stats = full(&f.lake, 2, &[(1, "a"), (2, "B"), (4, "d")]).await;
    assert_eq!((stats.inserted, stats.updated, stats.deleted), (1, 1, 1));
    assert_eq!((stats.rows_in, stats.rows_after), (3, Some(5)));
    let stats = full(&f.lake, 3, &[(1, "a"), (2, "B"), (3, "c"), (4, "d")]).await;
    assert_eq!((stats.inserted, stats.updated, stats.deleted), (1, 0, 0));
    let rows = versions(&f.reopened()).await;
    check_invariants(&rows);
    assert_eq!(
        rows,
        [
            row(1, "a", 1, None),
            row(2, "B", 2, None),
            row(2, "b", 1, Some(2)),
            row(3, "c", 1, Some(2)),
            row(3, "c", 3, None),
            row(4, "d", 2, None),
        ]
    );
}

#[tokio::test]
async fn what_does_not_come_stays_where_nothing_is_closed() {
    let f = Fixture::new();
    full(&f.lake, 1, &[(1, "a"), (2, "b")]).await;
    let some = scd2(schema(), 2, RowHistoryPlan::default());
    load(&f.lake, some, rows(&[(2, "B")])).await.unwrap();
    // Rows that were kept out may be the missing ones.
    let mut writer = f.lake.begin(scd2(schema(), 3, closing())).await.unwrap();
    writer.write(rows(&[(2, "B2")]), None).await.unwrap();
    writer.rows_are_missing();
    let prepared = writer.prepare().await.unwrap();
    prepared.commit(position(3)).await.unwrap();
    assert_eq!(
        versions(&f.lake).await,
        [
            row(1, "a", 1, None),
            row(2, "B", 2, Some(3)),
            row(2, "B2", 3, None),
            row(2, "b", 1, Some(2)),
        ]
    );
    assert_eq!(full(&f.lake, 4, &[]).await.deleted, 2);
    assert!(versions(&f.lake).await.iter().all(|row| row.3.is_some()));
}

#[tokio::test]
async fn only_files_with_a_changed_key_are_written_anew() {
    let f = Fixture::new();
    let adding = |generation| scd2(schema(), generation, RowHistoryPlan::default());
    load(&f.lake, adding(1), rows(&[(1, "a"), (2, "b")]))
        .await
        .unwrap();
    load(&f.lake, adding(2), rows(&[(11, "k"), (12, "l")]))
        .await
        .unwrap();
    let before = f.lake.snapshot(&table()).await.unwrap().unwrap();
    full(&f.lake, 3, &[(1, "a"), (2, "b"), (11, "k"), (12, "L")]).await;
    let after = f.lake.snapshot(&table()).await.unwrap().unwrap();
    let kept = before
        .files
        .iter()
        .filter(|file| after.files.contains(file));
    assert_eq!(kept.count(), 1, "the file with the keys 1 and 2 stays");
    let entry = f.lake.history(&table(), 1).await.unwrap();
    // What is new, what is still current of the touched file, what is closed.
    assert_eq!((entry[0].files_added, entry[0].files_removed), (3, 1));
    full(&f.lake, 4, &[(1, "a"), (2, "b"), (11, "k"), (12, "L")]).await;
    let entry = f.lake.history(&table(), 1).await.unwrap();
    assert_eq!((entry[0].files_added, entry[0].files_removed), (0, 0));
}

#[tokio::test]
async fn equal_values_of_any_type_make_no_version() {
    let f = Fixture::new();
    let odd = |numbers: Vec<Option<f64>>, names: Vec<Option<&str>>| {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..numbers.len() as i64));
        let numbers: ArrayRef = Arc::new(Float64Array::from(numbers));
        let names: ArrayRef = Arc::new(StringArray::from(names));
        RecordBatch::try_from_iter_with_nullable([
            ("id", ids, true),
            ("number", numbers, true),
            ("name", names, true),
        ])
        .unwrap()
    };
    let first = odd(
        vec![None, Some(f64::NAN), Some(-0.0), Some(1.5), None],
        vec![None, Some(""), Some("x"), Some("y"), None],
    );
    let same = odd(
        vec![None, Some(-f64::NAN), Some(0.0), Some(1.5), None],
        vec![None, Some(""), Some("x"), Some("y"), None],
    );
    let other = odd(
        vec![Some(0.0), None, Some(0.0), Some(1.5), None],
        vec![None, Some(""), None, Some("y"), Some("")],
    );
    let mut changed = Vec::new();
    for (generation, batch) in [(1, first), (2, same), (3, other)] {
        let intent = scd2(batch.schema(), generation, closing());
        let stats = load(&f.lake, intent, batch).await.unwrap().committed.stats;
        changed.push((stats.inserted, stats.updated, stats.deleted));
    }
    assert_eq!(changed, [(5, 0, 0), (0, 0, 0), (0, 4, 0)]);
}

#[tokio::test]
async fn a_new_column_is_a_change_only_where_it_has_a_value() {
    let f = Fixture::new();
    full(&f.lake, 1, &[(1, "a"), (2, "b")]).await;
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let more: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
    let wide = RecordBatch::try_from_iter_with_nullable([
        ("id", ids, true),
        ("name", names, true),
        ("more", more, true),
    ])
    .unwrap();
    let intent = scd2(wide.schema(), 2, closing());
    let stats = load(&f.lake, intent, wide).await.unwrap().committed.stats;
    assert_eq!((stats.inserted, stats.updated), (0, 1));
    // A column that no longer comes is not compared, and its values stay in the versions that have them.
    let stats = full(&f.lake, 3, &[(1, "a"), (2, "B")]).await;
    assert_eq!((stats.inserted, stats.updated), (0, 1));
    assert_eq!(
        versions(&f.lake).await,
        [
            row(1, "a", 1, Some(2)),
            row(1, "a", 2, None),
            row(2, "B", 3, None),
            row(2, "b", 1, Some(3)),
        ]
    );
}

#[tokio::test]
async fn a_wider_type_is_no_change_and_keeps_the_history() {
    let f = Fixture::new();
    let numbers = |numbers: ArrayRef| {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        RecordBatch::try_from_iter_with_nullable([
            ("id", ids, true),
            ("name", names, true),
            ("n", numbers, true),
        ])
        .unwrap()
    };
    let narrow = |n: [i32; 2]| numbers(Arc::new(arrow_array::Int32Array::from(n.to_vec())));
    let wide = |n: [i64; 2]| numbers(Arc::new(Int64Array::from(n.to_vec())));
    let mut stats = Vec::new();
    for (generation, batch) in [(1, narrow([1, 2])), (2, narrow([1, 3])), (3, wide([1, 3]))] {
        let intent = scd2(batch.schema(), generation, closing());
        let done = load(&f.lake, intent, batch).await.unwrap().committed.stats;
        stats.push((done.inserted, done.updated, done.rows_after));
    }
    assert_eq!(stats, [(2, 0, Some(2)), (0, 1, Some(3)), (0, 0, Some(3))]);
    let schema = f.lake.schema(&table()).await.unwrap().unwrap();
    assert_eq!(
        schema.field_with_name("n").unwrap().data_type(),
        &DataType::Int64
    );
    assert_eq!(versions(&f.lake).await.len(), 3);
}

#[tokio::test]
async fn only_tracked_columns_make_versions() {
    let f = Fixture::new();
    let tracking = |generation, column: &str| {
        let track = vec![column.to_owned()];
        scd2(schema(), generation, RowHistoryPlan { track, ..closing() })
    };
    load(&f.lake, tracking(1, "ID"), rows(&[(1, "a")]))
        .await
        .unwrap();
    load(&f.lake, tracking(2, "id"), rows(&[(1, "b")]))
        .await
        .unwrap();
    assert_eq!(versions(&f.lake).await, [row(1, "a", 1, None)]);
    load(&f.lake, tracking(3, "NAME"), rows(&[(1, "b")]))
        .await
        .unwrap();
    assert_eq!(versions(&f.lake).await.len(), 2);
    let missing = load(&f.lake, tracking(4, "nope"), rows(&[(1, "b")])).await;
    assert_eq!(missing.unwrap_err().code, "R0448");
}

#[tokio::test]
async fn changes_of_a_feed_close_and_open() {
    let f = Fixture::new();
    full(&f.lake, 1, &[(1, "a"), (2, "b"), (3, "c")]).await;
    let ops = |ops: &[Op]| Some(UInt8Array::from_iter_values(ops.iter().map(|op| *op as u8)));
    let batches = vec![
        (rows(&[(1, "x"), (2, "")]), ops(&[Op::Update, Op::Delete])),
        (
            rows(&[(1, "y"), (3, "c"), (9, ""), (8, "h")]),
            ops(&[Op::Update, Op::Update, Op::Delete, Op::Insert]),
        ),
    ];
    let intent = scd2(schema(), 2, RowHistoryPlan::default());
    let prepared = prepare(&f.lake, intent, batches).await.unwrap();
    let stats = prepared.stats();
    assert_eq!((stats.inserted, stats.updated, stats.deleted), (1, 1, 1));
    prepared.commit(position(2)).await.unwrap();
    assert_eq!(
        versions(&f.lake).await,
        [
            row(1, "a", 1, Some(2)),
            row(1, "y", 2, None),
            row(2, "b", 1, Some(2)),
            row(3, "c", 1, None),
            row(8, "h", 2, None),
        ]
    );
}

#[tokio::test]
async fn what_would_break_a_history_is_refused() {
    let f = Fixture::new();
    let refused = |intent: WriteRequest, batch: RecordBatch| {
        let lake = f.lake.clone();
        async move { load(&lake, intent, batch).await.unwrap_err() }
    };
    let twice = refused(scd2(schema(), 1, closing()), rows(&[(7, "a"), (7, "a")])).await;
    assert_eq!(
        (twice.code.as_str(), twice.remedy),
        ("R0406", Remedy::FixData)
    );
    assert!(twice.message.contains("`id = 7`") && !twice.message.contains("_valid"));
    full(&f.lake, 5, &[(1, "a")]).await;
    for mode in [WriteMode::Replace, WriteMode::Append, WriteMode::Merge] {
        let other = refused(intent(mode, schema(), 6), rows(&[(1, "b")])).await;
        assert_eq!(
            (other.code.as_str(), other.remedy),
            ("R0445", Remedy::FixConfig)
        );
    }
    let behind = refused(scd2(schema(), 4, closing()), rows(&[(1, "b")])).await;
    // The generation is refused last, the clock first.
    assert_eq!(
        (behind.code.as_str(), behind.remedy),
        ("R0447", Remedy::Retry)
    );
    let own: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let own = RecordBatch::try_from_iter([("id", own.clone()), ("_Valid_From", own)]).unwrap();
    let own = refused(scd2(own.schema(), 6, closing()), own).await;
    assert_eq!(own.code, "R0440");
    assert_eq!(versions(&f.lake).await, [row(1, "a", 5, None)]);
    let plain = Fixture::new();
    load(
        &plain.lake,
        intent(WriteMode::Merge, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let none = load(&plain.lake, scd2(schema(), 2, closing()), rows(&[(1, "a")])).await;
    assert_eq!(none.unwrap_err().code, "R0444");
}

/// Rows that say themselves from when on they are valid.
fn timed(list: &[(i64, &str, Option<i64>)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(list.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(list.iter().map(|row| row.1)));
    let times: TimestampMicrosecondArray = list.iter().map(|row| row.2.map(at)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("id", ids, true),
        ("name", names, true),
        ("changed", Arc::new(times) as ArrayRef, true),
    ])
    .unwrap()
}

fn by_column(generation: i64, closes_absent: bool) -> WriteRequest {
    let valid_from = Some("changed".to_owned());
    let history = RowHistoryPlan {
        valid_from,
        closes_absent,
        ..RowHistoryPlan::default()
    };
    scd2(timed(&[]).schema(), generation, history)
}

#[tokio::test]
async fn times_of_rows_order_versions_and_late_ones_are_refused() {
    let f = Fixture::new();
    let some = |id: i64, name, time: i64| (id, name, Some(time));
    let batch = timed(&[
        some(1, "b", 3),
        some(1, "a", 1),
        some(1, "b", 4),
        some(2, "x", 2),
    ]);
    let stats = load(&f.lake, by_column(100, false), batch)
        .await
        .unwrap()
        .committed
        .stats;
    assert_eq!((stats.inserted, stats.updated), (2, 1));
    // What the history has already is no error, in whatever order it comes again.
    let batch = timed(&[
        some(1, "a", 1),
        some(1, "b", 3),
        some(1, "c", 9),
        some(2, "x", 7),
    ]);
    let stats = load(&f.lake, by_column(101, true), batch)
        .await
        .unwrap()
        .committed
        .stats;
    assert_eq!((stats.inserted, stats.updated, stats.deleted), (0, 1, 0));
    let expected = [
        row(1, "a", 1, Some(3)),
        row(1, "b", 3, Some(9)),
        row(1, "c", 9, None),
        row(2, "x", 2, None),
    ];
    assert_eq!(versions(&f.lake).await, expected);
    for (list, code) in [
        (vec![some(1, "late", 5)], "R0441"),
        (vec![some(1, "A", 1)], "R0441"),
        (vec![some(3, "p", 5), some(3, "q", 5)], "R0450"),
        (vec![(3, "p", None)], "R0443"),
    ] {
        let refused = load(&f.lake, by_column(102, false), timed(&list))
            .await
            .unwrap_err();
        assert_eq!(
            (refused.code.as_str(), refused.remedy),
            (code, Remedy::FixData)
        );
        if code != "R0443" {
            assert!(refused.message.contains("`id = "), "{}", refused.message);
        }
    }
    // A row that is gone ends with the load; one that comes back earlier is there since the load that saw it.
    let gone = load(&f.lake, by_column(103, true), timed(&[some(2, "x", 2)]))
        .await
        .unwrap();
    assert_eq!(gone.committed.stats.deleted, 1);
    load(&f.lake, by_column(104, false), timed(&[some(1, "d", 50)]))
        .await
        .unwrap();
    let rows = versions(&f.lake).await;
    check_invariants(&rows);
    assert_eq!(
        rows[2..4],
        [row(1, "c", 9, Some(103)), row(1, "d", 104, None)]
    );
}

/// Adds rows with times of their own; what the history says then.
async fn dated(lake: &Lake, generation: i64, closes: bool, list: &[(i64, &str, i64)]) -> Vec<Row> {
    let list: Vec<_> = list.iter().map(|row| (row.0, row.1, Some(row.2))).collect();
    load(lake, by_column(generation, closes), timed(&list))
        .await
        .unwrap();
    let rows = versions(lake).await;
    check_invariants(&rows);
    rows
}

#[tokio::test]
async fn a_key_that_was_gone_and_comes_back_is_current_again() {
    let f = Fixture::new();
    dated(&f.lake, 100, true, &[(1, "a", 2), (2, "b", 3), (3, "c", 4)]).await;
    dated(&f.lake, 103, true, &[(3, "c", 4)]).await;
    // One comes back as it was, another one with a time that lies before its end: it is there again since
    // the load that sees it, and each later load knows it.
    let expected = [
        row(1, "a", 2, Some(103)),
        row(1, "a", 110, None),
        row(2, "B", 110, None),
        row(2, "b", 3, Some(103)),
        row(3, "c", 4, None),
    ];
    let back = [(1, "a", 2), (2, "B", 50), (3, "c", 4)];
    assert_eq!(dated(&f.lake, 110, true, &back).await, expected);
    assert_eq!(dated(&f.lake, 120, true, &back).await, expected);
    // A change that the source dates before the load that saw the row again follows that load.
    let rows = dated(
        &f.lake,
        130,
        true,
        &[(1, "a", 2), (2, "D", 60), (3, "c", 4)],
    )
    .await;
    assert_eq!(
        rows[2..4],
        [row(2, "B", 110, Some(130)), row(2, "D", 130, None)]
    );
}

#[tokio::test]
async fn a_change_log_that_is_delivered_again_is_known() {
    let f = Fixture::new();
    // Of equal changes only the first makes a version; all of them are known when they come again.
    let log = [
        (1, "a", 1),
        (1, "a", 2),
        (1, "b", 3),
        (1, "b", 4),
        (1, "b", 4),
        (1, "c", 6),
    ];
    let expected = [
        row(1, "a", 1, Some(3)),
        row(1, "b", 3, Some(6)),
        row(1, "c", 6, None),
    ];
    for generation in 100..103 {
        assert_eq!(dated(&f.lake, generation, false, &log).await, expected);
    }
    assert_eq!(dated(&f.lake, 103, false, &log[1..4]).await, expected);
    // What contradicts it is none of it.
    for wrong in [(1, "b", 2), (1, "a", 3), (1, "c", 5), (1, "a", 0)] {
        let list = [(wrong.0, wrong.1, Some(wrong.2))];
        let refused = load(&f.lake, by_column(104, false), timed(&list)).await;
        assert_eq!(refused.unwrap_err().code, "R0441", "{wrong:?}");
    }
}

#[tokio::test]
async fn a_late_row_equal_to_the_current_one_lets_it_begin_earlier() {
    let f = Fixture::new();
    dated(
        &f.lake,
        100,
        false,
        &[(1, "a", 5), (2, "x", 1), (2, "y", 5)],
    )
    .await;
    let rows = dated(&f.lake, 101, false, &[(1, "a", 3), (1, "a", 4)]).await;
    assert_eq!(rows[0], row(1, "a", 3, None));
    // Its end in the same load, and what lies between is known then.
    let rows = dated(
        &f.lake,
        102,
        false,
        &[(1, "a", 2), (1, "a", 4), (1, "b", 9)],
    )
    .await;
    assert_eq!(rows[..2], [row(1, "a", 2, Some(9)), row(1, "b", 9, None)]);
    // A closed version says something else about that time.
    for list in [vec![(2, "y", Some(4))], vec![(1, "b", Some(5))]] {
        let refused = load(&f.lake, by_column(103, false), timed(&list)).await;
        assert_eq!(refused.unwrap_err().code, "R0441");
    }
    // After a time in which it was gone.
    dated(&f.lake, 110, true, &[(1, "b", 9)]).await;
    dated(&f.lake, 120, false, &[(2, "y", 119)]).await;
    let rows = dated(&f.lake, 121, false, &[(2, "y", 115)]).await;
    assert_eq!(
        rows[3..],
        [row(2, "y", 5, Some(110)), row(2, "y", 115, None)]
    );
}

#[tokio::test]
async fn dates_and_future_times_are_refused_with_a_way_out() {
    let f = Fixture::new();
    let days = |list: &[(&str, i32)]| {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(list.iter().map(|_| 1)));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(list.iter().map(|row| row.0)));
        let days = list.iter().map(|row| row.1);
        let days: ArrayRef = Arc::new(arrow_array::Date32Array::from_iter_values(days));
        let columns = [
            ("id", ids, true),
            ("name", names, true),
            ("changed", days, true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    };
    let by_day = |generation: i64| {
        let valid_from = Some("changed".to_owned());
        let history = RowHistoryPlan {
            valid_from,
            ..RowHistoryPlan::default()
        };
        scd2(days(&[]).schema(), generation, history)
    };
    load(&f.lake, by_day(1), days(&[("a", 1), ("b", 2)]))
        .await
        .unwrap();
    load(&f.lake, by_day(2), days(&[("b", 2)])).await.unwrap();
    for (list, code) in [
        (vec![("c", 2)], "R0441"),
        (vec![("c", 3), ("d", 3)], "R0450"),
    ] {
        let refused = load(&f.lake, by_day(3), days(&list)).await.unwrap_err();
        assert_eq!(
            (refused.code.as_str(), refused.remedy),
            (code, Remedy::FixData)
        );
        let help = refused.help.join(" ");
        assert!(help.contains("two changes of one day"), "{help}");
    }
    let f = Fixture::new();
    dated(&f.lake, 100, true, &[(1, "a", 200), (2, "b", 1)]).await;
    let gone = load(&f.lake, by_column(101, true), timed(&[(2, "b", Some(1))])).await;
    let gone = gone.unwrap_err();
    assert_eq!((gone.code.as_str(), gone.remedy), ("R0451", Remedy::Retry));
    assert!(gone.message.contains("`id = 1`"), "{}", gone.message);
    let rows = dated(&f.lake, 201, true, &[(2, "b", 1)]).await;
    assert_eq!(rows[0], row(1, "a", 200, Some(201)));
}

#[tokio::test]
async fn a_column_without_times_is_refused() {
    let f = Fixture::new();
    let named = |column: &str| RowHistoryPlan {
        valid_from: Some(column.to_owned()),
        ..RowHistoryPlan::default()
    };
    for column in ["name", "nope"] {
        let refused = load(&f.lake, scd2(schema(), 1, named(column)), rows(&[(1, "a")])).await;
        assert_eq!(refused.unwrap_err().code, "R0442", "{column}");
    }
    let fine = Field::new("t", DataType::Timestamp(TimeUnit::Nanosecond, None), true);
    let fine = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        fine,
    ]));
    let refused = f.lake.begin(scd2(fine, 1, named("t"))).await.err().unwrap();
    assert_eq!(refused.code, "R0442");
}

#[tokio::test]
async fn each_change_of_a_feed_makes_a_version_that_its_time_tells_apart() {
    let f = Fixture::new();
    dated(&f.lake, 100, true, &[(1, "a", 1), (2, "x", 1)]).await;
    let feed = |generation: i64, list: Vec<(i64, &'static str, Option<i64>, Op)>| {
        let lake = f.lake.clone();
        async move {
            let ops = UInt8Array::from_iter_values(list.iter().map(|row| row.3 as u8));
            let list: Vec<_> = list.iter().map(|row| (row.0, row.1, row.2)).collect();
            let batches = vec![(timed(&list), Some(ops))];
            let prepared = prepare(&lake, by_column(generation, false), batches).await?;
            let stats = prepared.stats();
            prepared.commit(position(1)).await?;
            let rows = versions(&lake).await;
            check_invariants(&rows);
            Ok::<_, towpath_vocab::Failure>((rows, (stats.inserted, stats.updated, stats.deleted)))
        }
    };
    let changes = vec![
        (1, "b", Some(5), Op::Update),
        (2, "", None, Op::Delete),
        (1, "c", Some(9), Op::Update),
        (1, "d", Some(9), Op::Update),
        (3, "n", Some(7), Op::Insert),
        (3, "", None, Op::Delete),
    ];
    let (rows, stats) = feed(110, changes).await.unwrap();
    let expected = [
        row(1, "a", 1, Some(5)),
        row(1, "b", 5, Some(9)),
        row(1, "d", 9, None),
        row(2, "x", 1, Some(110)),
        row(3, "n", 7, Some(110)),
    ];
    assert_eq!((rows, stats), (expected.to_vec(), (1, 2, 2)));
    // Newer in the feed, older in time; and a key that comes back with the time of before.
    let changes = vec![(1, "e", Some(8), Op::Update), (2, "x", Some(1), Op::Insert)];
    let (rows, _) = feed(120, changes).await.unwrap();
    assert_eq!(
        rows[2..4],
        [row(1, "d", 9, Some(120)), row(1, "e", 120, None)]
    );
    assert_eq!(rows[5], row(2, "x", 120, None));
    let missing = feed(130, vec![(1, "f", None, Op::Update)]).await;
    assert_eq!(missing.unwrap_err().code, "R0443");
}

#[tokio::test]
async fn times_of_more_versions_than_memory_are_in_files_until_they_are_applied() {
    let folder = tempfile::tempdir().unwrap();
    // 128 KiB for keys: some 450 at once.
    let lake = Lake::open(folder.path().to_str().unwrap(), 1 << 20).unwrap();
    let list = |from: i64, name: &'static str| {
        (0..3_000)
            .map(move |id| (id, name, Some(from + id % 7)))
            .collect::<Vec<_>>()
    };
    load(&lake, by_column(100, false), timed(&list(10, "a")))
        .await
        .unwrap();
    let first = data_files(&lake);
    let mut second = list(20, "b");
    second.extend(list(40, "c"));
    load(&lake, by_column(101, false), timed(&second))
        .await
        .unwrap();
    let rows = versions(&lake).await;
    check_invariants(&rows);
    let expected: Vec<Row> = (0..3_000)
        .flat_map(|id| {
            let at = id % 7;
            [
                row(id, "a", 10 + at, Some(20 + at)),
                row(id, "b", 20 + at, Some(40 + at)),
                row(id, "c", 40 + at, None),
            ]
        })
        .collect();
    assert!(rows == expected);
    let named = lake.snapshot(&table()).await.unwrap().unwrap().files.len();
    assert_eq!(data_files(&lake), first + named, "of edits nothing is left");
    let late = load(&lake, by_column(102, false), timed(&[(1, "z", Some(1))])).await;
    assert_eq!(late.unwrap_err().code, "R0441");
    assert_eq!(data_files(&lake), first + named);
}

#[tokio::test]
async fn snapshots_are_added_whole_with_their_times() {
    let f = Fixture::new();
    let snapshot = |generation: i64| {
        let mut intent = intent(WriteMode::Snapshot, schema(), generation);
        let at_us = Some(at(generation));
        let history = RowHistoryPlan::default();
        RowHistoryPlan { at_us, ..history }.put(&mut intent.write);
        intent
    };
    load(&f.lake, snapshot(1), rows(&[(1, "a"), (2, "b")]))
        .await
        .unwrap();
    load(&f.lake, snapshot(2), rows(&[(1, "a")])).await.unwrap();
    assert_eq!(held(&f.lake).await, owned(&[(1, "a"), (1, "a"), (2, "b")]));
    let mut times = Vec::new();
    for batch in read_all(f.lake.source(&table()).unwrap().as_ref()).await {
        let column = batch.column_by_name("_snapshot_at").unwrap();
        times.extend(
            column
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .to_vec(),
        );
    }
    times.sort();
    assert_eq!(times, [at(1), at(1), at(2)]);
    let mut behind = snapshot(3);
    let at_us = Some(at(2));
    let history = RowHistoryPlan::default();
    RowHistoryPlan { at_us, ..history }.put(&mut behind.write);
    let files = data_files(&f.lake);
    let behind = load(&f.lake, behind, rows(&[(1, "a")])).await.unwrap_err();
    assert_eq!(
        (behind.code.as_str(), data_files(&f.lake)),
        ("R0447", files)
    );
    for mode in [WriteMode::Replace, WriteMode::Append, WriteMode::Scd2] {
        let other = load(&f.lake, intent(mode, schema(), 4), rows(&[(1, "b")])).await;
        assert_eq!(other.unwrap_err().code, "R0445");
    }
}

/// Small seeded generator: the same batches on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[tokio::test]
async fn random_loads_agree_with_a_model() {
    for seed in 0..16 {
        let mut dice = Dice(seed);
        let f = Fixture::new();
        let mut model: Vec<Row> = Vec::new();
        for generation in 1..=8 {
            let mut coming: BTreeMap<i64, (String, Op)> = BTreeMap::new();
            for _ in 0..dice.below(7) {
                let id = dice.below(8) as i64;
                coming.insert(id, (format!("n{}", dice.below(3)), Op::Update));
            }
            let (closes, is_feed) = (dice.below(2) == 0, dice.below(3) == 0);
            if is_feed {
                for id in 0..dice.below(3) {
                    coming.insert(id as i64, (String::new(), Op::Delete));
                }
            }
            for (id, name, from, until) in &mut model {
                let now = coming.get(id);
                let stays = match now {
                    Some((_, Op::Delete)) => false,
                    Some((new, _)) => name.as_ref() == Some(new),
                    None => !closes,
                };
                if until.is_none() && !stays {
                    *until = Some(at(generation));
                }
                assert!(*from < at(generation));
            }
            let held: BTreeSet<i64> = model
                .iter()
                .filter(|r| r.3.is_none())
                .map(|r| r.0)
                .collect();
            for (id, (name, op)) in &coming {
                if *op != Op::Delete && !held.contains(id) {
                    model.push((*id, Some(name.clone()), at(generation), None));
                }
            }
            model.sort();
            let list: Vec<(i64, &str)> = coming
                .iter()
                .map(|(id, row)| (*id, row.0.as_str()))
                .collect();
            let ops = is_feed
                .then(|| UInt8Array::from_iter_values(coming.values().map(|row| row.1 as u8)));
            let split = dice.below(list.len() as u64 + 1) as usize;
            let parts = [(0, split), (split, list.len())].map(|(from, to)| {
                let ops = ops.as_ref().map(|ops| ops.slice(from, to - from));
                (rows(&list[from..to]), ops)
            });
            let history = RowHistoryPlan {
                closes_absent: closes,
                ..RowHistoryPlan::default()
            };
            let intent = scd2(schema(), generation, history);
            let prepared = prepare(&f.lake, intent, parts.into()).await.unwrap();
            assert_eq!(prepared.stats().rows_after, Some(model.len() as u64));
            prepared.commit(position(1)).await.unwrap();
            let rows = versions(&f.lake).await;
            check_invariants(&rows);
            assert_eq!(rows, model, "seed {seed} generation {generation}");
            if dice.below(4) == 0 {
                f.lake.compact(&table(), "compact").await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn more_keys_than_memory_are_looked_up_in_passes() {
    let folder = tempfile::tempdir().unwrap();
    // 128 KiB for keys: some 650 at once.
    let lake = Lake::open(folder.path().to_str().unwrap(), 1 << 20).unwrap();
    let named = |ids: std::ops::Range<i64>, name: &str| {
        ids.map(|id| (id, name.to_owned())).collect::<Vec<_>>()
    };
    let batch = |list: &[(i64, String)]| {
        let list: Vec<_> = list.iter().map(|(id, name)| (*id, name.as_str())).collect();
        rows(&list)
    };
    let first = batch(&named(0..4_000, "old"));
    load(&lake, scd2(schema(), 1, closing()), first)
        .await
        .unwrap();
    let mut second = named(1_000..3_000, "old");
    second.extend(named(3_000..5_000, "new"));
    let stats = load(&lake, scd2(schema(), 2, closing()), batch(&second))
        .await
        .unwrap();
    let stats = stats.committed.stats;
    assert_eq!(
        (stats.inserted, stats.updated, stats.deleted),
        (1_000, 1_000, 1_000)
    );
    assert_eq!(stats.rows_after, Some(6_000));
    let rows = versions(&lake).await;
    check_invariants(&rows);
    assert_eq!(rows.iter().filter(|row| row.3.is_none()).count(), 4_000);
}

#[tokio::test]
async fn a_key_with_two_current_versions_is_not_gone_on_with() {
    let f = Fixture::new();
    full(&f.lake, 1, &[(1, "a")]).await;
    // Another program adds the same rows again.
    let folder = root(&f.lake).join("raw/things");
    let log = folder.join("_delta_log");
    let text = std::fs::read_to_string(log.join(format!("{:020}.json", 0))).unwrap();
    let add = text
        .lines()
        .find(|line| line.starts_with("{\"add\""))
        .unwrap();
    let mut add: serde_json::Value = serde_json::from_str(add).unwrap();
    let path = add["add"]["path"].as_str().unwrap().to_owned();
    std::fs::copy(folder.join(path), folder.join("copy.parquet")).unwrap();
    add["add"]["path"] = "copy.parquet".into();
    add["add"].as_object_mut().unwrap().remove("tags");
    std::fs::write(log.join(format!("{:020}.json", 1)), format!("{add}\n")).unwrap();
    let broken = load(&f.lake, scd2(schema(), 2, closing()), rows(&[(1, "b")]))
        .await
        .unwrap_err();
    assert_eq!(
        (broken.code.as_str(), broken.remedy),
        ("R0446", Remedy::Refused)
    );
    assert!(broken.message.contains("`id = 1`"), "{}", broken.message);
}
