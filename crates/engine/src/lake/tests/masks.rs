//! Keys whose mask was added, removed, or made with another key.

use std::collections::HashMap;

use towpath_vocab::types::{BLANKS, BLANKS_CUT, BLANKS_MASKED, MASKED};
use towpath_vocab::{SchemaChange, WriteMode};

use super::*;

const KEYED: [WriteMode; 3] = [
    WriteMode::Merge,
    WriteMode::DeleteInsert,
    WriteMode::InsertOnly,
];
const ONE: &[(&str, &str)] = &[(MASKED, "hash 1")];
const OTHER: &[(&str, &str)] = &[(MASKED, "hash 2")];
const CLEAR: &[(&str, &str)] = &[];
const CUT: &[(&str, &str)] = &[(BLANKS, BLANKS_CUT)];
/// As the version before stored masked keys of `char(n)`.
const OLD: &[(&str, &str)] = &[(BLANKS, BLANKS_MASKED)];
const ONE_OF_CHARS: &[(&str, &str)] = &[(BLANKS, BLANKS_MASKED), (MASKED, "hash 1")];

fn hash(of: u64) -> String {
    format!("{of:064x}")
}

/// Rows of one text column with this metadata.
fn texts(words: &[(&str, &str)], keys: &[String]) -> RecordBatch {
    let words = words
        .iter()
        .map(|(key, word)| ((*key).to_owned(), (*word).to_owned()));
    let metadata: HashMap<_, _> = words.collect();
    let field = Field::new("k", DataType::Utf8, true).with_metadata(metadata);
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(keys));
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![keys]).unwrap()
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

async fn rows(lake: &Lake) -> usize {
    let batches = read_all(lake.source(&table()).unwrap().as_ref()).await;
    batches.iter().map(RecordBatch::num_rows).sum()
}

async fn word(lake: &Lake) -> Option<String> {
    let schema = lake.schema(&table()).await.unwrap().unwrap();
    schema.field(0).metadata().get(MASKED).cloned()
}

#[tokio::test]
async fn keys_are_never_written_beside_the_same_keys_in_another_form() {
    let clear = || ["a".to_owned(), "b".to_owned()];
    let masked = || [hash(1), hash(2)];
    for mode in KEYED {
        for (before, held, now, comes, said) in [
            (
                CLEAR,
                clear(),
                ONE,
                masked(),
                "not masked, and the rows come masked",
            ),
            (
                CUT,
                clear(),
                ONE_OF_CHARS,
                masked(),
                "not masked, and the rows come masked",
            ),
            (
                ONE,
                masked(),
                CLEAR,
                clear(),
                "is masked, and the rows come without",
            ),
            (
                ONE_OF_CHARS,
                masked(),
                CUT,
                clear(),
                "is masked, and the rows come without",
            ),
            (
                OLD,
                masked(),
                CUT,
                clear(),
                "is masked, and the rows come without",
            ),
            (
                CLEAR,
                masked(),
                CUT,
                clear(),
                "is masked, and the rows come without",
            ),
            (
                OLD,
                masked(),
                CLEAR,
                clear(),
                "is masked, and the rows come without",
            ),
            (ONE, masked(), OTHER, masked(), "another `mask_key`"),
        ] {
            let f = Fixture::new();
            let before = texts(before, &held);
            write(&f.lake, WriteMode::Merge, 1, before).await.unwrap();
            let refused = write(&f.lake, mode, 2, texts(now, &comes))
                .await
                .unwrap_err();
            assert_eq!(refused.code, "R0436", "{refused:?}");
            assert!(refused.message.contains(said), "{refused:?}");
            assert!(refused.help[0].contains("--full-refresh"), "{refused:?}");
            assert_eq!(rows(&f.reopened()).await, 2);
            write(&f.lake, WriteMode::Replace, 2, texts(now, &comes))
                .await
                .unwrap();
            write(&f.lake, mode, 3, texts(now, &comes)).await.unwrap();
            assert_eq!(rows(&f.reopened()).await, 2);
        }
    }
}

#[tokio::test]
async fn a_table_of_an_earlier_version_is_looked_at_once() {
    for (before, now) in [(CLEAR, ONE), (OLD, ONE_OF_CHARS)] {
        let f = Fixture::new();
        let held = texts(before, &[hash(1), hash(2)]);
        write(&f.lake, WriteMode::Merge, 1, held).await.unwrap();
        assert_eq!(word(&f.reopened()).await, None);
        let comes = || texts(now, &[hash(2), hash(3)]);
        write(&f.lake, WriteMode::Merge, 2, comes()).await.unwrap();
        assert_eq!(rows(&f.lake).await, 3);
        assert_eq!(word(&f.reopened()).await.as_deref(), Some("hash 1"));
        // Rows of another source are not masked: the table is looked at again.
        let other = texts(CLEAR, &["clear".to_owned()]);
        write(&f.lake, WriteMode::Append, 3, other).await.unwrap();
        assert_eq!(word(&f.reopened()).await, None);
        let refused = write(&f.lake, WriteMode::Merge, 4, comes())
            .await
            .unwrap_err();
        assert_eq!(refused.code, "R0436");
    }
}

#[tokio::test]
async fn hashes_without_metadata_are_hashes() {
    let f = Fixture::new();
    write(&f.lake, WriteMode::Merge, 1, texts(ONE, &[hash(1)]))
        .await
        .unwrap();
    // As after an expression of a model.
    let comes = texts(CLEAR, &[hash(1), hash(2)]);
    write(&f.lake, WriteMode::Merge, 2, comes).await.unwrap();
    assert_eq!(rows(&f.lake).await, 2);
    assert_eq!(word(&f.reopened()).await.as_deref(), Some("hash 1"));
}

#[tokio::test]
async fn an_empty_table_takes_each_mask() {
    let f = Fixture::new();
    write(&f.lake, WriteMode::Merge, 1, texts(ONE, &[]))
        .await
        .unwrap();
    let comes = texts(OTHER, &[hash(1)]);
    write(&f.lake, WriteMode::Merge, 2, comes).await.unwrap();
    assert_eq!(word(&f.reopened()).await.as_deref(), Some("hash 2"));
}
