//! Parses records that were stored as column values, with the types that the source had when last read.
//!
//! Promise: it serves sources without a text of their own (databases). If a value does not parse as the
//! type of its column, the record stays rejected; no value becomes NULL. Read next: `read_again.rs`.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array, new_empty_array,
    new_null_array,
};
use arrow_schema::{ArrowError, Field, SchemaRef};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use towpath_connectors::record_value;
use towpath_ports::{Assignment, BatchOrigin, BoxStream, Event, Reader, Rows, Split, TableSchema};
use towpath_vocab::{
    Failure, Position, RawRecord, Reason, RecordLocation, Reject, Remedy, SplitId, SplitPosition,
    TableName, types,
};

use crate::Result;
use towpath_quarantine::Record;

/// A reader of typed rows from records, in one split whose ordinals are positions in the list.
pub(super) struct TypedReader {
    table: TableSchema,
    events: Vec<Event>,
}

impl TypedReader {
    /// Parses all records. A record with a value in a column that the source no longer has stays rejected,
    /// if the load reads such a column.
    pub(super) fn new(
        table: TableName,
        schema: SchemaRef,
        records: &[Record],
        is_read: &dyn Fn(&str) -> bool,
    ) -> Result<Self> {
        let objects = records.iter().map(values).collect::<Result<Vec<_>>>()?;
        let mut columns: Vec<ArrayRef> = Vec::new();
        let is_lost = |name: &str| schema.field_with_name(name).is_err() && is_read(name);
        let mut lost: Vec<Vec<Reason>> = objects
            .iter()
            .map(|object| {
                let held = object.iter().filter(|(_, value)| !value.is_null());
                let gone = held.filter(|(name, _)| is_lost(name));
                gone.map(|(name, _)| without_column(name)).collect()
            })
            .collect();
        for field in schema.fields() {
            let (column, flaws) = column(&objects, field)?;
            for (reasons, flaw) in lost.iter_mut().zip(flaws) {
                reasons.extend(flaw.map(|why| unreadable(field, &why)));
            }
            columns.push(column);
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
        let events = [
            Assignment::Assigned(split),
            Assignment::Complete(Position::default()),
        ];
        stream::iter(events.map(Ok)).boxed()
    }

    async fn committed(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }
}

fn values(record: &Record) -> Result<serde_json::Map<String, serde_json::Value>> {
    let (RawRecord::Row(text) | RawRecord::Text(text)) = &record.raw;
    serde_json::from_str(text).map_err(|error| {
        let message = format!(
            "the record of {} cannot be read as a row: {error}",
            record.place
        );
        Failure::new("R0959", Remedy::Bug, message)
    })
}

/// A column of all records, with NULL where a value does not parse, and the reason for each such record.
fn column(
    objects: &[serde_json::Map<String, serde_json::Value>],
    field: &Field,
) -> Result<(ArrayRef, Vec<Option<String>>)> {
    let mut flaws = Vec::with_capacity(objects.len());
    let mut cells: Vec<ArrayRef> = Vec::with_capacity(objects.len() + 1);
    cells.push(new_empty_array(field.data_type()));
    // An earlier version kept the blanks that fill up a `char(n)`.
    let cuts = field.metadata().get(types::BLANKS).is_some();
    for object in objects {
        let cut = match object.get(field.name()) {
            Some(serde_json::Value::String(text)) if cuts => {
                Some(serde_json::Value::from(text.trim_end_matches(' ')))
            }
            _ => None,
        };
        let given = cut.as_ref().or_else(|| object.get(field.name()));
        match record_value(given, field.data_type()).map_err(bent)? {
            Ok(cell) => {
                cells.push(cell);
                flaws.push(None);
            }
            Err(why) => {
                cells.push(new_null_array(field.data_type(), 1));
                flaws.push(Some(why));
            }
        }
    }
    let cells: Vec<&dyn Array> = cells.iter().map(AsRef::as_ref).collect();
    let column = arrow_select::concat::concat(&cells).map_err(bent)?;
    Ok((column, flaws))
}

fn bent(error: ArrowError) -> Failure {
    let message = format!("stored rows have other columns: {error}");
    Failure::new("R0959", Remedy::Bug, message)
}

fn without_column(name: &str) -> Reason {
    Reason {
        code: "schema_change".to_owned(),
        column: Some(name.to_owned()),
        value: None,
        message:
            "the source did not have this column when it was read last, so its value would be lost"
                .to_owned(),
    }
}

fn unreadable(field: &Field, why: &str) -> Reason {
    Reason {
        code: "type".to_owned(),
        column: Some(field.name().clone()),
        value: None,
        message: format!(
            "the stored value cannot be read as {}: it {why}",
            types::name(field.data_type())
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
        Event::Boundary(SplitPosition::at(0)),
        Event::End,
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use arrow_schema::DataType;
    use serde_json::json;
    use towpath_ports::row_as_json;

    use super::*;

    #[test]
    fn arrays_null_and_texts_that_look_like_it_come_back() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        let field = Field::new("c", list, true);
        let given = [json!(["NULL", "", null]), json!(null), json!([])];
        let objects: Vec<_> = given
            .iter()
            .map(|value| json!({ "c": value }).as_object().unwrap().clone())
            .collect();
        let (array, flaws) = column(&objects, &field).unwrap();
        assert!(flaws.iter().all(Option::is_none), "{flaws:?}");
        let batch = RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap();
        for (row, object) in objects.into_iter().enumerate() {
            let back = serde_json::from_str::<serde_json::Value>(&row_as_json(&batch, row));
            assert_eq!(back.unwrap(), serde_json::Value::Object(object));
        }
    }

    #[test]
    fn a_value_that_says_too_little_has_a_reason_and_is_never_null() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
        let object = json!({ "c": "{1,2}", "d": "x" })
            .as_object()
            .unwrap()
            .clone();
        for (name, data_type) in [("c", list), ("d", DataType::Int64)] {
            let objects = [object.clone()];
            let (_, flaws) = column(&objects, &Field::new(name, data_type, true)).unwrap();
            assert!(matches!(flaws.as_slice(), [Some(_)]), "{name}");
        }
    }
}
