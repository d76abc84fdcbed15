//! The columns of files that say their own types, and the types of a table made of several files.
//!
//! Promise: a column has one type in all files, the widest where they are numbers of one kind; where there is
//! none, the read fails before its first row. It opens no file. Read next: `form.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use towpath_vocab::types;

use super::form::Form;
use crate::files::error::FilesError;
use crate::files::find::InputFile;

/// A column of a file.
#[derive(Clone)]
pub(in crate::files) struct FileColumn {
    pub(in crate::files) name: String,
    /// Its place among the columns of the file.
    pub(in crate::files) root: usize,
    pub(in crate::files) form: Form,
}

impl FileColumn {
    /// The columns of an Arrow schema, in its order.
    pub(in crate::files) fn of_schema(schema: &Schema) -> Vec<Self> {
        let fields = schema.fields().iter().enumerate();
        let column = |(root, field): (usize, &Arc<Field>)| Self {
            name: field.name().clone(),
            root,
            form: Form::of_field(field),
        };
        fields.map(column).collect()
    }
}

/// A file's columns and size.
pub(crate) struct FileSummary {
    pub(crate) schema: SchemaRef,
    /// Its rows, where they are counted without reading them, or were asked for.
    pub(crate) rows: Option<u64>,
    /// Columns whose timestamps may be finer than a microsecond.
    pub(crate) fine: BTreeSet<String>,
    pub(crate) notes: Vec<String>,
}

impl FileSummary {
    /// The columns' names.
    pub(crate) fn names(&self) -> Vec<String> {
        let fields = self.schema.fields().iter();
        fields.map(|field| field.name().clone()).collect()
    }

    /// Of these columns. Two of one name are refused: they are read by name.
    pub(in crate::files) fn of(
        file: &InputFile,
        columns: &[FileColumn],
        rows: Option<u64>,
        notes: Vec<String>,
    ) -> Result<Self, FilesError> {
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(columns.len());
        for (second, column) in columns.iter().enumerate() {
            if let Some(first) = places.insert(&column.name, second) {
                return Err(FilesError::TwoColumns {
                    path: file.object.clone(),
                    name: column.name.clone(),
                    first: first + 1,
                    second: second + 1,
                });
            }
        }
        let fields = columns.iter();
        let fields = fields.map(|column| Field::new(&column.name, column.form.to.clone(), true));
        let fine = columns.iter().filter(|column| column.form.is_fine());
        Ok(Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            rows,
            fine: fine.map(|column| column.name.clone()).collect(),
            notes,
        })
    }
}

/// The type of each column. Numbers of one kind have the widest type of all files; any other type must be
/// the same in every file. Where it is not, a column with a declared type has none of its own; text and
/// bytes are never mixed, because their texts are alike.
/// A column that is always null in one file has the type it has in the others.
pub(crate) fn types_of(
    files: &[InputFile],
    summaries: &[FileSummary],
    is_declared: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, DataType>, FilesError> {
    let mut all: BTreeMap<String, DataType> = BTreeMap::new();
    let mut mixed = BTreeSet::new();
    let binary = |data_type: &DataType| *data_type == DataType::Binary;
    for (file, summary) in files.iter().zip(summaries) {
        for field in summary.schema.fields() {
            let before = all.get(field.name());
            if let Some(wide) = before.and_then(|before| wider(before, field.data_type())) {
                all.insert(field.name().clone(), wide);
                continue;
            }
            match all.get(field.name()) {
                Some(other) if other == field.data_type() => {}
                Some(_) if *field.data_type() == DataType::Null => {}
                None | Some(DataType::Null) => {
                    all.insert(field.name().clone(), field.data_type().clone());
                }
                Some(other)
                    if is_declared(field.name()) && binary(other) == binary(field.data_type()) =>
                {
                    mixed.insert(field.name().clone());
                }
                Some(other) => {
                    return Err(FilesError::TypeDiffers {
                        column: field.name().clone(),
                        first: types::name(other),
                        second: types::name(field.data_type()),
                        path: file.object.clone(),
                    });
                }
            }
        }
    }
    all.retain(|name, _| !mixed.contains(name));
    Ok(all)
}

/// The type that holds every number of two types of one kind.
fn wider(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType as T;
    let bits = |data_type: &DataType| {
        Some(match data_type {
            T::Int8 => 8,
            T::Int16 => 16,
            T::Int32 => 32,
            T::Int64 => 64,
            _ => return None,
        })
    };
    match (one, other) {
        (T::Float32, T::Float64) | (T::Float64, T::Float32) => Some(T::Float64),
        (T::Decimal128(p1, s1), T::Decimal128(p2, s2)) => {
            let scale = *s1.max(s2);
            let whole = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            let precision = whole(*p1, *s1).max(whole(*p2, *s2)) + i16::from(scale);
            let precision = u8::try_from(precision)
                .ok()
                .filter(|digits| *digits <= 38)?;
            (scale >= 0).then_some(T::Decimal128(precision, scale))
        }
        _ => {
            let wide = bits(one)?.max(bits(other)?);
            let types = [T::Int8, T::Int16, T::Int32, T::Int64];
            types
                .into_iter()
                .find(|data_type| bits(data_type) == Some(wide))
        }
    }
}
