//! The options of a `files` connection, read once, with a table's own options over them.
//!
//! Promise: an option that cannot be meant is refused by name. It does not look at any file: what
//! only the file can tell (its line ends, its header) is settled in `csv/header.rs`.

use std::collections::BTreeMap;

use encoding_rs::Encoding;
use serde_json::Value;
use towpath_vocab::OptionValue;

use super::error::FilesError;
use super::given_options::{GivenOptions, word};
use super::lines::{GivenLines, LineFormat, LineOptions};
use super::path_values::HivePartitions;
use super::time_options;
use super::value::TimeFormats;
use super::workbook::{Area, SheetChoice};
use super::xml::XmlOptions;
use crate::exact::local::NumberFormat;

/// How bytes of a file become records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Jsonl,
    Json,
    Xml,
    Parquet,
    Avro,
    /// Arrow IPC: a file, or a stream in a file.
    Arrow,
    Xlsx,
    /// A line of a web server's log, with a referer and a user agent or without.
    Common,
    Combined,
    Syslog,
    /// A line by a pattern.
    Regex,
    /// A line of fields with fixed places.
    Fixed,
}

impl Format {
    /// Whether its record is a line whose columns the format or an option names.
    pub(crate) fn is_lines(self) -> bool {
        LINES.contains(&self)
    }

    /// The word of the `format` option.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Parquet => "parquet",
            Self::Avro => "avro",
            Self::Arrow => "arrow",
            Self::Xlsx => "xlsx",
            Self::Common => "common",
            Self::Combined => "combined",
            Self::Syslog => "syslog",
            Self::Regex => "regex",
            Self::Fixed => "fixed",
        }
    }

    /// Whether its files say their own columns and types.
    pub(crate) fn has_columns(self) -> bool {
        matches!(self, Self::Parquet | Self::Avro | Self::Arrow)
    }
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// The options of one table.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) format: Option<Format>,
    pub(crate) compression: Option<Compression>,
    /// `None` means by extension: a tab for `.tsv`, else a comma.
    pub(crate) delimiter: Option<u8>,
    pub(crate) quote: Option<u8>,
    /// The project says which quote there is, or none.
    pub(crate) is_quote_given: bool,
    pub(crate) escape: Option<u8>,
    pub(crate) comment: Option<u8>,
    pub(crate) header: bool,
    pub(crate) skip_lines: u64,
    pub(crate) trim: bool,
    pub(crate) nulls: Vec<String>,
    /// `None` means UTF-8, or UTF-16 where a byte order mark says so.
    pub(crate) encoding: Option<&'static Encoding>,
    pub(crate) times: TimeFormats,
    /// `None` means plain, or what the values of a column show.
    pub(crate) numbers: Option<NumberFormat>,
    /// The members that lead to the array of rows in a JSON file; empty for the file itself.
    pub(crate) records: Option<String>,
    /// Lists and objects of JSON without a declared type are JSON text.
    pub(crate) nested_text: bool,
    pub(crate) missing_columns_null: bool,
    /// Whether folders `key=value` of a path are columns.
    pub(crate) hive_partitions: HivePartitions,
    /// The column for the path of a file.
    pub(crate) file_column: Option<String>,
    pub(crate) max_record_bytes: usize,
    pub(in crate::files) max_columns: Option<usize>,
    /// What is read of a workbook.
    pub(crate) sheet: SheetChoice,
    /// How lines are read.
    pub(crate) lines: LineOptions,
    /// How elements are read.
    pub(crate) xml: XmlOptions,
    /// Those of the table's own options that not every format has.
    pub(in crate::files) own: Vec<(&'static str, String)>,
}

const DEFAULT_MAX_RECORD_BYTES: usize = 64 << 20;
/// Each column takes memory and time in every batch and file.
const MOST_COLUMNS: usize = 10_000;
/// More keys of JSON objects than this are usually data.
const MOST_KEYS: usize = 2_000;

/// What is read of a workbook: `sheet` and `range`.
fn sheet(given: &GivenOptions<'_>) -> Result<SheetChoice, FilesError> {
    let area = match given.text("range")? {
        None => Area::default(),
        Some(text) => Area::parse(&text).ok_or_else(|| FilesError::Option {
            option: "range",
            value: text,
            expected: "a range of cells, such as `B3:F200` or `B:F`".to_owned(),
        })?,
    };
    Ok(SheetChoice {
        sheet: given.text("sheet")?,
        area,
    })
}

fn lines(given: &GivenOptions<'_>) -> Result<LineOptions, FilesError> {
    let short = word(given, "short_lines", &[("reject", false), ("pad", true)])?;
    LineOptions::read(GivenLines {
        pattern: given.text("pattern")?,
        fields: given.texts("fields")?,
        keeps_blanks: !given.boolean("trim", true)?,
        pads: short.unwrap_or(false),
        year: given.text("year")?,
        offset: given.text("offset")?,
    })
}

