//! The columns of a table that is written: their types, and which values each of them holds as they are.
//!
//! Promise: a value goes into a column only when it comes out as the same value; where a type does not say so, SQL
//! counts the values that would change. MySQL cuts blanks, pads bytes and replaces characters without an error.
//! It runs nothing but one question to the catalogue. Read next: `align.rs`.

use arrow_schema::DataType;

use super::catalog::CatalogTable;
use super::error::Result;
use super::literal::{quoted, text};
use super::members::{is_member, is_set};
use super::session::Session;
use super::target::{Facts, compares_exactly};
use crate::relational::align::PresentColumn;

/// A column of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Present {
    pub(super) name: String,
    /// The type's name alone: `varchar`.
    base: String,
    /// The type as it was declared: `varchar(20)`.
    declared: String,
    pub(super) nullable: bool,
    charset: Option<String>,
    collation: Option<String>,
    characters: Option<u64>,
    bytes: Option<u64>,
    precision: Option<u32>,
    scale: Option<u32>,
    fraction: Option<u32>,
    /// A value comes from elsewhere where a row has none: a number, or the time.
    fills: bool,
    generated: bool,
    /// What its definition says behind the type, where that was asked for: `NOT NULL DEFAULT 7`.
    rest: Option<String>,
}

/// How values come into a column.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// The value in the stage, as the column takes it; as it is if `None`.
    pub(super) value: Option<String>,
    /// True for rows whose value would become another one.
    pub(super) changed: Option<String>,
}

impl PresentColumn for Present {
    fn name(&self) -> &str {
        &self.name
    }

    fn type_name(&self) -> &str {
        &self.declared
    }

    fn ignores_blanks(&self) -> bool {
        let collation = self.collation.as_deref().unwrap_or_default();
        // Collations of Unicode 9 and those without padding compare blanks; all others do not.
        !(collation.contains("_nopad_") || collation.contains("_0900_") || collation == "binary")
    }

    fn equates(&self) -> bool {
        let collation = self.collation.as_deref();
        !self.is_list() && collation.is_some_and(|collation| !compares_exactly(collation))
    }
}

/// The columns of a table, in their order.
pub(super) async fn columns(session: &mut Session, table: &CatalogTable) -> Result<Vec<Present>> {
    let (database, name) = (text(&table.database), text(&table.name));
    let sql = format!(
        "SELECT column_name, data_type, column_type, is_nullable, character_set_name, collation_name, \
         CAST(character_maximum_length AS char), CAST(character_octet_length AS char), \
         CAST(numeric_precision AS char), CAST(numeric_scale AS char), CAST(datetime_precision AS char), extra \
         FROM information_schema.columns WHERE table_schema = {database} AND table_name = {name} \
         AND BINARY table_name = BINARY {name} ORDER BY ordinal_position"
    );
    let rows = session.rows(&sql, "reading the catalogue").await?;
    Ok(rows.into_iter().map(column).collect())
}

fn column(row: Vec<Option<String>>) -> Present {
    let mut row = row.into_iter();
    let mut next = || row.next().flatten();
    let name = next().unwrap_or_default();
    let base = next().unwrap_or_default().to_ascii_lowercase();
    let declared = next().unwrap_or_default();
    let nullable = next().is_some_and(|word| word == "YES");
    let (charset, collation) = (next(), next());
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
    let (characters, bytes) = (next(), next());
    let (precision, scale, fraction) = (next(), next(), next());
    let extra = next().unwrap_or_default().to_ascii_lowercase();
    let small = |text: Option<String>| number(text).and_then(|n: u64| u32::try_from(n).ok());
    Present {
        fills: !nullable && (extra.contains("auto_increment") || base == "timestamp"),
        generated: extra.contains("generated") && !extra.contains("default_generated"),
        characters: number(characters),
        bytes: number(bytes),
        precision: small(precision),
        scale: small(scale),
        fraction: small(fraction),
        rest: None,
        name,
        base,
        declared,
        nullable,
        charset,
        collation,
    }
}

