//! What the records of a stream are read as: the stream's own columns, and what the project knows of them.
//!
//! Promise: a declared type wins; a stream that is declared to have a column has it, also where its schema
//! does not name it. Times get the type that the table has already, else the one that the first records
//! show. Read next: `json_schema.rs`, `../files/objects.rs`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde_json::Value;
use towpath_ports::ReadSpec;
use towpath_vocab::Naming;
use towpath_vocab::types::{self, SOURCE_NAME};

use super::error::{Result, SingerError};
use super::json_schema::{self, ColumnType, StreamColumn};
use crate::files::{ObjectColumns, TimeForms, is_readable_type, time_forms};

/// The columns of a stream by its schema and the types that the project declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamColumns {
    columns: Vec<StreamColumn>,
    /// Those whose types are declared.
    declared: BTreeSet<String>,
}

/// Types that the project declares, by the names of members.
pub(super) type Declared = Vec<(String, DataType)>;

/// The declared types of a read.
pub(super) fn declared(spec: &ReadSpec) -> Result<Declared> {
    let mut declared = Vec::new();
    for column in &spec.declared {
        let (None, Some(word)) = (&column.set, &column.data_type) else {
            continue;
        };
        let name = column.from.as_ref().unwrap_or(&column.name);
        let data_type = types::parse(word)
            .ok()
            .filter(is_readable_type)
            .ok_or_else(|| SingerError::Type {
                column: name.clone(),
                word: word.clone(),
            })?;
        declared.push((name.clone(), data_type));
    }
    Ok(declared)
}

impl StreamColumns {
    /// Reads a schema.
    pub(super) fn read(stream: &str, schema: &[u8], declared: &Declared) -> Result<Self> {
        let wrong = |why: String| SingerError::Schema {
            stream: stream.to_owned(),
            why,
        };
        let schema: Value = serde_json::from_slice(schema)
            .map_err(|error| wrong(format!("is not valid JSON: column {}", error.column())))?;
        let mut columns = match json_schema::columns(&schema) {
            Ok(columns) => columns,
            // The project names the columns.
            Err(_) if !declared.is_empty() => Vec::new(),
            Err(why) => return Err(wrong(why)),
        };
        let names = columns.iter().map(|column| column.name.as_str());
        let mut finder = Naming::Snake.finder(names);
        let mut own = BTreeSet::new();
        for (name, data_type) in declared {
            let of = ColumnType::Is(data_type.clone());
            match finder.find(name).and_then(|at| columns.get_mut(at)) {
                Some(column) => {
                    column.of = of;
                    own.insert(column.name.clone());
                }
                None => {
                    finder.add(name);
                    own.insert(name.clone());
                    columns.push(StreamColumn {
                        name: name.clone(),
                        of,
                    });
                }
            }
        }
        match columns.is_empty() {
            true => Err(wrong("has no columns".to_owned())),
            false => Ok(Self {
                columns,
                declared: own,
            }),
        }
    }

    /// The columns that the table has already.
    pub(super) fn of_table(spec: &ReadSpec) -> Option<Self> {
        let known = known_types(spec).into_iter();
        let columns = known.filter(|(_, data_type)| is_readable_type(data_type));
        let columns: Vec<StreamColumn> = columns
            .map(|(name, data_type)| StreamColumn {
                name,
                of: ColumnType::Is(data_type),
            })
            .collect();
        (!columns.is_empty()).then(|| Self {
            columns,
            declared: BTreeSet::new(),
        })
    }

    /// The names of its members.
    pub(super) fn names(&self) -> HashSet<String> {
        let names = self.columns.iter().map(|column| column.name.clone());
        names.collect()
    }

    /// The columns of times, whose types only records show.
    pub(super) fn times(&self) -> impl Iterator<Item = &str> {
        let times = self.columns.iter();
        let times = times.filter(|column| column.of == ColumnType::Time);
        times.map(|column| column.name.as_str())
    }

    /// How another schema differs, in words.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let of = |columns: &Self| -> BTreeMap<String, ColumnType> {
            let columns = columns.columns.iter();
            columns
                .map(|column| (column.name.clone(), column.of.clone()))
                .collect()
        };
        let (before, after) = (of(self), of(other));
        let word = |of: &ColumnType| match of {
            ColumnType::Is(data_type) => types::name(data_type),
            ColumnType::Time => "a time".to_owned(),
        };
        let differ = after.iter().find_map(|(name, of)| match before.get(name) {
            Some(earlier) if earlier == of => None,
            Some(earlier) => Some(format!(
                "`{name}` was {}, and is {} now",
                word(earlier),
                word(of)
            )),
            None => Some(format!("`{name}` is new ({})", word(of))),
        });
        let gone = || {
            let gone = before.keys().find(|name| !after.contains_key(*name));
            gone.map(|name| format!("`{name}` is gone"))
        };
        differ.or_else(gone)
    }
}

/// The columns of a read, and notes about them.
pub(super) struct SettledColumns {
    pub(super) columns: ObjectColumns,
    pub(super) notes: Vec<String>,
}

/// Settles the types of a stream, by its first records where only those tell.
pub(super) fn settle(
    columns: &StreamColumns,
    first: &[u8],
    spec: &ReadSpec,
    max_record_bytes: usize,
) -> SettledColumns {
    let times: Vec<&str> = columns.times().collect();
    let forms = time_forms(first, &times);
    let mut forms: BTreeMap<&str, TimeForms> = times.into_iter().zip(forms).collect();
    let before = known_types(spec);
    let mut notes = Vec::new();
    let mut fields = Vec::with_capacity(columns.columns.len());
    let mut exact = BTreeSet::new();
    for column in &columns.columns {
        let data_type = match &column.of {
            ColumnType::Is(data_type) => data_type.clone(),
            ColumnType::Time => {
                let forms = forms.remove(column.name.as_str()).unwrap_or_default();
                let known = before.get(&column.name).filter(|known| is_time(known));
                let (data_type, note) = time_type(&column.name, known, forms);
                notes.extend(note);
                data_type
            }
        };
        if !columns.declared.contains(&column.name) {
            exact.insert(column.name.clone());
        }
        fields.push(Field::new(&column.name, data_type, true));
    }
    SettledColumns {
        columns: ObjectColumns {
            table: spec.table.clone(),
            schema: Arc::new(Schema::new(fields)),
            exact,
            batch_rows: spec.batch_rows,
            max_record_bytes,
        },
        notes,
    }
}

/// A type that a column of times may have had before.
fn is_time(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Utf8
    )
}

fn time_type(name: &str, known: Option<&DataType>, forms: TimeForms) -> (DataType, Option<String>) {
    if let Some(known) = known {
        return (known.clone(), None);
    }
    match (forms.has_zoned, forms.has_plain) {
        (true, true) => {
            let note = format!(
                "`{name}` has times with and without an offset: it is text; declare `timestamptz` or `timestamp` to reject the others"
            );
            (DataType::Utf8, Some(note))
        }
        (false, true) => (DataType::Timestamp(TimeUnit::Microsecond, None), None),
        (_, false) => (types::instant(), None),
    }
}

/// The types that the columns of the table have, by the names of members. What discovery says of times is not
/// known from records, and does not count.
fn known_types(spec: &ReadSpec) -> BTreeMap<String, DataType> {
    let fields = spec.observed.iter().flat_map(|schema| schema.fields());
    let named = fields.map(|field| {
        let name = field.metadata().get(SOURCE_NAME).unwrap_or(field.name());
        (name.clone(), field.data_type().clone())
    });
    named.collect()
}
