//! MySQL's types beside Arrow's: what the values of a column are read as.
//!
//! Promise: one table, by what the server says about the columns of an answer, so that a table, a view and
//! a query of the same values are read alike. Every value of a type has its own value in the Arrow type, or
//! the type is text. It reads no values: `cells.rs` does. Source: MySQL's manual of the client/server
//! protocol, "Column Definition".

use std::collections::HashMap;

use arrow_schema::{DataType, Field, TimeUnit};
use towpath_vocab::types::{SOURCE_TYPE, instant};

use super::literal::quoted;
use super::packet::Fields;
use crate::relational::align::PresentColumn;
use crate::relational::reader::ReadColumn;

/// The character set of bytes.
const BINARY: u16 = 63;
const UNSIGNED: u16 = 1 << 5;
const ENUM: u16 = 1 << 8;
const SET: u16 = 1 << 11;

/// How the bytes of a value are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Null,
    Tiny,
    Short,
    Year,
    Long,
    LongLong,
    Float,
    Double,
    Date,
    /// A date with a time, in no time zone.
    DateTime,
    /// A moment.
    Timestamp,
    Time,
    Decimal,
    Bit,
    Json,
    Enum,
    Set,
    Geometry,
    Bytes,
}

/// What a server says about a column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) wire: Wire,
    pub(super) unsigned: bool,
    /// It holds bytes, not text.
    pub(super) binary: bool,
    /// Most characters, digits or bits.
    length: u32,
    decimals: u8,
}

impl Definition {
    /// Reads the packet. `None` when it is malformed or has a type that no server has.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let mut fields = Fields(packet);
        for _ in 0..4 {
            fields.counted()?;
        }
        let name = String::from_utf8(fields.counted()?.to_vec()).ok()?;
        fields.counted()?;
        fields.lenenc()?;
        let charset = fields.u16()?;
        let length = fields.u32()?;
        let code = fields.u8()?;
        let flags = fields.u16()?;
        let wire = match code {
            _ if flags & ENUM != 0 => Wire::Enum,
            _ if flags & SET != 0 => Wire::Set,
            1 => Wire::Tiny,
            2 => Wire::Short,
            3 | 9 => Wire::Long,
            4 => Wire::Float,
            5 => Wire::Double,
            6 => Wire::Null,
            7 => Wire::Timestamp,
            8 => Wire::LongLong,
            10 | 14 => Wire::Date,
            11 => Wire::Time,
            12 => Wire::DateTime,
            13 => Wire::Year,
            0 | 246 => Wire::Decimal,
            16 => Wire::Bit,
            245 => Wire::Json,
            247 => Wire::Enum,
            248 => Wire::Set,
            255 => Wire::Geometry,
            15 | 242 | 249..=254 => Wire::Bytes,
            _ => return None,
        };
        Some(Self {
            name,
            wire,
            unsigned: flags & UNSIGNED != 0,
            binary: charset == BINARY,
            length,
            decimals: fields.u8()?,
        })
    }

    /// The digits of a decimal, of all and behind the point.
    pub(super) fn digits(&self) -> (u32, u32) {
        let scale = u32::from(self.decimals);
        let extra = u32::from(scale > 0) + u32::from(!self.unsigned);
        (self.length.saturating_sub(extra).max(scale).max(1), scale)
    }

    /// The type in MySQL's words.
    pub(super) fn type_name(&self) -> String {
        let whole = |word: &str| match self.unsigned {
            true => format!("{word} unsigned"),
            false => word.to_owned(),
        };
        match self.wire {
            Wire::Null => "null".to_owned(),
            Wire::Tiny => whole("tinyint"),
            Wire::Short => whole("smallint"),
            Wire::Year => "year".to_owned(),
            Wire::Long => whole("int"),
            Wire::LongLong => whole("bigint"),
            Wire::Float => "float".to_owned(),
            Wire::Double => "double".to_owned(),
            Wire::Date => "date".to_owned(),
            Wire::DateTime => "datetime".to_owned(),
            Wire::Timestamp => "timestamp".to_owned(),
            Wire::Time => "time".to_owned(),
            Wire::Decimal => {
                let (precision, scale) = self.digits();
                format!("decimal({precision},{scale})")
            }
            Wire::Bit => format!("bit({})", self.length),
            Wire::Json => "json".to_owned(),
            Wire::Enum => "enum".to_owned(),
            Wire::Set => "set".to_owned(),
            Wire::Geometry => "geometry".to_owned(),
            Wire::Bytes if self.binary => "binary".to_owned(),
            Wire::Bytes => "text".to_owned(),
        }
    }

    /// The Arrow type that has a value for each of its values.
    fn data_type(&self) -> DataType {
        match (self.wire, self.unsigned) {
            (Wire::Tiny, false) => DataType::Int8,
            (Wire::Tiny, true) | (Wire::Short, false) | (Wire::Year, _) => DataType::Int16,
            (Wire::Short, true) | (Wire::Long, false) => DataType::Int32,
            (Wire::Long, true) | (Wire::LongLong, false) => DataType::Int64,
            (Wire::LongLong, true) => DataType::Decimal128(20, 0),
            (Wire::Float, _) => DataType::Float32,
            (Wire::Double, _) => DataType::Float64,
            (Wire::Date, _) => DataType::Date32,
            (Wire::DateTime, _) => DataType::Timestamp(TimeUnit::Microsecond, None),
            (Wire::Timestamp, _) => instant(),
            (Wire::Decimal, _) => decimal(self.digits()).unwrap_or(DataType::Utf8),
            (Wire::Bit, _) if self.length <= 1 => DataType::Boolean,
            (Wire::Bit, _) if self.length < 64 => DataType::Int64,
            (Wire::Bit, _) => DataType::Decimal128(20, 0),
            (Wire::Geometry, _) => DataType::Binary,
            (Wire::Bytes | Wire::Enum | Wire::Set, _) if self.binary => DataType::Binary,
            (Wire::Null | Wire::Time | Wire::Json | Wire::Bytes | Wire::Enum | Wire::Set, _) => {
                DataType::Utf8
            }
        }
    }

    fn note(&self) -> Option<&'static str> {
        match (self.wire, self.data_type()) {
            (Wire::Decimal, DataType::Utf8) => {
                Some("has more digits than a decimal of 38 and is read as exact text")
            }
            (Wire::Time, _) => Some(
                "may be negative or longer than a day and is read as text: `-838:59:59.000000` to `838:59:59.000000`",
            ),
            (Wire::Geometry, _) => {
                Some("is read as MySQL stores it: four bytes of the SRID, then well-known binary")
            }
            _ => None,
        }
    }
}

