//! What a column's values are read as: by its declared type, where that says little by its content.
//!
//! Promise: no value becomes NULL because of its type. SQLite enforces no types. A declaration that is
//! certain (`INTEGER`, `TEXT`, `DECIMAL(9,2)`) is believed; of dates, timestamps, plain `NUMERIC` and
//! undeclared columns (views, expressions) the first rows are looked at and the form most of them have is
//! taken. A value of another form is a reject (`cells.rs`), never NULL. It runs one query per table and only
//! where it must. Read next: `cells.rs`.

use arrow_schema::{DataType, Field, TimeUnit};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use towpath_vocab::types;

use super::error::{ErrorContext as _, Result};
use crate::exact::read;

/// So many rows are looked at.
const LOOK_ROWS: u32 = 10_000;

/// A column as the database names and declares it.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) name: String,
    /// Empty when nothing is declared.
    pub(super) declared: String,
}

/// A column with its type.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) data_type: DataType,
    pub(super) note: Option<String>,
}

impl Column {
    pub(super) fn field(&self) -> Field {
        Field::new(&self.name, self.data_type.clone(), true)
    }
}

/// What a declaration says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Certain(DataType),
    /// Dates or timestamps, in whatever form; this when there is no value.
    Moment(DataType),
    /// Numbers.
    Number,
    Nothing,
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// Reads a declared type.
pub(super) fn said(declared: &str) -> Said {
    let word = declared.trim().to_ascii_uppercase();
    let base = word.split('(').next().unwrap_or_default().trim();
    let has = |part: &str| base.contains(part);
    let is_decimal = matches!(
        base,
        "DECIMAL" | "NUMERIC" | "NUMBER" | "DEC" | "DECIMAL_TEXT"
    );
    if base.is_empty() || base == "ANY" {
        return Said::Nothing;
    }
    if is_decimal {
        let text = word.replacen(base, "decimal", 1).to_ascii_lowercase();
        return match types::parse(&text) {
            Ok(data_type) if word.contains('(') => Said::Certain(data_type),
            _ => Said::Number,
        };
    }
    if has("BOOL") {
        return Said::Certain(DataType::Boolean);
    }
    if base == "DATE" {
        return Said::Moment(DataType::Date32);
    }
    if base == "TIMESTAMPTZ" || base == "TIMESTAMP WITH TIME ZONE" {
        return Said::Moment(types::instant());
    }
    if base == "DATETIME" || has("TIMESTAMP") {
        return Said::Moment(timestamp());
    }
    if has("INT") {
        Said::Certain(DataType::Int64)
    } else if has("CHAR")
        || has("CLOB")
        || has("TEXT")
        || matches!(base, "JSON" | "UUID" | "STRING" | "TIME")
    {
        Said::Certain(DataType::Utf8)
    } else if has("BLOB") {
        Said::Certain(DataType::Binary)
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Said::Certain(DataType::Float64)
    } else {
        Said::Number
    }
}

/// How often each form was seen.
#[derive(Clone, Debug, Default)]
struct Forms {
    integers: u32,
    reals: u32,
    dates: u32,
    timestamps: u32,
    instants: u32,
    texts: u32,
    blobs: u32,
}

impl Forms {
    fn see(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => {}
            ValueRef::Integer(_) => self.integers += 1,
            ValueRef::Real(_) => self.reals += 1,
            ValueRef::Blob(_) => self.blobs += 1,
            ValueRef::Text(text) if read::date(text).is_some() => self.dates += 1,
            ValueRef::Text(text) => match read::timestamp(text) {
                Some(moment) if moment.zoned => self.instants += 1,
                Some(_) => self.timestamps += 1,
                None => self.texts += 1,
            },
        }
    }

    /// The form that most values have.
    fn verdict(&self, said: &Said) -> DataType {
        let moments = matches!(said, Said::Moment(_));
        let number = if self.reals > 0 {
            DataType::Float64
        } else {
            DataType::Int64
        };
        let texts = self.texts
            + if moments {
                0
            } else {
                self.dates + self.timestamps + self.instants
            };
        let mut counts = vec![
            (self.integers + self.reals, number),
            (texts, DataType::Utf8),
            (self.blobs, DataType::Binary),
        ];
        if moments {
            // A date among timestamps is its midnight.
            let dated = if self.timestamps > 0 {
                timestamp()
            } else {
                DataType::Date32
            };
            counts.push((self.dates + self.timestamps, dated));
            counts.push((self.instants, types::instant()));
        }
        let most = counts.into_iter().max_by_key(|(count, _)| *count);
        match (most, said) {
            (Some((count, data_type)), _) if count > 0 => data_type,
            (_, Said::Moment(data_type)) => data_type.clone(),
            (_, Said::Number) => DataType::Float64,
            _ => DataType::Utf8,
        }
    }
}

