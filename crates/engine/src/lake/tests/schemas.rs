//! What becomes of a table whose columns change, by `SchemaChange`.

use arrow_array::types::Float64Type;
use arrow_array::{Float64Array, Int32Array, TimestampMicrosecondArray};
use arrow_schema::TimeUnit;
use towpath_vocab::{SchemaChange, WriteMode};

use super::*;

fn one(name: &str, column: ArrayRef) -> (SchemaRef, RecordBatch) {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new(name, column.data_type().clone(), true),
    ]));
    (
        Arc::clone(&schema),
        RecordBatch::try_new(schema, vec![ids, column]).unwrap(),
    )
}

fn types(schema: &Schema) -> Vec<(String, DataType)> {
    schema
        .fields()
        .iter()
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect()
}

#[tokio::test]
async fn new_columns_are_added_and_missing_ones_are_null() {
    for mode in [WriteMode::Append, WriteMode::Merge] {
        let f = Fixture::new();
        load(&f.lake, intent(mode, schema(), 1), rows(&[(7, "a")]))
            .await
            .unwrap();
        let (schema, batch) = one("extra", Arc::new(Float64Array::from(vec![2.5])));
        load(&f.lake, intent(mode, schema, 2), batch).await.unwrap();
        assert_eq!(held(&f.reopened()).await, owned(&[(1, "NULL"), (7, "a")]));
        let names: Vec<_> = types(&f.lake.schema(&table()).await.unwrap().unwrap())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["id", "name", "extra"]);
    }
}

#[tokio::test]
async fn wider_types_rewrite_the_table_in_the_same_commit() {
    for mode in [WriteMode::Append, WriteMode::Merge] {
        let f = Fixture::new();
        let (narrow, batch) = one("n", Arc::new(Int32Array::from(vec![i32::MIN])));
        load(&f.lake, intent(mode, narrow, 1), batch).await.unwrap();
        let wide = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("n", DataType::Int64, true),
        ]));
        let batch = RecordBatch::try_new(
            Arc::clone(&wide),
            vec![
                Arc::new(Int64Array::from(vec![2])),
                Arc::new(Int64Array::from(vec![i64::MAX])),
            ],
        )
        .unwrap();
        load(&f.lake, intent(mode, wide, 2), batch).await.unwrap();
        let now = f.reopened().snapshot(&table()).await.unwrap().unwrap();
        assert_eq!(types(&now.schema)[1], ("n".to_owned(), DataType::Int64));
        let mut values: Vec<i64> = Vec::new();
        for batch in read_all(f.lake.source(&table()).unwrap().as_ref()).await {
            values.extend(batch.column(1).as_primitive::<Int64Type>().values().iter());
        }
        values.sort_unstable();
        assert_eq!(values, [i64::from(i32::MIN), i64::MAX]);
        assert_eq!(f.lake.version(&table()).await.unwrap(), Some(1));
        // A narrower type that comes later fits and changes nothing.
        let (narrow, batch) = one("n", Arc::new(Int32Array::from(vec![5])));
        load(&f.lake, intent(mode, narrow, 3), batch).await.unwrap();
        assert_eq!(
            f.lake.history(&table(), 1).await.unwrap()[0].files_removed,
            u64::from(mode == WriteMode::Merge)
        );
    }
}

#[tokio::test]
async fn what_neither_fits_nor_widens_names_column_and_types() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let (other, batch) = one("name", Arc::new(Int32Array::from(vec![1])));
    let failure = load(
        &f.lake,
        intent(WriteMode::Append, Arc::clone(&other), 2),
        batch.clone(),
    )
    .await
    .unwrap_err();
    assert_eq!(failure.code, "R0403");
    for word in ["`name`", "`raw.things`", "`text`", "`int`"] {
        assert!(failure.message.contains(word), "{}", failure.message);
    }
    assert!(failure.help[0].contains("--full-refresh"));
    assert_eq!(f.lake.version(&table()).await.unwrap(), Some(0));
    load(&f.lake, intent(WriteMode::Replace, other, 2), batch)
        .await
        .unwrap();
    assert_eq!(
        types(&f.reopened().schema(&table()).await.unwrap().unwrap())[1].1,
        DataType::Int32
    );
}

#[tokio::test]
async fn fail_and_ignore_hold_for_every_mode() {
    for mode in [WriteMode::Append, WriteMode::Merge, WriteMode::Replace] {
        let f = Fixture::new();
        load(&f.lake, intent(mode, schema(), 1), rows(&[(1, "a")]))
            .await
            .unwrap();
        let wider = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("x", DataType::Utf8, true),
        ]));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["b"]));
        let batch = RecordBatch::try_new(
            Arc::clone(&wider),
            vec![Arc::new(Int64Array::from(vec![2])), Arc::clone(&text), text],
        )
        .unwrap();
        let with = |change| {
            let mut intent = intent(mode, Arc::clone(&wider), 2);
            intent.write.schema_change = change;
            intent
        };
        assert_eq!(
            load(&f.lake, with(SchemaChange::Fail), batch.clone())
                .await
                .unwrap_err()
                .code,
            "R0404"
        );
        load(&f.lake, with(SchemaChange::Ignore), batch)
            .await
            .unwrap();
        assert_eq!(
            f.lake
                .schema(&table())
                .await
                .unwrap()
                .unwrap()
                .fields()
                .len(),
            2
        );
        assert!(held(&f.lake).await.contains(&(2, "b".to_owned())));
    }
}