fn decimal((precision, scale): (u32, u32)) -> Option<DataType> {
    let precision = u8::try_from(precision)
        .ok()
        .filter(|digits| *digits <= 38)?;
    Some(DataType::Decimal128(precision, i8::try_from(scale).ok()?))
}

impl PresentColumn for Definition {
    fn name(&self) -> &str {
        &self.name
    }

    fn type_name(&self) -> &str {
        ""
    }
}

/// A column as a read gives it.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) definition: Definition,
    pub(super) data_type: DataType,
    /// What a person should know about the mapping.
    pub(super) note: Option<String>,
}

impl Column {
    /// The column; `declared` is what the project wants it to be. A type that its values do not have is left
    /// to those who take the rows.
    pub(super) fn of(definition: &Definition, declared: Option<&DataType>) -> Self {
        let natural = definition.data_type();
        let is_number = natural.is_numeric() || definition.wire == Wire::Decimal;
        let data_type = match declared {
            Some(DataType::Utf8) if natural != DataType::Binary => DataType::Utf8,
            Some(DataType::Boolean) if natural.is_integer() => DataType::Boolean,
            Some(wanted @ DataType::Decimal128(..)) if is_number && !natural.is_floating() => {
                wanted.clone()
            }
            _ => natural.clone(),
        };
        let note = definition.note().filter(|_| data_type == natural);
        Self {
            note: note
                .map(|note| format!("`{}` ({}) {note}", definition.name, definition.type_name())),
            definition: definition.clone(),
            data_type,
        }
    }
}

impl ReadColumn for Column {
    fn field(&self) -> Field {
        let field = Field::new(&self.definition.name, self.data_type.clone(), true);
        match self.definition.wire {
            Wire::Json => {
                let is_json = (SOURCE_TYPE.to_owned(), "json".to_owned());
                field.with_metadata(HashMap::from([is_json]))
            }
            _ => field,
        }
    }

    fn selected(&self) -> String {
        quoted(&self.definition.name)
    }
}