fn hive_partitions(given: &GivenOptions<'_>) -> Result<HivePartitions, FilesError> {
    let is_alike = given.value(HIVE).and_then(Value::as_str) == Some(ALIKE);
    Ok(match is_alike {
        true => HivePartitions::Alike,
        false if given.boolean(HIVE, false)? => HivePartitions::Yes,
        false => HivePartitions::No,
    })
}

fn file_column(given: &GivenOptions<'_>) -> Result<Option<String>, FilesError> {
    match given.text("file_column")? {
        Some(name) if name.trim().is_empty() => Err(FilesError::Option {
            option: "file_column",
            value: name,
            expected: "the name of a column".to_owned(),
        }),
        name => Ok(name),
    }
}

/// Those options of some formats that the table itself sets.
fn own(given: &GivenOptions<'_>) -> Vec<(&'static str, String)> {
    let set = |(option, _): &(&'static str, &'static [Format])| {
        let value = given.table.get(*option).filter(|value| !value.is_null())?;
        // Of files that a query names, it holds for those that have it.
        if value.as_str() == Some(ALIKE) && *option == HIVE {
            return None;
        }
        Some((*option, shown(value)))
    };
    OF_FORMATS.iter().filter_map(set).collect()
}

fn shown(value: &Value) -> String {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.to_string())
}

/// The option for columns of folders, and its value for files that a query names: no project can write it.
pub(in crate::files) const HIVE: &str = "hive_partitioning";
pub(in crate::files) const ALIKE: &str = "alike";

const LINES: &[Format] = &[
    Format::Common,
    Format::Combined,
    Format::Syslog,
    Format::Regex,
    Format::Fixed,
];
const TEXTS: &[Format] = &[
    Format::Xml,
    Format::Csv,
    Format::Json,
    Format::Jsonl,
    Format::Common,
    Format::Combined,
    Format::Syslog,
    Format::Regex,
    Format::Fixed,
];
const CELLS: &[Format] = &[Format::Csv, Format::Xlsx];
/// Formats whose cells have no form but the one that options give.
const FREE: &[Format] = &[Format::Csv, Format::Xml, Format::Regex, Format::Fixed];
const TIMES: &[Format] = &[
    Format::Xml,
    Format::Csv,
    Format::Json,
    Format::Jsonl,
    Format::Regex,
    Format::Fixed,
];
/// Formats whose rows can have columns of the path.
const PATHS: &[Format] = &[
    Format::Xml,
    Format::Csv,
    Format::Json,
    Format::Jsonl,
    Format::Parquet,
    Format::Avro,
    Format::Arrow,
    Format::Xlsx,
    Format::Common,
    Format::Combined,
    Format::Syslog,
    Format::Regex,
    Format::Fixed,
];
const ONLY_CSV: &[Format] = &[Format::Csv];
const ONLY_XML: &[Format] = &[Format::Xml];

/// Options that not every format has, each with its formats when a file is read. Written Parquet, Avro and
/// Arrow files have a `compression` too.
const OF_FORMATS: [(&str, &[Format]); 29] = [
    ("compression", TEXTS),
    ("delimiter", ONLY_CSV),
    ("quote", ONLY_CSV),
    ("escape", ONLY_CSV),
    ("comment", ONLY_CSV),
    ("header", CELLS),
    (
        "skip_lines",
        &[Format::Csv, Format::Xlsx, Format::Regex, Format::Fixed],
    ),
    (
        "trim",
        &[Format::Csv, Format::Xml, Format::Xlsx, Format::Fixed],
    ),
    (
        "null_values",
        &[
            Format::Csv,
            Format::Xml,
            Format::Xlsx,
            Format::Regex,
            Format::Fixed,
        ],
    ),
    ("encoding", TEXTS),
    ("date_format", TIMES),
    ("timestamp_format", TIMES),
    ("decimal", FREE),
    ("thousands", FREE),
    (HIVE, PATHS),
    ("file_column", PATHS),
    ("pattern", &[Format::Regex]),
    ("fields", &[Format::Fixed]),
    ("short_lines", &[Format::Fixed]),
    ("year", &[Format::Syslog]),
    ("offset", &[Format::Syslog]),
    ("records", &[Format::Json]),
    ("record", ONLY_XML),
    ("prefixes", ONLY_XML),
    ("nested", &[Format::Json, Format::Jsonl, Format::Xml]),
    ("sheet", &[Format::Xlsx]),
    ("range", &[Format::Xlsx]),
    // Any object of JSON, and any element, may have any keys.
    (
        "missing_columns",
        &[
            Format::Csv,
            Format::Xlsx,
            Format::Parquet,
            Format::Avro,
            Format::Arrow,
            Format::Common,
            Format::Combined,
            Format::Syslog,
            Format::Regex,
            Format::Fixed,
        ],
    ),
    (
        "max_record_bytes",
        &[
            Format::Xml,
            Format::Csv,
            Format::Json,
            Format::Jsonl,
            Format::Xlsx,
            Format::Common,
            Format::Combined,
            Format::Syslog,
            Format::Regex,
            Format::Fixed,
        ],
    ),
];

