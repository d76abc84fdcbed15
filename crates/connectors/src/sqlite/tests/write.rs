//! Writes into real SQLite files: every mode beside a naive model, tokens, refusals.

use std::collections::BTreeMap as Map;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int8Array,
    Int64Array, StringArray, TimestampMicrosecondArray, UInt8Array, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};
use proptest::prelude::*;
use towpath_ports::CandidateRows;

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

/// Rows of a key and a value.
pub(super) fn pairs(rows: &[(Option<i64>, i64)]) -> RecordBatch {
    batch(vec![
        (
            "k",
            Arc::new(rows.iter().map(|(key, _)| *key).collect::<Int64Array>()),
        ),
        (
            "v",
            Arc::new(
                rows.iter()
                    .map(|(_, value)| Some(*value))
                    .collect::<Int64Array>(),
            ),
        ),
    ])
}

async fn candidate(prepared: &dyn Prepared, scope: CandidateRows) -> Vec<String> {
    let candidate = prepared.candidate(scope).await.unwrap();
    let outcome = drain(candidate.source.as_ref(), &table(""), None)
        .await
        .unwrap();
    assert_eq!(outcome.rejects, []);
    outcome.rows
}

fn every_type() -> RecordBatch {
    let dec = |values: [Option<i128>; 2], precision, scale| -> ArrayRef {
        Arc::new(
            Decimal128Array::from(values.to_vec())
                .with_precision_and_scale(precision, scale)
                .unwrap(),
        )
    };
    let (least, most) = (-62_135_596_800_000_000, 253_402_300_799_999_999);
    batch(vec![
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("small", Arc::new(Int8Array::from(vec![Some(-128), None]))),
        (
            "big",
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None])),
        ),
        (
            "huge",
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])),
        ),
        (
            "real",
            Arc::new(Float64Array::from(vec![Some(0.1 + 0.2), Some(f64::NAN)])),
        ),
        (
            "far",
            Arc::new(Float64Array::from(vec![
                Some(f64::NEG_INFINITY),
                Some(1e300),
            ])),
        ),
        ("money", dec([Some(-123_456_789_012_345), None], 15, 2)),
        (
            "exact",
            dec(
                [Some(1 - 10_i128.pow(38)), Some(10_i128.pow(37) + 1)],
                38,
                19,
            ),
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![Some(-719_162), Some(2_932_896)])),
        ),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(least),
                Some(most),
            ])),
        ),
        (
            "when",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(least), Some(-1)]).with_timezone("UTC"),
            ),
        ),
        (
            "text",
            Arc::new(StringArray::from(vec![Some("0012"), Some("a'\"\0ä\n")])),
        ),
        (
            "raw \"x\"",
            Arc::new(BinaryArray::from(vec![Some(b"\x00\xff".as_slice()), None])),
        ),
    ])
}

#[tokio::test]
async fn every_type_reads_back() {
    let (project, rows) = (TestProject::new(), every_type());
    let how = how("odd \"name\"", WriteMode::Replace, 1);
    let prepared = project.prepare(&how, &rows, None).await.unwrap();
    let mut expected = lines(&rows);
    expected.sort();
    assert_eq!(
        candidate(prepared.as_ref(), CandidateRows::AfterCommit).await,
        expected
    );
    assert_eq!(
        candidate(prepared.as_ref(), CandidateRows::OfThisWrite).await,
        expected
    );
    assert_eq!(
        project
            .own()
            .query_row("SELECT count(*) FROM sqlite_master", [], |row| row
                .get::<_, i64>(0))
            .unwrap(),
        0
    );
    prepared.commit(commit()).await.unwrap();
    let outcome = project.read(&table("odd \"name\"")).await;
    assert_eq!(outcome.rows, expected);
    assert_eq!(outcome.rejects.len(), 0);
    let kept = [
        "exact decimal(38,19)",
        "day date",
        "at timestamp",
        "when timestamptz",
        "text text",
        "raw \"x\" binary",
    ];
    assert_eq!(outcome.columns[7..], kept);
    let declared = project
        .destination()
        .schema(&how.table())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        declared.field(6).data_type(),
        &arrow_schema::DataType::Decimal128(15, 2)
    );
    // Written once more into the table that is there now.
    project
        .write(
            &How {
                mode: WriteMode::Append,
                generation: 2,
                ..how
            },
            &rows,
            None,
        )
        .await
        .unwrap();
    assert_eq!(project.read(&table("odd \"name\"")).await.rows.len(), 4);
}

