//! A damaged table: which file of which version, and what can be done. No traces of libraries.

use std::path::Path;

use towpath_vocab::Remedy;

use super::*;

async fn three_versions() -> Fixture {
    let f = Fixture::new();
    for generation in 1..=3 {
        let intent = intent(WriteMode::Append, schema(), generation);
        load(&f.lake, intent, rows(&[(generation, "a")]))
            .await
            .unwrap();
    }
    f
}

fn entry(f: &Fixture, version: u64) -> PathBuf {
    let log = root(&f.lake).join("raw/things/_delta_log");
    log.join(format!("{version:020}.json"))
}

fn short(failure: &Failure) {
    let text = format!("{} {}", failure.message, failure.help.join(" "));
    assert!(
        text.len() < 900 && !text.contains("backtrace") && !text.contains(".rs:"),
        "{text}"
    );
}

async fn refused(f: &Fixture) -> Failure {
    let failure = f.reopened().version(&table()).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0431", Remedy::Refused),
        "{failure}"
    );
    short(&failure);
    failure
}

#[tokio::test]
async fn a_log_entry_that_is_cut_short_is_named_with_its_version() {
    let f = three_versions().await;
    let path = entry(&f, 2);
    let whole = std::fs::read(&path).unwrap();
    for keep in [0, 30, whole.len() - 10] {
        std::fs::write(&path, &whole[..keep]).unwrap();
        let failure = refused(&f).await;
        assert!(failure.message.contains("`raw.things`"), "{failure}");
        assert!(
            failure
                .message
                .contains("00000000000000000002.json` of version 2"),
            "{failure}"
        );
        assert!(
            failure.help.iter().any(|way| way.contains("backup")),
            "{failure:?}"
        );
        assert!(
            failure
                .help
                .iter()
                .any(|way| way.contains("at_version('raw.things', 1)")),
            "{failure:?}"
        );
        assert!(
            failure
                .help
                .iter()
                .any(|way| way.contains("towpath lake drop raw.things --yes")),
            "{failure:?}"
        );
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(held(&f.reopened()).await.len(), 3);
}

#[tokio::test]
async fn a_gap_in_the_log_is_named() {
    let f = three_versions().await;
    std::fs::remove_file(entry(&f, 1)).unwrap();
    let failure = refused(&f).await;
    assert!(
        failure
            .message
            .contains("00000000000000000001.json` of version 1 is missing"),
        "{failure}"
    );
    // What the message offers works.
    let before = f.reopened().snapshot_at(&table(), 0).await.unwrap();
    assert_eq!(before.version, Some(0));
    assert!(f.reopened().drop_table(&table()).await.unwrap());
    assert_eq!(f.reopened().version(&table()).await.unwrap(), None);
}

#[tokio::test]
async fn a_checkpoint_that_the_log_needs_and_that_is_gone_is_named() {
    let f = Fixture::new();
    for generation in 1..=12 {
        let intent = intent(WriteMode::Append, schema(), generation);
        load(&f.lake, intent, rows(&[(generation, "a")]))
            .await
            .unwrap();
    }
    for version in 0..=9 {
        std::fs::remove_file(entry(&f, version)).unwrap();
    }
    assert_eq!(held(&f.reopened()).await.len(), 12);
    let log = root(&f.lake).join("raw/things/_delta_log");
    std::fs::remove_file(log.join("00000000000000000009.checkpoint.parquet")).unwrap();
    let failure = refused(&f).await;
    assert!(
        failure
            .message
            .contains("00000000000000000009.checkpoint.parquet` of version 9"),
        "{failure}"
    );
}

fn data_files(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
        .collect()
}

#[tokio::test]
async fn a_data_file_that_is_gone_or_damaged_is_named() {
    let f = three_versions().await;
    let path = data_files(&root(&f.lake).join("raw/things")).remove(0);
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = std::fs::read(&path).unwrap();
    for cut in [None, Some(20)] {
        match cut {
            None => std::fs::remove_file(&path).unwrap(),
            Some(keep) => std::fs::write(&path, &whole[..keep]).unwrap(),
        }
        let failure = read_all(&f.reopened()).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0432", Remedy::Refused),
            "{failure}"
        );
        assert!(
            failure.message.contains("`raw.things`") && failure.message.contains(&name),
            "{failure}"
        );
        short(&failure);
    }
}

/// Everything in the table, or why it cannot be read.
async fn read_all(lake: &Lake) -> Result<usize, Failure> {
    let source = lake.source(&table())?;
    let mut reader = source.open(&read_spec(), None).await?;
    let mut splits = reader.splits();
    let mut count = 0;
    while let Some(assigned) = splits.next().await {
        let Assignment::Assigned(mut split) = assigned? else {
            continue;
        };
        while let Some(event) = split.events.next().await {
            if let Event::Rows(rows) = event? {
                count += rows.len();
            }
        }
    }
    Ok(count)
}

#[tokio::test]
async fn a_table_with_null_statistics_in_a_struct_that_is_not_null_is_read() {
    let f = Fixture::new();
    let folder = root(&f.lake).join("raw/things");
    std::fs::create_dir_all(folder.join("_delta_log")).unwrap();
    let inner = Field::new("a", DataType::Int64, false);
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("s", DataType::Struct(vec![inner].into()), false),
    ];
    let schema = Arc::new(Schema::new(fields));
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let members = arrow_array::StructArray::from(vec![(
        Arc::new(Field::new("a", DataType::Int64, false)),
        Arc::clone(&ids),
    )]);
    let batch = RecordBatch::try_new(schema, vec![ids, Arc::new(members)]).unwrap();
    let path = folder.join("part-0.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    let columns = r#"{"type":"struct","fields":[{"name":"id","type":"long","nullable":false,"metadata":{}},{"name":"s","type":{"type":"struct","fields":[{"name":"a","type":"long","nullable":false,"metadata":{}}]},"nullable":false,"metadata":{}}]}"#;
    let stats = r#"{"numRecords":2,"minValues":{"id":1,"s":{"a":null}},"maxValues":{"id":2},"nullCount":{"id":0,"s":null}}"#;
    let actions = [
        serde_json::json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        serde_json::json!({"metaData": {"id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9", "format": {"provider": "parquet", "options": {}}, "schemaString": columns, "partitionColumns": [], "configuration": {}, "createdTime": 0}}),
        serde_json::json!({"add": {"path": "part-0.parquet", "partitionValues": {}, "size": size, "modificationTime": 0, "dataChange": true, "stats": stats}}),
    ];
    let lines: Vec<String> = actions.iter().map(ToString::to_string).collect();
    std::fs::write(entry(&f, 0), lines.join("\n")).unwrap();
    assert_eq!(f.lake.version(&table()).await.unwrap(), Some(0));
    assert_eq!(read_all(&f.lake).await.unwrap(), 2);
}