/// Asks for what the definitions of the columns say behind their types.
pub(super) async fn ask_for_definitions(
    session: &mut Session,
    table: &CatalogTable,
    columns: &mut [Present],
) -> Result<()> {
    let sql = format!("SHOW CREATE TABLE {}", table.sql());
    let rows = session.shown(&sql, "reading the catalogue").await?;
    let text = rows
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().nth(1));
    let text = text.flatten().unwrap_or_default();
    for column in columns {
        let begins = format!("{} {}", quoted(&column.name), column.declared);
        let mut lines = text.lines().map(str::trim_start);
        let rest = lines.find_map(|line| line.strip_prefix(&begins));
        // The type may only begin like this one.
        let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with([' ', ',']));
        column.rest = rest.map(|rest| rest.trim_end_matches(',').to_owned());
    }
    Ok(())
}

impl Present {
    fn is_list(&self) -> bool {
        matches!(self.base.as_str(), "enum" | "set")
    }

    /// The type that holds its own values and these, where a wider one does; the definition says no more.
    pub(super) fn wider(&self, data_type: &DataType, facts: &Facts) -> Option<String> {
        if self.generated || self.declared.contains("zerofill") {
            return None;
        }
        if let DataType::Dictionary(_, values) = data_type {
            return self.wider(values, facts);
        }
        if self.base == "float" && self.is_plain() {
            return (*data_type == DataType::Float64).then(|| "double".to_owned());
        }
        if let Some((floor, top)) = self.range() {
            let (least, most) = range_of(data_type)?;
            return narrowest((least.min(floor), most.max(top)));
        }
        if self.base != "decimal" {
            return None;
        }
        let (places, room) = (self.scale?, self.precision?.saturating_sub(self.scale?));
        let (whole, fraction, negative) = digits_of(data_type)?;
        let (whole, fraction) = (whole.max(room), fraction.max(places));
        let fits = whole + fraction <= 65 && fraction <= u32::from(facts.scale);
        let sign = match self.is_unsigned() && !negative {
            true => " unsigned",
            false => "",
        };
        fits.then(|| format!("decimal({},{fraction}){sign}", whole + fraction))
    }

    /// Whether it can get a wider type without anything of its definition being forgotten.
    pub(super) fn can_widen(&self) -> bool {
        self.rest.is_some()
    }

    /// SQL that gives it another type.
    pub(super) fn widened(&self, table: &str, column: &str, wider: &str) -> String {
        let rest = self.rest.as_deref().unwrap_or_default();
        format!("ALTER TABLE {table} MODIFY COLUMN {column} {wider}{rest}")
    }

    fn is_unsigned(&self) -> bool {
        self.declared.contains("unsigned")
    }

    /// Of a floating point type: its digits are not limited.
    fn is_plain(&self) -> bool {
        !self.declared.contains('(') && !self.is_unsigned()
    }

    /// The least and the largest number of an integer type.
    fn range(&self) -> Option<(i128, i128)> {
        let bits = match self.base.as_str() {
            "tinyint" => 8,
            "smallint" => 16,
            "mediumint" => 24,
            "int" => 32,
            "bigint" => 64,
            _ => return None,
        };
        Some(match self.is_unsigned() {
            true => (0, (1 << bits) - 1),
            false => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        })
    }

    /// How values of a type come into it; `staged` is their SQL. `None` if it does not hold them.
    pub(super) fn takes(&self, data_type: &DataType, staged: &str, facts: &Facts) -> Option<Way> {
        if self.generated {
            return None;
        }
        let mut way = match data_type {
            DataType::Dictionary(_, values) => return self.takes(values, staged, facts),
            DataType::Null => Some(Way::default()),
            DataType::Boolean => {
                let holds = self.range().is_some() || self.declared == "bit(1)";
                holds.then(Way::default)
            }
            whole if whole.is_integer() => self.takes_whole(whole, staged),
            DataType::Float16 | DataType::Float32 => {
                let holds = matches!(self.base.as_str(), "float" | "double");
                (holds && self.is_plain()).then(Way::default)
            }
            DataType::Float64 => (self.base == "double" && self.is_plain()).then(Way::default),
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => self.takes_decimal(u32::from(*p), *s),
            DataType::Date32 | DataType::Date64 => (self.base == "date").then(Way::default),
            DataType::Time32(_) | DataType::Time64(_) => {
                (self.base == "time").then(|| self.fraction_of("time", staged))
            }
            DataType::Timestamp(_, zone) => self.takes_time(zone.is_some(), staged),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                self.takes_text(staged, facts)
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => self.takes_bytes(staged),
            _ => None,
        }?;
        if self.fills {
            way.also(format!("{staged} IS NULL"));
        }
        Some(way)
    }