#[tokio::test]
async fn the_first_commit_of_a_generation_wins() {
    let project = TestProject::new();
    let first = how("t", WriteMode::Append, 1);
    assert_eq!(project.last(&first).await, None);
    project
        .write(&first, &pairs(&[(Some(1), 1)]), None)
        .await
        .unwrap();
    let again = project
        .write(&first, &pairs(&[(Some(2), 2)]), None)
        .await
        .unwrap();
    assert!(again.adopted);
    project
        .write(
            &how("t", WriteMode::Append, 2),
            &pairs(&[(Some(3), 3)]),
            None,
        )
        .await
        .unwrap();
    assert_eq!(project.last(&first).await, Some(2));
    let mut late = how("t", WriteMode::Append, 3).intent(pairs(&[]).schema());
    late.after = Some(Generation(1));
    let overtaken = project
        .destination()
        .begin(late)
        .await
        .unwrap()
        .prepare()
        .await
        .err()
        .unwrap();
    assert_eq!(
        (overtaken.code.as_str(), overtaken.remedy),
        ("R0241", Remedy::Retry)
    );
    let stale = project
        .write(&first, &pairs(&[(Some(2), 2)]), None)
        .await
        .unwrap_err();
    assert_eq!(
        (stale.code.as_str(), stale.remedy),
        ("R0240", Remedy::Refused)
    );
    assert_eq!(project.read(&table("t")).await.rows, ["1|1", "3|3"]);
    project
        .prepare(&how("t", WriteMode::Replace, 3), &pairs(&[]), None)
        .await
        .unwrap()
        .discard()
        .await
        .unwrap();
    drop(
        project
            .prepare(&how("t", WriteMode::Replace, 3), &pairs(&[]), None)
            .await
            .unwrap(),
    );
    assert_eq!(project.read(&table("t")).await.rows, ["1|1", "3|3"]);
}