/// Whether values can be read as this type.
pub(super) fn readable(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Utf8
            | DataType::Binary
    ) || data_type.is_integer()
}

/// Gives each column its type: `given` says it for some, by name.
pub(super) fn settle(
    connection: &Connection,
    from: &str,
    raw: &[Raw],
    given: &dyn Fn(&str) -> Option<DataType>,
    shown: &str,
) -> Result<Vec<Column>> {
    let saids: Vec<Said> = raw.iter().map(|column| said(&column.declared)).collect();
    let given: Vec<Option<DataType>> = raw
        .iter()
        .map(|column| given(&column.name).filter(readable))
        .collect();
    let open: Vec<usize> = (0..raw.len())
        .filter(|at| {
            given.get(*at).is_some_and(Option::is_none)
                && !matches!(saids.get(*at), Some(Said::Certain(_)))
        })
        .collect();
    let mut forms = vec![Forms::default(); raw.len()];
    if !open.is_empty() {
        let sql = format!("SELECT * FROM {from} LIMIT {LOOK_ROWS}");
        let mut statement = connection.prepare(&sql).doing(shown, "looking at values")?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().doing(shown, "looking at values")? {
            for &at in &open {
                if let (Some(forms), Ok(value)) = (forms.get_mut(at), row.get_ref(at)) {
                    forms.see(value);
                }
            }
        }
    }
    let column = |((raw, said), (given, forms)): ((&Raw, &Said), (Option<DataType>, &Forms))| {
        let certain = match said {
            Said::Certain(data_type) => Some(data_type.clone()),
            _ => None,
        };
        let (data_type, note) = match given.or(certain) {
            Some(data_type) => (data_type, None),
            None => {
                let data_type = forms.verdict(said);
                let word = types::name(&data_type);
                let declared = if raw.declared.is_empty() {
                    "nothing"
                } else {
                    &raw.declared
                };
                (
                    data_type,
                    Some(format!(
                        "`{}` is declared {declared} and, by its first values, read as {word}",
                        raw.name
                    )),
                )
            }
        };
        Column {
            name: raw.name.clone(),
            data_type,
            note,
        }
    };
    Ok(raw
        .iter()
        .zip(&saids)
        .zip(given.into_iter().zip(&forms))
        .map(column)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read() {
        let certain = |word: &str| match said(word) {
            Said::Certain(data_type) => types::name(&data_type),
            other => format!("{other:?}"),
        };
        assert_eq!(certain("INTEGER"), "bigint");
        assert_eq!(certain("unsigned big int"), "bigint");
        assert_eq!(certain("VARCHAR(10)"), "text");
        assert_eq!(certain("double precision"), "double");
        assert_eq!(certain("blob"), "binary");
        assert_eq!(certain("decimal(10,2)"), "decimal(10,2)");
        assert_eq!(certain("DECIMAL_TEXT(38, 10)"), "decimal(38,10)");
        assert_eq!(certain("Boolean"), "bool");
        assert_eq!(said("NUMERIC"), Said::Number);
        assert_eq!(said("DECIMAL(60,2)"), Said::Number);
        assert_eq!(said("money"), Said::Number);
        assert_eq!(said(""), Said::Nothing);
        assert_eq!(said("datetime"), Said::Moment(timestamp()));
        assert_eq!(said("TIMESTAMPTZ"), Said::Moment(types::instant()));
    }
}