#[tokio::test]
async fn the_first_timestamp_without_zone_raises_the_protocol() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let (schema, batch) = one("at", Arc::new(TimestampMicrosecondArray::from(vec![1])));
    load(&f.lake, intent(WriteMode::Append, schema, 2), batch)
        .await
        .unwrap();
    let log = std::fs::read_to_string(
        root(&f.lake).join("raw/things/_delta_log/00000000000000000001.json"),
    )
    .unwrap();
    let protocol = log
        .lines()
        .find(|line| line.starts_with("{\"protocol\""))
        .unwrap();
    for word in [
        "\"minReaderVersion\":3",
        "timestampNtz",
        "appendOnly",
        "invariants",
    ] {
        assert!(protocol.contains(word), "{protocol}");
    }
    let now = f.reopened().schema(&table()).await.unwrap().unwrap();
    assert_eq!(
        types(&now)[2].1,
        DataType::Timestamp(TimeUnit::Microsecond, None)
    );
}

#[tokio::test]
async fn any_column_name_is_kept_exactly_and_case_twins_are_refused() {
    let f = Fixture::new();
    let names = [
        "id",
        "Größe in cm",
        "a.b",
        "x;y=(z),{w}",
        "select",
        "quo\"te",
        "tab\there",
    ];
    let fields: Vec<Field> = names
        .iter()
        .map(|name| Field::new(*name, DataType::Int64, true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let columns: Vec<ArrayRef> = (0..names.len())
        .map(|at| Arc::new(Int64Array::from(vec![at as i64])) as ArrayRef)
        .collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    load(
        &f.lake,
        intent(WriteMode::Merge, Arc::clone(&schema), 1),
        batch.clone(),
    )
    .await
    .unwrap();
    load(&f.lake, intent(WriteMode::Merge, schema, 2), batch)
        .await
        .unwrap();
    let read = read_all(f.reopened().source(&table()).unwrap().as_ref()).await;
    assert_eq!(
        read[0]
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect::<Vec<_>>(),
        names
    );
    assert_eq!(read[0].column(6).as_primitive::<Int64Type>().value(0), 6);

    let twins = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("ID", DataType::Int64, true),
    ]));
    let failure = f
        .lake
        .begin(intent(WriteMode::Append, twins, 3))
        .await
        .err()
        .unwrap();
    assert_eq!(failure.code, "R0405");
    assert!(failure.message.contains("`id` and `ID`"));
}

#[tokio::test]
async fn tables_of_any_name_are_found_again() {
    let f = Fixture::new();
    let name = TableName::new("_quarantine", "raw.Größe x/y");
    let intent = WriteRequest {
        after: None,
        table: name.clone(),
        ..intent(WriteMode::Append, schema(), 1)
    };
    load(&f.lake, intent, rows(&[(1, "a")])).await.unwrap();
    assert_eq!(
        f.reopened().tables().await.unwrap(),
        std::slice::from_ref(&name)
    );
    assert_eq!(f.reopened().describe(&name).await.unwrap().rows, Some(1));
}

#[tokio::test]
async fn a_merge_never_empties_a_column_that_no_longer_comes() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Merge, schema(), 1),
        rows(&[(1, "kept")]),
    )
    .await
    .unwrap();
    let bare = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let ids = |id| {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![id]));
        RecordBatch::try_new(Arc::clone(&bare), vec![ids]).unwrap()
    };
    for change in [SchemaChange::Evolve, SchemaChange::Ignore] {
        let mut known = intent(WriteMode::Merge, Arc::clone(&bare), 2);
        known.write.schema_change = change;
        let stopped = load(&f.lake, known, ids(1)).await.unwrap_err();
        assert_eq!(stopped.code, "R0430");
        assert!(stopped.to_string().contains("`name`"), "{stopped}");
        assert_eq!(held(&f.reopened()).await, owned(&[(1, "kept")]));
        assert_eq!(data_files(&f.lake), 1, "what was written is gone again");
    }
    // Rows that are new lose nothing.
    load(
        &f.lake,
        intent(WriteMode::Merge, Arc::clone(&bare), 2),
        ids(2),
    )
    .await
    .unwrap();
    assert_eq!(held(&f.lake).await, owned(&[(1, "kept"), (2, "NULL")]));
    // Nor do rows of the table that hold no value of it.
    let again = intent(WriteMode::Merge, Arc::clone(&bare), 3);
    load(&f.lake, again, ids(2)).await.unwrap();
    assert_eq!(held(&f.lake).await, owned(&[(1, "kept"), (2, "NULL")]));
    let both: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let both = RecordBatch::try_new(Arc::clone(&bare), vec![both]).unwrap();
    let mixed = intent(WriteMode::Merge, bare, 4);
    let stopped = load(&f.lake, mixed, both).await.unwrap_err();
    assert_eq!(stopped.code, "R0430");
    assert!(
        stopped.to_string().contains("1 row of the table "),
        "{stopped}"
    );
}

