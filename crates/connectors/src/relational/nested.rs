//! Lists, structs and maps for a database that does not have such types: it gets their JSON text.
//!
//! Promise: the text holds every value exactly (`ports/src/exact_json.rs`), and NULL stays NULL. Which types
//! a database has is its own matter; so is everything else about the write.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{
    ExactValues, OpColumn, Prepared, Result, StagedFile, WriteRequest, Writer, exact_json,
};

use super::fault::Fault;

/// The columns of a write of which the database gets JSON text.
pub(crate) struct JsonTexts {
    at: Vec<usize>,
    schema: SchemaRef,
}

impl JsonTexts {
    /// Gives nested columns that the database does not have the type of text.
    pub(crate) fn of(
        intent: WriteRequest,
        has_type: impl Fn(&DataType) -> bool,
    ) -> (Self, WriteRequest) {
        let fields = intent.schema.fields();
        let is_text = |field: &Field| {
            let data_type = field.data_type();
            data_type.is_nested() && !has_type(data_type)
        };
        let places = fields.iter().enumerate();
        let at = places.filter(|(_, field)| is_text(field)).map(|(at, _)| at);
        let at: Vec<usize> = at.collect();
        let given = fields.iter().map(|field| match is_text(field) {
            true => Arc::new(Field::clone(field).with_data_type(DataType::Utf8)),
            false => Arc::clone(field),
        });
        let metadata = intent.schema.metadata().clone();
        let schema = Arc::new(Schema::new_with_metadata(
            given.collect::<Vec<_>>(),
            metadata,
        ));
        let intent = WriteRequest {
            schema: Arc::clone(&schema),
            ..intent
        };
        (Self { at, schema }, intent)
    }

    /// A writer that takes the rows as they come.
    pub(crate) fn before(self, writer: impl Writer + 'static) -> Box<dyn Writer> {
        match self.at.is_empty() {
            true => Box::new(writer),
            false => Box::new(TextWriter {
                texts: self,
                writer: Box::new(writer),
            }),
        }
    }

    fn batch(&self, batch: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
        let mut columns = batch.columns().to_vec();
        for at in &self.at {
            if let Some(column) = columns.get_mut(*at) {
                *column = texts(column)?;
            }
        }
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)
    }
}

fn texts(array: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    let values = ExactValues::of(array)?;
    let mut texts = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..array.len() {
        if values.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        exact_json(&values, row, &mut text)?;
        texts.append_value(String::from_utf8_lossy(&text));
    }
    Ok(Arc::new(texts.finish()))
}

/// A writer behind which every column has a type of the database.
struct TextWriter {
    texts: JsonTexts,
    writer: Box<dyn Writer>,
}

#[async_trait]
impl Writer for TextWriter {
    async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()> {
        let batch = self.texts.batch(&batch).map_err(|error| Fault::NotJson {
            reason: error.to_string(),
        })?;
        self.writer.write(batch, ops).await
    }

    async fn add_files(&mut self, files: Vec<StagedFile>) -> Result<()> {
        self.writer.add_files(files).await
    }

    fn rows_are_missing(&mut self) {
        self.writer.rows_are_missing();
    }

    async fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>> {
        self.writer.prepare().await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.writer.abort().await
    }
}