/// Whether files of a format have an option.
fn takes(format: Format, option: &str, is_written: bool) -> bool {
    let known = OF_FORMATS.iter().find(|(name, _)| *name == option);
    known.is_none_or(|(_, formats)| formats.contains(&format))
        || (is_written && format.has_columns() && option == "compression")
}

fn max_columns(given: &GivenOptions<'_>) -> Result<Option<usize>, FilesError> {
    match given.text("max_columns")? {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(most) if most > 0 => Ok(Some(most)),
            _ => Err(FilesError::Option {
                option: "max_columns",
                value: text,
                expected: "a whole number above 0".to_owned(),
            }),
        },
    }
}

/// How numbers are written: `decimal` and `thousands`, different from each other.
fn numbers(given: &GivenOptions<'_>) -> Result<Option<NumberFormat>, FilesError> {
    let decimal = given.character("decimal")?.flatten();
    let thousands = given.character("thousands")?.flatten();
    let usual = |decimal: u8| match decimal {
        b',' => NumberFormat::COMMA.thousands,
        _ => None,
    };
    let format = match (decimal, thousands) {
        (None, None) => return Ok(None),
        (Some(decimal), None) => NumberFormat {
            decimal,
            thousands: usual(decimal),
        },
        (None, Some(b'.')) => NumberFormat::COMMA,
        (decimal, thousands) => NumberFormat {
            decimal: decimal.unwrap_or(b'.'),
            thousands,
        },
    };
    let means_two = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+');
    let wrong = |option, expected: &str| FilesError::Option {
        option,
        value: given.text(option).ok().flatten().unwrap_or_default(),
        expected: expected.to_owned(),
    };
    if means_two(format.decimal) {
        return Err(wrong("decimal", "a sign such as `,` or `.`"));
    }
    if format.thousands.is_some_and(means_two) || format.thousands == Some(format.decimal) {
        return Err(wrong("thousands", "different from `decimal`"));
    }
    Ok(Some(format))
}

impl Options {
    /// These options to read files of a format: what the connection says for files of other formats is as if it
    /// were not there. An option that the table itself sets for another format is refused.
    pub(crate) fn of_format(self, format: Format) -> Result<Self, FilesError> {
        self.of(format, false)
    }

    /// These options to write files of a format.
    pub(in crate::files) fn written_as(self, format: Format) -> Result<Self, FilesError> {
        self.of(format, true)
    }

    fn of(mut self, format: Format, is_written: bool) -> Result<Self, FilesError> {
        let is_workbook = format == Format::Xlsx;
        let mut own = self.own.iter();
        if let Some((option, value)) = own.find(|(option, _)| !takes(format, option, is_written)) {
            return Err(FilesError::Unused {
                option,
                value: value.clone(),
                format: format.word(),
            });
        }
        if !is_written {
            LineFormat::of(format, &self.lines)?;
            for (option, formats) in OF_FORMATS {
                if !formats.contains(&format) {
                    self.reset(option);
                }
            }
        }
        if !is_workbook {
            return Ok(self);
        }
        Ok(Self {
            delimiter: Some(b','),
            quote: Some(b'"'),
            is_quote_given: true,
            escape: None,
            comment: None,
            encoding: None,
            times: TimeFormats::default(),
            numbers: None,
            ..self
        })
    }

    /// Takes back an option that a connection sets for files of other formats.
    fn reset(&mut self, option: &str) {
        match option {
            "compression" => self.compression = None,
            "delimiter" => self.delimiter = None,
            "quote" => {
                self.quote = Some(b'"');
                self.is_quote_given = false;
            }
            "escape" => self.escape = None,
            "comment" => self.comment = None,
            "header" => self.header = true,
            "skip_lines" => self.skip_lines = 0,
            "trim" => self.trim = false,
            "null_values" => self.nulls.clear(),
            "encoding" => self.encoding = None,
            "date_format" | "timestamp_format" => self.times = TimeFormats::default(),
            "decimal" | "thousands" => self.numbers = None,
            "records" => self.records = None,
            "max_record_bytes" => self.max_record_bytes = DEFAULT_MAX_RECORD_BYTES,
            // Those of lines, elements and sheets are asked for by their formats alone. `missing_columns` is about keys of
            // paths too, and `nested` about types from before.
            _ => {}
        }
    }