#[tokio::test]
async fn a_busy_database_is_tried_again() {
    let project = TestProject::with("CREATE TABLE t (k INTEGER, v INTEGER)");
    let own = project.own();
    own.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = project
        .write(
            &how("t", WriteMode::Append, 1),
            &pairs(&[(Some(1), 1)]),
            None,
        )
        .await
        .unwrap_err();
    assert_eq!((busy.code.as_str(), busy.remedy), ("R0302", Remedy::Retry));
    own.execute_batch("COMMIT").unwrap();
    let first = project
        .prepare(
            &how("t", WriteMode::Append, 1),
            &pairs(&[(Some(1), 1)]),
            None,
        )
        .await
        .unwrap();
    let second = project
        .prepare(
            &how("t", WriteMode::Append, 1),
            &pairs(&[(Some(1), 1)]),
            None,
        )
        .await
        .err()
        .unwrap();
    assert_eq!(second.remedy, Remedy::Retry);
    first.commit(commit()).await.unwrap();
    assert!(
        project
            .write(&how("t", WriteMode::Append, 1), &pairs(&[]), None)
            .await
            .unwrap()
            .adopted
    );
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name() {
    let mut project = TestProject::with(
        "CREATE TABLE t (k INTEGER, v INTEGER, note TEXT DEFAULT 'kept', CHECK (v < 100));
         CREATE TABLE r (k REAL, v DECIMAL(4,2)); CREATE VIEW w AS SELECT * FROM t;",
    );
    let code = async |project: &TestProject, how: How, rows: &RecordBatch| {
        project.write(&how, rows, None).await.unwrap_err().code
    };
    let plain = |object| how(object, WriteMode::Append, 1);
    let one = pairs(&[(Some(1), 1)]);
    let text = batch(vec![("k", Arc::new(StringArray::from(vec!["x"])))]);
    assert_eq!(code(&project, plain("t"), &text).await, "R0245");
    assert_eq!(code(&project, plain("r"), &one).await, "R0245");
    assert_eq!(code(&project, plain("w"), &one).await, "R0246");
    let new = batch(vec![("new", Arc::new(Int64Array::from(vec![1])))]);
    assert_eq!(
        code(
            &project,
            How {
                change: SchemaChange::Fail,
                ..plain("t")
            },
            &new
        )
        .await,
        "R0246"
    );
    assert_eq!(
        code(&project, plain("t"), &pairs(&[(Some(1), 100)])).await,
        "R0313"
    );
    assert_eq!(
        code(
            &project,
            How {
                key: Vec::new(),
                ..how("t", WriteMode::Merge, 1)
            },
            &one
        )
        .await,
        "R0244"
    );
    assert_eq!(
        code(
            &project,
            how("t", WriteMode::Merge, 1),
            &pairs(&[(None, 1)])
        )
        .await,
        "R0243"
    );
    assert_eq!(
        code(
            &project,
            how("t", WriteMode::Merge, 1),
            &pairs(&[(Some(1), 1), (Some(1), 2)])
        )
        .await,
        "R0242"
    );
    assert_eq!(
        code(&project, how("t", WriteMode::Scd2, 1), &one).await,
        "R0244"
    );
    assert_eq!(project.read(&table("t")).await.rows, [""; 0]);
    project.write(&plain("t"), &new, None).await.unwrap();
    assert_eq!(project.read(&table("t")).await.rows, ["∅|∅|kept|1"]);
    project.connection.writable = false;
    assert_eq!(code(&project, plain("t"), &one).await, "R0249");
}

/// What a write mode means, row by row.
fn model(mode: WriteMode, table: &mut Vec<(i64, i64)>, rows: &[(i64, i64)], ops: &[u8]) {
    let keys: Vec<i64> = rows.iter().map(|(key, _)| *key).collect();
    match mode {
        WriteMode::Replace => *table = rows.to_vec(),
        WriteMode::Append => table.extend(rows),
        WriteMode::InsertOnly => {
            let known: Vec<i64> = table.iter().map(|(key, _)| *key).collect();
            table.extend(rows.iter().filter(|(key, _)| !known.contains(key)));
        }
        WriteMode::DeleteInsert => {
            table.retain(|(key, _)| !keys.contains(key));
            table.extend(rows);
        }
        _ => {
            table.retain(|(key, _)| !keys.contains(key));
            table.extend(
                rows.iter()
                    .zip(ops)
                    .filter(|(_, op)| **op != 2)
                    .map(|(row, _)| row),
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn writes_agree_with_the_model(
        steps in prop::collection::vec((0..5_usize, prop::collection::vec((0..6_i64, 0..100_i64, 0..3_u8), 0..6)), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let modes =
            [WriteMode::Replace, WriteMode::Append, WriteMode::InsertOnly, WriteMode::DeleteInsert, WriteMode::Merge];
        // The first write makes the table, without a primary key, so that appends may repeat keys.
        let project = TestProject::with("CREATE TABLE t (k INTEGER, v INTEGER)");
        let mut expected: Vec<(i64, i64)> = Vec::new();
        for (at, (mode, rows)) in steps.into_iter().enumerate() {
            let mode = modes[mode];
            let unique = matches!(mode, WriteMode::InsertOnly | WriteMode::Merge);
            let rows: Vec<(i64, i64, u8)> = if unique {
                rows.into_iter().map(|row| (row.0, row)).collect::<Map<_, _>>().into_values().collect()
            } else {
                rows
            };
            // A merge changes every row of a key: the model keeps one, so keys must be unique here.
            if mode == WriteMode::Merge {
                expected.sort();
                prop_assume!(expected.windows(2).all(|pair| pair[0].0 != pair[1].0));
            }
            let ops: Vec<u8> = rows.iter().map(|row| row.2).collect();
            let rows: Vec<(i64, i64)> = rows.iter().map(|row| (row.0, row.1)).collect();
            let incoming = pairs(&rows.iter().map(|row| (Some(row.0), row.1)).collect::<Vec<_>>());
            let column = (mode == WriteMode::Merge).then(|| UInt8Array::from(ops.clone()));
            let how = how("t", mode, i64::try_from(at).unwrap() + 1);
            let receipt = runtime.block_on(project.write(&how, &incoming, column)).unwrap();
            model(mode, &mut expected, &rows, &ops);
            prop_assert_eq!(receipt.committed.stats.rows_after, Some(expected.len() as u64));
            let mut lines: Vec<String> = expected.iter().map(|(key, value)| format!("{key}|{value}")).collect();
            lines.sort();
            prop_assert_eq!(runtime.block_on(project.read(&table("t"))).rows, lines);
        }
    }
}

#[tokio::test]
async fn keys_of_char_are_not_written_beside_the_same_keys_with_blanks() {
    let cut = |keys: Vec<&str>| {
        let word = (types::BLANKS.to_owned(), types::BLANKS_CUT.to_owned());
        let metadata = std::collections::HashMap::from([word]);
        let field = Field::new("k", DataType::Utf8, true).with_metadata(metadata);
        let keys: ArrayRef = Arc::new(StringArray::from(keys));
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![keys]).unwrap()
    };
    for mode in [
        WriteMode::Merge,
        WriteMode::DeleteInsert,
        WriteMode::InsertOnly,
    ] {
        let project = TestProject::new();
        project
            .own()
            .execute_batch(
                "CREATE TABLE t (k TEXT PRIMARY KEY); INSERT INTO t VALUES ('a   '), ('c ')",
            )
            .unwrap();
        let (how, rows) = (how("t", mode, 1), cut(vec!["a", "b"]));
        let refused = project.write(&how, &rows, None).await.unwrap_err();
        assert_eq!(refused.code, "R0251", "{refused:?}");
        let held = || -> String {
            let sql = "SELECT group_concat(k, '|') FROM (SELECT k FROM t ORDER BY k)";
            project.own().query_row(sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(held(), "a   |c ");
        let update = refused.help[0].split('`').nth_back(1).unwrap();
        project.own().execute_batch(update).unwrap();
        project.write(&how, &rows, None).await.unwrap();
        assert_eq!(held(), "a|b|c");
    }
    // Where the table itself compares without blanks, they are one key.
    let project = TestProject::new();
    project
        .own()
        .execute_batch(
            "CREATE TABLE t (k TEXT COLLATE RTRIM PRIMARY KEY); INSERT INTO t VALUES ('a   ')",
        )
        .unwrap();
    let (how, rows) = (how("t", WriteMode::Merge, 1), cut(vec!["a"]));
    let receipt = project.write(&how, &rows, None).await.unwrap();
    assert_eq!(receipt.committed.stats.inserted, 0);
}

/// Where a table takes two keys for one that differ, one of two rows would be lost.
#[tokio::test]
async fn keys_that_a_table_takes_for_one_are_refused() {
    let rows = |keys: &[&str]| {
        let values = Int64Array::from(vec![7; keys.len()]);
        batch(vec![
            ("k", Arc::new(StringArray::from(keys.to_vec()))),
            ("v", Arc::new(values)),
        ])
    };
    for (collation, one, other) in [("NOCASE", "Anna", "ANNA"), ("RTRIM", "a", "a ")] {
        let project = TestProject::with(&format!(
            "CREATE TABLE t (k TEXT COLLATE {collation} PRIMARY KEY, v INTEGER); INSERT INTO t VALUES ('{one}', 1)"
        ));
        let held = || -> String {
            let sql = "SELECT group_concat(k || '=' || v) FROM t";
            project.own().query_row(sql, [], |row| row.get(0)).unwrap()
        };
        for mode in [
            WriteMode::Merge,
            WriteMode::DeleteInsert,
            WriteMode::InsertOnly,
        ] {
            let refused = project
                .write(&how("t", mode, 1), &rows(&[other]), None)
                .await;
            assert_eq!(refused.unwrap_err().code, "R0253", "{collation}");
        }
        assert_eq!(held(), format!("{one}=1"));
        // Of changes, a new spelling comes as a deletion and an insertion.
        let merge = |generation| how("t", WriteMode::Merge, generation);
        let both = rows(&[one, other]);
        let renamed = Some(UInt8Array::from(vec![2, 0]));
        project.write(&merge(1), &both, renamed).await.unwrap();
        assert_eq!(held(), format!("{other}=7"));
        let two = Some(UInt8Array::from(vec![0, 1]));
        let refused = project.write(&merge(2), &both, two).await;
        assert_eq!(refused.unwrap_err().code, "R0253", "{collation}");
        assert_eq!(held(), format!("{other}=7"));
    }
}

#[tokio::test]
async fn writes_that_another_table_would_follow_are_refused() {
    let project = TestProject::with(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, v INTEGER UNIQUE); INSERT INTO t VALUES (1, 10);
         CREATE TABLE deleted (k INTEGER REFERENCES t ON DELETE CASCADE); INSERT INTO deleted VALUES (1);
         CREATE TABLE updated (v INTEGER REFERENCES t (v) ON UPDATE SET NULL); INSERT INTO updated VALUES (10);",
    );
    let others = || -> i64 {
        let sql = "SELECT (SELECT count(k) FROM deleted) + (SELECT count(v) FROM updated)";
        project.own().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let rows = pairs(&[(Some(1), 11)]);
    for mode in [
        WriteMode::Replace,
        WriteMode::DeleteInsert,
        WriteMode::Merge,
    ] {
        let failure = project.write(&how("t", mode, 1), &rows, None).await;
        let failure = failure.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0324", Remedy::Refused),
            "{mode:?}"
        );
        assert_eq!(others(), 2, "{mode:?}");
    }
    let only_key = batch(vec![("k", Arc::new(Int64Array::from(vec![1])))]);
    let merge = how("t", WriteMode::Merge, 1);
    let deletion = Some(UInt8Array::from(vec![2]));
    let failure = project.write(&merge, &only_key, deletion).await;
    assert_eq!(failure.unwrap_err().code, "R0324");
    project.write(&merge, &only_key, None).await.unwrap();
    let new = pairs(&[(Some(2), 20)]);
    let append = how("t", WriteMode::Append, 2);
    project.write(&append, &new, None).await.unwrap();
    assert_eq!(others(), 2);
}