/// One way out keeps all rows of a table whose column comes with a wider type.
#[tokio::test]
async fn a_wider_type_is_taken_and_every_row_stays() {
    for mode in [WriteMode::Append, WriteMode::Merge] {
        let f = Fixture::new();
        let most: ArrayRef = Arc::new(Int64Array::from(vec![1 << 53]));
        let (whole, batch) = one("n", most);
        load(&f.lake, intent(mode, whole, 1), batch).await.unwrap();
        let second = |schema: &SchemaRef, column: ArrayRef| {
            let ids: ArrayRef = Arc::new(Int64Array::from(vec![2]));
            RecordBatch::try_new(Arc::clone(schema), vec![ids, column]).unwrap()
        };
        let (double, _) = one("n", Arc::new(Float64Array::from(vec![0.5])));
        let batch = second(&double, Arc::new(Float64Array::from(vec![0.5])));
        load(&f.lake, intent(mode, double, 2), batch).await.unwrap();
        let mut values: Vec<f64> = Vec::new();
        for batch in read_all(f.lake.source(&table()).unwrap().as_ref()).await {
            let column = batch.column(1).as_primitive::<Float64Type>();
            values.extend(column.values().iter());
        }
        values.sort_by(f64::total_cmp);
        assert_eq!(values, [0.5, 9_007_199_254_740_992.0]);
        // An integer that is no double is refused, not rounded.
        let (whole, batch) = one("n", Arc::new(Int64Array::from(vec![(1 << 53) + 1])));
        let refused = load(&f.lake, intent(mode, whole, 3), batch)
            .await
            .unwrap_err();
        assert_eq!(refused.code, "R0402");
    }
}

#[tokio::test]
async fn a_declared_text_restates_the_rows_of_the_table() {
    let f = Fixture::new();
    let (whole, batch) = one("n", Arc::new(Int64Array::from(vec![7])));
    load(&f.lake, intent(WriteMode::Append, whole, 1), batch)
        .await
        .unwrap();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let (plain, batch) = one("n", text);
    let marked = plain.fields().iter().map(|field| {
        let declared = std::collections::HashMap::from([(
            towpath_vocab::types::DECLARED.to_owned(),
            String::new(),
        )]);
        field.as_ref().clone().with_metadata(declared)
    });
    let marked = Arc::new(Schema::new(marked.collect::<Vec<_>>()));
    let stopped = load(&f.lake, intent(WriteMode::Append, plain, 2), batch.clone())
        .await
        .unwrap_err();
    assert_eq!(stopped.code, "R0403");
    assert!(stopped.help[0].contains("type: text"), "{:?}", stopped.help);
    load(&f.lake, intent(WriteMode::Append, marked, 2), batch)
        .await
        .unwrap();
    let now = f.reopened().snapshot(&table()).await.unwrap().unwrap();
    assert_eq!(now.schema.field(1), &Field::new("n", DataType::Utf8, true));
    let mut values: Vec<String> = Vec::new();
    for batch in read_all(f.lake.source(&table()).unwrap().as_ref()).await {
        let column = batch.column(1).as_string::<i32>();
        values.extend(column.iter().flatten().map(str::to_owned));
    }
    values.sort();
    assert_eq!(values, ["7", "x"]);
}

#[tokio::test]
async fn a_declared_text_restates_lists_as_json() {
    let f = Fixture::new();
    let list = arrow_array::ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>(
        [Some(vec![Some(1), None])],
    );
    let (lists, batch) = one("a", Arc::new(list));
    load(&f.lake, intent(WriteMode::Append, lists, 1), batch)
        .await
        .unwrap();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["{{1,2},{3,4}}"]));
    let (plain, batch) = one("a", text);
    let declared = std::collections::HashMap::from([(
        towpath_vocab::types::DECLARED.to_owned(),
        String::new(),
    )]);
    let marked = plain
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_metadata(declared.clone()));
    let marked = Arc::new(Schema::new(marked.collect::<Vec<_>>()));
    load(&f.lake, intent(WriteMode::Append, marked, 2), batch)
        .await
        .unwrap();
    let mut values: Vec<Option<String>> = Vec::new();
    for batch in read_all(f.lake.source(&table()).unwrap().as_ref()).await {
        let column = batch.column(1).as_string::<i32>();
        values.extend(column.iter().map(|value| value.map(str::to_owned)));
    }
    values.sort();
    let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
    assert_eq!(values, [Some("[1,null]"), Some("{{1,2},{3,4}}")]);
}
