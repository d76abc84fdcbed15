//! A column of a read: what is selected for it, what the driver gives, and what it is read as.
//!
//! Promise: the type that the driver gives is the one that it said for this very select list, so that a batch of
//! another one is noticed. A type that the project declares is used if its values can be read as it, each exactly or
//! not at all. How a column is asked for is in `look/`. It reads no values: `batches.rs`.

use std::collections::HashMap;

use arrow_schema::{DataType, Field};

use super::vendor::Vendor;
use crate::files::{Form, is_readable_as};
use crate::relational::align::PresentColumn;
use crate::relational::reader::ReadColumn;

/// A column that there is.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) name: String,
    /// As the driver gives it when it is asked for by its name.
    pub(super) field: Field,
    /// Its type in the words of the database, where they were asked for.
    pub(super) declared: Option<String>,
}

impl PresentColumn for Raw {
    fn name(&self) -> &str {
        &self.name
    }

    fn type_name(&self) -> &str {
        self.declared.as_deref().unwrap_or_default()
    }
}

/// How a column is asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) name: String,
    /// What is selected.
    pub(super) selected: String,
    /// What the values are to be read as, if not as what the driver gives.
    pub(super) wanted: Option<DataType>,
    /// A value of the type that the driver is to give, where it looks at the first row for that.
    pub(super) sample: Option<&'static str>,
    /// Metadata of the field.
    pub(super) metadata: HashMap<String, String>,
    pub(super) note: Option<String>,
}

impl Asked {
    /// By its name, as it comes.
    pub(super) fn plain(vendor: Vendor, raw: &Raw) -> Self {
        Self {
            name: raw.name.clone(),
            selected: vendor.quoted(&raw.name),
            wanted: None,
            sample: None,
            metadata: HashMap::new(),
            note: None,
        }
    }

    /// As something else than the column.
    pub(super) fn selecting(
        vendor: Vendor,
        raw: &Raw,
        expression: impl Fn(&str) -> String,
    ) -> Self {
        let plain = Self::plain(vendor, raw);
        Self {
            selected: expression(&plain.selected),
            ..plain
        }
    }

    pub(super) fn note(self, note: String) -> Self {
        Self {
            note: Some(note),
            ..self
        }
    }

    pub(super) fn metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Whether something else than the column is selected.
    pub(super) fn is_expression(&self, vendor: Vendor) -> bool {
        self.sample.is_some() || self.selected != vendor.quoted(&self.name)
    }
}

/// A column as a read gives it.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// In a select list, under its name.
    pub(super) selected: String,
    pub(super) sample: Option<&'static str>,
    /// What the driver gives.
    pub(super) from: DataType,
    pub(super) form: Form,
    pub(super) field: Field,
    pub(super) note: Option<String>,
}

impl Column {
    /// `given` is what the driver gives for it.
    pub(super) fn of(
        vendor: Vendor,
        asked: Asked,
        given: &Field,
        declared: Option<DataType>,
    ) -> Self {
        let form = Form::of_field(given);
        let own = match (&asked.wanted, &form.to) {
            (Some(wanted), _) => wanted.clone(),
            (None, DataType::Null) => DataType::Utf8,
            (None, own) => own.clone(),
        };
        let data_type = declared
            .filter(|declared| is_readable_as(&form.to, declared))
            .unwrap_or(own);
        let is_expression = asked.is_expression(vendor);
        let quoted = vendor.quoted(&asked.name);
        Self {
            selected: match is_expression {
                true => format!("{} AS {quoted}", asked.selected),
                false => quoted,
            },
            sample: asked.sample,
            from: given.data_type().clone(),
            field: Field::new(&asked.name, data_type, true).with_metadata(asked.metadata),
            form,
            note: asked.note,
            name: asked.name,
        }
    }
}

impl ReadColumn for Column {
    fn field(&self) -> Field {
        self.field.clone()
    }

    fn selected(&self) -> String {
        self.selected.clone()
    }
}

/// A query for these columns. Where the driver takes its types from the first row, one comes first that is no row of
/// the answer (`has_sample`).
pub(super) fn select(columns: &[Column], vendor: Vendor, rest: &str) -> String {
    let list: Vec<&str> = columns
        .iter()
        .map(|column| column.selected.as_str())
        .collect();
    let query = format!("SELECT {} FROM {rest}", list.join(", "));
    if !has_sample(columns) {
        return query;
    }
    let samples = columns.iter().map(|column| {
        let sample = column.sample.unwrap_or("NULL");
        format!("{sample} AS {}", vendor.quoted(&column.name))
    });
    let samples: Vec<String> = samples.collect();
    format!(
        "SELECT {} UNION ALL SELECT * FROM ({query})",
        samples.join(", ")
    )
}

/// Whether the first row of an answer is no row of it.
pub(super) fn has_sample(columns: &[Column]) -> bool {
    columns.iter().any(|column| column.sample.is_some())
}
