//! Keys of `char(n)`, which earlier versions loaded with blanks at their end.

use std::collections::HashMap;

use towpath_vocab::types::{BLANKS, BLANKS_CUT, BLANKS_MASKED, MASKED};
use towpath_vocab::{SchemaChange, WriteMode};

use super::*;

const KEYED: [WriteMode; 3] = [
    WriteMode::Merge,
    WriteMode::DeleteInsert,
    WriteMode::InsertOnly,
];

fn column(word: Option<&str>) -> Field {
    let words = word.map(|word| (BLANKS.to_owned(), word.to_owned()));
    let mut metadata: HashMap<_, _> = words.into_iter().collect();
    if word == Some(BLANKS_MASKED) {
        metadata.insert(MASKED.to_owned(), "hash 1".to_owned());
    }
    Field::new("k", DataType::Utf8, true).with_metadata(metadata)
}

/// Rows of one text column, as `word` says they come.
fn texts(word: Option<&str>, keys: &[&str]) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![column(word)]));
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(keys));
    RecordBatch::try_new(schema, vec![keys]).unwrap()
}

async fn write(
    lake: &Lake,
    mode: WriteMode,
    generation: i64,
    batch: RecordBatch,
) -> Result<Receipt, Failure> {
    let mut intent = intent(mode, batch.schema(), generation);
    intent.write.key = vec!["k".to_owned()];
    // Setting the metadata is not a change of columns.
    intent.write.schema_change = SchemaChange::Fail;
    load(lake, intent, batch).await
}

async fn keys(lake: &Lake) -> Vec<String> {
    let batches = read_all(lake.source(&table()).unwrap().as_ref()).await;
    let of = |batch: &RecordBatch| -> Vec<String> {
        let keys = batch.column(0).as_string::<i32>();
        keys.iter().flatten().map(str::to_owned).collect()
    };
    let mut keys: Vec<String> = batches.iter().flat_map(of).collect();
    keys.sort();
    keys
}

async fn word(lake: &Lake) -> Option<String> {
    let schema = lake.schema(&table()).await.unwrap().unwrap();
    schema.field(0).metadata().get(BLANKS).cloned()
}

#[tokio::test]
async fn keys_without_blanks_are_not_written_beside_the_same_with_blanks() {
    for mode in KEYED {
        let f = Fixture::new();
        let before = texts(None, &["a   ", "full"]);
        write(&f.lake, WriteMode::Merge, 1, before).await.unwrap();
        let now = || texts(Some(BLANKS_CUT), &["a", "full"]);
        let refused = write(&f.lake, mode, 2, now()).await.unwrap_err();
        assert_eq!(refused.code, "R0435", "{refused:?}");
        assert!(refused.message.contains("`k`"), "{refused:?}");
        assert!(refused.help[0].contains("--full-refresh"), "{refused:?}");
        assert!(refused.help[1].contains("rpad(k, 4)"), "{refused:?}");
        assert_eq!(keys(&f.reopened()).await, ["a   ", "full"]);
        // Both ways out work.
        let padded = texts(None, &["a   ", "b   "]);
        write(&f.lake, mode, 2, padded).await.unwrap();
        assert_eq!(keys(&f.lake).await, ["a   ", "b   ", "full"]);
        write(&f.lake, WriteMode::Replace, 3, now()).await.unwrap();
        write(&f.lake, mode, 4, now()).await.unwrap();
        assert_eq!(keys(&f.reopened()).await, ["a", "full"]);
    }
}

#[tokio::test]
async fn tables_without_blanks_are_marked_and_never_refused() {
    for mode in KEYED {
        let f = Fixture::new();
        let now = |keys: &[&str]| texts(Some(BLANKS_CUT), keys);
        write(&f.lake, mode, 1, now(&["a"])).await.unwrap();
        assert_eq!(word(&f.reopened()).await.as_deref(), Some(BLANKS_CUT));
        write(&f.lake, mode, 2, now(&["a", "b"])).await.unwrap();
        assert_eq!(keys(&f.lake).await, ["a", "b"]);

        // An earlier version loaded values of full length.
        let f = Fixture::new();
        let before = texts(None, &["full"]);
        write(&f.lake, mode, 1, before).await.unwrap();
        write(&f.lake, mode, 2, now(&["full", "a"])).await.unwrap();
        assert_eq!(keys(&f.lake).await, ["a", "full"]);
        assert_eq!(word(&f.reopened()).await.as_deref(), Some(BLANKS_CUT));
        // Rows of another source may end in blanks: the table is looked at again.
        let other = texts(None, &["b "]);
        write(&f.lake, WriteMode::Append, 3, other).await.unwrap();
        assert_eq!(word(&f.reopened()).await, None);
        let refused = write(&f.lake, mode, 4, now(&["b"])).await.unwrap_err();
        assert_eq!(refused.code, "R0435");
    }
}

#[tokio::test]
async fn masked_keys_do_not_show_their_blanks() {
    let f = Fixture::new();
    let [with_blanks, without] = ["0a".repeat(32), "1b".repeat(32)];
    let before = texts(None, &[&with_blanks]);
    write(&f.lake, WriteMode::Merge, 1, before).await.unwrap();
    let now = || texts(Some(BLANKS_MASKED), &[&without]);
    let refused = write(&f.lake, WriteMode::Merge, 2, now())
        .await
        .unwrap_err();
    assert_eq!(refused.code, "R0435");
    assert_eq!(refused.help.len(), 1, "{refused:?}");
    write(&f.lake, WriteMode::Replace, 2, now()).await.unwrap();
    write(&f.lake, WriteMode::Merge, 3, now()).await.unwrap();
    assert_eq!(keys(&f.lake).await, [without]);
    assert_eq!(word(&f.reopened()).await.as_deref(), Some(BLANKS_MASKED));
}

#[tokio::test]
async fn other_writes_are_not_looked_at() {
    let f = Fixture::new();
    let before = texts(None, &["a   "]);
    write(&f.lake, WriteMode::Append, 1, before).await.unwrap();
    let now = texts(Some(BLANKS_CUT), &["a"]);
    write(&f.lake, WriteMode::Append, 2, now).await.unwrap();
    assert_eq!(keys(&f.lake).await, ["a", "a   "]);
    assert_eq!(word(&f.reopened()).await, None);
}