    fn takes_whole(&self, whole: &DataType, staged: &str) -> Option<Way> {
        let (least, most) = range_of(whole)?;
        let digits = most
            .unsigned_abs()
            .max(least.unsigned_abs())
            .to_string()
            .len() as u32;
        let holds = match self.base.as_str() {
            "decimal" => {
                let room = self.precision?.saturating_sub(self.scale?);
                digits <= room && (least >= 0 || !self.is_unsigned())
            }
            // All bits of the number have room.
            "year" => return Some(Self::takes_year(staged)),
            "float" => self.is_plain() && most < 1 << 24,
            "double" => self.is_plain() && most < 1 << 53,
            _ => {
                let (floor, top) = self.range()?;
                floor <= least && most <= top
            }
        };
        holds.then(Way::default)
    }

    /// Other numbers become years of these, or are none.
    fn takes_year(staged: &str) -> Way {
        Way {
            value: None,
            changed: Some(format!(
                "NOT ({staged} BETWEEN 1901 AND 2155 OR {staged} = 0)"
            )),
        }
    }

    fn takes_decimal(&self, precision: u32, scale: i8) -> Option<Way> {
        let scale = u32::try_from(scale).ok()?;
        let holds = match self.base.as_str() {
            "decimal" => {
                let (room, places) = (self.precision?, self.scale?);
                !self.is_unsigned()
                    && scale <= places
                    && precision.saturating_sub(scale) <= room.saturating_sub(places)
            }
            // Numbers outside of its range are an error of the server.
            "bigint" => scale == 0 && precision <= if self.is_unsigned() { 20 } else { 18 },
            _ => false,
        };
        holds.then(Way::default)
    }

    fn takes_time(&self, is_instant: bool, staged: &str) -> Option<Way> {
        match self.base.as_str() {
            "datetime" => Some(self.fraction_of("datetime", staged)),
            // The session is in UTC, so it holds the same moment.
            "timestamp" if is_instant => Some(self.fraction_of("datetime", staged)),
            _ => None,
        }
    }

    /// With fewer digits than microseconds have, values would be rounded.
    fn fraction_of(&self, word: &str, staged: &str) -> Way {
        let digits = self.fraction.unwrap_or_default();
        let rounded = || format!("{staged} <> CAST({staged} AS {word}({digits}))");
        Way {
            value: None,
            changed: (digits < 6).then(rounded),
        }
    }

    fn takes_text(&self, staged: &str, facts: &Facts) -> Option<Way> {
        let is_text = matches!(
            self.base.as_str(),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set"
        );
        if self.base == "json" {
            return Some(Self::takes_json(staged));
        }
        let (charset, collation) = (self.charset.as_deref()?, self.collation.as_deref()?);
        if !is_text {
            return None;
        }
        let mut way = Way::default();
        let mut value = staged.to_owned();
        if charset != "utf8mb4" {
            value = format!("CONVERT({staged} USING {charset})");
            way.also(format!(
                "NOT (BINARY CONVERT({value} USING utf8mb4) <=> BINARY {staged})"
            ));
        }
        match self.base.as_str() {
            "enum" => way.also(format!("NOT {}", is_member(&self.declared, staged)?)),
            "set" => way.also(format!("NOT {}", is_set(&self.declared, staged)?)),
            "char" | "varchar" => {
                let most = self.characters?;
                way.also(format!("CHAR_LENGTH({value}) > {most}"));
            }
            _ => {
                let most = self.bytes?;
                way.also(format!("LENGTH({value}) > {most}"));
            }
        }
        if self.base == "char" {
            let cut = format!("TRIM(TRAILING ' ' FROM {value})");
            way.also(format!("CHAR_LENGTH({cut}) < CHAR_LENGTH({value})"));
        }
        // Keys are compared as the table compares two of its own.
        if collation != facts.collation {
            value = format!("({value} COLLATE {collation})");
        }
        way.value = (value != staged).then_some(value);
        Some(way)
    }

