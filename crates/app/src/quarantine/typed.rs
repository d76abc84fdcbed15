//! Records that were kept as column values, typed again by what the source looked like last.
//!
//! For sources that keep no text of their own (databases). A value that no longer reads as its
//! column's type keeps its record set aside; none becomes NULL.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, UInt64Array,
};
use arrow_cast::cast;
use arrow_schema::{DataType, SchemaRef};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use towpath_ports::{Assignment, BatchOrigin, BoxStream, Event, Reader, Rows, Split, TableSchema};
use towpath_vocab::{
    Failure, Mark, Position, RawRecord, Reason, RecordLocation, Reject, Remedy, SplitId, TableName,
    types,
};

use super::records::Record;
use crate::Result;

/// Rows typed from records, in one split whose ordinals are places in the list.
pub(super) struct TypedReader {
    table: TableSchema,
    events: Vec<Event>,
}

impl TypedReader {
    /// Types all records.
    pub(super) fn new(table: TableName, schema: SchemaRef, records: &[Record]) -> Result<Self> {
        let objects = records.iter().map(values).collect::<Result<Vec<_>>>()?;
        let mut columns: Vec<ArrayRef> = Vec::new();
        let mut lost: Vec<Vec<Reason>> = vec![Vec::new(); records.len()];
        for field in schema.fields() {
            let texts: StringArray = objects
                .iter()
                .map(|object| object.get(field.name())?.as_str())
                .collect();
            let texts: ArrayRef = Arc::new(texts);
            let typed = typed(&texts, field.data_type());
            for (row, reasons) in lost.iter_mut().enumerate() {
                if texts.is_valid(row) && typed.as_ref().is_none_or(|typed| typed.is_null(row)) {
                    reasons.push(unreadable(field.name(), field.data_type()));
                }
            }
            columns.push(
                typed.unwrap_or_else(|| {
                    arrow_array::new_null_array(field.data_type(), records.len())
                }),
            );
        }
        let events = events(&table, &schema, columns, lost, records)?;
        Ok(Self {
            table: TableSchema { table, schema },
            events,
        })
    }
}

#[async_trait]
impl Reader for TypedReader {
    fn tables(&self) -> Vec<TableSchema> {
        vec![self.table.clone()]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let events = std::mem::take(&mut self.events).into_iter().map(Ok);
        let split = Split {
            id: SplitId("records".to_owned()),
            events: stream::iter(events).boxed(),
        };
        let told = [
            Assignment::Assigned(split),
            Assignment::Complete(Position::default()),
        ];
        stream::iter(told.map(Ok)).boxed()
    }

    async fn committed(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }
}

fn values(record: &Record) -> Result<serde_json::Map<String, serde_json::Value>> {
    let (RawRecord::Row(text) | RawRecord::Text(text)) = &record.raw;
    serde_json::from_str(text).map_err(|error| {
        let message = format!("the record of {} is no row: {error}", record.place);
        Failure::new("R0977", Remedy::Bug, message)
    })
}

/// The texts as values, NULL where one does not read; `None` for types that have no exact text.
fn typed(texts: &ArrayRef, data_type: &DataType) -> Option<ArrayRef> {
    let has_exact_text = data_type.is_numeric()
        || matches!(
            data_type,
            DataType::Utf8 | DataType::Boolean | DataType::Date32 | DataType::Timestamp(..)
        );
    has_exact_text
        .then(|| cast(texts, data_type).ok())
        .flatten()
}

fn unreadable(column: &str, data_type: &DataType) -> Reason {
    Reason {
        code: "type".to_owned(),
        column: Some(column.to_owned()),
        value: None,
        message: format!(
            "the kept value does not read as {}: load it again",
            types::name(data_type)
        ),
    }
}

fn events(
    table: &TableName,
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    lost: Vec<Vec<Reason>>,
    records: &[Record],
) -> Result<Vec<Event>> {
    let bent = |error: arrow_schema::ArrowError| {
        Failure::new(
            "R0977",
            Remedy::Bug,
            format!("kept rows have other columns: {error}"),
        )
    };
    let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
    let all =
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(bent)?;
    let whole: BooleanArray = lost
        .iter()
        .map(|reasons| Some(reasons.is_empty()))
        .collect();
    let batch = arrow_select::filter::filter_record_batch(&all, &whole).map_err(bent)?;
    let kept = (0_u64..)
        .zip(&lost)
        .filter(|(_, reasons)| reasons.is_empty())
        .map(|(at, _)| at);
    let rows = Rows {
        table: table.clone(),
        ordinals: UInt64Array::from_iter_values(kept),
        ops: None,
        origin: Arc::new(BatchOrigin {
            object: "replayed record".to_owned(),
            batch: batch.clone(),
            first: 0,
        }),
        batch,
    };
    let rejects = (0_u64..)
        .zip(lost)
        .zip(records)
        .filter(|((_, reasons), _)| !reasons.is_empty());
    let rejects: Vec<Reject> = rejects
        .map(|((at, reasons), record)| Reject {
            table: table.clone(),
            place: RecordLocation {
                object: "replayed record".to_owned(),
                line: None,
                ordinal: at,
            },
            raw: record.raw.clone(),
            reasons,
        })
        .collect();
    Ok(vec![
        Event::Rows(rows),
        Event::Rejects(rejects),
        Event::Boundary(Mark::at(0)),
        Event::End,
    ])
}
