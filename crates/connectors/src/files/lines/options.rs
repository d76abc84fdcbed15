//! How the lines of a file are read: the format and what its options say.
//!
//! Promise: an option that cannot be meant is refused before a file is opened. Read next: `mod.rs`.

use std::sync::Arc;

use arrow_schema::DataType;

use super::fixed::FixedFields;
use super::pattern::Pattern;
use super::syslog::LocalTimes;
use super::table::LineTable;
use super::{access, syslog};
use crate::files::error::FilesError;
use crate::files::options::Format;

/// What the options say of lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineOptions {
    pattern: Option<Arc<Pattern>>,
    fields: Option<Arc<FixedFields>>,
    times: Option<LocalTimes>,
}

/// Options as they are written.
pub(crate) struct GivenLines {
    pub(crate) pattern: Option<String>,
    pub(crate) fields: Vec<String>,
    /// Blanks around the cells of fixed fields stay.
    pub(crate) keeps_blanks: bool,
    /// A line that ends within the fields is filled with blanks.
    pub(crate) pads: bool,
    pub(crate) year: Option<String>,
    pub(crate) offset: Option<String>,
}

impl LineOptions {
    /// Reads the options.
    pub(crate) fn read(given: GivenLines) -> Result<Self, FilesError> {
        let wrong = |option, value: &str, expected: String| FilesError::Option {
            option,
            value: value.to_owned(),
            expected,
        };
        let pattern = match &given.pattern {
            None => None,
            Some(text) => {
                let pattern = Pattern::read(text);
                Some(pattern.map_err(|expected| wrong("pattern", text, expected))?)
            }
        };
        let fields = match given.fields.as_slice() {
            [] => None,
            fields => {
                let read = FixedFields::read(fields, given.keeps_blanks, given.pads);
                Some(read.map_err(|(field, expected)| wrong("fields", &field, expected))?)
            }
        };
        let times = match (&given.year, &given.offset) {
            (None, None) => None,
            (Some(year), Some(offset)) => Some(
                LocalTimes::read(year, offset)
                    .map_err(|(option, value, expected)| wrong(option, &value, expected))?,
            ),
            (Some(year), None) => {
                return Err(wrong("year", year, "complete without `offset`".to_owned()));
            }
            (None, Some(offset)) => {
                return Err(wrong(
                    "offset",
                    offset,
                    "complete without `year`".to_owned(),
                ));
            }
        };
        Ok(Self {
            pattern: pattern.map(Arc::new),
            fields: fields.map(Arc::new),
            times,
        })
    }
}

/// How a line becomes cells.
#[derive(Clone, Debug)]
pub(crate) enum LineFormat {
    /// A line of a web server; with the referer and the user agent or without.
    Access {
        combined: bool,
    },
    Syslog(Option<LocalTimes>),
    Pattern(Arc<Pattern>),
    Fixed(Arc<FixedFields>),
}

impl LineFormat {
    /// The one of a format of files; `None` for formats that are no lines.
    pub(crate) fn of(format: Format, options: &LineOptions) -> Result<Option<Self>, FilesError> {
        let needs = |option| FilesError::NoOption {
            option,
            format: format.word(),
        };
        Ok(Some(match format {
            Format::Common => Self::Access { combined: false },
            Format::Combined => Self::Access { combined: true },
            Format::Syslog => Self::Syslog(options.times),
            Format::Regex => {
                Self::Pattern(options.pattern.clone().ok_or_else(|| needs("pattern"))?)
            }
            Format::Fixed => Self::Fixed(options.fields.clone().ok_or_else(|| needs("fields"))?),
            _ => return Ok(None),
        }))
    }

    /// Its columns, each with its type where the format has it.
    pub(crate) fn columns(&self) -> Vec<(String, Option<DataType>)> {
        let typed = |columns: &[(&str, DataType)]| {
            let columns = columns.iter();
            let typed = columns.map(|(name, of)| ((*name).to_owned(), Some(of.clone())));
            typed.collect()
        };
        let untyped = |names: &mut dyn Iterator<Item = &str>| {
            names.map(|name| (name.to_owned(), None)).collect()
        };
        match self {
            Self::Access { combined } => typed(&access::columns(*combined)),
            Self::Syslog(_) => typed(&syslog::columns()),
            Self::Pattern(pattern) => untyped(&mut pattern.names()),
            Self::Fixed(fields) => untyped(&mut fields.names()),
        }
    }

    /// Whether times of RFC 3164 stay text.
    pub(crate) fn wants_a_year(&self) -> bool {
        matches!(self, Self::Syslog(None))
    }

    /// Whether an empty cell is NULL; formats with a sign for it say so themselves.
    pub(crate) fn has_empty_nulls(&self) -> bool {
        matches!(self, Self::Pattern(_) | Self::Fixed(_))
    }

    /// Adds the cells of a line. The error is what is wrong with it.
    pub(super) fn cells(&self, line: &str, to: &mut LineTable) -> Result<(), String> {
        match self {
            Self::Access { combined } => access::cells(line, *combined, to),
            Self::Syslog(times) => syslog::cells(line, times.as_ref(), to),
            Self::Pattern(pattern) => pattern.cells(line, to),
            Self::Fixed(fields) => fields.cells(line, to),
        }
    }
}
