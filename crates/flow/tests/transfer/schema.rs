//! `schema_change` in a change feed: a delete is never judged, whatever its columns hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use towpath_flow::{OutputSummary, quarantine_table};
use towpath_ports::{Commit, Destination, WriteRequest};
use towpath_testkit::{ChangeFeed, MemoryDestination};
use towpath_vocab::{
    ChangePolicy, Generation, Position, SchemaPolicy, TableName, TablePlan, Threshold, WriteMode,
};

use super::support::{key, plan, spec, table, transfer};

/// A table with a column `id` only, and no rows.
async fn narrow_table(lake: &MemoryDestination, of: &TablePlan) {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let intent = WriteRequest {
        table: of.target.clone(),
        schema: Arc::clone(&schema),
        write: of.write.clone(),
        task: key(&of.target),
        generation: Generation(1),
        after: Some(Generation(0)),
        run: "pipe#1".to_owned(),
    };
    let none: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
    let mut writer = lake.begin(intent).await.unwrap();
    let batch = RecordBatch::try_new(schema, vec![none]).unwrap();
    writer.write(batch, None).await.unwrap();
    let prepared = writer.prepare().await.unwrap();
    prepared.commit(Commit::default()).await.unwrap();
}

async fn loaded(
    feed: &ChangeFeed,
    t: &TableName,
    columns: ChangePolicy,
) -> (MemoryDestination, OutputSummary) {
    let lake = MemoryDestination::default();
    let mut plan = plan(t, WriteMode::Merge);
    narrow_table(&lake, &plan).await;
    plan.fail_above = Threshold {
        rows: None,
        percent: Some(100.0),
    };
    let types = ChangePolicy::QuarantineRow;
    SchemaPolicy { columns, types }.put(&mut plan.write);
    let outputs = vec![spec(plan, &lake, 2, Position::default())];
    let mut summary = transfer(&feed.source(), Position::default(), outputs, 9)
        .await
        .unwrap();
    (lake, summary.outputs.remove(0))
}

fn ids(lake: &MemoryDestination, t: &TableName) -> BTreeSet<String> {
    let rows = lake.rows(t).into_iter().map(|row| {
        let row: serde_json::Value = serde_json::from_str(&row).unwrap();
        assert!(row.get("value").is_none(), "{row}");
        row["id"].as_str().unwrap().to_owned()
    });
    rows.collect()
}

#[tokio::test]
async fn a_new_column_is_left_out_of_every_change() {
    let t = table("a");
    let feed = ChangeFeed::random(vec![t.clone()], 120, 7);
    let (lake, summary) = loaded(&feed, &t, ChangePolicy::DiscardValue).await;
    let mut expected = BTreeSet::new();
    for change in feed.changes() {
        match &change.value {
            None => expected.remove(&change.id.to_string()),
            Some(_) => expected.insert(change.id.to_string()),
        };
    }
    assert!(!expected.is_empty());
    assert_eq!(ids(&lake, &t), expected);
    assert!(summary.balances(), "{summary:?}");
    let note = "`schema_change: discard_value` leaves out: `value`";
    assert!(summary.notes.iter().any(|said| said.contains(note)));
}

#[tokio::test]
async fn a_value_in_a_new_column_rejects_its_record_and_no_delete() {
    let t = table("a");
    let feed = ChangeFeed::random(vec![t.clone()], 120, 7);
    let (lake, summary) = loaded(&feed, &t, ChangePolicy::QuarantineRow).await;
    let changed = feed.changes().filter(|change| change.value.is_some());
    let changed = changed.count();
    assert!(changed > 0 && changed < feed.changes().count());
    assert_eq!(summary.rows_rejected, changed as u64);
    assert_eq!(lake.rows(&quarantine_table(&t)).len(), changed);
    assert!(ids(&lake, &t).is_empty());
    assert!(summary.balances(), "{summary:?}");
    let reason = &summary.samples[0].reasons[0];
    assert_eq!(reason.code, "schema_change");
    assert_eq!(reason.column.as_deref(), Some("value"));
    assert!(reason.value.is_some());
}
