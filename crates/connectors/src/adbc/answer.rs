//! What a statement gives: batches of the driver, one after the other.
//!
//! Promise: one batch is in memory at a time, besides those that the driver itself holds. A statement lives as long as
//! its batches are read. Small answers of any type are taken as exact text. It converts nothing else: `batches.rs`.

use adbc_core::error::{Error, Status};
use adbc_driver_manager::ManagedStatement;
use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt32Type;
use arrow_array::{Array as _, ArrayRef, RecordBatch, RecordBatchReader, UnionArray};
use arrow_schema::{ArrowError, DataType, SchemaRef};

use crate::exact::write::Values;
use crate::files::{Form, exact_values};

/// The batches of a statement. They go before it.
pub(super) struct Answer {
    stream: Box<dyn RecordBatchReader + Send>,
    _statement: ManagedStatement,
    /// The first row is no row of the answer.
    has_sample: bool,
}

/// An error in the middle of a stream has no status: its words must do.
fn of_stream(error: ArrowError) -> Error {
    let message = match error {
        ArrowError::CDataInterface(message) => message,
        other => other.to_string(),
    };
    Error::with_message_and_status(message, Status::Unknown)
}

impl Answer {
    pub(super) fn new(
        stream: Box<dyn RecordBatchReader + Send>,
        statement: ManagedStatement,
    ) -> Self {
        Self {
            stream,
            _statement: statement,
            has_sample: false,
        }
    }

    /// The same without the first row, if it is a sample of its types.
    pub(super) fn without_sample(self, has_sample: bool) -> Self {
        Self { has_sample, ..self }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next rows; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let Some(batch) = self.stream.next().transpose().map_err(of_stream)? else {
            return Ok(None);
        };
        let rows = batch.num_rows();
        if !self.has_sample || rows == 0 {
            return Ok(Some(batch));
        }
        self.has_sample = false;
        Ok(Some(batch.slice(1, rows - 1)))
    }

    /// All rows as text.
    pub(super) fn texts(mut self) -> Result<Vec<Vec<Option<String>>>, Error> {
        let mut rows = Vec::new();
        while let Some(batch) = self.next()? {
            let schema = batch.schema();
            let forms = schema.fields().iter().map(|field| Form::of_field(field));
            let columns = forms.zip(batch.columns());
            let columns: Vec<Values> = columns
                .map(|(form, array)| Values::of(&exact_values(array, &form)))
                .collect::<Result<_, _>>()?;
            for row in 0..batch.num_rows() {
                let texts = columns.iter().map(|values| text(values, row));
                rows.push(texts.collect::<Result<_, _>>()?);
            }
        }
        Ok(rows)
    }
}

/// The exact text of a value that is not nested.
pub(super) fn text(values: &Values, row: usize) -> Result<Option<String>, ArrowError> {
    if values.is_null(row) {
        return Ok(None);
    }
    let mut text = Vec::new();
    values.write(row, &mut text)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// The texts among what a driver says about itself, each with its code.
pub(super) fn infos(
    stream: Box<dyn RecordBatchReader + Send>,
) -> Result<Vec<(u32, String)>, Error> {
    let mut texts = Vec::new();
    for batch in stream {
        let batch = batch.map_err(of_stream)?;
        let [codes, values] = batch.columns() else {
            continue;
        };
        let (Some(codes), Some(values)) = (
            codes.as_primitive_opt::<UInt32Type>(),
            values.as_any().downcast_ref::<UnionArray>(),
        ) else {
            continue;
        };
        for row in 0..batch.num_rows() {
            if let Some(text) = string(&values.value(row)) {
                texts.push((codes.value(row), text));
            }
        }
    }
    Ok(texts)
}

/// The first value, if it is text.
pub(super) fn string(array: &ArrayRef) -> Option<String> {
    let is_text = matches!(
        array.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let values = Values::of(array)
        .ok()
        .filter(|_| is_text && !array.is_empty())?;
    text(&values, 0).ok()?
}