    /// Refuses options that a connection sets for files of its one `format`, which does not have them.
    pub(crate) fn refuse_unused(
        connection: &BTreeMap<String, OptionValue>,
    ) -> Result<(), FilesError> {
        let none = BTreeMap::new();
        let given = GivenOptions {
            connection,
            table: &none,
        };
        let Some(format) = Self::read(connection, &none)?.format else {
            return Ok(());
        };
        let wrong = OF_FORMATS.iter().find_map(|(option, _)| {
            let value = given
                .value(option)
                .filter(|_| !takes(format, option, true))?;
            Some((*option, shown(value)))
        });
        match wrong {
            None => Ok(()),
            Some((option, value)) => Err(FilesError::Unused {
                option,
                value,
                format: format.word(),
            }),
        }
    }

    /// Whether files of a format that are read have an option.
    pub(in crate::files) fn have(format: Format, option: &str) -> bool {
        takes(format, option, false)
    }

    /// How many columns a table may have.
    pub(crate) fn most_columns(&self) -> usize {
        self.max_columns.unwrap_or(MOST_COLUMNS)
    }

    /// How many different keys the objects of JSON may have.
    pub(crate) fn most_keys(&self) -> usize {
        self.max_columns.unwrap_or(MOST_KEYS)
    }

    /// Reads the options of a connection with those of one table over them.
    pub(crate) fn read(
        connection: &BTreeMap<String, OptionValue>,
        table: &BTreeMap<String, Value>,
    ) -> Result<Self, FilesError> {
        let given = GivenOptions { connection, table };
        let encoding = match given.text("encoding")? {
            None => None,
            Some(label) => Some(
                Encoding::for_label(label.replace('_', "-").as_bytes()).ok_or_else(|| {
                    FilesError::Option {
                        option: "encoding",
                        value: label,
                        expected: "a known encoding".to_owned(),
                    }
                })?,
            ),
        };
        let format = word(
            &given,
            "format",
            &[
                ("csv", Format::Csv),
                ("jsonl", Format::Jsonl),
                ("json", Format::Json),
                ("xml", Format::Xml),
                ("parquet", Format::Parquet),
                ("avro", Format::Avro),
                ("arrow", Format::Arrow),
                ("xlsx", Format::Xlsx),
                ("common", Format::Common),
                ("combined", Format::Combined),
                ("syslog", Format::Syslog),
                ("regex", Format::Regex),
                ("fixed", Format::Fixed),
            ],
        )?;
        let max_record_bytes = given.number("max_record_bytes", DEFAULT_MAX_RECORD_BYTES as u64)?;
        let options = Self {
            format,
            compression: word(
                &given,
                "compression",
                &[
                    ("none", Compression::None),
                    ("gzip", Compression::Gzip),
                    ("zstd", Compression::Zstd),
                ],
            )?,
            delimiter: given.character("delimiter")?.flatten(),
            quote: given.character("quote")?.unwrap_or(Some(b'"')),
            is_quote_given: given.value("quote").is_some(),
            escape: given.character("escape")?.flatten(),
            comment: given.character("comment")?.flatten(),
            header: given.boolean("header", true)?,
            skip_lines: given.number("skip_lines", 0)?,
            trim: given.boolean("trim", false)?,
            nulls: given.texts("null_values")?,
            encoding,
            times: time_options::times(&given)?,
            numbers: numbers(&given)?,
            records: given.text("records")?,
            nested_text: word(&given, "nested", &[("types", false), ("text", true)])?
                .unwrap_or(true),
            missing_columns_null: word(
                &given,
                "missing_columns",
                &[("fail", false), ("null", true)],
            )?
            .unwrap_or(false),
            hive_partitions: hive_partitions(&given)?,
            file_column: file_column(&given)?,
            max_columns: max_columns(&given)?,
            sheet: sheet(&given)?,
            lines: lines(&given)?,
            xml: XmlOptions::read(&given)?,
            own: own(&given),
            // Positions inside a chunk are 32 bits wide.
            max_record_bytes: usize::try_from(max_record_bytes.clamp(16, 1 << 30))
                .unwrap_or(DEFAULT_MAX_RECORD_BYTES),
        };
        if options.delimiter.is_some() && options.delimiter == options.quote {
            return Err(FilesError::Option {
                option: "delimiter",
                value: given.text("delimiter")?.unwrap_or_default(),
                expected: "different from `quote`".to_owned(),
            });
        }
        Ok(options)
    }
}