    /// MySQL keeps what a document says, not its text. (In MariaDB, `json` is a text.) What it says is lost where a
    /// name is twice in an object, and where a number has more digits than a double or a 64-bit integer.
    fn takes_json(staged: &str) -> Way {
        let stored = format!("CAST(CAST({staged} AS json) AS char)");
        let names = |text: &str| {
            let text = format!("REGEXP_REPLACE({text}, '\"[ \\\\t\\\\r\\\\n]*+:', '\":')");
            format!("CHAR_LENGTH({text}) - CHAR_LENGTH(REPLACE({text}, '\":', ''))")
        };
        let without_texts = format!(
            "REGEXP_REPLACE({staged}, '\"[^\"\\\\\\\\]*+(?:\\\\\\\\.[^\"\\\\\\\\]*+)*+\"', '\"\"')"
        );
        Way {
            value: None,
            changed: Some(format!(
                "CASE WHEN {staged} IS NULL THEN FALSE WHEN NOT JSON_VALID({staged}) THEN TRUE \
                 WHEN CAST({stored} AS BINARY) <=> CAST({staged} AS BINARY) THEN FALSE \
                 ELSE {} <> {} OR REGEXP_LIKE({without_texts}, '{TOO_MANY_DIGITS}') END",
                names(staged),
                names(&stored)
            )),
        }
    }

    fn takes_bytes(&self, staged: &str) -> Option<Way> {
        let most = self.bytes;
        let changed = match self.base.as_str() {
            "binary" => Some(format!("LENGTH({staged}) <> {}", most?)),
            "varbinary" | "tinyblob" | "blob" | "mediumblob" => {
                Some(format!("LENGTH({staged}) > {}", most?))
            }
            "longblob" => None,
            _ => return None,
        };
        Some(Way {
            value: None,
            changed,
        })
    }
}

/// A number of a JSON document that a 64-bit integer or a double may not hold: 19 digits and more, or more than 15
/// of them with a point or an exponent.
const TOO_MANY_DIGITS: &str = "[0-9]{19}|(?=[0-9.]{17})[0-9]*+[.]|[0-9]{16}[eE]";

impl Way {
    fn also(&mut self, condition: String) {
        self.changed = Some(match self.changed.take() {
            None => condition,
            Some(other) => format!("{other} OR {condition}"),
        });
    }
}

/// The least and the largest number of a type.
fn range_of(whole: &DataType) -> Option<(i128, i128)> {
    Some(match whole {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

/// The narrowest integer type that holds all numbers between these.
fn narrowest((least, most): (i128, i128)) -> Option<String> {
    const TYPES: [(&str, u32); 5] = [
        ("tinyint", 8),
        ("smallint", 16),
        ("mediumint", 24),
        ("int", 32),
        ("bigint", 64),
    ];
    TYPES.iter().find_map(|(word, bits)| match least >= 0 {
        true => (most < 1 << bits).then(|| format!("{word} unsigned")),
        false => {
            let half = 1_i128 << (bits - 1);
            (-half <= least && most < half).then(|| (*word).to_owned())
        }
    })
}

/// The digits of a number's type before and behind the point, and whether it has negative numbers.
fn digits_of(data_type: &DataType) -> Option<(u32, u32, bool)> {
    match data_type {
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            let scale = u32::try_from(*s).ok()?;
            Some((u32::from(*p).saturating_sub(scale), scale, true))
        }
        whole => {
            let (least, most) = range_of(whole)?;
            let longest = most.unsigned_abs().max(least.unsigned_abs());
            let digits = u32::try_from(longest.to_string().len()).ok()?;
            Some((digits, 0, least < 0))
        }
    }
}

/// The type of a column of a table or stage; `None` when MySQL has none that holds every value.
pub(super) fn stored_as(data_type: &DataType, facts: &Facts) -> Option<String> {
    Some(match data_type {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => facts.text(),
        DataType::Boolean => "tinyint(1)".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::UInt8 => "tinyint unsigned".to_owned(),
        DataType::UInt16 => "smallint unsigned".to_owned(),
        DataType::UInt32 => "int unsigned".to_owned(),
        DataType::UInt64 => "bigint unsigned".to_owned(),
        DataType::Float16 | DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            let scale = u8::try_from(*s)
                .ok()
                .filter(|scale| *scale <= facts.scale)?;
            return (*p <= 65).then(|| format!("decimal({p},{scale})"));
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "longblob".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time(6)".to_owned(),
        DataType::Timestamp(..) => "datetime(6)".to_owned(),
        DataType::Dictionary(_, values) => return stored_as(values, facts),
        _ => return None,
    })
}
